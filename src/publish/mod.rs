//! Where a JWK Set is put so that verifiers can fetch it.
