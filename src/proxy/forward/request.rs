//! A client's request → the request that goes on, and an answer → the answer that goes back.

use zeroize::Zeroizing;

use crate::address::AddressError;
use crate::auth::RequestLine;
use crate::http1::head::request_bytes;
use crate::http1::{Body, Fields, RequestHead, ResponseHead, Version};
use crate::proxy::pump::MAX_REPLAY;
use crate::proxy::respond::Problem;
use crate::proxy::url::{Url, UrlError};
use crate::proxy::{Proxy, faults};
use crate::route::Hop;
use crate::secret::Credentials;
use crate::upstream::{BodyHint, reaches_origin};

/// A request that may go on.
pub(super) struct Request {
    pub url: Url,
    pub line: RequestLine,
    pub body: Body,
    pub hint: BodyHint,
    /// The client's words on its own connection.
    pub version: Version,
    pub persists: bool,
    pub expects_continue: bool,
    pub upgrades: bool,
    /// It carries credentials that bind the connection to this client (RFC 4559 §6).
    pub binds: bool,
    /// End-to-end fields and what we add; neither framing nor anything about a connection.
    fields: Fields,
}

impl Request {
    pub fn read(head: RequestHead, proxy: &Proxy) -> Result<Self, Problem> {
        let url = Url::parse(&head.target).map_err(|error| bad_url(&error))?;
        if let Some(problem) = proxy.objection(&url.target) {
            return Err(problem);
        }
        let came_through_us = head
            .fields
            .list("via")
            .any(|member| member.split_ascii_whitespace().nth(1).is_some_and(|by| by == &*proxy.pseudonym));
        if came_through_us {
            return Err(Problem::proxy_loop(&url.target));
        }
        let body = Body::of_request(&head).map_err(Problem::bad_message)?;
        let hint = match body {
            Body::Empty if is_idempotent(&head.method) => BodyHint::Empty,
            Body::Empty => BodyHint::Short,
            Body::Length(length) if length <= MAX_REPLAY as u64 => BodyHint::Short,
            Body::Length(_) | Body::Chunked(_) | Body::UntilClose => BodyHint::Long,
        };
        let mut request = Self {
            line: RequestLine { method: head.method.clone(), uri: uri(&head.method, &url) },
            body,
            hint,
            version: head.version,
            persists: head.persists(),
            expects_continue: head.expects_continue(),
            upgrades: upgrades(&head),
            binds: head.fields.all("authorization").any(is_connection_bound),
            fields: Fields::default(),
            url,
        };
        request.fields = request.own_fields(head, &proxy.pseudonym)?;
        Ok(request)
    }

    /// Safe to send a second time without knowing what became of the first (RFC 9110 §9.2.2).
    pub fn is_idempotent(&self) -> bool {
        is_idempotent(&self.line.method)
    }

    pub fn is_chunked(&self) -> bool {
        matches!(self.body, Body::Chunked(_))
    }

    fn own_fields(&self, head: RequestHead, pseudonym: &str) -> Result<Fields, Problem> {
        let upgrade: Vec<Vec<u8>> =
            if self.upgrades { head.fields.all("upgrade").map(<[u8]>::to_vec).collect() } else { Vec::new() };
        let hops_left = hops_left(&head)?;
        let mut kept = head.fields;
        kept.strip_hop_by_hop();
        for name in ["host", "content-length", "max-forwards"] {
            kept.remove(name);
        }
        if self.version == Version::Http10 {
            kept.remove("expect");
        }
        let mut fields = Fields::default();
        // The URL is the truth; a Host that says something else is somebody's trick (RFC 9112 §3.2.2).
        fields.push("Host", self.url.authority.as_str());
        kept.iter().for_each(|(name, value)| fields.push(name, value));
        if let Some(left) = hops_left {
            fields.push("Max-Forwards", left.to_string());
        }
        fields.push("Via", via(self.version, pseudonym));
        match self.body {
            Body::Length(length) => fields.push("Content-Length", length.to_string()),
            Body::Chunked(_) => fields.push("Transfer-Encoding", "chunked"),
            Body::Empty if matches!(self.line.method.as_str(), "POST" | "PUT" | "PATCH") => {
                fields.push("Content-Length", "0");
            }
            Body::Empty | Body::UntilClose => {}
        }
        for value in &upgrade {
            fields.push("Upgrade", value.as_slice());
        }
        if !upgrade.is_empty() {
            fields.push("Connection", "Upgrade");
        }
        Ok(fields)
    }

    /// The head as this hop wants it. `ask_first`: with an `Expect` of our own.
    pub fn head_for(&self, hop: &Hop, ask_first: bool, credentials: Option<&Credentials>) -> Zeroizing<Vec<u8>> {
        let asks = (ask_first && !self.expects_continue).then_some(("Expect", b"100-continue".as_slice()));
        let (target, keeps) = if reaches_origin(hop) {
            (if is_about_the_server(&self.line.method, &self.url) { "*" } else { &self.url.path }, None)
        } else {
            (self.line.uri.as_str(), Some(("Proxy-Connection", b"Keep-Alive".as_slice())))
        };
        request_bytes(&self.line.method, target, self.fields.iter().chain(asks).chain(keeps), credentials)
    }

    /// An answer as this client gets it.
    pub fn answer(&self, head: ResponseHead, body: &Body, keep_client: bool, pseudonym: &str) -> ResponseHead {
        let is_bound = head.status == 401 && binds_connection(&head);
        let mut answer = head;
        answer.fields.strip_hop_by_hop();
        body.declare(&mut answer, self.takes_chunks());
        answer.fields.push("Via", via(answer.version, pseudonym));
        if is_bound {
            answer.fields.push("Proxy-Support", "Session-Based-Authentication");
        }
        if !keep_client {
            answer.fields.push("Connection", "close");
        } else if self.version == Version::Http10 {
            answer.fields.push("Connection", "keep-alive");
        }
        answer
    }

    pub fn takes_chunks(&self) -> bool {
        self.version == Version::Http11
    }
}

/// By which version a message came to us (RFC 9110 §7.6.3).
fn via(version: Version, pseudonym: &str) -> String {
    let version = match version {
        Version::Http10 => "1.0 ",
        Version::Http11 => "1.1 ",
    };
    [version, pseudonym].concat()
}

/// `OPTIONS http://host` asks about the server, `OPTIONS http://host/` about its root (RFC 9112 §3.2.4).
fn is_about_the_server(method: &str, url: &Url) -> bool {
    method == "OPTIONS" && url.is_bare
}

fn uri(method: &str, url: &Url) -> String {
    if is_about_the_server(method, url) { format!("{}://{}", url.scheme, url.authority) } else { url.absolute() }
}

/// HTTP/1.0 has no such field (RFC 9110 §7.8).
fn upgrades(head: &RequestHead) -> bool {
    head.version == Version::Http11
        && head.fields.has_member("connection", "upgrade")
        && head.fields.contains("upgrade")
}

fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE")
}

/// The origin wants to authenticate the connection, not the request.
pub(super) fn binds_connection(head: &ResponseHead) -> bool {
    head.fields.all("www-authenticate").any(is_connection_bound)
}

fn is_connection_bound(value: &[u8]) -> bool {
    let scheme = value.trim_ascii().split(|b| matches!(b, b' ' | b',')).next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
}

/// RFC 9110 §7.6.2: only for methods that ask about the way.
fn hops_left(head: &RequestHead) -> Result<Option<u32>, Problem> {
    if !matches!(head.method.as_str(), "TRACE" | "OPTIONS") {
        return Ok(None);
    }
    let values: Vec<&[u8]> = head.fields.all("max-forwards").collect();
    let number = match values.as_slice() {
        [] => return Ok(None),
        [one] if one.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(one).ok().and_then(|text| text.parse::<u32>().ok())
        }
        [_] | [_, ..] => None,
    };
    match number {
        Some(0) => Err(Problem::new(&faults::MAX_FORWARDS, "Max-Forwards is 0 and this is a proxy")),
        Some(number) => Ok(Some(number - 1)),
        None => Err(Problem::new(&faults::MAX_FORWARDS, "Max-Forwards is not one number")),
    }
}

fn bad_url(error: &UrlError) -> Problem {
    match error {
        UrlError::Address(AddressError::Userinfo) => {
            Problem::new(&faults::LOGIN_IN_URL, "a user name or password stands in the URL")
        }
        UrlError::Address(error) => Problem::bad_target(error),
        UrlError::NotAbsolute => Problem::new(&faults::NOT_A_URL, "the request target is not a URL"),
        UrlError::Fragment => Problem::new(&faults::NOT_A_URL, "a URL in a request has no fragment"),
        UrlError::UnknownScheme(_) => Problem::new(&faults::NOT_A_URL, "the URL's scheme has no port that we know"),
    }
}
