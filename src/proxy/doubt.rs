//! A request that cannot get through may be the first to notice that the machine is in another place: it has the
//! place looked at again, and waits for what comes of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Longer than a look at the place takes; whoever waited for so long goes on with what is known.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub struct Doubt {
    asked: Arc<Notify>,
    /// Counts the looks that were taken. Its other end is gone where nothing can change.
    looks: watch::Receiver<u64>,
}

impl Doubt {
    pub fn new(asked: Arc<Notify>, looks: watch::Receiver<u64>) -> Self {
        Self { asked, looks }
    }

    /// Has the place looked at again.
    pub(super) fn raise(&self) {
        self.asked.notify_one();
    }

    /// The same, and waits for the end of it.
    pub(super) async fn resolve(&mut self) {
        self.looks.mark_unchanged();
        self.raise();
        let _ = timeout(PATIENCE, self.looks.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_doubts_waits_for_the_next_look() {
        let asked = Arc::new(Notify::new());
        let (looks, seen) = watch::channel(0);
        let mut doubt = Doubt::new(asked.clone(), seen);
        let looker = tokio::spawn(async move {
            asked.notified().await;
            looks.send_modify(|looks| *looks += 1);
            looks
        });
        doubt.resolve().await;
        assert_eq!(*looker.await.unwrap().borrow(), 1);
    }

    #[tokio::test]
    async fn where_nothing_can_change_nobody_waits() {
        let (looks, seen) = watch::channel(1);
        drop(looks);
        let mut doubt = Doubt::new(Arc::default(), seen);
        doubt.resolve().await;
    }
}
