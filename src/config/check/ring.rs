//! A key ring: what its keys are, where they are made, and the durations that must fit together.

use toml::Spanned;

use super::backend::{Backends, FoundBackend, refuse_lacking};
use super::faults::{Faults, configured};
use crate::config::document::Place;
use crate::config::file::{BlackoutTable, RingTable};
use crate::config::nearest::nearest;
use crate::config::tree::{BackendKind, Ring, SelfVerify};
use crate::config::value::{Field, plain};
use crate::ids::BackendId;
use crate::jose::alg::{Algorithm, KeySpec, RsaBits};
use crate::jose::jws::Typ;
use crate::lifecycle::policy::{self, Policy, PolicyError, Rotation, Terms};
use crate::lifecycle::schedule::{Blackout, Schedule, first_free};
use crate::lifecycle::time::{Span, Timestamp};
use crate::lifecycle::verifiers::Profile;

/// What a ring takes from its issuer and from the backends.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) jwks_max_age: Span,
    pub(super) skew: Span,
    pub(super) verifiers: &'a [Profile],
    pub(super) backends: &'a Backends,
    /// One of the above has a fault, so that the durations can't be compared yet.
    pub(super) doubted: bool,
}

pub(super) fn ring(
    table: RingTable,
    place: &Place,
    around: &Surroundings<'_>,
    faults: &mut Faults<'_>,
) -> Option<Ring> {
    let RingTable {
        algorithm,
        rsa_bits,
        backend,
        standby_backend,
        active_period,
        schedule,
        blackouts,
        propagation,
        token_lifetime_max,
        drain,
        retention,
        standby,
        self_verify,
        typ,
        raw_signatures,
        digests,
    } = table;
    check_digests(&digests, &typ, &raw_signatures, faults);
    let algorithm_place = algorithm.as_ref().map(Spanned::span);
    let algorithm = faults.require(place, "algorithm", algorithm, "set it, such as algorithm = \"ES256\"");
    let key = algorithm.and_then(|algorithm| key_spec(algorithm, rsa_bits, faults));
    if let (Some(at), Some(key), true) = (&algorithm_place, key, is_set(&digests)) {
        refuse_undigested(key, at, faults);
    }
    let digests = is_set(&digests);
    let chosen = reference(&backend, around.backends, faults);
    let second = reference(&standby_backend, around.backends, faults);
    if backend.is_none() {
        let remedy = format!("name the backend that makes its keys; {}", names(around.backends));
        faults.absent(Some(place), "backend", format!("missing; {remedy}"));
    }
    if let (Some(field), true) = (&standby_backend, chosen.is_some() && chosen == second) {
        faults.at(&field.span(), "the same as backend, so it changes nothing; name another one or remove it");
    }
    if let (Some(at), Some(key)) = (&algorithm_place, key) {
        let both = [&chosen, &second].into_iter().flatten();
        both.for_each(|id| refuse_lacking(id, key, around.backends, at, faults));
    }
    let outside = [&chosen, &second].into_iter().flatten().any(|id| around.backends.get(id).is_some_and(is_outside));
    let deadline = [&chosen, &second].into_iter().flatten().filter_map(|id| around.backends.get(id)?.backend.as_ref());
    let deadline = deadline.map(|backend| backend.sign_deadline).max();
    let known_deadline = deadline.is_some() || (backend.is_none() && standby_backend.is_none());
    let places = Places {
        ring: place.clone(),
        rotation: active_period.as_ref().map(Spanned::span).or(schedule.as_ref().map(Spanned::span)),
        propagation: propagation.as_ref().map(Spanned::span),
        token_lifetime_max: token_lifetime_max.as_ref().map(Spanned::span),
        drain: drain.as_ref().map(Spanned::span),
        retention: retention.as_ref().map(Spanned::span),
    };
    let slowest = around.verifiers.iter().max_by_key(|profile| profile.holds(around.jwks_max_age));
    let token_lifetime_max = faults.nonzero(token_lifetime_max, policy::TOKEN_LIFETIME_MAX);
    let mut terms = Terms {
        rotation: rotation(active_period, schedule, faults),
        blackouts: build_blackouts(blackouts, faults),
        standby: plain(standby).unwrap_or(Terms::default().standby),
        propagation: policy::PROPAGATION,
        token_lifetime_max,
        skew: around.skew,
        jwks_max_age: around.jwks_max_age,
        verifier_cache: slowest.map(|profile| profile.holds(around.jwks_max_age)).unwrap_or_default(),
        drain: plain(drain).unwrap_or(policy::DRAIN),
        retention: Span::ZERO,
        sign_deadline: deadline.unwrap_or(policy::SIGN_DEADLINE),
        replicas: Terms::default().replicas,
    };
    let computed = if around.verifiers.is_empty() { policy::PROPAGATION } else { terms.least_propagation() };
    terms.propagation = plain(propagation).unwrap_or(computed);
    terms.retention = plain(retention).unwrap_or(terms.least_retention());
    let comparable = !around.doubted && known_deadline && !places.doubted(faults);
    let policy = if comparable { build_policy(terms, slowest, &places, faults) } else { None };
    Some(Ring {
        standby_backend: second,
        self_verify: plain(self_verify).unwrap_or(if outside { SelfVerify::Always } else { SelfVerify::Load }),
        typ: plain(typ).unwrap_or_default(),
        raw_signatures: plain(raw_signatures).unwrap_or(!digests),
        digests,
        ..Ring::new(key?, chosen?, policy?)
    })
}

/// In a ring that signs digests, nothing of a token is decided.
fn check_digests(digests: &Field<bool>, typ: &Field<Typ>, raw_signatures: &Field<bool>, faults: &mut Faults<'_>) {
    if !is_set(digests) {
        return;
    }
    if let Some(typ) = typ {
        faults.at(&typ.span(), "this ring signs digests, whose typ its callers have hashed already; remove it");
    }
    if let Some(raw) = raw_signatures.as_ref().filter(|raw| raw.get_ref().0) {
        let problem = "this ring signs digests and nothing else; remove this, or digests";
        faults.at(&raw.span(), problem);
    }
}

fn refuse_undigested(key: KeySpec, place: &Place, faults: &mut Faults<'_>) {
    if key.algorithm().hash().is_none() {
        let problem = "keys sign messages, not digests; choose another algorithm such as ES256, or remove digests";
        faults.at(place, format!("{} {problem}", key.algorithm()));
    }
}

pub(super) fn is_set(field: &Field<bool>) -> bool {
    field.as_ref().is_some_and(|set| set.get_ref().0)
}

/// Whether keys are used by code that is not ours, so that a signature is worth a look.
fn is_outside(found: &FoundBackend) -> bool {
    found.backend.as_ref().is_some_and(|backend| match backend.kind {
        BackendKind::AwsKms(_) | BackendKind::GcpKms(_) | BackendKind::Pkcs11(_) => true,
        BackendKind::Software(_) => false,
    })
}

fn key_spec(algorithm: Algorithm, bits: Field<RsaBits>, faults: &mut Faults<'_>) -> Option<KeySpec> {
    let place = bits.as_ref().map(Spanned::span).unwrap_or_default();
    let spec = KeySpec::new(algorithm, plain(bits));
    spec.inspect_err(|error| faults.at(&place, format!("{error}; remove it, or choose an RSA algorithm"))).ok()
}

/// The backend that a key names, if there is one of that name.
pub(super) fn reference(field: &Field<BackendId>, backends: &Backends, faults: &mut Faults<'_>) -> Option<BackendId> {
    let field = field.as_ref()?;
    let id = &field.get_ref().0;
    if backends.contains_key(id) {
        return Some(id.clone());
    }
    if backends.is_empty() && faults.doubted("backends") {
        return None;
    }
    let meant = nearest(id.as_str(), backends.keys().map(BackendId::as_str));
    faults.at(
        &field.span(),
        match meant {
            Some(meant) => {
                format!("no backend {id} is configured; did you mean {meant}? {}", sentence(&names(backends)))
            }
            None => format!("no backend {id} is configured; {}", names(backends)),
        },
    );
    None
}

fn names(backends: &Backends) -> String {
    configured(backends.keys().map(BackendId::as_str))
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn rotation(period: Field<Span>, schedule: Field<Schedule>, faults: &mut Faults<'_>) -> Rotation {
    if let (Some(_), Some(schedule)) = (&period, &schedule) {
        faults.at(
            &schedule.span(),
            "active_period and schedule are set together; keep active_period for \"so long after the last\", or \
             schedule for \"at these moments\"",
        );
    }
    match schedule {
        Some(schedule) => Rotation::Schedule(schedule.into_inner().0),
        None => Rotation::Every(plain(period).unwrap_or(policy::ACTIVE_PERIOD)),
    }
}

fn build_blackouts(tables: Vec<Spanned<BlackoutTable>>, faults: &mut Faults<'_>) -> Vec<Blackout> {
    let mut blackouts = Vec::new();
    for table in tables {
        let place = table.span();
        match blackout(table.into_inner()) {
            Ok(blackout) => blackouts.push(blackout),
            Err(_) if faults.doubted(&faults.key(&place)) => {}
            Err(problem) => faults.at(&place, problem),
        }
        // The windows that recur are the same in every year, so any moment will do to start from.
        let recurring: Vec<Blackout> =
            blackouts.iter().filter(|window| matches!(window, Blackout::Recurring { .. })).cloned().collect();
        let free = first_free(&recurring, Timestamp::from_second(0));
        if recurring.iter().any(|window| window.end_if_inside(free).is_some()) {
            faults
                .at(&place, "with this window no moment is left for a rotation; shorten it, or let it open less often");
            blackouts.pop();
        }
    }
    blackouts
}

fn blackout(table: BlackoutTable) -> Result<Blackout, String> {
    let BlackoutTable { from, to, opens, lasts } = table;
    match (plain(from), plain(to), plain(opens), plain(lasts)) {
        (Some(from), Some(to), None, None) if from < to => Ok(Blackout::Once { from, to }),
        (Some(from), Some(to), None, None) => {
            Err(format!("the window ends at {to}, which is not after its beginning {from}; swap them or correct one"))
        }
        (None, None, Some(opens), Some(lasts)) => {
            let gap = opens.shortest_gap(Timestamp::from_second(0));
            if lasts == Span::ZERO || lasts > gap {
                let opens = opens.as_str();
                return Err(format!(
                    "the window opens at {opens:?}, at least every {gap}, and lasts {lasts}; set lasts to at \
                     least 1s and at most {gap}"
                ));
            }
            Ok(Blackout::Recurring { opens, lasts })
        }
        _ => Err("a window has from and to, or opens and lasts; set exactly one of these pairs".to_owned()),
    }
}

/// Where the durations of a ring are written; absent if they are not.
#[derive(Debug)]
struct Places {
    ring: Place,
    rotation: Option<Place>,
    propagation: Option<Place>,
    token_lifetime_max: Option<Place>,
    drain: Option<Place>,
    retention: Option<Place>,
}

impl Places {
    fn doubted(&self, faults: &Faults<'_>) -> bool {
        let ring = faults.key(&self.ring);
        ["active_period", "schedule", "propagation", "token_lifetime_max", "drain", "retention"]
            .iter()
            .any(|key| faults.doubted(&format!("{ring}.{key}")))
    }
}

/// Checks the durations. After a fault they are mended in a copy, so that the next can be found.
fn build_policy(
    mut terms: Terms,
    slowest: Option<&Profile>,
    places: &Places,
    faults: &mut Faults<'_>,
) -> Option<Policy> {
    let mut sound = true;
    loop {
        let error = match Policy::new(terms.clone()) {
            Ok(policy) => return sound.then_some(policy),
            Err(error) => error,
        };
        sound = false;
        let (key, place) = match &error {
            PolicyError::Propagation { .. } => ("propagation", &places.propagation),
            PolicyError::Drain { .. } => ("drain", &places.drain),
            PolicyError::Retention { .. } => ("retention", &places.retention),
            PolicyError::ActivePeriod { .. } => ("active_period", &places.rotation),
            PolicyError::Schedule { .. } => ("schedule", &places.rotation),
            PolicyError::Zero { name } => (*name, &places.token_lifetime_max),
        };
        let problem = match (&error, slowest) {
            (PolicyError::Propagation { .. }, Some(slowest)) => {
                format!("{error} (the longest cache is that of {})", slowest.name)
            }
            _ => error.to_string(),
        };
        match place {
            Some(place) => faults.at(place, problem),
            None => {
                faults.absent(Some(&places.ring), key, format!("{problem} ({key} is not set, so this is its default)"))
            }
        }
        match error {
            PolicyError::Propagation { least, .. } => terms.propagation = least,
            PolicyError::Drain { least, .. } => {
                terms.drain = least;
                if places.retention.is_none() {
                    terms.retention = terms.least_retention();
                }
            }
            PolicyError::Retention { least, .. } => terms.retention = least,
            PolicyError::ActivePeriod { .. } | PolicyError::Schedule { .. } | PolicyError::Zero { .. } => return None,
        }
    }
}
