//! Everything at once and for long: tunnels, pages, posts, events, silence, clients that leave and that are wrong, reloads, and
//! an upstream that closes, resets, hangs and is restarted.
//!
//! The relay is a process of its own; its memory and descriptors are printed while it runs. At the end: not one wrong byte, not
//! one failure that no fault explains, as much memory and as many descriptors as at the beginning.
//!
//! ```text
//! cargo test --test soak -- --ignored --nocapture                              five minutes
//! HALLPASS_SOAK_SECONDS=3600 cargo test --test soak -- --ignored --nocapture   an hour
//! HALLPASS_SOAK_SEED=…                                                         the same choices again
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says by failing what went wrong")]
#![allow(clippy::print_stdout, reason = "whoever waits for hours wants to see how it goes")]

mod random;
mod relay;
mod stage;
mod strikes;
mod talk;
mod tally;
mod wire;
mod work;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use random::Random;
use relay::{Relay, Sample};
use stage::Stage;
use strikes::Strikes;
use talk::{Outcome, failed};
use tally::Tally;
use wire::Wire;
use work::{KINDS, Place};

const BUSY: u64 = 24;
const QUIET: u64 = 12;
/// The numbers of workers that mostly wait begin here.
pub const SILENT: u64 = 1000;

/// No piece of work takes as long.
const PATIENCE: Duration = Duration::from_secs(90);

/// Idle connections to upstreams are let go within this.
const SETTLED: Duration = Duration::from_secs(100);

#[test]
fn a_few_seconds_of_everything_at_once() {
    soak(Duration::from_secs(6));
}

#[test]
#[ignore = "takes five minutes, or HALLPASS_SOAK_SECONDS"]
fn as_long_as_is_asked_for() {
    let seconds = std::env::var("HALLPASS_SOAK_SECONDS").map_or(300, |text| text.parse().expect("a number of seconds"));
    soak(Duration::from_secs(seconds));
}

fn soak(length: Duration) {
    let seed = std::env::var("HALLPASS_SOAK_SEED").map_or_else(|_| clock(), |text| text.parse().expect("a number"));
    println!("soak of {length:?}, HALLPASS_SOAK_SEED={seed}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(length, seed));
    runtime.shutdown_background();
}

fn clock() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |since| since.as_secs())
}

/// What all workers share.
struct Soak {
    seed: u64,
    begun: Instant,
    ends: Instant,
    strikes: Arc<Strikes>,
    tally: Tally,
}

async fn run(length: Duration, seed: u64) {
    let strikes = Arc::new(Strikes::default());
    let mut stage = Stage::build().await;
    let wire = Wire::lay(stage.proxy.clone(), strikes.clone(), seed).await;
    let relay = Relay::start(wire.addr);
    // The password is good, and the upstream has said so, before anything goes wrong.
    let calm = Place { relay: relay.addr, worker: 0 }.work("kept", &mut Random::new(seed, 0)).await;
    assert!(calm.is_ok(), "{calm:?}");
    let before = relay.sample();
    wire.armed.store(true, Ordering::Relaxed);

    let begun = Instant::now();
    let soak = Arc::new(Soak { seed, begun, ends: begun + length, strikes: strikes.clone(), tally: Tally::default() });
    let mut workers = JoinSet::new();
    for worker in (1..=BUSY).chain(SILENT..SILENT + QUIET) {
        workers.spawn(toil(soak.clone(), Place { relay: relay.addr, worker }, length));
    }
    let (samples, reloads) = watch(&soak, &relay, &wire, &mut stage, length).await;
    let late = timeout(PATIENCE + Duration::from_secs(10), workers.join_all()).await;
    assert!(late.is_ok(), "workers hang");
    let idle = settle(&relay, before, length).await;
    println!("settled: {}", shown(idle));
    verdict(&soak, &relay, &stage, &samples, reloads, (before, idle), length);
    assert_eq!(relay.stop(), Some(0), "the relay's exit code");
}

/// One client after the other, each with one piece of work.
async fn toil(soak: Arc<Soak>, place: Place, length: Duration) {
    let mut random = Random::new(soak.seed, place.worker);
    while Instant::now() < soak.ends {
        let begun = Instant::now();
        let (kind, outcome) = if place.worker >= SILENT {
            let longest = (length / 3).min(Duration::from_secs(60));
            ("silence", within(place.silence(&mut random, longest)).await)
        } else {
            let kind = KINDS[random.between(0, KINDS.len() as u64) as usize];
            (kind, within(place.work(kind, &mut random)).await)
        };
        let explained = soak.strikes.explains(place.worker, begun);
        soak.tally.add(kind, place.worker, soak.begun.elapsed().as_secs(), outcome, explained);
        sleep(Duration::from_millis(random.between(20, 600))).await;
    }
}

async fn within(work: impl Future<Output = Outcome>) -> Outcome {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| failed("hangs"))
}

/// Prints, reloads and restarts until the time is over.
async fn watch(soak: &Soak, relay: &Relay, wire: &Wire, stage: &mut Stage, length: Duration) -> (Vec<Sample>, usize) {
    let every = if length < Duration::from_secs(60) { Duration::from_secs(1) } else { Duration::from_secs(10) };
    let restart = (length / 2).min(Duration::from_secs(70));
    let reload = Duration::from_secs(4).min(length / 3);
    let (mut samples, mut reloads) = (Vec::new(), 0);
    let (mut printed, mut restarted, mut reloaded) = (soak.begun, soak.begun, soak.begun);
    while Instant::now() < soak.ends {
        sleep(Duration::from_millis(100)).await;
        if printed.elapsed() >= every {
            printed = Instant::now();
            samples.push(relay.sample());
            let counts = soak.tally.counts();
            println!(
                "{:>5} s  {}  upstream {:>3}  done {:>6}  explained {:>4}  unexplained {}  wrong {}",
                soak.begun.elapsed().as_secs(),
                shown(relay.sample()),
                wire.open.load(Ordering::Relaxed),
                counts.total(),
                counts.explained.values().sum::<u64>(),
                counts.unexplained.len(),
                counts.wrong.len(),
            );
        }
        if reloaded.elapsed() >= reload {
            reloaded = Instant::now();
            reloads += 1;
            relay.signal("HUP");
        }
        if restarted.elapsed() >= restart {
            restarted = Instant::now();
            stage.restart(&soak.strikes).await;
        }
    }
    (samples, reloads)
}

fn shown(sample: Sample) -> String {
    format!("RSS {:>6} KiB  fds {:>4}  threads {:>3}", sample.rss_kib, sample.fds, sample.threads)
}

/// With nobody there any more. A short run does not wait for what is idle.
async fn settle(relay: &Relay, before: Sample, length: Duration) -> Sample {
    let begun = Instant::now();
    let patience = if length < Duration::from_secs(60) { Duration::from_secs(2) } else { SETTLED };
    while begun.elapsed() < patience && relay.sample().fds > before.fds {
        sleep(Duration::from_millis(200)).await;
    }
    relay.sample()
}

fn verdict(
    soak: &Soak,
    relay: &Relay,
    stage: &Stage,
    samples: &[Sample],
    reloads: usize,
    (before, idle): (Sample, Sample),
    length: Duration,
) {
    let counts = soak.tally.counts();
    println!("faults: {:?}", soak.strikes.kinds());
    println!("done: {:?}", counts.done);
    println!("failed for a fault: {:#?}", counts.explained);
    let (logons, rejected) = stage.logons();
    println!("log-ons: {logons}, refused {rejected}; reloads: {reloads}");
    let mut wrong = Vec::new();
    wrong.extend(counts.wrong.iter().map(|what| format!("wrong bytes: {what}")));
    wrong.extend(counts.unexplained.iter().map(|what| format!("unexplained: {what}")));
    wrong.extend(relay.complaints().into_iter().map(|line| format!("the relay says: {line}")));
    if rejected > 0 {
        wrong.push(format!("{rejected} log-ons were refused"));
    }
    if relay.reloads() == 0 {
        wrong.push("no reload took place".into());
    }
    for kind in KINDS.iter().copied().chain(["silence"]) {
        if length >= Duration::from_secs(60) && !counts.done.contains_key(kind) {
            wrong.push(format!("no {kind} came to its end"));
        }
    }
    // A short run has not yet come to the size that it keeps.
    if length >= Duration::from_secs(120) {
        wrong.extend(growth(samples));
        if idle.fds > before.fds + 4 {
            wrong.push(format!("{} descriptors before and {} afterwards", before.fds, idle.fds));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("verdict: no wrong byte, no unexplained failure in {} pieces of work", counts.total());
}

/// The last fifth of the time against the second.
fn growth(samples: &[Sample]) -> Option<String> {
    let fifth = samples.len() / 5;
    let (early, late) = (&samples[fifth..2 * fifth], &samples[samples.len() - fifth..]);
    let middle = |part: &[Sample], of: fn(&Sample) -> u64| {
        let mut all: Vec<u64> = part.iter().map(of).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let (rss, fds) = (|sample: &Sample| sample.rss_kib, |sample: &Sample| sample.fds);
    let (rss_then, rss_now) = (middle(early, rss), middle(late, rss));
    let (fds_then, fds_now) = (middle(early, fds), middle(late, fds));
    println!("RSS {rss_then} KiB, later {rss_now} KiB; descriptors {fds_then}, later {fds_now}");
    let grows = rss_now > rss_then + rss_then / 10 + 4096 || fds_now > fds_then + fds_then / 2 + 20;
    grows.then(|| format!("it grows: RSS {rss_then} to {rss_now} KiB, descriptors {fds_then} to {fds_now}"))
}
