//! Bodies and authentication: a body is sent once to whoever takes it, and to nobody who might throw it away.

use hallpass::practice::{DigestAlgorithm, Offer};
use hyper::Method;

use crate::support::{Guard, Heard, Office, Peer, Relay, Say, Scripted, Upstream};

const KIB: usize = 1024;

async fn post(client: &mut Peer, host: &str, length: usize, chunked: bool) -> u16 {
    let head = format!("POST http://{host}/digest HTTP/1.1\r\nHost: x\r\n");
    let body = vec![b'x'; length];
    if chunked {
        client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n")).await;
        for part in body.chunks(8 * KIB) {
            client.send([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()).await;
        }
        client.send("0\r\n\r\n").await;
    } else {
        client.send(format!("{head}Content-Length: {length}\r\n\r\n")).await;
        client.send(&body).await;
    }
    client.answer().await.status()
}

/// (method, body bytes) of what reached the proxy and was let through or not.
fn seen(office: &Office) -> Vec<(String, u64, u16)> {
    let requests = office.proxy.record().requests();
    requests.iter().map(|seen| (seen.method.to_string(), seen.body.bytes, seen.status.unwrap_or(0))).collect()
}

#[tokio::test]
async fn a_long_body_goes_to_an_ntlm_upstream_once_after_legs_that_are_safe() {
    for chunked in [false, true] {
        let office = Office::with([Offer::Ntlm]).start().await;
        let mut client = office.relay.client().await;
        assert_eq!(post(&mut client, "o.practice", 300 * KIB, chunked).await, 200);
        let expected = [("HEAD", 0, 407), ("HEAD", 0, 407), ("POST", 300 * 1024, 200)];
        assert_eq!(seen(&office), expected.map(|(method, bytes, status)| (method.to_string(), bytes, status)));
        assert_eq!(office.origin.record().passed(&Method::POST).len(), 1);
        assert_eq!(office.origin.record().requests().len(), 1, "no HEAD came through");
    }
}

#[tokio::test]
async fn a_short_body_that_met_a_407_is_sent_once_more_with_the_proof() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let mut client = office.relay.client().await;
    assert_eq!(post(&mut client, "o.practice", KIB, false).await, 200);
    let methods: Vec<_> = seen(&office).into_iter().map(|(method, _, status)| (method, status)).collect();
    let expected = [("POST", 407), ("HEAD", 407), ("POST", 200)];
    assert_eq!(methods, expected.map(|(method, status)| (method.to_string(), status)));
    // Known now: not even the first message carries the body.
    assert_eq!(post(&mut client, "p.practice", KIB, false).await, 200);
    let last: Vec<_> = seen(&office).into_iter().skip(3).collect();
    let expected = [("HEAD", 0, 407), ("POST", 1024, 200)];
    assert_eq!(last, expected.map(|(method, bytes, status)| (method.to_string(), bytes, status)));
}

#[tokio::test]
async fn an_upstream_that_stops_demanding_a_log_in_midway_sees_exactly_one_post() {
    for (length, known) in [(KIB, false), (KIB, true), (300 * KIB, false), (300 * KIB, true)] {
        // From the given message on, everything is let through.
        for open_from in [0, 1, 3] {
            let guard = Guard::new("NTLM");
            let upstream = Upstream::start(move |heard: &Heard| {
                let learning = heard.head.line().contains("learn.test");
                match guard.challenge(heard) {
                    Some(value) if learning || heard.ntlm_type() < open_from => Say::answer(format!(
                        "HTTP/1.1 407 X\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"
                    )),
                    _ => Say::welcome(heard),
                }
            })
            .await;
            let relay = Relay::before(upstream.addr).start();
            let mut client = relay.client().await;
            if known {
                assert_eq!(post(&mut client, "learn.test", 1, false).await, 200);
            }
            assert_eq!(post(&mut client, "h.test", length, false).await, 200, "{length} {known} {open_from}");
            let let_through =
                |heard: &Heard| heard.head.line().contains("POST http://h.test") && heard.ntlm_type() >= open_from;
            let posts: Vec<Heard> = upstream.heard().into_iter().filter(let_through).collect();
            assert_eq!(posts.len(), 1, "{length} {known} {open_from}: {posts:?}");
            assert_eq!(posts[0].body.len(), length);
        }
    }
}

#[tokio::test]
async fn nonces_that_go_stale_every_five_uses_cost_no_post() {
    let offer = Offer::Digest(DigestAlgorithm::Sha256);
    let office = Office::with([offer]).gate(|gate| gate.nonce_uses(5)).start().await;
    let mut client = office.relay.client().await;
    for round in 0..200 {
        assert_eq!(post(&mut client, "o.practice", 100, round % 2 == 1).await, 200, "{round}");
    }
    let record = office.proxy.record();
    assert_eq!((record.passed(&Method::POST).len(), office.logons().rejected), (200, 0));
    assert!(record.stale_nonces() >= 30, "{}", record.stale_nonces());
    assert_eq!(office.origin.record().requests().len(), 200);
}

#[tokio::test]
async fn a_long_body_under_a_scheme_of_single_requests_waits_to_be_asked_for() {
    let offer = Offer::Digest(DigestAlgorithm::Sha256);
    for chunked in [false, true] {
        let office = Office::with([offer]).gate(|gate| gate.nonce_uses(2)).start().await;
        let mut client = office.relay.client().await;
        for round in 0..6 {
            assert_eq!(post(&mut client, "o.practice", 200 * KIB, chunked).await, 200, "{round}");
        }
        let record = office.proxy.record();
        let passed = record.passed(&Method::POST);
        assert_eq!((passed.len(), office.logons().rejected), (6, 0));
        assert!(record.stale_nonces() > 0);
        // What was refused had not cost the body.
        let refused = record.requests().into_iter().filter(|seen| seen.status == Some(407));
        assert!(refused.map(|seen| seen.body.bytes).sum::<u64>() < 100 * 1024);
        assert!(passed.iter().all(|seen| seen.headers.contains_key("expect") && seen.body.bytes == 200 * 1024));
    }
}

#[tokio::test]
async fn the_origin_sees_no_expect_that_the_client_did_not_say() {
    let guard = Guard::new("NTLM");
    let upstream = Upstream::start(move |heard| match guard.challenge(heard) {
        Some(value) => {
            Say::answer(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
        }
        None => Say::welcome(heard),
    })
    .await;
    let relay = Relay::before(upstream.addr).start();
    assert_eq!(post(&mut relay.client().await, "h.test", 200 * KIB, false).await, 200);
    assert!(upstream.heard().iter().all(|heard| !heard.head.has("expect")));
}

#[tokio::test]
async fn an_open_upstream_gets_a_long_body_without_ado_once_it_is_known() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).start();
    let mut client = relay.client().await;
    for chunked in [false, true, false] {
        assert_eq!(post(&mut client, "h.test", 300 * KIB, chunked).await, 200);
    }
    let methods: Vec<String> = upstream.heard().iter().map(|heard| heard.head.method().to_string()).collect();
    assert_eq!(methods, ["HEAD", "POST", "POST", "POST"]);
    assert!(upstream.heard()[1..].iter().all(|heard| heard.body.len() == 300 * KIB));
}

#[tokio::test]
async fn a_long_body_that_meets_an_unexpected_407_ends_in_an_answer_that_says_so_and_only_once() {
    let office = Office::with([Offer::Ntlm]).start().await;
    office.proxy.demand(false);
    assert_eq!(office.get("/hello").await.status(), 200);
    office.proxy.demand(true);
    let mut client = office.relay.client().await;
    client.send("POST http://o.practice/digest HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n").await;
    client.send(vec![b'x'; 300_000]).await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 502);
    assert!(answer.text().contains("too much of the body"), "{}", answer.text());
    assert_eq!(post(&mut office.relay.client().await, "o.practice", 300 * KIB, false).await, 200);
}

#[tokio::test]
async fn a_wrong_password_with_a_long_body_is_a_verdict_and_no_accident() {
    for offer in [Offer::Ntlm, Offer::Digest(DigestAlgorithm::Md5), Offer::Basic] {
        let schemes = "schemes = [\"ntlm\", \"digest\", \"basic\"]";
        let office = Office::with([offer]).upstream(schemes).password("wrong").start().await;
        assert_eq!(post(&mut office.relay.client().await, "o.practice", 300 * KIB, true).await, 407, "{offer:?}");
        assert_eq!(office.logons().rejected, 1, "{offer:?}");
        assert_eq!(office.relay.stop().await[0]["end"], "credential_rejected", "{offer:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_closes_with_its_407_gets_each_body_once() {
    let office = Office::with([Offer::Ntlm]).close_bare_refusals().start().await;
    assert_eq!(office.tunnel().await.ask("GET /hello HTTP/1.1\r\nHost: o\r\n\r\n").await.status(), 200);
    for (host, length) in [("a.practice", 300 * KIB), ("b.practice", KIB), ("c.practice", 300 * KIB)] {
        assert_eq!(post(&mut office.relay.client().await, host, length, true).await, 200, "{host}");
    }
    assert_eq!((office.proxy.record().passed(&Method::POST).len(), office.logons().rejected), (3, 0));
}

#[tokio::test]
async fn a_407_in_the_middle_of_a_body_costs_the_client_nothing() {
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let chunked = framing.starts_with('T');
        let (first, second) = if chunked { ("5\r\n01234\r\n", "5\r\n56789\r\n0\r\n\r\n") } else { ("01234", "56789") };
        let listener = Scripted::start().await;
        let relay = Relay::before(listener.addr()).upstream_schemes("[\"basic\"]").start();
        let mut client = relay.client().await;
        client.send(format!("POST http://h.test/ HTTP/1.1\r\nHost: h.test\r\n{framing}\r\n\r\n{first}")).await;
        let mut upstream = listener.accept().await;
        let refusal = "HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
        if chunked {
            // Its length is not known, so the log-in comes first, and the request on the same connection.
            assert_eq!(upstream.head().await.method(), "HEAD");
            upstream.send(refusal).await;
        } else {
            assert_eq!(upstream.head().await.method(), "POST");
            assert_eq!(upstream.take(5).await, b"01234");
            upstream.send(refusal).await;
            // The rest of the body would be taken for a request there.
            upstream.ended().await;
            upstream = listener.accept().await;
        }
        let head = upstream.head().await;
        assert_eq!((head.method(), head.has("proxy-authorization")), ("POST", true), "{framing}");
        assert_eq!(upstream.take(first.len()).await, first.as_bytes(), "{framing}");
        client.send(second).await;
        assert_eq!(upstream.take(second.len()).await, second.as_bytes(), "{framing}");
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(client.answer().await.text(), "ok", "{framing}");
    }
}
