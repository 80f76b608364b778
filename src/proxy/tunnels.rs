//! The tunnels that are open, for those who ask how the relay stands.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::listener::Peer;
use crate::owner::Owner;
use crate::process;
use crate::relay::Traffic;

/// The most recently active ones are told of; the others are counted.
pub(super) const MOST_TOLD: usize = 200;

/// It lasts as long as the tunnel, so it holds no more than is told of it.
#[derive(Debug)]
pub(super) struct Tunnel {
    /// Its place among all requests of this relay.
    pub number: u64,
    peer: Peer,
    target: Arc<str>,
    hop: Arc<str>,
    /// Looked up when somebody asks; `None` in there: the system does not tell.
    program: OnceLock<Option<Box<str>>>,
    pub traffic: Traffic,
}

impl Tunnel {
    pub fn new(number: u64, peer: Peer, target: Arc<str>, hop: Arc<str>) -> Self {
        Self { number, peer, target, hop, program: OnceLock::new(), traffic: Traffic::default() }
    }

    /// `pseudonym` is the beginning of every request's id.
    fn json(&self, pseudonym: &str) -> Value {
        let now = Timestamp::now();
        let age = self.traffic.age();
        let owner = self.peer.owner.as_ref();
        let mut told = json!({
            "id": format!("{pseudonym}-{}", self.number),
            "client": self.peer.addr.to_string(),
            "uid": owner.and_then(Owner::uid),
            "program": self.program.get().and_then(Option::as_deref),
            "target": &*self.target,
            "hop": &*self.hop,
            "since": format!("{:.0}", now.checked_sub(age).unwrap_or(now)),
            "age_seconds": age.as_secs(),
            "bytes_up": self.traffic.up(),
            "bytes_down": self.traffic.down(),
            "idle_seconds": self.traffic.silent_for().as_secs(),
        });
        if let Some(sid) = owner.and_then(Owner::sid) {
            told["sid"] = sid.into();
        }
        told
    }
}

/// As `/status` has them; `all` are those that are open.
pub(super) async fn json(all: Vec<Arc<Tunnel>>, pseudonym: &str) -> Value {
    let count = all.len();
    let told = most_recent(all);
    look_programs_up(&told).await;
    let list: Vec<Value> = told.iter().map(|tunnel| tunnel.json(pseudonym)).collect();
    json!({ "count": count, "list": list })
}

fn most_recent(all: Vec<Arc<Tunnel>>) -> Vec<Arc<Tunnel>> {
    // Looked at once: the figures go on changing while they are sorted.
    let mut all: Vec<(Duration, Reverse<u64>, Arc<Tunnel>)> =
        all.into_iter().map(|tunnel| (tunnel.traffic.silent_for(), Reverse(tunnel.number), tunnel)).collect();
    all.sort_by_key(|(silent, number, _)| (*silent, *number));
    all.truncate(MOST_TOLD);
    all.into_iter().map(|(_, _, tunnel)| tunnel).collect()
}

/// One look through the system's tables for all that were not looked up before.
async fn look_programs_up(tunnels: &[Arc<Tunnel>]) {
    let unknown = |tunnel: &&Arc<Tunnel>| tunnel.program.get().is_none() && !tunnel.peer.is_outsider();
    let unknown: Vec<Arc<Tunnel>> = tunnels.iter().filter(unknown).cloned().collect();
    if unknown.is_empty() {
        return;
    }
    let connections: Vec<_> = unknown.iter().map(|tunnel| (tunnel.peer.addr, tunnel.peer.listener)).collect();
    let looking = tokio::task::spawn_blocking(move || process::programs_of(&connections));
    let Ok(found) = looking.await else { return };
    for (tunnel, program) in unknown.iter().zip(found) {
        let name = |program: PathBuf| program.display().to_string().into_boxed_str();
        let _known_by_another_look = tunnel.program.set(program.map(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_a_crowd_the_most_recently_active_are_told_of_and_all_are_counted() {
        let addr = "192.0.2.1:1".parse().unwrap();
        let peer = Peer { addr, listener: addr, owner: None };
        let all: Vec<_> =
            (0..500).map(|number| Arc::new(Tunnel::new(number, peer.clone(), "t:1".into(), "direct".into()))).collect();
        std::thread::sleep(Duration::from_millis(2));
        let told = json(all, "relay").await;
        assert_eq!(told["count"], 500);
        let list = told["list"].as_array().unwrap();
        assert_eq!(list.len(), MOST_TOLD);
        assert_eq!(list[0]["target"], "t:1");
    }

    #[test]
    fn what_is_told_of_a_tunnel_costs_some_hundred_bytes() {
        assert!(size_of::<Tunnel>() <= 256, "{}", size_of::<Tunnel>());
    }
}
