//! Signatures: one call of Sign, and nothing beside it.

use std::time::Duration;

use aws_sdk_kms::operation::sign::SignOutput;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};

use super::client::Account;
use super::names::{KeyArn, signing_algorithm};
use crate::backend::cloud::fault::{Class, Fault};
use crate::backend::cloud::signature::from_cloud;
use crate::backend::{BackendError, Hashed, Input, KeyRef, Signature};

/// Signs `input`: as a digest where the algorithm has one, so that its length does not matter.
pub(super) async fn sign(
    account: &Account,
    key: KeyRef<'_>,
    input: Input<'_>,
    within: Duration,
) -> Result<Signature, BackendError> {
    let KeyRef { handle, spec } = key;
    let arn = KeyArn::of(handle).ok_or_else(|| BackendError::NotFound(format!("{handle} is no ARN of a KMS key")))?;
    let (message, kind) = match input.hashed(spec)? {
        Hashed::Digest(digest) => (Blob::new(digest.as_bytes()), MessageType::Digest),
        Hashed::Message(message) if message.len() > RAW_MAX => {
            return Err(BackendError::Refused(format!(
                "AWS KMS signs at most {RAW_MAX} bytes with {spec} keys, and this token has {}; give it fewer claims, \
                 or its ring an algorithm that signs a digest, such as ES256",
                message.len()
            )));
        }
        Hashed::Message(message) => (Blob::new(message), MessageType::Raw),
    };
    let algorithm = signing_algorithm(spec.algorithm());
    let lane = if spec.algorithm().is_rsa() { &account.lanes.rsa } else { &account.lanes.ecc };
    let once = || async {
        let clients = account.clients().await?;
        let call = clients.signing.sign().key_id(arn.as_str()).message(message.clone());
        let call = call.message_type(kind.clone()).signing_algorithm(algorithm.clone());
        let signed = call.send().await.map_err(|error| account.failed("Sign", &error))?;
        let bytes = checked(&signed, &arn, &algorithm)?;
        from_cloud(spec, bytes)
    };
    account.gate.repeat(lane, within, once).await.map_err(|fault| match fault {
        // KMS knows the key, but not with this algorithm.
        Fault { class: Class::Bad, text, .. } if text.contains(INVALID_USAGE) => BackendError::Mismatch(text),
        fault => fault.into(),
    })
}

/// The signature, if it is of the key and by the algorithm that were asked for.
fn checked<'a>(signed: &'a SignOutput, arn: &KeyArn, algorithm: &SigningAlgorithmSpec) -> Result<&'a [u8], Fault> {
    let bad = |text| Err(Fault::new(Class::Bad, format!("Sign: {text}")));
    if signed.key_id() != Some(arn.as_str()) {
        return bad(format!("the answer is of key {:?}, not of {}", signed.key_id(), arn.as_str()));
    }
    if signed.signing_algorithm() != Some(algorithm) {
        return bad(format!("the answer is by {:?}, not by {algorithm}", signed.signing_algorithm()));
    }
    match signed.signature() {
        Some(signature) => Ok(signature.as_ref()),
        None => bad("the answer has no signature".to_owned()),
    }
}

/// Bytes that KMS signs as they are.
const RAW_MAX: usize = 4_096;
/// What KMS says of a key that does not sign so.
const INVALID_USAGE: &str = "InvalidKeyUsageException";
