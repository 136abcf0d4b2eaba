//! Names and dates in certificates. What they prove, a verifier has found out before.

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::access::caller::CertificateNames;
use crate::lifecycle::time::Timestamp;

/// What we want to know of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// When it ends.
    pub not_after: Timestamp,
    /// Whom it names.
    pub names: CertificateNames,
}

/// Reads a certificate; nothing if it can't be read as one of RFC 5280.
///
/// Names are those of the subject alternative name alone; the common name is no name of anybody. A certificate
/// with several URIs has no SPIFFE ID (X.509-SVID standard, section 2).
#[must_use]
pub fn inspect(certificate: &CertificateDer<'_>) -> Option<CertificateInfo> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let body = certificate.tbs_certificate();
    let not_after = i64::try_from(body.validity().not_after.to_unix_duration().as_secs()).ok()?;
    let alternatives = body.get_extension::<SubjectAltName>().ok()?.map(|(_, names)| names.0).unwrap_or_default();
    let mut uris = Vec::new();
    let mut dns = Vec::new();
    for name in &alternatives {
        match name {
            GeneralName::DnsName(name) => dns.push(name.as_str().to_ascii_lowercase()),
            GeneralName::UniformResourceIdentifier(uri) => uris.push(uri.as_str()),
            _ => {}
        }
    }
    let spiffe = match uris.as_slice() {
        [only] => only.parse().ok(),
        _ => None,
    };
    Some(CertificateInfo { not_after: Timestamp::from_second(not_after), names: CertificateNames { spiffe, dns } })
}
