//! The parts that think, each alone: `cargo bench --bench micro`, or some of it by a word: `cargo bench --bench micro ntlm`.
//!
//! `--profile dev` spares a release build; what matters then is which of two runs is faster.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for whoever works on this")]

#[path = "micro/exchange.rs"]
mod exchange;
#[path = "micro/heads.rs"]
mod heads;
#[path = "micro/pac.rs"]
mod pac;
#[path = "micro/router.rs"]
mod router;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use hallpass::address::{Endpoint, Protocol, Target};

/// Half a minute for all of them, which is enough for two digits.
fn briefly() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

fn target(text: &str) -> Target {
    Target::parse(text, None).unwrap()
}

fn endpoint(text: &str) -> Endpoint {
    Endpoint { target: target(text), protocol: Protocol::Http }
}

criterion_group! { name = micro; config = briefly(); targets = exchange::all, heads::all, router::all, pac::all }
criterion_main!(micro);
