//! Soft tokens: each test gets a copy of a golden one, in a directory of its own. SoftHSM 2.6 can lose a whole token
//! to a SIGKILL, and no test may suffer from what another did to its token.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jwksd::backend::pkcs11::{Pin, Settings, TokenChoice};
use jwksd::jose::alg::KeySpec;
use tempfile::TempDir;

/// A token with a PIN, and how to reach it.
pub struct SoftToken {
    pub dir: TempDir,
    pub module: PathBuf,
    pub module_args: Option<String>,
    pub label: String,
    /// What a process that loads the module must have in its environment.
    pub env: Vec<(String, String)>,
    /// Keys that the token says it can have, and can't.
    pub lacks: &'static [&'static str],
    /// Whether making a key may fail while another process opens the token, and is to be asked for again.
    pub is_contended: bool,
    /// What starts such a process, if there is something to be started before and stopped after it.
    pub around: Vec<String>,
}

impl SoftToken {
    /// SoftHSM 2, with the token [`LABEL`].
    pub fn softhsm() -> Self {
        let dir = copy_of_golden("softhsm", |dir| {
            let args = ["--init-token", "--free", "--label", LABEL, "--so-pin", SO_PIN, "--pin", PIN];
            run(Command::new("softhsm2-util").args(args).envs(softhsm_env(dir)));
        });
        let env = softhsm_env(dir.path());
        let module = library(&["softhsm/libsofthsm2.so"]);
        Self {
            dir,
            module,
            module_args: None,
            label: LABEL.to_owned(),
            env,
            lacks: &[],
            is_contended: false,
            around: vec![],
        }
    }

    /// The soft token of NSS.
    pub fn nss() -> Self {
        let dir = copy_of_golden("nss", |dir| {
            let pin = dir.join("pin");
            fs::write(&pin, PIN).unwrap();
            run(Command::new("certutil").arg("-N").arg("-d").arg(db(dir)).arg("-f").arg(pin));
        });
        let args = format!("configdir='{}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=", db(dir.path()));
        Self {
            module: library(&["nss/libsoftokn3.so", "libsoftokn3.so"]),
            module_args: Some(args),
            label: "NSS Certificate DB".to_owned(),
            dir,
            env: vec![],
            lacks: &[],
            is_contended: false,
            around: vec![],
        }
    }

    /// How the token is opened for [`INSTALLATION`].
    pub fn settings(&self) -> Settings {
        Settings {
            module: self.module.clone(),
            module_args: self.module_args.clone(),
            token: TokenChoice::Label(self.label.clone()),
            installation: INSTALLATION.to_owned(),
            workers: 2,
            threads: 2,
        }
    }

    /// Runs the ignored test `name` of this binary in a process that finds the token, and fails as it does.
    ///
    /// A module lives as long as its process and is told its token by the environment; so every token needs a
    /// process of its own.
    pub fn in_child(&self, name: &str) {
        let mut child = command(&self.around, std::env::current_exe().unwrap());
        child.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]).envs(self.env.clone());
        let settings = serde_json::to_string(&self.settings()).unwrap();
        child.env(SETTINGS, settings).env(HOME, self.dir.path()).env(LACKS, self.lacks.join(","));
        child.env(CONTENDED, if self.is_contended { "yes" } else { "no" });
        let output = child.stdin(Stdio::null()).output().unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success() && text.contains("1 passed"), "{name} in a process of its own:\n{text}");
    }

    /// What pkcs11-tool prints of the token.
    pub fn pkcs11_tool(&self, args: &[&str]) -> String {
        let mut tool = command(&self.around, "pkcs11-tool");
        tool.arg("--module").arg(&self.module).args(["--token-label", &self.label, "--login", "--pin", PIN]);
        run(tool.args(args).envs(self.env.clone()))
    }
}

/// A command that `around` starts.
pub fn command(around: &[String], program: impl AsRef<OsStr>) -> Command {
    let Some((first, rest)) = around.split_first() else { return Command::new(program) };
    let mut command = Command::new(first);
    command.args(rest).arg(program);
    command
}

/// In the process that [`SoftToken::in_child`] started: how to open the token, and its directory.
#[expect(clippy::disallowed_methods, reason = "a test hands its child the token by the environment")]
pub fn given() -> (Settings, Pin, PathBuf) {
    let settings = std::env::var(SETTINGS).expect("run by SoftToken::in_child");
    (serde_json::from_str(&settings).unwrap(), pin(), std::env::var(HOME).unwrap().into())
}

/// In the same process: keys that the token is not asked for.
#[expect(clippy::disallowed_methods, reason = "a test hands its child the token by the environment")]
pub fn lacks(spec: KeySpec) -> bool {
    std::env::var(LACKS).unwrap().split(',').any(|lacking| lacking == spec.to_string())
}

/// In the same process: as [`SoftToken::is_contended`].
#[expect(clippy::disallowed_methods, reason = "a test hands its child the token by the environment")]
pub fn is_contended() -> bool {
    std::env::var(CONTENDED).unwrap() == "yes"
}

pub fn pin() -> Pin {
    Pin::new(PIN.as_bytes(), "test").unwrap()
}

/// A copy of the files that `make` leaves in a directory. It makes them once for as long as the build is kept.
pub fn copy_of_golden(name: &str, make: impl FnOnce(&Path)) -> TempDir {
    let builds = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let golden = builds.join(format!("golden-{name}-{LABEL}-{PIN}"));
    if !golden.exists() {
        let fresh = tempfile::tempdir_in(builds).unwrap().keep();
        make(&fresh);
        // Whoever else was at it at the same time may have been faster; one is as good as the other.
        if let Err(error) = fs::rename(&fresh, &golden) {
            assert!(golden.exists(), "{}: {error}", golden.display());
            fs::remove_dir_all(&fresh).unwrap();
        }
    }
    let dir = tempfile::tempdir().unwrap();
    copy(&golden, dir.path());
    dir
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            fs::create_dir(&place).unwrap();
            copy(&entry.path(), &place);
        } else if kind.is_file() {
            // And no sockets of servers that are gone.
            fs::copy(entry.path(), place).unwrap();
        }
    }
}

/// Has SoftHSM keep its tokens below `dir`.
fn softhsm_env(dir: &Path) -> Vec<(String, String)> {
    let (tokens, conf) = (dir.join("tokens"), dir.join("softhsm2.conf"));
    fs::create_dir_all(&tokens).unwrap();
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    fs::write(&conf, text).unwrap();
    vec![("SOFTHSM2_CONF".to_owned(), conf.display().to_string())]
}

fn db(dir: &Path) -> String {
    format!("sql:{}", dir.display())
}

/// A module under one of the directories in which Debian has them.
pub fn library(names: &[&str]) -> PathBuf {
    let roots = ["/usr/lib".into(), format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH)];
    let places = roots.iter().flat_map(|root| names.iter().map(move |name| Path::new(root).join(name)));
    places.into_iter().find(|path| path.exists()).unwrap_or_else(|| panic!("{names:?} is missing; run ./test"))
}

/// Runs a command that must succeed; returns what it prints.
pub fn run(command: &mut Command) -> String {
    let output =
        command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}; run ./test"));
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out
}

pub const LABEL: &str = "jwksd";
pub const PIN: &str = "246813";
pub const SO_PIN: &str = "12345678";
pub const INSTALLATION: &str = "it";

const SETTINGS: &str = "JWKSD_TEST_TOKEN";
const HOME: &str = "JWKSD_TEST_TOKEN_DIR";
const CONTENDED: &str = "JWKSD_TEST_TOKEN_CONTENDED";
const LACKS: &str = "JWKSD_TEST_TOKEN_LACKS";
