//! How fast keys in AWS KMS sign through the whole daemon, against Amazon's own client in a bare loop, on the same
//! server. `common/cloud.rs` says what runs where.
//!
//! The server is a small one of this bench's own, with real keys, because the emulator of the tests takes 7 ms of
//! processor time for a signature: it would be all that is measured.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, reads clocks and stops at the first fault"
)]

#[path = "../common/mod.rs"]
mod common;
mod kms;

use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};

use common::cloud::{Cloud, INPUT, compare};
use kms::{Kms, REGION};

const ID: &str = "AKIDBENCH";
const SECRET: &str = "not-a-secret";

fn main() {
    compare::<Amazon>();
}

struct Amazon(Kms);

impl Cloud for Amazon {
    type Client = Client;

    fn start() -> Self {
        Self(Kms::start())
    }

    fn backend(&self) -> String {
        let url = self.endpoint();
        format!(
            "[backends.kms]\nkind = \"aws-kms\"\nregion = \"{REGION}\"\nendpoint = \"{url}\"\ntagging_endpoint = \
             \"{url}\"\nsign_rate = 1000000\n"
        )
    }

    fn environment() -> &'static [(&'static str, &'static str)] {
        // Nothing is looked for elsewhere: neither in files nor on a machine of the cloud.
        &[
            ("AWS_ACCESS_KEY_ID", ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ]
    }

    fn delay(&self, delay: Duration) {
        self.0.delay(delay);
    }

    fn key(&self) -> String {
        self.0.key()
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.port)
    }

    async fn client(endpoint: String) -> Client {
        let config = Config::builder().behavior_version(BehaviorVersion::latest()).region(Region::new(REGION));
        let config = config.credentials_provider(Credentials::new(ID, SECRET, None, None, "bench"));
        Client::from_conf(config.endpoint_url(endpoint).build())
    }

    async fn sign(client: &Client, key: &str) {
        let call = client.sign().key_id(key).message(Blob::new(digest(&SHA256, &INPUT).as_ref()));
        let call = call.message_type(MessageType::Digest).signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
        black_box(call.send().await.expect("a signature"));
    }
}
