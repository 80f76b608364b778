//! Files of settings as text: one setting is read, written or taken out, and every other byte stays what it was.

mod block;
mod json;
mod lines;
mod maven;
#[cfg(test)]
mod tests;
mod toml;

pub use block::Mark;
pub use lines::Dialect;

use thiserror::Error;

/// How a tool writes its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Also with comments and trailing commas. Values are JSON.
    Json,
    /// Values are TOML.
    Toml,
    /// A setting a line. Values are as they mean, not as they are quoted.
    Lines(Dialect),
    /// The element `proxy` of the id that is the key; the value is the whole element.
    Maven,
    /// Lines of our own between two marks; there is one key.
    Block(Mark),
    /// The whole file is ours.
    Whole,
}

/// The file is not what its tool would understand, or a setting of ours has no place in it.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("line {line}: {cause}")]
pub struct Unreadable {
    pub line: usize,
    pub cause: String,
}

impl Unreadable {
    /// The place is a number of bytes from the beginning.
    fn at(text: &str, place: usize, cause: impl Into<String>) -> Self {
        let before = text.as_bytes().get(..place).unwrap_or(text.as_bytes());
        Self { line: 1 + before.iter().filter(|byte| **byte == b'\n').count(), cause: cause.into() }
    }
}

pub type Key = [String];

impl Syntax {
    /// What counts for the tool, where it stands several times.
    pub fn get(self, text: &str, key: &Key) -> Result<Option<String>, Unreadable> {
        match self {
            Self::Json => json::get(text, key),
            Self::Toml => toml::get(text, key),
            Self::Lines(dialect) => Ok(lines::get(dialect, text, key)),
            Self::Maven => maven::get(text, key),
            Self::Block(mark) => block::get(mark, text),
            Self::Whole => Ok(Some(text.to_string()).filter(|text| !text.is_empty())),
        }
    }

    pub fn set(self, text: &str, key: &Key, value: &str) -> Result<String, Unreadable> {
        match self {
            Self::Json => json::set(text, key, value),
            Self::Toml => toml::set(text, key, value),
            Self::Lines(dialect) => lines::set(dialect, text, key, value),
            Self::Maven => maven::set(text, key, value),
            Self::Block(mark) => block::set(mark, text, value),
            Self::Whole => Ok(value.into()),
        }
    }

    /// What the setting stood in goes with it if it is empty then and `original` did not have it.
    pub fn unset(self, text: &str, key: &Key, original: &str) -> Result<String, Unreadable> {
        match self {
            Self::Json => json::unset(text, key, original),
            Self::Toml => toml::unset(text, key, original),
            Self::Lines(dialect) => Ok(lines::unset(dialect, text, key, original)),
            Self::Maven => maven::unset(text, key, original),
            Self::Block(mark) => block::unset(mark, text),
            Self::Whole => Ok(String::new()),
        }
    }

    /// Nothing is set in it.
    pub fn is_empty(self, text: &str) -> bool {
        let text = text.trim();
        match self {
            Self::Json => matches!(text.split_whitespace().collect::<String>().as_str(), "" | "{}"),
            Self::Maven => maven::is_empty(text),
            Self::Toml | Self::Lines(_) | Self::Block(_) | Self::Whole => text.is_empty(),
        }
    }

    /// Bytes that are no UTF-8 may stand in it, and are kept as they are.
    pub fn takes_any_bytes(self) -> bool {
        match self {
            Self::Json | Self::Toml => false,
            Self::Lines(_) | Self::Maven | Self::Block(_) | Self::Whole => true,
        }
    }
}

/// What lines end with in this text, mostly.
fn line_end(text: &str) -> &'static str {
    let all = text.matches('\n').count();
    if text.matches("\r\n").count() * 2 > all { "\r\n" } else { "\n" }
}

/// The text with lines behind it; it ends with a line end if it did before, or if it was empty.
fn with_lines_behind(text: &str, lines: &str) -> String {
    let end = line_end(text);
    let lines = lines.replace('\n', end);
    match text.is_empty() || text.ends_with('\n') {
        true => format!("{text}{lines}{end}"),
        false => format!("{text}{end}{lines}"),
    }
}

/// The text without these bytes, which are whole lines. If it had no line end at its end it has none then.
fn without_lines(text: &str, lines: std::ops::Range<usize>) -> String {
    let (before, after) = (&text[..lines.start], &text[lines.end..]);
    let cut = after.is_empty() && !text.ends_with('\n');
    let before = if cut {
        before.strip_suffix('\n').map_or(before, |text| text.strip_suffix('\r').unwrap_or(text))
    } else {
        before
    };
    format!("{before}{after}")
}
