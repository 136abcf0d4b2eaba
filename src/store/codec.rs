//! The form in which an issuer is stored.
