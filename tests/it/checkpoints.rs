//! Checkpoints of the audit log: made in time, kept in three places, and never in anybody's way.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use jwksd::audit::verify::{Against, Trust, verify, verify_against};
use jwksd::audit::{Audit, Event, Options, last};
use jwksd::checkpoint::{Checkpointer, MakeError, Settings, label};
use jwksd::clock::SystemClock;
use jwksd::jose::jwk_set;
use jwksd::lifecycle::time::Span;
use jwksd::telemetry::Metrics;

use crate::support::fake_backend::{Call, FakeBackend, Fault};
use crate::support::soon::soon;

/// What makes checkpoints with a key in `backend`.
pub fn maker(
    audit: &Audit,
    directory: &Path,
    backend: &Arc<FakeBackend>,
    every: Span,
    metrics: &Metrics,
) -> Arc<Checkpointer> {
    let settings = Settings {
        installation: "test".parse().unwrap(),
        backend: "soft".parse().unwrap(),
        spec: FakeBackend::spec(),
        every,
        directory: directory.to_owned(),
    };
    let (backend, metrics) = (Arc::clone(backend) as _, metrics.checkpoints.clone());
    Arc::new(Checkpointer::new(settings, audit.clone(), backend, Arc::new(SystemClock), metrics))
}

struct Site {
    directory: tempfile::TempDir,
    audit: Audit,
    backend: Arc<FakeBackend>,
    metrics: Metrics,
    maker: Arc<Checkpointer>,
}

impl Site {
    fn new(every: Span) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (audit, _) = Audit::open(directory.path(), Options::default(), Arc::new(SystemClock)).unwrap();
        let (backend, metrics) = (Arc::new(FakeBackend::new("test")), Metrics::default());
        let maker = maker(&audit, directory.path(), &backend, every, &metrics);
        Self { directory, audit, backend, metrics, maker }
    }

    async fn append(&self) {
        self.audit.append(refused()).await.unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    /// How many checkpoints are in the log.
    fn made(&self) -> usize {
        let (records, _) = last(self.directory.path(), 10_000).unwrap();
        records.iter().filter(|record| matches!(record.event, Event::Checkpoint { .. })).count()
    }
}

fn refused() -> Event {
    Event::Refused { issuer: None, ring: None, code: "busy".to_owned(), caller: None, request_id: None }
}

#[tokio::test]
async fn a_checkpoint_vouches_for_everything_before_it_and_lies_in_the_log_and_beside_it() {
    let site = Site::new(Span::from_hours(1));
    site.append().await;
    let made = site.maker.make().await.unwrap();
    assert_eq!((made.checkpoint.seq, made.checkpoint.installation.as_str()), (2, "test"));
    assert_eq!(site.read("checkpoint.jws"), format!("{}\n", made.jws));
    assert_eq!(jwk_set::parse(&site.read("checkpoint-key.json")).unwrap(), std::slice::from_ref(&made.key));
    assert_eq!(site.backend.labels(), [label(&"test".parse().unwrap())]);
    assert_eq!(label(&"test".parse().unwrap()).to_string(), "test/jwksd.audit.v1");
    site.append().await;
    let again = site.maker.make().await.unwrap();
    assert_eq!((again.checkpoint.seq, site.backend.calls(Call::Generate)), (4, 1));

    let beside = verify(site.directory.path()).unwrap();
    assert_eq!((beside.checkpoints, beside.trust, beside.vouched.as_ref().unwrap().seq), (2, Trust::Beside, 4));
    let against =
        Against { keys: vec![made.key], checkpoints: vec![("kept".to_owned(), made.jws)], ..Against::default() };
    let pinned = verify_against(site.directory.path(), &against).unwrap();
    assert_eq!((pinned.trust, pinned.vouched), (Trust::Pinned, beside.vouched));
}

#[tokio::test]
async fn none_is_made_while_there_is_nothing_to_vouch_for() {
    let site = Site::new(Span::from_secs(1));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(Arc::clone(&site.maker).run(async { drop(stopped.await) }));
    assert!(soon(|| site.made() == 1).await);
    let vouched = site.metrics.checkpoints.vouched.get();
    // It looks again, and finds that the only record since then is the checkpoint itself.
    assert!(soon(|| site.metrics.checkpoints.vouched.get() > vouched).await);
    assert_eq!(site.made(), 1);
    site.append().await;
    assert!(soon(|| site.made() == 2).await);
    drop(stop);
    running.await.unwrap();

    site.append().await;
    site.maker.finish().await;
    site.maker.finish().await;
    assert_eq!((site.made(), site.metrics.checkpoints.failures.get()), (3, 0));
}

#[tokio::test]
async fn a_backend_that_fails_is_asked_again_and_nobody_waits_for_it() {
    let site = Site::new(Span::from_hours(1));
    site.backend.fail_next(Call::Generate, Fault::FailedNotDone);
    site.backend.fail_next(Call::Sign, Fault::WrongSignature);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(Arc::clone(&site.maker).run(async { drop(stopped.await) }));
    assert!(soon(|| site.metrics.checkpoints.failures.get() == 1).await);
    site.append().await;
    assert!(soon(|| site.made() == 1).await);
    assert_eq!(site.metrics.checkpoints.failures.get(), 2);

    // One that never answers does not hold up the end.
    site.backend.fail_always(Call::Sign, Fault::Hang);
    let hanging = tokio::spawn({
        let maker = Arc::clone(&site.maker);
        async move { maker.make().await }
    });
    site.append().await;
    drop(stop);
    running.await.unwrap();
    hanging.abort();
    assert!(hanging.await.unwrap_err().is_cancelled());
    assert!(verify(site.directory.path()).is_ok());
}

#[tokio::test]
async fn what_does_not_verify_goes_nowhere() {
    let site = Site::new(Span::from_hours(1));
    site.backend.fail_next(Call::Sign, Fault::WrongSignature);
    let refused = site.maker.make().await;
    assert!(matches!(refused, Err(MakeError::Forged(_))), "{refused:?}");
    assert_eq!(site.made(), 0);
    assert!(!site.directory.path().join("checkpoint.jws").exists());
}

#[tokio::test]
async fn a_key_that_was_made_anew_is_added_to_those_that_are_known() {
    let site = Site::new(Span::from_hours(1));
    let first = site.maker.make().await.unwrap();
    let other = Arc::new(FakeBackend::new("test"));
    let maker = maker(&site.audit, site.directory.path(), &other, Span::from_hours(1), &site.metrics);
    let second = maker.make().await.unwrap();
    assert_ne!(first.key, second.key);
    assert_eq!(jwk_set::parse(&site.read("checkpoint-key.json")).unwrap(), [first.key.clone(), second.key.clone()]);
    assert_eq!(verify(site.directory.path()).unwrap().checkpoints, 2);
    let only = |key| verify_against(site.directory.path(), &Against { keys: vec![key], ..Against::default() });
    // Whoever has pinned the first one is told of the second.
    assert!(only(first.key).unwrap_err().to_string().contains("checkpoint.jws"));
    assert!(only(second.key).unwrap_err().to_string().contains("which is not among the keys"));

    fs::write(site.directory.path().join("checkpoint-key.json"), "{}").unwrap();
    let again = Arc::new(FakeBackend::new("test"));
    let maker = self::maker(&site.audit, site.directory.path(), &again, Span::from_hours(1), &site.metrics);
    assert!(matches!(maker.make().await, Err(MakeError::KeyFile { .. })));
}
