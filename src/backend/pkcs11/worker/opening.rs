//! What a worker is told when it starts.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::settings::{Pin, Settings};
use super::super::wire::Order;
use crate::ids::Handle;
use crate::jose::alg::{Algorithm, KeySpec, RsaBits};

/// What the worker is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Signing, until it is lost.
    Sign,
    /// One piece of admin work.
    Admin,
}

/// Everything that a worker knows.
#[derive(Debug, Clone)]
pub struct Opening {
    /// What it is for.
    pub role: Role,
    /// Module and token.
    pub settings: Settings,
    /// The PIN, which went through no argument and no environment variable.
    pub pin: Pin,
    /// The directory of the lock files and of the latch.
    pub gate: PathBuf,
    /// A call that lasts longer never returns.
    pub hang_limit: Duration,
    /// Keys to be proven before it says that it is ready.
    pub keys: Vec<(Handle, KeySpec)>,
}

/// All of it but the PIN.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    role: Role,
    settings: Settings,
    gate: PathBuf,
    hang_limit: Duration,
    keys: Vec<Key>,
    /// The version of the source of the PIN.
    pin_source: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    handle: String,
    algorithm: String,
    rsa_bits: Option<usize>,
}

impl Opening {
    /// The frame of the order.
    pub fn frame(&self) -> Zeroizing<Vec<u8>> {
        let Self { role, settings, pin, gate, hang_limit, keys } = self;
        let key = |(handle, spec): &(Handle, KeySpec)| Key {
            handle: handle.to_string(),
            algorithm: spec.algorithm().name().to_owned(),
            rsa_bits: spec.rsa_bits().map(RsaBits::bits),
        };
        let open = Open {
            role: *role,
            settings: settings.clone(),
            gate: gate.clone(),
            hang_limit: *hang_limit,
            keys: keys.iter().map(key).collect(),
            pin_source: pin.source().to_owned(),
        };
        let json = serde_json::to_vec(&open).expect("invariant: plain texts and numbers can be written as JSON");
        let len = u32::try_from(json.len()).expect("invariant: at most some hundred keys of some hundred bytes each");
        let mut body = Zeroizing::new(Vec::with_capacity(4 + json.len() + pin.expose().len()));
        body.extend_from_slice(&len.to_le_bytes());
        body.extend_from_slice(&json);
        body.extend_from_slice(pin.expose().as_bytes());
        Zeroizing::new(Order::open(&body))
    }

    /// Reads the body of the order; nothing if it is none.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let (len, rest) = body.split_first_chunk::<4>()?;
        let (json, pin) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        let Open { role, settings, gate, hang_limit, keys, pin_source } = serde_json::from_slice(json).ok()?;
        let key = |Key { handle, algorithm, rsa_bits }: Key| {
            let bits = match rsa_bits {
                Some(bits) => Some(RsaBits::from_bits(bits)?),
                None => None,
            };
            let alg: Algorithm = algorithm.parse().ok()?;
            Some((Handle::new(&handle), KeySpec::new(alg, bits).ok()?))
        };
        let keys = keys.into_iter().map(key).collect::<Option<_>>()?;
        Some(Self { role, settings, pin: Pin::new(pin, &pin_source)?, gate, hang_limit, keys })
    }
}
