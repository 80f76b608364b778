//! What chooses a route: what a PAC script returns, scripts, `NO_PROXY`, patterns.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallpass::address::Target;
use hallpass::route::no_proxy::NoProxy;
use hallpass::route::own_pac;
use hallpass::route::pac::{Host, Limits, Pac, directive, text};
use hallpass::route::pattern::Pattern;
use hallpass::route::rules::{Rule, Use};
use hallpass::route::{Hop, Question, Router};

/// What a script returned.
pub fn pac_directive(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(read) = directive::parse(&text) else { return };
    assert!(!read.hops.is_empty(), "no hop and no error");
    // What was understood means the same when it is written again.
    let again: Vec<String> = read.hops.iter().map(written).collect();
    assert_eq!(directive::parse(&again.join(";")).map(|again| again.hops), Ok(read.hops));
}

fn written(hop: &hallpass::route::Hop) -> String {
    match hop.to_string().split_once("://") {
        None => "DIRECT".into(),
        Some((kind, place)) => format!("{} {place}", if kind == "http" { "PROXY" } else { kind }),
    }
}

/// The file a script came in, loaded and asked.
pub fn pac_script(bytes: &[u8]) {
    let limits = Limits { time: Duration::from_millis(200), memory: 8 << 20 };
    let script = text::decode(bytes, None);
    let Ok(pac) = Pac::compile(&script, limits, Arc::new(Nowhere(Instant::now()))) else { return };
    for (url, host) in [("http://www.example.com/a?b", "www.example.com"), ("https://[::1]/", "::1")] {
        let first = pac.evaluate(url, host);
        if let Some(remembered) = pac.remembered(url) {
            assert_eq!(Ok(remembered), first);
        }
    }
}

/// A world without names.
struct Nowhere(Instant);

impl Host for Nowhere {
    fn resolve(&self, _: &str, _: Duration) -> Vec<IpAddr> {
        Vec::new()
    }

    fn my_addresses(&self) -> Vec<IpAddr> {
        vec![IpAddr::from([10, 0, 0, 1])]
    }

    fn now(&self) -> jiff::Zoned {
        jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC)
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn alert(&self, _: &str) {}
}

/// A `NO_PROXY`, read and asked.
pub fn no_proxy(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (list, bad) = NoProxy::parse(&text);
    assert_eq!(list.is_empty(), list.written().next().is_none());
    for written in list.written() {
        // Each entry means by itself what it means in the list.
        let (alone, none) = NoProxy::parse(written);
        assert!(none.is_empty() && alone.written().eq([written]), "{written:?}");
    }
    for entry in bad {
        assert!(NoProxy::parse(&entry.text).0.is_empty(), "{:?}", entry.text);
    }
    for target in targets() {
        if let Some(written) = list.matches(&target) {
            assert!(NoProxy::parse(written).0.matches(&target).is_some(), "{written:?} {target}");
        }
    }
    browsers_agree(&Router { no_proxy: list, rules: vec![deny(Vec::new())], ..Router::default() });
}

/// Patterns of a rule, one in each line.
pub fn patterns(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let hosts: Vec<Pattern> = text.lines().filter_map(|line| Pattern::parse(line).ok()).collect();
    for pattern in &hosts {
        assert_eq!(Pattern::parse(&pattern.to_string()).as_ref(), Ok(pattern));
    }
    // Without a host a rule is for all.
    if !hosts.is_empty() {
        browsers_agree(&Router { rules: vec![deny(hosts)], ..Router::default() });
    }
}

fn deny(hosts: Vec<Pattern>) -> Rule {
    Rule { hosts, ..Rule::new(Use::Deny, String::new()) }
}

fn targets() -> Vec<Target> {
    [
        "a.example:80",
        "www.corp.example:80",
        "intranet:80",
        "10.1.2.3:80",
        "192.0.2.1:80",
        "[2001:db8::1]:80",
        "xn--bcher-kva.example:80",
    ]
    .iter()
    .filter_map(|text| Target::parse(text, None).ok())
    .collect()
}

/// The script for browsers compiles whatever was configured, and says what the router does.
fn browsers_agree(router: &Router) {
    let limits = Limits { time: Duration::from_secs(10), memory: 64 << 20 };
    let script = own_pac::script(router, "127.0.0.1:3128", None);
    assert!(script.is_ascii());
    let pac = Pac::compile(&script, limits, Arc::new(Nowhere(Instant::now())));
    let pac = pac.unwrap_or_else(|error| panic!("{error}: {script}"));
    for target in targets() {
        let url = format!("http://{}/", target.host);
        let question = Question { target: &target, scheme: "http", url: &url, program: None };
        let decided = router.decide_now(&question, |_| false);
        let direct = decided.is_some_and(|decision| decision.is_ok_and(|route| route.hops == [Hop::Direct]));
        let said = pac.evaluate(&url, &target.host.to_string()).map(|answer| answer.hops == [Hop::Direct]);
        assert_eq!(said, Ok(direct), "{target}: {script}");
    }
}
