//! Tells that the system's proxy settings are others, where the system tells of what is written there.

#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(windows), path = "other.rs")]
mod imp;

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// Whoever sets a proxy writes several values, one after the other.
const QUIET: Duration = Duration::from_millis(300);

/// Sees changes from the moment it was made.
pub struct Watch {
    hints: imp::Hints,
    known: Option<imp::Settings>,
    /// There was cause to look, and it has not been done to its end.
    must_look: bool,
}

impl Watch {
    pub fn start() -> Self {
        // What is written before anybody listens is found by a first look.
        Self { hints: imp::Hints::listen(), known: Some(imp::settings()), must_look: true }
    }

    /// Waits for the next change. It may be dropped at any point: nothing is lost by it. Much is written beside the
    /// settings, so what decides is that they are others.
    pub async fn changed(&mut self) {
        loop {
            if !self.must_look {
                self.hints.next().await;
                self.must_look = true;
            }
            sleep(QUIET).await;
            let found = spawn_blocking(imp::settings).await.ok();
            self.must_look = false;
            if found != self.known {
                self.known = found;
                return;
            }
        }
    }
}
