//! How many clients there are descriptors for: who comes beyond waits until one has left. Whoever asks for nothing leaves
//! first.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// A client's own connection and the one that is made for it.
const EACH: usize = 2;

/// What is open beside clients: listeners, logs, the runtime's own, names being resolved, log-ons under way.
const MOST_RESERVED: usize = 128;
const LEAST_RESERVED: usize = 24;

/// Silent for so long, a client counts as one that asks for nothing.
const IDLE_AFTER: Duration = Duration::from_millis(250);

/// The log is told of the same shortage no more often than this.
const TOLD_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct Room(Arc<Places>);

#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    clients: usize,
    /// Those who wait to enter.
    waiting: AtomicUsize,
    /// Heard by the client that has been idle for longest.
    wanted: Notify,
    told: Mutex<Option<Instant>>,
}

impl Room {
    /// `limit`: of descriptors in all; `idle`: how many of them connections without a client may hold.
    pub fn new(limit: Option<usize>, idle: usize) -> Self {
        let clients = limit.map_or(Semaphore::MAX_PERMITS, |limit| clients_within(limit, idle));
        let free = Arc::new(Semaphore::new(clients));
        Self(Arc::new(Places {
            free,
            clients,
            waiting: AtomicUsize::new(0),
            wanted: Notify::new(),
            told: Mutex::default(),
        }))
    }

    /// As soon as there is room for one more, who keeps it for as long as the permit lives.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(room) = self.0.free.clone().try_acquire_owned() {
            return Some(room);
        }
        if self.is_to_be_told() {
            let clients = self.0.clients;
            tracing::warn!("{clients} clients are all that the limit of open files has room for; the next ones wait");
        }
        let waiting = Waiting::new(&self.0);
        let room = self.0.free.clone().acquire_owned().await.ok();
        drop(waiting);
        room
    }

    /// For a client that asks for nothing: waits until somebody else needs its room. One that has come just now may be about
    /// to speak.
    pub async fn is_wanted(&self) {
        sleep(IDLE_AFTER).await;
        if self.0.waiting.load(Ordering::SeqCst) == 0 {
            self.0.wanted.notified().await;
        }
    }

    /// Whether it was long ago that the log was told.
    pub(super) fn is_to_be_told(&self) -> bool {
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = told.is_none_or(|told| told.elapsed() >= TOLD_EVERY);
        if is_news {
            *told = Some(Instant::now());
        }
        is_news
    }
}

struct Waiting<'a>(&'a Places);

impl<'a> Waiting<'a> {
    fn new(places: &'a Places) -> Self {
        places.waiting.fetch_add(1, Ordering::SeqCst);
        places.wanted.notify_one();
        Self(places)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
        // Where nobody was idle the word is still there, and nobody is to leave for it any more.
        pin!(self.0.wanted.notified()).enable();
    }
}

fn clients_within(limit: usize, idle: usize) -> usize {
    let reserved = (limit / 4).clamp(LEAST_RESERVED, MOST_RESERVED);
    (limit.saturating_sub(reserved + idle) / EACH).clamp(1, Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn both_connections_of_every_client_fit_beside_what_else_is_open() {
        for limit in [32, 64, 100, 256, 1024, 4096, 20_000, 1_048_576] {
            let idle = limit / 8;
            let clients = clients_within(limit, idle);
            assert!(clients >= 1 && clients * EACH + idle + LEAST_RESERVED <= limit, "{limit}: {clients}");
        }
        assert_eq!(clients_within(0, 0), 1);
        assert_eq!(Room::new(None, 512).0.clients, Semaphore::MAX_PERMITS);
    }

    #[tokio::test]
    async fn who_finds_no_room_enters_when_somebody_leaves_and_the_longest_idle_is_asked_to() {
        let room = Room::new(Some(26), 0);
        let first = room.enter().await.unwrap();
        let (mut older, mut younger) = (Box::pin(room.is_wanted()), Box::pin(room.is_wanted()));
        for idle in [&mut older, &mut younger] {
            assert!(timeout(2 * IDLE_AFTER, idle).await.is_err(), "nobody waits");
        }
        let mut second = Box::pin(room.enter());
        assert!(timeout(Duration::from_millis(50), second.as_mut()).await.is_err());
        assert!(timeout(Duration::ZERO, older).await.is_ok());
        assert!(timeout(Duration::ZERO, younger.as_mut()).await.is_err(), "one is enough");
        assert!(!room.is_to_be_told(), "it was told just now");
        room.is_wanted().await;
        drop(first);
        let second = second.await;
        assert!(second.is_some());
        // Nobody was idle when the third came, and when it had entered nobody was to leave any more.
        drop(younger);
        let mut third = Box::pin(room.enter());
        assert!(timeout(Duration::from_millis(50), third.as_mut()).await.is_err());
        drop(second);
        assert!(third.await.is_some());
        assert!(timeout(2 * IDLE_AFTER, room.is_wanted()).await.is_err());
    }
}
