//! Values of RFC 7515, 7517, 7518, 7638, 8037 and 9864; no clock, no I/O.
