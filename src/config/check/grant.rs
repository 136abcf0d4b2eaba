//! Who may do what.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use super::faults::{Faults, configured, exactly_one};
use super::issuer::Issuers;
use super::rules;
use crate::access::caller::TokenHash;
use crate::access::grant::{Grant, Operation, Pattern};
use crate::access::rules::Rules;
use crate::config::document::Place;
use crate::config::file::{CallerTable, GrantTable};
use crate::config::nearest::nearest;
use crate::config::scalar::Allow;
use crate::config::tree::{Address, Listen, TrustedIssuer};
use crate::config::value::{Field, Parsed, plain};
use crate::ids::{IssuerId, RingName};

/// What grants refer to.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) issuers: &'a Issuers,
    pub(super) trusted: &'a BTreeMap<String, Option<TrustedIssuer>>,
    pub(super) listen: Option<&'a Listen>,
}

/// The grants; an absent one has a fault.
pub(super) fn grants(
    tables: Vec<Spanned<GrantTable>>,
    known: Known<'_>,
    faults: &mut Faults<'_>,
) -> Vec<Option<Grant>> {
    let grants: Vec<_> = tables.into_iter().map(|table| grant(table, known, faults)).collect();
    // A grant that has a fault may turn out to allow anything.
    let may =
        |operation| grants.iter().any(|grant| grant.as_ref().is_none_or(|grant| grant.allow.contains(&operation)));
    if ![Operation::Sign, Operation::SignRaw, Operation::SignDigest].into_iter().any(may) {
        faults.warn_absent("grants", "no grant allows sign or sign_raw, so nobody can have anything signed");
    }
    if !may(Operation::Compromise) {
        faults.warn_absent("grants", "no grant allows compromise (or admin), so nobody can act when a key has leaked");
    }
    grants
}

fn grant(table: Spanned<GrantTable>, known: Known<'_>, faults: &mut Faults<'_>) -> Option<Grant> {
    let place = table.span();
    let GrantTable { caller, allow, issuer, ring, claims } = table.into_inner();
    if caller.is_none() {
        faults.absent(Some(&place), "caller", "missing; say who this is for, such as caller = { uid = 1001 }");
    }
    let caller = caller.and_then(|table| {
        let place = table.span();
        let caller = build_caller(table, known, faults)?;
        warn_of_unreachable(&caller, &place, known.listen, faults);
        Some(caller)
    });
    let allow_place = allow.as_ref().map(Spanned::span);
    let allow = operations(allow, &place, faults);
    check_reference(&issuer, &ring, known.issuers, faults);
    if let (Some(at), Some(allow)) = (&allow_place, allow.as_ref().filter(|all| all.contains(&Operation::SignDigest))) {
        check_digests(allow, at, known.issuers, (&issuer, &ring), faults);
    }
    let signs = |allow: &BTreeSet<Operation>| allow.contains(&Operation::Sign) || allow.contains(&Operation::SignRaw);
    if let Some(claims) = claims.as_ref().filter(|_| allow.as_ref().is_some_and(|allow| !signs(allow))) {
        faults.at(
            &claims.span(),
            "rules on claims, but the grant allows neither sign nor sign_raw; remove one of the two",
        );
    }
    let rules = claims.map_or(Some(Rules::default()), |table| rules::rules(table, faults));
    let line = faults.line(&place);
    Some(Grant { caller: caller?, allow: allow?, issuer: plain(issuer), ring: plain(ring), rules: rules?, line })
}

fn build_caller(table: Spanned<CallerTable>, known: Known<'_>, faults: &mut Faults<'_>) -> Option<Pattern> {
    let place = table.span();
    let CallerTable { uid, gid, spiffe, dns, unit, issuer, sub, token_sha256, loopback } = table.into_inner();
    let set = [
        ("uid", uid.is_some()),
        ("gid", gid.is_some()),
        ("spiffe", spiffe.is_some()),
        ("dns", dns.is_some()),
        ("unit", unit.is_some()),
        ("issuer", issuer.is_some()),
        ("token_sha256", token_sha256.is_some()),
        ("loopback", loopback.is_some()),
    ];
    if let Some(problem) = exactly_one(&set) {
        if set.iter().any(|(_, set)| *set) || !faults.doubted(&faults.key(&place)) {
            faults.at(&place, problem);
        }
        return None;
    }
    if let Some(no) = loopback.as_ref().filter(|field| !field.get_ref().0) {
        faults.at(&no.span(), "a grant names a caller that may, not one that may not; write true or remove the grant");
    }
    let uid = plain(uid).map(|id| Pattern::Uid(id.0));
    let gid = plain(gid).map(|id| Pattern::Gid(id.0));
    let token = plain(token_sha256).map(|hash| Pattern::Token(TokenHash(hash.0)));
    if let Some(sub) = sub.as_ref().filter(|_| issuer.is_none()) {
        faults.at(&sub.span(), "whose sub? Add issuer = \"…\", the name of one of [trusted_issuers]");
    }
    if let Some(name) = &issuer {
        let (name_place, name) = (name.span(), &name.get_ref().0.0);
        if !known.trusted.contains_key(name) {
            let problem = unknown("trusted issuer", name, "", known.trusted.keys().map(String::as_str));
            faults.at(&name_place, problem);
        }
        if sub.is_none() {
            faults.absent(
                Some(&place),
                "sub",
                "missing; say whose tokens, such as sub = \"system:serviceaccount:prod:idp\"",
            );
        }
    }
    let subject = plain(issuer).zip(plain(sub)).map(|(issuer, sub)| Pattern::Subject { issuer: issuer.0, sub });
    let unit = plain(unit).map(|unit| Pattern::Unit(unit.0));
    let spiffe = plain(spiffe).map(Pattern::Spiffe);
    let dns = plain(dns).map(|name| Pattern::Dns(name.0));
    uid.or(gid).or(unit).or(subject).or(spiffe).or(dns).or(token).or(plain(loopback).map(|_| Pattern::Loopback))
}

type AllowList = Option<Spanned<Vec<Spanned<Parsed<Allow>>>>>;

fn operations(allow: AllowList, place: &Place, faults: &mut Faults<'_>) -> Option<BTreeSet<Operation>> {
    let remedy = "name at least one of sign, sign_raw, sign_digest, read, rotate, compromise, import, audit, or admin";
    let Some(allow) = allow else {
        faults.absent(Some(place), "allow", format!("missing; {remedy}"));
        return None;
    };
    let place = allow.span();
    let mut operations = BTreeSet::new();
    for word in allow.into_inner() {
        match word.into_inner().0 {
            Allow::One(operation) => drop(operations.insert(operation)),
            Allow::Admin => operations.extend(Operation::ADMIN),
        }
    }
    if operations.is_empty() && !faults.doubted(&faults.key(&place)) {
        faults.at(&place, format!("nothing is allowed; {remedy}"));
    }
    Some(operations)
}

fn check_reference(issuer: &Field<IssuerId>, ring: &Field<RingName>, issuers: &Issuers, faults: &mut Faults<'_>) {
    let Some(issuer) = issuer else {
        if let Some(ring) = ring {
            let key = faults.key(&ring.span());
            let issuer_key = key.strip_suffix("ring").map(|table| format!("{table}issuer")).unwrap_or_default();
            if !faults.doubted(&issuer_key) {
                faults.at(&ring.span(), "a ring without its issuer; add issuer = \"…\" to the same grant");
            }
        }
        return;
    };
    let id = &issuer.get_ref().0;
    let Some(found) = issuers.get(id) else {
        let problem = unknown("issuer", id.as_str(), "", issuers.keys().map(IssuerId::as_str));
        faults.at(&issuer.span(), problem);
        return;
    };
    if let Some(field) = ring {
        let name = &field.get_ref().0;
        if !found.rings.contains(name) {
            let within = format!(" in issuer {id}");
            let problem = unknown("ring", name.as_str(), &within, found.rings.iter().map(RingName::as_str));
            faults.at(&field.span(), problem);
        }
    }
}

/// Nothing is known of what was hashed, so such a grant says in full what it is: for one ring, and for nothing else.
fn check_digests(
    allow: &BTreeSet<Operation>,
    place: &Place,
    issuers: &Issuers,
    (issuer, ring): (&Field<IssuerId>, &Field<RingName>),
    faults: &mut Faults<'_>,
) {
    if allow.len() > 1 {
        let problem = "sign_digest beside other operations: no rule can be held over a digest, so it needs a grant of \
                       its own; move it to one";
        faults.at(place, problem);
    }
    let (Some(id), Some(ring)) = (issuer, ring) else {
        return faults.at(place, "sign_digest is granted for one ring; add issuer = \"…\" and ring = \"…\"");
    };
    let (id, name) = (&id.get_ref().0, &ring.get_ref().0);
    if issuers.get(id).is_some_and(|found| found.rings.contains(name) && !found.digests.contains(name)) {
        let problem = format!("ring {name} of issuer {id} signs no digests; set digests = true there, or name another");
        faults.at(&ring.span(), problem);
    }
}

fn unknown<'n>(what: &str, name: &str, within: &str, known: impl Iterator<Item = &'n str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(meant) => format!("no {what} {name} is configured{within}; did you mean {meant}?"),
        None => format!("no {what} {name} is configured{within}; {}", configured(known)),
    }
}

/// A grant that no connection can ever meet is most often a listener on the wrong kind of address.
fn warn_of_unreachable(caller: &Pattern, place: &Place, listen: Option<&Listen>, faults: &mut Faults<'_>) {
    let Some(listen) = listen else { return };
    let addresses = [&listen.signing.listener.address, &listen.admin.listener.address];
    let unix = addresses.iter().any(|address| matches!(address, Address::Unix(_)));
    let listeners = [&listen.signing.listener, &listen.admin.listener];
    let certified = listeners.iter().any(|listener| listener.tls.as_ref().is_some_and(|tls| tls.clients.is_some()));
    match caller {
        Pattern::Spiffe(_) | Pattern::Dns(_) if !certified => faults.warn(
            place,
            "neither signing nor admin has tls with client_ca, and only by that is a caller's certificate known; \
             nobody will match",
        ),
        Pattern::Uid(_) | Pattern::Gid(_) | Pattern::Unit(_) if !unix => faults.warn(
            place,
            "neither signing nor admin listens on a Unix socket, and only there does a caller have a uid and \
             gid; nobody will match",
        ),
        Pattern::Loopback if addresses.iter().all(|address| matches!(address, Address::Unix(_))) => faults.warn(
            place,
            "neither signing nor admin listens on TCP, and only there is a caller recognised by loopback; \
             nobody will match",
        ),
        _ => {}
    }
}
