//! A relay that serves as many clients as it may: probes hear that it lives and that it is full, nobody else is heard.

use std::time::{Duration, Instant};

use super::support::{Answer, Peer, Relay, RelayPlan, Say, Upstream, soon};

const CONNECT: &str = "CONNECT h.test:443 HTTP/1.1\r\nHost: h.test:443\r\n\r\n";

async fn page(relay: &Relay, path: &str) -> Answer {
    let mut client = relay.client().await;
    let answer = client.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    if answer.head.one("connection") == Some("close") {
        client.ended().await;
    }
    answer
}

async fn tunnel(relay: &Relay) -> Peer {
    let mut client = relay.client().await;
    client.send(CONNECT).await;
    assert_eq!(client.head().await.status(), 200);
    client
}

#[tokio::test]
async fn a_full_relay_is_alive_and_not_ready_and_refuses_all_else() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).key("max_clients = 2").start();
    assert_eq!(page(&relay, "/readyz").await.text(), "ready\n");
    let mut first = tunnel(&relay).await;
    let second = tunnel(&relay).await;
    for (path, status, text) in [("/healthz", 200, "alive\n"), ("/readyz", 503, "full\n")] {
        let answer = page(&relay, path).await;
        assert_eq!((answer.status(), answer.text()), (status, text), "{path}");
        assert_eq!(answer.head.one("connection"), Some("close"), "one answer is all there is: {path}");
    }
    let metrics = page(&relay, "/metrics").await;
    assert!(metrics.status() == 200 && metrics.text().contains("hallpass_tunnels_open 2"), "{}", metrics.text());
    let refused = |request: &'static str| {
        let relay = &relay;
        async move { relay.client().await.ask(request).await }
    };
    for request in [
        CONNECT,
        "GET http://h.test/healthz HTTP/1.1\r\nHost: h.test\r\n\r\n",
        "GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let answer = refused(request).await;
        assert_eq!(answer.status(), 503, "{request}");
        assert!(answer.text().contains("as many clients as it may"), "{request}: {}", answer.text());
    }
    // What else is wrong with a probe's question is said as ever.
    let foreign = refused("GET /healthz HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n").await;
    assert_eq!(foreign.status(), 421);
    first.send("x").await;
    assert_eq!(first.take(1).await, b"x", "those who are served are served on");
    // Whoever asks holds a place, so one alone that is free is none for others.
    drop((first, second));
    until_ready(&relay).await;
    let records = relay.stop().await;
    let connect = records.iter().find(|record| record["method"] == "CONNECT" && record["status"] == 503).unwrap();
    assert_eq!(connect["end"], "limit");
}

async fn until_ready(relay: &Relay) {
    let ready = async { while page(relay, "/readyz").await.status() != 200 {} };
    soon("a free place", ready).await;
}

#[tokio::test]
async fn who_holds_a_place_hears_as_well_that_no_other_is_free() {
    let relay = RelayPlan::default().key("max_clients = 2").start();
    let readyz = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut balancer = relay.client().await;
    assert_eq!(balancer.ask(readyz).await.text(), "ready\n");
    let mut other = relay.client().await;
    assert_eq!(other.ask(readyz).await.text(), "full\n");
    assert_eq!(balancer.ask(readyz).await.text(), "full\n", "on the same connection");
    drop(other);
    let ready = async { while balancer.ask(readyz).await.status() != 200 {} };
    soon("a free place", ready).await;
}

#[tokio::test]
async fn a_crowd_that_says_nothing_keeps_no_probe_from_its_answer() {
    let relay = RelayPlan::default().key("max_clients = 1").start();
    let mut first = relay.client().await;
    assert_eq!(first.ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.status(), 200);
    let mut crowd = Vec::new();
    for at in 0..300 {
        let mut one = relay.client().await;
        // Half a head is as good as none.
        if at % 2 == 0 {
            one.send("GET /healthz HTTP/1.1\r\nHo").await;
        }
        crowd.push(one);
        if at % 50 == 49 {
            let asked = Instant::now();
            assert_eq!(page(&relay, "/healthz").await.status(), 200);
            assert!(asked.elapsed() < Duration::from_secs(1), "after {at}: {:?}", asked.elapsed());
        }
    }
    // All of them are told, whoever came first first, and long before any time-out of theirs.
    for one in &mut crowd {
        assert_eq!(one.answer().await.status(), 503);
    }
}

#[tokio::test]
async fn who_leaves_without_a_question_was_not_refused() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).key("max_clients = 1").start();
    let _held = tunnel(&relay).await;
    for said in ["", "CONNECT h.test:443 HTTP/1.1\r\nHo"] {
        let mut prober = relay.client().await;
        prober.send(said).await;
        prober.finish().await;
        assert_eq!(prober.rest().await, b"", "{said:?}");
    }
    relay.client().await.reset();
    let metrics = page(&relay, "/metrics").await;
    assert!(!metrics.text().contains("end=\"limit\"} 1"), "{}", metrics.text());
    let ends: Vec<_> = relay.stop().await.iter().map(|record| record["end"].clone()).collect();
    assert_eq!(ends, ["drained"], "the tunnel's is the only record");
}

#[tokio::test]
async fn who_is_heard_when_the_relay_ends_was_not_refused() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).key("max_clients = 1").start();
    let held = tunnel(&relay).await;
    let mut heard = relay.client().await;
    heard.send("CONNECT").await;
    assert_eq!(page(&relay, "/healthz").await.status(), 200, "who came before it is heard by now");
    drop(held);
    let records = relay.stop().await;
    assert_eq!(heard.rest().await, b"");
    assert!(records.iter().all(|record| record["end"] != "limit"), "{records:?}");
}
