//! A world for scripts in which nothing happens unless a test says so.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hallpass::route::Hop;
use hallpass::route::pac::{Answer, Host, Limits, Pac, PacError};

pub struct World {
    begun: Instant,
    /// Moved by hand, on top of the real one.
    ahead: AtomicU64,
    names: Mutex<HashMap<String, Vec<IpAddr>>>,
    /// Every question takes this long, as far as the clock of this world goes.
    slowness: Mutex<Duration>,
    mine: Mutex<Vec<IpAddr>>,
    asked: Mutex<Vec<String>>,
    alerts: Mutex<Vec<String>>,
}

impl World {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            ahead: AtomicU64::new(0),
            names: Mutex::default(),
            slowness: Mutex::default(),
            mine: Mutex::new(vec!["10.1.2.3".parse().unwrap()]),
            asked: Mutex::default(),
            alerts: Mutex::default(),
        })
    }

    pub fn pass(&self, time: Duration) {
        self.ahead.fetch_add(time.as_nanos() as u64, Ordering::SeqCst);
    }

    pub fn name(&self, name: &str, addresses: &str) {
        let addresses = addresses.split_whitespace().map(|address| address.parse().unwrap()).collect();
        self.names.lock().unwrap().insert(name.into(), addresses);
    }

    pub fn slow(&self, by: Duration) {
        *self.slowness.lock().unwrap() = by;
    }

    pub fn mine(&self, address: &str) {
        *self.mine.lock().unwrap() = vec![address.parse().unwrap()];
    }

    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// What scripts said since the last time: how tests count evaluations.
    pub fn alerts(&self) -> Vec<String> {
        std::mem::take(&mut self.alerts.lock().unwrap())
    }
}

impl Host for World {
    fn resolve(&self, name: &str, within: Duration) -> Vec<IpAddr> {
        self.asked.lock().unwrap().push(name.into());
        let slowness = *self.slowness.lock().unwrap();
        self.pass(slowness.min(within));
        if slowness >= within && !slowness.is_zero() {
            return Vec::new();
        }
        self.names.lock().unwrap().get(name).cloned().unwrap_or_default()
    }

    fn my_addresses(&self) -> Vec<IpAddr> {
        self.mine.lock().unwrap().clone()
    }

    fn now(&self) -> jiff::Zoned {
        let start: jiff::Zoned = "2026-03-18T12:00:00+00:00[+00:00]".parse().unwrap();
        start.saturating_add(jiff::SignedDuration::try_from(self.elapsed()).unwrap())
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed() + Duration::from_nanos(self.ahead.load(Ordering::SeqCst))
    }

    fn alert(&self, text: &str) {
        self.alerts.lock().unwrap().push(text.into());
    }
}

/// Generous in time, because a test machine may be busy.
pub const LIMITS: Limits = Limits { time: Duration::from_secs(20), memory: 32 << 20 };

pub fn compile(world: &Arc<World>, script: &str) -> Result<Pac, PacError> {
    compile_with(world, script, LIMITS)
}

pub fn compile_with(world: &Arc<World>, script: &str, limits: Limits) -> Result<Pac, PacError> {
    Pac::compile(script, limits, Arc::<World>::clone(world))
}

/// A script whose function has this body.
pub fn body(world: &Arc<World>, body: &str) -> Pac {
    compile(world, &format!("function FindProxyForURL(url, host) {{\n{body}\n}}")).unwrap()
}

pub fn ask(pac: &Pac, host: &str) -> Result<Arc<Answer>, PacError> {
    pac.evaluate(&format!("https://{host}/"), host)
}

/// The hops as one text.
pub fn hops(pac: &Pac, host: &str) -> String {
    let answer = ask(pac, host).unwrap();
    answer.hops.iter().map(Hop::to_string).collect::<Vec<_>>().join(" ")
}
