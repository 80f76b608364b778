//! An upstream that closes, resets, hangs or says nonsense at any byte of the talk: nobody waits beyond the time-out, the
//! password is shown at most once more than without the fault, the client and the record hear what happened, and the
//! next client is served.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{Fault, Faulty, Guard, Head, Heard, Kind, Leg, Peer, Relay, RelayPlan, Say, Upstream, until};

/// Where nobody falls silent, whatever else the machine does.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);

/// Where somebody does.
const SHORT_TIMEOUT: Duration = Duration::from_secs(3);

/// How many of the time-out it may take in all, on a machine that does much else.
const SLACK: u32 = 5;

/// Relays at a time, and how many of them do more than wait for a time-out.
const AT_ONCE: usize = 96;
const AT_WORK: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Auth {
    Open,
    Ntlm,
    Digest,
    Basic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Connect,
    /// A CONNECT that is answered with a 403 and its page.
    Forbidden,
    Get,
    Post,
}

#[derive(Debug, Clone, Copy)]
struct Talk {
    auth: Auth,
    request: Request,
    /// The upstream accepted the secret before.
    proven: bool,
    handshake_timeout: Duration,
}

const ALL: [Request; 4] = [Request::Connect, Request::Forbidden, Request::Get, Request::Post];

/// What came of it, for the client and in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// 0: the connection ended without an answer.
    status: u16,
    /// All that the answer promised came.
    whole: bool,
    end: String,
    proofs: usize,
}

fn script(auth: Auth) -> impl Fn(&Heard) -> Say + Send + Sync + 'static {
    let guard = Guard::new("NTLM");
    move |heard| {
        let challenge = match auth {
            Auth::Ntlm => guard.challenge(heard),
            Auth::Open => None,
            Auth::Digest | Auth::Basic if Leg::of(heard) == Leg::Proof => None,
            Auth::Digest => Some("Digest realm=\"r\", nonce=\"n\", qop=\"auth\"".into()),
            Auth::Basic => Some("Basic realm=\"r\"".into()),
        };
        match challenge {
            Some(value) => {
                let fields = format!("Proxy-Authenticate: {value}\r\nContent-Length: 6");
                Say::answer(format!("HTTP/1.1 407 Who\r\n{fields}\r\n\r\nlog in"))
            }
            None if heard.head.line().starts_with("CONNECT no.") => {
                Say::answer("HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nnever\r\n0\r\n\r\n")
            }
            None => Say::welcome(heard),
        }
    }
}

/// An answer of the talk as it is without a fault.
#[derive(Debug, Clone)]
struct Line {
    number: usize,
    leg: Leg,
    /// Bytes of the request that it answers.
    asked: usize,
    /// Bytes of its own head, and of all of it.
    head: usize,
    length: usize,
    /// What follows shows the secret.
    before_proof: bool,
    is_last: bool,
}

impl Talk {
    fn all(requests: &[Request], handshake_timeout: Duration) -> Vec<Self> {
        let mut all = Vec::new();
        for auth in [Auth::Open, Auth::Ntlm, Auth::Digest, Auth::Basic] {
            for request in requests {
                all.push(Self { auth, request: *request, proven: false, handshake_timeout });
                if auth != Auth::Open {
                    all.push(Self { auth, request: *request, proven: true, handshake_timeout });
                }
            }
        }
        all
    }

    /// The upstream, and a relay before it that has come as far as the talk presumes.
    async fn stage(self) -> (Faulty, Relay) {
        let upstream = Faulty::start(script(self.auth)).await;
        let schemes = if self.auth == Auth::Basic { "schemes = [\"basic\"]" } else { "" };
        let plan = RelayPlan::default().upstream_with(upstream.addr, schemes);
        let relay = plan.key(&format!("handshake_timeout = \"{}ms\"", self.handshake_timeout.as_millis())).start();
        if self.proven {
            assert_eq!(ask(&relay, Request::Connect, "before").await, (200, true));
            relay.records(1).await;
        }
        (upstream, relay)
    }

    async fn rehearse(self) -> Vec<Line> {
        let (upstream, relay) = self.stage().await;
        let before = upstream.answers().len();
        let fine = self.fine();
        assert_eq!(ask(&relay, self.request, "now").await, (fine.status, fine.whole), "{self:?}");
        let (answers, heard) = (upstream.answers().split_off(before), upstream.heard().split_off(before));
        let line = |(number, (leg, bytes)): (usize, &(Leg, Vec<u8>))| Line {
            number,
            leg: *leg,
            asked: heard[number].head.0.len() + heard[number].body.len(),
            head: bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4,
            length: bytes.len(),
            before_proof: answers.get(number + 1).is_some_and(|(leg, _)| *leg == Leg::Proof),
            is_last: number + 1 == answers.len(),
        };
        answers.iter().enumerate().map(line).collect()
    }

    async fn perform(self, fault: Fault, work: Arc<Semaphore>) -> Seen {
        let mut turn = work.clone().acquire_owned().await.ok();
        let (upstream, relay) = self.stage().await;
        let (records, patience) = (usize::from(self.proven), SLACK * self.handshake_timeout);
        upstream.arm(fault);
        let begun = Instant::now();
        let asked = {
            let mut asking = pin!(timeout(patience, ask(&relay, self.request, "now")));
            tokio::select! {
                asked = &mut asking => asked,
                () = until("the fault", || upstream.struck()) => {
                    drop(turn.take());
                    asking.await
                }
            }
        };
        let (status, whole) = asked.unwrap_or_else(|_| panic!("no answer within {patience:?}"));
        let end = relay.records(records + 1).await[records]["end"].as_str().unwrap().to_string();
        assert!(begun.elapsed() < patience, "{:?}", begun.elapsed());
        assert!(upstream.struck(), "there was no such byte");
        let seen = Seen { status, whole, end, proofs: upstream.proofs() };
        drop(turn.take());
        let _turn = work.acquire_owned().await.ok();
        let mut next = timeout(patience, ask(&relay, Request::Connect, "after")).await;
        // One that could not be reached is looked for in the background.
        while seen.end == "unreachable" && begun.elapsed() < patience && !matches!(next, Ok((200, true))) {
            next = timeout(patience, ask(&relay, Request::Connect, "after")).await;
        }
        // A secret that may have been refused and was never accepted is not shown again at once.
        let waits = !self.proven && (seen.end == "handshake_broken" || seen.end == "handshake_timeout");
        match next {
            Ok((200, true)) => {}
            Ok((407, _)) if waits && relay.records(records + 2).await[records + 1]["end"] == "breaker_open" => {}
            next => panic!("the next client got {next:?} after {seen:?}"),
        }
        relay.stop().await;
        until("the relay's connections to the upstream to end with it", || upstream.open() == 0).await;
        seen
    }

    fn seen(self, status: u16, whole: bool, end: &str, proofs: usize) -> Seen {
        Seen { status, whole, end: end.into(), proofs }
    }

    fn fine(self) -> Seen {
        let (status, end) = if self.request == Request::Forbidden { (403, "upstream_refused") } else { (200, "done") };
        self.seen(status, true, end, usize::from(self.auth != Auth::Open))
    }

    /// With the secret shown once more.
    fn fine_after_all(self) -> Seen {
        Seen { proofs: self.fine().proofs + 1, ..self.fine() }
    }

    fn broken(self, proofs: usize) -> Seen {
        self.seen(502, true, "handshake_broken", proofs)
    }

    fn slow(self, proofs: usize) -> Seen {
        self.seen(504, true, "handshake_timeout", proofs)
    }

    /// What may come of an upstream that breaks off before the first byte of an answer.
    fn after_no_answer(self, line: &Line) -> Seen {
        // The legs of a POST are a HEAD, but the first message and the last one go with the POST itself.
        let may_repeat = self.request != Request::Post || line.leg == Leg::First;
        match (line.leg, may_repeat) {
            (_, false) => self.broken(usize::from(line.leg == Leg::Proof)),
            (Leg::Proof, true) if !self.proven => self.broken(1),
            (Leg::Proof, true) => self.fine_after_all(),
            (Leg::Bare | Leg::First, true) => self.fine(),
        }
    }

    fn after_break(self, line: &Line, at: usize, kind: Kind) -> Vec<Seen> {
        let cut = if kind == Kind::Reset { "upstream_reset" } else { "upstream_closed" };
        // Half an answer is not asked for again, unless it is one that no request of the client's led to.
        let is_ours = matches!(self.request, Request::Connect | Request::Forbidden)
            || (self.request == Request::Post && line.leg == Leg::First);
        let proofs = usize::from(line.leg == Leg::Proof);
        match (line.is_last, self.request) {
            _ if at < line.head && (at == 0 || is_ours) => vec![self.after_no_answer(line)],
            _ if at < line.head => vec![self.broken(proofs)],
            (true, Request::Connect) => {
                let end = if kind == Kind::Reset { "upstream_reset" } else { "done" };
                vec![self.seen(200, false, end, proofs)]
            }
            (true, _) if at < line.length => vec![self.seen(self.fine().status, false, cut, proofs)],
            // What is sent next meets an end that may have been seen in time.
            (false, _) if at == line.length && line.before_proof && (!self.proven || self.request == Request::Post) => {
                vec![self.fine(), self.broken(0)]
            }
            _ => vec![self.fine()],
        }
    }

    /// Nothing where the origin may be what is slow, and the client decides how long that is too long.
    fn after_stall(self, line: &Line, at: usize) -> Vec<Seen> {
        let is_tunnel = matches!(self.request, Request::Connect | Request::Forbidden);
        let proofs = usize::from(line.leg == Leg::Proof);
        if line.is_last && at >= line.head {
            return match self.request {
                Request::Forbidden if at < line.length => vec![self.seen(403, false, "handshake_timeout", proofs)],
                Request::Forbidden => vec![self.fine()],
                Request::Connect | Request::Get | Request::Post => Vec::new(),
            };
        }
        let is_ours = is_tunnel || (self.request == Request::Post && line.leg == Leg::First);
        let follows_a_demand = line.leg == Leg::First && line.number > 0;
        let origin_may_be_slow = match at {
            0 => !is_ours && !follows_a_demand,
            // The next message is what the origin answers.
            at => !is_tunnel && at == line.length && line.before_proof,
        };
        if origin_may_be_slow { Vec::new() } else { vec![self.slow(proofs)] }
    }

    fn after_garbage(self, line: &Line, at: usize, seen: &Seen) -> bool {
        let ends = [
            (200, "done"),
            (200, "upstream_closed"),
            (403, "upstream_refused"),
            (403, "upstream_closed"),
            (502, "handshake_broken"),
            // A head without a challenge that can be read.
            (407, "no_credential"),
        ];
        let is_broken = seen.status == 502 && seen.end == "handshake_broken";
        (at > 0 || is_broken)
            && (at > line.length || ends.contains(&(seen.status, &seen.end)))
            && seen.proofs <= self.fine().proofs + 1
    }
}

/// The status of the answer and whether it was whole; a tunnel is whole that carries bytes both ways.
async fn ask(relay: &Relay, request: Request, name: &str) -> (u16, bool) {
    let mut client = relay.client().await;
    let text = match request {
        Request::Connect => format!("CONNECT {name}.test:443 HTTP/1.1\r\nHost: {name}.test:443\r\n\r\n"),
        Request::Forbidden => format!("CONNECT no.{name}.test:443 HTTP/1.1\r\nHost: no.{name}.test:443\r\n\r\n"),
        Request::Get => format!("GET http://{name}.test/ HTTP/1.1\r\nHost: {name}.test\r\n\r\n"),
        Request::Post => {
            format!("POST http://{name}.test/ HTTP/1.1\r\nHost: {name}.test\r\nContent-Length: 4\r\n\r\nbody")
        }
    };
    client.send(text).await;
    let Some(head) = client.try_head().await else { return (0, false) };
    let status = head.status();
    let whole = match (request, status) {
        (Request::Connect, 200) => client.try_send(b"ping").await && client.take_up_to(4).await == b"ping",
        _ => is_body_whole(&mut client, &head).await,
    };
    (status, whole)
}

async fn is_body_whole(client: &mut Peer, head: &Head) -> bool {
    match head.one("content-length") {
        Some(length) => {
            let length = length.parse().unwrap();
            client.take_up_to(length).await.len() == length
        }
        None => client.rest().await.ends_with(b"0\r\n\r\n"),
    }
}

/// What a fault may lead to.
type Judge = Box<dyn Fn(&Seen) -> bool + Send>;

fn one_of(expected: Vec<Seen>) -> Judge {
    Box::new(move |seen| expected.contains(seen))
}

async fn run(cases: Vec<(Talk, Fault, Judge)>) {
    let (turns, mut running) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    let (count, work) = (cases.len(), Arc::new(Semaphore::new(AT_WORK)));
    assert!(count > 0);
    for (talk, fault, judge) in cases {
        let (turns, work) = (turns.clone(), work.clone());
        running.spawn(async move {
            let _turn = turns.acquire_owned().await.unwrap();
            let played = tokio::spawn(talk.perform(fault, work)).await;
            match played {
                Ok(seen) if judge(&seen) => None,
                Ok(seen) => Some(format!("{talk:?} {fault:?}: {seen:?}")),
                Err(error) => Some(format!("{talk:?} {fault:?}: {error}")),
            }
        });
    }
    let wrong: Vec<String> = running.join_all().await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

/// With `HALLPASS_FAULTS=all` every fault strikes at every byte; else some are left out.
fn all() -> bool {
    std::env::var("HALLPASS_FAULTS").is_ok_and(|value| value == "all")
}

/// Every one, or as few as lie `stride` bytes apart and all where something begins or ends.
fn offsets(line: &Line, stride: usize) -> impl Iterator<Item = usize> {
    let (head, length, stride) = (line.head, line.length, if all() { 1 } else { stride });
    let is_edge = move |at: usize| at <= 1 || at.abs_diff(head) <= 1 || length - at <= 1;
    (0..=length).filter(move |at| at % stride == 0 || is_edge(*at))
}

async fn breaks(requests: &[Request], stride: usize) {
    let mut cases: Vec<(Talk, Fault, Judge)> = Vec::new();
    for talk in Talk::all(requests, HANDSHAKE_TIMEOUT) {
        for line in talk.rehearse().await {
            for at in offsets(&line, stride) {
                for kind in [Kind::Close, Kind::Reset] {
                    if all() || (at % 2 == 0) == (kind == Kind::Close) {
                        let expected = talk.after_break(&line, at, kind);
                        cases.push((talk, Fault::Answer { leg: line.leg, at, kind }, one_of(expected)));
                    }
                }
            }
        }
    }
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_may_break_off_at_every_byte_of_a_tunnels_handshake() {
    breaks(&[Request::Connect], 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_may_break_off_at_any_byte_of_what_is_no_tunnel() {
    breaks(&[Request::Forbidden, Request::Get, Request::Post], 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_falls_silent_is_waited_for_no_longer_than_configured() {
    let mut cases: Vec<(Talk, Fault, Judge)> = Vec::new();
    for talk in Talk::all(&ALL, SHORT_TIMEOUT) {
        for line in talk.rehearse().await {
            for at in offsets(&line, 40) {
                let expected = talk.after_stall(&line, at);
                if !expected.is_empty() {
                    cases.push((talk, Fault::Answer { leg: line.leg, at, kind: Kind::Stall }, one_of(expected)));
                }
            }
        }
    }
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_says_nonsense_is_left_without_more_ado() {
    let mut cases: Vec<(Talk, Fault, Judge)> = Vec::new();
    for talk in Talk::all(&ALL, HANDSHAKE_TIMEOUT) {
        for line in talk.rehearse().await {
            for at in offsets(&line, 17) {
                let place = line.clone();
                let judge: Judge = Box::new(move |seen| talk.after_garbage(&place, at, seen));
                cases.push((talk, Fault::Answer { leg: line.leg, at, kind: Kind::Garbage }, judge));
            }
        }
    }
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_may_break_off_while_it_reads_a_request() {
    let mut cases: Vec<(Talk, Fault, Judge)> = Vec::new();
    for talk in Talk::all(&ALL, HANDSHAKE_TIMEOUT) {
        for line in talk.rehearse().await {
            for at in [0, 1, 7, 40, line.asked - 1] {
                for kind in [Kind::Close, Kind::Reset] {
                    let unheard = talk.after_no_answer(&line);
                    let proofs = unheard.proofs - usize::from(line.leg == Leg::Proof);
                    let mut expected = vec![Seen { proofs, ..unheard }];
                    if at == 0 {
                        // Its end may have been seen in time, or have been that of one that was dialled ahead.
                        expected.push(talk.fine());
                    }
                    if at == 0 && line.number == 0 && kind == Kind::Reset {
                        // It may end before it is known to have come about.
                        expected.push(talk.seen(502, true, "unreachable", 0));
                    }
                    cases.push((talk, Fault::Request { number: line.number, at, kind }, one_of(expected)));
                }
            }
        }
    }
    run(cases).await;
}

/// Its end comes right behind the 407, but not always before the answer to it.
#[tokio::test]
async fn a_proof_is_not_lost_at_an_upstream_that_closes_with_its_407_and_does_not_say_so() {
    let mut passed = 0;
    for _ in 0..20 {
        let upstream = Upstream::start(|heard| match Leg::of(heard) {
            Leg::Proof => Say::welcome(heard),
            Leg::Bare | Leg::First => {
                let fields = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\nContent-Length: 0";
                Say::last(format!("HTTP/1.1 407 Who\r\n{fields}\r\n\r\n"))
            }
        })
        .await;
        let relay = Relay::before(upstream.addr).start();
        passed += usize::from(ask(&relay, Request::Connect, "h").await == (200, true));
    }
    assert!(passed > 0);
}
