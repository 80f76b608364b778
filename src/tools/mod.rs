//! The programs of others, and how each is told its proxy.
//!
//! A file a tool says where its settings are and what they are called; [`syntax`] puts them into the text, [`change`]
//! says what becomes of the bytes, and [`files`] does it on disk and keeps what is needed to take it back.

mod apt;
pub mod bundle;
mod bytes;
mod cargo;
pub mod change;
mod claude;
mod docker;
pub mod files;
mod git;
mod gradle;
mod maven;
mod npm;
mod owner;
mod place;
mod python;
pub mod shell;
mod shells;
mod shown;
pub mod syntax;
pub mod variables;
mod vscode;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;

use change::Setting;
use syntax::Syntax;

/// What a tool is to be told, and where.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub relay: SocketAddr,
    /// An address of the relay that containers of this machine reach, if it has one.
    pub for_containers: Option<SocketAddr>,
    pub trust: Option<Trust<'a>>,
    /// The person's environment: tools keep their files where it says.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// As `std::env::consts::OS` names it.
    pub system: &'a str,
}

/// Certificates that are to be trusted besides the system's.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    pub extra: &'a Path,
    /// With the system's (see [`bundle`]).
    pub combined: &'a Path,
}

/// What is done for a tool.
#[derive(Debug)]
pub enum Recipe {
    File(FileRecipe),
    /// To be done by the person.
    Advice(String),
}

#[derive(Debug)]
pub struct FileRecipe {
    pub path: PathBuf,
    pub syntax: Syntax,
    pub settings: Vec<Setting>,
    /// What the person should know besides.
    pub notes: Vec<String>,
}

impl FileRecipe {
    /// The settings, as they would stand in a file that has no others.
    pub fn alone(&self) -> Result<String, change::ChangeError> {
        let written = change::write(self.syntax, &self.settings, None, None)?;
        Ok(String::from_utf8_lossy(&written.bytes).into_owned())
    }
}

#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Cannot {
    #[error("where its settings are is not known: set {0}")]
    NoPlace(&'static str),
    #[error(
        "a container does not reach 127.0.0.1 of this machine, and the relay listens nowhere else: add to its configuration\n\n\
         [[listeners]]\ninterface = \"docker0\"\nport = {port}\n\n\
         and start it anew, or name the address with --listen (`ip -4 addr show docker0` shows it; usually 172.17.0.1:{port})"
    )]
    OnlyLoopback { port: u16 },
}

/// A program, or several that read the same file.
#[derive(Clone, Copy)]
pub struct Tool {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    /// `None`: there is only advice.
    pub syntax: Option<Syntax>,
    recipe: fn(&Asked<'_>) -> Result<Recipe, Cannot>,
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Tool {
    pub fn recipe(&self, asked: &Asked<'_>) -> Result<Recipe, Cannot> {
        (self.recipe)(asked)
    }
}

/// All that are known, by name.
pub const ALL: &[Tool] = &[
    apt::APT,
    shells::BASH,
    cargo::CARGO,
    claude::CODE,
    claude::DESKTOP,
    docker::CLIENT,
    docker::BUILD,
    docker::DAEMON,
    shells::FISH,
    git::GIT,
    gradle::GRADLE,
    maven::MAVEN,
    npm::NPM,
    python::PIP,
    shells::POWERSHELL,
    shells::PWSH,
    shells::SH,
    python::UV,
    vscode::VSCODE,
    vscode::VSCODIUM,
    vscode::CURSOR,
    shells::ZSH,
];

/// The tool of this name, or what to say to whoever asked for it.
pub fn find(name: &str) -> Result<Tool, String> {
    let wanted = name.to_lowercase();
    let is_it = |tool: &&Tool| tool.name == wanted || tool.aliases.contains(&wanted.as_str());
    if let Some(tool) = ALL.iter().find(is_it) {
        return Ok(*tool);
    }
    let names = ALL.iter().flat_map(|tool| tool.aliases.iter().chain([&tool.name]));
    let near = names
        .map(|known| (strsim::damerau_levenshtein(known, &wanted), *known))
        .filter(|(distance, known)| *distance <= known.len() / 2)
        .min();
    let hint = near.map_or(".".into(), |(_, known)| format!("; did you mean {known}?"));
    let all: Vec<&str> = ALL.iter().map(|tool| tool.name).collect();
    Err(format!("no such tool is known{hint} There are: {}", all.join(", ")))
}

/// The variables that say it.
pub fn variables_of(asked: &Asked<'_>, no_proxy: Option<&str>) -> Vec<(&'static str, OsString)> {
    let wanted = variables::Wanted { relay: asked.relay, no_proxy, token: None, trust: asked.trust };
    variables::variables(&wanted)
}

#[cfg(test)]
mod tests;
