//! Our own PAC script beside the router it speaks for, run by the engine that runs the company's.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

#[path = "pac/support.rs"]
#[expect(dead_code, reason = "the world is shared with other tests")]
mod support;

use std::net::IpAddr;
use std::sync::Arc;

use hallpass::address::{Endpoint, Protocol, Target};
use hallpass::route::network::parse_network;
use hallpass::route::no_proxy::NoProxy;
use hallpass::route::own_pac;
use hallpass::route::pattern::Pattern;
use hallpass::route::rules::{PortRange, Rule, Use};
use hallpass::route::{DirectFallback, Hop, Outside, PacState, Question, ReasonKind, Router};
use support::{World, compile};

const OURS: &str = "127.0.0.1:3128";

const COMPANY: &str = r#"
// A script as companies have them, with a "quote", a back\slash and more.
var counter = 0, hallpass = "a name of ours";
FindProxyForURLs = ["}", "});"];
function target() { return "another"; }
function FindProxyForURL(url, host) {
  counter++;
  if (isPlainHostName(host)) return "DIRECT";
  if (dnsDomainIs(host, ".inside.example")) return " direct ; ";
  if (shExpMatch(url, "http://*/open/*")) return "DIRECT;";
  if (shExpMatch(url, "https://portal.example/*")) return "DIRECT";
  if (host == "both.example") return "DIRECT; PROXY up.example:8080";
  if (host == "odd.example") return "DIRECTLY";
  if (host == "throws.example") throw new Error(url);
  if (host == "nothing.example") return null;
  return "PROXY up.example:8080; DIRECT";
}
"#;

struct Nowhere;

impl Outside for Nowhere {
    fn is_own(&self, _: IpAddr) -> bool {
        false
    }

    fn resolve(&self, name: &str) -> Vec<IpAddr> {
        if name == "ten.example" { vec!["10.0.0.1".parse().unwrap()] } else { Vec::new() }
    }
}

fn rule(hosts: &str, action: Use) -> Rule {
    let patterns = hosts.split_whitespace().map(|text| Pattern::parse(text).unwrap()).collect();
    Rule { hosts: patterns, ..Rule::new(action, "rule 1 at line 1 of hallpass.toml".into()) }
}

fn direct(hosts: &str) -> Rule {
    rule(hosts, Use::Hops(vec![Hop::Direct]))
}

fn upstream() -> Endpoint {
    Endpoint { target: Target::parse("up.example:8080", None).unwrap(), protocol: Protocol::Http }
}

fn up(hosts: &str) -> Rule {
    rule(hosts, Use::Hops(vec![Hop::Upstream(upstream()), Hop::Direct]))
}

fn networks(list: &str) -> Vec<ipnet::IpNet> {
    list.split_whitespace().map(|text| parse_network(text).unwrap()).collect()
}

fn ports(list: &str) -> Vec<PortRange> {
    list.split_whitespace().map(|text| PortRange::parse(text).unwrap()).collect()
}

/// As many rules as there are kinds of them.
fn rules() -> Vec<Rule> {
    vec![
        rule("denied.example *.denied.example", Use::Deny),
        Rule { ports: ports("8000-8999 9443"), ..direct("*.ports.example") },
        Rule { schemes: vec!["HTTP".into()], ..direct("*.plain.example") },
        Rule { schemes: vec!["https".into(), "wss".into()], ..direct("*.secret.example") },
        Rule { cidr: networks("172.16.0.0/12 2001:db8:1::/48 192.0.2.1"), ..direct("") },
        Rule { cidr: networks("198.51.100.0/24"), ports: ports("443"), ..direct("*") },
        up("*.up.example 203.0.113.*"),
        direct("build-*.example *mid*dle* [2001:db8:2::2] 203.0.*"),
        rule("*.asked.example portal.example", Use::Pac),
        rule("nowhere.example", Use::Hops(Vec::new())),
    ]
}

fn routers() -> Vec<(&'static str, Router, Option<String>)> {
    let world = World::new();
    let ready = || PacState::Ready(Arc::new(compile(&world, COMPANY).unwrap()));
    let company = || Some(COMPANY.to_string());
    let no_proxy = || {
        NoProxy::parse(
            "np.example .dot.example *.star.example ported.example:8080 10.0.0.0/8 fd00::/8 192.168.* 172.31.0.0-172.31.0.9 \
             [2001:db8::7]:8443 2001:db8::9 <local>:8080 b\u{fc}cher.example np-*.wild.example",
        )
        .0
    };
    let never = || ["x.np.example", "*.never.example", "10.9.*"].map(|text| Pattern::parse(text).unwrap()).to_vec();
    let bare = Router::default;
    vec![
        ("nothing at all", bare(), None),
        ("never direct", Router { never_direct: never(), ..bare() }, None),
        ("an upstream", Router { upstreams: vec![upstream()], ..bare() }, None),
        ("always", Router { upstreams: vec![upstream()], direct_fallback: DirectFallback::Always, ..bare() }, None),
        ("no_proxy", Router { no_proxy: no_proxy(), upstreams: vec![upstream()], ..bare() }, None),
        (
            "everything in no_proxy",
            Router { no_proxy: NoProxy::parse("*:8080").0, upstreams: vec![upstream()], ..bare() },
            None,
        ),
        ("rules", Router { rules: rules(), upstreams: vec![upstream()], ..bare() }, None),
        ("rules and nothing else", Router { rules: rules(), never_direct: never(), ..bare() }, None),
        ("a PAC", Router { pac: ready(), ..bare() }, company()),
        (
            "a PAC and upstreams",
            Router { pac: ready(), upstreams: vec![upstream()], never_direct: never(), ..bare() },
            company(),
        ),
        ("a PAC always", Router { pac: ready(), direct_fallback: DirectFallback::Always, ..bare() }, company()),
        (
            "all",
            Router { no_proxy: no_proxy(), rules: rules(), pac: ready(), never_direct: never(), ..bare() },
            company(),
        ),
        (
            "broken",
            Router { pac: PacState::Failed("why".into()), direct_fallback: DirectFallback::Always, ..bare() },
            None,
        ),
        ("away", Router { pac: PacState::Unreachable("why".into()), ..bare() }, None),
        ("denied", Router { rules: vec![rule("", Use::Deny)], ..bare() }, None),
        (
            "no rule holds",
            Router { rules: vec![Rule { cidr: networks("10.0.0.0/8"), ..up("*.example") }], ..bare() },
            None,
        ),
    ]
}

const HOSTS: &[&str] = &[
    "localhost",
    "a.localhost",
    "127.0.0.1",
    "127.9.9.9",
    "[::1]",
    "[::]",
    "0.0.0.0",
    "169.254.169.254",
    "[fe80::1]",
    "[febf::1]",
    "[fec0::1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::2]",
    "128.0.0.1",
    "notlocalhost",
    "localhost.example",
    "example.com",
    "EXAMPLE.com.",
    "intranet",
    "np.example",
    "x.np.example",
    "y.np.example",
    "notnp.example",
    "dot.example",
    "a.dot.example",
    "star.example",
    "a.star.example",
    "ported.example",
    "a.ported.example",
    "10.1.2.3",
    "10.9.1.1",
    "11.0.0.1",
    "[fd12:3456::1]",
    "[fc00::1]",
    "192.168.7.8",
    "192.168.evil.example",
    "172.31.0.9",
    "172.31.0.10",
    "172.32.0.1",
    "172.16.0.1",
    "[2001:db8::7]",
    "[2001:db8:0::9]",
    "[2001:0DB8::0009]",
    "[2001:db8::a]",
    "[2001:db8:1:2::3]",
    "[2001:db8:2::2]",
    "[::ffff:10.1.2.3]",
    "[::ffff:a01:203]",
    "xn--bcher-kva.example",
    "www.xn--bcher-kva.example",
    "np-1.wild.example",
    "np.wild.example",
    "denied.example",
    "a.denied.example",
    "a.ports.example",
    "ports.example",
    "a.plain.example",
    "a.secret.example",
    "192.0.2.1",
    "192.0.2.2",
    "198.51.100.7",
    "a.up.example",
    "203.0.113.9",
    "203.0.114.9",
    "203.0.evil.example",
    "build-7.example",
    "build.example",
    "xmidydlex.middle",
    "amidbdlec",
    "amiddlec",
    "a.asked.example",
    "portal.example",
    "nowhere.example",
    "a.inside.example",
    "both.example",
    "odd.example",
    "throws.example",
    "nothing.example",
    "a.never.example",
    "a_b.example",
    "255.255.255.255",
    "1.2.3.4",
];

/// What browsers ask about, and as what the relay would be asked.
fn questions() -> Vec<(String, Target, String, String)> {
    let mut all = Vec::new();
    for host in HOSTS {
        for (scheme, port, path) in [
            ("http", 80, "/"),
            ("http", 8080, "/open/door?x=y"),
            ("https", 443, "/"),
            ("https", 8443, "/"),
            ("https", 80, "/"),
            ("ws", 80, "/"),
            ("ws", 8080, "/"),
            ("wss", 443, "/"),
            ("ftp", 21, "/open/file"),
        ] {
            let target = Target::new(hallpass::address::Host::parse(host).unwrap(), port);
            let usual = [("http", 80), ("ws", 80), ("https", 443), ("wss", 443), ("ftp", 21)].contains(&(scheme, port));
            let shown = if usual { (*host).to_string() } else { format!("{host}:{port}") };
            let url = format!("{scheme}://{shown}{path}");
            // Plain requests come to the relay with their URL, all others as tunnels.
            let (seen_scheme, seen_url) = match (scheme, port) {
                ("http" | "ftp", _) => (scheme, url.clone()),
                (_, 80) => ("http", format!("http://{}/", target.host)),
                (_, 443) => ("https", format!("https://{}/", target.host)),
                _ => ("https", format!("https://{target}/")),
            };
            all.push((url, target, seen_scheme.to_string(), seen_url));
        }
    }
    all
}

#[test]
fn a_browser_goes_direct_exactly_where_the_relay_would() {
    let (mut asked, mut went_direct) = (0, 0);
    for (name, router, pac) in routers() {
        let world = World::new();
        let text = own_pac::script(&router, OURS, pac.as_deref());
        let script = compile(&world, &text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
        for (url, target, scheme, seen) in questions() {
            let question = Question { target: &target, scheme: &scheme, url: &seen, program: None };
            let (hops, kind) = match router.decide(&question, &Nowhere) {
                Ok(route) => (route.hops, route.reason.kind),
                Err(no_route) => (Vec::new(), no_route.reason().kind),
            };
            let direct = hops == [Hop::Direct] && kind != ReasonKind::PacFallback;
            let host = target.host.to_string().replace(['[', ']'], "");
            let said = &script.evaluate(&url, &host).unwrap().returned;
            let expected = if direct { "DIRECT".to_string() } else { format!("PROXY {OURS}") };
            assert_eq!(*said, expected, "{name}: {url} ({host}), the relay says {hops:?} by {kind:?}");
            asked += 1;
            went_direct += usize::from(direct);
        }
    }
    assert!(asked > 10_000 && went_direct > 2_000, "{went_direct} of {asked}");
}

/// What is asked of one script, as a browser would.
fn says(script: &str, url: &str, host: &str) -> String {
    compile(&World::new(), script)
        .unwrap_or_else(|error| panic!("{error}\n{script}"))
        .evaluate(url, host)
        .unwrap()
        .returned
        .clone()
}

#[test]
fn what_a_browser_cannot_judge_is_left_to_the_relay() {
    let by_program = Rule { programs: vec!["curl".into()], ..direct("tool.example") };
    let by_address = Rule { cidr: networks("10.0.0.0/8"), resolve: true, ports: ports("443"), ..direct("") };
    let denied_inside = Rule { cidr: networks("172.16.0.0/12"), resolve: true, ..rule("*.d.example", Use::Deny) };
    let router = Router { rules: vec![by_program, by_address, denied_inside], ..Router::default() };
    let script = own_pac::script(&router, OURS, None);
    for (url, host, direct) in [
        ("http://tool.example/", "tool.example", false),
        ("https://ten.example/", "ten.example", false),
        ("https://any.example/", "any.example", false),
        ("http://any.example/", "any.example", true),
        ("https://10.0.0.1/", "10.0.0.1", true),
        ("https://192.0.2.1/", "192.0.2.1", true),
        ("http://a.d.example/", "a.d.example", false),
        ("http://a.e.example/", "a.e.example", true),
    ] {
        assert_eq!(says(&script, url, host) == "DIRECT", direct, "{url}");
    }
    let plain = own_pac::script(&Router::default(), OURS, None);
    for (url, host) in [
        ("http://0x7f.1/", "0x7f.1"),
        ("http://2130706433/", "2130706433"),
        ("http://0300.0250.1.1/", "0300.0250.1.1"),
        ("gopher://a.example/", "a.example"),
        ("no url", "a.example"),
        ("http://b\u{fc}cher.example/", "b\u{fc}cher.example"),
        ("http://[2001:db8::1::2]/", "2001:db8::1::2"),
        ("http://[2001:db8::1]/", "2001:db8::1%eth0"),
        ("http://[12345::]/", "12345::"),
    ] {
        assert_eq!(says(&plain, url, host), format!("PROXY {OURS}"), "{url}");
    }
    for (url, host) in
        [("http://[fe80::1]/", "fe80::1%eth0"), ("http://a.example/", "A.Example."), ("http://[::1]/", "[::1]")]
    {
        assert_eq!(says(&plain, url, host), "DIRECT", "{url}");
    }
}

#[test]
fn a_company_script_that_breaks_breaks_nothing_else() {
    let world = World::new();
    let ready = || PacState::Ready(Arc::new(compile(&world, COMPANY).unwrap()));
    for broken in [
        "function FindProxyForURL(url, host) {",
        "})(); function FindProxyForURL() { return 'DIRECT'; } (function () {",
        "}; return function () { return 'DIRECT'; }; {",
        "throw 'at once';",
        "var FindProxyForURL = 'no function';",
        "FindProxyForURLEx = function () { throw 1; };",
        "FindProxyForURL = function () { return new String('DIRECT'); };",
        "function FindProxyForURL() { return 'DIRECT; DIRECTLY'; }",
        "function FindProxyForURL() { return ';'; }",
        "function FindProxyForURL() { return 'DIRECT PROXY a:1'; }",
        "",
        "\u{2028}\"\\",
    ] {
        let router = Router { no_proxy: NoProxy::parse("np.example").0, pac: ready(), ..Router::default() };
        let script = own_pac::script(&router, OURS, Some(broken));
        assert_eq!(says(&script, "http://np.example/", "np.example"), "DIRECT", "{broken}");
        let said = says(&script, "http://a.example/", "a.example");
        assert_eq!(said, format!("PROXY {OURS}"), "{broken}");
    }
    let router = Router { pac: ready(), ..Router::default() };
    for whole in [
        "FindProxyForURL = function () { return 'DIRECT'; };",
        "const FindProxyForURL = () => 'DIRECT';",
        "let FindProxyForURLEx = () => 'DIRECT'; function FindProxyForURL() { return 'PROXY a:1'; }",
        "function FindProxyForURL() { FindProxyForURL = null; return 'DIRECT'; }",
        "function FindProxyForURL() { return this.isPlainHostName('a') ? 'DIRECT' : 'PROXY a:1'; } // the end",
    ] {
        let script = own_pac::script(&router, OURS, Some(whole)).replace("\r", "");
        assert_eq!(says(&script, "http://a.example/", "a.example"), "DIRECT", "{whole}");
    }
    let without = own_pac::script(&router, OURS, None);
    assert_eq!(says(&without, "http://a.example/", "a.example"), format!("PROXY {OURS}"));
}

#[test]
fn nothing_that_is_configured_breaks_out_of_its_place() {
    let mut odd = direct("*'*");
    odd.hosts.push(Pattern::parse("a'+alert(1)+'.example").unwrap());
    odd.schemes = vec!["http\"; alert(2); //".into(), "http\u{2028}".into()];
    odd.place = "*/ \n alert(3)".into();
    odd.reason = Some("\n alert(4)".into());
    let router = Router { rules: vec![odd], ..Router::default() };
    let script = own_pac::script(&router, "h:1\"; alert(5); \"", None);
    let world = World::new();
    let said = compile(&world, &script).unwrap().evaluate("http://a.example/", "a.example").unwrap().returned.clone();
    assert_eq!((said.as_str(), world.alerts()), ("DIRECT", Vec::new()));
    assert!(script.is_ascii() && !script.contains("alert(3)") && !script.contains("alert(4)"));
}

/// Words and signs that resolvers of older systems do not know.
#[test]
fn the_script_is_ecmascript_3() {
    for (name, router, pac) in routers() {
        let text = own_pac::script(&router, OURS, pac.as_deref());
        let ours: String =
            text.lines().filter(|line| !line.trim_start().starts_with(['"', '/'])).collect::<Vec<_>>().join("\n");
        for newer in [
            "=>",
            "let ",
            "const ",
            "`",
            ".trim(",
            ".startsWith(",
            ".endsWith(",
            ".includes(",
            ".map(",
            ".forEach(",
            ",\n    }",
            ", ]",
            "\"use strict\"",
        ] {
            assert!(!ours.contains(newer), "{name}: {newer}");
        }
    }
}
