//! The order of decision, as tables.

use std::cell::RefCell;

use super::pattern::Pattern;
use super::rules::Use;
use super::*;
use crate::address::{Protocol, Target};

/// The one address of this machine.
const OWN: &str = "192.0.2.7";

/// Knows `ten.example` (inside), `out.example` (outside) and `self.example`; remembers what it was asked.
#[derive(Default)]
struct World {
    resolved: RefCell<Vec<String>>,
}

impl Outside for World {
    fn is_own(&self, ip: IpAddr) -> bool {
        ip.to_string() == OWN
    }

    fn resolve(&self, name: &str) -> Vec<IpAddr> {
        self.resolved.borrow_mut().push(name.into());
        let known = [("ten.example", "10.0.0.1"), ("out.example", "192.0.2.99")];
        known.iter().filter(|(known, _)| *known == name).map(|(_, ip)| ip.parse().unwrap()).collect()
    }
}

/// Answers with the same, or fails; `remembered` for `http://known.example/` only.
struct Fake(Result<&'static str, &'static str>);

impl Fake {
    fn answer(&self) -> Result<Arc<Answer>, String> {
        let returned = self.0?;
        let hops = returned.split(';').filter(|way| !way.trim().is_empty()).map(|way| match way.trim() {
            "DIRECT" => Hop::Direct,
            other => proxy(other.rsplit(' ').next().unwrap()),
        });
        Ok(Arc::new(Answer { hops: hops.collect(), returned: returned.into(), skipped: Vec::new() }))
    }
}

impl Script for Fake {
    fn remembered(&self, url: &str) -> Option<Arc<Answer>> {
        (url == "http://known.example/").then(|| self.answer().unwrap())
    }

    fn evaluate(&self, url: &str, host: &str) -> Result<Arc<Answer>, String> {
        self.answer().map_err(|error| error.replace("URL", url).replace("HOST", host))
    }
}

fn proxy(target: &str) -> Hop {
    Hop::Upstream(Endpoint { target: Target::parse(target, None).unwrap(), protocol: Protocol::Http })
}

fn upstreams(targets: &[&str]) -> Vec<Endpoint> {
    targets
        .iter()
        .map(|target| Endpoint { target: Target::parse(target, None).unwrap(), protocol: Protocol::Http })
        .collect()
}

fn rule(hosts: &str, action: Use) -> Rule {
    let patterns = hosts.split_whitespace().map(|text| Pattern::parse(text).unwrap()).collect();
    Rule { hosts: patterns, ..Rule::new(action, format!("rule for {hosts}")) }
}

fn never(patterns: &str) -> Vec<Pattern> {
    patterns.split_whitespace().map(|text| Pattern::parse(text).unwrap()).collect()
}

fn ready(returned: &'static str) -> PacState {
    PacState::Ready(Arc::new(Fake(Ok(returned))))
}

fn fails(error: &'static str) -> PacState {
    PacState::Ready(Arc::new(Fake(Err(error))))
}

/// The hops or `denied`/`failed`, then the kind of the reason, then its text.
fn decide(router: &Router, target: &str) -> [String; 3] {
    decide_url(router, target, &format!("http://{}/", target.rsplit_once(':').unwrap().0))
}

fn decide_url(router: &Router, target: &str, url: &str) -> [String; 3] {
    let target = Target::parse(target, None).unwrap();
    let question = Question { target: &target, scheme: "http", url, program: None };
    let world = World::default();
    let decision = router.decide(&question, &world);
    if let Some(at_once) = router.decide_now(&question, |ip| world.is_own(ip)) {
        assert_eq!(at_once, decision, "{target}: what is decided at once is what is decided");
    }
    let (way, reason) = match decision {
        Ok(Route { hops, reason }) => (hops.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), reason),
        Err(NoRoute::Denied(reason)) => ("denied".into(), reason),
        Err(NoRoute::Failed(reason)) => ("failed".into(), reason),
    };
    [way, reason.kind.name().into(), reason.text.into_owned()]
}

fn way(router: &Router, target: &str) -> String {
    let [way, kind, _] = decide(router, target);
    format!("{way} by {kind}")
}

#[test]
fn the_order_of_decision_is_loopback_own_no_proxy_rules_pac_upstreams_direct() {
    let bare = || Router {
        no_proxy: NoProxy::parse("*.direct.example, 10.0.0.0/8").0,
        rules: vec![
            rule("a.direct.example ruled.example", Use::Deny),
            rule("*.one.example", Use::Hops(vec![proxy("one.example:1"), Hop::Direct])),
            rule("x.one.example", Use::Deny),
            rule("*.asked.example", Use::Pac),
        ],
        ..Router::default()
    };
    let with_upstream = || Router { upstreams: upstreams(&["up.example:8080", "up2.example:8080"]), ..bare() };
    let from_system = Router { system: Some("the environment variable https_proxy".into()), ..with_upstream() };
    let with_pac = Router { pac: ready("PROXY pac.example:3; DIRECT"), ..with_upstream() };
    let up = "http://up.example:8080 http://up2.example:8080";
    for (target, without, upstream, system, pac) in [
        ("localhost:80", "direct by loopback", "", "", ""),
        ("0x7f.1:80", "direct by loopback", "", "", ""),
        ("169.254.169.254:80", "direct by loopback", "", "", ""),
        ("192.0.2.7:80", "direct by own", "", "", ""),
        ("a.direct.example:443", "direct by no_proxy", "", "", ""),
        ("10.1.2.3:443", "direct by no_proxy", "", "", ""),
        ("ruled.example:443", "denied by rule", "", "", ""),
        ("x.one.example:443", "http://one.example:1 direct by rule", "", "", ""),
        ("x.asked.example:443", "failed by pac", "", "", "http://pac.example:3 direct by pac"),
        (
            "example.com:443",
            "direct by default",
            &format!("{up} by upstream"),
            &format!("{up} by system"),
            "http://pac.example:3 direct by pac",
        ),
    ] {
        assert_eq!(way(&bare(), target), without, "{target}");
        for (router, expected) in [(&with_upstream(), upstream), (&from_system, system), (&with_pac, pac)] {
            assert_eq!(way(router, target), if expected.is_empty() { without } else { expected }, "{target}");
        }
    }
}

#[test]
fn a_pac_that_fails_leads_to_direct_only_as_far_as_it_is_allowed() {
    let unreachable = || PacState::Unreachable("no answer".into());
    let failed = || PacState::Failed("line 3: syntax".into());
    let [never, unreachable_only, always] =
        [DirectFallback::Never, DirectFallback::PacUnreachable, DirectFallback::Always];
    assert_eq!(DirectFallback::default(), unreachable_only);
    for (pac, fallback, expected) in [
        (unreachable(), never, "failed by pac"),
        (unreachable(), unreachable_only, "direct by pac_fallback"),
        (unreachable(), always, "direct by pac_fallback"),
        (failed(), never, "failed by pac"),
        (failed(), unreachable_only, "failed by pac"),
        (failed(), always, "direct by pac_fallback"),
        (fails("threw"), never, "failed by pac"),
        (fails("threw"), unreachable_only, "failed by pac"),
        (fails("threw"), always, "direct by pac_fallback"),
        (ready(""), never, "failed by pac"),
        (ready(""), unreachable_only, "failed by pac"),
        (ready(""), always, "direct by pac_fallback"),
        (ready("DIRECT"), never, "direct by pac"),
        (ready("DIRECT"), always, "direct by pac"),
        (ready("PROXY p.example:1"), never, "http://p.example:1 by pac"),
        (ready("PROXY p.example:1"), unreachable_only, "http://p.example:1 by pac"),
        (ready("PROXY p.example:1"), always, "http://p.example:1 direct by pac"),
        (ready("DIRECT; PROXY p.example:1"), always, "direct http://p.example:1 by pac"),
    ] {
        let shown = format!("{pac:?} {fallback:?}");
        // Upstreams are for rules alone where there is a PAC, working or not.
        let upstreams = upstreams(&["up.example:1"]);
        let router = Router { pac: pac.clone(), direct_fallback: fallback, upstreams, ..Router::default() };
        assert_eq!(way(&router, "example.com:80"), expected, "{shown}");
        let ruled = Router { rules: vec![rule("*.com", Use::Pac)], ..router };
        assert_eq!(way(&ruled, "example.com:80"), expected, "{shown} by a rule");
        let never_direct = Router { never_direct: super::tests::never("example.com"), ..ruled };
        let without_direct = match expected {
            "direct by pac_fallback" => "failed by pac_fallback".to_string(),
            "direct by pac" => "denied by pac".to_string(),
            other => other.replace(" direct", "").replace("direct ", ""),
        };
        assert_eq!(way(&never_direct, "example.com:80"), without_direct, "{shown} never directly");
    }
}

#[test]
fn direct_after_the_last_hop_is_for_always_and_never_after_a_denial() {
    let router = |fallback| Router {
        rules: vec![
            rule("one.example", Use::Hops(vec![proxy("one.example:1")])),
            rule("denied.example", Use::Deny),
            rule("nothing.example", Use::Hops(Vec::new())),
        ],
        upstreams: upstreams(&["up.example:1"]),
        direct_fallback: fallback,
        ..Router::default()
    };
    for (target, otherwise, always) in [
        ("one.example:80", "http://one.example:1 by rule", "http://one.example:1 direct by rule"),
        ("example.com:80", "http://up.example:1 by upstream", "http://up.example:1 direct by upstream"),
        ("denied.example:80", "denied by rule", "denied by rule"),
        ("nothing.example:80", "failed by rule", "failed by rule"),
    ] {
        assert_eq!(way(&router(DirectFallback::Never), target), otherwise);
        assert_eq!(way(&router(DirectFallback::PacUnreachable), target), otherwise);
        assert_eq!(way(&router(DirectFallback::Always), target), always);
    }
}

#[test]
fn what_is_never_direct_is_not_dialled_whoever_says_so() {
    let router = |pac, upstreams| Router {
        no_proxy: NoProxy::parse("*.np.example").0,
        never_direct: never("claude.example *.never.example x.np.example localhost 192.0.2.7 127.0.0.1"),
        rules: vec![
            rule("a.never.example", Use::Hops(vec![Hop::Direct])),
            rule("b.never.example", Use::Hops(vec![proxy("one.example:1"), Hop::Direct, proxy("two.example:2")])),
        ],
        pac,
        upstreams,
        direct_fallback: DirectFallback::Always,
        ..Router::default()
    };
    let with_upstream = router(PacState::Absent, upstreams(&["up.example:1"]));
    let without = router(PacState::Absent, Vec::new());
    let with_pac = router(ready("DIRECT"), Vec::new());
    for (router, target, expected) in [
        (&with_upstream, "x.np.example:80", "denied by no_proxy"),
        (&with_upstream, "y.np.example:80", "direct by no_proxy"),
        (&with_upstream, "a.never.example:80", "denied by rule"),
        (&with_upstream, "b.never.example:80", "http://one.example:1 http://two.example:2 by rule"),
        (&with_upstream, "claude.example:80", "http://up.example:1 by upstream"),
        (&with_upstream, "other.example:80", "http://up.example:1 direct by upstream"),
        (&without, "claude.example:80", "denied by default"),
        (&without, "other.example:80", "direct by default"),
        (&with_pac, "claude.example:80", "denied by pac"),
        (&with_pac, "other.example:80", "direct by pac"),
        // This machine is exempt.
        (&with_upstream, "localhost:80", "direct by loopback"),
        (&with_upstream, "127.0.0.1:80", "direct by loopback"),
        (&with_upstream, "192.0.2.7:80", "direct by own"),
    ] {
        assert_eq!(way(router, target), expected, "{target}");
    }
    let [_, _, text] = decide(&with_pac, "claude.example:80");
    assert_eq!(text, "the PAC says \"DIRECT\"; not directly, because never_direct has claude.example");
}

#[test]
fn names_are_resolved_for_a_rule_that_wants_it_and_only_when_it_is_reached() {
    let inside = |resolve| Rule {
        cidr: vec![network::parse_network("10.0.0.0/8").unwrap()],
        resolve,
        ports: vec![rules::PortRange::parse("443").unwrap()],
        ..rule("", Use::Hops(vec![Hop::Direct]))
    };
    let router = |resolve| Router {
        rules: vec![rule("early.example", Use::Deny), inside(resolve), rule("late.example", Use::Deny)],
        upstreams: upstreams(&["up.example:1"]),
        ..Router::default()
    };
    for (resolve, target, expected, asked) in [
        (true, "ten.example:443", "direct by rule", vec!["ten.example"]),
        (true, "out.example:443", "http://up.example:1 by upstream", vec!["out.example"]),
        (true, "nobody.example:443", "http://up.example:1 by upstream", vec!["nobody.example"]),
        (true, "late.example:443", "denied by rule", vec!["late.example"]),
        (true, "early.example:443", "denied by rule", vec![]),
        (true, "ten.example:80", "http://up.example:1 by upstream", vec![]),
        (true, "10.0.0.1:443", "direct by rule", vec![]),
        (true, "192.0.2.99:443", "http://up.example:1 by upstream", vec![]),
        (false, "ten.example:443", "http://up.example:1 by upstream", vec![]),
        (false, "10.0.0.1:443", "direct by rule", vec![]),
    ] {
        let router = router(resolve);
        assert_eq!(way(&router, target), expected, "{target} {resolve}");
        let parsed = Target::parse(target, None).unwrap();
        let question = Question { target: &parsed, scheme: "https", url: "", program: None };
        let world = World::default();
        assert!(router.decide(&question, &world).is_ok() != expected.starts_with("denied"));
        assert_eq!(*world.resolved.borrow(), asked, "{target} {resolve}");
        assert_eq!(router.decide_now(&question, |_| false).is_some(), asked.is_empty(), "{target} {resolve}");
    }
    let [_, _, text] = decide(&router(true), "ten.example:443");
    assert_eq!(text, "rule for : port 443, 10.0.0.0/8");
}

#[test]
fn a_pac_is_run_only_where_blocking_is_allowed() {
    let router = Router {
        no_proxy: NoProxy::parse("np.example").0,
        rules: vec![rule("asked.example", Use::Pac), rule("*.example", Use::Deny)],
        pac: ready("PROXY p.example:1"),
        ..Router::default()
    };
    for (target, url, at_once) in [
        ("np.example:80", "http://np.example/", true),
        ("denied.example:80", "http://denied.example/", true),
        ("asked.example:80", "http://asked.example/", false),
        ("asked.example:80", "http://known.example/", true),
        ("example.com:80", "http://example.com/", false),
        ("example.com:80", "http://known.example/", true),
    ] {
        let target = Target::parse(target, None).unwrap();
        let question = Question { target: &target, scheme: "http", url, program: None };
        assert_eq!(router.decide_now(&question, |_| false).is_some(), at_once, "{target} {url}");
    }
}

#[test]
fn the_reason_says_which_pattern_rule_or_answer_decided() {
    let mut second = rule("*.b.example", Use::Deny);
    second.reason = Some("ask the help desk".into());
    let mut ports = rule("*.c.example", Use::Pac);
    ports.ports = vec![rules::PortRange::parse("8000-8999").unwrap()];
    ports.place = "rule 3 at line 41 of hallpass.toml".into();
    let router = Router {
        no_proxy: NoProxy::parse("*.A.example").0,
        rules: vec![second, ports],
        pac: ready("PROXY p.example:1; DIRECT"),
        ..Router::default()
    };
    for (target, text) in [
        ("x.a.example:80", "no_proxy has *.A.example"),
        ("x.b.example:80", "rule for *.b.example: ask the help desk"),
        (
            "x.c.example:8080",
            "rule 3 at line 41 of hallpass.toml: *.c.example, port 8000-8999; the PAC says \"PROXY p.example:1; DIRECT\"",
        ),
        ("example.com:80", "the PAC says \"PROXY p.example:1; DIRECT\""),
    ] {
        assert_eq!(decide(&router, target)[2], text);
    }
}

#[test]
fn a_reason_holds_no_path_even_where_the_script_repeats_it() {
    let url = "http://example.com/secret/path?token=1";
    for (pac, kept) in [
        (fails("cannot read URL of HOST"), "the PAC failed: cannot read http://example.com/… of example.com"),
        (fails("two\nlines"), "the PAC failed: two"),
        (ready("PROXY p.example:1; DIRECT;"), "the PAC says \"PROXY p.example:1; DIRECT;\""),
    ] {
        let router = Router { pac, ..Router::default() };
        assert_eq!(decide_url(&router, "example.com:80", url)[2], kept);
    }
    for returned in ["PROXY p.example:1;\u{a0}/secret", "PROXY p.example:1; u:p@h.example:2"] {
        let hops = vec![proxy("p.example:1")];
        let router = Router { pac: PacState::Ready(Arc::new(Fixed(hops, returned))), ..Router::default() };
        assert_eq!(decide_url(&router, "example.com:80", url)[2], "the PAC says http://p.example:1");
    }
    let long: &str = Box::leak("x".repeat(1000).into_boxed_str());
    let router = Router { pac: fails(long), ..Router::default() };
    assert_eq!(decide_url(&router, "example.com:80", url)[2].chars().count(), "the PAC failed: ".len() + 201);
}

/// Hops and what was returned, as unlike as they may be.
struct Fixed(Vec<Hop>, &'static str);

impl Script for Fixed {
    fn remembered(&self, _: &str) -> Option<Arc<Answer>> {
        None
    }

    fn evaluate(&self, _: &str, _: &str) -> Result<Arc<Answer>, String> {
        Ok(Arc::new(Answer { hops: self.0.clone(), returned: self.1.into(), skipped: Vec::new() }))
    }
}

#[test]
fn the_names_of_reasons_are_the_ones_in_json() {
    for kind in [
        ReasonKind::Own,
        ReasonKind::Loopback,
        ReasonKind::NoProxy,
        ReasonKind::Rule,
        ReasonKind::Pac,
        ReasonKind::PacFallback,
        ReasonKind::Upstream,
        ReasonKind::System,
        ReasonKind::Default,
    ] {
        assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.name()));
    }
}
