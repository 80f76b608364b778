//! How each upstream stands: whether it is there, as whom and how we log in, whether the breaker lets us.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Proxy;
use crate::address::Endpoint;
use crate::auth::{Scheme, Start, TicketLife};
use crate::upstream::Health;
use crate::upstream::lockout::Trouble;
use crate::upstream::logons::Record;

/// Those that requests go by here, in their order, then others that were dialled lately.
pub(super) fn known(proxy: &Proxy) -> Vec<Endpoint> {
    let mut all = proxy.router.upstreams.clone();
    for (endpoint, ..) in proxy.upstreams.live.health() {
        if !all.contains(&endpoint) {
            all.push(endpoint);
        }
    }
    all
}

pub(super) async fn json(proxy: &Proxy) -> Vec<Value> {
    let health = proxy.upstreams.live.health();
    let troubles = proxy.upstreams.live.lockout().troubles();
    let mut all = Vec::new();
    for endpoint in known(proxy) {
        let record = proxy.upstreams.live.logons().of(&endpoint);
        let ticket = ticket(proxy, &endpoint, record.as_ref()).await;
        let health = health.iter().find(|(known, ..)| *known == endpoint);
        let health = health.map(|(_, health, since)| (health, since));
        all.push(one(proxy, &endpoint, health, record, &troubles, ticket));
    }
    all
}

fn one(
    proxy: &Proxy,
    endpoint: &Endpoint,
    health: Option<(&Health, &Timestamp)>,
    record: Option<Record>,
    troubles: &[Trouble],
    ticket: Option<TicketLife>,
) -> Value {
    let name = endpoint.to_string();
    let account = proxy.upstreams.mechanisms.account(endpoint);
    let stops = |trouble: &&Trouble| {
        Some(&trouble.account) == account.as_ref() && trouble.upstream.as_ref().is_none_or(|at| *at == name)
    };
    let stopped = troubles.iter().find(stops);
    let (state, problem) = match health {
        Some((Health::Up, _)) => ("up", None),
        Some((Health::Down(why), _)) => ("down", Some(why)),
        None => ("unused", None),
    };
    json!({
        "upstream": name,
        "state": state,
        "problem": problem,
        "since": health.map(|(_, since)| format!("{since:.0}")),
        "account": account,
        "scheme": record.and_then(|record| record.start).map(|start| start.to_string()),
        "last_success": record.and_then(|record| record.last_success).map(|at| format!("{at:.0}")),
        "logons": {
            "accepted": record.map_or(0, |record| record.accepted),
            "rejected": record.map_or(0, |record| record.rejected),
        },
        "breaker": if stopped.is_some() { "open" } else { "closed" },
        "ticket": ticket.map(|TicketLife { owner, left }| json!({
            "owner": owner,
            "left_seconds": left.as_secs(),
        })),
    })
}

/// Only where one was of use: nobody else has the system asked.
async fn ticket(proxy: &Proxy, endpoint: &Endpoint, record: Option<&Record>) -> Option<TicketLife> {
    let by_ticket = record.is_some_and(|record| record.start == Some(Start::Scheme(Scheme::Negotiate)));
    if !by_ticket {
        return None;
    }
    let mechanisms = Arc::clone(&proxy.upstreams.mechanisms);
    proxy.tally.tickets.of(&mechanisms, endpoint).await
}
