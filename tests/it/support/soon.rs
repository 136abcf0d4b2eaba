//! Waiting for what other tasks bring about.

use std::time::Duration;

use super::daemon::{PATIENCE, monotonic};

/// Whether it becomes so before patience is over.
pub async fn soon(mut is_so: impl FnMut() -> bool) -> bool {
    answered(async || is_so().then_some(())).await.is_some()
}

/// Asks again and again until there is an answer, or patience is over.
pub async fn answered<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = monotonic() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        if monotonic() >= deadline {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
