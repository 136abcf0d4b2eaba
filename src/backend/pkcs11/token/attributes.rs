//! What keys are, read back: a key that could leave the token, or do more than sign, is refused.

use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::Session;

use crate::backend::pkcs11::fault::Fault;

/// Refuses a private key that is not what keys are asked to be.
///
/// Read again at each load and not only after the making: some tokens let them be changed (tpm2-pkcs11 accepts
/// CKA_EXTRACTABLE on a finished key). CKA_LOCAL is not asked for: NSS denies it of keys that it made itself, and
/// a key that was brought from outside is neither always sensitive nor never extractable.
pub(super) fn check(session: &Session, key: ObjectHandle) -> Result<(), Fault> {
    // Attributes that a token does not know, or will not show, are left out of the answer.
    let asked: Vec<AttributeType> = REQUIRED.iter().chain(&FORBIDDEN).map(|(attribute, _)| *attribute).collect();
    let found = session.get_attributes(key, &asked)?;
    let value = |wanted: AttributeType| found.iter().find(|found| found.attribute_type() == wanted).and_then(truth);
    for (attribute, expected) in REQUIRED {
        match value(attribute) {
            Some(value) if value == expected => {}
            Some(value) => return Err(differs(attribute, value)),
            None => return Err(Fault::mismatch(format!("the token does not say {attribute} of the key"))),
        }
    }
    for (attribute, allowed) in FORBIDDEN {
        if let Some(value) = value(attribute).filter(|value| *value != allowed) {
            return Err(differs(attribute, value));
        }
    }
    Ok(())
}

fn differs(attribute: AttributeType, value: bool) -> Fault {
    Fault::mismatch(format!(
        "the key has {attribute} {}, so it is not one that we may use",
        if value { "true" } else { "false" }
    ))
}

fn truth(attribute: &Attribute) -> Option<bool> {
    match attribute {
        Attribute::Token(value)
        | Attribute::Private(value)
        | Attribute::Sensitive(value)
        | Attribute::AlwaysSensitive(value)
        | Attribute::Extractable(value)
        | Attribute::NeverExtractable(value)
        | Attribute::Sign(value)
        | Attribute::Decrypt(value)
        | Attribute::Unwrap(value)
        | Attribute::Derive(value)
        | Attribute::AlwaysAuthenticate(value) => Some(*value),
        _ => None,
    }
}

/// Must be there, and so.
const REQUIRED: [(AttributeType, bool); 7] = [
    (AttributeType::Token, true),
    (AttributeType::Private, true),
    (AttributeType::Sensitive, true),
    (AttributeType::AlwaysSensitive, true),
    (AttributeType::Extractable, false),
    (AttributeType::NeverExtractable, true),
    (AttributeType::Sign, true),
];

/// May be absent, which means the same. The last one would want a PIN for every signature.
const FORBIDDEN: [(AttributeType, bool); 4] = [
    (AttributeType::Decrypt, false),
    (AttributeType::Unwrap, false),
    (AttributeType::Derive, false),
    (AttributeType::AlwaysAuthenticate, false),
];
