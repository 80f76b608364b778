//! Whether the relay still works: what the watchdog of a service's manager is told.

use std::sync::{Arc, Mutex};

use super::core::Core;
use super::lock;
use super::ways::Ways;

/// Of a relay that runs; felt from outside of it.
#[derive(Clone)]
pub struct Pulse {
    pub(super) core: Arc<Core>,
    pub(super) ways: Arc<Mutex<Ways>>,
}

impl Pulse {
    /// Whether a client that came now would be served. Where the relay hangs, this never ends.
    ///
    /// It proves that the runtime takes up a new task and hears of its end, as it must for each client; that every socket
    /// still has its task, which none has that failed by a mistake of ours; and that nobody sits for good on what a request
    /// or a reload must get hold of: the ways in, the present snapshot, the configuration. It does not prove that an upstream
    /// answers or that there is room for one more client: a relay in trouble with others, or one that is busy, must not be
    /// ended for it.
    pub async fn beat(&self) -> bool {
        let Self { core, ways } = self.clone();
        let felt = tokio::spawn(async move {
            let all_served = lock(&ways).are_all_served();
            let snapshot = core.proxies().borrow().clone();
            drop((snapshot, core.config()));
            all_served
        });
        felt.await.unwrap_or(false)
    }
}
