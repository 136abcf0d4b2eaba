//! Signatures asked for at a steady rate, whatever becomes of them, each of them checked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jwksd::backend::{Backend, BackendError, Generated, Input, KeyRef};
use jwksd::jose::alg::KeySpec;
use jwksd::jose::jwk::Jwk;
use jwksd::jose::verify::Verifier;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::soon::soon;

/// Traffic that is under way.
pub struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Seen>,
    sender: JoinHandle<u64>,
}

struct Seen {
    verifiers: Vec<Verifier>,
    tally: Mutex<Tally>,
}

/// What came of it.
#[derive(Debug)]
pub struct Tally {
    pub asked: u64,
    pub signed: u64,
    /// How often callers were told each thing.
    pub failed: BTreeMap<String, u64>,
    /// The longest time without any signature.
    pub gap: Duration,
    /// The longest time from a question to its signature.
    pub slowest: Duration,
    /// Signatures that do not verify with the public key of the key that was asked for.
    pub wrong: u64,
    last: Instant,
}

impl Load {
    /// Begins to ask for `rate` signatures a second, of each key in turn.
    pub fn start(backend: Arc<dyn Backend>, keys: &[Generated], spec: KeySpec, rate: u64, within: Duration) -> Self {
        let verifier =
            |key: &Generated| Verifier::new(&Jwk::with_thumbprint(spec.algorithm(), key.public.clone()).unwrap());
        let tally = Tally {
            asked: 0,
            signed: 0,
            failed: BTreeMap::new(),
            gap: Duration::ZERO,
            slowest: Duration::ZERO,
            wrong: 0,
            last: Instant::now(),
        };
        let seen = Arc::new(Seen { verifiers: keys.iter().map(verifier).collect(), tally: Mutex::new(tally) });
        let stop = Arc::new(AtomicBool::new(false));
        let (keys, stopped, watching) = (keys.to_vec(), Arc::clone(&stop), Arc::clone(&seen));
        let sender = tokio::spawn(async move {
            let mut due = interval(Duration::from_micros(1_000_000 / rate));
            due.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut asked = 0_u64;
            let mut pending = Vec::new();
            while !stopped.load(Ordering::SeqCst) {
                due.tick().await;
                let at = usize::try_from(asked).unwrap() % keys.len();
                let (backend, key, seen) = (Arc::clone(&backend), keys[at].clone(), Arc::clone(&watching));
                asked += 1;
                pending.push(tokio::spawn(async move {
                    let input = format!("input {asked}");
                    let begun = Instant::now();
                    let answer = backend
                        .sign(KeyRef { handle: &key.handle, spec }, Input::Message(input.as_bytes()), within)
                        .await;
                    let is_right =
                        answer.as_ref().is_ok_and(|s| seen.verifiers[at].verify(input.as_bytes(), &s.0).is_ok());
                    seen.tally.lock().unwrap().count(begun, answer.map(|_| is_right));
                }));
            }
            for asked in pending {
                asked.await.unwrap();
            }
            asked
        });
        Self { stop, seen, sender }
    }

    /// Lets it go on for a while.
    pub async fn go_on(&self, time: Duration) {
        sleep(time).await;
    }

    /// Signatures so far.
    pub fn signed(&self) -> u64 {
        self.seen.tally.lock().unwrap().signed
    }

    /// Waits until so many more have been signed.
    pub async fn signs(&self, count: u64) {
        let goal = self.signed() + count;
        let is_there = soon(|| self.signed() >= goal).await;
        assert!(is_there, "nothing is signed any more: {:?}", self.seen.tally.lock().unwrap());
    }

    /// Ends it, and demands that nothing was signed wrongly and every question answered.
    pub async fn end(self) -> Tally {
        self.stop.store(true, Ordering::SeqCst);
        let asked = self.sender.await.unwrap();
        let seen = Arc::into_inner(self.seen).expect("everybody has finished");
        let mut tally = seen.tally.into_inner().unwrap();
        tally.asked = asked;
        assert_eq!(tally.wrong, 0, "{tally:?}");
        assert_eq!(tally.signed + tally.failed.values().sum::<u64>(), asked, "{tally:?}");
        println!("{tally:?}");
        tally
    }
}

impl Tally {
    fn count(&mut self, begun: Instant, answer: Result<bool, BackendError>) {
        match answer {
            Ok(is_right) => {
                let now = Instant::now();
                self.gap = self.gap.max(now - self.last);
                self.slowest = self.slowest.max(now - begun);
                self.last = now;
                self.signed += 1;
                self.wrong += u64::from(!is_right);
            }
            Err(error) => *self.failed.entry(error.to_string()).or_default() += 1,
        }
    }

    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}
