//! Looking: keys by their tags, what KMS says of one, and what is there at all.

use aws_sdk_kms::types::{KeyMetadata, KeyState};
use aws_sdk_resourcegroupstagging::types::TagFilter;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::client::{Account, Held};
use super::names::{ALGORITHM, INSTALLATION, KeyArn, LABEL};
use crate::backend::cloud::fault::{Class, Fault};
use crate::backend::{BackendError, Found, Probe};
use crate::ids::Label;

/// A key as its tags tell it.
#[derive(Debug, Clone)]
pub(super) struct Tagged {
    pub(super) arn: KeyArn,
    pub(super) label: Label,
    /// Absent if somebody took the tag away.
    pub(super) algorithm: Option<String>,
}

/// The keys with the tag `tag`, as far as the index of tags has come. Those that wait to be deleted are among them.
pub(super) async fn search(account: &Account, tag: &str, value: &str) -> Result<Vec<Tagged>, Fault> {
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let call = async |clients: Held| {
            let filter = TagFilter::builder().key(tag).values(value).build();
            let call = clients.tagging.get_resources().tag_filters(filter).resource_type_filters("kms:key");
            call.resources_per_page(PAGE).set_pagination_token(token.clone()).send().await
        };
        let page = account.read("GetResources", call).await?;
        for resource in page.resource_tag_mapping_list() {
            let of = |name: &str| resource.tags().iter().find(|tag| tag.key() == name).map(|tag| tag.value());
            let arn = resource.resource_arn().and_then(KeyArn::parse);
            let label = of(LABEL).and_then(|text| text.parse::<Label>().ok());
            // A key with another installation's label, or with none, is not ours, whatever else it carries.
            if let (Some(arn), Some(label)) = (arn, label)
                && label.installation == account.settings.installation
                && of(tag) == Some(value)
            {
                found.push(Tagged { arn, label, algorithm: of(ALGORITHM).map(str::to_owned) });
            }
        }
        token = page.pagination_token().filter(|token| !token.is_empty()).map(str::to_owned);
        if token.is_none() {
            return Ok(found);
        }
    }
    Err(Fault::new(Class::Bad, format!("GetResources: more than {PAGES_MAX} pages of keys with the tag {tag}={value}")))
}

/// What KMS says of a key; nothing if it knows none.
pub(super) async fn describe(account: &Account, arn: &KeyArn) -> Result<Option<KeyMetadata>, Fault> {
    let call = async |clients: Held| clients.kms.describe_key().key_id(arn.as_str()).send().await;
    match account.read("DescribeKey", call).await {
        Ok(answer) => match answer.key_metadata {
            Some(metadata) if metadata.arn() == Some(arn.as_str()) => Ok(Some(metadata)),
            _ => Err(Fault::new(Class::Bad, format!("DescribeKey: the answer is not of {}", arn.as_str()))),
        },
        Err(fault) if fault.class == Class::KeyGone => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Whether a key's end is decided.
pub(super) fn is_ending(metadata: &KeyMetadata) -> bool {
    matches!(metadata.key_state(), Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion))
}

/// The keys of the installation whose end is not decided.
pub(super) async fn list(account: &Account) -> Result<Vec<Found>, BackendError> {
    let tagged = search(account, INSTALLATION, account.settings.installation.as_str()).await?;
    let look = async |Tagged { arn, label, .. }: Tagged| {
        let metadata = describe(account, &arn).await?;
        let lives = metadata.is_some_and(|metadata| !is_ending(&metadata));
        Ok::<_, Fault>(lives.then(|| Found { label, handle: arn.handle() }))
    };
    let looked = stream::iter(tagged).map(look).buffered(LOOKS);
    let found: Vec<Option<Found>> = looked.try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// Whether KMS and the index of tags answer to our credentials.
pub(super) async fn probe(account: &Account) -> Result<Probe, BackendError> {
    let keys = account.read("ListKeys", async |clients: Held| clients.kms.list_keys().limit(1).send().await);
    let keys = keys.await?;
    let ours = search(account, INSTALLATION, account.settings.installation.as_str()).await?;
    let region = account.clients().await?.region.clone();
    let any = keys.keys().first().and_then(|key| key.key_arn()).and_then(KeyArn::parse);
    let number = any.as_ref().map_or("without keys", KeyArn::account);
    let settings = &account.settings;
    let mut facts = vec![
        ("region".to_owned(), region.clone()),
        ("account".to_owned(), number.to_owned()),
        ("keys".to_owned(), format!("{} with the tag {INSTALLATION}={}", ours.len(), settings.installation)),
        ("signatures".to_owned(), format!("at most {} a second", settings.sign_rate)),
        ("deletion".to_owned(), format!("{} days after a key's end", settings.deletion_window.as_days())),
    ];
    for (name, endpoint) in [("endpoint", &settings.endpoint), ("tagging endpoint", &settings.tagging_endpoint)] {
        facts.extend(endpoint.as_ref().map(|endpoint| (name.to_owned(), endpoint.clone())));
    }
    Ok(Probe { summary: format!("AWS KMS, {region}"), facts })
}

/// Keys of one page, the most that there may be.
const PAGE: i32 = 100;
/// Far more than an installation has, and an end to a pager that goes in circles.
const PAGES_MAX: usize = 200;
/// Keys that are looked at side by side.
const LOOKS: usize = 8;
