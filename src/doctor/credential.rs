//! Whether an upstream takes the credential: one log-on at most, and none for a secret that was refused before.

use std::sync::Arc;

use super::{Case, Check, Finding, Stage, kerberos, upstream};
use crate::address::{Endpoint, Target};
use crate::auth::{Refusal, Rejection, Scheme};
use crate::config::{Config, Credential};
use crate::http1::Fields;
use crate::mechanism::Recipient;
use crate::route::{Hop, Reason, ReasonKind, Route};
use crate::upstream::{ConnectCause, ConnectError, Connected};

pub(super) fn name(endpoint: &Endpoint) -> String {
    format!("credential {endpoint}")
}

/// Those of the same account come one after the other: the verdict on the first is one on all.
pub(super) fn check(case: &Arc<Case>, endpoint: &Endpoint) -> Option<Check> {
    let target = case.target_by(endpoint)?;
    // It is asked of those that speak HTTP only; what others think of it is seen when they lead to a target.
    if endpoint.is_socks() {
        return None;
    }
    let whose = of(&case.config, endpoint);
    let same = |other: &&Endpoint| of(&case.config, other).map(|one| &one.user) == whose.map(|one| &one.user);
    let earlier = case.upstreams.iter().take_while(|other| *other != endpoint).filter(same).map(name);
    let before = [upstream::name(endpoint), kerberos::name(endpoint)].into_iter().chain(earlier);
    let before: Vec<String> = before.collect();
    let limit = case.handshake_limit();
    let (case, endpoint) = (case.clone(), endpoint.clone());
    let name = name(&endpoint);
    let work = async move { look(&case, &endpoint, &target).await };
    Some(Check::new(Stage::Credential, name, limit, work).rests_on(before))
}

/// The credential that this upstream may receive, as the relay grants them.
pub(super) fn of<'a>(config: &'a Config, endpoint: &Endpoint) -> Option<&'a Credential> {
    if let Some(upstream) = config.upstreams.iter().find(|upstream| upstream.endpoint == *endpoint) {
        return Some(&upstream.credential);
    }
    let meant = |one: &&Arc<Credential>| Recipient::matching(&one.for_upstreams).is(endpoint);
    let found = config.says_nothing_of_routes().then(|| config.credentials.first()).flatten();
    config.credentials.iter().find(meant).or(found).map(|one| &**one)
}

async fn look(case: &Case, endpoint: &Endpoint, target: &Target) -> Finding {
    let Some(offer) = case.notes.offer(endpoint) else {
        return Finding::skipped("not tried: the upstream did not answer");
    };
    if !offer.wants_log_in {
        return Finding::fine("none is wanted");
    }
    if case.notes.is_hopeless(endpoint) {
        return Finding::skipped("not tried: it could only be refused");
    }
    let who = Who::of(&case.config, endpoint);
    let reason = Reason { kind: ReasonKind::Upstream, text: "the check of the credential".into() };
    let route = Route { hops: vec![Hop::Upstream(endpoint.clone())], reason };
    match case.proxy.upstreams.tunnel(&route, target, &Fields::default()).await {
        Ok(Connected::Tunnel(tunnel)) => who.taken(tunnel.scheme),
        Ok(Connected::Answer(answer)) if answer.head.status < 500 => who.taken(answer.scheme),
        Ok(Connected::Answer(answer)) => Finding::warning(
            format!("the upstream answered with {}, so nobody knows whether it took the log-in", answer.head.status),
            "the proxy may be in trouble: run doctor again later",
        ),
        Ok(Connected::Repeated(..)) => Finding::skipped("not tried: it was answered a moment ago"),
        Err(error) => who.refused(&error, endpoint),
    }
}

/// An account in words: who, and where its secret comes from.
struct Who {
    account: String,
    secret: Option<String>,
    is_named: bool,
}

impl Who {
    fn of(config: &Config, endpoint: &Endpoint) -> Self {
        let Some(credential) = of(config, endpoint) else {
            return Self { account: "nobody".into(), secret: None, is_named: false };
        };
        let account = credential.user.as_ref().map_or_else(|| "the logged-in identity".into(), ToString::to_string);
        let keytab = credential.keytab.as_ref().map(|path| format!("the keytab {}", path.display()));
        let secret = credential.nt_hash.as_ref().or(credential.secret.as_ref()).map(ToString::to_string);
        Self { account, secret: keytab.or(secret), is_named: credential.user.is_some() }
    }

    fn taken(&self, scheme: Option<Scheme>) -> Finding {
        let by = scheme.map(|scheme| format!(" by {scheme}")).unwrap_or_default();
        let from = match (&self.secret, scheme) {
            (Some(_), Some(Scheme::Negotiate)) | (None, _) => String::new(),
            (Some(secret), _) => format!(", with {secret}"),
        };
        Finding::fine(format!("taken: {}{by}{from}", self.account))
    }

    fn refused(&self, error: &ConnectError, endpoint: &Endpoint) -> Finding {
        match &error.cause {
            ConnectCause::Refused(refusal) => self.of_refusal(refusal, endpoint),
            ConnectCause::HandshakeTimeout { .. }
            | ConnectCause::Dial(_)
            | ConnectCause::Tls(_)
            | ConnectCause::Broken(_)
            | ConnectCause::Socks(_)
            | ConnectCause::Unknown
            | ConnectCause::Mistake => upstream::of_failure(&error.cause, endpoint),
        }
    }

    fn of_refusal(&self, refusal: &Refusal, endpoint: &Endpoint) -> Finding {
        let (account, target) = (&self.account, &endpoint.target);
        let secret = self.secret.as_deref().unwrap_or("its place");
        match refusal {
            Refusal::Rejected { scheme, why: Rejection::Unsaid } => Finding::failed(
                format!(
                    "{target} refused {account} by {scheme}: the password is wrong, changed or expired, or the account is \
                     locked or unknown"
                ),
                self.renew(secret),
            ),
            Refusal::Rejected { why: Rejection::Wrong, .. } => {
                Finding::failed(format!("the password of {account} is wrong"), self.renew(secret))
            }
            Refusal::Rejected { why: Rejection::Locked, .. } => Finding::failed(
                format!("the account {account} is locked or disabled"),
                "have it unlocked, then hallpass status --retry",
            ),
            Refusal::Rejected { why: Rejection::Expired, .. } => Finding::failed(
                format!("the password of {account} has expired"),
                "change it where you log in to the network, then hallpass login",
            ),
            Refusal::Closed(closed) => {
                let what = if closed.rejected { "was refused before" } else { "was shown before, and nobody judged it" };
                Finding::failed(
                    format!("the secret of {account} {what}, so it is not shown again: the account could be locked"),
                    format!("{}; hallpass status --retry has it tried once more", self.renew(secret)),
                )
            }
            // What Kerberos lacks is told there.
            Refusal::NoCredential(why) if self.is_named => Finding::failed(
                format!("nothing can be sent for {account}: {why}"),
                "correct what is named there; hallpass login stores a password",
            ),
            Refusal::NoCredential(why) => Finding::failed(
                format!("no user is configured, and {target} wants a log-in: {why}"),
                "name the account, user = 'DOMAIN\\user' or --user, and store its password: hallpass login",
            ),
            Refusal::NoScheme { .. } => Finding::failed(
                refusal.to_string(),
                "schemes = [\u{2026}] of the upstream says what is allowed; basic must be named, for it shows the password",
            )
            .explained_by::<String>([]),
            Refusal::Crowded | Refusal::Broken | Refusal::Endless => {
                Finding::failed(format!("{target}: {refusal}"), "the proxy may be in trouble: tell whoever runs it")
            }
        }
        .verdict(refusal)
    }

    fn renew(&self, secret: &str) -> String {
        format!("look at {secret}; hallpass login stores another password, and --user names another account")
    }
}

impl Finding {
    /// A secret that was judged stands for itself, whatever Kerberos lacks.
    fn verdict(self, refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Rejected { .. } => self.explained_by::<String>([]),
            Refusal::Closed(_)
            | Refusal::NoCredential(_)
            | Refusal::NoScheme { .. }
            | Refusal::Crowded
            | Refusal::Broken
            | Refusal::Endless => self,
        }
    }
}
