//! The only place that writes to the terminal.
//!
//! Texts are styled when they are made; here the style is dropped where nobody can see it.

use std::io::{self, BufRead, IsTerminal, Write};

use anstream::ColorChoice;
use clap::ValueEnum;

/// Whether texts are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Also into files and pipes.
    Always,
    /// Not at all.
    Never,
}

impl Color {
    /// Holds for everything that is written from now on.
    pub fn choose(self) {
        let choice = match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        };
        choice.write_global();
    }
}

/// Writes a result, and sees it out.
///
/// # Errors
/// Whatever the stream said. A pipe that nobody reads any more is one of these; the caller ends quietly.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    if !text.is_empty() && !text.ends_with('\n') {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}

/// Writes bytes that are no text for people: they are passed on as they are.
///
/// # Errors
/// As for [`print()`].
pub fn print_raw(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    if !bytes.ends_with(b"\n") {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}

/// Says something beside the result. If even that can't be written, the exit code must speak.
pub fn say(text: &str) {
    if text.is_empty() {
        return;
    }
    let mut stderr = anstream::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = stderr.write_all(b"\n");
    }
}

/// Whether there is somebody who can answer a question.
#[must_use]
pub fn is_attended() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks, and reads one line. Only "yes" in full is a yes.
///
/// # Errors
/// Whatever the terminal said.
pub fn confirm(question: &str) -> io::Result<bool> {
    let mut stderr = anstream::stderr().lock();
    stderr.write_all(question.as_bytes())?;
    stderr.write_all(b" Type yes to go on: ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
