//! What a failed call means for the asker, and for the process that made it.

use cryptoki::error::{Error as P11Error, RvError};
use thiserror::Error;

use crate::backend::BackendError;

/// Why a token did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// A definite answer, or clearly the asker's fault: not found, mismatch, refused. The process goes on.
    #[error(transparent)]
    Caller(BackendError),
    /// Anything else. Return codes do not identify events, so this process must not go on using the module.
    #[error("{0}")]
    Broken(String),
    /// The PIN was refused, or it is not safe to try it: nobody may try again until an operator has acted.
    #[error("{0}")]
    Pin(String),
}

impl Fault {
    /// Somebody must act: the token understood and said no, or can't do it at all.
    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self::Caller(BackendError::Refused(text.into()))
    }

    /// The key is there but is not what was asked for.
    pub(super) fn mismatch(text: impl Into<String>) -> Self {
        Self::Caller(BackendError::Mismatch(text.into()))
    }

    /// The token was asked, answered, and has no such key.
    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self::Caller(BackendError::NotFound(text.into()))
    }
}

impl From<P11Error> for Fault {
    /// The cautious reading; who knows better says so.
    fn from(error: P11Error) -> Self {
        Self::Broken(describe(&error))
    }
}

impl From<Fault> for BackendError {
    /// For who asks from outside: a broken module may be whole again after a while.
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Caller(error) => error,
            Fault::Broken(text) => Self::Unavailable(text),
            Fault::Pin(text) => Self::Refused(text),
        }
    }
}

/// Function and return code as the standard spells them, since that is what manuals and forums know.
pub(super) fn describe(error: &P11Error) -> String {
    match error {
        P11Error::Pkcs11(code, function) => format!("C_{function:?}: {}", code_name(code)),
        P11Error::LibraryLoading(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// `CKR_DEVICE_ERROR` for `DeviceError`.
fn code_name(code: &RvError) -> String {
    match code {
        RvError::VendorDefined(number) => format!("CKR_VENDOR_DEFINED 0x{number:08x}"),
        RvError::UnknownErrorCode(number) => format!("unknown return code 0x{number:08x}"),
        code => {
            let mut name = "CKR".to_owned();
            for c in format!("{code:?}").chars() {
                if c.is_ascii_uppercase() {
                    name.push('_');
                }
                name.push(c.to_ascii_uppercase());
            }
            name
        }
    }
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[test]
    fn codes_are_spelt_as_in_the_standard() {
        let text = |code| describe(&P11Error::Pkcs11(code, Function::SignInit));
        assert_eq!(text(RvError::DeviceError), "C_SignInit: CKR_DEVICE_ERROR");
        assert_eq!(text(RvError::KeyHandleInvalid), "C_SignInit: CKR_KEY_HANDLE_INVALID");
        assert_eq!(text(RvError::VendorDefined(0x8000_0001)), "C_SignInit: CKR_VENDOR_DEFINED 0x80000001");
    }

    #[test]
    fn an_unknown_code_is_never_taken_for_an_answer() {
        let fault = Fault::from(P11Error::Pkcs11(RvError::ObjectHandleInvalid, Function::Sign));
        assert!(matches!(fault, Fault::Broken(_)));
        assert!(matches!(BackendError::from(fault), BackendError::Unavailable(_)));
    }
}
