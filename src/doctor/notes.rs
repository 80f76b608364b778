//! What checks leave for those that begin after them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::address::{Endpoint, Target};
use crate::upstream::Tunnel;

/// What an upstream answered to whoever showed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub wants_log_in: bool,
    pub schemes: Vec<String>,
}

#[derive(Default)]
pub(super) struct Notes {
    noted: Mutex<Noted>,
    /// Of all targets so far, in one file; whoever adds to it writes it before the next one does.
    pub authorities: tokio::sync::Mutex<Vec<String>>,
}

#[derive(Default)]
struct Noted {
    offers: HashMap<Endpoint, Offer>,
    /// The account is known to be in such a state that showing its secret can only do harm.
    hopeless: Vec<Endpoint>,
    tunnels: HashMap<Target, Tunnel>,
}

impl Notes {
    pub fn offered(&self, endpoint: &Endpoint, offer: Offer) {
        self.noted().offers.insert(endpoint.clone(), offer);
    }

    pub fn offer(&self, endpoint: &Endpoint) -> Option<Offer> {
        self.noted().offers.get(endpoint).cloned()
    }

    pub fn is_hopeless(&self, endpoint: &Endpoint) -> bool {
        self.noted().hopeless.contains(endpoint)
    }

    pub fn gives_up(&self, endpoint: &Endpoint) {
        self.noted().hopeless.push(endpoint.clone());
    }

    /// A way to the target on which nothing was said yet.
    pub fn reached(&self, target: &Target, tunnel: Tunnel) {
        self.noted().tunnels.insert(target.clone(), tunnel);
    }

    pub fn take_tunnel(&self, target: &Target) -> Option<Tunnel> {
        self.noted().tunnels.remove(target)
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
