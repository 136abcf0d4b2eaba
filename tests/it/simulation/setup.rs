//! One random configuration, and how it may change.

use std::collections::BTreeMap;
use std::fmt;

use jwksd::ids::{BackendId, RingName};
use jwksd::jose::alg::{Algorithm, KeySpec, RsaBits};
use jwksd::lifecycle::policy::{IssuerPolicy, MAX_BYTES, Policy, ReplicaBounds, RingPolicy, Rotation, Standby, Terms};
use jwksd::lifecycle::schedule::{Blackout, Schedule};
use jwksd::lifecycle::time::Span;
use jwksd::lifecycle::verifiers::{self, Profile};

use super::mutations::Mutation;
use super::rng::Rng;

pub(super) const MINUTE: i64 = 60;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// How long faults and operators are at work.
pub(super) const DAYS: i64 = 400;

/// Numbers are small in `Sharp` histories, so that no margin hides a narrow window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Real,
    Sharp,
}

/// What stays as it is throughout a history.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) scale: Scale,
    /// Nothing fails and nobody asks for anything.
    pub(super) calm: bool,
    /// Operators act again and again while something is under way.
    pub(super) nervous: bool,
    pub(super) replicas: usize,
    /// L, P, the largest difference of clocks, and the longest signature.
    pub(super) sign_for: i64,
    pub(super) publish_for: i64,
    pub(super) skew: i64,
    pub(super) sign_deadline: i64,
    /// A place outside of the daemon to which sets are published.
    pub(super) directory: bool,
    pub(super) known_to_verifiers: bool,
    pub(super) max_bytes: usize,
    pub(super) mutation: Mutation,
}

/// What an operator may change.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) max_age: i64,
    pub(super) verifiers: Vec<Profile>,
    pub(super) rings: Vec<RingSettings>,
}

#[derive(Clone, Debug)]
pub(super) struct RingSettings {
    pub(super) name: RingName,
    pub(super) spec: KeySpec,
    pub(super) backend: usize,
    pub(super) alternate: bool,
    pub(super) rotation: Rotation,
    pub(super) blackouts: Vec<Blackout>,
    pub(super) standby: Standby,
    pub(super) token_lifetime: i64,
    /// By how much these are longer than they need be.
    pub(super) more_propagation: i64,
    pub(super) more_drain: i64,
    pub(super) more_retention: i64,
}

pub(super) fn span(seconds: i64) -> Span {
    Span::from_secs(u64::try_from(seconds).unwrap())
}

pub(super) fn seconds(span: Span) -> i64 {
    i64::try_from(span.as_secs()).unwrap()
}

pub(super) fn backend_id(index: usize) -> BackendId {
    BackendId::new(&format!("hsm-{index}")).unwrap()
}

impl Setup {
    /// Whether rotations may have to wait for room in the JWK Set.
    pub(super) fn is_narrow(&self) -> bool {
        self.max_bytes < MAX_BYTES
    }

    pub(super) fn random(rng: &mut Rng, scale: Scale, mutation: Mutation) -> Self {
        let sharp = scale == Scale::Sharp;
        let replicas = *rng.pick(if sharp { &[2, 3] } else { &[1, 1, 2, 3] });
        let several = replicas > 1;
        let (sign_for, publish_for) = match (several, scale) {
            (false, _) => (0, 0),
            (true, Scale::Sharp) => (rng.range(5, 20), rng.range(5, 40)),
            (true, Scale::Real) => (rng.range(1, 15) * MINUTE, rng.range(1, 240) * MINUTE),
        };
        Self {
            scale,
            calm: rng.one_in(8) || mutation == Mutation::ActivePeriodWithinPropagation,
            nervous: rng.one_in(10) || mutation != Mutation::None,
            replicas,
            sign_for,
            publish_for,
            skew: if sharp { rng.range(2, 8) } else { *rng.pick(&[0, 1, 5, 30, 60, 60, 300]) },
            sign_deadline: if sharp { rng.range(1, 3) } else { rng.range(1, 30) },
            directory: rng.chance(60),
            known_to_verifiers: rng.one_in(4),
            // Now and then there is room for a few keys only.
            max_bytes: if rng.one_in(6) { 3_000 + rng.index(3_000) } else { MAX_BYTES },
            mutation,
        }
    }

    /// The durations of a ring that keep every promise.
    pub(super) fn terms(&self, settings: &Settings, ring: &RingSettings) -> Terms {
        let mut terms = Terms {
            rotation: ring.rotation.clone(),
            blackouts: ring.blackouts.clone(),
            standby: ring.standby,
            token_lifetime_max: span(ring.token_lifetime),
            skew: span(self.skew),
            jwks_max_age: span(settings.max_age),
            verifier_cache: span(settings.verifier_cache()),
            sign_deadline: span(self.sign_deadline),
            replicas: ReplicaBounds { sign_for: span(self.sign_for), publish_for: span(self.publish_for) },
            ..Terms::default()
        };
        terms.propagation = terms.least_propagation() + span(ring.more_propagation);
        terms.drain = terms.least_drain() + span(ring.more_drain);
        terms.retention = terms.least_retention() + span(ring.more_retention);
        terms
    }

    /// What the daemon is configured with: the truth, or what a mutation makes of it.
    pub(super) fn policy(&self, settings: &Settings) -> IssuerPolicy {
        let ring = |ring: &RingSettings| RingPolicy {
            policy: self.mutation.policy(Policy::new(self.terms(settings, ring)).unwrap()),
            backend: backend_id(ring.backend),
            standby_backend: ring.alternate.then(|| backend_id(1 - ring.backend)),
        };
        let rings = settings.rings.iter().map(|settings| (settings.name.clone(), ring(settings)));
        IssuerPolicy { rings: rings.collect(), max_bytes: self.max_bytes }
    }
}

impl Settings {
    pub(super) fn random(rng: &mut Rng, setup: &Setup) -> Self {
        let count = if rng.chance(50) { 1 } else { rng.range(2, 3) };
        let mut settings = Self { max_age: 0, verifiers: Vec::new(), rings: Vec::new() };
        settings.change_caches(rng, setup);
        for _ in 0..count {
            settings.add_ring(rng, setup);
        }
        settings
    }

    pub(super) fn specs(&self) -> BTreeMap<RingName, KeySpec> {
        self.rings.iter().map(|ring| (ring.name.clone(), ring.spec)).collect()
    }

    /// The longest that a declared verifier holds a set.
    pub(super) fn verifier_cache(&self) -> i64 {
        let max_age = span(self.max_age);
        self.verifiers.iter().map(|profile| seconds(profile.holds(max_age))).max().unwrap_or(0)
    }

    /// The longest that anybody holds a set after it was served: a proxy, and then a verifier.
    pub(super) fn staleness(&self) -> i64 {
        self.verifier_cache() + self.max_age
    }

    pub(super) fn change_caches(&mut self, rng: &mut Rng, setup: &Setup) {
        let sharp = setup.scale == Scale::Sharp;
        self.max_age = if sharp { rng.range(2, 30) } else { *rng.pick(&[30, 60, 300, 300, 900, HOUR, 4 * HOUR]) };
        let known: Vec<&str> = verifiers::names().collect();
        let draw = |rng: &mut Rng| match (sharp, rng.one_in(3)) {
            (true, _) => Profile::custom("ours", span(rng.range(1, 60))),
            (false, true) => Profile::custom("ours", span(rng.range(1, 26 * 60) * MINUTE)),
            (false, false) => verifiers::find(known[rng.index(known.len())]).unwrap(),
        };
        self.verifiers = (0..rng.range(1, 3)).map(|_| draw(rng)).collect();
    }

    pub(super) fn add_ring(&mut self, rng: &mut Rng, setup: &Setup) {
        let name = RingName::new(&format!("r{}", self.rings.len())).unwrap();
        let alg = *rng.pick(&Algorithm::ALL);
        let bits = *rng.pick(&[RsaBits::B2048, RsaBits::B3072, RsaBits::B4096]);
        let spec = KeySpec::new(alg, alg.is_rsa().then_some(bits)).unwrap();
        let mut ring = RingSettings {
            name,
            spec,
            backend: rng.index(2),
            alternate: rng.one_in(3),
            rotation: Rotation::Every(Span::from_days(30)),
            blackouts: Vec::new(),
            standby: Standby::Always,
            token_lifetime: 0,
            more_propagation: 0,
            more_drain: 0,
            more_retention: 0,
        };
        ring.change_lifetime(rng, setup);
        ring.change_periods(rng, setup);
        self.rings.push(ring);
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verifiers: Vec<&str> = self.verifiers.iter().map(|profile| profile.name.as_str()).collect();
        writeln!(f, "max-age {} s, verifiers {verifiers:?}, longest cache {} s", self.max_age, self.verifier_cache())?;
        for ring in &self.rings {
            let rotation = match &ring.rotation {
                Rotation::Every(span) => span.to_string(),
                Rotation::Schedule(schedule) => schedule.as_str().to_owned(),
            };
            writeln!(
                f,
                "{} {} in hsm-{} (alternating: {}), {rotation}, blackouts: {}, standby {:?}, tokens {} s, \
                 more propagation {} s, drain {} s, retention {} s",
                ring.name,
                ring.spec,
                ring.backend,
                ring.alternate,
                ring.blackouts.len(),
                ring.standby,
                ring.token_lifetime,
                ring.more_propagation,
                ring.more_drain,
                ring.more_retention
            )?;
        }
        Ok(())
    }
}

impl RingSettings {
    pub(super) fn change_lifetime(&mut self, rng: &mut Rng, setup: &Setup) {
        self.token_lifetime = match setup.scale {
            Scale::Sharp => rng.range(1, 90),
            Scale::Real => *rng.pick(&[60, 300, 900, HOUR, HOUR, 12 * HOUR, DAY]),
        };
        let slack = |rng: &mut Rng, most: i64| if rng.chance(60) { 0 } else { rng.range(0, most) };
        self.more_drain = slack(rng, 10 * MINUTE);
        self.more_retention = slack(rng, 6 * HOUR);
    }

    pub(super) fn change_periods(&mut self, rng: &mut Rng, _setup: &Setup) {
        self.more_propagation = if rng.chance(60) { 0 } else { rng.range(0, 6 * HOUR) };
        self.standby = if rng.chance(70) { Standby::Always } else { Standby::JustInTime };
        let cron = ["0 3 1 * *", "15 4 1,15 * *", "0 0 * * 1"];
        self.rotation = match rng.one_in(6) {
            true => Rotation::Schedule(Schedule::new(cron[rng.index(cron.len())]).unwrap()),
            false => Rotation::Every(span(rng.range(12 * DAY, 60 * DAY))),
        };
        let weekend =
            || Blackout::Recurring { opens: Schedule::new("0 16 * * 5").unwrap(), lasts: Span::from_hours(64) };
        self.blackouts = if rng.one_in(5) { vec![weekend()] } else { Vec::new() };
    }
}
