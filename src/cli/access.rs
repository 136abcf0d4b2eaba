//! `jwksd access explain`: whether something is allowed, by which grant, and why the others don't; without the daemon.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use super::args::{Access, Explain};
use super::context::Context;
use super::failure::Failure;
use super::paint::{BAD, GOOD, paint, tame};
use crate::access::caller::{Caller, CertificateNames, Peer, Subject, Token, TokenHash};
use crate::access::claims::{Bounds, ClaimsError};
use crate::access::grant::{Grant, Miss, Operation};
use crate::access::rules::Draft;
use crate::config::{Config, Issuer, Ring};
use crate::jose::json::{Limits, Object};
use crate::lifecycle::time::Timestamp;

/// Does what the arguments say.
pub fn access(command: &Access, context: Context<'_>) -> Result<(), Failure> {
    let Access::Explain(question) = command;
    let config = Config::load(&question.config.path)?;
    let claims = question.claims.as_ref().map(|text| text.0.as_str());
    let explanation = explain(&config, question, claims, context.now())?;
    context.tell(&explanation, render)?;
    if explanation.allowed { Ok(()) } else { Err(Failure::NotAllowed) }
}

/// What a configuration says to one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether it is allowed.
    pub allowed: bool,
    /// The file.
    pub config: String,
    /// The line of the grant that decides: the one that allows, or the first that is about this and does not.
    pub line: Option<usize>,
    /// The key of that grant that forbids it.
    pub rule: Option<&'static str>,
    /// Why, in words.
    pub why: String,
    /// What each grant says, in the order of the configuration.
    pub grants: Vec<Said>,
}

/// What one grant says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// Its line.
    pub line: usize,
    /// Whether it allows the whole.
    pub allows: bool,
    /// Why not, or what it is about.
    pub why: String,
}

/// Looks at every grant.
///
/// # Errors
/// [`Failure::Usage`] if the question makes no sense.
pub fn explain(config: &Config, asked: &Explain, claims: Option<&str>, now: Timestamp) -> Result<Explanation, Failure> {
    let caller = caller(&asked.callers);
    let issuer = asked.issuer.as_ref().map(|id| config.issuers.get(id).ok_or_else(|| unknown("issuer", id.as_str())));
    let issuer = issuer.transpose()?;
    let ring = match (issuer, &asked.ring) {
        (Some(issuer), Some(name)) => Some(issuer.rings.get(name).ok_or_else(|| unknown("ring", name.as_str()))?),
        _ => None,
    };
    let signed = issuer.zip(ring).filter(|_| matches!(asked.operation.0, Operation::Sign | Operation::SignRaw));
    if asked.operation.0 == Operation::SignDigest && claims.is_some() {
        return Err(Failure::Usage("--claims: nothing is known of what a digest is made of; leave it out".to_owned()));
    }
    let object = claims.map(|text| Object::parse(text, &Limits::DEFAULT)).transpose();
    let object = object.map_err(|error| Failure::Usage(format!("--claims: {error}")))?;
    let mut explanation = Explanation {
        allowed: false,
        config: asked.config.path.display().to_string(),
        line: None,
        rule: None,
        why: "no grant is about this: everything that no grant allows is refused".to_owned(),
        grants: Vec::new(),
    };
    for grant in &config.grants {
        let reached = grant.reaches(&caller, asked.operation.0, asked.issuer.as_ref(), asked.ring.as_ref());
        let (allows, rule, why) = match (reached, signed, &object) {
            (Err(miss), _, _) => (false, None, missed(miss).to_owned()),
            (Ok(()), Some((issuer, ring)), Some(claims)) => {
                match judged(grant, asked, issuer, ring, claims, claims_len(asked), now) {
                    Ok(until) => (true, None, format!("it allows this; the token would live for {}", until.since(now))),
                    Err(error) => (false, error.rule(), error.to_string()),
                }
            }
            (Ok(()), _, _) => (true, None, "it allows this".to_owned()),
        };
        let is_first = explanation.line.is_none();
        if reached.is_ok() && (is_first || allows) && !explanation.allowed {
            let line = Some(grant.line);
            explanation = Explanation { allowed: allows, line, rule, why: why.clone(), ..explanation };
        }
        explanation.grants.push(Said { line: grant.line, allows, why });
    }
    if let Some(why) = ring.and_then(|ring| refused_by_ring(ring, asked.operation.0)).filter(|_| explanation.allowed) {
        return Ok(Explanation { allowed: false, line: None, rule: None, why: why.to_owned(), ..explanation });
    }
    Ok(explanation)
}

/// Why the ring signs nothing of this kind, whatever a grant says.
const fn refused_by_ring(ring: &Ring, operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::Sign | Operation::SignRaw if ring.digests => {
            Some("a grant allows this, but the ring signs digests and nothing else (digests = true)")
        }
        Operation::SignRaw if !ring.raw_signatures => {
            Some("a grant allows this, but the ring signs claims only (raw_signatures = false)")
        }
        Operation::SignDigest if !ring.digests => {
            Some("a grant allows this, but the ring signs tokens and no digests (digests = false)")
        }
        _ => None,
    }
}

fn claims_len(asked: &Explain) -> usize {
    asked.claims.as_ref().map_or(0, |claims| claims.0.len())
}

/// What the signer would make of it.
fn judged(
    grant: &Grant,
    asked: &Explain,
    issuer: &Issuer,
    ring: &Ring,
    claims: &Object<'_>,
    size: usize,
    now: Timestamp,
) -> Result<Timestamp, ClaimsError> {
    let lifetime = ring.policy.terms().token_lifetime_max;
    let url = issuer.url.as_str();
    if asked.operation.0 == Operation::SignRaw {
        let bounds = Bounds { iss: url, now, lifetime, skew: issuer.skew };
        return grant.rules.assembled(bounds, claims, asked.typ.as_ref(), size);
    }
    let iss_json = serde_json::Value::from(url).to_string();
    let draft = Draft {
        claims,
        typ: asked.typ.as_ref().or(Some(&ring.typ)),
        ttl: asked.ttl,
        iss_json: &iss_json,
        now,
        // As long as a real one.
        jti: "0000000000000000000000",
        lifetime,
    };
    grant.rules.draft(draft).map(|(_, exp)| exp)
}

const fn missed(miss: Miss) -> &'static str {
    match miss {
        Miss::Caller => "it is for another caller",
        Miss::Operation => "it allows other operations",
        Miss::Issuer => "it is for another issuer",
        Miss::Ring => "it is for another ring",
    }
}

fn unknown(what: &str, name: &str) -> Failure {
    Failure::Usage(format!("--{what}: the configuration has no {what} {name}"))
}

/// The answer for people.
#[must_use]
pub fn render(explanation: &Explanation) -> String {
    let Explanation { allowed, config, line, rule, why, grants } = explanation;
    let verdict = if *allowed { paint(GOOD, "yes") } else { paint(BAD, "no") };
    let place = line.map_or(String::new(), |line| format!(" {}:{line}:", tame(config)));
    let rule = rule.map_or(String::new(), |rule| format!(" {rule}:"));
    let mut text = format!("{verdict}:{place}{rule} {}\n", tame(why));
    for Said { line, allows: _, why } in grants {
        text.push_str(&format!("  line {line}: {}\n", tame(why)));
    }
    text
}

/// One thing that is known of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A user.
    Uid(u32),
    /// A group.
    Gid(u32),
    /// A systemd service.
    Unit(String),
    /// A SPIFFE ID.
    Spiffe(crate::access::spiffe::SpiffeId),
    /// A DNS name.
    Dns(String),
    /// A subject of a trusted issuer.
    Jwt(Subject),
    /// The SHA-256 of a token.
    Token(TokenHash),
    /// A connection from this machine over TCP.
    Loopback,
}

impl FromStr for Proof {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("{text:?} is not a numeric id"));
        if text == "loopback" {
            return Ok(Self::Loopback);
        }
        if text.starts_with("spiffe://") {
            return text.parse().map(Self::Spiffe).map_err(|error: crate::access::spiffe::NotSpiffe| error.to_string());
        }
        match text.split_once(':') {
            Some(("uid", id)) => number(id).map(Self::Uid),
            Some(("gid", id)) => number(id).map(Self::Gid),
            Some(("unit", name)) => Ok(Self::Unit(name.to_owned())),
            Some(("dns", name)) => Ok(Self::Dns(name.to_ascii_lowercase())),
            Some(("jwt", rest)) => {
                let (issuer, sub) = rest.split_once(':').ok_or("write jwt:ISSUER:SUB")?;
                Ok(Self::Jwt(Subject { issuer: issuer.to_owned(), sub: sub.to_owned() }))
            }
            Some(("token_sha256", hex)) => {
                hash(hex).map(Self::Token).ok_or_else(|| "not 64 hexadecimal digits".to_owned())
            }
            _ => Err(
                "write uid:N, gid:N, unit:NAME, spiffe://ID, dns:NAME, jwt:ISSUER:SUB, token_sha256:HEX or loopback"
                    .to_owned(),
            ),
        }
    }
}

fn hash(hex: &str) -> Option<TokenHash> {
    let digit = |index: usize| hex.get(index..index + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Vec<u8> = (0..64).step_by(2).map(digit).collect::<Option<_>>()?;
    bytes.try_into().ok().filter(|_| hex.len() == 64).map(TokenHash)
}

/// A caller of whom all of this is known.
fn caller(proofs: &[Proof]) -> Caller {
    let nowhere = Peer::Tcp((Ipv4Addr::new(192, 0, 2, 1), 1).into());
    let mut caller = Caller::at(nowhere);
    let mut names = CertificateNames::default();
    for proof in proofs {
        let (uid, gid) = match caller.peer {
            Peer::Unix { uid, gid } => (uid, gid),
            Peer::Tcp(_) => (u32::MAX, u32::MAX),
        };
        match proof {
            Proof::Uid(uid) => caller.peer = Peer::Unix { uid: *uid, gid },
            Proof::Gid(gid) => caller.peer = Peer::Unix { uid, gid: *gid },
            Proof::Unit(unit) => {
                caller.peer = Peer::Unix { uid, gid };
                caller.unit = Some(unit.as_str().into());
            }
            Proof::Spiffe(id) => names.spiffe = Some(id.clone()),
            Proof::Dns(name) => names.dns.push(name.clone()),
            Proof::Jwt(subject) => caller.token = Some(Token::Jwt(Arc::new(subject.clone()))),
            Proof::Token(hash) => caller.token = Some(Token::Secret(*hash)),
            Proof::Loopback => caller.peer = Peer::Tcp((IpAddr::from(Ipv4Addr::LOCALHOST), 1).into()),
        }
    }
    if names != CertificateNames::default() {
        caller.certificate = Some(Arc::new(names));
    }
    caller
}

/// Claims on the command line: JSON, or `@` and a file of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimsText(pub String);

impl FromStr for ClaimsText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix('@') {
            None => Ok(Self(text.to_owned())),
            Some(path) => fs::read_to_string(PathBuf::from(path)).map(Self).map_err(|error| format!("{path}: {error}")),
        }
    }
}

/// An operation by its name in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named(pub Operation);

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Operation::ALL.into_iter().find(|operation| operation.as_str() == text);
        found.map(Self).ok_or_else(|| format!("write one of {}", Operation::ALL.map(Operation::as_str).join(", ")))
    }
}
