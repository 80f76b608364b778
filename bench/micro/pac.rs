//! A PAC script of a large company, by the engine.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion};
use hallpass::route::pac::{Host, Limits, Pac};

/// 298 lines, all of which are walked for a host that is in none of them.
const SCRIPT: &str = include_str!("../../tests/data/pac/43-head-office.pac");

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

pub fn compiled() -> Pac {
    Pac::compile(SCRIPT, Limits::default(), Arc::new(Offline(Instant::now()))).unwrap()
}

pub fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pac");
    group.bench_function("compile", |bencher| bencher.iter_with_large_drop(compiled));
    let pac = compiled();
    let mut number = 0_u64;
    let mut unheard = || {
        number += 1;
        let host = format!("host{number}.sub{}.example.com", number % 13);
        (format!("https://{host}/"), host)
    };
    group.bench_function("evaluated", |bencher| {
        bencher.iter_batched(&mut unheard, |(url, host)| pac.evaluate(&url, &host).unwrap(), BatchSize::SmallInput);
    });
    let (url, host) = unheard();
    pac.evaluate(&url, &host).unwrap();
    group.bench_function("remembered", |bencher| bencher.iter(|| pac.remembered(&url).unwrap()));
    group.bench_function("evaluated, known", |bencher| bencher.iter(|| pac.evaluate(&url, &host).unwrap()));
    group.finish();
    println!("pac/engine              {} KiB", pac.engine_memory().unwrap() / 1024);
}
