//! AWS KMS: the contract over an emulator that others wrote, what a lost answer leaves, and what others do to keys.

mod faults;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jwksd::backend::aws_kms::{AwsKms, Settings};
use jwksd::backend::metrics::BackendMetrics;
use jwksd::backend::{Backend, BackendError, Destroyed};
use jwksd::clock::{Clock, SystemClock};
use jwksd::ids::Handle;
use jwksd::jose::alg::{Algorithm, KeySpec};
use jwksd::lifecycle::time::{Span, Timestamp};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::json;

use super::{INSTALLATION, Manners, es256, every_spec, label, mannered_conformance, sign, verifies};
use crate::support::aws::{Act, Emulator, Proxy, REGION, with_credentials};
use crate::support::daemon::now;
use crate::support::soon::soon;

/// An emulator, a proxy as strict as AWS before it, and keys there.
struct Site {
    emulator: Emulator,
    proxy: Proxy,
    registry: Registry,
    backend: Arc<AwsKms>,
}

impl Site {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl Fn(&mut Settings)) -> Self {
        Self::by(Arc::new(SystemClock), change)
    }

    fn by(clock: Arc<dyn Clock>, change: impl Fn(&mut Settings)) -> Self {
        let emulator = Emulator::start();
        let proxy = Proxy::start(emulator.port);
        let mut settings = settings(&proxy.url());
        change(&mut settings);
        let (backend, registry) = open(settings, clock);
        Self { emulator, proxy, registry, backend }
    }

    /// A value of the metrics page.
    fn metric(&self, name: &str) -> u64 {
        let mut page = String::new();
        encode(&mut page, &self.registry).unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in\n{page}")).trim().parse().unwrap()
    }

    fn faults(&self, class: &str) -> u64 {
        self.metric(&format!("jwksd_cloud_faults_total{{backend=\"kms\",class=\"{class}\"}} "))
    }
}

fn settings(url: &str) -> Settings {
    Settings {
        region: Some(REGION.to_owned()),
        endpoint: Some(url.to_owned()),
        tagging_endpoint: Some(url.to_owned()),
        settle: SETTLE,
        ..Settings::new(INSTALLATION.parse().unwrap())
    }
}

fn open(settings: Settings, clock: Arc<dyn Clock>) -> (Arc<AwsKms>, Registry) {
    let mut registry = Registry::default();
    let metrics = BackendMetrics::register(&mut registry);
    (Arc::new(AwsKms::new(&"kms".parse().unwrap(), settings, &metrics.clouds, clock)), registry)
}

/// The machine's clock, ahead by what a test lets pass.
#[derive(Debug, Default)]
struct Ahead(AtomicU64);

impl Ahead {
    fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_secs(), Ordering::Relaxed);
    }
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic() + Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// For how long a key may stay unseen of which nobody knows whether it was made.
const SETTLE: Duration = Duration::from_secs(60);

#[test]
fn ministack_keeps_the_contract() {
    with_credentials("backends::aws_kms::conformance_over_ministack");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by others in a process of its own"]
async fn conformance_over_ministack() {
    let site = Site::new();
    let manners = Manners { undigested: (1, 4_096), schedules: true };
    mannered_conformance(Arc::clone(&site.backend) as Arc<dyn Backend>, &every_spec(), manners).await;
    assert_eq!(site.emulator.arns("Enabled"), Vec::<String>::new(), "the suite cleans up");
    assert_eq!(site.emulator.arns("Disabled"), Vec::<String>::new(), "a key that is ended is also deleted");
}

#[test]
fn keys_are_made_and_ended_as_the_operator_says() {
    with_credentials("backends::aws_kms::one_key_in_all_its_detail");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by others in a process of its own"]
async fn one_key_in_all_its_detail() {
    let policy = json!({"Version": "2012-10-17", "Statement": []}).to_string();
    let site = Site::with(|settings| {
        settings.deletion_window = Span::from_days(7);
        settings.creation.policy = Some(policy.clone());
        settings.creation.multi_region = true;
        settings.creation.tags = vec![("cost-centre".to_owned(), "42".to_owned())];
        settings.creation.alias_prefix = Some("jwksd/".to_owned());
    });
    let (Site { emulator, proxy, .. }, backend) = (&site, &*site.backend);
    let key = backend.generate(&label("es256", 12), es256()).await.unwrap();
    let [made] = &emulator.keys()[..] else { panic!("one key") };
    assert_eq!(made["Arn"], key.handle.as_str());
    let facts = ["KeyState", "KeySpec", "KeyUsage", "Origin", "Description"].map(|fact| made[fact].as_str().unwrap());
    assert_eq!(facts, ["Enabled", "ECC_NIST_P256", "SIGN_VERIFY", "AWS_KMS", "jwksd it/main.es256.v12"]);
    assert_eq!(made["MultiRegion"], true);
    let tags = emulator.call("ListResourceTags", &json!({"KeyId": made["Arn"]}));
    let mut tags: Vec<String> = tags["Tags"].as_array().unwrap().iter().map(tag).collect();
    tags.sort();
    let expected = [
        "cost-centre=42",
        "jwksd:algorithm=ES256",
        "jwksd:installation=it",
        "jwksd:issuer=main",
        "jwksd:label=it/main.es256.v12",
        "jwksd:ring=es256",
        "jwksd:version=12",
    ];
    assert_eq!(tags, expected);
    assert_eq!(emulator.call("GetKeyPolicy", &json!({"KeyId": made["Arn"]}))["Policy"], policy);
    let aliased = emulator.call("DescribeKey", &json!({"KeyId": "alias/jwksd/it/main/es256/v12"}));
    assert_eq!(aliased["KeyMetadata"]["Arn"], made["Arn"]);
    // On the signing path there is one call, and no other.
    proxy.take_calls();
    let signature = sign(backend, &key, es256(), b"a.b").await.unwrap();
    assert!(verifies(&key, es256(), b"a.b", &signature));
    assert_eq!(proxy.take_calls(), ["Sign"]);

    let begun = SystemClock.now();
    let Ok(Destroyed::ScheduledFor(date)) = backend.destroy(&key.handle).await else { panic!("not scheduled") };
    assert!((Span::from_days(7)..Span::from_days(8)).contains(&date.since(begun)), "{date}");
    let calls = proxy.take_calls();
    let place = |name: &str| calls.iter().position(|call| call == name).unwrap();
    assert!(place("DisableKey") < place("ScheduleKeyDeletion"), "{calls:?}");
    // Asked again, it changes nothing and tells the same.
    assert_eq!(backend.destroy(&key.handle).await, Ok(Destroyed::ScheduledFor(date)));
    assert!(!proxy.take_calls().iter().any(|call| call == "ScheduleKeyDeletion"));
}

fn tag(tag: &serde_json::Value) -> String {
    format!("{}={}", tag["TagKey"].as_str().unwrap(), tag["TagValue"].as_str().unwrap())
}

#[test]
fn keys_of_others_are_neither_adopted_nor_listed_nor_destroyed() {
    with_credentials("backends::aws_kms::among_strangers");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by others in a process of its own"]
async fn among_strangers() {
    let site = Site::new();
    let (Site { emulator, .. }, backend) = (&site, &*site.backend);
    let make = |spec: &str, tags: &[(&str, &str)], more: serde_json::Value| {
        let tags: Vec<_> = tags.iter().map(|(key, value)| json!({"TagKey": key, "TagValue": value})).collect();
        let mut body = json!({"KeySpec": spec, "KeyUsage": "SIGN_VERIFY", "Tags": tags});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        emulator.call("CreateKey", &body)["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    };
    let plain = make("ECC_NIST_P256", &[], json!({}));
    let theirs =
        make("ECC_NIST_P256", &[("jwksd:installation", "other"), ("jwksd:label", "other/main.r.v1")], json!({}));
    // Half ours: the tags contradict each other.
    let mixed = make("ECC_NIST_P256", &[("jwksd:installation", "it"), ("jwksd:label", "other/main.r.v1")], json!({}));
    for arn in [&plain, &theirs] {
        let destroyed = backend.destroy(&Handle::new(arn)).await;
        assert!(matches!(destroyed, Err(BackendError::Refused(_))), "{destroyed:?}");
    }
    let elsewhere = plain.replace(REGION, "us-east-1");
    let destroyed = backend.destroy(&Handle::new(&elsewhere)).await;
    assert!(matches!(&destroyed, Err(BackendError::Refused(text)) if text.contains("region")), "{destroyed:?}");
    assert_eq!(backend.list().await, Ok(vec![]));
    assert_eq!(emulator.arns("Enabled").len(), 3, "{mixed}");
    // What has our label but is not what we would have made is for an operator to look at.
    let cases = [
        ("secp", "ECC_SECG_P256K1", "ES256", json!({}), "key spec"),
        ("tag", "ECC_NIST_P256", "ES384", json!({}), "algorithm"),
        ("import", "ECC_NIST_P256", "ES256", json!({"Origin": "EXTERNAL"}), "origin"),
        ("region", "ECC_NIST_P256", "ES256", json!({"MultiRegion": true}), "scope"),
    ];
    for (ring, spec, algorithm, more, told) in cases {
        let label = label(ring, 1);
        let text = label.to_string();
        let tags = [("jwksd:label", &*text), ("jwksd:installation", "it"), ("jwksd:algorithm", algorithm)];
        make(spec, &tags, more);
        let made = backend.generate(&label, es256()).await;
        assert!(matches!(&made, Err(BackendError::Mismatch(text)) if text.contains(told)), "{ring}: {made:?}");
    }
}

#[test]
fn whatever_becomes_of_the_answer_there_is_one_key() {
    with_credentials("backends::aws_kms::creations_with_lost_answers");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by others in a process of its own"]
async fn creations_with_lost_answers() {
    let clock = Arc::new(Ahead::default());
    let site = Site::by(Arc::clone(&clock) as Arc<dyn Clock>, |_| {});
    let (Site { emulator, proxy, .. }, backend) = (&site, &*site.backend);
    let fail = Act::Fail { status: 500, code: "KMSInternalException" };
    for (number, act) in [(1, Act::Lose), (2, Act::Reset), (3, Act::Cut), (4, fail)] {
        proxy.harm_next("CreateKey", 1, act.clone());
        let begun = emulator.arns("Enabled").len();
        let mut made = backend.generate(&label("lost", number), es256()).await;
        if matches!(act, Act::Fail { .. }) {
            // It was not made, but nobody could know: only after a while is it made anew.
            assert!(matches!(&made, Err(BackendError::Unavailable(text)) if text.contains("tags")), "{made:?}");
            assert_eq!(emulator.arns("Enabled").len(), begun);
            clock.pass(SETTLE);
            made = backend.generate(&label("lost", number), es256()).await;
        }
        let made = made.unwrap_or_else(|error| panic!("{act:?}: {error}"));
        assert_eq!(backend.generate(&label("lost", number), es256()).await, Ok(made));
        assert_eq!(emulator.arns("Enabled").len(), begun + 1, "{act:?}");
    }
    assert_eq!(site.faults("unknown"), 4);
}

#[test]
fn two_keys_of_one_label_become_one() {
    with_credentials("backends::aws_kms::twins");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by others in a process of its own"]
async fn twins() {
    let site = Site::new();
    let (Site { emulator, proxy, .. }, backend) = (&site, &*site.backend);
    // A process died after CreateKey, and the index of tags does not know of its key yet when the next one looks.
    let first = backend.generate(&label("twin", 1), es256()).await.unwrap();
    let (next, _registry) = open(settings(&proxy.url()), Arc::new(SystemClock));
    // The emulator dates keys by the second, and the older one is to stay.
    let born = now();
    assert!(soon(|| now() > born).await);
    proxy.harm_next("GetResources", 1, Act::Blind);
    let second = next.generate(&label("twin", 1), es256()).await.unwrap();
    assert_eq!(second, first, "the older one stays");
    assert_eq!(emulator.arns("Enabled"), [first.handle.as_str()]);
    assert_eq!(emulator.arns("PendingDeletion").len(), 1);
    // What an interrupted end leaves under a label is ended, and never signs again.
    let half = backend.generate(&label("half", 1), es256()).await.unwrap();
    emulator.call("DisableKey", &json!({"KeyId": half.handle.as_str()}));
    let whole = backend.generate(&label("half", 1), es256()).await.unwrap();
    assert_ne!(whole.handle, half.handle);
    assert_eq!(emulator.arns("Disabled"), Vec::<String>::new());
}

#[test]
fn a_long_input_of_ed25519_is_refused_before_anybody_is_asked() {
    with_credentials("backends::aws_kms::long_inputs");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by others in a process of its own"]
async fn long_inputs() {
    let site = Site::new();
    let spec = KeySpec::new(Algorithm::Ed25519, None).unwrap();
    let key = site.backend.generate(&label("ed", 1), spec).await.unwrap();
    site.proxy.take_calls();
    let signature = sign(&*site.backend, &key, spec, &[b'x'; 4_096]).await.unwrap();
    assert!(verifies(&key, spec, &[b'x'; 4_096], &signature));
    let refused = sign(&*site.backend, &key, spec, &[b'x'; 4_097]).await;
    assert!(matches!(&refused, Err(BackendError::Refused(text)) if text.contains("4096")), "{refused:?}");
    assert_eq!(site.proxy.take_calls(), ["Sign"]);
}
