//! The functions of the module.

#![allow(non_snake_case, reason = "the names are those of the standard")]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_void};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use cryptoki_sys::*;

use crate::control::{Act, Control, Function};

struct State {
    real: CK_FUNCTION_LIST,
    control: Control,
}

// SAFETY: function pointers of a module that locks for itself, and atomics.
unsafe impl Send for State {}
// SAFETY: as above.
unsafe impl Sync for State {}

static STATE: OnceLock<State> = OnceLock::new();

/// The codes of the standard, but for CKR_OK, and one of a vendor.
pub static CODES: [CK_RV; 60] = [
    0x01,
    0x02,
    0x03,
    0x05,
    0x06,
    0x07,
    0x08,
    0x09,
    0x0a,
    0x10,
    0x11,
    0x12,
    0x13,
    0x1b,
    0x20,
    0x21,
    0x30,
    0x31,
    0x32,
    0x50,
    0x51,
    0x54,
    0x60,
    0x62,
    0x63,
    0x68,
    0x6a,
    0x70,
    0x71,
    0x82,
    0x90,
    0x91,
    0xa0,
    0xa4,
    0xb0,
    0xb1,
    0xb3,
    0xb4,
    0xb5,
    0xb6,
    0xc0,
    0xc1,
    0xd0,
    0xd1,
    0xe0,
    0xe1,
    0xe2,
    0x100,
    0x101,
    0x103,
    0x121,
    0x140,
    0x150,
    0x170,
    0x190,
    0x191,
    0x1a0,
    0x1a1,
    0x200,
    0x8000_0001,
];

fn kill(pid: libc::pid_t) {
    // SAFETY: sends a signal, touches no memory.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Does what is to be done before or after the call; returns what it returns instead, if anything.
fn call(function: Function, real: impl FnOnce(&CK_FUNCTION_LIST) -> CK_RV) -> CK_RV {
    let Some(State { real: list, control }) = STATE.get() else { return CKR_CRYPTOKI_NOT_INITIALIZED };
    let parent = std::os::unix::process::parent_id() as libc::pid_t;
    match control.called(function) {
        None => {}
        Some(Act::Return(rv)) => return rv as CK_RV,
        Some(Act::ReturnAny) => return CODES[(control.chance() % CODES.len() as u64) as usize],
        Some(Act::DoAndReturn(rv)) => {
            real(list);
            return rv as CK_RV;
        }
        Some(Act::Hang) => {
            while control.is_hanging() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Some(Act::Delay(micros)) => std::thread::sleep(Duration::from_micros(micros)),
        // SAFETY: not at all; this is what a bad module does.
        Some(Act::Crash) => unsafe { std::ptr::write_volatile(std::ptr::without_provenance_mut::<u8>(8), 1) },
        Some(Act::CloseSessions) => close_sessions(list),
        Some(Act::KillParent) => kill(parent),
        Some(Act::KillBoth) => {
            kill(parent);
            kill(std::process::id() as libc::pid_t);
        }
    }
    real(list)
}

fn close_sessions(list: &CK_FUNCTION_LIST) {
    let mut slots = [0; 16];
    let mut count = slots.len() as CK_ULONG;
    let (Some(find), Some(close)) = (list.C_GetSlotList, list.C_CloseAllSessions) else { return };
    // SAFETY: the module writes at most `count` slots.
    if unsafe { find(CK_TRUE, slots.as_mut_ptr(), &mut count) } == CKR_OK {
        for slot in &slots[..count as usize] {
            // SAFETY: no memory is passed.
            unsafe { close(*slot) };
        }
    }
}

/// # Safety
/// As the standard has it: `list` is valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    // SAFETY: by contract of the caller. It reads the list only.
    unsafe { *list = (&raw const LIST.0).cast_mut() };
    CKR_OK
}

unsafe extern "C" fn initialize(args: *mut c_void) -> CK_RV {
    // SAFETY: the standard says what it points to.
    let Some(args) = (unsafe { args.cast::<CK_C_INITIALIZE_ARGS>().as_mut() }) else { return CKR_ARGUMENTS_BAD };
    if args.pReserved.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    // SAFETY: a C string, by the contract of this module.
    let text = unsafe { CStr::from_ptr(args.pReserved.cast::<c_char>()) }.to_string_lossy().into_owned();
    let mut values: HashMap<&str, &str> = text.split(';').filter_map(|pair| pair.split_once('=')).collect();
    let (Some(real), Some(control)) = (values.remove("real"), values.remove("control")) else {
        return CKR_ARGUMENTS_BAD;
    };
    // SAFETY: this process is a worker in a test, which reads no variable at this moment.
    values.into_iter().for_each(|(name, value)| unsafe { std::env::set_var(name, value) });
    let Ok(control) = Control::open(Path::new(control)) else { return CKR_GENERAL_ERROR };
    // SAFETY: a module is trusted with the process that loads it.
    let Ok(module) = (unsafe { Pkcs11::new(real) }) else { return CKR_GENERAL_ERROR };
    let mut list = std::ptr::null_mut();
    // SAFETY: as the standard has it.
    if unsafe { module.C_GetFunctionList(&mut list) } != CKR_OK {
        return CKR_GENERAL_ERROR;
    }
    std::mem::forget(module);
    // SAFETY: a list that lives as long as its module, which is never unloaded.
    STATE.get_or_init(|| State { real: unsafe { *list }, control });
    args.pReserved = std::ptr::null_mut();
    let args: *mut CK_C_INITIALIZE_ARGS = args;
    call(Function::Initialize, |real| match real.C_Initialize {
        // SAFETY: the arguments of our own caller, which are valid.
        Some(initialize) => unsafe { initialize(args.cast()) },
        None => CKR_FUNCTION_NOT_SUPPORTED,
    })
}

macro_rules! passed_on {
    ($($name:ident = $real:ident ( $($arg:ident : $type:ty),* );)*) => {
        $(
            unsafe extern "C" fn $real($($arg: $type),*) -> CK_RV {
                call(Function::$name, |real| match real.$real {
                    // SAFETY: the arguments of our own caller.
                    Some(function) => unsafe { function($($arg),*) },
                    None => CKR_FUNCTION_NOT_SUPPORTED,
                })
            }
        )*

        struct List(CK_FUNCTION_LIST);
        // SAFETY: function pointers.
        unsafe impl Sync for List {}
        static LIST: List = List({
            // SAFETY: all zero is a list of absent functions.
            let mut list: CK_FUNCTION_LIST = unsafe { std::mem::zeroed() };
            list.version = CK_VERSION { major: 2, minor: 40 };
            list.C_GetFunctionList = Some(C_GetFunctionList);
            list.C_Initialize = Some(initialize);
            $(list.$real = Some($real);)*
            list
        });
    };
}

passed_on! {
    GetInfo = C_GetInfo(info: *mut CK_INFO);
    GetSlotList = C_GetSlotList(present: CK_BBOOL, slots: *mut CK_SLOT_ID, count: *mut CK_ULONG);
    GetTokenInfo = C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO);
    GetMechanismList = C_GetMechanismList(slot: CK_SLOT_ID, list: *mut CK_MECHANISM_TYPE, count: *mut CK_ULONG);
    GetMechanismInfo = C_GetMechanismInfo(slot: CK_SLOT_ID, of: CK_MECHANISM_TYPE, info: *mut CK_MECHANISM_INFO);
    OpenSession = C_OpenSession(
        slot: CK_SLOT_ID, flags: CK_FLAGS, app: *mut c_void, notify: CK_NOTIFY, session: *mut CK_SESSION_HANDLE
    );
    CloseSession = C_CloseSession(session: CK_SESSION_HANDLE);
    GetSessionInfo = C_GetSessionInfo(session: CK_SESSION_HANDLE, info: *mut CK_SESSION_INFO);
    Login = C_Login(session: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: *mut CK_UTF8CHAR, len: CK_ULONG);
    FindObjectsInit = C_FindObjectsInit(session: CK_SESSION_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG);
    FindObjects = C_FindObjects(
        session: CK_SESSION_HANDLE, objects: *mut CK_OBJECT_HANDLE, max: CK_ULONG, count: *mut CK_ULONG
    );
    FindObjectsFinal = C_FindObjectsFinal(session: CK_SESSION_HANDLE);
    GetAttributeValue = C_GetAttributeValue(
        session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG
    );
    SetAttributeValue = C_SetAttributeValue(
        session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG
    );
    GenerateKeyPair = C_GenerateKeyPair(
        session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, public: *mut CK_ATTRIBUTE, public_count: CK_ULONG,
        private: *mut CK_ATTRIBUTE, private_count: CK_ULONG, public_key: *mut CK_OBJECT_HANDLE,
        private_key: *mut CK_OBJECT_HANDLE
    );
    DestroyObject = C_DestroyObject(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE);
    SignInit = C_SignInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE);
    Sign = C_Sign(
        session: CK_SESSION_HANDLE, data: *mut CK_BYTE, len: CK_ULONG, signature: *mut CK_BYTE, size: *mut CK_ULONG
    );
}
