//! The environment of a program that is run: its proxy is the relay, and nothing of it is ours.

use std::env;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::process::Command;

use crate::secret::Secret;
use crate::tools::bundle::Certificates;
use crate::tools::variables::{Wanted, variables};

/// How we are configured, secrets included.
const OURS: &str = "HALLPASS_";

/// What a program is told besides where the relay is.
pub struct Told {
    /// What the relay wants to be shown.
    pub token: Option<Secret>,
    /// That are trusted as well.
    pub certificates: Option<Certificates>,
}

/// Adds to what the program inherits, and takes what is ours away.
pub fn set(command: &mut Command, relay: SocketAddr, told: &Told) {
    for (name, _) in env::vars_os().filter(|(name, _)| is_ours(name)) {
        command.env_remove(name);
    }
    let no_proxy = exceptions(|name| env::var_os(name));
    let trust = told.certificates.as_ref().map(Certificates::trust);
    let wanted = Wanted { relay, no_proxy: no_proxy.as_deref(), token: told.token.as_ref(), trust };
    command.envs(variables(&wanted));
}

fn is_ours(name: &OsStr) -> bool {
    name.to_string_lossy().to_ascii_uppercase().starts_with(OURS)
}

/// What the user has excepted already, in either case, each once.
fn exceptions(variable: impl Fn(&str) -> Option<OsString>) -> Option<String> {
    let mut all: Vec<String> = Vec::new();
    for list in ["no_proxy", "NO_PROXY"].into_iter().filter_map(variable) {
        for one in list.to_string_lossy().split(',').map(str::trim).filter(|one| !one.is_empty()) {
            if !all.iter().any(|known| known == one) {
                all.push(one.into());
            }
        }
    }
    (!all.is_empty()).then(|| all.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_of_either_case_are_kept_once() {
        let found = |pairs: &[(&str, &str)]| {
            exceptions(|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
        };
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[("NO_PROXY", " ,")]), None);
        assert_eq!(found(&[("NO_PROXY", "a.test, b.test"), ("no_proxy", "b.test")]).unwrap(), "b.test,a.test");
        assert_eq!(found(&[("no_proxy", "*")]).unwrap(), "*");
    }

    #[test]
    fn what_is_ours_is_told_by_its_name() {
        for (name, ours) in [("HALLPASS_PASSWORD", true), ("Hallpass_User", true), ("HALLPASS", false), ("X", false)] {
            assert_eq!(is_ours(OsStr::new(name)), ours, "{name}");
        }
    }
}
