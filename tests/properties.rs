//! The exchange, with real mechanisms, against upstreams that answer anything at any leg: what must hold of every talk.
//!
//! Each case is a number: it says what is configured and what the upstream does. A failure prints the talk and the number;
//! `one_case` is the place to repeat it.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

#[path = "properties/numbers.rs"]
mod numbers;
#[path = "properties/talk.rs"]
mod talk;
#[path = "properties/upstream.rs"]
mod upstream;

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallpass::auth::{MAX_LEGS, Scheme, Start};
use hallpass::secret::Credentials;
use tracing_subscriber::fmt::MakeWriter;

use numbers::Numbers;
use talk::{Next, PASSWORD, Plan, Talk};
use upstream::{Answer, Upstream};

const CASES: u64 = 6_000;

#[test]
fn every_talk_keeps_to_the_rules_and_shows_no_secret_whatever_the_upstream_says() {
    let mut seen = Seen::default();
    for number in 0..CASES {
        one_case(number, &mut seen);
    }
    // The cases reach what they are for, or the rules hold of nothing.
    let Seen { proofs, verdicts, stale, endless, falls, accepted } = seen;
    for (what, count) in [
        ("proofs", proofs),
        ("verdicts", verdicts),
        ("stale nonces", stale),
        ("talks without an end", endless),
        ("second schemes", falls),
        ("successes", accepted),
    ] {
        assert!(count > 100, "only {count} {what} in {CASES} talks");
    }
    writes_no_secret_into_the_log();
}

/// In one test with the others: whoever logs on another thread decides what this one hears.
fn writes_no_secret_into_the_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let shown = tracing::subscriber::with_default(subscriber, || {
        (0..1_000).flat_map(|number| one_case(number, &mut Seen::default())).collect::<Vec<_>>()
    });
    let log = String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();
    assert!(log.contains("leg made") && log.contains("proves_secret=true"), "the log is not one at trace level");
    assert!(shown.len() > 300, "only {} messages were sent", shown.len());
    for value in shown {
        let text = String::from_utf8(value).unwrap();
        let token = text.split_once(' ').map_or(&*text, |(_, token)| token);
        assert!(!log.contains(token), "{token}");
    }
    for secret in &*SECRETS {
        assert!(!log.contains(secret), "{secret}");
    }
}

/// The password in the forms in which it could slip out.
static SECRETS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let utf_16: Vec<u8> = PASSWORD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let nt_hash = <md4::Md4 as md4::Digest>::digest(&utf_16);
    vec![PASSWORD.into(), STANDARD.encode(PASSWORD), STANDARD.encode(format!("alice:{PASSWORD}")), hex(&nt_hash)]
});

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// How often the cases reached what they are for.
#[derive(Default)]
struct Seen {
    proofs: u64,
    verdicts: u64,
    stale: u64,
    endless: u64,
    falls: u64,
    accepted: u64,
}

/// One request at one upstream from its first message to its end; gives what was sent as credentials.
fn one_case(number: u64, seen: &mut Seen) -> Vec<Vec<u8>> {
    let mut numbers = Numbers::new(number);
    let plan = Plan::random(&mut numbers);
    let mut upstream = Upstream::random(&mut numbers);
    let mut judge = Judge { number, plan: plan.clone(), ..Judge::default() };
    let mut talk = Talk::begin(&plan);
    let mut next = talk.opening();
    loop {
        judge.is_told(&next, &format!("{talk:?}"), seen);
        next = match next {
            Next::Bare | Next::Send(_) => {
                let answer = upstream.answer(judge.last.as_deref(), &mut numbers);
                judge.hears(&answer, seen);
                match answer {
                    Answer::Challenge { fields, persists, .. } => talk.challenged(&fields, persists),
                    Answer::Break => talk.broken(),
                    Answer::Final(status) => {
                        let proven = talk.ended(status);
                        judge.ends(status, proven, seen);
                        return judge.sent;
                    }
                }
            }
            Next::Reconnect => {
                judge.connection_is_new();
                talk.opening()
            }
            Next::Refuse(_) => return judge.sent,
        };
    }
}

/// Knows the rules, and sees only what goes over the wire.
#[derive(Default)]
struct Judge {
    number: u64,
    plan: Plan,
    /// All that was said, for the person who reads a failure.
    story: Vec<String>,
    sent: Vec<Vec<u8>>,
    /// What the last request carried, and what came back.
    last: Option<Vec<u8>>,
    heard: Option<Answer>,
    requests: usize,
    schemes: Vec<Scheme>,
    proofs: usize,
    /// A 407 without `stale` came to what showed the secret.
    judged: bool,
    /// Nothing came to what showed the secret.
    unanswered_proofs: usize,
}

impl Judge {
    fn holds(&self, rule: bool, what: &str) {
        assert!(rule, "case {}: {what}\n{:#?}\n{}", self.number, self.plan, self.story.join("\n"));
    }

    fn is_told(&mut self, next: &Next, shown: &str, seen: &mut Seen) {
        let told = format!("{next:?}");
        self.story.push(format!("  ours: {told}"));
        for secret in SECRETS.iter().chain(&self.sent.iter().map(|value| tail(value)).collect::<Vec<_>>()) {
            self.holds(!told.contains(secret) && !shown.contains(secret), "Debug or Display shows a secret");
        }
        match next {
            Next::Send(credentials) => self.sends(credentials, seen),
            Next::Bare => {
                self.holds(
                    !matches!(self.heard, Some(Answer::Challenge { persists: true, .. })),
                    "a 407 was answered bare",
                );
                self.last = None;
            }
            Next::Reconnect => self.holds(!self.judged, "a fresh connection after a verdict"),
            Next::Refuse(why) => {
                self.holds(why.rejected == self.judged, "what was judged is called rejected, and nothing else");
                seen.endless += u64::from(why.endless);
            }
        }
        if matches!(next, Next::Send(_) | Next::Bare) {
            self.requests += 1;
        }
        self.holds(self.sent.len() <= MAX_LEGS.min(16), "more legs than any scheme needs");
        self.holds(self.requests <= MAX_LEGS + 4, "no end of requests");
    }

    fn sends(&mut self, credentials: &Credentials, seen: &mut Seen) {
        let value = credentials.expose().to_vec();
        let sent = Sent::read(&value);
        self.holds(self.plan.schemes.contains(&sent.scheme), "a scheme that is not allowed");
        self.holds(value.iter().all(|byte| !b"\r\n\0".contains(byte)), "a value that ends its field");
        let challenged = match &self.heard {
            Some(Answer::Challenge { persists, fields, .. }) => {
                self.holds(*persists, "an answer on a connection that ends");
                let known = fields.iter().any(|field| sent.is_asked_for_by(field));
                self.holds(known, "an answer to nothing that was asked");
                true
            }
            Some(Answer::Break | Answer::Final(_)) | None => false,
        };
        if sent.proves {
            self.holds(!self.judged, "the secret is shown after a verdict");
            let twice = self.unanswered_proofs == 0 || self.plan.proven && self.unanswered_proofs == 1;
            self.holds(twice, "what may have been counted is shown again");
            seen.proofs += 1;
            self.proofs += 1;
        }
        if sent.third {
            // On the connection of its first message, right behind the second.
            let first = self.last.as_deref().map(Sent::read);
            self.holds(challenged && first.is_some_and(|first| first.first), "a third message that follows no first");
        }
        if !self.schemes.contains(&sent.scheme) {
            seen.falls += u64::from(!self.schemes.is_empty());
            self.schemes.push(sent.scheme);
        }
        self.sent.push(value.clone());
        self.last = Some(value);
    }

    fn hears(&mut self, answer: &Answer, seen: &mut Seen) {
        self.story.push(format!("theirs: {answer:?}"));
        let proves = self.last.as_deref().is_some_and(|value| Sent::read(value).proves);
        match answer {
            Answer::Challenge { stale, .. } if proves => {
                let digest = self.last.as_deref().is_some_and(|value| Sent::read(value).scheme == Scheme::Digest);
                let fresh = *stale && digest;
                seen.stale += u64::from(fresh);
                seen.verdicts += u64::from(!fresh);
                self.judged = !fresh;
            }
            Answer::Break if proves => self.unanswered_proofs += 1,
            Answer::Challenge { .. } | Answer::Break | Answer::Final(_) => {}
        }
        self.heard = Some(answer.clone());
    }

    fn connection_is_new(&mut self) {
        self.heard = None;
        self.last = None;
    }

    /// A password counts as good when it was shown and somebody who looked let it pass.
    fn ends(&mut self, status: u16, proven: bool, seen: &mut Seen) {
        let shown = self.last.as_deref().is_some_and(|value| Sent::read(value).proves);
        self.holds(proven == (shown && status < 500), "what is remembered of the secret");
        seen.accepted += u64::from(proven);
    }
}

fn tail(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.split_once(' ').map_or(text.to_string(), |(_, token)| token.into())
}

/// What our credentials are to somebody who reads them off the wire.
struct Sent {
    /// The one that must be allowed: NTLM, if its messages go under the name of Negotiate.
    scheme: Scheme,
    word: String,
    proves: bool,
    /// NTLM's first and third message.
    first: bool,
    third: bool,
}

impl Sent {
    fn read(value: &[u8]) -> Self {
        let text = std::str::from_utf8(value).unwrap();
        let (word, token) = text.split_once(' ').unwrap();
        let scheme: Scheme = word.parse().unwrap();
        let token = STANDARD.decode(token).unwrap_or_default();
        let ntlm = token.windows(8).position(|part| part == b"NTLMSSP\0").map(|at| token[at + 8]);
        let scheme = if ntlm.is_some() { Scheme::Ntlm } else { scheme };
        let third = ntlm == Some(3);
        let proves = third || matches!(scheme, Scheme::Digest | Scheme::Basic);
        Self { scheme, word: word.into(), proves, first: ntlm == Some(1), third }
    }

    fn is_asked_for_by(&self, field: &[u8]) -> bool {
        let field = String::from_utf8_lossy(field).to_ascii_lowercase();
        field.contains(&self.word.to_ascii_lowercase())
    }
}

/// `Start` names what a plan remembers.
const STARTS: [Start; 5] = [
    Start::Scheme(Scheme::Negotiate),
    Start::Scheme(Scheme::Ntlm),
    Start::NtlmInNegotiate,
    Start::Scheme(Scheme::Digest),
    Start::Scheme(Scheme::Basic),
];
