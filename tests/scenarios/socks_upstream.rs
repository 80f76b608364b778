//! SOCKS upstreams: tunnels and plain requests go through, names are theirs to resolve, their no is heard.

use hallpass::address::Protocol;
use hallpass::auth::Scheme;
use std::time::Duration;

use crate::support::{
    PASSWORD, Relay, RelayPlan, Say, Scripted, SocksPlan, SocksServer, Upstream, hop, route, tunnel, ways,
};

const CONNECT: &str = "CONNECT o.practice:80 HTTP/1.1\r\nHost: o.practice:80\r\n\r\n";
const GET: &str = "GET http://o.practice/hello?x HTTP/1.1\r\nHost: o.practice\r\n\r\n";
const POST: &str = "POST http://o.practice/digest HTTP/1.1\r\nHost: o.practice\r\nContent-Length: 4\r\n\r\nbody";

fn before(kind: &str, server: &SocksServer, lines: &str) -> RelayPlan {
    RelayPlan::default().upstream_at(&format!("{kind}://{}", server.addr), lines)
}

fn alice() -> Option<(String, String)> {
    Some(("PRACTICE\\alice".into(), PASSWORD.into()))
}

async fn status(relay: &Relay, request: &str) -> u16 {
    relay.client().await.ask_head(request).await.status()
}

#[tokio::test]
async fn tunnels_and_requests_pass_and_the_origin_sees_them_as_if_they_came_directly() {
    for kind in ["socks5", "socks5h", "socks4", "socks4a"] {
        let origin = Upstream::start(Say::welcome).await;
        let server = SocksServer::start(SocksPlan::default(), origin.addr).await;
        let relay = before(kind, &server, "").start();
        let mut client = relay.client().await;
        assert_eq!(client.ask_head(CONNECT).await.status(), 200);
        let answer = client.ask("GET /within HTTP/1.1\r\nHost: o.practice\r\n\r\n").await;
        assert_eq!(answer.text(), "thanks", "{kind}");
        drop(client);
        let mut client = relay.client().await;
        for request in [GET, POST, GET] {
            assert_eq!(client.ask(request).await.text(), "thanks", "{kind} {request:.8}");
        }
        let lines: Vec<String> = origin.heard().iter().map(|heard| heard.head.line().to_string()).collect();
        let get = "GET /hello?x HTTP/1.1";
        assert_eq!(lines, ["GET /within HTTP/1.1", get, "POST /digest HTTP/1.1", get], "{kind}");
        assert_eq!(origin.heard()[2].body, b"body");
        for heard in origin.heard() {
            assert!(!heard.head.has("proxy-connection") && !heard.head.has("proxy-authorization"), "{:?}", heard.head);
        }
        // One for the tunnel, one that all three requests share.
        assert_eq!((server.seen().targets, server.seen().logins.len()), (vec!["name o.practice 80".to_string(); 2], 0));
        let hop = format!("{}://{}", &kind[..6], server.addr);
        drop(client);
        let records = relay.stop().await;
        assert!(records.iter().all(|record| record["hop"] == hop && record["end"] == "done"), "{records:?}");
    }
}

#[tokio::test]
async fn addresses_go_as_addresses_and_what_socks_4_cannot_say_is_left_to_the_next_upstream() {
    let origin = Upstream::start(Say::welcome).await;
    let (four, five) = (
        SocksServer::start(SocksPlan::default(), origin.addr).await,
        SocksServer::start(SocksPlan::default(), origin.addr).await,
    );
    let relay = before("socks4", &four, "").upstream_at(&format!("socks5://{}", five.addr), "").start();
    for target in ["192.0.2.7:81", "[2001:db8::7]:82"] {
        assert_eq!(status(&relay, &format!("CONNECT {target} HTTP/1.1\r\n\r\n")).await, 200, "{target}");
    }
    assert_eq!(four.seen().targets, ["192.0.2.7 81"]);
    assert_eq!(five.seen().targets, ["2001:db8::7 82"]);
}

#[tokio::test]
async fn user_and_password_are_shown_where_they_are_allowed_in_clear_text_and_asked_for() {
    let origin = Upstream::start(Say::welcome).await;
    let login = || SocksPlan { login: alice(), ..SocksPlan::default() };
    let server = SocksServer::start(login(), origin.addr).await;
    let relay = before("socks5", &server, "schemes = [\"basic\"]").start();
    for request in [CONNECT, GET, POST] {
        assert_eq!(status(&relay, request).await, 200, "{request:.8}");
    }
    assert!(server.seen().logins.iter().all(|login| Some(login) == alice().as_ref()));
    let server = SocksServer::start(login(), origin.addr).await;
    let relay = before("socks5", &server, "").start();
    for request in [CONNECT, GET] {
        let answer = relay.client().await.ask(request).await;
        assert_eq!(answer.status(), 407);
        assert!(answer.text().contains("schemes = [\"basic\"] allows that"), "{}", answer.text());
    }
    assert_eq!(server.seen().logins, []);
    // Where nobody asks, nothing is shown.
    let server = SocksServer::start(SocksPlan::default(), origin.addr).await;
    let relay = before("socks5", &server, "schemes = [\"basic\"]").start();
    assert_eq!(status(&relay, CONNECT).await, 200);
    assert_eq!(server.seen().logins, []);
}

#[tokio::test]
async fn a_password_that_was_refused_or_not_judged_is_shown_to_nobody_else() {
    let origin = Upstream::start(Say::welcome).await;
    let refuses = SocksPlan::default();
    let breaks = SocksPlan { breaks_at_login: true, ..SocksPlan::default() };
    let garbles = SocksPlan { garbles_verdict: true, ..SocksPlan::default() };
    for (plan, expected, end) in
        [(refuses, 407, "credential_rejected"), (breaks, 502, "handshake_broken"), (garbles, 502, "handshake_broken")]
    {
        for request in [CONNECT, GET] {
            let login = Some(("PRACTICE\\alice".into(), "another".into()));
            let strict = SocksServer::start(SocksPlan { login, ..plan.clone() }, origin.addr).await;
            let other = SocksServer::start(SocksPlan { login: alice(), ..SocksPlan::default() }, origin.addr).await;
            let basic = "schemes = [\"basic\"]";
            let relay =
                before("socks5", &strict, basic).upstream_at(&format!("socks5://{}", other.addr), basic).start();
            assert_eq!(status(&relay, request).await, expected, "{request:.8}");
            assert_eq!((strict.seen().logins.len(), other.seen().connections), (1, 0), "{request:.8}");
            assert_eq!(relay.stop().await[0]["end"], end);
        }
    }
}

#[tokio::test]
async fn a_password_that_a_server_thinks_about_for_ever_is_shown_to_nobody_else() {
    let origin = Upstream::start(Say::welcome).await;
    let login = |ponders_login| SocksPlan { login: alice(), ponders_login, ..SocksPlan::default() };
    let slow = SocksServer::start(login(true), origin.addr).await;
    let other = SocksServer::start(login(false), origin.addr).await;
    let basic = "schemes = [\"basic\"]";
    let relay = before("socks5", &slow, basic)
        .upstream_at(&format!("socks5://{}", other.addr), basic)
        .key("handshake_timeout = \"2s\"")
        .start();
    for request in [CONNECT, GET] {
        assert_eq!(status(&relay, request).await, 504, "{request:.8}");
        relay.skip(Duration::from_secs(60));
    }
    assert_eq!((slow.seen().logins.len(), other.seen().connections), (2, 0));
}

#[tokio::test]
async fn a_socks_server_that_only_a_script_names_is_shown_a_password_only_where_a_pattern_covers_it() {
    let origin = Upstream::start(Say::welcome).await;
    let ways = ways(&["*.corp.example"], &[Scheme::Basic]);
    for (host, is_covered) in [("proxy.evil.test", false), ("evilcorp.example", false), ("p.corp.example", true)] {
        let server = SocksServer::start(SocksPlan { login: alice(), ..SocksPlan::default() }, origin.addr).await;
        let outcome = tunnel(&ways, &route([hop(Protocol::Socks5, host, server.addr)])).await;
        assert_eq!((outcome.is_ok(), server.seen().logins.len()), (is_covered, usize::from(is_covered)), "{host}");
        if let Err(error) = outcome {
            assert!(error.cause.to_string().contains(&format!("--credential-for {host}")), "{error:?}");
        }
    }
}

#[tokio::test]
async fn what_the_server_says_of_the_target_is_its_last_word_and_its_own_troubles_are_not() {
    let origin = Upstream::start(Say::welcome).await;
    for (kind, reply, expected, words) in [
        ("socks5", 2, 403, "not allowed by its rules (SOCKS reply 2)"),
        ("socks5", 3, 502, "network unreachable (SOCKS reply 3)"),
        ("socks5", 4, 502, "host unreachable (SOCKS reply 4)"),
        ("socks5", 5, 502, "connection refused (SOCKS reply 5)"),
        ("socks5", 6, 504, "no answer in time (SOCKS reply 6)"),
        ("socks4", 91, 502, "rejected or failed (SOCKS reply 91)"),
        ("socks5", 1, 200, ""),
        ("socks5", 7, 200, ""),
        ("socks4", 92, 200, ""),
    ] {
        let first = SocksServer::start(SocksPlan { reply: Some(reply), ..SocksPlan::default() }, origin.addr).await;
        let second = SocksServer::start(SocksPlan::default(), origin.addr).await;
        let relay = before(kind, &first, "").upstream_at(&format!("socks5://{}", second.addr), "").start();
        for request in [CONNECT, GET] {
            let mut client = relay.client().await;
            let head = client.ask_head(request).await;
            assert_eq!(head.status(), expected, "{reply} {request:.8}");
            if expected != 200 {
                let (body, _) = client.body(&head).await;
                assert!(String::from_utf8_lossy(&body).contains(words), "{reply}: {}", String::from_utf8_lossy(&body));
                assert_eq!(second.seen().connections, 0);
            }
        }
        let records = relay.stop().await;
        let end = if expected == 200 { "done" } else { "upstream_refused" };
        assert!(records.iter().all(|record| record["end"] == end || record["end"] == "drained"), "{records:?}");
    }
}

#[tokio::test]
async fn a_407_of_an_origin_behind_socks_is_the_origins_own_and_gets_no_credential() {
    let said = "HTTP/1.1 407 Odd\r\nProxy-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n\r\n";
    let origin = Upstream::start(move |_| Say::answer(said)).await;
    let server = SocksServer::start(SocksPlan::default(), origin.addr).await;
    let relay = before("socks5", &server, "schemes = [\"basic\"]").start();
    assert_eq!(status(&relay, GET).await, 407);
    assert_eq!(origin.heard().len(), 1);
    assert!(!origin.heard()[0].head.has("proxy-authorization"));
}

#[tokio::test]
async fn what_is_no_socks_server_or_says_nothing_makes_way_for_the_next_upstream() {
    let origin = Upstream::start(Say::welcome).await;
    let (http, mute) = (Upstream::start(Say::welcome).await, Scripted::start().await);
    let server = SocksServer::start(SocksPlan::default(), origin.addr).await;
    let relay = RelayPlan::default()
        .key("handshake_timeout = \"2s\"")
        .upstream_at(&format!("socks5://{}", mute.addr()), "")
        .upstream_at(&format!("socks5://{}", http.addr), "")
        .upstream_at(&format!("socks5://{}", server.addr), "");
    let talk = async {
        // The web server waits for the end of a line that never comes.
        let relay = relay.start();
        status(&relay, CONNECT).await
    };
    assert_eq!(talk.await, 200);
    assert_eq!(http.heard().len(), 0);
}

#[tokio::test]
async fn only_http_can_be_fetched_where_nothing_on_the_way_understands_http() {
    let origin = Upstream::start(Say::welcome).await;
    let server = SocksServer::start(SocksPlan::default(), origin.addr).await;
    let relay = before("socks5", &server, "").start();
    assert_eq!(status(&relay, "GET https://o.practice/ HTTP/1.1\r\nHost: x\r\n\r\n").await, 400);
    assert_eq!(server.seen().connections, 0);
}
