//! AWS KMS backends: from what the configuration says to keys that sign.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::Backend;
use crate::backend::aws_kms::{AwsKms, Creation, Settings};
use crate::backend::metrics::BackendMetrics;
use crate::clock::Clock;
use crate::config::{self as tree, Config};
use crate::ids::BackendId;

use super::AppError;

/// Configured keys in AWS KMS. AWS is not asked anything yet.
pub(super) fn backend(
    config: &Config,
    id: &BackendId,
    backend: &tree::Backend,
    aws: &tree::AwsKms,
    metrics: &BackendMetrics,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn Backend>, AppError> {
    let tree::AwsKms { region, profile, endpoint, tagging_endpoint, sign_rate, deletion_window, create } = aws;
    let tree::AwsCreate { policy, description, multi_region, tags, alias_prefix } = create;
    let policy = policy.as_ref().map(|path| key_policy(id, path)).transpose()?;
    let default = Settings::new(config.installation.clone());
    let settings = Settings {
        region: region.clone(),
        profile: profile.clone(),
        endpoint: endpoint.clone(),
        tagging_endpoint: tagging_endpoint.clone(),
        sign_rate: *sign_rate,
        // Time for two tries and a little.
        sign_try: (backend.sign_deadline.as_duration() * 2 / 5).max(Duration::from_millis(100)),
        deletion_window: *deletion_window,
        creation: Creation {
            policy,
            description: description.clone(),
            multi_region: *multi_region,
            tags: tags.clone(),
            alias_prefix: alias_prefix.clone(),
        },
        ..default
    };
    Ok(Arc::new(AwsKms::new(id, settings, &metrics.clouds, Arc::clone(clock))))
}

/// Read at the start: a key must not wait for a file that turns out to be none.
fn key_policy(id: &BackendId, path: &Path) -> Result<String, AppError> {
    let failed = |problem| AppError::KeyPolicy { backend: id.clone(), path: path.to_owned(), problem };
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let parsed: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(&text);
    parsed.map_err(|error| failed(format!("not a JSON object: {error}")))?;
    if text.len() > POLICY_MAX {
        return Err(failed(format!("{} bytes, where AWS KMS takes {POLICY_MAX}", text.len())));
    }
    Ok(text)
}

/// AWS KMS Developer Guide, "Resource quotas".
const POLICY_MAX: usize = 32 * 1_024;
