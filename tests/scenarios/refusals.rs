//! Every shape of a 407 that proxies were seen to send: through it where there is a way, a clear end where not.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallpass::auth::spnego;

use crate::support::{Answer, Guard, Relay, Say, Upstream};

/// (name, how the 407 is said)
type Shape = (&'static str, fn(&str, bool) -> Say);

const PAGE: &str = "<html>log in, please</html>";

fn refusal(fields: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 407 Proxy Authentication Required\r\n{fields}\r\n{body}").into()
}

fn with_page(value: &str) -> Vec<u8> {
    refusal(&format!("Proxy-Authenticate: {value}\r\nContent-Length: {}\r\n", PAGE.len()), PAGE)
}

/// The first 407 closes, as many proxies do; the second cannot.
fn closing(bare: bool, first: Vec<u8>, second: &str) -> Say {
    if bare { Say::Last(first) } else { Say::Answer(with_page(second)) }
}

const SHAPES: &[Shape] = &[
    ("no body", |value, _| Say::Answer(refusal(&format!("Proxy-Authenticate: {value}\r\nContent-Length: 0\r\n"), ""))),
    ("a page with a length", |value, _| Say::Answer(with_page(value))),
    ("a page in chunks", |value, _| {
        let body = format!("5\r\n<html\r\n{:x};x=y\r\n{}\r\n0\r\nX-T: 1\r\n\r\n", PAGE.len(), PAGE);
        Say::Answer(refusal(&format!("Proxy-Authenticate: {value}\r\nTransfer-Encoding: chunked\r\n"), &body))
    }),
    ("Connection: close", |value, bare| {
        let first = format!("Proxy-Authenticate: {value}\r\nConnection: close\r\nContent-Length: 3\r\n");
        closing(bare, refusal(&first, "bye"), value)
    }),
    ("Proxy-Connection: close", |value, bare| {
        let first = format!("Proxy-Authenticate: {value}\r\nProxy-Connection: close\r\nContent-Length: 3\r\n");
        closing(bare, refusal(&first, "bye"), value)
    }),
    ("a close without a word about it", |value, bare| closing(bare, with_page(value), value)),
    ("a page that ends with the connection", |value, bare| {
        closing(bare, refusal(&format!("Proxy-Authenticate: {value}\r\n"), PAGE), value)
    }),
    ("HTTP/1.0 that closes", |value, bare| {
        let first = format!("HTTP/1.0 407 Proxy Authentication Required\r\nProxy-Authenticate: {value}\r\n\r\n{PAGE}");
        closing(bare, first.into(), value)
    }),
    ("HTTP/1.0 that keeps alive", |value, _| {
        let length = PAGE.len();
        let fields =
            format!("Proxy-Authenticate: {value}\r\nContent-Length: {length}\r\nProxy-Connection: keep-alive\r\n");
        Say::answer(format!("HTTP/1.0 407 Proxy Authentication Required\r\n{fields}\r\n{PAGE}"))
    }),
    ("HTTP/1.0 that keeps alive without a length", |value, _| {
        let fields = format!("Proxy-Authenticate: {value}\r\nProxy-Connection: Keep-Alive\r\n");
        Say::answer(format!("HTTP/1.0 407 Proxy Authentication Required\r\n{fields}\r\n"))
    }),
    ("HTTP/1.1 that keeps alive without a length", |value, _| {
        Say::Answer(refusal(&format!("Proxy-Authenticate: {value}\r\nConnection: keep-alive\r\n"), ""))
    }),
    ("a page too long to be read", |value, bare| {
        let page = "x".repeat(200 * 1024);
        let fields = format!("Proxy-Authenticate: {value}\r\nContent-Length: {}\r\n", page.len());
        if bare { Say::Answer(refusal(&fields, &page)) } else { Say::Answer(with_page(value)) }
    }),
    ("a list on one line", |value, _| {
        let list = format!("Basic realm=\"NTLM, or \\\"so\\\"\", Unheard-of a=1, {value}, Bearer");
        Say::Answer(with_page(&list))
    }),
    ("several lines, ours last", |value, _| {
        let fields = format!(
            "Proxy-Authenticate: Basic realm=\"x\"\r\nproxy-authenticate: Bearer\r\nProxy-Authenticate: {value}\r\n"
        );
        Say::Answer(refusal(&format!("{fields}Content-Length: 0\r\n"), ""))
    }),
    ("mixed case", |value, _| {
        let value = value.replacen("NTLM", "nTlM", 1);
        Say::Answer(refusal(&format!("PROXY-AUTHENTICATE: {value}\r\ncontent-LENGTH: 0\r\n"), ""))
    }),
    ("a space before the colon", |value, _| {
        Say::Answer(refusal(&format!("Proxy-Authenticate : {value}\r\nContent-Length : 0\r\n"), ""))
    }),
    ("a folded line", |value, _| {
        Say::Answer(refusal(
            &format!("Proxy-Authenticate: Basic realm=\"x\",\r\n {value}\r\nContent-Length: 0\r\n"),
            "",
        ))
    }),
    ("a line end too many behind the page", |value, _| Say::Answer([with_page(value), b"\r\n".to_vec()].concat())),
    ("no reason phrase", |value, _| {
        Say::answer(format!("HTTP/1.1 407\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
    }),
    ("line ends of LF alone", |value, _| {
        Say::answer(format!("HTTP/1.1 407 No\nProxy-Authenticate: {value}\nContent-Length: 0\n\n"))
    }),
    ("a head of 64 KiB", |value, _| {
        let more: String = (0..64).map(|n| format!("X-Padding-{n}: {}\r\n", "p".repeat(1000))).collect();
        Say::Answer(refusal(&format!("{more}Proxy-Authenticate: {value}\r\nContent-Length: 0\r\n"), ""))
    }),
];

const METHODS: [&str; 5] = ["CONNECT", "GET", "HEAD", "POST", "POST without a body"];

async fn connect(relay: &Relay) -> Result<(), Answer> {
    let mut client = relay.client().await;
    client.send("CONNECT h.test:443 HTTP/1.1\r\nHost: h.test:443\r\n\r\n").await;
    let head = client.head().await;
    if head.status() != 200 {
        let (body, trailers) = client.body(&head).await;
        return Err(Answer { head, body, trailers });
    }
    client.send("ping").await;
    assert_eq!(client.take(4).await, b"ping");
    Ok(())
}

async fn get(relay: &Relay) -> Answer {
    relay.client().await.ask("GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n").await
}

/// With what a GET would have brought, where it is well.
async fn head(relay: &Relay) -> Answer {
    let head = relay.client().await.ask_head("HEAD http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n").await;
    let body = if head.status() == 200 { "thanks" } else { "" };
    Answer { head, body: body.into(), trailers: String::new() }
}

async fn post(relay: &Relay, body: &str) -> Answer {
    let head = format!("POST http://h.test/ HTTP/1.1\r\nHost: h.test\r\nContent-Length: {}\r\n\r\n", body.len());
    relay.client().await.ask(head + body).await
}

/// A relay that learns of the upstream by a CONNECT, a GET or a POST, and does all three afterwards.
#[tokio::test]
async fn every_shape_of_a_407_leads_through_at_once_and_again_when_it_is_known() {
    for (name, shape) in SHAPES {
        for first in METHODS {
            let upstream = Upstream::ntlm(*shape).await;
            let relay = Relay::before(upstream.addr).start();
            for method in [first].into_iter().chain(METHODS) {
                let outcome = match method {
                    "CONNECT" => connect(&relay).await.map_err(|answer| answer.text().to_string()),
                    _ => {
                        let answer = match method {
                            "GET" => get(&relay).await,
                            "HEAD" => head(&relay).await,
                            "POST" => post(&relay, "12345").await,
                            _ => post(&relay, "").await,
                        };
                        (answer.text() == "thanks").then_some(()).ok_or_else(|| answer.text().to_string())
                    }
                };
                assert_eq!(outcome, Ok(()), "{name}: {method} after {first}; heard {:?}", upstream.types());
            }
            let heard = upstream.heard();
            for connection in 1..=upstream.connections() {
                let proofs = heard.iter().filter(|h| h.connection == connection && h.ntlm_type() == 3).count();
                assert!(proofs <= 1, "{name}: {proofs} proofs on one connection");
            }
        }
    }
}

#[tokio::test]
async fn ntlm_is_understood_raw_under_negotiate_and_in_spnego_under_ntlm() {
    let guard = Guard::new("Negotiate");
    let raw = Upstream::start(move |heard| {
        guard.challenge(heard).map_or_else(|| Say::welcome(heard), |value| Say::Answer(with_page(&value)))
    })
    .await;
    let guard = Guard::new("NTLM");
    let wrapped = Upstream::start(move |heard| match guard.step(heard) {
        None => Say::welcome(heard),
        Some(None) => Say::Answer(with_page("NTLM")),
        Some(Some(token)) => Say::Answer(with_page(&format!("NTLM {}", STANDARD.encode(spnego::response(&token))))),
    })
    .await;
    for upstream in [raw, wrapped] {
        let relay = Relay::before(upstream.addr).upstream_schemes("[\"ntlm\"]").start();
        assert!(connect(&relay).await.is_ok(), "{:?}", upstream.types());
        assert_eq!(upstream.types(), [0, 1, 3]);
        assert_eq!(get(&relay).await.text(), "thanks");
    }
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_with_the_reason_and_nothing_is_sent() {
    for (name, challenges, said) in [
        ("none at all", "", "offered: none"),
        ("unknown ones", "Proxy-Authenticate: Bearer realm=\"x\"\r\nProxy-Authenticate: Unheard-of\r\n", "Unheard-of"),
        ("Basic, which is not allowed", "Proxy-Authenticate: Basic realm=\"x\"\r\n", "offered: Basic"),
        ("nonsense", "Proxy-Authenticate: ,,=\"\\\r\n", "offered"),
    ] {
        let fields = format!("{challenges}Content-Length: 0\r\n");
        let upstream = Upstream::start(move |_| Say::Answer(refusal(&fields, ""))).await;
        let relay = Relay::before(upstream.addr).start();
        for answer in [connect(&relay).await.unwrap_err(), get(&relay).await, post(&relay, "12345").await] {
            assert_eq!(answer.status(), 407, "{name}");
            assert_eq!(answer.head.all("proxy-authenticate"), ["Hallpass"], "{name}");
            assert!(answer.text().contains(said), "{name}: {}", answer.text());
        }
        assert!(upstream.heard().iter().all(|heard| !heard.head.has("proxy-authorization")), "{name}");
        assert_eq!(upstream.heard().len(), 3, "{name}");
        assert!(relay.stop().await.iter().all(|record| record["end"] == "no_credential"), "{name}");
    }
}

/// (name, what the upstream does, message types it may hear at most, status, end)
type End = (&'static str, fn(&Guard, &crate::support::Heard) -> Say, &'static [u8], u16, &'static str);

const DEAD_ENDS: &[End] = &[
    ("it hangs up on everything", |_, _| Say::HangUp, &[0, 0], 502, "handshake_broken"),
    (
        "it hangs up on the first message",
        |_, heard| if heard.ntlm_type() == 0 { Say::Answer(with_page("NTLM")) } else { Say::HangUp },
        &[0, 1, 1],
        502,
        "handshake_broken",
    ),
    (
        "it closes after each type 2",
        |guard, heard| match guard.challenge(heard) {
            Some(value) if heard.ntlm_type() == 1 => {
                Say::Last(refusal(&format!("Proxy-Authenticate: {value}\r\nConnection: close\r\n"), ""))
            }
            _ => Say::Answer(with_page("NTLM")),
        },
        &[0, 1, 1],
        502,
        "handshake_broken",
    ),
    (
        "it says type 2 for ever",
        |guard, heard| match heard.ntlm_type() {
            0 => Say::Answer(with_page("NTLM")),
            // Whatever is sent, a fresh challenge comes back.
            _ => Say::Answer(with_page(&fresh_type_2(guard))),
        },
        &[0, 1, 3],
        407,
        "credential_rejected",
    ),
    (
        "its type 2 is nonsense",
        |_, heard| match heard.ntlm_type() {
            0 => Say::Answer(with_page("NTLM")),
            _ => Say::Answer(with_page("NTLM bm9uc2Vuc2U=")),
        },
        &[0, 1],
        407,
        "no_credential",
    ),
    (
        "its type 2 is 64 KiB long",
        |_, heard| match heard.ntlm_type() {
            0 => Say::Answer(with_page("NTLM")),
            _ => Say::Answer(with_page(&format!("NTLM {}", STANDARD.encode(OVERSIZED)))),
        },
        &[0, 1],
        407,
        "no_credential",
    ),
    (
        "it calls every nonce stale",
        |_, heard| match heard.head.one("proxy-authorization") {
            None => Say::Answer(with_page("Digest realm=\"r\", nonce=\"n\", qop=\"auth\"")),
            // It has counted the answers, so none is like another.
            Some(answer) => Say::Answer(with_page(&format!(
                "Digest realm=\"r\", nonce=\"after {}\", qop=\"auth\", stale=true",
                answer.len()
            ))),
        },
        &[0; 13],
        502,
        "handshake_broken",
    ),
    (
        "it answers a type 1 with the bare challenge for ever",
        |_, _| Say::Answer(with_page("NTLM")),
        &[0, 1],
        407,
        "no_credential",
    ),
    (
        "it hangs up on the proof",
        |guard, heard| match guard.challenge(heard) {
            Some(value) => Say::Answer(with_page(&value)),
            None => Say::HangUp,
        },
        &[0, 1, 3],
        502,
        "handshake_broken",
    ),
    ("it speaks something else", |_, _| Say::last("220 smtp.test ESMTP\r\n\r\n"), &[0], 502, "handshake_broken"),
    (
        "its head never ends",
        |_, _| Say::answer(format!("HTTP/1.1 407 X\r\nX: {}", "y".repeat(300 * 1024))),
        &[0],
        502,
        "handshake_broken",
    ),
];

/// A well-formed type 2 whose target information is as long as its field can say, and more behind it.
const OVERSIZED: &[u8] = include_bytes!("../fuzz/seeds/ntlm/too-large-information");

fn fresh_type_2(guard: &Guard) -> String {
    static CONNECTION: AtomicUsize = AtomicUsize::new(1_000_000);
    let first = "NTLM TlRMTVNTUAABAAAAl4II4gAAAAAAAAAAAAAAAAAAAAAKAGFKAAAADw==";
    let head = crate::support::Head(format!("GET x HTTP/1.1\r\nProxy-Authorization: {first}\r\n\r\n"));
    let connection = CONNECTION.fetch_add(1, Ordering::SeqCst);
    guard.challenge(&crate::support::Heard { connection, head, body: Vec::new() }).unwrap()
}

#[tokio::test]
async fn a_handshake_that_leads_nowhere_ends_after_few_legs() {
    for (name, script, most, status, end) in DEAD_ENDS {
        for method in ["CONNECT", "GET"] {
            let guard = Guard::new("NTLM");
            let upstream = Upstream::start(move |heard| script(&guard, heard)).await;
            let relay = Relay::before(upstream.addr).start();
            let answer = if method == "GET" { get(&relay).await } else { connect(&relay).await.unwrap_err() };
            assert_eq!(answer.status(), *status, "{name}, {method}: {}", answer.text());
            assert_eq!(upstream.types(), *most, "{name}, {method}");
            assert_eq!(relay.stop().await[0]["end"], *end, "{name}, {method}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_off_once_is_asked_again() {
    static BROKEN: AtomicUsize = AtomicUsize::new(0);
    for (name, when) in [("the bare request", 0), ("the first message", 1)] {
        for method in ["CONNECT", "GET"] {
            BROKEN.store(0, Ordering::SeqCst);
            let guard = Guard::new("NTLM");
            let upstream = Upstream::start(move |heard| {
                if heard.ntlm_type() == when && BROKEN.fetch_add(1, Ordering::SeqCst) == 0 {
                    return Say::HangUp;
                }
                guard.challenge(heard).map_or_else(|| Say::welcome(heard), |value| Say::Answer(with_page(&value)))
            })
            .await;
            let relay = Relay::before(upstream.addr).start();
            let fine = if method == "GET" { get(&relay).await.status() == 200 } else { connect(&relay).await.is_ok() };
            assert!(fine, "{name}, {method}: {:?}", upstream.types());
        }
    }
}

#[tokio::test]
async fn a_page_in_chunks_reaches_an_http_1_0_client_without_them() {
    let page = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno!\r\n0\r\n\r\n";
    let upstream = Upstream::start(move |_| Say::answer(page)).await;
    let relay = Relay::before(upstream.addr).start();
    let mut client = relay.client().await;
    client.send("CONNECT o.practice:443 HTTP/1.0\r\n\r\n").await;
    let heard = String::from_utf8(client.rest().await).unwrap();
    assert!(heard.starts_with("HTTP/1.1 403 Forbidden\r\n") && heard.ends_with("\r\n\r\nno!"), "{heard:?}");
    assert!(!heard.to_ascii_lowercase().contains("transfer-encoding"), "{heard:?}");
}
