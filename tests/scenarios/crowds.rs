//! Many clients at once: nobody fails, and nobody gets another one's answer.

use std::sync::Arc;

use hallpass::practice::Offer;

use crate::support::{Office, Peer, Relay, Say, Upstream, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_clients_that_ask_ten_times_each_get_their_own_answers() {
    let office = Arc::new(Office::with([Offer::Ntlm]).start().await);
    let clients: Vec<_> = (0..50)
        .map(|number| {
            let office = office.clone();
            tokio::spawn(async move {
                let mut client = office.relay.client().await;
                for round in 0..10 {
                    let body = format!("client {number}, round {round}");
                    let head =
                        format!("POST http://o.practice/echo HTTP/1.1\r\nHost: o\r\nContent-Length: {}", body.len());
                    let answer = client.ask(format!("{head}\r\n\r\n{body}")).await;
                    assert_eq!((answer.status(), answer.text()), (200, body.as_str()));
                    if round == 4 {
                        // A new connection may be given one of the old ones behind.
                        client = office.relay.client().await;
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!((office.logons().rejected, office.origin.record().requests().len()), (0, 500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_tunnels_open_at_once_and_are_all_gone_afterwards() {
    let office = Arc::new(Office::with([Offer::Ntlm]).start().await);
    let opening: Vec<_> = (0..200)
        .map(|_| {
            let office = office.clone();
            tokio::spawn(async move { office.tunnel().await })
        })
        .collect();
    let mut tunnels: Vec<Peer> = Vec::new();
    for tunnel in opening {
        tunnels.push(tunnel.await.unwrap());
    }
    for tunnel in &mut tunnels {
        assert_eq!(tunnel.ask("GET /hello HTTP/1.1\r\nHost: o\r\n\r\n").await.status(), 200);
    }
    assert_eq!(office.proxy.record().open_tunnels(), 200);
    drop(tunnels);
    let record = office.proxy.record();
    until("the tunnels of clients that left", || record.open_tunnels() == 0).await;
    assert_eq!(office.relay.records(200).await.len(), 200);
    assert_eq!(office.logons().rejected, 0);
}

#[tokio::test]
async fn a_client_that_is_slow_keeps_nobody_waiting() {
    let upstream = Upstream::start(|heard| match heard.head.line().contains("slow") {
        true => Say::Silence,
        false => Say::welcome(heard),
    })
    .await;
    let relay = Relay::before(upstream.addr).start();
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut client = relay.client().await;
        client.send("GET http://slow.test/ HTTP/1.1\r\nHost: slow.test\r\n\r\n").await;
        let mut half = relay.client().await;
        half.send("GET http://half").await;
        slow.push((client, half));
    }
    for _ in 0..20 {
        assert_eq!(relay.client().await.ask("GET http://h.test/ HTTP/1.1\r\nHost: h\r\n\r\n").await.text(), "thanks");
    }
}
