//! The `jwksd` program.

use std::process::ExitCode;

use jwksd::cli;
use jwksd::clock::{Clock, SystemClock};

fn main() -> ExitCode {
    cli::main(std::env::args_os(), &|| SystemClock.now())
}
