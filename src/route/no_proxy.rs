//! The list of targets that are reached without an upstream, as `NO_PROXY` is written in the field.
//!
//! The tools disagree on details; `docs/no_proxy.md` compares them, and this is what we do:
//!
//! | written | matches |
//! |---|---|
//! | `example.com`, `.example.com` | that name and everything below it |
//! | `*.example.com` | only what is below it |
//! | `build-*.example.com`, `192.168.*` | as a rule's patterns do |
//! | `10.0.0.0/8`, `fd00::/8`, `10.0.0.1-10.0.0.9` | addresses written as such in the request; no name is resolved for it |
//! | `192.0.2.1`, `::1`, `[::1]` | that address, in any spelling |
//! | `<local>` | names without a dot |
//! | `*` | everything |
//!
//! Each but networks and ranges may end in `:port` (IPv6 then in brackets). Entries are separated by commas,
//! semicolons, vertical bars or blanks; case and a final dot do not matter.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use thiserror::Error;

use super::network::parse_network;
use super::pattern::{self, Pattern, is_below};
use crate::address::{AddressError, Host, Target};

/// Which targets need no upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoProxy {
    entries: Vec<Entry>,
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
    #[error("the range is not well formed: 10.0.0.1-10.0.0.9")]
    Range,
    #[error("an address has four numbers; a network is 10.1.0.0/16 or 10.1.*")]
    ShortAddress,
    #[error("a * cannot stand here")]
    Wildcard,
    #[error("a host or network, not a URL")]
    Url,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// As the user wrote it: the reason that `explain` and the audit record show.
    written: String,
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hosts {
    All,
    /// The name and everything below it.
    Name(String),
    Like(Pattern),
    /// Names without a dot.
    Plain,
    Address(IpAddr),
    Network(IpNet),
    Range(Ipv4Addr, Ipv4Addr),
}

impl NoProxy {
    /// Reads a list; what cannot be read is reported and left out.
    pub fn parse(list: &str) -> (Self, Vec<BadPattern>) {
        let mut this = Self::default();
        let mut bad = Vec::new();
        let separates = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|');
        for text in list.split(separates).filter(|text| !text.is_empty()) {
            match Entry::parse(text) {
                Ok(entry) => this.entries.push(entry),
                Err(cause) => bad.push(BadPattern { text: text.into(), cause }),
            }
        }
        (this, bad)
    }

    /// The first entry that covers the target, as it was written.
    pub fn matches(&self, target: &Target) -> Option<&str> {
        self.entries.iter().find(|entry| entry.matches(target)).map(|entry| entry.written.as_str())
    }

    pub fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries as they were written.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.written.as_str())
    }

    /// What each entry covers, and at which port.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Hosts, Option<u16>)> {
        self.entries.iter().map(|entry| (&entry.hosts, entry.port))
    }
}

impl Entry {
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
        if text.eq_ignore_ascii_case("<local>") {
            return Ok(Self::Plain);
        }
        if text.contains('*') {
            return match Pattern::parse(text) {
                Ok(_) if text.bytes().all(|byte| byte == b'*') => Ok(Self::All),
                Ok(pattern) => Ok(Self::Like(pattern)),
                Err(pattern::PatternError::Host(cause)) => Err(cause.into()),
                Err(_) => Err(PatternError::Wildcard),
            };
        }
        if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-') {
            return numeric(text);
        }
        let host = pattern::host(text.strip_prefix('.').unwrap_or(text))?;
        Ok(match host {
            Host::Name(name) => Self::Name(name),
            Host::Ip(ip) => Self::Address(ip),
        })
    }

    fn contain(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::All, _) => true,
            (Self::Name(name), Host::Name(host)) => host == name || is_below(host, name),
            (Self::Like(pattern), host) => pattern.matches(host),
            (Self::Plain, Host::Name(host)) => !host.contains('.'),
            (Self::Address(address), Host::Ip(ip)) => address == ip,
            (Self::Network(network), Host::Ip(ip)) => network.contains(ip),
            (Self::Range(first, last), Host::Ip(IpAddr::V4(ip))) => (first..=last).contains(&ip),
            _ => false,
        }
    }
}

/// `inet_aton` reads `10.1` as 10.0.0.1, but in such a list somebody thinks of a network.
fn numeric(text: &str) -> Result<Hosts, PatternError> {
    if let Some((first, last)) = text.split_once('-') {
        let ends = first.parse::<Ipv4Addr>().ok().zip(last.parse::<Ipv4Addr>().ok());
        let (first, last) = ends.filter(|(first, last)| first <= last).ok_or(PatternError::Range)?;
        return Ok(Hosts::Range(first, last));
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    match text.parse::<Ipv4Addr>() {
        Ok(ip) => Ok(Hosts::Address(ip.into())),
        Err(_) if text.is_empty() => Err(AddressError::EmptyHost.into()),
        Err(_) => Err(PatternError::ShortAddress),
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
            (".example.com", "example.com:80"),
            ("*.example.com", "www.example.com:80"),
            ("build-*.example.com", "build-7.example.com:80"),
            ("10.0.0.0/8", "10.200.3.4:80"),
            ("10.1.2.3/8", "10.200.3.4:80"),
            ("10.0.0.0/8", "[::ffff:10.1.1.1]:80"),
            ("::ffff:10.0.0.0/104", "10.1.1.1:80"),
            ("fd00::/8", "[fd12::1]:80"),
            ("[fd00::]/8", "[fd12::1]:80"),
            ("192.0.2.1", "192.0.2.1:80"),
            ("192.0.2.1.", "192.0.2.1:80"),
            ("192.0.2.1", "0xc0000201:80"),
            ("10.20.*", "10.20.3.4:80"),
            ("10.20.*:81", "10.20.3.4:81"),
            ("10.0.0.1-10.0.0.9", "10.0.0.9:80"),
            ("10.0.0.250-10.0.1.9", "10.0.1.0:80"),
            ("::1", "[::1]:80"),
            ("[::1]", "[0:0::1]:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("example.com:8080", "www.example.com:8080"),
            ("*.example.com:8080", "www.example.com:8080"),
            ("192.0.2.1:81", "192.0.2.1:81"),
            ("<local>", "intranet:80"),
            ("<LOCAL>:8080", "intranet:8080"),
            ("b\u{fc}cher.example", "www.xn--bcher-kva.example:80"),
            ("B\u{dc}CHER.example", "xn--bcher-kva.example:80"),
            ("*.b\u{fc}cher.example", "www.xn--bcher-kva.example:80"),
            ("*", "anything.example:1"),
            ("*:443", "anything.example:443"),
            ("a.example, b.example c.example;d.example", "d.example:443"),
            ("localhost|*.a.example", "x.a.example:443"),
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
            (".example.com", "notexample.com:80"),
            ("*.example.com", "example.com:80"),
            ("10.0.0.0/8", "11.0.0.1:80"),
            ("10.0.0.0/8", "ten.example:80"),
            ("fd00::/8", "10.0.0.1:80"),
            ("192.0.2.1", "192.0.2.10:80"),
            ("10.20.*", "10.20.evil.example:80"),
            ("10.0.0.1-10.0.0.9", "10.0.0.10:80"),
            ("10.0.0.1-10.0.0.9", "ten.example:80"),
            ("example.com:8080", "example.com:80"),
            ("[::1]:8080", "[::1]:80"),
            ("<local>", "a.example:80"),
            ("<local>", "192.0.2.1:80"),
            ("<local>", "[2001:db8::1]:80"),
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
        for text in [
            "10.0.0.0/33",
            "10.0.0/8",
            "10.1",
            "192.0.2.",
            "1.2.3.4.5",
            "10.0.0.1-9",
            "10.0.0.9-10.0.0.1",
            "fd*::1",
            "a..b",
            "*..a",
            "http://x.example",
            "x:0",
            "x:99999",
            "x:",
            "<locals>",
            "\u{200b}",
        ] {
            let (list, bad) = NoProxy::parse(&format!("good.example {text}"));
            assert_eq!(bad.iter().map(|b| b.text.as_str()).collect::<Vec<_>>(), [text]);
            assert_eq!(list.written().collect::<Vec<_>>(), ["good.example"]);
        }
    }
}
