//! How fast PAC decisions are: `cargo bench --bench pac`, or without a release build `cargo bench --profile dev --bench pac`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for whoever works on this")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallpass::route::pac::{Host, Limits, Pac};

/// 298 lines, all of which are walked for a host that is in none of them.
const SCRIPT: &str = include_str!("../tests/data/pac/43-head-office.pac");

const DECISIONS: u32 = 20_000;
const ROUND: usize = 100;

struct Offline(Instant);

impl Host for Offline {
    fn resolve(&self, _: &str, _: Duration) -> Vec<IpAddr> {
        Vec::new()
    }

    fn my_addresses(&self) -> Vec<IpAddr> {
        vec![IpAddr::from([10, 0, 0, 1])]
    }

    fn now(&self) -> jiff::Zoned {
        jiff::Zoned::now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn alert(&self, _: &str) {}
}

fn main() {
    let begun = Instant::now();
    let pac = Pac::compile(SCRIPT, Limits::default(), Arc::new(Offline(Instant::now()))).unwrap();
    println!("compile           {:>10.0?}", begun.elapsed());

    let urls: Vec<(String, String)> = (0..DECISIONS)
        .map(|number| {
            let host = format!("host{number}.sub{}.example.com", number % 13);
            (format!("https://{host}/"), host)
        })
        .collect();
    // The best of many rounds: what the machine does besides is none of this.
    let rounds = urls.chunks(ROUND).map(|round| {
        let begun = Instant::now();
        for (url, host) in round {
            pac.evaluate(url, host).unwrap();
        }
        begun.elapsed() / u32::try_from(round.len()).unwrap()
    });
    let each = rounds.min().unwrap();
    println!("evaluated         {each:>10.1?}  {:>9.0} /s", 1.0 / each.as_secs_f64());

    let (url, host) = &urls[urls.len() - 1];
    let begun = Instant::now();
    for _ in 0..DECISIONS {
        assert!(pac.remembered(url).is_some());
    }
    println!("remembered        {:>10.0?}", begun.elapsed() / DECISIONS);
    let begun = Instant::now();
    for _ in 0..DECISIONS {
        pac.evaluate(url, host).unwrap();
    }
    println!("evaluated, known  {:>10.0?}", begun.elapsed() / DECISIONS);
    println!("engine            {:>10} KiB", pac.engine_memory().unwrap() / 1024);
}
