//! Request and response heads: parsed from bytes, written to bytes.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;
use std::mem::MaybeUninit;

use zeroize::Zeroizing;

use super::{Fields, HttpError};
use crate::secret::Credentials;

/// More fields than this in one head are a flood, not a message.
pub const MAX_FIELDS: usize = 256;

/// Longest request target (RFC 9112 §3 asks for 8000 at least).
pub const MAX_TARGET: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http10,
    Http11,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        })
    }
}

impl Version {
    fn from_minor(minor: Option<u8>) -> Result<Self, HttpError> {
        match minor {
            Some(0) => Ok(Self::Http10),
            Some(1) => Ok(Self::Http11),
            Some(_) | None => Err(HttpError::Version),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    pub method: String,
    pub target: String,
    pub version: Version,
    pub fields: Fields,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    pub version: Version,
    pub status: u16,
    pub reason: Vec<u8>,
    pub fields: Fields,
}

/// Where the head ends (after its empty line), looking at nothing before `from`. Line ends may be bare LF.
pub fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let from = from.saturating_sub(3);
    bytes[from..].iter().enumerate().filter(|(_, b)| **b == b'\n').find_map(|(at, _)| {
        let end = from + at + 1;
        let before = bytes[..end - 1].strip_suffix(b"\r").unwrap_or(&bytes[..end - 1]);
        before.ends_with(b"\n").then_some(end)
    })
}

/// Line ends that may stand before a head (RFC 9112 §2.2; some proxies leave one after a 407's body).
pub fn stray_line_ends(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()
}

impl RequestHead {
    /// `bytes` is one whole head.
    pub fn parse(bytes: &[u8]) -> Result<Self, HttpError> {
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(bytes, &mut fields);
        let complete = parsed.map_err(head_error)?.is_complete();
        let (true, Some(method), Some(target)) = (complete, request.method, request.path) else {
            return Err(HttpError::Malformed);
        };
        if target.len() > MAX_TARGET {
            return Err(HttpError::TargetTooLong);
        }
        if bytes.contains(&0) || has_bare_carriage_return(bytes) || !target.is_ascii() {
            return Err(HttpError::Malformed);
        }
        let fields = collect(request.headers);
        if fields.all("host").count() > 1 {
            return Err(HttpError::Host);
        }
        Ok(Self {
            method: method.into(),
            target: target.into(),
            version: Version::from_minor(request.version)?,
            fields,
        })
    }

    /// Whether the client wants this connection kept after the answer (RFC 9112 §9.3).
    pub fn persists(&self) -> bool {
        persists(self.version, &self.fields)
    }

    pub fn expects_continue(&self) -> bool {
        self.version == Version::Http11 && self.fields.has_member("expect", "100-continue")
    }

    /// The whole head; `credentials` go into `Proxy-Authorization` and nowhere else.
    pub fn to_bytes(&self, credentials: Option<&Credentials>) -> Zeroizing<Vec<u8>> {
        request_bytes(&self.method, &self.target, self.fields.iter(), credentials)
    }
}

/// As [`RequestHead::to_bytes`], of parts that are not one head.
pub fn request_bytes<'a>(
    method: &str,
    target: &str,
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    credentials: Option<&Credentials>,
) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(512));
    for part in [method.as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"] {
        out.extend_from_slice(part);
    }
    write_fields(&mut out, fields);
    if let Some(credentials) = credentials {
        // Growing afterwards would leave a copy behind that is not wiped.
        out.reserve(credentials.expose().len() + b"Proxy-Authorization: \r\n\r\n".len());
        out.extend_from_slice(b"Proxy-Authorization: ");
        out.extend_from_slice(credentials.expose());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn write_fields<'a>(out: &mut Vec<u8>, fields: impl Iterator<Item = (&'a str, &'a [u8])>) {
    for (name, value) in fields {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

impl ResponseHead {
    pub fn new(status: u16, reason: &str) -> Self {
        Self { version: Version::Http11, status, reason: reason.into(), fields: Fields::default() }
    }

    /// `bytes` is one whole head. Takes what real proxies were seen to send: blanks before the colon, folded
    /// lines, no reason phrase.
    pub fn parse(bytes: &[u8]) -> Result<Self, HttpError> {
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut []);
        let mut config = httparse::ParserConfig::default();
        config
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_multiple_spaces_in_response_status_delimiters(true)
            .ignore_invalid_headers_in_responses(true);
        let parsed = config.parse_response_with_uninit_headers(&mut response, bytes, &mut fields);
        let complete = parsed.map_err(head_error)?.is_complete();
        let (true, Some(status)) = (complete, response.code) else {
            return Err(HttpError::Malformed);
        };
        if !(100..=999).contains(&status) {
            return Err(HttpError::Malformed);
        }
        Ok(Self {
            version: Version::from_minor(response.version)?,
            status,
            reason: reason_bytes(bytes),
            fields: collect(response.headers),
        })
    }

    /// Whether the connection may carry another message; HTTP/1.0 proxies say so with `Proxy-Connection`.
    pub fn persists(&self) -> bool {
        persists(self.version, &self.fields) && !self.is_framed_doubtfully()
    }

    /// Two readers may see its end in two places: what comes behind it is nobody's answer (RFC 9112 §6.1, §6.3).
    fn is_framed_doubtfully(&self) -> bool {
        self.fields.contains("transfer-encoding")
            && (self.version == Version::Http10 || self.fields.contains("content-length"))
    }

    pub fn is_informational(&self) -> bool {
        (100..200).contains(&self.status)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        // Writing to memory does not fail.
        let _ = write!(out, "HTTP/1.1 {:03} ", self.status);
        out.extend_from_slice(&self.reason);
        out.extend_from_slice(b"\r\n");
        write_fields(&mut out, self.fields.iter());
        out.extend_from_slice(b"\r\n");
        out
    }
}

fn persists(version: Version, fields: &Fields) -> bool {
    let says = |word| fields.has_member("connection", word) || fields.has_member("proxy-connection", word);
    !says("close") && (version == Version::Http11 || says("keep-alive"))
}

fn head_error(error: httparse::Error) -> HttpError {
    match error {
        httparse::Error::TooManyHeaders => HttpError::HeadTooLarge,
        httparse::Error::Version => HttpError::Version,
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token => HttpError::Malformed,
    }
}

/// Folded lines are unfolded to one space (RFC 9112 §5.2); they never leave as they came.
fn collect(headers: &[httparse::Header<'_>]) -> Fields {
    headers.iter().filter(|h| !h.name.is_empty()).map(|h| (h.name, unfold(h.value))).collect()
}

fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.iter().any(|b| matches!(b, b'\r' | b'\n')) {
        return value.trim_ascii().into();
    }
    let lines: Vec<&[u8]> = value.split(|b| matches!(b, b'\r' | b'\n')).map(<[u8]>::trim_ascii).collect();
    lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join(&b' ').into()
}

/// httparse gives the phrase only when it is ASCII; proxies in other languages write Latin-1.
fn reason_bytes(bytes: &[u8]) -> Vec<u8> {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut parts = line.splitn(2, |b| *b == b' ');
    let rest = parts.nth(1).unwrap_or_default().trim_ascii_start();
    rest.get(3..).unwrap_or_default().trim_ascii().to_vec()
}

/// A CR that ends no line: other parsers take it for one.
fn has_bare_carriage_return(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head_is_found_wherever_reading_stopped() {
        for text in
            ["GET / HTTP/1.1\r\nA: b\r\n\r\nrest", "GET / HTTP/1.1\nA: b\n\nrest", "GET / HTTP/1.1\r\nA: b\r\n\nrest"]
        {
            let bytes = text.as_bytes();
            let end = text.find("rest").unwrap();
            for from in 0..end {
                assert_eq!(end_of_head(bytes, from), Some(end), "{text:?} from {from}");
            }
            for cut in 0..end {
                assert_eq!(end_of_head(&bytes[..cut], 0), None);
            }
        }
    }

    #[test]
    fn what_smuggles_is_refused_in_requests() {
        for text in [
            "GET http://h/ HTTP/1.1\r\nHost : h\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nHost: h\r\nHOST: h\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nA: b\rc\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nA: b\0c\r\n\r\n",
            "GET  http://h/ HTTP/1.1\r\n\r\n",
            "GET http://h/\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\n",
            "GET http://h/ HTTP/1.2\r\n\r\n",
            "GET http://h/\u{e9} HTTP/1.1\r\n\r\n",
            "\x16\x03\x01\r\n\r\n",
        ] {
            assert!(RequestHead::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn odd_answers_of_real_proxies_are_read() {
        for (text, status, reason, value) in [
            ("HTTP/1.1 200\r\nX: 1\r\n\r\n", 200, "", "1"),
            ("HTTP/1.0 407 Proxy Authentication Required\r\nX : 1\r\n\r\n", 407, "Proxy Authentication Required", "1"),
            ("HTTP/1.1 407 Auth\r\nX: 1,\r\n  2\r\n\r\n", 407, "Auth", "1, 2"),
            ("HTTP/1.1 403 Verboten f\u{fc}r alle\r\nX:1\r\n\r\n", 403, "Verboten f\u{fc}r alle", "1"),
            ("HTTP/1.1  200  OK\nX: 1\n\n", 200, "OK", "1"),
        ] {
            let head = ResponseHead::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text:?}: {e}"));
            assert_eq!((head.status, String::from_utf8_lossy(&head.reason).as_ref()), (status, reason), "{text:?}");
            assert_eq!(head.fields.first("x"), Some(value.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn persistence_follows_version_and_both_connection_fields() {
        for (text, expected) in [
            ("HTTP/1.1 407 X\r\n\r\n", true),
            ("HTTP/1.1 407 X\r\nConnection: Close\r\n\r\n", false),
            ("HTTP/1.1 407 X\r\nProxy-Connection: close\r\n\r\n", false),
            ("HTTP/1.0 407 X\r\n\r\n", false),
            ("HTTP/1.0 407 X\r\nProxy-Connection: keep-alive\r\n\r\n", true),
        ] {
            assert_eq!(ResponseHead::parse(text.as_bytes()).unwrap().persists(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_head_reads_back_as_it_was_written() {
        let text = b"POST http://h/p HTTP/1.1\r\nHost: h\r\nX-cAsE: v\r\n\r\n";
        let head = RequestHead::parse(text).unwrap();
        assert_eq!(*head.to_bytes(None), text);
        let with = head.to_bytes(Some(&Credentials::new("Basic eA==")));
        assert!(with.ends_with(b"X-cAsE: v\r\nProxy-Authorization: Basic eA==\r\n\r\n"));
    }
}
