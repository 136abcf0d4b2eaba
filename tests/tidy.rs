//! The house rules that a compiler does not check: who may use whom, how long a file may be, which words
//! and calls have no place here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may use of the crate's other rooms. Everything else is a wall.
const MAY_USE: &[(&str, &[&str])] = &[
    ("ids", &[]),
    ("failpoint", &[]),
    ("chance", &[]),
    ("jose", &["ids"]),
    ("lifecycle", &["ids", "jose"]),
    ("access", &["ids", "jose", "lifecycle"]),
    ("clock", &["ids", "lifecycle"]),
    ("telemetry", &["ids"]),
    ("tls", &["access", "lifecycle"]),
    ("trust", &["access", "clock", "ids", "jose", "lifecycle", "telemetry"]),
    ("config", &["access", "ids", "jose", "lifecycle"]),
    ("audit", &["clock", "failpoint", "ids", "jose", "lifecycle"]),
    ("backend", &["chance", "clock", "failpoint", "ids", "jose", "lifecycle"]),
    ("checkpoint", &["audit", "backend", "clock", "ids", "jose", "lifecycle", "telemetry"]),
    ("store", &["backend::BoxFuture", "chance", "clock", "failpoint", "ids", "jose", "lifecycle"]),
    ("publish", &["backend::BoxFuture", "failpoint", "ids", "jose", "lifecycle"]),
    ("snapshot", &["ids", "jose", "lifecycle", "store"]),
    ("signer", &["access", "audit", "backend", "clock", "ids", "jose", "lifecycle", "snapshot"]),
    (
        "rotator",
        &[
            "audit",
            "backend",
            "chance",
            "clock",
            "failpoint",
            "ids",
            "jose",
            "lifecycle",
            "publish",
            "snapshot",
            "store",
            "telemetry",
        ],
    ),
    (
        "server",
        &[
            "access",
            "audit",
            "backend::BackendError",
            "backend::usage",
            "chance",
            "checkpoint",
            "clock",
            "ids",
            "jose",
            "lifecycle",
            "rotator",
            "signer",
            "snapshot",
            "telemetry",
            "tls",
            "trust",
        ],
    ),
    ("app", &["*"]),
    (
        "cli",
        &["access", "app", "audit", "config", "ids", "jose", "lifecycle", "server::api", "telemetry::chain", "tls"],
    ),
];

/// Crates that the pure rooms must not know: time, chance, the network, the disk, serialisation of state.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "axum",
    "tracing",
    "redb",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "Instant",
    "SystemTime",
    "rand::",
];

/// Rooms without I/O, clock or chance, and the impure crates that each may know all the same.
const PURE: &[&str] = &["ids", "jose", "lifecycle", "access"];

/// Lines per file, tests included.
const LINES_MAX: usize = 400;

struct Source {
    path: String,
    room: String,
    text: String,
    is_test: bool,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let source = |file: PathBuf| {
        let relative = file.strip_prefix(&root).expect("collected below the root").to_string_lossy().into_owned();
        let room = relative.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(&file).expect("a readable source");
        Source { is_test: relative.contains("/tests/"), text, path: format!("src/{relative}"), room }
    };
    let mut sources: Vec<Source> = files.into_iter().map(source).collect();
    let test_modules: Vec<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        source.is_test |= test_modules.contains(&source.path);
    }
    sources
}

/// The files of the modules that `source` declares for tests alone.
fn test_modules(source: &Source) -> Vec<String> {
    let file = source.path.trim_end_matches(".rs");
    let directory = file.strip_suffix("/mod").or(file.strip_suffix("/lib")).unwrap_or(file);
    let declared = source.text.split("#[cfg(test)]\nmod ").skip(1);
    let names = declared.filter_map(|rest| rest.split_once(';')).map(|(name, _)| name);
    names.filter(|name| !name.contains('{')).map(|name| format!("{directory}/{name}.rs")).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The part of a file that ships: everything before its unit tests; nothing of a file that is all tests.
fn shipped(source: &Source) -> &str {
    if source.is_test { "" } else { source.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default() }
}

fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(n, line)| (n + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn assert_clean(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// The paths behind `crate::`, with braces one level deep taken apart.
fn crate_paths(line: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for part in line.split("crate::").skip(1) {
        let path: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
        paths.push(path);
        if let Some(group) = part.strip_prefix('{') {
            paths.pop();
            paths.extend(group.split([',', '}']).map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()));
        }
    }
    paths
}

#[test]
fn rooms_use_only_what_lies_below_them() {
    let rules: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !["lib", "main"].contains(&source.room.as_str())) {
        let Some(allowed) = rules.get(source.room.as_str()) else {
            faults.push(format!("{}: room {} has no entry in MAY_USE", source.path, source.room));
            continue;
        };
        for (n, line) in code_lines(shipped(source)) {
            for path in crate_paths(line) {
                let inside = path == source.room || path.starts_with(&format!("{}::", source.room));
                let fits = |rule: &&&str| ***rule == *"*" || path == **rule || path.starts_with(&format!("{rule}::"));
                if !inside && !allowed.iter().any(|rule| fits(&rule)) {
                    faults.push(format!("{}:{n}: {} may not use crate::{path}", source.path, source.room));
                }
            }
        }
    }
    assert_clean(faults);
}

#[test]
fn the_pure_rooms_know_no_clock_no_chance_and_no_io() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| PURE.contains(&source.room.as_str())) {
        for (n, line) in code_lines(shipped(source)) {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                faults.push(format!("{}:{n}: {word} in a pure room", source.path));
            }
            if source.room == "lifecycle" && (line.contains("serde") || line.contains("aws_lc_rs")) {
                faults.push(format!("{}:{n}: the core knows neither serialisation nor cryptography", source.path));
            }
        }
    }
    assert_clean(faults);
}

#[test]
fn only_the_app_names_concrete_parts() {
    let concrete = [
        "store::embedded",
        "backend::software",
        "backend::pkcs11",
        "backend::aws_kms",
        "backend::gcp_kms",
        "publish::directory",
        "backend::guarded",
    ];
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !["app", "lib"].contains(&source.room.as_str())) {
        for (n, line) in code_lines(shipped(source)) {
            for name in concrete.iter().filter(|name| line.contains(&format!("crate::{name}"))) {
                if !name.starts_with(&format!("{}::", source.room)) {
                    faults.push(format!("{}:{n}: {name} outside src/app", source.path));
                }
            }
        }
    }
    assert_clean(faults);
}

#[test]
fn no_file_is_longer_than_one_idea() {
    let too_long = |source: &Source| {
        let lines = source.text.lines().count();
        (lines > LINES_MAX).then(|| format!("{}: {lines} lines, at most {LINES_MAX}", source.path))
    };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut files = Vec::new();
    collect(&tests, &mut files);
    let tests = files.into_iter().map(|file| {
        let text = fs::read_to_string(&file).expect("a readable test");
        Source { path: file.display().to_string(), room: String::new(), text, is_test: true }
    });
    assert_clean(sources().into_iter().chain(tests).filter_map(|source| too_long(&source)).collect());
}

#[test]
fn nothing_unwraps_outside_tests() {
    let mut faults = Vec::new();
    for source in &sources() {
        for (n, line) in code_lines(shipped(source)) {
            let expects_badly = line.contains(".expect(\"") && !line.contains(".expect(\"invariant: ");
            if line.contains(".unwrap()") || line.contains(".unwrap_err()") || expects_badly {
                faults.push(format!("{}:{n}: {}", source.path, line.trim()));
            }
        }
    }
    assert_clean(faults);
}

#[test]
fn one_word_per_thing() {
    let banned = [
        ("TODO", "a plan belongs into an issue"),
        ("FIXME", "a plan belongs into an issue"),
        ("keyset", "issuer, key ring or JWK Set"),
        ("Manager {", "a noun of the domain"),
        ("Helper", "a noun of the domain"),
        ("Utils", "a noun of the domain"),
        ("fn get_", "the noun alone"),
        ("#[allow(", "#[expect(lint, reason = \"..\")]"),
        ("failed to ", "an error says its own layer only"),
    ];
    let mut faults = Vec::new();
    for source in &sources() {
        for (n, line) in shipped(source).lines().enumerate() {
            for (word, instead) in banned.iter().filter(|(word, _)| line.contains(word)) {
                faults.push(format!("{}:{}: {word:?}: say {instead}", source.path, n + 1));
            }
        }
    }
    assert_clean(faults);
}

#[test]
fn every_dependency_carries_its_reason() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("Cargo.toml");
    let mut faults = Vec::new();
    let mut in_dependencies = false;
    let mut has_reason = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if in_dependencies && line.starts_with('#') {
            has_reason = true;
        } else if in_dependencies && line.contains('=') {
            if !has_reason {
                faults.push(format!("Cargo.toml: {line}"));
            }
        } else {
            has_reason = false;
        }
    }
    assert_clean(faults);
}

#[test]
fn the_threat_model_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let model = fs::read_to_string(root.join("docs/threat-model.md")).expect("a threat model");
    let mut files = Vec::new();
    ["src", "tests"].iter().for_each(|directory| collect(&root.join(directory), &mut files));
    let sources: String = files.iter().map(|file| fs::read_to_string(file).expect("a readable source")).collect();
    let is_test = |name: &&str| {
        name.matches('_').count() >= 2
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let named: Vec<&str> = model.split('`').skip(1).step_by(2).filter(is_test).collect();
    assert!(named.len() > 40, "the threat model names only {} tests", named.len());
    let gone = named.into_iter().filter(|name| !sources.contains(&format!("fn {name}(")));
    assert_clean(gone.map(|name| format!("docs/threat-model.md: there is no test {name}")).collect());
}
