//! Tracing and metrics, and the list of field names.
