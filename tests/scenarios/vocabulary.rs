//! Every ending that a record can name, brought about once, and what else the record must say then.

use std::collections::BTreeSet;
use std::pin::Pin;

use hallpass::audit::End;
use hallpass::practice::Offer;
use serde_json::Value;

use crate::support::{BlackHole, Closed, Office, Peer, Relay, RelayPlan, Say, Scripted, Upstream};

const CONNECT: &str = "CONNECT h.test:443 HTTP/1.1\r\nHost: h.test:443\r\n\r\n";

/// The endings that this table brings about. Those of a person's own rules about accounts and peers have tables of
/// their own, and a mistake of ours can only be played where it is made.
fn is_brought_about_here(end: End) -> bool {
    match end {
        End::BreakerOpen | End::PeerDenied | End::Internal => false,
        End::Done
        | End::ClientClosed
        | End::ClientReset
        | End::UpstreamClosed
        | End::UpstreamReset
        | End::BadRequest
        | End::Denied
        | End::Loop
        | End::Limit
        | End::NoCredential
        | End::CredentialRejected
        | End::UpstreamRefused
        | End::Unreachable
        | End::ConnectTimeout
        | End::HandshakeTimeout
        | End::HandshakeBroken
        | End::TlsFailed
        | End::IdleTimeout
        | End::Drained => true,
    }
}

/// All of them; the test says if one is missing.
const ALL: [End; 22] = [
    End::Done,
    End::ClientClosed,
    End::ClientReset,
    End::UpstreamClosed,
    End::UpstreamReset,
    End::BadRequest,
    End::Denied,
    End::PeerDenied,
    End::Loop,
    End::Limit,
    End::NoCredential,
    End::CredentialRejected,
    End::BreakerOpen,
    End::UpstreamRefused,
    End::Unreachable,
    End::ConnectTimeout,
    End::HandshakeTimeout,
    End::HandshakeBroken,
    End::TlsFailed,
    End::IdleTimeout,
    End::Drained,
    End::Internal,
];

fn word(end: End) -> String {
    serde_json::to_value(end).unwrap().as_str().unwrap().to_owned()
}

type Story = Pin<Box<dyn Future<Output = Vec<Value>>>>;

/// What brings it about and gives the records; the status, whether a way was chosen, the scheme, bytes up and down.
type Case = (End, fn() -> Story, Option<u16>, bool, Option<&'static str>, (u64, u64));

const CASES: &[Case] = &[
    (End::Done, || Box::pin(tunnel(Last::Nothing)), Some(200), true, None, (4, 4)),
    (End::ClientReset, || Box::pin(tunnel(Last::ClientReset)), Some(200), true, None, (4, 4)),
    (End::UpstreamReset, || Box::pin(tunnel(Last::UpstreamReset)), Some(200), true, None, (4, 4)),
    (End::ClientClosed, || Box::pin(tunnel(Last::ClientSilence)), Some(200), true, None, (4, 4)),
    (End::UpstreamClosed, || Box::pin(tunnel(Last::UpstreamSilence)), Some(200), true, None, (4, 4)),
    (End::IdleTimeout, || Box::pin(tunnel(Last::Silence)), Some(200), true, None, (4, 4)),
    (End::Drained, || Box::pin(tunnel(Last::Drain)), Some(200), true, None, (4, 4)),
    (End::BadRequest, || Box::pin(asked(direct(), "NO HTTP\r\n\r\n")), Some(400), false, None, (0, 0)),
    (End::Denied, || Box::pin(asked(direct().key("connect_ports = [22]"), CONNECT)), Some(403), false, None, (0, 0)),
    (End::Loop, || Box::pin(to_ourselves()), Some(403), false, None, (0, 0)),
    (End::Limit, || Box::pin(one_too_many()), Some(503), false, None, (0, 0)),
    (
        End::NoCredential,
        || Box::pin(answered("407 X", "Proxy-Authenticate: Bearer\r\n")),
        Some(407),
        true,
        None,
        (0, 0),
    ),
    (End::UpstreamRefused, || Box::pin(answered("403 No", "")), Some(403), true, None, (0, 0)),
    (End::CredentialRejected, || Box::pin(rejected()), Some(407), true, Some("NTLM"), (0, 0)),
    (End::Unreachable, || Box::pin(unreachable()), Some(502), true, None, (0, 0)),
    (End::ConnectTimeout, || Box::pin(black_hole()), Some(504), true, None, (0, 0)),
    (End::HandshakeTimeout, || Box::pin(said(|| Say::Silence)), Some(504), true, None, (0, 0)),
    (End::HandshakeBroken, || Box::pin(said(|| Say::HangUp)), Some(502), true, None, (0, 0)),
    (End::TlsFailed, || Box::pin(no_tls()), Some(502), true, None, (0, 0)),
];

#[tokio::test]
async fn every_ending_happens_and_its_record_says_what_is_known() {
    let mut ended = BTreeSet::new();
    for (end, story, status, routed, scheme, (up, down)) in CASES {
        let end = word(*end);
        let records = story().await;
        let record = records.iter().find(|record| record["end"] == *end);
        let record = record.unwrap_or_else(|| panic!("{end}: {records:?}"));
        assert!(record["id"].as_str().is_some_and(|id| id.starts_with("hallpass-")), "{record}");
        assert!(record["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{record}");
        assert!(record["client"].is_string() && record["listener"].is_string(), "{record}");
        assert_eq!(record["status"].as_u64().map(|status| status as u16), *status, "{record}");
        assert_eq!(record["first_ms"].is_u64(), status.is_some(), "{record}");
        let (first, total) = (record["first_ms"].as_u64().unwrap_or_default(), record["total_ms"].as_u64().unwrap());
        assert!(first <= total, "{record}");
        assert_eq!(record["profile"].as_str(), routed.then_some("always"), "{record}");
        assert_eq!(record["reason"]["kind"].as_str().is_some_and(|kind| kind != "own"), *routed, "{record}");
        assert_eq!(record["scheme"].as_str(), *scheme, "{record}");
        assert_eq!((record["bytes_up"].as_u64(), record["bytes_down"].as_u64()), (Some(*up), Some(*down)), "{record}");
        ended.insert(end);
    }
    let expected: BTreeSet<String> = ALL.into_iter().filter(|end| is_brought_about_here(*end)).map(word).collect();
    assert_eq!(ended, expected);
    assert_eq!(ALL.map(word).into_iter().collect::<BTreeSet<_>>().len(), ALL.len());
}

#[tokio::test]
async fn the_id_in_the_body_of_an_answer_is_that_of_its_record() {
    let relay = direct().start();
    let requests = [
        "NO HTTP\r\n\r\n".to_owned(),
        "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        "GET /status HTTP/1.1\r\nHost: evil.test\r\n\r\n".into(),
        format!("CONNECT {} HTTP/1.1\r\n\r\n", relay.addr()),
        format!("CONNECT {} HTTP/1.1\r\n\r\n", Closed::reserve().addr),
    ];
    for (number, request) in requests.into_iter().enumerate() {
        let answer = relay.client().await.ask(&request).await;
        let records = relay.records(number + 1).await;
        let id = records[number]["id"].as_str().unwrap().to_owned();
        assert!(answer.text().contains(&id), "{request}: {id} in {}", answer.text());
    }
}

/// Whatever upstreams there are, in a profile that always holds.
fn always(plan: RelayPlan) -> RelayPlan {
    plan.tables("[profiles.always]\n")
}

fn direct() -> RelayPlan {
    always(RelayPlan::default())
}

async fn asked(plan: RelayPlan, request: &str) -> Vec<Value> {
    let relay = plan.start();
    relay.client().await.ask(request).await;
    relay.stop().await
}

/// What happens after four bytes went each way.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    Nothing,
    ClientReset,
    UpstreamReset,
    ClientSilence,
    UpstreamSilence,
    Silence,
    Drain,
}

async fn tunnel(last: Last) -> Vec<Value> {
    let listener = Scripted::start().await;
    let mut plan = always(Relay::before(listener.addr())).key("half_close_timeout = \"50ms\"").key("grace = \"50ms\"");
    if last == Last::Silence {
        plan = plan.key("idle_timeout = \"200ms\"");
    }
    let relay = plan.start();
    let mut client = relay.client().await;
    client.send(CONNECT).await;
    let mut upstream = listener.accept().await;
    upstream.head().await;
    upstream.send("HTTP/1.1 200 OK\r\n\r\n").await;
    client.head().await;
    client.send("ping").await;
    upstream.take(4).await;
    upstream.send("pong").await;
    client.take(4).await;
    end(last, client, upstream, relay).await
}

async fn end(last: Last, mut client: Peer, mut upstream: Peer, relay: Relay) -> Vec<Value> {
    match last {
        Last::Nothing => {
            client.finish().await;
            upstream.finish().await;
        }
        Last::ClientReset => {
            client.reset();
            return relay.records(1).await;
        }
        Last::UpstreamReset => {
            upstream.reset();
            return relay.records(1).await;
        }
        Last::ClientSilence => client.finish().await,
        Last::UpstreamSilence => upstream.finish().await,
        Last::Silence => {}
        Last::Drain => return relay.stop().await,
    }
    relay.records(1).await
}

async fn to_ourselves() -> Vec<Value> {
    let relay = direct().start();
    relay.client().await.ask(format!("CONNECT {} HTTP/1.1\r\n\r\n", relay.addr())).await;
    relay.stop().await
}

async fn one_too_many() -> Vec<Value> {
    let relay = direct().key("max_clients = 1").start();
    let mut first = relay.client().await;
    first.ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    relay.client().await.ask(CONNECT).await;
    drop(first);
    relay.stop().await
}

async fn said(say: impl Fn() -> Say + Send + Sync + 'static) -> Vec<Value> {
    let upstream = Upstream::start(move |_| say()).await;
    asked(always(Relay::before(upstream.addr)).key("handshake_timeout = \"200ms\""), CONNECT).await
}

async fn answered(line: &'static str, fields: &'static str) -> Vec<Value> {
    said(move || Say::answer(format!("HTTP/1.1 {line}\r\n{fields}Content-Length: 0\r\n\r\n"))).await
}

async fn rejected() -> Vec<Value> {
    let office = Office::with([Offer::Ntlm]).password("wrong").relay(always).start().await;
    office.relay.client().await.ask("CONNECT origin.practice:80 HTTP/1.1\r\n\r\n").await;
    office.relay.stop().await
}

async fn unreachable() -> Vec<Value> {
    let closed = Closed::reserve();
    asked(always(Relay::before(closed.addr)), CONNECT).await
}

async fn black_hole() -> Vec<Value> {
    let hole = BlackHole::dig().await;
    asked(always(Relay::before(hole.addr)).key("connect_timeout = \"200ms\""), CONNECT).await
}

async fn no_tls() -> Vec<Value> {
    let upstream = Scripted::start().await;
    let relay = always(RelayPlan::default().upstream_at(&format!("https://{}", upstream.addr()), "")).start();
    let mut client = relay.client().await;
    client.send(CONNECT).await;
    upstream.accept().await.send("HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n").await;
    client.answer().await;
    relay.stop().await
}
