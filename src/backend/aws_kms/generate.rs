//! Making a key, and finding what an earlier try has made.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_kms::types::{KeyMetadata, KeyState, KeyUsageType, OriginType, Tag};
use tokio::sync::Mutex;
use tokio::time::sleep;
use tracing::{info, warn};

use super::client::{Account, Held};
use super::end::end;
use super::found::{Tagged, describe, is_ending, search};
use super::names::{self, KeyArn, LABEL};
use crate::backend::cloud::fault::{Class, Fault};
use crate::backend::{BackendError, Generated};
use crate::ids::Label;
use crate::jose::alg::KeySpec;
use crate::jose::jwk::PublicKey;

/// What this process did lately for a label. The index of tags may not show it yet.
#[derive(Debug)]
pub(super) struct Trace {
    /// By the monotonic clock.
    at: Duration,
    /// The key that was made; absent if nobody knows whether one was.
    made: Option<KeyArn>,
}

/// A key that carries the label.
struct Candidate {
    arn: KeyArn,
    metadata: KeyMetadata,
}

/// The key of `label`: found, or made if there is none.
///
/// A crash after CreateKey leaves a key with the label's tags, which the next try finds. Should the index of tags be
/// so late that it does not, there are two; they are seen together when the second one shows, and the older one stays.
pub(super) async fn generate(
    account: &Account,
    making: &Mutex<HashMap<Label, Trace>>,
    label: &Label,
    spec: KeySpec,
) -> Result<Generated, BackendError> {
    let installation = &account.settings.installation;
    if label.installation != *installation {
        return Err(BackendError::Refused(format!("{label} is not of the installation {installation}")));
    }
    // One at a time: the quota is five a second, and two for the same label must not both find nothing.
    let mut traces = making.lock().await;
    let now = account.clock.monotonic();
    traces.retain(|_, trace| now.saturating_sub(trace.at) < account.settings.settle);
    let mut candidates = candidates(account, label, spec, traces.get(label)).await?;
    if candidates.is_empty() {
        let is_open = traces.get(label).is_some_and(|trace| trace.made.is_none());
        if !is_open {
            let made = create(account, label, spec).await;
            if let Ok(_) | Err(Fault { class: Class::Unknown, .. }) = &made {
                traces
                    .insert(label.clone(), Trace { at: account.clock.monotonic(), made: made.as_ref().ok().cloned() });
            }
            if let Err(fault) = made
                && fault.class != Class::Unknown
            {
                return Err(fault.into());
            }
        }
        candidates = appeared(account, label, spec, traces.get(label)).await?;
    }
    // Deterministic, so that whoever looks comes to the same key: the oldest, then the first by name.
    candidates.sort_by(|one, other| {
        let age = |candidate: &Candidate| candidate.metadata.creation_date().map(|date| date.as_nanos());
        (age(one), &one.arn).cmp(&(age(other), &other.arn))
    });
    let mut candidates = candidates.into_iter();
    let Some(Candidate { arn, metadata }) = candidates.next() else {
        return Err(BackendError::Unavailable(format!(
            "nobody knows yet whether the key {label} was made: the answer was lost, and it is not found by its tags; \
             it is looked for again, and made anew only after {} s",
            account.settings.settle.as_secs()
        )));
    };
    for twin in candidates {
        warn!(handle = twin.arn.as_str(), "second key of one label found; it is deleted");
        end(account, &twin.arn, &twin.metadata).await?;
    }
    wait_until_usable(account, &arn, metadata).await?;
    let public = public_key(account, &arn, spec).await?;
    alias(account, label, &arn).await?;
    Ok(Generated { handle: arn.handle(), public })
}

/// The keys of the label that could sign now or soon. Those that are disabled are what an interrupted end has left:
/// no version has them yet, so their end is brought about.
async fn candidates(
    account: &Account,
    label: &Label,
    spec: KeySpec,
    trace: Option<&Trace>,
) -> Result<Vec<Candidate>, BackendError> {
    let mut tagged = search(account, LABEL, &label.to_string()).await?;
    if let Some(arn) = trace.and_then(|trace| trace.made.clone())
        && !tagged.iter().any(|found| found.arn == arn)
    {
        tagged.push(Tagged { arn, label: label.clone(), algorithm: Some(spec.algorithm().name().to_owned()) });
    }
    let mut candidates = Vec::new();
    for Tagged { arn, algorithm, .. } in tagged {
        let Some(metadata) = describe(account, &arn).await? else { continue };
        if is_ending(&metadata) {
            continue;
        }
        if metadata.key_state() == Some(&KeyState::Disabled) {
            info!(handle = arn.as_str(), "disabled key of an unfinished version found; it is deleted");
            end(account, &arn, &metadata).await?;
            continue;
        }
        check(account, &arn, &metadata, algorithm.as_deref(), spec)?;
        candidates.push(Candidate { arn, metadata });
    }
    Ok(candidates)
}

/// The keys of the label, once the index of tags shows what was made: then it also shows what was made before that.
async fn appeared(
    account: &Account,
    label: &Label,
    spec: KeySpec,
    trace: Option<&Trace>,
) -> Result<Vec<Candidate>, BackendError> {
    let made = trace.and_then(|trace| trace.made.as_ref());
    let begun = account.clock.monotonic();
    let mut pause = FIRST_PAUSE;
    loop {
        let shown = search(account, LABEL, &label.to_string()).await?;
        let is_shown = match made {
            Some(arn) => shown.iter().any(|found| found.arn == *arn),
            None => !shown.is_empty(),
        };
        let is_late = account.clock.monotonic().saturating_sub(begun) + pause > APPEARS_WITHIN;
        if is_shown || is_late {
            return candidates(account, label, spec, trace).await;
        }
        sleep(pause).await;
        pause *= 2;
    }
}

/// Has KMS make a key. An answer that was lost is [`Class::Unknown`]: there may be a key or not.
async fn create(account: &Account, label: &Label, spec: KeySpec) -> Result<KeyArn, Fault> {
    let creation = &account.settings.creation;
    let own = names::tags(label, spec).map(|(key, value)| (key.to_owned(), value));
    let tags = own.into_iter().chain(creation.tags.iter().cloned());
    let tag = |(key, value)| Tag::builder().tag_key(key).tag_value(value).build();
    let tags: Result<Vec<Tag>, _> = tags.map(tag).collect();
    let tags = tags.map_err(|error| Fault::new(Class::Bad, error.to_string()))?;
    let description = creation.description.clone().unwrap_or_else(|| format!("jwksd {label}"));
    let call = async |clients: Held| {
        let call = clients.kms.create_key().key_usage(KeyUsageType::SignVerify).key_spec(names::key_spec(spec));
        let call = call.origin(OriginType::AwsKms).set_tags(Some(tags.clone())).description(&description);
        // Left out unless it is wanted: it takes another permission.
        let call = call.set_multi_region(creation.multi_region.then_some(true));
        call.set_policy(creation.policy.clone()).send().await
    };
    let answer = account.create("CreateKey", call).await?;
    let arn = answer.key_metadata.as_ref().and_then(|metadata| metadata.arn()).and_then(KeyArn::parse);
    arn.ok_or_else(|| Fault::new(Class::Unknown, "CreateKey: the answer names no key"))
}

/// Whether the key is what we would have made.
fn check(
    account: &Account,
    arn: &KeyArn,
    metadata: &KeyMetadata,
    algorithm: Option<&str>,
    spec: KeySpec,
) -> Result<(), BackendError> {
    let told = |value: Option<&str>| value.unwrap_or("nothing").to_owned();
    let multi_region = |yes: bool| if yes { "multi-Region" } else { "of one Region" }.to_owned();
    let (has, wanted) = (metadata.key_spec(), names::key_spec(spec));
    let facts = [
        ("key spec", has.map_or_else(|| told(None), names::told), names::told(&wanted)),
        ("key usage", told(metadata.key_usage().map(KeyUsageType::as_str)), KeyUsageType::SignVerify.to_string()),
        ("origin", told(metadata.origin().map(OriginType::as_str)), OriginType::AwsKms.to_string()),
        (
            "scope",
            multi_region(metadata.multi_region() == Some(true)),
            multi_region(account.settings.creation.multi_region),
        ),
        ("algorithm (by its tag)", told(algorithm), spec.algorithm().name().to_owned()),
    ];
    match facts.into_iter().find(|(_, has, wanted)| has != wanted) {
        None => Ok(()),
        Some((what, has, wanted)) => {
            Err(BackendError::Mismatch(format!("{}: its {what} is {has}, not {wanted}", arn.as_str())))
        }
    }
}

/// A new key is not usable everywhere at once.
async fn wait_until_usable(account: &Account, arn: &KeyArn, first: KeyMetadata) -> Result<(), BackendError> {
    let begun = account.clock.monotonic();
    let mut state = first.key_state;
    let mut pause = FIRST_PAUSE;
    while state != Some(KeyState::Enabled) {
        let told = state.as_ref().map_or("unknown", KeyState::as_str);
        if !matches!(state, None | Some(KeyState::Creating | KeyState::Updating | KeyState::Unavailable)) {
            return Err(BackendError::Mismatch(format!("{}: its state is {told}, not Enabled", arn.as_str())));
        }
        if account.clock.monotonic().saturating_sub(begun) + pause > USABLE_WITHIN {
            return Err(BackendError::Unavailable(format!("{}: its state is {told} still", arn.as_str())));
        }
        sleep(pause).await;
        pause *= 2;
        state = describe(account, arn).await?.and_then(|metadata| metadata.key_state);
    }
    Ok(())
}

/// The public half, read back. To be kept: KMS shows it no more once the key is disabled.
async fn public_key(account: &Account, arn: &KeyArn, spec: KeySpec) -> Result<PublicKey, BackendError> {
    let begun = account.clock.monotonic();
    let mut pause = FIRST_PAUSE;
    let answer = loop {
        let call = async |clients: Held| clients.kms.get_public_key().key_id(arn.as_str()).send().await;
        match account.read("GetPublicKey", call).await {
            Ok(answer) => break answer,
            // Made a moment ago, and not known everywhere.
            Err(fault) if fault.class == Class::KeyGone => {
                if account.clock.monotonic().saturating_sub(begun) + pause > USABLE_WITHIN {
                    return Err(fault.into());
                }
            }
            Err(fault) => return Err(fault.into()),
        }
        sleep(pause).await;
        pause *= 2;
    };
    let mismatch = |text: String| BackendError::Mismatch(format!("{}: {text}", arn.as_str()));
    if answer.key_id() != Some(arn.as_str()) {
        return Err(mismatch(format!("the public key is of {:?}", answer.key_id())));
    }
    let algorithm = names::signing_algorithm(spec.algorithm());
    if !answer.signing_algorithms().contains(&algorithm) {
        return Err(mismatch(format!("it does not sign with {algorithm}")));
    }
    let der = answer.public_key().map(|blob| blob.as_ref()).unwrap_or_default();
    let public = PublicKey::from_spki(der).map_err(|error| mismatch(format!("its public key: {error}")))?;
    if !public.matches(spec) {
        return Err(mismatch(format!("its public key is none for {spec}")));
    }
    Ok(public)
}

/// Gives the key its name for people, if names are wanted. Nothing is ever found or used by it.
async fn alias(account: &Account, label: &Label, arn: &KeyArn) -> Result<(), Fault> {
    let Some(prefix) = &account.settings.creation.alias_prefix else { return Ok(()) };
    let name = names::alias(prefix, label);
    let call =
        async |clients: Held| clients.kms.create_alias().alias_name(&name).target_key_id(arn.as_str()).send().await;
    let made = account.write("CreateAlias", call).await;
    match made {
        Err(fault) if fault.text.contains("AlreadyExistsException") => {
            let call = async |clients: Held| {
                clients.kms.update_alias().alias_name(&name).target_key_id(arn.as_str()).send().await
            };
            account.write("UpdateAlias", call).await.map(|_| ())
        }
        made => made.map(|_| ()),
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The index of tags is some seconds behind; whoever waits longer is better told so.
const APPEARS_WITHIN: Duration = Duration::from_secs(20);
const USABLE_WITHIN: Duration = Duration::from_secs(20);
