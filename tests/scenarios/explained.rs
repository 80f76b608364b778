//! What `explain` says is what then happens on the wire.

use hallpass::daemon;
use hallpass::proxy::Wanted;

use crate::support::{BlackHole, Relay, RelayPlan, Say, Upstream};

/// Names nobody has, so that a direct hop fails and still stands in the record.
const TARGETS: [&str; 6] = [
    "a.invalid:443",
    "b.corp.invalid:443",
    "c.second.invalid:8443",
    "d.denied.invalid:443",
    "192.0.2.200:443",
    "gateway.invalid:80",
];

fn pac(body: &str) -> String {
    let script = format!("function FindProxyForURL(url, host) {{ {body} }}");
    let encoded: String = script.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("[pac]\nurl = \"data:,{encoded}\"\n")
}

/// The first hop that was dialled, or nothing where the request was refused.
async fn seen(relay: &Relay, number: usize, target: &str) -> (Option<String>, String) {
    relay.client().await.ask_head(&format!("CONNECT {target} HTTP/1.1\r\n\r\n")).await;
    let records = relay.records(number).await;
    let record = records.iter().find(|record| record["target"] == target).unwrap();
    (record["hop"].as_str().map(str::to_string), record["reason"].to_string())
}

#[tokio::test]
async fn ten_configurations_do_what_is_explained() {
    let (first, second) = (Upstream::start(Say::welcome).await, Upstream::start(Say::welcome).await);
    let hole = BlackHole::dig().await;
    let plan = || RelayPlan::default().key("connect_timeout = \"200ms\"");
    let both = || plan().upstream(first.addr).upstream(second.addr);
    let (one, two) = (first.addr, second.addr);
    let rules = "[[rules]]\nhosts = [\"*.denied.invalid\"]\nuse = \"deny\"\n\
                 [[rules]]\nhosts = [\"*.second.invalid\"]\nports = [\"8000-9000\"]\nuse = \"u1\"\n\
                 [[rules]]\ncidr = [\"192.0.2.0/24\"]\nuse = \"direct\"\n";
    let script = pac(&format!(
        "if (dnsDomainIs(host, '.corp.invalid')) return 'DIRECT'; if (shExpMatch(url, '*:8443/')) return 'PROXY {two}'; \
         if (host == 'd.denied.invalid') throw 1; return 'PROXY {one}; PROXY {two}';"
    ));
    let plans = [
        plan(),
        both(),
        both().key("no_proxy = [\".corp.invalid\", \"192.0.2.0/24\"]"),
        both().tables(rules),
        plan().tables(&script),
        plan().tables(&script).key("direct_fallback = \"always\""),
        both().tables(&script).tables("[[rules]]\nhosts = [\"gateway.invalid\"]\nuse = [\"u1\", \"direct\"]\n"),
        both().key("never_direct = [\"*.corp.invalid\"]").key("no_proxy = [\"*\"]"),
        both().tables(&format!(
            "[profiles.away]\nwhen = {{ reachable = \"{}\" }}\n[profiles.home]\nupstreams = []\n",
            hole.addr
        )),
        plan().tables(&format!("[pac]\nurl = \"http://{}/p\"\n", hole.addr)),
    ];
    let mut kinds = std::collections::BTreeSet::new();
    for (number, plan) in plans.into_iter().enumerate() {
        let relay = plan.start();
        let explained = daemon::survey(&relay.config()).await.unwrap();
        for (at, target) in TARGETS.iter().enumerate() {
            let decision = explained.explain(&Wanted::parse(target).unwrap()).await;
            let wire = seen(&relay, at + 1, target).await;
            let hop = decision.hops.first().map(ToString::to_string);
            let reason = serde_json::to_value(&decision.reason).unwrap().to_string();
            assert_eq!((hop, reason), wire, "configuration {number}, {target}");
            kinds.insert(decision.reason.kind.name());
        }
    }
    // What is not seen here was not compared.
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["default", "no_proxy", "pac", "pac_fallback", "rule", "upstream"]
    );
}
