//! `jwksd strays`: keys in the backends that no version needs.

use super::args;
use super::client::Client;
use super::context::Context;
use super::failure::Failure;
use super::paint::{BAD, GOOD, paint, tame};
use super::table::Table;
use crate::server::api::{DestroyStray, Stray, Strays};

/// Lists them, or has one destroyed.
pub fn strays(args: &args::Strays, context: Context<'_>) -> Result<(), Failure> {
    let args::Strays { destroy, backend, reason, daemon } = args;
    let client = Client::new(daemon)?;
    let (Some(handle), Some(backend), Some(reason)) = (destroy, backend, reason) else {
        return context.show(&client.get("/v1/strays")?, |strays, _| render(strays));
    };
    let request = DestroyStray { backend: backend.to_string(), handle: handle.clone(), reason: reason.clone() };
    context.show(&client.post("/v1/strays/destroy", &request)?, |stray, _| render_destroyed(stray))
}

/// What there is, and how to get rid of it.
#[must_use]
pub fn render(strays: &Strays) -> String {
    let Strays { strays, unseen } = strays;
    let mut text = String::new();
    if strays.is_empty() {
        text.push_str(&format!("{}: every key of this installation belongs to a version.\n", paint(GOOD, "no strays")));
    }
    for Stray { backend, label, handle, why } in strays {
        let mut table = Table::bare().indented(2);
        table.row(["Backend".into(), tame(backend).as_str().into()]);
        table.row(["Handle".into(), tame(handle).as_str().into()]);
        table.row(["Why".into(), tame(why).as_str().into()]);
        text.push_str(&format!("{}\n{}\n", tame(label), table.render()));
    }
    if !strays.is_empty() {
        text.push_str(
            "They sign nothing and are never destroyed by themselves. Another daemon of this installation may be\n\
             making one right now: look twice. To destroy one:\n\n  \
             jwksd strays --destroy HANDLE --backend NAME --reason TEXT\n",
        );
    }
    for unseen in unseen {
        let text_of = format!("backend {} was not looked at: {}", tame(&unseen.backend), tame(&unseen.error));
        text.push_str(&format!("{}\n", paint(BAD, &text_of)));
    }
    text
}

fn render_destroyed(stray: &Stray) -> String {
    format!("{} in {} is destroyed.\n", tame(&stray.label), tame(&stray.backend))
}
