//! The values of the domain as bytes.

use std::time::Duration;

use super::Outcome;
use super::codec::{Malformed, Put, Take};
use crate::backend::{BackendError, Destroyed, Found, Generated, Input, Probe};
use crate::ids::{Handle, Label};
use crate::jose::alg::{Algorithm, KeySpec, RsaBits};
use crate::jose::hash::{HashFunction, MessageDigest};
use crate::jose::jwk::PublicKey;
use crate::lifecycle::time::Timestamp;

pub(super) fn put_spec(out: &mut Vec<u8>, spec: KeySpec) {
    let place = Algorithm::ALL.iter().position(|alg| *alg == spec.algorithm());
    out.byte(place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX));
    out.byte(match spec.rsa_bits() {
        None => 0,
        Some(RsaBits::B2048) => 1,
        Some(RsaBits::B3072) => 2,
        Some(RsaBits::B4096) => 3,
    });
}

pub(super) fn spec(take: &mut Take<'_>) -> Result<KeySpec, Malformed> {
    let alg = Algorithm::ALL.get(usize::from(take.byte()?)).ok_or(Malformed)?;
    let bits = match take.byte()? {
        0 => None,
        1 => Some(RsaBits::B2048),
        2 => Some(RsaBits::B3072),
        3 => Some(RsaBits::B4096),
        _ => return Err(Malformed),
    };
    KeySpec::new(*alg, bits).map_err(|_| Malformed)
}

/// The last value of a frame.
pub(super) fn put_input(out: &mut Vec<u8>, input: Input<'_>) {
    match input {
        Input::Message(message) => {
            out.byte(0);
            out.extend_from_slice(message);
        }
        Input::Digest(digest) => {
            out.byte(match digest.hash() {
                HashFunction::Sha256 => 1,
                HashFunction::Sha384 => 2,
                HashFunction::Sha512 => 3,
            });
            out.extend_from_slice(digest.as_bytes());
        }
    }
}

pub(super) fn input<'a>(take: &mut Take<'a>) -> Result<Input<'a>, Malformed> {
    let hash = match take.byte()? {
        0 => return Ok(Input::Message(take.0)),
        1 => HashFunction::Sha256,
        2 => HashFunction::Sha384,
        3 => HashFunction::Sha512,
        _ => return Err(Malformed),
    };
    MessageDigest::made_elsewhere(hash, take.0).map(Input::Digest).map_err(|_| Malformed)
}

pub(super) fn label(take: &mut Take<'_>) -> Result<Label, Malformed> {
    take.text()?.parse().map_err(|_| Malformed)
}

pub(super) fn put_error(out: &mut Vec<u8>, error: &BackendError) {
    let mut texts = |kind, text: &str| {
        out.byte(kind);
        out.text(text);
    };
    match error {
        BackendError::Unavailable(text) => texts(0, text),
        BackendError::Throttled { retry_after } => {
            out.byte(1);
            out.number(u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX));
        }
        BackendError::NotFound(text) => texts(2, text),
        BackendError::Mismatch(text) => texts(3, text),
        BackendError::Refused(text) => texts(4, text),
    }
}

pub(super) fn error(take: &mut Take<'_>) -> Result<BackendError, Malformed> {
    Ok(match take.byte()? {
        0 => BackendError::Unavailable(take.text()?.to_owned()),
        1 => BackendError::Throttled { retry_after: Duration::from_millis(take.number()?) },
        2 => BackendError::NotFound(take.text()?.to_owned()),
        3 => BackendError::Mismatch(take.text()?.to_owned()),
        4 => BackendError::Refused(take.text()?.to_owned()),
        _ => return Err(Malformed),
    })
}

pub(super) fn put_outcome(out: &mut Vec<u8>, outcome: &Outcome) {
    match outcome {
        Outcome::Generated(Generated { handle, public }) => {
            out.byte(0);
            out.text(handle.as_str());
            out.bytes(&public.to_spki());
        }
        Outcome::Destroyed(Destroyed::Done) => out.byte(1),
        Outcome::Destroyed(Destroyed::ScheduledFor(at)) => {
            out.byte(2);
            out.number(at.as_second().cast_unsigned());
        }
        Outcome::Found(keys) => {
            out.byte(3);
            out.number(keys.len() as u64);
            for Found { label, handle } in keys {
                out.text(&label.to_string());
                out.text(handle.as_str());
            }
        }
        Outcome::Probed(Probe { summary, facts }) => {
            out.byte(4);
            out.text(summary);
            out.number(facts.len() as u64);
            for (name, value) in facts {
                out.text(name);
                out.text(value);
            }
        }
    }
}

pub(super) fn outcome(take: &mut Take<'_>) -> Result<Outcome, Malformed> {
    Ok(match take.byte()? {
        0 => {
            let handle = Handle::new(take.text()?);
            let public = PublicKey::from_spki(take.bytes()?).map_err(|_| Malformed)?;
            Outcome::Generated(Generated { handle, public })
        }
        1 => Outcome::Destroyed(Destroyed::Done),
        2 => {
            let at = Timestamp::from_second(take.number()?.cast_signed());
            Outcome::Destroyed(Destroyed::ScheduledFor(at))
        }
        3 => {
            let count = take.number()?;
            let found = |_| Ok(Found { label: label(take)?, handle: Handle::new(take.text()?) });
            Outcome::Found((0..count).map(found).collect::<Result<_, _>>()?)
        }
        4 => {
            let summary = take.text()?.to_owned();
            let count = take.number()?;
            let fact = |_| Ok((take.text()?.to_owned(), take.text()?.to_owned()));
            let facts = (0..count).map(fact).collect::<Result<_, _>>()?;
            Outcome::Probed(Probe { summary, facts })
        }
        _ => return Err(Malformed),
    })
}
