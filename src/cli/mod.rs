//! The command line: arguments in, exit code out.
//!
//! A command asks (the daemon, or what lies on the disk), and a pure `render` function turns the answer and
//! `now` into what people read; with `--json` the answer goes out as it came. Whatever goes wrong ends as one
//! [`failure::Failure`], told once.

pub mod access;
mod action;
pub mod args;
pub mod audit;
pub mod backend;
pub mod banner;
pub mod check_config;
pub mod client;
pub mod compromise;
pub mod context;
mod cost;
pub mod daemon;
pub mod documents;
pub mod exit;
pub mod failure;
pub mod import;
pub mod keys;
mod moment;
pub mod output;
mod paint;
pub mod plan;
pub mod rotate;
pub mod status;
pub mod strays;
mod table;
pub mod target;
pub mod when;

use std::ffi::OsString;
#[cfg(feature = "pkcs11")]
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

use self::args::{Arguments, Command};
use self::context::{Context, Format};
use self::exit::Exit;
use self::failure::Failure;
#[cfg(feature = "pkcs11")]
use crate::app;
use crate::lifecycle::time::Timestamp;

/// Does what the arguments say. `clock` shows the time by which answers are told.
pub fn main(arguments: impl IntoIterator<Item = OsString>, clock: &dyn Fn() -> Timestamp) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    #[cfg(feature = "pkcs11")]
    if let Some(exit) = worker(&arguments) {
        return exit;
    }
    let program = program(arguments.first());
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // A pipe that nobody reads any more: whoever asked for help has seen enough of it.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    arguments.general.color.choose();
    let format = if arguments.general.json { Format::Json } else { Format::Text };
    let exit = match command(&arguments.command, &program, Context { format, clock }) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            output::say(&failure.message());
            failure.exit()
        }
    };
    exit.into()
}

/// Not for people, and so neither in the help nor among the completions: the daemon starts its workers by it.
#[cfg(feature = "pkcs11")]
fn worker(arguments: &[OsString]) -> Option<ExitCode> {
    let [_, only] = arguments else { return None };
    (only == app::WORKER).then(|| {
        let exit = app::work();
        // Only to a person: a worker whose parent has ended before it began has nothing to tell anybody.
        if std::io::stdin().is_terminal() {
            output::say("error: this is how the daemon starts its workers; it does nothing by itself\n");
        }
        exit
    })
}

/// How whoever typed this can call us again; a path stays one, since `jwksd` alone may not be found.
fn program(first: Option<&OsString>) -> String {
    let typed = first.map(|first| first.to_string_lossy().into_owned()).filter(|first| first.contains('/'));
    typed.unwrap_or_else(|| "jwksd".to_owned())
}

fn command(command: &Command, program: &str, context: Context<'_>) -> Result<(), Failure> {
    match command {
        Command::Dev(args) => daemon::dev(args, program),
        Command::Run(file) => daemon::run(file),
        Command::Init(file) => daemon::init(file, context),
        Command::CheckConfig(file) => check_config::check_config(file, context),
        Command::Status(daemon) => status::status(daemon, context),
        Command::Plan(args) => plan::plan(args, context),
        Command::Keys(args) => keys::keys(args, context),
        Command::Rotate(args) => rotate::rotate(args, context),
        Command::Compromise(args) => compromise::compromise(args, context),
        Command::Import(args) => import::import(args, context),
        Command::Withdraw(args) => import::withdraw(args, context),
        Command::Strays(args) => strays::strays(args, context),
        Command::Audit(args) => audit::audit(args, context),
        Command::AcceptRollback(args) => daemon::accept_rollback(args, context),
        Command::Backend(args) => backend::backend(args, context),
        Command::Whoami(daemon) => status::whoami(daemon, context),
        Command::Access(args) => access::access(args, context),
        Command::Completions { shell } => documents::completions(*shell, context),
        Command::Man { directory } => documents::man(directory.as_deref(), context),
    }
}
