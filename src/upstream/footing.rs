//! The addresses of this machine that tunnels leave from. One that is gone, with a VPN or a cable, takes its tunnels
//! with it, and the kernel says so only after many minutes. The end of the relay takes all.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::net::TcpStream;

/// Why there is nothing to stand on any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The machine has the address no more.
    Address,
    /// The relay is at its end.
    Relay,
}

#[derive(Debug, Default)]
pub(super) struct Footings(Mutex<Grounds>);

/// One for each address that tunnels stand on; one is for those whose address the system does not tell.
#[derive(Debug, Default)]
struct Grounds {
    of: HashMap<Option<IpAddr>, Arc<Ground>>,
    ended: bool,
}

impl Footings {
    pub fn of(&self, stream: &TcpStream) -> Footing {
        self.stand_on(stream.local_addr().ok().map(|address| address.ip().to_canonical()))
    }

    fn stand_on(&self, address: Option<IpAddr>) -> Footing {
        let mut grounds = self.in_use();
        let ended = grounds.ended;
        let ground = grounds.of.entry(address).or_default();
        if ended {
            ground.lose(Loss::Relay);
        }
        Footing { ground: ground.clone(), waiting: None }
    }

    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut all: Vec<IpAddr> = self.in_use().of.keys().copied().flatten().collect();
        all.sort();
        all
    }

    pub fn abandon(&self, address: IpAddr) {
        let gone = self.in_use().of.remove(&Some(address.to_canonical()));
        if let Some(gone) = gone {
            gone.lose(Loss::Address);
        }
    }

    /// Whatever stands, and whoever comes yet.
    pub fn end(&self) {
        let mut grounds = self.in_use();
        grounds.ended = true;
        let all = std::mem::take(&mut grounds.of);
        drop(grounds);
        all.values().for_each(|ground| ground.lose(Loss::Relay));
    }

    /// Without those that no tunnel stands on any more.
    fn in_use(&self) -> MutexGuard<'_, Grounds> {
        let mut grounds = lock(&self.0);
        grounds.of.retain(|_, ground| Arc::strong_count(ground) > 1);
        grounds
    }
}

/// What all tunnels from one address share. Of a channel's future each of them would hold several hundred bytes.
#[derive(Debug, Default)]
struct Ground {
    lost: OnceLock<Loss>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    wakers: HashMap<u64, Waker>,
}

impl Ground {
    fn lose(&self, loss: Loss) {
        let _first_counts = self.lost.set(loss);
        let wakers = std::mem::take(&mut lock(&self.waiting).wakers);
        wakers.into_values().for_each(Waker::wake);
    }
}

/// What a tunnel holds of the address it leaves from.
#[derive(Debug)]
pub struct Footing {
    ground: Arc<Ground>,
    /// Its place among those who wait, and who is woken there.
    waiting: Option<(u64, Waker)>,
}

impl Footing {
    /// Waits until there is nothing to stand on any more.
    pub async fn lost(&mut self) -> Loss {
        poll_fn(|cx| self.poll_lost(cx)).await
    }

    /// The lock that all share is taken once per waker, not each time.
    pub fn poll_lost(&mut self, cx: &Context<'_>) -> Poll<Loss> {
        let is_known = self.waiting.as_ref().is_some_and(|(_, waker)| waker.will_wake(cx.waker()));
        if !is_known && self.ground.lost.get().is_none() {
            self.wait(cx.waker().clone());
        }
        // Looked at last: whoever loses the ground wakes those who wait after it was said.
        match self.ground.lost.get() {
            Some(loss) => Poll::Ready(*loss),
            None => Poll::Pending,
        }
    }

    fn wait(&mut self, waker: Waker) {
        let mut waiting = lock(&self.ground.waiting);
        let place = self.waiting.as_ref().map_or(waiting.next, |(place, _)| *place);
        waiting.next = waiting.next.max(place + 1);
        let former = waiting.wakers.insert(place, waker.clone());
        drop(waiting);
        drop(former);
        self.waiting = Some((place, waker));
    }
}

impl Drop for Footing {
    fn drop(&mut self) {
        if let Some((place, _)) = &self.waiting {
            // Dropped without the lock, since nobody knows what a waker is the last to hold.
            let _waker = lock(&self.ground.waiting).wakers.remove(place);
        }
    }
}

/// A panic elsewhere leaves the maps whole: each change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Bell {
        fn rung(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn poll(footing: &mut Footing, bell: &Arc<Bell>) -> Poll<Loss> {
        footing.poll_lost(&Context::from_waker(&bell.clone().into()))
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_counts_while_tunnels_stand_on_it_and_only_its_own_are_told() {
        let footings = Footings::default();
        let (here, there) = (address("192.0.2.1"), address("2001:db8::1"));
        let (first, mut second, mut other) =
            (footings.stand_on(here), footings.stand_on(here), footings.stand_on(there));
        assert_eq!(footings.addresses(), [here.unwrap(), there.unwrap()]);
        drop(first);
        assert_eq!(footings.addresses(), [here.unwrap(), there.unwrap()]);
        let bells: [Arc<Bell>; 2] = Default::default();
        assert_eq!((poll(&mut second, &bells[0]), poll(&mut other, &bells[1])), (Poll::Pending, Poll::Pending));
        footings.abandon("::ffff:192.0.2.1".parse().unwrap());
        assert_eq!((bells[0].rung(), bells[1].rung()), (1, 0));
        assert_eq!(poll(&mut second, &bells[0]), Poll::Ready(Loss::Address));
        assert_eq!(poll(&mut other, &bells[1]), Poll::Pending);
        assert_eq!(footings.addresses(), [there.unwrap()]);
        // The address is back: what stands on it now is not told of what was.
        assert_eq!(poll(&mut footings.stand_on(here), &bells[0]), Poll::Pending);
        drop(other);
        assert!(footings.addresses().is_empty());
    }

    #[test]
    fn the_end_of_the_relay_is_told_to_all_and_to_whoever_comes_after_it() {
        let (footings, bell) = (Footings::default(), Arc::<Bell>::default());
        let (mut known, mut unknown) = (footings.stand_on(address("192.0.2.1")), footings.stand_on(None));
        assert!(poll(&mut known, &bell).is_pending() && poll(&mut unknown, &bell).is_pending());
        assert_eq!(footings.addresses().len(), 1);
        footings.end();
        assert_eq!(bell.rung(), 2);
        let mut late = footings.stand_on(address("192.0.2.1"));
        for footing in [&mut known, &mut unknown, &mut late] {
            assert_eq!(poll(footing, &bell), Poll::Ready(Loss::Relay));
        }
    }

    #[test]
    fn who_is_told_is_whoever_asked_last_and_nobody_that_has_gone() {
        let footings = Footings::default();
        let here = address("192.0.2.1");
        let (mut moved, mut gone) = (footings.stand_on(here), footings.stand_on(here));
        let bells: [Arc<Bell>; 3] = Default::default();
        assert!(poll(&mut moved, &bells[0]).is_pending() && poll(&mut gone, &bells[1]).is_pending());
        assert!(poll(&mut moved, &bells[2]).is_pending());
        drop(gone);
        assert_eq!(lock(&moved.ground.waiting).wakers.len(), 1);
        footings.abandon(here.unwrap());
        assert_eq!(bells.each_ref().map(|bell| bell.rung()), [0, 0, 1]);
    }

    #[test]
    fn a_loss_between_two_looks_is_seen_by_everybody() {
        for _ in 0..200 {
            let footings = Arc::new(Footings::default());
            let here = address("192.0.2.1");
            let mut all: Vec<Footing> = (0..4).map(|_| footings.stand_on(here)).collect();
            let losing = std::thread::spawn({
                let footings = footings.clone();
                move || footings.abandon(here.unwrap())
            });
            let bells: Vec<Arc<Bell>> = all.iter().map(|_| Arc::default()).collect();
            let early: Vec<bool> = all.iter_mut().zip(&bells).map(|(one, bell)| poll(one, bell).is_ready()).collect();
            losing.join().unwrap();
            for (seen, bell) in early.into_iter().zip(bells) {
                assert!(seen || bell.rung() == 1);
            }
        }
    }
}
