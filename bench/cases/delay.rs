//! How many times a CONNECT waits for the upstream: with answers that come late, and on a line with a round-trip time.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::compare::{Bench, eprint_line, measured};
use crate::kdc::{Kdc, SERVICE};
use crate::load;
use crate::relays::{Kind, Relay, Wish};
use crate::results::{Measured, Results, Unit};
use crate::upstream::{Addresses, Auth, Play, Upstream};

const LATE: Duration = Duration::from_millis(20);
const ROUND_TRIPS: [&str; 2] = ["20ms", "80ms"];
const LINE: &str = "delay-line";
const KINDS: [Kind; 3] = [Kind::Hallpass, Kind::Cntlm, Kind::Px];
const WARM: &str = "warm_handshakes";
/// What is learnt of an upstream is learnt by then.
const FIRST: usize = 2;
/// In one round.
const TIMES: usize = 8;
const TIMES_SHORT: usize = 2;

/// The upstream takes its time for each answer; the way to it takes none.
pub fn answers(bench: &Bench) -> Result<()> {
    let delay = u64::try_from(LATE.as_millis())?;
    let realm = Realm::of(bench, "delay-answers");
    let upstream = Upstream::start_with(&Play { delay, ..Play::default() }, &realm.before(&[]))?;
    for way in ways(bench, "delay-answers", upstream.addresses, &realm) {
        way.measure(bench, "delay-answers", |times| {
            vec![
                measured(format!("{} CONNECT, p50", way.label), Unit::Milliseconds, load::percentile(times, 0.5)),
                measured(format!("{} CONNECT, p99", way.label), Unit::Milliseconds, load::percentile(times, 0.99)),
            ]
        });
    }
    Ok(())
}

/// Every packet takes half of the round trip. The relays, their clients and this program are at the near end: it starts
/// itself once more there.
pub fn line(bench: &Bench) -> Result<()> {
    match Line::here()? {
        Some(line) => at_near_end(bench, &line),
        None => {
            let count = if bench.options.short { 1 } else { ROUND_TRIPS.len() };
            for round_trip in &ROUND_TRIPS[..count] {
                if let Err(error) = behind(bench, round_trip) {
                    bench.failed(LINE, "the line", &format!("{error:#}"));
                }
            }
            Ok(())
        }
    }
}

fn behind(bench: &Bench, round_trip: &str) -> Result<()> {
    let home = tempfile::tempdir()?;
    let file = home.path().join("results.json");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/delay_line.py");
    let mut command = Command::new("python3");
    command.arg(script).args(["--rtt", round_trip, "--"]).arg(env::current_exe()?).args(["--case", LINE, "--json"]);
    command.arg(&file).args(bench.options.again()).stdout(Stdio::null());
    let status = command.status().context("python3")?;
    let text = fs::read(&file).with_context(|| format!("nothing came back: {status}"))?;
    let results: Results = serde_json::from_slice(&text)?;
    for figure in results.figures {
        for value in figure.samples {
            bench.note(LINE, &figure.relay, measured(figure.metric.clone(), figure.unit, value));
        }
    }
    for failure in results.failures {
        bench.failed(LINE, &failure.relay, &failure.what);
    }
    Ok(())
}

fn at_near_end(bench: &Bench, line: &Line) -> Result<()> {
    let realm = Realm::of(bench, LINE);
    let before = realm.before(&["nsenter", "--net", "--target", &line.far_process]);
    let upstream = Upstream::start_with(&Play { listen: line.far.parse()?, ..Play::default() }, &before)?;
    for way in ways(bench, LINE, upstream.addresses, &realm) {
        way.measure(bench, LINE, |times| {
            let trips = load::percentile(times, 0.5) / line.round_trip_ms;
            let metric = format!("{} CONNECT, p50 in round trips of {} ms", way.label, line.round_trip_ms);
            vec![measured(metric, Unit::Count, trips)]
        });
    }
    Ok(())
}

/// What `delay_line.py` says of the line.
struct Line {
    far: String,
    far_process: String,
    round_trip_ms: f64,
}

impl Line {
    fn here() -> Result<Option<Self>> {
        let Ok(far) = env::var("DELAY_FAR") else { return Ok(None) };
        let round_trip_ms = env::var("DELAY_RTT_MS")?.parse()?;
        Ok(Some(Self { far, far_process: env::var("DELAY_FAR_PID")?, round_trip_ms }))
    }
}

/// A Kerberos realm, where one can be had.
struct Realm {
    kdc: Option<Kdc>,
    words: Vec<String>,
}

impl Realm {
    fn of(bench: &Bench, case: &str) -> Self {
        let kdc = Kdc::start().inspect_err(|error| bench.failed(case, "the KDC", &format!("{error:#}"))).ok();
        let words = kdc.as_ref().map_or_else(Vec::new, Kdc::for_service);
        Self { kdc, words }
    }

    /// What stands before the command of an upstream that is to know the realm.
    fn before<'a>(&'a self, first: &[&'a str]) -> Vec<&'a str> {
        let environment = self.kdc.as_ref().map(|_| "env").into_iter().chain(self.words.iter().map(String::as_str));
        first.iter().copied().chain(environment).collect()
    }
}

/// A relay and how it is to log on.
struct Way {
    label: &'static str,
    relay: Relay,
}

fn ways(bench: &Bench, case: &str, upstream: Addresses, realm: &Realm) -> Vec<Way> {
    let ntlm = Wish::new(Auth::Ntlm, upstream);
    let relays = bench.start(case, &KINDS, &ntlm);
    let mut ways: Vec<Way> = relays.into_iter().map(|relay| Way { label: "NTLM", relay }).collect();
    let mut special = vec![("NTLM kept warm", Wish { keys: format!("{WARM} = 1\n"), ..ntlm })];
    if let Some(kdc) = &realm.kdc {
        special.push(("Kerberos", kerberos(kdc, upstream)));
    }
    for contender in bench.contenders(&[Kind::Hallpass]) {
        for (label, wish) in &special {
            match Relay::start(contender, wish) {
                Ok(relay) => ways.push(Way { label, relay }),
                // One from before there was such a key.
                Err(error) if format!("{error:#}").contains(WARM) => {
                    eprint_line(&format!("{case}: {} knows no {WARM}", contender.name));
                }
                Err(error) => bench.failed(case, &contender.name, &format!("{label}: {error:#}")),
            }
        }
    }
    ways
}

fn kerberos(kdc: &Kdc, upstream: Addresses) -> Wish {
    // An address is no name that a realm knows.
    let keys = format!("[upstreams.bench]\nurl = \"http://{}\"\nspn = \"{SERVICE}\"\n", upstream.negotiate);
    Wish { keys, environment: kdc.for_client(), ..Wish::new(Auth::Negotiate, upstream) }
}

impl Way {
    /// One CONNECT after the other. The figures are of all rounds at once: of one they are too few.
    fn measure(&self, bench: &Bench, case: &str, figures: impl Fn(&[Duration]) -> Vec<Measured>) {
        let times = if bench.options.short { TIMES_SHORT } else { TIMES * bench.options.rounds() };
        let outcome = bench.block_on(connects(&self.relay, times)).map(|times| figures(&times));
        bench.note_all(case, &self.relay.name, outcome.context(self.label));
    }
}

async fn connects(relay: &Relay, count: usize) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(count);
    for number in 0..FIRST + count {
        let begun = Instant::now();
        let mut tunnel = load::tunnel(relay.address, "echo.bench").await?;
        if number >= FIRST {
            times.push(begun.elapsed());
        }
        load::echo(&mut tunnel, b"through the line").await?;
    }
    Ok(times)
}
