//! The 407 exchange, from the first request to the last answer, without a socket: the upstream's part is played from
//! what was seen once, and is not in the figures.

use std::hint::black_box;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use criterion::Criterion;
use hallpass::auth::lockout::{Closed, Leave, Permit, Verdict};
use hallpass::auth::{Action, Exchange, Mechanisms, Opening, Plan, RequestLine, Scheme, Start};
use hallpass::mechanism::{Account, Canonicalize, Grant, Identities, Outside, Recipient, Settings};
use hallpass::practice::{self, NtlmJudge};
use hallpass::secret::{Credentials, Secret};

use super::endpoint;

const UPSTREAM: &str = "proxy.corp.example:8080";
const PASSWORD: &str = "Alice-Pw-1";
const DIGEST: &str = r#"Digest realm="corp", nonce="5f1c0a4be06f4b8d9f0a1b2c3d4e5f60", qop="auth", algorithm=MD5"#;

pub fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("exchange");
    let ntlm = Played::new(Scheme::Ntlm, "NTLM");
    ntlm.is_believed();
    group.bench_function("ntlm, cold", |bencher| bencher.iter(|| ntlm.whole(None)));
    group.bench_function("ntlm, remembered", |bencher| bencher.iter(|| ntlm.whole(Some(Scheme::Ntlm))));
    let basic = Played::new(Scheme::Basic, r#"Basic realm="corp""#);
    group.bench_function("basic, remembered", |bencher| bencher.iter(|| basic.whole(Some(Scheme::Basic))));
    let digest = Played::new(Scheme::Digest, DIGEST);
    group.bench_function("digest, cold", |bencher| bencher.iter(|| digest.whole(None)));
    group.bench_function("digest, remembered", |bencher| bencher.iter(|| digest.whole(Some(Scheme::Digest))));
    group.finish();
}

/// An upstream that asks for one scheme.
struct Played {
    scheme: Scheme,
    mechanisms: Arc<dyn Mechanisms>,
    request: RequestLine,
    /// What its 407 to a bare request says.
    offer: String,
    /// What its 407 to a first NTLM message says.
    second: String,
}

impl Played {
    fn new(scheme: Scheme, offer: &str) -> Self {
        let account = Account::new(Settings {
            user: Some(r"CORP\alice".parse().unwrap()),
            password: Arc::new(|| Ok(Some(Secret::new(PASSWORD)))),
            ..Settings::default()
        });
        let grant = Grant {
            upstream: Recipient::Upstream(endpoint(UPSTREAM)),
            account: Arc::new(account),
            schemes: vec![scheme],
            spn: None,
            canonicalize: Canonicalize::Never,
        };
        let played = Self {
            scheme,
            mechanisms: Arc::new(Identities::new(vec![grant], Outside::none())),
            request: RequestLine { method: "CONNECT".into(), uri: "api.example.com:443".into() },
            offer: offer.into(),
            second: String::new(),
        };
        let second = challenge(&mut NtlmJudge::default(), &hallpass::auth::ntlm::negotiate());
        Self { second, ..played }
    }

    fn exchange(&self, remembered: Option<Scheme>) -> Exchange {
        Exchange::new(Plan {
            upstream: endpoint(UPSTREAM),
            schemes: [self.scheme].into(),
            mechanisms: self.mechanisms.clone(),
            binding: None,
            remembered: remembered.map(Start::Scheme),
        })
    }

    /// One whole exchange that ends well.
    fn whole(&self, remembered: Option<Scheme>) {
        let mut exchange = self.exchange(remembered);
        let mut sent = self.opening(&mut exchange);
        if sent.is_none() {
            sent = Some(self.answer(&mut exchange, &self.offer));
        }
        if self.scheme == Scheme::Ntlm {
            sent = Some(self.answer(&mut exchange, &self.second));
        }
        assert!(exchange.proves_now());
        exchange.conclude(200);
        black_box((sent, exchange.outcome()));
    }

    fn opening(&self, exchange: &mut Exchange) -> Option<Credentials> {
        loop {
            match exchange.opening(&self.request).unwrap() {
                Opening::Bare => return None,
                Opening::With(credentials) => return Some(credentials),
                Opening::Wait(start) => exchange.allow(self.leave(start)),
            }
        }
    }

    fn answer(&self, exchange: &mut Exchange, challenge: &str) -> Credentials {
        loop {
            match exchange.on_challenge([challenge.as_bytes()], true, &self.request) {
                Action::Send(credentials) => return credentials,
                Action::Wait(start) => exchange.allow(self.leave(start)),
                other @ (Action::Reconnect | Action::Refuse(_)) => panic!("{other:?}"),
            }
        }
    }

    fn leave(&self, start: Start) -> Leave {
        let stake = self.mechanisms.stake(start, &endpoint(UPSTREAM)).unwrap();
        let proof = stake.known().map_or_else(|| stake.read(), Ok).unwrap();
        Leave::new(proof, Box::new(Always))
    }

    /// That what is measured is a log-in which somebody who checks it takes.
    fn is_believed(&self) {
        let mut judge = NtlmJudge::default();
        let mut exchange = self.exchange(Some(Scheme::Ntlm));
        let first = token(&self.opening(&mut exchange).unwrap());
        let third = token(&self.answer(&mut exchange, &challenge(&mut judge, &first)));
        let accounts = practice::Accounts::new([practice::Account::new("CORP", "alice", PASSWORD)]);
        let verdict = judge.step(&accounts, "CORP", None, &third);
        assert!(matches!(verdict, practice::Verdict::Accept(_)), "{verdict:?}");
    }
}

/// The 407 that a first message leads to.
fn challenge(judge: &mut NtlmJudge, first: &[u8]) -> String {
    match judge.step(&practice::Accounts::default(), "CORP", None, first) {
        practice::Verdict::Challenge(second) => format!("NTLM {}", STANDARD.encode(second)),
        other @ (practice::Verdict::Accept(_) | practice::Verdict::Reject(_) | practice::Verdict::OutOfOrder) => {
            panic!("{other:?}")
        }
    }
}

fn token(credentials: &Credentials) -> Vec<u8> {
    let value = std::str::from_utf8(credentials.expose()).unwrap();
    STANDARD.decode(value.split_once(' ').unwrap().1).unwrap()
}

/// Who counts log-ons is not measured here.
struct Always;

impl Permit for Always {
    fn is_good(&self) -> bool {
        true
    }

    fn is_spent(&self) -> bool {
        false
    }

    fn is_proven(&self) -> bool {
        true
    }

    fn show(&self) {}

    fn withhold(&self) {}

    fn judge(&self, _: Verdict) {}

    fn lose(&self) {}

    fn closed(&self) -> Closed {
        Closed { rejected: true, since: 0, next: None }
    }
}
