//! Absolute-form requests: the message goes on as it is, the answer comes back as it is.

use hallpass::practice::Offer;
use hyper::Method;
use sha2::{Digest, Sha256};

use crate::support::{Head, Office, Peer, Relay, Say, Scripted, Upstream};

const MIB: usize = 1024 * 1024;

fn sample(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn chunked(bytes: &[u8], size: usize, trailers: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in bytes.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
    out
}

/// The relay with one client and the upstream's side of that client's first request.
struct Line {
    client: Peer,
    upstream: Peer,
    head: Head,
    relay: Relay,
    listener: Scripted,
}

async fn line(request: &str) -> Line {
    let listener = Scripted::start().await;
    let relay = Relay::before(listener.addr()).start();
    let mut client = relay.client().await;
    client.send(request).await;
    let mut upstream = listener.accept().await;
    let head = upstream.head().await;
    Line { client, upstream, head, relay, listener }
}

#[tokio::test]
async fn every_method_reaches_the_upstream_as_it_was_said() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).start();
    let mut client = relay.client().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "HEAD"] {
        let head = client
            .ask_head(format!("{method} http://H.test:80/a%20b?q=/x&y HTTP/1.1\r\nHost: H.test\r\nX-cAsE: Ab\r\n\r\n"))
            .await;
        assert_eq!(head.status(), 200, "{method}");
        if method != "HEAD" {
            assert_eq!(client.body(&head).await.0, b"thanks", "{method}");
        }
        let heard = upstream.heard().pop().unwrap().head;
        assert_eq!(heard.line(), format!("{method} http://h.test/a%20b?q=/x&y HTTP/1.1"));
        assert_eq!(heard.one("host"), Some("h.test"));
        assert!(heard.0.contains("\r\nX-cAsE: Ab\r\n"), "{heard:?}");
        let length = ["POST", "PUT", "PATCH"].contains(&method).then_some("0");
        assert_eq!(heard.one("content-length"), length, "{method}");
    }
}

#[tokio::test]
async fn bodies_arrive_byte_for_byte_with_a_length_and_in_chunks_through_ntlm() {
    let office = Office::with([Offer::Ntlm]).start().await;
    for (length, size) in [(1, 1), (65_535, 1000), (65_537, 70_000), (MIB, 16_384), (MIB, 1)] {
        let body = sample(if size == 1 { length.min(20_000) } else { length });
        for framed in [false, true] {
            let (field, bytes) = match framed {
                true => ("Transfer-Encoding: chunked".to_string(), chunked(&body, size, "")),
                false => (format!("Content-Length: {}", body.len()), body.clone()),
            };
            let mut client = office.relay.client().await;
            client.send(format!("POST http://o.practice/digest HTTP/1.1\r\nHost: o\r\n{field}\r\n\r\n")).await;
            client.send(&bytes).await;
            let page: serde_json::Value = serde_json::from_slice(&client.answer().await.body).unwrap();
            assert_eq!(
                (page["length"].as_u64(), page["sha256"].as_str()),
                (Some(body.len() as u64), Some(sha256(&body).as_str()))
            );
        }
    }
    assert_eq!(office.logons().rejected, 0);
}

#[tokio::test]
async fn answers_come_back_byte_for_byte_with_a_length_and_in_chunks_through_ntlm() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let expected = sample(MIB);
    for chunked in [0, 1] {
        let answer = office.get(&format!("/big?bytes={MIB}&chunked={chunked}")).await;
        assert_eq!(answer.head.has("transfer-encoding"), chunked == 1);
        assert!(answer.body == expected, "{} bytes came", answer.body.len());
    }
    let mut client = office.relay.client().await;
    client.send("POST http://o.practice/echo HTTP/1.1\r\nHost: o\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send("3\r\nabc\r\n").await;
    let head = client.head().await;
    assert_eq!(head.status(), 200, "an echo begins before the request has ended");
    assert_eq!(client.take(8).await, b"3\r\nabc\r\n");
    client.send("2\r\nde\r\n0\r\n\r\n").await;
    assert_eq!(client.take(12).await, b"2\r\nde\r\n0\r\n\r\n");
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let mut client = office.relay.client().await;
    client
        .send(
            "POST http://o.practice/digest HTTP/1.1\r\nHost: o\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .await;
    client.send(chunked(b"body", 4, "X-Sum: 42\r\n")).await;
    let page: serde_json::Value = serde_json::from_slice(&client.answer().await.body).unwrap();
    assert_eq!(page["trailers"], serde_json::json!([["x-sum", "42"]]));
    // The practice proxy's server sends trailers only to who takes them.
    let answer =
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 43\r\n\r\n";
    let upstream = Upstream::start(move |_| Say::answer(answer)).await;
    let relay = Relay::before(upstream.addr).start();
    let answer = relay.client().await.ask("GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\nTE: trailers\r\n\r\n").await;
    assert_eq!(
        (answer.text(), answer.trailers.as_str(), answer.head.one("trailer")),
        ("ok", "X-Sum: 43\n", Some("X-Sum"))
    );
}

#[tokio::test]
async fn the_body_of_a_client_that_waits_for_100_is_asked_for_by_the_upstream_and_not_before() {
    let mut line =
        line("POST http://h.test/ HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(line.head.one("expect"), Some("100-continue"));
    assert!(line.client.silent().await, "a 100 before the upstream's");
    line.upstream.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(line.client.head().await.0, "HTTP/1.1 100 Continue\r\n\r\n");
    line.client.send("12345").await;
    assert_eq!(line.upstream.take(5).await, b"12345");
    line.upstream.send("HTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(line.client.head().await.line(), "HTTP/1.1 201 Made");
}

#[tokio::test]
async fn a_client_that_waits_for_100_may_be_refused_without_its_body() {
    let mut line =
        line("PUT http://h.test/ HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    line.upstream.send("HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno").await;
    let answer = line.client.answer().await;
    assert_eq!((answer.status(), answer.text()), (417, "no"));
    // Nobody can tell whether the body still comes: neither connection is used again.
    line.client.ended().await;
    line.upstream.ended().await;
}

#[tokio::test]
async fn expect_goes_end_to_end_through_the_407_talk() {
    for offer in [Offer::Ntlm, Offer::Basic] {
        let office = Office::with([offer]).upstream("schemes = [\"ntlm\", \"basic\"]").start().await;
        for _ in 0..2 {
            let mut client = office.relay.client().await;
            let head = "POST http://o.practice/digest HTTP/1.1\r\nHost: o\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
            assert_eq!(client.ask_head(head).await.status(), 100, "{offer:?}");
            let answer = client.ask("12345").await;
            assert_eq!(answer.status(), 200, "{offer:?}");
        }
        assert_eq!(office.proxy.record().passed(&Method::POST).len(), 2);
    }
}

#[tokio::test]
async fn early_hints_and_other_interim_answers_pass() {
    let mut line = line("GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n").await;
    line.upstream.send("HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n").await;
    assert_eq!(line.client.head().await.0, "HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n");
    line.upstream.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!((line.client.head().await.status(), line.client.head().await.status()), (102, 200));
}

#[tokio::test]
async fn answers_without_a_body_do_not_hang_whatever_length_they_name() {
    for (method, said) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"),
        ("GET", "HTTP/1.1 204 No Content\r\nX: 1"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0"),
    ] {
        let upstream = Upstream::start(move |_| Say::answer(format!("{said}\r\n\r\n"))).await;
        let relay = Relay::before(upstream.addr).start();
        let mut client = relay.client().await;
        let request = format!("{method} http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n");
        for _ in 0..2 {
            let head = client.ask_head(&request).await;
            assert_eq!(head.line(), said.lines().next().unwrap(), "{method} {said}");
            assert_eq!(head.one("content-length"), said.split_once("Length: ").map(|(_, length)| length), "{said}");
        }
        assert_eq!(upstream.connections(), 1, "{method} {said}");
    }
}

#[tokio::test]
async fn an_upgrade_becomes_bytes_both_ways_early_ones_included() {
    let mut line = line(
        "GET http://h.test/chat HTTP/1.1\r\nHost: h.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: x\r\n\r\n",
    )
    .await;
    assert_eq!(line.head.one("upgrade"), Some("websocket"));
    assert_eq!(line.head.one("connection"), Some("Upgrade"));
    line.upstream
        .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: 1\r\n\r\nearly")
        .await;
    let head = line.client.head().await;
    assert_eq!((head.status(), head.one("upgrade"), head.one("connection")), (101, Some("websocket"), Some("Upgrade")));
    assert_eq!(line.client.take(5).await, b"early");
    line.client.send("\x01\x02up").await;
    assert_eq!(line.upstream.take(4).await, b"\x01\x02up");
    line.upstream.finish().await;
    line.client.ended().await;
    line.client.send("after the end").await;
    assert_eq!(line.upstream.take(13).await, b"after the end");
}

#[tokio::test]
async fn an_upgrade_passes_an_upstream_that_demands_ntlm() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let request = format!("ws://{}/ws", office.relay.addr());
    let mut client = office.relay.client().await;
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    client
        .send(format!(
            "GET http://o.practice/ws HTTP/1.1\r\nHost: o.practice\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        ))
        .await;
    let head = client.head().await;
    assert_eq!(
        (head.status(), head.one("sec-websocket-accept")),
        (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
        "{request}"
    );
    // One masked text frame, mask 0.
    client.send(b"\x81\x82\0\0\0\0hi").await;
    assert_eq!(client.take(4).await, b"\x81\x02hi");
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_answer() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).start();
    let mut client = relay.client().await;
    let request = "GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n";
    for _ in 0..2 {
        assert_eq!(client.ask(request).await.text(), "thanks");
    }
    assert!(!upstream.heard()[0].head.has("http2-settings"));
}

#[tokio::test]
async fn requests_sent_together_are_answered_in_order() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let mut client = office.relay.client().await;
    let one = |path: &str| format!("GET http://o.practice{path} HTTP/1.1\r\nHost: o\r\n\r\n");
    let post = "POST http://o.practice/echo HTTP/1.1\r\nHost: o\r\nContent-Length: 4\r\n\r\nbody";
    client.send([one("/sleep?ms=50"), post.into(), one("/status/404"), one("/hello")].concat()).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        let answer = client.answer().await;
        answers.push((answer.status(), answer.text().to_string()));
    }
    let expected =
        [(200, "good morning\n"), (200, "body"), (404, "404 Not Found\n"), (200, "hello from the practice origin\n")];
    assert_eq!(answers, expected.map(|(status, text)| (status, text.to_string())));
    let records = office.relay.records(4).await;
    assert_eq!(records.len(), 4);
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_plain_bytes_and_the_end_of_the_connection() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let mut client = office.relay.client().await;
    client.send("GET http://o.practice/big?bytes=1000&chunked=1 HTTP/1.0\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!((head.status(), head.has("transfer-encoding")), (200, false));
    assert_eq!(client.rest().await, sample(1000));
    // Where the length is known, HTTP/1.0 may keep the connection, if it asks for it.
    let mut client = office.relay.client().await;
    let request = "GET http://o.practice/hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    for _ in 0..2 {
        let answer = client.ask(request).await;
        assert_eq!(answer.head.one("connection"), Some("keep-alive"));
    }
    let mut client = office.relay.client().await;
    let answer = client.ask("GET http://o.practice/hello HTTP/1.0\r\n\r\n").await;
    assert_eq!(answer.head.one("connection"), Some("close"));
    client.ended().await;
}

#[tokio::test]
async fn connection_close_is_kept_to() {
    let office = Office::with([Offer::Ntlm]).start().await;
    for field in ["Connection: close", "Proxy-Connection: close", "Connection: Keep-Alive, CLOSE"] {
        let mut client = office.relay.client().await;
        let answer = client.ask(format!("GET http://o.practice/hello HTTP/1.1\r\nHost: o\r\n{field}\r\n\r\n")).await;
        assert_eq!(answer.head.one("connection"), Some("close"), "{field}");
        client.ended().await;
    }
    assert_eq!(office.proxy.record().connections(), 1, "it is the client's own connection that is meant");
}

#[tokio::test]
async fn the_url_is_the_truth_and_a_host_that_differs_is_not_passed_on() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).start();
    let mut client = relay.client().await;
    for (url, host) in [
        ("http://h.test/", "h.test"),
        ("http://h.test:8080/x", "h.test:8080"),
        ("http://[2001:db8::7]/", "[2001:db8::7]"),
    ] {
        client.ask(format!("GET {url} HTTP/1.1\r\nHost: evil.test\r\n\r\n")).await;
        let heard = upstream.heard().pop().unwrap().head;
        assert_eq!((heard.line(), heard.one("host")), (format!("GET {url} HTTP/1.1").as_str(), Some(host)));
    }
}

#[tokio::test]
async fn a_direct_target_gets_the_path_alone() {
    let target = Upstream::start(Say::welcome).await;
    let relay = Relay::direct();
    let mut client = relay.client().await;
    for (path, line) in [("/a?b", "/a?b"), ("", "/"), ("?q", "/?q")] {
        assert_eq!(
            client.ask(format!("GET http://{}{path} HTTP/1.1\r\nHost: x\r\n\r\n", target.addr)).await.status(),
            200
        );
        let heard = target.heard().pop().unwrap().head;
        assert_eq!(heard.line(), format!("GET {line} HTTP/1.1"));
        assert_eq!(heard.one("host"), Some(target.addr.to_string().as_str()));
        assert!(!heard.has("proxy-connection"));
    }
    // Only OPTIONS can ask about the server itself (RFC 9112 §3.2.4).
    for (path, line) in [("", "*"), ("/", "/"), ("?q", "/?q")] {
        client.ask(format!("OPTIONS http://{}{path} HTTP/1.1\r\nHost: x\r\n\r\n", target.addr)).await;
        assert_eq!(target.heard().pop().unwrap().head.line(), format!("OPTIONS {line} HTTP/1.1"));
    }
}

#[tokio::test]
async fn an_answer_keeps_its_words_their_case_and_their_order_and_loses_what_was_meant_for_us() {
    let said = "HTTP/1.1 203 Sch\u{f6}n und gut\r\nX-lower-UPPER: 1\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\
                Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
                Via: 1.0 before\r\nContent-Length: 2\r\n\r\nok";
    let latin_1: Vec<u8> = said.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let upstream = Upstream::start(move |_| Say::Answer(latin_1.clone())).await;
    let relay = Relay::before(upstream.addr).start();
    let answer = relay.client().await.ask("GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n").await;
    assert_eq!(answer.head.line(), "HTTP/1.1 203 Sch\u{f6}n und gut");
    assert!(answer.head.0.contains("X-lower-UPPER: 1\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n"), "{answer:?}");
    for gone in ["connection", "x-hop", "keep-alive", "proxy-connection"] {
        assert!(!answer.head.has(gone), "{gone}");
    }
    let via = answer.head.all("via").join(", ");
    assert!(via.starts_with("1.0 before, 1.1 hallpass-"), "{via}");
}

#[tokio::test]
async fn a_request_that_came_through_us_before_is_a_loop() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).start();
    let mut client = relay.client().await;
    client.ask("GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\nVia: 1.1 other\r\n\r\n").await;
    let heard = upstream.heard().pop().unwrap().head;
    let vias = heard.all("via").join(", ");
    assert!(vias.starts_with("1.1 other, 1.1 hallpass-"), "{vias}");
    let answer = client.ask(format!("GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\nVia: {vias}\r\n\r\n")).await;
    assert_eq!((answer.status(), upstream.heard().len()), (403, 1));
    assert_eq!(relay.records(2).await[1]["end"], "loop");
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_has_ended_reaches_the_client() {
    for framing in ["Content-Length: 100000000", "Transfer-Encoding: chunked"] {
        let mut line = line(&format!("POST http://h.test/ HTTP/1.1\r\nHost: h.test\r\n{framing}\r\n\r\n")).await;
        // An unknown upstream is asked by HEAD first, for the body is long.
        assert_eq!(line.head.method(), "HEAD");
        line.upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n").await;
        let head = line.upstream.head().await;
        assert_eq!(head.method(), "POST");
        line.client.send("5\r\n12345\r\n").await;
        line.upstream.take(5).await;
        line.upstream.send("HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig").await;
        let answer = line.client.answer().await;
        assert_eq!((answer.status(), answer.text()), (413, "big"), "{framing}");
        assert_eq!(answer.head.one("connection"), Some("close"), "{framing}: the rest of the body is in the way");
    }
}

#[tokio::test]
async fn an_upstream_that_answers_and_resets_while_the_body_comes_is_still_heard() {
    let mut line = line("POST http://h.test/ HTTP/1.1\r\nHost: h.test\r\nContent-Length: 60000\r\n\r\n").await;
    line.client.send(sample(30_000)).await;
    line.upstream.send("HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig").await;
    assert_eq!(line.client.answer().await.status(), 413);
    drop(line.upstream);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_whole() {
    for (said, ended) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "upstream_closed"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "upstream_closed"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "upstream_closed"),
    ] {
        let upstream = Upstream::start(move |_| Say::last(said)).await;
        let relay = Relay::before(upstream.addr).start();
        let mut client = relay.client().await;
        client.send("GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n").await;
        assert_eq!(client.head().await.status(), 200);
        let rest = client.rest().await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{said:?}");
        assert_eq!(relay.records(1).await[0]["end"], ended, "{said:?}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_ends_ours() {
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let upstream = Upstream::start(move |_| Say::last(format!("{version} 200 OK\r\n\r\nall of it"))).await;
        let relay = Relay::before(upstream.addr).start();
        let mut client = relay.client().await;
        client.send("GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n").await;
        let head = client.head().await;
        assert_eq!((head.line(), head.one("connection")), ("HTTP/1.1 200 OK", Some("close")));
        assert_eq!(client.rest().await, b"all of it");
        assert_eq!(relay.records(1).await[0]["end"], "done");
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_frees_the_upstream() {
    let mut line = line("GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n").await;
    line.client.reset();
    line.upstream.ended().await;
    let record = &line.relay.records(1).await[0];
    assert!(["client_closed", "client_reset"].contains(&record["end"].as_str().unwrap()), "{record}");
    drop(line.listener);
}

/// Far more than the kernel buffers of four sockets on loopback hold.
const BOUND: usize = 48 * MIB;

#[tokio::test]
async fn a_client_that_stops_reading_an_answer_stops_the_upstream() {
    let mut line = line("GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n").await;
    line.upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
    let sent = line.upstream.flood(BOUND).await;
    line.upstream.finish().await;
    line.client.head().await;
    assert_eq!(line.client.rest().await.len(), sent);
}

#[tokio::test]
async fn an_upstream_that_stops_reading_a_body_stops_the_client() {
    let mut line = line("PUT http://h.test/ HTTP/1.1\r\nHost: h.test\r\nContent-Length: 1000000000\r\n\r\n").await;
    assert_eq!(line.head.method(), "HEAD");
    line.upstream.send("HTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(line.upstream.head().await.method(), "PUT");
    let sent = line.client.flood(BOUND).await;
    line.upstream.take(sent).await;
    line.upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
    assert_eq!(line.client.answer().await.text(), "ok");
}
