//! The clients: what each case's load is made of. All run on one thread, and count only what was checked.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::compare::measured;
use crate::head::Connection;
use crate::relays::{Kind, Relay};
use crate::results::{Measured, Unit};

/// What no relay needs even for its worst answer; longer is stuck.
pub const PATIENCE: Duration = Duration::from_secs(8);
/// So many failures in one measurement, and the relay is not up to it.
const FAILURES: usize = 20;

/// A connection to the relay on which nothing was sent yet.
pub async fn client(relay: SocketAddr) -> Result<Connection> {
    Connection::new(TcpStream::connect(relay).await.context("no connection to the relay")?)
}

/// A tunnel to a host of the played origin; nothing that came behind the head is lost.
pub async fn tunnel(relay: SocketAddr, host: &str) -> Result<Connection> {
    let mut connection = client(relay).await?;
    let request = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n");
    connection.stream.write_all(request.as_bytes()).await?;
    let head = connection.head().await?.context("closed instead of an answer to CONNECT")?;
    ensure!(head.status() == 200, "CONNECT was answered {}", head.line());
    Ok(connection)
}

/// Sends so many bytes into an echo's tunnel and compares what returns.
pub async fn echo(connection: &mut Connection, bytes: &[u8]) -> Result<()> {
    connection.stream.write_all(bytes).await?;
    let back = connection.body(bytes.len()).await?;
    ensure!(back == bytes, "the tunnel changed bytes");
    Ok(())
}

/// When a measurement counts: what ends before is warming up, what ends later is not waited for.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub warm: Duration,
    pub length: Duration,
}

/// What many clients did.
#[derive(Default)]
pub struct Loops {
    pub latencies: Vec<Duration>,
    pub failures: Vec<String>,
    pub took: Duration,
}

impl Loops {
    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }

    /// In milliseconds; `share` is 0.5 for the median.
    pub fn percentile(&self, share: f64) -> f64 {
        percentile(&self.latencies, share)
    }

    /// How many a second, and how long one takes; `each` is what one costs the relay. Nothing may have failed.
    pub fn figures(&self, clients: usize, each: Option<f64>) -> Result<Vec<Measured>> {
        let (failed, done) = (self.failures.len(), self.latencies.len());
        if let Some(first) = self.failures.first() {
            bail!("with {clients} clients {failed} failed and {done} did not, the first: {first}");
        }
        ensure!(done > 0, "with {clients} clients none was done in time");
        let name = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
        let mut figures = vec![
            measured(name.clone(), Unit::PerSecond, self.per_second()),
            measured(format!("{name}, p50"), Unit::Milliseconds, self.percentile(0.5)),
            measured(format!("{name}, p99"), Unit::Milliseconds, self.percentile(0.99)),
        ];
        figures.extend(each.map(|each| measured(format!("{name}, each"), Unit::CpuMicroseconds, each)));
        Ok(figures)
    }
}

/// In milliseconds; `share` is 0.5 for the median.
pub fn percentile(sample: &[Duration], share: f64) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_unstable();
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
}

/// The processor time that the relay uses for what is measured.
pub struct Meter {
    before: Duration,
    begun: Instant,
}

impl Meter {
    pub fn start(relay: &Relay) -> Self {
        Self { before: relay.cpu(), begun: Instant::now() }
    }

    /// Microseconds for each that counted, the warming up taken as just as dear; nothing without a relay.
    pub fn each(&self, relay: &Relay, loops: &Loops) -> Option<f64> {
        let used = relay.cpu().saturating_sub(self.before).as_secs_f64();
        let share = loops.took.as_secs_f64() / self.begun.elapsed().as_secs_f64().max(f64::EPSILON);
        let count = loops.latencies.len() as f64;
        (relay.kind != Kind::Straight && count > 0.0).then(|| used * share / count * 1e6)
    }
}

/// So many clients do `step` again and again, each at once after the last. `step` has the client's number and what it
/// keeps between steps; it says how long that took which counts.
pub async fn repeat<S, F>(clients: usize, window: Window, step: F) -> Loops
where
    S: Default + 'static,
    F: AsyncFn(usize, &mut S) -> Result<Duration> + 'static,
{
    let counted = Rc::new(RefCell::new(Loops::default()));
    let failed = Rc::new(Cell::new(0_usize));
    let step = Rc::new(step);
    let begin = Instant::now() + window.warm;
    let end = begin + window.length;
    let tasks: Vec<_> = (0..clients)
        .map(|number| {
            let (counted, failed, step) = (Rc::clone(&counted), Rc::clone(&failed), Rc::clone(&step));
            tokio::task::spawn_local(async move {
                let mut state = S::default();
                // However short the window: one must be done.
                while (Instant::now() < end || counted.borrow().latencies.is_empty()) && failed.get() < FAILURES {
                    let outcome = timeout(PATIENCE, step(number, &mut state)).await.context("no end of it");
                    let now = Instant::now();
                    match outcome.and_then(|outcome| outcome) {
                        Ok(latency) if now >= begin && (now < end || counted.borrow().latencies.is_empty()) => {
                            counted.borrow_mut().latencies.push(latency)
                        }
                        Ok(_) => {}
                        Err(error) => {
                            failed.set(failed.get() + 1);
                            counted.borrow_mut().failures.push(format!("{error:#}"));
                            state = S::default();
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        let _ = task.await;
    }
    let mut loops = counted.take();
    loops.took = if loops.latencies.len() > 1 { window.length } else { begin.elapsed() };
    loops
}
