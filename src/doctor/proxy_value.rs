//! The value of a variable or a setting that names a proxy, as programs read it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::address::{Host, Target};

/// What a program would make of it. A password in it is forgotten at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProxyValue {
    /// In lower case; `None` where it stands without.
    pub scheme: Option<String>,
    /// `None`: nothing that could be dialled.
    pub place: Option<Target>,
    pub has_user: bool,
    pub has_password: bool,
}

impl ProxyValue {
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, text),
        };
        // A password may hold what would end an authority.
        let (userinfo, rest) = match rest.rsplit_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let port = match scheme.as_deref() {
            Some("https") => 443,
            Some("socks5" | "socks5h" | "socks4" | "socks4a" | "socks") => 1080,
            Some(_) | None => 80,
        };
        Self {
            place: Target::parse(authority, Some(port)).ok(),
            has_user: userinfo.is_some(),
            has_password: userinfo.is_some_and(|userinfo| userinfo.contains(':')),
            scheme,
        }
    }

    /// Leads to one of these addresses on this machine.
    pub fn leads_to(&self, relay: &[SocketAddr]) -> bool {
        let Some(Target { host, port }) = &self.place else { return false };
        let is_here = |ip: IpAddr| relay.iter().any(|addr| addr.port() == *port && reaches(addr.ip(), ip));
        match host {
            Host::Ip(ip) => is_here(*ip),
            Host::Name(_) if host.is_local() => relay.iter().any(|addr| addr.port() == *port),
            Host::Name(_) => false,
        }
    }
}

fn reaches(listener: IpAddr, asked: IpAddr) -> bool {
    listener == asked || (listener.is_unspecified() && asked.is_loopback())
}

/// Without what is secret.
impl fmt::Display for ProxyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = &self.scheme {
            write!(f, "{scheme}://")?;
        }
        match &self.place {
            Some(place) => write!(f, "{place}"),
            None => f.write_str("(no address)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_programs_do_and_shown_without_passwords() {
        for (text, shown, user, password) in [
            ("http://127.0.0.1:3128", "http://127.0.0.1:3128", false, false),
            ("127.0.0.1:3128/", "127.0.0.1:3128", false, false),
            ("HTTP://u:hunter2@Proxy:8080/", "http://proxy:8080", true, true),
            ("http://CORP%5Calice:hun@ter/2@proxy:8080", "http://proxy:8080", true, true),
            ("http://token@proxy:8080", "http://proxy:8080", true, false),
            ("https://proxy", "https://proxy:443", false, false),
            ("socks5h://proxy", "socks5h://proxy:1080", false, false),
            ("http://a b", "http://(no address)", false, false),
            ("", "(no address)", false, false),
        ] {
            let value = ProxyValue::parse(text);
            assert_eq!(
                (value.to_string().as_str(), value.has_user, value.has_password),
                (shown, user, password),
                "{text}"
            );
        }
    }

    #[test]
    fn loopback_under_every_name_is_the_relay_that_listens_there() {
        let relay = ["127.0.0.1:3128", "[::1]:3128"].map(|addr| addr.parse().unwrap());
        for (text, leads) in [
            ("http://127.0.0.1:3128", true),
            ("localhost:3128", true),
            ("http://[::1]:3128", true),
            ("http://127.0.0.1:3129", false),
            ("http://127.0.0.2:3128", false),
            ("http://proxy:3128", false),
        ] {
            assert_eq!(ProxyValue::parse(text).leads_to(&relay), leads, "{text}");
        }
        assert!(ProxyValue::parse("http://127.0.0.1:80").leads_to(&["0.0.0.0:80".parse().unwrap()]));
    }
}
