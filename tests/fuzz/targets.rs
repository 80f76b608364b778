//! What is fuzzed: functions that take any bytes and must not panic, hang or grow.
//!
//! A new one: a function here and its line in [`ALL`], a file of four lines in `fuzz_targets` and its `[[bin]]`, and a
//! directory of seeds. `cargo test --test fuzz` replays the seeds, `tests/run fuzz` looks for more.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallpass::route::pac::{Host, Limits, Pac, directive, text};

pub type Function = fn(&[u8]);

/// By the names of their seeds and programs.
#[allow(dead_code, reason = "the fuzzers use one of them each")]
pub const ALL: &[(&str, Function)] = &[("pac_directive", pac_directive), ("pac_script", pac_script)];

/// What a script returned.
pub fn pac_directive(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(read) = directive::parse(&text) else { return };
    assert!(!read.hops.is_empty(), "no hop and no error");
    // What was understood means the same when it is written again.
    let again: Vec<String> = read.hops.iter().map(written).collect();
    assert_eq!(directive::parse(&again.join(";")).map(|again| again.hops), Ok(read.hops));
}

fn written(hop: &hallpass::route::Hop) -> String {
    match hop.to_string().split_once("://") {
        None => "DIRECT".into(),
        Some((kind, place)) => format!("{} {place}", if kind == "http" { "PROXY" } else { kind }),
    }
}

/// The file a script came in, loaded and asked.
pub fn pac_script(bytes: &[u8]) {
    let limits = Limits { time: Duration::from_millis(200), memory: 8 << 20 };
    let script = text::decode(bytes, None);
    let Ok(pac) = Pac::compile(&script, limits, Arc::new(Nowhere(Instant::now()))) else { return };
    for (url, host) in [("http://www.example.com/a?b", "www.example.com"), ("https://[::1]/", "::1")] {
        let first = pac.evaluate(url, host);
        if let Some(remembered) = pac.remembered(url) {
            assert_eq!(Ok(remembered), first);
        }
    }
}

/// A world without names.
struct Nowhere(Instant);

impl Host for Nowhere {
    fn resolve(&self, _: &str, _: Duration) -> Vec<IpAddr> {
        Vec::new()
    }

    fn my_addresses(&self) -> Vec<IpAddr> {
        vec![IpAddr::from([10, 0, 0, 1])]
    }

    fn now(&self) -> jiff::Zoned {
        jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC)
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn alert(&self, _: &str) {}
}
