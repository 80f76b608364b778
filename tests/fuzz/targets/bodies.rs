//! Chunked bodies: the same data, trailers and end wherever they are cut, and as hyper decodes them.

use hallpass::http1::{Body, Fields, HttpError, Piece, ReadError, Wire};

use super::http::{self, Pieces, now};

/// More cuts than this show nothing new.
const CUTS: usize = 24;
const LONG: usize = 512;

/// How far a body was read and what came of it.
#[derive(Debug, PartialEq)]
struct Decoded {
    data: Vec<u8>,
    /// The trailers and how many bytes were left; `None` for a body that has not ended.
    end: Result<Option<(Fields, usize)>, HttpError>,
}

/// The bytes after the head of a chunked message.
pub fn chunked(bytes: &[u8]) {
    let whole = decode(&[bytes]);
    assert!(whole.data.len() <= bytes.len());
    // Long ones are long for the limits' sake, and a fuzzer has no time to feed them one by one.
    let (size, cuts) = if bytes.len() < LONG { (1, CUTS) } else { (bytes.len() / 64, 3) };
    assert_eq!(decode(&bytes.chunks(size).collect::<Vec<_>>()), whole, "by {size}");
    let step = bytes.len().div_ceil(cuts).max(1);
    for cut in (0..bytes.len()).step_by(step) {
        assert_eq!(decode(&[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
    }
    for size in [size, size * 5, 1 << 20] {
        assert_eq!(off_a_stream(Body::chunked(), bytes, size), whole, "by {size}");
    }
    let Ok(Some((trailers, left))) = &whole.end else { return };
    for (name, value) in trailers.iter() {
        assert!(
            !["host", "content-length", "transfer-encoding", "authorization"].contains(&&*name.to_ascii_lowercase())
        );
        assert!(value.iter().all(|byte| !b"\r\n\0".contains(byte)));
    }
    let used = &bytes[..bytes.len() - left];
    if let Some(prefix) = used.len().checked_sub(1) {
        assert_eq!(decode(&[&used[..prefix]]).end, Ok(None), "it ends only once");
    }
    // Others may refuse what we take, but never read something else.
    let message = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", used].concat();
    if let Some(data) = http::response("GET", &message).and_then(|seen| seen.body) {
        assert_eq!(data, whole.data);
    }
}

/// What follows a head is the same body in one read and in many, and never more than was announced.
pub fn read_alike(body: &Body, bytes: &[u8]) {
    let whole = off_a_stream(body.clone(), bytes, bytes.len().max(1));
    let size = bytes.len() / LONG + 1;
    assert_eq!(off_a_stream(body.clone(), bytes, size), whole, "by {size}");
    match body {
        Body::Empty => assert_eq!((&whole.data[..], whole.end), (&[][..], Ok(Some((Fields::default(), bytes.len()))))),
        Body::Length(length) => {
            let length = usize::try_from(*length).unwrap_or(usize::MAX);
            assert_eq!(whole.data, bytes[..length.min(bytes.len())]);
            assert_eq!(whole.end.is_ok_and(|end| end.is_some()), bytes.len() >= length);
        }
        Body::UntilClose => assert_eq!(whole.data, bytes),
        Body::Chunked(_) => assert!(whole.data.len() <= bytes.len()),
    }
}

/// Feeds the pieces one after the other.
fn decode(pieces: &[&[u8]]) -> Decoded {
    let (mut body, mut waiting, mut data) = (Body::chunked(), Vec::new(), Vec::new());
    for (at, piece) in pieces.iter().enumerate() {
        waiting.extend_from_slice(piece);
        loop {
            match body.next(&waiting) {
                Ok(Piece::More { consumed }) => {
                    waiting.drain(..consumed);
                    break;
                }
                Ok(Piece::Data(range)) => {
                    data.extend_from_slice(&waiting[range.clone()]);
                    waiting.drain(..range.end);
                }
                Ok(Piece::End { consumed, trailers }) => {
                    let later: usize = pieces[at + 1..].iter().map(|piece| piece.len()).sum();
                    return Decoded { data, end: Ok(Some((trailers, waiting.len() - consumed + later))) };
                }
                Err(error) => return Decoded { data, end: Err(error) },
            }
        }
    }
    Decoded { data, end: Ok(None) }
}

/// The same through the reader of connections.
fn off_a_stream(mut body: Body, bytes: &[u8], size: usize) -> Decoded {
    let mut wire = Wire::new(Pieces { rest: bytes, size });
    let mut data = Vec::new();
    let end = loop {
        match now(wire.reader().piece(&mut body)) {
            Ok(Ok(more)) => data.extend_from_slice(&more),
            Ok(Err(trailers)) => break Ok(Some((trailers, wire.buffer.len() + wire.stream.rest.len()))),
            Err(ReadError::Http(error)) => break Err(error),
            Err(ReadError::Truncated) => break Ok(None),
            Err(error) => panic!("{error}"),
        }
    };
    Decoded { data, end }
}
