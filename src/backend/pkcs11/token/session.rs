//! Signing: one session, one thread, and the keys that it has proven.

use std::collections::HashMap;
use std::sync::Arc;

use cryptoki::error::Error as P11Error;
use cryptoki::object::{ObjectClass, ObjectHandle};

use super::locator::{KeyId, Locator};
use super::mechanism::{Mechanisms, Question, Signing};
use super::search::{by_id, named, sees_private};
use super::{attributes, public};
use crate::backend::pkcs11::fault::{Fault, describe};
use crate::backend::{Input, Signature};
use crate::ids::{Handle, InstallationId, Label};
use crate::jose::alg::KeySpec;
use crate::jose::jwk::{Jwk, PublicKey};
use crate::jose::verify::Verifier;

/// A logged-in session of one thread.
#[derive(Debug)]
pub struct Session {
    inner: cryptoki::session::Session,
    mechanisms: Arc<Mechanisms>,
    installation: InstallationId,
    /// Object handles may be a session's own (CloudHSM), so each session finds and proves its keys itself.
    keys: HashMap<Handle, Proven>,
}

/// A key that this session has found to be the published one.
#[derive(Debug, Clone, Copy)]
struct Proven {
    object: ObjectHandle,
    spec: KeySpec,
    signing: Signing,
}

impl Session {
    pub(super) fn new(
        inner: cryptoki::session::Session,
        mechanisms: Arc<Mechanisms>,
        installation: InstallationId,
    ) -> Self {
        Self { inner, mechanisms, installation, keys: HashMap::new() }
    }

    /// Signs `input` with the key that `handle` names; the signature is in JWS form.
    ///
    /// Before its first signature the key is proven, as by [`Self::prove`].
    ///
    /// # Errors
    /// [`Fault::Caller`] if there is no such key, or it is not for `spec`; [`Fault::Broken`] for all else.
    pub fn sign(&mut self, handle: &Handle, spec: KeySpec, input: Input<'_>) -> Result<Signature, Fault> {
        let key = self.proven(handle, spec)?;
        let question = key.signing.question(input)?;
        let made = raw_sign(&self.inner, key.object, &question, spec);
        made.map_err(|error| {
            self.keys.remove(handle);
            self.is_gone(handle).unwrap_or_else(|| error.fault())
        })
    }

    /// Finds the key, reads its attributes and public half, compares that with the thumbprint in the handle, and
    /// lets it sign a probe that is verified in software. Once per session and key.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub fn prove(&mut self, handle: &Handle, spec: KeySpec) -> Result<(), Fault> {
        self.proven(handle, spec).map(|_| ())
    }

    fn proven(&mut self, handle: &Handle, spec: KeySpec) -> Result<Proven, Fault> {
        if let Some(key) = self.keys.get(handle) {
            return if key.spec == spec { Ok(*key) } else { Err(made_for_another(handle, spec)) };
        }
        let key = self.load(handle, spec)?;
        if self.keys.len() >= KEYS_MAX {
            self.keys.clear();
        }
        self.keys.insert(handle.clone(), key);
        Ok(key)
    }

    fn load(&self, handle: &Handle, spec: KeySpec) -> Result<Proven, Fault> {
        let locator = Locator::parse(handle).ok_or_else(|| not_found(handle))?;
        let thumbprint = locator.thumbprint.ok_or_else(|| not_found(handle))?;
        let session = &self.inner;
        let object = match *by_id(session, ObjectClass::PRIVATE_KEY, locator.id)? {
            [] if sees_private(session)? => return Err(not_found(handle)),
            [] => return Err(Fault::Broken("the session has lost its login".to_owned())),
            [object] => object,
            _ => return Err(Fault::mismatch(format!("{handle} names more than one private key"))),
        };
        let label = named(session, ObjectClass::PRIVATE_KEY, object)?.label.parse::<Label>();
        let label = label.ok().filter(|label| label.installation == self.installation);
        let label = label.ok_or_else(|| Fault::mismatch(format!("{handle} does not carry a label of ours")))?;
        if KeyId::of(&label, spec) != locator.id {
            return Err(made_for_another(handle, spec));
        }
        attributes::check(session, object)?;
        let key = public_half(session, object, locator.id)?;
        let key = key.ok_or_else(|| Fault::mismatch(format!("{handle} has lost its public half")))?;
        if key.thumbprint() != thumbprint {
            let found = key.thumbprint();
            return Err(Fault::mismatch(format!("{handle} is another key now, with thumbprint {found}")));
        }
        let signing = self.mechanisms.signing(spec)?;
        if !proves(session, object, signing, spec, &key)? {
            return Err(Fault::Broken(format!("{handle} signs, but not as the key that its public half is")));
        }
        Ok(Proven { object, spec, signing })
    }

    /// Whether the key that could not sign is definitely not there any more.
    ///
    /// No return code says so reliably. Both halves must be gone, seen by a session that is logged in: half a key
    /// may mean that this process sees half of the token.
    fn is_gone(&self, handle: &Handle) -> Option<Fault> {
        let id = Locator::parse(handle)?.id;
        let none = |class| by_id(&self.inner, class, id).is_ok_and(|found| found.is_empty());
        let gone = none(ObjectClass::PRIVATE_KEY)
            && none(ObjectClass::PUBLIC_KEY)
            && sees_private(&self.inner).is_ok_and(|logged_in| logged_in);
        gone.then(|| not_found(handle))
    }
}

/// Why a signature was not made, before anybody knows what that means.
#[derive(Debug)]
pub(super) enum Unsigned {
    /// The token said so.
    Code(P11Error),
    /// It is not of the length that it must have.
    Len(usize),
}

impl Unsigned {
    pub(super) fn fault(&self) -> Fault {
        Fault::Broken(match self {
            Self::Code(error) => describe(error),
            Self::Len(len) => format!("C_Sign: a signature of {len} bytes"),
        })
    }
}

pub(super) fn raw_sign(
    session: &cryptoki::session::Session,
    object: ObjectHandle,
    question: &Question<'_>,
    spec: KeySpec,
) -> Result<Signature, Unsigned> {
    let bytes = session.sign(&question.mechanism, object, &question.data).map_err(Unsigned::Code)?;
    if bytes.len() == spec.signature_len() { Ok(Signature(bytes)) } else { Err(Unsigned::Len(bytes.len())) }
}

/// Whether the private key signs what the public key verifies.
pub(super) fn proves(
    session: &cryptoki::session::Session,
    object: ObjectHandle,
    signing: Signing,
    spec: KeySpec,
    key: &PublicKey,
) -> Result<bool, Fault> {
    let Ok(jwk) = Jwk::with_thumbprint(spec.algorithm(), key.clone()) else { return Ok(false) };
    let question = signing.question(Input::Message(PROBE))?;
    let signature = raw_sign(session, object, &question, spec).map_err(|error| error.fault())?;
    Ok(Verifier::new(&jwk).verify(PROBE, &signature.0).is_ok())
}

/// From the object that holds it, or else from the private key, in which some tokens keep it too.
fn public_half(
    session: &cryptoki::session::Session,
    private: ObjectHandle,
    id: KeyId,
) -> Result<Option<PublicKey>, Fault> {
    match *by_id(session, ObjectClass::PUBLIC_KEY, id)? {
        [public] => public::read(session, public),
        [] => public::read(session, private),
        _ => Err(Fault::mismatch(format!("{id} names more than one public key"))),
    }
}

fn not_found(handle: &Handle) -> Fault {
    Fault::not_found(handle.to_string())
}

fn made_for_another(handle: &Handle, spec: KeySpec) -> Fault {
    Fault::mismatch(format!("{handle} was not made for {spec}"))
}

/// No JWS signing input looks like this: a signature of it is no token.
const PROBE: &[u8] = b"jwksd asks this key to prove itself";

/// Keys that a session remembers; more than any installation signs with at a time.
const KEYS_MAX: usize = 1024;
