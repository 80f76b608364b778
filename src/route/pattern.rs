//! Patterns of hosts, as rules and `never_direct` name them.
//!
//! | written | matches |
//! |---|---|
//! | `example.com` | that name alone |
//! | `.example.com`, `*.example.com` | every name below it, at any depth |
//! | `build-*.example.com`, `*-dev.example.com` | names in which each `*` stands for any characters, dots too |
//! | `192.0.2.1`, `::1`, `[::1]` | that address, in any spelling |
//! | `10.20.*` | IPv4 addresses, never names such as `10.20.example.com` |
//! | `*` | every host |
//!
//! Case and a final dot do not matter; names in other letters than ASCII are known by their ASCII form. Names are never resolved for a pattern.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use crate::address::{AddressError, Host};

/// A pattern that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    #[error(transparent)]
    Host(#[from] AddressError),
    #[error("a host, not a URL: leave out everything up to ://")]
    Url,
    #[error("a host, not a network: networks belong into cidr")]
    Network,
    #[error("a host without a port: ports belong into ports")]
    Port,
    #[error("an address has four numbers; more of them are 10.1.*, or a network in cidr")]
    ShortAddress,
    #[error("a * cannot stand for a part of an IPv6 address: networks belong into cidr")]
    Ipv6Wildcard,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    written: String,
    hosts: Hosts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hosts {
    All,
    Name(String),
    /// Every name below this one.
    Below(String),
    Address(IpAddr),
    /// Names with `*`.
    Names(String),
    /// IPv4 addresses with `*`.
    Addresses(String),
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        Ok(Self { written: text.to_string(), hosts: Hosts::parse(text)? })
    }

    pub fn matches(&self, host: &Host) -> bool {
        self.hosts.contain(host)
    }

    pub(super) fn hosts(&self) -> &Hosts {
        &self.hosts
    }
}

/// As the user wrote it: what `explain` and the audit record show.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Hosts {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let text = text.trim();
        if text.contains("://") {
            return Err(PatternError::Url);
        }
        if text.contains('/') {
            return Err(PatternError::Network);
        }
        if !text.is_empty() && text.bytes().all(|byte| byte == b'*') {
            return Ok(Self::All);
        }
        let below = text.strip_prefix("*.").or_else(|| text.strip_prefix('.'));
        let name = below.unwrap_or(text);
        if name.contains('*') {
            return wildcard(&text.split('.').map(label).collect::<Result<Vec<_>, _>>()?.join("."));
        }
        if name.matches(':').count() == 1 || name.rsplit_once("]:").is_some() {
            return Err(PatternError::Port);
        }
        match (host(name)?, below) {
            // `inet_aton` reads 10.1 as 10.0.0.1, but somebody thinks of a network.
            (Host::Ip(IpAddr::V4(ip)), None) if is_decimal(name) && name.trim_end_matches('.') != ip.to_string() => {
                Err(PatternError::ShortAddress)
            }
            (Host::Name(name), Some(_)) => Ok(Self::Below(name)),
            (Host::Name(name), None) => Ok(Self::Name(name)),
            // `*.2.1` is the end of addresses, not an address.
            (Host::Ip(_), Some(_)) => wildcard(text),
            (Host::Ip(ip), None) => Ok(Self::Address(ip)),
        }
    }

    fn contain(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::All, _) => true,
            (Self::Name(name), Host::Name(host)) => host == name,
            (Self::Below(name), Host::Name(host)) => is_below(host, name),
            (Self::Address(address), Host::Ip(ip)) => address == ip,
            (Self::Names(pattern), Host::Name(host)) => fits(pattern, host),
            (Self::Addresses(pattern), Host::Ip(IpAddr::V4(ip))) => fits(pattern, &ip.to_string()),
            _ => false,
        }
    }
}

/// People write names in their own letters; requests have them in ASCII (RFC 5891).
pub(super) fn host(text: &str) -> Result<Host, AddressError> {
    Host::parse(&ascii(text)?)
}

/// One label of a wildcard: where a star stands for a part of it, the rest cannot be known in ASCII.
fn label(text: &str) -> Result<String, AddressError> {
    if text.contains('*') { Ok(text.to_string()) } else { ascii(text) }
}

fn ascii(text: &str) -> Result<String, AddressError> {
    let Some(foreign) = text.chars().find(|c| !c.is_ascii()) else { return Ok(text.to_string()) };
    idna::domain_to_ascii(text).map_err(|_| AddressError::BadCharacter(foreign))
}

/// Only digits, dots and `*`: somebody thinks of addresses, and a name that looks alike is a trick.
fn wildcard(text: &str) -> Result<Hosts, PatternError> {
    if text.contains([':', '[', ']']) {
        return Err(PatternError::Ipv6Wildcard);
    }
    let text = if text.starts_with('.') { format!("*{text}") } else { text.to_ascii_lowercase() };
    let text = text.strip_suffix('.').unwrap_or(&text).to_string();
    // A star is no character of a host; everything around it must be.
    let bad = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(*c)));
    if let Some(bad) = bad {
        return Err(AddressError::BadCharacter(bad).into());
    }
    if text.contains("..") {
        return Err(AddressError::EmptyHost.into());
    }
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'*');
    match numeric && text.bytes().any(|byte| byte.is_ascii_digit()) {
        true => Ok(Hosts::Addresses(text)),
        false => Ok(Hosts::Names(text)),
    }
}

fn is_decimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

pub(super) fn is_below(host: &str, name: &str) -> bool {
    host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
}

/// Whether `text` is `pattern` with something for each `*`. Takes time proportional to the product of the
/// lengths at worst: only the last star that was passed is ever tried again.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut in_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_text < text.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at + 1, in_text));
            at += 1;
        } else if pattern.get(at) == Some(&text[in_text]) {
            at += 1;
            in_text += 1;
        } else if let Some((after, taken)) = star {
            star = Some((after, taken + 1));
            at = after;
            in_text = taken + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, host: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(&Host::parse(host).unwrap())
    }

    #[test]
    fn a_pattern_matches_what_the_table_says() {
        for (pattern, host) in [
            ("example.com", "Example.COM."),
            ("EXAMPLE.com.", "example.com"),
            ("gateway", "gateway"),
            (".example.com", "a.b.example.com"),
            ("*.example.com", "www.example.com"),
            ("*.Example.com.", "a.b.example.com"),
            ("build-*.example.com", "build-7.example.com"),
            ("build-*.example.com", "build-7.eu.example.com"),
            ("*-dev.example.com", "a-dev.example.com"),
            (".build-*.example.com", "x.build-1.example.com"),
            ("a*b*c", "aXbXbYc"),
            ("*corp*", "www.corp.example"),
            ("*.*", "a.example"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("*.B\u{dc}CHER.example", "www.xn--bcher-kva.example"),
            ("a-*.b\u{fc}cher.example", "a-1.xn--bcher-kva.example"),
            ("192.0.2.1", "0xc0000201"),
            ("0xc0000201", "192.0.2.1"),
            ("::1", "[0:0::1]"),
            ("[2001:db8::1]", "[2001:DB8:0::1]"),
            ("10.20.*", "10.20.3.4"),
            ("*.4", "10.20.3.4"),
            ("192.168.*.1", "192.168.7.1"),
            ("*", "anything.example"),
            ("**", "192.0.2.1"),
            ("*", "[2001:db8::1]"),
        ] {
            assert!(matches(pattern, host), "{pattern} {host}");
        }
    }

    #[test]
    fn a_pattern_matches_nothing_else() {
        for (pattern, host) in [
            ("example.com", "www.example.com"),
            ("example.com", "notexample.com"),
            (".example.com", "example.com"),
            ("*.example.com", "example.com"),
            ("*.example.com", "notexample.com"),
            ("*.example.com", "www.example.com.evil"),
            ("build-*.example.com", "build-7.example.org"),
            ("a*b*c", "aXcXb"),
            ("10.20.*", "10.20.evil.example"),
            ("10.20.*", "10.200.1.1"),
            ("10.*", "[2001:db8::10]"),
            ("*.*", "192.0.2.1"),
            ("*corp*", "192.0.2.1"),
            ("192.0.2.1", "192.0.2.10"),
            ("::1", "127.0.0.1"),
        ] {
            assert!(!matches(pattern, host), "{pattern} {host}");
        }
    }

    #[test]
    fn a_pattern_without_meaning_is_refused_with_the_way_to_write_it() {
        let wrong = |text| Pattern::parse(text).map_err(|error| error.to_string()).unwrap_err();
        for (text, says) in [
            ("", "empty"),
            (".", "empty"),
            ("http://a.example", "URL"),
            ("10.0.0.0/8", "cidr"),
            ("a.example:80", "ports"),
            ("[::1]:80", "ports"),
            ("10.1", "four numbers"),
            ("192.0.2.", "four numbers"),
            ("010.0.0.1", "four numbers"),
            ("fd*::1", "cidr"),
            ("[fd00::*]", "cidr"),
            ("a b", "character"),
            ("a_*/", "cidr"),
            ("*..example", "empty"),
            ("*\u{2028}x", "character"),
            ("b\u{fc}*.example", "character"),
        ] {
            assert!(wrong(text).contains(says), "{text}: {}", wrong(text));
        }
    }

    #[test]
    fn a_pattern_is_shown_as_it_was_written() {
        assert_eq!(Pattern::parse("*.Corp.Example.").unwrap().to_string(), "*.Corp.Example.");
    }

    #[test]
    fn many_stars_take_no_time_to_speak_of() {
        let pattern = "*a".repeat(100);
        assert!(!matches(&format!("{pattern}b"), &format!("{}c", "a".repeat(200))));
    }
}
