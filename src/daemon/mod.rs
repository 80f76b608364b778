//! The relay as a whole: built from a configuration, reloaded, moved from place to place, drained, stopped.

mod afresh;
mod build;
mod core;
mod files;
mod interfaces;
mod kept;
mod lasting;
mod place;
mod pulse;
mod record;
mod roaming;
mod script;
mod script_host;
mod situation;
mod system;
mod trial;
mod ways;

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::audit::Audit;
use crate::config::{self, Config};
use crate::listener::{Inherited, Places, Room};
use crate::process::descriptors;
use crate::process::memory::give_large_blocks_back;
use crate::proxy::{Configuration, Doubt, Kept, Phase, Proxy, Refusals, Shared, Way, chain};
use crate::sink::Lines;
use crate::state::State;
use crate::upstream::lockout::Lockout;
use crate::upstream::{Live, MAX_IDLE_TOTAL, TlsError};
use build::Fixed;
use core::Core;
pub use files::{ConfigFiles, unreadable_secret};
use lasting::lasting;
pub use pulse::Pulse;
use record::LockoutRecord;
pub use record::{Before, tried_before};
use roaming::Roaming;
pub use trial::{Trial, try_out};
pub use ways::WaysError;
use ways::{Bound, Listening, Plan, Ways};

/// Idle upstream connections are looked at this often.
const SWEEP: Duration = Duration::from_secs(15);

/// After the grace, what still runs gets this long to write its last words.
const LAST_WORDS: Duration = Duration::from_millis(500);

#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Ways(#[from] WaysError),
    #[error("upstream {name}")]
    Tls {
        name: String,
        #[source]
        source: TlsError,
    },
    #[error("cannot write audit records to {to}")]
    Audit {
        to: String,
        #[source]
        source: io::Error,
    },
}

pub struct Daemon {
    ways: Arc<Mutex<Ways>>,
    grace: Duration,
    drain_delay: Duration,
    kept: Kept,
    configuration: watch::Sender<Configuration>,
    core: Arc<Core>,
    /// Has the place looked at by a new configuration.
    reloaded: Arc<Notify>,
    phase: watch::Sender<Phase>,
    sweeping: JoinHandle<()>,
    /// Looks for a person who asks for a fresh start.
    beginning_afresh: JoinHandle<()>,
    roaming: JoinHandle<()>,
    /// Tells whoever follows interfaces that others may be wanted.
    replanned: Arc<Notify>,
    following: JoinHandle<()>,
}

impl Daemon {
    /// Binds and serves at once; must be called within a runtime.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        Self::start_with(config, Arc::new(Lines::new("lines of the log")))
    }

    /// `log` is the one of the process, for those who ask what it lost.
    pub fn start_with(config: &Config, log: Arc<Lines>) -> Result<Self, StartError> {
        Self::start_on(config, log, Inherited::default())
    }

    /// Takes sockets that listen already for those of its addresses.
    pub fn start_on(config: &Config, log: Arc<Lines>, inherited: Inherited) -> Result<Self, StartError> {
        give_large_blocks_back();
        let bound = Bound::new(config, inherited)?;
        let listening = Listening::default();
        listening.set(bound.addrs());
        let kept = Kept { records: Arc::new(Lines::new("audit records")), log };
        kept.records.switch(kept::prepare(&kept.records, &config.audit)?);
        let audit = Audit::to(kept.records.clone());
        let descriptors = descriptors::limit();
        let most_idle = most_idle(descriptors);
        let room = Room::new(descriptors, most_idle);
        let state = State::at(config.state_directory.clone());
        let lockout = Lockout::new(Some(Arc::new(LockoutRecord(state.clone()))));
        let live = Arc::new(Live::with(lockout, most_idle));
        let (pseudonym, tally) = (build::pseudonym(), Arc::default());
        let fixed = Fixed { listen: listening.clone(), live: live.clone(), audit, pseudonym, tally };
        let core = Arc::new(Core::new(config, fixed, state)?);
        let (phase, phase_seen) = watch::channel(Phase::Serving);
        let (reloaded, looks) = (Arc::new(Notify::new()), watch::Sender::default());
        let asked = Arc::new(Notify::new());
        let doubt = Doubt::new(asked.clone(), looks.subscribe());
        let renewed = core.clone();
        let begin_afresh = move || afresh::follow(renewed.clone());
        let (looking_for, told) = (core.clone(), reloaded.clone());
        let look = move || Roaming::new(looking_for.clone(), asked.clone(), told.clone(), looks.clone()).run();
        let (configuration, configuration_seen) = watch::channel(Configuration::of_now(config.files.clone()));
        let shared = Shared {
            proxies: core.proxies(),
            phase: phase_seen,
            doubt,
            configuration: configuration_seen,
            kept: kept.clone(),
            places: Places::new(config.max_clients),
            room,
            refusals: Arc::new(Refusals::default()),
        };
        let ways = Arc::new(Mutex::new(bound.serve(shared, listening)));
        let replanned = Arc::new(Notify::new());
        let (followed, following_for, told) = (ways.clone(), core.clone(), replanned.clone());
        let follow = move || interfaces::follow(followed.clone(), following_for.clone(), told.clone());
        Ok(Self {
            ways,
            replanned,
            following: tokio::spawn(lasting("the care for interfaces", follow)),
            grace: config.grace,
            drain_delay: config.drain_delay,
            kept,
            configuration,
            core,
            reloaded,
            phase,
            sweeping: tokio::spawn(lasting("the care for idle connections", move || sweep(live.clone()))),
            beginning_afresh: tokio::spawn(lasting("the look for fresh starts", begin_afresh)),
            roaming: tokio::spawn(lasting("the look at the network", look)),
        })
    }

    /// Where the clients of `listen` reach us; the kernel's choice where port 0 was asked for.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.ways().into_iter().next().map_or_else(Vec::new, |(_, addrs)| addrs)
    }

    /// Every way in and its addresses: `listen`, the further listeners, the tunnels.
    pub fn ways(&self) -> Vec<(Way, Vec<SocketAddr>)> {
        lock(&self.ways).addrs()
    }

    /// For a watchdog.
    pub fn pulse(&self) -> Pulse {
        Pulse { core: self.core.clone(), ways: self.ways.clone() }
    }

    /// What requests go by, now and whenever that changes.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Proxy>> {
        self.core.proxies()
    }

    /// What changes while the relay runs: the health of its hops, the addresses its tunnels leave from.
    pub fn live(&self) -> Arc<Live> {
        self.core.live()
    }

    /// New requests see the new configuration; those under way and all tunnels keep theirs. All of it or nothing.
    pub fn reload(&mut self, config: &Config) -> Result<(), StartError> {
        self.take(config).inspect_err(|error| self.reject(vec![chain(error)]))?;
        self.configuration.send_replace(Configuration::of_now(config.files.clone()));
        self.core.tally().reloaded(true);
        Ok(())
    }

    /// What counts at the moment.
    pub fn config(&self) -> Arc<Config> {
        self.core.config()
    }

    /// The configuration that somebody wants instead cannot be used: those who ask are told why, until this is called
    /// with nothing or another one counts.
    pub fn reject(&self, problems: Vec<String>) {
        if !problems.is_empty() {
            self.core.tally().reloaded(false);
        }
        self.configuration.send_modify(|configuration| configuration.problems = problems);
    }

    /// What can fail comes first, and what cannot comes last.
    fn take(&mut self, config: &Config) -> Result<(), StartError> {
        let before = self.core.config();
        let records = match before.audit == config.audit {
            true => None,
            false => Some(kept::prepare(&self.kept.records, &config.audit)?),
        };
        let plan = Plan::new(config)?;
        // What is to change counts in the sockets that are open now: no interface may come or go in the meantime.
        let mut ways = lock(&self.ways);
        let change = ways.prepare(plan)?;
        self.core.reload(config)?;
        let moved = ways.commit(change);
        drop(ways);
        if moved {
            self.core.publish_ways();
        }
        self.replanned.notify_one();
        match records {
            Some(prepared) => self.kept.records.switch(prepared),
            None => self.kept.records.reopen(),
        }
        self.grace = config.grace;
        self.drain_delay = config.drain_delay;
        self.reloaded.notify_one();
        Ok(())
    }

    /// Tells balancers to go elsewhere, closes the listening sockets, sends idle clients away, gives the rest the grace, ends.
    /// `hurry` cuts all of that short.
    pub async fn stop(self, hurry: impl Future<Output = ()>) {
        let mut hurry = pin!(hurry);
        let grace = if self.leave(hurry.as_mut()).await { self.grace } else { Duration::ZERO };
        self.following.abort();
        let closing = lock(&self.ways).close_all();
        self.phase.send_replace(Phase::Draining);
        self.sweeping.abort();
        self.beginning_afresh.abort();
        self.roaming.abort();
        let mut clients = closing.clients().await;
        tokio::select! {
            () = all_gone(&mut clients) => {}
            () = sleep(grace) => {}
            () = hurry, if !grace.is_zero() => {}
        }
        self.phase.send_replace(Phase::Ending);
        self.core.live().end();
        let _ = timeout(LAST_WORDS, all_gone(&mut clients)).await;
        clients.shutdown().await;
        drop(self.ways);
        let _ = self.roaming.await;
        let _ = self.following.await;
        let records = self.kept.records;
        let _ = tokio::task::spawn_blocking(move || records.finish(LAST_WORDS)).await;
    }
}

impl Daemon {
    /// Serves on until whoever sends clients here has seen that it should not. `false`: there is no time for that.
    async fn leave(&self, hurry: Pin<&mut impl Future<Output = ()>>) -> bool {
        if self.drain_delay.is_zero() {
            return true;
        }
        tracing::info!("clients are still let in for {} s", self.drain_delay.as_secs_f64());
        self.phase.send_replace(Phase::Leaving);
        tokio::select! {
            () = sleep(self.drain_delay) => true,
            () = hurry => false,
        }
    }
}

/// What requests would go by, were the relay started here and now. Nothing is kept.
pub async fn survey(config: &Config) -> Result<Arc<Proxy>, StartError> {
    look_around(config, Arc::default()).await
}

/// The same for whoever goes that way: with this user's record of refused log-ins, which is kept.
pub async fn survey_for_trial(config: &Config) -> Result<Arc<Proxy>, StartError> {
    let state = State::at(config.state_directory.clone());
    let lockout = Lockout::new(Some(Arc::new(LockoutRecord(state))));
    look_around(config, Arc::new(Live::with(lockout, most_idle(descriptors::limit())))).await
}

async fn look_around(config: &Config, live: Arc<Live>) -> Result<Arc<Proxy>, StartError> {
    let further = config.listeners.iter().flat_map(config::Listener::addrs);
    let tunnels = config.tunnels.iter().flat_map(|tunnel| tunnel.listen.clone());
    let listening = Listening::default();
    listening.set(config.listen.iter().copied().chain(further).chain(tunnels).collect());
    let (pseudonym, tally) = (build::pseudonym(), Arc::default());
    let fixed = Fixed { listen: listening, live: live.clone(), audit: Audit::off(), pseudonym, tally };
    let core = Arc::new(Core::new(config, fixed, State::read_only(config.state_directory.clone()))?);
    Roaming::new(core.clone(), Arc::default(), Arc::default(), watch::Sender::default()).look().await;
    let proxy = core.proxies().borrow().clone();
    Ok(proxy)
}

/// Connections that wait for a request to come must leave descriptors for those that are at work.
fn most_idle(descriptors: Option<usize>) -> usize {
    descriptors.map_or(MAX_IDLE_TOTAL, |limit| MAX_IDLE_TOTAL.min(limit / 8))
}

/// No change of the ways can be seen half done.
fn lock(ways: &Mutex<Ways>) -> MutexGuard<'_, Ways> {
    ways.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn all_gone(clients: &mut JoinSet<()>) {
    while clients.join_next().await.is_some() {}
}

async fn sweep(live: Arc<Live>) {
    let mut tick = interval(SWEEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        live.sweep(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Files, Inputs, Layer, PolicyPlace, load};
    use crate::proxy::Wanted;

    #[tokio::test]
    async fn what_a_request_would_be_refused_is_explained_as_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hallpass.toml");
        let text = "connect_ports = [443]\nlisten = [\"127.0.0.1:3128\"]\n\
                    [[listeners]]\ninterface = \"lo\"\nport = 1080\n\
                    [[tunnels]]\nlisten = \"127.0.0.1:8025\"\ntarget = \"mail.test:25\"\n";
        std::fs::write(&path, text).unwrap();
        let inputs = Inputs {
            files: Files::Only(path),
            environment: Environment::default(),
            flags: Layer::default(),
            policy: PolicyPlace::Nowhere,
        };
        let config = load(&inputs).unwrap_or_else(|mistakes| panic!("{:?}", mistakes.0)).config;
        let proxy = survey(&config).await.unwrap();
        for (asked, reason) in [
            ("http://127.0.0.1:3128/", "own"),
            ("http://localhost:1080/", "own"),
            ("http://127.0.0.1:8025/", "own"),
            ("a.test:25", "rule"),
            ("https://a.test:8443/x", "rule"),
        ] {
            let decision = proxy.explain(&Wanted::parse(asked).unwrap()).await;
            assert_eq!((decision.hops.len(), decision.reason.kind.name()), (0, reason), "{asked}");
        }
        for asked in ["a.test", "http://a.test:25/", "127.0.0.1:443"] {
            assert_eq!(proxy.explain(&Wanted::parse(asked).unwrap()).await.hops.len(), 1, "{asked}");
        }
    }
}
