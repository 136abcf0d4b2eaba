//! Chooses the version, has it sign, verifies with the published key, records it, and only then answers.
//!
//! What may be signed is decided here, not by the caller: algorithm, kid, issuer and lifetime.

mod error;
mod request;
mod token_name;

use std::collections::HashMap;
use std::sync::Arc;

use crate::access::claims::Bounds;
use crate::access::grant::Permit;
use crate::access::rules::Draft;
use crate::audit::{Audit, Digest, Event, Outcome};
use crate::backend::{Backend, BackendError, Input, KeyRef};
use crate::clock::Clock;
use crate::ids::{BackendId, IssuerId, Kid};
use crate::jose::alg::Algorithm;
use crate::jose::base64url;
use crate::jose::hash::MessageDigest;
use crate::jose::json::{Limits, Object};
use crate::jose::jws::{SigningInput, append_signature, encode_header};
use crate::lifecycle::time::Timestamp;
use crate::snapshot::{Place, Places, RingView, SelfVerify, SigningKey, Use};

pub use error::SignError;
pub use request::{Asker, Assembled, CurrentSigner, DigestRequest, JwtRequest, SignedJwt, Target};

/// Everything that a signature needs.
#[derive(Debug)]
pub struct Signer {
    places: Arc<Places>,
    backends: HashMap<BackendId, Arc<dyn Backend>>,
    /// Where signatures are recorded; `None` if the operator switched that off.
    audit: Option<Audit>,
    clock: Arc<dyn Clock>,
}

/// A version was chosen; it is looked at again once the backend has answered.
struct Chosen<'a> {
    issuer: &'a IssuerId,
    place: &'a Place,
    ring: Arc<RingView>,
    key: Arc<SigningKey>,
}

impl Signer {
    /// A signer over the given places and backends.
    #[must_use]
    pub fn new(
        places: Arc<Places>,
        backends: HashMap<BackendId, Arc<dyn Backend>>,
        audit: Option<Audit>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { places, backends, audit, clock }
    }

    /// The version that signs now.
    ///
    /// # Errors
    /// [`SignError::UnknownIssuer`], [`SignError::UnknownRing`], [`SignError::NoSigner`].
    pub fn current(&self, target: Target<'_>) -> Result<CurrentSigner, SignError> {
        let (_, ring) = self.find(target)?;
        let key = signer_of(&ring)?;
        let not_after = match key.usage {
            Use::Signer { rotate_at } => rotate_at,
            Use::Draining { until, .. } => until,
        };
        Ok(CurrentSigner { kid: key.kid().clone(), alg: key.jwk.alg(), not_after })
    }

    /// Signs claims that one grant of `permit` allows: the daemon writes header, `iss`, `iat`, `exp` and `jti`.
    ///
    /// # Errors
    /// [`SignError`]; no signature was released.
    pub async fn jwt(
        &self,
        permit: &Permit<'_>,
        target: Target<'_>,
        request: JwtRequest<'_>,
        asker: &Asker,
    ) -> Result<SignedJwt, SignError> {
        let now = self.clock.now();
        let (place, ring) = self.find(target)?;
        if ring.settings.digests {
            return Err(SignError::DigestsOnly);
        }
        let key = Arc::clone(signer_of(&ring)?);
        let jti = token_name::new()?;
        let (payload, exp) = {
            let state = place.state();
            let draft = Draft {
                claims: request.claims,
                typ: request.typ.or(ring.settings.typ.as_ref()),
                ttl: request.ttl,
                iss_json: &state.iss_json,
                now,
                jti: &jti,
                lifetime: ring.token_lifetime,
            };
            permit.first_that(|grant| grant.rules.draft(draft))?
        };
        let mut token = match request.typ {
            None => key.header.clone(),
            Some(typ) => encode_header(key.jwk.alg(), key.kid(), Some(typ)) + ".",
        };
        token.reserve(payload.len() * 4 / 3 + key.spec.signature_len() * 4 / 3 + 8);
        base64url::append(payload.as_bytes(), &mut token);
        let chosen = Chosen { issuer: target.issuer, place, ring, key };
        let signature = self.sign(&chosen, Input::Message(token.as_bytes())).await?;
        append_signature(&mut token, &signature);
        self.record(&chosen, Some(&jti), payload.as_bytes(), exp, asker).await?;
        Ok(SignedJwt { token, kid: chosen.key.kid().clone(), jti, expires_at: exp })
    }

    /// Signs a header and payload that the caller assembled, after the same checks.
    ///
    /// # Errors
    /// [`SignError::WrongSigner`] if the header names neither the signer nor a version within its drain.
    pub async fn assembled(
        &self,
        permit: &Permit<'_>,
        target: Target<'_>,
        signing_input: &str,
        asker: &Asker,
    ) -> Result<Assembled, SignError> {
        let now = self.clock.now();
        let (place, ring) = self.find(target)?;
        if ring.settings.digests {
            return Err(SignError::DigestsOnly);
        }
        if !ring.settings.raw_signatures {
            return Err(SignError::RawSignaturesOff);
        }
        let input = SigningInput::parse(signing_input, &Limits::DEFAULT)?;
        let key = named(&ring, input.kid(), input.alg(), now)?;
        let payload = Object::parse(input.payload(), &Limits::DEFAULT).map_err(SignError::Payload)?;
        let (iss, skew) = (place.settings.url.as_str(), place.settings.skew);
        let bounds = Bounds { iss, now, lifetime: ring.token_lifetime, skew };
        let size = input.payload().len();
        let exp = permit.first_that(|grant| grant.rules.assembled(bounds, &payload, input.typ(), size))?;
        check_published(&ring, &key, exp + skew)?;
        let chosen = Chosen { issuer: target.issuer, place, ring, key };
        let signature = self.sign(&chosen, Input::Message(signing_input.as_bytes())).await?;
        self.record(&chosen, None, input.payload().as_bytes(), exp, asker).await?;
        Ok(Assembled { signature: base64url::encode(&signature), kid: chosen.key.kid().clone() })
    }

    /// Signs a digest, in a ring that signs nothing else. Of what was hashed nothing is known, so nothing is checked.
    ///
    /// # Errors
    /// [`SignError::WrongSigner`] if the request names neither the signer nor a version that is published for long
    /// enough; [`SignError::DigestsOff`] in a ring that signs tokens.
    pub async fn digest(
        &self,
        permit: &Permit<'_>,
        target: Target<'_>,
        request: DigestRequest<'_>,
        asker: &Asker,
    ) -> Result<Assembled, SignError> {
        let now = self.clock.now();
        let (place, ring) = self.find(target)?;
        let hash = request.alg.hash().filter(|_| ring.settings.digests).ok_or(SignError::DigestsOff)?;
        permit.first_that(|grant| grant.rules.digest())?;
        let key = named(&ring, request.kid, request.alg, now)?;
        let digest = MessageDigest::made_elsewhere(hash, request.digest)?;
        // It may be of a token that lives for as long as any may.
        check_published(&ring, &key, now + ring.token_lifetime + place.settings.skew)?;
        let chosen = Chosen { issuer: target.issuer, place, ring, key };
        let signature = self.sign(&chosen, Input::Digest(digest)).await?;
        let signed = Event::SignedDigest {
            issuer: chosen.issuer.clone(),
            ring: chosen.ring.name.clone(),
            kid: chosen.key.kid().clone(),
            digest,
            caller: asker.caller.to_string(),
            request_id: Some(asker.request_id.clone()),
            outcome: Outcome::Done,
        };
        self.keep(&chosen, signed).await?;
        Ok(Assembled { signature: base64url::encode(&signature), kid: chosen.key.kid().clone() })
    }

    fn find(&self, target: Target<'_>) -> Result<(&Place, Arc<RingView>), SignError> {
        let place = self.places.get(target.issuer.as_str()).ok_or(SignError::UnknownIssuer)?;
        let ring = place.state().ring(target.ring.as_str()).cloned().ok_or(SignError::UnknownRing)?;
        Ok((place, ring))
    }

    /// Signs, and verifies what came back; a key that was compromised meanwhile has not signed.
    async fn sign(&self, chosen: &Chosen<'_>, input: Input<'_>) -> Result<Vec<u8>, SignError> {
        let (key, ring) = (&chosen.key, &chosen.ring);
        self.check_fresh(chosen)?;
        let backend = self.backends.get(&key.backend).ok_or_else(|| SignError::NoBackend(key.backend.clone()))?;
        let reference = KeyRef { handle: &key.handle, spec: key.spec };
        let signature = backend.sign(reference, input, ring.sign_deadline).await?.0;
        if ring.settings.self_verify == SelfVerify::Always || !key.is_proven() {
            input.verify(&key.verifier, &signature).map_err(|_| {
                SignError::Backend(BackendError::Mismatch(format!(
                    "a signature of {} does not verify with its published key",
                    key.kid()
                )))
            })?;
            key.set_proven();
        }
        self.check_fresh(chosen)?;
        self.check_unrevoked(chosen)?;
        Ok(signature)
    }

    /// Refuses to sign on while a decision has been pending for longer than the drain allows for.
    fn check_fresh(&self, chosen: &Chosen<'_>) -> Result<(), SignError> {
        // Nearly always nothing is pending, and then no clock is read.
        let stale =
            chosen.place.is_pending() && chosen.place.pending_for(self.clock.monotonic()) > chosen.ring.stale_after;
        if stale { Err(SignError::Stale) } else { Ok(()) }
    }

    fn check_unrevoked(&self, chosen: &Chosen<'_>) -> Result<(), SignError> {
        let state = chosen.place.state();
        match state.ring(chosen.ring.name.as_str()) {
            Some(ring) if Arc::ptr_eq(ring, &chosen.ring) => Ok(()),
            // Deactivated in between is fine: it was the signer when the request was dated.
            Some(ring) if ring.find(chosen.key.kid()).is_some() => Ok(()),
            _ => Err(SignError::Revoked),
        }
    }

    /// Records a token; without that no signature leaves.
    async fn record(
        &self,
        chosen: &Chosen<'_>,
        jti: Option<&str>,
        payload: &[u8],
        exp: Timestamp,
        asker: &Asker,
    ) -> Result<(), SignError> {
        if self.audit.is_none() {
            return Ok(());
        }
        let signed = Event::Signed {
            issuer: chosen.issuer.clone(),
            ring: chosen.ring.name.clone(),
            kid: chosen.key.kid().clone(),
            jti: jti.map(str::to_owned),
            claims_sha256: Digest::of(payload),
            exp: Some(exp),
            caller: asker.caller.to_string(),
            request_id: Some(asker.request_id.clone()),
            outcome: Outcome::Done,
        };
        self.keep(chosen, signed).await
    }

    /// Makes the record durable, if signatures are recorded.
    async fn keep(&self, chosen: &Chosen<'_>, signed: Event) -> Result<(), SignError> {
        let Some(audit) = &self.audit else { return Ok(()) };
        audit.append(signed).await?;
        self.check_unrevoked(chosen)
    }
}

/// The version of that kid and algorithm, if it may sign for a caller that names it.
fn named(ring: &RingView, kid: &Kid, alg: Algorithm, now: Timestamp) -> Result<Arc<SigningKey>, SignError> {
    let is_over = |key: &SigningKey| matches!(key.usage, Use::Draining { until, .. } if now >= until);
    match ring.find(kid) {
        Some(key) if !is_over(key) && key.jwk.alg() == alg => Ok(Arc::clone(key)),
        _ => Err(SignError::wrong_signer(signer_of(ring)?)),
    }
}

/// Refuses a key that leaves the JWK Set before a token that it signs has expired everywhere.
fn check_published(ring: &RingView, key: &SigningKey, until: Timestamp) -> Result<(), SignError> {
    match key.usage {
        Use::Draining { withdraw_at, .. } if until > withdraw_at => Err(SignError::wrong_signer(signer_of(ring)?)),
        Use::Draining { .. } | Use::Signer { .. } => Ok(()),
    }
}

fn signer_of(ring: &RingView) -> Result<&Arc<SigningKey>, SignError> {
    ring.signer.as_ref().ok_or(SignError::NoSigner { may_sign_at: ring.next_may_sign_at })
}
