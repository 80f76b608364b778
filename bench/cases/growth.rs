//! What a new request costs beside a hundred, a thousand, ten thousand tunnels: the same, if nothing is walked through.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::compare::{Bench, measured};
use crate::crowd::{self, Crowd};
use crate::load::{self, Window};
use crate::relays::{Kind, Relay, Wish};
use crate::results::{Measured, Unit};
use crate::upstream::Auth;

const CASE: &str = "growth";
const STEPS: [usize; 3] = [100, 1_000, 10_000];
const STEPS_SHORT: [usize; 3] = [5, 10, 20];
const KINDS: [Kind; 3] = [Kind::Hallpass, Kind::Cntlm, Kind::Haproxy];

pub fn run(bench: &Bench) -> Result<()> {
    let mut wish = Wish::new(Auth::Ntlm, bench.upstream.addresses);
    wish.keys = super::many::KEYS.into();
    let window = bench.window(Duration::from_millis(200), Duration::from_millis(1200));
    let steps = if bench.options.short { STEPS_SHORT } else { STEPS };
    for contender in bench.contenders(&KINDS) {
        let steps: Vec<usize> = steps.into_iter().filter(|step| *step <= crowd::most(contender.kind)).collect();
        let outcome = Relay::start(contender, &wish).and_then(|relay| {
            bench.block_on(grow(&relay, &steps, window, |figure| bench.note(CASE, &contender.name, figure)))
        });
        if let Err(error) = outcome {
            bench.failed(CASE, &contender.name, &format!("{error:#}"));
        }
    }
    Ok(())
}

async fn grow(relay: &Relay, steps: &[usize], window: Window, note: impl Fn(Measured)) -> Result<()> {
    let mut crowd = Crowd::of(relay);
    for step in steps {
        crowd.grow(crowd::room_for(*step)).await?;
        crowd::rest(relay).await;
        let address = relay.address;
        let before = relay.cpu();
        let loops = load::repeat(1, window, async move |_: usize, done: &mut u32| {
            let begun = Instant::now();
            load::tunnel(address, "echo.bench").await?;
            *done += 1;
            Ok(begun.elapsed())
        })
        .await;
        ensure!(loops.failures.is_empty(), "{} failed, the first: {}", loops.failures.len(), loops.failures[0]);
        let share = window.length.as_secs_f64() / (window.warm + window.length).as_secs_f64();
        let used = relay.cpu().saturating_sub(before).as_secs_f64() * share / (loops.latencies.len() as f64).max(1.0);
        note(measured(format!("CONNECT beside {step}"), Unit::CpuMicroseconds, used * 1e6));
        note(measured(format!("CONNECT beside {step}, p50"), Unit::Milliseconds, loops.percentile(0.5)));
    }
    crowd.all_work().await
}
