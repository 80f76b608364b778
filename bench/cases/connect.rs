//! CONNECT: how many a second, and how long one takes from the client's own connect to the answer.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::compare::{Bench, measured};
use crate::load::{self, Window};
use crate::pattern;
use crate::relays::{Kind, Relay, Wish};
use crate::results::{Measured, Unit};
use crate::upstream::Auth;

const CLIENTS: [usize; 3] = [1, 16, 256];
/// One in so many tunnels carries bytes, which must come back right.
const CHECKED: usize = 8;

pub fn ntlm(bench: &Bench) -> Result<()> {
    run(bench, "connect-ntlm", Auth::Ntlm, &[Kind::Hallpass, Kind::Cntlm, Kind::Px], &CLIENTS)
}

pub fn no_auth(bench: &Bench) -> Result<()> {
    let kinds = [Kind::Hallpass, Kind::Px, Kind::Haproxy, Kind::Squid, Kind::Tinyproxy, Kind::Straight];
    run(bench, "connect-no-auth", Auth::None, &kinds, &CLIENTS)
}

fn run(bench: &Bench, case: &str, auth: Auth, kinds: &[Kind], clients: &[usize]) -> Result<()> {
    let relays = bench.start(case, kinds, &Wish::new(auth, bench.upstream.addresses));
    let window = bench.window(Duration::from_millis(200), Duration::from_millis(700));
    for clients in clients {
        bench.alternate(case, &relays, |relay| bench.block_on(connects(relay, *clients, window)));
    }
    Ok(())
}

async fn connects(relay: &Relay, clients: usize, window: Window) -> Result<Vec<Measured>> {
    let address = relay.address;
    // What a first request costs is another case.
    load::echo(&mut load::tunnel(address, "echo.bench").await?, b"awake").await?;
    let before = relay.cpu();
    let loops = load::repeat(clients, window, async move |number: usize, done: &mut usize| {
        let begun = Instant::now();
        let mut tunnel = load::tunnel(address, "echo.bench").await?;
        let took = begun.elapsed();
        if (number + *done).is_multiple_of(CHECKED) {
            load::echo(&mut tunnel, pattern::at(*done as u64, 64)).await?;
        }
        *done += 1;
        Ok(took)
    })
    .await;
    let used = relay.cpu().saturating_sub(before);
    ensure!(loops.failures.is_empty(), "{} failed, the first: {}", loops.failures.len(), loops.failures[0]);
    let share = window.length.as_secs_f64() / (window.warm + window.length).as_secs_f64();
    let each = used.as_secs_f64() * share / (loops.latencies.len() as f64).max(1.0);
    let mut figures = vec![
        measured(format!("{clients} clients"), Unit::PerSecond, loops.per_second()),
        measured(format!("{clients} clients, p50"), Unit::Milliseconds, loops.percentile(0.5)),
        measured(format!("{clients} clients, p99"), Unit::Milliseconds, loops.percentile(0.99)),
    ];
    if relay.kind != Kind::Straight {
        figures.push(measured(format!("{clients} clients, each"), Unit::CpuMicroseconds, each * 1e6));
    }
    Ok(figures)
}
