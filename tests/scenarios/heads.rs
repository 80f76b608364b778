//! Heads of real proxies and clients, read whole, byte by byte and cut anywhere: always the same, or none at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hallpass::auth::challenge::parse_all;
use hallpass::http1::{Body, ReadError, RequestHead, ResponseHead, Wire};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use crate::client_heads::{HEADS, bytes};

const MAX: usize = 64 * 1024;
/// Stands behind each head and must be left alone.
const NEXT: &[u8] = b"\x00next";

fn recorded() -> BTreeMap<String, Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/heads");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let heads = files.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    heads.map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())).collect()
}

/// What is to be seen in each: status, reason phrase, whether the connection goes on, the schemes, the body.
const SEEN: &[(&str, u16, &str, bool, &str, Body)] = {
    const AUTH: &str = "Proxy Authentication Required";
    const EST: &str = "Connection established";
    &[
        ("apache-200-connect", 200, "Connection Established", false, "", Body::Empty),
        ("bluecoat-200-connect", 200, EST, true, "", Body::Empty),
        ("bluecoat-403-policy", 403, "Forbidden", false, "", Body::Length(893)),
        ("bluecoat-407", 407, AUTH, false, "NEGOTIATE NTLM BASIC", Body::Length(1037)),
        ("bluecoat-407-ntlm-challenge", 407, AUTH, true, "NTLM+", Body::Length(1037)),
        ("cntlm-200-connect", 200, EST, false, "", Body::Empty),
        ("cntlm-407-basic", 407, "Access denied", true, "Basic", Body::Length(233)),
        ("isa-2006-200-connect", 200, EST, true, "", Body::Empty),
        (
            "isa-2006-407",
            407,
            "Proxy Authentication Required ( The ISA Server requires authorization to fulfill the request. \
             Access to the Web Proxy filter is denied.  )",
            true,
            "Negotiate Kerberos NTLM",
            Body::Length(4107),
        ),
        (
            "isa-2006-407-ntlm-challenge",
            407,
            "Proxy Authentication Required ( Access is denied.  )",
            true,
            "NTLM+",
            Body::Empty,
        ),
        (
            "isa-2006-502",
            502,
            "Proxy Error ( The specified Secure Sockets Layer (SSL) port is not allowed. ISA Server is not configured \
             to allow SSL requests from this port. )",
            false,
            "",
            Body::Length(4061),
        ),
        ("mcafee-407", 407, "authenticationrequired", true, "Negotiate NTLM", Body::Length(2823)),
        ("skyhigh-403", 403, "urlblocked", true, "", Body::Length(5213)),
        ("squid-2-200-connect", 200, EST, false, "", Body::Empty),
        ("squid-2-407-http-1.0", 407, AUTH, true, "NTLM Basic", Body::Length(1339)),
        ("squid-2-407-http-1.0-close", 407, AUTH, false, "NTLM", Body::Length(1347)),
        ("squid-5-200-connect", 200, EST, true, "", Body::Empty),
        ("squid-5-200-get", 200, "OK", true, "", Body::Length(468)),
        ("squid-5-400", 400, "Bad Request", false, "", Body::Length(3038)),
        ("squid-5-403-connect", 403, "Forbidden", true, "", Body::Length(3077)),
        ("squid-5-407-connect", 407, AUTH, true, "NTLM Digest Basic", Body::Length(3061)),
        ("squid-5-407-get-http-1.0", 407, AUTH, true, "NTLM Digest Basic", Body::Length(3055)),
        ("squid-5-407-ntlm-challenge", 407, AUTH, true, "NTLM+", Body::Length(3061)),
        ("squid-5-503-get", 503, "Service Unavailable", true, "", Body::Length(3077)),
        (
            "tmg-407",
            407,
            "Proxy Authentication Required ( Forefront TMG requires authorization to fulfill the request. \
             Access to the Web Proxy filter is denied.  )",
            false,
            "Negotiate Kerberos NTLM",
            Body::Length(726),
        ),
        ("zscaler-200-connect", 200, "Connection Established", true, "", Body::Empty),
        ("zscaler-403", 403, "Forbidden", true, "", Body::Length(13_592)),
        ("zscaler-407", 407, AUTH, true, "Negotiate", Body::Length(10_165)),
    ]
};

/// Names of schemes; with `+` where a token came along.
fn schemes(head: &ResponseHead) -> String {
    let challenges = parse_all(head.fields.all("proxy-authenticate"));
    let named = challenges.iter().map(|one| format!("{}{}", one.scheme, if one.token.is_some() { "+" } else { "" }));
    named.collect::<Vec<_>>().join(" ")
}

#[test]
fn every_recorded_answer_says_what_it_says() {
    let recorded = recorded();
    assert_eq!(recorded.keys().collect::<Vec<_>>(), SEEN.iter().map(|(name, ..)| *name).collect::<Vec<_>>());
    for (name, status, reason, persists, offered, body) in SEEN {
        let head = ResponseHead::parse(&recorded[*name]).unwrap();
        assert_eq!((head.status, String::from_utf8_lossy(&head.reason).as_ref()), (*status, *reason), "{name}");
        assert_eq!((head.persists(), schemes(&head).as_str()), (*persists, *offered), "{name}");
        let method = if name.contains("connect") { "CONNECT" } else { "GET" };
        assert_eq!(Body::of_response(method, &head).as_ref(), Ok(body), "{name}");
    }
}

/// Two ends of a stream in memory.
fn pair() -> (DuplexStream, Wire<DuplexStream>) {
    let (writer, reader) = duplex(4 * MAX);
    (writer, Wire::new(reader))
}

async fn response(wire: &mut Wire<DuplexStream>) -> Result<ResponseHead, ReadError> {
    wire.reader().response(MAX).await
}

async fn request(wire: &mut Wire<DuplexStream>) -> Result<RequestHead, ReadError> {
    wire.reader().request(MAX).await
}

macro_rules! reads_the_same_however_it_comes {
    ($read:ident, $name:expr, $bytes:expr) => {{
        let (name, bytes): (&str, &[u8]) = ($name, $bytes);
        let whole = {
            let (mut writer, mut wire) = pair();
            writer.write_all(&[bytes, NEXT].concat()).await.unwrap();
            let head = $read(&mut wire).await.unwrap();
            assert_eq!(&wire.buffer[..], NEXT, "{name}");
            head
        };
        for cut in 0..bytes.len() {
            let (mut writer, mut wire) = pair();
            writer.write_all(&bytes[..cut]).await.unwrap();
            let mut reading = Box::pin($read(&mut wire));
            let early = std::future::poll_fn(|cx| std::task::Poll::Ready(reading.as_mut().poll(cx))).await;
            assert!(early.is_pending(), "{name}: something was read from the first {cut} bytes");
            writer.write_all(&bytes[cut..]).await.unwrap();
            assert_eq!(reading.await.unwrap(), whole, "{name}: cut at {cut}");
            let (mut writer, mut wire) = pair();
            writer.write_all(&bytes[..cut]).await.unwrap();
            drop(writer);
            assert!($read(&mut wire).await.is_err(), "{name}: the first {cut} bytes were taken for a head");
        }
        let (mut writer, mut wire) = pair();
        let mut reading = Box::pin($read(&mut wire));
        for (at, byte) in bytes.iter().enumerate() {
            let early = std::future::poll_fn(|cx| std::task::Poll::Ready(reading.as_mut().poll(cx))).await;
            assert!(early.is_pending(), "{name}: done after {at} bytes");
            writer.write_all(&[*byte]).await.unwrap();
        }
        assert_eq!(reading.await.unwrap(), whole, "{name}: byte by byte");
    }};
}

#[tokio::test]
async fn an_answer_is_the_same_whole_byte_by_byte_and_cut_anywhere() {
    for (name, bytes) in recorded() {
        reads_the_same_however_it_comes!(response, &name, &bytes);
    }
}

#[tokio::test]
async fn a_clients_head_is_the_same_whole_byte_by_byte_and_cut_anywhere() {
    for (name, head, _) in HEADS {
        let bytes = bytes(head);
        reads_the_same_however_it_comes!(request, name, bytes.as_bytes());
    }
}
