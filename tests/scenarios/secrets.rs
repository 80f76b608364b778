//! A secret is shown once, to whom it is meant for, and never again after it was refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hallpass::practice::{DigestAlgorithm, Logons, Offer};

use crate::support::{Answer, Guard, Office, Relay, RelayPlan, Say, Upstream};

const CONNECT: &str = "CONNECT o.practice:80 HTTP/1.1\r\nHost: o.practice:80\r\n\r\n";
const GET: &str = "GET http://o.practice/hello HTTP/1.1\r\nHost: o.practice\r\n\r\n";
const POST: &str = "POST http://o.practice/digest HTTP/1.1\r\nHost: o.practice\r\nContent-Length: 5\r\n\r\n12345";

fn assert_is_refused(answer: &Answer, context: &str) {
    assert_eq!(answer.status(), 407, "{context}: {}", answer.text());
    assert_eq!(answer.head.all("proxy-authenticate"), ["Hallpass"], "{context}");
    assert!(answer.text().contains("check user and password"), "{context}: {}", answer.text());
    assert_eq!(answer.text().lines().count(), 1, "{context}");
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    for offers in [
        vec![Offer::Ntlm],
        vec![Offer::NtlmInNegotiate],
        vec![Offer::Digest(DigestAlgorithm::Md5)],
        vec![Offer::Digest(DigestAlgorithm::Sha256)],
        vec![Offer::Basic],
        vec![Offer::Ntlm, Offer::Digest(DigestAlgorithm::Sha256), Offer::Basic],
    ] {
        for request in [CONNECT, GET, POST] {
            let schemes = "schemes = [\"ntlm\", \"digest\", \"basic\"]";
            let office = Office::with(offers.clone()).upstream(schemes).password("wrong").start().await;
            let answer = office.relay.client().await.ask(request).await;
            let context = format!("{offers:?} {request:.8}");
            assert_is_refused(&answer, &context);
            assert_eq!(office.logons(), Logons { attempted: 1, accepted: 0, rejected: 1 }, "{context}");
            let record = office.relay.stop().await.remove(0);
            assert_eq!(record["end"], "credential_rejected", "{context}");
            assert!(record["scheme"].is_string(), "{context}: {record}");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_not_shown_to_a_second_upstream() {
    for offer in [Offer::Ntlm, Offer::Digest(DigestAlgorithm::Md5), Offer::Basic] {
        for request in [CONNECT, GET, POST] {
            let schemes = "schemes = [\"ntlm\", \"digest\", \"basic\"]";
            let other = Office::with([offer]).start().await;
            // The list is tried in order, and the office's own proxy is the last of it.
            let office = Office::with([offer])
                .upstream(schemes)
                .password("wrong")
                .relay(|relay| relay.upstream_with(other.proxy.addr(), schemes))
                .start()
                .await;
            assert_is_refused(&office.relay.client().await.ask(request).await, &format!("{offer:?} {request:.8}"));
            assert_eq!(other.logons().rejected, 1, "{offer:?} {request:.8}");
            assert_eq!(office.proxy.record().requests().len(), 0, "{offer:?} {request:.8}");
        }
    }
}

#[tokio::test]
async fn a_proof_without_an_answer_is_sent_again_only_for_a_secret_that_was_good_before() {
    for (offer, schemes) in [(Offer::Ntlm, "[\"ntlm\"]"), (Offer::Basic, "[\"basic\"]")] {
        for request in [CONNECT, GET] {
            let context = format!("{offer:?} {request:.8}");
            let office = Office::with([offer]).upstream(&format!("schemes = {schemes}")).start().await;
            office.proxy.hang_up(1);
            assert_eq!(office.relay.client().await.ask(request).await.status(), 502, "{context}");
            assert_eq!(office.logons().attempted, 1, "{context}: an unproved secret");
            office.relay.skip(Duration::from_secs(60));
            let mut client = office.relay.client().await;
            client.send(request).await;
            assert_eq!(client.head().await.status(), 200, "{context}");
            let before = office.logons().attempted;
            // A connection of its own, so that a proof is due.
            office.proxy.hang_up(1);
            let mut client = office.relay.client().await;
            client.send(request.replace("o.practice", "p.practice")).await;
            assert_eq!(client.head().await.status(), 200, "{context}");
            assert_eq!(office.logons().attempted, before + 2, "{context}: a proved secret, once more");
            office.proxy.hang_up(2);
            let mut client = office.relay.client().await;
            client.send(request.replace("o.practice", "q.practice")).await;
            assert_eq!(client.head().await.status(), 502, "{context}");
            assert_eq!(office.logons().attempted, before + 4, "{context}: but not twice more");
        }
    }
}

#[tokio::test]
async fn basic_is_sent_only_where_it_is_named() {
    let office = Office::with([Offer::Basic]).start().await;
    let answer = office.relay.client().await.ask(CONNECT).await;
    assert_eq!((answer.status(), office.logons().attempted), (407, 0));
    assert!(answer.text().contains("basic only if it is named"), "{}", answer.text());
    let office = Office::with([Offer::Basic]).upstream("schemes = [\"basic\"]").start().await;
    assert_eq!(office.get("/hello").await.status(), 200);
}

#[tokio::test]
async fn the_strongest_scheme_that_is_allowed_is_used_whatever_the_order_of_the_offers() {
    let digest = Offer::Digest(DigestAlgorithm::Sha256);
    for offers in [[Offer::Basic, digest, Offer::Ntlm], [Offer::Ntlm, digest, Offer::Basic]] {
        for (schemes, used) in [
            ("[\"negotiate\", \"ntlm\", \"digest\", \"basic\"]", "NTLM"),
            ("[\"digest\", \"ntlm\"]", "Digest"),
            ("[\"basic\"]", "Basic"),
        ] {
            let office = Office::with(offers).upstream(&format!("schemes = {schemes}")).start().await;
            assert_eq!(office.get("/hello").await.status(), 200);
            let record = office.relay.stop().await.remove(0);
            assert_eq!(record["scheme"], used, "{offers:?} {schemes}");
            assert_eq!(office.proxy.record().logons().rejected, 0);
        }
    }
}

#[tokio::test]
async fn a_direct_target_never_sees_a_credential_even_when_it_asks_for_one() {
    for (status, field) in [("407", "Proxy-Authenticate"), ("401", "WWW-Authenticate")] {
        let asking = ALL_SCHEMES.replace("Proxy-Authenticate", field);
        let target = Upstream::start(move |_| {
            Say::answer(format!("HTTP/1.1 {status} X\r\n{asking}Content-Length: 2\r\n\r\nno"))
        })
        .await;
        let proxy = Upstream::start(Say::welcome).await;
        let relay = Relay::before(proxy.addr).upstream_schemes("[\"ntlm\", \"digest\", \"basic\"]").start();
        for request in ["GET", "POST"] {
            let length = if request == "POST" { "Content-Length: 1\r\n\r\nx" } else { "\r\n" };
            let request = format!("{request} http://{}/ HTTP/1.1\r\nHost: x\r\n{length}", target.addr);
            let answer = relay.client().await.ask(request).await;
            assert_eq!((answer.status().to_string().as_str(), answer.text()), (status, "no"));
        }
        assert!(target.heard().iter().all(|heard| !heard.head.0.to_ascii_lowercase().contains("authorization")));
        assert_eq!((target.heard().len(), proxy.heard().len()), (2, 0));
    }
}

/// Every scheme we know, so that a careless program would take one.
const ALL_SCHEMES: &str = "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Digest \
    realm=\"r\", nonce=\"n\", qop=\"auth\"\r\nProxy-Authenticate: Basic realm=\"r\"\r\n";

/// A relay whose script names `localhost` as the only way, and whose credential is for these.
fn by_script(upstream: &Upstream, patterns: &str) -> Relay {
    let script = format!("function%20FindProxyForURL(){{return'PROXY%20localhost:{}'}}", upstream.addr.port());
    let plan = RelayPlan::default().tables(&format!("[pac]\nurl = \"data:,{script}\"\n"));
    plan.variable("HALLPASS_CREDENTIAL_FOR", patterns).start()
}

#[tokio::test]
async fn a_proxy_that_only_a_script_names_gets_nothing_unless_it_is_on_the_list() {
    let not_this_one = "*.localhost,ocalhost,localhost.test,localhost:1,127.0.0.1,xlocalhost";
    for status in ["407 X", "407 X\r\nConnection: close", "401 X", "302 X\r\nLocation: http://localhost/", "200 X"] {
        for request in [CONNECT, GET, POST] {
            let upstream = Upstream::start(move |heard| {
                let length =
                    if heard.head.method() == "CONNECT" && status == "200 X" { "" } else { "Content-Length: 0\r\n" };
                Say::answer(format!("HTTP/1.1 {status}\r\n{ALL_SCHEMES}{length}\r\n")).to(heard.head.method())
            })
            .await;
            let relay = by_script(&upstream, not_this_one);
            let answered = relay.client().await.ask_head(request).await;
            let context = format!("{status} {request:.8} {answered:?}");
            assert!(!upstream.heard().is_empty(), "{context}");
            for heard in upstream.heard() {
                assert!(!heard.head.0.to_ascii_lowercase().contains("authorization"), "{context} {heard:?}");
                assert_eq!((heard.ntlm_type(), heard.body.windows(7).any(|part| part == b"NTLMSSP")), (0, false));
            }
        }
    }
    let upstream =
        Upstream::start(|_| Say::answer(format!("HTTP/1.1 407 X\r\n{ALL_SCHEMES}Content-Length: 0\r\n\r\n"))).await;
    let relay = by_script(&upstream, "localhost");
    assert_eq!(relay.client().await.ask_head(CONNECT).await.status(), 407);
    assert!(upstream.heard().iter().any(|heard| heard.ntlm_type() == 1), "{:?}", upstream.heard());
}

#[tokio::test]
async fn a_clients_own_proxy_credentials_never_leave() {
    let guard = Guard::new("NTLM");
    let upstream = Upstream::start(move |heard| match guard.challenge(heard) {
        None => Say::welcome(heard),
        Some(value) => {
            Say::answer(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
        }
    })
    .await;
    let direct = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).start();
    let local = format!("GET http://{}/ HTTP/1.1\r\nHost: x\r\n", direct.addr);
    for request in ["CONNECT h.test:443 HTTP/1.1\r\n", "GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n", &local] {
        let mut client = relay.client().await;
        client.send(format!("{request}Proxy-Authorization: Basic dGhlaXJzOmFsb25l\r\n\r\n")).await;
        assert_eq!(client.head().await.status(), 200);
    }
    for heard in upstream.heard().iter().chain(&direct.heard()) {
        assert!(!heard.head.0.contains("dGhlaXJz"), "{heard:?}");
    }
    assert!(!direct.heard()[0].head.has("proxy-authorization"));
}

#[tokio::test]
async fn a_password_that_stops_being_good_is_refused_after_one_try_and_tried_again_after_a_minute() {
    let refusing = Arc::new(AtomicBool::new(false));
    let (guard, strict) = (Guard::new("NTLM"), refusing.clone());
    let upstream = Upstream::start(move |heard| match guard.challenge(heard) {
        None if strict.load(Ordering::SeqCst) => {
            Say::answer("HTTP/1.1 407 X\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n")
        }
        None => Say::welcome(heard),
        Some(value) => {
            Say::answer(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
        }
    })
    .await;
    let relay = Relay::before(upstream.addr).start();
    let connect = "CONNECT h.test:443 HTTP/1.1\r\n\r\n";
    assert_eq!(relay.client().await.ask_head(connect).await.status(), 200);
    refusing.store(true, Ordering::SeqCst);
    assert_eq!(relay.client().await.ask_head(connect).await.status(), 407);
    assert_eq!(upstream.types(), [0, 1, 3, 1, 3]);
    refusing.store(false, Ordering::SeqCst);
    assert_eq!(relay.client().await.ask_head(connect).await.status(), 407);
    assert_eq!(upstream.types(), [0, 1, 3, 1, 3, 0]);
    relay.skip(Duration::from_secs(60));
    assert_eq!(relay.client().await.ask_head(connect).await.status(), 200);
}
