//! Tokens that `./test --long` alone has installed or built. Each lives in a copy of a golden directory, and those that
//! need servers start them around the process that loads the module.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::daemon::variable;
use super::tokens::{LABEL, PIN, SO_PIN, SoftToken, command, copy_of_golden, library, run};

impl SoftToken {
    /// kryoptic, which `./test --long` builds.
    pub fn kryoptic() -> Self {
        let module = variable("JWKSD_KRYOPTIC").expect("JWKSD_KRYOPTIC names the module; run ./test --long");
        let module = PathBuf::from(module);
        let dir = copy_of_golden("kryoptic", |dir| {
            let tool = |args: &[&str]| {
                let mut tool = Command::new("pkcs11-tool");
                run(tool.arg("--module").arg(&module).args(args).envs(kryoptic_env(dir)));
            };
            tool(&["--init-token", "--label", LABEL, "--so-pin", SO_PIN]);
            tool(&["--login", "--login-type", "so", "--so-pin", SO_PIN, "--init-pin", "--new-pin", PIN]);
        });
        let env = kryoptic_env(dir.path());
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

    /// The soft token of opencryptoki. Its daemon and its files are those of the whole machine, so each process gets a
    /// view of its own of them, which only root can give.
    pub fn opencryptoki() -> Self {
        let dir = copy_of_golden("opencryptoki", |dir| {
            run(command(&around_opencryptoki(dir), "sh").args(["-euc", OPENCRYPTOKI_INIT]));
        });
        Self {
            module: library(&["pkcs11/libopencryptoki.so"]),
            module_args: None,
            label: LABEL.to_owned(),
            env: vec![],
            lacks: &[],
            is_contended: false,
            around: around_opencryptoki(dir.path()),
            dir,
        }
    }

    /// A TPM in software, its resource manager, and tpm2-pkcs11.
    pub fn tpm() -> Self {
        let dir = copy_of_golden("tpm", |dir| {
            let pins = [format!("--sopin={SO_PIN}"), format!("--userpin={PIN}"), format!("--label={LABEL}")];
            run(command(&around_tpm(dir), "sh")
                .args(["-euc", r#"tpm2_ptool init && exec tpm2_ptool addtoken --pid=1 "$@""#, "sh"])
                .args(pins));
        });
        Self {
            module: library(&["pkcs11/libtpm2_pkcs11.so"]),
            module_args: None,
            label: LABEL.to_owned(),
            env: vec![],
            // It makes them, and then can't read what it has written of their public half.
            lacks: &["ES512"],
            // Its store is a database that waits for nobody.
            is_contended: true,
            around: around_tpm(dir.path()),
            dir,
        }
    }
}

fn kryoptic_env(dir: &Path) -> Vec<(String, String)> {
    let conf = dir.join("kryoptic.conf");
    let text = format!("[[slots]]\nslot = 1\ndbtype = \"sqlite\"\ndbargs = \"{}\"\n", dir.join("token.sql").display());
    std::fs::write(&conf, text).unwrap();
    vec![("KRYOPTIC_CONF".to_owned(), conf.display().to_string())]
}

/// A process that ends takes along all that it has started.
fn alone(more: &[&str], script: &str, dir: &Path) -> Vec<String> {
    let alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let script = ["sh", "-euc", script, &dir.display().to_string()].map(str::to_owned);
    alone.iter().chain(more).map(|arg| (*arg).to_owned()).chain(script).collect()
}

fn around_opencryptoki(dir: &Path) -> Vec<String> {
    alone(&["--mount", "--ipc"], OPENCRYPTOKI, dir)
}

fn around_tpm(dir: &Path) -> Vec<String> {
    alone(&[], TPM, dir)
}

/// `$0` is the directory of the token, the rest is what to run.
const OPENCRYPTOKI: &str = r#"
mkdir -p "$0/state/swtok/TOK_OBJ"
chgrp -R pkcs11 "$0/state"
printf 'version opencryptoki-3.1\nslot 3\n{\nstdll = libpkcs11_sw.so\n}\n' > "$0/conf"
mount --bind "$0/state" /var/lib/opencryptoki
mount --bind "$0/conf" /etc/opencryptoki/opencryptoki.conf
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run/lock
install -d -g pkcs11 -m 0770 /run/lock/opencryptoki /run/lock/opencryptoki/swtok
pkcsslotd
exec "$@"
"#;

/// A user's PIN that the security officer has set must be changed by the user first.
const OPENCRYPTOKI_INIT: &str = r#"
echo jwksd | pkcsconf -I -c 3 -S 87654321
pkcsconf -P -c 3 -S 87654321 -n 12345678
pkcsconf -u -c 3 -S 12345678 -n 999999
pkcsconf -p -c 3 -U 999999 -n 246813
"#;

const TPM: &str = r#"
mkdir -p "$0/state" "$0/store"
export TPM2_PKCS11_STORE="$0/store" TPM2_PKCS11_TCTI=tabrmd:bus_type=session TPM2TOOLS_TCTI=tabrmd:bus_type=session
wait_for() { n=0; until "$@" > /dev/null 2>&1; do n=$((n + 1)); [ "$n" -lt 100 ]; sleep 0.1; done; }
socket="$0/tpm.sock"
swtpm socket --tpm2 --tpmstate "dir=$0/state" --server "type=unixio,path=$socket" \
  --ctrl "type=unixio,path=$socket.ctrl" --flags not-need-init,startup-clear > "$0/swtpm.log" 2>&1 &
wait_for test -S "$socket"
exec dbus-run-session -- sh -euc '
tpm2-abrmd --session --allow-root --max-transients=100 --tcti "swtpm:path=$0/tpm.sock" > "$0/abrmd.log" 2>&1 &
n=0
until dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner \
  string:com.intel.tss2.Tabrmd 2> /dev/null | grep -q "boolean true"; do n=$((n + 1)); [ "$n" -lt 100 ]; sleep 0.1; done
exec "$@"
' "$0" "$@"
"#;
