//! The admin API: states and commands.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Length, Moment};

/// How the daemon is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The version of `jwksd`.
    pub version: String,
    /// The installation's name.
    pub installation: String,
    /// The daemon's clock.
    pub now: Moment,
    /// When the daemon started.
    pub started_at: Moment,
    /// How far the wall clock has jumped since the start, in seconds; positive is ahead.
    pub clock_jump_seconds: i64,
    /// Whether the daemon does its work.
    pub readiness: Readiness,
}

/// Whether the daemon does its work, and what keeps it from it; also the answer of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether nothing keeps it from it.
    pub ready: bool,
    /// What concerns the whole daemon, one short sentence each.
    pub reasons: Vec<String>,
    /// Each issuer, in alphabetical order.
    pub issuers: Vec<IssuerReadiness>,
}

/// Whether an issuer is served and signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuerReadiness {
    /// Its name.
    pub issuer: String,
    /// Whether its JWK Set is served and each of its rings signs.
    pub ready: bool,
    /// The version of the JWK Set that is served; absent if none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub served: Option<u64>,
    /// Its rings without a signer.
    pub without_signer: Vec<String>,
}

/// Every issuer that the caller may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Issuers {
    /// In alphabetical order.
    pub issuers: Vec<Issuer>,
}

/// One issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Issuer {
    /// Its name.
    pub issuer: String,
    /// Its name in `iss`.
    pub url: String,
    /// Where its JWK Set is.
    pub jwks_uri: String,
    /// The number of its committed state.
    pub revision: u64,
    /// The newest version of its JWK Set.
    pub jwk_set_version: u64,
    /// The version that was last observed as published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub published: Option<Published>,
    /// How many keys the newest set lists.
    pub keys: usize,
    /// The `max-age` of the set.
    pub jwks_max_age: Length,
    /// The verifiers that the configuration declares.
    pub verifiers: Vec<Verifier>,
    /// Its rings, in alphabetical order.
    pub rings: Vec<Ring>,
    /// Imported keys that the newest set lists.
    pub imported: usize,
}

/// An observed publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Published {
    /// Which version of the JWK Set.
    pub version: u64,
    /// When it was observed.
    pub at: Moment,
}

/// A kind of verifier that the configuration declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verifier {
    /// Its name.
    pub name: String,
    /// The longest time for which it may hold a set that lacks a new key.
    pub holds: Length,
    /// How long after a withdrawal it may still trust the key; absent if only an unknown kid or a restart
    /// makes it forget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub forgets_within: Option<Length>,
    /// Where these numbers were read.
    pub source: String,
}

/// One key ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ring {
    /// Its name.
    pub ring: String,
    /// The kind of key that it holds.
    #[schema(example = "ES256")]
    pub key: String,
    /// The backend in which its keys are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub backend: Option<String>,
    /// The version that signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub signer: Option<SignerKey>,
    /// The version that signs next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<NextKey>,
    /// Whether a version can take over now and no verifier notices.
    pub standby_ready: bool,
    /// Since when a rotation is requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub requested_at: Option<Moment>,
    /// The longest life of a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token_lifetime_max: Option<Length>,
    /// Time from observed publication until a version may sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub propagation: Option<Length>,
    /// Time from deactivation until the private half is destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub drain: Option<Length>,
    /// Time from deactivation until the public half is withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retention: Option<Length>,
}

/// The version that signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignerKey {
    /// Its number.
    pub version: u64,
    /// Its name in tokens.
    pub kid: String,
    /// When it began to sign.
    pub activated_at: Moment,
    /// When it is due to be replaced.
    pub rotate_at: Moment,
}

/// The version that signs next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NextKey {
    /// Its number.
    pub version: u64,
    /// Its name in tokens; absent until it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub kid: Option<String>,
    /// When it may sign; absent until its publication was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub may_sign_at: Option<Moment>,
}

/// A request to rotate a ring; an empty body stands for `{}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// Why, for the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

/// A rotation was requested. It happens as soon as every declared verifier can know the next version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotateReport {
    /// The issuer.
    pub issuer: String,
    /// The revision that holds the request.
    pub revision: u64,
    /// The ring after the request.
    pub ring: Ring,
    /// When the next version may sign; absent while it is being made or published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub may_sign_at: Option<Moment>,
}

/// A declaration that a key is compromised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompromiseRequest {
    /// Which key.
    pub kid: String,
    /// Why, for the audit log. Not empty.
    pub reason: String,
    /// If no standby is ready: let the next version sign as soon as it is published, although verifiers that do not
    /// refetch will reject its tokens until their cache ends.
    #[serde(default)]
    pub activate_unpropagated: bool,
}

/// What became of a compromised key, and when verifiers have dropped it. Asking again gives the newest answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CompromiseReport {
    /// The issuer.
    pub issuer: String,
    /// The ring; absent if the key was an imported one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ring: Option<String>,
    /// The key.
    pub kid: String,
    /// What the operator said.
    pub reason: String,
    /// When it was declared compromised.
    pub declared_at: Moment,
    /// The revision of the state that this was read from.
    pub revision: u64,
    /// The first version of the JWK Set without the key.
    pub jwk_set_version: u64,
    /// When that set, or a later one, was observed as published; absent if it is not out everywhere yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub withdrawal_seen_at: Option<Moment>,
    /// The version that signs in the ring now; absent if none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub signer: Option<SignerKey>,
    /// If nothing signs: when signing resumes, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub resumes_at: Option<Moment>,
    /// The never-seen key that makes lazy verifiers refetch; absent until it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub flush_key: Option<FlushKey>,
    /// Each declared verifier.
    pub verifiers: Vec<Forgetting>,
    /// Whether the backend can still sign with the key, and when nothing is left of it.
    pub private_half: super::PrivateHalf,
    /// When nothing is, or will be, left of the private half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub gone_at: Option<Moment>,
}

/// The key that no verifier has seen before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlushKey {
    /// Its number.
    pub version: u64,
    /// Its name in tokens.
    pub kid: String,
    /// Whether its publication was observed.
    pub published: bool,
}

/// When a declared verifier has dropped a withdrawn key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Forgetting {
    /// The verifier's name in the configuration.
    pub verifier: String,
    /// The moment from which it has dropped the key; absent if there is none, or none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub dropped_at: Option<Moment>,
    /// In words: the moment, or "at its next unknown kid or restart", or "once the set without the key is published".
    pub when: String,
}

/// Foreign public keys to be published: one of `jwk` and `jwks`.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// One public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub jwk: Option<Box<RawValue>>,
    /// A JWK Set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub jwks: Option<Box<RawValue>>,
    /// When they are to be withdrawn; never by themselves, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub until: Option<Moment>,
    /// Why, for the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

/// Keys were imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportReport {
    /// The issuer.
    pub issuer: String,
    /// The revision that holds them all.
    pub revision: u64,
    /// The version of the JWK Set that lists them all.
    pub jwk_set_version: u64,
    /// The keys.
    pub kids: Vec<String>,
    /// Whether that version is out wherever verifiers fetch it; if not, the daemon tries on.
    pub published: bool,
    /// When they are to be withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub until: Option<Moment>,
}

/// An imported key left the JWK Set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WithdrawReport {
    /// The issuer.
    pub issuer: String,
    /// The revision without it.
    pub revision: u64,
    /// The first version of the JWK Set without it.
    pub jwk_set_version: u64,
    /// The key.
    pub kid: String,
    /// Whether that version is out wherever verifiers fetch it; if not, the daemon tries on.
    pub published: bool,
}

/// A part of the audit log, oldest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// The records.
    pub records: Vec<AuditRecord>,
    /// Whether there are later ones: ask again with `after` set to the last `seq`.
    pub more: bool,
}

/// One record of the audit log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// Its number.
    pub seq: u64,
    /// When it was handed in.
    pub at: Moment,
    /// The SHA-256 of its line, in hexadecimal: the next record names it.
    pub hash: String,
    /// The line itself, exactly as it stands in the log.
    #[schema(value_type = Object)]
    pub record: Box<RawValue>,
}

/// Who the daemon takes the caller for, and what that caller may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// The caller as logs and the audit trail name it.
    #[schema(example = "uid:1001")]
    pub caller: String,
    /// Everything that is known of it and that a grant can name.
    #[serde(default)]
    #[schema(example = json!(["uid:1001", "gid:1001"]))]
    pub proofs: Vec<String>,
    /// What it may do: for the installation, for whole issuers, and for single rings that allow more than their issuer.
    pub allowed: Vec<Allowed>,
}

/// What a caller may do somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Allowed {
    /// At this issuer; in the whole installation, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub issuer: Option<String>,
    /// In this ring; in each of the issuer, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ring: Option<String>,
    /// What: the words of `[[grants]] allow`.
    pub operations: Vec<String>,
}
