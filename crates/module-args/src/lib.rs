//! The arguments of C_Initialize, with the text that some PKCS#11 modules want beyond the standard.
//!
//! A crate of its own because it holds the one `unsafe` block of the daemon, which forbids it elsewhere.

use std::ffi::CString;
use std::ptr::NonNull;

use cryptoki::context::{CInitializeArgs, CInitializeFlags};

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

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_must_be_a_c_string() {
        assert!(super::locking(None).is_some());
        assert!(super::locking(Some("configdir='sql:/tmp'")).is_some());
        assert!(super::locking(Some("a\0b")).is_none());
    }
}
