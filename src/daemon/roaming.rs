//! Follows the machine from network to network: which profile fits, whether the PAC script can be had, and what that
//! means for the next request.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::core::Core;
use super::place::choose_profile;
use super::script::Script;
use super::situation::Situation;
use super::system::{self, System};
use crate::config::{Config, PacSource};
use crate::network::{self, Network};
use crate::proxy::Looks;
use crate::route::PacState;
use crate::state::State;
use crate::system_proxy;
use crate::system_proxy::change::{self, Journal};

/// A cable that is pulled or a VPN that comes up is a burst of notices: it is over after this long without one.
const QUIET: Duration = Duration::from_secs(1);

/// A storm of notices does not put the answer off for ever.
const STORM: Duration = Duration::from_secs(5);

/// A tunnel whose address has gone gets this long for it to come back.
const LOST_ADDRESS: Duration = Duration::from_secs(3);

/// Doubts within this time of a look are answered with what was seen; the longer the more looks have shown nothing new.
const FRESH_FIRST: Duration = Duration::ZERO;
const FRESH_NEXT: Duration = Duration::from_millis(250);
const FRESH_LAST: Duration = Duration::from_secs(16);

/// While something is not as it should be, it is looked at this often, less and less.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LAST: Duration = Duration::from_secs(60);

/// Why the place is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The system says that the network is another one.
    Network,
    /// A hop could not be reached.
    Doubt,
    /// It is time.
    Refresh,
    /// The configuration is another one.
    Reload,
    /// The system names another proxy.
    Settings,
}

pub(super) struct Roaming {
    core: Arc<Core>,
    script: Option<Script>,
    /// Raised by requests that wait for the next look.
    asked: Arc<Notify>,
    /// Raised by hops that cannot be reached.
    doubts: watch::Receiver<()>,
    reloads: Arc<Notify>,
    examined: watch::Sender<Looks>,
    network: Network,
    last_look: Instant,
    fresh: Duration,
    retry: Duration,
    /// What the last look came to, but for the texts.
    outcome: Option<Outcome>,
}

/// A change of it takes requests elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    profile: Option<usize>,
    pac: std::mem::Discriminant<PacState>,
    system: Option<System>,
}

impl Roaming {
    pub fn new(core: Arc<Core>, asked: Arc<Notify>, reloads: Arc<Notify>, examined: watch::Sender<Looks>) -> Self {
        Self {
            doubts: core.live().doubts(),
            core,
            script: None,
            asked,
            reloads,
            examined,
            network: Network::default(),
            last_look: Instant::now(),
            fresh: FRESH_FIRST,
            retry: RETRY_FIRST,
            outcome: None,
        }
    }

    pub async fn run(mut self) {
        let mut watch = network::Watch::start();
        let mut settings = system_proxy::Watch::start();
        self.network = look_at_network().await;
        self.examine_unless_left(&mut watch).await;
        loop {
            let cause = self.next_cause(&mut watch, &mut settings).await;
            tracing::debug!(?cause, "the place is looked at again");
            match cause {
                Cause::Network => self.moved(&mut watch).await,
                Cause::Doubt if self.last_look.elapsed() < self.fresh => {
                    self.examined.send_modify(|looks| looks.taken += 1);
                    continue;
                }
                Cause::Doubt | Cause::Refresh | Cause::Reload | Cause::Settings => {}
            }
            self.examine_unless_left(&mut watch).await;
        }
    }

    /// A look at a place that is left meanwhile finds nothing out: it is taken once more, where the machine is then.
    async fn examine_unless_left(&mut self, watch: &mut network::Watch) {
        tokio::select! {
            () = self.examine() => return,
            change = watch.changed() => tracing::info!("{change}"),
        }
        self.moved(watch).await;
        self.examine().await;
    }

    /// Takes everything in once.
    pub async fn look(&mut self) {
        self.network = look_at_network().await;
        self.examine().await;
    }

    async fn next_cause(&mut self, watch: &mut network::Watch, settings: &mut system_proxy::Watch) -> Cause {
        let next_look = self.next_look();
        let asks_the_system = self.core.config().says_nothing_of_routes();
        tokio::select! {
            change = watch.changed() => {
                tracing::info!("{change}");
                Cause::Network
            },
            () = self.asked.notified() => Cause::Doubt,
            Ok(()) = self.doubts.changed() => Cause::Doubt,
            () = self.reloads.notified() => Cause::Reload,
            () = settings.changed(), if asks_the_system => Cause::Settings,
            () = sleep_until(next_look) => Cause::Refresh,
            () = file_changed(self.script.as_mut()) => Cause::Refresh,
        }
    }

    fn next_look(&self) -> Instant {
        let all_is_well = self.script.as_ref().is_none_or(Script::is_current);
        let refresh = self.core.config().pac.refresh;
        self.last_look + if all_is_well { refresh } else { self.retry.min(refresh) }
    }

    /// Waits for the burst to be over, and drops what was true elsewhere.
    async fn moved(&mut self, watch: &mut network::Watch) {
        // Who takes one of them now waits for an answer that cannot come.
        self.core.live().drop_idle();
        let storm = Instant::now() + STORM;
        loop {
            // Behind another router the way of the last place may be one that is forbidden here.
            if watch.network().gateways != self.network.gateways {
                self.examined.send_modify(|looks| looks.moving = true);
            }
            if Instant::now() >= storm || timeout(QUIET, watch.changed()).await.is_err() {
                break;
            }
        }
        self.examined.send_modify(|looks| looks.looking = true);
        self.network = watch.network().clone();
        self.retry = RETRY_FIRST;
        self.fresh = FRESH_FIRST;
        self.core.live().leave();
        if let Some(script) = &self.script {
            script.forget();
        }
        self.abandon_lost_tunnels();
    }

    /// Tunnels live on through a change, but not those whose own address is gone for good: nothing will ever reach
    /// them, and their clients wait.
    fn abandon_lost_tunnels(&self) {
        let live = self.core.live();
        let lost: Vec<IpAddr> = live.local_addresses().into_iter().filter(|ip| network::is_gone(*ip)).collect();
        if lost.is_empty() {
            return;
        }
        tokio::spawn(async move {
            sleep(LOST_ADDRESS).await;
            for ip in lost.into_iter().filter(|ip| network::is_gone(*ip)) {
                tracing::info!("tunnels from {ip} are ended: the address is gone");
                live.abandon(ip);
            }
        });
    }

    /// Finds out where the machine is, and has requests go by it.
    async fn examine(&mut self) {
        let config = self.core.config();
        let terms = self.core.terms();
        let choice = choose_profile(&config, &self.network, &terms.dialer).await;
        let routing = config.routing(choice.profile);
        let system = if config.says_nothing_of_routes() { self.discover(&config).await } else { None };
        let source = routing.pac.clone().or_else(|| system.as_ref().and_then(|found| found.pac.clone()));
        self.follow(source);
        if let Some(script) = &mut self.script {
            script.examine(&terms).await;
        }
        let situation = Situation {
            provisional: false,
            choice,
            pac: self.script.as_ref().map(Script::state).unwrap_or_default(),
            pac_status: self.script.as_ref().map(Script::status),
            pac_text: self.script.as_ref().and_then(Script::text),
            system,
        };
        let outcome = Outcome {
            profile: situation.choice.profile,
            pac: std::mem::discriminant(&situation.pac),
            system: situation.system.clone(),
        };
        if !self.core.settle(&config, situation) {
            return;
        }
        self.weigh(outcome);
        self.last_look = Instant::now();
        self.retry = if self.script.as_ref().is_none_or(Script::is_current) {
            RETRY_FIRST
        } else {
            (self.retry * 2).min(RETRY_LAST)
        };
        self.examined.send_modify(|looks| *looks = Looks { taken: looks.taken + 1, ..Looks::default() });
    }

    async fn discover(&self, config: &Config) -> Option<System> {
        let (listen, wpad) = (self.core.listen(), config.pac.wpad);
        let (environment, network) = (config.environment.clone(), self.network.clone());
        let state = State::read_only(config.state_directory.clone());
        let discovering = spawn_blocking(move || {
            let changed = state.read(change::JOURNAL).and_then(|bytes| Journal::read(&bytes));
            system::discover(&environment, &listen, &network, wpad, changed.as_ref())
        });
        discovering.await.ok().flatten()
    }

    /// Whoever still waits for a connection by the old way is sent on.
    fn weigh(&mut self, outcome: Outcome) {
        let before = self.outcome.replace(outcome);
        if before == self.outcome {
            self.fresh = (self.fresh * 2).clamp(FRESH_NEXT, FRESH_LAST);
            return;
        }
        self.fresh = FRESH_FIRST;
        if let Some(system) = self.outcome.as_ref().and_then(|outcome| outcome.system.as_ref())
            && before.as_ref().is_none_or(|before| before.system.as_ref() != Some(system))
        {
            system.announce();
        }
        if before.is_some() {
            self.core.live().leave();
        }
    }

    /// Another source is another script.
    fn follow(&mut self, source: Option<PacSource>) {
        if self.script.as_ref().map(|script| &script.source) != source.as_ref() {
            self.script = source.map(Script::new);
        }
    }
}

async fn look_at_network() -> Network {
    spawn_blocking(network::snapshot).await.unwrap_or_default()
}

async fn file_changed(script: Option<&mut Script>) {
    match script {
        Some(script) => script.changed().await,
        None => std::future::pending().await,
    }
}
