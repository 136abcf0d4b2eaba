//! What some PKCS#11 modules want and `cryptoki` does not do safely.
//!
//! A crate of its own because it holds the `unsafe` blocks of the daemon, which forbids them elsewhere.

use std::ffi::CString;
use std::path::Path;
use std::ptr::{NonNull, null_mut};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11};
use cryptoki::error::{Error, Rv};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki_sys::{CK_FUNCTION_LIST, CK_RV, CK_TOKEN_INFO, CKF_CLOCK_ON_TOKEN};

/// Asks the module to lock for itself, and hands it `text` in the reserved field, if there is one.
///
/// The standard wants the field to be null. NSS softokn takes its configuration there, as a C string
/// (`CK_C_INITIALIZE_ARGS.LibraryParameters` of its own header); other modules refuse anything but null or
/// ignore it. The text is never freed: a module may keep the pointer, and lives as long as the process.
///
/// Returns nothing if `text` holds a zero byte.
#[must_use]
pub fn locking(text: Option<&str>) -> Option<CInitializeArgs> {
    let flags = CInitializeFlags::OS_LOCKING_OK;
    let Some(text) = text else { return Some(CInitializeArgs::new(flags)) };
    let text = NonNull::new(CString::new(text).ok()?.into_raw())?;
    // SAFETY: the pointer is that of a C string which is valid for reads and writes for the rest of the process.
    // What a module does with it is the operator's choice, who names module and text together.
    Some(unsafe { CInitializeArgs::new_with_reserved(flags, text.cast()) })
}

/// What the token in `slot` says of itself; `path` is where `module` was loaded from.
///
/// opencryptoki says that its tokens have a clock, and tells a time that is none; `cryptoki` then gives up the rest,
/// too. Nobody here asks a token what time it is, so it is read again without.
///
/// # Errors
/// As [`Pkcs11::get_token_info`].
pub fn token_info(module: &Pkcs11, path: &Path, slot: Slot) -> Result<TokenInfo, Error> {
    match module.get_token_info(slot) {
        Err(Error::ParseInt(_)) => without_clock(path, slot),
        answer => answer,
    }
}

fn without_clock(path: &Path, slot: Slot) -> Result<TokenInfo, Error> {
    let result = |rv: CK_RV| Rv::from(rv).into_result(Function::GetTokenInfo);
    // SAFETY: the module is loaded already, so this counts its users and runs nothing of it.
    let library = unsafe { cryptoki_sys::Pkcs11::new(path) }.map_err(Error::LibraryLoading)?;
    let mut list: *mut CK_FUNCTION_LIST = null_mut();
    // SAFETY: the module had this symbol when it was loaded, and writes a pointer.
    result(unsafe { library.C_GetFunctionList(&mut list) })?;
    // SAFETY: null or a list that the module keeps for as long as it is loaded.
    let call = unsafe { list.as_ref() }.and_then(|list| list.C_GetTokenInfo).ok_or(Error::NullFunctionPointer)?;
    let mut info = CK_TOKEN_INFO::default();
    // SAFETY: the module is initialised, and writes one structure of this type.
    result(unsafe { call(slot.into(), &mut info) })?;
    info.flags &= !CKF_CLOCK_ON_TOKEN;
    TokenInfo::try_from(info)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_must_be_a_c_string() {
        assert!(super::locking(None).is_some());
        assert!(super::locking(Some("configdir='sql:/tmp'")).is_some());
        assert!(super::locking(Some("a\0b")).is_none());
    }
}
