//! Bytes through tunnels: how many a second, and what they cost the relay in processor time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::compare::{Bench, measured};
use crate::load::{self, Window};
use crate::pattern::{CHUNK, Check};
use crate::relays::{Kind, Relay, Wish};
use crate::results::{Measured, Unit};
use crate::upstream::Auth;

const STREAMS: [usize; 2] = [1, 8];
/// The length of what ends a download.
const SUM: usize = 8;
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
const KINDS: [Kind; 8] = [
    Kind::Hallpass,
    Kind::Cntlm,
    Kind::Px,
    Kind::Haproxy,
    Kind::HaproxySplice,
    Kind::Squid,
    Kind::Tinyproxy,
    Kind::Straight,
];

pub fn download(bench: &Bench) -> Result<()> {
    let case = "download";
    // Who can log on does; the others meet an upstream that does not ask.
    let relays = bench.start(case, &KINDS, &Wish::new(Auth::Ntlm, bench.upstream.addresses));
    let window = bench.window(Duration::from_millis(250), Duration::from_millis(1000));
    for streams in STREAMS {
        bench.alternate(case, &relays, |relay| {
            bench.block_on(async {
                let flow = Flow::default();
                let tasks = (0..streams).map(|_| tokio::task::spawn_local(down(relay.address, flow.clone()))).collect();
                watch(relay, streams, window, &flow, tasks).await
            })
        });
    }
    Ok(())
}

/// Why a stream ended that should not have.
async fn first_fault(tasks: Vec<JoinHandle<Result<()>>>) -> anyhow::Error {
    for task in tasks.into_iter().filter(JoinHandle::is_finished) {
        if let Ok(Err(error)) = task.await {
            return error;
        }
    }
    anyhow!("without an error")
}

/// What the streams of one measurement share.
#[derive(Clone, Default)]
struct Flow {
    open: Rc<Cell<usize>>,
    checked: Rc<Cell<u64>>,
    stop: Rc<Cell<bool>>,
}

/// Looks at the bytes and at the relay's processor time at both ends of the window, then has all streams end.
async fn watch(
    relay: &Relay,
    streams: usize,
    window: Window,
    flow: &Flow,
    tasks: Vec<JoinHandle<Result<()>>>,
) -> Result<Vec<Measured>> {
    while flow.open.get() < streams {
        ensure!(!tasks.iter().any(JoinHandle::is_finished), "a stream ended early: {:#}", first_fault(tasks).await);
        sleep(Duration::from_millis(1)).await;
    }
    sleep(window.warm).await;
    let (begun, cpu, bytes) = (Instant::now(), relay.cpu(), flow.checked.get());
    sleep(window.length).await;
    let (took, cpu, bytes) = (begun.elapsed(), relay.cpu().saturating_sub(cpu), flow.checked.get() - bytes);
    flow.stop.set(true);
    for task in tasks {
        timeout(load::PATIENCE, task).await.context("a stream does not end")???;
    }
    ensure!(bytes > 0, "no byte came within {} ms", took.as_millis());
    let gib = bytes as f64 / GIB;
    let mut figures = vec![measured(format!("{streams} streams"), Unit::GibPerSecond, gib / took.as_secs_f64())];
    if relay.kind != Kind::Straight {
        figures.push(measured(format!("{streams} streams"), Unit::CpuPerGib, cpu.as_secs_f64() / gib));
    }
    Ok(figures)
}

/// Whether the eight bytes at the end of what is not yet checked say how much came before them.
fn is_end(check: &Check, rest: &[u8]) -> bool {
    rest.split_last_chunk::<SUM>()
        .is_some_and(|(rest, sum)| check.position + rest.len() as u64 == u64::from_le_bytes(*sum))
}

/// Reads and checks until it is to stop, then asks for the end and compares how much was sent with what came.
async fn down(relay: std::net::SocketAddr, flow: Flow) -> Result<()> {
    let mut tunnel = load::tunnel(relay, "down.bench").await?;
    flow.open.set(flow.open.get() + 1);
    let mut check = Check::default();
    check.take(&tunnel.read.split())?;
    let mut buffer = vec![0; CHUNK];
    while !flow.stop.get() {
        let length = tunnel.stream.read(&mut buffer).await?;
        ensure!(length > 0, "ended early");
        check.take(&buffer[..length])?;
        flow.checked.set(flow.checked.get() + length as u64);
    }
    tunnel.stream.write_all(b"s").await?;
    let mut rest = Vec::new();
    while !is_end(&check, &rest) {
        ensure!(tunnel.stream.read_buf(&mut rest).await? > 0, "ended before the sum, or bytes are missing");
    }
    check.take(&rest[..rest.len() - SUM])
}
