//! A soft token behind a module that misbehaves on demand, and a router of worker processes in front of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jwksd::backend::pkcs11::router::{PinSource, Plan, Router, WorkerMetrics};
use jwksd::backend::pkcs11::{Pin, Settings};
use jwksd::backend::{Backend, Generated};
use jwksd::ids::Label;
use jwksd::jose::alg::{Algorithm, KeySpec};
use pkcs11_shim::{Act, Control, Function, Rule};
use prometheus_client::registry::Registry;

use super::tokens::{INSTALLATION, PIN, SoftToken};

/// A SoftHSM token whose module does harm as it is told.
pub struct Shimmed {
    pub token: SoftToken,
    pub control: Control,
}

impl Shimmed {
    pub fn new() -> Self {
        let token = SoftToken::softhsm();
        let control = Control::open(&token.dir.path().join("control")).unwrap();
        Self { token, control }
    }

    /// How the token is opened through the shim.
    pub fn settings(&self) -> Settings {
        let mut settings = self.token.settings();
        settings.module_args = Some(self.module_args());
        settings.module = shim();
        settings
    }

    pub fn module_args(&self) -> String {
        let control = self.token.dir.path().join("control");
        let env: Vec<String> = self.token.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("real={};control={};{}", self.token.module.display(), control.display(), env.join(";"))
    }

    pub fn plan(&self) -> Plan {
        Plan {
            program: env!("CARGO_BIN_EXE_jwksd").into(),
            settings: self.settings(),
            pin: pin(PIN),
            gate: self.token.dir.path().join("gate"),
            hang_limit: HANG_LIMIT,
            admin_limit: Duration::from_secs(3),
        }
    }

    pub fn start(&self) -> (Router, Registry) {
        start(self.plan())
    }

    /// Lets `functions` do `act`, `times` times.
    pub fn harm(&self, functions: &[Function], act: Act, times: u64) {
        self.control.set(Rule { functions, act, skip: 0, times, per_mille: 1000 });
    }
}

pub fn start(plan: Plan) -> (Router, Registry) {
    let mut registry = Registry::default();
    let metrics = WorkerMetrics::register(&mut registry);
    let router = Router::start("hsm".parse().unwrap(), plan, &metrics).unwrap();
    (router, registry)
}

pub fn pin(text: &'static str) -> PinSource {
    PinSource(Arc::new(move || Ok(Pin::new(text.as_bytes(), "test").unwrap())))
}

/// A value of the metrics page.
pub fn metric(registry: &Registry, name: &str) -> u64 {
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, registry).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in\n{page}")).trim().parse().unwrap()
}

pub fn es256() -> KeySpec {
    KeySpec::new(Algorithm::Es256, None).unwrap()
}

pub fn label(number: u64) -> Label {
    format!("{INSTALLATION}/main.es256.v{number}").parse().unwrap()
}

/// Makes a key, however often that takes.
pub async fn key(backend: &dyn Backend, number: u64) -> Generated {
    backend.generate(&label(number), es256()).await.unwrap()
}

/// The shim, which cargo has put beside this program's other dependencies.
fn shim() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let library = program.parent().unwrap().join("libpkcs11_shim.so");
    assert!(library.exists(), "{} is missing", library.display());
    library
}

/// Far more than a signature takes, and far less than a caller waits.
pub const HANG_LIMIT: Duration = Duration::from_millis(300);
