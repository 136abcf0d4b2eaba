//! Columns of text, as wide as they must be and, where it can be helped, no wider than a terminal.

use anstyle::Style;

use super::paint::{PAST, PLAIN, paint, tame};

/// What an eye and most terminals take in at once.
pub const WIDTH: usize = 100;
/// Columns stand so far apart.
const GAP: usize = 2;
/// A narrower column is worse to read than a long line.
const LEAST_WRAPPED: usize = 26;

/// One field of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A field in colour.
    #[must_use]
    pub fn styled(style: Style, text: &str) -> Self {
        Self { text: tame(text), style }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::styled(PLAIN, text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

/// Rows under a heading. The last column is wrapped if the line would become too long.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

impl Table {
    /// A table with these headings.
    #[must_use]
    pub fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(|heading| Cell::styled(PAST, heading)).into()], indent: 0 }
    }

    /// A table without headings: names on the left, what they are on the right.
    #[must_use]
    pub fn bare() -> Self {
        Self::default()
    }

    /// The table moved to the right.
    #[must_use]
    pub fn indented(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    /// The lines, each ended.
    #[must_use]
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(|column| self.width_of(column)).collect();
        self.rows.iter().map(|row| self.render_row(row, &widths)).collect()
    }

    fn width_of(&self, column: usize) -> usize {
        self.rows.iter().filter_map(|row| row.get(column)).map(Cell::width).max().unwrap_or(0)
    }

    fn render_row(&self, row: &[Cell], widths: &[usize]) -> String {
        let mut line = " ".repeat(self.indent);
        let mut column = self.indent;
        let Some((last, others)) = row.split_last() else { return "\n".to_owned() };
        for (cell, width) in others.iter().zip(widths) {
            line.push_str(&paint(cell.style, &cell.text));
            line.push_str(&" ".repeat(width.saturating_sub(cell.width()) + GAP));
            column += width + GAP;
        }
        let hanging = format!("\n{}", " ".repeat(column));
        let lines = wrap(&last.text, WIDTH.saturating_sub(column));
        let lines: Vec<String> = lines.iter().map(|text| paint(last.style, text)).collect();
        line.push_str(&lines.join(&hanging));
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// `text` in lines of at most `width` characters, or a few more if that is very little, broken at blanks; a longer
/// word stays whole.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(LEAST_WRAPPED);
    if text.chars().count() <= width {
        return vec![text.to_owned()];
    }
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}
