//! What `/metrics` counts, and that nothing takes it back.

use std::collections::BTreeMap;

use hallpass::practice::Offer;

use super::support::{Closed, Office, Relay, soon};

/// Name and labels of each sample, and its value.
async fn metrics(relay: &Relay) -> BTreeMap<String, f64> {
    let answer = relay.client().await.ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.head.one("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let samples = answer.text().lines().filter(|line| !line.starts_with('#'));
    let samples = samples.map(|line| line.rsplit_once(' ').unwrap());
    samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

/// A request is counted when it has ended, which its client may know before.
async fn metrics_with(relay: &Relay, name: &str) -> BTreeMap<String, f64> {
    let asking = async {
        loop {
            let metrics = metrics(relay).await;
            if metrics.contains_key(name) {
                return metrics;
            }
        }
    };
    soon(name, asking).await
}

const NTLM: &str = "hallpass_handshake_seconds_count{scheme=\"ntlm\"}";
const ACCEPTED: &str = "hallpass_logons_total{scheme=\"ntlm\",result=\"accepted\"}";
const REJECTED: &str = "hallpass_logons_total{scheme=\"ntlm\",result=\"rejected\"}";
const DOWN: &str = "hallpass_bytes_total{direction=\"down\"}";
const TAKEN: &str = "hallpass_config_reload_total{result=\"taken\"}";

#[tokio::test(flavor = "multi_thread")]
async fn requests_log_ons_bytes_and_reloads_are_counted_and_a_reload_takes_nothing_back() {
    let mut office = Office::with([Offer::Ntlm]).start().await;
    let quiet = metrics(&office.relay).await;
    assert_eq!((quiet["hallpass_tunnels_open"], quiet[TAKEN], quiet["hallpass_breaker_open"]), (0.0, 0.0, 0.0));
    let mut client = office.tunnel().await;
    client.ask("GET /hello HTTP/1.1\r\nHost: origin.practice\r\n\r\n").await;
    assert_eq!(office.get("/hello").await.status(), 200);
    let busy = metrics_with(&office.relay, "hallpass_requests_total{kind=\"forward\",end=\"done\"}").await;
    assert_eq!((busy["hallpass_tunnels_open"], busy[NTLM], busy[ACCEPTED]), (1.0, 1.0, 2.0));
    assert_eq!(busy["hallpass_requests_total{kind=\"forward\",end=\"done\"}"], 1.0);
    assert_eq!(busy[&format!("hallpass_hop_up{{hop=\"http://{}\"}}", office.proxy.addr())], 1.0);
    assert!(busy[DOWN] > 0.0 && busy["hallpass_clients_open"] >= 1.0);
    office.relay.reload(|plan| plan.key("grace = \"7s\""));
    let after = metrics(&office.relay).await;
    assert_eq!(after[TAKEN], 1.0);
    for (name, value) in busy.iter().filter(|(name, _)| name.contains("_total") || name.contains("_seconds")) {
        assert!(after[name] >= *value, "{name} went back from {value} to {}", after[name]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_counted_by_how_it_ended() {
    let office = Office::with([Offer::Ntlm]).password("wrong").start().await;
    for _ in 0..2 {
        assert_eq!(office.get("/hello").await.status(), 407);
    }
    let counted = metrics_with(&office.relay, "hallpass_requests_total{kind=\"forward\",end=\"breaker_open\"}").await;
    assert_eq!((counted[REJECTED], counted["hallpass_breaker_open"]), (1.0, 1.0));
    assert_eq!(counted["hallpass_requests_total{kind=\"forward\",end=\"credential_rejected\"}"], 1.0);
    assert_eq!(counted["hallpass_requests_total{kind=\"forward\",end=\"breaker_open\"}"], 1.0);
    let nobody = Closed::reserve().addr;
    let relay = Relay::before(nobody).start();
    let request = "CONNECT h.test:443 HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(relay.client().await.ask(request).await.status(), 502);
    let counted = metrics_with(&relay, "hallpass_requests_total{kind=\"connect\",end=\"unreachable\"}").await;
    assert_eq!(counted["hallpass_requests_total{kind=\"connect\",end=\"unreachable\"}"], 1.0);
    assert_eq!(counted[&format!("hallpass_hop_up{{hop=\"http://{nobody}\"}}")], 0.0);
}
