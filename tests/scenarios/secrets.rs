//! A secret is shown once, to whom it is meant for, and never again after it was refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hallpass::practice::{DigestAlgorithm, Logons, Offer};

use crate::support::{Answer, Guard, Office, Relay, Say, Upstream};

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
    let target = Upstream::start(|_| {
        Say::answer("HTTP/1.1 407 X\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2\r\n\r\nno")
    })
    .await;
    let proxy = Upstream::start(Say::welcome).await;
    let relay = Relay::before(proxy.addr).start();
    let answer = relay.client().await.ask(format!("GET http://{}/ HTTP/1.1\r\nHost: x\r\n\r\n", target.addr)).await;
    assert_eq!((answer.status(), answer.text()), (407, "no"));
    assert!(target.heard().iter().all(|heard| !heard.head.has("proxy-authorization")));
    assert_eq!((target.heard().len(), proxy.heard().len()), (1, 0));
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
