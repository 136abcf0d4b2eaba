//! A cloud's client, with the credentials that were there when it was made.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use super::fault::Fault;
use crate::clock::Clock;

/// A client that is made at first use, and anew after its credentials were refused: by then there may be others.
///
/// Not after every refusal, since whoever hands out credentials is not to be asked as often as we sign.
pub struct Renewable<T> {
    made: ArcSwapOption<Made<T>>,
    making: Mutex<()>,
    clock: Arc<dyn Clock>,
}

struct Made<T> {
    client: T,
    at: Duration,
}

impl<T: Clone> Renewable<T> {
    /// None yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { made: ArcSwapOption::empty(), making: Mutex::default(), clock }
    }

    /// The client. Where there is none it is made by `make`, by one caller while the others wait.
    ///
    /// # Errors
    /// That of `make`; then the next caller tries.
    pub async fn get<F: Future<Output = Result<T, Fault>>>(&self, make: impl FnOnce() -> F) -> Result<T, Fault> {
        if let Some(client) = self.present() {
            return Ok(client);
        }
        let _one = self.making.lock().await;
        if let Some(client) = self.present() {
            return Ok(client);
        }
        let client = make().await?;
        self.made.store(Some(Arc::new(Made { client: client.clone(), at: self.clock.monotonic() })));
        Ok(client)
    }

    /// The cloud refused the client's credentials.
    pub fn refused(&self) {
        let now = self.clock.monotonic();
        if self.made.load().as_ref().is_some_and(|made| now.saturating_sub(made.at) >= YOUTH) {
            self.made.store(None);
        }
    }

    fn present(&self) -> Option<T> {
        self.made.load().as_ref().map(|made| made.client.clone())
    }
}

/// How old a client is at least when another takes its place.
const YOUTH: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    use super::*;
    use crate::backend::cloud::fault::Class;
    use crate::lifecycle::time::Timestamp;

    #[derive(Debug, Default)]
    struct Hands(AtomicU64);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(0)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    #[tokio::test]
    async fn a_client_is_made_anew_when_it_was_refused_and_is_not_young() {
        let (hands, made) = (Arc::new(Hands::default()), AtomicU32::new(0));
        let renewable = Renewable::new(Arc::clone(&hands) as Arc<dyn Clock>);
        let get = async || renewable.get(async || Ok(made.fetch_add(1, Ordering::Relaxed) + 1)).await;
        for (second, is_refused, expected) in [
            (0, false, 1),
            (9, false, 1),
            (9, true, 2),
            (9, true, 2),
            (9 + YOUTH.as_secs() - 1, true, 2),
            (9 + YOUTH.as_secs(), true, 3),
            (1_000, false, 3),
        ] {
            hands.0.store(second, Ordering::Relaxed);
            if is_refused {
                renewable.refused();
            }
            assert_eq!(get().await, Ok(expected), "second {second}, refused: {is_refused}");
        }
    }

    #[tokio::test]
    async fn a_client_that_could_not_be_made_is_tried_again_and_one_is_enough_for_all() {
        let renewable = Renewable::new(Arc::new(Hands::default()));
        let no = || Fault::new(Class::Permission, "nobody");
        assert_eq!(renewable.get(async || Err::<u32, _>(no())).await, Err(no()));
        let made = AtomicU32::new(0);
        let slow = async || {
            tokio::task::yield_now().await;
            Ok(made.fetch_add(1, Ordering::Relaxed))
        };
        let both = tokio::join!(renewable.get(slow), renewable.get(slow));
        assert_eq!(both, (Ok(0), Ok(0)));
    }
}
