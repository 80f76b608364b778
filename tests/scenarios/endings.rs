//! How things end: what a record says of it, and what must not end at all.

use std::time::Duration;

use hallpass::practice::Offer;

use crate::support::{Guard, Office, Relay, Say, Scripted, Upstream};

const CONNECT: &str = "CONNECT h.test:443 HTTP/1.1\r\nHost: h.test:443\r\n\r\n";
const GET: &str = "GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n";

#[tokio::test]
async fn a_client_may_pause_for_longer_than_the_keepalive() {
    const WHOLE: usize = 32 * 1024 * 1024;
    let listener = Scripted::start().await;
    let relay = Relay::before(listener.addr()).key("keepalive = \"1s\"").start();
    let mut client = relay.client().await;
    client.send(CONNECT).await;
    let mut upstream = listener.accept().await;
    upstream.head().await;
    upstream.send("HTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(client.head().await.status(), 200);
    let sending = tokio::spawn(async move { upstream.try_send(&vec![b'x'; WHOLE]).await });
    // The one wait for nothing: long enough for a system that takes a pause for an absence to say so.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(client.rest().await.len(), WHOLE);
    assert!(sending.await.unwrap());
}

#[tokio::test]
async fn what_the_end_of_the_relay_cuts_off_is_recorded_wherever_it_was() {
    for request in [CONNECT, GET, "POST http://h.test/ HTTP/1.1\r\nHost: h.test\r\nContent-Length: 100000\r\n\r\n"] {
        let listener = Scripted::start().await;
        let relay = Relay::before(listener.addr()).key("grace = \"50ms\"").start();
        let mut client = relay.client().await;
        client.send(request).await;
        let mut upstream = listener.accept().await;
        upstream.head().await;
        let records = relay.stop().await;
        assert_eq!(records.len(), 1, "{request}");
        assert_eq!(records[0]["end"], "drained", "{request}");
        client.ended().await;
    }
}

#[tokio::test]
async fn a_client_that_breaks_off_is_told_from_one_that_ends() {
    for request in [CONNECT, GET] {
        for reset in [false, true] {
            let listener = Scripted::start().await;
            let relay = Relay::before(listener.addr()).start();
            let mut client = relay.client().await;
            client.send(request).await;
            let mut upstream = listener.accept().await;
            upstream.head().await;
            if reset {
                client.reset()
            } else {
                drop(client)
            }
            upstream.ended().await;
            let expected = if reset { "client_reset" } else { "client_closed" };
            assert_eq!(relay.records(1).await[0]["end"], expected, "{request}");
        }
    }
}

#[tokio::test]
async fn an_answer_to_a_proof_that_is_no_http_is_not_carried_to_the_next_upstream() {
    let guard = Guard::new("NTLM");
    let garbled = Upstream::start(move |heard| match guard.challenge(heard) {
        Some(value) => {
            Say::answer(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
        }
        None => Say::last("\x01\x02\x03\r\n\r\n"),
    })
    .await;
    let second = Office::with([Offer::Ntlm]).relay(|plan| plan.upstream(garbled.addr)).start().await;
    assert_eq!(second.relay.client().await.ask(CONNECT).await.status(), 502);
    assert_eq!((garbled.types(), second.proxy.record().requests().len()), (vec![0, 1, 3], 0));
}

#[tokio::test]
async fn the_silence_after_one_end_is_bounded_by_its_own_limit() {
    let listener = Scripted::start().await;
    let plan = Relay::before(listener.addr()).key("idle_timeout = \"1h\"").key("half_close_timeout = \"100ms\"");
    let relay = plan.start();
    let mut client = relay.client().await;
    client.send(CONNECT).await;
    let mut upstream = listener.accept().await;
    upstream.head().await;
    upstream.send("HTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(client.head().await.status(), 200);
    client.send("x").await;
    assert_eq!(upstream.take(1).await, b"x");
    client.finish().await;
    assert_eq!(relay.records(1).await[0]["end"], "client_closed");
}

#[tokio::test]
async fn a_secret_that_was_good_once_and_is_refused_now_is_shown_again_only_in_trials() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let upstream = Upstream::start(move |heard| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if number == 1 {
            return Say::welcome(heard);
        }
        let challenge = format!("Digest realm=r, nonce=n{number}, qop=auth");
        Say::answer(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n"))
    })
    .await;
    let relay = Relay::before(upstream.addr).start();
    let mut shown = Vec::new();
    for (seconds, expected) in [(0, 200), (0, 407), (0, 407), (59, 407), (1, 407), (60, 407), (35 * 60, 407)] {
        relay.skip(Duration::from_secs(seconds));
        let before = upstream.heard().len();
        assert_eq!(relay.client().await.ask(GET).await.status(), expected);
        let heard = upstream.heard();
        shown.push(heard[before..].iter().filter(|heard| heard.head.has("proxy-authorization")).count());
    }
    assert_eq!(shown, [1, 1, 0, 0, 1, 0, 1]);
}
