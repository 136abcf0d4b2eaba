//! What the log can say. No field takes a token, a payload or a secret: claims come as a digest, keys as
//! kid and label, and every free text is bounded and scrubbed as it is written.

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::fields::{as_kid, as_number, as_optional_text, as_text, scrub};
use crate::ids::{BackendId, CommitId, InstallationId, IssuerId, Kid, Label, Revision, RingName, VersionId};
use crate::jose::hash::MessageDigest;
use crate::lifecycle::time::Timestamp;

/// When a record of a signature counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signatures {
    /// Once it is on disk: no durable record, no signature.
    #[default]
    Durable,
    /// At once; it is on disk within about 100 ms. A power cut may lose records of signatures that left.
    Async,
}

/// How something that was tried ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not done.
    Failed,
    /// It may or may not have been done.
    Unknown,
}

/// An effect outside the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A key pair is made, or found by its label.
    Generate,
    /// A private key is destroyed.
    Destroy,
}

/// One commit of one issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Whose state.
    #[serde(with = "as_text")]
    pub issuer: IssuerId,
    /// The revision that it has, or would have.
    #[serde(with = "as_number")]
    pub revision: Revision,
    /// Its random name.
    #[serde(with = "as_text")]
    pub commit_id: CommitId,
    /// The hash of the stored record.
    #[serde(with = "as_text")]
    pub hash: Digest,
}

/// The first record of a segment: all that a start needs to know of the segments before.
///
/// Only the log itself makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub(super) format: u32,
    pub(super) signatures: Signatures,
    pub(super) anchors: Vec<Commit>,
    pub(super) intents: Vec<Commit>,
}

/// What happened, or is about to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// A segment begins.
    Segment(Header),
    /// The daemon runs.
    Started {
        /// The version of `jwksd`.
        #[serde(serialize_with = "scrub::text")]
        version: String,
        /// Whose daemon it is.
        #[serde(with = "as_text")]
        installation: InstallationId,
        /// When a record of a signature counts as written.
        signatures: Signatures,
    },
    /// The daemon ended in good order.
    Stopped {},
    /// The first record of an issuer was written, at revision 1.
    Created {
        /// The issuer.
        #[serde(with = "as_text")]
        issuer: IssuerId,
        /// The commit's random name.
        #[serde(with = "as_text")]
        commit_id: CommitId,
        /// The hash of the stored record.
        #[serde(with = "as_text")]
        hash: Digest,
    },
    /// A commit is about to be tried.
    Intent {
        /// The issuer.
        #[serde(with = "as_text")]
        issuer: IssuerId,
        /// The revision that it will have.
        #[serde(with = "as_number")]
        revision: Revision,
        /// Its random name.
        #[serde(with = "as_text")]
        commit_id: CommitId,
        /// The hash of the record to be stored.
        #[serde(with = "as_text")]
        hash: Digest,
        /// What it changes, in a word.
        #[serde(serialize_with = "scrub::text")]
        what: String,
        /// In which ring.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "as_optional_text")]
        ring: Option<RingName>,
        /// Which version of the ring.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        /// Which key.
        #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "scrub::option")]
        kid: Option<String>,
        /// Who asked; absent for the rotator's own.
        #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "scrub::option")]
        caller: Option<String>,
        /// The request that asked.
        #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "scrub::option")]
        request_id: Option<String>,
        /// Why, in the operator's words.
        #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "scrub::option")]
        reason: Option<String>,
    },
    /// A commit is durable in the store.
    Committed {
        /// The issuer.
        #[serde(with = "as_text")]
        issuer: IssuerId,
        /// Its revision.
        #[serde(with = "as_number")]
        revision: Revision,
        /// Its random name.
        #[serde(with = "as_text")]
        commit_id: CommitId,
        /// The hash of the stored record.
        #[serde(with = "as_text")]
        hash: Digest,
    },
    /// A commit was not written: somebody else was faster, or it was found missing afterwards.
    Abandoned {
        /// The issuer.
        #[serde(with = "as_text")]
        issuer: IssuerId,
        /// The revision that it would have had.
        #[serde(with = "as_number")]
        revision: Revision,
        /// Its random name.
        #[serde(with = "as_text")]
        commit_id: CommitId,
    },
    /// An effect in a backend is about to be tried.
    Act {
        /// Which.
        what: Act,
        /// The issuer.
        #[serde(with = "as_text")]
        issuer: IssuerId,
        /// The ring.
        #[serde(with = "as_text")]
        ring: RingName,
        /// The version.
        #[serde(with = "as_number")]
        version: VersionId,
        /// Where.
        #[serde(with = "as_text")]
        backend: BackendId,
        /// The key's name there.
        #[serde(with = "as_text")]
        label: Label,
        /// Who asked; absent for the rotator's own.
        #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "scrub::option")]
        caller: Option<String>,
        /// The request that asked.
        #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "scrub::option")]
        request_id: Option<String>,
        /// Why, in the operator's words.
        #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "scrub::option")]
        reason: Option<String>,
    },
    /// How that effect ended.
    ActDone {
        /// Which.
        what: Act,
        /// The issuer.
        #[serde(with = "as_text")]
        issuer: IssuerId,
        /// The ring.
        #[serde(with = "as_text")]
        ring: RingName,
        /// The version.
        #[serde(with = "as_number")]
        version: VersionId,
        /// Where.
        #[serde(with = "as_text")]
        backend: BackendId,
        /// The key's name there.
        #[serde(with = "as_text")]
        label: Label,
        /// How it ended.
        outcome: Outcome,
        /// The backend's words.
        #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "scrub::option")]
        detail: Option<String>,
    },
    /// A signature was made; it leaves only once this is written.
    Signed {
        /// The issuer.
        #[serde(with = "as_text")]
        issuer: IssuerId,
        /// The ring.
        #[serde(with = "as_text")]
        ring: RingName,
        /// The key.
        #[serde(with = "as_kid")]
        kid: Kid,
        /// The token's own name; absent for a signature over a caller's own input.
        #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "scrub::option")]
        jti: Option<String>,
        /// The digest of the signed payload.
        #[serde(with = "as_text")]
        claims_sha256: Digest,
        /// When the token expires.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "as_optional_text")]
        exp: Option<Timestamp>,
        /// Who asked.
        #[serde(serialize_with = "scrub::text")]
        caller: String,
        /// The request that asked.
        #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "scrub::option")]
        request_id: Option<String>,
        /// How it ended.
        outcome: Outcome,
    },
    /// A signature over a digest was made; it leaves only once this is written. What was hashed nobody here has seen.
    SignedDigest {
        /// The issuer.
        #[serde(with = "as_text")]
        issuer: IssuerId,
        /// The ring.
        #[serde(with = "as_text")]
        ring: RingName,
        /// The key.
        #[serde(with = "as_kid")]
        kid: Kid,
        /// The digest that was signed.
        #[serde(with = "as_text")]
        digest: MessageDigest,
        /// Who asked.
        #[serde(serialize_with = "scrub::text")]
        caller: String,
        /// The request that asked.
        #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "scrub::option")]
        request_id: Option<String>,
        /// How it ended.
        outcome: Outcome,
    },
    /// A request was turned away.
    Refused {
        /// The issuer that it named, if it is one of ours.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "as_optional_text")]
        issuer: Option<IssuerId>,
        /// The ring that it named, if it is one of ours.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "as_optional_text")]
        ring: Option<RingName>,
        /// The problem's stable code.
        #[serde(serialize_with = "scrub::text")]
        code: String,
        /// Who asked, if that was found out.
        #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "scrub::option")]
        caller: Option<String>,
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "scrub::option")]
        request_id: Option<String>,
    },
    /// An operator accepted that the store went back.
    RollbackAccepted {
        /// The issuer.
        #[serde(with = "as_text")]
        issuer: IssuerId,
        /// The revision that the store holds.
        #[serde(with = "as_number")]
        revision: Revision,
        /// The random name of that commit.
        #[serde(with = "as_text")]
        commit_id: CommitId,
        /// The hash of that record.
        #[serde(with = "as_text")]
        hash: Digest,
        /// Who accepted.
        #[serde(serialize_with = "scrub::text")]
        caller: String,
        /// Why.
        #[serde(serialize_with = "scrub::text")]
        reason: String,
    },
    /// A record before this one was vouched for, by a signature that others can check.
    Checkpoint {
        /// The key that signed.
        #[serde(with = "as_kid")]
        kid: Kid,
        /// The checkpoint, a compact JWS over number and hash of that record. It is no token, and says so.
        jws: String,
    },
    /// A torn tail was cut off at a start: what a crash left of a group that was never acknowledged.
    TailCut {
        /// How many bytes.
        bytes: u64,
        /// Their digest.
        #[serde(with = "as_text")]
        sha256: Digest,
    },
}

impl Event {
    /// Whether the event tells of one request to sign, for which [`Signatures`] decides.
    pub(super) fn is_of_a_signature(&self) -> bool {
        matches!(self, Self::Signed { .. } | Self::SignedDigest { .. } | Self::Refused { .. })
    }
}
