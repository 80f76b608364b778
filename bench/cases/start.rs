//! What a relay is before it does anything: how long until it answers, its memory, its threads, its program.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::compare::{Bench, measured};
use crate::crowd;
use crate::load;
use crate::process;
use crate::relays::{Contender, Kind, Relay, Wish};
use crate::results::{Measured, Unit};
use crate::upstream::Auth;

const CASE: &str = "start";
const ROUNDS: usize = 3;
/// After so many requests it has made what it makes when it is first used.
const USED: usize = 100;
const USED_SHORT: usize = 5;
const KINDS: [Kind; 6] = [Kind::Hallpass, Kind::Cntlm, Kind::Px, Kind::Haproxy, Kind::Squid, Kind::Tinyproxy];

pub fn run(bench: &Bench) -> Result<()> {
    let wish = Wish::new(Auth::Ntlm, bench.upstream.addresses);
    for round in 0..if bench.options.short { 1 } else { ROUNDS } {
        for contender in bench.contenders(&KINDS) {
            // An interpreter takes long, and always the same.
            if contender.kind == Kind::Px && round > 1 {
                continue;
            }
            bench.note_all(CASE, &contender.name, started(bench, contender, &wish));
        }
    }
    for contender in bench.contenders(&KINDS).filter(|contender| is_program(&contender.program)) {
        let length = fs::metadata(&contender.program)?.len() as f64;
        bench.note(CASE, &contender.name, measured("program", Unit::Mib, length / 1024.0 / 1024.0));
    }
    Ok(())
}

fn started(bench: &Bench, contender: &Contender, wish: &Wish) -> Result<Vec<Measured>> {
    let asked_nothing = Wish { auth: Auth::None, ..wish.clone() };
    let without_login = until_answer(bench, &Relay::start(contender, &asked_nothing)?)?;
    let before_any = bench.block_on(memory_at_rest(&Relay::start(contender, wish)?))?;
    let relay = Relay::start(contender, wish)?;
    let with_login = until_answer(bench, &relay)?;
    let requests = if bench.options.short { USED_SHORT } else { USED };
    bench.block_on(async {
        for _ in 1..requests {
            load::tunnel(relay.address, "echo.bench").await?;
        }
        let used = memory_at_rest(&relay).await?;
        let threads = relay.pid().map_or(0, process::threads);
        Ok(vec![
            measured("until the first answer", Unit::Milliseconds, with_login),
            measured("until the first answer, no log-in", Unit::Milliseconds, without_login),
            measured("until it listens", Unit::Milliseconds, relay.started_in.as_secs_f64() * 1e3),
            measured("memory", Unit::Mib, before_any),
            measured(format!("memory after {requests} requests"), Unit::Mib, used),
            measured("threads", Unit::Count, threads as f64),
        ])
    })
}

/// From the start of the process, in milliseconds.
fn until_answer(bench: &Bench, relay: &Relay) -> Result<f64> {
    let begun = Instant::now();
    bench.block_on(load::tunnel(relay.address, "echo.bench"))?;
    Ok((relay.started_in + begun.elapsed()).as_secs_f64() * 1e3)
}

/// In MiB.
async fn memory_at_rest(relay: &Relay) -> Result<f64> {
    crowd::rest(relay).await;
    Ok(process::memory(relay.pid().context("no process")?)? / 1024.0)
}

/// A script is not what is loaded.
fn is_program(file: &Path) -> bool {
    fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"))
}
