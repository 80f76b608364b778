//! Our own pages, in origin-form: whether we live, whether we are ready.

use tokio::io::AsyncWriteExt;

use super::{Client, Next, Phase, Proxy, Story, respond};
use crate::address::Target;
use crate::audit::End;
use crate::http1::{Body, RequestHead, ResponseHead, Version};
use respond::Problem;

pub(super) async fn serve(client: &mut Client, head: &RequestHead, proxy: &Proxy, phase: Phase) -> Next {
    let mut story = Story::of_request(&client.peer, proxy, head);
    if let Some(problem) = objection(client, head, proxy) {
        respond::refuse(client, story, &problem).await;
        return Next::Close;
    }
    let path = head.target.split('?').next().unwrap_or_default();
    let (status, reason, text) = match (path, phase) {
        ("/healthz", _) => (200, "OK", "alive\n"),
        ("/readyz", Phase::Serving) => (200, "OK", "ready\n"),
        ("/readyz", Phase::Draining | Phase::Ending) => (503, "Service Unavailable", "draining\n"),
        _ => {
            respond::refuse(client, story, &Problem::no_page()).await;
            return Next::Close;
        }
    };
    story.answered(status);
    let persists = head.persists() && phase == Phase::Serving;
    let page = page(head, status, reason, text, persists);
    let sent = client.wire.stream.write_all(&page).await;
    story.end(if sent.is_ok() { End::Done } else { End::ClientReset });
    if sent.is_ok() && persists { Next::Request } else { Next::Close }
}

fn page(head: &RequestHead, status: u16, reason: &str, text: &str, persists: bool) -> Vec<u8> {
    let mut answer = ResponseHead::new(status, reason);
    answer.fields.push("Content-Type", "text/plain; charset=utf-8");
    answer.fields.push("Content-Length", text.len().to_string());
    answer.fields.push("Cache-Control", "no-store");
    if !persists {
        answer.fields.push("Connection", "close");
    } else if head.version == Version::Http10 {
        answer.fields.push("Connection", "keep-alive");
    }
    let mut bytes = answer.to_bytes();
    if head.method != "HEAD" {
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
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
    // "null" is what a sandboxed page says.
    let foreign = |value: &[u8]| {
        let text = String::from_utf8_lossy(value).to_ascii_lowercase();
        !text.strip_prefix("http://").is_some_and(|host| own(host.as_bytes()))
    };
    if head.fields.all("origin").any(foreign) {
        return Some(Problem::foreign_origin());
    }
    if !matches!(head.method.as_str(), "GET" | "HEAD") {
        return Some(Problem::bad_request("these pages are only read", "use GET"));
    }
    match Body::of_request(head) {
        Ok(Body::Empty) => None,
        Ok(_) => Some(Problem::bad_request("these pages take no body", "use GET without a body")),
        Err(error) => Some(Problem::bad_message(error)),
    }
}
