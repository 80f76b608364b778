//! How a client that wants a tunnel is told what became of it: by HTTP, by SOCKS, or by nothing but its connection.

use tokio::io::AsyncWriteExt;

use super::{Client, Next, Story, pump, respond, verbatim};
use crate::audit::{End, Record};
use crate::http1::{ResponseHead, Version, Wire};
use crate::relay::reset_on_close;
use crate::socks::Reply;
use crate::socks::server::{self, Version as SocksVersion};
use crate::upstream::{Answer, Page, Upstreams};
use respond::Problem;
use tokio::net::TcpStream;
use verbatim::Gathered;

/// Exactly this and in one write: clients were seen to choke on anything more.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    Http(Version),
    Socks(SocksVersion),
    /// A port that is always one target: no client ever asked.
    Silent,
}

impl Greeting {
    /// There is a way to the target.
    pub async fn welcome(self, client: &mut Wire<TcpStream>) -> std::io::Result<()> {
        match self {
            Self::Http(_) => client.stream.write_all(ESTABLISHED).await,
            Self::Socks(version) => client.stream.write_all(&server::reply(version, Reply::SUCCEEDED)).await,
            Self::Silent => Ok(()),
        }
    }

    /// Who hears nothing before the target speaks may say all it has and end its side at once.
    pub fn may_end_before_the_welcome(self) -> bool {
        self == Self::Silent
    }

    /// There is none. Only HTTP has words for the reason; for the others they stand in the log.
    pub async fn refuse(self, client: &mut Client, story: Story, problem: &Problem) {
        if let Self::Socks(_) | Self::Silent = self {
            log(&story, &problem.line());
        }
        self.turn_away(client, story, problem).await;
    }

    /// The same, of which the log has been told already.
    pub async fn turn_away(self, client: &mut Client, mut story: Story, problem: &Problem) {
        if let Self::Http(_) = self {
            return respond::refuse(client, story, problem).await;
        }
        story.answered(problem.fault.status);
        story.note(problem);
        let version = if let Self::Socks(version) = self { Some(version) } else { None };
        let reply = version.map(|version| server::reply(version, reply_to(problem)));
        Self::send_refusal(client, story, reply, problem.fault.end).await;
    }

    /// The upstream's own answer was no 2xx.
    pub async fn pass_on(self, client: &mut Client, answer: Box<Answer>, upstreams: &Upstreams, story: Story) -> Next {
        if let Self::Http(version) = self {
            return Box::pin(verbatim::pass_on(client, answer, version, upstreams, story)).await;
        }
        match Box::pin(verbatim::gather(answer, upstreams)).await {
            Gathered::Whole(page) => self.say_status(client, &page.head, story).await,
            Gathered::Part { answer, .. } => self.say_status(client, &answer.head, story).await,
        }
    }

    /// The upstream said so a moment ago.
    pub async fn repeat(self, client: &mut Client, page: &Page, story: Story) -> Next {
        let Record { id, target, .. } = &story.record;
        tracing::debug!(id = id.to_string(), target = target.as_deref(), "refused a moment ago, not asked again");
        match self {
            Self::Http(version) => Box::pin(verbatim::repeat(client, page, version, story)).await,
            Self::Socks(_) | Self::Silent => self.say_status(client, &page.head, story).await,
        }
    }

    /// As much of an answer as there are words for.
    async fn say_status(self, client: &mut Client, head: &ResponseHead, mut story: Story) -> Next {
        story.answered(head.status);
        story.note_answer(head);
        let hop = story.record.hop.as_deref().unwrap_or_default();
        let reason = String::from_utf8_lossy(&head.reason);
        log(&story, &format!("{hop} answered {} {}", head.status, reason.escape_debug()));
        let version = if let Self::Socks(version) = self { Some(version) } else { None };
        let reply = version.map(|version| server::reply(version, reply_to_status(head.status)));
        Self::send_refusal(client, story, reply, End::UpstreamRefused).await;
        Next::Close
    }

    /// Without a reply the connection breaks off: its end would look like the target's.
    pub async fn send_refusal(client: &mut Client, story: Story, reply: Option<Vec<u8>>, end: End) {
        let Some(reply) = reply else {
            reset_on_close(&client.wire.stream);
            return story.end(end);
        };
        let sent = respond::send_last(client, &reply).await;
        story.end(end);
        if sent.is_ok() {
            pump::linger(&mut client.wire).await;
        }
    }
}

/// What an HTTP client would read in the body of its answer: for a person once, however many clients try again.
pub fn log(story: &Story, why: &str) {
    let Record { id, target, client, .. } = &story.record;
    let (id, target, client) = (id.to_string(), target.as_deref(), client.map(|client| client.to_string()));
    if !story.live.is_news(&format!("{target:?} {why}")) {
        return tracing::debug!(id, target, client, "no tunnel: {why}");
    }
    tracing::warn!(id, target, client, "no tunnel: {why}");
}

fn reply_to(problem: &Problem) -> Reply {
    match (problem.fault.end, problem.fault.kind) {
        (End::Denied | End::PeerDenied | End::Loop, _) => Reply::NOT_ALLOWED,
        (End::Unreachable, "destination_ip_unroutable") => Reply::NETWORK_UNREACHABLE,
        (End::Unreachable, "connection_refused") => Reply::CONNECTION_REFUSED,
        (End::Unreachable, _) => Reply::HOST_UNREACHABLE,
        (End::ConnectTimeout | End::HandshakeTimeout, _) => Reply::TTL_EXPIRED,
        _ => Reply::FAILURE,
    }
}

/// What a proxy says with these, by RFC 9110 §15 and by what Squid does.
fn reply_to_status(status: u16) -> Reply {
    match status {
        407 => Reply::FAILURE,
        400..500 => Reply::NOT_ALLOWED,
        502 | 503 => Reply::HOST_UNREACHABLE,
        504 => Reply::TTL_EXPIRED,
        _ => Reply::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::super::faults;
    use super::*;

    #[test]
    fn a_socks_client_is_told_as_much_as_its_protocol_has_words_for() {
        for (fault, reply) in [
            (&faults::DENIED, Reply::NOT_ALLOWED),
            (&faults::NOT_SERVED, Reply::NOT_ALLOWED),
            (&faults::LOOP, Reply::NOT_ALLOWED),
            (&faults::PROXY_NAME, Reply::HOST_UNREACHABLE),
            (&faults::TARGET_REFUSES, Reply::CONNECTION_REFUSED),
            (&faults::PROXY_UNROUTABLE, Reply::NETWORK_UNREACHABLE),
            (&faults::PROXY_SILENT, Reply::TTL_EXPIRED),
            (&faults::PROXY_SLOW, Reply::TTL_EXPIRED),
            (&faults::CREDENTIAL_REJECTED, Reply::FAILURE),
            (&faults::NO_TICKET, Reply::FAILURE),
            (&faults::TLS_FAILED, Reply::FAILURE),
            (&faults::PROXY_BROKE_OFF, Reply::FAILURE),
        ] {
            assert_eq!(reply_to(&Problem::new(fault, "")), reply, "{fault:?}");
        }
        for (status, reply) in [
            (403, Reply::NOT_ALLOWED),
            (502, Reply::HOST_UNREACHABLE),
            (503, Reply::HOST_UNREACHABLE),
            (504, Reply::TTL_EXPIRED),
            (302, Reply::FAILURE),
            (500, Reply::FAILURE),
        ] {
            assert_eq!(reply_to_status(status), reply, "{status}");
        }
    }
}
