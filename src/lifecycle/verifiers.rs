//! How the verifiers in the field cache a JWK Set: the numbers behind `propagation` and behind what an
//! operator is told after a compromise.
//!
//! Each row names where its numbers were read. A verifier that refetches on an unknown kid is still
//! given its full cache time: refetches are limited, fail, and are switched off by gateways in between.

use super::time::Span;

/// How long a verifier keeps a set that it fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// So long, whatever we advise.
    Fixed(Span),
    /// As long as our `max-age`, but never less than this.
    MaxAge(Span),
    /// Without end, but an unknown kid makes it fetch again after at most so long.
    UntilUnknownKid(Span),
}

/// One kind of verifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The name used in the configuration.
    pub name: String,
    /// How long it keeps a set.
    pub cache: Cache,
    /// How long it goes on trusting a key that was withdrawn, beyond its cache time.
    pub grace: Span,
    /// Where the numbers were read: source path, or "doc" for a vendor's page.
    pub source: String,
}

impl Profile {
    /// A verifier of the operator's own.
    #[must_use]
    pub fn custom(name: &str, cache: Span) -> Self {
        Self {
            name: name.to_owned(),
            cache: Cache::Fixed(cache),
            grace: Span::ZERO,
            source: "the configuration".to_owned(),
        }
    }

    /// The longest time for which it may hold a set that lacks a new key, given our `max-age`.
    ///
    /// Proxies in between may have held the set for `max-age` before: the policy adds that for everybody,
    /// also for a verifier that then holds it for `max-age` itself without looking at its `Age`.
    #[must_use]
    pub fn holds(&self, max_age: Span) -> Span {
        match self.cache {
            Cache::Fixed(span) | Cache::UntilUnknownKid(span) => span,
            Cache::MaxAge(least) => least.max(max_age),
        }
    }

    /// How long after the observed withdrawal of a key it may still trust that key, or `None` if only an
    /// unknown kid or a restart makes it forget.
    #[must_use]
    pub fn forgets_within(&self, max_age: Span) -> Option<Span> {
        match self.cache {
            Cache::Fixed(_) | Cache::MaxAge(_) => Some(self.holds(max_age) + max_age + self.grace),
            Cache::UntilUnknownKid(_) => None,
        }
    }
}

/// The profile of that name.
#[must_use]
pub fn find(name: &str) -> Option<Profile> {
    let row = TABLE.iter().find(|row| row.0 == name)?;
    Some(Profile { name: row.0.to_owned(), cache: row.1, grace: row.2, source: row.3.to_owned() })
}

/// Every known name, in alphabetical order.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.0)
}

type Row = (&'static str, Cache, Span, &'static str);

const fn fixed(span: Span) -> Cache {
    Cache::Fixed(span)
}

const NONE: Span = Span::ZERO;

/// Name, cache, grace, source. Versions of mostly July and August 2026; jwx, httprc and
/// Microsoft.IdentityModel of October 2024, go-oidc of March 2024.
const TABLE: &[Row] = &[
    ("apigee", fixed(Span::from_mins(5)), NONE, "Apigee VerifyJWT, community documentation"),
    ("authlib", Cache::UntilUnknownKid(NONE), NONE, "authlib:integrations/base_client/async_openid.py"),
    ("aws-api-gateway-http", fixed(Span::from_hours(2)), NONE, "commonly said of HTTP API authorizers; not confirmed"),
    ("aws-api-gateway-rest", fixed(Span::from_hours(1)), NONE, "doc: API Gateway JWT authorizers, up to one hour"),
    ("azure-api-management", fixed(Span::from_hours(1)), NONE, "doc: validate-jwt policy, refresh each hour"),
    // Ten minutes, and up to five seconds ahead of it when its asynchronous fetch is on; no fetch on an unknown kid.
    ("envoy", fixed(Span::from_secs(605)), NONE, "envoy:source/extensions/filters/http/jwt_authn/jwks_cache.cc"),
    ("gcp-espv2", fixed(Span::from_mins(5)), NONE, "ESPv2 flag jwks_cache_duration_in_s"),
    ("get-jwks", fixed(Span::from_secs(60)), Span::from_secs(60), "nearform/get-jwks:src/get-jwks.js"),
    ("go-oidc-v2", Cache::MaxAge(NONE), NONE, "coreos/go-oidc, branch v2:jwks.go"),
    ("go-oidc-v3", Cache::UntilUnknownKid(NONE), NONE, "coreos/go-oidc:oidc/jwks.go"),
    // max-age, or one second without it.
    ("hasura", Cache::MaxAge(Span::from_secs(1)), NONE, "keycloak/keycloak#15216"),
    // Twenty minutes between fetches, then a push to every proxy.
    ("istio", fixed(Span::from_mins(21)), NONE, "istio:pilot/pkg/model/jwks_resolver.go"),
    ("jose", fixed(Span::from_mins(10)), NONE, "panva/jose:src/jwks/remote.ts"),
    ("jose4j", Cache::MaxAge(Span::from_hours(1)), NONE, "jose4j HttpsJwks: max-age, else one hour"),
    ("jwks-rsa", fixed(Span::from_mins(10)), NONE, "auth0/node-jwks-rsa:src/wrappers/cache.js"),
    ("jwx-httprc", Cache::MaxAge(Span::from_mins(15)), NONE, "lestrrat-go/httprc:queue.go"),
    ("keyfunc", fixed(Span::from_hours(1)), NONE, "MicahParks/keyfunc:keyfunc.go, MicahParks/jwkset:http.go"),
    (
        "kong",
        Cache::UntilUnknownKid(Span::from_secs(30)),
        NONE,
        "doc: openid-connect plugin, rediscovery_lifetime 30 s",
    ),
    ("kube-apiserver", Cache::MaxAge(NONE), NONE, "kubernetes:apiserver/plugin/pkg/authenticator/token/oidc/oidc.go"),
    // Twelve hours and up to five percent, then one more hour with the last known good configuration.
    (
        "microsoft-identitymodel",
        fixed(Span::from_secs(45_360)),
        Span::from_hours(1),
        "AzureAD/azure-activedirectory-identitymodel-extensions:ConfigurationManager.cs",
    ),
    ("microsoft-owin", fixed(Span::from_hours(24)), Span::from_hours(1), "doc: OWIN metadata refresh each 24 hours"),
    ("nimbus", fixed(Span::from_mins(5)), NONE, "Nimbus JWKSourceBuilder"),
    ("openbao", Cache::UntilUnknownKid(NONE), NONE, "openbao:internal/builtin/credential/jwt/backend.go"),
    ("pyjwt", fixed(Span::from_mins(5)), NONE, "jpadilla/pyjwt:jwt/jwks_client.py"),
    // The common helper crates keep a set for five minutes to an hour.
    ("rust-jwks-crates", fixed(Span::from_hours(1)), NONE, "doc: jwks-cache, huskarl and others"),
    ("spring-security", fixed(Span::from_mins(5)), NONE, "spring-security:oauth2/oauth2-jose NimbusJwtDecoder.java"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_row_has_a_source() {
        assert!(names().is_sorted());
        assert!(TABLE.iter().all(|row| !row.3.is_empty()));
    }

    #[test]
    fn a_verifier_without_an_end_to_its_cache_has_no_moment_of_forgetting() {
        let max_age = Span::from_mins(5);
        assert_eq!(find("go-oidc-v3").unwrap().forgets_within(max_age), None);
        assert_eq!(find("pyjwt").unwrap().forgets_within(max_age), Some(Span::from_mins(10)));
        assert_eq!(find("kube-apiserver").unwrap().forgets_within(max_age), Some(Span::from_mins(10)));
        assert_eq!(find("nobody"), None);
    }

    #[test]
    fn a_verifier_that_follows_max_age_holds_a_set_for_it_or_for_its_own_least() {
        let holds = |name: &str, max_age| find(name).unwrap().holds(max_age);
        assert_eq!(holds("go-oidc-v2", Span::from_hours(2)), Span::from_hours(2));
        assert_eq!(holds("jose4j", Span::from_mins(5)), Span::from_hours(1));
        assert_eq!(holds("pyjwt", Span::from_hours(2)), Span::from_mins(5));
    }

    #[test]
    fn the_default_propagation_covers_every_row() {
        let max_age = Span::from_mins(5);
        let longest = TABLE.iter().map(|row| find(row.0).unwrap().holds(max_age)).max().unwrap();
        assert!(longest + max_age + Span::from_mins(1) <= crate::lifecycle::policy::PROPAGATION);
    }
}
