//! The form in which an issuer is stored: the same in every store.
//!
//! A record is two lines of text. The first is the SHA-256 of the second, in hexadecimal digits: the
//! record's hash. The second is the envelope, as JSON:
//!
//! ```text
//! {"format":1,"issuer":"main","revision":7,"commit_id":"…","prev_hash":"…","body_hash":"…","body":{…}}
//! ```
//!
//! `prev_hash` is the hash of the revision before, and null at revision 1; `body_hash` is the SHA-256 of the exact
//! bytes of `body`, by which two revisions of the same content are known. The body mirrors
//! [`IssuerState`](crate::lifecycle::issuer::IssuerState); the same state always gives the same bytes.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Committed, RecordHash, StoreError};
use crate::ids::{CommitId, IssuerId, Revision};
use crate::lifecycle::issuer::Issuer;

mod body;
mod decode;
mod encode;
#[cfg(test)]
mod tests;
mod text;

use text::Text;

/// The format that this build writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// A record, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its hash, by which the next record and the audit log name it.
    pub hash: RecordHash,
}

/// Writes the record of `issuer` at `revision`. `previous`: the hash of the revision before, if there is one.
///
/// The same arguments always give the same record, so that an intent in the audit log can name the hash
/// of what [`super::Store::replace`] is about to store.
///
/// # Errors
/// None that an issuer can cause; serde_json's signatures have one.
pub fn seal(
    issuer: &Issuer,
    revision: Revision,
    commit_id: CommitId,
    previous: Option<RecordHash>,
) -> Result<Sealed, StoreError> {
    let unencodable = |error: serde_json::Error| damaged(issuer.id(), &format!("encoding: {error}"));
    let body = serde_json::value::to_raw_value(&body::Body::from(issuer.state())).map_err(unencodable)?;
    let envelope = Envelope {
        format: FORMAT,
        issuer: Text(issuer.id().clone()),
        revision: revision.get(),
        commit_id: Text(commit_id),
        prev_hash: previous.map(Text),
        body_hash: Text(hash(body.get().as_bytes())),
        body,
    };
    let envelope = serde_json::to_string(&envelope).map_err(unencodable)?;
    let hash = hash(envelope.as_bytes());
    Ok(Sealed { bytes: format!("{hash}\n{envelope}").into_bytes(), hash })
}

/// Reads the record that stands under the name of `issuer`, and checks its hashes.
///
/// # Errors
/// [`StoreError::Format`] if a newer `jwksd` wrote it; [`StoreError::Damaged`] if it is not what was
/// written, is another issuer's, or says something that can't be.
pub fn decode(issuer: &IssuerId, record: &[u8]) -> Result<Committed, StoreError> {
    let opened = open(issuer, record)?;
    let damaged = |what: String| damaged(issuer, &format!("revision {}: {what}", opened.envelope.revision));
    let body = opened.envelope.body.get();
    if hash(body.as_bytes()) != opened.envelope.body_hash.0 {
        return Err(damaged("the body is not the one that its hash names".to_owned()));
    }
    let body: body::Body = serde_json::from_str(body).map_err(|error| damaged(format!("body: {error}")))?;
    let state = body.into_issuer(issuer.clone()).map_err(&damaged)?;
    Ok(Committed {
        issuer: state,
        revision: Revision::new(opened.envelope.revision),
        commit_id: opened.envelope.commit_id.0,
        hash: opened.hash,
    })
}

/// What the envelope of a record says, without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cover {
    /// The revision.
    pub revision: Revision,
    /// The commit that wrote it.
    pub commit_id: CommitId,
    /// The record's hash.
    pub hash: RecordHash,
}

/// Reads the envelope of the record that stands under the name of `issuer`, and checks the record's hash.
///
/// # Errors
/// As for [`decode`], but the body is not looked into.
pub fn cover(issuer: &IssuerId, record: &[u8]) -> Result<Cover, StoreError> {
    let Opened { hash, envelope } = open(issuer, record)?;
    Ok(Cover { revision: Revision::new(envelope.revision), commit_id: envelope.commit_id.0, hash })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    format: u32,
    issuer: Text<IssuerId>,
    revision: u64,
    commit_id: Text<CommitId>,
    prev_hash: Option<Text<RecordHash>>,
    body_hash: Text<RecordHash>,
    body: Box<RawValue>,
}

/// The one member of an envelope that every format keeps.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

struct Opened {
    hash: RecordHash,
    envelope: Envelope,
}

fn open(issuer: &IssuerId, record: &[u8]) -> Result<Opened, StoreError> {
    let damaged = |what: &str| damaged(issuer, what);
    let record = str::from_utf8(record).map_err(|_| damaged("the record is not text"))?;
    let (named, envelope) = record.split_once('\n').ok_or_else(|| damaged("the record has no hash"))?;
    let hash = hash(envelope.as_bytes());
    if named.parse() != Ok(hash) {
        return Err(damaged("the record is not the one that its hash names"));
    }
    let Format { format } = serde_json::from_str(envelope).map_err(|_| damaged("the record has no format"))?;
    if format > FORMAT {
        return Err(StoreError::Format { issuer: issuer.clone(), found: format, known: FORMAT });
    }
    let envelope: Envelope = serde_json::from_str(envelope).map_err(|error| damaged(&format!("envelope: {error}")))?;
    if envelope.issuer.0 != *issuer {
        return Err(damaged(&format!("the record is that of issuer {}", envelope.issuer.0)));
    }
    if (envelope.revision == 1) != envelope.prev_hash.is_none() || envelope.revision == 0 {
        return Err(damaged(&format!("revision {} has no predecessor, or one too many", envelope.revision)));
    }
    Ok(Opened { hash, envelope })
}

fn damaged(issuer: &IssuerId, what: &str) -> StoreError {
    StoreError::Damaged(format!("issuer {issuer}: {what}"))
}

fn hash(bytes: &[u8]) -> RecordHash {
    RecordHash(digest(&SHA256, bytes).as_ref().try_into().expect("invariant: SHA-256 has 32 bytes"))
}

impl fmt::Display for RecordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hash has 64 lower-case hexadecimal digits")]
pub struct RecordHashError;

impl FromStr for RecordHash {
    type Err = RecordHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |b: u8| match b {
            b'0'..=b'9' => Ok(b - b'0'),
            b'a'..=b'f' => Ok(b - b'a' + 10),
            _ => Err(RecordHashError),
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(RecordHashError);
        }
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(bytes))
    }
}
