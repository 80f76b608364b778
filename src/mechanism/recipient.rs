//! Who may receive an account: an upstream by its endpoint, or those that only a PAC script names, by patterns.

use crate::address::{Endpoint, Host, Target};
use crate::route::no_proxy::NoProxy;

pub enum Recipient {
    Upstream(Endpoint),
    /// Those that are named elsewhere than in the configuration.
    Matching(Vec<Pattern>),
}

impl Recipient {
    /// `proxy.corp.example` is that name alone; `*.corp.example` and `.corp.example` are what is below; networks,
    /// `*` and a `:port` are as in `no_proxy`.
    pub fn matching(patterns: &[String]) -> Self {
        let separate = |c: char| c.is_whitespace() || c == ',' || c == ';';
        let words = patterns.iter().flat_map(|text| text.split(separate)).filter(|word| !word.is_empty());
        Self::Matching(words.map(Pattern::new).collect())
    }

    pub(super) fn is(&self, upstream: &Endpoint) -> bool {
        match self {
            Self::Upstream(endpoint) => endpoint == upstream,
            Self::Matching(patterns) => patterns.iter().any(|pattern| pattern.covers(&upstream.target)),
        }
    }
}

pub struct Pattern {
    /// In `no_proxy` a name is also everything below it. A credential goes to fewer rather than to more.
    only: Option<Host>,
    list: NoProxy,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let only = if text.starts_with(['*', '.']) {
            None
        } else {
            Target::parse(text, Some(1)).map(|target| target.host).or_else(|_| Host::parse(text)).ok()
        };
        Self { only, list: NoProxy::parse(text).0 }
    }

    fn covers(&self, target: &Target) -> bool {
        self.only.as_ref().is_none_or(|host| *host == target.host) && self.list.matches(target).is_some()
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
            ("a.test, b.test", &["a.test:1", "b.test:1"], &["c.test:1"]),
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
