//! How fast keys in Google Cloud KMS sign through the whole daemon, against Google's own client in a bare loop, on the
//! same server: the double of the tests. `common/cloud.rs` says what runs where.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, reads clocks and stops at the first fault"
)]

#[path = "../tests/it/support/cloud_kms/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod cloud_kms;
mod common;

use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use google_cloud_auth::credentials::anonymous;
use google_cloud_kms_v1::client::KeyManagementService;
use google_cloud_kms_v1::model::Digest;

use cloud_kms::{CloudKms, Fault, KEY_RING, Method, State};
use common::cloud::{Cloud, INPUT, compare};

fn main() {
    compare::<Google>();
}

struct Google(CloudKms);

impl Cloud for Google {
    type Client = KeyManagementService;

    fn start() -> Self {
        Self(CloudKms::start())
    }

    fn backend(&self) -> String {
        format!(
            "[backends.kms]\nkind = \"gcp-kms\"\nkey_ring = \"{KEY_RING}\"\nendpoint = \"{}\"\ncredentials = \
             \"anonymous\"\nsign_rate = 1000000\nwrite_rate = 100\n",
            self.endpoint()
        )
    }

    fn environment() -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn delay(&self, delay: Duration) {
        self.0.recover();
        if !delay.is_zero() {
            self.0.fail_always(Method::Sign, Fault::Slow(delay));
        }
    }

    fn key(&self) -> String {
        self.0.versions(State::Enabled).into_iter().next().expect("a key")
    }

    fn endpoint(&self) -> String {
        self.0.endpoint()
    }

    async fn client(endpoint: String) -> KeyManagementService {
        let builder = KeyManagementService::builder().with_endpoint(endpoint);
        builder.with_credentials(anonymous::Builder::new().build()).build().await.expect("a client")
    }

    async fn sign(client: &KeyManagementService, key: &str) {
        let hash = Digest::new().set_sha256(digest(&SHA256, &INPUT).as_ref().to_vec());
        black_box(client.asymmetric_sign().set_name(key).set_digest(hash).send().await.expect("a signature"));
    }
}
