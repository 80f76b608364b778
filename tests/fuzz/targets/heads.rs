//! Request and response heads: one reading of every head, and the same one wherever it is cut and whoever reads it.

use hallpass::http1::head::MAX_FIELDS;
use hallpass::http1::{Body, Fields, ReadError, RequestHead, ResponseHead, Version, Wire};
use hallpass::secret::Credentials;

use super::bodies::read_alike;
use super::http::{self, Pairs, Pieces, now, strict, values};

const MAX_HEAD: usize = 8 * 1024;

/// Fields that end at us (RFC 9110 §7.6.1).
const ENDS_HERE: [&str; 6] = ["connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "upgrade"];

/// What a client sent.
pub fn request_head(bytes: &[u8]) {
    let request = async |wire: &mut Wire<Pieces<'_>>| wire.reader().request(MAX_HEAD).await;
    let (read, left) = self::read(bytes, bytes.len(), request);
    let cut = |size| self::read(bytes, size, request).0;
    assert_same(&read, &cut(1));
    assert_same(&read, &cut(7));
    let Ok(head) = read else { return };
    for prefix in [0, 1, left.len(), bytes.len() / 2].map(|less| (bytes.len() - left.len()).saturating_sub(less + 1)) {
        let early = self::read(&bytes[..prefix], prefix, request).0;
        assert!(early.is_err(), "{prefix} bytes are a head already");
    }
    let written = head.to_bytes(None);
    let (first, fields) = strict(&written);
    assert_eq!(fields, listed(&head.fields));
    assert!(fields.len() <= MAX_FIELDS && values(&fields, "host").len() <= 1);
    let [method, target, b"HTTP/1.1"] = first.split(|byte| *byte == b' ').collect::<Vec<_>>()[..] else {
        panic!("{:?}", String::from_utf8_lossy(&first));
    };
    assert_eq!((method, target), (head.method.as_bytes(), head.target.as_bytes()));
    assert!(target.iter().all(u8::is_ascii_graphic), "{}", head.target);
    let again = RequestHead::parse(&written).expect("what was written is read");
    assert_eq!(
        (&again.method, &again.target, &again.fields, again.to_bytes(None)),
        (&head.method, &head.target, &head.fields, written.clone())
    );
    request_framing(&head, &fields, &written);
    if let Ok(body) = Body::of_request(&head) {
        read_alike(&body, &left);
    }
    passes_on(&head.fields);
    // Whoever says that it ends is not waited for, and 1.0 knows no interim answers.
    assert!(!(head.persists() && head.fields.has_member("connection", "close")));
    assert!(!(head.expects_continue() && head.version == Version::Http10));
    let mut ours = head;
    ours.fields.strip_hop_by_hop();
    let (_, fields) = strict(&ours.to_bytes(Some(&Credentials::new("Basic eA=="))));
    assert_eq!(values(&fields, "proxy-authorization"), [b"Basic eA=="]);
}

/// A body has one length: none, one number, or chunks; and hyper takes it for the same.
fn request_framing(head: &RequestHead, fields: &Pairs, written: &[u8]) {
    let Ok(body) = Body::of_request(head) else { return };
    let (lengths, codings) = (values(fields, "content-length"), values(fields, "transfer-encoding"));
    let length = match body {
        Body::Empty => Some(0),
        Body::Length(length) => Some(length),
        Body::Chunked(_) => None,
        Body::UntilClose => panic!("no request ends with its connection"),
    };
    match length {
        Some(length) => {
            let numbers = lengths.iter().flat_map(|value| value.split(|byte| *byte == b','));
            let numbers: Vec<_> = numbers.map(|text| std::str::from_utf8(text.trim_ascii()).unwrap().parse()).collect();
            assert!(codings.is_empty() && numbers.iter().all(|number| *number == Ok(length)), "{fields:?}");
            assert!(length == 0 || !numbers.is_empty());
        }
        None => {
            assert!(lengths.is_empty(), "{fields:?}");
            assert!(codings.len() == 1 && codings[0].eq_ignore_ascii_case(b"chunked"), "{fields:?}");
        }
    }
    if let Some(seen) = http::request(written) {
        assert_eq!(seen.method, head.method);
        assert_eq!(Ok(seen.target), head.target.parse().map(|target: hyper::Uri| target.to_string()).map_err(drop));
        assert_eq!(sorted(seen.fields), sorted(fields.clone()));
        // A CONNECT has no body for hyper, whatever it says (RFC 9110 §9.3.6).
        if head.method != "CONNECT" {
            assert_eq!(seen.length, length, "{}", String::from_utf8_lossy(written));
        }
    }
}

/// What a proxy answered; the first byte says to what.
pub fn response_head(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let method = ["GET", "HEAD", "CONNECT"][usize::from(*choice) % 3];
    let response = async |wire: &mut Wire<Pieces<'_>>| wire.reader().response(MAX_HEAD).await;
    let (read, left) = self::read(bytes, bytes.len(), response);
    let cut = |size| self::read(bytes, size, response).0;
    assert_same(&read, &cut(1));
    assert_same(&read, &cut(7));
    let Ok(head) = read else { return };
    let early = bytes.len() - left.len() - 1;
    assert!(self::read(&bytes[..early], early, response).0.is_err());
    let written = head.to_bytes();
    let (first, fields) = strict(&written);
    assert_eq!(fields, listed(&head.fields));
    assert!((100..=999).contains(&head.status) && fields.len() <= MAX_FIELDS);
    let start = format!("HTTP/1.1 {} ", head.status);
    assert_eq!(first.strip_prefix(start.as_bytes()), Some(&*head.reason), "{:?}", String::from_utf8_lossy(&first));
    let again = ResponseHead::parse(&written).expect("what was written is read");
    assert_eq!((again.status, &again.reason, &again.fields), (head.status, &head.reason, &head.fields));
    response_framing(method, &head, &fields, &written);
    if let Ok(body) = Body::of_response(method, &head) {
        read_alike(&body, &left);
    }
    assert!(!(head.persists() && head.fields.has_member("connection", "close")));
    passes_on(&head.fields);
}

fn response_framing(method: &str, head: &ResponseHead, fields: &Pairs, written: &[u8]) {
    let Ok(body) = Body::of_response(method, head) else { return };
    let (lengths, codings) = (values(fields, "content-length"), values(fields, "transfer-encoding"));
    let tunnel = method == "CONNECT" && (200..300).contains(&head.status);
    let bodiless = method == "HEAD" || tunnel || head.status < 200 || [204, 304].contains(&head.status);
    match body {
        Body::Empty if bodiless => return,
        _ if bodiless => panic!("{method} {} has no body", head.status),
        Body::Empty | Body::Length(_) => {
            assert!(!lengths.is_empty() && codings.iter().all(|coding| !has(coding, b"chunked")), "{fields:?}");
        }
        Body::Chunked(_) => assert!(codings.iter().any(|coding| has(coding, b"chunked")), "{fields:?}"),
        Body::UntilClose => assert!(lengths.is_empty(), "{fields:?}"),
    }
    // An answer that claims both is read by its chunks everywhere; other codings than that hyper reads its own way.
    let plain = codings.is_empty() || codings == [b"chunked"] && lengths.is_empty();
    // hyper knows nothing of CONNECT and switching here.
    if plain
        && method == "GET"
        && let Some(seen) = http::response(method, written)
    {
        assert_eq!(seen.status, head.status);
        assert_eq!(sorted(seen.fields), sorted(fields.clone()));
        let length = match body {
            Body::Empty => Some(0),
            Body::Length(length) => Some(length),
            Body::Chunked(_) | Body::UntilClose => None,
        };
        assert_eq!(seen.length, length, "{}", String::from_utf8_lossy(written));
    }
}

fn has(value: &[u8], word: &[u8]) -> bool {
    value.to_ascii_lowercase().windows(word.len()).any(|window| window == word)
}

/// What is left for the next hop: nothing that was for us, and what frames and routes whatever `Connection` says.
fn passes_on(fields: &Fields) {
    let mut left = fields.clone();
    left.strip_hop_by_hop();
    let all = listed(&left);
    for name in ENDS_HERE {
        assert!(values(&all, name).is_empty(), "{name}");
    }
    for name in ["host", "content-length"] {
        assert_eq!(values(&all, name), values(&listed(fields), name));
    }
    for named in
        fields.list("connection").filter(|name| !["host", "content-length", "via", "expect"].contains(&&**name))
    {
        assert!(values(&all, &named).is_empty(), "{named}");
    }
    let once = left.clone();
    left.strip_hop_by_hop();
    assert_eq!(left, once);
}

fn listed(fields: &Fields) -> Pairs {
    fields.iter().map(|(name, value)| (name.to_string(), value.to_vec())).collect()
}

/// By name, in lower case; those of one name in their order. Of several lengths, which are equal, hyper keeps one.
fn sorted(mut fields: Pairs) -> Pairs {
    fields.retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
    fields.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    fields
}

/// A head off a stream that gives `size` bytes at a time, and what was not used of it.
fn read<'a, H>(
    bytes: &'a [u8],
    size: usize,
    read: impl AsyncFn(&mut Wire<Pieces<'a>>) -> Result<H, ReadError>,
) -> (Result<H, ReadError>, Vec<u8>) {
    let mut wire = Wire::new(Pieces { rest: bytes, size: size.max(1) });
    let head = now(read(&mut wire));
    (head, [&wire.buffer, wire.stream.rest].concat())
}

fn assert_same<H: PartialEq + std::fmt::Debug>(whole: &Result<H, ReadError>, cut: &Result<H, ReadError>) {
    match (whole, cut) {
        (Ok(whole), Ok(cut)) => assert_eq!(whole, cut),
        (Err(whole), Err(cut)) => assert_eq!(whole.to_string(), cut.to_string()),
        (whole, cut) => panic!("whole {whole:?}, cut {cut:?}"),
    }
}
