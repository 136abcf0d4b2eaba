//! What an error of the SDK means.
//!
//! # Source
//! Codes: the API references of AWS KMS and of the Resource Groups Tagging API, "Common errors" of both. A throttled
//! call has status 400 and is no variant of any operation's error, so codes are compared as text.

use std::error::Error;
use std::io;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};

use crate::backend::cloud::fault::{Class, Fault, causes, chain, shortened};

/// What a failed call of `operation` means.
pub(super) fn fault<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            let (code, status) = (answer.err().code().unwrap_or_default(), answer.raw().status().as_u16());
            let message = answer.err().message().unwrap_or_default();
            let named = if code.is_empty() { format!("status {status}") } else { code.to_owned() };
            let text = [format!("{operation}: {named}"), shortened(message)].join(": ");
            let retry_after = answer.raw().headers().get("retry-after").and_then(|value| value.trim().parse().ok());
            Fault {
                retry_after: retry_after.map(Duration::from_secs),
                ..Fault::new(class(code, status), text.trim_end_matches(": "))
            }
        }
        error => {
            let class = match error {
                _ if caused_by::<CredentialsError>(error).is_some() => Class::Permission,
                SdkError::TimeoutError(_) | SdkError::ResponseError(_) => Class::Unknown,
                SdkError::DispatchFailure(_) if was_not_sent(error) => Class::Transient,
                SdkError::DispatchFailure(failure) if failure.is_user() => Class::Bad,
                SdkError::DispatchFailure(_) => Class::Unknown,
                _ => Class::Bad,
            };
            Fault::new(class, format!("{operation}: {}", chain(error)))
        }
    }
}

/// The same for a call that makes a key: an error of the service's own tells nothing of what it had done by then.
pub(super) fn fault_of_creation<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let fault = fault(operation, error);
    match fault.class {
        Class::Transient if !was_not_sent(error) => Fault { class: Class::Unknown, ..fault },
        _ => fault,
    }
}

/// Whether other credentials may be allowed what these are not: those that we hold are worn out, or nobody's.
pub(super) fn wants_other_credentials<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    code.is_some_and(|code| WORN_OUT.contains(&code))
}

fn class(code: &str, status: u16) -> Class {
    match code {
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown" => Class::Throttled,
        "LimitExceededException" => Class::Quota,
        "DisabledException" => Class::KeyOff,
        "NotFoundException" | "KMSInvalidStateException" => Class::KeyGone,
        "AccessDeniedException"
        | "AccessDenied"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignature"
        | "NotAuthorized"
        | "OptInRequired"
        | "RequestExpired" => Class::Permission,
        code if WORN_OUT.contains(&code) => Class::Permission,
        "KMSInternalException"
        | "DependencyTimeoutException"
        | "KeyUnavailableException"
        | "InternalServiceException"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "RequestTimeout" => Class::Transient,
        _ if status == 429 => Class::Throttled,
        _ if status >= 500 => Class::Transient,
        _ if matches!(status, 401 | 403) => Class::Permission,
        _ => Class::Bad,
    }
}

/// Whether the call never left: nobody listened.
fn was_not_sent<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> bool {
    caused_by::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// The first cause of that type.
fn caused_by<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref())
}

const WORN_OUT: [&str; 8] = [
    "ExpiredTokenException",
    "ExpiredToken",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidClientTokenIdException",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_decides_and_else_the_status() {
        let cases = [
            ("ThrottlingException", 400, Class::Throttled),
            ("LimitExceededException", 400, Class::Quota),
            ("DisabledException", 400, Class::KeyOff),
            ("KMSInvalidStateException", 400, Class::KeyGone),
            ("AccessDeniedException", 400, Class::Permission),
            ("ExpiredTokenException", 400, Class::Permission),
            ("KMSInternalException", 400, Class::Transient),
            ("ValidationException", 400, Class::Bad),
            ("NobodyKnowsThisException", 400, Class::Bad),
            ("NobodyKnowsThisException", 503, Class::Transient),
            ("", 429, Class::Throttled),
            ("", 403, Class::Permission),
            ("", 500, Class::Transient),
            ("", 404, Class::Bad),
        ];
        for (code, status, expected) in cases {
            assert_eq!(class(code, status), expected, "{code} {status}");
        }
    }
}
