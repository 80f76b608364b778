//! Who may use the relay: users of this machine, tokens, what its own pages tell to whom.

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
        println!("SKIPPED: {test}: only root can be another user");
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
    assert_eq!(relay.records(4).await[3]["uid"], 0);
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

/// A client that is gone is nobody's, and the kernel would say that it is root's.
#[tokio::test]
async fn a_client_that_went_before_it_was_asked_for_is_not_served() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = Relay::before(upstream.addr).start();
    // One thread serves and tests: the relay cannot look before the client has gone.
    let gone = std::net::TcpStream::connect(relay.addr()).unwrap();
    std::io::Write::write_all(&mut &gone, b"CONNECT h.test:443 HTTP/1.1\r\n\r\n").unwrap();
    drop(gone);
    let record = &relay.records(1).await[0];
    assert_eq!((&record["end"], &record["uid"]), (&"client_closed".into(), &serde_json::Value::Null));
    assert_eq!(upstream.connections(), 0);
    let mut alive = Peer::connect(relay.addr()).await;
    alive.send("CONNECT h.test:443 HTTP/1.1\r\n\r\n").await;
    assert_eq!(alive.head().await.status(), 200);
}
