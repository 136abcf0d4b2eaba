//! The file of one key: what is public in clear, the private half sealed and bound to all the rest.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::encoding::Base64;
use super::material::Material;
use super::seal::{Sealed, Sealer, Sealing};
use crate::ids::Label;
use crate::jose::alg::{KeySpec, RsaBits};
use crate::jose::jwk::PublicKey;

/// A key that was opened: it can sign.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) material: Material,
    pub(super) public: PublicKey,
}

/// Why a file is not the key that its name promises.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum KeyFileError {
    /// Written by another release.
    #[error("has format {0}, this release reads format {FORMAT}; run the release that wrote it")]
    Format(u64),
    /// Not JSON of our shape.
    #[error("is damaged ({0}); restore it from a backup")]
    Shape(String),
    /// Somebody renamed it.
    #[error("holds the key {0}; put the files back under their own names")]
    OtherLabel(String),
    /// It comes from another directory.
    #[error("was sealed in another directory; restore the one that belongs here from a backup")]
    OtherSealing,
    /// The authentication tag does not fit.
    #[error(
        "does not open: it was changed after it was written, or sealed under another key; restore it from a backup"
    )]
    Sealed,
    /// It opens, but is no key pair of its spec, or the public half is another's.
    #[error("opens, but holds no key pair for {0} with the public half that it names; restore it from a backup")]
    Inconsistent(KeySpec),
}

/// Nothing of a key could be written: the library gave no reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SealFailed;

/// Writes the file of a key that was just made.
pub(super) fn write(
    label: &Label,
    material: &Material,
    sealing: &Sealing,
    sealer: &Sealer,
) -> Result<Vec<u8>, SealFailed> {
    let spec = Spec::from(material.spec());
    let public = Base64(material.spki().map_err(|_| SealFailed)?);
    let private = material.to_pkcs8().map_err(|_| SealFailed)?;
    let context = context(&label.to_string(), &spec, &public);
    let Sealed { nonce, sealed } = sealer.seal(&context, &private).map_err(|_| SealFailed)?;
    let file =
        KeyFile { format: FORMAT, label: label.to_string(), spec, public, sealing: sealing.clone(), nonce, sealed };
    let mut bytes = serde_json::to_vec_pretty(&file).map_err(|_| SealFailed)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Opens the file that should hold the key `label`.
pub(super) fn open(bytes: &[u8], label: &Label, sealing: &Sealing, sealer: &Sealer) -> Result<Loaded, KeyFileError> {
    let shape = |error: serde_json::Error| KeyFileError::Shape(error.to_string());
    let AnyFormat { format } = serde_json::from_slice(bytes).map_err(shape)?;
    if format != FORMAT {
        return Err(KeyFileError::Format(format));
    }
    let file: KeyFile = serde_json::from_slice(bytes).map_err(shape)?;
    if file.label != label.to_string() {
        return Err(KeyFileError::OtherLabel(file.label));
    }
    if file.sealing != *sealing {
        return Err(KeyFileError::OtherSealing);
    }
    let spec = file.spec.parse()?;
    let context = context(&file.label, &file.spec, &file.public);
    let sealed = Sealed { nonce: file.nonce, sealed: file.sealed };
    let private = sealer.open(&context, &sealed).ok_or(KeyFileError::Sealed)?;
    let inconsistent = || KeyFileError::Inconsistent(spec);
    let material = Material::from_pkcs8(spec, &private).map_err(|_| inconsistent())?;
    let public = PublicKey::from_spki(&file.public.0).map_err(|_| inconsistent())?;
    if material.spki().map_err(|_| inconsistent())? != file.public.0 {
        return Err(inconsistent());
    }
    Ok(Loaded { material, public })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: u64,
    label: String,
    spec: Spec,
    public: Base64,
    sealing: Sealing,
    nonce: Base64,
    sealed: Base64,
}

/// What every format has.
#[derive(Deserialize)]
struct AnyFormat {
    format: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rsa_bits: Option<usize>,
}

impl From<KeySpec> for Spec {
    fn from(spec: KeySpec) -> Self {
        Self { alg: spec.algorithm().name().to_owned(), rsa_bits: spec.rsa_bits().map(RsaBits::bits) }
    }
}

impl Spec {
    fn parse(&self) -> Result<KeySpec, KeyFileError> {
        let shape = |text: String| KeyFileError::Shape(text);
        let alg = self.alg.parse().map_err(|error| shape(format!("{error}")))?;
        let bits = |bits| RsaBits::from_bits(bits).ok_or_else(|| shape(format!("{bits} bits are no RSA size of ours")));
        KeySpec::new(alg, self.rsa_bits.map(bits).transpose()?).map_err(|error| shape(error.to_string()))
    }
}

/// The associated data: whatever stands in clear, so that no part of a file can be exchanged.
///
/// No part can hold a line break, so no two contexts are alike.
fn context(label: &str, spec: &Spec, public: &Base64) -> Vec<u8> {
    let bits = spec.rsa_bits.map(|bits| bits.to_string()).unwrap_or_default();
    let public = STANDARD.encode(&public.0);
    format!("jwksd software key\n{FORMAT}\n{label}\n{}\n{bits}\n{public}\n", spec.alg).into_bytes()
}

const FORMAT: u64 = 1;
