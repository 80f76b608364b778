//! Target → route: which hops, in which order, and why.

pub mod no_proxy;
pub mod pac;

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use crate::address::{Endpoint, Target};
use no_proxy::NoProxy;

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
    Upstream,
    Default,
}

/// Why a route is what it is, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    pub kind: ReasonKind,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub hops: Vec<Hop>,
    pub reason: Reason,
}

impl Route {
    fn direct(kind: ReasonKind, text: impl Into<String>) -> Self {
        Self { hops: vec![Hop::Direct], reason: Reason { kind, text: text.into() } }
    }
}

/// The configured choice; immutable.
#[derive(Debug, Default)]
pub struct Router {
    pub no_proxy: NoProxy,
    pub upstreams: Vec<Endpoint>,
}

impl Router {
    /// `is_own` tells the addresses of this machine's interfaces. Names are not resolved here: one that leads
    /// to this machine is noticed when it is dialled.
    pub fn decide(&self, target: &Target, is_own: impl Fn(IpAddr) -> bool) -> Route {
        if target.host.is_local() {
            return Route::direct(ReasonKind::Loopback, "loopback and link-local never go to a proxy");
        }
        if target.host.ip().is_some_and(is_own) {
            return Route::direct(ReasonKind::Own, "an address of this machine");
        }
        if let Some(pattern) = self.no_proxy.matches(target) {
            return Route::direct(ReasonKind::NoProxy, format!("no_proxy has {pattern}"));
        }
        if self.upstreams.is_empty() {
            return Route::direct(ReasonKind::Default, "no upstream is configured");
        }
        Route {
            hops: self.upstreams.iter().cloned().map(Hop::Upstream).collect(),
            reason: Reason { kind: ReasonKind::Upstream, text: "the configured upstreams".into() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Protocol;

    #[test]
    fn the_order_of_decision_is_loopback_own_no_proxy_upstream() {
        let upstream =
            Endpoint { target: Target::parse("proxy.corp.example:8080", None).unwrap(), protocol: Protocol::Http };
        let router = Router { no_proxy: NoProxy::parse("*.direct.example, 10.0.0.0/8").0, upstreams: vec![upstream] };
        for (target, kind) in [
            ("localhost:80", ReasonKind::Loopback),
            ("0x7f.1:80", ReasonKind::Loopback),
            ("169.254.169.254:80", ReasonKind::Loopback),
            ("192.0.2.7:80", ReasonKind::Own),
            ("a.direct.example:443", ReasonKind::NoProxy),
            ("10.1.2.3:443", ReasonKind::NoProxy),
            ("example.com:443", ReasonKind::Upstream),
        ] {
            let route = router.decide(&Target::parse(target, None).unwrap(), |ip| ip.to_string() == "192.0.2.7");
            assert_eq!(route.reason.kind, kind, "{target}");
            assert_eq!(route.hops == [Hop::Direct], kind != ReasonKind::Upstream, "{target}");
        }
    }
}
