//! Which upstreams refuse tunnels to port 80: seen once, the next client need not wait for the refusal.

use std::time::Instant;

use super::Upstreams;
use crate::route::{Hop, Route};

impl Upstreams {
    /// Whether the hop that would be tried first was seen to refuse.
    pub fn refuses_port_80(&self, route: &Route) -> bool {
        let Some(Hop::Upstream(endpoint)) = route.hops.first() else { return false };
        self.live.known(&self.key(&self.find(endpoint))).refuses_port_80(Instant::now())
    }

    /// A tunnel to port 80 was answered with this. A server's failure says nothing about the next one.
    pub fn note_port_80(&self, hop: &Hop, status: u16) {
        let Hop::Upstream(endpoint) = hop else { return };
        let key = self.key(&self.find(endpoint));
        match status {
            200..300 => self.live.port_80_given(&key),
            300..=499 | 501 => self.live.port_80_refused(&key, Instant::now()),
            _ => {}
        }
    }
}
