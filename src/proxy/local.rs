//! Our own pages, in origin-form: whether we live, whether we are ready, how we stand, the script for browsers.

use std::sync::Arc;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::door::{Door, Stranger};
use super::routing::settled;
use super::{Client, Next, Phase, Proxy, Shared, Story, faults, metrics, page, respond, status};
use crate::address::Target;
use crate::audit::{Audit, End};
use crate::http1::{Body, RequestHead, ResponseHead, Version};
use crate::listener::Peer;
use crate::route::own_pac;
use respond::Problem;

/// What programs ask of whoever listens, before they know whether it serves them: no secret, and nothing changes.
const FOR_EVERYBODY: [&str; 2] = ["/healthz", "/proxy.pac"];

/// All there is for other machines.
const FOR_OUTSIDERS: [&str; 3] = ["/healthz", "/readyz", "/proxy.pac"];

/// Looked at again and again, by people, scrapers and balancers.
const TO_BE_WATCHED: [&str; 5] = ["/", "/status", METRICS, "/healthz", "/readyz"];

/// Asked for by whoever restarts, balances and counts relays, above all when one of them is full.
const FOR_PROBES: [&str; 3] = ["/healthz", "/readyz", METRICS];

const METRICS: &str = "/metrics";

/// Not meant for another server.
pub(super) fn is_origin_form(head: &RequestHead) -> bool {
    head.method != "CONNECT" && (head.target.starts_with('/') || head.target == "*")
}

/// What somebody who may not use the relay may ask for all the same.
pub(super) fn is_for_stranger(head: &RequestHead, stranger: &Stranger, door: &Door, peer: &Peer) -> bool {
    let path = path(head);
    (stranger.is_of_this_machine() && FOR_EVERYBODY.contains(&path)) || is_for_scraper(path, door, peer)
}

/// What a relay answers that has no place for one client more.
pub(super) fn is_for_probes(head: &RequestHead) -> bool {
    is_origin_form(head) && FOR_PROBES.contains(&path(head))
}

/// Figures are shown to other machines only where somebody said to which.
fn is_for_scraper(path: &str, door: &Door, peer: &Peer) -> bool {
    path == METRICS && door.shows_metrics_to(peer.addr)
}

fn path(head: &RequestHead) -> &str {
    head.target.split('?').next().unwrap_or_default()
}

pub(super) async fn serve(client: &mut Client, head: &RequestHead, proxy: &Arc<Proxy>, shared: &mut Shared) -> Next {
    let phase = *shared.phase.borrow();
    let mut story = Story::of_request(&client.peer, proxy, head);
    if let Some(problem) = objection(client, head, proxy) {
        respond::refuse(client, story, &problem).await;
        return Next::Close;
    }
    let page = match (path(head), phase) {
        (path, _)
            if client.peer.is_outsider()
                && !FOR_OUTSIDERS.contains(&path)
                && !is_for_scraper(path, &client.door, &client.peer) =>
        {
            respond::refuse(client, story, &Problem::no_page()).await;
            return Next::Close;
        }
        ("/healthz", _) => Page::text("alive\n"),
        // Whoever is sent elsewhere is served, and here is told to come again.
        ("/readyz", Phase::Serving) if client.is_beyond || shared.places.are_taken() => Page::unready("full\n"),
        ("/readyz", Phase::Serving) => Page::text("ready\n"),
        ("/readyz", Phase::Leaving | Phase::Draining | Phase::Ending) => Page::unready("draining\n"),
        ("/", _) => page(&status::json(proxy, phase, shared).await),
        ("/status", _) => Page::new("application/json", format!("{:#}\n", status::json(proxy, phase, shared).await)),
        (METRICS, _) => Page::new(metrics::MEDIA_TYPE, metrics::text(proxy, shared)),
        ("/proxy.pac", _) => {
            // Browsers keep it for hours, so it waits for what is known of the place.
            let proxy = settled(proxy, shared).await;
            Page::new("application/x-ns-proxy-autoconfig", own_pac(client, head, &proxy))
        }
        _ => {
            respond::refuse(client, story, &Problem::no_page()).await;
            return Next::Close;
        }
    };
    story.answered(page.status);
    let persists = head.persists() && phase == Phase::Serving && !client.is_beyond;
    let page = page.to_bytes(head, persists);
    let sent = client.wire.stream.write_all(&page).await;
    // Whoever watches asks every second or so: among records of where programs went that would be all there is to see.
    if sent.is_ok() && TO_BE_WATCHED.contains(&path(head)) {
        story.audit = Audit::off();
    }
    story.end(if sent.is_ok() { End::Done } else { End::ClientReset });
    if sent.is_ok() && persists { Next::Request } else { Next::Close }
}

struct Page {
    status: u16,
    reason: &'static str,
    media_type: &'static str,
    text: String,
    /// What it may load and be shown in.
    policy: Option<&'static str>,
}

/// For people.
fn page(status: &Value) -> Page {
    Page { policy: Some(page::policy()), ..Page::new("text/html; charset=utf-8", page::html(status)) }
}

impl Page {
    fn new(media_type: &'static str, text: String) -> Self {
        Self { status: 200, reason: "OK", media_type, text, policy: None }
    }

    fn text(text: &str) -> Self {
        Self::new("text/plain; charset=utf-8", text.into())
    }

    fn unready(text: &str) -> Self {
        Self { status: 503, reason: "Service Unavailable", ..Self::text(text) }
    }

    fn to_bytes(&self, head: &RequestHead, persists: bool) -> Vec<u8> {
        let mut answer = ResponseHead::new(self.status, self.reason);
        answer.fields.push("Content-Type", self.media_type);
        answer.fields.push("Content-Length", self.text.len().to_string());
        answer.fields.push("Cache-Control", "no-store");
        answer.fields.push("X-Content-Type-Options", "nosniff");
        if let Some(policy) = self.policy {
            answer.fields.push("Content-Security-Policy", policy);
            answer.fields.push("Referrer-Policy", "no-referrer");
            answer.fields.push("Cross-Origin-Opener-Policy", "same-origin");
            answer.fields.push("Cross-Origin-Resource-Policy", "same-origin");
        }
        if !persists {
            answer.fields.push("Connection", "close");
        } else if head.version == Version::Http10 {
            answer.fields.push("Connection", "keep-alive");
        }
        let mut bytes = answer.to_bytes();
        if head.method != "HEAD" {
            bytes.extend_from_slice(self.text.as_bytes());
        }
        bytes
    }
}

/// The script for browsers and the system. It points to us by the name under which it was asked for.
fn own_pac(client: &Client, head: &RequestHead, proxy: &Proxy) -> String {
    let asked = head.fields.all("host").next().and_then(|host| std::str::from_utf8(host).ok());
    let us = asked.and_then(|host| Target::parse(host.trim(), Some(80)).ok());
    let us = us.map_or_else(|| client.peer.listener.to_string(), |us| us.to_string());
    own_pac::script(&proxy.router, &us, proxy.standing.pac_text.as_deref())
}

fn objection(client: &Client, head: &RequestHead, proxy: &Proxy) -> Option<Problem> {
    let hosts: Vec<&[u8]> = head.fields.all("host").collect();
    let own = |value: &[u8]| {
        let text = String::from_utf8_lossy(value);
        let name = text.trim();
        proxy.local_hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
            || Target::parse(name, Some(80)).is_ok_and(|target| {
                let host = &target.host;
                proxy.local_hosts.iter().any(|known| known.eq_ignore_ascii_case(&host.to_string()))
                    || host.ip() == Some(client.peer.listener.ip())
                    || (host.is_local() && client.peer.listener.ip().is_loopback())
            })
    };
    match hosts.as_slice() {
        [] if head.version == Version::Http10 => {}
        [one] if own(one) => {}
        [_] => return Some(Problem::foreign_host()),
        [] | [_, ..] => return Some(Problem::bad_message(crate::http1::HttpError::Host)),
    }
    // Another port is another origin, also on this machine. "null" is what a sandboxed page says.
    let foreign = |value: &[u8]| {
        let text = value.trim_ascii().to_ascii_lowercase();
        let same = |host: &[u8]| hosts.first().is_some_and(|asked| asked.trim_ascii().eq_ignore_ascii_case(host));
        !text.strip_prefix(b"http://").is_some_and(same)
    };
    if head.fields.all("origin").any(foreign) {
        return Some(Problem::foreign_origin());
    }
    // For a picture or a script of a foreign page a browser asks without an Origin. A link that is followed is none.
    let says = |name, values: &[&[u8]]| head.fields.all(name).any(|value| values.contains(&value.trim_ascii()));
    if says("sec-fetch-site", &[b"cross-site", b"same-site"]) && !says("sec-fetch-mode", &[b"navigate"]) {
        return Some(Problem::foreign_origin());
    }
    if !matches!(head.method.as_str(), "GET" | "HEAD") {
        return Some(Problem::only_read());
    }
    match Body::of_request(head) {
        Ok(Body::Empty) => None,
        Ok(_) => Some(Problem::new(&faults::PAGE_WITH_BODY, "these pages take no body")),
        Err(error) => Some(Problem::bad_message(error)),
    }
}
