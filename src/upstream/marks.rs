//! Upstreams that could not be reached: passed over in favour of others, and looked for in the background.
//!
//! A mark says that TCP did not come about. What answers and then misbehaves (TLS, a handshake that hangs, a 407) is
//! not marked: a probe could not tell when it is well again.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::dial::{DialError, Dialer};
use crate::address::Endpoint;

/// The pauses between probes: quick at first, because most outages are short.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A mark that no request has met for so long is dropped, and with it the probing.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10 * 60);

/// A script may name any number of upstreams, and each dead one is probed.
const MAX_KEPT: usize = 256;

/// How an upstream was when it was last dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    Up,
    /// Not reached, and why.
    Down(String),
}

/// What a mark says to those who would have dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub why: Arc<str>,
    /// Nobody answered, as opposed to somebody who said no.
    pub silent: bool,
}

#[derive(Debug)]
struct Dead {
    mark: Mark,
    met: Instant,
    probe: AbortHandle,
}

impl Drop for Dead {
    fn drop(&mut self) {
        self.probe.abort();
    }
}

#[derive(Debug)]
struct Entry {
    dead: Option<Dead>,
    since: Timestamp,
}

#[derive(Debug)]
pub(super) struct Marks {
    entries: Mutex<HashMap<Endpoint, Entry>>,
    /// Raised with each new mark.
    set: watch::Sender<()>,
    doubts: watch::Sender<()>,
}

impl Default for Marks {
    fn default() -> Self {
        Self { entries: Mutex::default(), set: watch::Sender::new(()), doubts: watch::Sender::new(()) }
    }
}

impl Marks {
    pub fn of(&self, endpoint: &Endpoint) -> Option<Mark> {
        let mut entries = self.lock();
        let dead = entries.get_mut(endpoint)?.dead.as_mut()?;
        dead.met = Instant::now();
        Some(dead.mark.clone())
    }

    /// Waits until somebody else has found it dead.
    pub async fn marked(&self, endpoint: &Endpoint) -> Mark {
        let mut set = self.set.subscribe();
        loop {
            set.borrow_and_update();
            if let Some(mark) = self.of(endpoint) {
                return mark;
            }
            // The sender lives in ourselves.
            if set.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    pub fn up(&self, endpoint: &Endpoint) {
        let mut entries = self.lock();
        match entries.get_mut(endpoint) {
            Some(Entry { dead: None, .. }) => return,
            Some(_) => tracing::info!(hop = %endpoint, "hop is back"),
            None => {}
        }
        make_room(&mut entries);
        entries.insert(endpoint.clone(), Entry { dead: None, since: Timestamp::now() });
    }

    /// Marks it, unless the failure says nothing about it. One probe at a time looks for it from then on.
    pub fn failed(self: &Arc<Self>, endpoint: &Endpoint, error: &DialError, dialer: &Dialer) {
        let Some(mark) = mark_of(error) else { return };
        let mut entries = self.lock();
        if !entries.contains_key(endpoint) {
            make_room(&mut entries);
        }
        let entry = entries.entry(endpoint.clone());
        let entry = entry.or_insert_with(|| Entry { dead: None, since: Timestamp::now() });
        if let Some(dead) = &mut entry.dead {
            dead.mark = mark;
            return;
        }
        let probe = tokio::spawn(probe(Arc::downgrade(self), endpoint.clone(), dialer.clone())).abort_handle();
        *entry = Entry { dead: Some(Dead { mark, met: Instant::now(), probe }), since: Timestamp::now() };
        drop(entries);
        self.set.send_replace(());
    }

    pub fn forget(&self) {
        self.lock().clear();
    }

    pub fn health(&self) -> Vec<(Endpoint, Health, Timestamp)> {
        let entries = self.lock();
        let mut all: Vec<_> = entries
            .iter()
            .map(|(endpoint, entry)| {
                let health = match &entry.dead {
                    Some(dead) => Health::Down(dead.mark.why.to_string()),
                    None => Health::Up,
                };
                (endpoint.clone(), health, entry.since)
            })
            .collect();
        all.sort_by_key(|(endpoint, ..)| endpoint.to_string());
        all
    }

    pub fn doubt(&self) {
        self.doubts.send_replace(());
    }

    pub fn doubts(&self) -> watch::Receiver<()> {
        self.doubts.subscribe()
    }

    /// Whether it is still worth looking for it.
    fn is_wanted(&self, endpoint: &Endpoint) -> bool {
        let mut entries = self.lock();
        let dead = entries.get(endpoint).and_then(|entry| entry.dead.as_ref());
        let wanted = dead.is_some_and(|dead| dead.met.elapsed() < FORGOTTEN_AFTER);
        if !wanted {
            entries.remove(endpoint);
        }
        wanted
    }

    /// A panic elsewhere leaves the map whole: each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, HashMap<Endpoint, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those that answer are forgotten first, then the dead one that no request has met for longest.
fn make_room(entries: &mut HashMap<Endpoint, Entry>) {
    if entries.len() >= MAX_KEPT {
        entries.retain(|_, entry| entry.dead.is_some());
    }
    while entries.len() >= MAX_KEPT {
        let met = |entry: &Entry| entry.dead.as_ref().map(|dead| dead.met);
        let oldest = entries.iter().min_by_key(|(_, entry)| met(entry)).map(|(endpoint, _)| endpoint.clone());
        let Some(oldest) = oldest else { return };
        entries.remove(&oldest);
    }
}

/// `None`: it says nothing about the upstream.
fn mark_of(error: &DialError) -> Option<Mark> {
    let silent = match error {
        _ if !error.is_absence() => return None,
        DialError::Connect(_, cause) => cause.kind() == io::ErrorKind::TimedOut,
        DialError::Timeout(..) => true,
        DialError::Resolve(..)
        | DialError::NoAddress(_)
        | DialError::Loop(_)
        | DialError::Forbidden { .. }
        | DialError::Moved
        | DialError::Dead { .. } => false,
    };
    let why = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    Some(Mark { why: why.into(), silent })
}

/// Ends with the mark: whoever removes it aborts this.
async fn probe(marks: Weak<Marks>, endpoint: Endpoint, dialer: Dialer) {
    let mut pause = FIRST_PAUSE;
    loop {
        sleep(pause).await;
        if !marks.upgrade().is_some_and(|marks| marks.is_wanted(&endpoint)) {
            return;
        }
        tracing::debug!(hop = %endpoint, "looking for a dead hop");
        let reached = dialer.dial(&endpoint.target).await.is_ok();
        let Some(marks) = marks.upgrade() else { return };
        if reached {
            return marks.up(&endpoint);
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Protocol, Target};
    use crate::shortage::is_of_descriptors;
    use crate::upstream::dial::{Addresses, Resolve};

    fn out_of_descriptors() -> io::Error {
        (0..20_000).map(io::Error::from_raw_os_error).find(is_of_descriptors).unwrap()
    }

    struct Nowhere;

    impl Resolve for Nowhere {
        fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Addresses<'a> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn however_many_are_dead_no_more_than_some_are_remembered_and_probed() {
        let marks = Arc::new(Marks::default());
        let dialer = Dialer {
            resolver: Arc::new(Nowhere),
            connect_timeout: Duration::from_secs(1),
            keepalive: None,
            own: Arc::new(|_| false),
        };
        let endpoint = |n: usize| Endpoint {
            target: Target::parse(&format!("p{n}.test:1"), None).unwrap(),
            protocol: Protocol::Http,
        };
        for n in 0..MAX_KEPT + 50 {
            let target = endpoint(n).target;
            marks.failed(&endpoint(n), &DialError::Timeout(target, Duration::ZERO), &dialer);
            // Requests go on meeting the first of them.
            assert!(marks.of(&endpoint(0)).is_some(), "{n}");
        }
        assert_eq!(marks.health().len(), MAX_KEPT);
        assert!(marks.of(&endpoint(1)).is_none() && marks.of(&endpoint(MAX_KEPT + 49)).is_some());
        let runtime = tokio::runtime::Handle::current();
        until_tasks(&runtime, MAX_KEPT).await;
        marks.up(&endpoint(MAX_KEPT + 50));
        assert_eq!(marks.health().len(), MAX_KEPT, "one that answers takes the place of a dead one");
    }

    async fn until_tasks(runtime: &tokio::runtime::Handle, count: usize) {
        while runtime.metrics().num_alive_tasks() > count {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn only_what_is_the_upstreams_own_state_marks_it() {
        let target = || Target::parse("p.test:1", None).unwrap();
        let connect = |kind: io::ErrorKind| DialError::Connect(target(), kind.into());
        for (error, silent) in [
            (connect(io::ErrorKind::ConnectionRefused), Some(false)),
            (connect(io::ErrorKind::HostUnreachable), Some(false)),
            (connect(io::ErrorKind::TimedOut), Some(true)),
            (connect(io::ErrorKind::OutOfMemory), None),
            (DialError::Connect(target(), io::Error::other("too many open files")), None),
            (DialError::Timeout(target(), Duration::from_secs(5)), Some(true)),
            (DialError::Resolve("p.test".into(), io::Error::other("no such name")), Some(false)),
            (DialError::Resolve("p.test".into(), out_of_descriptors()), None),
            (DialError::Connect(target(), out_of_descriptors()), None),
            (DialError::NoAddress("p.test".into()), Some(false)),
            (DialError::Loop(target()), None),
            (DialError::Dead { why: "gone".into(), silent: true }, None),
        ] {
            assert_eq!(mark_of(&error).map(|mark| mark.silent), silent, "{error}");
        }
        let refused = mark_of(&connect(io::ErrorKind::ConnectionRefused)).unwrap();
        assert!(refused.why.contains("no connection to p.test:1: connection refused"), "{}", refused.why);
    }
}
