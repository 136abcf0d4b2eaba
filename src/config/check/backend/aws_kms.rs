//! Keys inside AWS KMS.

use super::super::faults::Faults;
use crate::config::aws::{AwsCreate, AwsKms, Region, TagText, is_tag_key};
use crate::config::document::Place;
use crate::config::file::{AwsCreateTable, Named};
use crate::config::gcp::Endpoint;
use crate::config::scalar::{PlainText, Rate};
use crate::config::value::{Field, Parsed, Section, plain};
use crate::lifecycle::time::Span;

/// What an AWS KMS backend takes.
pub(super) struct Aws {
    pub(super) region: Field<Region>,
    pub(super) profile: Field<PlainText>,
    pub(super) endpoint: Field<Endpoint>,
    pub(super) tagging_endpoint: Field<Endpoint>,
    pub(super) sign_rate: Field<Rate>,
    pub(super) deletion_window: Field<Span>,
    pub(super) create: Section<AwsCreateTable>,
}

impl Aws {
    pub(super) fn check(self, place: &Place, faults: &mut Faults<'_>) -> AwsKms {
        let Self { region, profile, endpoint, tagging_endpoint, sign_rate, deletion_window, create } = self;
        let default = AwsKms::default();
        if endpoint.is_some() != tagging_endpoint.is_some() {
            let (set, other) = match endpoint {
                Some(_) => ("endpoint", "tagging_endpoint"),
                None => ("tagging_endpoint", "endpoint"),
            };
            let problem = format!(
                "{set} is set and {other} is not, so one of the two services is reached at its public address; set \
                 both, unless that is meant"
            );
            faults.warn(place, problem);
        }
        AwsKms {
            region: plain(region).map(|region| region.0),
            profile: plain(profile).map(|profile| profile.0),
            endpoint: plain(endpoint).map(|url| url.0),
            tagging_endpoint: plain(tagging_endpoint).map(|url| url.0),
            sign_rate: plain(sign_rate).map_or(default.sign_rate, |rate| rate.0),
            deletion_window: window(deletion_window, default.deletion_window, faults),
            create: create.map_or(default.create, |create| creation(create.into_inner(), faults)),
        }
    }
}

/// AWS counts it in whole days.
fn window(field: Field<Span>, default: Span, faults: &mut Faults<'_>) -> Span {
    let Some(field) = field else { return default };
    let window = field.get_ref().0;
    if !(7..=30).any(|days| Span::from_days(days) == window) {
        faults.at(&field.span(), format!("AWS KMS deletes a key after 7 to 30 whole days, not after {window}"));
        return default;
    }
    window
}

fn creation(table: AwsCreateTable, faults: &mut Faults<'_>) -> AwsCreate {
    let AwsCreateTable { policy, description, multi_region, tags, alias_prefix } = table;
    AwsCreate {
        policy: plain(policy).map(|path| path.0),
        description: plain(description).map(|text| text.0),
        multi_region: plain(multi_region).unwrap_or_default(),
        tags: own_tags(tags, faults),
        alias_prefix: plain(alias_prefix).map(|prefix| prefix.0),
    }
}

fn own_tags(tags: Named<Parsed<TagText>>, faults: &mut Faults<'_>) -> Vec<(String, String)> {
    let mut own = Vec::new();
    for (key, value) in tags {
        if own.len() == TAGS_MAX {
            faults.at(&key.span(), format!("a key of AWS KMS has room for {TAGS_MAX} tags beside our own"));
            break;
        }
        if is_tag_key(key.get_ref()) {
            own.push((key.into_inner(), value.into_inner().0.0));
        } else {
            let problem = "not the key of a tag: 1 to 128 letters, digits, blanks and _ . : / = + - @, and neither \
                           aws: nor jwksd: at its beginning";
            faults.at(&key.span(), problem);
        }
    }
    own
}

/// A key has 50 tags at most, of which six are ours.
const TAGS_MAX: usize = 44;
