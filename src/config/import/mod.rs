//! What other tools were told, as a configuration of ours, with a report of what became of each of their lines.
//!
//! Nothing is dropped in silence: what cannot be had here is said with the reason, and what the user should do.

mod addresses;
mod alpaca;
mod cntlm;
pub mod exported;
mod ini;
mod px;
mod settings;
mod variables;

use std::fmt;

pub use settings::Settings;

/// Whose settings they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Cntlm,
    Px,
    Alpaca,
    /// The usual variables.
    Environment,
}

/// A line of theirs, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// As `cntlm.conf:12` or the name of a variable.
    pub place: String,
    pub key: String,
    pub fate: Fate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is this in our file.
    Taken(String),
    /// Something like it is.
    Changed { to: String, because: String },
    /// It cannot be, for this reason.
    Refused(String),
    /// There is nothing to do, for this reason.
    Unneeded(String),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = match &self.fate {
            Fate::Taken(to) => format!("taken as {to}"),
            Fate::Changed { to, because } => format!("changed to {to}, because {because}"),
            Fate::Refused(because) => format!("cannot be taken: {because}"),
            Fate::Unneeded(because) => format!("not needed: {because}"),
        };
        // A file of somebody else's must not move the cursor of a terminal.
        let line = format!("{}: {}: {said}", self.place, self.key);
        f.write_str(&line.replace(char::is_control, "\u{fffd}"))
    }
}

/// How many lines met which fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub taken: usize,
    pub changed: usize,
    pub refused: usize,
    pub unneeded: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, changed, refused, unneeded } = self;
        write!(f, "{taken} taken, {changed} changed, {refused} cannot be taken, {unneeded} not needed")
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    pub settings: Settings,
    pub lines: Vec<Line>,
}

impl Imported {
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for line in &self.lines {
            match line.fate {
                Fate::Taken(_) => tally.taken += 1,
                Fate::Changed { .. } => tally.changed += 1,
                Fate::Refused(_) => tally.refused += 1,
                Fate::Unneeded(_) => tally.unneeded += 1,
            }
        }
        tally
    }
}

/// What kind of file it is, by its name and by what stands in it.
pub fn tool_of(name: &str, text: &str) -> Option<Tool> {
    let name = name.to_ascii_lowercase();
    if name.contains("cntlm") {
        return Some(Tool::Cntlm);
    }
    let lines = || text.lines().map(|line| line.trim().to_ascii_lowercase());
    if lines().any(|line| line == "[proxy]" || line == "[settings]") {
        return Some(Tool::Px);
    }
    if lines().any(|line| line.contains(&alpaca::VARIABLE.to_ascii_lowercase())) {
        return Some(Tool::Alpaca);
    }
    let is_of_cntlm = |line: String| cntlm::knows(line.split_whitespace().next().unwrap_or_default());
    lines().any(is_of_cntlm).then_some(Tool::Cntlm)
}

/// Reads a file of theirs; `name` is how it is called in the report.
pub fn file(tool: Tool, name: &str, text: &str) -> Imported {
    match tool {
        Tool::Cntlm => cntlm::read(name, text),
        Tool::Px => px::read(name, text),
        Tool::Alpaca => alpaca::read(name, text),
        Tool::Environment => variables::read_lines(name, text),
    }
}

/// Reads the variables of a process.
pub fn environment(variable: &dyn Fn(&str) -> Option<String>) -> Imported {
    variables::read(variable)
}

/// Text as its writer meant it: with or without a byte order mark, UTF-8, UTF-16 or what Windows wrote before.
pub fn decode(bytes: &[u8]) -> String {
    match encoding_rs::UTF_8.decode(bytes) {
        (text, _, false) => text.into_owned(),
        (_, _, true) => encoding_rs::WINDOWS_1252.decode(bytes).0.into_owned(),
    }
}

const WHO_MAY: &str = "nothing says which machines may use your account; write allow = [\"192.168.1.0/24\"] in [access] and \
                       listen = [\"0.0.0.0:3128\"]";

fn taken(to: impl Into<String>) -> Fate {
    Fate::Taken(to.into())
}

fn changed(to: impl Into<String>, because: impl Into<String>) -> Fate {
    Fate::Changed { to: to.into(), because: because.into() }
}

fn refused(because: impl Into<String>) -> Fate {
    Fate::Refused(because.into())
}

fn unneeded(because: impl Into<String>) -> Fate {
    Fate::Unneeded(because.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_name_or_by_what_stands_in_it() {
        for (name, text, tool) in [
            ("cntlm.ini", "", Some(Tool::Cntlm)),
            ("old.conf", "# old\nUsername alice\nProxy p:8080\n", Some(Tool::Cntlm)),
            ("px.ini", "[proxy]\nserver = p:8080\n", Some(Tool::Px)),
            (".profile", "export NTLM_CREDENTIALS=\"alice@CORP:00\"\n", Some(Tool::Alpaca)),
            ("hosts", "127.0.0.1 localhost\n", None),
        ] {
            assert_eq!(tool_of(name, text), tool, "{name}");
        }
    }

    #[test]
    fn text_of_windows_is_read_as_it_was_meant() {
        assert_eq!(decode(b"\xef\xbb\xbfUsername j\xc3\xb6rg"), "Username j\u{f6}rg");
        assert_eq!(decode(b"Username j\xf6rg"), "Username j\u{f6}rg");
        let utf16: Vec<u8> = "\u{feff}Proxy p:1".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decode(&utf16), "Proxy p:1");
    }
}
