//! What the client's errors mean.

use std::error::Error as _;
use std::time::Duration;

use google_cloud_gax::client_builder::Error as BuilderError;
use google_cloud_gax::error::rpc::Code;
use google_cloud_gax::error::{CredentialsError, Error};

use crate::backend::cloud::fault::{Class, Fault, chain, shortened};

/// Of what class `error` is, and what it says, without anything of the request.
///
/// `FailedPrecondition` is [`Class::KeyOff`] until somebody has looked at the key's state: the text of the message is no
/// contract.
pub(super) fn of(error: &Error) -> Fault {
    let (class, text) = match error.status() {
        Some(status) => {
            let class = if error.http_status_code() == Some(429) { Class::Throttled } else { of_code(status.code) };
            (class, format!("{}: {}", status.code.name(), shortened(&status.message)))
        }
        None => without_status(error),
    };
    Fault { class, text, retry_after: error.http_headers().and_then(retry_after) }
}

fn of_code(code: Code) -> Class {
    match code {
        Code::ResourceExhausted => Class::Throttled,
        Code::Unavailable | Code::Aborted | Code::Internal => Class::Transient,
        Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::DataLoss => Class::Unknown,
        Code::FailedPrecondition => Class::KeyOff,
        Code::NotFound => Class::KeyGone,
        Code::PermissionDenied | Code::Unauthenticated => Class::Permission,
        _ => Class::Bad,
    }
}

/// There was no answer, or none of the service itself: a proxy's page, or noise.
fn without_status(error: &Error) -> (Class, String) {
    let cause = || error.source().map_or_else(|| error.to_string(), chain);
    if error.is_authentication() {
        let credentials = error.source().and_then(|source| source.downcast_ref::<CredentialsError>());
        let passes = credentials.is_some_and(CredentialsError::is_transient);
        let class = if passes { Class::Transient } else { Class::Permission };
        return (class, format!("no access token: {}", cause()));
    }
    if error.is_connect() {
        return (Class::Transient, format!("no connection: {}", cause()));
    }
    if let Some(status) = error.http_status_code() {
        let class = match status {
            429 => Class::Throttled,
            401 | 403 | 407 => Class::Permission,
            500..=599 => Class::Transient,
            _ => Class::Bad,
        };
        return (
            class,
            format!("an answer with HTTP status {status} that is not of Cloud KMS; is a proxy in between?"),
        );
    }
    if error.is_binding() || error.is_serialization() {
        return (Class::Bad, format!("the request could not be made: {}", cause()));
    }
    (Class::Unknown, format!("no whole answer: {}", cause()))
}

/// What kept the client from being built.
pub(super) fn of_builder(error: &BuilderError) -> Fault {
    if error.is_default_credentials() {
        let text = format!(
            "no application default credentials: {}; set GOOGLE_APPLICATION_CREDENTIALS to a file with them, or run on a \
             machine with a service account",
            chain(error)
        );
        return Fault::new(Class::Permission, text);
    }
    Fault::new(Class::Bad, format!("the client could not be set up: {}", chain(error)))
}

/// How long Google asks to be left alone: seconds, as RFC 9110, section 10.2.3 has them beside dates.
fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use google_cloud_gax::error::rpc::Status;
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn class(error: &Error) -> Class {
        of(error).class
    }

    #[test]
    fn every_code_has_the_class_that_tells_what_to_do() {
        for (code, expected) in [
            (Code::ResourceExhausted, Class::Throttled),
            (Code::Unavailable, Class::Transient),
            (Code::Aborted, Class::Transient),
            (Code::Internal, Class::Transient),
            (Code::DeadlineExceeded, Class::Unknown),
            (Code::Unknown, Class::Unknown),
            (Code::FailedPrecondition, Class::KeyOff),
            (Code::NotFound, Class::KeyGone),
            (Code::PermissionDenied, Class::Permission),
            (Code::Unauthenticated, Class::Permission),
            (Code::InvalidArgument, Class::Bad),
            (Code::Unimplemented, Class::Bad),
        ] {
            let error = Error::service(Status::default().set_code(code).set_message("x"));
            assert_eq!(class(&error), expected, "{code}");
        }
    }

    #[test]
    fn what_came_from_no_service_is_told_apart_by_what_may_have_happened() {
        assert_eq!(class(&Error::timeout("late")), Class::Unknown);
        assert_eq!(class(&Error::io("reset")), Class::Unknown);
        assert_eq!(class(&Error::deser("cut")), Class::Unknown);
        assert_eq!(class(&Error::connect("refused")), Class::Transient);
        assert_eq!(class(&Error::binding("no name")), Class::Bad);
        assert_eq!(class(&Error::authentication(CredentialsError::from_msg(true, "later"))), Class::Transient);
        assert_eq!(class(&Error::authentication(CredentialsError::from_msg(false, "no"))), Class::Permission);
        for (status, expected) in
            [(502, Class::Transient), (429, Class::Throttled), (407, Class::Permission), (404, Class::Bad)]
        {
            assert_eq!(class(&Error::http(status, HeaderMap::new(), bytes::Bytes::new())), expected, "{status}");
        }
    }

    #[test]
    fn the_time_to_wait_is_taken_from_the_answer() {
        let headers =
            |value: &'static str| HeaderMap::from_iter([(http::header::RETRY_AFTER, HeaderValue::from_static(value))]);
        let waits = |value| of(&Error::http(429, headers(value), bytes::Bytes::new())).retry_after;
        assert_eq!(waits("7"), Some(Duration::from_secs(7)));
        assert_eq!(waits("Fri, 31 Dec 1999 23:59:59 GMT"), None);
    }
}
