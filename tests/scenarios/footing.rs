//! Tunnels whose address on this machine is gone: broken off at once, so that the programs in them notice.

use std::io::ErrorKind;
use std::net::IpAddr;

use tokio::io::AsyncReadExt;

use crate::support::{Peer, Relay, Say, Scripted, Upstream, soon, until};

const CONNECT: &str = "CONNECT o.practice:80 HTTP/1.1\r\nHost: o.practice:80\r\n\r\n";
const UPGRADE: &str =
    "GET http://o.practice/socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

async fn upstream() -> Upstream {
    Upstream::start(|heard| match heard.head.method() {
        "CONNECT" => Say::Echo(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        _ => Say::Echo(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec()),
    })
    .await
}

async fn echoes(client: &mut Peer) {
    client.send("hello").await;
    assert_eq!(client.take(5).await, b"hello");
}

async fn is_reset(client: &mut Peer) {
    let read = soon("a reset", client.stream.read(&mut [0; 16])).await;
    assert_eq!(read.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn tunnels_on_an_address_that_is_gone_break_off_and_the_next_ones_stand_again() {
    let upstream = upstream().await;
    let relay = Relay::before(upstream.addr).start();
    let live = relay.daemon.live().clone();
    assert_eq!(live.local_addresses(), [HERE; 0]);
    let (mut tunnel, mut socket) = (relay.client().await, relay.client().await);
    assert_eq!(tunnel.ask_head(CONNECT).await.status(), 200);
    assert_eq!(socket.ask_head(UPGRADE).await.status(), 101);
    for client in [&mut tunnel, &mut socket] {
        echoes(client).await;
    }
    assert_eq!(live.local_addresses(), [HERE]);
    live.abandon("192.0.2.1".parse().unwrap());
    for client in [&mut tunnel, &mut socket] {
        echoes(client).await;
    }
    live.abandon(HERE);
    for client in [&mut tunnel, &mut socket] {
        is_reset(client).await;
    }
    let records = relay.records(2).await;
    assert!(records.iter().all(|record| record["end"] == "upstream_reset"), "{records:?}");
    assert!(records.iter().all(|record| record["bytes_up"] == 10), "{records:?}");
    let mut next = relay.client().await;
    assert_eq!(next.ask_head(CONNECT).await.status(), 200);
    echoes(&mut next).await;
    assert_eq!(live.local_addresses(), [HERE]);
    drop(next);
    until("the end of the last tunnel", || live.local_addresses().is_empty()).await;
}

#[tokio::test]
async fn a_tunnel_that_is_stuck_breaks_off_as_well() {
    let mute = Scripted::start().await;
    let relay = Relay::before(mute.addr()).start();
    let mut client = relay.client().await;
    client.send(CONNECT).await;
    let mut upstream = mute.accept().await;
    upstream.head().await;
    upstream.send("HTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(client.head().await.status(), 200);
    client.flood(64 * 1024 * 1024).await;
    relay.daemon.live().abandon(HERE);
    is_reset(&mut client).await;
}

#[tokio::test]
async fn a_forwarded_request_without_an_answer_breaks_off_as_well() {
    let mute = Scripted::start().await;
    let relay = Relay::before(mute.addr()).start();
    let mut client = relay.client().await;
    client.send("GET http://o.practice/ HTTP/1.1\r\nHost: o.practice\r\n\r\n").await;
    let mut upstream = mute.accept().await;
    upstream.head().await;
    relay.daemon.live().abandon(HERE);
    is_reset(&mut client).await;
    let records = relay.records(1).await;
    assert_eq!(records[0]["end"], "upstream_reset");
}
