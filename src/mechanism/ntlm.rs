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
    messages: Box<dyn Messages>,
    state: State,
}

/// Who makes the two messages of one handshake.
pub(super) trait Messages: Send {
    /// The same each time.
    fn negotiate(&mut self) -> Result<Vec<u8>, MechanismError>;

    /// What answers the server's challenge.
    fn authenticate(&mut self, challenge: &[u8]) -> Result<Zeroizing<Vec<u8>>, MechanismError>;
}

/// Made here, for an account whose secret is known.
pub(super) struct Named {
    user: String,
    domain: Option<String>,
    hash: NtHash,
    spn: String,
    binding: Option<ChannelBinding>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Negotiated,
    /// The upstream asked for the first message once more, in SPNEGO.
    NegotiatedAgain,
    Authenticated,
}

impl Named {
    pub(super) fn new(user: &User, hash: NtHash, spn: &str, binding: Option<ChannelBinding>) -> Self {
        // Servers find a UPN by its whole text, in no domain.
        let (user, domain) = match (&user.domain, &user.realm) {
            (Some(domain), _) => (user.name.clone(), Some(domain.clone())),
            (None, Some(_)) => (user.to_string(), Some(String::new())),
            (None, None) => (user.name.clone(), None),
        };
        Self { user, domain, hash, spn: spn.into(), binding }
    }
}

impl Messages for Named {
    fn negotiate(&mut self) -> Result<Vec<u8>, MechanismError> {
        Ok(negotiate())
    }

    fn authenticate(&mut self, challenge: &[u8]) -> Result<Zeroizing<Vec<u8>>, MechanismError> {
        let logon = Logon {
            user: &self.user,
            domain: self.domain.as_deref(),
            hash: &self.hash,
            spn: &self.spn,
            binding: self.binding.as_deref(),
        };
        authenticate(challenge, &logon, &fresh()?).map_err(|error| match error {
            NtlmError::BadChallenge(_) => MechanismError::BadChallenge(error.to_string()),
            NtlmError::TooLong(_) | NtlmError::BadHash => MechanismError::Unavailable(error.to_string().into()),
        })
    }
}

impl Ntlm {
    pub(super) fn new(scheme: Scheme, messages: Box<dyn Messages>) -> Self {
        Self { scheme, messages, state: State::New }
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
                let again = self.messages.negotiate()?;
                return Ok(self.leg(&spnego::response(&again), false));
            }
            Answer::Response { .. } | Answer::Other(_) => {
                return Err(MechanismError::BadChallenge("the upstream answered NTLM with something else".into()));
            }
        };
        let message = self.messages.authenticate(message)?;
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
                let first = self.messages.negotiate()?;
                self.state = State::Negotiated;
                Ok(self.leg(&first, false))
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
        .map_err(|error| MechanismError::Unavailable(format!("no randomness from the system: {error}").into()))?;
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let steps = (since_1970 + WINDOWS_EPOCH).as_nanos() / 100;
    Ok(Fresh { client_challenge, file_time: u64::try_from(steps).unwrap_or(u64::MAX) })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sspi::{
        AuthIdentity, BufferType, DataRepresentation, Ntlm as Server, SecurityBuffer, ServerRequestFlags, Sspi,
        SspiImpl, Username,
    };

    use super::*;

    const HASH_OF_PASSWORD: &str = "a4f49c406510bdcab6824ee7c30fd852";

    fn request() -> RequestLine {
        RequestLine { method: "CONNECT".into(), uri: "h:443".into() }
    }

    fn challenge(token: &[u8]) -> Challenge {
        Challenge { scheme: "NTLM".into(), token: Some(STANDARD.encode(token)), params: Vec::new() }
    }

    fn client(user: &str, hash: NtHash, binding: Option<ChannelBinding>) -> Ntlm {
        Ntlm::new(Scheme::Ntlm, Box::new(Named::new(&user.parse().unwrap(), hash, "HTTP/proxy", binding)))
    }

    fn message(leg: &Leg) -> Vec<u8> {
        let value = String::from_utf8(leg.credentials.expose().to_vec()).unwrap();
        STANDARD.decode(value.split_once(' ').unwrap().1).unwrap()
    }

    /// One call of another implementation's acceptor.
    fn accept(server: &mut Server, password: &str, buffers: &mut [SecurityBuffer]) -> sspi::Result<Vec<u8>> {
        let identity =
            AuthIdentity { username: Username::new("any", None).unwrap(), password: password.to_string().into() };
        let mut credentials = Some(identity.into());
        let mut output = vec![SecurityBuffer::new(Vec::new(), BufferType::Token)];
        let builder = server
            .accept_security_context()
            .with_credentials_handle(&mut credentials)
            .with_context_requirements(ServerRequestFlags::empty())
            .with_target_data_representation(DataRepresentation::Native)
            .with_input(buffers)
            .with_output(&mut output);
        server.accept_security_context_impl(builder)?.resolve_to_result()?;
        Ok(output.remove(0).buffer)
    }

    /// Whether that acceptor, which knows `expected`, lets `client` in.
    fn logs_on(mut client: Ntlm, expected: &str, end_point: Option<&[u8]>) -> bool {
        let mut server = Server::new();
        if let Some(end_point) = end_point {
            server.set_channel_bindings(&crate::auth::binding_data(end_point));
        }
        let token = |bytes| SecurityBuffer::new(bytes, BufferType::Token);
        let first = client.step(&request(), None).unwrap();
        assert!(!first.proves_secret);
        let second = accept(&mut server, expected, &mut [token(message(&first))]).unwrap();
        let third = client.step(&request(), Some(&challenge(&second))).unwrap();
        assert!(third.proves_secret);
        accept(&mut server, expected, &mut [token(message(&third))]).is_ok()
            && server.complete_auth_token(&mut []).is_ok()
    }

    #[test]
    fn another_implementation_takes_the_right_password_and_no_other() {
        let long = "0123456789".repeat(20);
        for password in
            ["Password", "Gr\u{fc}\u{df}e", "\u{41f}\u{430}\u{440}\u{43e}\u{43b}\u{44c}-\u{5bc6}", &long, "$NTLM", " "]
        {
            for user in ["CORP\\alice", "alice@corp.example", "alice", "CORP\\j\u{fc}rgen"] {
                let client = || client(user, NtHash::of_password(password), None);
                assert!(logs_on(client(), password, None), "{user} {password}");
                assert!(!logs_on(client(), "another", None), "{user} {password}");
            }
        }
        assert!(logs_on(client("CORP\\alice", NtHash::parse(HASH_OF_PASSWORD).unwrap(), None), "Password", None));
    }

    #[test]
    fn another_implementation_checks_the_channel_bindings() {
        let client = |binding: &[u8]| client("CORP\\alice", NtHash::of_password("p"), Some(binding.to_vec()));
        assert!(logs_on(client(&[1; 32]), "p", Some(&[1; 32])));
        assert!(!logs_on(client(&[1; 32]), "p", Some(&[2; 32])));
    }

    /// The second message of that acceptor.
    fn second_message(client: &mut Ntlm) -> Vec<u8> {
        let first = message(&client.step(&request(), None).unwrap());
        accept(&mut Server::new(), "p", &mut [SecurityBuffer::new(first, BufferType::Token)]).unwrap()
    }

    #[test]
    fn a_wrapped_challenge_is_answered_wrapped() {
        let mut client = client("alice", NtHash::of_password("p"), None);
        let second = spnego::response(&second_message(&mut client));
        let third = message(&client.step(&request(), Some(&challenge(&second))).unwrap());
        assert!(
            matches!(Answer::read(&third), Ok(Answer::Response { token: Some(inner), .. }) if inner.starts_with(b"NTLMSSP\0\x03"))
        );
    }

    #[test]
    fn an_answer_that_only_chooses_ntlm_gets_the_first_message_once_more() {
        let mut client = client("alice", NtHash::of_password("p"), None);
        let second = second_message(&mut client);
        let chooses = Challenge { token: Some("oRUwE6ADCgEDoQwGCisGAQQBgjcCAgo=".into()), ..challenge(&[]) };
        let again = client.step(&request(), Some(&chooses)).unwrap();
        assert!(!again.proves_secret);
        assert_eq!(message(&again), spnego::response(&negotiate()));
        assert!(client.step(&request(), Some(&chooses)).is_err(), "but not for ever");
        assert!(client.step(&request(), Some(&challenge(&spnego::response(&second)))).unwrap().proves_secret);
    }

    #[test]
    fn under_negotiate_the_messages_stand_bare() {
        let user = "alice".parse().unwrap();
        let messages = Named::new(&user, NtHash::of_password("p"), "HTTP/proxy", None);
        let mut client = Ntlm::new(Scheme::Negotiate, Box::new(messages));
        let leg = client.step(&request(), None).unwrap();
        assert!(leg.credentials.expose().starts_with(b"Negotiate TlRMTVNTUAAB"));
    }

    #[test]
    fn a_challenge_cut_or_damaged_anywhere_ends_the_handshake_without_panic() {
        let mut whole = client("alice", NtHash::of_password("p"), None);
        let second = second_message(&mut whole);
        for bytes in [second.clone(), spnego::response(&second)] {
            for end in 0..bytes.len() {
                let mut cut = client("alice", NtHash::of_password("p"), None);
                cut.step(&request(), None).unwrap();
                let result = cut.step(&request(), Some(&challenge(&bytes[..end])));
                assert!(matches!(result, Err(MechanismError::BadChallenge(_))), "{end} of {}", bytes.len());

                let mut damaged = bytes.clone();
                damaged[end] ^= 0xff;
                let mut client = client("alice", NtHash::of_password("p"), None);
                client.step(&request(), None).unwrap();
                let _ = client.step(&request(), Some(&challenge(&damaged)));
            }
        }
    }

    #[test]
    fn a_handshake_out_of_order_is_refused() {
        let mut client = client("alice", NtHash::of_password("p"), None);
        let second = second_message(&mut client);
        let none = Challenge { token: None, ..challenge(&[]) };
        assert!(matches!(client.step(&request(), Some(&none)), Err(MechanismError::BadChallenge(_))));
        client.step(&request(), Some(&challenge(&second))).unwrap();
        assert!(matches!(client.step(&request(), Some(&challenge(&second))), Err(MechanismError::BadChallenge(_))));
    }
}
