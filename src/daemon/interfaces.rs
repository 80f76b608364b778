//! Listens on interfaces as they come, change their addresses and go.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::core::Core;
use super::lock;
use super::ways::Ways;
use crate::network::Watch;

/// The watch does not tell of interfaces that carry no traffic yet: they are looked at this often.
const LOOK: Duration = Duration::from_secs(2);

/// `replanned`: the configuration is another one.
pub(super) async fn follow(ways: Arc<Mutex<Ways>>, core: Arc<Core>, replanned: Arc<Notify>) {
    loop {
        while !lock(&ways).awaits_interfaces() {
            replanned.notified().await;
        }
        let mut watch = Watch::start();
        while lock(&ways).awaits_interfaces() {
            if lock(&ways).follow_interfaces() {
                core.publish_ways();
            }
            tokio::select! {
                _ = watch.changed() => {}
                () = sleep(LOOK) => {}
                () = replanned.notified() => {}
            }
        }
    }
}
