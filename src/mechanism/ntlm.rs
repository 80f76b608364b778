//! NTLM on one connection, under its own name or under Negotiate, bare or in SPNEGO.

use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::token::{credentials, token_of};
use crate::auth::account::User;
use crate::auth::ntlm::{Fresh, Logon, NtHash, NtlmError, authenticate, negotiate};
use crate::auth::spnego::{self, Answer};
use crate::auth::{Challenge, ChannelBinding, Leg, Mechanism, MechanismError, RequestLine, Scheme};

/// From 1601, where Windows begins to count, to 1970.
const WINDOWS_EPOCH: Duration = Duration::from_secs(11_644_473_600);

pub(super) struct Ntlm {
    /// The word in the header: NTLM or Negotiate.
    scheme: Scheme,
    user: String,
    domain: Option<String>,
    hash: NtHash,
    spn: String,
    binding: Option<ChannelBinding>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Negotiated,
    /// The upstream asked for the first message once more, in SPNEGO.
    NegotiatedAgain,
    Authenticated,
}

impl Ntlm {
    pub(super) fn new(scheme: Scheme, user: &User, hash: NtHash, spn: &str, binding: Option<ChannelBinding>) -> Self {
        // Servers find a UPN by its whole text, in no domain.
        let (user, domain) = match (&user.domain, &user.realm) {
            (Some(domain), _) => (user.name.clone(), Some(domain.clone())),
            (None, Some(_)) => (user.to_string(), Some(String::new())),
            (None, None) => (user.name.clone(), None),
        };
        Self { scheme, user, domain, hash, spn: spn.into(), binding, state: State::New }
    }

    fn authenticate(&self, challenge: &[u8]) -> Result<Zeroizing<Vec<u8>>, MechanismError> {
        let logon = Logon {
            user: &self.user,
            domain: self.domain.as_deref(),
            hash: &self.hash,
            spn: &self.spn,
            binding: self.binding.as_deref(),
        };
        authenticate(challenge, &logon, &fresh()?).map_err(|error| match error {
            NtlmError::BadChallenge(_) => MechanismError::BadChallenge(error.to_string()),
            NtlmError::TooLong(_) | NtlmError::BadHash => MechanismError::Unavailable(error.to_string()),
        })
    }

    fn answer(&mut self, token: &[u8]) -> Result<Leg, MechanismError> {
        let malformed = |error: spnego::Malformed| MechanismError::BadChallenge(error.to_string());
        let (message, wrapped) = match Answer::read(token).map_err(malformed)? {
            Answer::Ntlm(message) => (message, false),
            Answer::Response { token: Some(message), .. } => (message, true),
            Answer::Response { mechanism: Some(oid), token: None, .. }
                if oid == spnego::NTLMSSP.0 && self.state == State::Negotiated =>
            {
                self.state = State::NegotiatedAgain;
                return Ok(self.leg(&spnego::response(&negotiate()), false));
            }
            Answer::Response { .. } | Answer::Other(_) => {
                return Err(MechanismError::BadChallenge("the upstream answered NTLM with something else".into()));
            }
        };
        let message = self.authenticate(message)?;
        self.state = State::Authenticated;
        let token = if wrapped { Zeroizing::new(spnego::response(&message)) } else { message };
        Ok(self.leg(&token, true))
    }

    fn leg(&self, token: &[u8], proves_secret: bool) -> Leg {
        Leg { credentials: credentials(self.scheme, token), proves_secret }
    }
}

impl Mechanism for Ntlm {
    fn step(&mut self, _: &RequestLine, challenge: Option<&Challenge>) -> Result<Leg, MechanismError> {
        match self.state {
            // A token here is left over from another handshake.
            State::New => {
                self.state = State::Negotiated;
                Ok(self.leg(&negotiate(), false))
            }
            State::Negotiated | State::NegotiatedAgain => match token_of(challenge)? {
                Some(token) => self.answer(&token),
                None => Err(MechanismError::BadChallenge("the upstream did not answer the first NTLM message".into())),
            },
            State::Authenticated => Err(MechanismError::BadChallenge("the NTLM handshake is already over".into())),
        }
    }
}

fn fresh() -> Result<Fresh, MechanismError> {
    let mut client_challenge = [0; 8];
    getrandom::fill(&mut client_challenge)
        .map_err(|error| MechanismError::Unavailable(format!("no randomness from the system: {error}")))?;
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let steps = (since_1970 + WINDOWS_EPOCH).as_nanos() / 100;
    Ok(Fresh { client_challenge, file_time: u64::try_from(steps).unwrap_or(u64::MAX) })
}
