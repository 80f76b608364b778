//! Outcome → answer: the only place of the relay that joins causes into words for a client.

use std::error::Error;
use std::io;

use tokio::io::AsyncWriteExt;

use super::{Client, Story};
use crate::address::{AddressError, Target};
use crate::audit::End;
use crate::auth::{Refusal, Rejection};
use crate::http1::{HttpError, ResponseHead};
use crate::route::{NoRoute, Reason};
use crate::socks::client::SocksError;
use crate::socks::{Reply, server};
use crate::upstream::{ConnectCause, ConnectError, DialError};

/// An answer of our own: what happened, whose fault, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: u16,
    pub end: End,
    /// Proxy error type of RFC 9209 §2.3.
    pub kind: &'static str,
    pub cause: String,
    pub hint: &'static str,
}

impl Problem {
    fn new(status: u16, end: End, kind: &'static str, cause: impl Into<String>, hint: &'static str) -> Self {
        Self { status, end, kind, cause: cause.into(), hint }
    }

    pub fn bad_message(error: HttpError) -> Self {
        let status = match error {
            HttpError::HeadTooLarge => 431,
            HttpError::TargetTooLong => 414,
            HttpError::Malformed
            | HttpError::Version
            | HttpError::TwoFramings
            | HttpError::ContentLength
            | HttpError::TransferEncoding
            | HttpError::Host
            | HttpError::UnaskedUpgrade
            | HttpError::Chunk => 400,
        };
        let hint = "this is an HTTP proxy: the client must speak HTTP/1.x to it, also for https targets (http://127.0.0.1:3128)";
        Self::new(status, End::BadRequest, "http_request_error", error.to_string(), hint)
    }

    pub fn slow_head() -> Self {
        let cause = "the request head did not arrive in time";
        Self::new(408, End::BadRequest, "http_request_error", cause, "look at the client; head_timeout sets the limit")
    }

    pub fn bad_target(error: &AddressError) -> Self {
        let hint = "the target must be host:port for CONNECT, or a URL such as http://host/path";
        Self::new(400, End::BadRequest, "http_request_error", error.to_string(), hint)
    }

    pub fn bad_request(cause: &'static str, hint: &'static str) -> Self {
        Self::new(400, End::BadRequest, "http_request_error", cause, hint)
    }

    pub fn only_http_directly() -> Self {
        Self::bad_request(
            "only http:// URLs can be fetched directly",
            "ask for https targets with CONNECT (HTTPS_PROXY)",
        )
    }

    pub fn proxy_loop(target: &Target) -> Self {
        let hint = "a client or proxy setting points this relay to itself; give the target's own address";
        Self::new(403, End::Loop, "proxy_loop_detected", format!("{target} is this relay itself"), hint)
    }

    pub fn stranger(end: End, cause: &str) -> Self {
        let hint = "the relay's owner finds in its log and in hallpass status what would let you in";
        Self::new(403, end, "http_request_denied", cause, hint)
    }

    pub fn not_for_outsiders(target: &Target) -> Self {
        let cause = format!("{target} is on this machine, and you are on another one");
        let hint = "loopback, link-local and this machine's own addresses are for its own programs";
        Self::new(403, End::Denied, "http_request_denied", cause, hint)
    }

    pub fn token_wanted() -> Self {
        let cause = "this relay wants a token, and it is missing or wrong";
        let hint = "put it into the proxy's URL: http://x:TOKEN@host:port";
        Self::new(407, End::PeerDenied, "http_request_denied", cause, hint)
    }

    pub fn port_denied(port: u16) -> Self {
        let cause = format!("CONNECT to port {port} is not allowed here");
        Self::new(403, End::Denied, "http_request_denied", cause, "connect_ports in the configuration lists the ports")
    }

    pub fn only_plain_http() -> Self {
        Self::bad_request(
            "only plain HTTP for the host of the CONNECT passes here: the upstream refuses tunnels to port 80",
            "use another port for anything else, or connect_port_80 = \"tunnel\"",
        )
    }

    pub fn bad_socks(error: &server::Error) -> Self {
        let hint = "this listener is for SOCKS clients (socks5h://127.0.0.1:1080); HTTP proxies are on other ports";
        Self::new(400, End::BadRequest, "http_request_error", error.to_string(), hint)
    }

    pub fn too_many() -> Self {
        let cause = "this relay serves as many clients as it may";
        Self::new(503, End::Limit, "connection_limit_reached", cause, "try again; max_clients sets the limit")
    }

    pub fn foreign_host() -> Self {
        let cause = "this is a proxy, and the Host is not its own";
        Self::new(421, End::BadRequest, "http_request_error", cause, "local_hosts lists further names of this relay")
    }

    pub fn foreign_origin() -> Self {
        let cause = "a page of another origin may not ask this relay";
        Self::new(403, End::Denied, "http_request_denied", cause, "open the address itself")
    }

    pub fn only_read() -> Self {
        Self::new(405, End::BadRequest, "http_request_error", "these pages are only read", "use GET")
    }

    pub fn no_page() -> Self {
        let cause = "no such page on this relay";
        Self::new(
            404,
            End::BadRequest,
            "http_request_error",
            cause,
            "there are /status, /proxy.pac, /healthz and /readyz",
        )
    }

    pub fn broken_answer(error: &dyn Error) -> Self {
        let cause = format!("the upstream's answer broke off or is no HTTP: {}", chain(error));
        Self::new(502, End::HandshakeBroken, "http_response_incomplete", cause, "try again")
    }

    pub fn body_gone() -> Self {
        let cause = "the upstream asked for a log-in after too much of the body was sent to send it again";
        Self::new(502, End::HandshakeBroken, "http_response_incomplete", cause, "try again: the log-in is known now")
    }

    pub fn expectation_failed() -> Self {
        let cause =
            "the upstream refused to be asked for a long body after too much of the body was sent to send it again";
        Self::new(502, End::HandshakeBroken, "http_response_incomplete", cause, "try again")
    }

    pub fn of_no_route(none: &NoRoute, target: &Target) -> Self {
        match none {
            NoRoute::Denied(Reason { text, .. }) => {
                let cause = format!("{target} is denied by the configuration: {text}");
                let hint = "rules and never_direct say what may go where";
                Self::new(403, End::Denied, "http_request_denied", cause, hint)
            }
            NoRoute::Failed(Reason { text, .. }) => {
                let cause = format!("there is no way to {target}: {text}");
                let hint = "is the network (VPN) up? direct_fallback says what happens without a PAC";
                Self::new(502, End::Unreachable, "proxy_configuration_error", cause, hint)
            }
        }
    }

    pub fn of_connect(error: &ConnectError) -> Self {
        let others = error.others.iter().map(|other| format!("; {}: {}", other.hop, chain(&other.cause)));
        let cause = chain(error) + &others.collect::<String>();
        match &error.cause {
            ConnectCause::Dial(dial) => Self::of_dial(dial, cause, &error.target),
            ConnectCause::Tls(_) => Self::new(
                502,
                End::TlsFailed,
                "tls_protocol_error",
                cause,
                "is it an https:// proxy, and is its CA known? ca_file adds one",
            ),
            ConnectCause::Socks(socks) => Self::of_socks(*socks, cause),
            ConnectCause::HandshakeTimeout { .. } => Self::new(
                504,
                End::HandshakeTimeout,
                "connection_read_timeout",
                cause,
                "the upstream or its log-in service hangs; handshake_timeout sets the limit",
            ),
            ConnectCause::Broken(_) | ConnectCause::Refused(Refusal::Broken | Refusal::Endless) => Self::new(
                502,
                End::HandshakeBroken,
                "http_response_incomplete",
                cause,
                "is it really an HTTP proxy (http:// or https://)?",
            ),
            ConnectCause::Refused(Refusal::Rejected { why, .. }) => {
                let hint = match why {
                    Rejection::Unsaid | Rejection::Wrong => {
                        "check user and password in the configuration; nothing more is sent before it is changed there, \
                         or `hallpass login` or `hallpass status --retry` asks for one more try"
                    }
                    Rejection::Locked => {
                        "have the account unlocked, then run `hallpass status --retry`; nothing more is sent before"
                    }
                    Rejection::Expired => {
                        "set a new password, then change it in the configuration or run `hallpass login`; nothing more \
                         is sent before"
                    }
                };
                Self::new(407, End::CredentialRejected, "http_request_denied", cause, hint)
            }
            ConnectCause::Refused(Refusal::Closed(_)) => Self::new(
                407,
                End::BreakerOpen,
                "http_request_denied",
                cause,
                "change the password where it is configured, or run `hallpass login`, or `hallpass status --retry` for \
                 one more try",
            ),
            ConnectCause::Refused(Refusal::Crowded) => {
                Self::new(503, End::Limit, "connection_limit_reached", cause, "try again")
            }
            ConnectCause::Refused(Refusal::NoCredential(_)) => Self::new(
                407,
                End::NoCredential,
                "http_request_denied",
                cause,
                "get a ticket (kinit), or configure a user and password for this upstream",
            ),
            ConnectCause::Refused(Refusal::NoScheme { .. }) => Self::new(
                407,
                End::NoCredential,
                "http_request_denied",
                cause,
                "schemes (--scheme) names what may be used; basic only if it is named",
            ),
            ConnectCause::Unknown => {
                Self::new(502, End::Internal, "proxy_internal_error", cause, "no hop is configured for this target")
            }
            ConnectCause::Mistake => Self::new(
                502,
                End::Internal,
                "proxy_internal_error",
                cause,
                "the log names the place: please report it",
            ),
        }
    }

    fn of_socks(error: SocksError, cause: String) -> Self {
        let new = |status, kind, hint| Self::new(status, End::UpstreamRefused, kind, cause.clone(), hint);
        let target = "the upstream was reached, and the target not; is its name right?";
        match error {
            SocksError::Refused(Reply::NOT_ALLOWED) => {
                new(403, "http_request_denied", "the upstream's rules forbid this target")
            }
            SocksError::Refused(Reply::CONNECTION_REFUSED) => new(502, "connection_refused", target),
            SocksError::Refused(Reply::TTL_EXPIRED) => new(504, "connection_timeout", target),
            SocksError::Refused(_) | SocksError::Rejected | SocksError::NoMethod | SocksError::NoIpv6 => {
                new(502, "destination_unavailable", target)
            }
            SocksError::LoginLength => {
                new(502, "proxy_configuration_error", "look at the credential's user and password")
            }
            SocksError::Malformed => Self::new(
                502,
                End::HandshakeBroken,
                "http_response_incomplete",
                cause,
                "is it really a SOCKS proxy of this version (socks5:// or socks4://)?",
            ),
        }
    }

    fn of_dial(dial: &DialError, cause: String, target: &Target) -> Self {
        if dial.is_shortage() {
            let hint = "try again; the limit of open files (ulimit -n, LimitNOFILE) says how much fits at a time";
            return Self::new(503, End::Limit, "connection_limit_reached", cause, hint);
        }
        match dial {
            DialError::Resolve(..) | DialError::NoAddress(_) => {
                Self::new(502, End::Unreachable, "dns_error", cause, "is the network (VPN) up, and the name right?")
            }
            DialError::Connect(_, error) => Self::new(
                502,
                End::Unreachable,
                if is_unroutable(error) { "destination_ip_unroutable" } else { "connection_refused" },
                cause,
                "is the network (VPN) up, and the address right?",
            ),
            DialError::Timeout(..) => Self::new(
                504,
                End::ConnectTimeout,
                "connection_timeout",
                cause,
                "is the network (VPN) up? connect_timeout sets the limit",
            ),
            DialError::Dead { silent: true, .. } => Self::new(
                504,
                End::ConnectTimeout,
                "connection_timeout",
                cause,
                "is the network (VPN) up? It is used again as soon as it answers",
            ),
            DialError::Dead { silent: false, .. } => Self::new(
                502,
                End::Unreachable,
                "connection_refused",
                cause,
                "is the network (VPN) up, and the address right? It is used again as soon as it answers",
            ),
            DialError::Moved => Self::new(502, End::Unreachable, "destination_unavailable", cause, "try again"),
            DialError::Loop(_) => Self::proxy_loop(target),
            DialError::Forbidden { .. } => Self::not_for_outsiders(target),
        }
    }

    /// The body: one line for a person, with the id that finds the audit record.
    fn body(&self, id: &str) -> String {
        format!("hallpass: {} (request {id})\n", self.line())
    }

    /// What happened and what to do.
    pub fn line(&self) -> String {
        format!("{} - {}", one_line(&self.cause), self.hint)
    }

    fn reason(&self) -> &'static str {
        match self.status {
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            407 => "Proxy Authentication Required",
            408 => "Request Timeout",
            414 => "URI Too Long",
            421 => "Misdirected Request",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            504 => "Gateway Timeout",
            _ => "Bad Gateway",
        }
    }
}

fn is_unroutable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable)
}

/// An error with all its causes, outermost first.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Answers with a problem, records it, and leaves the connection to be closed.
pub(super) async fn refuse(client: &mut Client, mut story: Story, problem: &Problem) {
    story.answered(problem.status);
    let (head, body) = answer(problem, &story.record.id);
    let mut bytes = head.to_bytes();
    if story.record.method.as_deref() != Some("HEAD") {
        bytes.extend_from_slice(body.as_bytes());
    }
    let sent = send_last(client, &bytes).await;
    story.end(problem.end);
    match sent {
        Ok(()) => super::pump::linger(&mut client.wire).await,
        Err(error) => tracing::debug!(%error, "the client did not wait for its answer"),
    }
}

fn answer(problem: &Problem, id: &str) -> (ResponseHead, String) {
    let body = problem.body(id);
    let mut head = ResponseHead::new(problem.status, problem.reason());
    let status = format!("hallpass; error={}; details={}", problem.kind, quoted(&problem.cause));
    head.fields.push("Proxy-Status", status);
    if problem.status == 407 {
        // RFC 9110 §15.5.8 wants a challenge. Git, Java and Chromium send a token only when asked; in all other cases one
        // that no client knows, so that nobody is asked for a password.
        let asks_for_token = problem.end == End::PeerDenied;
        head.fields.push("Proxy-Authenticate", if asks_for_token { "Basic realm=\"hallpass\"" } else { "Hallpass" });
    }
    if problem.status == 405 {
        head.fields.push("Allow", "GET, HEAD");
    }
    if problem.status == 503 {
        head.fields.push("Retry-After", "1");
    }
    head.fields.push("Content-Type", "text/plain; charset=utf-8");
    head.fields.push("Content-Length", body.len().to_string());
    head.fields.push("Cache-Control", "no-store");
    head.fields.push("Connection", "close");
    (head, body)
}

/// A String of RFC 8941 §3.3.3: printable ASCII.
fn quoted(text: &str) -> String {
    let inner: String = text
        .chars()
        .map(|c| if (' '..='~').contains(&c) { c } else { '?' })
        .flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] })
        .collect();
    format!("\"{inner}\"")
}

/// Writes and ends our side. What the client still sends is to be read after it: a close with unread bytes would
/// be a reset, and the answer would be lost with it (RFC 9112 §9.6).
pub(super) async fn send_last(client: &mut Client, bytes: &[u8]) -> io::Result<()> {
    client.wire.stream.write_all(bytes).await?;
    client.wire.stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_407_of_ours_names_a_scheme_that_no_client_knows() {
        let target = Target::parse("h:1", None).unwrap();
        let cause =
            ConnectCause::Refused(Refusal::Rejected { scheme: crate::auth::Scheme::Ntlm, why: Rejection::Unsaid });
        let error = ConnectError::new(&target, &crate::route::Hop::Direct, cause);
        let (head, body) = answer(&Problem::of_connect(&error), "x-1");
        let challenges: Vec<_> = head.fields.all("proxy-authenticate").collect();
        assert_eq!((head.status, challenges), (407, vec![b"Hallpass".as_slice()]));
        assert!(body.contains("check user and password") && body.contains("(request x-1)"), "{body}");
        assert_eq!(body.lines().count(), 1);
    }

    #[test]
    fn details_stay_one_quoted_ascii_string() {
        assert_eq!(quoted("a \"b\" \\ \u{e4}\n"), r#""a \"b\" \\ ??""#);
    }
}
