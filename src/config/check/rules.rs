//! What a grant lets its caller have signed.

use toml::Spanned;

use super::faults::Faults;
use crate::access::rules::Rules;
use crate::config::file::ClaimsTable;
use crate::config::one_or_many::OneOrMany;
use crate::config::value::{Scalar, plain};
use crate::lifecycle::time::Span;

/// The claims that the daemon decides on by itself.
const OURS: [&str; 4] = ["iss", "iat", "exp", "jti"];

pub(super) fn rules(table: Spanned<ClaimsTable>, faults: &mut Faults<'_>) -> Option<Rules> {
    let place = table.span();
    let ClaimsTable { aud, sub, typ, max_ttl, require, forbid, values, max_size } = table.into_inner();
    let is_empty = [("aud", is_none(aud.as_ref())), ("sub", is_none(sub.as_ref())), ("typ", is_none(typ.as_ref()))];
    for (name, _) in is_empty.into_iter().filter(|(_, is_empty)| *is_empty) {
        faults.at(&place, format!("{name} = [] allows none, so nothing could be signed; list some, or leave it out"));
    }
    for (name, key) in values.keys().map(|key| (key.get_ref().clone(), key)) {
        match name.as_str() {
            name if OURS.contains(&name) => {
                faults.at(&key.span(), "the daemon decides on this claim; remove it");
            }
            "aud" | "sub" => faults.at(&key.span(), format!("has a rule of its own; write {name} = … beside values")),
            _ => {}
        }
    }
    for claim in forbid.iter().flat_map(|list| &list.0) {
        let name = claim.get_ref().0.0.as_str();
        let is_required = require.iter().flat_map(|list| &list.0).any(|required| required.get_ref().0.0 == name);
        if OURS.contains(&name) {
            faults.at(&claim.span(), format!("every token has {name}; remove it"));
        } else if is_required || values.keys().any(|key| key.get_ref() == name) {
            faults.at(&claim.span(), format!("{name} is required and forbidden at once, so nothing could be signed"));
        } else if (name == "aud" && aud.is_some()) || (name == "sub" && sub.is_some()) {
            faults.at(&claim.span(), format!("{name} is forbidden, and has a rule that requires it; keep one"));
        }
    }
    if let Some(none) = max_ttl.as_ref().filter(|ttl| ttl.get_ref().0 == Span::ZERO) {
        faults.at(&none.span(), "0s is no time at all; set it to at least 1s");
    }
    let names = |list: Option<OneOrMany<_>>| many(list).unwrap_or_default();
    Some(Rules {
        aud: many(aud).map(|all| all.into_iter().map(|one: crate::config::scalar::PlainText| one.0).collect()),
        sub: many(sub),
        typ: many(typ),
        max_ttl: plain(max_ttl),
        require: names(require).into_iter().map(|name: crate::config::scalar::PlainText| name.0).collect(),
        forbid: names(forbid).into_iter().map(|name| name.0).collect(),
        values: values.into_iter().map(|(name, value)| (name.into_inner(), value.into_inner().0.0)).collect(),
        max_size: plain(max_size).map(|size| usize::try_from(size.0).unwrap_or(usize::MAX)),
    })
}

fn is_none<T>(list: Option<&OneOrMany<T>>) -> bool {
    list.is_some_and(|list| list.0.is_empty())
}

fn many<T: Scalar>(list: Option<OneOrMany<T>>) -> Option<Vec<T>> {
    list.map(|list| list.0.into_iter().map(|one| one.into_inner().0).collect())
}
