//! What the system says, so that nobody has to type it.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::draft::Way;
use crate::auth::User;
use crate::config::Environment;
use crate::mechanism;
use crate::network;
use crate::route::no_proxy::NoProxy;
use crate::state::State;
use crate::system_proxy::change::{self, Journal};
use crate::system_proxy::{self, Kind, Ourselves};

/// Windows' word for names without a dot, which `no_proxy` knows too.
const SHORT_NAMES: &str = "<local>";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub way: Option<Way>,
    /// Who says so, for people.
    pub source: String,
    /// What goes with the way.
    pub exceptions: Vec<String>,
    /// What was said and is not heeded, each a sentence.
    pub notes: Vec<String>,
}

/// Blocks, for as long as desktops take to answer.
pub fn way(environment: &Environment, listening: &[SocketAddr], state: Option<PathBuf>) -> Found {
    let variable = |name: &str| environment.get(name).map(str::to_owned);
    let state = State::read_only(state);
    // While they name a relay for somebody else, what they said before counts.
    let changed = state.read(change::JOURNAL).and_then(|bytes| Journal::read(&bytes));
    let ourselves = Ourselves { listening, is_own_address: &network::is_own_address, changed: changed.as_ref() };
    let said = system_proxy::discover(&variable, &ourselves);
    let mut found = Found { source: said.source, notes: said.notes, ..Found::default() };
    // Who logs in is asked next.
    let about_the_user = system_proxy::value::userinfo_note(&found.source);
    found.notes.retain(|note| *note != about_the_user);
    match said.kind {
        Kind::Static { upstreams, no_proxy, short_names_direct } => {
            let (list, bad) = NoProxy::parse(&no_proxy);
            found.way = Some(Way::Proxies(upstreams.iter().map(ToString::to_string).collect()));
            found.exceptions = list.written().map(str::to_owned).collect();
            found.exceptions.extend(short_names_direct.then(|| SHORT_NAMES.into()));
            found.notes.extend(bad.into_iter().map(|bad| format!("an exception is passed over: {bad}")));
        }
        Kind::Pac(url) => found.way = Some(Way::Script(url)),
        Kind::AutoDetect => found.notes.push(format!(
            "{} asks for automatic detection: the script is often http://wpad.YOUR.DOMAIN/wpad.dat",
            found.source
        )),
        Kind::Direct => {}
    }
    found
}

/// Whom a proxy's URL names, else the ticket's owner, else whom Windows has logged in.
pub fn user(environment: &Environment) -> Option<User> {
    let of_variables = system_proxy::environment::user_name(&|name| environment.get(name).map(str::to_owned));
    let of_windows = || {
        let (domain, name) = (environment.get("USERDOMAIN")?, environment.get("USERNAME")?);
        format!("{domain}\\{name}").parse().ok()
    };
    let of_ticket = || mechanism::ticket_owner().ok().and_then(|owner| owner.parse().ok());
    of_variables.and_then(|name| name.parse().ok()).or_else(of_ticket).or_else(of_windows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pairs: &[(&str, &str)]) -> Found {
        way(&Environment::from_pairs(pairs.iter().copied()), &["127.0.0.1:3128".parse().unwrap()], None)
    }

    #[test]
    fn a_proxy_of_the_environment_is_found_with_its_exceptions_and_ourselves_are_not() {
        let proxy = found(&[("https_proxy", "http://proxy.test:8080"), ("no_proxy", ".corp.test,10.0.0.0/8")]);
        assert_eq!(proxy.way, Some(Way::Proxies(vec!["http://proxy.test:8080".into()])));
        assert_eq!(proxy.source, "the environment variable https_proxy");
        assert_eq!(proxy.exceptions, [".corp.test", "10.0.0.0/8"]);
        let variables = [("https_proxy", "http://CORP%5Calice:secret@proxy.test:8080")];
        let named = found(&variables);
        assert_eq!((named.way, named.notes), (proxy.way, Vec::new()));
        assert_eq!(user(&Environment::from_pairs(variables)).unwrap().to_string(), "CORP\\alice");
        let ourselves = found(&[("https_proxy", "http://127.0.0.1:3128")]);
        assert!(ourselves.way.is_none() && ourselves.notes[0].contains("is where hallpass itself listens"));
    }
}
