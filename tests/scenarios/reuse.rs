//! Connections to upstreams: kept for the same origin and credential, and never for a stranger's answer.

use std::sync::atomic::{AtomicUsize, Ordering};

use hallpass::practice::Offer;
use hyper::Method;

use crate::support::{Guard, Office, Relay, Say, Scripted, Upstream, until};

const GET: &str = "GET http://o.practice/hello HTTP/1.1\r\nHost: o.practice\r\n\r\n";

fn challenge(value: &str) -> Say {
    Say::answer(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
}

#[tokio::test]
async fn twenty_requests_to_one_origin_take_one_connection_and_one_logon() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let mut client = office.relay.client().await;
    for _ in 0..10 {
        assert_eq!(client.ask(GET).await.status(), 200);
    }
    for _ in 0..10 {
        assert_eq!(office.relay.client().await.ask(GET).await.status(), 200);
    }
    let record = office.proxy.record();
    assert_eq!((record.connections(), office.logons().attempted), (1, 1));
    assert_eq!(record.passed(&Method::GET).len(), 20);
}

#[tokio::test]
async fn an_authenticated_connection_is_not_used_for_another_origin() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let mut client = office.relay.client().await;
    for (host, connections) in [("a", 1), ("b", 2), ("a", 2), ("b", 2), ("a.practice:81", 3)] {
        let host = if host.contains(':') { host.to_string() } else { format!("{host}.practice") };
        assert_eq!(client.ask(format!("GET http://{host}/hello HTTP/1.1\r\nHost: x\r\n\r\n")).await.status(), 200);
        assert_eq!(office.proxy.record().connections(), connections, "{host}");
    }
}

#[tokio::test]
async fn a_half_handshaken_connection_is_never_used_again() {
    let upstream = Scripted::start().await;
    let relay = Relay::before(upstream.addr()).start();
    let mut client = relay.client().await;
    client.send(GET).await;
    let mut first = upstream.accept().await;
    first.head().await;
    first.send("HTTP/1.1 407 X\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n").await;
    assert!(first.head().await.has("proxy-authorization"));
    // Between type 1 and type 2 the client goes.
    client.reset();
    first.ended().await;
    let mut client = relay.client().await;
    client.send(GET).await;
    let mut second = upstream.accept().await;
    second.head().await;
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.head().await.status(), 200);
}

#[tokio::test]
async fn a_connection_whose_answer_was_not_read_to_its_end_is_never_used_again() {
    let upstream = Scripted::start().await;
    let relay = Relay::before(upstream.addr()).start();
    let mut client = relay.client().await;
    client.send(GET).await;
    let mut first = upstream.accept().await;
    first.head().await;
    first.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
    client.head().await;
    client.take(4).await;
    client.reset();
    first.ended().await;
}

#[tokio::test]
async fn a_connection_that_is_at_work_when_a_fresh_start_is_asked_for_or_the_network_left_serves_nobody_else() {
    for network in [false, true] {
        let upstream = Scripted::start().await;
        let relay = Relay::before(upstream.addr()).start();
        let mut client = relay.client().await;
        client.send(GET).await;
        let mut first = upstream.accept().await;
        first.head().await;
        match network {
            true => relay.daemon.live().leave(),
            false => relay.daemon.live().begin_afresh(),
        }
        first.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(client.answer().await.text(), "ok");
        client.send(GET).await;
        let mut second = upstream.accept().await;
        second.head().await;
        second.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain").await;
        assert_eq!(client.answer().await.text(), "again");
    }
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_become_nobodys_answer() {
    for late in [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "x",
    ] {
        for together in [true, false] {
            let upstream = Scripted::start().await;
            let relay = Relay::before(upstream.addr()).start();
            let mut client = relay.client().await;
            client.send(GET).await;
            let mut first = upstream.accept().await;
            first.head().await;
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            if together {
                first.send(format!("{answer}{late}")).await;
                assert_eq!(client.answer().await.text(), "ok");
            } else {
                first.send(answer).await;
                assert_eq!(client.answer().await.text(), "ok");
                first.send(late).await;
            }
            // The record is written when the connection has been given back.
            relay.records(1).await;
            let mut other = relay.client().await;
            other.send(GET).await;
            let mut second = upstream.accept().await;
            second.head().await;
            second.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue").await;
            assert_eq!(other.answer().await.text(), "true", "{late:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_meanwhile_costs_no_request() {
    for method in ["GET", "POST"] {
        let guard = Guard::new("NTLM");
        let upstream = Upstream::start(move |heard| match guard.challenge(heard) {
            Some(value) => challenge(&value).to(heard.head.method()),
            None => Say::last("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nthanks"),
        })
        .await;
        let relay = Relay::before(upstream.addr).start();
        let mut client = relay.client().await;
        for round in 1..=5 {
            let request = format!("{method} http://h.test/ HTTP/1.1\r\nHost: h.test\r\nContent-Length: 1\r\n\r\n1");
            assert_eq!(client.ask(request).await.status(), 200, "{method} {round}");
            relay.records(round).await;
        }
    }
}

/// The upstream closes at the very moment the next request is under way.
#[tokio::test]
async fn a_request_that_meets_a_closing_connection_is_sent_again_only_if_that_is_safe() {
    for (method, status, sent) in [("GET", 200, 3), ("PUT", 200, 3), ("POST", 502, 2)] {
        let upstream = Upstream::start(move |heard| {
            // The second request on the first connection meets its end.
            static SECOND: std::sync::Mutex<Vec<(usize, u64)>> = std::sync::Mutex::new(Vec::new());
            let key = (heard.connection, heard.head.one("x-test").unwrap().parse().unwrap());
            let mut seen = SECOND.lock().unwrap();
            seen.push(key);
            if heard.connection == 1 && seen.iter().filter(|one| **one == key).count() == 2 {
                return Say::HangUp;
            }
            Say::welcome(heard)
        })
        .await;
        let relay = Relay::before(upstream.addr).start();
        let mut client = relay.client().await;
        let id = method.len() as u64 + u64::from(method.as_bytes()[1]);
        let request =
            format!("{method} http://h.test/ HTTP/1.1\r\nHost: h.test\r\nX-Test: {id}\r\nContent-Length: 1\r\n\r\n1");
        assert_eq!(client.ask(&request).await.status(), 200);
        assert_eq!(client.ask(&request).await.status(), status, "{method}");
        assert_eq!(upstream.heard().len(), sent, "{method}");
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_upstream_closes_is_let_go() {
    let office = Office::with([Offer::Ntlm]).start().await;
    assert_eq!(office.get("/hello").await.status(), 200);
    assert_eq!(office.proxy.record().open_connections(), 1);
    let relay = office.relay;
    relay.stop().await;
    let record = office.proxy.record();
    until("the idle connection ends with the relay", || record.open_connections() == 0).await;
}

#[tokio::test]
async fn a_reload_with_another_credential_leaves_the_old_connections_behind() {
    let mut office = Office::with([Offer::Ntlm]).start().await;
    assert_eq!(office.get("/hello").await.status(), 200);
    office.relay.reload(|plan| plan.password("wrong now"));
    assert_eq!(office.get("/hello").await.status(), 407);
    assert_eq!((office.logons().accepted, office.logons().rejected), (1, 1));
    office.relay.reload(|plan| plan.password(crate::support::PASSWORD));
    assert_eq!(office.get("/hello").await.status(), 200);
}

/// Proxies end log-ins after a while; that is no reason to log in for every request from then on.
#[tokio::test]
async fn an_upstream_that_asks_again_once_is_answered_once() {
    for method in ["GET", "POST"] {
        let (guard, served) = (Guard::new("NTLM"), AtomicUsize::new(0));
        let upstream = Upstream::start(move |heard| {
            let expired = heard.ntlm_type() == 0 && served.load(Ordering::SeqCst) == 3;
            match guard.challenge(heard) {
                Some(value) => challenge(&value).to(heard.head.method()),
                None if expired => {
                    served.fetch_add(1, Ordering::SeqCst);
                    challenge("NTLM").to(heard.head.method())
                }
                None => {
                    served.fetch_add(1, Ordering::SeqCst);
                    Say::welcome(heard)
                }
            }
        })
        .await;
        let relay = Relay::before(upstream.addr).start();
        let mut client = relay.client().await;
        for round in 0..10 {
            let request = format!("{method} http://h.test/ HTTP/1.1\r\nHost: h.test\r\nContent-Length: 1\r\n\r\n1");
            assert_eq!(client.ask(request).await.text(), "thanks", "{method} {round}");
        }
        let proofs = upstream.types().iter().filter(|kind| **kind == 3).count();
        assert_eq!(proofs, 2, "{method}: {:?}", upstream.types());
    }
}
