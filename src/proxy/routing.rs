//! A request → the question that the router is asked, and the answer → a route or a problem.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::respond::Problem;
use super::url::Url;
use super::{Proxy, Story};
use crate::address::Target;
use crate::network;
use crate::resolver;
use crate::route::{NoRoute, Outside, Question, Route};

/// What a request says of where it leads.
pub(super) struct Asked {
    target: Target,
    scheme: String,
    url: String,
}

impl Asked {
    /// What goes through a tunnel is not seen; the port tells best.
    pub fn tunnel(target: &Target) -> Self {
        let (scheme, usual) = if target.port == 80 { ("http", 80) } else { ("https", 443) };
        let url = match target.port == usual {
            true => format!("{scheme}://{}/", target.host),
            false => format!("{scheme}://{target}/"),
        };
        Self { target: target.clone(), scheme: scheme.into(), url }
    }

    /// Of `https` a script sees no path, as in browsers: it could tell others of it.
    pub fn forward(url: &Url) -> Self {
        let private = matches!(url.scheme.as_str(), "https" | "wss");
        let shown = if private { format!("{}://{}/", url.scheme, url.authority) } else { url.absolute() };
        Self { target: url.target.clone(), scheme: url.scheme.clone(), url: shown }
    }

    fn question(&self) -> Question<'_> {
        Question { target: &self.target, scheme: &self.scheme, url: &self.url, program: None }
    }
}

impl Proxy {
    /// Where the request goes, written into its story too.
    pub(super) async fn route(self: &Arc<Self>, asked: Asked, story: &mut Story) -> Result<Route, Problem> {
        let target = asked.target.clone();
        let decision = match self.router.decide_now(&asked.question(), network::is_own_address) {
            Some(decision) => decision,
            None => self.route_slowly(asked).await?,
        };
        let reason = match &decision {
            Ok(route) => &route.reason,
            Err(no_route) => no_route.reason(),
        };
        story.routed(&target, reason);
        decision.map_err(|no_route| problem(&target, &no_route))
    }

    /// On a thread that may block.
    async fn route_slowly(self: &Arc<Self>, asked: Asked) -> Result<Result<Route, NoRoute>, Problem> {
        let (proxy, system) = (self.clone(), System(Handle::current()));
        let deciding = tokio::task::spawn_blocking(move || proxy.router.decide(&asked.question(), &system));
        deciding.await.map_err(|_| Problem::routing_failed())
    }
}

fn problem(target: &Target, no_route: &NoRoute) -> Problem {
    match no_route {
        NoRoute::Denied(reason) => Problem::denied(target, &reason.text),
        NoRoute::Failed(reason) => Problem::no_route(target, &reason.text),
    }
}

/// This machine, as it is asked on a thread that may block.
struct System(Handle);

impl Outside for System {
    fn is_own(&self, ip: IpAddr) -> bool {
        network::is_own_address(ip)
    }

    fn resolve(&self, name: &str) -> Vec<IpAddr> {
        let found = self.0.block_on(resolver::resolve(name, 0)).unwrap_or_default();
        found.into_iter().map(|address| address.ip()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::End;
    use crate::route::{Reason, ReasonKind};

    #[test]
    fn what_is_denied_is_403_and_what_is_broken_502_and_both_say_why() {
        let target = Target::parse("a.example:443", None).unwrap();
        let reason = Reason { kind: ReasonKind::Rule, text: "rule 3 at line 41 of hallpass.toml: no games".into() };
        let denied = problem(&target, &NoRoute::Denied(reason.clone()));
        let failed = problem(&target, &NoRoute::Failed(reason));
        assert_eq!((denied.status, denied.end), (403, End::Denied));
        assert_eq!((failed.status, failed.end), (502, End::Unreachable));
        for problem in [denied, failed] {
            assert!(problem.cause.contains("a.example:443") && problem.cause.ends_with("no games"), "{problem:?}");
        }
    }

    #[test]
    fn a_script_sees_of_a_tunnel_what_a_browser_would_show_it() {
        for (target, url) in [
            ("a.example:80", "http://a.example/"),
            ("a.example:443", "https://a.example/"),
            ("a.example:8443", "https://a.example:8443/"),
            ("[2001:db8::1]:443", "https://[2001:db8::1]/"),
        ] {
            assert_eq!(Asked::tunnel(&Target::parse(target, None).unwrap()).url, url);
        }
    }

    #[test]
    fn a_script_sees_the_path_of_plain_requests_only() {
        for (url, seen) in [
            ("http://a.example/x?y", "http://a.example/x?y"),
            ("http://a.example:8080/x", "http://a.example:8080/x"),
            ("https://a.example/x?y", "https://a.example/"),
            ("wss://a.example:444/x", "wss://a.example:444/"),
            ("ftp://a.example/x", "ftp://a.example/x"),
        ] {
            assert_eq!(Asked::forward(&Url::parse(url).unwrap()).url, seen);
        }
    }
}
