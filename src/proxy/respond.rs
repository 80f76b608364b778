//! Outcome → answer: the only place of the relay that joins causes into words for a client.

use std::error::Error;
use std::io;

use tokio::io::AsyncWriteExt;

use super::faults::{self, Fault};
use super::{Client, Story};
use crate::address::{AddressError, Target};
use crate::audit::End;
use crate::auth::{Lack, Refusal, Rejection};
use crate::http1::{HttpError, ResponseHead};
use crate::route::{Hop, NoRoute, Reason, ReasonKind};
use crate::socks::client::SocksError;
use crate::socks::{Reply, server};
use crate::upstream::{ConnectCause, ConnectError, DialError, TlsError, TlsTrouble};

/// An answer of our own: what happened; the fault says whose it is and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub fault: &'static Fault,
    pub cause: String,
}

impl Problem {
    pub fn new(fault: &'static Fault, cause: impl Into<String>) -> Self {
        Self { fault, cause: cause.into() }
    }

    pub fn bad_message(error: HttpError) -> Self {
        let fault = match error {
            HttpError::HeadTooLarge => &faults::HEAD_TOO_LARGE,
            HttpError::TargetTooLong => &faults::URL_TOO_LONG,
            HttpError::Malformed
            | HttpError::Version
            | HttpError::TwoFramings
            | HttpError::ContentLength
            | HttpError::TransferEncoding
            | HttpError::Host
            | HttpError::UnaskedUpgrade
            | HttpError::Chunk => &faults::NOT_HTTP,
        };
        Self::new(fault, error.to_string())
    }

    pub fn slow_head() -> Self {
        Self::new(&faults::SLOW_HEAD, "the request head did not arrive in time")
    }

    pub fn bad_target(error: &AddressError) -> Self {
        Self::new(&faults::BAD_TARGET, error.to_string())
    }

    pub fn only_http_directly() -> Self {
        Self::new(&faults::HTTPS_WITHOUT_CONNECT, "only http:// URLs can be fetched directly")
    }

    pub fn proxy_loop(target: &Target) -> Self {
        Self::new(&faults::LOOP, format!("{target} is this relay itself"))
    }

    pub fn not_for_outsiders(target: &Target) -> Self {
        Self::new(&faults::LOCAL_ADDRESS, format!("{target} is on this machine, and you are on another one"))
    }

    pub fn token_wanted() -> Self {
        Self::new(&faults::TOKEN_WANTED, "this relay wants a token, and it is missing or wrong")
    }

    pub fn port_denied(port: u16) -> Self {
        Self::new(&faults::PORT_DENIED, format!("CONNECT to port {port} is not allowed here"))
    }

    pub fn only_plain_http() -> Self {
        let cause = "only plain HTTP for the host of the CONNECT passes here: the upstream refuses tunnels to port 80";
        Self::new(&faults::NOT_HTTP_INSIDE, cause)
    }

    pub fn bad_socks(error: &server::Error) -> Self {
        Self::new(&faults::NOT_SOCKS, error.to_string())
    }

    pub fn too_many() -> Self {
        Self::new(&faults::TOO_MANY_CLIENTS, "this relay serves as many clients as it may")
    }

    pub fn foreign_host() -> Self {
        Self::new(&faults::FOREIGN_HOST, "this is a proxy, and the Host is not its own")
    }

    pub fn foreign_origin() -> Self {
        Self::new(&faults::FOREIGN_ORIGIN, "a page of another origin may not ask this relay")
    }

    pub fn only_read() -> Self {
        Self::new(&faults::ONLY_READ, "these pages are only read")
    }

    pub fn no_page() -> Self {
        Self::new(&faults::NO_PAGE, "no such page on this relay")
    }

    pub fn broken_answer(error: &dyn Error) -> Self {
        let cause = format!("the upstream's answer broke off or is no HTTP: {}", chain(error));
        Self::new(&faults::ANSWER_BROKEN, cause)
    }

    pub fn body_gone() -> Self {
        let cause = "the upstream asked for a log-in after too much of the body was sent to send it again";
        Self::new(&faults::BODY_GONE, cause)
    }

    pub fn expectation_failed() -> Self {
        let cause =
            "the upstream refused to be asked for a long body after too much of the body was sent to send it again";
        Self::new(&faults::EXPECTATION_FAILED, cause)
    }

    pub fn of_no_route(none: &NoRoute, target: &Target) -> Self {
        match none {
            NoRoute::Denied(Reason { text, .. }) => {
                Self::new(&faults::DENIED, format!("{target} is denied by the configuration: {text}"))
            }
            NoRoute::Failed(Reason { text, kind }) => {
                let is_script = matches!(kind, ReasonKind::Pac | ReasonKind::PacFallback);
                let fault = if is_script { &faults::PAC_FAILED } else { &faults::NO_WAY };
                Self::new(fault, format!("there is no way to {target}: {text}"))
            }
        }
    }

    pub fn of_connect(error: &ConnectError) -> Self {
        let others = error.others.iter().map(|other| format!("; {}: {}", other.hop, chain(&other.cause)));
        let cause = chain(error) + &others.collect::<String>();
        let fault = match &error.cause {
            ConnectCause::Dial(DialError::Loop(_)) => return Self::proxy_loop(&error.target),
            ConnectCause::Dial(DialError::Forbidden { .. }) => return Self::not_for_outsiders(&error.target),
            ConnectCause::Dial(dial) => of_dial(dial, &error.hop),
            ConnectCause::Tls(tls) => of_tls(tls),
            ConnectCause::Socks(socks) => of_socks(*socks),
            ConnectCause::HandshakeTimeout { .. } => &faults::PROXY_SLOW,
            ConnectCause::Broken(_) => &faults::PROXY_BROKE_OFF,
            ConnectCause::Refused(refusal) => of_refusal(refusal),
            ConnectCause::Unknown => &faults::NO_HOP,
            ConnectCause::Mistake => &faults::MISTAKE,
        };
        Self::new(fault, cause)
    }

    /// The body: one line for a person, with the id that finds the audit record.
    fn body(&self, id: &str) -> String {
        format!("hallpass: {} (request {id}, {})\n", self.words(), self.place())
    }

    /// The same for a log, which has the id anyway.
    pub fn line(&self) -> String {
        format!("{} ({})", self.words(), self.place())
    }

    /// What happened, whose fault it is and what to do.
    fn words(&self) -> String {
        format!("{} - at fault: {} - {}", one_line(&self.cause), self.fault.whose, self.fault.hint)
    }

    /// Where it is explained.
    fn place(&self) -> String {
        format!("errors.md#{}", self.fault.anchor)
    }

    fn reason(&self) -> &'static str {
        match self.fault.status {
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

fn of_dial(dial: &DialError, hop: &Hop) -> &'static Fault {
    if dial.is_shortage() {
        return &faults::OPEN_FILES;
    }
    let is_direct = *hop == Hop::Direct;
    let either = |target, proxy| if is_direct { target } else { proxy };
    match dial {
        DialError::Resolve(..) | DialError::NoAddress(_) => either(&faults::TARGET_NAME, &faults::PROXY_NAME),
        DialError::Connect(_, error) if is_unroutable(error) => {
            either(&faults::TARGET_UNROUTABLE, &faults::PROXY_UNROUTABLE)
        }
        DialError::Connect(..) => either(&faults::TARGET_REFUSES, &faults::PROXY_REFUSES),
        DialError::Timeout(..) => either(&faults::TARGET_SILENT, &faults::PROXY_SILENT),
        DialError::Dead { silent: true, .. } => &faults::PROXY_STILL_SILENT,
        DialError::Dead { silent: false, .. } => &faults::PROXY_DOWN,
        DialError::Moved => &faults::NETWORK_CHANGED,
        DialError::Loop(_) => &faults::LOOP,
        DialError::Forbidden { .. } => &faults::LOCAL_ADDRESS,
    }
}

fn of_tls(tls: &TlsError) -> &'static Fault {
    match tls.trouble() {
        TlsTrouble::UnknownAuthority => &faults::UNKNOWN_AUTHORITY,
        TlsTrouble::WrongName => &faults::TLS_NAME,
        TlsTrouble::NotSpoken => &faults::TLS_NOT_SPOKEN,
        TlsTrouble::Other => &faults::TLS_FAILED,
    }
}

fn of_socks(error: SocksError) -> &'static Fault {
    match error {
        SocksError::Refused(Reply::NOT_ALLOWED) => &faults::SOCKS_FORBIDS,
        SocksError::Refused(Reply::CONNECTION_REFUSED) => &faults::SOCKS_TARGET_REFUSES,
        SocksError::Refused(Reply::TTL_EXPIRED) => &faults::SOCKS_TARGET_SILENT,
        SocksError::Refused(_) => &faults::SOCKS_TARGET,
        SocksError::NoIpv6 => &faults::SOCKS_IPV6,
        SocksError::Rejected | SocksError::NoMethod => &faults::SOCKS_LOGIN,
        SocksError::LoginLength => &faults::SOCKS_LOGIN_LENGTH,
        SocksError::Malformed => &faults::NOT_A_SOCKS_PROXY,
    }
}

fn of_refusal(refusal: &Refusal) -> &'static Fault {
    match refusal {
        Refusal::Rejected { why: Rejection::Unsaid | Rejection::Wrong, .. } => &faults::CREDENTIAL_REJECTED,
        Refusal::Rejected { why: Rejection::Locked, .. } => &faults::ACCOUNT_LOCKED,
        Refusal::Rejected { why: Rejection::Expired, .. } => &faults::PASSWORD_EXPIRED,
        Refusal::Closed(closed) if closed.rejected => &faults::CREDENTIAL_CLOSED,
        Refusal::Closed(_) => &faults::CREDENTIAL_UNJUDGED,
        Refusal::Crowded => &faults::LOG_INS_WAIT,
        Refusal::NoCredential(lacking) => match lacking.what {
            Lack::Leave => &faults::NOT_MEANT,
            Lack::Secret => &faults::NO_SECRET,
            Lack::Clock => &faults::CLOCK_SKEW,
            Lack::Service => &faults::SERVICE_UNKNOWN,
            Lack::Kdc => &faults::NO_KDC,
            Lack::Ticket => &faults::NO_TICKET,
            Lack::User => &faults::NO_USER,
            Lack::Other => &faults::NO_LOG_IN,
        },
        Refusal::NoScheme { .. } => &faults::NO_SCHEME,
        Refusal::Broken => &faults::PROXY_BROKE_OFF,
        Refusal::Endless => &faults::ENDLESS,
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
    story.answered(problem.fault.status);
    story.note(problem);
    let (head, body) = answer(problem, &story.record.id.to_string());
    let mut bytes = head.to_bytes();
    if story.record.method.as_deref() != Some("HEAD") {
        bytes.extend_from_slice(body.as_bytes());
    }
    let sent = send_last(client, &bytes).await;
    story.end(problem.fault.end);
    match sent {
        Ok(()) => super::pump::linger(&mut client.wire).await,
        Err(error) => tracing::debug!(%error, "the client did not wait for its answer"),
    }
}

fn answer(problem: &Problem, id: &str) -> (ResponseHead, String) {
    let body = problem.body(id);
    let mut head = ResponseHead::new(problem.fault.status, problem.reason());
    let status = format!("hallpass; error={}; details={}", problem.fault.kind, quoted(&problem.cause));
    head.fields.push("Proxy-Status", status);
    if problem.fault.status == 407 {
        // RFC 9110 §15.5.8 wants a challenge. Git, Java and Chromium send a token only when asked; in all other cases one
        // that no client knows, so that nobody is asked for a password.
        let asks_for_token = problem.fault.end == End::PeerDenied;
        head.fields.push("Proxy-Authenticate", if asks_for_token { "Basic realm=\"hallpass\"" } else { "Hallpass" });
    }
    if problem.fault.status == 405 {
        head.fields.push("Allow", "GET, HEAD");
    }
    if problem.fault.status == 503 {
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
    use crate::address::{Endpoint, Protocol};
    use crate::auth::Lacking;

    #[test]
    fn a_407_of_ours_names_a_scheme_that_no_client_knows() {
        let target = Target::parse("h:1", None).unwrap();
        let cause =
            ConnectCause::Refused(Refusal::Rejected { scheme: crate::auth::Scheme::Ntlm, why: Rejection::Unsaid });
        let error = ConnectError::new(&target, &crate::route::Hop::Direct, cause);
        let (head, body) = answer(&Problem::of_connect(&error), "x-1");
        let challenges: Vec<_> = head.fields.all("proxy-authenticate").collect();
        assert_eq!((head.status, challenges), (407, vec![b"Hallpass".as_slice()]));
        assert!(body.contains("at fault: your account - check user and password"), "{body}");
        assert!(body.ends_with("(request x-1, errors.md#credential-rejected)\n"), "{body}");
        assert_eq!(body.lines().count(), 1);
    }

    fn anchor_of(hop: &Hop, cause: ConnectCause) -> &'static str {
        let target = Target::parse("h:1", None).unwrap();
        Problem::of_connect(&ConnectError::new(&target, hop, cause)).fault.anchor
    }

    #[test]
    fn what_to_do_about_a_missing_credential_depends_on_what_is_missing() {
        for (lack, anchor) in [
            (Lack::Leave, "credential-not-meant"),
            (Lack::Secret, "no-password"),
            (Lack::Clock, "clock-skew"),
            (Lack::Service, "proxy-not-in-directory"),
            (Lack::Kdc, "no-kdc"),
            (Lack::Ticket, "no-ticket"),
            (Lack::User, "no-user"),
            (Lack::Other, "no-log-in"),
        ] {
            let refusal = Refusal::NoCredential(Lacking::new(lack, "x"));
            assert_eq!(anchor_of(&Hop::Direct, refusal.into()), anchor, "{lack:?}");
        }
        // A named account without a password is not helped by a ticket, nor is a wrong clock by a password.
        let both = Lacking::all(&[Lacking::new(Lack::Secret, "no password"), Lacking::new(Lack::Ticket, "no ticket")]);
        assert_eq!((both.what, both.why.as_str()), (Lack::Secret, "no password; no ticket"));
    }

    #[test]
    fn a_proxy_that_cannot_be_reached_is_told_from_a_target_that_goes_directly() {
        let proxy = Endpoint { target: Target::parse("p:1", None).unwrap(), protocol: Protocol::Http };
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let lost = || io::Error::from(io::ErrorKind::NetworkUnreachable);
        for (cause, by_proxy, directly) in [
            (DialError::Resolve("h".into(), refused()), "proxy-name-unknown", "target-name-unknown"),
            (
                DialError::Connect(proxy.target.clone(), refused()),
                "proxy-refuses-connections",
                "target-refuses-connections",
            ),
            (DialError::Connect(proxy.target.clone(), lost()), "proxy-unroutable", "target-unroutable"),
        ] {
            let said = [of_dial(&cause, &Hop::Upstream(proxy.clone())).anchor, of_dial(&cause, &Hop::Direct).anchor];
            assert_eq!(said, [by_proxy, directly], "{cause:?}");
        }
    }

    #[test]
    fn a_failed_tls_handshake_says_what_to_write() {
        let failed = |error: rustls::Error| {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            TlsError::Handshake(Target::parse("p:1", None).unwrap(), error)
        };
        for (error, anchor) in [
            (rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer), "tls-unknown-authority"),
            (rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForName), "tls-wrong-name"),
            (rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType), "tls-not-spoken"),
            (rustls::Error::InvalidCertificate(rustls::CertificateError::Expired), "tls-failed"),
        ] {
            assert_eq!(anchor_of(&Hop::Direct, failed(error.clone()).into()), anchor, "{error:?}");
        }
    }

    #[test]
    fn details_stay_one_quoted_ascii_string() {
        assert_eq!(quoted("a \"b\" \\ \u{e4}\n"), r#""a \"b\" \\ ??""#);
    }
}
