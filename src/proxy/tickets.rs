//! How long Kerberos tickets live, asked of the system seldom and without making anybody wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
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

#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<HashMap<Endpoint, Heard>>);

#[derive(Debug, Clone)]
struct Heard {
    at: Instant,
    life: Option<TicketLife>,
}

impl Tickets {
    pub async fn of(&self, mechanisms: &Arc<dyn Mechanisms>, upstream: &Endpoint) -> Option<TicketLife> {
        if let Some(heard) = self.heard(upstream) {
            return heard.life.map(|life| TicketLife { left: life.left.saturating_sub(heard.at.elapsed()), ..life });
        }
        let (asked, of) = (mechanisms.clone(), upstream.clone());
        let asking = tokio::task::spawn_blocking(move || asked.ticket(&of));
        let life = timeout(PATIENCE, asking).await.ok().and_then(Result::ok).flatten();
        self.keep(upstream, life.clone());
        life
    }

    fn heard(&self, upstream: &Endpoint) -> Option<Heard> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(upstream).filter(|heard| heard.at.elapsed() < FRESH).cloned()
    }

    fn keep(&self, upstream: &Endpoint, life: Option<TicketLife>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(upstream.clone(), Heard { at: Instant::now(), life });
    }
}
