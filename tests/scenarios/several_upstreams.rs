//! Several upstreams: in order, the next one where the former could not be reached, nobody else after a verdict.

use hallpass::practice::Offer;

use crate::support::{Guard, Office, Relay, RelayPlan, Say, Scripted, Upstream};

const CONNECT: &str = "CONNECT o.practice:80 HTTP/1.1\r\nHost: o.practice:80\r\n\r\n";
const GET: &str = "GET http://o.practice/hello HTTP/1.1\r\nHost: o.practice\r\n\r\n";
const POST: &str = "POST http://o.practice/digest HTTP/1.1\r\nHost: o.practice\r\nContent-Length: 4\r\n\r\nbody";

async fn status(relay: &Relay, request: &str) -> u16 {
    relay.client().await.ask_head(request).await.status()
}

#[tokio::test]
async fn an_upstream_that_refuses_connections_is_passed_over() {
    let nobody = Scripted::start().await.addr();
    let office = Office::with([Offer::Ntlm]).relay(|plan| plan.upstream(nobody)).start().await;
    for request in [CONNECT, GET, POST] {
        assert_eq!(status(&office.relay, request).await, 200, "{request:.8}");
    }
    let hop = format!("http://{}", office.proxy.addr());
    let records = office.relay.stop().await;
    assert!(records.iter().all(|record| record["hop"] == hop), "{records:?}");
}

#[tokio::test]
async fn an_upstream_that_cannot_be_talked_to_is_passed_over() {
    for (name, said) in [
        ("nothing we can answer", "HTTP/1.1 407 X\r\nProxy-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n"),
        ("no HTTP", "220 smtp.test ESMTP\r\n\r\n"),
        ("nothing", ""),
    ] {
        let odd = Upstream::start(move |_| if said.is_empty() { Say::HangUp } else { Say::last(said) }).await;
        let good = Upstream::start(Say::welcome).await;
        let relay = RelayPlan::default().upstream(odd.addr).upstream(good.addr).start();
        assert_eq!(status(&relay, CONNECT).await, 200, "{name}");
        assert_eq!(good.heard().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn an_upstream_that_says_no_has_the_last_word() {
    let strict = Upstream::start(|_| Say::answer("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")).await;
    let other = Upstream::start(Say::welcome).await;
    let relay = RelayPlan::default().upstream(strict.addr).upstream(other.addr).start();
    for request in [CONNECT, GET, POST] {
        assert_eq!(status(&relay, request).await, 403, "{request:.8}");
    }
    assert_eq!(other.heard().len(), 0);
}

#[tokio::test]
async fn a_proof_that_nobody_answered_is_not_carried_to_the_next_upstream() {
    for offer in [Offer::Ntlm, Offer::Basic] {
        for request in [CONNECT, GET, POST] {
            let schemes = "schemes = [\"ntlm\", \"basic\"]";
            let first = Office::with([offer]).start().await;
            first.proxy.hang_up(1);
            let second = Office::with([offer])
                .upstream(schemes)
                .relay(|plan| plan.upstream_with(first.proxy.addr(), schemes))
                .start()
                .await;
            assert_eq!(status(&second.relay, request).await, 502, "{offer:?} {request:.8}");
            assert_eq!((first.logons().attempted, second.logons().attempted), (1, 0), "{offer:?} {request:.8}");
        }
    }
}

#[tokio::test]
async fn a_proof_that_an_upstream_thinks_about_for_ever_is_not_carried_to_the_next_one() {
    let guard = Guard::new("NTLM");
    let slow = Upstream::start(move |heard| match guard.challenge(heard) {
        Some(value) => {
            Say::answer(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
        }
        None => Say::Silence,
    })
    .await;
    let second = Office::with([Offer::Ntlm])
        .relay(|plan| plan.upstream(slow.addr).key("handshake_timeout = \"2s\""))
        .start()
        .await;
    assert_eq!(status(&second.relay, CONNECT).await, 504);
    assert_eq!((slow.types(), second.proxy.record().requests().len()), (vec![0, 1, 3], 0));
}

#[tokio::test]
async fn an_upstream_is_found_by_the_family_it_listens_on() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = RelayPlan::default().upstream_at(&format!("http://localhost:{}", upstream.addr.port()), "").start();
    assert_eq!(status(&relay, CONNECT).await, 200);
    assert_eq!(status(&relay, GET).await, 200);
}
