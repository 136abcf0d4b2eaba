//! Which caller may do what, where.

use std::collections::BTreeSet;
use std::fmt;

use crate::ids::{IssuerId, RingName};

use super::caller::{Caller, Peer, Token, TokenHash};
use super::pattern::TextPattern;
use super::rules::Rules;
use super::spiffe::SpiffePattern;

/// Something that a caller can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Have claims signed; the daemon writes header, issuer and times.
    Sign,
    /// Have a signing input signed that the caller assembled.
    SignRaw,
    /// Have a digest signed, of whatever it may be.
    SignDigest,
    /// Read states, plans and versions.
    Read,
    /// Ask for a rotation.
    Rotate,
    /// Declare a key compromised.
    Compromise,
    /// Publish or withdraw a foreign, verify-only key.
    Import,
    /// Read the audit log.
    Audit,
}

impl Operation {
    /// Every operation, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Sign,
        Self::SignRaw,
        Self::SignDigest,
        Self::Read,
        Self::Rotate,
        Self::Compromise,
        Self::Import,
        Self::Audit,
    ];

    /// What `allow = ["admin"]` stands for: everything but signing.
    pub const ADMIN: [Self; 5] = [Self::Read, Self::Rotate, Self::Compromise, Self::Import, Self::Audit];

    /// The word used in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::SignRaw => "sign_raw",
            Self::SignDigest => "sign_digest",
            Self::Read => "read",
            Self::Rotate => "rotate",
            Self::Compromise => "compromise",
            Self::Import => "import",
            Self::Audit => "audit",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which callers a grant is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// A process of this user, over a Unix socket.
    Uid(u32),
    /// A process whose primary group is this one, over a Unix socket.
    Gid(u32),
    /// A process of this systemd unit, over a Unix socket.
    Unit(String),
    /// Whoever presents a token of a trusted issuer.
    Subject {
        /// The issuer's name in the configuration.
        issuer: String,
        /// Its `sub`.
        sub: TextPattern,
    },
    /// Whoever holds a client certificate for such a SPIFFE ID.
    Spiffe(SpiffePattern),
    /// Whoever holds a client certificate for this DNS name, which is in lower case.
    Dns(String),
    /// Whoever presents the bearer token with this SHA-256.
    Token(TokenHash),
    /// Any process on this machine, over loopback TCP: for trying out.
    Loopback,
}

impl Pattern {
    fn matches(&self, caller: &Caller) -> bool {
        match (self, caller.peer) {
            (Self::Uid(uid), Peer::Unix { uid: peer, .. }) => *uid == peer,
            (Self::Gid(gid), Peer::Unix { gid: peer, .. }) => *gid == peer,
            (Self::Loopback, Peer::Tcp(address)) => address.ip().to_canonical().is_loopback(),
            (Self::Spiffe(pattern), _) => {
                let id = caller.certificate.as_ref().and_then(|names| names.spiffe.as_ref());
                id.is_some_and(|id| pattern.matches(id))
            }
            (Self::Dns(name), _) => caller.certificate.as_ref().is_some_and(|names| names.dns.contains(name)),
            (Self::Unit(unit), Peer::Unix { .. }) => caller.unit.as_deref() == Some(unit),
            (Self::Token(hash), _) => caller.token == Some(Token::Secret(*hash)),
            (Self::Subject { issuer, sub }, _) => {
                matches!(&caller.token, Some(Token::Jwt(shown)) if shown.issuer == *issuer && sub.matches(&shown.sub))
            }
            _ => false,
        }
    }
}

/// One `[[grants]]` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// For whom.
    pub caller: Pattern,
    /// What; never empty.
    pub allow: BTreeSet<Operation>,
    /// At which issuer; at each, if absent.
    pub issuer: Option<IssuerId>,
    /// In which ring; in each, if absent. Never present without `issuer`.
    pub ring: Option<RingName>,
    /// What may be signed.
    pub rules: Rules,
    /// Where in the configuration it stands; 0 if it was made by code.
    pub line: usize,
}

/// Why a grant has nothing to say about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// It is for another caller.
    Caller,
    /// It allows other operations.
    Operation,
    /// It is for another issuer.
    Issuer,
    /// It is for another ring.
    Ring,
}

impl Grant {
    /// A grant without rules.
    #[must_use]
    pub fn new(caller: Pattern, allow: impl IntoIterator<Item = Operation>) -> Self {
        let (issuer, ring, rules) = (None, None, Rules::default());
        Self { caller, allow: allow.into_iter().collect(), issuer, ring, rules, line: 0 }
    }

    /// Whether it is about this call.
    ///
    /// # Errors
    /// [`Miss`] names the first of its keys that is about something else.
    pub fn reaches(
        &self,
        caller: &Caller,
        operation: Operation,
        issuer: Option<&IssuerId>,
        ring: Option<&RingName>,
    ) -> Result<(), Miss> {
        match () {
            () if !self.caller.matches(caller) => Err(Miss::Caller),
            () if !self.allow.contains(&operation) => Err(Miss::Operation),
            () if self.issuer.as_ref().is_some_and(|granted| issuer != Some(granted)) => Err(Miss::Issuer),
            () if self.ring.as_ref().is_some_and(|granted| ring != Some(granted)) => Err(Miss::Ring),
            () => Ok(()),
        }
    }
}

/// The grants that let a caller ask for a signature; each has rules of its own about what is signed.
#[derive(Debug, Clone)]
pub struct Permit<'a> {
    first: &'a Grant,
    others: Vec<&'a Grant>,
}

impl<'a> Permit<'a> {
    /// What `attempt` makes of the first grant that it succeeds with: one grant has to allow the whole.
    ///
    /// # Errors
    /// If none does, what it says of the first of all.
    pub fn first_that<T, E>(&self, attempt: impl Fn(&'a Grant) -> Result<T, E>) -> Result<T, E> {
        attempt(self.first).or_else(|error| self.others.iter().find_map(|grant| attempt(grant).ok()).ok_or(error))
    }
}

/// Everything that is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants(Vec<Grant>);

impl Grants {
    /// Takes the grants in the order of the configuration.
    #[must_use]
    pub fn new(grants: Vec<Grant>) -> Self {
        Self(grants)
    }

    /// Whether some grant asks for the systemd unit of callers.
    #[must_use]
    pub fn name_units(&self) -> bool {
        self.0.iter().any(|grant| matches!(grant.caller, Pattern::Unit(_)))
    }

    /// Whether some grant lets `caller` do `operation` at `issuer`, in `ring`.
    ///
    /// Without a ring, the operation concerns the issuer as a whole, and a grant for one ring is not
    /// enough; without an issuer, it concerns the installation, and only an unrestricted grant is.
    #[must_use]
    pub fn allow(
        &self,
        caller: &Caller,
        operation: Operation,
        issuer: Option<&IssuerId>,
        ring: Option<&RingName>,
    ) -> bool {
        self.0.iter().any(|grant| grant.reaches(caller, operation, issuer, ring).is_ok())
    }

    /// The grants by which `caller` may ask for a signature of this kind, if there are any.
    #[must_use]
    pub fn permit(
        &self,
        caller: &Caller,
        operation: Operation,
        issuer: &IssuerId,
        ring: &RingName,
    ) -> Option<Permit<'_>> {
        let mut all = self.0.iter().filter(|grant| grant.reaches(caller, operation, Some(issuer), Some(ring)).is_ok());
        Some(Permit { first: all.next()?, others: all.collect() })
    }

    /// Every grant, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::access::caller::{CertificateNames, Subject};

    fn unix(uid: u32) -> Caller {
        Caller::at(Peer::Unix { uid, gid: 100 })
    }

    fn tcp(address: &str) -> Caller {
        Caller::at(Peer::Tcp(address.parse().unwrap()))
    }

    fn grant(caller: Pattern, issuer: Option<&str>, ring: Option<&str>) -> Grants {
        let issuer = issuer.map(|name| IssuerId::new(name).unwrap());
        let ring = ring.map(|name| RingName::new(name).unwrap());
        Grants::new(vec![Grant { issuer, ring, ..Grant::new(caller, [Operation::Sign]) }])
    }

    #[test]
    fn nothing_is_allowed_that_is_not_granted() {
        let (main, es) = (IssuerId::new("main").unwrap(), RingName::new("es256").unwrap());
        let sign = |grants: &Grants, caller: &Caller| grants.allow(caller, Operation::Sign, Some(&main), Some(&es));
        assert!(!sign(&Grants::default(), &unix(0)));
        assert!(sign(&grant(Pattern::Uid(7), None, None), &unix(7)));
        assert!(!sign(&grant(Pattern::Uid(7), None, None), &unix(8)));
        assert!(sign(&grant(Pattern::Gid(100), Some("main"), Some("es256")), &unix(8)));
        assert!(!sign(&grant(Pattern::Gid(100), Some("other"), None), &unix(8)));
        assert!(!sign(&grant(Pattern::Gid(100), None, Some("rs256")), &unix(8)));
        assert!(sign(&grant(Pattern::Loopback, None, None), &tcp("127.0.0.1:9")));
        assert!(sign(&grant(Pattern::Loopback, None, None), &tcp("[::ffff:127.0.0.1]:9")));
        assert!(!sign(&grant(Pattern::Loopback, None, None), &tcp("192.0.2.1:9")));
        assert!(!sign(&grant(Pattern::Loopback, None, None), &unix(0)));
        assert!(!grant(Pattern::Uid(7), None, None).allow(&unix(7), Operation::SignRaw, Some(&main), Some(&es)));
    }

    #[test]
    fn a_grant_for_a_part_does_not_reach_the_whole() {
        let main = IssuerId::new("main").unwrap();
        let part = grant(Pattern::Uid(7), Some("main"), Some("es256"));
        assert!(!part.allow(&unix(7), Operation::Sign, Some(&main), None));
        assert!(!grant(Pattern::Uid(7), Some("main"), None).allow(&unix(7), Operation::Sign, None, None));
    }

    #[test]
    fn a_certificate_is_known_by_its_names() {
        let main = IssuerId::new("main").unwrap();
        let holder = |spiffe: Option<&str>, dns: &[&str]| {
            let spiffe = spiffe.map(|id| id.parse().unwrap());
            let dns = dns.iter().map(ToString::to_string).collect();
            Caller { certificate: Some(Arc::new(CertificateNames { spiffe, dns })), ..tcp("192.0.2.1:9") }
        };
        let sign = |pattern: &Pattern, caller: &Caller| {
            grant(pattern.clone(), None, None).allow(caller, Operation::Sign, Some(&main), None)
        };
        let below = Pattern::Spiffe("spiffe://td/idp/*".parse().unwrap());
        let dns = Pattern::Dns("idp.example.com".to_owned());
        let both = holder(Some("spiffe://td/idp/a"), &["x.example.com", "idp.example.com"]);
        assert!(sign(&below, &both) && sign(&dns, &both));
        assert_eq!(both.to_string(), "spiffe://td/idp/a");
        let other = holder(None, &["*.example.com"]);
        assert!(!sign(&below, &other) && !sign(&dns, &other));
        assert_eq!(other.to_string(), "dns:*.example.com");
        assert!(!sign(&below, &tcp("127.0.0.1:9")) && !sign(&dns, &unix(0)));
    }

    #[test]
    fn a_token_is_known_by_its_hash() {
        let hash = TokenHash([9; 32]);
        let grants = grant(Pattern::Token(hash), None, None);
        let caller = Caller { token: Some(Token::Secret(hash)), ..tcp("192.0.2.1:9") };
        let main = IssuerId::new("main").unwrap();
        assert!(grants.allow(&caller, Operation::Sign, Some(&main), None));
        assert!(!grants.allow(&tcp("192.0.2.1:9"), Operation::Sign, Some(&main), None));
        assert_eq!(caller.to_string(), "token:09090909");
    }

    #[test]
    fn a_subject_is_known_by_its_issuer_and_a_process_by_its_unit() {
        let main = IssuerId::new("main").unwrap();
        let sign = |pattern: &Pattern, caller: &Caller| {
            grant(pattern.clone(), None, None).allow(caller, Operation::Sign, Some(&main), None)
        };
        let pattern =
            |issuer: &str, sub: &str| Pattern::Subject { issuer: issuer.to_owned(), sub: sub.parse().unwrap() };
        let subject = Subject { issuer: "k8s".to_owned(), sub: "system:serviceaccount:a:idp".to_owned() };
        let caller = Caller { token: Some(Token::Jwt(Arc::new(subject))), ..tcp("192.0.2.1:9") };
        assert!(sign(&pattern("k8s", "system:serviceaccount:a:idp"), &caller));
        assert!(sign(&pattern("k8s", "system:serviceaccount:a:*"), &caller));
        assert!(!sign(&pattern("k8s", "system:serviceaccount:b:*"), &caller));
        assert!(!sign(&pattern("other", "*"), &caller));
        assert_eq!(caller.to_string(), "jwt:k8s:system:serviceaccount:a:idp");

        let process = Caller { unit: Some("idp.service".into()), ..unix(7) };
        assert!(sign(&Pattern::Unit("idp.service".to_owned()), &process));
        assert!(!sign(&Pattern::Unit("idp".to_owned()), &process));
        assert!(!sign(&Pattern::Unit("idp.service".to_owned()), &unix(7)));
        assert_eq!(process.to_string(), "uid:7,unit:idp.service");
    }
}
