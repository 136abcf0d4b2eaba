//! From the path of a module to a token that is logged in.

use std::sync::{Arc, Mutex};

use cryptoki::context::{Function, Pkcs11};
use cryptoki::error::{Error as P11Error, RvError};
use cryptoki::session::UserType;
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;

use super::{Facts, Mechanisms, Token};
use crate::backend::pkcs11::fault::{Fault, describe};
use crate::backend::pkcs11::settings::{Pin, Settings, TokenChoice};

impl Token {
    /// Loads and initialises the module, finds the token and logs in, with exactly one C_Login.
    ///
    /// Called by [`Gate::open`](crate::backend::pkcs11::Gate::open) alone, which keeps others out meanwhile. A process opens a module's token once: what it opened is never
    /// finalised, and never opened again.
    ///
    /// # Errors
    /// [`Fault::Pin`] if the PIN was refused or must not be tried; [`Fault::Broken`] for whatever else is in the
    /// way, tokens that are not there (yet) included.
    pub(in crate::backend::pkcs11) fn open(settings: &Settings, pin: &Pin) -> Result<Self, Fault> {
        let installation = settings.installation.parse();
        let installation = installation.map_err(|error| Fault::refused(format!("the installation's name: {error}")))?;
        let module = load(settings)?;
        let (slot, info) = find(&module, settings)?;
        check_pin_is_safe(&info)?;
        let mechanisms = Arc::new(Mechanisms::of(&module, slot)?);
        let facts = Facts::new(&module, slot, &info, &mechanisms)?;
        let anchor = module.open_rw_session(slot)?;
        log_in(&anchor, pin)?;
        Ok(Self { module, slot, installation, mechanisms, facts, _anchor: Mutex::new(anchor) })
    }
}

fn load(settings: &Settings) -> Result<Pkcs11, Fault> {
    let path = settings.module.display();
    let module = Pkcs11::new(&settings.module)
        .map_err(|error| Fault::Broken(format!("module {path} can't be loaded: {}", describe(&error))))?;
    let args = pkcs11_raw::locking(settings.module_args.as_deref())
        .ok_or_else(|| Fault::refused("module_args holds a zero byte"))?;
    match module.initialize(args) {
        // Another token of the same module, opened by this process.
        Ok(()) | Err(P11Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(error) => {
            let wants_more = matches!(error, P11Error::Pkcs11(RvError::ArgumentsBad, _));
            let hint = if wants_more { "; does this module want module_args?" } else { "" };
            Err(Fault::Broken(format!("module {path} can't be initialised: {}{hint}", describe(&error))))
        }
    }
}

/// Finds the one token that was meant.
fn find(module: &Pkcs11, settings: &Settings) -> Result<(Slot, TokenInfo), Fault> {
    let mut matching = Vec::new();
    let mut seen = Vec::new();
    for slot in module.get_slots_with_token()? {
        match pkcs11_raw::token_info(module, &settings.module, slot) {
            Ok(info) => {
                let (label, serial) = (trimmed(info.label()), trimmed(info.serial_number()));
                seen.push(format!("{label:?} (serial {serial:?}, slot {})", slot.id()));
                let meant = match &settings.token {
                    TokenChoice::Label(wanted) => label == wanted,
                    TokenChoice::Serial(wanted) => serial == wanted,
                    TokenChoice::Slot(wanted) => slot.id() == *wanted,
                };
                if meant {
                    matching.push((slot, info));
                }
            }
            // Somebody else's token may be ill; ours is not among those that answered then.
            Err(error) => seen.push(format!("slot {} ({})", slot.id(), describe(&error))),
        }
    }
    let (choice, path) = (&settings.token, settings.module.display());
    let seen = if seen.is_empty() { "none".to_owned() } else { seen.join(", ") };
    match matching.len() {
        0 => Err(Fault::Broken(format!("no token with {choice} in {path}; found: {seen}"))),
        1 => Ok(matching.remove(0)),
        count => {
            Err(Fault::Broken(format!("{count} tokens with {choice} in {path}; found: {seen}; name one by serial")))
        }
    }
}

/// A token that counts wrong PINs locks for good; so the last try is never ours.
fn check_pin_is_safe(info: &TokenInfo) -> Result<(), Fault> {
    let label = trimmed(info.label());
    let unsafe_to_try = |why: &str| Err(Fault::Pin(format!("token {label:?}: {why}; the PIN was not tried")));
    if info.user_pin_locked() {
        return unsafe_to_try("the user's PIN is locked, the security officer must set a new one");
    }
    if info.user_pin_final_try() {
        return unsafe_to_try("one more wrong PIN locks the token; log in once by hand, which resets the count");
    }
    if info.user_pin_to_be_changed() {
        return unsafe_to_try("the user's PIN is still the one that the token came with and must be changed first");
    }
    if !info.user_pin_initialized() && info.login_required() {
        return unsafe_to_try("the user's PIN was never set (pkcs11-tool --login --login-type so --init-pin)");
    }
    Ok(())
}

fn log_in(anchor: &cryptoki::session::Session, pin: &Pin) -> Result<(), Fault> {
    let result = anchor.login(UserType::User, Some(&AuthPin::new(pin.expose().into())));
    match result {
        Ok(()) => Ok(()),
        Err(error @ P11Error::Pkcs11(code, Function::Login)) => Err(match code {
            RvError::PinIncorrect
            | RvError::PinInvalid
            | RvError::PinLenRange
            | RvError::PinExpired
            | RvError::PinLocked
            | RvError::PinTooWeak
            | RvError::UserPinNotInitialized => Fault::Pin(format!("the token refused the PIN ({})", describe(&error))),
            // The PIN was not looked at.
            RvError::UserAlreadyLoggedIn => {
                Fault::Broken("this process is logged in already; it opens a token once".to_owned())
            }
            _ => error.into(),
        }),
        Err(error) => Err(error.into()),
    }
}

/// Without the padding that modules leave in.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_end_matches([' ', '\0'])
}
