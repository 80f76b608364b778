//! Who was sent away: told in the log once a minute for each, counted for `/status`.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use super::beyond::Beyond;
use super::door::{Stranger, Who};
use crate::listener::{Peer, Place, Places};
use crate::owner::Owner;
use crate::process::account;

/// The same stranger is told of again after this long.
const SILENCE: Duration = Duration::from_secs(60);

/// Strangers that are remembered; the one that was seen last the longest ago makes way.
const MOST: usize = 64;

/// So many are told in words at a time; the others are cut off, so that they take nobody's place.
const HEARD: usize = 8;

#[derive(Debug)]
pub struct Refusals {
    known: Mutex<VecDeque<Known>>,
    heard: Places,
    /// No strangers, but there is no place for them.
    pub(super) beyond: Beyond,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { known: Mutex::default(), heard: Places::new(HEARD), beyond: Beyond::default() }
    }
}

#[derive(Debug)]
struct Known {
    who: Who,
    told: Instant,
    line: Refused,
}

/// Enough to say what was refused, whose it was and what would let it in.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Refused {
    #[serde(flatten)]
    owner: Option<Owner>,
    client: String,
    listener: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<String>,
    cause: String,
    remedy: String,
    count: u64,
    last: String,
}

impl Refusals {
    /// Whether one more stranger may say what it wants, for as long as this lives.
    pub(super) fn hear(&self) -> Option<Place> {
        self.heard.take()
    }

    pub(super) fn note(&self, stranger: &Stranger, peer: &Peer, interface: Option<&str>) {
        let tell = self.remember(stranger, peer, interface, Instant::now());
        if !tell {
            return;
        }
        let (stranger, peer) = (stranger.clone(), peer.clone());
        // A name may have to come from a directory service.
        drop(tokio::task::spawn_blocking(move || {
            let name = if let Who::User(owner) = &stranger.who { account::name_of(owner) } else { None };
            let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
            let Stranger { cause, remedy, .. } = stranger;
            tracing::warn!(client = %peer.addr, listener = %peer.listener, "refused{name}: {cause} - {remedy}");
        }));
    }

    fn remember(&self, stranger: &Stranger, peer: &Peer, interface: Option<&str>, now: Instant) -> bool {
        let mut all = self.lock();
        let at = all.iter().position(|known| known.who == stranger.who);
        let before = at.and_then(|at| all.remove(at));
        let tell = before.as_ref().is_none_or(|known| now.saturating_duration_since(known.told) >= SILENCE);
        all.truncate(MOST - 1);
        all.push_front(Known {
            who: stranger.who.clone(),
            told: before.as_ref().filter(|_| !tell).map_or(now, |known| known.told),
            line: Refused {
                owner: if let Who::User(owner) = &stranger.who { Some(owner.clone()) } else { None },
                client: peer.addr.ip().to_string(),
                listener: peer.listener.to_string(),
                interface: interface.map(ToString::to_string),
                cause: stranger.cause.clone(),
                remedy: stranger.remedy.clone(),
                count: before.map_or(0, |known| known.line.count) + 1,
                last: format!("{:.0}", Timestamp::now()),
            },
        });
        tell
    }

    /// Whoever was seen last stands first.
    pub(super) fn list(&self) -> Vec<Refused> {
        self.lock().iter().map(|known| known.line.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_told_of_once_a_minute_and_always_counted() {
        let refusals = Refusals::default();
        let addr = "127.0.0.1:1".parse().unwrap();
        let peer = Peer { addr, listener: addr, owner: None };
        let stranger = |uid| Stranger { who: Who::User(Owner::Uid(uid)), cause: "c".into(), remedy: "r".into() };
        let began = Instant::now();
        let told = [(7, 0), (7, 1), (8, 2), (7, 59), (7, 61), (7, 120), (7, 122)]
            .map(|(uid, at)| refusals.remember(&stranger(uid), &peer, None, began + Duration::from_secs(at)));
        assert_eq!(told, [true, false, true, false, true, false, true]);
        let counts: Vec<_> = refusals.list().iter().map(|refused| (refused.owner.clone(), refused.count)).collect();
        assert_eq!(counts, [(Some(Owner::Uid(7)), 6), (Some(Owner::Uid(8)), 1)]);
        for uid in 100..300 {
            refusals.remember(&stranger(uid), &peer, None, began);
        }
        assert_eq!(refusals.list().len(), MOST);
    }
}
