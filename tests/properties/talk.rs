//! The one place that knows how the exchange is spoken to.

use std::sync::Arc;

use hallpass::address::{Endpoint, Protocol, Target};
use hallpass::auth::{
    Action, ChannelBinding, Exchange, Leg, Mechanism, MechanismError, Mechanisms, Refusal, RequestLine, Scheme, Start,
    challenge,
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

#[derive(Debug)]
pub struct Talk {
    exchange: Exchange,
    request: RequestLine,
}

impl Talk {
    pub fn begin(plan: &Plan) -> Self {
        let upstream =
            Endpoint { target: Target::parse("proxy.example:8080", None).unwrap(), protocol: Protocol::Http };
        let mechanisms = Arc::new(World { identities: identities(&upstream, &plan.schemes), ticket: plan.ticket });
        let exchange = Exchange::new(hallpass::auth::Plan {
            upstream,
            schemes: plan.schemes.clone().into(),
            mechanisms,
            binding: None,
            remembered: plan.remembered,
            proven: plan.proven,
        });
        Self { exchange, request: RequestLine { method: "CONNECT".into(), uri: "h.example:443".into() } }
    }

    pub fn opening(&mut self) -> Next {
        match self.exchange.opening(&self.request) {
            Ok(None) => Next::Bare,
            Ok(Some(credentials)) => Next::Send(credentials),
            Err(refusal) => refuse(&refusal),
        }
    }

    pub fn challenged(&mut self, fields: &[Vec<u8>], persists: bool) -> Next {
        match self.exchange.on_challenge(fields.iter().map(Vec::as_slice), persists, &self.request) {
            Action::Send(credentials) => Next::Send(credentials),
            Action::Reconnect => Next::Reconnect,
            Action::Refuse(refusal) => refuse(&refusal),
        }
    }

    pub fn broken(&mut self) -> Next {
        match self.exchange.on_break() {
            Ok(()) => Next::Reconnect,
            Err(refusal) => refuse(&refusal),
        }
    }

    /// Whether the secret is found good.
    pub fn ended(&mut self, status: u16) -> bool {
        self.exchange.outcome(status).proven
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
    ) -> Result<Box<dyn Mechanism>, MechanismError> {
        match start {
            Start::Scheme(Scheme::Negotiate) if self.ticket => Ok(Box::new(Ticket(false))),
            Start::Scheme(Scheme::Negotiate) => Err(MechanismError::Unavailable("no ticket".into())),
            Start::Scheme(_) | Start::NtlmInNegotiate => self.identities.start(start, upstream, binding),
        }
    }

    fn rejected(&self, upstream: &Endpoint) {
        self.identities.rejected(upstream);
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
