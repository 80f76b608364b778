//! The practice world's DNS: which names exist and where they lead. Nothing is ever asked of a real resolver.

use std::net::{Ipv4Addr, SocketAddr};

use crate::address::{Host, Target};

/// Where a name leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// 127.0.0.1, on the port that was asked for.
    Loopback,
    At(SocketAddr),
}

#[derive(Debug, Clone, Default)]
pub struct Names(Vec<(String, Place)>);

impl Names {
    pub fn none() -> Self {
        Self::default()
    }

    /// `pattern` is a name or `*.suffix`; the first that matches counts.
    pub fn with(mut self, pattern: &str, place: Place) -> Self {
        self.0.push((pattern.to_ascii_lowercase(), place));
        self
    }

    /// Addresses and `localhost` need no entry.
    pub(super) fn find(&self, target: &Target) -> Option<SocketAddr> {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, target.port));
        let name = match &target.host {
            Host::Ip(ip) => return Some(SocketAddr::new(*ip, target.port)),
            Host::Name(name) if name == "localhost" => return Some(loopback),
            Host::Name(name) => name,
        };
        let (_, place) = self.0.iter().find(|(pattern, _)| matches(pattern, name))?;
        Some(match place {
            Place::Loopback => loopback,
            Place::At(address) => *address,
        })
    }
}

/// `name` is in lower case, as a parsed host is.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_where_the_first_matching_pattern_says() {
        let there: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let names = Names::none().with("Hello.practice", Place::At(there)).with("*.test", Place::Loopback);
        let find = |text: &str| names.find(&Target::parse(text, None).unwrap()).map(|address| address.to_string());
        assert_eq!(find("hello.PRACTICE:80").as_deref(), Some("127.0.0.1:9"));
        assert_eq!(find("a.b.test:81").as_deref(), Some("127.0.0.1:81"));
        assert_eq!(find("[::1]:82").as_deref(), Some("[::1]:82"));
        assert_eq!(find("test:80"), None);
        assert_eq!(find("other.practice:80"), None);
    }
}
