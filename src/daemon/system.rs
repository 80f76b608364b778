//! What the system says about proxies, for whoever configured nothing.

use std::net::SocketAddr;

use crate::address::Endpoint;
use crate::config::{Environment, PacSource};
use crate::network::{self, Network};
use crate::resolver;
use crate::route::no_proxy::NoProxy;
use crate::system_proxy::change::Journal;
use crate::system_proxy::{self, Found, Kind, Ourselves, wpad};

/// Windows' word for names without a dot, which `no_proxy` knows too.
const SHORT_NAMES: &str = "<local>";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct System {
    /// Who says so, for people.
    pub source: String,
    pub upstreams: Vec<Endpoint>,
    pub no_proxy: NoProxy,
    pub pac: Option<PacSource>,
    /// What was said and is not heeded.
    pub notes: Vec<String>,
}

/// Blocks: desktops are asked through programs of theirs. `None`: nobody names a proxy. `changed` are settings that name
/// a relay of ours for a while.
pub(super) fn discover(
    environment: &Environment,
    listening: &[SocketAddr],
    network: &Network,
    wpad: bool,
    changed: Option<&Journal>,
) -> Option<System> {
    let variable = |name: &str| environment.get(name).map(str::to_owned);
    let ourselves = Ourselves { listening, is_own_address: &network::is_own_address, changed };
    let Found { source, kind, notes } = system_proxy::discover(&variable, &ourselves);
    let mut system = System { source, notes, ..System::default() };
    match kind {
        Kind::Static { upstreams, no_proxy, short_names_direct } => {
            let (list, bad) = NoProxy::parse(&no_proxy);
            system.upstreams = upstreams;
            system.no_proxy = list;
            system.notes.extend(bad.into_iter().map(|bad| format!("an exception is passed over: {bad}")));
            if short_names_direct {
                system.no_proxy.extend(NoProxy::parse(SHORT_NAMES).0);
            }
        }
        Kind::Pac(url) => system.pac(&url),
        Kind::AutoDetect | Kind::Direct if wpad => {
            let name = |url: &String| url.split('/').nth(2).map(str::to_owned).unwrap_or_default();
            let candidates = wpad::candidates(&network.dns_suffixes);
            let found = candidates.into_iter().find(|url| !resolver::addresses(&name(url)).is_empty())?;
            system.source = "WPAD over DNS".into();
            system.pac(&found);
        }
        Kind::AutoDetect => {
            let note =
                format!("{} asks for automatic detection, which wpad = true in [pac] would allow", system.source);
            system.notes.push(note);
        }
        Kind::Direct => {}
    }
    let says_something = !system.upstreams.is_empty() || system.pac.is_some() || !system.notes.is_empty();
    says_something.then_some(system)
}

impl System {
    fn pac(&mut self, url: &str) {
        match PacSource::parse(url) {
            Ok(source) => self.pac = Some(source),
            Err(problem) => self.notes.push(format!("{url}: {}", problem.message)),
        }
    }

    /// Tells people what was found, once.
    pub fn announce(&self) {
        match (&self.pac, self.upstreams.as_slice()) {
            (Some(pac), _) => tracing::info!("{} names the PAC script {}", self.source, pac.written),
            (None, []) => {}
            (None, some) => {
                let all: Vec<String> = some.iter().map(ToString::to_string).collect();
                tracing::info!("{} names {}", self.source, all.join(", "));
            }
        }
        for note in &self.notes {
            tracing::warn!("{note}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pairs: &[(&str, &str)]) -> Option<System> {
        let environment = Environment::from_pairs(pairs.iter().copied());
        discover(&environment, &["127.0.0.1:3128".parse().unwrap()], &Network::default(), false, None)
    }

    #[test]
    fn the_environment_names_a_proxy_and_its_exceptions() {
        let system =
            found(&[("https_proxy", "http://proxy.corp.example:8080"), ("no_proxy", ".corp.example")]).unwrap();
        assert_eq!(system.upstreams[0].to_string(), "http://proxy.corp.example:8080");
        assert_eq!(system.no_proxy.written().collect::<Vec<_>>(), [".corp.example"]);
        assert!(system.source.contains("https_proxy"), "{}", system.source);
    }

    #[test]
    fn we_are_never_our_own_upstream() {
        for url in ["http://127.0.0.1:3128", "http://localhost:3128", "127.0.0.1:3128"] {
            let system = found(&[("HTTPS_PROXY", url)]);
            assert!(system.as_ref().is_none_or(|system| system.upstreams.is_empty()), "{system:?}");
        }
    }

    #[test]
    fn an_empty_environment_says_nothing() {
        assert_eq!(found(&[]), None);
    }
}
