//! A target that the upstream forbids: programs try again and again, and no try is to cost a log-in of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hallpass::practice::{DigestAlgorithm, Offer};
use hallpass::proxy::Way;
use hallpass::state::State;
use serde_json::Value;

use crate::support::{Answer, Guard, Heard, Office, Peer, Relay, Say, Scripted, Upstream, soon};

const TRIES: usize = 20;
const PAGE: &str = "the policy of the company says no";

fn connect(host: &str) -> String {
    format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n")
}

/// A client of its own, as a program that begins anew.
async fn ask(relay: &Relay, host: &str) -> Answer {
    let mut client = relay.client().await;
    let answer = client.ask(connect(host)).await;
    client.ended().await;
    answer
}

/// Demands NTLM; who has logged in gets what `refusal` says, but for hosts that begin with `open`.
async fn forbidding(refusal: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Upstream {
    let guard = Guard::new("NTLM");
    Upstream::start(move |heard| match guard.challenge(heard) {
        Some(value) => {
            Say::answer(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
        }
        None if heard.head.line().contains(" open") => Say::welcome(heard),
        None => refusal(heard),
    })
    .await
}

fn closing(_: &Heard) -> Say {
    let fields = "Content-Type: text/plain\r\nX-Policy: 17\r\nKeep-Alive: 5\r\nConnection: close";
    Say::last(format!("HTTP/1.1 403 Not for you\r\n{fields}\r\nContent-Length: {}\r\n\r\n{PAGE}", PAGE.len()))
}

fn logons(upstream: &Upstream) -> usize {
    upstream.types().iter().filter(|kind| **kind == 3).count()
}

/// What people count and alert on.
fn gist(record: &Value) -> Vec<&Value> {
    ["method", "target", "hop", "status", "bytes_down", "end"].map(|key| &record[key]).to_vec()
}

#[tokio::test]
async fn twenty_tries_cost_one_logon_where_the_upstream_keeps_its_connection() {
    let md5 = Offer::Digest(DigestAlgorithm::Md5);
    for (offer, schemes) in [
        (Offer::Ntlm, "[\"ntlm\"]"),
        (Offer::NtlmInNegotiate, "[\"ntlm\"]"),
        (md5, "[\"digest\"]"),
        (Offer::Basic, "[\"basic\"]"),
    ] {
        let office = Office::with([offer]).upstream(&format!("schemes = {schemes}")).start().await;
        for _ in 0..TRIES {
            let answer = ask(&office.relay, "h.denied.practice").await;
            assert_eq!((answer.status(), answer.text()), (403, "h.denied.practice is not allowed here.\n"));
            assert_eq!(answer.head.one("x-practice-error"), Some("denied"));
        }
        assert_eq!(office.logons().attempted, 1, "{offer:?}");
        let records = office.relay.records(TRIES).await;
        assert!(records.iter().all(|record| gist(record) == gist(&records[0])), "{offer:?}: {records:?}");
        assert_eq!(records[0]["end"], "upstream_refused");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_tries_at_once_cost_no_further_logon() {
    let office = Arc::new(Office::with([Offer::Ntlm]).start().await);
    assert_eq!(ask(&office.relay, "h.denied.practice").await.status(), 403);
    let all: Vec<_> = (0..TRIES)
        .map(|_| {
            let office = office.clone();
            tokio::spawn(async move { ask(&office.relay, "h.denied.practice").await.text().to_string() })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), "h.denied.practice is not allowed here.\n");
    }
    assert_eq!(office.logons().attempted, 1);
}

#[tokio::test]
async fn twenty_requests_in_the_clear_cost_one_logon() {
    let office = Office::with([Offer::Ntlm]).start().await;
    for _ in 0..TRIES {
        let get = "GET http://h.denied.practice/x HTTP/1.1\r\nHost: h.denied.practice\r\n\r\n";
        assert_eq!(office.relay.client().await.ask(get).await.status(), 403);
    }
    assert_eq!(office.logons().attempted, 1);
}

#[tokio::test]
async fn twenty_tries_cost_one_logon_where_the_upstream_closes_and_all_hear_the_same() {
    let upstream = forbidding(closing).await;
    let relay = Relay::before(upstream.addr).start();
    let first = ask(&relay, "h.test").await;
    assert_eq!((first.status(), first.text(), first.head.one("x-policy")), (403, PAGE, Some("17")));
    assert!(!first.head.has("keep-alive") && first.head.line().ends_with(" Not for you"), "{:?}", first.head);
    for _ in 1..TRIES {
        let again = ask(&relay, "h.test").await;
        assert_eq!((again.head, again.body), (first.head.clone(), first.body.clone()));
    }
    assert_eq!(logons(&upstream), 1);
    let records = relay.records(TRIES).await;
    assert!(records.iter().all(|record| gist(record) == gist(&records[0])), "{records:?}");
    assert_eq!((&records[0]["end"], &records[0]["scheme"]), (&"upstream_refused".into(), &"NTLM".into()));
    assert!(records[1].get("scheme").is_none(), "nobody logged in: {}", records[1]);
}

#[tokio::test]
async fn the_first_hears_of_it_in_time_when_many_ask_one_after_the_other_without_reading_the_page() {
    let upstream = forbidding(closing).await;
    let relay = Relay::before(upstream.addr).start();
    for _ in 0..TRIES {
        let mut client = relay.client().await;
        client.send(connect("h.test")).await;
        assert_eq!(client.head().await.status(), 403);
        client.reset();
    }
    assert_eq!(logons(&upstream), 1);
}

#[tokio::test]
async fn other_targets_and_other_statuses_are_asked_for_each_time() {
    let upstream = forbidding(|heard| match heard.head.line() {
        line if line.contains("trouble") => {
            Say::last("HTTP/1.1 503 Later\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        }
        line if line.contains("long") => {
            Say::last(format!("HTTP/1.1 403 No\r\nContent-Length: 70000\r\n\r\n{}", "x".repeat(70_000)))
        }
        _ => closing(heard),
    })
    .await;
    let relay = Relay::before(upstream.addr).start();
    for (host, status, logons_so_far) in [
        ("h.test", 403, 1),
        ("other.test", 403, 2),
        ("h.test", 403, 2),
        ("trouble.test", 503, 3),
        ("trouble.test", 503, 4),
        ("long.test", 403, 5),
        ("long.test", 403, 6),
        ("other.test", 403, 6),
    ] {
        assert_eq!(ask(&relay, host).await.status(), status, "{host}");
        assert_eq!(logons(&upstream), logons_so_far, "{host}");
    }
    assert_eq!(relay.client().await.ask_head(connect("open.test")).await.status(), 200);
}

#[tokio::test]
async fn a_refusal_is_forgotten_after_half_a_minute_with_a_reload_and_in_another_network() {
    let upstream = forbidding(closing).await;
    let mut relay = Relay::before(upstream.addr).start();
    for expected in 1..=4 {
        for _ in 0..3 {
            assert_eq!(ask(&relay, "h.test").await.status(), 403);
            assert_eq!(logons(&upstream), expected);
        }
        match expected {
            1 => relay.daemon.live().sweep(Instant::now() + Duration::from_secs(30)),
            2 => relay.daemon.live().leave(),
            _ => relay.reload(|plan| plan),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_asks_for_a_fresh_start_is_told_nothing_from_memory() {
    let state = tempfile::tempdir().unwrap();
    let is_first = AtomicBool::new(true);
    let upstream = forbidding(move |heard| match is_first.swap(false, Ordering::SeqCst) {
        true => closing(heard),
        false => Say::welcome(heard),
    })
    .await;
    let relay = Relay::before(upstream.addr).state(state.path()).start();
    for _ in 0..3 {
        assert_eq!(ask(&relay, "h.test").await.status(), 403);
    }
    State::at(Some(state.path().join("hallpass"))).raise_generation().unwrap();
    let trying = async { while relay.client().await.ask_head(connect("h.test")).await.status() != 200 {} };
    soon("the tunnel", trying).await;
    assert_eq!(logons(&upstream), 2);
}

#[tokio::test]
async fn what_the_upstream_allows_meanwhile_is_open_on_the_kept_connection() {
    let denied = AtomicUsize::new(0);
    let upstream = forbidding(move |heard| match denied.fetch_add(1, Ordering::SeqCst) {
        0..3 => Say::answer("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"),
        _ => Say::welcome(heard),
    })
    .await;
    let relay = Relay::before(upstream.addr).start();
    for _ in 0..3 {
        assert_eq!(ask(&relay, "h.test").await.text(), "no");
    }
    let mut client = relay.client().await;
    assert_eq!(client.ask_head(connect("h.test")).await.status(), 200);
    client.send("echo").await;
    assert_eq!(client.take(4).await, b"echo");
    assert_eq!((logons(&upstream), upstream.connections()), (1, 1));
}

#[tokio::test]
async fn a_kept_connection_that_has_ended_meanwhile_is_replaced() {
    let upstream = Scripted::start().await;
    let relay = Relay::before(upstream.addr()).start();
    for says_goodbye in [true, false] {
        let mut client = relay.client().await;
        client.send(connect("h.test")).await;
        let mut kept = upstream.accept().await;
        kept.head().await;
        kept.send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(client.answer().await.status(), 403);
        let mut again = relay.client().await;
        if says_goodbye {
            drop(kept);
            again.send(connect("h.test")).await;
        } else {
            // It ends, or just says nothing more, when the next request is there.
            again.send(connect("h.test")).await;
            kept.head().await;
        }
        let mut fresh = upstream.accept().await;
        fresh.head().await;
        fresh.send("HTTP/1.1 200 OK\r\n\r\n").await;
        assert_eq!(again.head().await.status(), 200);
    }
}

#[tokio::test]
async fn a_connection_that_says_more_than_its_refusal_is_not_kept() {
    for together in [true, false] {
        let upstream = Scripted::start().await;
        let relay = Relay::before(upstream.addr()).start();
        let mut client = relay.client().await;
        client.send(connect("h.test")).await;
        let mut first = upstream.accept().await;
        first.head().await;
        let (refusal, stray) = ("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", "HTTP/1.1 200 OK\r\n\r\nevil");
        first.send(if together { [refusal, stray].concat() } else { refusal.into() }).await;
        assert_eq!(client.answer().await.text(), "no");
        if !together {
            first.send(stray).await;
        }
        let mut other = relay.client().await;
        other.send(connect("h.test")).await;
        let mut second = upstream.accept().await;
        second.head().await;
        second.send("HTTP/1.1 200 OK\r\n\r\ntrue").await;
        assert_eq!(other.head().await.status(), 200);
        assert_eq!(other.take(4).await, b"true");
    }
}

#[tokio::test]
async fn a_kept_connection_that_asks_again_is_answered_anew() {
    let (guard, refused) = (Guard::new("NTLM"), Arc::new(AtomicUsize::new(0)));
    let upstream = Upstream::start(move |heard| {
        let challenge = |value: &str| {
            Say::answer(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
        };
        match guard.challenge(heard) {
            Some(value) => challenge(&value),
            // The log-in has expired.
            None if heard.ntlm_type() == 0 && refused.fetch_add(1, Ordering::SeqCst) == 1 => challenge("NTLM"),
            None => Say::answer("HTTP/1.1 503 Later\r\nContent-Length: 2\r\n\r\nno"),
        }
    })
    .await;
    let relay = Relay::before(upstream.addr).start();
    for _ in 0..6 {
        assert_eq!(ask(&relay, "h.test").await.text(), "no");
    }
    assert_eq!((logons(&upstream), upstream.connections()), (2, 1), "{:?}", upstream.types());
}

#[tokio::test]
async fn a_socks_client_is_told_each_time_and_costs_no_more() {
    let upstream = forbidding(closing).await;
    let socks = "[[listeners]]\ninterface = \"lo\"\nport = 0\nsocks5 = true";
    let relay = Relay::before(upstream.addr).tables(socks).start();
    let ways = relay.daemon.ways();
    let (_, addresses) = ways.iter().find(|(way, _)| *way == Way::Socks).unwrap();
    for _ in 0..TRIES {
        let mut client = Peer::connect(addresses[0]).await;
        client.send([5, 1, 0]).await;
        assert_eq!(client.take(2).await, [5, 0]);
        client.send([&[5, 1, 0, 3, 6][..], b"h.test", &443_u16.to_be_bytes()].concat()).await;
        assert_eq!(client.take(10).await[1], 2, "not allowed by ruleset");
    }
    assert_eq!(logons(&upstream), 1);
    let records = relay.records(TRIES).await;
    assert!(records.iter().all(|record| record["end"] == "upstream_refused"), "{records:?}");
}
