//! Whether the names of upstreams resolve, and how long that takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Case, Check, Finding, Stage, missed};
use crate::address::{Endpoint, Host};
use crate::resolver;

/// Every connection waits for it.
const SLOW: Duration = Duration::from_secs(1);

/// As the check of an upstream's name is called; an address has none.
pub(super) fn name(endpoint: &Endpoint) -> Option<String> {
    match &endpoint.target.host {
        Host::Name(name) => Some(format!("name {name}")),
        Host::Ip(_) => None,
    }
}

/// One for each name, however many upstreams have it.
pub(super) fn checks(case: &Arc<Case>) -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    for endpoint in case.upstreams.iter().chain(&missed::of_all(&case.wants)) {
        let (Host::Name(host), Some(name)) = (endpoint.target.host.clone(), name(endpoint)) else { continue };
        if checks.iter().all(|check| check.name != name) {
            let port = endpoint.target.port;
            checks.push(Check::new(Stage::Names, name, case.limit(), async move { look(&host, port).await }));
        }
    }
    checks
}

async fn look(host: &str, port: u16) -> Finding {
    let began = Instant::now();
    let found = resolver::resolve(host, port).await;
    let took = began.elapsed();
    match found {
        Ok(found) => {
            let mut addresses: Vec<String> = found.iter().map(|address| address.ip().to_string()).collect();
            addresses.dedup();
            let says = format!("{} ({} ms)", addresses.join(", "), took.as_millis());
            match took > SLOW {
                true => Finding::warning(says, "DNS answers slowly, and every new connection waits for it"),
                false => Finding::fine(says),
            }
        }
        Err(error) => Finding::failed(
            format!("the name {host} does not resolve ({error})"),
            "correct the upstream's name, or connect to the network that knows it (a VPN?)",
        ),
    }
}
