//! Everything that support may want to know, in one file that its sender can read before it goes out.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::redact::Redactor;
use crate::config;

const HEAD: &str = "\
Names were replaced before this was written: host-1.example, address-1, user-1, realm-1, name-1 and so on stand for
hosts, addresses beyond this machine, users, realms and domains, and names of the configuration; the same name has the
same number everywhere. Hosts of the preset claude are shown as they are. No passwords, tokens or PAC scripts are in here.";

/// Sections in the order in which they are to be read.
pub struct Bundle<'a> {
    redactor: &'a Redactor,
    sections: Vec<Section>,
}

struct Section {
    name: &'static str,
    /// What it is, for whoever decides whether to send it.
    about: &'static str,
    text: String,
}

impl<'a> Bundle<'a> {
    pub fn new(redactor: &'a Redactor) -> Self {
        Self { redactor, sections: Vec::new() }
    }

    pub fn text(mut self, name: &'static str, about: &'static str, text: &str) -> Self {
        self.sections.push(Section { name, about, text: self.redactor.text(text) });
        self
    }

    pub fn toml(mut self, name: &'static str, about: &'static str, text: &str) -> Self {
        self.sections.push(Section { name, about, text: self.redactor.toml(text) });
        self
    }

    pub fn json(mut self, name: &'static str, about: &'static str, value: &serde_json::Value) -> Self {
        let value = self.redactor.json(value);
        self.sections.push(Section { name, about, text: format!("{value:#}") });
        self
    }

    /// It has lost its names already.
    pub fn redacted(mut self, name: &'static str, about: &'static str, text: String) -> Self {
        self.sections.push(Section { name, about, text });
        self
    }

    /// A line for each section.
    pub fn contents(&self) -> String {
        let width = self.sections.iter().map(|section| section.name.len()).max().unwrap_or_default();
        let mut contents = String::new();
        for Section { name, about, text } in &self.sections {
            let _infallible = writeln!(contents, "  {name:<width$}  {about} ({} lines)", text.lines().count());
        }
        contents
    }

    pub fn as_text(&self) -> String {
        let mut text = format!("hallpass {}: what hallpass doctor found\n\n{HEAD}\n\n", env!("CARGO_PKG_VERSION"));
        text += &self.contents();
        for section in &self.sections {
            let _infallible = write!(text, "\n==== {} ====\n\n{}\n", section.name, section.text.trim_end());
        }
        text
    }

    /// Only its owner can read it: what is to be shown to others, a person decides.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        config::write_private(path, &self.as_text(), true)
    }
}
