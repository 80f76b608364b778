//! Where a body ends: Content-Length, chunked, or the end of the connection (RFC 9112 §6 and §7).

use std::ops::Range;

use super::{Fields, HttpError, RequestHead, ResponseHead, Version};

/// Longest line of a chunk's size with its extensions, and longest trailer section.
const MAX_CHUNK_LINE: usize = 4 * 1024;
const MAX_TRAILERS: usize = 16 * 1024;

/// What frames, routes, authenticates, decides or describes the content has no place behind it (RFC 9110 §6.5.1).
const NEVER_A_TRAILER: [&str; 35] = [
    "host",
    "content-length",
    "content-encoding",
    "content-type",
    "content-range",
    "trailer",
    "via",
    "expect",
    "max-forwards",
    "cache-control",
    "pragma",
    "range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "authorization",
    "www-authenticate",
    "authentication-info",
    "cookie",
    "set-cookie",
    "set-cookie2",
    "origin",
    "referer",
    "forwarded",
    "x-forwarded-for",
    "age",
    "date",
    "expires",
    "location",
    "retry-after",
    "vary",
    "warning",
    "proxy-status",
];

/// The rest of a body that is being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Empty,
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

/// What the next bytes of a body are.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// More bytes are needed; this many may be dropped from the front.
    More { consumed: usize },
    /// Data at this range of the input; everything up to its end is consumed.
    Data(Range<usize>),
    /// The body is over after this many bytes.
    End { consumed: usize, trailers: Fields },
}

impl Body {
    pub fn of_request(head: &RequestHead) -> Result<Self, HttpError> {
        let length = content_length(&head.fields)?;
        if !head.fields.contains("transfer-encoding") {
            return Ok(match length {
                Some(0) | None => Self::Empty,
                Some(length) => Self::Length(length),
            });
        }
        if length.is_some() {
            return Err(HttpError::TwoFramings);
        }
        // An HTTP/1.0 sender cannot mean it (RFC 9112 §6.1), and codings we do not know cannot be passed on safely.
        if head.version == Version::Http10 || !is_exactly_chunked(&head.fields) {
            return Err(HttpError::TransferEncoding);
        }
        Ok(Self::chunked())
    }

    /// `method` is that of the request; an answer to a CONNECT that made a tunnel has no body at all.
    pub fn of_response(method: &str, head: &ResponseHead) -> Result<Self, HttpError> {
        let tunnel = method == "CONNECT" && (200..300).contains(&head.status);
        if tunnel || method == "HEAD" || head.is_informational() || matches!(head.status, 204 | 304) {
            return Ok(Self::Empty);
        }
        let codings: Vec<String> = head.fields.list("transfer-encoding").filter(|c| c != "identity").collect();
        if !codings.is_empty() {
            return if codings == ["chunked"] { Ok(Self::chunked()) } else { Err(HttpError::TransferEncoding) };
        }
        Ok(match content_length(&head.fields)? {
            Some(0) => Self::Empty,
            Some(length) => Self::Length(length),
            None => Self::UntilClose,
        })
    }

    /// The one statement about a body's end that a head makes when it goes on; `in_chunks`: the body goes out in them.
    pub fn declare(&self, head: &mut ResponseHead, in_chunks: bool) {
        let says = match content_length(&head.fields) {
            // To HEAD, and with 304: the length of what is not sent (RFC 9110 §8.6).
            Ok(length) if matches!(self, Self::Empty) && !head.is_informational() && head.status != 204 => length,
            Ok(_) | Err(_) => None,
        };
        head.fields.remove("content-length");
        head.fields.remove("transfer-encoding");
        match self {
            Self::Empty => says.into_iter().for_each(|length| head.fields.push("Content-Length", length.to_string())),
            Self::Length(length) => head.fields.push("Content-Length", length.to_string()),
            Self::Chunked(_) if in_chunks => head.fields.push("Transfer-Encoding", "chunked"),
            Self::Chunked(_) | Self::UntilClose => {}
        }
    }

    pub fn chunked() -> Self {
        Self::Chunked(Chunked::default())
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Looks at the bytes at hand. At the end of the input the caller decides through [`Body::ends_at_close`].
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, HttpError> {
        match self {
            Self::Empty => Ok(Piece::End { consumed: 0, trailers: Fields::default() }),
            Self::Length(left) => Ok(Self::take(left, input)),
            Self::Chunked(chunked) => chunked.next(input),
            Self::UntilClose if input.is_empty() => Ok(Piece::More { consumed: 0 }),
            Self::UntilClose => Ok(Piece::Data(0..input.len())),
        }
    }

    pub fn ends_at_close(&self) -> bool {
        matches!(self, Self::UntilClose)
    }

    fn take(left: &mut u64, input: &[u8]) -> Piece {
        if *left == 0 {
            return Piece::End { consumed: 0, trailers: Fields::default() };
        }
        if input.is_empty() {
            return Piece::More { consumed: 0 };
        }
        let taken = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
        *left -= taken as u64;
        Piece::Data(0..taken)
    }
}

/// The state of a chunked body: at a size line, within data, at the line end behind it, at the trailers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Chunked {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
}

impl Chunked {
    fn next(&mut self, input: &[u8]) -> Result<Piece, HttpError> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self {
                Self::Size => match line(rest, MAX_CHUNK_LINE)? {
                    None => return Ok(Piece::More { consumed: at }),
                    Some((text, used)) => {
                        at += used;
                        *self = match chunk_size(text)? {
                            0 => Self::Trailers,
                            size => Self::Data(size),
                        };
                    }
                },
                Self::Data(left) => {
                    if rest.is_empty() {
                        return Ok(Piece::More { consumed: at });
                    }
                    let taken = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    *left -= taken as u64;
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(Piece::Data(at..at + taken));
                }
                Self::DataEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        at += 2;
                        *self = Self::Size;
                    }
                    [] | [b'\r'] => return Ok(Piece::More { consumed: at }),
                    [_, ..] => return Err(HttpError::Chunk),
                },
                Self::Trailers => return trailers(rest, at),
            }
        }
    }
}

/// One line that ends in CRLF; a bare LF or CR and what else is no text is refused.
fn line(bytes: &[u8], max: usize) -> Result<Option<(&[u8], usize)>, HttpError> {
    let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
        // What is there may end in the CR, so that a line counts alike whole and cut.
        return if bytes.len() > max + 1 { Err(HttpError::Chunk) } else { Ok(None) };
    };
    match bytes[..end].strip_suffix(b"\r") {
        Some(text) if text.len() <= max && !text.iter().any(is_control) => Ok(Some((text, end + 1))),
        Some(_) | None => Err(HttpError::Chunk),
    }
}

fn is_control(byte: &u8) -> bool {
    byte.is_ascii_control() && *byte != b'\t'
}

/// `1*HEXDIG [ chunk-ext ]`; extensions are dropped, nobody end to end may rely on them (RFC 9112 §7.1.1).
fn chunk_size(line: &[u8]) -> Result<u64, HttpError> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let rest = line[digits..].trim_ascii_start();
    if digits == 0 || digits > 15 || !(rest.is_empty() || rest.starts_with(b";")) {
        return Err(HttpError::Chunk);
    }
    let text = std::str::from_utf8(&line[..digits]).map_err(|_| HttpError::Chunk)?;
    u64::from_str_radix(text, 16).map_err(|_| HttpError::Chunk)
}

fn trailers(rest: &[u8], at: usize) -> Result<Piece, HttpError> {
    if rest.starts_with(b"\r\n") {
        return Ok(Piece::End { consumed: at + 2, trailers: Fields::default() });
    }
    let end = match rest.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4) {
        Some(end) if end <= MAX_TRAILERS => end,
        None if rest.len() < MAX_TRAILERS => return Ok(Piece::More { consumed: at }),
        Some(_) | None => return Err(HttpError::Chunk),
    };
    let mut slots = [httparse::EMPTY_HEADER; 64];
    match httparse::parse_headers(&rest[..end], &mut slots) {
        Ok(httparse::Status::Complete((used, headers))) if used == end => {
            let mut trailers: Fields = headers.iter().map(|h| (h.name, h.value)).collect();
            trailers.strip_hop_by_hop();
            NEVER_A_TRAILER.iter().for_each(|name| trailers.remove(name));
            Ok(Piece::End { consumed: at + end, trailers })
        }
        Ok(_) | Err(_) => Err(HttpError::Chunk),
    }
}

/// Several equal values count as one (RFC 9112 §6.3); anything else than digits does not.
fn content_length(fields: &Fields) -> Result<Option<u64>, HttpError> {
    let mut found = None;
    for value in fields.all("content-length").flat_map(|value| value.split(|b| *b == b',')) {
        let text = value.trim_ascii();
        if text.is_empty() || text.len() > 18 || !text.iter().all(u8::is_ascii_digit) {
            return Err(HttpError::ContentLength);
        }
        let number = text.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        if found.is_some_and(|earlier| earlier != number) {
            return Err(HttpError::ContentLength);
        }
        found = Some(number);
    }
    Ok(found)
}

fn is_exactly_chunked(fields: &Fields) -> bool {
    let mut values = fields.all("transfer-encoding");
    values.next().is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"chunked")) && values.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &str) -> Result<Body, HttpError> {
        let text = format!("POST http://h/ HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        Body::of_request(&RequestHead::parse(text.as_bytes())?)
    }

    #[test]
    fn a_request_has_one_framing_or_none() {
        for (fields, expected) in [
            ("", Ok(Body::Empty)),
            ("Content-Length: 5\r\n", Ok(Body::Length(5))),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Ok(Body::Length(5))),
            ("Content-Length: 5, 5\r\n", Ok(Body::Length(5))),
            ("Transfer-Encoding: Chunked\r\n", Ok(Body::chunked())),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(HttpError::ContentLength)),
            ("Content-Length: +5\r\n", Err(HttpError::ContentLength)),
            ("Content-Length: 0x5\r\n", Err(HttpError::ContentLength)),
            ("Content-Length: 99999999999999999999\r\n", Err(HttpError::ContentLength)),
            ("Content-Length: \r\n", Err(HttpError::ContentLength)),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Err(HttpError::TwoFramings)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(HttpError::TransferEncoding)),
            ("Transfer-Encoding: chunked, chunked\r\n", Err(HttpError::TransferEncoding)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(HttpError::TransferEncoding)),
            ("Transfer-Encoding: xchunked\r\n", Err(HttpError::TransferEncoding)),
            ("Transfer-Encoding: \r\n", Err(HttpError::TransferEncoding)),
        ] {
            assert_eq!(request(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn an_answer_is_framed_by_its_request_and_status_first() {
        let cases = [
            ("HEAD", 200, "Content-Length: 5\r\n", Ok(Body::Empty)),
            ("GET", 204, "Content-Length: 5\r\n", Ok(Body::Empty)),
            ("GET", 304, "Content-Length: 5\r\n", Ok(Body::Empty)),
            ("CONNECT", 200, "Transfer-Encoding: chunked\r\n", Ok(Body::Empty)),
            ("CONNECT", 403, "Content-Length: 5\r\n", Ok(Body::Length(5))),
            ("GET", 200, "", Ok(Body::UntilClose)),
            ("GET", 200, "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Ok(Body::chunked())),
            ("GET", 200, "Transfer-Encoding: identity\r\nContent-Length: 5\r\n", Ok(Body::Length(5))),
            ("GET", 200, "Content-Length: 5\r\nContent-Length: 6\r\n", Err(HttpError::ContentLength)),
        ];
        for (method, status, fields, expected) in cases {
            let text = format!("HTTP/1.1 {status} X\r\n{fields}\r\n");
            let head = ResponseHead::parse(text.as_bytes()).unwrap();
            assert_eq!(Body::of_response(method, &head), expected, "{method} {status} {fields:?}");
        }
    }

    /// Feeds `pieces` one after the other; gives the data and how many bytes were used.
    fn decode(pieces: &[&[u8]]) -> Result<Option<(Vec<u8>, Fields)>, HttpError> {
        let (mut body, mut waiting, mut data) = (Body::chunked(), Vec::new(), Vec::new());
        for piece in pieces {
            waiting.extend_from_slice(piece);
            loop {
                match body.next(&waiting)? {
                    Piece::More { consumed } => {
                        waiting.drain(..consumed);
                        break;
                    }
                    Piece::Data(range) => {
                        data.extend_from_slice(&waiting[range.clone()]);
                        waiting.drain(..range.end);
                    }
                    Piece::End { trailers, .. } => return Ok(Some((data, trailers))),
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn a_chunked_body_is_the_same_cut_at_every_byte_and_fed_one_by_one() {
        let wire = b"5;ext=\"x\"\r\nhello\r\n0A\r\n, world\r\n!\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n";
        let trailers: Fields = [("X-Sum", "1")].into_iter().collect();
        let expected = Some((b"hello, world\r\n!".to_vec(), trailers));
        for cut in 0..=wire.len() {
            assert_eq!(decode(&[&wire[..cut], &wire[cut..]]), Ok(expected.clone()), "cut at {cut}");
            let prefix = decode(&[&wire[..cut]]);
            assert!(cut == wire.len() || prefix == Ok(None), "prefix of {cut}");
        }
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(decode(&bytes), Ok(expected));
    }

    #[test]
    fn a_limit_is_the_same_whole_and_fed_one_by_one() {
        let line = |length| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(length - 2));
        let trailers = |length| format!("0\r\nX: {}\r\n\r\n", "y".repeat(length - 7));
        for (wire, good) in [
            (line(MAX_CHUNK_LINE), true),
            (line(MAX_CHUNK_LINE + 1), false),
            (trailers(MAX_TRAILERS), true),
            (trailers(MAX_TRAILERS + 1), false),
        ] {
            let whole = decode(&[wire.as_bytes()]);
            assert_eq!(whole.is_ok(), good, "{} bytes", wire.len());
            assert_eq!(decode(&wire.as_bytes().chunks(1).collect::<Vec<_>>()), whole, "{} bytes", wire.len());
        }
    }

    #[test]
    fn a_malformed_chunk_is_refused() {
        for text in [
            "g\r\n",
            "\r\n",
            "-1\r\n",
            "5 5\r\n",
            "1\nx\r\n",
            "10000000000000000\r\n",
            "1\r\nxx\r\n",
            "0\r\nbad line\r\n\r\n",
            "1\rx\r\n",
        ] {
            assert_eq!(decode(&[text.as_bytes()]), Err(HttpError::Chunk), "{text:?}");
        }
        assert_eq!(decode(&[&[b'1'; 5000]]), Err(HttpError::Chunk));
    }
}
