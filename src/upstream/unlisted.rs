//! Upstreams that no configuration names: a PAC script or the system does. They get what is the default for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Tls, Upstream};
use crate::address::Endpoint;
use crate::auth::Scheme;

/// A script may name as many as it likes, and each is made anew at little cost.
const MAX_KEPT: usize = 256;

pub struct Unlisted {
    generation: u64,
    tls: Tls,
    made: Mutex<HashMap<Endpoint, Arc<Upstream>>>,
}

impl Unlisted {
    /// `generation` differs whenever the credentials that such upstreams may receive differ, and from that of every
    /// configured upstream.
    pub fn new(generation: u64) -> Self {
        Self { generation, tls: Tls::system(), made: Mutex::default() }
    }

    pub(super) fn find(&self, endpoint: &Endpoint) -> Arc<Upstream> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.get(endpoint) {
            return known.clone();
        }
        if made.len() >= MAX_KEPT {
            made.clear();
        }
        let upstream = Arc::new(Upstream {
            endpoint: endpoint.clone(),
            schemes: Scheme::DEFAULT.as_slice().into(),
            tls: endpoint.is_tls().then(|| self.tls.clone()),
            channel_bindings: true,
            generation: self.generation,
        });
        made.insert(endpoint.clone(), upstream.clone());
        upstream
    }
}
