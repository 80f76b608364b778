//! The ways in: which sockets are bound, and what is spoken on each.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::config::Config;
use crate::listener::{BindError, Listener};
use crate::proxy::{self, Shared, Way};

/// Bound and not yet served.
pub(super) struct Ways(Vec<(Listener, Way)>);

impl Ways {
    /// All or none.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let mut bound = vec![(Listener::bind(&config.listen)?, Way::Http)];
        for one in &config.listeners {
            let way = if one.socks5 { Way::Socks } else { Way::Http };
            bound.push((Listener::bind(&one.addrs())?, way));
        }
        for tunnel in &config.tunnels {
            bound.push((Listener::bind(&tunnel.listen)?, Way::Tunnel(tunnel.target.clone())));
        }
        Ok(Self(bound))
    }

    /// Where each way is, the main one first.
    pub fn addrs(&self) -> Vec<(Way, Vec<SocketAddr>)> {
        self.0.iter().map(|(listener, way)| (way.clone(), listener.addrs().to_vec())).collect()
    }

    /// Serves until `stop`, then hands back the clients still served. All ways share the places.
    pub fn serve(self, max_clients: usize, stop: &watch::Receiver<bool>, shared: &Shared) -> JoinHandle<JoinSet<()>> {
        let places = Arc::new(Semaphore::new(max_clients));
        let mut serving = JoinSet::new();
        for (listener, way) in self.0 {
            let (shared, room) = (shared.clone(), shared.room.clone());
            let serve = move |stream, peer| proxy::serve(stream, peer, way.clone(), shared.clone());
            serving.spawn(listener.run(places.clone(), room, stop.clone(), serve));
        }
        tokio::spawn(async move {
            let mut clients = JoinSet::new();
            while let Some(rest) = serving.join_next().await {
                if let Ok(mut rest) = rest {
                    // A JoinSet cannot swallow another one: each of these waits for its own.
                    clients.spawn(async move { while rest.join_next().await.is_some() {} });
                }
            }
            clients
        })
    }
}
