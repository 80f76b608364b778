//! Who may use the relay: users of this machine, tokens, what its own pages tell to whom.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use crate::support::{Peer, Relay, RelayPlan, Say, Upstream};

/// An account that is neither root nor whoever runs the tests.
const STRANGER: u32 = 65_534;

const SOCKS: &str = "[[listeners]]\ninterface = \"lo\"\nport = 0\nsocks5 = true\n";

/// Only root can be somebody else.
fn can_be_somebody_else(test: &str) -> bool {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !is_root {
        // Past the capture of what tests print: whoever runs them should see it.
        let _unseen = writeln!(std::io::stderr(), "SKIPPED: {test}: only root can be another user");
    }
    is_root
}

/// What curl comes to when this user runs it.
async fn curl(uid: u32, arguments: &[&str]) -> Output {
    let mut curl = Command::new("curl");
    curl.uid(uid).env_clear().env("PATH", "/usr/bin:/bin").args(["-sS", "-m", "20", "-o", "-", "-w", "%{http_code}"]);
    curl.args(arguments);
    tokio::task::spawn_blocking(move || curl.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn way(relay: &Relay, at: usize) -> SocketAddr {
    relay.daemon.ways()[at].1[0]
}

async fn status(relay: &Relay) -> serde_json::Value {
    let page = relay.client().await.ask("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    serde_json::from_slice(&page.body).unwrap()
}

#[tokio::test]
async fn another_user_is_refused_before_anything_reaches_the_upstream() {
    if !can_be_somebody_else("another_user_is_refused_before_anything_reaches_the_upstream") {
        return;
    }
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).start();
    let proxy = format!("http://{}", relay.addr());
    for target in ["http://h.test/", "https://h.test/"] {
        let refused = said(&curl(STRANGER, &["-x", &proxy, target]).await);
        assert!(refused.ends_with("403") || refused.ends_with("000"), "{refused}");
    }
    let record = &relay.records(2).await[0];
    assert_eq!(
        (&record["end"], &record["uid"], &record["status"]),
        (&"peer_denied".into(), &STRANGER.into(), &403.into())
    );
    assert_eq!(upstream.connections(), 0);
    let refused = &status(&relay).await["refused"][0];
    assert_eq!((&refused["uid"], &refused["count"]), (&STRANGER.into(), &2.into()), "{refused}");
    let remedy = refused["remedy"].as_str().unwrap();
    assert_eq!(remedy, "add 65534 to users in [access]");
    // Whoever runs it is served, and the record says who that was.
    let mut own = relay.client().await;
    own.send("CONNECT h.test:443 HTTP/1.1\r\n\r\n").await;
    assert_eq!(own.head().await.status(), 200);
    drop(own);
    assert_eq!(relay.records(3).await[2]["uid"], 0);
}

#[tokio::test]
async fn what_programs_ask_of_any_proxy_is_told_to_all_users_and_nothing_else() {
    if !can_be_somebody_else("what_programs_ask_of_any_proxy_is_told_to_all_users_and_nothing_else") {
        return;
    }
    let relay = Relay::direct();
    let url = |path: &str| format!("http://{}{path}", relay.addr());
    for (path, status) in [
        ("/healthz", "200"),
        ("/proxy.pac", "200"),
        ("/status", "403"),
        ("/readyz", "403"),
        ("/", "403"),
        ("/x", "403"),
    ] {
        let answer = said(&curl(STRANGER, &[&url(path)]).await);
        assert!(answer.ends_with(status), "{path}: {answer}");
    }
}

#[tokio::test]
async fn users_who_are_named_are_served_and_so_is_everybody_where_all_are() {
    if !can_be_somebody_else("users_who_are_named_are_served_and_so_is_everybody_where_all_are") {
        return;
    }
    let mut relay = Relay::direct();
    let url = format!("http://{}/readyz", relay.addr());
    for (users, status) in [
        ("[65534]", "200"),
        ("\"any\"", "200"),
        ("\"self\"", "403"),
        ("[\"self\", \"nobody\"]", "200"),
        ("\"root\"", "403"),
    ] {
        let port = relay.addr();
        relay.reload(|_| RelayPlan::default().tables(&format!("[access]\nusers = {users}")));
        assert_eq!(relay.addr(), port, "the socket stays");
        let answer = said(&curl(STRANGER, &[&url]).await);
        assert!(answer.ends_with(status), "{users}: {answer}");
    }
}

#[tokio::test]
async fn socks_and_tunnel_ports_are_guarded_in_the_same_way() {
    if !can_be_somebody_else("socks_and_tunnel_ports_are_guarded_in_the_same_way") {
        return;
    }
    let upstream = Upstream::start(Say::welcome).await;
    let tunnel = "[[tunnels]]\nlisten = \"127.0.0.1:0\"\ntarget = \"h.test:80\"";
    let relay = Relay::before(upstream.addr).tables(SOCKS).tables(tunnel).start();
    let proxy = format!("socks5h://{}", way(&relay, 1));
    let socks = curl(STRANGER, &["-x", &proxy, "http://h.test/"]).await;
    let error = String::from_utf8_lossy(&socks.stderr).into_owned();
    assert!(error.contains("(2)"), "{error}");
    let tunnel = curl(STRANGER, &[&format!("http://{}/", way(&relay, 2))]).await;
    assert!(!tunnel.status.success() && said(&tunnel) == "000", "{tunnel:?}");
    let records = relay.records(2).await;
    assert!(records.iter().all(|record| record["end"] == "peer_denied" && record["uid"] == STRANGER), "{records:?}");
    assert_eq!(upstream.connections(), 0);
}

/// A connection of another user's, made before anybody is asked whose it is.
fn by_stranger(addr: SocketAddr) -> std::net::TcpStream {
    let stream = std::net::TcpStream::connect(addr).unwrap();
    std::os::unix::fs::fchown(&stream, Some(STRANGER), None).unwrap();
    stream.set_nonblocking(true).unwrap();
    stream
}

fn peer(stream: std::net::TcpStream) -> Peer {
    Peer::new(tokio::net::TcpStream::from_std(stream).unwrap())
}

#[tokio::test]
async fn a_crowd_of_strangers_takes_nobodys_place() {
    if !can_be_somebody_else("a_crowd_of_strangers_takes_nobodys_place") {
        return;
    }
    let upstream = Upstream::start(Say::welcome).await;

    let relay = Relay::before(upstream.addr).key("max_clients = 20").key("head_timeout = \"2s\"").tables(SOCKS).start();
    let mut crowd: Vec<_> = (0..60).map(|at| by_stranger(way(&relay, at % 2))).collect();
    // The half of a head, too.
    crowd.iter().step_by(4).for_each(|mut one| one.write_all(b"GET http://h.test/ HTTP/1.1\r\n").unwrap());
    let mut own = relay.client().await;
    own.send("CONNECT h.test:443 HTTP/1.1\r\n\r\n").await;
    assert_eq!(own.head().await.status(), 200);
    assert!(status(&relay).await["refused"][0]["count"].as_u64().unwrap() >= 40);
    // Those who were heard out and said nothing have to go as well.
    let first = peer(crowd.remove(0));
    drop(crowd);
    crate::support::soon("the end of the silent", first.stream.readable()).await.unwrap();
    let healthz = by_stranger(relay.addr());
    let answer = peer(healthz).ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_reload_counts_for_those_who_are_connected_already() {
    if !can_be_somebody_else("a_reload_counts_for_those_who_are_connected_already") {
        return;
    }
    let readyz = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let users = |users: &str| RelayPlan::default().tables(&format!("[access]\nusers = {users}"));
    let mut relay = users("[65534]").start();
    let mut guest = peer(by_stranger(relay.addr()));
    assert_eq!(guest.ask(readyz).await.status(), 200);
    relay.reload(|_| users("\"self\""));
    assert_eq!(guest.ask(readyz).await.status(), 403);
    let mut own = relay.client().await;
    assert_eq!(own.ask(readyz).await.status(), 200);
    relay.reload(|_| RelayPlan::default().tables(TOKEN));
    assert_eq!(own.ask("GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n").await.status(), 407);
}

/// A client that is gone is nobody's, and the kernel would say that it is root's.
#[tokio::test]
async fn a_client_that_went_before_it_was_asked_for_is_not_served() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).start();
    // One thread serves and tests: the relay cannot look before the client has gone.
    let gone = std::net::TcpStream::connect(relay.addr()).unwrap();
    (&gone).write_all(b"CONNECT h.test:443 HTTP/1.1\r\n\r\n").unwrap();
    drop(gone);
    let record = &relay.records(1).await[0];
    assert_eq!((&record["end"], &record["uid"]), (&"client_closed".into(), &serde_json::Value::Null));
    assert_eq!(upstream.connections(), 0);
    let mut alive = Peer::connect(relay.addr()).await;
    alive.send("CONNECT h.test:443 HTTP/1.1\r\n\r\n").await;
    assert_eq!(alive.head().await.status(), 200);
}

fn basic(text: &str) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text)
}

const TOKEN: &str = "[access]\ntoken = \"t0ken-of-ours\"\n";

#[tokio::test]
async fn a_token_is_asked_for_and_never_goes_on() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).tables(TOKEN).start();
    for shown in ["", "Proxy-Authorization: Basic eDp3cm9uZw==\r\n", "Proxy-Authorization: Bearer t0ken-of-ours\r\n"] {
        for request in ["CONNECT h.test:443", "GET http://h.test/"] {
            let request = format!("{request} HTTP/1.1\r\nHost: h.test\r\n{shown}\r\n");
            let answer = relay.client().await.ask(request).await;
            let challenge = answer.head.one("proxy-authenticate");
            assert_eq!((answer.status(), challenge), (407, Some("Basic realm=\"hallpass\"")), "{shown}");
        }
    }
    assert_eq!(upstream.connections(), 0);
    let mut client = relay.client().await;
    let shown = basic("x:t0ken-of-ours");
    client.send(format!("CONNECT h.test:443 HTTP/1.1\r\nProxy-Authorization: Basic {shown}\r\n\r\n")).await;
    assert_eq!(client.head().await.status(), 200);
    let heard = upstream.heard().pop().unwrap();
    assert!(!format!("{:?}", heard.head).contains(&shown), "{:?}", heard.head);
    let records = relay.records(6).await;
    assert!(records[..6].iter().all(|record| record["end"] == "peer_denied" && record["status"] == 407), "{records:?}");
    let page = relay.client().await.ask("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(page.status(), 200, "browsers send no token to pages");
}

#[tokio::test]
async fn curl_and_git_show_the_token_that_stands_in_the_url() {
    let upstream = Upstream::start(|heard| match heard.head.line() {
        line if line.starts_with("CONNECT") => Say::last("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
        _ => Say::last("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"),
    })
    .await;
    let relay = Relay::before(upstream.addr).tables(TOKEN).start();
    for (token, status) in [("x:t0ken-of-ours", "ok\n200"), ("t0ken-of-ours", "ok\n200"), ("x:wrong", "407")] {
        let proxy = format!("http://{token}@{}", relay.addr());
        let answer = said(&curl(0, &["-x", &proxy, "http://h.test/"]).await);
        assert!(answer.ends_with(status), "{token}: {answer}");
    }
    let before = upstream.connections();
    let proxy = format!("http.proxy=http://x:t0ken-of-ours@{}", relay.addr());
    let mut git = Command::new("git");
    git.env_clear().env("PATH", "/usr/bin:/bin").env("GIT_TERMINAL_PROMPT", "0");
    git.args(["-c", &proxy, "ls-remote", "http://h.test/x.git"]);
    let git = tokio::task::spawn_blocking(move || git.output().unwrap()).await.unwrap();
    let error = String::from_utf8_lossy(&git.stderr).into_owned();
    // The scripted answer is no repository: what matters is that git came as far as to read it.
    assert!(upstream.connections() > before && !error.contains("407"), "{error}");
}

#[tokio::test]
async fn a_socks_client_shows_the_token_as_its_password() {
    let upstream = Upstream::start(Say::welcome).await;
    let tables = "[[listeners]]\ninterface = \"lo\"\nport = 0\nsocks5 = true\ntoken = \"t0ken\"\n";
    let relay = Relay::before(upstream.addr).tables(tables).start();
    let addr = way(&relay, 1);
    let log_in = |password: &str| {
        let length = u8::try_from(password.len()).unwrap();
        [&[1, 1][..], b"x", &[length], password.as_bytes()].concat()
    };
    let mut right = Peer::connect(addr).await;
    right.send([5, 2, 0, 2]).await;
    assert_eq!(right.take(2).await, [5, 2]);
    right.send(log_in("t0ken")).await;
    assert_eq!(right.take(2).await, [1, 0]);
    right.send([&[5, 1, 0, 3, 6][..], b"h.test", &[1, 187]].concat()).await;
    assert_eq!(right.take(10).await[1], 0);
    let mut wrong = Peer::connect(addr).await;
    wrong.send([5, 1, 2]).await;
    assert_eq!(wrong.take(2).await, [5, 2]);
    wrong.send(log_in("t0ke")).await;
    assert_eq!(wrong.rest().await, [1, 1]);
    let mut none = Peer::connect(addr).await;
    none.send([5, 1, 0]).await;
    assert_eq!(none.rest().await, [5, 0xff]);
    let mut four = Peer::connect(addr).await;
    four.send([4, 1, 1, 187, 192, 0, 2, 7, 0]).await;
    assert_eq!(four.take(8).await[1], 91);
    assert_eq!(upstream.connections(), 1);
    // The main listener has a token of its own, and so none here.
    let mut http = relay.client().await;
    http.send("CONNECT h.test:443 HTTP/1.1\r\n\r\n").await;
    assert_eq!(http.head().await.status(), 200);
}

#[tokio::test]
async fn pages_are_for_whoever_asks_for_them_by_a_name_of_ours_and_change_nothing() {
    let relay = Relay::direct();
    let port = relay.addr().port();
    let own = format!("127.0.0.1:{port}");
    for (fields, status) in [
        (format!("Host: {own}"), 200),
        (format!("Host: localhost:{port}"), 200),
        ("Host: localhost".into(), 200),
        // Names that a page of somebody else's can make lead here.
        ("Host: evil.example".into(), 421),
        (format!("Host: evil.example:{port}"), 421),
        (format!("Host: localhost.evil.example:{port}"), 421),
        (format!("Host: 127.0.0.1.evil.example:{port}"), 421),
        (format!("Host: x@127.0.0.1:{port}"), 421),
        ("Host: 192.0.2.1".into(), 421),
        ("Host: ".into(), 421),
        ("X: y".into(), 400),
        (format!("Host: {own}\r\nHost: {own}"), 400),
        (format!("Host: {own}\r\nOrigin: http://{own}"), 200),
        (format!("Host: {own}\r\nOrigin: https://evil.example"), 403),
        (format!("Host: {own}\r\nOrigin: http://evil.example"), 403),
        (format!("Host: {own}\r\nOrigin: https://{own}"), 403),
        (format!("Host: {own}\r\nOrigin: null"), 403),
        (format!("Host: {own}\r\nOrigin: http://127.0.0.1:1"), 403),
        (format!("Host: {own}\r\nOrigin: http://localhost"), 403),
        (format!("Host: localhost:{port}\r\nOrigin: http://LOCALHOST:{port}"), 200),
        (format!("Host: {own}\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors"), 403),
        (format!("Host: {own}\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate"), 200),
        (format!("Host: {own}\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate"), 200),
        (format!("Host: {own}\r\nSec-Fetch-Site: same-origin"), 200),
    ] {
        for page in ["/", "/status", "/metrics", "/proxy.pac", "/healthz", "/readyz"] {
            let answer = relay.client().await.ask(format!("GET {page} HTTP/1.1\r\n{fields}\r\n\r\n")).await;
            assert_eq!(answer.status(), status, "{page} {fields}");
        }
    }
    // By its whole URL, a proxy asked for itself is a loop.
    let whole = format!("GET http://{own}/status HTTP/1.1\r\nHost: {own}\r\n\r\n");
    assert_eq!(relay.client().await.ask(whole).await.status(), 403);
}

#[tokio::test]
async fn no_method_but_reading_does_anything_on_any_path() {
    let relay = Relay::direct();
    // It waits for the first look at the place, which changes what the status says.
    relay.client().await.ask("GET /proxy.pac HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    // How many are connected changes with every question.
    let standing = async || {
        let mut status = status(&relay).await;
        status["traffic"].take();
        status
    };
    let before = standing().await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PURGE", "get"] {
        for path in
            ["/", "/status", "/metrics", "/proxy.pac", "/healthz", "/readyz", "/PxQuit", "/quit", "/reload", "*"]
        {
            let answer = relay.client().await.ask(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
            assert_eq!(answer.status(), 405, "{method} {path}");
            assert_eq!(answer.head.one("allow"), Some("GET, HEAD"), "{method} {path}");
        }
    }
    for path in
        ["/PxQuit", "/quit", "/reload", "/status/", "//status", "/status/../healthz", "/%73tatus", "/.", "/login"]
    {
        let answer = relay.client().await.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!(answer.status(), 404, "{path}");
    }
    let body = "GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(relay.client().await.ask(body).await.status(), 400);
    assert_eq!(standing().await, before);
}
