//! What the relay runs by at the moment. Whoever learns something new puts it in here, and out comes the next
//! snapshot for requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::StartError;
use super::build::{Fixed, Parts};
use super::script::Terms;
use super::situation::Situation;
use crate::config::Config;
use crate::proxy::{Proxy, Tally};
use crate::state::State;
use crate::upstream::Live;

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
        let situation = Situation { provisional: true, ..Situation::default() };
        let (proxies, _) = watch::channel(Arc::new(parts.proxy(&config, &fixed, &situation)));
        Ok(Self { fixed, state, current: Mutex::new(Current { config, parts, situation }), proxies })
    }

    pub fn proxies(&self) -> watch::Receiver<Arc<Proxy>> {
        self.proxies.subscribe()
    }

    pub fn config(&self) -> Arc<Config> {
        self.current().config.clone()
    }

    pub fn listen(&self) -> Vec<SocketAddr> {
        self.fixed.listen.addrs()
    }

    /// New requests see where we listen now.
    pub fn publish_ways(&self) {
        self.publish(&self.current());
    }

    pub fn live(&self) -> Arc<Live> {
        self.fixed.live.clone()
    }

    pub fn tally(&self) -> &Tally {
        &self.fixed.tally
    }

    /// A person has asked for a fresh start so often.
    pub fn begin_afresh(&self, generation: u64) {
        self.current().parts.forget_secrets(generation);
        self.fixed.live.begin_afresh();
    }

    pub fn terms(&self) -> Terms {
        let current = self.current();
        current.parts.terms(&current.config, &self.state)
    }

    /// New requests go by another configuration. What is known of the place stays, unless the other one would ask
    /// something else of it: then requests wait for the next look.
    pub fn reload(&self, config: &Config) -> Result<(), StartError> {
        let mut current = self.current();
        let config = Arc::new(config.clone());
        let parts = Parts::new(&config, &self.fixed, current.parts.generations.clone(), current.situation.found())?;
        // A profile's place in the list means nothing in another list.
        let name = |config: &Config, at: usize| config.profiles.get(at).map(|profile| profile.name.clone());
        let chosen = current.situation.choice.profile.and_then(|at| name(&current.config, at));
        let at = chosen.and_then(|name| config.profiles.iter().position(|profile| profile.name == name));
        current.situation.choice.profile = at;
        current.situation.provisional |= !asks_alike(&current.config, &config);
        current.config = config;
        current.parts = parts;
        self.publish(&current);
        self.live().forget_refusals();
        self.live().drop_dialled_ahead();
        Ok(())
    }

    /// New requests go by what was found out, if that was for the configuration that still counts. A reload during
    /// a look is followed by another look.
    pub fn settle(&self, config: &Arc<Config>, situation: Situation) -> bool {
        let mut current = self.current();
        if !Arc::ptr_eq(config, &current.config) {
            return false;
        }
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
        true
    }

    fn publish(&self, current: &Current) {
        let proxy = current.parts.proxy(&current.config, &self.fixed, &current.situation);
        self.proxies.send_replace(Arc::new(proxy));
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what was found out for one configuration is what would be found out for the other.
fn asks_alike(one: &Config, other: &Config) -> bool {
    (&one.routing, &one.profiles, &one.profile) == (&other.routing, &other.profiles, &other.profile)
        && (one.direct_fallback, &one.pac) == (other.direct_fallback, &other.pac)
        && one.environment == other.environment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Audit;
    use crate::config::{Environment, Files, Inputs, Layer, PolicyPlace, load};
    use crate::route::profile::Choice;

    fn config(text: &str) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hallpass.toml");
        let upstream = "[upstreams.u]\nurl = \"http://u.test:1\"\n";
        std::fs::write(&path, format!("{text}\n{upstream}")).unwrap();
        let inputs = Inputs {
            files: Files::Only(path),
            environment: Environment::default(),
            flags: Layer::default(),
            policy: PolicyPlace::Nowhere,
        };
        load(&inputs).unwrap_or_else(|mistakes| panic!("{:?}", mistakes.0)).config
    }

    fn core(config: &Config) -> Core {
        let (listen, live) = (Default::default(), Arc::default());
        let fixed = Fixed { listen, live, audit: Audit::off(), pseudonym: "".into(), tally: Arc::default() };
        Core::new(config, fixed, State::default()).unwrap()
    }

    fn found(profile: usize) -> Situation {
        Situation { choice: Choice { profile: Some(profile), why: "here".into() }, ..Situation::default() }
    }

    /// The profile that requests go by, and whether they wait before they do.
    fn seen(core: &Core) -> (Option<String>, bool) {
        let proxy = core.proxies().borrow().clone();
        (proxy.standing.profile.as_deref().map(str::to_string), proxy.provisional)
    }

    const OFFICE_FIRST: &str = "[profiles.office]\nupstreams = [\"u\"]\n[profiles.home]\nupstreams = []";
    const HOME_FIRST: &str = "[profiles.home]\nupstreams = []\n[profiles.office]\nupstreams = [\"u\"]";

    #[test]
    fn what_was_found_out_for_a_configuration_that_was_replaced_meanwhile_is_not_published() {
        let core = core(&config(OFFICE_FIRST));
        let looked_for = core.config();
        core.reload(&config(HOME_FIRST)).unwrap();
        assert!(!core.settle(&looked_for, found(0)));
        assert_eq!(seen(&core), (None, true));
        assert!(core.settle(&core.config(), found(1)));
        assert_eq!(seen(&core), (Some("office".into()), false));
    }

    #[test]
    fn only_a_reload_that_asks_something_else_of_the_place_has_requests_wait() {
        let core = core(&config(OFFICE_FIRST));
        assert_eq!(seen(&core), (None, true), "before the first look");
        core.settle(&core.config(), found(0));
        core.reload(&config(&format!("grace = \"7s\"\n{OFFICE_FIRST}"))).unwrap();
        assert_eq!(seen(&core), (Some("office".into()), false));
        core.reload(&config(HOME_FIRST)).unwrap();
        assert_eq!(seen(&core), (Some("office".into()), true));
    }
}
