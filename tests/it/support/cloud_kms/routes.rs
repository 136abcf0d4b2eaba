//! The methods over REST, as the official client calls them: enums as numbers, bytes as base64, 64 bits as text.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::keys::{Asked, Secret, rfc3339};
use super::{Fault, Key, LOOKS, Method, Project, State, Version, project_time};

/// A request, taken apart.
pub(super) struct Request {
    pub(super) method: Method,
    /// The name of what it is about.
    name: String,
    query: BTreeMap<String, String>,
    body: Value,
}

/// A status, and the body in JSON.
pub(super) type Answer = (u16, Value);

impl Request {
    pub(super) fn new(verb: &str, path: &str, query: BTreeMap<String, String>, body: Value) -> Option<Self> {
        let path = path.strip_prefix("/v1/")?;
        let (name, custom) = path.split_once(':').unwrap_or((path, ""));
        let segments: Vec<&str> = name.split('/').collect();
        let kinds: Vec<&str> = segments.iter().step_by(2).copied().collect();
        let method = match (verb, kinds.as_slice(), custom) {
            ("GET", ["projects", "locations", "keyRings"], "") if segments.len() == 6 => Method::KeyRing,
            ("POST", ["projects", "locations", "keyRings"], "") => Method::CreateKeyRing,
            ("GET", ["projects", "locations", "keyRings", "cryptoKeys"], "") if segments.len() == 8 => Method::Key,
            ("GET", ["projects", "locations", "keyRings", "cryptoKeys"], "") => Method::ListKeys,
            ("POST", ["projects", "locations", "keyRings", "cryptoKeys"], "") => Method::CreateKey,
            (verb, ["projects", "locations", "keyRings", "cryptoKeys", "cryptoKeyVersions", rest @ ..], custom) => {
                match (verb, rest, custom) {
                    ("GET", [], "") => Method::Version,
                    ("GET", ["publicKey"], "") => Method::PublicKey,
                    ("PATCH", [], "") => Method::UpdateVersion,
                    ("POST", [], "destroy") => Method::Destroy,
                    ("POST", [], "asymmetricSign") => Method::Sign,
                    _ => return None,
                }
            }
            _ => return None,
        };
        let name = match method {
            Method::PublicKey => segments[..10].join("/"),
            Method::CreateKeyRing | Method::CreateKey | Method::ListKeys => segments[..segments.len() - 1].join("/"),
            _ => name.to_owned(),
        };
        Some(Self { method, name, query, body })
    }

    /// Does it.
    pub(super) fn act(&self, project: &mut Project, fault: Option<Fault>) -> Answer {
        let done = match self.method {
            Method::KeyRing => self.key_ring(project),
            Method::CreateKeyRing => self.create_key_ring(project),
            Method::CreateKey => self.create_key(project),
            Method::Key => self.key(project),
            Method::ListKeys => self.list(project),
            Method::Version | Method::UpdateVersion | Method::Destroy | Method::PublicKey | Method::Sign => {
                self.about_version(project, fault)
            }
        };
        match done {
            Ok(body) => (200, body),
            Err(refused) => refused,
        }
    }

    fn key_ring(&self, project: &Project) -> Result<Value, Answer> {
        self.ring_exists(project).map(|()| json!({"name": self.name}))
    }

    fn ring_exists(&self, project: &Project) -> Result<(), Answer> {
        if project.rings.contains(&self.name) { Ok(()) } else { Err(not_found(&self.name)) }
    }

    fn create_key_ring(&self, project: &mut Project) -> Result<Value, Answer> {
        let name = format!("{}/keyRings/{}", self.name, self.query["keyRingId"]);
        if project.rings.contains(&name) {
            return Err(error(409, "ALREADY_EXISTS", format!("KeyRing {name} already exists.")));
        }
        project.rings.push(name.clone());
        Ok(json!({"name": name}))
    }

    fn create_key(&self, project: &mut Project) -> Result<Value, Answer> {
        self.ring_exists(project)?;
        let id = &self.query["cryptoKeyId"];
        let name = format!("{}/cryptoKeys/{id}", self.name);
        let invalid = |text: &str| error(400, "INVALID_ARGUMENT", text.to_owned());
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if id.is_empty() || id.len() > 63 || !id.bytes().all(allowed) {
            return Err(invalid("The crypto_key_id does not match [a-zA-Z0-9_-]{1,63}."));
        }
        if project.keys.contains_key(&name) {
            return Err(error(409, "ALREADY_EXISTS", format!("CryptoKey {name} already exists.")));
        }
        let labels: BTreeMap<String, String> = serde_json::from_value(self.body["labels"].clone()).unwrap_or_default();
        let fits = |text: &str| {
            text.len() <= 63
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
        };
        if !labels
            .iter()
            .all(|(name, value)| name.starts_with(|c: char| c.is_ascii_lowercase()) && fits(name) && fits(value))
        {
            return Err(invalid("A label has a character that is not allowed, or is too long."));
        }
        let template = &self.body["versionTemplate"];
        let (algorithm, protection) = (number(&template["algorithm"]), number(&template["protectionLevel"]).max(1));
        if number(&self.body["purpose"]) != 5 {
            return Err(invalid("The purpose does not fit the algorithm."));
        }
        let duration = self.body["destroyScheduledDuration"].as_str().unwrap_or("2592000s");
        let destroy_after: i64 = duration.trim_end_matches('s').parse().unwrap();
        if !(86_400..=120 * 86_400).contains(&destroy_after) {
            return Err(invalid("destroy_scheduled_duration is not between 24 hours and 120 days."));
        }
        let secret = Secret::generate(algorithm).ok_or_else(|| invalid("The algorithm is not supported."))?;
        let version = Version {
            algorithm,
            protection,
            state: State::PendingGeneration,
            looks: LOOKS,
            secret: Arc::new(secret),
            destroy_time: None,
            import_time: None,
        };
        let versions = BTreeMap::from([(1, version)]);
        let key = Key { purpose: 5, algorithm, protection, labels, destroy_after, versions };
        let body = key_json(&name, &key);
        project.keys.insert(name, key);
        Ok(body)
    }

    fn key(&self, project: &Project) -> Result<Value, Answer> {
        project.keys.get(&self.name).map(|key| key_json(&self.name, key)).ok_or_else(|| not_found(&self.name))
    }

    /// Two a page, so that there are pages.
    fn list(&self, project: &Project) -> Result<Value, Answer> {
        const PAGE: usize = 2;
        self.ring_exists(project)?;
        let (label, value) = match self.query.get("filter").map_or("", String::as_str) {
            "" => ("", ""),
            filter => filter
                .strip_prefix("labels.")
                .and_then(|filter| filter.strip_suffix('"')?.split_once("=\""))
                .ok_or_else(|| error(400, "INVALID_ARGUMENT", "The filter is not understood.".to_owned()))?,
        };
        let inside = format!("{}/cryptoKeys/", self.name);
        let after = self.query.get("pageToken").map_or("", String::as_str);
        let fits = |key: &Key| label.is_empty() || key.labels.get(label).is_some_and(|found| found == value);
        let mut found = project.keys.iter().filter(|(name, key)| name.starts_with(&inside) && fits(key));
        let total = found.clone().count();
        let page: Vec<_> = found.by_ref().filter(|(name, _)| name.as_str() > after).take(PAGE).collect();
        let next = found.next().and(page.last()).map_or("", |(name, _)| name.as_str());
        let keys: Vec<Value> = page.iter().map(|(name, key)| key_json(name, key)).collect();
        Ok(json!({"cryptoKeys": keys, "nextPageToken": next, "totalSize": total}))
    }

    fn about_version(&self, project: &mut Project, fault: Option<Fault>) -> Result<Value, Answer> {
        let fails = project.failing > 0;
        let destroy_after = {
            let key = self.name.split("/cryptoKeyVersions/").next().and_then(|key| project.keys.get(key));
            key.ok_or_else(|| not_found(&self.name))?.destroy_after
        };
        let version = project.version(&self.name).ok_or_else(|| not_found(&self.name))?;
        let named = |states: &[State], version: &Version| {
            let text = format!("{} is not ready for this, current state is: {}.", self.name, version.state.name());
            let fits = states.contains(&version.state);
            if fits { Ok(()) } else { Err(error(400, "FAILED_PRECONDITION", text)) }
        };
        match self.method {
            Method::Version => {
                if version.state == State::PendingGeneration {
                    version.looks = version.looks.saturating_sub(1);
                    if version.looks == 0 {
                        version.state = if fails { State::GenerationFailed } else { State::Enabled };
                    }
                }
                let body = version_json(&self.name, version);
                if body["state"] == State::GenerationFailed as i64 {
                    project.failing = project.failing.saturating_sub(1);
                }
                Ok(body)
            }
            Method::UpdateVersion => {
                named(&[State::Enabled, State::Disabled], version)?;
                assert_eq!(self.query["updateMask"], "state");
                version.state = match number(&self.body["state"]) {
                    1 => State::Enabled,
                    2 => State::Disabled,
                    _ => return Err(error(400, "INVALID_ARGUMENT", "The state can't be set to that.".to_owned())),
                };
                Ok(version_json(&self.name, version))
            }
            Method::Destroy => {
                named(&[State::Enabled, State::Disabled], version)?;
                version.state = State::DestroyScheduled;
                version.destroy_time = Some(rfc3339(project_time() + destroy_after));
                Ok(version_json(&self.name, version))
            }
            Method::PublicKey => {
                named(&[State::Enabled], version)?;
                let pem = version.secret.pem();
                let crc = crc32c::crc32c(pem.as_bytes()) ^ u32::from(fault == Some(Fault::Checksum));
                Ok(json!({"name": self.told(fault), "pem": pem, "pemCrc32c": crc.to_string(),
                          "algorithm": version.algorithm, "protectionLevel": version.protection}))
            }
            _ => {
                named(&[State::Enabled], version)?;
                self.sign(version, fault)
            }
        }
    }

    fn sign(&self, version: &Version, fault: Option<Fault>) -> Result<Value, Answer> {
        let invalid = |text: String| error(400, "INVALID_ARGUMENT", text);
        let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default()).unwrap();
        // An empty field and an absent one are the same.
        let data = Some(bytes(&self.body["data"])).filter(|data| !data.is_empty());
        let digest = self.body["digest"].as_object().and_then(|digest| digest.iter().next());
        let (asked, crc, verified) = match (data, digest) {
            (Some(data), None) if data.len() <= DATA_MAX => (Asked::Data(data), "dataCrc32c", "verifiedDataCrc32c"),
            (Some(_), None) => return Err(invalid(format!("The data are longer than {DATA_MAX} bytes."))),
            (None, Some((name, value))) => {
                (Asked::Digest(name.clone(), bytes(value)), "digestCrc32c", "verifiedDigestCrc32c")
            }
            _ => return Err(invalid("Exactly one of data and digest must be set.".to_owned())),
        };
        let (Asked::Data(signed) | Asked::Digest(_, signed)) = &asked;
        let sent = self.body[crc].as_str();
        if sent.is_some_and(|sent| sent != crc32c::crc32c(signed).to_string()) {
            return Err(invalid(format!("The checksum in field {crc} did not match.")));
        }
        let mut signature = version.secret.sign(&asked).map_err(invalid)?;
        if fault == Some(Fault::Signature) {
            // Another signature by the same key, of something else: only who verifies it finds out.
            let other = match &asked {
                Asked::Data(_) => Asked::Data(b"something else".to_vec()),
                Asked::Digest(name, bytes) => Asked::Digest(name.clone(), vec![0x5a; bytes.len()]),
            };
            signature = version.secret.sign(&other).map_err(invalid)?;
        }
        let check = crc32c::crc32c(&signature) ^ u32::from(fault == Some(Fault::Checksum));
        Ok(json!({"name": self.told(fault), "signature": STANDARD.encode(&signature),
                  "signatureCrc32c": check.to_string(), verified: sent.is_some() && fault != Some(Fault::Unverified),
                  "protectionLevel": version.protection}))
    }

    /// The name in the answer.
    fn told(&self, fault: Option<Fault>) -> String {
        if fault == Some(Fault::OtherName) {
            self.name.replace("/cryptoKeys/", "/cryptoKeys/x")
        } else {
            self.name.clone()
        }
    }
}

fn key_json(name: &str, key: &Key) -> Value {
    json!({"name": name, "purpose": key.purpose, "labels": key.labels,
           "destroyScheduledDuration": format!("{}s", key.destroy_after),
           "versionTemplate": {"protectionLevel": key.protection, "algorithm": key.algorithm}})
}

fn version_json(name: &str, version: &Version) -> Value {
    let mut body = json!({"name": name, "state": version.state as i64, "algorithm": version.algorithm,
                          "protectionLevel": version.protection});
    for (field, time) in [("destroyTime", &version.destroy_time), ("importTime", &version.import_time)] {
        if let Some(time) = time {
            body[field] = json!(time);
        }
    }
    body
}

pub(super) fn error(status: u16, code: &str, message: String) -> Answer {
    (status, json!({"error": {"code": status, "status": code, "message": message, "details": []}}))
}

fn not_found(name: &str) -> Answer {
    error(404, "NOT_FOUND", format!("{name} not found."))
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// What AsymmetricSign takes as data.
const DATA_MAX: usize = 64 * 1024;
