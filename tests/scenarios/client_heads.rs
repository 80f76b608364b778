//! Every CONNECT head that clients were seen to send leads to the same tunnel.

use hallpass::practice::Offer;
use hyper::Method;

use crate::support::{Office, Peer, Relay, Say, Scripted, Upstream, soon};

/// What a client must hear, in one piece.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// (client, its head with `|` for a line's end, the target as it belongs on the wire)
pub const HEADS: &[(&str, &str, &str)] = &[
    ("Claude Code, axios path", "CONNECT h.test:443 HTTP/1.1|Host: h.test:443|Proxy-Connection: close|", "h.test:443"),
    ("Claude Code, fetch", "CONNECT h.test:443 HTTP/1.1|Host: h.test:443|Proxy-Connection: Keep-Alive|", "h.test:443"),
    ("undici 6", "CONNECT h.test:443 HTTP/1.1|host: h.test|connection: close|", "h.test:443"),
    (
        "undici 7, Node's fetch",
        "CONNECT h.test:443 HTTP/1.1|host: h.test|connection: close|proxy-connection: keep-alive|",
        "h.test:443",
    ),
    ("undici, http URL", "CONNECT h.test:80 HTTP/1.1|host: h.test|connection: close|", "h.test:80"),
    ("Node https", "CONNECT h.test:443 HTTP/1.1|proxy-connection: keep-alive|host: h.test:443|", "h.test:443"),
    ("https-proxy-agent 5", "CONNECT h.test:443 HTTP/1.1|Host: h.test|Connection: close|", "h.test:443"),
    ("https-proxy-agent 7", "CONNECT h.test:443 HTTP/1.1|Host: h.test:443|Proxy-Connection: close|", "h.test:443"),
    (
        "curl, git",
        "CONNECT h.test:443 HTTP/1.1|Host: h.test:443|User-Agent: curl/7.88.1|Proxy-Connection: Keep-Alive|",
        "h.test:443",
    ),
    ("wget", "CONNECT h.test:443 HTTP/1.1|User-Agent: Wget/1.21.3|Host: h.test:443|", "h.test:443"),
    ("Python, pip", "CONNECT h.test:443 HTTP/1.0|", "h.test:443"),
    ("no Host in HTTP/1.1", "CONNECT h.test:443 HTTP/1.1|", "h.test:443"),
    ("a foreign Host", "CONNECT h.test:443 HTTP/1.1|Host: other.test|", "h.test:443"),
    ("upper case", "CONNECT H.TEST:443 HTTP/1.1|HOST: H.TEST:443|", "h.test:443"),
    ("final dot", "CONNECT h.test.:443 HTTP/1.1|Host: h.test.:443|", "h.test:443"),
    ("IPv6", "CONNECT [2001:DB8::1]:8443 HTTP/1.1|Host: [2001:DB8::1]:8443|", "[2001:db8::1]:8443"),
    ("leading zeros", "CONNECT h.test:0443 HTTP/1.1|Host: h.test|", "h.test:443"),
    ("line ends of LF alone", "CONNECT h.test:443 HTTP/1.1\nHost: h.test:443\n\n", "h.test:443"),
    ("a line end before", "|CONNECT h.test:443 HTTP/1.1|Host: h.test:443|", "h.test:443"),
];

pub fn bytes(head: &str) -> String {
    if head.ends_with("\n\n") { head.to_string() } else { format!("{}\r\n", head.replace('|', "\r\n")) }
}

async fn echoes(client: &mut Peer) {
    client.send(b"\x16\x03\x01 hello").await;
    assert_eq!(client.take(9).await, b"\x16\x03\x01 hello");
}

#[tokio::test]
async fn every_known_connect_head_opens_a_tunnel_and_hears_exactly_one_short_answer() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).start();
    for (name, head, target) in HEADS {
        let mut client = relay.client().await;
        client.send(bytes(head)).await;
        assert_eq!(client.once().await, ESTABLISHED, "{name}");
        echoes(&mut client).await;
        let heard = upstream.heard().pop().unwrap().head;
        assert_eq!(heard.line(), format!("CONNECT {target} HTTP/1.1"), "{name}");
        assert_eq!(heard.one("host"), Some(*target), "{name}");
        assert_eq!(heard.one("proxy-connection"), Some("Keep-Alive"), "{name}");
        assert!(!heard.has("connection"), "{name}: {heard:?}");
        let agent = head.split('|').find_map(|line| line.strip_prefix("User-Agent: "));
        assert_eq!(heard.one("user-agent"), agent, "{name}");
    }
}

#[tokio::test]
async fn every_known_connect_head_gets_through_an_upstream_that_demands_ntlm() {
    let office = Office::with([Offer::Ntlm]).start().await;
    for (name, head, target) in HEADS.iter().filter(|(.., target)| target.starts_with("h.test")) {
        let port = target.rsplit(':').next().unwrap();
        let mut client = office.relay.client().await;
        client.send(bytes(head).replace("h.test", "o.practice").replace("H.TEST", "O.PRACTICE")).await;
        assert_eq!(client.once().await, ESTABLISHED, "{name}");
        let answer = client.ask("GET /hello HTTP/1.1\r\nHost: o\r\n\r\n").await;
        assert_eq!(answer.text(), "hello from the practice origin\n", "{name}");
        let seen = office.proxy.record().passed(&Method::CONNECT).pop().unwrap();
        assert_eq!((seen.status, seen.target.as_str()), (Some(200), format!("o.practice:{port}").as_str()), "{name}");
    }
}

#[tokio::test]
async fn bytes_sent_together_with_the_connect_are_the_first_of_the_tunnel() {
    let upstream = Scripted::start().await;
    let relay = Relay::before(upstream.addr()).start();
    let mut client = relay.client().await;
    client.send("CONNECT h.test:443 HTTP/1.0\r\n\r\n\x16\x03\x01early").await;
    let mut peer = upstream.accept().await;
    peer.head().await;
    assert!(peer.silent().await, "the early bytes must wait for the answer");
    client.send(" and more").await;
    peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(peer.take(17).await, b"\x16\x03\x01early and more");
    assert_eq!(client.once().await, ESTABLISHED);
}

#[tokio::test]
async fn bytes_that_follow_the_upstreams_200_at_once_reach_the_client_after_its_answer() {
    let upstream = Scripted::start().await;
    let relay = Relay::before(upstream.addr()).start();
    let mut client = relay.client().await;
    client.send("CONNECT h.test:22 HTTP/1.1\r\nHost: h.test\r\n\r\n").await;
    let mut peer = upstream.accept().await;
    peer.head().await;
    peer.send("HTTP/1.1 200 OK\r\n\r\nSSH-2.0-early\r\n").await;
    let expected = [ESTABLISHED, b"SSH-2.0-early\r\n"].concat();
    assert_eq!(client.take(expected.len()).await, expected);
}

/// What upstreams say in their 200 is between them and us (RFC 9110 §9.3.6).
#[tokio::test]
async fn nothing_of_the_upstreams_own_200_reaches_the_client() {
    for said in [
        "HTTP/1.0 200 Connection Established\r\nProxy-agent: Apache\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\nVia: 1.1 x\n\n",
    ] {
        let upstream = Upstream::start(move |_| Say::Echo(said.into())).await;
        let relay = Relay::before(upstream.addr).start();
        let mut client = relay.client().await;
        client.send("CONNECT h.test:443 HTTP/1.1\r\nHost: h.test:443\r\n\r\n").await;
        assert_eq!(client.once().await, ESTABLISHED, "{said:?}");
        echoes(&mut client).await;
    }
}

#[tokio::test]
async fn what_a_client_says_to_its_proxy_stays_with_it() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).start();
    let fields = "Proxy-Authorization: Basic c2VjcmV0OnNlY3JldA==\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n\
                  Keep-Alive: 5\r\nUser-Agent: kept/1\r\nX-End-To-End: kept too\r\n";
    for request in ["CONNECT h.test:443", "GET http://h.test/"] {
        let mut client = relay.client().await;
        client.send(format!("{request} HTTP/1.1\r\nHost: h.test\r\n{fields}\r\n")).await;
        assert_eq!(client.head().await.status(), 200);
        let heard = upstream.heard().pop().unwrap().head;
        for gone in ["proxy-authorization", "x-hop", "te", "keep-alive", "connection"] {
            assert!(!heard.has(gone), "{gone}: {heard:?}");
        }
        assert_eq!((heard.one("user-agent"), heard.one("x-end-to-end")), (Some("kept/1"), Some("kept too")));
    }
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_the_same_head() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).start();
    let mut client = relay.client().await;
    for byte in b"CONNECT h.test:443 HTTP/1.1\r\nHost: h.test:443\r\n\r\n" {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(soon("the answer", client.once()).await, ESTABLISHED);
    echoes(&mut client).await;
}
