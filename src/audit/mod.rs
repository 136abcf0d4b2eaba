//! The append-only, hash-chained log, written before the act.
