//! AWS KMS as far as the bench needs it: P-256 keys are made, found by their tags, and sign. Nothing is refused; the
//! tests have the strict one.

use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

#[path = "../../tests/it/support/aws/wire.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod wire;

use wire::Message;

pub const REGION: &str = "eu-west-1";

/// A running server. It ends with the process.
pub struct Kms {
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    keys: Mutex<Vec<Arc<Key>>>,
    /// Microseconds.
    delay: AtomicU64,
}

struct Key {
    arn: String,
    /// As CreateKey was given them.
    tags: Vec<(Value, Value)>,
    pair: EcdsaKeyPair,
}

impl Kms {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&theirs);
                // Whoever hangs up has what it wanted.
                thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Self { port, shared }
    }

    /// How long a signature takes, beside the work.
    pub fn delay(&self, delay: Duration) {
        self.shared.delay.store(u64::try_from(delay.as_micros()).expect("a short time"), Ordering::SeqCst);
    }

    /// The ARN of the first key.
    pub fn key(&self) -> String {
        self.shared.keys.lock().unwrap().first().expect("a key").arn.clone()
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = Message::read(&mut reader)? {
            let target = request.header("x-amz-target").expect("the name of an operation");
            let operation = target.rsplit('.').next().unwrap_or_default();
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            let answer = self.answer(operation, &body);
            stream.write_all(&Message::json(200, &answer).bytes())?;
        }
        Ok(())
    }

    fn answer(&self, operation: &str, body: &Value) -> Value {
        match operation {
            "CreateKey" => json!({"KeyMetadata": self.create(body).metadata()}),
            "DescribeKey" => json!({"KeyMetadata": self.named(body).metadata()}),
            "GetPublicKey" => {
                let key = self.named(body);
                let der: PublicKeyX509Der<'_> = key.pair.public_key().as_der().unwrap();
                let public = STANDARD.encode(der.as_ref());
                json!({"KeyId": key.arn, "PublicKey": public, "SigningAlgorithms": [ALGORITHM]})
            }
            "GetResources" => {
                let (name, values) = (&body["TagFilters"][0]["Key"], &body["TagFilters"][0]["Values"]);
                let keys = self.keys.lock().unwrap();
                let found = keys.iter().filter(|key| key.tags.iter().any(|tag| tag.0 == *name && tag.1 == values[0]));
                json!({"ResourceTagMappingList": found.map(|key| key.tagged()).collect::<Vec<_>>(), "PaginationToken": ""})
            }
            "Sign" => {
                thread::sleep(Duration::from_micros(self.delay.load(Ordering::SeqCst)));
                let key = self.named(body);
                let bytes = STANDARD.decode(body["Message"].as_str().expect("a digest")).expect("base64");
                let digest = Digest::import_less_safe(&bytes, &SHA256).expect("a digest");
                let signature = STANDARD.encode(key.pair.sign_digest(&digest).expect("a signature"));
                json!({"KeyId": key.arn, "Signature": signature, "SigningAlgorithm": ALGORITHM})
            }
            other => panic!("{other} is not what a bench needs"),
        }
    }

    fn create(&self, body: &Value) -> Arc<Key> {
        let tags = body["Tags"].as_array().expect("tags").iter();
        let tags = tags.map(|tag| (tag["TagKey"].clone(), tag["TagValue"].clone())).collect();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let mut keys = self.keys.lock().unwrap();
        let arn = format!("arn:aws:kms:{REGION}:000000000000:key/{}", keys.len());
        let key = Arc::new(Key { arn, tags, pair });
        keys.push(Arc::clone(&key));
        key
    }

    fn named(&self, body: &Value) -> Arc<Key> {
        let keys = self.keys.lock().unwrap();
        Arc::clone(keys.iter().find(|key| body["KeyId"] == *key.arn).expect("the ARN of a key"))
    }
}

impl Key {
    fn metadata(&self) -> Value {
        json!({
            "Arn": self.arn, "KeyId": self.arn, "KeyState": "Enabled", "KeySpec": "ECC_NIST_P256",
            "KeyUsage": "SIGN_VERIFY", "Origin": "AWS_KMS", "MultiRegion": false, "SigningAlgorithms": [ALGORITHM],
        })
    }

    fn tagged(&self) -> Value {
        let tags: Vec<Value> = self.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        json!({"ResourceARN": self.arn, "Tags": tags})
    }
}

const ALGORITHM: &str = "ECDSA_SHA_256";
