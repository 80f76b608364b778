//! What the system says about proxies, for when nothing is configured; and how it is told ours for a while.

pub mod change;
pub mod environment;
pub mod exceptions;
pub mod gnome;
pub mod kde;
pub mod scutil;
pub mod value;
mod watch;
pub mod wininet;
pub mod wpad;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

#[cfg(unix)]
mod program;
mod public_suffixes;

pub use watch::Watch;

use std::net::{IpAddr, SocketAddr};

use crate::address::{Endpoint, Target};

/// What one source says, or that none says anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Who says so, for people: "the environment variable https_proxy".
    pub source: String,
    pub kind: Kind,
    /// What was said and is not heeded, each a sentence.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Static {
        /// In order of preference; a source whose list is empty is passed over.
        upstreams: Vec<Endpoint>,
        /// As [`crate::route::no_proxy`] reads it.
        no_proxy: String,
        /// Names without a dot are direct, which `no_proxy` cannot say (`<local>`).
        short_names_direct: bool,
    },
    /// The URL of a PAC script.
    Pac(String),
    /// The network is to be asked for a script; see [`wpad`].
    AutoDetect,
    Direct,
}

/// The value of an environment variable.
pub type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One place to look: `None` is "nothing is said here", so that the next one is asked.
type Source = fn(Variable) -> Option<Found>;

/// What tells a proxy from ourselves, whom a system that uses us names.
pub struct Ourselves<'a> {
    pub listening: &'a [SocketAddr],
    pub is_own_address: &'a dyn Fn(IpAddr) -> bool,
    /// The settings that name one of our relays for a while, and what they said before.
    pub changed: Option<&'a change::Journal>,
}

impl Ourselves<'_> {
    /// Names other than localhost are not resolved.
    fn are(&self, target: &Target) -> bool {
        self.listening.iter().filter(|listening| listening.port() == target.port).any(|listening| {
            let ip = target.host.ip();
            let everywhere = listening.ip().is_unspecified() && ip.is_some_and(self.is_own_address);
            target.host.is_local() || everywhere || ip == Some(listening.ip().to_canonical())
        })
    }
}

/// Asks the environment, then what this system has. It reads files and may run a program of the system for up to two
/// seconds.
pub fn discover(variable: Variable, ourselves: &Ourselves) -> Found {
    let sources = [environment::read as Source].into_iter().chain(imp::sources(variable));
    first(sources.filter_map(|source| source(variable)), ourselves)
}

/// What one of the system's sources says, if it would be heard.
fn said(source: &str, variable: Variable) -> Option<Found> {
    let mut found = imp::sources(variable).into_iter().filter_map(|read| read(variable));
    found.find(|found| found.source == source)
}

fn first(said: impl Iterator<Item = Found>, ourselves: &Ourselves) -> Found {
    let mut notes = Vec::new();
    let before = |found| match ourselves.changed {
        Some(journal) => journal.former(found),
        None => Some(found),
    };
    for mut found in said.filter_map(before) {
        let without_us = without(&mut found, ourselves);
        notes.append(&mut found.notes);
        if without_us {
            return Found { notes, ..found };
        }
    }
    Found { source: "the system".into(), kind: Kind::Direct, notes }
}

/// Takes ourselves out; whether anything is left.
fn without(found: &mut Found, ourselves: &Ourselves) -> bool {
    let ignored = |place: &dyn std::fmt::Display| format!("{place} is ignored: it is where hallpass itself listens");
    match &mut found.kind {
        Kind::Static { upstreams, .. } => {
            let ours = upstreams.iter().filter(|upstream| ourselves.are(&upstream.target));
            found.notes.extend(ours.map(|upstream| format!("{}: {}", found.source, ignored(upstream))));
            upstreams.retain(|upstream| !ourselves.are(&upstream.target));
            !upstreams.is_empty()
        }
        Kind::Pac(url) => {
            let ours = value::endpoint(url).is_ok_and(|read| ourselves.are(&read.endpoint.target));
            if ours {
                found.notes.push(format!("{}: {}", found.source, ignored(url)));
            }
            !ours
        }
        Kind::AutoDetect | Kind::Direct => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(source: &str, url: &str) -> Found {
        let upstreams = vec![value::endpoint(url).unwrap().endpoint];
        let kind = Kind::Static { upstreams, no_proxy: String::new(), short_names_direct: false };
        Found { source: source.into(), kind, notes: Vec::new() }
    }

    fn ourselves<'a>(listening: &'a [SocketAddr]) -> Ourselves<'a> {
        Ourselves { listening, is_own_address: &|ip| ip.to_string() == "192.0.2.7", changed: None }
    }

    #[test]
    fn we_are_known_in_every_spelling() {
        for (listening, value, ours) in [
            ("127.0.0.1:3128", "http://127.0.0.1:3128", true),
            ("127.0.0.1:3128", "localhost:3128", true),
            ("127.0.0.1:3128", "http://[::1]:3128/", true),
            ("127.0.0.1:3128", "socks5://LOCALHOST.:3128", true),
            ("127.0.0.1:3128", "0x7f.1:3128", true),
            ("127.0.0.1:3128", "http://127.0.0.1:3129", false),
            ("127.0.0.1:3128", "http://192.0.2.7:3128", false),
            ("192.0.2.7:3128", "http://192.0.2.7:3128", true),
            ("0.0.0.0:3128", "http://192.0.2.7:3128", true),
            ("[::]:3128", "http://192.0.2.8:3128", false),
            ("127.0.0.1:3128", "http://proxy.corp.example:3128", false),
        ] {
            let listening = [listening.parse().unwrap()];
            let target = value::endpoint(value).unwrap().endpoint.target;
            assert_eq!(ourselves(&listening).are(&target), ours, "{listening:?} {value}");
        }
    }

    #[test]
    fn a_source_that_names_ourselves_is_passed_over_and_it_is_said() {
        let listening = ["127.0.0.1:3128".parse().unwrap()];
        let said = [
            named("the environment", "http://localhost:3128"),
            Found { source: "GNOME".into(), kind: Kind::Pac("http://127.0.0.1:3128/proxy.pac".into()), notes: vec![] },
            named("KDE", "http://proxy.corp.example:8080"),
            named("another", "http://other.example:8080"),
        ];
        let found = first(said.into_iter(), &ourselves(&listening));
        assert_eq!(found.source, "KDE");
        assert_eq!(
            found.notes,
            [
                "the environment: http://localhost:3128 is ignored: it is where hallpass itself listens",
                "GNOME: http://127.0.0.1:3128/proxy.pac is ignored: it is where hallpass itself listens"
            ]
        );
    }

    #[test]
    fn where_nobody_says_anything_there_is_no_proxy() {
        let found = first([].into_iter(), &ourselves(&[]));
        assert_eq!(found, Found { source: "the system".into(), kind: Kind::Direct, notes: vec![] });
    }
}
