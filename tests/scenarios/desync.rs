//! Whose bytes are whose: nothing left over from one message becomes part of another, and nothing cut looks whole.

use std::io::ErrorKind;

use tokio::io::AsyncReadExt;

use crate::support::{Peer, Relay, RelayPlan, Scripted, soon};

const GET: &str = "GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

/// What a client reads until its connection ends, and whether that was a reset.
async fn all(client: &mut Peer) -> (String, bool) {
    let mut text = Vec::new();
    let mut room = [0; 4096];
    loop {
        match soon("a byte or the end", client.stream.read(&mut room)).await {
            Ok(0) => return (String::from_utf8(text).unwrap(), false),
            Ok(read) => text.extend_from_slice(&room[..read]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                return (String::from_utf8(text).unwrap(), true);
            }
        }
    }
}

#[tokio::test]
async fn a_body_of_which_the_beginning_is_gone_is_not_sent_again() {
    let listener = Scripted::start().await;
    let relay = Relay::before(listener.addr()).start();
    let mut client = relay.client().await;
    client.send(GET).await;
    let mut first = listener.accept().await;
    first.head().await;
    first
        .send("HTTP/1.1 407 X\r\nProxy-Authenticate: Digest realm=r, nonce=n, qop=auth\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert!(first.head().await.has("proxy-authorization"));
    first.send(OK).await;
    assert_eq!(client.answer().await.text(), "ok");
    client.send("POST http://h.test/ HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for _ in 0..10 {
        client.send(format!("4000\r\n{}\r\n", "x".repeat(0x4000))).await;
    }
    assert!(first.head().await.has("expect"));
    // It says nothing for so long that the body comes, and only then that it knows no Expect.
    first.take(10 * 0x4000).await;
    first.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 502);
    assert!(answer.text().contains("too much of the body"), "{}", answer.text());
}

#[tokio::test]
async fn a_change_of_protocol_that_nobody_asked_for_is_no_answer() {
    let listener = Scripted::start().await;
    let relay = Relay::before(listener.addr()).start();
    let mut client = relay.client().await;
    client.send(GET).await;
    let mut upstream = listener.accept().await;
    upstream.head().await;
    upstream.send(format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n{EVIL}")).await;
    assert_eq!(client.answer().await.status(), 502);
    upstream.ended().await;
}

#[tokio::test]
async fn bytes_behind_an_answer_on_a_pinned_connection_become_nobodys_answer() {
    let listener = Scripted::start().await;
    let relay = Relay::before(listener.addr()).start();
    let mut client = relay.client().await;
    client.send(GET).await;
    let mut first = listener.accept().await;
    first.head().await;
    first.send(format!("HTTP/1.1 401 X\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n{EVIL}")).await;
    assert_eq!(client.answer().await.status(), 401);
    client.send(GET).await;
    let mut second = listener.accept().await;
    second.head().await;
    second.send(OK).await;
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test]
async fn an_answer_that_comes_too_late_becomes_nobodys() {
    let listener = Scripted::start().await;
    let relay = Relay::before(listener.addr()).start();
    let (mut one, mut other) = (relay.client().await, relay.client().await);
    one.send(GET).await;
    let mut first = listener.accept().await;
    first.head().await;
    first.send(OK).await;
    assert_eq!(one.answer().await.text(), "ok");
    // Nobody waits for anything on this connection now.
    first.send(EVIL).await;
    for client in [&mut other, &mut one] {
        client.send(GET).await;
        let mut next = listener.accept().await;
        next.head().await;
        next.send(OK.replace("Content", "Connection: close\r\nContent")).await;
        assert_eq!(client.answer().await.text(), "ok");
    }
    first.ended().await;
}

/// One that comes while somebody waits cannot be told from the right one; but the right one behind it goes to nobody.
#[tokio::test]
async fn one_wrong_answer_does_not_shift_all_that_follow() {
    let listener = Scripted::start().await;
    let relay = Relay::before(listener.addr()).start();
    let mut client = relay.client().await;
    client.send(GET).await;
    let mut first = listener.accept().await;
    first.head().await;
    first.send([EVIL, OK].concat()).await;
    assert_eq!(client.answer().await.text(), "evil");
    for client in [&mut relay.client().await, &mut client] {
        client.send(GET).await;
        let mut next = listener.accept().await;
        next.head().await;
        next.send(OK.replace("ok", "me").replace("Content", "Connection: close\r\nContent")).await;
        assert_eq!(client.answer().await.text(), "me");
    }
}

#[tokio::test]
async fn bytes_behind_the_answer_to_a_safe_request_become_nobodys_answer() {
    let listener = Scripted::start().await;
    let relay = Relay::before(listener.addr()).start();
    let mut client = relay.client().await;
    client.send("POST http://h.test/ HTTP/1.1\r\nHost: h.test\r\nContent-Length: 100000\r\n\r\n").await;
    let mut first = listener.accept().await;
    assert_eq!(first.head().await.method(), "HEAD");
    first.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{EVIL}")).await;
    client.send(vec![b'x'; 100_000]).await;
    let mut second = listener.accept().await;
    assert_eq!(second.head().await.method(), "POST");
    second.take(100_000).await;
    second.send(OK).await;
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test]
async fn half_an_answer_is_not_asked_for_again() {
    for begun in ["HTTP/1.1 20", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"] {
        let listener = Scripted::start().await;
        let relay = Relay::before(listener.addr()).start();
        let mut client = relay.client().await;
        client.send(GET).await;
        let mut upstream = listener.accept().await;
        upstream.head().await;
        upstream.send(OK).await;
        assert_eq!(client.answer().await.text(), "ok");
        client.send(GET).await;
        upstream.head().await;
        upstream.send(begun).await;
        upstream.finish().await;
        assert_eq!(client.answer().await.status(), 502, "{begun:?}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_is_not_taken_for_whole_when_it_was_cut() {
    let listener = Scripted::start().await;
    let relay = Relay::before(listener.addr()).start();
    for (request, said, whole) in [
        (
            "GET http://h.test/ HTTP/1.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            false,
        ),
        (
            "GET http://h.test/ HTTP/1.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n\r\n",
            true,
        ),
        (GET, "HTTP/1.1 200 OK\r\n\r\nhalf", true),
    ] {
        let mut client = relay.client().await;
        client.send(request).await;
        let mut upstream = listener.accept().await;
        upstream.head().await;
        upstream.send(said).await;
        upstream.finish().await;
        let (text, reset) = all(&mut client).await;
        assert!(text.ends_with("half"), "{text}");
        assert_eq!(reset, !whole, "{said:?}");
    }
    let mut client = relay.client().await;
    client.send(GET).await;
    let mut upstream = listener.accept().await;
    upstream.head().await;
    upstream.send("HTTP/1.1 200 OK\r\n\r\nhalf").await;
    client.head().await;
    assert_eq!(client.take(4).await, b"half");
    upstream.reset();
    assert_eq!(all(&mut client).await, (String::new(), true));
}

#[tokio::test]
async fn a_pinned_connection_does_not_outlive_the_route_it_was_made_for() {
    let (old, new) = (Scripted::start().await, Scripted::start().await);
    let mut relay = RelayPlan::default().upstream(old.addr()).start();
    let mut client = relay.client().await;
    client.send(GET).await;
    let mut first = old.accept().await;
    first.head().await;
    first.send("HTTP/1.1 401 X\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 401);
    relay.reload(|plan| plan.without_upstreams().upstream(new.addr()));
    client.send(GET).await;
    let mut second = new.accept().await;
    second.head().await;
    second.send(OK).await;
    assert_eq!(client.answer().await.text(), "ok");
    first.ended().await;
}
