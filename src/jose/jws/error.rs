//! Why a signing input or a token is not taken.

use thiserror::Error;

use super::TypError;
use crate::ids::KidError;
use crate::jose::alg::UnknownAlgorithm;
use crate::jose::json::{JsonError, JsonFault};

/// Why a signing input or a token is not taken.
///
/// No variant holds anything of the payload but the names of members.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JwsError {
    /// There are more or fewer segments than there should be.
    #[error("not {expected} segments joined by dots")]
    Segments {
        /// Two for a signing input, three for a token.
        expected: usize,
    },
    /// The header is longer than any of ours.
    #[error("the header is longer than {0} bytes")]
    HeaderTooLong(usize),
    /// The header is not UTF-8 in unpadded base64url with zero spare bits.
    #[error("the header is not UTF-8 in unpadded base64url")]
    HeaderEncoding,
    /// The header is not a strict JSON object, or a member of it is not a string.
    #[error("the header is not a strict JSON object of strings")]
    Header(#[source] JsonError),
    /// The header holds something beside `alg`, `kid` and `typ`.
    #[error("header member {0} is not allowed; only alg, kid and typ are")]
    HeaderMemberNotAllowed(String),
    /// The header lacks something that it must hold.
    #[error("the header has no member {0}")]
    HeaderMemberMissing(&'static str),
    /// `alg` is `none`, a MAC, or unknown.
    #[error("the header names an algorithm that we do not sign with")]
    Algorithm(#[source] UnknownAlgorithm),
    /// `kid` is not a kid.
    #[error("the header has a malformed kid")]
    Kid(#[source] KidError),
    /// `typ` is not a typ.
    #[error("the header has a malformed typ")]
    Typ(#[source] TypError),
    /// The payload is longer than the limit.
    #[error("the payload is longer than {0} bytes")]
    PayloadTooLong(usize),
    /// The payload is not UTF-8 in unpadded base64url with zero spare bits.
    #[error("the payload is not UTF-8 in unpadded base64url")]
    PayloadEncoding,
    /// The payload is not a strict JSON object.
    #[error("the payload is not a strict JSON object")]
    Payload(#[source] JsonError),
    /// The signature is not unpadded base64url with zero spare bits, or longer than any signature.
    #[error("the signature is not unpadded base64url")]
    SignatureEncoding,
}

impl JwsError {
    /// A stable name of the error, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Segments { .. } => "jws_segments",
            Self::HeaderTooLong(_) => "header_too_long",
            Self::HeaderEncoding => "header_not_base64url",
            Self::Header(error) => match error.fault() {
                JsonFault::NotAnObject => "header_not_object",
                JsonFault::Duplicate => "header_duplicate_member",
                JsonFault::CaseVariant(_) => "header_case_variant_member",
                JsonFault::Type(_) => "header_member_not_string",
                _ => "header_not_strict_json",
            },
            Self::HeaderMemberNotAllowed(_) => "header_member_not_allowed",
            Self::HeaderMemberMissing(_) => "header_member_missing",
            Self::Algorithm(_) => "header_algorithm_not_allowed",
            Self::Kid(_) => "header_kid_malformed",
            Self::Typ(_) => "header_typ_malformed",
            Self::PayloadTooLong(_) => "payload_too_long",
            Self::PayloadEncoding => "payload_not_base64url",
            Self::Payload(error) => match error.fault() {
                JsonFault::NotAnObject => "payload_not_object",
                JsonFault::Duplicate => "payload_duplicate_member",
                JsonFault::CaseVariant(_) => "payload_case_variant_member",
                JsonFault::TooDeep(_) => "payload_too_deep",
                JsonFault::TooManyMembers(_) => "payload_too_many_members",
                _ => "payload_not_strict_json",
            },
            Self::SignatureEncoding => "signature_not_base64url",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Kid;
    use crate::jose::{Algorithm, Limits, Object, Typ};

    #[test]
    fn every_error_has_its_text_and_a_code_of_its_own() {
        let json = |text| Object::parse(text, &Limits::DEFAULT).unwrap_err();
        let errors = [
            (JwsError::Segments { expected: 2 }, "not 2 segments joined by dots"),
            (JwsError::HeaderTooLong(2048), "the header is longer than 2048 bytes"),
            (JwsError::HeaderEncoding, "the header is not UTF-8 in unpadded base64url"),
            (JwsError::Header(json("[]")), "the header is not a strict JSON object of strings"),
            (
                JwsError::HeaderMemberNotAllowed("jku".to_owned()),
                "header member jku is not allowed; only alg, kid and typ are",
            ),
            (JwsError::HeaderMemberMissing("kid"), "the header has no member kid"),
            (
                JwsError::Algorithm("none".parse::<Algorithm>().unwrap_err()),
                "the header names an algorithm that we do not sign with",
            ),
            (JwsError::Kid(Kid::new("").unwrap_err()), "the header has a malformed kid"),
            (JwsError::Typ("".parse::<Typ>().unwrap_err()), "the header has a malformed typ"),
            (JwsError::PayloadTooLong(65536), "the payload is longer than 65536 bytes"),
            (JwsError::PayloadEncoding, "the payload is not UTF-8 in unpadded base64url"),
            (JwsError::Payload(json("[]")), "the payload is not a strict JSON object"),
            (JwsError::SignatureEncoding, "the signature is not unpadded base64url"),
        ];
        for (error, text) in &errors {
            assert_eq!(error.to_string(), *text);
        }
        let codes: std::collections::BTreeSet<_> = errors.iter().map(|(error, _)| error.code()).collect();
        assert_eq!(codes.len(), errors.len());
    }
}
