//! Which profile fits the place where the machine is: the pure choice. The facts are gathered elsewhere.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::Target;

/// When a profile fits. Every kind that is given must hold; of one kind any value may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Suffixes that DNS names are completed with here.
    pub dns_suffix: Vec<String>,
    /// Networks of which this machine has an address.
    pub subnet: Vec<IpNet>,
    /// Names that have an address here.
    pub resolves: Vec<String>,
    /// Targets that accept a connection here.
    pub reachable: Vec<Target>,
    pub gateway: Vec<IpAddr>,
}

/// What is known of the place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub suffixes: Vec<String>,
    /// Of this machine, loopback left out.
    pub addresses: Vec<IpAddr>,
    pub gateways: Vec<IpAddr>,
    pub resolved: HashSet<String>,
    pub reached: HashSet<Target>,
}

impl Conditions {
    /// No condition at all: it always fits.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the conditions hold, and which one decided it, for people.
    pub fn judge(&self, facts: &Facts) -> Result<String, String> {
        let suffix = |wanted: &String| facts.suffixes.iter().any(|suffix| is_within(suffix, wanted));
        let checks = [
            check("dns_suffix", &self.dns_suffix, suffix),
            check("subnet", &self.subnet, |net| facts.addresses.iter().any(|address| net.contains(address))),
            check("gateway", &self.gateway, |gateway| facts.gateways.contains(gateway)),
            check("resolves", &self.resolves, |name| facts.resolved.contains(name)),
            check("reachable", &self.reachable, |target| facts.reached.contains(target)),
        ];
        let mut held = Vec::new();
        for check in checks.into_iter().flatten() {
            held.push(check?);
        }
        Ok(if held.is_empty() { "it has no condition".into() } else { held.join(", ") })
    }
}

/// `None`: nothing was asked.
fn check<T: Display>(kind: &str, wanted: &[T], holds: impl Fn(&T) -> bool) -> Option<Result<String, String>> {
    if wanted.is_empty() {
        return None;
    }
    Some(match wanted.iter().find(|one| holds(one)) {
        Some(one) => Ok(format!("{kind} {one}")),
        None => Err(format!("{kind} is not {}", Alternatives(wanted))),
    })
}

struct Alternatives<'a, T>(&'a [T]);

impl<T: Display> Display for Alternatives<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, one) in self.0.iter().enumerate() {
            write!(f, "{}{one}", if at == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}

/// `eu.corp.example` is within `corp.example`, `notcorp.example` is not.
fn is_within(name: &str, suffix: &str) -> bool {
    let (name, suffix) = (name.trim_matches('.').to_ascii_lowercase(), suffix.trim_matches('.').to_ascii_lowercase());
    name.strip_suffix(&suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The first whose conditions hold, and why; or why none does.
pub fn choose<'a>(profiles: impl IntoIterator<Item = (&'a str, &'a Conditions)>, facts: &Facts) -> Choice {
    let mut objections = Vec::new();
    for (at, (name, conditions)) in profiles.into_iter().enumerate() {
        match conditions.judge(facts) {
            Ok(why) => return Choice { profile: Some(at), why },
            Err(objection) => objections.push(format!("not {name}: {objection}")),
        }
    }
    let why = if objections.is_empty() { "there are no profiles".into() } else { objections.join("; ") };
    Choice { profile: None, why }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Its place in the list. `None`: what stands outside all profiles.
    pub profile: Option<usize>,
    /// For people.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            suffixes: vec!["eu.Corp.example".into()],
            addresses: vec!["10.1.2.3".parse().unwrap(), "2001:db8::7".parse().unwrap()],
            gateways: vec!["10.0.0.1".parse().unwrap()],
            resolved: ["proxy.corp.example".to_string()].into(),
            reached: [Target::parse("proxy.corp.example:8080", None).unwrap()].into(),
        }
    }

    fn with(change: impl FnOnce(&mut Conditions)) -> Conditions {
        let mut conditions = Conditions::default();
        change(&mut conditions);
        conditions
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_kind_of_condition_holds_or_says_why_not() {
        let subnet = |text: &str| with(|c| c.subnet = vec![text.parse().unwrap()]);
        let gateway = |text: &str| with(|c| c.gateway = vec![text.parse().unwrap()]);
        let suffix = |list: &[&str]| with(|c| c.dns_suffix = texts(list));
        let reachable = |text: &str| with(|c| c.reachable = vec![Target::parse(text, None).unwrap()]);
        for (conditions, said) in [
            (Conditions::default(), Ok("it has no condition")),
            (subnet("10.0.0.0/8"), Ok("subnet 10.0.0.0/8")),
            (subnet("2001:db8::/32"), Ok("subnet 2001:db8::/32")),
            (subnet("192.168.0.0/16"), Err("subnet is not 192.168.0.0/16")),
            (gateway("10.0.0.1"), Ok("gateway 10.0.0.1")),
            (gateway("10.0.0.2"), Err("gateway is not 10.0.0.2")),
            (suffix(&["home.test", ".corp.example"]), Ok("dns_suffix .corp.example")),
            (suffix(&["rp.example"]), Err("dns_suffix is not rp.example")),
            (suffix(&["a", "b"]), Err("dns_suffix is not a or b")),
            (with(|c| c.resolves = texts(&["proxy.corp.example"])), Ok("resolves proxy.corp.example")),
            (with(|c| c.resolves = texts(&["other"])), Err("resolves is not other")),
            (reachable("proxy.corp.example:8080"), Ok("reachable proxy.corp.example:8080")),
            (reachable("proxy.corp.example:8081"), Err("reachable is not proxy.corp.example:8081")),
        ] {
            assert_eq!(conditions.judge(&facts()), said.map(String::from).map_err(String::from));
        }
    }

    #[test]
    fn all_that_is_given_must_hold() {
        let mut both = with(|c| c.subnet = vec!["10.0.0.0/8".parse().unwrap()]);
        both.gateway = vec!["10.0.0.1".parse().unwrap()];
        assert_eq!(both.judge(&facts()), Ok("subnet 10.0.0.0/8, gateway 10.0.0.1".into()));
        both.gateway = vec!["10.9.9.9".parse().unwrap()];
        assert_eq!(both.judge(&facts()), Err("gateway is not 10.9.9.9".into()));
    }

    #[test]
    fn the_first_profile_that_fits_is_chosen() {
        let office = with(|c| c.subnet = vec!["172.16.0.0/12".parse().unwrap()]);
        let (vpn, always) = (with(|c| c.resolves = texts(&["proxy.corp.example"])), Conditions::default());
        let choice = choose([("office", &office), ("vpn", &vpn), ("home", &always)], &facts());
        assert_eq!(choice, Choice { profile: Some(1), why: "resolves proxy.corp.example".into() });
        let choice = choose([("office", &office)], &facts());
        assert_eq!(choice, Choice { profile: None, why: "not office: subnet is not 172.16.0.0/12".into() });
    }
}
