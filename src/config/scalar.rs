//! The kinds of values that the file holds: durations, sizes, names, addresses and the like.

mod names;

use std::net::SocketAddr;
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use super::tree::{Address, AuditSignatures, ClientAuth, LogFormat, MinVersion, SelfVerify, StoreKind};
use super::url::IssuerUrl;
use super::value::{Scalar, choice};
use crate::access::grant::Operation;
use crate::access::pattern::TextPattern;
use crate::access::spiffe::SpiffePattern;
use crate::ids::{BackendId, InstallationId, IssuerId, RingName};
use crate::jose::alg::{Algorithm, RsaBits};
use crate::jose::jws::{Typ, TypError};
use crate::lifecycle::policy::Standby;
use crate::lifecycle::schedule::Schedule;
use crate::lifecycle::time::{Span, Timestamp};

pub(super) use names::{DnsName, FixedValue, JwksUrl, PlainText, TokenHash, UnitName};

/// Values whose own `FromStr` and its error say all there is to say.
macro_rules! from_str {
    ($($kind:ty: $expected:literal),+ $(,)?) => {$(
        impl Scalar for $kind {
            const EXPECTED: &'static str = $expected;
            fn text(text: &str) -> Option<Result<Self, String>> {
                Some(text.parse().map_err(|error: <Self as std::str::FromStr>::Err| error.to_string()))
            }
        }
    )+};
}

from_str! {
    InstallationId: "a name in quotes, such as \"prod-eu\"",
    IssuerId: "the name of an issuer in quotes",
    RingName: "the name of a ring in quotes",
    BackendId: "the name of a backend in quotes",
    Timestamp: "a moment in quotes, such as \"2026-12-20T00:00:00Z\"",
    SpiffePattern: "a SPIFFE ID in quotes, such as \"spiffe://prod.example.com/idp\"",
    TextPattern: "a text in quotes, such as \"alice\" or \"user:*\"",
    IssuerUrl: "a URL in quotes, such as \"https://id.example.com\"",
}

/// Values that are one of a few words.
macro_rules! words {
    ($($kind:ty: $expected:literal, $words:expr;)+) => {$(
        impl Scalar for $kind {
            const EXPECTED: &'static str = $expected;
            fn text(text: &str) -> Option<Result<Self, String>> {
                Some(choice(text, &$words))
            }
        }
    )+};
}

words! {
    StoreKind: "the kind of store in quotes", [("embedded", Self::Embedded)];
    AuditSignatures: "\"durable\", \"async\" or \"off\"",
        [("durable", Self::Durable), ("async", Self::Async), ("off", Self::Off)];
    LogFormat: "\"json\" or \"text\"", [("json", Self::Json), ("text", Self::Text)];
    MinVersion: "\"1.3\" or \"1.2\" in quotes", [("1.3", Self::Tls13), ("1.2", Self::Tls12)];
    ClientAuth: "\"required\" or \"optional\"", [("required", Self::Required), ("optional", Self::Optional)];
    Algorithm: "a signature algorithm in quotes, such as \"ES256\"", Algorithm::ALL.map(|alg| (alg.name(), alg));
    Standby: "\"always\" or \"just-in-time\"", [("always", Self::Always), ("just-in-time", Self::JustInTime)];
    SelfVerify: "\"always\" or \"load\"", [("always", Self::Always), ("load", Self::Load)];
    BackendWord: "the kind of backend in quotes", Self::ALL.map(|kind| (kind.name(), kind));
    Allow: "an operation in quotes, such as \"sign\"", ALLOW;
}

/// The kind of a backend, before its keys are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BackendWord {
    AwsKms,
    GcpKms,
    Pkcs11,
    Software,
}

impl BackendWord {
    const ALL: [Self; 4] = [Self::AwsKms, Self::GcpKms, Self::Pkcs11, Self::Software];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AwsKms => "aws-kms",
            Self::GcpKms => "gcp-kms",
            Self::Pkcs11 => "pkcs11",
            Self::Software => "software",
        }
    }
}

/// What a word in `allow` stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Allow {
    One(Operation),
    Admin,
}

const ALLOW: [(&str, Allow); 9] = [
    ("sign", Allow::One(Operation::Sign)),
    ("sign_raw", Allow::One(Operation::SignRaw)),
    ("sign_digest", Allow::One(Operation::SignDigest)),
    ("read", Allow::One(Operation::Read)),
    ("rotate", Allow::One(Operation::Rotate)),
    ("compromise", Allow::One(Operation::Compromise)),
    ("import", Allow::One(Operation::Import)),
    ("audit", Allow::One(Operation::Audit)),
    ("admin", Allow::Admin),
];

impl Scalar for Span {
    const EXPECTED: &'static str = "a duration in quotes, such as \"30d\" or \"1h30m\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        Some(text.parse().map_err(|error: crate::lifecycle::time::SpanError| error.to_string()))
    }
}

impl Scalar for Schedule {
    const EXPECTED: &'static str = "a cron expression in quotes, such as \"0 3 1 * *\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        Some(Self::new(text).map_err(|error| error.to_string()))
    }
}

impl Scalar for RsaBits {
    const EXPECTED: &'static str = "2048, 3072 or 4096 without quotes";

    fn number(number: i64) -> Option<Result<Self, String>> {
        let bits = usize::try_from(number).ok().and_then(Self::from_bits);
        Some(bits.ok_or_else(|| format!("RSA keys have 2048, 3072 or 4096 bits, not {number}")))
    }
}

impl Scalar for bool {
    const EXPECTED: &'static str = "true or false without quotes";

    fn boolean(flag: bool) -> Option<Self> {
        Some(flag)
    }
}

/// How many of something: at least one, at most a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count(pub(super) usize);

impl Scalar for Count {
    const EXPECTED: &'static str = UP_TO_A_MILLION;

    fn number(number: i64) -> Option<Result<Self, String>> {
        Some(up_to_a_million(number).map(Self))
    }
}

/// How many of something in a second: at least one, at most a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate(pub(super) u32);

impl Scalar for Rate {
    const EXPECTED: &'static str = UP_TO_A_MILLION;

    fn number(number: i64) -> Option<Result<Self, String>> {
        Some(up_to_a_million(number).map(Self))
    }
}

/// With the range, since a number of more than 64 bits is refused before anybody can look at it.
const UP_TO_A_MILLION: &str = "a whole number from 1 to 1000000 without quotes";

fn up_to_a_million<T: TryFrom<i64>>(number: i64) -> Result<T, String> {
    let fits = Some(number).filter(|number| (1..=1_000_000).contains(number));
    let count = fits.and_then(|number| T::try_from(number).ok());
    count.ok_or_else(|| format!("{number} is out of range; write a number from 1 to 1000000"))
}

/// The number of a user or group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumericId(pub(super) u32);

impl Scalar for NumericId {
    const EXPECTED: &'static str = "a numeric id without quotes, such as 1001 (`id NAME` shows it)";

    fn number(number: i64) -> Option<Result<Self, String>> {
        // The highest value means "no id" to the kernel.
        let id = u32::try_from(number).ok().filter(|id| *id != u32::MAX);
        Some(id.map(Self).ok_or_else(|| format!("{number} is not the id of a user or group")))
    }
}

/// A number of bytes: at least one, at most 1 TiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ByteSize(pub(super) u64);

impl Scalar for ByteSize {
    const EXPECTED: &'static str = "a size in quotes, such as \"64KiB\" or \"16MiB\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
        let read = || {
            let (digits, unit) = UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
            let digits = Some(digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
            let bytes = digits.parse::<u64>().ok()?.checked_mul(*unit)?;
            (1..=1 << 40).contains(&bytes).then_some(Self(bytes))
        };
        Some(read().ok_or_else(|| {
            format!("{text:?} is not a size; write a whole number with B, KiB, MiB or GiB, such as \"64KiB\"")
        }))
    }
}

/// Writes a number of bytes as the file would.
pub(super) fn bytes(number: u64) -> String {
    match number {
        _ if number >= 1 << 20 && number.is_multiple_of(1 << 20) => format!("{}MiB", number >> 20),
        _ if number >= 1 << 10 && number.is_multiple_of(1 << 10) => format!("{}KiB", number >> 10),
        _ => format!("{number}B"),
    }
}

/// The permission bits of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mode(pub(super) u32);

impl Scalar for Mode {
    const EXPECTED: &'static str = "a file mode in quotes, such as \"0660\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        let octal = text.len() == 4 && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let mode = octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
        // Without write permission for its owner nobody could connect.
        let fits = mode.filter(|mode| *mode <= 0o777 && mode & 0o600 == 0o600);
        Some(fits.map(Self).ok_or_else(|| {
            format!("{text:?} is not the mode of a socket; write four octal digits such as \"0660\" (owner and group)")
        }))
    }
}

impl Scalar for Address {
    const EXPECTED: &'static str = "an address in quotes, such as \"127.0.0.1:8080\" or \"unix:/run/jwksd/sign.sock\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        /// What `sockaddr_un` has room for on Linux, less the closing zero byte (unix(7)).
        const SOCKET_PATH_MAX: usize = 107;
        Some(match text.strip_prefix("unix:") {
            Some(path) if path.len() > SOCKET_PATH_MAX => Err(format!(
                "{text:?} is too long: the path of a Unix socket has at most {SOCKET_PATH_MAX} bytes, this one {}",
                path.len()
            )),
            Some(path) if path.starts_with('/') && !path.starts_with("//") && !path.ends_with('/') => {
                Ok(Self::Unix(PathBuf::from(path)))
            }
            Some(path) if path.starts_with("//") => {
                Err(format!("{text:?} has more than one slash; write it as \"unix:/{}\"", path.trim_start_matches('/')))
            }
            Some(_) => Err(format!("{text:?} is not an absolute path; write it such as \"unix:/run/jwksd/sign.sock\"")),
            None => text.parse::<SocketAddr>().map(Self::Tcp).map_err(|_| {
                format!(
                    "{text:?} is not an IP address and port such as \"0.0.0.0:8443\" or \"[::1]:8080\", nor a socket \
                     such as \"unix:/run/jwksd/sign.sock\"; host names are not looked up"
                )
            }),
        })
    }
}

/// A path from the root, since what a relative one means depends on who starts the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AbsolutePath(pub(super) PathBuf);

impl Scalar for AbsolutePath {
    const EXPECTED: &'static str = "an absolute path in quotes, such as \"/var/lib/jwksd\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        Some(match text {
            _ if text.starts_with('/') && !text.contains('\0') => Ok(Self(PathBuf::from(text))),
            _ => Err(format!("{text:?} is not an absolute path; begin it with a slash, such as \"/var/lib/jwksd\"")),
        })
    }
}

/// Directives of the log filter that have been tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogLevel(pub(super) String);

impl Scalar for LogLevel {
    const EXPECTED: &'static str = "log directives in quotes, such as \"info\" or \"info,jwksd::rotator=debug\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        // A single unknown word would be taken for the name of a target, and so silence everything else.
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        let single = !text.contains(['=', ',', '[', ':']);
        let known = !single || LEVELS.contains(&text.to_ascii_lowercase().as_str());
        let fits = known && !text.is_empty() && EnvFilter::builder().parse(text).is_ok();
        Some(if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "{text:?} is neither a level (off, error, warn, info, debug, trace) nor a list of directives such as \
                 \"info,jwksd::rotator=debug\""
            ))
        })
    }
}

impl Scalar for Typ {
    const EXPECTED: &'static str = "a token type in quotes, such as \"JWT\" or \"at+jwt\"";

    fn text(text: &str) -> Option<Result<Self, String>> {
        let refusal = || format!("{text:?} is not a token type: 1 to 64 characters out of A-Z, a-z, 0-9 and . + / _ -");
        Some(text.parse().map_err(|_: TypError| refusal()))
    }
}

/// The name of a systemd credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CredentialName(pub(super) String);

impl Scalar for CredentialName {
    const EXPECTED: &'static str = "the name of a systemd credential in quotes";

    fn text(text: &str) -> Option<Result<Self, String>> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let good = !text.is_empty() && !text.starts_with('.') && text.bytes().all(fits);
        // Neither this text nor the next is repeated: it may be the secret itself.
        Some(if good {
            Ok(Self(text.to_owned()))
        } else {
            Err("not the name of a credential; write the ID of LoadCredential=ID:PATH in the unit".to_owned())
        })
    }
}

/// The name of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VariableName(pub(super) String);

impl Scalar for VariableName {
    const EXPECTED: &'static str = "the name of an environment variable in quotes";

    fn text(text: &str) -> Option<Result<Self, String>> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let good = !text.starts_with(|c: char| c.is_ascii_digit()) && !text.is_empty() && text.bytes().all(fits);
        Some(if good {
            Ok(Self(text.to_owned()))
        } else {
            Err("not the name of an environment variable; write a name such as \"JWKSD_PIN\", never the secret"
                .to_owned())
        })
    }
}
