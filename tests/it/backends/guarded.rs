//! Deadlines, queues and counts around any backend.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use jwksd::backend::guarded::{Guarded, Limit, Limits};
use jwksd::backend::metrics::BackendMetrics;
use jwksd::backend::{Backend, BackendError, Destroyed, Generated, Input, KeyRef};
use jwksd::clock::SystemClock;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::{INSTALLATION, SOON, es256, label, sign};
use crate::support::fake_backend::{Call, FakeBackend, Fault};

/// `inner` behind limits that no conforming call meets.
pub(super) fn guard(inner: Arc<dyn Backend>) -> Guarded {
    let metrics = BackendMetrics::register(&mut Registry::default());
    Guarded::new(&"any".parse().unwrap(), inner, Limits::default(), &metrics, Arc::new(SystemClock))
}

/// A fake with one key, behind limits.
struct House {
    fake: Arc<FakeBackend>,
    guarded: Guarded,
    registry: Registry,
    key: Generated,
}

impl House {
    async fn new(sign: Limit) -> Self {
        let fake = Arc::new(FakeBackend::new(INSTALLATION));
        let key = fake.generate(&label("guarded", 1), es256()).await.unwrap();
        let mut registry = Registry::default();
        let metrics = BackendMetrics::register(&mut registry);
        let limits = Limits { sign, ..Limits::default() };
        let inner = Arc::clone(&fake) as Arc<dyn Backend>;
        let guarded = Guarded::new(&"hsm".parse().unwrap(), inner, limits, &metrics, Arc::new(SystemClock));
        Self { fake, guarded, registry, key }
    }

    async fn sign(&self) -> Result<(), BackendError> {
        sign(&self.guarded, &self.key, es256(), b"input").await.map(drop)
    }

    /// How many signatures ended so.
    fn count(&self, outcome: &str) -> u64 {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let name = format!(r#"jwksd_backend_calls_total{{backend="hsm",operation="sign",outcome="{outcome}"}} "#);
        text.lines().find_map(|line| line.strip_prefix(&name)).expect(&text).parse().unwrap()
    }
}

const WIDE: Limit = Limit { deadline: SOON, in_flight: 8, queue: 8, wait: SOON };
const MOMENT: Duration = Duration::from_millis(10);

#[tokio::test]
async fn a_call_that_hangs_ends_at_the_deadline() {
    let house = House::new(Limit { deadline: MOMENT, ..WIDE }).await;
    house.fake.fail_next(Call::Sign, Fault::Hang);
    let text = "sign had no answer within 10 ms".to_owned();
    assert_eq!(house.sign().await, Err(BackendError::Unavailable(text)));
    assert_eq!(house.sign().await, Ok(()));
    assert_eq!((house.count("deadline"), house.count("ok")), (1, 1));
}

#[tokio::test]
async fn the_caller_may_ask_for_less_time_than_the_limit() {
    let house = House::new(WIDE).await;
    house.fake.fail_next(Call::Sign, Fault::Hang);
    let key = KeyRef { handle: &house.key.handle, spec: es256() };
    let signed = house.guarded.sign(key, Input::Message(b"input"), MOMENT).await;
    assert!(matches!(signed, Err(BackendError::Unavailable(_))), "{signed:?}");
}

#[tokio::test]
async fn a_full_queue_turns_calls_away_before_they_reach_the_backend() {
    let house = House::new(Limit { deadline: MOMENT * 5, in_flight: 1, queue: 1, wait: SOON }).await;
    house.fake.fail_always(Call::Sign, Fault::Hang);
    let ends = join_all((0..10).map(|_| house.sign())).await;
    let shed = BackendError::Throttled { retry_after: SOON };
    assert_eq!(ends.iter().filter(|end| **end == Err(shed.clone())).count(), 8, "{ends:?}");
    assert_eq!(house.count("shed"), 8);
    assert_eq!(house.count("deadline"), 2);
    house.fake.recover();
    assert_eq!(house.sign().await, Ok(()), "the places were given back");
}

#[tokio::test]
async fn a_waiting_call_gets_the_next_place_or_is_turned_away_in_time() {
    let patient = House::new(Limit { in_flight: 1, ..WIDE }).await;
    patient.fake.fail_next(Call::Sign, Fault::Slow(MOMENT));
    assert_eq!(join(patient.sign(), patient.sign()).await, (Ok(()), Ok(())));

    let hasty = House::new(Limit { in_flight: 1, wait: MOMENT, ..WIDE }).await;
    hasty.fake.fail_next(Call::Sign, Fault::Slow(MOMENT * 20));
    let shed = BackendError::Throttled { retry_after: MOMENT };
    assert_eq!(join(hasty.sign(), hasty.sign()).await, (Ok(()), Err(shed)));
    assert_eq!(hasty.fake.calls(Call::Sign), 1);
}

#[tokio::test]
async fn a_key_is_destroyed_while_signing_is_stuck() {
    let house = House::new(Limit { in_flight: 1, queue: 0, ..WIDE }).await;
    house.fake.fail_always(Call::Sign, Fault::Hang);
    house.fake.fail_always(Call::Generate, Fault::Hang);
    let (other, stuck) = (label("guarded", 2), house.sign());
    let generate = house.guarded.generate(&other, es256());
    tokio::select! {
        biased;
        end = stuck => panic!("signed: {end:?}"),
        end = generate => panic!("generated: {end:?}"),
        destroyed = house.guarded.destroy(&house.key.handle) => assert_eq!(destroyed, Ok(Destroyed::Done)),
    }
    assert_eq!(house.count("abandoned"), 1);
}

#[tokio::test]
async fn the_answers_of_the_backend_pass_and_are_counted() {
    let house = House::new(WIDE).await;
    for fault in [Fault::FailedNotDone, Fault::FailedDone, Fault::Throttled(MOMENT)] {
        house.fake.fail_next(Call::Sign, fault);
        house.sign().await.unwrap_err();
    }
    house.guarded.destroy(&house.key.handle).await.unwrap();
    house.sign().await.unwrap_err();
    let counts = ["ok", "unavailable", "throttled", "not_found", "deadline", "shed"].map(|name| house.count(name));
    assert_eq!(counts, [0, 2, 1, 1, 0, 0]);
}

#[tokio::test]
async fn the_help_texts_and_units_are_part_of_the_interface() {
    let house = House::new(WIDE).await;
    house.sign().await.unwrap();
    let mut text = String::new();
    encode(&mut text, &house.registry).unwrap();
    for line in [
        "# TYPE jwksd_backend_calls counter",
        "# UNIT jwksd_backend_call_seconds seconds",
        r#"jwksd_backend_call_seconds_count{backend="hsm",operation="sign",outcome="ok"} 1"#,
        r#"jwksd_backend_calls_in_flight{backend="hsm",operation="sign"} 0"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
