//! Names of places: hosts, targets, endpoints. Parsed once, compared cheaply, never resolved here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// The longest name DNS can hold in text form, without the final dot (RFC 1035 §2.3.4).
pub const MAX_NAME: usize = 253;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    #[error("the host is empty")]
    EmptyHost,
    #[error("the host name is longer than {MAX_NAME} characters")]
    LongHost,
    #[error("the host has a character that no host has: {0:?}")]
    BadCharacter(char),
    #[error("the IPv6 address is not well formed: {0}")]
    BadIpv6(String),
    #[error("an IPv6 zone identifier has no meaning for another machine: {0}")]
    Zone(String),
    #[error("the port is missing")]
    NoPort,
    #[error("the port is not a number from 1 to 65535: {0}")]
    BadPort(String),
    #[error("a user name or password stands in the address")]
    Userinfo,
}

/// A host as a request names it: lower-case, no brackets, no final dot. Every spelling of an IPv4
/// address that `inet_aton` knows (`0x7f.1`, `2130706433`) is that address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    Name(String),
    Ip(IpAddr),
}

impl Host {
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or_else(|| AddressError::BadIpv6(text.into()))?;
            return parse_ipv6(inner);
        }
        if text.contains(':') {
            return parse_ipv6(text);
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(AddressError::EmptyHost);
        }
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(*c))) {
            return Err(AddressError::BadCharacter(bad));
        }
        if text.len() > MAX_NAME {
            return Err(AddressError::LongHost);
        }
        if text.split('.').any(str::is_empty) {
            return Err(AddressError::EmptyHost);
        }
        Ok(match parse_any_ipv4(text) {
            Some(ip) => Self::Ip(ip.into()),
            None => Self::Name(text.to_ascii_lowercase()),
        })
    }

    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::Ip(ip) => Some(*ip),
        }
    }

    /// Loopback or link-local as written, `localhost` and `*.localhost` (RFC 6761 §6.3) included:
    /// never the business of another machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Ip(ip) => is_local_ip(*ip),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// Loopback, link-local or unspecified, also when it is IPv4 dressed as IPv6.
pub fn is_local_ip(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local() || compatible_loopback(ip)
        }
    }
}

/// `::127.0.0.1`, the deprecated IPv4-compatible form (RFC 4291 §2.5.5.1), which some stacks still take.
fn compatible_loopback(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    segments[..6] == [0; 6] && ip.to_ipv4().is_some_and(|v4| v4.is_loopback())
}

fn parse_ipv6(text: &str) -> Result<Host, AddressError> {
    if text.contains('%') {
        return Err(AddressError::Zone(text.into()));
    }
    let ip: Ipv6Addr = text.parse().map_err(|_| AddressError::BadIpv6(text.into()))?;
    Ok(Host::Ip(IpAddr::V6(ip).to_canonical()))
}

/// `inet_aton(3)`: one to four parts, each decimal, octal (`0…`) or hexadecimal (`0x…`).
fn parse_any_ipv4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u64> = text.split('.').map(parse_ipv4_part).collect::<Option<_>>()?;
    let (last, leading) = parts.split_last()?;
    if leading.len() > 3 || leading.iter().any(|part| *part > 255) {
        return None;
    }
    let rest_bits = 32 - 8 * leading.len();
    if *last >= 1_u64 << rest_bits {
        return None;
    }
    let head = leading.iter().fold(0_u64, |sum, part| (sum << 8) | part);
    u32::try_from((head << rest_bits) | last).ok().map(Ipv4Addr::from)
}

fn parse_ipv4_part(part: &str) -> Option<u64> {
    let (digits, radix) = match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if part.len() > 1 && part.starts_with('0') => (&part[1..], 8),
        None => (part, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// The host and port a request names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    pub host: Host,
    pub port: u16,
}

impl Target {
    pub fn new(host: Host, port: u16) -> Self {
        Self { host, port }
    }

    /// `host:port`, `[v6]:port`; with `default_port`, the port may be absent.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, AddressError> {
        if text.contains('@') {
            return Err(AddressError::Userinfo);
        }
        let (host, port) = split_port(text)?;
        let port = match port {
            Some(port) => parse_port(port)?,
            None => default_port.ok_or(AddressError::NoPort)?,
        };
        Ok(Self { host: Host::parse(host)?, port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), AddressError> {
    if text.starts_with('[') {
        let end = text.find(']').ok_or_else(|| AddressError::BadIpv6(text.into()))?;
        return match text[end + 1..].strip_prefix(':') {
            Some(port) => Ok((&text[..=end], Some(port))),
            None if end + 1 == text.len() => Ok((text, None)),
            None => Err(AddressError::BadIpv6(text.into())),
        };
    }
    match text.split_once(':') {
        // A bare IPv6 address with a port cannot be told apart from one without.
        Some((_, rest)) if rest.contains(':') => Err(AddressError::BadIpv6(text.into())),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    let bad = || AddressError::BadPort(text.into());
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    match text.parse::<u16>() {
        Ok(0) | Err(_) => Err(bad()),
        Ok(port) => Ok(port),
    }
}

/// What a hop is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    Http,
    /// HTTP within TLS.
    Https,
    /// RFC 1928.
    Socks5,
    /// With names instead of addresses (SOCKS4a) where the target is one.
    Socks4,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks4 => "socks4",
        })
    }
}

/// Where a hop is dialled, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub target: Target,
    pub protocol: Protocol,
}

impl Endpoint {
    pub fn is_tls(&self) -> bool {
        self.protocol == Protocol::Https
    }

    /// It makes tunnels only, and knows nothing of HTTP.
    pub fn is_socks(&self) -> bool {
        matches!(self.protocol, Protocol::Socks5 | Protocol::Socks4)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.protocol, self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_host_is_read_as_the_field_reads_it() {
        for (text, shown) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("a_b.example", "a_b.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("0x7f.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("017700000001", "127.0.0.1"),
            ("0300.0250.1", "192.168.0.1"),
            ("[::1]", "[::1]"),
            ("::1", "[::1]"),
            ("[::ffff:127.0.0.1]", "127.0.0.1"),
            ("256.1.1.1", "256.1.1.1"),
        ] {
            assert_eq!(Host::parse(text).map(|h| h.to_string()), Ok(shown.to_string()), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in
            ["", ".", "a b", "a/b", "a\\b", "a@b", "ex\u{e4}mple", "[::1", "[fe80::1%25eth0]", "a..b", "a\0b", "a%2eb"]
        {
            assert!(Host::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Host::parse(&"a".repeat(254)), Err(AddressError::LongHost));
    }

    #[test]
    fn local_means_this_machine_in_every_spelling() {
        for text in [
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "127.9.9.9",
            "0x7f000001",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "169.254.169.254",
            "[fe80::1]",
            "0.0.0.0",
            "[::]",
            "0",
        ] {
            assert!(Host::parse(text).unwrap().is_local(), "{text}");
        }
        for text in ["localhost.example", "notlocalhost", "128.0.0.1", "10.0.0.1", "[2001:db8::1]"] {
            assert!(!Host::parse(text).unwrap().is_local(), "{text}");
        }
    }

    #[test]
    fn a_target_needs_a_host_and_a_port_from_1_to_65535() {
        for (text, shown) in [("H:443", "h:443"), ("[2001:DB8::1]:8443", "[2001:db8::1]:8443"), ("h:0080", "h:80")] {
            assert_eq!(Target::parse(text, None).map(|t| t.to_string()), Ok(shown.to_string()));
        }
        assert_eq!(Target::parse("h", Some(80)).map(|t| t.port), Ok(80));
        for text in [
            "h",
            "h:",
            "h:0",
            "h:65536",
            "h:4294967739",
            "h:+80",
            "h:8 0",
            ":80",
            "::1:443",
            "[::1:443",
            "[::1]x:1",
            "u:p@h:1",
        ] {
            assert!(Target::parse(text, None).is_err(), "{text}");
        }
    }
}
