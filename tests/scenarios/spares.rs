//! Connections dialled ahead: there when they are wanted, few, soon gone, and never the reason why anything fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use hallpass::address::Protocol;
use hallpass::upstream::lockout::Lockout;
use hallpass::upstream::{Health, Live, Upstreams};

use crate::support::{Guard, Heard, Order, PASSWORD, Relay, RelayPlan, Say, Watched, hop, route, tunnel, until, ways};

/// How long one is kept.
const WHILE: Duration = Duration::from_secs(8);

/// More than that wait for nobody.
const MOST: usize = 8;

fn connect(host: &str) -> String {
    format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n")
}

fn get(host: &str) -> String {
    format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

fn post(host: &str) -> String {
    format!("POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\n\r\nbody")
}

async fn status(relay: &Relay, request: String) -> u16 {
    relay.client().await.ask_head(request).await.status()
}

/// An upstream in use: one connection waits, and it is known what a log-in takes.
async fn in_use(upstream: &Watched, relay: &Relay) {
    for host in ["a.test", "b.test"] {
        assert_eq!(status(relay, connect(host)).await, 200);
    }
    until("a connection that waits", || upstream.silent() == 1).await;
}

async fn open() -> Watched {
    Watched::start(Duration::ZERO, Say::welcome).await
}

fn demand(value: &str) -> Say {
    Say::answer(format!("HTTP/1.1 407 Who\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
}

fn ntlm() -> impl Fn(&Heard) -> Say + Send + Sync + 'static {
    let guard = Guard::new("NTLM");
    move |heard| match guard.challenge(heard) {
        Some(value) => demand(&value),
        None => Say::welcome(heard),
    }
}

fn basic(heard: &Heard) -> Say {
    let expected = format!("Basic {}", STANDARD.encode(format!("PRACTICE\\alice:{PASSWORD}")));
    match heard.head.one("proxy-authorization") == Some(&expected) {
        true => Say::welcome(heard),
        false => demand("Basic realm=\"r\", charset=\"UTF-8\""),
    }
}

#[tokio::test]
async fn from_the_second_on_the_next_connection_is_there_before_it_is_wanted() {
    let upstream = open().await;
    let relay = Relay::before(upstream.addr).start();
    assert_eq!(status(&relay, connect("a.test")).await, 200);
    assert_eq!((upstream.came(), upstream.silent()), (1, 0), "once is not yet use");
    assert_eq!(status(&relay, connect("b.test")).await, 200);
    for round in 3..8 {
        until("a connection that waits", || upstream.silent() == 1).await;
        let came = upstream.came();
        let request = if round % 2 == 0 { get(&format!("h{round}.test")) } else { connect("h.test") };
        assert_eq!(status(&relay, request).await, 200);
        assert!(upstream.heard().last().unwrap().connection <= came, "{round}: it was dialled for the request");
        until("another in its place", || upstream.came() == came + 1).await;
    }
}

#[tokio::test]
async fn a_log_in_by_ntlm_costs_two_answers_and_by_basic_or_none_one() {
    const LATE: Duration = Duration::from_millis(20);
    for (what, legs) in [("ntlm", 2), ("basic", 1), ("none", 1)] {
        let upstream = match what {
            "ntlm" => Watched::start(LATE, ntlm()).await,
            "basic" => Watched::start(LATE, basic).await,
            _ => Watched::start(LATE, Say::welcome).await,
        };
        let schemes = if what == "basic" { "schemes = [\"basic\"]" } else { "" };
        let plan = RelayPlan::default().upstream_with(upstream.addr, schemes);
        let relay = plan.key("warm_handshakes = 0").start();
        in_use(&upstream, &relay).await;
        for round in 0..10 {
            until("a connection that waits", || upstream.silent() >= 1).await;
            let (before, since) = (upstream.heard().len(), Instant::now());
            assert_eq!(status(&relay, connect("h.test")).await, 200);
            assert!(since.elapsed() >= legs * LATE, "{what} {round}");
            let heard = &upstream.heard()[before..];
            assert_eq!(heard.len(), legs as usize, "{what} {round}");
            assert!(heard.iter().all(|one| one.connection == heard[0].connection), "{what} {round}");
        }
    }
}

#[tokio::test]
async fn one_that_ended_while_it_waited_or_at_its_first_word_costs_no_request_and_no_logon() {
    for order in [Order::SendAway, Order::CutShort] {
        for (what, leg, request) in [
            ("ntlm", 3, connect("h.test")),
            ("ntlm", 3, get("h.test")),
            ("ntlm", 3, post("h.test")),
            ("basic", 0, connect("h.test")),
            ("basic", 0, get("h.test")),
            ("none", 0, connect("h.test")),
            ("none", 0, get("h.test")),
            ("none", 0, post("h.test")),
        ] {
            let case = format!("{order:?} {what} {request:.8}");
            let upstream = match what {
                "ntlm" => Watched::start(Duration::ZERO, ntlm()).await,
                "basic" => Watched::start(Duration::ZERO, basic).await,
                _ => open().await,
            };
            let schemes = if what == "basic" { "schemes = [\"basic\"]" } else { "" };
            let relay = RelayPlan::default().upstream_with(upstream.addr, schemes).start();
            in_use(&upstream, &relay).await;
            let before = upstream.heard().len();
            upstream.order(order);
            if order == Order::SendAway {
                until("nobody to wait", || upstream.silent() == 0).await;
            }
            assert_eq!(status(&relay, request).await, 200, "{case}");
            let proofs = upstream.heard()[before..].iter().filter(|heard| heard.ntlm_type() == leg).count();
            assert_eq!(proofs, 1, "{case}");
        }
    }
}

#[tokio::test]
async fn a_burst_of_fifty_takes_few_connections_more_than_fifty() {
    let upstream = Watched::start(Duration::from_millis(5), ntlm()).await;
    let relay = Relay::before(upstream.addr).start();
    in_use(&upstream, &relay).await;
    let before = upstream.came() - upstream.silent();
    let statuses = join_all((0..50).map(|number| status(&relay, connect(&format!("h{number}.test"))))).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    until("those dialled ahead", || upstream.silent() > 0).await;
    assert!(upstream.silent() <= MOST, "{}", upstream.silent());
    assert!(upstream.came() <= before + 50 + MOST, "{}", upstream.came() - before);
}

#[tokio::test]
async fn whoever_rests_keeps_none() {
    let upstream = open().await;
    let relay = Relay::before(upstream.addr).start();
    in_use(&upstream, &relay).await;
    let (since, came) = (Instant::now(), upstream.came());
    until("the one that waits to be let go", || upstream.silent() == 0).await;
    assert!(since.elapsed() > WHILE / 2, "it is kept for a while");
    assert_eq!(upstream.came(), came, "and no other comes in its place");
    assert_eq!(status(&relay, connect("late.test")).await, 200);
    assert_eq!((upstream.came(), upstream.silent()), (came + 1, 0), "that was long ago, and does not count as use");
}

#[tokio::test]
async fn none_outlives_what_it_was_dialled_for() {
    type Change = fn(&mut Relay);
    let changes: [(&str, Change); 5] = [
        ("another network", |relay| relay.daemon.live().leave()),
        ("something changes", |relay| relay.daemon.live().drop_idle()),
        ("a fresh start", |relay| relay.daemon.live().begin_afresh()),
        ("a reload", |relay| relay.reload(|plan| plan.key("grace = \"1s\""))),
        ("time", |relay| relay.daemon.live().sweep(Instant::now() + WHILE)),
    ];
    for (what, change) in changes {
        let upstream = open().await;
        let mut relay = Relay::before(upstream.addr).start();
        in_use(&upstream, &relay).await;
        change(&mut relay);
        until(what, || upstream.silent() == 0).await;
        assert_eq!(status(&relay, connect("c.test")).await, 200, "{what}");
    }
}

#[tokio::test]
async fn an_upstream_that_goes_is_found_dead_before_a_request_waits_for_it_and_nobody_is_alarmed() {
    let (first, second) = (open().await, open().await);
    let relay = Relay::before(first.addr).upstream(second.addr).start();
    in_use(&first, &relay).await;
    let live = relay.daemon.live();
    let doubts = live.doubts();
    first.close();
    assert_eq!(status(&relay, connect("c.test")).await, 200);
    assert_eq!(first.heard().len(), 3, "it had been there");
    let is_down = || live.health().iter().any(|(_, health, _)| matches!(health, Health::Down(_)));
    until("the dial ahead to fail", is_down).await;
    assert!(!doubts.has_changed().unwrap());
    assert_eq!(status(&relay, connect("d.test")).await, 200);
    assert_eq!(second.heard().len(), 1);
}

#[tokio::test]
async fn where_nothing_may_be_idle_none_is_dialled_ahead() {
    for most in [0, 64] {
        let upstream = open().await;
        let ways = Upstreams { live: Arc::new(Live::with(Lockout::default(), most)), ..ways(&[], &[]) };
        let route = route([hop(Protocol::Http, "p.test", upstream.addr)]);
        for _ in 0..3 {
            assert!(tunnel(&ways, &route).await.is_ok());
        }
        match most {
            0 => assert_eq!((upstream.came(), upstream.silent()), (3, 0)),
            _ => until("one that waits", || upstream.silent() == 1).await,
        }
    }
}
