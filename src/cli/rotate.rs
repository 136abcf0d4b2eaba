//! `jwksd rotate`: a new signer, out of turn but without breaking anybody.

use super::args;
use super::client::Client;
use super::context::Context;
use super::failure::Failure;
use super::moment::moment;
use super::paint::{COMING, GOOD, TITLE, paint, tame};
use crate::lifecycle::time::Timestamp;
use crate::server::api::{RotateReport, RotateRequest};

/// Asks for a rotation.
pub fn rotate(args: &args::Rotate, context: Context<'_>) -> Result<(), Failure> {
    let args::Rotate { issuer, ring, reason, daemon } = args;
    let request = RotateRequest { reason: reason.clone() };
    let answer = Client::new(daemon)?.post(&format!("/v1/issuers/{issuer}/rings/{ring}/rotate"), &request)?;
    context.show(&answer, render)
}

/// What was asked for, and when it happens.
#[must_use]
pub fn render(report: &RotateReport, now: Timestamp) -> String {
    let RotateReport { issuer, revision, ring, may_sign_at } = report;
    let name = tame(&format!("{issuer}/{}", ring.ring));
    let mut text = format!("{}: rotation requested, recorded as revision {revision}.\n", paint(TITLE, &name));
    let next = ring.next.as_ref().map_or_else(|| "The next version".to_owned(), |next| format!("v{}", next.version));
    let signer = match &ring.signer {
        Some(signer) => format!("Tokens that v{} has signed stay valid to their end.", signer.version),
        None => "Nothing signs until then.".to_owned(),
    };
    match may_sign_at {
        Some(at) if at.0 <= now => {
            text.push_str(&format!(
                "{next} is a standby that every verifier can know: it {}.\n",
                paint(GOOD, "takes over now")
            ));
        }
        Some(at) => {
            let when = paint(COMING, moment(at.0, now));
            text.push_str(&format!("{next} takes over {when}, when every verifier can know it.\n"));
        }
        None => text.push_str(&format!("{next} is being made and published; verifiers must see it before it signs.\n")),
    }
    text.push_str(&format!("{signer}\nWatch it: jwksd plan {}\n", tame(issuer)));
    text
}
