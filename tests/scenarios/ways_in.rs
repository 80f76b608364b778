//! Ways in besides HTTP: ports that are always one target, and SOCKS clients. What follows is the same for all.

use std::net::SocketAddr;

use hallpass::practice::Offer;
use hallpass::proxy::Way;

use crate::support::{Office, Peer, Relay, RelayPlan, Say, Scripted, Upstream};

const SOCKS: &str = "[[listeners]]\ninterface = \"lo\"\nport = 0\nsocks5 = true";

/// The answers to a hello and to a request that went well.
const CHOSEN: [u8; 2] = [5, 0];
const SUCCEEDED: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

fn tunnel_to(target: &str) -> String {
    format!("[[tunnels]]\nlisten = \"127.0.0.1:0\"\ntarget = \"{target}\"")
}

/// Where the first way of its kind is.
fn way(relay: &Relay, is: impl Fn(&Way) -> bool) -> SocketAddr {
    relay.daemon.ways().iter().find(|(way, _)| is(way)).unwrap().1[0]
}

fn tunnel_port(relay: &Relay) -> SocketAddr {
    way(relay, |way| matches!(way, Way::Tunnel(_)))
}

fn socks_port(relay: &Relay) -> SocketAddr {
    way(relay, |way| *way == Way::Socks)
}

fn name_request(name: &str, port: u16) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [&[5, 1, 0, 3, length][..], name.as_bytes(), &port.to_be_bytes()].concat()
}

/// A SOCKS client whose request has been sent, and the method agreed on.
async fn asked(relay: &Relay, request: &[u8]) -> Peer {
    let mut client = Peer::connect(socks_port(relay)).await;
    client.send([5, 1, 0]).await;
    assert_eq!(client.take(2).await, CHOSEN);
    client.send(request).await;
    client
}

#[tokio::test]
async fn a_tunnel_port_leads_to_its_target_through_the_log_in() {
    let tunnel = tunnel_to("origin.practice:80");
    let office = Office::with([Offer::Ntlm]).relay(|relay| relay.key(&tunnel)).start().await;
    let mut client = Peer::connect(tunnel_port(&office.relay)).await;
    let answer = client.ask("GET /hello HTTP/1.1\r\nHost: origin.practice\r\nConnection: close\r\n\r\n").await;
    assert_eq!(answer.status(), 200);
    client.ended().await;
    drop(client);
    let record = &office.relay.records(1).await[0];
    assert_eq!((&record["method"], &record["target"]), (&"CONNECT".into(), &"origin.practice:80".into()));
    assert_eq!((&record["status"], &record["end"], &record["scheme"]), (&200.into(), &"done".into(), &"NTLM".into()));
    assert_eq!(record["listener"], tunnel_port(&office.relay).to_string());
}

#[tokio::test]
async fn a_client_of_a_tunnel_port_may_say_everything_and_end_before_there_is_a_tunnel() {
    let listener = Scripted::start().await;
    let relay = Relay::before(listener.addr()).key(&tunnel_to("h.test:22")).start();
    let mut client = Peer::connect(tunnel_port(&relay)).await;
    client.send("all I have to say").await;
    client.finish().await;
    let mut upstream = listener.accept().await;
    assert_eq!(upstream.head().await.line(), "CONNECT h.test:22 HTTP/1.1");
    upstream.send("HTTP/1.1 200 OK\r\n\r\nbanner").await;
    assert_eq!(upstream.rest().await, b"all I have to say");
    upstream.finish().await;
    assert_eq!(client.rest().await, b"banner");
    assert_eq!(relay.records(1).await[0]["end"], "done");
}

/// The end of a connection without a word would look like the target's; `read` must fail instead.
async fn breaks_off(client: &Peer) {
    let mut byte = [0; 1];
    let read = crate::support::soon("the end", async {
        client.stream.readable().await.unwrap();
        client.stream.try_read(&mut byte)
    });
    assert_eq!(read.await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_tunnel_that_cannot_be_made_is_a_reset_and_a_record() {
    let upstream = Upstream::start(|_| Say::last("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")).await;
    let relay = Relay::before(upstream.addr).key(&tunnel_to("h.test:22")).start();
    breaks_off(&Peer::connect(tunnel_port(&relay)).await).await;
    let record = &relay.records(1).await[0];
    assert_eq!((&record["end"], &record["status"]), (&"upstream_refused".into(), &403.into()));
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let relay = Relay::before(nowhere).key(&tunnel_to("h.test:22")).start();
    breaks_off(&Peer::connect(tunnel_port(&relay)).await).await;
    let record = &relay.records(1).await[0];
    assert_eq!((&record["end"], &record["status"]), (&"unreachable".into(), &502.into()));
}

#[tokio::test]
async fn the_ports_that_connect_may_name_do_not_bind_a_configured_tunnel() {
    let upstream = Upstream::start(Say::welcome).await;
    let ports = RelayPlan::default().key("connect_ports = [443]").upstream(upstream.addr);
    let relay = ports.key(&tunnel_to("h.test:22")).key(SOCKS).start();
    let mut client = Peer::connect(tunnel_port(&relay)).await;
    client.send("ping").await;
    assert_eq!(client.take(4).await, b"ping");
    let mut denied = asked(&relay, &name_request("h.test", 22)).await;
    assert_eq!(denied.take(10).await[1], 2);
    denied.ended().await;
    assert_eq!(relay.records(1).await[0]["end"], "denied");
}

#[tokio::test]
async fn a_reload_adds_ways_in_and_leaves_those_that_stay_alone() {
    let upstream = Upstream::start(Say::welcome).await;
    let mut relay = Relay::before(upstream.addr).key(&tunnel_to("h.test:22")).start();
    let port = tunnel_port(&relay);
    let mut before = Peer::connect(port).await;
    before.send("x").await;
    assert_eq!(before.take(1).await, b"x");
    relay.reload(|plan| plan.key(&tunnel_to("other.test:22")).key(SOCKS));
    assert_eq!(relay.daemon.ways().len(), 4);
    let other = relay.daemon.ways()[3].1[0];
    for (addr, target) in [(port, "h.test:22"), (other, "other.test:22")] {
        let mut client = Peer::connect(addr).await;
        client.send("y").await;
        assert_eq!(client.take(1).await, b"y");
        let heard = upstream.heard().pop().unwrap();
        assert_eq!(heard.head.line(), format!("CONNECT {target} HTTP/1.1"));
    }
    let mut socks = asked(&relay, &name_request("h.test", 443)).await;
    assert_eq!(socks.take(10).await, SUCCEEDED);
    before.send("z").await;
    assert_eq!(before.take(1).await, b"z");
}

#[tokio::test]
async fn a_reload_closes_ways_in_and_their_clients_live_on() {
    let upstream = Upstream::start(Say::welcome).await;
    let mut relay = Relay::before(upstream.addr).key(&tunnel_to("h.test:22")).start();
    let port = tunnel_port(&relay);
    let mut client = Peer::connect(port).await;
    client.send("x").await;
    assert_eq!(client.take(1).await, b"x");
    let addr = upstream.addr;
    relay.reload(|_| Relay::before(addr).key("max_clients = 1"));
    crate::support::until("the port to close", || std::net::TcpStream::connect(port).is_err()).await;
    client.send("y").await;
    assert_eq!(client.take(1).await, b"y");
    assert_eq!(relay.client().await.answer().await.status(), 503, "max_clients counts the clients of all ways");
    drop(client);
    assert!(relay.stop().await.iter().any(|record| record["target"] == "h.test:22" && record["end"] == "done"));
}

#[tokio::test]
async fn a_reload_that_cannot_bind_changes_nothing() {
    let upstream = Upstream::start(Say::welcome).await;
    let mut relay = Relay::before(upstream.addr).start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tunnel = format!("[[tunnels]]\nlisten = \"{}\"\ntarget = \"h.test:22\"", taken.local_addr().unwrap());
    let error = relay.try_reload(|plan| plan.key("connect_ports = [443]").key(SOCKS).key(&tunnel)).unwrap_err();
    assert!(error.to_string().contains(&taken.local_addr().unwrap().to_string()), "{error}");
    assert_eq!(relay.daemon.ways().len(), 1);
    let mut client = relay.client().await;
    client.send("CONNECT h.test:22 HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.head().await.status(), 200, "the ports are those of before");
}

#[tokio::test]
async fn a_socks_client_is_served_through_the_log_in() {
    let office = Office::with([Offer::Ntlm]).relay(|relay| relay.key(SOCKS)).start().await;
    let mut client = asked(&office.relay, &name_request("origin.practice", 80)).await;
    assert_eq!(client.take(10).await, SUCCEEDED);
    let answer = client.ask("GET /hello HTTP/1.1\r\nHost: origin.practice\r\nConnection: close\r\n\r\n").await;
    assert_eq!(answer.status(), 200);
    client.ended().await;
    drop(client);
    let record = &office.relay.records(1).await[0];
    assert_eq!((&record["method"], &record["target"]), (&"CONNECT".into(), &"origin.practice:80".into()));
    assert_eq!((&record["end"], &record["scheme"]), (&"done".into(), &"NTLM".into()));
}

#[tokio::test]
async fn all_that_a_socks_client_says_may_come_at_once_or_byte_by_byte() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).key(SOCKS).start();
    let five = [&[5, 1, 0][..], &name_request("h.test", 443), b"early"].concat();
    let four = [&[4, 1, 1, 187, 0, 0, 0, 1][..], b"user\0h.test\0early"].concat();
    for (said, answer) in [
        (five, [&CHOSEN[..], &SUCCEEDED, b"early"].concat()),
        (four, [&[0, 90, 0, 0, 0, 0, 0, 0][..], b"early"].concat()),
    ] {
        let mut at_once = Peer::connect(socks_port(&relay)).await;
        at_once.send(&said).await;
        assert_eq!(at_once.take(answer.len()).await, answer);
        let mut slowly = Peer::connect(socks_port(&relay)).await;
        for byte in &said {
            slowly.send([*byte]).await;
        }
        assert_eq!(slowly.take(answer.len()).await, answer);
    }
    assert!(upstream.heard().iter().all(|heard| heard.head.line() == "CONNECT h.test:443 HTTP/1.1"));
}

#[tokio::test]
async fn a_socks_client_hears_why_in_the_codes_of_its_protocol() {
    let upstream = Upstream::start(|heard| match heard.head.line() {
        line if line.contains("denied.test") => Say::last("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
        line if line.contains("gone.test") => {
            Say::last("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        }
        line if line.contains("slow.test") => Say::last("HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n"),
        _ => Say::last("HTTP/1.1 407 Log in\r\nContent-Length: 0\r\nProxy-Authenticate: Unheard-Of\r\n\r\n"),
    })
    .await;
    let relay = Relay::before(upstream.addr).key(SOCKS).start();
    let said = [
        ("denied.test", 2, "upstream_refused"),
        ("gone.test", 4, "upstream_refused"),
        ("slow.test", 6, "upstream_refused"),
        ("login.test", 1, "no_credential"),
    ];
    for (before, (name, code, end)) in said.into_iter().enumerate() {
        let mut client = asked(&relay, &name_request(name, 443)).await;
        assert_eq!(client.take(10).await, [5, code, 0, 1, 0, 0, 0, 0, 0, 0], "{name}");
        client.ended().await;
        let record =
            relay.records(before + 1).await.into_iter().rfind(|record| record["target"] == format!("{name}:443"));
        assert_eq!(record.unwrap()["end"], end, "{name}");
    }
}

#[tokio::test]
async fn a_target_that_refuses_and_the_relay_itself_have_their_own_codes() {
    let relay = RelayPlan::default().key(SOCKS).start();
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (port, code) in [(nowhere.port(), 5), (relay.addr().port(), 2), (socks_port(&relay).port(), 2)] {
        let request = [&[5, 1, 0, 1, 127, 0, 0, 1][..], &port.to_be_bytes()].concat();
        let mut client = asked(&relay, &request).await;
        assert_eq!(client.take(10).await[1], code);
    }
}

#[tokio::test]
async fn what_is_not_served_is_refused_and_recorded() {
    let relay = RelayPlan::default().key(SOCKS).start();
    let bind = asked(&relay, &[5, 2, 0, 1, 127, 0, 0, 1, 0, 80]).await;
    let udp = asked(&relay, &[5, 3, 0, 1, 127, 0, 0, 1, 0, 80]).await;
    for mut client in [bind, udp] {
        assert_eq!(client.take(10).await[1], 7);
        client.ended().await;
    }
    let mut log_in = Peer::connect(socks_port(&relay)).await;
    log_in.send([5, 1, 2]).await;
    assert_eq!(log_in.rest().await, [5, 0xff]);
    let mut http = Peer::connect(socks_port(&relay)).await;
    http.send("CONNECT h.test:443 HTTP/1.1\r\n\r\n").await;
    http.ended().await;
    assert!(relay.records(4).await.iter().all(|record| record["end"] == "bad_request"));
}

#[tokio::test]
async fn a_further_listener_speaks_http_like_the_first() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).key("[[listeners]]\ninterface = \"lo\"\nport = 0").start();
    let addr = relay.daemon.ways()[1].1[0];
    let mut client = Peer::connect(addr).await;
    client.send("CONNECT h.test:443 HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.head().await.status(), 200);
    let page = Peer::connect(addr).await.ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(page.status(), 200);
}

#[tokio::test]
async fn clients_beyond_the_limit_are_sent_away_by_every_way_in() {
    let upstream = Upstream::start(Say::welcome).await;
    let plan = RelayPlan::default().key("max_clients = 1").upstream(upstream.addr);
    let relay = plan.key(&tunnel_to("h.test:22")).key(SOCKS).start();
    let mut first = Peer::connect(tunnel_port(&relay)).await;
    first.send("x").await;
    assert_eq!(first.take(1).await, b"x");
    breaks_off(&Peer::connect(socks_port(&relay)).await).await;
    breaks_off(&Peer::connect(tunnel_port(&relay)).await).await;
    assert_eq!(relay.client().await.answer().await.status(), 503);
    assert!(relay.records(3).await.iter().all(|record| record["end"] == "limit"));
}
