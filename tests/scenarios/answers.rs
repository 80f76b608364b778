//! Our own answers: status, words, and the audit record that goes with each.

use std::net::SocketAddr;

use hallpass::practice::Offer;
use serde_json::Value;

use crate::support::{Answer, BlackHole, Office, Relay, RelayPlan, Say, Scripted, Upstream};

/// What every answer of ours has, and that it is the one of this record.
fn assert_is_ours(answer: &Answer, record: &Value, expected: (u16, &str, &str), context: &str) {
    let (status, end, error) = expected;
    assert_eq!(answer.status(), status, "{context}: {}", answer.text());
    let proxy_status = answer.head.one("proxy-status").unwrap_or_else(|| panic!("{context}: {:?}", answer.head));
    assert!(proxy_status.starts_with(&format!("hallpass; error={error}; details=\"")), "{context}: {proxy_status}");
    assert_eq!(answer.head.one("content-type"), Some("text/plain; charset=utf-8"), "{context}");
    assert_eq!(answer.head.one("connection"), Some("close"), "{context}");
    let line = answer.text();
    assert!(
        line.starts_with("hallpass: ") && line.ends_with(")\n") && line.lines().count() == 1,
        "{context}: {line:?}"
    );
    let (id, _) = line.rsplit_once("(request ").unwrap().1.split_once(", errors.md#").unwrap();
    assert_eq!(record["id"], id, "{context}");
    assert_eq!((&record["end"], &record["status"]), (&end.into(), &status.into()), "{context}: {record}");
    for key in ["time", "client", "listener", "total_ms"] {
        assert!(!record[key].is_null(), "{context}: {key} is missing in {record}");
    }
}

async fn ask(relay: &Relay, request: &str, expected: (u16, &str, &str)) -> (Answer, Value) {
    let before = relay.records(0).await.len();
    let mut client = relay.client().await;
    let answer = client.ask(request).await;
    client.ended().await;
    let record = relay.records(before + 1).await.remove(before);
    assert_is_ours(&answer, &record, expected, &request[..request.len().min(80)]);
    (answer, record)
}

#[tokio::test]
async fn what_is_no_request_for_a_proxy_is_refused_before_anybody_else_hears_of_it() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).key("max_head = \"32KiB\"").key("connect_ports = [443]").start();
    let own = relay.addr();
    let long_target = format!("GET http://h.test/{} HTTP/1.1\r\nHost: h.test\r\n\r\n", "x".repeat(20_000));
    let long_head = format!("GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    let many_fields = format!("GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n{}\r\n", "X: 1\r\n".repeat(300));
    let bad = (400, "bad_request", "http_request_error");
    for (request, expected) in [
        ("HELLO\r\n\r\n", bad),
        ("\x16\x03\x01\x02\r\n\r\n", bad),
        ("GET http://h.test/ HTTP/2.0\r\n\r\n", bad),
        ("GET http://h.test/ HTTP/1.1\r\nHost : h.test\r\n\r\n", bad),
        ("GET h.test/path HTTP/1.1\r\nHost: h.test\r\n\r\n", bad),
        ("GET http:///path HTTP/1.1\r\nHost: h.test\r\n\r\n", bad),
        ("GET http://h.test:0/ HTTP/1.1\r\nHost: h.test\r\n\r\n", bad),
        ("GET http://user:secret@h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n", bad),
        ("GET gopher://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n", bad),
        ("CONNECT h.test HTTP/1.1\r\nHost: h.test\r\n\r\n", bad),
        ("CONNECT h.test:99999 HTTP/1.1\r\nHost: h.test\r\n\r\n", bad),
        ("CONNECT http://h.test:443 HTTP/1.1\r\nHost: h.test\r\n\r\n", bad),
        ("CONNECT :443 HTTP/1.1\r\nHost: h.test\r\n\r\n", bad),
        ("CONNECT [fe80::1%25eth0]:443 HTTP/1.1\r\n\r\n", bad),
        ("OPTIONS http://h.test/ HTTP/1.1\r\nHost: h.test\r\nMax-Forwards: 0\r\n\r\n", bad),
        (&long_target, (414, "bad_request", "http_request_error")),
        (&long_head, (431, "bad_request", "http_request_error")),
        (&many_fields, (431, "bad_request", "http_request_error")),
        ("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", (421, "bad_request", "http_request_error")),
        (
            "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.test\r\n\r\n",
            (403, "denied", "http_request_denied"),
        ),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n", (403, "denied", "http_request_denied")),
        ("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", (404, "bad_request", "http_request_error")),
        ("POST /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", (405, "bad_request", "http_request_error")),
        ("GET /healthz HTTP/1.1\r\n\r\n", bad),
        ("CONNECT h.test:22 HTTP/1.1\r\nHost: h.test:22\r\n\r\n", (403, "denied", "http_request_denied")),
        (&format!("CONNECT {own} HTTP/1.1\r\n\r\n"), (403, "loop", "proxy_loop_detected")),
        (
            &format!("GET http://localhost:{}/ HTTP/1.1\r\nHost: x\r\n\r\n", own.port()),
            (403, "loop", "proxy_loop_detected"),
        ),
        (
            &format!("GET http://[::ffff:127.0.0.1]:{}/ HTTP/1.1\r\nHost: x\r\n\r\n", own.port()),
            (403, "loop", "proxy_loop_detected"),
        ),
    ] {
        let (answer, record) = ask(&relay, request, expected).await;
        let shown = format!("{answer:?}{record}");
        assert!(!shown.contains("secret") && !shown.contains("user:"), "{shown}");
    }
    assert_eq!(upstream.heard().len(), 0);
}

#[tokio::test]
async fn a_head_that_does_not_come_is_waited_for_no_longer_than_configured() {
    let relay = RelayPlan::default().key("head_timeout = \"150ms\"").start();
    let mut client = relay.client().await;
    client.send("GET http://h.test/ HT").await;
    let answer = client.answer().await;
    assert_is_ours(&answer, &relay.records(1).await[0], (408, "bad_request", "http_request_error"), "half a head");
    // Who has not begun is let alone.
    let mut silent = relay.client().await;
    assert!(silent.silent().await && silent.silent().await && silent.silent().await);
    assert_eq!(silent.ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.status(), 200);
}

#[tokio::test]
async fn more_clients_than_allowed_are_told_to_come_again() {
    let relay = RelayPlan::default().key("max_clients = 1").start();
    let health = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut first = relay.client().await;
    assert_eq!(first.ask(health).await.status(), 200);
    let mut second = relay.client().await;
    let answer = second.answer().await;
    assert_is_ours(&answer, &relay.records(1).await[0], (503, "limit", "connection_limit_reached"), "one too many");
    assert!(answer.head.one("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()));
    drop((first, second));
    let again = async {
        while relay.client().await.ask(health).await.status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    crate::support::soon("a free place", again).await;
}

/// Nobody listens there.
async fn refused_address() -> SocketAddr {
    Scripted::start().await.addr()
}

const CONNECT: &str = "CONNECT h.test:443 HTTP/1.1\r\nHost: h.test:443\r\n\r\n";
const GET: &str = "GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n";
const POST: &str = "POST http://h.test/ HTTP/1.1\r\nHost: h.test\r\nContent-Length: 1\r\n\r\n1";

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_named_with_the_cause() {
    let nobody = refused_address().await;
    let hole = BlackHole::dig().await;
    let mute = Scripted::start().await;
    for (upstream, key, expected) in [
        (nobody, "", (502, "unreachable", "connection_refused")),
        (hole.addr, "connect_timeout = \"200ms\"", (504, "connect_timeout", "connection_timeout")),
        (mute.addr(), "handshake_timeout = \"200ms\"", (504, "handshake_timeout", "connection_read_timeout")),
    ] {
        let relay = Relay::before(upstream).key(key).start();
        // An answer to a forwarded request may take as long as it likes; a handshake may not.
        let forwarded: &[&str] = if expected.0 == 504 && upstream == mute.addr() { &[] } else { &[GET, POST] };
        for request in [CONNECT].iter().chain(forwarded) {
            let (answer, record) = ask(&relay, request, expected).await;
            assert!(answer.text().contains(&upstream.to_string()), "{}", answer.text());
            assert_eq!(record["hop"], format!("http://{upstream}"));
            assert!(record["target"].as_str().unwrap().starts_with("h.test:"));
            assert_eq!(record["reason"]["kind"], "upstream");
        }
    }
}

#[tokio::test]
async fn a_direct_target_that_cannot_be_reached_is_named_with_the_cause() {
    let nobody = refused_address().await;
    let hole = BlackHole::dig().await;
    let relay = RelayPlan::default().key("connect_timeout = \"200ms\"").start();
    for (target, expected) in [
        (nobody.to_string(), (502, "unreachable", "connection_refused")),
        (hole.addr.to_string(), (504, "connect_timeout", "connection_timeout")),
    ] {
        for request in
            [format!("CONNECT {target} HTTP/1.1\r\n\r\n"), format!("GET http://{target}/ HTTP/1.1\r\nHost: x\r\n\r\n")]
        {
            let (_, record) = ask(&relay, &request, expected).await;
            assert_eq!((&record["hop"], &record["reason"]["kind"]), (&"direct".into(), &"loopback".into()));
        }
    }
    let https = format!("GET https://{nobody}/ HTTP/1.1\r\nHost: x\r\n\r\n");
    ask(&relay, &https, (400, "bad_request", "http_request_error")).await;
}

#[tokio::test]
async fn the_upstreams_own_refusal_reaches_the_client_word_for_word() {
    let page = "<html>Access to h.test is <b>denied</b> by policy.</html>";
    for (status, framed) in [(403, true), (404, false), (503, true), (500, false), (302, true)] {
        let body = match framed {
            true => format!("Content-Length: {}\r\n\r\n{page}", page.len()),
            false => format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{page}\r\n0\r\n\r\n", page.len()),
        };
        let said = format!(
            "HTTP/1.1 {status} By Policy\r\nX-Squid-Error: ERR 0\r\nServer: squid/5.7\r\nRetry-After: 7\r\n{body}"
        );
        let upstream = Upstream::start(move |_| Say::answer(said.clone())).await;
        let relay = Relay::before(upstream.addr).start();
        for (number, (request, end)) in [(CONNECT, "upstream_refused"), (GET, "done")].into_iter().enumerate() {
            let answer = relay.client().await.ask(request).await;
            assert_eq!((answer.head.line(), answer.text()), (format!("HTTP/1.1 {status} By Policy").as_str(), page));
            for (name, value) in [("x-squid-error", "ERR 0"), ("server", "squid/5.7"), ("retry-after", "7")] {
                assert_eq!(answer.head.one(name), Some(value), "{status}");
            }
            assert!(!answer.head.has("proxy-status"));
            let record = relay.records(number + 1).await.remove(number);
            assert_eq!((&record["end"], &record["status"]), (&end.into(), &status.into()));
        }
    }
}

#[tokio::test]
async fn a_refusal_behind_the_log_in_reaches_the_client_too() {
    let office = Office::with([Offer::Ntlm]).start().await;
    for request in
        ["CONNECT x.denied.practice:443 HTTP/1.1\r\n\r\n", "GET http://x.denied.practice/ HTTP/1.1\r\nHost: x\r\n\r\n"]
    {
        let answer = office.relay.client().await.ask(request).await;
        assert_eq!((answer.status(), answer.text()), (403, "x.denied.practice is not allowed here.\n"));
        assert_eq!(answer.head.one("x-practice-error"), Some("denied"));
    }
    assert_eq!(office.logons().rejected, 0);
}

#[tokio::test]
async fn our_own_pages_answer_under_our_own_names_alone() {
    let relay = RelayPlan::default().key("local_hosts = [\"relay.corp.test\"]").start();
    let port = relay.addr().port();
    let mut client = relay.client().await;
    for host in ["localhost", "127.0.0.1", "[::1]", "LOCALHOST:3128", "relay.corp.test", &format!("127.0.0.1:{port}")] {
        for (path, text) in [("/healthz", "alive\n"), ("/readyz", "ready\n"), ("/healthz?x=1", "alive\n")] {
            let answer = client.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            assert_eq!((answer.status(), answer.text()), (200, text), "{host}{path}");
        }
    }
    let origin = format!("GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: http://localhost:{port}\r\n\r\n");
    assert_eq!(client.ask(origin).await.status(), 200);
    let head = client.ask_head("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!((head.status(), head.one("content-length")), (200, Some("6")));
    assert_eq!(client.ask("GET /readyz HTTP/1.0\r\n\r\n").await.text(), "ready\n");
}

#[tokio::test]
async fn a_head_request_that_fails_gets_no_body() {
    let relay = Relay::before(refused_address().await).start();
    let mut client = relay.client().await;
    let head = client.ask_head("HEAD http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n").await;
    assert_eq!(head.status(), 502);
    client.ended().await;
}

#[tokio::test]
async fn an_answer_of_ours_reaches_a_client_that_is_still_sending() {
    let relay = Relay::before(refused_address().await).start();
    let mut client = relay.client().await;
    client.send("POST http://h.test/ HTTP/1.1\r\nHost: h.test\r\nContent-Length: 500000\r\n\r\n").await;
    client.send(vec![b'x'; 500_000]).await;
    assert_eq!(client.answer().await.status(), 502);
    client.ended().await;
}

#[tokio::test]
async fn a_record_tells_what_happened_and_nothing_private() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let request = "GET http://o.practice/echo?token=s3cret HTTP/1.1\r\nHost: o\r\nCookie: s3cret\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(office.relay.client().await.ask(request).await.text(), "body");
    let record = office.relay.records(1).await.remove(0);
    assert_eq!((&record["method"], &record["target"]), (&"GET".into(), &"o.practice:80".into()));
    assert_eq!((&record["scheme"], &record["end"]), (&"NTLM".into(), &"done".into()));
    assert_eq!((&record["bytes_up"], &record["bytes_down"]), (&4.into(), &4.into()));
    assert_eq!(record["hop"], format!("http://{}", office.proxy.addr()));
    let text = record.to_string();
    for private in ["s3cret", "echo", "alice", "correct"] {
        assert!(!text.contains(private), "{text}");
    }
    let time = record["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
}
