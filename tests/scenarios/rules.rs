//! Rules: the first that fits decides, and says so.

use serde_json::Value;

use crate::support::{Relay, Say, Upstream};

async fn ask(relay: &Relay, target: &str) -> (u16, String) {
    let answer = relay.client().await.ask(&format!("CONNECT {target} HTTP/1.1\r\n\r\n")).await;
    (answer.status(), String::from_utf8_lossy(&answer.body).into_owned())
}

#[tokio::test]
async fn the_first_rule_that_fits_decides_and_a_denial_gives_its_reason() {
    let (first, second) = (Upstream::start(Say::welcome).await, Upstream::start(Say::welcome).await);
    let rules = "
[[rules]]
hosts = [\"*.denied.test\"]
use = \"deny\"
reason = \"ask the help desk\"
[[rules]]
hosts = [\"*.second.test\"]
ports = [443, \"8000-8999\"]
use = [\"u1\", \"direct\"]
[[rules]]
hosts = [\"gateway.invalid\"]
use = \"direct\"
";
    let relay = Relay::before(first.addr).upstream(second.addr).tables(rules).start();
    let (status, body) = ask(&relay, "a.denied.test:443").await;
    assert_eq!(status, 403);
    assert!(body.contains("ask the help desk") && body.contains("rule 1"), "{body}");
    let mut number = 1;
    for (target, hop, kind) in [
        ("a.second.test:443", format!("http://{}", second.addr), "rule"),
        ("a.second.test:8080", format!("http://{}", second.addr), "rule"),
        ("a.second.test:80", format!("http://{}", first.addr), "upstream"),
        ("gateway.invalid:443", "direct".into(), "rule"),
        ("other.test:443", format!("http://{}", first.addr), "upstream"),
    ] {
        relay.client().await.ask_head(&format!("CONNECT {target} HTTP/1.1\r\n\r\n")).await;
        number += 1;
        let records = relay.records(number).await;
        let record = records.iter().find(|record| record["target"] == target).unwrap();
        assert_eq!((&record["hop"], &record["reason"]["kind"]), (&Value::from(hop), &kind.into()), "{record}");
    }
}

#[tokio::test]
async fn a_rule_may_know_the_program_that_asks() {
    let upstream = Upstream::start(Say::welcome).await;
    let ourselves = std::env::current_exe().unwrap();
    let name = ourselves.file_name().unwrap().to_str().unwrap();
    let rule = |name: &str| format!("[[rules]]\nprograms = [\"{name}\"]\nuse = \"deny\"\n");
    let relay = Relay::before(upstream.addr).tables(&rule(name)).start();
    assert_eq!(ask(&relay, "a.test:443").await.0, 403);
    let relay = Relay::before(upstream.addr).tables(&rule("somebody-else")).start();
    let head = relay.client().await.ask_head("CONNECT a.test:443 HTTP/1.1\r\n\r\n").await;
    assert_eq!(head.status(), 200);
}
