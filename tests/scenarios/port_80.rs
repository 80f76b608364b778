//! CONNECT to port 80 where the upstream refuses it: the plain HTTP inside is forwarded.

use crate::support::{Heard, Peer, Relay, RelayPlan, Say, Upstream};

const CONNECT: &str = "CONNECT h.test:80 HTTP/1.1\r\nHost: h.test:80\r\n\r\n";
const GET: &str = "GET /a HTTP/1.1\r\nHost: h.test\r\n\r\n";

fn plan() -> RelayPlan {
    RelayPlan::default().key("connect_port_80 = \"absolute-form\"")
}

fn refuses_tunnels(heard: &Heard) -> Say {
    match heard.head.method() {
        "CONNECT" => Say::answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
        _ => Say::welcome(heard),
    }
}

fn lines(upstream: &Upstream) -> Vec<String> {
    upstream.heard().iter().map(|heard| heard.head.line().to_string()).collect()
}

async fn tunnel(relay: &Relay) -> Peer {
    let mut client = relay.client().await;
    let head = client.ask_head(CONNECT).await;
    assert_eq!(head.0, "HTTP/1.1 200 Connection established\r\n\r\n");
    client
}

#[tokio::test]
async fn requests_inside_are_forwarded_in_absolute_form_on_one_connection() {
    let upstream = Upstream::start(refuses_tunnels).await;
    let relay = plan().upstream(upstream.addr).start();
    let mut client = tunnel(&relay).await;
    assert_eq!(client.ask(GET).await.text(), "thanks");
    let post = "POST /b?c HTTP/1.1\r\nHost: h.test\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(client.ask(post).await.text(), "thanks");
    let wanted = ["CONNECT h.test:80 HTTP/1.1", "GET http://h.test/a HTTP/1.1", "POST http://h.test/b?c HTTP/1.1"];
    assert_eq!(lines(&upstream), wanted);
    assert_eq!(upstream.heard()[2].body, b"body");
    let records = relay.records(3).await;
    let told: Vec<_> = records.iter().map(|r| (r["method"].as_str().unwrap(), r["end"].as_str().unwrap())).collect();
    assert_eq!(told, [("CONNECT", "done"), ("GET", "done"), ("POST", "done")]);
    assert!(records.iter().all(|record| record["target"] == "h.test:80" && record["status"] == 200));
    assert!(records.iter().all(|record| record["hop"] == format!("http://{}", upstream.addr)));
}

#[tokio::test]
async fn whoever_showed_the_token_for_the_tunnel_is_not_asked_again_inside() {
    let upstream = Upstream::start(refuses_tunnels).await;
    let relay = plan().tables("[access]\ntoken = \"t0ken\"").upstream(upstream.addr).start();
    let mut client = relay.client().await;
    // "x:t0ken".
    let connect = "CONNECT h.test:80 HTTP/1.1\r\nHost: h.test:80\r\nProxy-Authorization: Basic eDp0MGtlbg==\r\n\r\n";
    assert_eq!(client.ask_head(connect).await.status(), 200);
    for target in ["/a", "http://h.test/a"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: h.test\r\n\r\n");
        assert_eq!(client.ask(request).await.text(), "thanks", "{target}");
    }
}

#[tokio::test]
async fn an_upstream_that_refused_is_not_asked_for_such_a_tunnel_again() {
    let upstream = Upstream::start(refuses_tunnels).await;
    let relay = plan().upstream(upstream.addr).start();
    for _ in 0..3 {
        assert_eq!(tunnel(&relay).await.ask(GET).await.status(), 200);
    }
    assert_eq!(lines(&upstream).iter().filter(|line| line.starts_with("CONNECT")).count(), 1);
    // Other ports are tunnels as ever.
    let mut other = relay.client().await;
    other.send("CONNECT h.test:443 HTTP/1.1\r\n\r\n").await;
    assert_eq!(other.head().await.status(), 403);
}

#[tokio::test]
async fn one_refused_host_does_not_cost_the_others_their_tunnels() {
    let upstream = Upstream::start(|heard| match heard.head.line().contains("blocked.test") {
        true => Say::answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
        false => Say::welcome(heard),
    })
    .await;
    let relay = plan().upstream(upstream.addr).start();
    for _ in 0..2 {
        let mut open = tunnel(&relay).await;
        open.send("\u{1}not HTTP").await;
        assert_eq!(open.take(9).await, b"\x01not HTTP");
        let mut blocked = relay.client().await;
        blocked.send("CONNECT blocked.test:80 HTTP/1.1\r\n\r\n").await;
        assert_eq!(blocked.head().await.status(), 200);
        let page = blocked.ask("GET / HTTP/1.1\r\nHost: blocked.test\r\n\r\n").await;
        assert_eq!(page.status(), 403);
    }
}

#[tokio::test]
async fn an_upstream_that_fails_is_asked_again_the_next_time() {
    let upstream = Upstream::start(|heard| match heard.head.method() {
        "CONNECT" => Say::answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
        _ => Say::welcome(heard),
    })
    .await;
    let relay = plan().upstream(upstream.addr).start();
    for _ in 0..2 {
        assert_eq!(tunnel(&relay).await.ask(GET).await.status(), 200);
    }
    assert_eq!(lines(&upstream).iter().filter(|line| line.starts_with("CONNECT")).count(), 2);
}

#[tokio::test]
async fn where_the_upstream_gives_a_tunnel_it_is_one() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = plan().upstream(upstream.addr).start();
    let mut client = tunnel(&relay).await;
    client.send("\u{1}not HTTP").await;
    assert_eq!(client.take(9).await, b"\x01not HTTP");
    assert_eq!(lines(&upstream), ["CONNECT h.test:80 HTTP/1.1"]);
}

#[tokio::test]
async fn without_the_key_the_client_gets_the_refusal() {
    let upstream = Upstream::start(refuses_tunnels).await;
    let relay = Relay::before(upstream.addr).start();
    let answer = relay.client().await.ask(CONNECT).await;
    assert_eq!((answer.status(), answer.text()), (403, "no"));
}

#[tokio::test]
async fn what_is_not_plain_http_for_that_host_ends_the_connection() {
    let upstream = Upstream::start(refuses_tunnels).await;
    let relay = plan().upstream(upstream.addr).start();
    for said in [
        "\u{16}\u{3}\u{1}",
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: other.test\r\n\r\n",
        "GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n",
        CONNECT,
    ] {
        let mut client = tunnel(&relay).await;
        client.send(said).await;
        assert_eq!(client.answer().await.status(), 400, "{said:?}");
        client.ended().await;
    }
    let records = relay.records(10).await;
    assert_eq!(records.iter().filter(|record| record["end"] == "bad_request").count(), 5, "{records:?}");
    assert!(records.iter().all(|record| record["target"] == "h.test:80"), "{records:?}");
    assert_eq!(lines(&upstream), ["CONNECT h.test:80 HTTP/1.1"]);
}

#[tokio::test]
async fn early_bytes_are_the_first_request() {
    let upstream = Upstream::start(refuses_tunnels).await;
    let relay = plan().upstream(upstream.addr).start();
    let mut client = relay.client().await;
    client.send(format!("{CONNECT}{GET}")).await;
    assert_eq!(client.head().await.status(), 200);
    assert_eq!(client.answer().await.text(), "thanks");
}

#[tokio::test]
async fn the_log_in_is_done_once_for_the_tunnel_and_once_for_the_requests() {
    let upstream = Upstream::start({
        let guard = crate::support::Guard::new("NTLM");
        move |heard| match guard.challenge(heard) {
            Some(value) => {
                Say::answer(format!("HTTP/1.1 407 Log in\r\nContent-Length: 0\r\nProxy-Authenticate: {value}\r\n\r\n"))
            }
            None => refuses_tunnels(heard),
        }
    })
    .await;
    let relay = plan().upstream(upstream.addr).start();
    for _ in 0..2 {
        let mut client = tunnel(&relay).await;
        assert_eq!(client.ask(GET).await.text(), "thanks");
        assert_eq!(client.ask(GET).await.text(), "thanks");
    }
    let proofs = upstream.types().into_iter().filter(|kind| *kind == 3).count();
    assert_eq!(proofs, 2, "{:?}", upstream.types());
}
