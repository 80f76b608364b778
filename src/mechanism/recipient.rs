//! Who may receive an account: an upstream by its endpoint, or those that only a PAC script names, by patterns.

use ipnet::IpNet;
use thiserror::Error;

use crate::address::{Endpoint, Target};
use crate::route::pattern::{self, PatternError};

pub enum Recipient {
    Upstream(Endpoint),
    /// Those that are named elsewhere than in the configuration.
    Matching(Vec<Pattern>),
}

#[derive(Debug, Error)]
pub enum RecipientError {
    #[error(transparent)]
    Host(#[from] PatternError),
    #[error("{0:?} is no port")]
    Port(String),
}

impl Recipient {
    /// What is no pattern covers nothing.
    pub fn matching(patterns: &[String]) -> Self {
        Self::Matching(patterns.iter().filter_map(|text| Pattern::parse(text).ok()).collect())
    }

    pub fn is(&self, upstream: &Endpoint) -> bool {
        match self {
            Self::Upstream(endpoint) => endpoint == upstream,
            Self::Matching(patterns) => patterns.iter().any(|pattern| pattern.covers(&upstream.target)),
        }
    }
}

/// `proxy.corp.example` is that name alone; `*.corp.example` and `.corp.example` are what is below; a network is for
/// upstreams that are named by their address. A `:port` may follow a host.
pub enum Pattern {
    Network(IpNet),
    Host { host: pattern::Pattern, port: Option<u16> },
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, RecipientError> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| RecipientError::Port(port.into()))?))
            }
            _ => (text, None),
        };
        Ok(Self::Host { host: pattern::Pattern::parse(host)?, port })
    }

    fn covers(&self, target: &Target) -> bool {
        match self {
            Self::Network(network) => target.host.ip().is_some_and(|ip| network.contains(&ip)),
            Self::Host { host, port } => host.matches(&target.host) && port.is_none_or(|port| port == target.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Protocol;

    #[test]
    fn a_pattern_covers_whole_labels_and_nothing_else() {
        for (pattern, covered, others) in [
            (
                "proxy.corp.example",
                &["proxy.corp.example:8080", "PROXY.corp.example.:1"][..],
                &[
                    "a.proxy.corp.example:8080",
                    "evilproxy.corp.example:8080",
                    "corp.example:1",
                    "proxy.corp.example.evil.test:1",
                ][..],
            ),
            (
                "*.corp.example",
                &["proxy.corp.example:8080", "a.b.corp.example:1"],
                &["corp.example:1", "evilcorp.example:1", "corp.example.evil.test:1"],
            ),
            (".corp.example", &["proxy.corp.example:8080"], &["corp.example:1", "xcorp.example:1"]),
            ("proxy.corp.example:8080", &["proxy.corp.example:8080"], &["proxy.corp.example:8081"]),
            ("192.0.2.1", &["192.0.2.1:1", "0xc0.0.2.1:1"], &["192.0.2.11:1", "192.0.2.1.evil.test:1"]),
            ("2001:db8::1", &["[2001:db8::1]:1"], &["[2001:db8::2]:1"]),
            ("10.0.0.0/8", &["10.1.2.3:1"], &["11.0.0.1:1", "10.evil.test:1"]),
            ("*", &["anything.test:1", "192.0.2.1:1"], &[]),
            ("http://a.test", &[], &["a.test:80"]),
            ("", &[], &["a.test:80"]),
        ] {
            let recipient = Recipient::matching(&[pattern.to_string()]);
            let is = |target: &&str| {
                let target = Target::parse(target, None).unwrap();
                recipient.is(&Endpoint { target, protocol: Protocol::Http })
            };
            assert_eq!(covered.iter().filter(|target| !is(target)).collect::<Vec<_>>(), [&""; 0], "{pattern}");
            assert_eq!(others.iter().filter(|target| is(target)).collect::<Vec<_>>(), [&""; 0], "{pattern}");
        }
    }
}
