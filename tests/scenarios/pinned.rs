//! Origins that authenticate connections: such a connection is its client's alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallpass::auth::ntlm::{Fresh, Logon, NtHash, authenticate, negotiate};
use hallpass::practice::Offer;

use crate::support::{Answer, Office, PASSWORD, Peer, until};

async fn ask(client: &mut Peer, base: &str, credentials: Option<Vec<u8>>) -> Answer {
    let field =
        credentials.map_or(String::new(), |token| format!("Authorization: NTLM {}\r\n", STANDARD.encode(token)));
    client.ask(format!("GET {base}/ntlm HTTP/1.1\r\nHost: x\r\n{field}\r\n")).await
}

/// What browsers do with an origin's 401, over the connection they have.
async fn log_in(client: &mut Peer, base: &str, user: &str, password: &str) -> Answer {
    let answer = ask(client, base, None).await;
    assert_eq!((answer.status(), answer.head.one("www-authenticate")), (401, Some("NTLM")), "{user}");
    assert_eq!(answer.head.all("proxy-support").first(), Some(&"Session-Based-Authentication"));
    let answer = ask(client, base, Some(negotiate())).await;
    let challenge = answer.head.one("www-authenticate").unwrap().strip_prefix("NTLM ").unwrap();
    let challenge = STANDARD.decode(challenge).unwrap();
    let hash = NtHash::of_password(password);
    let logon = Logon { user, domain: Some("PRACTICE"), hash: &hash, spn: "HTTP/o", binding: None };
    let fresh = Fresh { client_challenge: [7; 8], file_time: 133_000_000_000_000_000 };
    ask(client, base, Some(authenticate(&challenge, &logon, &fresh).unwrap().to_vec())).await
}

async fn two_users_stay_apart(office: &Office, base: &str) {
    let mut alice = office.relay.client().await;
    let mut bob = office.relay.client().await;
    assert_eq!(log_in(&mut alice, base, "alice", PASSWORD).await.text(), "you are PRACTICE\\alice\n");
    // Somebody else on a connection of his own is nobody.
    assert_eq!(log_in(&mut bob, base, "bob", "bob's").await.text(), "you are PRACTICE\\bob\n");
    for _ in 0..3 {
        assert_eq!(ask(&mut alice, base, None).await.text(), "you are PRACTICE\\alice\n");
        assert_eq!(ask(&mut bob, base, None).await.text(), "you are PRACTICE\\bob\n");
        assert_eq!(ask(&mut office.relay.client().await, base, None).await.status(), 401);
    }
    drop((alice, bob));
    let record = office.origin.record();
    until("the connections of the clients that left", || record.open_connections() <= 1).await;
    for _ in 0..3 {
        assert_eq!(ask(&mut office.relay.client().await, base, None).await.status(), 401);
    }
}

#[tokio::test]
async fn two_users_at_one_origin_share_nothing_through_a_proxy_that_demands_ntlm_itself() {
    let office = Office::with([Offer::Ntlm]).start().await;
    two_users_stay_apart(&office, "http://o.practice").await;
    assert_eq!(office.logons().rejected, 0);
}

#[tokio::test]
async fn two_users_at_one_origin_share_nothing_through_an_open_proxy() {
    let office = Office::with([]).start().await;
    two_users_stay_apart(&office, "http://o.practice").await;
}

#[tokio::test]
async fn two_users_at_one_origin_share_nothing_when_it_is_reached_directly() {
    let office = Office::with([]).start().await;
    let base = format!("http://{}", office.origin.addr());
    two_users_stay_apart(&office, &base).await;
}

#[tokio::test]
async fn a_pinned_connection_is_not_used_again_in_another_network() {
    let office = Office::with([]).start().await;
    let mut client = office.relay.client().await;
    assert_eq!(log_in(&mut client, "http://o.practice", "alice", PASSWORD).await.status(), 200);
    assert_eq!(ask(&mut client, "http://o.practice", None).await.status(), 200);
    office.relay.daemon.live().leave();
    assert_eq!(ask(&mut client, "http://o.practice", None).await.status(), 401);
}

#[tokio::test]
async fn a_pinned_client_may_talk_to_another_origin_and_log_in_again() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let mut client = office.relay.client().await;
    assert_eq!(log_in(&mut client, "http://o.practice", "alice", PASSWORD).await.status(), 200);
    let answer = client.ask("GET http://p.practice/hello HTTP/1.1\r\nHost: p\r\n\r\n").await;
    assert_eq!(answer.text(), "hello from the practice origin\n");
    assert_eq!(log_in(&mut client, "http://o.practice", "bob", "bob's").await.text(), "you are PRACTICE\\bob\n");
    assert_eq!(ask(&mut office.relay.client().await, "http://o.practice", None).await.status(), 401);
}
