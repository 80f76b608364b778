//! What changed settings said before, for whoever looks for a proxy in the meantime.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::system_proxy::{Found, Kind, value};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Former {
    #[serde(flatten)]
    said: Said,
    notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Said {
    Static { upstreams: Vec<String>, no_proxy: String, short_names_direct: bool },
    Pac { url: String },
    AutoDetect,
    Direct,
}

impl Former {
    pub fn of(found: &Found) -> Self {
        let said = match &found.kind {
            Kind::Static { upstreams, no_proxy, short_names_direct } => Said::Static {
                upstreams: upstreams.iter().map(ToString::to_string).collect(),
                no_proxy: no_proxy.clone(),
                short_names_direct: *short_names_direct,
            },
            Kind::Pac(url) => Said::Pac { url: url.clone() },
            Kind::AutoDetect => Said::AutoDetect,
            Kind::Direct => Said::Direct,
        };
        Self { said, notes: found.notes.clone() }
    }

    /// `None` if it names proxies in no way that can be read.
    pub fn found(&self, source: String) -> Option<Found> {
        let kind = match &self.said {
            Said::Static { upstreams, no_proxy, short_names_direct } => {
                let read = upstreams.iter().map(|text| value::endpoint(text).map(|read| read.endpoint));
                Kind::Static {
                    upstreams: read.collect::<Result<_, _>>().ok()?,
                    no_proxy: no_proxy.clone(),
                    short_names_direct: *short_names_direct,
                }
            }
            Said::Pac { url } => Kind::Pac(url.clone()),
            Said::AutoDetect => Kind::AutoDetect,
            Said::Direct => Kind::Direct,
        };
        Some(Found { source, kind, notes: self.notes.clone() })
    }
}

/// Whether a proxy that was found is one of these.
pub(super) fn names(found: &Found, these: &dyn Fn(SocketAddr) -> bool) -> bool {
    let Kind::Static { upstreams, .. } = &found.kind else { return false };
    upstreams.iter().any(|upstream| {
        let target = &upstream.target;
        target.host.ip().is_some_and(|ip| these(SocketAddr::new(ip, target.port)))
    })
}
