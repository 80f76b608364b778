//! Server-sent events, a thousand a second: how long after it was sent each arrives.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::clock;
use crate::compare::{Bench, measured};
use crate::head::Connection;
use crate::load::{self, Window, percentile};
use crate::relays::{Kind, Relay, Wish};
use crate::results::{Measured, Unit};
use crate::upstream::{Auth, EVENT, sent};

const KINDS: [Kind; 6] = [Kind::Hallpass, Kind::Cntlm, Kind::Px, Kind::Haproxy, Kind::HaproxySplice, Kind::Straight];

pub fn run(bench: &Bench) -> Result<()> {
    let case = "sse";
    let relays = bench.start(case, &KINDS, &Wish::new(Auth::Ntlm, bench.upstream.addresses));
    let window = bench.window(Duration::from_millis(150), Duration::from_millis(1000));
    bench.alternate(case, &relays, |relay| {
        bench.block_on(async { events(relay, "tunnel", window, load::tunnel(relay.address, "sse.bench").await?).await })
    });
    bench.alternate(case, &relays, |relay| {
        bench.block_on(async { events(relay, "forward", window, forward(relay).await?).await })
    });
    Ok(())
}

async fn forward(relay: &Relay) -> Result<Connection> {
    let mut connection = load::client(relay.address).await?;
    let request = b"GET http://sse.bench/ HTTP/1.1\r\nHost: sse.bench\r\nAccept: text/event-stream\r\n\r\n";
    connection.stream.write_all(request).await?;
    let head = connection.head().await?.context("closed instead of an answer")?;
    ensure!(head.status() == 200, "answered {}", head.line());
    Ok(connection)
}

async fn events(relay: &Relay, way: &str, window: Window, mut connection: Connection) -> Result<Vec<Measured>> {
    let begin = Instant::now() + window.warm;
    let mut before = None;
    let mut late = Vec::new();
    let mut last = Duration::ZERO;
    while begin.elapsed() < window.length {
        let read = timeout(load::PATIENCE, connection.stream.read_buf(&mut connection.read)).await;
        ensure!(read.context("no event comes")?? > 0, "ended early");
        let now = clock::now();
        let counts = Instant::now() >= begin;
        if counts && before.is_none() {
            before = Some(relay.cpu());
        }
        while let Some(sent) = next(&mut connection)? {
            ensure!(sent > last, "an event came twice or out of turn");
            last = sent;
            if counts {
                late.push(now.saturating_sub(sent));
            }
        }
    }
    let used = relay.cpu().saturating_sub(before.unwrap_or_default());
    ensure!(!late.is_empty(), "no event came");
    let mut figures = vec![
        measured(format!("{way}, p50"), Unit::Milliseconds, percentile(&late, 0.5)),
        measured(format!("{way}, p99"), Unit::Milliseconds, percentile(&late, 0.99)),
    ];
    if relay.kind != Kind::Straight {
        let share = used.as_secs_f64() / window.length.as_secs_f64();
        figures.push(measured(way, Unit::CpuPercent, share * 100.0));
    }
    Ok(figures)
}

/// When the next event that is there as a whole was sent. What frames it (chunks, in a forward) is left aside.
fn next(connection: &mut Connection) -> Result<Option<Duration>> {
    let read = &connection.read;
    let Some(at) = read.windows(6).position(|window| window == b"data: ") else { return Ok(None) };
    if read.len() < at + EVENT {
        return Ok(None);
    }
    let event = connection.read.split_to(at + EVENT).split_off(at);
    sent(&event).map(Some)
}
