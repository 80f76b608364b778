//! The exchange against every kind of answer, with mechanisms that follow a script.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::address::{Protocol, Target};
use crate::auth::lockout::{Permit, Proof};
use crate::secret::Secret;

/// What a mechanism says leg by leg: its credentials and whether they show the secret.
type Script = Vec<Result<(&'static str, bool), MechanismError>>;

#[derive(Default)]
struct Scripted {
    scripts: Mutex<HashMap<Start, Script>>,
}

/// What the breaker hears of the leaves that it gave.
#[derive(Default)]
struct Breaker {
    heard: Mutex<Vec<&'static str>>,
    proven: AtomicBool,
    open: AtomicBool,
}

struct Given {
    breaker: Arc<Breaker>,
    spent: AtomicBool,
}

impl Permit for Given {
    fn is_good(&self) -> bool {
        !self.breaker.open.load(Ordering::Relaxed)
    }

    fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    fn is_proven(&self) -> bool {
        self.breaker.proven.load(Ordering::Relaxed)
    }

    fn show(&self) {
        self.breaker.hear("shown");
    }

    fn withhold(&self) {
        self.breaker.hear("withheld");
    }

    fn judge(&self, verdict: Verdict) {
        self.spent.store(true, Ordering::Relaxed);
        self.breaker.hear(match verdict {
            Verdict::Accepted => "accepted",
            Verdict::Rejected => "rejected",
            Verdict::Unclear => "unclear",
        });
    }

    fn lose(&self) {
        self.breaker.hear("lost");
    }

    fn closed(&self) -> Closed {
        Closed { rejected: true, since: 0, next: None }
    }
}

impl Breaker {
    fn hear(&self, what: &'static str) {
        self.heard.lock().unwrap().push(what);
    }
}

struct Player(std::vec::IntoIter<Result<(&'static str, bool), MechanismError>>);

/// As mechanisms do that need the secret from the beginning.
fn shows_the_secret(script: &Script) -> bool {
    script.iter().any(|leg| matches!(leg, Ok((_, true)) | Err(MechanismError::Rejected(_))))
}

impl Mechanism for Player {
    fn step(&mut self, _: &RequestLine, _: Option<&Challenge>) -> Result<Leg, MechanismError> {
        let (text, proves_secret) =
            self.0.next().unwrap_or_else(|| Err(MechanismError::BadChallenge("script is over".into())))?;
        Ok(Leg { credentials: Credentials::new(text), proves_secret })
    }
}

impl Mechanisms for Scripted {
    fn start(
        &self,
        start: Start,
        _: &Endpoint,
        _: Option<&ChannelBinding>,
        leave: Option<&Leave>,
    ) -> Result<Box<dyn Mechanism>, MechanismError> {
        match self.scripts.lock().unwrap().get(&start) {
            Some(script) if shows_the_secret(script) && leave.is_none() => Err(MechanismError::NeedsLeave),
            Some(script) => Ok(Box::new(Player(script.clone().into_iter()))),
            None => unavailable(),
        }
    }
}

fn unavailable<T>() -> Result<T, MechanismError> {
    Err(MechanismError::Unavailable("none of it".into()))
}

const NTLM: Start = Start::Scheme(Scheme::Ntlm);
const KERBEROS: Start = Start::Scheme(Scheme::Negotiate);
const DIGEST: Start = Start::Scheme(Scheme::Digest);
const BASIC: Start = Start::Scheme(Scheme::Basic);

const REJECTED_NTLM: &str =
    "refuse: the upstream rejected the credential (NTLM): wrong, changed, expired or locked: nobody says which";
const REJECTED_DIGEST: &str =
    "refuse: the upstream rejected the credential (Digest): wrong, changed, expired or locked: nobody says which";

fn ntlm() -> Script {
    vec![Ok(("type 1", false)), Ok(("type 3", true))]
}

struct Stage {
    exchange: Exchange,
    breaker: Arc<Breaker>,
    request: RequestLine,
}

impl Stage {
    fn new(scripts: impl IntoIterator<Item = (Start, Script)>) -> Self {
        Self::with(scripts, None, false)
    }

    fn with(scripts: impl IntoIterator<Item = (Start, Script)>, remembered: Option<Start>, proven: bool) -> Self {
        let mechanisms = Arc::new(Scripted { scripts: Mutex::new(scripts.into_iter().collect()) });
        let plan = Plan {
            upstream: Endpoint { target: Target::parse("proxy.example:8080", None).unwrap(), protocol: Protocol::Http },
            schemes: [Scheme::Negotiate, Scheme::Ntlm, Scheme::Digest, Scheme::Basic].into(),
            mechanisms,
            binding: None,
            remembered,
        };
        let breaker = Arc::new(Breaker { proven: proven.into(), ..Breaker::default() });
        let request = RequestLine { method: "CONNECT".into(), uri: "h:443".into() };
        Self { exchange: Exchange::new(plan), breaker, request }
    }

    fn opening(&mut self) -> String {
        loop {
            return match self.exchange.opening(&self.request) {
                Ok(Opening::With(credentials)) => String::from_utf8_lossy(credentials.expose()).into_owned(),
                Ok(Opening::Bare) => "bare".into(),
                Ok(Opening::Wait(_)) => {
                    self.allow();
                    continue;
                }
                Err(refusal) => format!("refuse: {refusal}"),
            };
        }
    }

    fn allow(&mut self) {
        let permit = Given { breaker: self.breaker.clone(), spent: AtomicBool::new(false) };
        self.exchange.allow(Leave::new(Proof::Password(Secret::new("p")), Box::new(permit)));
    }

    fn hears(&mut self, status: u16, challenges: &[&str]) -> String {
        self.hears_on(status, challenges, true)
    }

    fn hears_on(&mut self, status: u16, challenges: &[&str], persists: bool) -> String {
        if status != 407 {
            return "final".into();
        }
        loop {
            let values = challenges.iter().map(|value| value.as_bytes());
            match self.exchange.on_challenge(values, persists, &self.request) {
                Action::Wait(_) => self.allow(),
                action @ (Action::Send(_) | Action::Reconnect | Action::Refuse(_)) => return shown(action),
            }
        }
    }

    fn breaks(&mut self) -> String {
        self.exchange.on_break().map_or_else(|refusal| shown(Action::Refuse(refusal)), |()| "reconnect".into())
    }

    fn rejections(&self) -> usize {
        self.breaker.heard.lock().unwrap().iter().filter(|what| **what == "rejected").count()
    }

    /// What the breaker has heard, the final answer's status included.
    fn concluded(&mut self, status: u16) -> Vec<&'static str> {
        self.exchange.conclude(status);
        self.breaker.heard.lock().unwrap().clone()
    }
}

fn shown(action: Action) -> String {
    match action {
        Action::Send(credentials) => String::from_utf8_lossy(credentials.expose()).into_owned(),
        Action::Reconnect => "reconnect".into(),
        Action::Wait(start) => format!("wait: {start}"),
        Action::Refuse(refusal) => format!("refuse: {refusal}"),
    }
}

#[test]
fn ntlm_takes_three_legs_on_one_connection() {
    let mut stage = Stage::new([(NTLM, ntlm())]);
    assert_eq!(stage.opening(), "bare");
    assert_eq!(stage.hears(407, &["NTLM", "Basic realm=x"]), "type 1");
    assert_eq!(stage.hears(407, &["NTLM dHlwZTI="]), "type 3");
    assert_eq!(stage.hears(200, &[]), "final");
    assert_eq!(stage.exchange.outcome(), Outcome { start: Some(NTLM), accepted: true });
    assert_eq!(stage.concluded(200), ["shown", "accepted"]);
}

#[test]
fn a_407_that_closes_is_answered_on_a_fresh_connection() {
    let mut stage = Stage::new([(NTLM, ntlm())]);
    assert_eq!(stage.opening(), "bare");
    assert_eq!(stage.hears_on(407, &["NTLM"], false), "reconnect");
    assert_eq!(stage.opening(), "type 1");
    assert_eq!(stage.hears(407, &["NTLM dHlwZTI="]), "type 3");
    assert_eq!(stage.hears(403, &[]), "final");
}

#[test]
fn what_was_remembered_is_sent_without_being_asked_for() {
    let mut stage = Stage::with([(NTLM, ntlm())], Some(NTLM), true);
    assert_eq!(stage.opening(), "type 1");
    assert_eq!(stage.hears(407, &["NTLM dHlwZTI="]), "type 3");
    assert_eq!(stage.hears(200, &[]), "final");
}

#[test]
fn a_first_message_that_nobody_asked_for_proves_nothing() {
    let mut stage = Stage::with([(NTLM, ntlm())], Some(NTLM), true);
    assert_eq!(stage.opening(), "type 1");
    assert_eq!(stage.hears(200, &[]), "final");
    assert_eq!(stage.exchange.outcome(), Outcome { start: Some(NTLM), accepted: false });
    assert_eq!(stage.concluded(200), [""; 0]);
}

#[test]
fn a_rejected_secret_is_not_tried_by_another_scheme() {
    for challenge in [&["NTLM", "Basic realm=x"][..], &["NTLM dHlwZTI=", "Basic realm=x"]] {
        let mut stage = Stage::new([(NTLM, ntlm()), (BASIC, vec![Ok(("Basic", true))])]);
        stage.opening();
        stage.hears(407, &["NTLM", "Basic realm=x"]);
        stage.hears(407, &["NTLM dHlwZTI="]);
        assert_eq!(stage.hears(407, challenge), REJECTED_NTLM);
        assert_eq!(stage.rejections(), 1);
    }
}

#[test]
fn a_refused_ticket_falls_through_to_ntlm_on_a_fresh_connection() {
    let mut stage = Stage::new([(KERBEROS, vec![Ok(("ticket", false))]), (NTLM, ntlm())]);
    stage.opening();
    assert_eq!(stage.hears(407, &["Negotiate", "NTLM"]), "ticket");
    assert_eq!(stage.hears(407, &["Negotiate", "NTLM"]), "reconnect");
    assert_eq!(stage.opening(), "type 1");
    assert_eq!(stage.hears(407, &["Negotiate", "NTLM dHlwZTI="]), "type 3");
    assert_eq!(stage.hears(200, &[]), "final");
    assert_eq!(stage.rejections(), 0);
}

#[test]
fn without_a_ticket_the_next_scheme_begins_on_the_same_connection() {
    let mut stage = Stage::new([(NTLM, ntlm())]);
    stage.opening();
    assert_eq!(stage.hears(407, &["Negotiate", "NTLM"]), "type 1");
}

#[test]
fn a_kdc_that_rejects_the_password_ends_everything() {
    let rejected = vec![Err(MechanismError::Rejected(Rejection::Wrong))];
    let mut stage = Stage::new([(KERBEROS, rejected), (NTLM, ntlm())]);
    stage.opening();
    assert_eq!(
        stage.hears(407, &["Negotiate", "NTLM"]),
        "refuse: the upstream rejected the credential (Negotiate): the password is wrong"
    );
    assert_eq!(stage.rejections(), 1);
}

#[test]
fn ntlm_goes_inside_negotiate_only_where_it_is_not_offered_by_name() {
    let inside = vec![Ok(("Negotiate type 1", false)), Ok(("Negotiate type 3", true))];
    let scripts = [(NTLM, ntlm()), (Start::NtlmInNegotiate, inside)];
    let mut stage = Stage::new(scripts.clone());
    stage.opening();
    assert_eq!(stage.hears(407, &["Negotiate"]), "Negotiate type 1");
    assert_eq!(stage.hears(407, &["Negotiate dHlwZTI="]), "Negotiate type 3");
    let mut stage = Stage::new(scripts);
    stage.opening();
    assert_eq!(stage.hears(407, &["Negotiate", "NTLM"]), "type 1");
}

#[test]
fn a_stale_nonce_is_no_verdict_and_a_plain_407_is_one() {
    let script = vec![Ok(("digest 1", true)), Ok(("digest 2", true)), Ok(("digest 3", true))];
    let mut stage = Stage::new([(DIGEST, script)]);
    stage.opening();
    assert_eq!(stage.hears(407, &["Digest realm=r, nonce=a"]), "digest 1");
    assert_eq!(stage.hears(407, &["Digest realm=r, nonce=b, stale=TRUE"]), "digest 2");
    assert_eq!(stage.hears(407, &["Digest realm=r, nonce=c, stale=false"]), REJECTED_DIGEST);
}

#[test]
fn a_refused_nonce_that_is_not_said_to_be_stale_is_a_verdict_even_for_a_proven_password() {
    let script = vec![Ok(("digest 1", true)), Ok(("digest 2", true))];
    let mut stage = Stage::with([(DIGEST, script)], Some(DIGEST), true);
    assert_eq!(stage.opening(), "digest 1");
    let action = stage.hears(407, &["Digest realm=r, nonce=b"]);
    assert_eq!(action, REJECTED_DIGEST);
}

#[test]
fn an_upstream_in_trouble_proves_nothing() {
    for (status, verdict) in
        [(200, "accepted"), (403, "accepted"), (404, "accepted"), (500, "unclear"), (503, "unclear")]
    {
        let mut stage = Stage::new([(NTLM, ntlm())]);
        stage.opening();
        stage.hears(407, &["NTLM"]);
        stage.hears(407, &["NTLM dHlwZTI="]);
        assert_eq!(stage.exchange.outcome(), Outcome { start: Some(NTLM), accepted: true });
        assert_eq!(stage.concluded(status), ["shown", verdict], "{status}");
    }
}

#[test]
fn what_shows_the_secret_waits_for_leave_and_keeps_its_place() {
    let mut stage = Stage::new([(NTLM, ntlm())]);
    stage.opening();
    for _ in 0..3 {
        let action = stage.exchange.on_challenge([&b"NTLM"[..]], true, &stage.request);
        assert_eq!(shown(action), "wait: NTLM");
    }
    stage.allow();
    assert_eq!(stage.hears(407, &["NTLM"]), "type 1");
    assert_eq!(stage.hears(407, &["NTLM dHlwZTI="]), "type 3");
    assert_eq!(stage.concluded(200), ["shown", "accepted"]);
}

#[test]
fn a_secret_that_was_found_bad_in_the_middle_of_a_handshake_is_not_shown_in_it() {
    let mut stage = Stage::new([(NTLM, ntlm()), (BASIC, vec![Ok(("Basic", true))])]);
    stage.opening();
    assert_eq!(stage.hears(407, &["NTLM", "Basic realm=x"]), "type 1");
    stage.breaker.open.store(true, Ordering::Relaxed);
    let refused = "refuse: the credential was rejected before, and is not sent again until it is changed";
    assert_eq!(stage.hears(407, &["NTLM dHlwZTI=", "Basic realm=x"]), refused);
    assert_eq!(stage.concluded(407), [""; 0]);
}

#[test]
fn a_scheme_whose_secret_cannot_be_read_makes_way_for_the_next() {
    let mut stage = Stage::new([(NTLM, ntlm()), (BASIC, vec![Ok(("Basic", true))])]);
    stage.opening();
    let challenges = ["NTLM", "Basic realm=x"];
    let action = stage.exchange.on_challenge(challenges.iter().map(|value| value.as_bytes()), true, &stage.request);
    assert_eq!(shown(action), "wait: NTLM");
    stage.exchange.forgo(NTLM, &MechanismError::Unavailable("the account has no password".into()));
    assert_eq!(stage.hears(407, &challenges), "Basic");
}

#[test]
fn a_proof_without_an_answer_is_repeated_once_and_only_for_a_proven_secret() {
    for (proven, first, second) in [
        (true, "reconnect", "refuse: the upstream broke off the handshake"),
        (false, "refuse: the upstream broke off the handshake", ""),
    ] {
        let mut stage = Stage::with([(NTLM, ntlm())], Some(NTLM), proven);
        stage.opening();
        stage.hears(407, &["NTLM dHlwZTI="]);
        assert_eq!(stage.breaks(), first, "proven: {proven}");
        if !second.is_empty() {
            assert_eq!(stage.opening(), "type 1");
            stage.hears(407, &["NTLM dHlwZTI="]);
            assert_eq!(stage.breaks(), second);
        }
        assert_eq!(stage.concluded(0).last(), Some(&"lost"));
    }
}

#[test]
fn a_type_2_on_a_closing_connection_restarts_once_and_then_ends() {
    let mut stage = Stage::new([(NTLM, ntlm())]);
    stage.opening();
    assert_eq!(stage.hears(407, &["NTLM"]), "type 1");
    assert_eq!(stage.hears_on(407, &["NTLM dHlwZTI="], false), "reconnect");
    assert_eq!(stage.opening(), "type 1");
    assert_eq!(stage.hears_on(407, &["NTLM dHlwZTI="], false), "refuse: the upstream broke off the handshake");
}

#[test]
fn an_upstream_that_challenges_for_ever_is_left() {
    let endless = std::iter::repeat_n(Ok(("ticket", false)), 100).collect();
    let mut stage = Stage::new([(KERBEROS, endless)]);
    stage.opening();
    let mut action = stage.hears(407, &["Negotiate"]);
    let mut legs = 0;
    while action == "ticket" {
        legs += 1;
        action = stage.hears(407, &["Negotiate bW9yZQ=="]);
    }
    assert_eq!((legs, action.as_str()), (MAX_LEGS, "refuse: the upstream went on challenging without an end"));
}

#[test]
fn a_407_without_a_challenge_we_know_gets_nothing() {
    for challenges in [&[][..], &["Bearer"], &["=", "Hallpass"]] {
        let mut stage = Stage::new([(NTLM, ntlm()), (BASIC, vec![Ok(("Basic", true))])]);
        stage.opening();
        let action = stage.hears(407, challenges);
        assert!(action.starts_with("refuse: the upstream asks for a log-in but offers no scheme"), "{action}");
    }
}

#[test]
fn a_refusal_says_why_each_scheme_was_not_usable() {
    let mut stage = Stage::new([]);
    stage.opening();
    assert_eq!(
        stage.hears(407, &["Negotiate", "Basic realm=x"]),
        "refuse: no credential can be sent: Negotiate, NTLM in Negotiate, Basic: none of it"
    );
}

#[test]
fn a_bare_request_that_gets_no_answer_is_sent_once_more() {
    let mut stage = Stage::new([]);
    assert_eq!(stage.opening(), "bare");
    assert_eq!(stage.breaks(), "reconnect");
    assert_eq!(stage.opening(), "bare");
    assert_eq!(stage.breaks(), "refuse: the upstream broke off the handshake");
}

#[test]
fn what_was_made_and_is_not_sent_is_given_back() {
    let mut stage = Stage::new([(NTLM, ntlm())]);
    assert_eq!(stage.opening(), "bare");
    assert_eq!(stage.hears(407, &["NTLM"]), "type 1");
    stage.exchange.withhold();
    assert_eq!(stage.concluded(200), [""; 0]);

    let mut stage = Stage::new([(NTLM, ntlm())]);
    stage.opening();
    stage.hears(407, &["NTLM"]);
    assert_eq!(stage.hears(407, &["NTLM dHlwZTI="]), "type 3");
    stage.exchange.withhold();
    assert_eq!(stage.concluded(200), ["shown", "withheld"]);
}
