//! Target → route: which hops, in which order, and why.
//!
//! Loopback → own address → `no_proxy` → rules → PAC → upstreams → direct; `decide` has the order. With a PAC, an
//! upstream is used only where a rule names it.

mod decide;
pub mod network;
pub mod no_proxy;
pub mod own_pac;
pub mod pac;
pub mod pattern;
pub mod profile;
pub mod rules;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::address::{Endpoint, Target};
use no_proxy::NoProxy;
use pac::{Answer, Pac};
use pattern::Pattern;
use rules::Rule;

/// One way to a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Hop {
    Direct,
    Upstream(Endpoint),
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("direct"),
            Self::Upstream(endpoint) => endpoint.fmt(f),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonKind {
    Own,
    Loopback,
    NoProxy,
    Rule,
    Pac,
    /// The PAC could not be asked, and the configuration says what then.
    PacFallback,
    Upstream,
    /// An upstream that the system's settings name.
    System,
    Default,
}

impl ReasonKind {
    /// As JSON and the audit record have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Loopback => "loopback",
            Self::NoProxy => "no_proxy",
            Self::Rule => "rule",
            Self::Pac => "pac",
            Self::PacFallback => "pac_fallback",
            Self::Upstream => "upstream",
            Self::System => "system",
            Self::Default => "default",
        }
    }
}

/// Why a route is what it is, for people. Never a path, a query or a user's name: it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    pub kind: ReasonKind,
    pub text: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub hops: Vec<Hop>,
    pub reason: Reason,
}

/// There is no way to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRoute {
    /// Somebody wants it so.
    Denied(Reason),
    /// Something is broken, or the configuration leaves nothing.
    Failed(Reason),
}

impl NoRoute {
    pub fn reason(&self) -> &Reason {
        match self {
            Self::Denied(reason) | Self::Failed(reason) => reason,
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub target: &'a Target,
    /// `http`, `https`, `ws`, `ftp`, …
    pub scheme: &'a str,
    /// As a PAC sees it: of `https`, no more than the host and the port.
    pub url: &'a str,
    /// The client's executable, where it is known.
    pub program: Option<&'a Path>,
}

/// What only the outside knows.
pub trait Outside {
    /// Whether an interface of this machine has the address.
    fn is_own(&self, ip: IpAddr) -> bool;

    /// May block; empty where the name has no address.
    fn resolve(&self, name: &str) -> Vec<IpAddr>;
}

/// A PAC that can be asked.
pub trait Script: Send + Sync {
    /// A decision that holds still; never blocks.
    fn remembered(&self, url: &str) -> Option<Arc<Answer>>;

    /// Runs the script; blocks. The error is for people.
    fn evaluate(&self, url: &str, host: &str) -> Result<Arc<Answer>, String>;
}

impl Script for Pac {
    fn remembered(&self, url: &str) -> Option<Arc<Answer>> {
        self.remembered(url)
    }

    fn evaluate(&self, url: &str, host: &str) -> Result<Arc<Answer>, String> {
        self.evaluate(url, host).map_err(|error| error.to_string())
    }
}

#[derive(Clone, Default)]
pub enum PacState {
    #[default]
    Absent,
    Ready(Arc<dyn Script>),
    /// It could not be fetched: why.
    Unreachable(String),
    /// It is there and is no script: why.
    Failed(String),
}

impl fmt::Debug for PacState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::Ready(_) => f.write_str("Ready"),
            Self::Unreachable(why) => f.debug_tuple("Unreachable").field(why).finish(),
            Self::Failed(why) => f.debug_tuple("Failed").field(why).finish(),
        }
    }
}

/// When a target may be dialled directly although nothing says that it shall.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DirectFallback {
    Never,
    /// Outside the company's network its PAC cannot be fetched, and is not needed.
    #[default]
    PacUnreachable,
    /// Also when the PAC fails, and after the last upstream that cannot be reached.
    Always,
}

/// The configured choice; immutable.
#[derive(Debug, Default)]
pub struct Router {
    pub no_proxy: NoProxy,
    /// Stronger than all else that leads to direct, this machine's own addresses aside.
    pub never_direct: Vec<Pattern>,
    pub rules: Vec<Rule>,
    pub pac: PacState,
    pub upstreams: Vec<Endpoint>,
    /// Who in the system names the upstreams, for people; none where the configuration does.
    pub system: Option<String>,
    pub direct_fallback: DirectFallback,
}

impl Router {
    /// Whether it matters which program a client is: finding out costs more than all the rest.
    pub fn asks_for_program(&self) -> bool {
        self.rules.iter().any(|rule| !rule.programs.is_empty())
    }
}
