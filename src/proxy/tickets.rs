//! How long Kerberos tickets live, asked of the system seldom and without making anybody wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::address::Endpoint;
use crate::auth::{Mechanisms, TicketLife};

/// What was heard counts for so long.
const FRESH: Duration = Duration::from_secs(10);

/// A cache on disk answers at once; one behind a service may hang.
const PATIENCE: Duration = Duration::from_millis(300);

/// More upstreams than any place has; a script may name any number.
const MOST: usize = 64;

#[derive(Debug, Clone, Default)]
pub(super) struct Tickets(Arc<Mutex<HashMap<Endpoint, Heard>>>);

#[derive(Debug, Clone)]
struct Heard {
    /// When it was asked for, or heard.
    at: Instant,
    life: Option<TicketLife>,
    /// Somebody waits for an answer: one thread that hangs is enough.
    is_asked: bool,
}

impl Tickets {
    pub async fn of(&self, mechanisms: &Arc<dyn Mechanisms>, upstream: &Endpoint) -> Option<TicketLife> {
        if self.begin(upstream) {
            let (all, asked, of) = (self.clone(), mechanisms.clone(), upstream.clone());
            let asking = tokio::task::spawn_blocking(move || all.keep(&of, asked.ticket(&of)));
            let _it_comes_later_or_never = timeout(PATIENCE, asking).await;
        }
        self.heard(upstream)
    }

    /// Whether it is to be asked for now.
    fn begin(&self, upstream: &Endpoint) -> bool {
        let mut all = self.lock();
        let known = all.get(upstream);
        if known.is_some_and(|heard| heard.is_asked || heard.at.elapsed() < FRESH) {
            return false;
        }
        if all.len() >= MOST {
            all.retain(|_, heard| heard.is_asked);
        }
        all.insert(upstream.clone(), Heard { at: Instant::now(), life: None, is_asked: true });
        true
    }

    fn keep(&self, upstream: &Endpoint, life: Option<TicketLife>) {
        self.lock().insert(upstream.clone(), Heard { at: Instant::now(), life, is_asked: false });
    }

    fn heard(&self, upstream: &Endpoint) -> Option<TicketLife> {
        let heard = self.lock().get(upstream).cloned()?;
        heard.life.map(|life| TicketLife { left: life.left.saturating_sub(heard.at.elapsed()), ..life })
    }

    /// A panic elsewhere leaves the list whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<Endpoint, Heard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::address::{Protocol, Target};
    use crate::auth::lockout::Leave;
    use crate::auth::{ChannelBinding, Mechanism, MechanismError, Start};

    /// Answers when it is let.
    struct Hanging {
        asked: AtomicUsize,
        go: Barrier,
    }

    impl Mechanisms for Hanging {
        fn start(
            &self,
            _: Start,
            _: &Endpoint,
            _: Option<&ChannelBinding>,
            _: Option<&Leave>,
        ) -> Result<Box<dyn Mechanism>, MechanismError> {
            Err(MechanismError::Unavailable("none".into()))
        }

        fn ticket(&self, _: &Endpoint) -> Option<TicketLife> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.go.wait();
            Some(TicketLife { owner: "alice@CORP".into(), left: Duration::from_secs(60) })
        }
    }

    #[tokio::test]
    async fn a_cache_that_hangs_is_asked_once_and_heard_when_it_answers() {
        let tickets = Tickets::default();
        let hanging = Arc::new(Hanging { asked: AtomicUsize::new(0), go: Barrier::new(2) });
        let mechanisms: Arc<dyn Mechanisms> = hanging.clone();
        let upstream = Endpoint { target: Target::parse("p.test:3128", None).unwrap(), protocol: Protocol::Http };
        for _ in 0..3 {
            assert_eq!(tickets.of(&mechanisms, &upstream).await, None);
            let mut all = tickets.lock();
            let heard = all.get_mut(&upstream).unwrap();
            heard.at = heard.at.checked_sub(FRESH).unwrap();
        }
        assert_eq!(hanging.asked.load(Ordering::SeqCst), 1);
        hanging.go.wait();
        while tickets.heard(&upstream).is_none() {
            tokio::task::yield_now().await;
        }
        let life = tickets.of(&mechanisms, &upstream).await.unwrap();
        assert_eq!((life.owner.as_str(), hanging.asked.load(Ordering::SeqCst)), ("alice@CORP", 1));
    }
}
