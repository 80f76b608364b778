//! From a target to its hops, by every kind of reason.

use std::net::IpAddr;
use std::sync::Arc;

use criterion::Criterion;
use hallpass::route::no_proxy::NoProxy;
use hallpass::route::pattern::Pattern;
use hallpass::route::rules::{Rule, Use};
use hallpass::route::{Hop, PacState, Question, ReasonKind, Router};

use super::{endpoint, target};

/// A long list, as companies hand out: nobody's target is in it, or the last one is.
const EXCEPTIONS: usize = 100;
const RULES: usize = 100;

pub fn all(criterion: &mut Criterion) {
    let upstreams = vec![endpoint("proxy.corp.example:8080")];
    let list: Vec<String> = (0..EXCEPTIONS).map(|number| format!("*.intern{number}.corp.example")).collect();
    let excepted = || NoProxy::parse(&list.join(",")).0;
    let bare = Router { upstreams: upstreams.clone(), ..Router::default() };
    let no_proxy = Router { no_proxy: excepted(), upstreams: upstreams.clone(), ..Router::default() };
    let rules = Router { rules: (0..RULES).map(rule).collect(), upstreams, ..Router::default() };
    let url = "https://www.example.com/";
    let pac = super::pac::compiled();
    pac.evaluate(url, "www.example.com").unwrap();
    let pac = Router { pac: PacState::Ready(Arc::new(pac)), ..Router::default() };

    let mut group = criterion.benchmark_group("router");
    let cases = [
        ("upstream", &bare, "www.example.com:443", ReasonKind::Upstream),
        ("no_proxy, none of 100", &no_proxy, "www.example.com:443", ReasonKind::Upstream),
        ("no_proxy, the last of 100", &no_proxy, "git.intern99.corp.example:443", ReasonKind::NoProxy),
        ("rules, none of 100", &rules, "www.example.com:443", ReasonKind::Upstream),
        ("rules, the last of 100", &rules, "git.ruled99.corp.example:443", ReasonKind::Rule),
        ("pac, remembered", &pac, "www.example.com:443", ReasonKind::Pac),
    ];
    for (name, router, to, reason) in cases {
        let target = target(to);
        let question = Question { target: &target, scheme: "https", url, program: None };
        let decide = || router.decide_now(&question, |ip| ip == IpAddr::from([192, 0, 2, 7])).unwrap().unwrap();
        assert_eq!(decide().reason.kind, reason, "{name}");
        group.bench_function(name, |bencher| bencher.iter(decide));
    }
    group.finish();
}

fn rule(number: usize) -> Rule {
    let hosts = vec![Pattern::parse(&format!("*.ruled{number}.corp.example")).unwrap()];
    Rule { hosts, ..Rule::new(Use::Hops(vec![Hop::Direct]), format!("rule {number}")) }
}
