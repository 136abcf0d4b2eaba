//! The committed OpenAPI documents are those of this code.

use std::path::Path;

use super::client::ask;
use super::world::World;

/// `UPDATE_OPENAPI=1` writes them anew.
fn check(name: &str, document: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi").join(name);
    if option_env!("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, document).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == document, "{name} is not what the code says; rebuild the test with UPDATE_OPENAPI=1");
}

#[test]
fn the_documents_are_up_to_date() {
    check("signing.json", &jwksd::server::openapi::signing());
    check("admin.json", &jwksd::server::openapi::admin());
}

#[test]
fn every_reference_leads_somewhere() {
    for document in [jwksd::server::openapi::signing(), jwksd::server::openapi::admin()] {
        let parsed: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert!(parsed["openapi"].as_str().unwrap().starts_with("3.1."));
        for reference in document.split("\"$ref\": \"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(parsed.pointer(pointer).is_some(), "{pointer}");
        }
    }
}

#[tokio::test]
async fn each_listener_shows_its_document() {
    let world = World::new().await;
    let signing = ask(world.signing, "GET", "/openapi.json", None).await;
    assert_eq!(signing.text(), jwksd::server::openapi::signing());
    let admin = ask(world.admin, "GET", "/openapi.json", None).await;
    assert_eq!((admin.text(), admin.status), (jwksd::server::openapi::admin().as_str(), 200));
}
