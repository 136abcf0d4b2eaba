//! The OpenAPI 3.1 documents, made from the very types that are read and written.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::admin::paths as admin_paths;
use super::sign::endpoints;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "jwksd signing API",
        description = "Has tokens signed by the keys of jwksd. Errors are RFC 9457 problems with a stable `code`.",
    ),
    modifiers(&Credentials),
    paths(
        endpoints::jwt,
        endpoints::jwt_batch,
        endpoints::signer,
        endpoints::signature,
        endpoints::digest_signature,
        endpoints::whoami
    )
)]
struct Signing;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "jwksd admin API",
        description = "What operators read and order. Errors are RFC 9457 problems with a stable `code`.",
    ),
    modifiers(&Credentials),
    paths(
        admin_paths::status,
        admin_paths::issuers,
        admin_paths::issuer,
        admin_paths::keys,
        admin_paths::plan,
        admin_paths::plans,
        admin_paths::rotate,
        admin_paths::compromise,
        admin_paths::compromised,
        admin_paths::import,
        admin_paths::withdraw,
        admin_paths::strays,
        admin_paths::destroy_stray,
        admin_paths::audit,
        admin_paths::newest_checkpoint,
        admin_paths::make_checkpoint,
        admin_paths::whoami,
    )
)]
struct Admin;

/// The document of the admin listener, as JSON.
#[must_use]
pub fn admin() -> String {
    text(Admin::openapi())
}

/// The document of the signing listener, as JSON.
#[must_use]
pub fn signing() -> String {
    text(Signing::openapi())
}

/// A bearer token, or none: over a Unix socket the peer's user may be enough.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let none = SecurityRequirement::default();
        document.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new()), none]);
    }
}

fn text(document: utoipa::openapi::OpenApi) -> String {
    // Only strings, numbers and maps with text keys are in it.
    document.to_pretty_json().unwrap_or_default() + "\n"
}
