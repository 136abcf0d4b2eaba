//! The listeners: bound before anything else happens, serving last.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{self as tree, Address, ApiListener, Listen, Listener as Settings};
use crate::server::listen::{Address as BindAddress, Limits, Listener, Passed};
use crate::tls::{ClientAuth, Clients, Endpoint, Files, MinVersion};

use super::AppError;

/// Every listener, bound; clients wait until it is served.
#[derive(Debug)]
pub struct Listeners {
    pub(super) public: Listener,
    pub(super) signing: Listener,
    pub(super) admin: Listener,
    pub(super) metrics: Option<Listener>,
}

impl Listeners {
    /// Binds what the configuration names, unless it is among what was `passed` on.
    ///
    /// # Errors
    /// [`AppError::Listen`] names the listener and why, [`AppError::Passed`] a socket that belongs to none.
    pub async fn bind(listen: &Listen, mut passed: Passed) -> Result<Self, AppError> {
        let api = |listener: &ApiListener| listener.listener.clone();
        let metrics = match &listen.metrics {
            Some(settings) => Some(bind("metrics", settings, &mut passed).await?),
            None => None,
        };
        let listeners = Self {
            public: bind("public", &listen.public, &mut passed).await?,
            signing: bind("signing", &api(&listen.signing), &mut passed).await?,
            admin: bind("admin", &api(&listen.admin), &mut passed).await?,
            metrics,
        };
        passed.finish().map_err(AppError::Passed)?;
        Ok(listeners)
    }
}

/// The address of a TCP listener.
pub(super) fn tcp(listener: &Listener) -> Option<SocketAddr> {
    match listener.address() {
        BindAddress::Tcp(address) => Some(*address),
        BindAddress::Unix { .. } => None,
    }
}

/// Every listener's TLS, by the listener's name.
pub(super) fn endpoints(listeners: &Listeners) -> Vec<(&'static str, Arc<Endpoint>)> {
    let Listeners { public, signing, admin, metrics } = listeners;
    [Some(public), Some(signing), Some(admin), metrics.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(Listener::tls)
        .collect()
}

async fn bind(name: &'static str, settings: &Settings, passed: &mut Passed) -> Result<Listener, AppError> {
    let Settings { address, mode, tls, max_connections, request_timeout } = settings;
    let address = match address {
        Address::Tcp(address) => BindAddress::Tcp(*address),
        Address::Unix(path) => BindAddress::Unix { path: path.clone(), mode: *mode },
    };
    let default = Limits::default();
    let limits =
        Limits { connections: *max_connections, head: default.head.min(request_timeout.as_duration()), ..default };
    let endpoint = tls.as_ref().map(|tls| Endpoint::load(files(tls))).transpose();
    let endpoint = endpoint.map_err(|source| AppError::Tls { listener: name, source: Box::new(source) })?;
    let listener = match passed.take(&address) {
        Some(socket) => Listener::over(name, &address, limits, socket),
        None => Listener::bind(name, &address, limits).await,
    };
    let listener = listener.map_err(|source| AppError::Listen { listener: name, source })?;
    Ok(match endpoint {
        Some(endpoint) => listener.with_tls(Arc::new(endpoint)),
        None => listener,
    })
}

fn files(tls: &tree::Tls) -> Files {
    let tree::Tls { cert, key, min_version, clients } = tls;
    let clients = clients.as_ref().map(|tree::TlsClients { ca, auth, crls }| Clients {
        ca: ca.clone(),
        auth: match auth {
            tree::ClientAuth::Required => ClientAuth::Required,
            tree::ClientAuth::Optional => ClientAuth::Optional,
        },
        crls: crls.clone(),
    });
    let min_version = match min_version {
        tree::MinVersion::Tls12 => MinVersion::Tls12,
        tree::MinVersion::Tls13 => MinVersion::Tls13,
    };
    Files { cert: cert.clone(), key: key.clone(), min_version, clients }
}
