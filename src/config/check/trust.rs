//! Whose tokens callers may show.

use std::collections::BTreeMap;

use super::entries;
use super::faults::{Faults, exactly_one};
use crate::config::document::Place;
use crate::config::file::{Named, TrustedIssuerTable};
use crate::config::tree::{JwksSource, TrustedIssuer};
use crate::config::value::plain;
use crate::ids::IssuerId;

/// The trusted issuers by name; an absent one has a fault.
pub(super) fn trusted_issuers(
    tables: Named<TrustedIssuerTable>,
    faults: &mut Faults<'_>,
) -> BTreeMap<String, Option<TrustedIssuer>> {
    let mut taken: Vec<(String, String)> = Vec::new();
    let mut issuers = BTreeMap::new();
    for entry in entries(tables, IssuerId::new, faults) {
        let name = entry.name.to_string();
        if let Some(url) = &entry.table.url {
            let iss = url.get_ref().0.0.clone();
            match taken.iter().find(|(theirs, _)| *theirs == iss) {
                Some((_, other)) => {
                    faults
                        .at(&url.span(), format!("{other} has the same url; by its iss a token is known, so keep one"));
                }
                None => taken.push((iss, name.clone())),
            }
        }
        issuers.insert(name, issuer(entry.table, &entry.place, faults));
    }
    issuers
}

fn issuer(table: TrustedIssuerTable, place: &Place, faults: &mut Faults<'_>) -> Option<TrustedIssuer> {
    let TrustedIssuerTable { url, jwks_url, jwks_file, ca, audience, algorithms, refresh, stale_for } = table;
    let url = faults.require(place, "url", url, "name the iss of its tokens, byte for byte");
    let sources = [("jwks_url", jwks_url.is_some()), ("jwks_file", jwks_file.is_some())];
    if let Some(ca) = ca.as_ref().filter(|_| jwks_url.is_none()) {
        faults.at(&ca.span(), "a file needs no certificate authority; remove it, or set jwks_url");
    }
    let ca = plain(ca).map(|path| path.0);
    let source = match (plain(jwks_url), plain(jwks_file)) {
        (Some(url), _) => Some(JwksSource::Url { url: url.0, ca }),
        (None, Some(file)) => Some(JwksSource::File(file.0)),
        (None, None) => None,
    };
    let audiences: Vec<String> =
        audience.map(|list| list.0).unwrap_or_default().into_iter().map(|one| one.into_inner().0.0).collect();
    if audiences.is_empty() {
        faults.absent(
            Some(place),
            "audience",
            "missing; name the aud that its tokens for this daemon carry, such as \"jwksd\", since without one every \
             token of that issuer for anybody would do",
        );
    }
    if let Some(problem) = exactly_one(&sources) {
        faults.at(place, problem);
    }
    let algorithms = match algorithms {
        None => TrustedIssuer::ALGORITHMS.to_vec(),
        Some(list) => list.0.into_iter().map(|one| one.into_inner().0).collect(),
    };
    let refresh = faults.nonzero(refresh, TrustedIssuer::REFRESH);
    Some(TrustedIssuer {
        url: url?.0,
        jwks: source?,
        audiences,
        algorithms,
        refresh,
        stale_for: faults.nonzero(stale_for, TrustedIssuer::STALE_FOR),
    })
}
