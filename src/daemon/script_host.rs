//! What a PAC script may ask of the world: names, our addresses, the clock.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use jiff::Zoned;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::network;
use crate::resolver;
use crate::route::pac;

/// The engine asks some ten thousand times a second of running.
const GIVE_WAY: Duration = Duration::from_millis(1);

pub(super) struct ScriptHost {
    runtime: Handle,
    began: Instant,
}

impl ScriptHost {
    /// Must be called within the runtime that resolves.
    pub fn new() -> Self {
        Self { runtime: Handle::current(), began: Instant::now() }
    }
}

impl pac::Host for ScriptHost {
    /// The system's resolver knows no time limit; whoever waits for it does.
    fn resolve(&self, name: &str, within: Duration) -> Vec<IpAddr> {
        let found = self.runtime.block_on(async { timeout(within, resolver::resolve(name, 0)).await });
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.ok().and_then(Result::ok).unwrap_or_default() {
            if !addresses.contains(&address.ip()) {
                addresses.push(address.ip());
            }
        }
        addresses
    }

    fn my_addresses(&self) -> Vec<IpAddr> {
        network::my_addresses()
    }

    fn now(&self) -> Zoned {
        Zoned::now()
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn give_way(&self) {
        std::thread::sleep(GIVE_WAY);
    }

    fn alert(&self, text: &str) {
        tracing::info!("PAC script: {}", text.escape_debug());
    }
}
