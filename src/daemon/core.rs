//! What the relay runs by at the moment. Whoever learns something new puts it in here, and out comes the next
//! snapshot for requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::StartError;
use super::build::Parts;
use super::script::Terms;
use super::system::System;
use crate::address::Endpoint;
use crate::audit::Audit;
use crate::config::Config;
use crate::proxy::{PacStatus, Proxy};
use crate::route::PacState;
use crate::route::profile::Choice;
use crate::state::State;
use crate::upstream::Live;

/// What was found out about the place where the machine is.
#[derive(Clone, Default)]
pub(super) struct Situation {
    pub choice: Choice,
    pub pac: PacState,
    pub pac_status: Option<PacStatus>,
    pub pac_text: Option<Arc<str>>,
    pub system: Option<System>,
}

impl Situation {
    /// The upstreams that the system names.
    fn found(&self) -> &[Endpoint] {
        self.system.as_ref().map(|system| system.upstreams.as_slice()).unwrap_or_default()
    }
}

/// What stays the same for as long as the process lives.
pub(super) struct Fixed {
    pub listen: Vec<SocketAddr>,
    pub live: Arc<Live>,
    pub audit: Audit,
    pub pseudonym: String,
}

pub(super) struct Core {
    fixed: Fixed,
    state: State,
    current: Mutex<Current>,
    proxies: watch::Sender<Arc<Proxy>>,
}

struct Current {
    config: Arc<Config>,
    parts: Parts,
    situation: Situation,
}

impl Core {
    pub fn new(config: &Config, fixed: Fixed, state: State) -> Result<Self, StartError> {
        let config = Arc::new(config.clone());
        let parts = Parts::new(&config, &fixed, Default::default(), &[])?;
        let situation = Situation::default();
        let (proxies, _) = watch::channel(Arc::new(parts.proxy(&config, &fixed, &situation)));
        Ok(Self { fixed, state, current: Mutex::new(Current { config, parts, situation }), proxies })
    }

    pub fn proxies(&self) -> watch::Receiver<Arc<Proxy>> {
        self.proxies.subscribe()
    }

    pub fn config(&self) -> Arc<Config> {
        self.current().config.clone()
    }

    pub fn listen(&self) -> &[SocketAddr] {
        &self.fixed.listen
    }

    pub fn live(&self) -> Arc<Live> {
        self.fixed.live.clone()
    }

    pub fn terms(&self) -> Terms {
        let current = self.current();
        current.parts.terms(&current.config, &self.state)
    }

    /// New requests go by another configuration; what is known of the place stays until it is looked at again.
    pub fn reload(&self, config: &Config) -> Result<(), StartError> {
        let mut current = self.current();
        let config = Arc::new(config.clone());
        let parts = Parts::new(&config, &self.fixed, current.parts.generations.clone(), current.situation.found())?;
        // A profile's place in the list means nothing in another list.
        let name = |config: &Config, at: usize| config.profiles.get(at).map(|profile| profile.name.clone());
        let chosen = current.situation.choice.profile.and_then(|at| name(&current.config, at));
        let at = chosen.and_then(|name| config.profiles.iter().position(|profile| profile.name == name));
        current.situation.choice.profile = at;
        current.config = config;
        current.parts = parts;
        self.publish(&current);
        Ok(())
    }

    /// New requests go by what was found out.
    pub fn settle(&self, situation: Situation) {
        let mut current = self.current();
        if current.situation.choice != situation.choice {
            let name = situation.choice.profile.and_then(|at| current.config.profiles.get(at));
            let name = name.map_or("none", |profile| &profile.name);
            tracing::info!("profile {name}: {}", situation.choice.why);
        }
        if current.situation.found() != situation.found() {
            let generations = current.parts.generations.clone();
            match Parts::new(&current.config, &self.fixed, generations, situation.found()) {
                Ok(parts) => current.parts = parts,
                Err(error) => tracing::error!(%error, "the system's proxies get no credential"),
            }
        }
        current.situation = situation;
        self.publish(&current);
    }

    fn publish(&self, current: &Current) {
        let proxy = current.parts.proxy(&current.config, &self.fixed, &current.situation);
        self.proxies.send_replace(Arc::new(proxy));
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
