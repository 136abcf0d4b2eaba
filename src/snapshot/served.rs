//! A JWK Set as ready bytes.

use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use crate::ids::JwkSetVersion;
use crate::jose::base64url;
use crate::jose::jwk_set;
use crate::lifecycle::time::{Span, Timestamp};

use super::{IssuerSettings, Snapshot};

/// One version of a JWK Set, ready to be sent.
#[derive(Debug)]
pub struct Served {
    /// Which version.
    pub version: JwkSetVersion,
    /// The document.
    pub body: Bytes,
    /// A strong validator.
    pub etag: HeaderValue,
    /// `JWK-Set-Version`.
    pub version_header: HeaderValue,
    /// `Cache-Control` while no removal is near.
    pub cache_control: HeaderValue,
    /// The head of answers with this set; the listener fills it in, for copies are cheaper than new ones.
    pub head: OnceLock<HeaderMap>,
    /// The discovery document, if it is wanted.
    pub openid_configuration: Option<Bytes>,
    max_age: Span,
    removal_at: Option<Timestamp>,
}

impl Served {
    /// The newest set of `state`; nothing before the first key.
    pub(super) fn new(settings: &IssuerSettings, state: &Snapshot) -> Option<Self> {
        let issuer = state.issuer();
        let version = state.jwk_set_version();
        let keys = issuer.jwk_set_at(version)?;
        let body = jwk_set::render(keys.iter().copied());
        let hash = digest(&SHA256, body.as_bytes());
        let etag = format!("\"{version}-{}\"", base64url::encode(hash.as_ref().get(..12).unwrap_or_default()));
        let retained = issuer.state().rings.values().flat_map(|ring| &ring.state().retained);
        let withdrawals = retained.filter(|v| v.withdrawn.is_none()).map(|v| v.withdraw_at);
        let imported = issuer.state().imported.iter().filter(|v| v.withdrawn.is_none()).filter_map(|v| v.withdraw_at);
        Some(Self {
            version,
            etag: header(&etag),
            version_header: HeaderValue::from(version.get()),
            cache_control: cache_control(settings.jwks_max_age),
            head: OnceLock::new(),
            openid_configuration: settings.openid_configuration.then(|| discovery(settings, state)),
            body: Bytes::from(body),
            max_age: settings.jwks_max_age,
            removal_at: withdrawals.chain(imported).min(),
        })
    }

    /// `Cache-Control` at `now`, if it is not the usual: shorter as a planned removal comes near, so that
    /// caches drop the key soon after it; never under a tenth of the usual, so that they don't all come at once.
    #[must_use]
    pub fn shorter_cache_control(&self, now: Timestamp) -> Option<HeaderValue> {
        let removal_at = self.removal_at.filter(|removal_at| *removal_at < now + self.max_age)?;
        let least = Span::from_secs((self.max_age.as_secs() / 10).max(1));
        Some(cache_control(removal_at.since(now).max(least)))
    }
}

fn cache_control(max_age: Span) -> HeaderValue {
    header(&format!("public, max-age={}", max_age.as_secs()))
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("invariant: digits, base64url and fixed words are a header value")
}

/// The least of OpenID Connect Discovery 1.0, section 3, that a verifier needs; the provider's own
/// endpoints are not known here.
fn discovery(settings: &IssuerSettings, state: &Snapshot) -> Bytes {
    let mut algorithms: Vec<&str> = state.issuer().jwk_set().iter().map(|jwk| jwk.alg().name()).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    let document = serde_json::json!({
        "issuer": settings.url,
        "jwks_uri": format!("{}/.well-known/jwks.json", settings.url),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    });
    Bytes::from(document.to_string())
}
