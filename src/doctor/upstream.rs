//! An upstream as far as it goes without a credential: TCP, TLS and who signed it, the schemes that it offers.

use std::sync::Arc;

use super::notes::Offer;
use super::{Case, Check, Finding, Stage, names};
use crate::address::{Endpoint, Target};
use crate::proxy::chain;
use crate::upstream::shown::{Shown, Trust};
use crate::upstream::{ConnectCause, DialError, Knock};

pub(super) fn name(endpoint: &Endpoint) -> String {
    format!("upstream {endpoint}")
}

pub(super) fn check(case: &Arc<Case>, endpoint: &Endpoint) -> Option<Check> {
    let target = case.target_by(endpoint)?;
    let limit = case.handshake_limit();
    let (case, endpoint) = (case.clone(), endpoint.clone());
    let rests_on = names::name(&endpoint);
    let check =
        Check::new(Stage::Upstream, name(&endpoint), limit, async move { look(&case, &endpoint, &target).await });
    Some(check.rests_on(rests_on))
}

async fn look(case: &Case, endpoint: &Endpoint, target: &Target) -> Finding {
    match case.proxy.upstreams.knock(endpoint, target).await {
        Ok(knock) => {
            let offer = Offer { wants_log_in: knock.wants_log_in(), schemes: knock.offered() };
            let finding = of_knock(&knock, &offer);
            case.notes.offered(endpoint, offer);
            match endpoint.is_tls() {
                true => finding.details(signed(case, endpoint).await),
                false => finding,
            }
        }
        Err(ConnectCause::Tls(error)) => match case.proxy.upstreams.shown_by(endpoint).await {
            Ok(shown) => of_certificate(case, endpoint, &shown),
            Err(_) => Finding::failed(
                format!("{} does not speak TLS as it should: {}", endpoint.target, chain(&error)),
                format!("if it speaks plain HTTP, write url = \"http://{}\"", endpoint.target),
            ),
        },
        Err(cause) => of_failure(&cause, endpoint),
    }
}

fn of_knock(knock: &Knock, offer: &Offer) -> Finding {
    let address = knock.address.map_or_else(|| "connected".into(), |address| address.to_string());
    let connected = format!("{address} in {} ms", knock.dialled.as_millis());
    let Some(answer) = &knock.answer else { return Finding::fine(format!("{connected}, speaks SOCKS")) };
    match (answer.status, offer.schemes.is_empty()) {
        (407, false) => Finding::fine(format!("{connected}, wants a log-in by {}", offer.schemes.join(", "))),
        (407, true) => Finding::failed(
            format!("{connected}, wants a log-in and names no scheme for it"),
            "tell whoever runs the proxy: its answer 407 has no Proxy-Authenticate",
        ),
        (status @ 500.., _) => Finding::warning(
            format!("{connected}, answers a bare CONNECT with {status}"),
            "the proxy may be in trouble, or not reach the target",
        ),
        (status, _) => Finding::fine(format!("{connected}, wants no log-in (answer {status})")),
    }
}

async fn signed(case: &Case, endpoint: &Endpoint) -> Option<String> {
    let shown = case.proxy.upstreams.shown_by(endpoint).await.ok()?;
    Some(format!("its certificate is signed by {}", shown.issuer()))
}

fn of_certificate(case: &Case, endpoint: &Endpoint, shown: &Shown) -> Finding {
    let (target, issuer) = (&endpoint.target, shown.issuer());
    let table = case.config.upstreams.iter().find(|upstream| upstream.endpoint == *endpoint);
    let table = table.map_or_else(|| "NAME".to_string(), |upstream| upstream.name.clone());
    match &shown.trust {
        Trust::UnknownIssuer | Trust::Trusted => Finding::failed(
            format!("the certificate of {target} is signed by {issuer}, whom nothing here trusts"),
            format!(
                "get that authority's certificate from whoever runs the proxy, and name it: ca_file in [upstreams.{table}]"
            ),
        ),
        Trust::OtherName => Finding::failed(
            format!("the certificate of {target}, signed by {issuer}, is meant for another name"),
            "name the upstream as its certificate does",
        ),
        Trust::OutOfTime => Finding::failed(
            format!("the certificate of {target}, signed by {issuer}, is not valid at this time"),
            "look at this machine's clock, then tell whoever runs the proxy",
        ),
        Trust::Otherwise(why) => Finding::failed(
            format!("the certificate of {target}, signed by {issuer}, cannot be used: {why}"),
            "tell whoever runs the proxy",
        ),
    }
}

/// Of any attempt that did not come as far as an answer.
pub(super) fn of_failure(cause: &ConnectCause, endpoint: &Endpoint) -> Finding {
    let target = &endpoint.target;
    let why = chain(cause);
    match cause {
        ConnectCause::Dial(DialError::Timeout(_, limit)) => Finding::failed(
            format!("{target} does not answer: no connection within {} s", limit.as_secs_f32()),
            "packets to it are swallowed: is this the network (or VPN) where the proxy is, is its address right, \
             does a firewall stand between",
        ),
        ConnectCause::Dial(DialError::Connect(_, error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Finding::failed(
                format!("nobody listens on {target} (connection refused)"),
                "the proxy is down or its port is another one: ask whoever runs it, or correct the upstream",
            )
        }
        ConnectCause::Dial(_) => Finding::failed(
            format!("{target} cannot be reached: {why}"),
            "is this the network (or VPN) where the proxy is, and is its address right",
        ),
        ConnectCause::Broken(_) => Finding::failed(
            format!("{target} takes connections but does not answer as a proxy: {why}"),
            "is its port right, and does it speak TLS (https://) or SOCKS (socks5://)",
        ),
        ConnectCause::HandshakeTimeout { .. } => Finding::failed(
            format!("{target} takes connections but does not answer: {why}"),
            "the proxy hangs: tell whoever runs it",
        ),
        ConnectCause::Tls(_)
        | ConnectCause::Refused(_)
        | ConnectCause::Socks(_)
        | ConnectCause::Unknown
        | ConnectCause::Mistake => {
            Finding::failed(format!("{target}: {why}"), "run hallpass doctor --json and ask whoever runs the proxy")
        }
    }
}
