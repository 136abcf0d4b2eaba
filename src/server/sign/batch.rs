//! Many requests at once: one answer each, in order.

use futures_util::stream::{self, StreamExt};

use super::endpoints::Call;
use crate::server::api::{BatchResponse, BatchResult};

/// Works on several requests at once, so that they share the backend's and the disk's time.
pub async fn answer(call: &Call<'_>, requests: &[&str]) -> BatchResponse {
    let answers: Vec<_> = requests.iter().map(|text| one(call, text)).collect();
    let results = stream::iter(answers).buffered(call.settings.batch_at_once.max(1)).collect().await;
    BatchResponse { results }
}

async fn one(call: &Call<'_>, text: &str) -> BatchResult {
    match call.token(text).await {
        Ok(token) => BatchResult::Token(token),
        Err(refusal) => {
            refusal.log(call.counts, &call.asker.caller, &call.asker.request_id);
            BatchResult::Refused { problem: refusal.problem(&call.asker.request_id) }
        }
    }
}
