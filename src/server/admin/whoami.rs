//! Who the daemon takes a caller for.

use axum::Extension;
use axum::extract::State;

use super::Shared;
use super::strict::Reply;
use crate::server::api;
use crate::server::whoami::Sites;
use crate::signer::Asker;

/// Who the daemon takes the caller for, and what that caller may do. Everybody may ask this.
#[utoipa::path(get, path = "/v1/whoami", tag = "read", responses(
    (status = 200, description = "The caller", body = api::WhoAmI),
))]
pub async fn whoami(State(shared): State<Shared>, Extension(asker): Extension<Asker>) -> Reply<api::WhoAmI> {
    let sites = Sites::of(&shared.parts.rotator.places);
    Reply::ok(sites.who_is(&shared.parts.access.grants, &asker.caller))
}
