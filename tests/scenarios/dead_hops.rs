//! Upstreams that cannot be reached: passed over, waited for once, looked for without a fuss, and used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hallpass::address::Protocol;
use hallpass::upstream::{Addresses, ConnectCause, ConnectError, Connected, DialError, Health, Resolve};
use tokio::runtime::Handle;

use crate::support::{
    Answer, BlackHole, Closed, Relay, RelayPlan, Say, Upstream, hop, route, soon, tunnel, until, ways,
};

const CONNECT: &str = "CONNECT o.practice:80 HTTP/1.1\r\nHost: o.practice:80\r\n\r\n";
const GET: &str = "GET http://o.practice/hello HTTP/1.1\r\nHost: o.practice\r\n\r\n";

async fn status(relay: &Relay, request: &str) -> u16 {
    relay.client().await.ask_head(request).await.status()
}

async fn timed(relay: &Relay) -> (Answer, Duration) {
    let since = Instant::now();
    let answer = relay.client().await.ask(CONNECT).await;
    (answer, since.elapsed())
}

fn died(result: Result<Connected, ConnectError>) -> bool {
    matches!(result.unwrap_err().cause, ConnectCause::Dial(DialError::Dead { .. }))
}

#[tokio::test]
async fn the_next_upstream_takes_over_and_the_first_is_used_again_when_it_is_back() {
    let first = Closed::reserve();
    let second = Upstream::start(Say::welcome).await;
    let relay = RelayPlan::default().upstream(first.addr).upstream(second.addr).start();
    for request in [CONNECT, GET] {
        assert_eq!(status(&relay, request).await, 200, "{request:.8}");
    }
    assert_eq!(second.heard().len(), 2);
    let first = Upstream::on(first.open(), Say::welcome);
    let back = async {
        while first.heard().is_empty() {
            assert_eq!(status(&relay, CONNECT).await, 200);
        }
    };
    soon("the first upstream being used again", back).await;
    let before = second.heard().len();
    assert_eq!(status(&relay, GET).await, 200);
    assert_eq!(second.heard().len(), before);
}

#[tokio::test]
async fn a_black_hole_costs_the_time_out_once_and_next_to_nothing_after_that() {
    const LIMIT: Duration = Duration::from_millis(600);
    let hole = BlackHole::dig().await;
    let relay = Relay::before(hole.addr).key("connect_timeout = \"600ms\"").start();
    let since = Instant::now();
    let answers = join_all((0..20).map(|_| timed(&relay))).await;
    assert!(since.elapsed() < LIMIT * 2, "{:?}", since.elapsed());
    for (answer, _) in &answers {
        assert_eq!(answer.status(), 504);
        assert!(answer.text().contains(&format!("no connection to {} within 600ms", hole.addr)), "{}", answer.text());
    }
    let mut later = Vec::new();
    for _ in 0..11 {
        let (answer, took) = timed(&relay).await;
        assert_eq!(answer.status(), 504);
        assert!(answer.text().contains("within 600ms; it is looked for"), "{}", answer.text());
        later.push(took);
    }
    later.sort();
    assert!(later[5] < Duration::from_millis(50), "{later:?}");
}

#[tokio::test]
async fn a_black_hole_before_another_upstream_is_passed_over_without_a_wait() {
    let hole = BlackHole::dig().await;
    let good = Upstream::start(Say::welcome).await;
    let relay = RelayPlan::default().upstream(hole.addr).upstream(good.addr).key("connect_timeout = \"500ms\"").start();
    assert_eq!(status(&relay, CONNECT).await, 200);
    let since = Instant::now();
    for _ in 0..10 {
        assert_eq!(status(&relay, CONNECT).await, 200);
    }
    assert!(since.elapsed() < Duration::from_millis(500), "{:?}", since.elapsed());
    assert_eq!(good.heard().len(), 11);
}

#[tokio::test]
async fn every_hop_that_was_tried_is_named_with_its_cause() {
    let (hole, closed) = (BlackHole::dig().await, Closed::reserve());
    let relay =
        RelayPlan::default().upstream(hole.addr).upstream(closed.addr).key("connect_timeout = \"300ms\"").start();
    for _ in 0..2 {
        let answer = relay.client().await.ask(CONNECT).await;
        let text = answer.text();
        assert_eq!(answer.status(), 502, "{text}");
        assert!(text.contains(&format!("http://{}: no connection to {0} within 300ms", hole.addr)), "{text}");
        assert!(text.contains(&format!("http://{} failed", closed.addr)) && text.contains("refused"), "{text}");
    }
}

#[tokio::test]
async fn who_waits_for_an_upstream_that_another_finds_dead_waits_no_longer() {
    let hole = BlackHole::dig().await;
    let mut ways = ways(&[], &[]);
    ways.dialer.connect_timeout = Duration::from_secs(1);
    let route = route([hop(Protocol::Http, "hole.test", hole.addr)]);
    let mut doubts = ways.live.doubts();
    let late = async {
        // The first has waited for a while by then, and not to its end.
        soon("a doubt", doubts.changed()).await.unwrap();
        let since = Instant::now();
        (tunnel(&ways, &route).await, since.elapsed())
    };
    let (first, (second, waited)) = tokio::join!(tunnel(&ways, &route), late);
    assert!(matches!(first.unwrap_err().cause, ConnectCause::Dial(DialError::Timeout(..))));
    assert!(died(second));
    assert!(waited < Duration::from_millis(950), "{waited:?}");
}

/// Counts the dials, which all begin with a name.
struct Counting(Arc<AtomicUsize>, std::net::SocketAddr);

impl Resolve for Counting {
    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Addresses<'a> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(vec![self.1]) })
    }
}

#[tokio::test]
async fn a_dead_upstream_is_looked_for_by_one_probe_with_growing_pauses_until_it_is_back() {
    let closed = Closed::reserve();
    let mut ways = ways(&[], &[]);
    let dials = Arc::new(AtomicUsize::new(0));
    ways.dialer.resolver = Arc::new(Counting(dials.clone(), closed.addr));
    let route = route([hop(Protocol::Http, "proxy.test", closed.addr)]);
    assert!(join_all((0..20).map(|_| tunnel(&ways, &route))).await.iter().all(Result::is_err));
    let since = Instant::now();
    let asked = dials.load(Ordering::Relaxed);
    let tasks = || Handle::current().metrics().num_alive_tasks();
    until("one probe", || tasks() == 1).await;
    assert!(matches!(&ways.live.health()[..], [(_, Health::Down(why), _)] if why.contains("refused")));
    until("the first look", || dials.load(Ordering::Relaxed) > asked).await;
    assert!(since.elapsed() > Duration::from_millis(900), "{:?}", since.elapsed());
    until("the second look", || dials.load(Ordering::Relaxed) > asked + 1).await;
    assert!(since.elapsed() > Duration::from_millis(2800), "{:?}", since.elapsed());
    let _open = closed.open();
    until("the end of looking", || tasks() == 0).await;
    assert!(matches!(&ways.live.health()[..], [(_, Health::Up, _)]));
    assert_eq!(dials.load(Ordering::Relaxed), asked + 3);
}

#[tokio::test]
async fn in_another_network_nothing_is_dead_and_nobody_is_looked_for() {
    let closed = Closed::reserve();
    let ways = ways(&[], &[]);
    let route = route([hop(Protocol::Http, "proxy.test", closed.addr)]);
    assert!(tunnel(&ways, &route).await.is_err());
    assert_eq!(ways.live.health().len(), 1);
    ways.live.forget_marks();
    assert_eq!(ways.live.health(), []);
    until("no probe", || Handle::current().metrics().num_alive_tasks() == 0).await;
    let _upstream = Upstream::on(closed.open(), Say::welcome);
    assert!(tunnel(&ways, &route).await.is_ok());
}

#[tokio::test]
async fn a_name_that_nobody_has_is_a_dead_upstream_and_an_odd_answer_is_not() {
    let rude = Upstream::start(|_| Say::HangUp).await;
    let strict = Upstream::start(|_| Say::answer("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")).await;
    let ways = ways(&[], &[]);
    for (host, addr, dead) in
        [("nobody.invalid", rude.addr, true), ("rude.test", rude.addr, false), ("strict.test", strict.addr, false)]
    {
        assert!(tunnel(&ways, &route([hop(Protocol::Http, host, addr)])).await.is_err());
        let health = ways.live.health();
        let (_, health, _) = health.iter().find(|(endpoint, ..)| endpoint.target.host.to_string() == host).unwrap();
        assert_eq!(matches!(health, Health::Down(_)), dead, "{host}");
    }
}

#[tokio::test]
async fn a_direct_target_is_never_marked() {
    let closed = Closed::reserve();
    let ways = ways(&[], &[]);
    let target = hallpass::address::Target::parse(&closed.addr.to_string(), None).unwrap();
    let direct = route([hallpass::route::Hop::Direct]);
    assert!(ways.tunnel(&direct, &target, &hallpass::http1::Fields::default()).await.is_err());
    assert_eq!(ways.live.health(), []);
    assert!(!ways.live.doubts().has_changed().unwrap());
    let _open = closed.open();
    assert!(ways.tunnel(&direct, &target, &hallpass::http1::Fields::default()).await.is_ok());
}
