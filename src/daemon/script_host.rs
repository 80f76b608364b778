//! What a PAC script may ask of the world: names, our addresses, the clock.

use std::net::IpAddr;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Zoned;

use crate::network;
use crate::resolver;
use crate::route::pac;
use crate::upstream::Said;

/// The engine asks some ten thousand times a second of running.
const GIVE_WAY: Duration = Duration::from_millis(1);

pub(super) struct ScriptHost {
    began: Instant,
    said: Said,
}

impl ScriptHost {
    pub fn new() -> Self {
        Self { began: Instant::now(), said: Said::default() }
    }
}

impl pac::Host for ScriptHost {
    /// The system's resolver knows no time limit; whoever waits for it does, and leaves it to its thread.
    fn resolve(&self, name: &str, within: Duration) -> Vec<IpAddr> {
        let (found, answer) = sync_channel(1);
        let name = name.to_owned();
        let resolving = thread::Builder::new().name("resolve".into()).spawn(move || {
            // Nobody may wait any more.
            let _ = found.send(resolver::addresses(&name));
        });
        match resolving {
            Ok(_) => answer.recv_timeout(within).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "no thread to resolve a name for the PAC script");
                Vec::new()
            }
        }
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
        // Most scripts that say something say it with every request.
        match self.said.is_news(text) {
            true => tracing::info!("PAC script: {}", text.escape_debug()),
            false => tracing::debug!("PAC script: {}", text.escape_debug()),
        }
    }
}
