//! The one place that knows how the exchange is spoken to.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hallpass::address::{Endpoint, Protocol, Target};
use hallpass::auth::lockout::{Closed, Leave, Permit, Verdict};
use hallpass::auth::{
    Action, ChannelBinding, Exchange, Leg, Mechanism, MechanismError, Mechanisms, Opening, Refusal, RequestLine,
    Scheme, Start, challenge,
};
use hallpass::mechanism::{Account, Canonicalize, Grant, Identities, Outside, Recipient, Settings};
use hallpass::secret::{Credentials, Secret};

use super::STARTS;
use super::numbers::Numbers;

/// Nothing else in a talk looks like it, not even by chance.
pub const PASSWORD: &str = "Xq7-correct-horse-9Zw";

/// What is configured.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub schemes: Vec<Scheme>,
    pub remembered: Option<Start>,
    /// The upstream accepted this secret before.
    pub proven: bool,
    /// There is a ticket for Negotiate.
    pub ticket: bool,
}

impl Plan {
    pub fn random(numbers: &mut Numbers) -> Self {
        let all = [Scheme::Negotiate, Scheme::Ntlm, Scheme::Digest, Scheme::Basic];
        let mut schemes: Vec<Scheme> = all.into_iter().filter(|_| numbers.percent(70)).collect();
        if numbers.percent(20) {
            schemes.reverse();
        }
        // Only what is allowed can have been taken before.
        let remembered = STARTS.into_iter().filter(|start| schemes.contains(&start.means())).collect::<Vec<_>>();
        let remembered = (numbers.percent(40) && !remembered.is_empty()).then(|| numbers.one_of(&remembered));
        Self { schemes, remembered, proven: numbers.percent(50), ticket: numbers.percent(50) }
    }
}

/// What is to be done next.
#[derive(Debug)]
pub enum Next {
    Bare,
    Send(Credentials),
    Reconnect,
    Refuse(Why),
}

#[derive(Debug)]
pub struct Why {
    pub rejected: bool,
    pub endless: bool,
    /// For people.
    #[expect(dead_code, reason = "it is looked at through Debug")]
    text: String,
}

pub struct Talk {
    exchange: Exchange,
    world: Arc<World>,
    upstream: Endpoint,
    heard: Arc<Heard>,
    request: RequestLine,
}

/// What a log would show of it.
impl fmt::Debug for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.exchange.fmt(f)
    }
}

impl Talk {
    pub fn begin(plan: &Plan) -> Self {
        let upstream =
            Endpoint { target: Target::parse("proxy.example:8080", None).unwrap(), protocol: Protocol::Http };
        let world = Arc::new(World { identities: identities(&upstream, &plan.schemes), ticket: plan.ticket });
        let exchange = Exchange::new(hallpass::auth::Plan {
            upstream: upstream.clone(),
            schemes: plan.schemes.clone().into(),
            mechanisms: world.clone(),
            binding: None,
            remembered: plan.remembered,
        });
        let heard = Arc::new(Heard { proven: plan.proven, verdicts: Mutex::default() });
        let request = RequestLine { method: "CONNECT".into(), uri: "h.example:443".into() };
        Self { exchange, world, upstream, heard, request }
    }

    pub fn opening(&mut self) -> Next {
        loop {
            match self.exchange.opening(&self.request) {
                Ok(Opening::Bare) => return Next::Bare,
                Ok(Opening::With(credentials)) => return Next::Send(credentials),
                Ok(Opening::Wait(start)) => self.allow(start),
                Err(refusal) => return refuse(&refusal),
            }
        }
    }

    pub fn challenged(&mut self, fields: &[Vec<u8>], persists: bool) -> Next {
        loop {
            match self.exchange.on_challenge(fields.iter().map(Vec::as_slice), persists, &self.request) {
                Action::Send(credentials) => return Next::Send(credentials),
                Action::Wait(start) => self.allow(start),
                Action::Reconnect => return Next::Reconnect,
                Action::Refuse(refusal) => return refuse(&refusal),
            }
        }
    }

    /// Every wish for leave is granted: the exchange alone has to stop.
    fn allow(&mut self, start: Start) {
        let proof = self.world.identities.stake(start, &self.upstream).unwrap().read().unwrap();
        self.exchange
            .allow(Leave::new(proof, Box::new(Granted { heard: self.heard.clone(), spent: Mutex::default() })));
    }

    pub fn broken(&mut self) -> Next {
        match self.exchange.on_break() {
            Ok(()) => Next::Reconnect,
            Err(refusal) => refuse(&refusal),
        }
    }

    /// Whether the secret is found good.
    pub fn ended(&mut self, status: u16) -> bool {
        self.exchange.conclude(status);
        self.heard.verdicts().contains(&Verdict::Accepted)
    }
}

/// What the exchange tells of the secret.
#[derive(Debug)]
struct Heard {
    proven: bool,
    verdicts: Mutex<Vec<Verdict>>,
}

impl Heard {
    fn verdicts(&self) -> MutexGuard<'_, Vec<Verdict>> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Granted {
    heard: Arc<Heard>,
    spent: Mutex<bool>,
}

impl Permit for Granted {
    fn is_good(&self) -> bool {
        !self.heard.verdicts().contains(&Verdict::Rejected)
    }

    fn is_spent(&self) -> bool {
        *self.spent.lock().unwrap()
    }

    fn is_proven(&self) -> bool {
        self.heard.proven
    }

    fn show(&self) {}

    fn withhold(&self) {}

    fn lose(&self) {
        *self.spent.lock().unwrap() = true;
    }

    fn judge(&self, verdict: Verdict) {
        *self.spent.lock().unwrap() = true;
        self.heard.verdicts().push(verdict);
    }

    fn closed(&self) -> Closed {
        Closed { rejected: true, since: 0, next: None }
    }
}

fn refuse(refusal: &Refusal) -> Next {
    Next::Refuse(Why {
        rejected: matches!(refusal, Refusal::Rejected { .. }),
        endless: *refusal == Refusal::Endless,
        text: format!("{refusal} {refusal:?}"),
    })
}

fn identities(upstream: &Endpoint, schemes: &[Scheme]) -> Identities {
    let account = Account::new(Settings {
        user: Some("alice".parse().unwrap()),
        password: Arc::new(|| Ok(Some(Secret::new(PASSWORD)))),
        ..Settings::default()
    });
    let grant = Grant {
        upstream: Recipient::Upstream(upstream.clone()),
        account: Arc::new(account),
        schemes: schemes.to_vec(),
        spn: None,
        canonicalize: Canonicalize::Never,
    };
    Identities::new(vec![grant], Outside::none())
}

/// The real mechanisms, but for the ticket, which would be the machine's.
struct World {
    identities: Identities,
    ticket: bool,
}

impl Mechanisms for World {
    fn start(
        &self,
        start: Start,
        upstream: &Endpoint,
        binding: Option<&ChannelBinding>,
        leave: Option<&Leave>,
    ) -> Result<Box<dyn Mechanism>, MechanismError> {
        match start {
            Start::Scheme(Scheme::Negotiate) if self.ticket => Ok(Box::new(Ticket(false))),
            Start::Scheme(Scheme::Negotiate) => Err(MechanismError::Unavailable("no ticket".into())),
            Start::Scheme(_) | Start::NtlmInNegotiate => self.identities.start(start, upstream, binding, leave),
        }
    }
}

/// One token, which shows no secret.
struct Ticket(bool);

impl Mechanism for Ticket {
    fn step(&mut self, _: &RequestLine, _: Option<&challenge::Challenge>) -> Result<Leg, MechanismError> {
        match std::mem::replace(&mut self.0, true) {
            false => Ok(Leg { credentials: Credentials::new("Negotiate dGhlLXRpY2tldA=="), proves_secret: false }),
            true => Err(MechanismError::Unavailable("the upstream did not take the ticket".into())),
        }
    }
}
