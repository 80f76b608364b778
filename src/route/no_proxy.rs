//! The list of targets that are reached without an upstream, as `NO_PROXY` is written in the field.
//!
//! The tools disagree on details; this is what we do:
//!
//! | written | matches |
//! |---|---|
//! | `example.com` | that name and everything below it (curl, Go, Python) |
//! | `.example.com`, `*.example.com` | only what is below it (Go, Python) |
//! | `10.0.0.0/8`, `fd00::/8` | addresses written as such in the request; no name is resolved for it |
//! | `192.0.2.1`, `::1`, `[::1]` | that address, in any spelling |
//! | `*` | everything |
//!
//! Each may end in `:port` (IPv6 then in brackets). Entries are separated by commas, semicolons or blanks;
//! case and a final dot do not matter.

use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;

use super::network::parse_network;
use super::pattern::is_below;
use crate::address::{AddressError, Host, Target};

/// Which targets need no upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoProxy {
    patterns: Vec<Pattern>,
}

/// An entry of the list that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?}: {cause}")]
pub struct BadPattern {
    pub text: String,
    pub cause: PatternError,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the network is not well formed")]
    Network,
    #[error("a * may only stand alone or before the first dot")]
    Wildcard,
    #[error("a host or network, not a URL")]
    Url,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// As the user wrote it: the reason that `explain` and the audit record show.
    written: String,
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    /// The name and everything below it.
    Name(String),
    /// Everything below the name.
    Below(String),
    Address(IpAddr),
    Network(IpNet),
}

impl NoProxy {
    /// Reads a list; what cannot be read is reported and left out.
    pub fn parse(list: &str) -> (Self, Vec<BadPattern>) {
        let mut this = Self::default();
        let mut bad = Vec::new();
        for text in list.split(|c: char| c.is_whitespace() || c == ',' || c == ';').filter(|t| !t.is_empty()) {
            match Pattern::parse(text) {
                Ok(pattern) => this.patterns.push(pattern),
                Err(cause) => bad.push(BadPattern { text: text.into(), cause }),
            }
        }
        (this, bad)
    }

    /// The first entry that covers the target, as it was written.
    pub fn matches(&self, target: &Target) -> Option<&str> {
        self.patterns.iter().find(|pattern| pattern.matches(target)).map(|pattern| pattern.written.as_str())
    }

    pub fn extend(&mut self, other: Self) {
        self.patterns.extend(other.patterns);
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The entries as they were written.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(|pattern| pattern.written.as_str())
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text.contains("://") {
            return Err(PatternError::Url);
        }
        let (hosts, port) = match text.contains('/') {
            true => (Hosts::Network(parse_network(text).ok_or(PatternError::Network)?), None),
            false => split_port(text)?,
        };
        Ok(Self { written: text.into(), hosts, port })
    }

    fn matches(&self, target: &Target) -> bool {
        self.port.is_none_or(|port| port == target.port) && self.hosts.contain(&target.host)
    }
}

impl Hosts {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::All);
        }
        let below = text.strip_prefix("*.").or_else(|| text.strip_prefix('.'));
        let name = below.unwrap_or(text);
        if name.contains('*') {
            return Err(PatternError::Wildcard);
        }
        Ok(match (Host::parse(name)?, below) {
            (Host::Name(name), Some(_)) => Self::Below(name),
            (Host::Name(name), None) => Self::Name(name),
            (Host::Ip(ip), _) => Self::Address(ip),
        })
    }

    fn contain(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::All, _) => true,
            (Self::Name(name), Host::Name(host)) => host == name || is_below(host, name),
            (Self::Below(name), Host::Name(host)) => is_below(host, name),
            (Self::Address(address), Host::Ip(ip)) => address == ip,
            (Self::Network(network), Host::Ip(ip)) => network.contains(ip),
            _ => false,
        }
    }
}

fn split_port(text: &str) -> Result<(Hosts, Option<u16>), PatternError> {
    // More than one colon and no bracket: an IPv6 address, which then has no port.
    let bare_ipv6 = !text.starts_with('[') && text.matches(':').count() > 1;
    let colon = text.rfind(':').filter(|at| !bare_ipv6 && !text[*at..].contains(']'));
    match colon {
        None => Ok((Hosts::parse(text)?, None)),
        Some(at) => {
            let port = text[at + 1..].parse().ok().filter(|port| *port != 0);
            let port = port.ok_or_else(|| AddressError::BadPort(text[at + 1..].into()))?;
            Ok((Hosts::parse(&text[..at])?, Some(port)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(list: &str, target: &str) -> bool {
        let (list, bad) = NoProxy::parse(list);
        assert!(bad.is_empty(), "{bad:?}");
        list.matches(&Target::parse(target, None).unwrap()).is_some()
    }

    #[test]
    fn an_entry_covers_what_the_table_says() {
        for (list, target) in [
            ("example.com", "example.com:443"),
            ("example.com", "www.example.com:443"),
            ("EXAMPLE.com.", "www.Example.COM.:443"),
            (".example.com", "a.b.example.com:80"),
            ("*.example.com", "www.example.com:80"),
            ("10.0.0.0/8", "10.200.3.4:80"),
            ("10.1.2.3/8", "10.200.3.4:80"),
            ("10.0.0.0/8", "[::ffff:10.1.1.1]:80"),
            ("::ffff:10.0.0.0/104", "10.1.1.1:80"),
            ("fd00::/8", "[fd12::1]:80"),
            ("[fd00::]/8", "[fd12::1]:80"),
            ("192.0.2.1", "192.0.2.1:80"),
            ("192.0.2.1", "0xc0000201:80"),
            ("::1", "[::1]:80"),
            ("[::1]", "[0:0::1]:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("example.com:8080", "www.example.com:8080"),
            ("*.example.com:8080", "www.example.com:8080"),
            ("192.0.2.1:81", "192.0.2.1:81"),
            ("*", "anything.example:1"),
            ("*:443", "anything.example:443"),
            ("a.example, b.example c.example;d.example", "d.example:443"),
            ("a.example,,  b.example\tc.example\n", "c.example:443"),
            ("intranet", "intranet:80"),
        ] {
            assert!(covers(list, target), "{list} {target}");
        }
    }

    #[test]
    fn an_entry_covers_nothing_else() {
        for (list, target) in [
            ("", "example.com:443"),
            ("example.com", "notexample.com:443"),
            ("example.com", "example.com.evil:443"),
            (".example.com", "example.com:80"),
            ("*.example.com", "example.com:80"),
            ("10.0.0.0/8", "11.0.0.1:80"),
            ("10.0.0.0/8", "ten.example:80"),
            ("fd00::/8", "10.0.0.1:80"),
            ("192.0.2.1", "192.0.2.10:80"),
            ("example.com:8080", "example.com:80"),
            ("[::1]:8080", "[::1]:80"),
            ("1.example", "11.example:80"),
        ] {
            assert!(!covers(list, target), "{list} {target}");
        }
    }

    #[test]
    fn the_entry_that_decided_is_named_as_it_was_written() {
        let (list, _) = NoProxy::parse("a.example, *.B.example");
        assert_eq!(list.matches(&Target::parse("x.b.example:1", None).unwrap()), Some("*.B.example"));
    }

    #[test]
    fn an_entry_without_meaning_is_reported_and_the_rest_is_kept() {
        for text in
            ["10.0.0.0/33", "10.0.0/8", "a*.example", "*a", "http://x.example", "x:0", "x:99999", "<local>", "ä"]
        {
            let (list, bad) = NoProxy::parse(&format!("good.example {text}"));
            assert_eq!(bad.iter().map(|b| b.text.as_str()).collect::<Vec<_>>(), [text]);
            assert_eq!(list.written().collect::<Vec<_>>(), ["good.example"]);
        }
    }
}
