//! Colours, and texts of others made safe for a terminal.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

/// What an operator must not overlook.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// What deserves a second look.
pub const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
/// What is as it should be.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What is on its way.
pub const COMING: Style = AnsiColor::Cyan.on_default();
/// What is over.
pub const PAST: Style = Style::new().dimmed();
/// What everything below belongs to.
pub const TITLE: Style = Style::new().bold();
/// What needs no emphasis.
pub const PLAIN: Style = Style::new();

/// `text` in that style.
#[must_use]
pub fn paint(style: Style, text: impl Display) -> String {
    match text.to_string() {
        text if text.is_empty() => text,
        text => format!("{style}{text}{style:#}"),
    }
}

/// `text` without anything that could steer a terminal: reasons, callers and details are other people's words.
#[must_use]
pub fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_invisible(c) { '\u{fffd}' } else { c }).collect()
}

/// Marks that reorder or hide what stands beside them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
