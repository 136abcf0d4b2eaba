//! What a verifier says it wants and has: `Accept` and `If-None-Match`.

use http::HeaderValue;
use http::header::GetAll;

/// The media types in which a JWK Set is sent; the bytes are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/jwk-set+json`.
    JwkSet,
    /// `application/json`: for clients that allow it and exclude the other.
    Json,
}

/// Chooses by `Accept`: [`Form::JwkSet`] unless it is excluded and `application/json` is not. Somebody who
/// excludes both gets the set all the same, which helps them more than a 406.
///
/// # Source
/// RFC 9110, section 12.5.1.
pub fn chosen(accept: GetAll<'_, HeaderValue>) -> Form {
    let (mut jwk_set, mut json) = (Best::default(), Best::default());
    let mut is_said = false;
    for value in accept {
        is_said = true;
        let Ok(text) = value.to_str() else { return Form::JwkSet };
        for range in text.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let Some(media) = parts.next() else { continue };
            let is_allowed = !parts.any(is_zero_weight);
            jwk_set.see(media, "application/jwk-set+json", is_allowed);
            json.see(media, "application/json", is_allowed);
        }
    }
    if is_said && !jwk_set.is_allowed && json.is_allowed { Form::Json } else { Form::JwkSet }
}

/// What the most specific range that covers a media type says of it.
#[derive(Default)]
struct Best {
    precision: u8,
    is_allowed: bool,
}

impl Best {
    fn see(&mut self, range: &str, media: &str, is_allowed: bool) {
        let precision = match range {
            _ if range.eq_ignore_ascii_case(media) => 3,
            _ if range.eq_ignore_ascii_case("application/*") => 2,
            "*/*" => 1,
            _ => return,
        };
        if precision > self.precision {
            *self = Self { precision, is_allowed };
        }
    }
}

/// `q=0`, `q=0.000`: not wanted.
fn is_zero_weight(parameter: &str) -> bool {
    let weight = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
    weight.is_some_and(|weight| weight.starts_with('0') && weight.bytes().all(|b| b == b'0' || b == b'.'))
}

/// Whether an `If-None-Match` names `etag`, compared weakly, or anything at all.
///
/// # Source
/// RFC 9110, sections 8.8.3.2 and 13.1.2.
pub fn matches_etag(known: &HeaderValue, etag: &HeaderValue) -> bool {
    if known == etag {
        return true;
    }
    let (Ok(known), Ok(etag)) = (known.to_str(), etag.to_str()) else { return false };
    // Our tags hold no comma.
    known.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use http::header::ACCEPT;

    #[test]
    fn the_registered_type_is_sent_unless_it_is_excluded() {
        let cases = [
            (None, Form::JwkSet),
            (Some("*/*"), Form::JwkSet),
            (Some("application/json, application/jwk-set+json"), Form::JwkSet),
            (Some("application/json"), Form::Json),
            (Some("application/json;q=0.9"), Form::Json),
            (Some("application/json, */*;q=0.1"), Form::JwkSet),
            (Some("application/*"), Form::JwkSet),
            (Some("APPLICATION/JSON; charset=utf-8"), Form::Json),
            (Some("application/jwk-set+json;q=0, */*"), Form::Json),
            (Some("application/jwk-set+json;q=0.000, application/json;q=0"), Form::JwkSet),
            (Some("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"), Form::JwkSet),
            (Some("text/html"), Form::JwkSet),
            (Some(""), Form::JwkSet),
        ];
        for (accept, form) in cases {
            let mut headers = HeaderMap::new();
            accept.map(|accept| headers.insert(ACCEPT, accept.parse().unwrap()));
            assert_eq!(chosen(headers.get_all(ACCEPT)), form, "{accept:?}");
        }
    }

    #[test]
    fn a_known_tag_is_found_in_every_form() {
        let etag = HeaderValue::from_static("\"42-abc\"");
        for known in ["\"42-abc\"", "W/\"42-abc\"", "*", "\"a\", \"42-abc\"", "W/\"x\",W/\"42-abc\""] {
            assert!(matches_etag(&HeaderValue::from_static(known), &etag), "{known}");
        }
        for known in ["", "42-abc", "\"42-abcd\"", "\"41-abc\""] {
            assert!(!matches_etag(&HeaderValue::from_static(known), &etag), "{known}");
        }
    }
}
