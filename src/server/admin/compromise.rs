//! A key has leaked: one command, and what the operator needs to know after it.

use axum::Extension;
use axum::extract::{Path, State};
use http::StatusCode;

use super::command::{Recorded, cause};
use super::strict::{Reply, Strict};
use super::{Inner, Shared, issuer, keys};
use crate::access::grant::Operation;
use crate::ids::{IssuerId, JwkSetVersion, Kid, RingName};
use crate::lifecycle::event::{Fact, Succession};
use crate::lifecycle::issuer::Issuer;
use crate::lifecycle::key_ring::KeyRing;
use crate::lifecycle::state::{Next, Private, Withdrawn};
use crate::lifecycle::time::{Span, Timestamp};
use crate::lifecycle::verifiers::Profile;
use crate::server::api::{self, Moment, PrivateHalf};
use crate::server::problem::{Code, Refusal};
use crate::signer::Asker;
use crate::snapshot::Place;

/// Declares a key compromised. Signing moves to a ready standby in the same step, the key leaves the JWK Set, a
/// key that nobody has seen is made, and the private half is destroyed. Declaring it again changes nothing
/// and answers anew.
#[utoipa::path(post, path = "/v1/issuers/{issuer}/compromise", tag = "command",
    params(("issuer" = String, Path, description = "The issuer's name")),
    request_body = api::CompromiseRequest,
    responses(
        (status = 200, description = "It is over: the set without the key is published", body = api::CompromiseReport),
        (status = 202, description = "It was recorded, and the key signs no more; the set without it is not published everywhere yet", body = api::CompromiseReport),
        (status = "4XX", description = "There is no such key, or not for this caller", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "It could not be recorded now", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn compromise(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(name): Path<String>,
    Strict(request): Strict<api::CompromiseRequest>,
) -> Result<Reply<api::CompromiseReport>, Refusal> {
    let api::CompromiseRequest { kid, reason, activate_unpropagated } = request;
    let kid = parse_kid(&kid)?;
    let (id, place) = shared.issuer_of_key(&asker, Operation::Compromise, &name, &kid)?;
    let reason = reason.trim().to_owned();
    if reason.is_empty() {
        return Err(Code::MemberValue.refusal("reason: say why, for whoever reads the audit log"));
    }
    let succession = if activate_unpropagated { Succession::WhenPublished } else { Succession::WhenPropagated };
    let fact = Fact::Compromised { kid: kid.clone(), reason: reason.clone(), succession };
    let recorded = shared.record(&id, fact, cause(&asker, Some(reason))?).await?;
    let report = report(&id, place, &kid, shared.verifiers(&id)).ok_or_else(unknown_kid)?;
    let is_over = recorded == Recorded::Published && report.withdrawal_seen_at.is_some();
    Ok(Reply(if is_over { StatusCode::OK } else { StatusCode::ACCEPTED }, report))
}

/// What became of a compromised key, as it stands now.
#[utoipa::path(get, path = "/v1/issuers/{issuer}/compromised/{kid}", tag = "read",
    params(("issuer" = String, Path, description = "The issuer's name"), ("kid" = String, Path, description = "The key")),
    responses(
        (status = 200, description = "The report", body = api::CompromiseReport),
        (status = "4XX", description = "No such key was declared compromised, or not for this caller", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn compromised(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path((name, kid)): Path<(String, String)>,
) -> Result<Reply<api::CompromiseReport>, Refusal> {
    let kid = parse_kid(&kid)?;
    let (id, place) = shared.issuer_of_key(&asker, Operation::Read, &name, &kid)?;
    report(&id, place, &kid, shared.verifiers(&id)).map(Reply::ok).ok_or_else(unknown_kid)
}

pub(super) fn parse_kid(text: &str) -> Result<Kid, Refusal> {
    Kid::new(text).map_err(|error| Code::MemberValue.refusal(format!("kid: {error}")))
}

fn unknown_kid() -> Refusal {
    Code::UnknownKid.refusal("no key with this kid was declared compromised here")
}

impl Inner {
    /// The issuer of that name, for a caller who is granted `operation` for all of it, or for the ring of the key.
    fn issuer_of_key(
        &self,
        asker: &Asker,
        operation: Operation,
        name: &str,
        kid: &Kid,
    ) -> Result<(IssuerId, &std::sync::Arc<Place>), Refusal> {
        let place = self.parts.rotator.places.get(name);
        let ring = place.and_then(|place| ring_of(place.state().issuer(), kid));
        self.issuer(asker, operation, name, ring.as_ref())
    }
}

fn ring_of(issuer: &Issuer, kid: &Kid) -> Option<RingName> {
    let mut rings = issuer.state().rings.values();
    rings.find(|ring| ring.kids().any(|known| known == kid)).map(|ring| ring.state().name.clone())
}

/// What is remembered of one compromised key.
struct Fallen<'a> {
    ring: Option<&'a KeyRing>,
    reason: &'a str,
    withdrawn: Withdrawn,
    seen_at: Option<Timestamp>,
    private: (PrivateHalf, Option<Timestamp>),
}

fn report(id: &IssuerId, place: &Place, kid: &Kid, verifiers: &[Profile]) -> Option<api::CompromiseReport> {
    let snapshot = place.state();
    let issuer = snapshot.issuer();
    let fallen = find(issuer, kid)?;
    let signer = fallen.ring.and_then(|ring| ring.state().signer.as_ref());
    let resumes_at = fallen.ring.filter(|_| signer.is_none()).and_then(KeyRing::next_may_sign_at);
    let (private_half, gone_at) = fallen.private;
    let caches_until = issuer.state().rings.values().filter_map(|ring| ring.state().promise.caches_until).max();
    let forgetting = verifiers
        .iter()
        .map(|verifier| forgetting(verifier, fallen.seen_at, place.settings.jwks_max_age, caches_until));
    Some(api::CompromiseReport {
        issuer: id.to_string(),
        ring: fallen.ring.map(|ring| ring.state().name.to_string()),
        kid: kid.to_string(),
        reason: fallen.reason.to_owned(),
        declared_at: Moment(fallen.withdrawn.at),
        revision: snapshot.revision().get(),
        jwk_set_version: fallen.withdrawn.listed_until.get(),
        withdrawal_seen_at: fallen.seen_at.map(Moment),
        signer: signer.map(issuer::signer_shown),
        resumes_at: resumes_at.map(Moment),
        flush_key: fallen.ring.and_then(|ring| flush_key(ring, fallen.withdrawn.listed_until)),
        verifiers: forgetting.collect(),
        private_half,
        gone_at: gone_at.map(Moment),
    })
}

fn find<'a>(issuer: &'a Issuer, kid: &Kid) -> Option<Fallen<'a>> {
    for ring in issuer.state().rings.values() {
        if let Some(key) = ring.state().compromised.iter().find(|v| v.key.jwk.kid() == kid) {
            return Some(Fallen {
                ring: Some(ring),
                reason: &key.reason,
                withdrawn: key.withdrawn,
                seen_at: key.withdrawal_seen_at,
                private: keys::private_shown(key.private),
            });
        }
        let buried = ring.state().destroyed.iter().find(|v| v.jwk.kid() == kid);
        if let Some((key, reason)) = buried.and_then(|key| Some((key, key.compromised.as_ref()?))) {
            return Some(Fallen {
                ring: Some(ring),
                reason,
                withdrawn: key.withdrawn,
                seen_at: key.withdrawal_seen_at,
                private: keys::private_shown(Private::Destroyed { at: key.gone_at, gone_at: key.gone_at }),
            });
        }
    }
    let imported = issuer.state().imported.iter().find(|key| key.kid() == kid)?;
    let withdrawn = imported.withdrawn?;
    Some(Fallen {
        ring: None,
        reason: imported.compromised.as_ref()?,
        withdrawn,
        seen_at: imported.withdrawal_seen_at,
        private: (PrivateHalf::Foreign, None),
    })
}

/// The ring's next version, if no set before the withdrawal listed it.
fn flush_key(ring: &KeyRing, withdrawn_from: JwkSetVersion) -> Option<api::FlushKey> {
    let Some(Next::PreActive(next)) = &ring.state().next else { return None };
    (next.key.listed_from >= withdrawn_from).then(|| api::FlushKey {
        version: next.id.get(),
        kid: next.key.jwk.kid().to_string(),
        published: next.seen.is_some(),
    })
}

/// `caches_until`: when the last cache ends that was filled under a longer `max-age` than the present one.
fn forgetting(
    verifier: &Profile,
    seen_at: Option<Timestamp>,
    max_age: Span,
    caches_until: Option<Timestamp>,
) -> api::Forgetting {
    let within = verifier.forgets_within(max_age);
    // `seen` names the second in which the set was out: a verifier may have fetched the one before at its end.
    let dropped =
        |(seen, within): (Timestamp, Span)| (seen + within + Span::from_secs(1)).max(caches_until.unwrap_or(seen));
    let dropped_at = seen_at.zip(within).map(dropped);
    let when = match (within, dropped_at) {
        (None, _) => "at its next unknown kid or restart".to_owned(),
        (Some(_), Some(at)) => at.to_string(),
        (Some(within), None) => format!("{within} after the set without the key is published"),
    };
    api::Forgetting { verifier: verifier.name.clone(), dropped_at: dropped_at.map(Moment), when }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::verifiers;

    #[test]
    fn a_longer_max_age_of_before_is_waited_for() {
        let envoy = verifiers::find("envoy").unwrap();
        let seen = Timestamp::from_second(1_800_000_000);
        let dropped = |until| forgetting(&envoy, Some(seen), Span::from_mins(5), until).dropped_at.unwrap().0;
        let usual = dropped(None);
        assert!(usual > seen);
        let before = usual + Span::from_hours(1);
        assert_eq!(dropped(Some(before)), before);
        assert_eq!(dropped(Some(seen)), usual);
    }
}
