//! What reached a practice server: connections, requests, logons. Tests and the demo's last step read it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::{HeaderMap, Method, Request};

/// One request, in the order of arrival.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Connections count from 1.
    pub connection: u64,
    pub method: Method,
    /// Exactly as it stood in the request line.
    pub target: String,
    pub headers: HeaderMap,
    /// Whom the server took the client for.
    pub user: Option<String>,
    /// What was answered; `None` while it is being answered.
    pub status: Option<u16>,
    pub body: BodySeen,
}

impl Seen {
    /// As it arrives: nobody known, nothing answered, no body read.
    pub(super) fn of<B>(connection: u64, request: &Request<B>) -> Self {
        Self {
            connection,
            method: request.method().clone(),
            target: request.uri().to_string(),
            headers: request.headers().clone(),
            user: None,
            status: None,
            body: BodySeen::default(),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BodySeen {
    pub bytes: u64,
    /// Hexadecimal; `None` until the body has come to its end.
    pub sha256: Option<String>,
    pub trailers: Option<HeaderMap>,
}

/// Proofs of a password that were judged. An NTLM type 1 and a stale nonce are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Logons {
    pub attempted: u64,
    pub accepted: u64,
    pub rejected: u64,
}

/// A shared, growing list; clones see the same.
#[derive(Debug, Clone, Default)]
pub struct Record(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    connections: u64,
    open: u64,
    tunnels: u64,
    requests: Vec<Seen>,
    logons: Logons,
    users: Vec<String>,
    stale: u64,
    notes: Vec<String>,
}

impl Record {
    /// How many connections carried a request; one that only waits for its first is none of them.
    pub fn connections(&self) -> usize {
        self.pages().requests.iter().map(|seen| seen.connection).collect::<HashSet<_>>().len()
    }

    /// How many of them are open now. One that became a tunnel is counted there instead.
    pub fn open_connections(&self) -> u64 {
        self.pages().open
    }

    /// How many tunnels (CONNECT or 101) are open now.
    pub fn open_tunnels(&self) -> u64 {
        self.pages().tunnels
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.pages().requests.clone()
    }

    /// Requests with this method that were let through, not answered with a challenge.
    pub fn passed(&self, method: &Method) -> Vec<Seen> {
        let refused = |seen: &Seen| matches!(seen.status, Some(401 | 407));
        self.pages().requests.iter().filter(|seen| seen.method == *method && !refused(seen)).cloned().collect()
    }

    pub fn logons(&self) -> Logons {
        self.pages().logons
    }

    /// Whom the accepted logons were of, in order.
    pub fn users(&self) -> Vec<String> {
        self.pages().users.clone()
    }

    /// How often a nonce was found stale.
    pub fn stale_nonces(&self) -> u64 {
        self.pages().stale
    }

    /// Why logons were rejected, and other things worth knowing when a test fails.
    pub fn notes(&self) -> Vec<String> {
        self.pages().notes.clone()
    }

    pub(super) fn opened(&self) -> u64 {
        let mut pages = self.pages();
        pages.connections += 1;
        pages.open += 1;
        pages.connections
    }

    pub(super) fn closed(&self) {
        self.pages().open -= 1;
    }

    /// Counted until the guard goes, however the tunnel ends.
    pub(super) fn tunnel(&self) -> OpenTunnel {
        self.pages().tunnels += 1;
        OpenTunnel(self.clone())
    }

    /// Its place in the list, for the additions below.
    pub(super) fn add(&self, seen: Seen) -> usize {
        let mut pages = self.pages();
        pages.requests.push(seen);
        pages.requests.len() - 1
    }

    pub(super) fn body(&self, index: usize) -> BodySeen {
        self.pages().requests.get(index).map(|seen| seen.body.clone()).unwrap_or_default()
    }

    pub(super) fn update(&self, index: usize, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.pages().requests.get_mut(index) {
            change(seen);
        }
    }

    pub(super) fn logon(&self, verdict: &Result<String, String>) {
        let mut pages = self.pages();
        pages.logons.attempted += 1;
        match verdict {
            Ok(user) => {
                pages.logons.accepted += 1;
                pages.users.push(user.clone());
            }
            Err(why) => {
                pages.logons.rejected += 1;
                pages.notes.push(why.clone());
            }
        }
    }

    pub(super) fn stale(&self) {
        self.pages().stale += 1;
    }

    pub(super) fn note(&self, text: String) {
        self.pages().notes.push(text);
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct OpenTunnel(Record);

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.pages().tunnels -= 1;
    }
}
