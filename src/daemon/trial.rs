//! One tunnel through what a configuration names, to see whether it would work.

use std::time::Duration;

use tokio::time::timeout;

use crate::address::Target;
use crate::auth::Scheme;
use crate::http1::Fields;
use crate::proxy::{Proxy, Wanted};
use crate::route::{Hop, Route};
use crate::upstream::{ConnectError, Connected};

/// A record is written within this, or the disk hangs.
const ON_DISK: Duration = Duration::from_secs(2);

/// What became of it.
#[derive(Debug)]
pub enum Trial {
    /// There was a tunnel. Without a scheme nobody asked for a log-in.
    Through {
        hop: Hop,
        scheme: Option<Scheme>,
    },
    /// The upstream answered something else, to whom it had let in or without asking who it is.
    Answered {
        hop: Hop,
        scheme: Option<Scheme>,
        status: u16,
    },
    /// No upstream stands on the way, for this reason.
    Direct(String),
    /// There is no way, for this reason.
    NoWay(String),
    Failed(Box<ConnectError>),
}

/// The lock-out breaker decides, as for every request, whether a secret may be shown.
pub async fn try_out(proxy: &Proxy, target: &Target) -> Trial {
    let decision = proxy.explain(&Wanted::tunnel(target)).await;
    if decision.hops.is_empty() {
        return Trial::NoWay(decision.reason.text.into_owned());
    }
    if !decision.hops.iter().any(|hop| matches!(hop, Hop::Upstream(_))) {
        return Trial::Direct(decision.reason.text.into_owned());
    }
    let route = Route { hops: decision.hops, reason: decision.reason };
    let tried = proxy.upstreams.tunnel(&route, target, &Fields::default()).await;
    // What was found out about a secret is on disk before anybody builds on it.
    let lockout = proxy.upstreams.live.lockout();
    lockout.verdict().await;
    // A disk that hangs is no reason to wait for ever: the record then says of a trial that nobody knows its end.
    let _late = timeout(ON_DISK, lockout.written()).await;
    match tried {
        Ok(Connected::Tunnel(tunnel)) if tunnel.hop == Hop::Direct => Trial::Direct(route.reason.text.into_owned()),
        Ok(Connected::Tunnel(tunnel)) => Trial::Through { hop: tunnel.hop, scheme: tunnel.scheme },
        Ok(Connected::Answer(answer)) => {
            Trial::Answered { hop: answer.hop, scheme: answer.scheme, status: answer.head.status }
        }
        Ok(Connected::Repeated(hop, page)) => Trial::Answered { hop, scheme: None, status: page.head.status },
        Err(error) => Trial::Failed(Box::new(error)),
    }
}
