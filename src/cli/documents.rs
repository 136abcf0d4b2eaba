//! Shell completions and man pages, from the same declaration as `--help`.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::args::Arguments;
use super::context::Context;
use super::failure::Failure;

/// Prints the completions for a shell.
pub fn completions(shell: Shell, context: Context<'_>) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "jwksd", &mut script);
    context.print(&String::from_utf8_lossy(&script))
}

/// Prints the man page, or writes one for each command.
pub fn man(directory: Option<&Path>, context: Context<'_>) -> Result<(), Failure> {
    match directory {
        None => {
            let page = page(Arguments::command()).map_err(|source| unwritten("the man page", source))?;
            context.print(&String::from_utf8_lossy(&page))
        }
        Some(directory) => write_all(directory).map_err(|source| unwritten(&directory.display().to_string(), source)),
    }
}

fn unwritten(what: &str, source: io::Error) -> Failure {
    Failure::Output { what: what.to_owned(), source }
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}

fn write_all(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut root = Arguments::command();
    // Building gives each command its full name, by which its page is called.
    root.build();
    write(directory, &root)
}

fn write(directory: &Path, command: &Command) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    fs::write(directory.join(format!("{name}.1")), page(command.clone())?)?;
    command.get_subcommands().try_for_each(|command| write(directory, command))
}
