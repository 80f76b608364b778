//! Log-ins by NTLM that are begun ahead: one round trip for a tunnel, no log-on more, and nothing held for long.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hallpass::practice::{Account, Offer};

use crate::support::{Guard, Heard, Office, Relay, RelayPlan, Say, Watched, until};

const WARM: &str = "warm_handshakes = 1";

fn connect(host: &str) -> String {
    format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n")
}

async fn status(relay: &Relay, host: &str) -> u16 {
    relay.client().await.ask_head(connect(host)).await.status()
}

fn demand(value: &str, more: &str) -> Say {
    Say::answer(format!("HTTP/1.1 407 Who\r\n{more}Proxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
}

/// Verifies NTLM, and says who it is by further fields.
fn ntlm(more: &'static str) -> impl Fn(&Heard) -> Say + Send + Sync + 'static {
    let guard = Guard::new("NTLM");
    move |heard| match guard.challenge(heard) {
        Some(value) => demand(&value, more),
        None => Say::welcome(heard),
    }
}

/// A relay in front of it that has a log-in begun ahead: the connection of that is given.
async fn warmed(upstream: &Watched, plan: RelayPlan, hosts: [&str; 2]) -> (Relay, usize) {
    let relay = plan.key(WARM).start();
    for host in hosts {
        assert_eq!(status(&relay, host).await, 200);
    }
    (relay, begun_ahead(upstream).await)
}

async fn begun_ahead(upstream: &Watched) -> usize {
    until("a log-in begun ahead", || !upstream.half_done().is_empty()).await;
    upstream.half_done()[0]
}

#[tokio::test]
async fn while_tunnels_follow_each_other_each_takes_one_answer() {
    let upstream = Watched::start(Duration::from_millis(5), ntlm("")).await;
    let (relay, mut ahead) = warmed(&upstream, Relay::before(upstream.addr), ["a.test", "b.test"]).await;
    let mut last = "b.test".to_string();
    for round in 0..6 {
        let host = format!("h{round}.test");
        let before = upstream.heard();
        assert_eq!(
            before.iter().rfind(|heard| heard.connection == ahead).unwrap().head.line(),
            connect(&last).lines().next().unwrap()
        );
        assert_eq!(status(&relay, &host).await, 200);
        let own: Vec<Heard> =
            upstream.heard().split_off(before.len()).into_iter().filter(|heard| heard.connection == ahead).collect();
        assert_eq!(own.iter().map(Heard::ntlm_type).collect::<Vec<_>>(), [3], "{round}");
        assert_eq!(own[0].head.line(), connect(&host).lines().next().unwrap());
        last = host;
        ahead = begun_ahead(&upstream).await;
    }
    assert_eq!(upstream.count(3), 8, "one log-on for each");
}

#[tokio::test]
async fn none_is_begun_ahead_where_it_is_not_wanted_nor_before_tunnels_follow_each_other_nor_with_a_squid() {
    for (what, keys, more, tunnels) in [
        ("not wanted", "warm_handshakes = 0", "", 5),
        ("one alone", WARM, "", 1),
        ("by its name", WARM, "Server: squid/5.7\r\n", 5),
        ("by its error", WARM, "X-Squid-Error: ERR_CACHE_ACCESS_DENIED 0\r\n", 5),
        ("on the way", WARM, "Via: 1.1 p.corp.test (squid/6.1)\r\n", 5),
    ] {
        let upstream = Watched::start(Duration::ZERO, ntlm(more)).await;
        let relay = Relay::before(upstream.addr).key(keys).start();
        for round in 0..tunnels {
            assert_eq!(status(&relay, &format!("h{round}.test")).await, 200, "{what}");
        }
        assert_eq!((upstream.count(1), upstream.count(3)), (tunnels, tunnels), "{what}");
        if tunnels > 1 {
            until("the connection dialled ahead", || upstream.silent() > 0).await;
            assert!(upstream.half_done().is_empty(), "{what}");
        }
    }
}

#[tokio::test]
async fn a_crowd_has_one_at_most_which_goes_when_nobody_comes() {
    let upstream = Watched::start(Duration::from_millis(2), ntlm("")).await;
    let (relay, _) = warmed(&upstream, Relay::before(upstream.addr), ["a.test", "b.test"]).await;
    for _ in 0..3 {
        let statuses = join_all((0..20).map(|_| status(&relay, "h.test"))).await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        begun_ahead(&upstream).await;
        assert_eq!(upstream.half_done().len(), 1);
    }
    assert_eq!(upstream.count(3), 62);
    let since = Instant::now();
    until("it to go", || upstream.half_done().is_empty()).await;
    assert!(since.elapsed() < Duration::from_secs(10));
    assert_eq!(status(&relay, "late.test").await, 200);
    assert_eq!(upstream.count(3), 63);
}

#[tokio::test]
async fn it_takes_no_place_among_those_who_may_show_the_secret() {
    let upstream = Watched::start(Duration::ZERO, ntlm("")).await;
    let plan = Relay::before(upstream.addr).key("max_logons = 1");
    let (relay, _) = warmed(&upstream, plan, ["a.test", "b.test"]).await;
    let since = Instant::now();
    assert_eq!(join_all(["c.test", "d.test", "e.test"].map(|host| status(&relay, host))).await, [200; 3]);
    assert!(since.elapsed() < Duration::from_millis(1500), "somebody waited for a place: {:?}", since.elapsed());
}

#[tokio::test]
async fn a_password_that_is_changed_in_the_middle_is_refused_once() {
    for hosts in [&["o", "o", "o"][..], &["o", "p", "q", "r", "s"]] {
        let office = Office::with([Offer::Ntlm]).relay(|relay| relay.key(WARM)).start().await;
        let status = async |host: &str| {
            let head = office.relay.client().await.ask_head(connect(&format!("{host}.practice"))).await;
            head.status()
        };
        for host in hosts {
            assert_eq!(status(host).await, 200);
        }
        office.accounts.replace([Account::new("PRACTICE", "alice", "another")]);
        for _ in 0..3 {
            assert_eq!(status(hosts[0]).await, 407);
        }
        assert_eq!((office.logons().accepted, office.logons().rejected), (hosts.len() as u64, 1), "{hosts:?}");
    }
}

/// The first message and the proof must be of the same target, or nobody looks at the proof.
#[tokio::test]
async fn an_upstream_that_wants_one_target_from_first_to_last_costs_nobody_a_request_and_closes_nothing() {
    let guard = Guard::new("NTLM");
    let asked = std::sync::Mutex::new(Vec::<(usize, String)>::new());
    let upstream = Watched::start(Duration::ZERO, move |heard: &Heard| {
        let line = heard.head.line().to_string();
        let mut asked = asked.lock().unwrap();
        if heard.ntlm_type() == 1 {
            asked.push((heard.connection, line.clone()));
        }
        let is_other = asked.iter().any(|(connection, first)| *connection == heard.connection && *first != line);
        if heard.ntlm_type() == 3 && is_other {
            return demand("NTLM", "");
        }
        match guard.challenge(heard) {
            Some(value) => demand(&value, ""),
            None => Say::welcome(heard),
        }
    })
    .await;
    let (relay, _) = warmed(&upstream, Relay::before(upstream.addr), ["a.test", "b.test"]).await;
    for round in 0..5 {
        assert_eq!(status(&relay, &format!("h{round}.test")).await, 200, "{round}");
    }
    assert_eq!(upstream.count(3), 8, "one was in vain, and no other after it");
    assert!(relay.daemon.live().lockout().troubles().is_empty());
}

#[tokio::test]
async fn a_tunnel_that_was_given_without_being_shown_anything_is_nobody_elses() {
    let guard = Guard::new("NTLM");
    let upstream = Watched::start(Duration::ZERO, move |heard: &Heard| {
        // It has begun to know this machine by its address.
        let knows = heard.connection > 2;
        match guard.challenge(heard) {
            Some(value) if !knows => demand(&value, ""),
            _ => Say::welcome(heard),
        }
    })
    .await;
    let (relay, ahead) = warmed(&upstream, Relay::before(upstream.addr), ["a.test", "b.test"]).await;
    assert_eq!(status(&relay, "c.test").await, 200);
    let last = upstream.heard().pop().unwrap();
    assert_eq!(last.head.line(), connect("c.test").lines().next().unwrap());
    assert_ne!(last.connection, ahead);
}

#[tokio::test]
async fn one_that_the_upstream_ended_costs_no_request_and_no_log_on() {
    let guard = Guard::new("NTLM");
    let upstream = Watched::start(Duration::ZERO, move |heard: &Heard| match guard.challenge(heard) {
        // Whoever has asked for b is begun ahead for it, too.
        Some(value) if heard.connection > 2 && heard.head.line().contains("b.test") => {
            let Say::Answer(bytes) = demand(&value, "") else { unreachable!() };
            Say::Last(bytes)
        }
        Some(value) => demand(&value, ""),
        None => Say::welcome(heard),
    })
    .await;
    let relay = Relay::before(upstream.addr).key(WARM).start();
    for host in ["a.test", "b.test", "c.test", "d.test"] {
        assert_eq!(status(&relay, host).await, 200, "{host}");
    }
    assert_eq!(upstream.count(3), 4);
}

#[tokio::test]
async fn none_outlives_what_it_was_begun_for() {
    type Change = fn(&mut Relay);
    let changes: [(&str, Change); 4] = [
        ("another network", |relay| relay.daemon.live().leave()),
        ("something changes", |relay| relay.daemon.live().drop_idle()),
        ("a fresh start", |relay| relay.daemon.live().begin_afresh()),
        ("a reload", |relay| relay.reload(|plan| plan.key("grace = \"1s\""))),
    ];
    for (what, change) in changes {
        let upstream = Watched::start(Duration::ZERO, ntlm("")).await;
        let (mut relay, ahead) = warmed(&upstream, Relay::before(upstream.addr), ["a.test", "b.test"]).await;
        change(&mut relay);
        assert_eq!(status(&relay, "c.test").await, 200, "{what}");
        let proof = upstream.heard().into_iter().rfind(|heard| heard.ntlm_type() == 3).unwrap();
        assert_ne!(proof.connection, ahead, "{what}");
        assert_eq!(upstream.count(3), 3, "{what}");
    }
}
