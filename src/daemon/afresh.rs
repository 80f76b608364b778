//! Sees that a person has stored or removed a password, or asks for one more try: what was kept of the time before goes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::core::Core;

/// How often it is looked for; a request that needs a secret looks for itself.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn follow(core: Arc<Core>) {
    let live = core.live();
    let mut known = live.lockout().generation().await;
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let seen = live.lockout().generation().await;
        if seen > known {
            known = seen;
            tracing::info!("a fresh start was asked for: secrets are read again, and rejected ones tried once more");
            core.begin_afresh(seen);
        }
    }
}
