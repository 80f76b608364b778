//! Plain requests in absolute form, one behind the other on a kept connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;

use crate::compare::Bench;
use crate::head::Connection;
use crate::load::{self, Window};
use crate::pattern;
use crate::relays::{Kind, Relay, Wish};
use crate::results::Measured;
use crate::upstream::{Auth, SMALL};

/// All but the second HAProxy: splicing small messages is no different.
const KINDS: [Kind; 7] =
    [Kind::Hallpass, Kind::Cntlm, Kind::Px, Kind::Haproxy, Kind::Squid, Kind::Tinyproxy, Kind::Straight];

pub fn get(bench: &Bench) -> Result<()> {
    let request = b"GET http://get.bench/small HTTP/1.1\r\nHost: get.bench\r\nAccept: */*\r\n\r\n";
    run(bench, "get", &[1, 16], request)
}

pub fn post(bench: &Bench) -> Result<()> {
    let head = format!(
        "POST http://post.bench/small HTTP/1.1\r\nHost: post.bench\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {SMALL}\r\n\r\n"
    );
    run(bench, "post", &[16], &[head.as_bytes(), pattern::at(0, SMALL)].concat())
}

/// Who can log on to NTLM does. In TCP mode and without a relay the connection counts as logged on already: the upstream
/// does not ask. Squid and tinyproxy, which know no NTLM, have such an upstream too.
fn run(bench: &Bench, case: &str, clients: &[usize], request: &[u8]) -> Result<()> {
    let relays = bench.start(case, &KINDS, &Wish::new(Auth::Ntlm, bench.upstream.addresses));
    let window = bench.window(Duration::from_millis(150), Duration::from_millis(600));
    for clients in clients {
        bench.alternate(case, &relays, |relay| bench.block_on(requests(relay, *clients, window, request)));
    }
    Ok(())
}

async fn requests(relay: &Relay, clients: usize, window: Window, request: &[u8]) -> Result<Vec<Measured>> {
    let (address, request) = (relay.address, request.to_vec());
    ask(address, &mut None, &request).await?;
    let meter = load::Meter::start(relay);
    let loops = load::repeat(clients, window, async move |_, kept: &mut Option<Connection>| {
        let begun = Instant::now();
        ask(address, kept, &request).await?;
        Ok(begun.elapsed())
    })
    .await;
    loops.figures(clients, meter.each(relay, &loops))
}

/// One request on the kept connection, or on a new one where the relay has not kept it.
async fn ask(relay: SocketAddr, kept: &mut Option<Connection>, request: &[u8]) -> Result<()> {
    let answered = match kept.take() {
        // A relay may close without having said so; any client then asks once more.
        Some(connection) => exchange(connection, request).await?,
        None => None,
    };
    *kept = match answered {
        Some(connection) => connection,
        None => exchange(load::client(relay).await?, request).await?.context("closed instead of an answer")?,
    };
    Ok(())
}

/// `None` if there was no answer, else the connection if it may be used again.
async fn exchange(mut connection: Connection, request: &[u8]) -> Result<Option<Option<Connection>>> {
    let head = match connection.stream.write_all(request).await {
        Ok(()) => connection.head().await.unwrap_or(None),
        Err(_) => None,
    };
    let Some(head) = head else { return Ok(None) };
    ensure!(head.status() == 200, "answered {}", head.line());
    let body = connection.body_of(&head).await?;
    ensure!(body == pattern::at(0, SMALL), "the body has changed");
    let closes = head.has("connection", "close") || head.line().starts_with("HTTP/1.0");
    Ok(Some((!closes).then_some(connection)))
}
