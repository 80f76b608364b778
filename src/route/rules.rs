//! Rules: which targets go which way, in the user's order.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::Path;

use ipnet::IpNet;
use thiserror::Error;

use super::pattern::Pattern;
use super::{Hop, Question};
use crate::address::Host;

/// Every kind of condition that is given must hold; of a list, any member. Without conditions it is for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub hosts: Vec<Pattern>,
    /// For addresses that stand in the request; with `resolve`, for those of names too.
    pub cidr: Vec<IpNet>,
    pub resolve: bool,
    pub ports: Vec<PortRange>,
    pub schemes: Vec<String>,
    /// File names of executables, with or without `.exe`. A client that is not known is none of them.
    pub programs: Vec<String>,
    pub action: Use,
    pub reason: Option<String>,
    /// `rule 3 at line 41 of hallpass.toml`
    pub place: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    Pac,
    Deny,
    /// In this order; the first that can be reached is taken.
    Hops(Vec<Hop>),
}

/// One port, or all from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no port from 1 to 65535 and no range such as 8000-8999")]
pub struct BadPorts(pub String);

/// What a rule has to say of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    No,
    /// With the conditions that held, for people.
    Yes(String),
    /// Only the addresses of the name can tell; the rest holds.
    Resolve(Vec<String>),
}

impl Rule {
    /// For every request: conditions are added to it.
    pub fn new(action: Use, place: String) -> Self {
        Self {
            hosts: Vec::new(),
            cidr: Vec::new(),
            resolve: false,
            ports: Vec::new(),
            schemes: Vec::new(),
            programs: Vec::new(),
            action,
            reason: None,
            place,
        }
    }

    pub(super) fn judge(&self, question: &Question<'_>) -> Match {
        let Some(held) = self.held(question) else { return Match::No };
        match self.address(&question.target.host) {
            Some(Address::Is(network)) => Match::Yes(join(held, network)),
            Some(Address::Ask) => Match::Resolve(held),
            None => Match::No,
        }
    }

    /// The network of this rule that holds one of a name's addresses.
    pub(super) fn network_of(&self, addresses: &[IpAddr]) -> Option<IpNet> {
        let holds = |network: &&IpNet| addresses.iter().any(|ip| network.contains(&ip.to_canonical()));
        self.cidr.iter().find(holds).copied()
    }

    /// The conditions that held, addresses aside; `None` where one did not.
    fn held(&self, question: &Question<'_>) -> Option<Vec<String>> {
        let target = question.target;
        let program = question.program.and_then(file_name);
        let kinds = [
            one_of(&self.hosts, |pattern| pattern.matches(&target.host), Pattern::to_string),
            one_of(&self.ports, |range| range.contains(target.port), |range| format!("port {range}")),
            one_of(
                &self.schemes,
                |scheme| scheme.eq_ignore_ascii_case(question.scheme),
                |scheme| format!("scheme {scheme}"),
            ),
            one_of(
                &self.programs,
                |name| program.is_some_and(|program| without_exe(name) == without_exe(program)),
                |name| format!("program {name}"),
            ),
        ];
        let held: Option<Vec<_>> = kinds.into_iter().collect();
        Some(held?.into_iter().flatten().collect())
    }

    fn address(&self, host: &Host) -> Option<Address> {
        match host {
            _ if self.cidr.is_empty() => Some(Address::Is(None)),
            Host::Ip(ip) => self.network_of(&[*ip]).map(|network| Address::Is(Some(network))),
            Host::Name(_) => self.resolve.then_some(Address::Ask),
        }
    }
}

enum Address {
    Is(Option<IpNet>),
    Ask,
}

/// `None`: a condition of this kind was given and does not hold. `Some(None)`: none was given.
#[expect(clippy::option_option, reason = "given and held are two questions")]
fn one_of<T>(list: &[T], holds: impl Fn(&T) -> bool, shown: impl Fn(&T) -> String) -> Option<Option<String>> {
    match list.iter().find(|member| holds(member)) {
        Some(member) => Some(Some(shown(member))),
        None if list.is_empty() => Some(None),
        None => None,
    }
}

pub(super) fn join(mut held: Vec<String>, network: Option<IpNet>) -> String {
    held.extend(network.map(|network| network.to_string()));
    if held.is_empty() { "every target".into() } else { held.join(", ") }
}

fn file_name(program: &Path) -> Option<&str> {
    program.file_name()?.to_str()
}

fn without_exe(name: &str) -> &str {
    let (stem, extension) = name.split_at_checked(name.len().saturating_sub(4)).unwrap_or((name, ""));
    if extension.eq_ignore_ascii_case(".exe") { stem } else { name }
}

impl PortRange {
    /// `443` or `8000-8999`.
    pub fn parse(text: &str) -> Result<Self, BadPorts> {
        let bad = || BadPorts(text.to_string());
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (port(first).ok_or_else(bad)?, port(last).ok_or_else(bad)?);
        if first > last {
            return Err(bad());
        }
        Ok(Self { first, last })
    }

    pub fn one(port: NonZeroU16) -> Self {
        Self { first: port.get(), last: port.get() }
    }

    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    pub(super) fn ends(self) -> (u16, u16) {
        (self.first, self.last)
    }
}

fn port(text: &str) -> Option<u16> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Target;
    use crate::route::network::parse_network;

    fn rule() -> Rule {
        Rule::new(Use::Deny, "rule 1".into())
    }

    fn judge(rule: &Rule, target: &str, scheme: &str, program: Option<&str>) -> Match {
        let target = Target::parse(target, None).unwrap();
        rule.judge(&Question { target: &target, scheme, url: "", program: program.map(Path::new) })
    }

    fn yes(shown: &str) -> Match {
        Match::Yes(shown.into())
    }

    #[test]
    fn a_rule_without_conditions_is_for_every_target() {
        assert_eq!(judge(&rule(), "a.example:1", "http", None), yes("every target"));
        assert_eq!(judge(&rule(), "[2001:db8::1]:1", "https", Some("/bin/x")), yes("every target"));
    }

    #[test]
    fn every_kind_that_is_given_must_hold_and_of_a_list_any() {
        let rule = Rule {
            hosts: vec![Pattern::parse("*.corp.example").unwrap(), Pattern::parse("gate").unwrap()],
            ports: vec![PortRange::parse("443").unwrap(), PortRange::parse("8000-8999").unwrap()],
            schemes: vec!["https".into(), "WSS".into()],
            programs: vec!["git".into(), "curl.exe".into()],
            ..rule()
        };
        let holds = "*.corp.example, port 8000-8999, scheme WSS, program curl.exe";
        assert_eq!(judge(&rule, "a.corp.example:8080", "wss", Some("/usr/bin/curl")), yes(holds));
        let holds = "gate, port 443, scheme https, program git";
        assert_eq!(judge(&rule, "gate:443", "https", Some("git.exe")), yes(holds));
        for (target, scheme, program) in [
            ("corp.example:443", "https", Some("git")),
            ("gate:444", "https", Some("git")),
            ("gate:443", "http", Some("git")),
            ("gate:443", "https", Some("Git")),
            ("gate:443", "https", Some("/git/node")),
            ("gate:443", "https", None),
        ] {
            assert_eq!(judge(&rule, target, scheme, program), Match::No, "{target} {scheme} {program:?}");
        }
    }

    #[test]
    fn networks_are_for_addresses_and_with_resolve_for_names_too() {
        let networks = vec![parse_network("10.0.0.0/8").unwrap(), parse_network("fd00::/8").unwrap()];
        let literal = Rule { cidr: networks, ..rule() };
        let resolving = Rule { resolve: true, ports: vec![PortRange::parse("443").unwrap()], ..literal.clone() };
        for (target, of_literal, of_resolving) in [
            ("10.1.1.1:443", yes("10.0.0.0/8"), yes("port 443, 10.0.0.0/8")),
            ("[::ffff:10.1.1.1]:443", yes("10.0.0.0/8"), yes("port 443, 10.0.0.0/8")),
            ("[fd12::1]:443", yes("fd00::/8"), yes("port 443, fd00::/8")),
            ("192.0.2.1:443", Match::No, Match::No),
            ("ten.example:443", Match::No, Match::Resolve(vec!["port 443".into()])),
            ("ten.example:80", Match::No, Match::No),
        ] {
            assert_eq!(judge(&literal, target, "https", None), of_literal, "{target}");
            assert_eq!(judge(&resolving, target, "https", None), of_resolving, "{target}");
        }
        let found = resolving.network_of(&["192.0.2.1".parse().unwrap(), "::ffff:10.0.0.1".parse().unwrap()]);
        assert_eq!(found.map(|network| network.to_string()).as_deref(), Some("10.0.0.0/8"));
        assert_eq!(resolving.network_of(&["192.0.2.1".parse().unwrap()]), None);
        assert_eq!(resolving.network_of(&[]), None);
    }

    #[test]
    fn ports_are_one_or_a_range() {
        for (text, shown) in [("443", "443"), ("8000-8999", "8000-8999"), ("1 - 65535", "1-65535"), ("80-80", "80")] {
            assert_eq!(PortRange::parse(text).map(|range| range.to_string()).as_deref(), Ok(shown), "{text}");
        }
        for text in ["", "0", "65536", "-", "80-", "-80", "90-80", "+80", "a", "80-90-100", "0-80"] {
            assert_eq!(PortRange::parse(text), Err(BadPorts(text.into())));
        }
        let range = PortRange::parse("8000-8999").unwrap();
        assert_eq!([7999, 8000, 8999, 9000].map(|port| range.contains(port)), [false, true, true, false]);
        assert!(NonZeroU16::new(443).is_some_and(|port| PortRange::one(port).contains(443)));
    }

    #[test]
    fn a_program_is_its_file_name_and_exe_is_no_part_of_it() {
        for (name, program, same) in [
            ("curl", "/usr/bin/curl", true),
            ("curl", "curl.EXE", true),
            ("curl.exe", "/opt/curl", true),
            ("curl", "/usr/bin/curl2", false),
            ("curl", "/curl/", true),
            ("ä", "/ä.exe", true),
            (".exe", "/", false),
        ] {
            let rule = Rule { programs: vec![name.into()], ..rule() };
            assert_eq!(judge(&rule, "h:1", "http", Some(program)) != Match::No, same, "{name} {program}");
        }
    }
}
