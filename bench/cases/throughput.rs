//! Bytes through tunnels: how many a second, and what they cost the relay in processor time.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::ValueEnum;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::compare::{Bench, measured};
use crate::load::{self, Window};
use crate::pattern::{self, CHUNK, Check};
use crate::relays::{Kind, Relay, Wish};
use crate::results::{Measured, Unit};
use crate::upstream::{Auth, STRIDE};

const STREAMS: [usize; 2] = [1, 8];
/// The length of what ends a download.
const SUM: usize = 8;
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

pub fn download(bench: &Bench) -> Result<()> {
    run(bench, "download", async |relay, flow| down(relay, flow).await)
}

pub fn upload(bench: &Bench) -> Result<()> {
    run(bench, "upload", async |relay, flow| up(relay, flow).await)
}

fn run<F>(bench: &Bench, case: &str, stream: F) -> Result<()>
where
    F: AsyncFn(SocketAddr, Flow) -> Result<()> + Copy + 'static,
{
    // Who can log on does; the others meet an upstream that does not ask.
    let relays = bench.start(case, Kind::value_variants(), &Wish::new(Auth::Ntlm, bench.upstream.addresses));
    let window = bench.window(Duration::from_millis(200), Duration::from_millis(700));
    for streams in STREAMS {
        bench.alternate(case, &relays, |relay| {
            bench.block_on(async {
                let (address, flow) = (relay.address, Flow::default());
                let begin = || {
                    let flow = flow.clone();
                    tokio::task::spawn_local(async move { stream(address, flow).await })
                };
                let tasks = (0..streams).map(|_| begin()).collect();
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
    while flow.checked.get() == bytes && begun.elapsed() < load::PATIENCE {
        sleep(Duration::from_millis(1)).await;
    }
    let (took, cpu, bytes) = (begun.elapsed(), relay.cpu().saturating_sub(cpu), flow.checked.get() - bytes);
    flow.stop.set(true);
    for task in tasks {
        timeout(load::PATIENCE, task).await.context("a stream does not end")???;
    }
    ensure!(bytes > 0, "no byte came within {} ms", took.as_millis());
    let gib = bytes as f64 / GIB;
    let name = if streams == 1 { "1 stream".to_owned() } else { format!("{streams} streams") };
    let mut figures = vec![measured(name.clone(), Unit::GibPerSecond, gib / took.as_secs_f64())];
    if relay.kind != Kind::Straight {
        figures.push(measured(name, Unit::CpuPerGib, cpu.as_secs_f64() / gib));
    }
    Ok(figures)
}

/// Whether the eight bytes at the end of what is not yet checked say how much came before them.
fn is_end(check: &Check, rest: &[u8]) -> bool {
    rest.split_last_chunk::<SUM>()
        .is_some_and(|(rest, sum)| check.position + rest.len() as u64 == u64::from_le_bytes(*sum))
}

/// Reads and checks until it is to stop, then asks for the end and compares how much was sent with what came.
async fn down(relay: SocketAddr, flow: Flow) -> Result<()> {
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

/// Sends whole strides until it is to stop, while the other side says what came and was right.
async fn up(relay: SocketAddr, flow: Flow) -> Result<()> {
    let tunnel = load::tunnel(relay, "up.bench").await?;
    flow.open.set(flow.open.get() + 1);
    let (mut from, mut to) = tunnel.stream.into_split();
    let sent = Cell::new(None);
    let send = async {
        let mut position = 0_u64;
        while !position.is_multiple_of(STRIDE) || !flow.stop.get() {
            let left = usize::try_from(STRIDE - position % STRIDE)?;
            position += to.write(pattern::at(position, left.min(CHUNK))).await? as u64;
        }
        sent.set(Some(position));
        anyhow::Ok(())
    };
    let confirm = async {
        let mut confirmed = 0;
        while sent.get() != Some(confirmed) {
            confirmed += STRIDE;
            let said = from.read_u64_le().await.context("ended before all was confirmed")?;
            ensure!(said == confirmed, "{said} bytes were right, not {confirmed}");
            flow.checked.set(flow.checked.get() + STRIDE);
        }
        Ok(())
    };
    tokio::try_join!(send, confirm).map(|_| ())
}
