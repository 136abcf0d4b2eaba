//! A certificate authority by the `openssl` command, so that what we read was not written by us.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub struct Authority {
    directory: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let authority = Self { directory: tempfile::tempdir().unwrap() };
        let config = "[ca]\ndefault_ca=a\n[a]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\n\
                      certificate=ca.pem\nprivate_key=ca.key\n";
        for (name, text) in [("ca.cnf", config), ("index.txt", ""), ("crlnumber", "01\n")] {
            fs::write(authority.path(name), text).unwrap();
        }
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 9 \
             -addext keyUsage=critical,keyCertSign,cRLSign",
        );
        authority
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes `<name>.pem` and `<name>.key` for the alternative names in openssl's form, such as `DNS:localhost`.
    pub fn issue(&self, name: &str, alternatives: &str) -> (PathBuf, PathBuf) {
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        fs::write(self.path("ext"), format!("subjectAltName={alternatives}\nbasicConstraints=CA:FALSE\n")).unwrap();
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 8 -extfile ext -out {name}.pem"
        ));
        (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")))
    }

    pub fn revoke(&self, name: &str) {
        self.openssl(&format!("ca -config ca.cnf -revoke {name}.pem"));
    }

    /// Writes `ca.crl`, with everything revoked so far.
    pub fn revocation_list(&self) -> PathBuf {
        self.openssl("ca -config ca.cnf -gencrl -crldays 1 -out ca.crl");
        self.path("ca.crl")
    }

    fn openssl(&self, arguments: &str) {
        let output = run("openssl", arguments, self.directory.path());
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Runs a command whose arguments have no blanks in them, with nothing to read.
pub fn run(program: &str, arguments: &str, directory: &Path) -> Output {
    let mut command = Command::new(program);
    command.args(arguments.split_whitespace()).current_dir(directory).stdin(std::process::Stdio::null());
    command.output().unwrap_or_else(|error| panic!("{program} (does ./test install it?): {error}"))
}
