//! What a grant lets its caller have signed: bounds on claims, kind, lifetime and size.

use serde_json::Value;

use super::claims::{Bounds, ClaimsError, OURS, OurClaims, check_assembled, compose};
use super::pattern::TextPattern;
use crate::jose::json::{Object, read_alike};
use crate::jose::jws::Typ;
use crate::lifecycle::time::{Span, Timestamp};

/// The claims rules of one grant. What is absent bounds nothing; `iss` is the issuer's own in any case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// `aud` must be there, and hold none but these.
    pub aud: Option<Vec<String>>,
    /// `sub` must be there, and match one of these.
    pub sub: Option<Vec<TextPattern>>,
    /// The header's `typ` must be one of these.
    pub typ: Option<Vec<Typ>>,
    /// The longest lifetime.
    pub max_ttl: Option<Span>,
    /// Claims that must be there.
    pub require: Vec<String>,
    /// Claims that must not be there, in whatever case.
    pub forbid: Vec<String>,
    /// Claims that must be there with exactly this value.
    pub values: Vec<(String, Value)>,
    /// The most bytes of the payload.
    pub max_size: Option<usize>,
}

/// A token that a caller asks for by its claims.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// The caller's claims.
    pub claims: &'a Object<'a>,
    /// The `typ` that the token will carry.
    pub typ: Option<&'a Typ>,
    /// The lifetime that was asked for.
    pub ttl: Option<Span>,
    /// The issuer's URL as JSON text, quotes included.
    pub iss_json: &'a str,
    /// Now.
    pub now: Timestamp,
    /// Its unique name.
    pub jti: &'a str,
    /// The longest lifetime in its ring.
    pub lifetime: Span,
}

impl Rules {
    /// Whether a digest may be signed, in which nothing can be seen.
    ///
    /// # Errors
    /// [`ClaimsError::Unseen`] if there is a rule.
    pub fn digest(&self) -> Result<(), ClaimsError> {
        if *self == Self::default() { Ok(()) } else { Err(ClaimsError::Unseen) }
    }

    /// The payload and the end of the token that `draft` asks for. Without a wish it lives as long as is allowed.
    ///
    /// # Errors
    /// [`ClaimsError`] names what may not be signed.
    pub fn draft(&self, draft: Draft<'_>) -> Result<(String, Timestamp), ClaimsError> {
        let Draft { claims, typ, ttl, iss_json, now, jti, lifetime } = draft;
        let allowed = self.max_ttl.map_or(lifetime, |max| max.min(lifetime));
        let asked = ttl.unwrap_or(allowed);
        if asked > allowed {
            return Err(ClaimsError::Lifetime { asked, allowed });
        }
        if asked == Span::ZERO {
            return Err(ClaimsError::NoLifetime);
        }
        let exp = now + asked;
        let payload = compose(OurClaims { iss_json, iat: now, exp, jti }, claims)?;
        self.check(claims, typ, &OURS, payload.len())?;
        Ok((payload, exp))
    }

    /// The end of a token that the caller has put together, whose payload is `payload`, `size` bytes long.
    ///
    /// # Errors
    /// [`ClaimsError`] names what may not be signed.
    pub fn assembled(
        &self,
        bounds: Bounds<'_>,
        payload: &Object<'_>,
        typ: Option<&Typ>,
        size: usize,
    ) -> Result<Timestamp, ClaimsError> {
        let lifetime = self.max_ttl.map_or(bounds.lifetime, |max| max.min(bounds.lifetime));
        let exp = check_assembled(Bounds { lifetime, ..bounds }, payload)?;
        self.check(payload, typ, &[], size)?;
        Ok(exp)
    }

    /// `written`: claims that the daemon adds to those that are given.
    fn check(&self, claims: &Object<'_>, typ: Option<&Typ>, written: &[&str], size: usize) -> Result<(), ClaimsError> {
        if self.typ.as_ref().is_some_and(|granted| !typ.is_some_and(|typ| granted.contains(typ))) {
            return Err(ClaimsError::TypDenied);
        }
        if let Some(granted) = &self.aud
            && !audiences(claims).is_some_and(|all| !all.is_empty() && all.iter().all(|one| granted.contains(one)))
        {
            return Err(ClaimsError::AudienceDenied);
        }
        if let Some(granted) = &self.sub {
            let sub = claims.get_str("sub").ok().flatten();
            if !sub.is_some_and(|sub| granted.iter().any(|pattern| pattern.matches(&sub))) {
                return Err(ClaimsError::SubjectDenied);
            }
        }
        for name in &self.require {
            if claims.get(name).is_none() && !written.contains(&name.as_str()) {
                return Err(ClaimsError::Required(name.clone()));
            }
        }
        for name in &self.forbid {
            if claims.iter().any(|(shown, _)| read_alike(shown, name)) {
                return Err(ClaimsError::Forbidden(name.clone()));
            }
        }
        for (name, value) in &self.values {
            let shown = claims.get(name).and_then(|raw| serde_json::from_str::<Value>(raw).ok());
            if shown.as_ref() != Some(value) {
                return Err(ClaimsError::Value(name.clone()));
            }
        }
        match self.max_size {
            Some(allowed) if size > allowed => Err(ClaimsError::Size { size, allowed }),
            _ => Ok(()),
        }
    }
}

/// The values of `aud`, one or many.
fn audiences(claims: &Object<'_>) -> Option<Vec<String>> {
    let raw = claims.get("aud")?;
    let one = serde_json::from_str::<String>(raw).map(|one| vec![one]);
    one.or_else(|_| serde_json::from_str::<Vec<String>>(raw)).ok()
}
