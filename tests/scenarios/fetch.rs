//! The text of a script off the network: what it brings, and that nobody being there is told from every answer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallpass::upstream::fetch::{FetchError, Fetched, Fetcher, Validators};
use hallpass::upstream::{Addresses, Resolve};

use crate::support::{BlackHole, Closed, Heard, Say, Scripted, Upstream, soon};

const SCRIPT: &str = "function FindProxyForURL(url, host) { return 'DIRECT'; }";

struct Here;

impl Resolve for Here {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Addresses<'a> {
        Box::pin(async move {
            match name {
                "silent.test" => std::future::pending().await,
                _ if name.ends_with(".invalid") => Err(std::io::Error::other("no such name")),
                _ => Ok(vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)]),
            }
        })
    }
}

fn fetcher() -> Fetcher {
    Fetcher::new(Arc::new(Here), Arc::new(|_| false))
}

async fn fetch(url: &str) -> Result<Fetched, FetchError> {
    soon("an end", fetcher().fetch(url, None)).await
}

fn whole(text: &str, fields: &str) -> Say {
    Say::answer(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{text}", text.len()))
}

fn bytes(fetched: Fetched) -> Vec<u8> {
    match fetched {
        Fetched::Text { bytes, .. } => bytes,
        Fetched::NotModified => panic!("not modified"),
    }
}

#[tokio::test]
async fn a_text_comes_with_its_type_and_is_asked_for_again_only_if_it_has_changed() {
    let server = Upstream::start(|heard: &Heard| match heard.head.has("if-none-match") {
        true => Say::answer("HTTP/1.1 304 Not Modified\r\n\r\n"),
        false => whole(
            SCRIPT,
            "Content-Type: application/x-ns-proxy-autoconfig\r\nETag: \"v1\"\r\nLast-Modified: Sat, 21 Nov 2026 10:00:00 GMT\r\n",
        ),
    })
    .await;
    let url = format!("http://wpad.test:{}/proxy.pac?x=1#f", server.addr.port());
    let Fetched::Text { bytes, content_type, validators } = fetch(&url).await.unwrap() else { panic!("no text") };
    assert_eq!(bytes, SCRIPT.as_bytes());
    assert_eq!(content_type.as_deref(), Some("application/x-ns-proxy-autoconfig"));
    let known =
        Validators { etag: Some(b"\"v1\"".to_vec()), last_modified: Some(b"Sat, 21 Nov 2026 10:00:00 GMT".to_vec()) };
    assert_eq!(validators, known);
    assert_eq!(fetcher().fetch(&url, Some(&known)).await.unwrap(), Fetched::NotModified);
    let heard = server.heard();
    assert_eq!(heard[0].head.line(), "GET /proxy.pac?x=1 HTTP/1.1");
    assert_eq!(heard[0].head.one("host"), Some(format!("wpad.test:{}", server.addr.port()).as_str()));
    assert_eq!(heard[1].head.one("if-none-match"), Some("\"v1\""));
    assert_eq!(heard[1].head.one("if-modified-since"), Some("Sat, 21 Nov 2026 10:00:00 GMT"));
}

#[tokio::test]
async fn a_text_comes_whole_in_chunks_and_up_to_the_end_of_the_connection() {
    for said in [
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{SCRIPT}\r\n0\r\n\r\n", SCRIPT.len()),
        format!("HTTP/1.0 200 OK\r\n\r\n{SCRIPT}"),
    ] {
        let server = Upstream::start(move |_| Say::last(said.clone())).await;
        assert_eq!(bytes(fetch(&format!("http://{}/", server.addr)).await.unwrap()), SCRIPT.as_bytes());
    }
    // What it is, others judge: a page of a portal is a text too.
    let portal = Upstream::start(|_| whole("<html>Log in</html>", "Content-Type: text/html\r\n")).await;
    let fetched = fetch(&format!("http://{}/", portal.addr)).await.unwrap();
    assert!(matches!(fetched, Fetched::Text { content_type: Some(kind), .. } if kind == "text/html"));
}

#[tokio::test]
async fn nobody_is_there_where_no_connection_comes_about_and_only_there() {
    let (closed, hole) = (Closed::reserve(), BlackHole::dig().await);
    for url in [
        format!("http://{}/proxy.pac", closed.addr),
        format!("https://{}/proxy.pac", closed.addr),
        "http://nobody.invalid/proxy.pac".into(),
        "https://nobody.invalid/proxy.pac".into(),
        format!("http://{}/proxy.pac", hole.addr),
        "http://silent.test/proxy.pac".into(),
    ] {
        let since = Instant::now();
        let error = fetch(&url).await.unwrap_err();
        assert!(error.is_unreachable() && matches!(error, FetchError::Unreachable(_)), "{url}: {error:?}");
        assert!(since.elapsed() < Duration::from_millis(2500), "{url}: {:?}", since.elapsed());
    }
}

#[tokio::test]
async fn whoever_answers_is_there_whatever_it_answers() {
    for (said, last, words) in [
        ("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", false, "status 404"),
        ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", false, "status 500"),
        ("HTTP/1.1 401 Who\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n", false, "status 401"),
        ("HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", false, "status 407"),
        ("HTTP/1.1 204 Nothing\r\n\r\n", false, "status 204"),
        ("HTTP/1.1 304 Not Modified\r\n\r\n", false, "status 304"),
        ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", false, "status 302"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfunction", true, "broke off"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nfunction\r\n", true, "broke off"),
        ("HTTP/1.1 200 OK\r\nConte", true, "broke off"),
        ("220 smtp.test ESMTP\r\n\r\n", true, "broke off"),
        ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x1b", false, "packed (gzip)"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 8388609\r\n\r\n", false, "larger than 8 MiB"),
        ("HTTP/1.1 302 X\r\nLocation: ftp://x/\r\nContent-Length: 0\r\n\r\n", false, "is not followed"),
        ("HTTP/1.1 302 X\r\nLocation: http://nobody.invalid/\r\nContent-Length: 0\r\n\r\n", false, "leads nowhere"),
    ] {
        let server = Upstream::start(move |_| if last { Say::last(said) } else { Say::answer(said) }).await;
        let error = fetch(&format!("http://{}/", server.addr)).await.unwrap_err();
        assert!(!error.is_unreachable(), "{said:?}: {error:?}");
        assert!(error.to_string().contains(words), "{said:?}: {error}");
    }
    let closing = Upstream::start(|_| Say::HangUp).await;
    assert!(matches!(fetch(&format!("http://{}/", closing.addr)).await, Err(FetchError::Broken(_))));
}

#[tokio::test]
async fn a_server_that_does_not_come_to_an_end_is_there_and_waited_for_no_longer_than_the_limit() {
    let mute = Scripted::start().await;
    let mut fetcher = fetcher();
    fetcher.limit = Duration::from_millis(300);
    for url in [format!("http://{}/", mute.addr()), format!("https://{}/", mute.addr())] {
        let error = soon("the limit", fetcher.fetch(&url, None)).await.unwrap_err();
        assert!(matches!(error, FetchError::Slow(_)) && !error.is_unreachable(), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn a_text_without_an_end_is_not_read_for_ever() {
    let block = "x".repeat(1024 * 1024);
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", block.repeat(9));
    let server = Upstream::start(move |_| Say::last(endless.clone())).await;
    assert!(matches!(fetch(&format!("http://{}/", server.addr)).await, Err(FetchError::TooLarge)));
}

#[tokio::test]
async fn redirects_are_followed_five_times() {
    for (last, arrives) in [(5, true), (6, false)] {
        let server = Upstream::start(move |heard: &Heard| {
            let number: usize = heard.head.line().split(['/', ' ']).nth(2).unwrap().parse().unwrap();
            match number == last {
                true => whole(SCRIPT, ""),
                false => {
                    Say::answer(format!("HTTP/1.1 302 X\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", number + 1))
                }
            }
        })
        .await;
        let fetched = fetch(&format!("http://{}/0", server.addr)).await;
        match arrives {
            true => assert_eq!(bytes(fetched.unwrap()), SCRIPT.as_bytes()),
            false => assert!(matches!(fetched, Err(FetchError::TooManyRedirects))),
        }
        assert_eq!(server.heard().len(), 6);
    }
}

#[tokio::test]
async fn a_relay_does_not_fetch_from_itself() {
    let own = Upstream::start(Say::welcome).await;
    let mut fetcher = fetcher();
    let addr = own.addr;
    fetcher.dialer.own = Arc::new(move |asked| *asked == addr);
    let error = fetcher.fetch(&format!("http://{}/proxy.pac", own.addr), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Dial(_)) && !error.is_unreachable(), "{error:?}");
    assert_eq!(own.heard().len(), 0);
}
