//! The paths of the signing listener, matched as they stand: nothing is decoded, nothing normalised.

use http::Method;

use crate::access::grant::Operation;
use crate::ids::{IssuerId, RingName};

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// Of which issuer.
    pub issuer: IssuerId,
    /// In which ring.
    pub ring: RingName,
    /// What.
    pub endpoint: Endpoint,
}

/// What can be asked of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Jwt,
    Batch,
    Signer,
    Signature,
    Digest,
}

impl Endpoint {
    /// Whether this is how one asks for it.
    pub fn takes(self, method: &Method) -> bool {
        match self {
            Self::Signer => *method == Method::GET || *method == Method::HEAD,
            Self::Jwt | Self::Batch | Self::Signature | Self::Digest => *method == Method::POST,
        }
    }

    /// What a caller must be granted, one of these.
    pub fn operations(self) -> &'static [Operation] {
        match self {
            Self::Jwt | Self::Batch => &[Operation::Sign],
            Self::Signature => &[Operation::SignRaw],
            Self::Digest => &[Operation::SignDigest],
            Self::Signer => &[Operation::Sign, Operation::SignRaw, Operation::SignDigest, Operation::Read],
        }
    }
}

/// Reads `/v1/issuers/<issuer>/rings/<ring>/<endpoint>`. A name that no issuer or ring can have is no path.
pub fn find(path: &str) -> Option<Route> {
    let (issuer, rest) = path.strip_prefix("/v1/issuers/")?.split_once("/rings/")?;
    let (ring, endpoint) = rest.split_once('/')?;
    let endpoint = match endpoint {
        "jwt" => Endpoint::Jwt,
        "jwt/batch" => Endpoint::Batch,
        "signer" => Endpoint::Signer,
        "signature" => Endpoint::Signature,
        "signature/digest" => Endpoint::Digest,
        _ => return None,
    };
    Some(Route { issuer: issuer.parse().ok()?, ring: ring.parse().ok()?, endpoint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        let route = find("/v1/issuers/main/rings/es256/jwt/batch").unwrap();
        assert_eq!((route.issuer.as_str(), route.ring.as_str(), route.endpoint), ("main", "es256", Endpoint::Batch));
        for path in [
            "/v1/issuers/main/rings/es256/jwt/",
            "/v1/issuers/main/rings/es256//jwt",
            "//v1/issuers/main/rings/es256/jwt",
            "/v1/issuers/../issuers/main/rings/es256/jwt",
            "/v1/issuers/m%61in/rings/es256/jwt",
            "/v1/issuers/main%2frings/es256/jwt",
            "/v1/issuers/MAIN/rings/es256/jwt",
            "/V1/issuers/main/rings/es256/jwt",
            "/v1/issuers/main/rings/es256/JWT",
            "/v1/issuers/main/rings/es256/jwt\0",
            "/v1/issuers//rings/es256/jwt",
            "/v1/issuers/main/rings//jwt",
            "/v1/issuers/main/es256/jwt",
            "",
            "*",
        ] {
            assert_eq!(find(path), None, "{path}");
        }
    }
}
