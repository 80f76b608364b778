//! The exchange against every kind of answer, with mechanisms that follow a script.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::address::{Protocol, Target};

/// What a mechanism says leg by leg: its credentials and whether they show the secret.
type Script = Vec<Result<(&'static str, bool), MechanismError>>;

#[derive(Default)]
struct Scripted {
    scripts: Mutex<HashMap<Start, Script>>,
    rejections: AtomicUsize,
}

struct Player(std::vec::IntoIter<Result<(&'static str, bool), MechanismError>>);

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
    ) -> Result<Box<dyn Mechanism>, MechanismError> {
        match self.scripts.lock().unwrap().get(&start) {
            Some(script) => Ok(Box::new(Player(script.clone().into_iter()))),
            None => unavailable(),
        }
    }

    fn rejected(&self, _: &Endpoint) {
        self.rejections.fetch_add(1, Ordering::Relaxed);
    }
}

fn unavailable<T>() -> Result<T, MechanismError> {
    Err(MechanismError::Unavailable("none of it".into()))
}

const NTLM: Start = Start::Scheme(Scheme::Ntlm);
const KERBEROS: Start = Start::Scheme(Scheme::Negotiate);
const DIGEST: Start = Start::Scheme(Scheme::Digest);
const BASIC: Start = Start::Scheme(Scheme::Basic);

fn ntlm() -> Script {
    vec![Ok(("type 1", false)), Ok(("type 3", true))]
}

struct Stage {
    exchange: Exchange,
    mechanisms: Arc<Scripted>,
    request: RequestLine,
}

impl Stage {
    fn new(scripts: impl IntoIterator<Item = (Start, Script)>) -> Self {
        Self::with(scripts, None, false)
    }

    fn with(scripts: impl IntoIterator<Item = (Start, Script)>, remembered: Option<Start>, proven: bool) -> Self {
        let mechanisms =
            Arc::new(Scripted { scripts: Mutex::new(scripts.into_iter().collect()), ..Scripted::default() });
        let plan = Plan {
            upstream: Endpoint { target: Target::parse("proxy.example:8080", None).unwrap(), protocol: Protocol::Http },
            schemes: [Scheme::Negotiate, Scheme::Ntlm, Scheme::Digest, Scheme::Basic].into(),
            mechanisms: mechanisms.clone(),
            binding: None,
            remembered,
            proven,
        };
        let request = RequestLine { method: "CONNECT".into(), uri: "h:443".into() };
        Self { exchange: Exchange::new(plan), mechanisms, request }
    }

    fn opening(&mut self) -> String {
        match self.exchange.opening(&self.request) {
            Ok(Some(credentials)) => String::from_utf8_lossy(credentials.expose()).into_owned(),
            Ok(None) => "bare".into(),
            Err(refusal) => format!("refuse: {refusal}"),
        }
    }

    fn hears(&mut self, status: u16, challenges: &[&str]) -> String {
        self.hears_on(status, challenges, true)
    }

    fn hears_on(&mut self, status: u16, challenges: &[&str], persists: bool) -> String {
        if status != 407 {
            return "final".into();
        }
        let values = challenges.iter().map(|value| value.as_bytes());
        shown(self.exchange.on_challenge(values, persists, &self.request))
    }

    fn breaks(&mut self) -> String {
        self.exchange.on_break().map_or_else(|refusal| shown(Action::Refuse(refusal)), |()| "reconnect".into())
    }

    fn rejections(&self) -> usize {
        self.mechanisms.rejections.load(Ordering::Relaxed)
    }
}

fn shown(action: Action) -> String {
    match action {
        Action::Send(credentials) => String::from_utf8_lossy(credentials.expose()).into_owned(),
        Action::Reconnect => "reconnect".into(),
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
    assert_eq!(stage.exchange.outcome(200), Outcome { start: Some(NTLM), accepted: true, proven: true });
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
    assert_eq!(stage.exchange.outcome(200), Outcome { start: Some(NTLM), accepted: false, proven: false });
}

#[test]
fn a_rejected_secret_is_not_tried_by_another_scheme() {
    for challenge in [&["NTLM", "Basic realm=x"][..], &["NTLM dHlwZTI=", "Basic realm=x"]] {
        let mut stage = Stage::new([(NTLM, ntlm()), (BASIC, vec![Ok(("Basic", true))])]);
        stage.opening();
        stage.hears(407, &["NTLM", "Basic realm=x"]);
        stage.hears(407, &["NTLM dHlwZTI="]);
        assert_eq!(stage.hears(407, challenge), "refuse: the upstream rejected the credential (NTLM)");
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
    let rejected = vec![Err(MechanismError::Rejected("PREAUTH_FAILED".into()))];
    let mut stage = Stage::new([(KERBEROS, rejected), (NTLM, ntlm())]);
    stage.opening();
    assert_eq!(stage.hears(407, &["Negotiate", "NTLM"]), "refuse: the upstream rejected the credential (Negotiate)");
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
    assert_eq!(
        stage.hears(407, &["Digest realm=r, nonce=c, stale=false"]),
        "refuse: the upstream rejected the credential (Digest)"
    );
}

#[test]
fn a_refused_nonce_that_is_not_said_to_be_stale_is_a_verdict_even_for_a_proven_password() {
    let script = vec![Ok(("digest 1", true)), Ok(("digest 2", true))];
    let mut stage = Stage::with([(DIGEST, script)], Some(DIGEST), true);
    assert_eq!(stage.opening(), "digest 1");
    let action = stage.hears(407, &["Digest realm=r, nonce=b"]);
    assert_eq!(action, "refuse: the upstream rejected the credential (Digest)");
}

#[test]
fn an_upstream_in_trouble_proves_nothing() {
    for (status, proven) in [(200, true), (403, true), (404, true), (500, false), (503, false)] {
        let mut stage = Stage::new([(NTLM, ntlm())]);
        stage.opening();
        stage.hears(407, &["NTLM"]);
        stage.hears(407, &["NTLM dHlwZTI="]);
        assert_eq!(stage.exchange.outcome(status), Outcome { start: Some(NTLM), accepted: true, proven }, "{status}");
    }
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
