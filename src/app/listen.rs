//! The listeners: bound before anything else happens, serving last.

use std::net::SocketAddr;

use crate::config::{Address, ApiListener, Listen, Listener as Settings};
use crate::server::listen::{Address as BindAddress, Limits, Listener};

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
    /// Binds what the configuration names.
    ///
    /// # Errors
    /// [`AppError::Listen`] names the listener and why.
    pub async fn bind(listen: &Listen) -> Result<Self, AppError> {
        let api = |listener: &ApiListener| listener.listener.clone();
        let metrics = match &listen.metrics {
            Some(settings) => Some(bind("metrics", settings).await?),
            None => None,
        };
        Ok(Self {
            public: bind("public", &listen.public).await?,
            signing: bind("signing", &api(&listen.signing)).await?,
            admin: bind("admin", &api(&listen.admin)).await?,
            metrics,
        })
    }
}

/// The address of a TCP listener.
pub(super) fn tcp(listener: &Listener) -> Option<SocketAddr> {
    match listener.address() {
        BindAddress::Tcp(address) => Some(*address),
        BindAddress::Unix { .. } => None,
    }
}

pub(super) async fn bind(name: &'static str, settings: &Settings) -> Result<Listener, AppError> {
    let address = match &settings.address {
        Address::Tcp(address) => BindAddress::Tcp(*address),
        Address::Unix(path) => BindAddress::Unix { path: path.clone(), mode: settings.mode },
    };
    let limits = Limits { connections: settings.max_connections, ..Limits::default() };
    Listener::bind(name, &address, limits).await.map_err(|source| AppError::Listen { listener: name, source })
}
