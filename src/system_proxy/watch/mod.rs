//! Tells that the system's proxy settings are others, where the system tells of what is written there.

#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(windows), path = "other.rs")]
mod imp;

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

/// Whoever sets a proxy writes several values, one after the other.
const QUIET: Duration = Duration::from_millis(300);

/// Sees changes from the moment it was made.
pub struct Watch {
    hints: imp::Hints,
    known: Option<imp::Settings>,
    /// When to look, where there was cause to and it has not been done to its end: whoever waits may be called away again and
    /// again.
    due: Option<Instant>,
}

impl Watch {
    pub fn start() -> Self {
        // What is written before anybody listens is found by a first look.
        Self { hints: imp::Hints::listen(), known: Some(imp::settings()), due: Some(Instant::now() + QUIET) }
    }

    /// Waits for the next change. It may be dropped at any point: nothing is lost by it. Much is written beside the
    /// settings, so what decides is that they are others.
    pub async fn changed(&mut self) {
        loop {
            let due = match self.due {
                Some(due) => due,
                None => {
                    self.hints.next().await;
                    *self.due.insert(Instant::now() + QUIET)
                }
            };
            sleep_until(due).await;
            let found = spawn_blocking(imp::settings).await.ok();
            self.due = None;
            if found != self.known {
                self.known = found;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn whoever_is_called_away_again_and_again_hears_of_other_settings_all_the_same() {
        let mut watch = Watch { known: None, ..Watch::start() };
        let often = async { while timeout(QUIET / 4, watch.changed()).await.is_err() {} };
        assert!(timeout(20 * QUIET, often).await.is_ok());
    }
}
