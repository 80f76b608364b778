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
    /// Its other end is gone where nothing can change.
    looks: watch::Receiver<Looks>,
}

/// What there is to say of the looks at the place.
#[derive(Debug, Clone, Copy, Default)]
pub struct Looks {
    pub taken: u64,
    /// The machine is on its way: what the last look found is not true any more.
    pub moving: bool,
    /// Something changed, perhaps nothing that matters, and is being looked at.
    pub looking: bool,
}

impl Looks {
    fn are_over(&self) -> bool {
        !self.moving && !self.looking
    }
}

impl Doubt {
    pub fn new(asked: Arc<Notify>, looks: watch::Receiver<Looks>) -> Self {
        Self { asked, looks }
    }

    /// Waits for the first look in another place: before it nobody knows which way is right. Whether there was anything
    /// to wait for: snapshots from before are out of date then.
    pub(super) async fn settled(&mut self) -> bool {
        if !self.looks.borrow().moving {
            return false;
        }
        let _ = timeout(PATIENCE, self.looks.wait_for(|looks| !looks.moving)).await;
        true
    }

    /// Waits for the end of the look that is being taken, if there is one.
    pub(super) async fn over(&mut self) {
        let _ = timeout(PATIENCE, self.looks.wait_for(Looks::are_over)).await;
    }

    /// Has the place looked at again.
    pub(super) fn raise(&self) {
        self.asked.notify_one();
    }

    /// The same, and waits for the end of it.
    pub(super) async fn resolve(&mut self) {
        let before = self.looks.borrow().taken;
        self.raise();
        let _ = timeout(PATIENCE, self.looks.wait_for(|looks| looks.taken > before && looks.are_over())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_doubts_waits_for_the_next_look() {
        let asked = Arc::new(Notify::new());
        let (looks, seen) = watch::channel(Looks::default());
        let mut doubt = Doubt::new(asked.clone(), seen);
        let looker = tokio::spawn(async move {
            asked.notified().await;
            looks.send_modify(|looks| looks.taken += 1);
            looks
        });
        doubt.resolve().await;
        assert_eq!(looker.await.unwrap().borrow().taken, 1);
    }

    #[tokio::test]
    async fn on_the_way_everybody_waits_until_the_place_was_looked_at() {
        let (looks, seen) = watch::channel(Looks { taken: 1, ..Looks::default() });
        let mut doubt = Doubt::new(Arc::default(), seen);
        assert!(!doubt.settled().await);
        looks.send_modify(|looks| looks.moving = true);
        let waiter = tokio::spawn(async move { doubt.settled().await });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        looks.send_replace(Looks { taken: 2, ..Looks::default() });
        assert!(waiter.await.unwrap());
    }

    #[tokio::test]
    async fn only_who_was_cut_off_waits_for_a_look_that_may_find_nothing() {
        let (looks, seen) = watch::channel(Looks { taken: 1, looking: true, ..Looks::default() });
        let mut doubt = Doubt::new(Arc::default(), seen);
        assert!(!doubt.settled().await);
        let cut_off = tokio::spawn(async move { doubt.over().await });
        tokio::task::yield_now().await;
        assert!(!cut_off.is_finished());
        looks.send_modify(|looks| looks.looking = false);
        cut_off.await.unwrap();
    }

    #[tokio::test]
    async fn where_nothing_can_change_nobody_waits() {
        let (looks, seen) = watch::channel(Looks { taken: 1, ..Looks::default() });
        drop(looks);
        let mut doubt = Doubt::new(Arc::default(), seen);
        doubt.resolve().await;
    }
}
