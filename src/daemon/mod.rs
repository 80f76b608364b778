//! The relay as a whole: built from a configuration, reloaded, drained, stopped.

mod build;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::audit::{Audit, Sink, Writer};
use crate::config::{AuditTo, Config};
use crate::listener::{BindError, Listener};
use crate::proxy::{self, Phase, Proxy, Shared};
use crate::upstream::{Live, TlsError};
use build::Generations;

/// Idle upstream connections are looked at this often.
const SWEEP: Duration = Duration::from_secs(15);

/// After the grace, what still runs gets this long to write its last words.
const LAST_WORDS: Duration = Duration::from_millis(500);

#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
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
    addrs: Vec<SocketAddr>,
    grace: Duration,
    audit: Audit,
    writer: Writer,
    pseudonym: String,
    live: Arc<Live>,
    generations: Generations,
    started_with: Config,
    proxies: watch::Sender<Arc<Proxy>>,
    phase: watch::Sender<Phase>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<JoinSet<()>>,
    sweeping: JoinHandle<()>,
}

impl Daemon {
    /// Binds and serves at once; must be called within a runtime.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let listener = Listener::bind(&config.listen)?;
        let addrs = listener.addrs().to_vec();
        let (audit, writer) = start_audit(config)?;
        let live = Arc::new(Live::default());
        let mut generations = Generations::default();
        let pseudonym = build::pseudonym();
        let proxy = build::proxy(config, &addrs, &live, &audit, &pseudonym, &mut generations)?;
        let (proxies, proxies_seen) = watch::channel(Arc::new(proxy));
        let (phase, phase_seen) = watch::channel(Phase::Serving);
        let (stop, stop_seen) = watch::channel(false);
        let shared = Shared { proxies: proxies_seen, phase: phase_seen };
        let serve = move |stream, peer| proxy::serve(stream, peer, shared.clone());
        let serving = tokio::spawn(listener.run(config.max_clients, stop_seen, serve));
        let sweeping = tokio::spawn(sweep(live.clone()));
        Ok(Self {
            addrs,
            grace: config.grace,
            audit,
            writer,
            pseudonym,
            live,
            generations,
            started_with: config.clone(),
            proxies,
            phase,
            stop,
            serving,
            sweeping,
        })
    }

    /// Where clients reach us; the kernel's choice where port 0 was asked for.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// What changes while the relay runs: the health of its hops, the addresses its tunnels leave from.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// New requests see the new configuration; those under way and all tunnels keep theirs.
    pub fn reload(&mut self, config: &Config) -> Result<(), StartError> {
        let proxy = build::proxy(config, &self.addrs, &self.live, &self.audit, &self.pseudonym, &mut self.generations)?;
        self.proxies.send_replace(Arc::new(proxy));
        self.grace = config.grace;
        for key in needs_restart(&self.started_with, config) {
            tracing::warn!("{key} has changed: that takes a restart");
        }
        Ok(())
    }

    /// Closes the listening sockets, sends idle clients away, gives the rest the grace, ends. `hurry` cuts the
    /// grace short.
    pub async fn stop(self, hurry: impl Future<Output = ()>) {
        self.stop.send_replace(true);
        self.phase.send_replace(Phase::Draining);
        self.sweeping.abort();
        if let Ok(mut clients) = self.serving.await {
            tokio::select! {
                () = all_gone(&mut clients) => {}
                () = sleep(self.grace) => {}
                () = hurry => {}
            }
            self.phase.send_replace(Phase::Ending);
            let _ = timeout(LAST_WORDS, all_gone(&mut clients)).await;
            clients.shutdown().await;
        }
        drop((self.proxies, self.audit));
        let writer = self.writer;
        let _ = timeout(LAST_WORDS, tokio::task::spawn_blocking(move || writer.finish())).await;
    }
}

/// What is fixed when the sockets are bound and the writers started.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let keys = [
        ("listen", old.listen != new.listen),
        ("max_clients", old.max_clients != new.max_clients),
        ("[audit]", old.audit != new.audit),
        ("[log]", old.log != new.log),
    ];
    keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
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
