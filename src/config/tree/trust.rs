//! Issuers whose tokens callers may show.

use std::path::PathBuf;

use crate::jose::alg::Algorithm;
use crate::lifecycle::time::Span;

/// An issuer whose tokens callers may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// The `iss` of its tokens, byte for byte.
    pub url: String,
    /// Where its JWK Set is.
    pub jwks: JwksSource,
    /// One of these must be in `aud`.
    pub audiences: Vec<String>,
    /// What its tokens may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// How often the set is fetched.
    pub refresh: Span,
    /// For how long a set is used that can't be fetched again.
    pub stale_for: Span,
}

/// Where a JWK Set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// At a URL; whose certificate is from the bundle, or from an authority that the system trusts.
    Url {
        /// The URL: https, or http on a loopback address.
        url: String,
        /// The bundle of authorities.
        ca: Option<PathBuf>,
    },
    /// In a file.
    File(PathBuf),
}

impl TrustedIssuer {
    /// What `algorithms` is by default: what everybody can, and no more.
    pub const ALGORITHMS: [Algorithm; 2] = [Algorithm::Rs256, Algorithm::Es256];
    /// What `refresh` is by default.
    pub const REFRESH: Span = Span::from_mins(5);
    /// What `stale_for` is by default: an outage over a night is survived.
    pub const STALE_FOR: Span = Span::from_hours(24);
}
