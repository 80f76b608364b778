//! The relay as a whole: built from a configuration, reloaded, moved from place to place, drained, stopped.

mod build;
mod core;
mod interfaces;
mod place;
mod roaming;
mod script;
mod script_host;
mod situation;
mod system;
mod ways;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::audit::{Audit, Sink, Writer};
use crate::config::{self, AuditTo, Config};
use crate::proxy::{Doubt, Phase, Proxy, Refusals, Shared, Way};
use crate::state::State;
use crate::upstream::{Live, TlsError};
use build::Fixed;
use core::Core;
use roaming::Roaming;
pub use ways::WaysError;
use ways::{Bound, Listening, Ways};

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
    writer: Writer,
    core: Arc<Core>,
    started_with: Config,
    /// Has the place looked at by a new configuration.
    reloaded: Arc<Notify>,
    phase: watch::Sender<Phase>,
    sweeping: JoinHandle<()>,
    roaming: JoinHandle<()>,
    /// Tells whoever follows interfaces that others may be wanted.
    replanned: Arc<Notify>,
    following: JoinHandle<()>,
}

impl Daemon {
    /// Binds and serves at once; must be called within a runtime.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let bound = Bound::new(config)?;
        let listening = Listening::default();
        listening.set(bound.addrs());
        let (audit, writer) = start_audit(config)?;
        let live = Arc::new(Live::default());
        let fixed = Fixed { listen: listening.clone(), live: live.clone(), audit, pseudonym: build::pseudonym() };
        let core = Arc::new(Core::new(config, fixed, State::at(config.state_directory.clone()))?);
        let (phase, phase_seen) = watch::channel(Phase::Serving);
        let (reloaded, looks) = (Arc::new(Notify::new()), watch::Sender::default());
        let asked = Arc::new(Notify::new());
        let doubt = Doubt::new(asked.clone(), looks.subscribe());
        let roaming = Roaming::new(core.clone(), asked, reloaded.clone(), looks);
        let refusals = Arc::new(Refusals::default());
        let shared = Shared { proxies: core.proxies(), phase: phase_seen, doubt, refusals };
        let ways = Arc::new(Mutex::new(bound.serve(shared, listening)));
        let replanned = Arc::new(Notify::new());
        let following = interfaces::follow(ways.clone(), core.clone(), replanned.clone());
        Ok(Self {
            ways,
            replanned,
            following: tokio::spawn(following),
            grace: config.grace,
            writer,
            core,
            started_with: config.clone(),
            reloaded,
            phase,
            sweeping: tokio::spawn(sweep(live)),
            roaming: tokio::spawn(roaming.run()),
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

    /// What changes while the relay runs: the health of its hops, the addresses its tunnels leave from.
    pub fn live(&self) -> Arc<Live> {
        self.core.live()
    }

    /// New requests see the new configuration; those under way and all tunnels keep theirs.
    pub fn reload(&mut self, config: &Config) -> Result<(), StartError> {
        let change = lock(&self.ways).prepare(config)?;
        self.core.reload(config)?;
        if lock(&self.ways).commit(change) {
            self.core.publish_ways();
        }
        self.replanned.notify_one();
        self.grace = config.grace;
        self.reloaded.notify_one();
        for key in needs_restart(&self.started_with, config) {
            tracing::warn!("{key} has changed: that takes a restart");
        }
        Ok(())
    }

    /// Closes the listening sockets, sends idle clients away, gives the rest the grace, ends. `hurry` cuts the
    /// grace short.
    pub async fn stop(self, hurry: impl Future<Output = ()>) {
        self.following.abort();
        let closing = lock(&self.ways).close_all();
        self.phase.send_replace(Phase::Draining);
        self.sweeping.abort();
        self.roaming.abort();
        let mut clients = closing.clients().await;
        tokio::select! {
            () = all_gone(&mut clients) => {}
            () = sleep(self.grace) => {}
            () = hurry => {}
        }
        self.phase.send_replace(Phase::Ending);
        let _ = timeout(LAST_WORDS, all_gone(&mut clients)).await;
        clients.shutdown().await;
        drop(self.ways);
        // The last senders of audit records end their writer.
        let _ = self.roaming.await;
        let _ = self.following.await;
        drop(self.core);
        let writer = self.writer;
        let _ = timeout(LAST_WORDS, tokio::task::spawn_blocking(move || writer.finish())).await;
    }
}

/// What requests would go by, were the relay started here and now. Nothing is kept.
pub async fn survey(config: &Config) -> Result<Arc<Proxy>, StartError> {
    let live = Arc::new(Live::default());
    let (audit, _writer) =
        Audit::start(Sink::Off).map_err(|source| StartError::Audit { to: "nowhere".into(), source })?;
    let further = config.listeners.iter().flat_map(config::Listener::addrs);
    let tunnels = config.tunnels.iter().flat_map(|tunnel| tunnel.listen.clone());
    let listening = Listening::default();
    listening.set(config.listen.iter().copied().chain(further).chain(tunnels).collect());
    let fixed = Fixed { listen: listening, live: live.clone(), audit, pseudonym: build::pseudonym() };
    let core = Arc::new(Core::new(config, fixed, State::read_only(config.state_directory.clone()))?);
    Roaming::new(core.clone(), Arc::default(), Arc::default(), watch::Sender::default()).look().await;
    let proxy = core.proxies().borrow().clone();
    Ok(proxy)
}

/// What is fixed when the writers are started.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let keys = [("[audit]", old.audit != new.audit), ("[log]", old.log != new.log)];
    keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
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

fn start_audit(config: &Config) -> Result<(Audit, Writer), StartError> {
    let (sink, to) = match &config.audit.to {
        AuditTo::Off => (Sink::Off, "nowhere".to_string()),
        AuditTo::Stderr => (Sink::Stderr, "stderr".to_string()),
        AuditTo::File(path) => {
            let to = path.display().to_string();
            (Sink::File { path: path.clone(), max_size: config.audit.max_size, keep: config.audit.keep }, to)
        }
    };
    Audit::start(sink).map_err(|source| StartError::Audit { to, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Files, Inputs, Layer, load};
    use crate::proxy::Wanted;

    #[tokio::test]
    async fn what_a_request_would_be_refused_is_explained_as_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hallpass.toml");
        let text = "connect_ports = [443]\nlisten = [\"127.0.0.1:3128\"]\n\
                    [[listeners]]\ninterface = \"lo\"\nport = 1080\n\
                    [[tunnels]]\nlisten = \"127.0.0.1:8025\"\ntarget = \"mail.test:25\"\n";
        std::fs::write(&path, text).unwrap();
        let inputs = Inputs { files: Files::Only(path), environment: Environment::default(), flags: Layer::default() };
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
