//! Tunnels: bytes as they come, each direction ending on its own, through reloads and until the relay ends.

use std::time::{Duration, Instant};

use hallpass::practice::Offer;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::{BlackHole, Office, Peer, Relay, RelayPlan, Say, Scripted, Upstream, soon, until};

const CONNECT: &str = "CONNECT h.test:443 HTTP/1.1\r\nHost: h.test:443\r\n\r\n";

/// Far more than the kernel buffers of four sockets on loopback hold.
const BOUND: usize = 48 * 1024 * 1024;

/// A tunnel with both of its ends in hand.
struct Tunnel {
    client: Peer,
    upstream: Peer,
    relay: Relay,
}

async fn tunnel_with(keys: &[&str]) -> Tunnel {
    let listener = Scripted::start().await;
    let plan = keys.iter().fold(Relay::before(listener.addr()), |plan, key| plan.key(key));
    tunnel_by(&listener, plan).await
}

async fn tunnel_by(listener: &Scripted, plan: RelayPlan) -> Tunnel {
    let relay = plan.start();
    let mut client = relay.client().await;
    client.send(CONNECT).await;
    let mut upstream = listener.accept().await;
    upstream.head().await;
    upstream.send("HTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(client.head().await.status(), 200);
    Tunnel { client, upstream, relay }
}

async fn tunnel() -> Tunnel {
    tunnel_with(&[]).await
}

impl Tunnel {
    async fn works(&mut self) {
        self.client.send("up").await;
        assert_eq!(self.upstream.take(2).await, b"up");
        self.upstream.send("down").await;
        assert_eq!(self.client.take(4).await, b"down");
    }
}

/// With splice(2), where there is such a thing, and without.
fn either_way(plan: &RelayPlan) -> [RelayPlan; 2] {
    [plan.clone(), plan.clone().copying()]
}

#[tokio::test]
async fn either_side_may_end_first_and_hear_the_other_to_its_end() {
    let mut one = tunnel().await;
    one.client.send("question").await;
    one.client.finish().await;
    assert_eq!(one.upstream.rest().await, b"question");
    one.upstream.send("a late answer").await;
    one.upstream.finish().await;
    assert_eq!(one.client.rest().await, b"a late answer");
    let record = &one.relay.records(1).await[0];
    assert_eq!((record["bytes_up"].as_u64(), record["bytes_down"].as_u64()), (Some(8), Some(13)));
    assert_eq!(
        (&record["end"], &record["status"], &record["method"]),
        (&"done".into(), &200.into(), &"CONNECT".into())
    );
    let mut other = tunnel().await;
    other.upstream.send("banner").await;
    other.upstream.finish().await;
    assert_eq!(other.client.rest().await, b"banner");
    other.client.send("still here").await;
    other.client.finish().await;
    assert_eq!(other.upstream.rest().await, b"still here");
    assert_eq!(other.relay.records(1).await[0]["end"], "done");
}

/// A client may say all it has together with its CONNECT, and either side may end long before the other.
#[tokio::test]
async fn not_a_byte_is_lost_right_after_the_connect_nor_behind_an_end() {
    let bytes = |count: usize| (0..count).map(|at| u8::try_from(at % 251).unwrap()).collect::<Vec<u8>>();
    let earlies = [0, 1, 55, 16 * 1024, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 200 * 1024];
    let listener = Scripted::start().await;
    let plans = either_way(&Relay::before(listener.addr()));
    for (early, plan) in earlies.into_iter().flat_map(|early| plans.clone().map(|plan| (early, plan))) {
        let relay = plan.start();
        let (early, late, answer) = (bytes(early), bytes(1024 * 1024), bytes(1024 * 1024 + 7));
        let mut client = relay.client().await;
        client.send([CONNECT.as_bytes(), &early].concat()).await;
        let mut upstream = listener.accept().await;
        upstream.head().await;
        assert!(upstream.silent().await, "nothing goes before the answer");
        upstream.send("HTTP/1.1 200 OK\r\n\r\n").await;
        assert_eq!(client.head().await.status(), 200);
        let up = async {
            client.send(&late).await;
            client.finish().await;
        };
        let (_, heard) = tokio::join!(up, upstream.rest());
        assert!(heard == [early, late].concat(), "{}", heard.len());
        let down = async {
            upstream.send(&answer).await;
            upstream.finish().await;
        };
        let (_, heard) = tokio::join!(down, client.rest());
        assert!(heard == answer, "{}", heard.len());
        assert_eq!(relay.records(1).await[0]["end"], "done");
    }
}

#[tokio::test]
async fn a_reset_on_one_side_ends_the_other_at_once() {
    let mut one = tunnel().await;
    one.client.reset();
    one.upstream.ended().await;
    assert_eq!(one.relay.records(1).await[0]["end"], "client_reset");
    let mut other = tunnel().await;
    other.upstream.reset();
    other.client.ended().await;
    assert_eq!(other.relay.records(1).await[0]["end"], "upstream_reset");
}

#[tokio::test]
async fn a_reset_under_a_flood_ends_the_other_side_at_once() {
    let listener = Scripted::start().await;
    for plan in either_way(&Relay::before(listener.addr())) {
        let mut one = tunnel_by(&listener, plan.clone()).await;
        one.client.flood(BOUND).await;
        one.upstream.reset();
        one.client.ended().await;
        // The reset is told once, and it may be the writing that hears it: then reading finds an end.
        let end = &one.relay.records(1).await[0]["end"];
        assert!(end == "upstream_reset" || end == "done", "{end}");
        let mut other = tunnel_by(&listener, plan).await;
        other.upstream.flood(BOUND).await;
        other.client.reset();
        other.upstream.ended().await;
        assert_eq!(other.relay.records(1).await[0]["end"], "client_reset");
    }
}

#[tokio::test]
async fn a_reader_that_stops_stops_the_writer_and_loses_nothing() {
    let listener = Scripted::start().await;
    for plan in either_way(&Relay::before(listener.addr())) {
        let mut tunnel = tunnel_by(&listener, plan.clone()).await;
        let sent = tunnel.upstream.flood(BOUND).await;
        // The other direction is not held up by it.
        tunnel.client.send("up").await;
        assert_eq!(tunnel.upstream.take(2).await, b"up");
        tunnel.upstream.finish().await;
        assert_eq!(tunnel.client.rest().await.len(), sent);
        tunnel.client.finish().await;
        assert_eq!(tunnel.relay.records(1).await[0]["bytes_down"].as_u64(), Some(sent as u64));
        let mut tunnel = tunnel_by(&listener, plan).await;
        let sent = tunnel.client.flood(BOUND).await;
        tunnel.client.finish().await;
        assert_eq!(tunnel.upstream.rest().await.len(), sent);
        tunnel.upstream.finish().await;
        assert_eq!(tunnel.relay.records(1).await[0]["bytes_up"].as_u64(), Some(sent as u64));
    }
}

/// The silence is longer than every time-out that guards the phases before it.
#[tokio::test]
async fn a_silent_tunnel_is_not_cut_by_the_time_outs_of_its_beginning() {
    let keys = ["head_timeout = \"150ms\"", "handshake_timeout = \"150ms\"", "connect_timeout = \"150ms\""];
    let mut tunnel = tunnel_with(&keys).await;
    tunnel.works().await;
    sleep(Duration::from_millis(500)).await;
    tunnel.works().await;
}

#[tokio::test]
async fn a_silent_tunnel_is_cut_where_that_is_asked_for() {
    let mut tunnel = tunnel_with(&["idle_timeout = \"150ms\""]).await;
    tunnel.works().await;
    tunnel.client.ended().await;
    tunnel.upstream.ended().await;
    assert_eq!(tunnel.relay.records(1).await[0]["end"], "idle_timeout");
    let mut half = tunnel_with(&["half_close_timeout = \"150ms\""]).await;
    half.client.finish().await;
    half.upstream.ended().await;
    half.client.ended().await;
    assert_eq!(half.relay.records(1).await[0]["end"], "client_closed");
}

#[tokio::test]
async fn a_reload_changes_the_next_request_and_no_tunnel() {
    let mut tunnel = tunnel().await;
    let other = Upstream::start(Say::welcome).await;
    let address = other.addr;
    tunnel.relay.reload(|plan| plan.without_upstreams().upstream(address));
    tunnel.works().await;
    let mut client = tunnel.relay.client().await;
    assert_eq!(client.ask_head(CONNECT).await.status(), 200);
    assert_eq!(other.heard().len(), 1);
    tunnel.works().await;
}

#[tokio::test]
async fn a_relay_without_tunnels_stops_at_once_whatever_clients_still_hold_on_to() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let mut silent = office.relay.client().await;
    let mut kept_alive = office.relay.client().await;
    assert_eq!(kept_alive.ask("GET http://o.practice/hello HTTP/1.1\r\nHost: o\r\n\r\n").await.status(), 200);
    let mut refused = office.relay.client().await;
    assert_eq!(refused.ask("nonsense\r\n\r\n").await.status(), 400);
    let mut half_asked = office.relay.client().await;
    half_asked.send("GET http://o.prac").await;
    // All of them have been accepted once the last one is answered.
    assert_eq!(office.get("/hello").await.status(), 200);
    let began = Instant::now();
    soon("the end of the relay", office.relay.stop()).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    for client in [&mut silent, &mut kept_alive, &mut refused, &mut half_asked] {
        client.ended().await;
    }
}

#[tokio::test]
async fn a_relay_that_stops_listens_no_more_and_gives_its_tunnels_the_grace() {
    let mut tunnel = tunnel_with(&["grace = \"400ms\""]).await;
    let address = tunnel.relay.addr();
    let began = Instant::now();
    let stopping = tokio::spawn(tunnel.relay.stop());
    let refused = soon("the listener closes", async {
        while TcpStream::connect(address).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
        began.elapsed()
    })
    .await;
    assert!(refused < Duration::from_millis(300), "{refused:?}");
    tunnel.client.send("up").await;
    assert_eq!(tunnel.upstream.take(2).await, b"up", "within the grace a tunnel works");
    tunnel.client.ended().await;
    tunnel.upstream.ended().await;
    let took = began.elapsed();
    assert!((400..1500).contains(&took.as_millis()), "{took:?}");
    let records = stopping.await.unwrap();
    assert_eq!((records.len(), &records[0]["end"]), (1, &"drained".into()));
}

#[tokio::test]
async fn a_second_signal_cuts_the_grace_short() {
    let mut tunnel = tunnel_with(&["grace = \"1h\""]).await;
    tunnel.works().await;
    let began = Instant::now();
    soon("the end", tunnel.relay.daemon.stop(async {})).await;
    assert!(began.elapsed() < Duration::from_secs(2));
    tunnel.client.ended().await;
}

#[tokio::test]
async fn an_answer_under_way_is_finished_before_the_relay_ends() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let mut client = office.relay.client().await;
    client.send("GET http://o.practice/sleep?ms=300 HTTP/1.1\r\nHost: o\r\n\r\n").await;
    let record = office.proxy.record().clone();
    until("the request is on its way", || !record.requests().is_empty()).await;
    let stopping = tokio::spawn(office.relay.stop());
    assert_eq!(client.answer().await.text(), "good morning\n");
    let records = soon("the end", stopping).await.unwrap();
    assert_eq!(records[0]["end"], "done");
}

#[tokio::test]
async fn a_client_that_leaves_during_the_handshake_frees_the_upstream() {
    for (polite, legs) in [(true, 0), (false, 0), (true, 1), (false, 1)] {
        let listener = Scripted::start().await;
        let relay = Relay::before(listener.addr()).start();
        let mut client = relay.client().await;
        client.send(CONNECT).await;
        let mut upstream = listener.accept().await;
        upstream.head().await;
        if legs == 1 {
            upstream.send("HTTP/1.1 407 X\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n").await;
            upstream.head().await;
        }
        if polite {
            drop(client)
        } else {
            client.reset()
        }
        upstream.ended().await;
        let expected = if polite { "client_closed" } else { "client_reset" };
        assert_eq!(relay.records(1).await[0]["end"], expected, "{polite} {legs}");
    }
}

#[tokio::test]
async fn small_writes_are_not_held_back() {
    let mut tunnel = tunnel().await;
    let began = Instant::now();
    for _ in 0..100 {
        tunnel.works().await;
    }
    // Nagle's algorithm against delayed acknowledgements costs 40 ms a round.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_mebibyte_each_way_at_the_same_time_is_the_same_mebibyte() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let mut client = office.tunnel().await;
    let body: Vec<u8> = (0..1024 * 1024).map(|at: u32| u8::try_from(at % 249).unwrap()).collect();
    let head = format!("POST /echo HTTP/1.1\r\nHost: o\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send(head).await;
    let (mut read, mut write) = client.stream.into_split();
    let sent = body.clone();
    let sending =
        tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut write, &sent).await.map(|()| write) });
    let mut heard = Vec::new();
    let mut room = vec![0; 64 * 1024];
    while !heard.ends_with(&body[body.len() - 100..]) || heard.len() < body.len() {
        let count = timeout(Duration::from_secs(10), tokio::io::AsyncReadExt::read(&mut read, &mut room))
            .await
            .unwrap()
            .unwrap();
        assert!(count > 0);
        heard.extend_from_slice(&room[..count]);
    }
    assert!(heard.ends_with(&body));
    sending.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_while_the_upstream_is_dialled_is_noticed_at_once() {
    let hole = BlackHole::dig().await;
    let relay = Relay::before(hole.addr).key("connect_timeout = \"1h\"").start();
    for request in [CONNECT, "GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n"] {
        let mut client = relay.client().await;
        client.send(request).await;
        // What it sends meanwhile does not hide that it goes.
        client.send("\x16\x03\x01").await;
        drop(client);
    }
    assert!(relay.records(2).await.iter().all(|record| record["end"] == "client_closed"));
}
