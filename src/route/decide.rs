//! The order of decision, from the target to the hops.

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use super::pac::Answer;
use super::rules::{Match, Rule, Use, join};
use super::{DirectFallback, Hop, NoRoute, Outside, PacState, Question, Reason, ReasonKind, Route, Router, Script};
use crate::address::Host;

/// More of what a script returned or complained of is not shown.
const MOST_SHOWN: usize = 200;

/// How the two things that may block are asked for. `Refusal` is what is said where blocking is not allowed.
trait Ask {
    type Refusal;

    fn is_own(&self, ip: IpAddr) -> bool;
    fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Self::Refusal>;
    fn evaluate(&self, script: &dyn Script, url: &str, host: &str) -> Result<Evaluated, Self::Refusal>;
}

type Evaluated = Result<Arc<Answer>, String>;

type Decision = Result<Route, NoRoute>;

struct Blocking<'a>(&'a dyn Outside);

impl Ask for Blocking<'_> {
    type Refusal = Infallible;

    fn is_own(&self, ip: IpAddr) -> bool {
        self.0.is_own(ip)
    }

    fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Infallible> {
        Ok(self.0.resolve(name))
    }

    fn evaluate(&self, script: &dyn Script, url: &str, host: &str) -> Result<Evaluated, Infallible> {
        Ok(script.remembered(url).map_or_else(|| script.evaluate(url, host), Ok))
    }
}

struct AtOnce<F>(F);

struct WouldBlock;

impl<F: Fn(IpAddr) -> bool> Ask for AtOnce<F> {
    type Refusal = WouldBlock;

    fn is_own(&self, ip: IpAddr) -> bool {
        (self.0)(ip)
    }

    fn resolve(&self, _: &str) -> Result<Vec<IpAddr>, WouldBlock> {
        Err(WouldBlock)
    }

    fn evaluate(&self, script: &dyn Script, url: &str, _: &str) -> Result<Evaluated, WouldBlock> {
        script.remembered(url).map(Ok).ok_or(WouldBlock)
    }
}

impl Router {
    /// Never blocks. `None`: [`Router::decide`] must be asked, where blocking is allowed.
    pub fn decide_now(&self, question: &Question<'_>, is_own: impl Fn(IpAddr) -> bool) -> Option<Decision> {
        self.walk(question, &AtOnce(is_own)).ok()
    }

    /// May block for as long as names take to resolve and a PAC to run.
    pub fn decide(&self, question: &Question<'_>, outside: &dyn Outside) -> Decision {
        let Ok(decision) = self.walk(question, &Blocking(outside));
        decision
    }

    /// Names are resolved for rules that want it alone: one that leads to this machine is noticed when it is dialled.
    fn walk<A: Ask>(&self, question: &Question<'_>, ask: &A) -> Result<Decision, A::Refusal> {
        let target = question.target;
        if target.host.is_local() {
            return Ok(Ok(direct(ReasonKind::Loopback, "loopback and link-local never go to a proxy")));
        }
        if target.host.ip().is_some_and(|ip| ask.is_own(ip)) {
            return Ok(Ok(direct(ReasonKind::Own, "an address of this machine")));
        }
        if let Some(pattern) = self.no_proxy.matches(target) {
            return Ok(self.guarded(question, direct(ReasonKind::NoProxy, format!("no_proxy has {pattern}"))));
        }
        for rule in &self.rules {
            if let Some(held) = holds(rule, question, ask)? {
                return self.by_rule(rule, &held, question, ask);
            }
        }
        if !matches!(self.pac, PacState::Absent) {
            return self.by_pac(None, question, ask);
        }
        Ok(self.by_upstreams(question))
    }

    fn by_rule<A: Ask>(
        &self,
        rule: &Rule,
        held: &str,
        question: &Question<'_>,
        ask: &A,
    ) -> Result<Decision, A::Refusal> {
        let text = format!("{}: {}", rule.place, rule.reason.as_deref().unwrap_or(held));
        let reason = Reason { kind: ReasonKind::Rule, text: text.into() };
        match &rule.action {
            Use::Deny => Ok(Err(NoRoute::Denied(reason))),
            Use::Hops(hops) => Ok(self.with_fallback(question, Route { hops: hops.clone(), reason })),
            Use::Pac => self.by_pac(Some(&reason.text), question, ask),
        }
    }

    fn by_pac<A: Ask>(&self, rule: Option<&str>, question: &Question<'_>, ask: &A) -> Result<Decision, A::Refusal> {
        let said = |text: String| match rule {
            Some(rule) => format!("{rule}; {text}"),
            None => text,
        };
        let fallback = self.direct_fallback;
        let (text, allowed) = match &self.pac {
            PacState::Ready(script) => match ask.evaluate(&**script, question.url, &bare(&question.target.host))? {
                Ok(answer) if !answer.hops.is_empty() => {
                    let text = said(format!("the PAC says {}", shown(&answer)));
                    let route = Route {
                        hops: answer.hops.clone(),
                        reason: Reason { kind: ReasonKind::Pac, text: text.into() },
                    };
                    return Ok(self.with_fallback(question, route));
                }
                Ok(_) => ("the PAC names no way".into(), fallback == DirectFallback::Always),
                Err(error) => {
                    let error = without_path(&error, question.url);
                    (format!("the PAC failed: {error}"), fallback == DirectFallback::Always)
                }
            },
            PacState::Unreachable(why) => {
                (format!("the PAC cannot be fetched: {why}"), fallback != DirectFallback::Never)
            }
            PacState::Failed(why) => (format!("the PAC cannot be used: {why}"), fallback == DirectFallback::Always),
            PacState::Absent => ("no PAC is configured".into(), fallback == DirectFallback::Always),
        };
        let text = said(text);
        if !allowed {
            return Ok(Err(NoRoute::Failed(Reason { kind: ReasonKind::Pac, text: text.into() })));
        }
        let route = direct(ReasonKind::PacFallback, format!("{text}; direct_fallback allows direct"));
        // What is broken is the PAC, so it is not the user who is denied something.
        Ok(self.guarded(question, route).map_err(|no_route| NoRoute::Failed(no_route.reason().clone())))
    }

    fn by_upstreams(&self, question: &Question<'_>) -> Decision {
        if self.upstreams.is_empty() {
            return self.guarded(question, direct(ReasonKind::Default, "no upstream is configured"));
        }
        let (kind, text) = match &self.system {
            Some(source) => (ReasonKind::System, format!("{source} names it").into()),
            None => (ReasonKind::Upstream, "the configured upstreams".into()),
        };
        let hops = self.upstreams.iter().cloned().map(Hop::Upstream).collect();
        self.with_fallback(question, Route { hops, reason: Reason { kind, text } })
    }

    /// Direct comes last, so that only hops that cannot be reached are passed over, never a refusal.
    fn with_fallback(&self, question: &Question<'_>, mut route: Route) -> Decision {
        let more = self.direct_fallback == DirectFallback::Always && !route.hops.is_empty();
        if more && !route.hops.contains(&Hop::Direct) {
            route.hops.push(Hop::Direct);
        }
        self.guarded(question, route)
    }

    /// Takes direct out where `never_direct` forbids it.
    fn guarded(&self, question: &Question<'_>, mut route: Route) -> Decision {
        if !route.hops.contains(&Hop::Direct) {
            return if route.hops.is_empty() { Err(NoRoute::Failed(route.reason)) } else { Ok(route) };
        }
        let forbids = self.never_direct.iter().find(|pattern| pattern.matches(&question.target.host));
        let Some(pattern) = forbids else { return Ok(route) };
        route.hops.retain(|hop| *hop != Hop::Direct);
        let Reason { kind, text } = route.reason;
        let text = format!("{text}; not directly, because never_direct has {pattern}").into();
        let reason = Reason { kind, text };
        match route.hops.is_empty() {
            true => Err(NoRoute::Denied(reason)),
            false => Ok(Route { hops: route.hops, reason }),
        }
    }
}

fn direct(kind: ReasonKind, text: impl Into<Cow<'static, str>>) -> Route {
    Route { hops: vec![Hop::Direct], reason: Reason { kind, text: text.into() } }
}

fn holds<A: Ask>(rule: &Rule, question: &Question<'_>, ask: &A) -> Result<Option<String>, A::Refusal> {
    match rule.judge(question) {
        Match::No => Ok(None),
        Match::Yes(held) => Ok(Some(held)),
        Match::Resolve(held) => {
            let addresses = ask.resolve(&bare(&question.target.host))?;
            Ok(rule.network_of(&addresses).map(|network| join(held, Some(network))))
        }
    }
}

/// As scripts and resolvers take it: IPv6 without brackets.
fn bare(host: &Host) -> String {
    match host {
        Host::Name(name) => name.clone(),
        Host::Ip(ip) => ip.to_string(),
    }
}

/// What was returned, if it is nothing but what hops are written with: a script may return the URL it was given.
fn shown(answer: &Answer) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " .:;-_[]".contains(c);
    if answer.returned.chars().all(plain) && answer.returned.len() <= MOST_SHOWN {
        return format!("{:?}", answer.returned.trim());
    }
    let hops: Vec<String> = answer.hops.iter().map(ToString::to_string).collect();
    clipped(&hops.join(", "))
}

/// A script may complain of the very URL it was given.
fn without_path(error: &str, url: &str) -> String {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let path = url[after_scheme..].find(['/', '?']).map_or("", |at| &url[after_scheme + at..]);
    let error = if path.len() > 1 { error.replace(path, "/…") } else { error.to_string() };
    clipped(&error)
}

fn clipped(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_string(),
    }
}
