//! Where the daemon listens.

use toml::Spanned;

use super::backend::Backends;
use super::faults::Faults;
use crate::config::document::Place;
use crate::config::file::{ApiListenerTable, ListenTable, ListenerTable, TlsTable};
use crate::config::tree::{Address, ApiListener, Listen, Listener, Tls, TlsClients};
use crate::config::value::{Field, Section, plain};
use crate::lifecycle::time::Span;

/// An address that is taken, and by which listener.
type Taken = Vec<(&'static str, Address)>;

pub(super) fn listen(table: Section<ListenTable>, backends: &Backends, faults: &mut Faults<'_>) -> Option<Listen> {
    let place = table.as_ref().map(Spanned::span);
    let ListenTable { public, signing, admin, metrics } = table.map(Spanned::into_inner).unwrap_or_default();
    for (name, absent, purpose) in [
        (
            "public",
            public.is_none(),
            "verifiers fetch from it, so set it, such as public = { address = \"127.0.0.1:8080\" }",
        ),
        (
            "signing",
            signing.is_none(),
            "identity providers call it, so set it, such as signing = { address = \"unix:/run/jwksd/sign.sock\" }",
        ),
        (
            "admin",
            admin.is_none(),
            "operators call it, so set it, such as admin = { address = \"unix:/run/jwksd/admin.sock\" }",
        ),
    ] {
        if absent {
            let key = if place.is_some() { name.to_owned() } else { format!("listen.{name}") };
            faults.absent(place.as_ref(), &key, format!("missing; {purpose}"));
        }
    }
    if let Some(signing) = &signing {
        check_deadlines(
            signing.get_ref().request_timeout.as_ref().map(|field| (field.span(), field.get_ref().0)),
            signing.span(),
            backends,
            faults,
        );
    }
    let mut taken = Taken::new();
    let public = public.map(|table| listener("public", table, Listener::public, &mut taken, faults));
    let signing = signing.map(|table| api_listener("signing", table, ApiListener::signing, &mut taken, faults));
    let admin = admin.map(|table| api_listener("admin", table, ApiListener::admin, &mut taken, faults));
    let metrics = match metrics {
        Some(table) => Some(listener("metrics", table, Listener::metrics, &mut taken, faults)?),
        None => None,
    };
    Some(Listen { public: public??, signing: signing??, admin: admin??, metrics })
}

/// A caller must not be told of a time-out while its signature is still being made.
fn check_deadlines(timeout: Option<(Place, Span)>, table: Place, backends: &Backends, faults: &mut Faults<'_>) {
    let default = ApiListener::signing(Address::Unix("/".into())).listener.request_timeout;
    let (place, timeout) = timeout.map_or((None, default), |(place, timeout)| (Some(place), timeout));
    if timeout == Span::ZERO {
        return;
    }
    let slowest = backends.iter().filter_map(|(id, found)| Some((id, found.backend.as_ref()?.sign_deadline)));
    if let Some((id, deadline)) = slowest.max_by_key(|(_, deadline)| *deadline).filter(|(_, d)| timeout <= *d) {
        let problem = format!(
            "request_timeout {timeout} is not longer than the sign_deadline {deadline} of backend {id}; raise \
             request_timeout above {deadline} or lower sign_deadline"
        );
        match place {
            Some(place) => faults.at(&place, problem),
            None => faults.absent(Some(&table), "request_timeout", problem),
        }
    }
}

fn api_listener(
    name: &'static str,
    table: Spanned<ApiListenerTable>,
    defaults: fn(Address) -> ApiListener,
    taken: &mut Taken,
    faults: &mut Faults<'_>,
) -> Option<ApiListener> {
    let place = table.span();
    let table = table.into_inner();
    let ApiListenerTable { address, mode, plain_http, tls, max_connections, request_timeout, .. } = table;
    let (max_body, max_concurrency) = (table.max_body, table.max_concurrency);
    let own = ListenerTable { address, mode, plain_http, tls, max_connections, request_timeout };
    let unbound = |address| defaults(address).listener;
    let listener = listener(name, Spanned::new(place, own), unbound, taken, faults)?;
    let default = defaults(listener.address.clone());
    Some(ApiListener {
        listener,
        max_body: plain(max_body).map_or(default.max_body, |size| size.0),
        max_concurrency: plain(max_concurrency).map_or(default.max_concurrency, |count| count.0),
    })
}

fn listener(
    name: &'static str,
    table: Spanned<ListenerTable>,
    defaults: impl Fn(Address) -> Listener,
    taken: &mut Taken,
    faults: &mut Faults<'_>,
) -> Option<Listener> {
    let place = table.span();
    let ListenerTable { address, mode, plain_http, tls, max_connections, request_timeout } = table.into_inner();
    let has_tls = tls.is_some();
    let tls = tls.map(|table| build_tls(table, &plain_http, faults));
    let Some(address) = address else {
        faults.absent(
            Some(&place),
            "address",
            "missing; set it, such as \"127.0.0.1:8080\" or \"unix:/run/jwksd/x.sock\"",
        );
        return None;
    };
    let (address_place, address) = (address.span(), address.into_inner().0);
    let default = defaults(address.clone());
    check_transport(&address, &address_place, &mode, plain_http, has_tls, faults);
    if let Some((other, _)) = taken.iter().find(|(_, theirs)| clash(theirs, &address)) {
        faults.at(&address_place, format!("{address} is the address of {other} already; give each listener its own"));
    }
    taken.push((name, address.clone()));
    Some(Listener {
        address,
        mode: plain(mode).map_or(default.mode, |mode| mode.0),
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
        max_connections: plain(max_connections).map_or(default.max_connections, |count| count.0),
        request_timeout: faults.nonzero(request_timeout, default.request_timeout),
    })
}

fn build_tls(table: Spanned<TlsTable>, plain_http: &Field<bool>, faults: &mut Faults<'_>) -> Option<Tls> {
    let place = table.span();
    let TlsTable { cert, key, min_version, client_ca, client_auth, client_crls } = table.into_inner();
    if let Some(contrary) = plain_http.as_ref().filter(|field| field.get_ref().0) {
        faults.at(&contrary.span(), "this listener has tls, so it speaks no plain HTTP; remove one of the two");
    }
    let clients = match (client_ca, client_auth, client_crls) {
        (None, auth, crls) => {
            let place = auth.map(|field| field.span()).or(crls.and_then(|list| Some(list.0.first()?.span())));
            if let Some(place) = place {
                faults.at(&place, "says how client certificates are checked, but not whose; add client_ca");
            }
            None
        }
        (Some(ca), auth, crls) => Some(TlsClients {
            ca: ca.into_inner().0.0,
            auth: plain(auth).unwrap_or_default(),
            crls: crls.map(|list| list.0).unwrap_or_default().into_iter().map(|path| path.into_inner().0.0).collect(),
        }),
    };
    let cert = faults.require(&place, "cert", cert, "name the file of the certificate chain, leaf first");
    let key = faults.require(&place, "key", key, "name the file of the certificate's private key");
    Some(Tls { cert: cert?.0, key: key?.0, min_version: plain(min_version).unwrap_or_default(), clients })
}

fn check_transport(
    address: &Address,
    place: &Place,
    mode: &Field<crate::config::scalar::Mode>,
    plain_http: Field<bool>,
    has_tls: bool,
    faults: &mut Faults<'_>,
) {
    let Address::Tcp(tcp) = address else {
        if has_tls {
            faults.at(place, "a Unix socket has no TLS, and needs none; remove tls, or listen on an IP address");
        }
        return;
    };
    if let Some(mode) = mode {
        faults.at(&mode.span(), "only a Unix socket has a mode; remove it, or listen on \"unix:/…\"");
    }
    if !tcp.ip().to_canonical().is_loopback() && !has_tls && plain(plain_http) != Some(true) {
        faults.at(
            place,
            format!(
                "{address} can be reached from other machines, and without tls everything is readable on the way; add \
                 tls = {{ cert = \"…\", key = \"…\" }}, or let TLS end in front of it and say so with plain_http = \
                 true, or listen on 127.0.0.1 or a Unix socket"
            ),
        );
    }
}

/// Whether the second listener could not be bound beside the first. Port 0 is a new port each time.
fn clash(a: &Address, b: &Address) -> bool {
    match (a, b) {
        (Address::Tcp(a), Address::Tcp(b)) => {
            let every = a.ip().is_unspecified() || b.ip().is_unspecified();
            a.port() == b.port() && a.port() != 0 && (every || a.ip() == b.ip())
        }
        (a, b) => a == b,
    }
}
