//! The hops of a route in the order in which they are tried, and what those that failed came to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ConnectCause, ConnectError, Failed, Live, Upstreams};
use crate::address::Target;
use crate::route::{Hop, Route};

/// All hops that are known to be dead get this long together: a refusal comes within it, and a black hole costs no
/// more than this. The probe in the background finds those that are slow.
const LAST_CHANCE: Duration = Duration::from_millis(30);

/// How long a dial may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// As long as the dialler's own limit.
    Full,
    Until(Instant),
}

/// Those that may be alive in their order, then the dead ones in theirs.
pub(super) struct Attempts<'a> {
    target: &'a Target,
    alive: VecDeque<&'a Hop>,
    dead: VecDeque<&'a Hop>,
    last_chance: Option<Instant>,
    live: Arc<Live>,
    failures: Vec<ConnectError>,
    over: bool,
}

impl<'a> Attempts<'a> {
    pub fn next(&mut self) -> Option<(&'a Hop, Patience)> {
        if self.over {
            return None;
        }
        if let Some(hop) = self.alive.pop_front() {
            return Some((hop, Patience::Full));
        }
        let hop = self.dead.pop_front()?;
        let until = *self.last_chance.get_or_insert_with(|| Instant::now() + LAST_CHANCE);
        Some((hop, Patience::Until(until)))
    }

    pub fn failed(&mut self, hop: &Hop, cause: ConnectCause) {
        // That it is dead was told when it died.
        match (hop, self.last_chance) {
            (_, Some(_)) => tracing::debug!(%hop, error = %cause, "hop is still dead"),
            (Hop::Upstream(_), None) if self.live.is_news(&format!("{hop} {cause}")) => {
                tracing::info!(%hop, error = %cause, "hop failed");
            }
            (Hop::Upstream(_) | Hop::Direct, None) => tracing::debug!(%hop, error = %cause, "hop failed"),
        }
        let error = ConnectError::new(self.target, hop, cause);
        self.over = !error.leaves_other_hops();
        self.failures.push(error);
    }

    /// The one that says most, with the others beside it.
    pub fn verdict(mut self) -> ConnectError {
        let Some(last) = self.failures.len().checked_sub(1) else {
            return ConnectError::new(self.target, &Hop::Direct, ConnectCause::Unknown);
        };
        // A hop that asked for what we do not have says more than one that did not answer.
        let asked = |error: &ConnectError| matches!(error.cause, ConnectCause::Refused(_));
        let telling = match self.over {
            true => last,
            false => self.failures.iter().rposition(asked).unwrap_or(last),
        };
        let error = self.failures.remove(telling);
        ConnectError {
            others: self.failures.into_iter().map(|ConnectError { hop, cause, .. }| Failed { hop, cause }).collect(),
            ..error
        }
    }
}

impl Upstreams {
    /// All of them could not be reached a moment ago.
    pub fn are_dead(&self, hops: &[Hop]) -> bool {
        hops.iter().all(|hop| self.is_dead(hop))
    }

    fn is_dead(&self, hop: &Hop) -> bool {
        match hop {
            Hop::Direct => false,
            Hop::Upstream(endpoint) => self.live.is_dead(endpoint),
        }
    }

    pub(super) fn attempts<'a>(&self, route: &'a Route, target: &'a Target) -> Attempts<'a> {
        let (dead, alive) = route.hops.iter().partition(|hop| self.is_dead(hop));
        let live = self.live.clone();
        Attempts { target, alive, dead, last_chance: None, live, failures: Vec::new(), over: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Refusal;
    use crate::upstream::DialError;

    fn attempts<'a>(target: &'a Target, alive: &'a [Hop], dead: &'a [Hop]) -> Attempts<'a> {
        let (alive, dead) = (alive.iter().collect(), dead.iter().collect());
        Attempts { target, alive, dead, last_chance: None, live: Arc::default(), failures: Vec::new(), over: false }
    }

    fn upstream(name: &str) -> Hop {
        let target = Target::parse(&format!("{name}:1"), None).unwrap();
        Hop::Upstream(crate::address::Endpoint { target, protocol: crate::address::Protocol::Http })
    }

    #[test]
    fn dead_hops_come_last_and_share_one_short_time() {
        let target = Target::parse("o.test:1", None).unwrap();
        let (alive, dead) = ([upstream("c")], [upstream("a"), upstream("b")]);
        let mut attempts = attempts(&target, &alive, &dead);
        let mut order = Vec::new();
        while let Some((hop, patience)) = attempts.next() {
            order.push((hop.to_string(), patience));
        }
        let [(first, Patience::Full), (second, Patience::Until(one)), (third, Patience::Until(other))] = &order[..]
        else {
            panic!("{order:?}")
        };
        assert_eq!([first, second, third], ["http://c:1", "http://a:1", "http://b:1"]);
        assert_eq!(one, other);
    }

    #[test]
    fn every_hop_that_was_tried_is_named_and_the_one_that_says_most_stands_first() {
        let target = Target::parse("o.test:1", None).unwrap();
        let hops = [upstream("a"), upstream("b"), upstream("c")];
        let unknown = || ConnectCause::Dial(DialError::NoAddress("x".into()));
        let asked = || ConnectCause::Refused(Refusal::NoCredential("no ticket".into()));
        for (causes, first, others) in [
            (vec![unknown(), unknown(), unknown()], "http://c:1", vec!["http://a:1".to_string(), "http://b:1".into()]),
            (vec![asked(), unknown(), unknown()], "http://a:1", vec!["http://b:1".to_string(), "http://c:1".into()]),
            (vec![unknown(), ConnectCause::Refused(Refusal::Broken)], "http://b:1", vec!["http://a:1".to_string()]),
        ] {
            let mut attempts = attempts(&target, &hops, &[]);
            for cause in causes {
                let (hop, _) = attempts.next().unwrap();
                attempts.failed(hop, cause);
            }
            assert!(attempts.next().is_none());
            let verdict = attempts.verdict();
            let named: Vec<String> = verdict.others.iter().map(|failed| failed.hop.to_string()).collect();
            assert_eq!((verdict.hop.to_string(), named), (first.to_string(), others));
        }
        let nothing = attempts(&target, &[], &[]).verdict();
        assert!(matches!(nothing.cause, ConnectCause::Unknown));
    }
}
