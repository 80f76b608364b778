//! Questions, and what is said instead of them where nobody can be asked.

use std::io;
use std::path::Path;

use super::draft::Way;
use super::found::Found;
use crate::auth::User;
use crate::cli::prompt;
use crate::config::{Mistake, Mistakes, Origin, Problem};

pub const NOTHING_DONE: &str = "nothing was written or stored";

pub const RETRY: &str = "Try once more with another user or password? [y/N]: ";

pub const BASIC: &str = "Use it all the same? [y/N]: ";

pub const STORE_UNTRIED: &str = "The password could not be tried. Store it all the same? [Y/n]: ";

pub const OTHER_WAY: &str = "Another address (nothing: the same again; keep: go on without trying it): ";

/// What answers the last one.
pub const KEEP: &str = "keep";

pub const NO_PROXY_FOUND: &str =
    "The system names no proxy. Its address stands in a browser's proxy settings, or a colleague knows it.";

pub fn replace(path: &Path) -> String {
    format!("{} is there already. Replace it, and keep a copy beside it? [y/N]: ", path.display())
}

pub fn way(found: &Found) -> String {
    match &found.way {
        Some(way) => format!("Proxy, or address of its PAC script [{way}, from {}]: ", found.source),
        None => "Proxy (host:port), or address of its PAC script: ".into(),
    }
}

pub fn taken(way: &Way, source: &str) -> String {
    format!("{source} names {way}")
}

pub fn user(known: Option<&User>) -> String {
    match known {
        Some(user) => format!("User (DOMAIN\\user, user@REALM or user) [{user}]: "),
        None => "User (DOMAIN\\user, user@REALM or user): ".into(),
    }
}

/// Where it can do without.
pub const USER_IF_ANY: &str =
    "User (DOMAIN\\user, user@REALM or user; nothing: no log-in, or that of a Kerberos ticket): ";

pub fn password(user: &User) -> String {
    format!("Password of {user}: ")
}

pub fn password_untried(user: &User) -> String {
    format!("Password of {user}, stored without trying it (nothing: later, with hallpass login): ")
}

pub fn unanswered(error: io::Error) -> anyhow::Error {
    prompt::unanswered(error, NOTHING_DONE)
}

/// A mistake of usage.
pub fn missing(flag: &'static str, what: &str, hint: &str) -> Mistakes {
    Mistakes(vec![Mistake::new(Origin::Flag(flag), "", Problem::new(what).hint(hint))])
}

/// What is wrong with an answer; its place is known to whoever gave it.
pub fn wrong(mistakes: &Mistakes) -> String {
    let all = mistakes.0.iter().map(|Mistake { problem, .. }| match &problem.hint {
        Some(hint) => format!("{} ({hint})", problem.message),
        None => problem.message.clone(),
    });
    format!("That will not do: {}.", all.collect::<Vec<_>>().join("; "))
}
