//! Making, destroying and listing keys. Callers hold [`Gate::admin`](crate::backend::pkcs11::Gate::admin).

use cryptoki::error::{Error as P11Error, RvError};
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::Session;

use super::locator::{KeyId, Locator};
use super::search::{Object, by_id, objects, sees_private};
use super::session::proves;
use super::{Token, attributes, public, template};
use crate::backend::pkcs11::fault::{Fault, describe};
use crate::backend::{Destroyed, Found, Generated};
use crate::ids::{Handle, Label};
use crate::jose::alg::KeySpec;
use crate::jose::jwk::PublicKey;

impl Token {
    /// Makes the key that `label` names, or finds it; clears what a crash left of it.
    ///
    /// C_GenerateKeyPair is not atomic: a crash, or an error, may leave either half, and on some tokens halves
    /// without names. So the label is searched for before and after, and nothing is believed but a pair that
    /// carries the label, has the attributes that keys must have, and signs a probe. It is the caller's promise that
    /// a label whose key was ever published is not asked for again.
    ///
    /// # Errors
    /// [`Fault::Caller`] with `Mismatch` if the label names another kind of key or one with weaker attributes,
    /// with `Refused` if the token can't or won't make it.
    pub fn generate(&self, label: &Label, spec: KeySpec) -> Result<Generated, Fault> {
        if label.installation != self.installation {
            return Err(Fault::refused(format!("{label} is a label of another installation")));
        }
        let mechanism = self.mechanisms.generation(spec)?;
        self.mechanisms.signing(spec)?;
        let session = self.raw_session()?;
        let id = KeyId::of(label, spec);
        let remains = remains(&session, label, id)?;
        if let Some(there) = self.complete(&session, &remains, spec)? {
            return Ok(there.generated(id));
        }
        clear(&session, &remains)?;
        let (public, private) = (template::public(id, label, spec), template::private(id, label));
        let made = session.generate_key_pair(&mechanism, &public, &private);
        let remains = self::remains(&session, label, id)?;
        if let Err(error) = made {
            clear(&session, &remains)?;
            return Err(not_made(spec, error));
        }
        match self.complete(&session, &remains, spec) {
            Ok(Some(pair)) => Ok(pair.generated(id)),
            Ok(None) => Err(Fault::Broken(format!("{label} was made but can't be found or does not sign"))),
            // It was made a moment ago and nobody knows it: better gone than a key that could leave the token.
            Err(fault @ Fault::Caller(_)) => clear(&session, &remains).and(Err(fault)),
            Err(fault) => Err(fault),
        }
    }

    /// Destroys the key that `handle` names, both halves; [`Destroyed::Done`] if it is gone already.
    ///
    /// # Errors
    /// [`Fault::Caller`] with `Refused` for a handle that is none of ours, or a key that does not carry a label of
    /// this installation; with `Mismatch` if another key has taken the place of the one that was meant.
    pub fn destroy(&self, handle: &Handle) -> Result<Destroyed, Fault> {
        let locator = Locator::parse(handle)
            .ok_or_else(|| Fault::refused(format!("{handle:?} is not a handle of a PKCS#11 key of ours")))?;
        let session = self.raw_session()?;
        let there = objects(&session, &[Attribute::Id(locator.id.bytes())])?;
        if there.is_empty() && !sees_private(&session)? {
            return Err(Fault::Broken("the session has lost its login".to_owned()));
        }
        for object in &there {
            self.check_ours(object)?;
            if let Some(expected) = &locator.thumbprint
                && let Some(found) = public::read(&session, object.handle)?.map(|key| key.thumbprint())
                && found != *expected
            {
                return Err(Fault::mismatch(format!("{handle} is another key now, with thumbprint {found}")));
            }
        }
        clear(&session, &there)?;
        for class in super::search::HALVES {
            if !by_id(&session, class, locator.id)?.is_empty() {
                return Err(Fault::Broken(format!("{handle} was destroyed but is still there")));
            }
        }
        Ok(Destroyed::Done)
    }

    /// The private keys that carry a label of this installation.
    ///
    /// # Errors
    /// [`Fault::Broken`] if the token can't be read.
    pub fn list(&self) -> Result<Vec<Found>, Fault> {
        let session = self.raw_session()?;
        let there = objects(&session, &[])?;
        if !sees_private(&session)? {
            return Err(Fault::Broken("the session has lost its login".to_owned()));
        }
        let mut found = Vec::new();
        for private in there.iter().filter(|object| object.is_private()) {
            let Some(label) = self.label_of(private) else { continue };
            let Some(id) = KeyId::from_bytes(&private.id) else { continue };
            let public = there.iter().find(|object| !object.is_private() && object.id == private.id);
            let source = public.unwrap_or(private).handle;
            let thumbprint = public::read(&session, source)?.map(|key| key.thumbprint());
            found.push(Found { label, handle: Locator { id, thumbprint }.handle() });
        }
        Ok(found)
    }

    /// The label of an object, if it is one of this installation.
    fn label_of(&self, object: &Object) -> Option<Label> {
        object.label.parse::<Label>().ok().filter(|label| label.installation == self.installation)
    }

    fn check_ours(&self, object: &Object) -> Result<(), Fault> {
        match self.label_of(object) {
            Some(_) => Ok(()),
            None => Err(Fault::refused(format!("the object labelled {:?} is not ours to destroy", object.label))),
        }
    }

    /// The one complete pair among `remains`, if there is one.
    fn complete(&self, session: &Session, remains: &[Object], spec: KeySpec) -> Result<Option<Pair>, Fault> {
        let signing = self.mechanisms.signing(spec)?;
        let (private, public): (Vec<&Object>, Vec<&Object>) = remains.iter().partition(|object| object.is_private());
        let mut pairs = Vec::new();
        for public in public {
            let Some(key) = public::read(session, public.handle)? else { continue };
            for private in &private {
                if !key.matches(spec) {
                    return Err(Fault::mismatch(format!("{} names {key:?}, not a key for {spec}", private.label)));
                }
                attributes::check(session, private.handle)?;
                if proves(session, private.handle, signing, spec, &key)? {
                    pairs.push(Pair { key: key.clone() });
                }
            }
        }
        match pairs.len() {
            0 | 1 if pairs.len() * 2 == remains.len() => Ok(pairs.pop()),
            0 => Ok(None),
            1 => Err(Fault::mismatch("the label names a complete key and further objects; look with `jwksd strays`")),
            count => Err(Fault::mismatch(format!("the label names {count} complete keys; look with `jwksd strays`"))),
        }
    }
}

/// Both halves of a key, of which nobody needs more than this.
struct Pair {
    key: PublicKey,
}

impl Pair {
    fn generated(self, id: KeyId) -> Generated {
        let thumbprint = Some(self.key.thumbprint());
        Generated { handle: Locator { id, thumbprint }.handle(), public: self.key }
    }
}

/// What is there of a key: the objects that carry its label, and those that carry its CKA_ID and no label.
fn remains(session: &Session, label: &Label, id: KeyId) -> Result<Vec<Object>, Fault> {
    let text = label.to_string();
    let mut found = objects(session, &[Attribute::Label(text.clone().into_bytes())])?;
    for object in objects(session, &[Attribute::Id(id.bytes())])? {
        if !found.iter().any(|other| other.handle == object.handle) {
            found.push(object);
        }
    }
    for object in &found {
        if object.label != text && !object.label.is_empty() {
            let other = &object.label;
            return Err(Fault::refused(format!("the CKA_ID of {label} belongs to an object labelled {other:?}")));
        }
        if object.id != id.bytes() && !object.id.is_empty() {
            return Err(Fault::mismatch(format!("{label} names a key that was made for something else")));
        }
    }
    Ok(found)
}

/// Destroys objects, private halves first: what is left of a crash in between can't sign.
fn clear(session: &Session, objects: &[Object]) -> Result<(), Fault> {
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        for object in objects.iter().filter(|object| object.class == class) {
            match session.destroy_object(object.handle) {
                // Whether it is gone is what the search afterwards says.
                Ok(()) | Err(P11Error::Pkcs11(RvError::ObjectHandleInvalid, _)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// The few codes of C_GenerateKeyPair that say what to do; any other means that nobody knows what happened.
fn not_made(spec: KeySpec, error: P11Error) -> Fault {
    let P11Error::Pkcs11(code, _) = &error else { return error.into() };
    let why = match code {
        RvError::DeviceMemory => "the token has no room left; destroy what is not needed, or enlarge it",
        RvError::MechanismInvalid
        | RvError::MechanismParamInvalid
        | RvError::CurveNotSupported
        | RvError::DomainParamsInvalid
        | RvError::KeySizeRange => "the token has no such keys",
        RvError::AttributeTypeInvalid
        | RvError::AttributeValueInvalid
        | RvError::TemplateInconsistent
        | RvError::TemplateIncomplete => "the token makes no keys with the attributes that we ask for",
        RvError::TokenWriteProtected | RvError::SessionReadOnly => "the token is write-protected",
        _ => return error.into(),
    };
    Fault::refused(format!("no key for {spec}: {why} ({})", describe(&error)))
}
