//! Finding objects, each once, and what they are called.

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, SessionState};

use super::locator::KeyId;
use crate::backend::pkcs11::fault::Fault;

/// The two halves that a pair of keys consists of.
pub(super) const HALVES: [ObjectClass; 2] = [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY];

/// A key object and its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) handle: ObjectHandle,
    pub(super) class: ObjectClass,
    /// Its CKA_ID, as it is there; halves of a crashed generation may have none.
    pub(super) id: Vec<u8>,
    /// Its CKA_LABEL, if that is text.
    pub(super) label: String,
}

impl Object {
    pub(super) fn is_private(&self) -> bool {
        self.class == ObjectClass::PRIVATE_KEY
    }
}

/// The objects that match, each once: SoftHSM shows one twice while another process writes.
pub(super) fn find(session: &Session, template: &[Attribute]) -> Result<Vec<ObjectHandle>, Fault> {
    let mut found: Vec<ObjectHandle> = Vec::new();
    for handle in session.find_objects(template)? {
        if !found.contains(&handle) {
            found.push(handle);
        }
    }
    Ok(found)
}

/// The halves with that CKA_ID. No key type is searched for, so that a key of a wrong type is found too.
pub(super) fn by_id(session: &Session, class: ObjectClass, id: KeyId) -> Result<Vec<ObjectHandle>, Fault> {
    find(session, &[Attribute::Class(class), Attribute::Id(id.bytes())])
}

/// Every key object of the token that `wanted` accepts, with its names.
pub(super) fn objects(session: &Session, template: &[Attribute]) -> Result<Vec<Object>, Fault> {
    let mut objects = Vec::new();
    for class in HALVES {
        let template = [&[Attribute::Class(class)], template].concat();
        for handle in find(session, &template)? {
            objects.push(named(session, class, handle)?);
        }
    }
    Ok(objects)
}

pub(super) fn named(session: &Session, class: ObjectClass, handle: ObjectHandle) -> Result<Object, Fault> {
    let mut object = Object { handle, class, id: Vec::new(), label: String::new() };
    for attribute in session.get_attributes(handle, &[AttributeType::Id, AttributeType::Label])? {
        match attribute {
            Attribute::Id(id) => object.id = id,
            Attribute::Label(label) => object.label = String::from_utf8(label).unwrap_or_default(),
            _ => {}
        }
    }
    Ok(object)
}

/// Whether the session may see private objects: only then does an empty search say anything.
pub(super) fn sees_private(session: &Session) -> Result<bool, Fault> {
    let state = session.get_session_info()?.session_state();
    Ok(matches!(state, SessionState::RoUser | SessionState::RwUser))
}
