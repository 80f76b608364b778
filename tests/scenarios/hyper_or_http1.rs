//! Which side of the relay hyper serves, and which `http1`: one table, played on both.
//!
//! The decision: `http1` on both sides of the relay, hyper for the practice proxy and origin, where nobody stands in
//! between. hyper's options are set as kindly as they can be, and still a user would notice: on the upstream side it
//! gives up connections that old proxies keep alive through NTLM, waits for the end of a 407 that has none, and takes
//! no head of more than a hundred fields; towards the client it adds to the answer to CONNECT and says it in the
//! client's version, asks for a body with `100 Continue` before the upstream did, passes no `103 Early Hints` on,
//! drops trailers that were not declared, takes `chunked` said twice, and answers what it cannot read without a word.
//!
//! The test fails when hyper or `http1` changes its mind about a row: then the decision is to be looked at again.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{HeaderValue, PROXY_AUTHORIZATION};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, client, server, upgrade};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::{Heard, Peer, Relay, Say, Upstream};

type Body = BoxBody<Bytes, hyper::Error>;

/// What never comes is waited for this long.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

struct Row {
    name: &'static str,
    request: &'static str,
    /// What the upstream says to a request without credentials, and to one with them.
    bare: fn(&Heard) -> Say,
    proved: fn(&Heard) -> Say,
    /// What the client hears ends with this, if all is well.
    until: &'static str,
    /// What it hears, `|` for a line's end; `…` stands for any rest.
    hyper: &'static str,
    http1: &'static str,
}

const CONNECT: &str = "CONNECT h.test:443 HTTP/1.1\r\nHost: h.test:443\r\n\r\n";
const GET: &str = "GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n";

fn page(heard: &Heard) -> Say {
    match heard.head.method() {
        "CONNECT" => Say::Echo(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        _ => Say::answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"),
    }
}

macro_rules! say {
    ($text:expr) => {
        |_| Say::answer($text)
    };
}

const ROWS: &[Row] = &[
    Row {
        name: "the answer to CONNECT",
        request: CONNECT,
        bare: page,
        proved: page,
        until: "\r\n\r\n",
        hyper: "HTTP/1.1 200 OK|date: now||",
        http1: "HTTP/1.1 200 Connection established||",
    },
    Row {
        name: "a CONNECT of HTTP/1.0 without any field",
        request: "CONNECT h.test:443 HTTP/1.0\r\n\r\n",
        bare: page,
        proved: page,
        until: "\r\n\r\n",
        hyper: "HTTP/1.0 200 OK|date: now||",
        http1: "HTTP/1.1 200 Connection established||",
    },
    Row {
        name: "100 before the 200 to CONNECT",
        request: CONNECT,
        bare: |_| Say::Echo(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".to_vec()),
        proved: page,
        until: "\r\n\r\n",
        hyper: "HTTP/1.1 200 OK|date: now||",
        http1: "HTTP/1.1 200 Connection established||",
    },
    Row {
        name: "103 early hints",
        request: GET,
        bare: say!("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"),
        proved: page,
        until: "page",
        hyper: "HTTP/1.1 200 OK|Content-Length: 4|date: now||page",
        http1: "HTTP/1.1 103 Early Hints|Link: <a>||HTTP/1.1 200 OK|Content-Length: 4|Via: 1.1 hallpass||page",
    },
    Row {
        name: "a body that waits for 100, refused",
        request: "POST http://h.test/ HTTP/1.1\r\nHost: h.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
        bare: |_| Say::last("HTTP/1.1 417 No\r\nContent-Length: 4\r\n\r\npage"),
        proved: page,
        until: "page",
        hyper: "HTTP/1.1 100 Continue||HTTP/1.1 417 No|Content-Length: 4|connection: close|date: now||page",
        http1: "HTTP/1.1 417 No|Content-Length: 4|Via: 1.1 hallpass|Connection: close||page",
    },
    Row {
        name: "an HTTP/1.0 407 that keeps alive",
        request: GET,
        bare: say!(
            "HTTP/1.0 407 No\r\nProxy-Authenticate: Basic\r\nProxy-Connection: keep-alive\r\nContent-Length: 2\r\n\r\nno"
        ),
        proved: page,
        until: "page",
        hyper: "HTTP/1.1 502 Bad Gateway|…",
        http1: "HTTP/1.1 200 OK|Content-Length: 4|Via: 1.1 hallpass||page",
    },
    Row {
        name: "a 407 that keeps alive and has no length",
        request: GET,
        bare: say!("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nConnection: keep-alive\r\n\r\n"),
        proved: page,
        until: "page",
        hyper: "<nothing more>",
        http1: "HTTP/1.1 200 OK|Content-Length: 4|Via: 1.1 hallpass||page",
    },
    Row {
        name: "a line end too many behind a 407",
        request: GET,
        bare: say!("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno\r\n"),
        proved: page,
        until: "page",
        hyper: "HTTP/1.1 502 Bad Gateway|…",
        http1: "HTTP/1.1 200 OK|Content-Length: 4|Via: 1.1 hallpass||page",
    },
    Row {
        name: "a space before the colon",
        request: GET,
        bare: say!("HTTP/1.1 407 No\r\nProxy-Authenticate : Basic\r\nContent-Length: 2\r\n\r\nno"),
        proved: page,
        until: "page",
        hyper: "HTTP/1.1 200 OK|Content-Length: 4|date: now||page",
        http1: "HTTP/1.1 200 OK|Content-Length: 4|Via: 1.1 hallpass||page",
    },
    Row {
        name: "a folded field",
        request: GET,
        bare: say!("HTTP/1.1 407 No\r\nProxy-Authenticate: Bearer,\r\n Basic\r\nContent-Length: 2\r\n\r\nno"),
        proved: page,
        until: "page",
        hyper: "HTTP/1.1 200 OK|Content-Length: 4|date: now||page",
        http1: "HTTP/1.1 200 OK|Content-Length: 4|Via: 1.1 hallpass||page",
    },
    Row {
        name: "a head of 150 fields",
        request: GET,
        bare: |_| {
            let fields: String = (0..150).fold(String::new(), |mut all, n| {
                write!(all, "X-{n}: 1\r\n").unwrap();
                all
            });
            Say::answer(format!("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n{fields}Content-Length: 0\r\n\r\n"))
        },
        proved: page,
        until: "page",
        hyper: "HTTP/1.1 502 Bad Gateway|…",
        http1: "HTTP/1.1 200 OK|Content-Length: 4|Via: 1.1 hallpass||page",
    },
    Row {
        name: "a status line without its last space",
        request: GET,
        bare: say!("HTTP/1.1 200\r\nContent-Length: 4\r\n\r\npage"),
        proved: page,
        until: "page",
        hyper: "HTTP/1.1 200 |Content-Length: 4|date: now||page",
        http1: "HTTP/1.1 200 |Content-Length: 4|Via: 1.1 hallpass||page",
    },
    Row {
        name: "a reason phrase and the case of names",
        request: GET,
        bare: say!("HTTP/1.1 200 All is well\r\nX-cAsE: 1\r\nContent-Length: 4\r\n\r\npage"),
        proved: page,
        until: "page",
        hyper: "HTTP/1.1 200 All is well|X-cAsE: 1|Content-Length: 4|date: now||page",
        http1: "HTTP/1.1 200 All is well|X-cAsE: 1|Content-Length: 4|Via: 1.1 hallpass||page",
    },
    Row {
        name: "trailers that were declared",
        request: "GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\nTE: trailers\r\n\r\n",
        bare: say!(
            "HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npage\r\n0\r\nX-T: 1\r\n\r\n"
        ),
        proved: page,
        until: "1\r\n\r\n",
        hyper: "HTTP/1.1 200 OK|Trailer: X-T|Transfer-Encoding: chunked|date: now||4|page|0|x-t: 1||",
        http1: "HTTP/1.1 200 OK|Trailer: X-T|Transfer-Encoding: chunked|Via: 1.1 hallpass||4|page|0|X-T: 1||",
    },
    Row {
        name: "trailers that were not",
        request: GET,
        bare: say!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npage\r\n0\r\nX-T: 1\r\n\r\n"),
        proved: page,
        until: "1\r\n\r\n",
        hyper: "HTTP/1.1 200 OK|Transfer-Encoding: chunked|date: now||4|page|0||<nothing more>",
        http1: "HTTP/1.1 200 OK|Transfer-Encoding: chunked|Via: 1.1 hallpass||4|page|0|X-T: 1||",
    },
    Row {
        name: "chunked said twice",
        request: "POST http://h.test/ HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\
                  Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        bare: page,
        proved: page,
        until: "page",
        hyper: "HTTP/1.1 200 OK|Content-Length: 4|date: now||page",
        http1: "HTTP/1.1 400 Bad Request|Proxy-Status: hallpass; error=http_request_error; details=…",
    },
    Row {
        name: "what is no HTTP",
        request: "\x16\x03\x01\r\n\r\n",
        bare: page,
        proved: page,
        until: ")\n",
        hyper: "HTTP/1.1 400 Bad Request|connection: close|content-length: 0|date: now||<end>",
        http1: "HTTP/1.1 400 Bad Request|Proxy-Status: hallpass; error=http_request_error; details=…",
    },
];

#[tokio::test]
async fn hyper_and_http1_do_what_the_decision_between_them_rests_on() {
    let plays: Vec<_> = ROWS.iter().map(|row| tokio::spawn(both(row))).collect();
    let mut differences = String::new();
    for (row, play) in ROWS.iter().zip(plays) {
        let (hyper, http1) = play.await.unwrap();
        for (who, expected, outcome) in [("hyper", row.hyper, hyper), ("http1", row.http1, http1)] {
            let fits = match expected.strip_suffix('…') {
                Some(beginning) => outcome.starts_with(beginning),
                None => outcome == expected,
            };
            if !fits {
                writeln!(differences, "{}\n  {who} was {expected:?}\n  {who} is  {outcome:?}", row.name).unwrap();
            }
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

async fn both(row: &'static Row) -> (String, String) {
    let upstream = || {
        Upstream::start(|heard| match heard.head.has("proxy-authorization") {
            false => (row.bare)(heard),
            true => (row.proved)(heard),
        })
    };
    let (behind_hyper, behind_ours) = (upstream().await, upstream().await);
    let relay = Relay::before(behind_ours.addr).upstream_schemes("[\"basic\"]").start();
    let hyper = hyper_relay(behind_hyper.addr).await;
    tokio::join!(hear(row, hyper, &behind_hyper), hear(row, relay.addr(), &behind_ours))
}

/// All that the client hears, with `|` for a line's end; and on how many connections the upstream was asked.
async fn hear(row: &Row, relay: SocketAddr, upstream: &Upstream) -> String {
    let mut client = Peer::connect(relay).await;
    client.send(row.request).await;
    let mut heard = Vec::new();
    let listening = async {
        while !heard.ends_with(row.until.as_bytes()) {
            match client.once().await {
                bytes if bytes.is_empty() => return "<end>",
                bytes => heard.extend(bytes),
            }
        }
        ""
    };
    let end = timeout(LONG_ENOUGH, listening).await.unwrap_or("<nothing more>");
    let text = String::from_utf8_lossy(&heard).replace("\r\n", "|");
    let connections = match upstream.connections() {
        0 | 1 => String::new(),
        many => format!("<{many} connections>"),
    };
    format!("{}{end}{connections}", text.split('|').map(without_chance).collect::<Vec<_>>().join("|"))
}

fn without_chance(line: &str) -> String {
    if line.to_ascii_lowercase().starts_with("date: ") {
        return "date: now".into();
    }
    match line.split_once("hallpass-") {
        Some((before, rest)) => {
            format!("{before}hallpass{}", rest.trim_start_matches(|c: char| c.is_ascii_hexdigit() || c == '-'))
        }
        None => line.into(),
    }
}

/// The shortest relay that can be made of hyper's server and client: one upstream connection for each client's
/// request, a 407 answered once on it.
async fn hyper_relay(upstream: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let serve = service_fn(move |request| async move {
                Ok::<_, std::convert::Infallible>(pass(upstream, request).await.unwrap_or_else(|_| bad_gateway()))
            });
            let connection = server::conn::http1::Builder::new()
                .preserve_header_case(true)
                .half_close(true)
                .serve_connection(TokioIo::new(stream), serve)
                .with_upgrades();
            tokio::spawn(connection);
        }
    });
    address
}

async fn pass(
    upstream: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(upstream).await?;
    let (mut sender, connection) = client::conn::http1::Builder::new()
        .preserve_header_case(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .handshake::<_, Body>(TokioIo::new(stream))
        .await?;
    tokio::spawn(connection.with_upgrades());
    let tunnel = (request.method() == Method::CONNECT).then(|| upgrade::on(&mut request));
    let mut again = Request::new(empty());
    (*again.method_mut(), *again.uri_mut(), *again.headers_mut()) =
        (request.method().clone(), request.uri().clone(), request.headers().clone());
    again.headers_mut().insert(PROXY_AUTHORIZATION, HeaderValue::from_static("Basic eDp5"));
    let mut response = sender.send_request(request.map(BodyExt::boxed)).await?;
    if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        response.into_body().collect().await?;
        sender.ready().await?;
        response = sender.send_request(again).await?;
    }
    if let (Some(client), true) = (tunnel, response.status().is_success()) {
        tokio::spawn(async move {
            if let (Ok(client), Ok(upstream)) = (client.await, upgrade::on(&mut response).await) {
                let _ = copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(upstream)).await;
            }
        });
        return Ok(Response::new(empty()));
    }
    Ok(response.map(BodyExt::boxed))
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn bad_gateway() -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
