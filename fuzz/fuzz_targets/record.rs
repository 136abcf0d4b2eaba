//! No bytes make the reader of stored records panic, and what it reads it would write just so.
#![no_main]

use jwksd::audit::Digest;
use jwksd::ids::IssuerId;
use jwksd::store::codec::{cover, decode, seal};
use libfuzzer_sys::fuzz_target;

/// A record whose hashes are right, so that what is inside of it is looked at.
fn enveloped(body: &str) -> String {
    let envelope = format!(
        "{{\"format\":1,\"issuer\":\"main\",\"revision\":1,\"commit_id\":\"{}\",\"prev_hash\":null,\
         \"body_hash\":\"{}\",\"body\":{body}}}",
        "0".repeat(32),
        Digest::of(body.as_bytes())
    );
    format!("{}\n{envelope}", Digest::of(envelope.as_bytes()))
}

fuzz_target!(|bytes: &[u8]| {
    let issuer = IssuerId::new("main").expect("a name");
    let record = match bytes {
        [b'+', body @ ..] => enveloped(&String::from_utf8_lossy(body)).into_bytes(),
        _ => bytes.to_vec(),
    };
    let Ok(committed) = decode(&issuer, &record) else { return };
    let cover = cover(&issuer, &record).expect("what is read whole has a cover");
    assert_eq!((cover.revision, cover.commit_id, cover.hash), (committed.revision, committed.commit_id, committed.hash));
    let again = seal(&committed.issuer, committed.revision, committed.commit_id, None).expect("a state can be written");
    let again = decode(&issuer, &again.bytes).expect("our own record");
    assert_eq!(again.issuer.state(), committed.issuer.state());
});
