//! Ways out without a relay in front of them: the hops of a route as a PAC script would name them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hallpass::address::{Endpoint, Protocol, Target};
use hallpass::auth::{RequestLine, Scheme};
use hallpass::http1::Fields;
use hallpass::mechanism::{Account, Canonicalize, Grant, Identities, Outside, Recipient, Settings};
use hallpass::route::{Hop, Reason, ReasonKind, Route};
use hallpass::secret::Secret;
use hallpass::upstream::{
    Addresses, BodyHint, ConnectError, Connected, Dialer, Lease, Live, Resolve, Unlisted, Upstreams,
};

use super::PASSWORD;

/// Every name is this machine, except those that nobody has.
struct Here;

impl Resolve for Here {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Addresses<'a> {
        Box::pin(async move {
            match name.ends_with(".invalid") {
                true => Err(std::io::Error::other("nobody has that name")),
                false => Ok(vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)]),
            }
        })
    }
}

/// alice's account goes to unlisted upstreams that `patterns` cover, with these schemes.
pub fn ways(patterns: &[&str], schemes: &[Scheme]) -> Upstreams {
    let account = Account::new(Settings {
        user: Some("PRACTICE\\alice".parse().unwrap()),
        password: Arc::new(|| Ok(Some(Secret::new(PASSWORD)))),
        ..Settings::default()
    });
    let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    let grant = Grant {
        upstream: Recipient::matching(&patterns),
        account: Arc::new(account),
        schemes: schemes.to_vec(),
        spn: None,
        canonicalize: Canonicalize::Never,
    };
    Upstreams {
        list: Vec::new(),
        unlisted: Unlisted::new(1),
        mechanisms: Arc::new(Identities::new(vec![grant], Outside::none())),
        dialer: Dialer {
            resolver: Arc::new(Here),
            connect_timeout: Duration::from_millis(400),
            keepalive: None,
            own: Arc::new(|_| false),
        },
        forbids: |_| false,
        direct_generation: 0,
        handshake_timeout: Duration::from_secs(5),
        user_agent: None,
        live: Arc::new(Live::default()),
    }
}

pub fn hop(protocol: Protocol, host: &str, address: SocketAddr) -> Hop {
    let target = Target::parse(&format!("{host}:{}", address.port()), None).unwrap();
    Hop::Upstream(Endpoint { target, protocol })
}

pub fn route(hops: impl IntoIterator<Item = Hop>) -> Route {
    let reason = Reason { kind: ReasonKind::Upstream, text: "a script".into() };
    Route { hops: hops.into_iter().collect(), reason }
}

pub async fn tunnel(ways: &Upstreams, route: &Route) -> Result<Connected, ConnectError> {
    ways.tunnel(route, &Target::parse("origin.practice:443", None).unwrap(), &Fields::default()).await
}

pub async fn lease(ways: &Upstreams, route: &Route, body: BodyHint) -> Result<Lease, ConnectError> {
    let line = RequestLine { method: "POST".into(), uri: "http://origin.practice/".into() };
    ways.lease(route, &Target::parse("origin.practice:80", None).unwrap(), &line, body, false).await
}
