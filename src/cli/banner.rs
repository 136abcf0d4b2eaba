//! What `jwksd dev` says to somebody who has never seen it.

use super::paint::{BAD, COMING, TITLE, paint, tame};
use crate::app::Announcement;
use crate::lifecycle::policy::Rotation;

/// Warning, addresses, and what to try; `program`: how to call `jwksd` from the same directory.
#[must_use]
pub fn render(announcement: &Announcement, program: &str) -> String {
    let Announcement { data, public, signing, admin, issuer, url, ring, terms } = announcement;
    let period = match &terms.rotation {
        Rotation::Every(period) => format!("Every {period}"),
        Rotation::Schedule(schedule) => format!("At \"{}\"", schedule.as_str()),
    };
    let (propagation, drain, retention) = (terms.propagation, terms.drain, terms.retention);
    let program = tame(program);
    let mut text = format!(
        "\n{}\nIts keys are files in {}, and anybody on this machine may do everything.\n\n",
        paint(BAD, "jwksd dev: FOR TRYING OUT, NOT FOR PRODUCTION"),
        tame(&data.display().to_string()),
    );
    for (what, whom, address) in
        [("public", "verifiers", public), ("signing", "identity providers", signing), ("admin", "operators", admin)]
    {
        text.push_str(&format!("  {what:<8} {:<24} for {whom}\n", format!("http://{address}")));
    }
    let base = tame(url);
    for (title, lines) in [
        (
            format!("Have a token signed; it lives for {}:", terms.token_lifetime_max),
            vec![
                format!("curl -s http://{signing}/v1/issuers/{issuer}/rings/{ring}/jwt \\"),
                r#"  -H 'content-type: application/json' -d '{"claims":{"sub":"alice","aud":"demo"}}'"#.to_owned(),
            ],
        ),
        ("Fetch the JWK Set that verifies it:".to_owned(), vec![format!("curl -si {base}/.well-known/jwks.json")]),
        (
            "In another terminal, see the keys and what happens next, rotate, and practise for the worst night;\n\
             KID is one that `keys` shows:"
                .to_owned(),
            vec![
                format!("export JWKSD_ADMIN={admin}"),
                format!("{program} keys"),
                format!("{program} plan --for 5m {issuer}"),
                format!("{program} rotate {issuer} {ring}"),
                format!("{program} compromise {issuer} KID --reason drill"),
            ],
        ),
    ] {
        text.push_str(&format!("\n{}\n", paint(TITLE, title)));
        for line in lines {
            text.push_str(&format!("  {}\n", paint(COMING, line)));
        }
    }
    text.push_str(&format!(
        "\n{}\n  {period} the standby, published at least {propagation} before, becomes the signer.\n  \
         The old version stays in the JWK Set for {retention}, until its last token has expired; its private half\n  \
         goes after {drain}. Keep `watch {program} keys` open: no token is rejected at any moment.\n\n\
         Ctrl-C ends it; the same command goes on with the same keys, and without {} begins anew.\n\n",
        paint(TITLE, "Watch a whole rotation within two minutes:"),
        tame(&data.display().to_string()),
    ));
    text
}
