//! Who is asked: the upstream, or the target itself where it must not be anybody else's business.

use crate::support::{Relay, Say, Upstream};

async fn ask(relay: &Relay, request: &str) -> u16 {
    relay.client().await.ask_head(request).await.status()
}

#[tokio::test]
async fn this_machine_is_never_reached_by_an_upstream_in_whatever_way_it_is_written() {
    let upstream = Upstream::start(Say::welcome).await;
    let target = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).start();
    let port = target.addr.port();
    let hosts =
        ["127.0.0.1", "localhost", "LocalHost.", "127.1", "0x7f.1", "2130706433", "017700000001", "[::ffff:127.0.0.1]"];
    for (number, host) in hosts.into_iter().enumerate() {
        assert_eq!(ask(&relay, &format!("GET http://{host}:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n")).await, 200, "{host}");
        assert_eq!(ask(&relay, &format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n")).await, 200, "{host}");
        let record = &relay.records(2 * number + 1).await[2 * number];
        assert_eq!((&record["reason"]["kind"], &record["hop"]), (&"loopback".into(), &"direct".into()), "{host}");
    }
    assert_eq!(upstream.heard().len(), 0);
    // Of the tunnels the target has heard nothing yet.
    assert_eq!(target.heard().len(), hosts.len());
}

#[tokio::test]
async fn names_are_the_upstreams_to_resolve() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).start();
    for host in ["does-not-exist.invalid", "a_b.test", "xn--mller-kva.test", "192.0.2.1", "[2001:db8::1]"] {
        assert_eq!(ask(&relay, &format!("CONNECT {host}:443 HTTP/1.1\r\n\r\n")).await, 200, "{host}");
        assert_eq!(upstream.heard().pop().unwrap().head.line(), format!("CONNECT {host}:443 HTTP/1.1"));
    }
}

#[tokio::test]
async fn what_no_proxy_names_goes_direct_and_nothing_else() {
    let upstream = Upstream::start(Say::welcome).await;
    let list = "no_proxy = [\"direct.invalid\", \"*.corp.invalid:8080\", \"192.0.2.0/24\"]";
    let relay = Relay::before(upstream.addr).key(list).key("connect_timeout = \"100ms\"").start();
    for (target, kind) in [
        ("direct.invalid:443", "no_proxy"),
        ("a.direct.invalid:443", "no_proxy"),
        ("notdirect.invalid:443", "upstream"),
        ("a.corp.invalid:8080", "no_proxy"),
        ("a.corp.invalid:443", "upstream"),
        ("192.0.2.9:443", "no_proxy"),
        ("198.51.100.9:443", "upstream"),
    ] {
        let heard = upstream.heard().len();
        let status = ask(&relay, &format!("CONNECT {target} HTTP/1.1\r\n\r\n")).await;
        // Nobody is there directly; what counts is who was asked.
        assert_eq!(
            (status == 200, upstream.heard().len() > heard),
            (kind == "upstream", kind == "upstream"),
            "{target}"
        );
    }
}

#[tokio::test]
async fn an_absent_user_agent_is_filled_in_where_that_is_configured() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).key("user_agent = \"Mozilla/5.0 (filled in)\"").start();
    for (field, expected) in [("", "Mozilla/5.0 (filled in)"), ("User-Agent: own/1\r\n", "own/1")] {
        assert_eq!(ask(&relay, &format!("CONNECT h.test:443 HTTP/1.1\r\n{field}\r\n")).await, 200);
        assert_eq!(upstream.heard().pop().unwrap().head.one("user-agent"), Some(expected));
    }
}
