//! The end of a key: it signs nothing any more at once, and is deleted later.

use aws_sdk_kms::types::KeyMetadata;

use super::client::{Account, Held};
use super::found::{describe, is_ending};
use super::names::{INSTALLATION, KeyArn};
use crate::backend::cloud::fault::{Class, Fault};
use crate::backend::{BackendError, Destroyed};
use crate::ids::Handle;
use crate::lifecycle::time::Timestamp;

/// Ends a key of ours. Nothing is done twice, so it may be asked again after any fault.
pub(super) async fn destroy(account: &Account, handle: &Handle) -> Result<Destroyed, BackendError> {
    let refused = |text: String| Err(BackendError::Refused(text));
    let Some(arn) = KeyArn::of(handle) else {
        return refused(format!("{handle} is no ARN of a KMS key"));
    };
    let region = account.clients().await?.region.clone();
    if arn.region() != region {
        return refused(format!("{handle} is in another region than {region}, where this backend has its keys"));
    }
    let Some(metadata) = describe(account, &arn).await? else { return Ok(Destroyed::Done) };
    if !is_ours(account, &arn).await? {
        let installation = &account.settings.installation;
        return refused(format!("{handle} does not have the tag {INSTALLATION}={installation}; it was left as it is"));
    }
    end(account, &arn, &metadata).await
}

/// Ends a key that is known to be ours, and is as `metadata` says.
pub(super) async fn end(account: &Account, arn: &KeyArn, metadata: &KeyMetadata) -> Result<Destroyed, BackendError> {
    let replicas = metadata.multi_region_configuration().map(|all| all.replica_keys()).unwrap_or_default();
    let date = match metadata.deletion_date() {
        _ if !is_ending(metadata) => {
            // First, and apart: from here on it signs nothing, whatever becomes of the next call.
            disable(account, arn).await?;
            schedule(account, arn).await?
        }
        date => date.map(|date| Timestamp::from_second(date.secs())),
    };
    if !replicas.is_empty() {
        let regions: Vec<&str> = replicas.iter().filter_map(|replica| replica.region()).collect();
        return Err(BackendError::Refused(format!(
            "{} is disabled, but its replicas in {} still sign and hold up its deletion: delete them there",
            arn.as_str(),
            regions.join(", ")
        )));
    }
    Ok(Destroyed::ScheduledFor(date.unwrap_or_else(|| account.clock.now() + account.settings.deletion_window)))
}

async fn disable(account: &Account, arn: &KeyArn) -> Result<(), Fault> {
    let call = async |clients: Held| clients.kms.disable_key().key_id(arn.as_str()).send().await;
    match account.write("DisableKey", call).await {
        Ok(_) => Ok(()),
        // Somebody was faster; what it is now is seen next.
        Err(fault) if fault.class == Class::KeyGone => Ok(()),
        Err(fault) => Err(fault),
    }
}

/// Has the key deleted, and says when.
async fn schedule(account: &Account, arn: &KeyArn) -> Result<Option<Timestamp>, Fault> {
    // What does not fit is refused by AWS, as everything above 30.
    let days = i32::try_from(account.settings.deletion_window.as_days()).unwrap_or(i32::MAX);
    let call = async |clients: Held| {
        let call = clients.kms.schedule_key_deletion().key_id(arn.as_str());
        call.pending_window_in_days(days).send().await
    };
    let date = match account.write("ScheduleKeyDeletion", call).await {
        Ok(answer) => answer.deletion_date,
        // An earlier try was faster, or a deletion that nobody told us of.
        Err(fault) if fault.class == Class::KeyGone => match describe(account, arn).await? {
            None => None,
            Some(metadata) if is_ending(&metadata) => metadata.deletion_date,
            Some(_) => return Err(fault),
        },
        Err(fault) => return Err(fault),
    };
    Ok(date.map(|date| Timestamp::from_second(date.secs())))
}

/// Whether the key itself says that it is this installation's; the index of tags may not know yet.
async fn is_ours(account: &Account, arn: &KeyArn) -> Result<bool, Fault> {
    let call = async |clients: Held| clients.kms.list_resource_tags().key_id(arn.as_str()).limit(TAGS_MAX).send().await;
    let tags = account.read("ListResourceTags", call).await?;
    let installation = account.settings.installation.as_str();
    Ok(tags.tags().iter().any(|tag| tag.tag_key() == INSTALLATION && tag.tag_value() == installation))
}

/// The most that a key can have.
const TAGS_MAX: i32 = 50;
