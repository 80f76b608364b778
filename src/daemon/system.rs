//! What the system says about proxies, for whoever configured nothing.

use std::net::SocketAddr;

use crate::address::Endpoint;
use crate::config::PacSource;
use crate::network::Network;
use crate::route::no_proxy::NoProxy;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct System {
    /// Who says so, for people.
    pub source: String,
    pub upstreams: Vec<Endpoint>,
    pub no_proxy: NoProxy,
    pub pac: Option<PacSource>,
}

/// Blocks: desktops are asked through programs of theirs.
pub(super) fn discover(_listen: &[SocketAddr], _network: &Network, _wpad: bool) -> Option<System> {
    None
}
