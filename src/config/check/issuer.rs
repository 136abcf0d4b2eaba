//! The issuers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use toml::Spanned;

use super::backend::Backends;
use super::faults::Faults;
use super::ring::{Surroundings, is_set, ring};
use super::{Entry, all, entries, size};
use crate::config::document::Place;
use crate::config::file::{IssuerTable, Named, PublishTable, RingTable};
use crate::config::nearest::nearest;
use crate::config::one_or_many::{OwnVerifier, Verifier};
use crate::config::tree::{Issuer, Ring, SetLimits};
use crate::config::url::IssuerUrl;
use crate::config::value::{Section, plain};
use crate::ids::{BackendId, IssuerId, RESERVED_ISSUER, RingName};
use crate::jose::alg::Algorithm;
use crate::lifecycle::policy;
use crate::lifecycle::verifiers::{self, Profile};

/// The named issuers, those with faults included, so that references to them are not called unknown.
pub(super) type Issuers = BTreeMap<IssuerId, FoundIssuer>;

/// An issuer that is named in the file.
#[derive(Debug)]
pub(super) struct FoundIssuer {
    /// The names of its rings, those with faults included.
    pub(super) rings: BTreeSet<RingName>,
    /// Those of them that sign digests.
    pub(super) digests: BTreeSet<RingName>,
    /// The backends that its rings name.
    pub(super) backends: BTreeSet<BackendId>,
    /// Absent if it has a fault.
    pub(super) issuer: Option<Issuer>,
}

pub(super) fn issuers(tables: Named<IssuerTable>, backends: &Backends, faults: &mut Faults<'_>) -> Issuers {
    if tables.is_empty() {
        faults.absent(None, "issuers", "missing; add a table [issuers.NAME] with its url, and a ring");
    }
    let mut found = Issuers::new();
    let mut paths: HashMap<String, IssuerId> = HashMap::new();
    for Entry { name, place, table } in entries(tables, IssuerId::new, faults) {
        if let Some(url) = &table.url {
            let path = url.get_ref().0.path();
            if let Some(other) = paths.get(path) {
                faults.at(&url.span(), format!("{}; give each issuer its own path", same_path(path, other)));
            }
            paths.entry(path.to_owned()).or_insert_with(|| name.clone());
        }
        if name.as_str() == RESERVED_ISSUER {
            let problem = "this name is jwksd's own: its keys that belong to no issuer are labelled so in a backend; \
                           choose another";
            faults.at(&place, problem);
        }
        let issuer = issuer(table, &place, backends, faults);
        found.insert(name, issuer);
    }
    found
}

fn same_path(path: &str, other: &IssuerId) -> String {
    match path {
        "" => format!("issuer {other} has no path either, and paths alone tell issuers apart on the public listener"),
        _ => {
            format!("issuer {other} has the path {path} too, and paths alone tell issuers apart on the public listener")
        }
    }
}

fn issuer(table: IssuerTable, place: &Place, backends: &Backends, faults: &mut Faults<'_>) -> FoundIssuer {
    let IssuerTable {
        url,
        jwks_max_age,
        verifiers,
        skew,
        openid_configuration,
        known_to_verifiers,
        max_keys,
        max_bytes,
        publish,
        rings,
    } = table;
    let remedy = "set it to what stands in iss, such as \"https://id.example.com\"";
    let url: Option<IssuerUrl> = faults.require(place, "url", url, remedy);
    let jwks_max_age = faults.nonzero(jwks_max_age, policy::JWKS_MAX_AGE);
    let skew = plain(skew).unwrap_or(policy::SKEW);
    let verifiers = profiles(verifiers, faults);
    let own_key = faults.key(place);
    let doubted = ["jwks_max_age", "skew", "verifiers"].iter().any(|key| faults.doubted(&format!("{own_key}.{key}")));
    let around = Surroundings { jwks_max_age, skew, verifiers: &verifiers, backends, doubted };
    let used = rings.values().flat_map(|ring| [&ring.get_ref().backend, &ring.get_ref().standby_backend]);
    let used = used.flatten().map(|backend| backend.get_ref().0.clone()).collect();
    let digests = digest_rings(&rings, faults);
    let (names, rings) = build_rings(rings, place, &around, faults);
    let openid_place = openid_configuration.as_ref().map(Spanned::span);
    let openid_configuration = plain(openid_configuration).unwrap_or_default();
    let limits = SetLimits::default();
    let limits = SetLimits {
        max_keys: plain(max_keys).map_or(limits.max_keys, |count| count.0),
        max_bytes: size::max_bytes(max_bytes, faults).unwrap_or(limits.max_bytes),
    };
    if let Some(rings) = &rings {
        size::check(rings, limits, place, faults);
        let rs256 = rings.values().any(|ring| ring.key.algorithm() == Algorithm::Rs256);
        if let Some(place) = openid_place.filter(|_| openid_configuration && !rs256) {
            faults.warn(
                &place,
                "OpenID Connect Discovery demands RS256, and no ring of this issuer has it; strict clients refuse the \
                 document",
            );
        }
    }
    let directories = directories(publish, faults);
    let build = || {
        let (url, rings) = (url?, rings?);
        Some(Issuer {
            url,
            jwks_max_age,
            verifiers,
            skew,
            openid_configuration,
            known_to_verifiers: plain(known_to_verifiers).unwrap_or_default(),
            limits,
            directories,
            rings,
        })
    };
    FoundIssuer { rings: names, digests, backends: used, issuer: build() }
}

/// The rings that sign digests. Verifiers take each key of a JWK Set for each token, so one beside other rings would
/// sign what the grants of those forbid.
fn digest_rings(tables: &Named<RingTable>, faults: &mut Faults<'_>) -> BTreeSet<RingName> {
    let (digests, others): (Vec<_>, Vec<_>) = tables.iter().partition(|(_, table)| is_set(&table.get_ref().digests));
    if let [(other, _), ..] = others.as_slice() {
        for place in digests.iter().filter_map(|(_, table)| Some(table.get_ref().digests.as_ref()?.span())) {
            let problem = format!(
                "ring {} of this issuer signs tokens by rules, and verifiers would take for its tokens whatever this \
                 ring signs; give rings that sign digests an issuer of their own",
                other.get_ref()
            );
            faults.at(&place, problem);
        }
    }
    digests.iter().filter_map(|(name, _)| RingName::new(name.get_ref()).ok()).collect()
}

type Rings = (BTreeSet<RingName>, Option<BTreeMap<RingName, Ring>>);

fn build_rings(tables: Named<RingTable>, place: &Place, around: &Surroundings<'_>, faults: &mut Faults<'_>) -> Rings {
    if tables.is_empty() {
        let problem = format!(
            "missing; an issuer needs at least one ring: add a table [{}.rings.es256] with algorithm and backend",
            faults.key(place)
        );
        faults.absent(Some(place), "rings", problem);
    }
    let entries = entries(tables, RingName::new, faults);
    let names = entries.iter().map(|entry| entry.name.clone()).collect();
    let build = |Entry { name, place, table }| Some((name, ring(table, &place, around, faults)?));
    // Every ring is looked at, also after one that has a fault.
    let rings: Vec<Option<(RingName, Ring)>> = entries.into_iter().map(build).collect();
    (names, all(rings.into_iter()))
}

fn profiles(verifiers: Option<Spanned<Vec<Spanned<Verifier>>>>, faults: &mut Faults<'_>) -> Vec<Profile> {
    let mut profiles: Vec<Profile> = Vec::new();
    for verifier in verifiers.map(Spanned::into_inner).unwrap_or_default() {
        let place = verifier.span();
        let Some(profile) = profile(verifier.into_inner(), &place, faults) else { continue };
        if profiles.iter().any(|other| other.name == profile.name) {
            faults.at(&place, format!("verifier {:?} is declared twice; keep one", profile.name));
        }
        profiles.push(profile);
    }
    profiles
}

fn profile(verifier: Verifier, place: &Place, faults: &mut Faults<'_>) -> Option<Profile> {
    match verifier {
        Verifier::Known(name) => {
            let profile = verifiers::find(&name);
            if profile.is_none() {
                let own = format!("{{ name = {name:?}, cache = \"2h\" }}");
                let list = || verifiers::names().collect::<Vec<_>>().join(", ");
                faults.at(
                    place,
                    match nearest(&name, verifiers::names()) {
                        Some(meant) => format!(
                            "no verifier {name:?} is known; did you mean {meant:?}? For one of your own write {own}"
                        ),
                        None => format!(
                            "no verifier {name:?} is known; for one of your own write {own}. Known are {}",
                            list()
                        ),
                    },
                );
            }
            profile
        }
        Verifier::Own(OwnVerifier { name, cache }) => {
            let name = faults.require(place, "name", name, "say which verifier this is");
            let remedy = "say for how long it may hold a JWK Set, such as cache = \"2h\"";
            let cache = faults.require(place, "cache", cache, remedy);
            Some(Profile::custom(&name?.0, cache?))
        }
    }
}

fn directories(publish: Section<PublishTable>, faults: &mut Faults<'_>) -> Vec<PathBuf> {
    let Some(publish) = publish else { return Vec::new() };
    let place = publish.span();
    let Some(directory) = publish.into_inner().directory else {
        faults.absent(Some(&place), "directory", "missing; name a directory such as \"/srv/www\", or remove the table");
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = Vec::new();
    for path in directory.0 {
        let (place, path) = (path.span(), path.into_inner().0.0);
        if found.contains(&path) {
            faults.at(&place, format!("{} is listed twice; keep one", path.display()));
        }
        found.push(path);
    }
    found
}
