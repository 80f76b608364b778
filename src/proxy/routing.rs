//! Which way a request goes: asks the router, off the runtime's threads where that may block.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::url::{Url, UrlError};
use super::{Proxy, Shared};
use crate::address::Target;
use crate::listener::Peer;
use crate::network;
use crate::process;
use crate::resolver;
use crate::route::{Hop, NoRoute, Outside, Question, Reason, ReasonKind, Route};
use crate::upstream::ConnectError;

/// What a client wants, as rules and PAC scripts see it.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub(super) target: Target,
    is_tunnel: bool,
    /// Whoever named it said what is spoken there.
    says_scheme: bool,
    scheme: String,
    url: String,
}

impl Wanted {
    /// A URL, `host:port` or a host, as people name what they want.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if !text.contains("://") {
            return Ok(Self::tunnel(&Target::parse(text, Some(443))?));
        }
        // What stands behind # never leaves the client.
        let url = Url::parse(text.split('#').next().unwrap_or_default())?;
        Ok(match url.scheme.as_str() {
            "https" | "wss" => Self { scheme: url.scheme.clone(), says_scheme: true, ..Self::tunnel(&url.target) },
            _ => Self::forward(&url),
        })
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// By a CONNECT, and not by a request in absolute form.
    pub fn is_tunnel(&self) -> bool {
        self.is_tunnel
    }

    /// TLS is what is spoken behind a CONNECT: it was said so, or the port is that of https.
    pub fn is_tls(&self) -> bool {
        self.is_tunnel && (self.says_scheme || self.target.port == 443)
    }

    /// As a PAC script sees it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Port 80 of a CONNECT is taken for plain HTTP, every other one for TLS.
    pub fn tunnel(target: &Target) -> Self {
        let (scheme, authority) = match target.port {
            80 => ("http", target.host.to_string()),
            443 => ("https", target.host.to_string()),
            _ => ("https", target.to_string()),
        };
        let url = format!("{scheme}://{authority}/");
        Self { target: target.clone(), is_tunnel: true, says_scheme: false, scheme: scheme.into(), url }
    }

    /// A PAC script sees of an https URL no more than what a CONNECT would show (as browsers do).
    pub(super) fn forward(url: &Url) -> Self {
        let seen = match url.scheme.as_str() {
            "https" | "wss" => Cow::from(format!("{}://{}/", url.scheme, url.authority)),
            _ => Cow::from(url.absolute()),
        };
        Self {
            target: url.target.clone(),
            is_tunnel: false,
            says_scheme: true,
            scheme: url.scheme.clone(),
            url: seen.into_owned(),
        }
    }

    fn question<'a>(&'a self, program: Option<&'a PathBuf>) -> Question<'a> {
        let program = program.map(PathBuf::as_path);
        Question { target: &self.target, scheme: &self.scheme, url: &self.url, program }
    }
}

impl Proxy {
    pub(super) async fn route(&self, wanted: &Wanted, peer: &Peer) -> Result<Route, NoRoute> {
        if self.provisional {
            return Err(failed("it is not known yet where this machine is"));
        }
        let asks_for_program = self.router.asks_for_program();
        if !asks_for_program
            && let Some(decided) = self.router.decide_now(&wanted.question(None), network::is_own_address)
        {
            return decided;
        }
        // Scripts that hang must not take the threads that log-ins need.
        let Ok(_turn) = self.decisions.acquire().await else { return Err(failed("the relay is ending")) };
        let (router, wanted, peer, tally) =
            (Arc::clone(&self.router), wanted.clone(), peer.clone(), self.tally.clone());
        let decided = tokio::task::spawn_blocking(move || {
            let program = if asks_for_program { process::program_of(peer.addr, peer.listener) } else { None };
            let began = Instant::now();
            let decided = router.decide(&wanted.question(program.as_ref()), &Here);
            if decided.as_ref().is_ok_and(|route| route.reason.kind == ReasonKind::Pac) {
                tally.decided(began.elapsed());
            }
            decided
        });
        decided.await.unwrap_or_else(|_| Err(failed("choosing the way failed inside this relay")))
    }
}

/// Longer than any look at the place takes. Whoever waited for so long gets an error, for without a look even a
/// configuration that names a PAC would lead direct.
const FIRST_LOOK: Duration = Duration::from_secs(15);

/// The snapshot of a request, or the one that is made once the place was looked at.
pub(super) async fn settled(proxy: &Arc<Proxy>, shared: &mut Shared) -> Arc<Proxy> {
    let has_waited = shared.doubt.settled().await;
    let proxy = if has_waited { shared.proxies.borrow().clone() } else { proxy.clone() };
    if !proxy.provisional {
        return proxy;
    }
    let looked = timeout(FIRST_LOOK, shared.proxies.wait_for(|proxy| !proxy.provisional)).await;
    looked.ok().and_then(Result::ok).map_or(proxy, |proxy| proxy.clone())
}

/// More changes of place than happen while one request waits.
const MAX_COURSES: u32 = 3;

/// A route, and the snapshot by which it was found.
pub(super) struct Course {
    pub proxy: Arc<Proxy>,
    pub route: Route,
    /// Every hop was known to be dead before it was tried: the place has been looked at since then.
    hopeless: bool,
    number: u32,
}

impl Course {
    /// Where there is none, the snapshot tells by what that was found.
    pub async fn find(
        wanted: &Wanted,
        peer: &Peer,
        proxy: &Arc<Proxy>,
        shared: &mut Shared,
    ) -> Result<Self, (NoRoute, Arc<Proxy>)> {
        let proxy = settled(proxy, shared).await.of(peer);
        let route = match proxy.route(wanted, peer).await {
            Ok(route) => route,
            Err(none) => return Err((none, proxy)),
        };
        let hopeless = proxy.upstreams.are_dead(&route.hops);
        Ok(Self { proxy, route, hopeless, number: 1 })
    }

    /// No hop could be reached: perhaps this is not the place any more that the route was made for. Whether there is
    /// a way to try now.
    pub async fn find_again(
        &mut self,
        error: &ConnectError,
        wanted: &Wanted,
        peer: &Peer,
        shared: &mut Shared,
    ) -> bool {
        if !error.is_unreachable() || self.number == MAX_COURSES {
            return false;
        }
        // The look that told us to give up has been taken: no need to wait for another.
        let known = shared.proxies.borrow().of(peer);
        if !Arc::ptr_eq(&known, &self.proxy) && self.change(known, error, wanted, peer).await {
            return true;
        }
        // Most targets that cannot be reached directly are just not there.
        let only_direct = self.route.hops == [Hop::Direct];
        if error.is_outdated() {
            // The look that found it out is the answer.
            shared.doubt.over().await;
        } else if self.hopeless || only_direct {
            shared.doubt.raise();
        } else {
            shared.doubt.resolve().await;
        }
        let proxy = shared.proxies.borrow().of(peer);
        self.change(proxy, error, wanted, peer).await
    }

    /// Whether that snapshot knows of a way that is worth trying.
    async fn change(&mut self, proxy: Arc<Proxy>, error: &ConnectError, wanted: &Wanted, peer: &Peer) -> bool {
        let Ok(route) = proxy.route(wanted, peer).await else { return false };
        if route.hops == self.route.hops && !error.is_outdated() {
            return false;
        }
        *self = Self { hopeless: proxy.upstreams.are_dead(&route.hops), number: self.number + 1, proxy, route };
        true
    }
}

/// What a route comes to for people: without hops the request is refused.
pub struct Decision {
    pub hops: Vec<Hop>,
    pub reason: Reason,
}

impl Proxy {
    /// For those who name a port; a tunnel's own target was named by whoever configured it.
    pub(super) fn forbids_port(&self, port: u16) -> bool {
        self.connect_ports.as_ref().is_some_and(|ports| !ports.contains(&port))
    }

    /// The way of a request of a client on this machine, program unknown.
    pub async fn explain(&self, wanted: &Wanted) -> Decision {
        let nobody = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        let peer = Peer { addr: nobody, listener: nobody, owner: None };
        if self.objection(&wanted.target).is_some() {
            let text = format!("{} is this relay itself", wanted.target).into();
            return Decision { hops: Vec::new(), reason: Reason { kind: ReasonKind::Own, text } };
        }
        if wanted.is_tunnel && self.forbids_port(wanted.target.port) {
            let text = format!("connect_ports has no {}", wanted.target.port).into();
            return Decision { hops: Vec::new(), reason: Reason { kind: ReasonKind::Rule, text } };
        }
        match self.route(wanted, &peer).await {
            Ok(Route { hops, reason }) => Decision { hops, reason },
            Err(NoRoute::Denied(reason) | NoRoute::Failed(reason)) => Decision { hops: Vec::new(), reason },
        }
    }
}

fn failed(text: &'static str) -> NoRoute {
    NoRoute::Failed(Reason { kind: ReasonKind::Default, text: text.into() })
}

struct Here;

impl Outside for Here {
    fn is_own(&self, ip: IpAddr) -> bool {
        network::is_own_address(ip)
    }

    fn resolve(&self, name: &str) -> Vec<IpAddr> {
        resolver::addresses(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::End;
    use crate::proxy::Problem;
    use crate::route::{Reason, ReasonKind};

    #[test]
    fn what_is_denied_is_403_and_what_is_broken_502_and_both_say_why() {
        let target = Target::parse("a.example:443", None).unwrap();
        let reason = Reason { kind: ReasonKind::Rule, text: "rule 3 at line 41 of hallpass.toml: no games".into() };
        let denied = Problem::of_no_route(&NoRoute::Denied(reason.clone()), &target);
        let failed = Problem::of_no_route(&NoRoute::Failed(reason), &target);
        assert_eq!((denied.fault.status, denied.fault.end), (403, End::Denied));
        assert_eq!((failed.fault.status, failed.fault.end), (502, End::Unreachable));
        for problem in [denied, failed] {
            assert!(problem.cause.contains("a.example:443") && problem.cause.ends_with("no games"), "{problem:?}");
        }
    }

    #[test]
    fn a_script_sees_the_urls_that_it_would_see_in_a_browser() {
        for (target, url) in [
            ("h:443", "https://h/"),
            ("h:80", "http://h/"),
            ("h:8443", "https://h:8443/"),
            ("[2001:db8::1]:443", "https://[2001:db8::1]/"),
        ] {
            assert_eq!(Wanted::tunnel(&Target::parse(target, None).unwrap()).url, url);
        }
        for (asked, url) in [
            ("http://h/a?b", "http://h/a?b"),
            ("http://h:81", "http://h:81/"),
            ("https://h/secret?token", "https://h/"),
            ("wss://h:1/x", "wss://h:1/"),
            ("ftp://h/f", "ftp://h/f"),
        ] {
            assert_eq!(Wanted::forward(&Url::parse(asked).unwrap()).url, url);
        }
    }
}
