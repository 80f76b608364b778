//! Ten thousand tunnels, one in a hundred in use: the memory of all, and what a new client notices of them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use crate::compare::{Bench, measured};
use crate::crowd::{self, Crowd};
use crate::load::{self, Loops, Window};
use crate::process;
use crate::relays::{Kind, Relay, Wish};
use crate::results::{Measured, Unit};
use crate::upstream::Auth;

const CASE: &str = "many";
const TUNNELS: usize = 10_000;
const TUNNELS_SHORT: usize = 100;
const SHORTEST: Duration = Duration::from_millis(300);
const ONE_IN: usize = 100;
const EVERY: Duration = Duration::from_millis(100);
/// New clients that come one after the other, each so long after the last: as fast as they can, they would measure how the
/// kernel looks for a port among those that have just been used.
const CLIENTS: usize = 4;
const PAUSE: Duration = Duration::from_millis(10);
/// One hiccup of the machine is a percentile of its own.
const SAMPLES: usize = 3;
/// What others do with these many is to give up.
const KINDS: [Kind; 2] = [Kind::Hallpass, Kind::Haproxy];
/// For the new clients beside the tunnels.
pub const KEYS: &str = "max_clients = 12000\n";

pub fn run(bench: &Bench) -> Result<()> {
    let mut wish = Wish::new(Auth::Ntlm, bench.upstream.addresses);
    wish.keys = KEYS.into();
    let count = crowd::room_for(if bench.options.short { TUNNELS_SHORT } else { TUNNELS });
    let mut window = bench.window(Duration::from_millis(200), Duration::from_millis(1500));
    // A percentile of nothing is nothing.
    window.length = window.length.max(SHORTEST);
    for contender in bench.contenders(&KINDS) {
        let outcome = Relay::start(contender, &wish).and_then(|relay| bench.block_on(measure(&relay, count, window)));
        bench.note_all(CASE, &contender.name, outcome);
    }
    Ok(())
}

async fn measure(relay: &Relay, count: usize, window: Window) -> Result<Vec<Measured>> {
    let pid = relay.pid().context("no process")?;
    let mut crowd = Crowd::of(relay);
    let mut figures = connects(relay, window, "CONNECT without them").await?;
    crowd.grow(count).await?;
    crowd::rest(relay).await;
    let talk = crowd.talk(ONE_IN, EVERY);
    figures.extend(connects(relay, window, "CONNECT").await?);
    let memory = process::memory(pid)?;
    talk.end(&mut crowd).await?;
    crowd.all_work().await?;
    figures.extend([
        measured("tunnels", Unit::Count, count as f64),
        measured("memory of all", Unit::Mib, memory / 1024.0),
    ]);
    Ok(figures)
}

/// Samples of what a new client notices.
async fn connects(relay: &Relay, window: Window, name: &str) -> Result<Vec<Measured>> {
    let mut figures = Vec::new();
    for _ in 0..SAMPLES {
        let loops = connects_once(relay, window).await?;
        figures.extend([
            measured(format!("{name}, p50"), Unit::Milliseconds, loops.percentile(0.5)),
            measured(format!("{name}, p99"), Unit::Milliseconds, loops.percentile(0.99)),
        ]);
    }
    Ok(figures)
}

async fn connects_once(relay: &Relay, window: Window) -> Result<Loops> {
    let address = relay.address;
    let loops = load::repeat(CLIENTS, window, async move |_: usize, (): &mut ()| {
        sleep(PAUSE).await;
        let begun = Instant::now();
        load::tunnel(address, "echo.bench").await?;
        Ok(begun.elapsed())
    })
    .await;
    ensure!(loops.failures.is_empty(), "{} failed, the first: {}", loops.failures.len(), loops.failures[0]);
    Ok(loops)
}
