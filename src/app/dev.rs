//! `jwksd dev`: everything embedded, no configuration, periods so short that a rotation can be watched.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::access::grant::{Grant, Operation, Pattern};
use crate::chance;
use crate::config::IssuerUrl;
use crate::config::secret::Secret;
use crate::config::{
    self as tree, Address, ApiListener, Backend, BackendKind, Config, Issuer, Listen, Listener, Log, LogFormat, Ring,
    Sealing, StoreKind,
};
use crate::ids::{BackendId, InstallationId, IssuerId, RingName};
use crate::jose::alg::{Algorithm, KeySpec};
use crate::lifecycle::policy::{Policy, Rotation, Terms};
use crate::lifecycle::time::Span;

use super::listen::tcp;
use super::{AppError, Listeners};

/// Where `jwksd dev` keeps its things and listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevOptions {
    /// Its data directory.
    pub data: PathBuf,
    /// Where verifiers fetch.
    pub public: SocketAddr,
    /// Where identity providers call.
    pub signing: SocketAddr,
    /// Where operators call.
    pub admin: SocketAddr,
}

/// What `jwksd dev` serves, for the text that tells a newcomer what to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The data directory.
    pub data: PathBuf,
    /// The bound public address.
    pub public: SocketAddr,
    /// The bound signing address.
    pub signing: SocketAddr,
    /// The bound admin address.
    pub admin: SocketAddr,
    /// The issuer's name.
    pub issuer: IssuerId,
    /// The issuer's URL.
    pub url: String,
    /// The ring's name.
    pub ring: RingName,
    /// Its durations.
    pub terms: Terms,
}

/// The configuration behind `jwksd dev`, for an issuer that is reached at `public`.
pub(super) fn config(options: &DevOptions, public: SocketAddr) -> Result<Config, AppError> {
    if !public.ip().is_loopback() {
        return Err(AppError::NotLoopback(public));
    }
    super::open::data_dir(&options.data)?;
    let sealing = sealing_key(&options.data)?;
    let invalid =
        |what: &'static str| AppError::System { doing: what, source: std::io::ErrorKind::InvalidInput.into() };
    let installation = InstallationId::new("dev").map_err(|_| invalid("naming the installation"))?;
    let backend = BackendId::new("software").map_err(|_| invalid("naming the backend"))?;
    let (issuer_id, ring_name) = names()?;
    let url: IssuerUrl = format!("http://{public}").parse().map_err(|_| invalid("forming the issuer's URL"))?;
    let spec = KeySpec::new(Algorithm::Es256, None).map_err(|_| invalid("choosing the algorithm"))?;
    let terms = terms();
    let mut issuer = Issuer::new(url);
    issuer.jwks_max_age = terms.jwks_max_age;
    issuer.skew = terms.skew;
    issuer.openid_configuration = true;
    let policy = Policy::new(terms).expect("invariant: a test proves that the durations of dev fit together");
    issuer.rings.insert(ring_name, Ring::new(spec, backend.clone(), policy));
    let everything = Grant::new(Pattern::Loopback, Operation::ALL);
    Ok(Config {
        installation,
        allow_software_keys: true,
        data_dir: options.data.clone(),
        store: StoreKind::Embedded,
        audit: tree::Audit::in_data_dir(&options.data),
        workers: None,
        listen: Listen {
            public: Listener::public(Address::Tcp(public)),
            signing: ApiListener::signing(Address::Tcp(options.signing)),
            admin: ApiListener::admin(Address::Tcp(options.admin)),
            metrics: None,
        },
        limits: tree::Limits::default(),
        log: Log { format: LogFormat::Text, level: "info".to_owned() },
        backends: [(backend, Backend::new(BackendKind::Software(Sealing::Key(Secret::File(sealing)))))].into(),
        issuers: [(issuer_id, issuer)].into(),
        trusted_issuers: BTreeMap::new(),
        grants: vec![everything],
        warnings: Vec::new(),
    })
}

/// What is served where.
pub(super) fn announcement(options: &DevOptions, listeners: &Listeners) -> Result<Announcement, AppError> {
    let (issuer, ring) = names()?;
    let public = tcp(&listeners.public).unwrap_or(options.public);
    Ok(Announcement {
        data: options.data.clone(),
        public,
        signing: tcp(&listeners.signing).unwrap_or(options.signing),
        admin: tcp(&listeners.admin).unwrap_or(options.admin),
        issuer,
        url: format!("http://{public}"),
        ring,
        terms: terms(),
    })
}

/// The issuer and the ring of `jwksd dev`.
pub(super) fn names() -> Result<(IssuerId, RingName), AppError> {
    let invalid = |_| AppError::System { doing: "naming the issuer", source: std::io::ErrorKind::InvalidInput.into() };
    Ok((IssuerId::new("dev").map_err(invalid)?, RingName::new("es256").map_err(invalid)?))
}

/// A whole rotation, from one activation past the withdrawal of the version before, within two minutes.
pub(super) fn terms() -> Terms {
    let mut terms = Terms {
        rotation: Rotation::Every(Span::from_secs(40)),
        propagation: Span::from_secs(15),
        token_lifetime_max: Span::from_secs(30),
        skew: Span::from_secs(1),
        jwks_max_age: Span::from_secs(5),
        drain: Span::from_secs(10),
        sign_deadline: Span::from_secs(5),
        ..Terms::default()
    };
    terms.retention = terms.least_retention();
    terms
}

/// The file of the key that seals dev's software keys; made at the first start.
fn sealing_key(data: &Path) -> Result<PathBuf, AppError> {
    let path = data.join("sealing.key");
    let failed = |source| AppError::DevSealingKey { path: data.join("sealing.key"), source };
    if !path.exists() {
        let hex: String = chance::bytes::<32>().iter().map(|byte| format!("{byte:02x}")).collect();
        let temporary = data.join("sealing.key.new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary).map_err(failed)?;
        file.write_all(hex.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&temporary, &path).map_err(failed)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_durations_of_dev_fit_together_and_show_a_rotation_within_two_minutes() {
        let terms = terms();
        assert!(Policy::new(terms.clone()).is_ok());
        let Rotation::Every(period) = terms.rotation else { unreachable!() };
        assert!(period + terms.retention <= Span::from_mins(2));
    }
}
