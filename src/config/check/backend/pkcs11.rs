//! Keys inside a token.

use toml::Spanned;

use super::super::faults::{Faults, exactly_one};
use super::secret;
use crate::config::document::Place;
use crate::config::file::SecretTable;
use crate::config::scalar::{AbsolutePath, Count};
use crate::config::token::{Isolation, ModuleArgs, OtherToken, Pkcs11, TokenChoice, TokenTable};
use crate::config::value::{Field, Section, plain};
use crate::lifecycle::time::Span;

/// What a PKCS#11 backend needs.
pub(super) struct Token {
    pub(super) module: Field<AbsolutePath>,
    pub(super) module_args: Field<ModuleArgs>,
    pub(super) token: Option<Spanned<TokenTable>>,
    pub(super) pin: Section<SecretTable>,
    pub(super) isolation: Field<Isolation>,
    pub(super) workers: Field<Count>,
    pub(super) threads: Field<Count>,
    pub(super) hang_limit: Field<Span>,
}

impl Token {
    pub(super) fn check(self, place: &Place, faults: &mut Faults<'_>) -> Option<Pkcs11> {
        let Self { module, module_args, token, pin, isolation, workers, threads, hang_limit } = self;
        let remedy = "set it to the path of the module, such as module = \"/usr/lib/softhsm/libsofthsm2.so\"";
        let module = faults.require(place, "module", module, remedy);
        if token.is_none() {
            let remedy = "set it to the token's label, such as token = \"jwksd\"";
            faults.absent(Some(place), "token", format!("missing; {remedy}"));
        }
        if pin.is_none() {
            let remedy = "say where the PIN is, such as pin = { file = \"/etc/jwksd/pin\" }";
            faults.absent(Some(place), "pin", format!("missing; {remedy}"));
        }
        let token = token.and_then(|token| choice(token, faults));
        let pin = pin.and_then(|pin| secret(pin, faults));
        // The daemon's own process is one, whatever is said of workers.
        if let (Some(Isolation::None), Some(workers)) = (isolation.as_ref().map(|field| field.get_ref().0), &workers) {
            faults.at(&workers.span(), "there are no workers with isolation = \"none\"; remove it");
        }
        let default = Pkcs11::new(module?.0, token?, pin?);
        Some(Pkcs11 {
            module_args: plain(module_args).map(|text| text.0),
            isolation: plain(isolation).unwrap_or(default.isolation),
            workers: few("workers", workers, WORKERS_MAX, default.workers, faults),
            threads: few("threads", threads, THREADS_MAX, default.threads, faults),
            hang_limit: faults.nonzero(hang_limit, default.hang_limit),
            ..default
        })
    }
}

fn choice(token: Spanned<TokenTable>, faults: &mut Faults<'_>) -> Option<TokenChoice> {
    let place = token.span();
    let OtherToken { serial, slot } = match token.into_inner() {
        TokenTable::Label(label) => return Some(TokenChoice::Label(label.0)),
        TokenTable::Other(other) => other,
    };
    if let Some(problem) = exactly_one(&[("serial", serial.is_some()), ("slot", slot.is_some())]) {
        if serial.is_some() || !faults.doubted(&faults.key(&place)) {
            faults.at(&place, problem);
        }
        return None;
    }
    plain(serial).map(|serial| TokenChoice::Serial(serial.0)).or(plain(slot).map(|slot| TokenChoice::Slot(slot.0)))
}

/// A number that costs a process, or a session of the token, for each.
fn few(name: &str, field: Field<Count>, most: usize, default: usize, faults: &mut Faults<'_>) -> usize {
    let Some(field) = field else { return default };
    if field.get_ref().0.0 > most {
        faults.at(&field.span(), format!("more than {most} {name} only wait for each other; set it to at most {most}"));
        return default;
    }
    field.into_inner().0.0
}

/// A hang that is noticed only when everybody has given up helps nobody.
pub(super) fn warn_of_late_limit(token: &Pkcs11, sign_deadline: Span, place: &Place, faults: &mut Faults<'_>) {
    if token.isolation == Isolation::Process && token.hang_limit >= sign_deadline {
        let problem = format!(
            "a call that hangs is noticed after hang_limit {}, when whoever waits for it has given up after \
             sign_deadline {sign_deadline}; set hang_limit to less than half of that, so that another worker helps",
            token.hang_limit
        );
        faults.warn(place, problem);
    }
}

/// Worker processes of one backend.
const WORKERS_MAX: usize = 16;
/// Threads of one worker.
const THREADS_MAX: usize = 64;
