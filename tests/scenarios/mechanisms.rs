//! Mechanisms that are large or slow, played by a stand-in behind the trait that all of them share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hallpass::address::{Endpoint, Protocol, Target};
use hallpass::auth::lockout::Leave;
use hallpass::auth::{
    Challenge, ChannelBinding, Leg, Mechanism, MechanismError, Mechanisms, RequestLine, Scheme, Start,
};
use hallpass::http1::Fields;
use hallpass::route::{Hop, Reason, ReasonKind, Route};
use hallpass::secret::Credentials;
use hallpass::upstream::{
    Addresses, ConnectCause, Connected, Dialer, Live, Resolve, Unlisted, Upstream as Configured, Upstreams,
};

use crate::support::{Say, Upstream, soon};

/// A ticket of 48 KiB in base64.
const TOKEN: usize = 64 * 1024;

struct Nobody;

impl Resolve for Nobody {
    fn resolve<'a>(&'a self, name: &'a str, _: u16) -> Addresses<'a> {
        panic!("{name} is nobody's business here")
    }
}

fn upstreams(addr: std::net::SocketAddr, mechanisms: impl Mechanisms + 'static) -> (Upstreams, Route) {
    let endpoint = Endpoint { target: Target::parse(&addr.to_string(), None).unwrap(), protocol: Protocol::Http };
    let configured = Configured {
        endpoint: endpoint.clone(),
        schemes: [Scheme::Negotiate].into(),
        tls: None,
        channel_bindings: true,
        generation: 1,
    };
    let dialer = Dialer {
        resolver: Arc::new(Nobody),
        connect_timeout: Duration::from_secs(5),
        keepalive: None,
        own: Arc::new(|_| false),
    };
    let upstreams = Upstreams {
        list: vec![configured.into()],
        unlisted: Unlisted::new(2),
        mechanisms: Arc::new(mechanisms),
        dialer,
        forbids: |_| false,
        direct_generation: 0,
        handshake_timeout: Duration::from_secs(10),
        user_agent: None,
        live: Arc::new(Live::default()),
    };
    let reason = Reason { kind: ReasonKind::Upstream, text: "".into() };
    (upstreams, Route { hops: vec![Hop::Upstream(endpoint)], reason })
}

async fn connects(upstreams: &Upstreams, route: &Route) -> bool {
    let target = Target::parse("h.test:443", None).unwrap();
    matches!(upstreams.tunnel(route, &target, &Fields::default()).await, Ok(Connected::Tunnel(_)))
}

/// Every leg is a token of this size.
struct Large;

impl Mechanisms for Large {
    fn start(
        &self,
        _: Start,
        _: &Endpoint,
        _: Option<&ChannelBinding>,
        _: Option<&Leave>,
    ) -> Result<Box<dyn Mechanism>, MechanismError> {
        Ok(Box::new(Large))
    }
}

impl Mechanism for Large {
    fn step(&mut self, _: &RequestLine, _: Option<&Challenge>) -> Result<Leg, MechanismError> {
        let credentials = Credentials::new(format!("Negotiate {}", "A".repeat(TOKEN)));
        Ok(Leg { credentials, proves_secret: false })
    }
}

#[tokio::test]
async fn tokens_of_48_kib_pass_in_both_directions() {
    let legs = AtomicUsize::new(0);
    let upstream = Upstream::start(move |heard| match heard.head.all("proxy-authorization").as_slice() {
        [] => Say::answer("HTTP/1.1 407 X\r\nProxy-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n"),
        [value] if value.len() == "Negotiate ".len() + TOKEN => match legs.fetch_add(1, Ordering::Relaxed) {
            0 => Say::answer(format!(
                "HTTP/1.1 407 X\r\nProxy-Authenticate: Negotiate {}\r\nContent-Length: 0\r\n\r\n",
                "B".repeat(TOKEN)
            )),
            _ => Say::welcome(heard),
        },
        _ => Say::HangUp,
    })
    .await;
    let (upstreams, route) = upstreams(upstream.addr, Large);
    assert!(connects(&upstreams, &route).await);
    assert_eq!(upstream.heard().len(), 3);
}

/// Its first step waits until it is let go; the later ones are quick.
struct Slow {
    first: AtomicBool,
    began: Sender<()>,
    go_on: Arc<Mutex<Receiver<()>>>,
}

struct Waits(Option<Arc<Mutex<Receiver<()>>>>);

impl Mechanisms for Slow {
    fn start(
        &self,
        _: Start,
        _: &Endpoint,
        _: Option<&ChannelBinding>,
        _: Option<&Leave>,
    ) -> Result<Box<dyn Mechanism>, MechanismError> {
        let first = self.first.swap(false, Ordering::Relaxed);
        if first {
            self.began.send(()).unwrap();
        }
        Ok(Box::new(Waits(first.then(|| self.go_on.clone()))))
    }
}

impl Mechanism for Waits {
    fn step(&mut self, _: &RequestLine, _: Option<&Challenge>) -> Result<Leg, MechanismError> {
        if let Some(go_on) = &self.0 {
            go_on.lock().unwrap().recv().unwrap();
        }
        Ok(Leg { credentials: Credentials::new("Negotiate AAAA"), proves_secret: false })
    }
}

/// On one thread, so that a step that blocked the runtime would block everybody.
#[tokio::test(flavor = "current_thread")]
async fn a_mechanism_that_blocks_keeps_nobody_else_waiting() {
    let upstream = Upstream::start(|heard| match heard.head.has("proxy-authorization") {
        true => Say::welcome(heard),
        false => Say::answer("HTTP/1.1 407 X\r\nProxy-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n"),
    })
    .await;
    let ((began, begun), (let_go, go_on)) = (channel(), channel());
    let slow = Slow { first: AtomicBool::new(true), began, go_on: Arc::new(Mutex::new(go_on)) };
    let (upstreams, route) = upstreams(upstream.addr, slow);
    let (upstreams, route) = (Arc::new(upstreams), Arc::new(route));
    let waiting = tokio::spawn({
        let (upstreams, route) = (upstreams.clone(), route.clone());
        async move { connects(&upstreams, &route).await }
    });
    tokio::task::spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
    for _ in 0..20 {
        assert!(soon("another client's tunnel", connects(&upstreams, &route)).await);
    }
    assert!(!waiting.is_finished());
    let_go.send(()).unwrap();
    assert!(waiting.await.unwrap());
}

/// It makes a mistake at its first step, and none afterwards.
struct Faulty {
    fails: AtomicBool,
    may_block: bool,
}

struct Step(bool);

impl Mechanisms for Faulty {
    fn start(
        &self,
        _: Start,
        _: &Endpoint,
        _: Option<&ChannelBinding>,
        _: Option<&Leave>,
    ) -> Result<Box<dyn Mechanism>, MechanismError> {
        Ok(Box::new(Step(self.fails.swap(false, Ordering::Relaxed))))
    }

    fn may_block(&self, _: Start) -> bool {
        self.may_block
    }
}

impl Mechanism for Step {
    fn step(&mut self, _: &RequestLine, _: Option<&Challenge>) -> Result<Leg, MechanismError> {
        assert!(!self.0, "a mistake");
        Ok(Leg { credentials: Credentials::new("Negotiate AAAA"), proves_secret: false })
    }
}

#[tokio::test]
async fn a_mechanism_that_panics_fails_one_request_and_sends_nothing_more_for_it() {
    let upstream = Upstream::start(|heard| match heard.head.has("proxy-authorization") {
        true => Say::welcome(heard),
        false => Say::answer("HTTP/1.1 407 X\r\nProxy-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n"),
    })
    .await;
    for may_block in [true, false] {
        let before = upstream.heard().len();
        let (upstreams, route) = upstreams(upstream.addr, Faulty { fails: AtomicBool::new(true), may_block });
        let target = Target::parse("h.test:443", None).unwrap();
        let failed = upstreams.tunnel(&route, &target, &Fields::default()).await;
        assert!(matches!(failed, Err(error) if matches!(error.cause, ConnectCause::Mistake)));
        assert!(upstream.heard().iter().skip(before).all(|heard| !heard.head.has("proxy-authorization")));
        assert!(connects(&upstreams, &route).await);
    }
}
