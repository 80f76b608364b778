//! Tunnels through which nothing goes: what each holds of memory and descriptors, and whether they cost time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::time::sleep;

use crate::compare::{Bench, measured};
use crate::crowd::{self, Crowd};
use crate::process;
use crate::relays::{Kind, Relay, Wish};
use crate::results::{Measured, Unit};
use crate::upstream::Auth;

const CASE: &str = "idle";
const TUNNELS: usize = 1000;
const TUNNELS_SHORT: usize = 30;
/// By then a relay has made what it makes once, and has as many connections in reserve as it keeps.
const FIRST: usize = 64;
const KINDS: [Kind; 6] = [Kind::Hallpass, Kind::Cntlm, Kind::Px, Kind::Haproxy, Kind::Squid, Kind::Tinyproxy];

/// Each is started for itself and measured once: what a relay once had it may keep, so a second round would find it
/// larger to begin with.
pub fn run(bench: &Bench) -> Result<()> {
    // Who can log on does; the others meet an upstream that does not ask.
    let wish = Wish::new(Auth::Ntlm, bench.upstream.addresses);
    let room = crowd::room_for(if bench.options.short { TUNNELS_SHORT } else { TUNNELS });
    let watched = bench.window(Duration::ZERO, Duration::from_secs(2)).length;
    for contender in bench.contenders(&KINDS) {
        let count = room.min(crowd::most(contender.kind) - FIRST);
        let outcome = Relay::start(contender, &wish).and_then(|relay| bench.block_on(measure(&relay, count, watched)));
        bench.note_all(CASE, &contender.name, outcome);
    }
    Ok(())
}

async fn measure(relay: &Relay, count: usize, watched: Duration) -> Result<Vec<Measured>> {
    let pid = relay.pid().context("no process")?;
    let mut crowd = Crowd::of(relay);
    crowd.grow(FIRST).await?;
    crowd::rest(relay).await;
    let (memory, descriptors) = (process::memory(pid)?, process::descriptors(pid)?);
    crowd.grow(FIRST + count).await?;
    crowd::rest(relay).await;
    let memory = process::memory(pid)? - memory;
    let descriptors = process::descriptors(pid)? - descriptors;
    let (ran, begun) = (process::run_time(pid)?, Instant::now());
    sleep(watched).await;
    let ran = process::run_time(pid)?.saturating_sub(ran).as_secs_f64() / begun.elapsed().as_secs_f64();
    crowd.all_work().await?;
    Ok(vec![
        measured("memory of a tunnel", Unit::Kib, memory / count as f64),
        measured("descriptors of a tunnel", Unit::Count, descriptors as f64 / count as f64),
        measured("all at rest", Unit::CpuPercent, ran * 100.0),
        measured("tunnels", Unit::Count, count as f64),
    ])
}
