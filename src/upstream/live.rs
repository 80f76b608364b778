//! What changes while the relay runs: what each upstream was seen to want, its idle connections, whether it is there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::footing::{Footing, Footings};
use super::forbidden::Forbidden;
use super::lockout::Lockout;
use super::logons::Logons;
use super::marks::{Health, Marks};
use super::pool::{Idle, Pool, PoolKey};
use super::said::Said;
use super::spare::Spares;
use super::warm::Warm;
use super::witness::Witness;
use crate::address::Endpoint;
use crate::auth::{Outcome, Scheme, Start};

/// A refused tunnel to port 80 counts for all hosts, and for so long, as it may have been about one of them.
const PORT_80_REFUSAL: Duration = Duration::from_secs(10 * 60);

/// One upstream with one credential: a reload that changes either begins anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamKey {
    pub endpoint: Endpoint,
    pub generation: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// What it took the last time.
    pub start: Option<Start>,
    /// It let a request through without a log-in.
    pub open: bool,
    /// It asked for a log-in at least once; then it may ask for one target and not for another.
    pub demands: bool,
    /// It asks again on a connection that it authenticated before (RFC 4559 leaves that open).
    pub per_request: bool,
    /// It gave a tunnel to port 80: a refusal was then about the host.
    pub gives_port_80: bool,
    /// It gave none, and when that was.
    pub refused_port_80: Option<Instant>,
}

impl Known {
    /// Whether the next request can go out without finding out first.
    pub fn is_settled(self) -> bool {
        self.start.is_some() || (self.open && !self.demands)
    }

    /// Whether a tunnel to port 80 is not worth asking for.
    pub fn refuses_port_80(self, now: Instant) -> bool {
        let is_recent = |at| now.saturating_duration_since(at) < PORT_80_REFUSAL;
        !self.gives_port_80 && self.refused_port_80.is_some_and(is_recent)
    }
}

#[derive(Debug, Default)]
pub struct Live {
    known: Mutex<HashMap<UpstreamKey, Known>>,
    pool: Pool,
    spares: Arc<Spares>,
    warm: Arc<Warm>,
    forbidden: Forbidden,
    marks: Arc<Marks>,
    /// Counts the networks that were left.
    left: watch::Sender<u64>,
    footings: Footings,
    lockout: Lockout,
    logons: Logons,
    said: Said,
    witness: OnceLock<Arc<dyn Witness>>,
}

impl Live {
    /// With so many idle connections at most.
    pub fn with(lockout: Lockout, most_idle: usize) -> Self {
        Self { lockout, pool: Pool::of(most_idle), ..Self::default() }
    }

    pub fn lockout(&self) -> &Lockout {
        &self.lockout
    }

    /// How upstreams were got through so far.
    pub fn logons(&self) -> &Logons {
        &self.logons
    }

    /// Whether this trouble is worth a line for a person, and was not told lately.
    pub fn is_news(&self, trouble: &str) -> bool {
        self.said.is_news(trouble)
    }

    /// From now on it is shown what is said on the way to tunnels. There is one at most, and it stays.
    pub fn show_to(&self, witness: Arc<dyn Witness>) {
        self.witness.get_or_init(|| witness);
    }

    pub(super) fn witness(&self) -> Option<&dyn Witness> {
        self.witness.get().map(Arc::as_ref)
    }

    pub fn known(&self, key: &UpstreamKey) -> Known {
        lock(&self.known).get(key).copied().unwrap_or_default()
    }

    pub fn learn(&self, key: &UpstreamKey, outcome: Outcome) {
        let mut known = lock(&self.known);
        let entry = known.entry(key.clone()).or_default();
        match outcome {
            Outcome { start: Some(start), accepted: true } => {
                *entry = Known { start: Some(start), demands: true, ..*entry };
                self.logons.accepted(&key.endpoint, start);
            }
            // Let through with nothing, or with a first message that nobody had asked for.
            Outcome { .. } => {
                entry.open = true;
                self.logons.open(&key.endpoint);
            }
        }
    }

    /// It asked again on a connection that it had authenticated. Only a ticket goes with every request from now
    /// on, at no cost; an NTLM log-in has merely expired.
    pub fn asks_each_time(&self, key: &UpstreamKey) {
        let mut known = lock(&self.known);
        let entry = known.entry(key.clone()).or_default();
        entry.per_request = entry.start == Some(Start::Scheme(Scheme::Negotiate));
    }

    /// It refused what it took before: the next request asks what it takes.
    pub fn forget_start(&self, key: &UpstreamKey) {
        lock(&self.known).entry(key.clone()).or_default().start = None;
        self.warm.drop_of(key);
    }

    pub fn demands(&self, key: &UpstreamKey) {
        lock(&self.known).entry(key.clone()).or_default().demands = true;
    }

    pub fn port_80_given(&self, key: &UpstreamKey) {
        lock(&self.known).entry(key.clone()).or_default().gives_port_80 = true;
    }

    pub fn port_80_refused(&self, key: &UpstreamKey, now: Instant) {
        lock(&self.known).entry(key.clone()).or_default().refused_port_80 = Some(now);
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn spares(&self) -> &Arc<Spares> {
        &self.spares
    }

    pub(super) fn warm(&self) -> &Arc<Warm> {
        &self.warm
    }

    /// Whether log-ins by NTLM may be begun ahead.
    pub fn open_log_ins_ahead(&self, may: bool) {
        self.warm.want(may);
    }

    /// They wait as idle connections do, and share their limit.
    pub(super) fn room_for_spares(&self) -> usize {
        self.pool.room()
    }

    /// Unless everything was forgotten since `era`: whoever forgets counts on, and then drops what is idle.
    pub(super) fn put(&self, key: PoolKey, entry: Idle, era: u64) {
        self.pool.put(key, entry, self.spares.count(), || era == self.forbidden.era());
    }

    pub(super) fn forbidden(&self) -> &Forbidden {
        &self.forbidden
    }

    /// Whoever changed something wants to see what has become of it.
    pub fn forget_refusals(&self) {
        self.forbidden.clear();
    }

    /// A person has changed a secret: connections that the former one opened are given to nobody, and what was forbidden
    /// to whom it named may be allowed now.
    pub fn begin_afresh(&self) {
        self.forget_refusals();
        self.drop_idle();
    }

    pub(super) fn marks(&self) -> &Arc<Marks> {
        &self.marks
    }

    /// It could not be reached a moment ago.
    pub(super) fn is_dead(&self, endpoint: &Endpoint) -> bool {
        self.marks.of(endpoint).is_some()
    }

    /// The network is another one: idle connections lead nowhere, another policy may hold, who could not be reached
    /// may be there now, and whoever waits for a connection waits in the wrong place. What upstreams were seen to want
    /// is true of them in any network.
    pub fn leave(&self) {
        self.forget_refusals();
        self.drop_idle();
        self.marks.forget();
        self.warm.forget();
        self.left.send_modify(|left| *left += 1);
    }

    /// Something about the network is changing; what is idle may have lost its way.
    pub fn drop_idle(&self) {
        self.pool.clear();
        self.drop_dialled_ahead();
    }

    /// Descriptors have run out: what nobody uses makes room.
    pub(super) fn make_room(&self) {
        self.drop_idle();
        self.spares.rest();
    }

    /// Another configuration may dial otherwise.
    pub fn drop_dialled_ahead(&self) {
        self.spares.clear();
        self.warm.clear();
    }

    /// Differs from one network to the next.
    pub fn network(&self) -> u64 {
        *self.left.borrow()
    }

    /// Waits until the network is another one.
    pub(super) async fn left(&self) {
        let mut left = self.left.subscribe();
        left.mark_unchanged();
        // The sender lives in ourselves.
        if left.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// For as long as a tunnel runs on this connection.
    pub fn footing(&self, stream: &TcpStream) -> Footing {
        self.footings.of(stream)
    }

    /// This machine's addresses that tunnels leave from.
    pub fn local_addresses(&self) -> Vec<IpAddr> {
        self.footings.addresses()
    }

    /// The machine has this address no more: breaks off all tunnels that leave from it.
    pub fn abandon(&self, address: IpAddr) {
        self.footings.abandon(address);
    }

    /// The relay is at its end: so is every tunnel, and every request that an upstream still answers.
    pub fn end(&self) {
        self.footings.end();
    }

    /// Every upstream that was dialled lately, and since when it has been so.
    pub fn health(&self) -> Vec<(Endpoint, Health, Timestamp)> {
        self.marks.health()
    }

    pub(super) fn doubt(&self) {
        self.marks.doubt();
    }

    /// Changes when a dial of an upstream fails or takes its time: the network may be another one. It changes
    /// as often as requests fail; whoever acts on it sets the pace.
    pub fn doubts(&self) -> watch::Receiver<()> {
        self.marks.doubts()
    }

    /// Drops what nobody came back for.
    pub fn sweep(&self, now: Instant) {
        self.forbidden.sweep(now);
        self.pool.sweep(now);
        self.spares.sweep(now);
    }
}

/// A panic elsewhere leaves maps whole: each change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_tunnel_to_port_80_is_remembered_for_a_while_unless_one_was_given() {
        let now = Instant::now();
        let refused = Known { refused_port_80: Some(now), ..Known::default() };
        assert!(refused.refuses_port_80(now + PORT_80_REFUSAL / 2));
        assert!(!refused.refuses_port_80(now + PORT_80_REFUSAL));
        assert!(!Known { gives_port_80: true, ..refused }.refuses_port_80(now));
        assert!(!Known::default().refuses_port_80(now));
    }
}
