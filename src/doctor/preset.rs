//! Lists of hosts that a product needs: data files, compiled in or the user's own, checked as a whole when they are read.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::address::{AddressError, Target};
use crate::route::pattern::{Pattern, PatternError};

/// Those that need no file.
const COMPILED_IN: &[(&str, &str)] = &[("claude", include_str!("../../presets/claude.toml"))];

/// Beside the user's configuration file.
const DIRECTORY: &str = "presets";

const HTTPS: u16 = 443;

#[derive(Debug, Error)]
pub enum PresetError {
    #[error(
        "there is no preset {name}: known are {known}; a file of your own is presets/{name}.toml in the configuration directory, or a path"
    )]
    Unknown { name: String, known: String },
    #[error("cannot read {}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    #[error("{at} is no preset: {}", .mistakes.join("; "))]
    Mistakes { at: String, mistakes: Vec<String> },
}

/// What one product needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    pub name: String,
    pub about: String,
    pub hosts: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub hosts: Pattern,
    /// Whom to ask to see whether all of them are reached.
    pub sample: Target,
    pub kind: Kind,
    pub level: Level,
    pub purpose: String,
    pub source: String,
    pub path: String,
}

/// What is spoken to a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Https,
    /// A WebSocket within TLS.
    Wss,
    /// A stream of events (`text/event-stream`) within TLS that anybody may ask for.
    Sse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Required,
    Recommended,
    Optional,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Https => "https",
            Self::Wss => "wss",
            Self::Sse => "https (events)",
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Required => "required",
            Self::Recommended => "recommended",
            Self::Optional => "optional",
        })
    }
}

/// As a user writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    about: String,
    hosts: Vec<WrittenHost>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHost {
    host: String,
    sample: Option<String>,
    port: Option<u16>,
    #[serde(default)]
    kind: Kind,
    path: Option<String>,
    level: Level,
    #[serde(rename = "for")]
    purpose: String,
    source: String,
}

#[derive(Debug, Error)]
enum HostMistake {
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("a pattern needs a sample, a name that it matches and that is there")]
    NoSample,
    #[error("the sample {0} is none of these hosts")]
    OtherSample(String),
    #[error("the path begins with /")]
    Path,
}

impl Preset {
    /// By name or by path. A file of the user's stands before one that is compiled in.
    pub fn find(name: &str, configuration: Option<&Path>) -> Result<Self, PresetError> {
        if name.contains(['/', '\\']) || name.ends_with(".toml") {
            return Self::read(Path::new(name));
        }
        let own = configuration.map(|directory| directory.join(DIRECTORY).join(format!("{name}.toml")));
        if let Some(own) = own.filter(|path| path.exists()) {
            return Self::read(&own);
        }
        match COMPILED_IN.iter().find(|(known, _)| *known == name) {
            Some((known, text)) => Self::parse(text, &format!("the preset {known}")),
            None => Err(PresetError::Unknown { name: name.into(), known: known(configuration).join(", ") }),
        }
    }

    fn read(path: &Path) -> Result<Self, PresetError> {
        let text = fs::read_to_string(path).map_err(|error| PresetError::Unreadable(path.into(), error))?;
        Self::parse(&text, &path.display().to_string())
    }

    fn parse(text: &str, at: &str) -> Result<Self, PresetError> {
        let mistakes = |mistakes| PresetError::Mistakes { at: at.into(), mistakes };
        let written: Written = toml::from_str(text).map_err(|error| mistakes(vec![error.to_string()]))?;
        let (mut hosts, mut wrong) = (Vec::new(), Vec::new());
        for host in written.hosts {
            let name = host.host.clone();
            match Entry::of(host) {
                Ok(entry) => hosts.push(entry),
                Err(mistake) => wrong.push(format!("{name}: {mistake}")),
            }
        }
        if hosts.is_empty() && wrong.is_empty() {
            wrong.push("it names no host".into());
        }
        if wrong.is_empty() {
            Ok(Self { name: written.name, about: written.about, hosts })
        } else {
            Err(mistakes(wrong))
        }
    }

    /// What is checked where nobody names a target: the first host of the highest level.
    pub fn first(&self) -> Option<&Entry> {
        self.hosts.iter().min_by_key(|entry| entry.level)
    }

    /// For whoever decides what may be reached from here.
    pub fn allow_list(&self) -> String {
        let host = |entry: &Entry| entry.hosts.to_string();
        let width = self.hosts.iter().map(|entry| host(entry).chars().count()).max().unwrap_or_default();
        let mut text = format!(
            "# Hosts that {} need, for whoever looks after the proxy or the firewall.\n\
             # Written by hallpass {} from the preset {}. All of it is outgoing TCP with TLS inside; nothing comes in.\n\
             # Answers come as streams of events that may be silent for minutes: they must be neither collected nor cut\n\
             # off for being idle. Where TLS is inspected, wss needs the field Upgrade to pass.\n\
             # required: nothing works without it; recommended: something breaks that most people use.\n\n",
            self.about,
            env!("CARGO_PKG_VERSION"),
            self.name,
        );
        text += &row("host", width, "port", "protocol", "level", "what for");
        for entry in &self.hosts {
            let port = entry.sample.port.to_string();
            text += &row(&host(entry), width, &port, &entry.kind.to_string(), &entry.level.to_string(), &entry.purpose);
        }
        text
    }
}

fn row(host: &str, width: usize, port: &str, protocol: &str, level: &str, purpose: &str) -> String {
    format!("{host:<width$}  {port:<5}  {protocol:<14}  {level:<11}  {purpose}\n")
}

fn known(configuration: Option<&Path>) -> Vec<String> {
    let mut known: Vec<String> = COMPILED_IN.iter().map(|(name, _)| (*name).to_string()).collect();
    let own = configuration.and_then(|directory| fs::read_dir(directory.join(DIRECTORY)).ok());
    for path in own.into_iter().flatten().flatten().map(|entry| entry.path()) {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        known.extend(name.filter(|_| path.extension().is_some_and(|extension| extension == "toml")));
    }
    known.sort();
    known.dedup();
    known
}

impl Entry {
    fn of(written: WrittenHost) -> Result<Self, HostMistake> {
        let hosts = Pattern::parse(&written.host)?;
        let is_one = !(written.host.contains('*') || written.host.starts_with('.'));
        let sample = match (written.sample, is_one) {
            (Some(sample), _) => sample,
            (None, true) => written.host,
            (None, false) => return Err(HostMistake::NoSample),
        };
        let sample = Target::parse(&format!("{sample}:{}", written.port.unwrap_or(HTTPS)), None)?;
        if !hosts.matches(&sample.host) {
            return Err(HostMistake::OtherSample(sample.host.to_string()));
        }
        let path = written.path.unwrap_or_else(|| "/".into());
        if !path.starts_with('/') {
            return Err(HostMistake::Path);
        }
        Ok(Self {
            hosts,
            sample,
            kind: written.kind,
            level: written.level,
            purpose: written.purpose,
            source: written.source,
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_that_are_compiled_in_can_be_used() {
        for (name, _) in COMPILED_IN {
            let preset = Preset::find(name, None).unwrap();
            assert_eq!(preset.name, *name);
            assert_eq!(preset.first().unwrap().level, Level::Required);
            assert!(preset.hosts.iter().all(|entry| !entry.purpose.is_empty() && !entry.source.is_empty()));
            let mut hosts: Vec<String> = preset.hosts.iter().map(|entry| entry.hosts.to_string()).collect();
            let all = hosts.len();
            hosts.sort();
            hosts.dedup();
            assert_eq!(hosts.len(), all, "a host stands there twice");
        }
    }

    #[test]
    fn claude_needs_its_api_and_the_bridge_as_a_websocket() {
        let preset = Preset::find("claude", None).unwrap();
        let of = |host: &str| preset.hosts.iter().find(|entry| entry.hosts.to_string() == host).unwrap();
        assert_eq!(of("api.anthropic.com").level, Level::Required);
        assert_eq!(of("bridge.claudeusercontent.com").kind, Kind::Wss);
        assert_eq!(of("*.claudemcpcontent.com").sample.to_string(), "www.claudemcpcontent.com:443");
    }

    #[test]
    fn the_list_for_the_firewall_has_a_line_for_every_host() {
        let preset = Preset::find("claude", None).unwrap();
        let list = preset.allow_list();
        assert!(list.starts_with("# Hosts that Claude Code and Claude Desktop need"), "{list}");
        for entry in &preset.hosts {
            let lines: Vec<&str> =
                list.lines().filter(|line| line.split("  ").next() == Some(&entry.hosts.to_string())).collect();
            let [line] = lines.as_slice() else { panic!("{}: {lines:?}", entry.hosts) };
            assert!(line.contains(&entry.level.to_string()) && line.ends_with(&entry.purpose), "{line}");
            assert!(line.contains("  443  "), "{line}");
        }
    }

    #[test]
    fn a_users_own_preset_is_found_by_name_and_by_path_and_stands_before_ours() {
        let directory = tempfile::tempdir().unwrap();
        let presets = directory.path().join(DIRECTORY);
        fs::create_dir(&presets).unwrap();
        let text = "name = \"own\"\nabout = \"Ours\"\n[[hosts]]\nhost = \"git.corp.example\"\nport = 8443\n\
                    level = \"optional\"\nfor = \"code\"\nsource = \"us\"\n";
        for name in ["own", "claude"] {
            fs::write(presets.join(format!("{name}.toml")), text).unwrap();
            let found = Preset::find(name, Some(directory.path())).unwrap();
            assert_eq!(found.hosts[0].sample.to_string(), "git.corp.example:8443", "{name}");
        }
        let path = presets.join("own.toml");
        assert_eq!(Preset::find(path.to_str().unwrap(), None).unwrap().about, "Ours");
        let missing = Preset::find("other", Some(directory.path())).unwrap_err().to_string();
        assert!(missing.contains("claude, own;"), "{missing}");
    }

    #[test]
    fn all_mistakes_of_a_preset_are_told_at_once_with_the_host() {
        let host = |name: &str, more: &str| {
            format!("[[hosts]]\nhost = \"{name}\"\n{more}\nlevel = \"required\"\nfor = \"x\"\nsource = \"y\"\n")
        };
        let text = format!(
            "name = \"n\"\nabout = \"a\"\n{}{}{}{}",
            host("*.corp.example", ""),
            host("*.corp.example", "sample = \"www.other.example\""),
            host("https://corp.example", ""),
            host("corp.example", "path = \"x\""),
        );
        let error = Preset::parse(&text, "mine.toml").unwrap_err().to_string();
        for part in ["mine.toml is no preset", "needs a sample", "www.other.example is none", "URL", "begins with /"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let unknown = Preset::parse("name = \"n\"\nabout = \"a\"\nhots = []\n", "mine.toml").unwrap_err().to_string();
        assert!(unknown.contains("line 3") && unknown.contains("hots"), "{unknown}");
        let none = Preset::parse("name = \"n\"\nabout = \"a\"\nhosts = []\n", "mine.toml").unwrap_err().to_string();
        assert!(none.contains("names no host"), "{none}");
    }
}
