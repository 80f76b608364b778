//! The client's half of a SOCKS handshake: bytes in, bytes out, one step at a time.

use std::net::IpAddr;

use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    CONNECT, IPV4, IPV6, LOGIN_VERSION, NAME, NO_LOGIN, NO_METHOD, Reply, USER_PASSWORD, VERSION_4, VERSION_5,
};
use crate::address::{Host, Protocol, Target};
use crate::secret::Secret;

/// A server of SOCKS 4 that understands 4a takes this for "the name follows".
const NAME_FOLLOWS: [u8; 4] = [0, 0, 0, 1];
/// Version, code, port and address, which say nothing in an answer to CONNECT.
const ANSWER_4: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SocksError {
    #[error("this is no answer of a SOCKS server")]
    Malformed,
    #[error("it takes none of the ways to log in that are left")]
    NoMethod,
    #[error("the upstream rejected user and password")]
    Rejected,
    #[error("the upstream said: {0}")]
    Refused(Reply),
    #[error("SOCKS 4 knows no IPv6 addresses")]
    NoIpv6,
    #[error("user and password must have 1 to 255 bytes each")]
    LoginLength,
}

impl SocksError {
    /// It is the upstream's word about the target, and another upstream is not asked for another one.
    pub fn is_final(self) -> bool {
        match self {
            Self::Rejected => true,
            Self::Refused(reply) => matches!(
                reply,
                Reply::NOT_ALLOWED
                    | Reply::NETWORK_UNREACHABLE
                    | Reply::HOST_UNREACHABLE
                    | Reply::CONNECTION_REFUSED
                    | Reply::TTL_EXPIRED
                    | Reply::REJECTED
            ),
            Self::Malformed | Self::NoMethod | Self::NoIpv6 | Self::LoginLength => false,
        }
    }
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait for more bytes.
    More,
    Send(Vec<u8>),
    /// Send what [`login`] makes.
    LogIn,
    /// What follows is the target's.
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaiting {
    Method,
    Verdict,
    Answer5,
    Answer4,
}

/// Begins with [`Handshake::opening`], then [`Handshake::step`] is shown what came.
#[derive(Debug)]
pub struct Handshake {
    request: Vec<u8>,
    has_login: bool,
    awaiting: Awaiting,
}

impl Handshake {
    /// Names go as names: to resolve them is the server's business.
    pub fn new(protocol: Protocol, target: &Target, has_login: bool) -> Result<Self, SocksError> {
        let (request, awaiting) = match protocol {
            Protocol::Socks4 => (request_4(target)?, Awaiting::Answer4),
            Protocol::Socks5 | Protocol::Http | Protocol::Https => (request_5(target), Awaiting::Method),
        };
        Ok(Self { request, has_login, awaiting })
    }

    pub fn opening(&mut self) -> Vec<u8> {
        match self.awaiting {
            Awaiting::Answer4 => std::mem::take(&mut self.request),
            Awaiting::Method | Awaiting::Verdict | Awaiting::Answer5 if self.has_login => {
                vec![VERSION_5, 2, NO_LOGIN, USER_PASSWORD]
            }
            Awaiting::Method | Awaiting::Verdict | Awaiting::Answer5 => vec![VERSION_5, 1, NO_LOGIN],
        }
    }

    /// How many bytes of `input` are used up, and what comes next.
    pub fn step(&mut self, input: &[u8]) -> Result<(usize, Step), SocksError> {
        match self.awaiting {
            Awaiting::Method => self.method(input),
            Awaiting::Verdict => match input {
                [LOGIN_VERSION, 0, ..] => Ok((2, self.ask())),
                // Whatever the version says, a verdict is a verdict.
                [_, 1..=255, ..] => Err(SocksError::Rejected),
                [_, 0, ..] => Err(SocksError::Malformed),
                [_] | [] => Ok((0, Step::More)),
            },
            Awaiting::Answer5 => answer_5(input),
            Awaiting::Answer4 => answer_4(input),
        }
    }

    fn method(&mut self, input: &[u8]) -> Result<(usize, Step), SocksError> {
        match *input {
            [VERSION_5, NO_LOGIN, ..] => Ok((2, self.ask())),
            [VERSION_5, USER_PASSWORD, ..] if self.has_login => {
                self.awaiting = Awaiting::Verdict;
                Ok((2, Step::LogIn))
            }
            [VERSION_5, NO_METHOD | USER_PASSWORD, ..] => Err(SocksError::NoMethod),
            [] | [VERSION_5] => Ok((0, Step::More)),
            [..] => Err(SocksError::Malformed),
        }
    }

    fn ask(&mut self) -> Step {
        self.awaiting = Awaiting::Answer5;
        Step::Send(std::mem::take(&mut self.request))
    }
}

/// User and password in clear text (RFC 1929 §2).
pub fn login(user: &str, password: &Secret) -> Result<Zeroizing<Vec<u8>>, SocksError> {
    let mut message = Zeroizing::new(vec![LOGIN_VERSION]);
    for part in [user, password.expose()] {
        let length = u8::try_from(part.len()).ok().filter(|length| *length > 0).ok_or(SocksError::LoginLength)?;
        message.push(length);
        message.extend_from_slice(part.as_bytes());
    }
    Ok(message)
}

fn request_5(target: &Target) -> Vec<u8> {
    let mut request = vec![VERSION_5, CONNECT, 0];
    match &target.host {
        Host::Ip(IpAddr::V4(ip)) => {
            request.push(IPV4);
            request.extend(ip.octets());
        }
        Host::Ip(IpAddr::V6(ip)) => {
            request.push(IPV6);
            request.extend(ip.octets());
        }
        Host::Name(name) => {
            // No host is longer than 253 bytes.
            let name = &name.as_bytes()[..name.len().min(usize::from(u8::MAX))];
            request.extend([NAME, u8::try_from(name.len()).unwrap_or(u8::MAX)]);
            request.extend_from_slice(name);
        }
    }
    request.extend(target.port.to_be_bytes());
    request
}

fn request_4(target: &Target) -> Result<Vec<u8>, SocksError> {
    let mut request = vec![VERSION_4, CONNECT];
    request.extend(target.port.to_be_bytes());
    let name = match &target.host {
        // Such an address would be taken for the sign that a name follows, so it goes as one.
        Host::Ip(IpAddr::V4(ip)) if matches!(ip.octets(), [0, 0, 0, 1..=255]) => {
            request.extend(NAME_FOLLOWS);
            Some(ip.to_string())
        }
        Host::Ip(IpAddr::V4(ip)) => {
            request.extend(ip.octets());
            None
        }
        Host::Ip(IpAddr::V6(_)) => return Err(SocksError::NoIpv6),
        Host::Name(name) => {
            request.extend(NAME_FOLLOWS);
            Some(name.to_string())
        }
    };
    // A user is only for identd, which nobody runs.
    request.push(0);
    if let Some(name) = name {
        request.extend_from_slice(name.as_bytes());
        request.push(0);
    }
    Ok(request)
}

fn answer_5(input: &[u8]) -> Result<(usize, Step), SocksError> {
    let (kind, rest) = match *input {
        // After a no, some servers leave the rest out.
        [VERSION_5, reply @ 1..=255, ..] => return Err(SocksError::Refused(Reply(reply))),
        [VERSION_5, 0, _, kind, ref rest @ ..] => (kind, rest),
        [] | [VERSION_5] | [VERSION_5, 0] | [VERSION_5, 0, _] => return Ok((0, Step::More)),
        [..] => return Err(SocksError::Malformed),
    };
    let address = match (kind, rest) {
        (IPV4, _) => 4,
        (IPV6, _) => 16,
        (NAME, [length, ..]) => 1 + usize::from(*length),
        (NAME, []) => return Ok((0, Step::More)),
        (_, _) => return Err(SocksError::Malformed),
    };
    let whole = 4 + address + 2;
    if input.len() < whole { Ok((0, Step::More)) } else { Ok((whole, Step::Done)) }
}

fn answer_4(input: &[u8]) -> Result<(usize, Step), SocksError> {
    match *input {
        // The version of the answer is 0; some servers say 4.
        [0 | VERSION_4, code, ..] if Reply(code) != Reply::GRANTED => Err(SocksError::Refused(Reply(code))),
        [0 | VERSION_4, ..] | [] if input.len() < ANSWER_4 => Ok((0, Step::More)),
        [0 | VERSION_4, ..] => Ok((ANSWER_4, Step::Done)),
        [..] => Err(SocksError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: [u8; 15] = *b"\x01\x05alice\x07hunter2";

    fn target(text: &str) -> Target {
        Target::parse(text, None).unwrap()
    }

    /// What is said to a server that says `answers`, which come in pieces of `size`; the last is what the target
    /// says.
    fn play(mut handshake: Handshake, answers: &[u8], size: usize) -> (Vec<Vec<u8>>, Result<Vec<u8>, SocksError>) {
        let mut said = vec![handshake.opening()];
        let mut heard = Vec::new();
        let mut pieces = answers.chunks(size);
        loop {
            match handshake.step(&heard) {
                Err(error) => return (said, Err(error)),
                Ok((used, step)) => {
                    heard.drain(..used);
                    match step {
                        Step::Send(bytes) => said.push(bytes),
                        Step::LogIn => said.push(login("alice", &Secret::new("hunter2")).unwrap().to_vec()),
                        Step::Done => return (said, Ok([heard, pieces.flatten().copied().collect()].concat())),
                        Step::More => match pieces.next() {
                            Some(piece) => heard.extend_from_slice(piece),
                            None => return (said, Ok(b"still waiting".to_vec())),
                        },
                    }
                }
            }
        }
    }

    #[test]
    fn every_way_to_a_tunnel_says_the_same_in_whatever_pieces_the_answers_come() {
        let name = b"\x05\x01\x00\x03\x06o.test\x01\xbb".to_vec();
        for (protocol, to, has_login, answers, said) in [
            (
                Protocol::Socks5,
                "o.test:443",
                false,
                &b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38early"[..],
                vec![b"\x05\x01\x00".to_vec(), name.clone()],
            ),
            (
                Protocol::Socks5,
                "o.test:443",
                true,
                b"\x05\x02\x01\x00\x05\x00\x00\x03\x04bnd.\x04\x38early",
                vec![b"\x05\x02\x00\x02".to_vec(), ALICE.to_vec(), name.clone()],
            ),
            (
                Protocol::Socks5,
                "192.0.2.1:80",
                true,
                b"\x05\x00\x05\x00\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x04\x38early",
                vec![b"\x05\x02\x00\x02".to_vec(), b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50".to_vec()],
            ),
            (
                Protocol::Socks5,
                "[2001:db8::1]:80",
                false,
                b"\x05\x00\x05\x00\x00\x03\x00\x04\x38early",
                vec![
                    b"\x05\x01\x00".to_vec(),
                    b"\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50".to_vec(),
                ],
            ),
            (
                Protocol::Socks4,
                "o.test:443",
                true,
                b"\x00\x5a\x04\x38\x7f\x00\x00\x01early",
                vec![b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00o.test\x00".to_vec()],
            ),
            (
                Protocol::Socks4,
                "192.0.2.1:80",
                false,
                b"\x04\x5a\x00\x00\x00\x00\x00\x00early",
                vec![b"\x04\x01\x00\x50\xc0\x00\x02\x01\x00".to_vec()],
            ),
            (
                Protocol::Socks4,
                "0.0.0.10:80",
                false,
                b"\x00\x5a\x00\x00\x00\x00\x00\x00early",
                vec![b"\x04\x01\x00\x50\x00\x00\x00\x01\x000.0.0.10\x00".to_vec()],
            ),
        ] {
            for size in 1..=answers.len() {
                let handshake = Handshake::new(protocol, &target(to), has_login).unwrap();
                assert_eq!(play(handshake, answers, size), (said.clone(), Ok(b"early".to_vec())), "{to} by {size}");
            }
            // Cut anywhere, it waits and neither fails nor takes a part for the whole.
            for cut in 0..answers.len() - b"early".len() {
                let handshake = Handshake::new(protocol, &target(to), has_login).unwrap();
                assert_eq!(play(handshake, &answers[..cut], 1).1, Ok(b"still waiting".to_vec()), "{to} cut at {cut}");
            }
        }
    }

    #[test]
    fn every_no_has_a_name_and_says_whether_another_upstream_may_know_better() {
        let refused = |code| SocksError::Refused(Reply(code));
        for (protocol, has_login, answers, error, is_final) in [
            (Protocol::Socks5, false, &b"\x05\xff"[..], SocksError::NoMethod, false),
            (Protocol::Socks5, false, b"\x05\x02", SocksError::NoMethod, false),
            (Protocol::Socks5, true, b"\x05\x01", SocksError::Malformed, false),
            (Protocol::Socks5, true, b"HTTP/1.1 400", SocksError::Malformed, false),
            (Protocol::Socks5, true, b"\x05\x02\x01\x01", SocksError::Rejected, true),
            (Protocol::Socks5, true, b"\x05\x02\x05\xff", SocksError::Rejected, true),
            (Protocol::Socks5, false, b"\x05\x00\x05\x01", refused(1), false),
            (Protocol::Socks5, false, b"\x05\x00\x05\x02\x00\x01\0\0\0\0\0\0", refused(2), true),
            (Protocol::Socks5, false, b"\x05\x00\x05\x04", refused(4), true),
            (Protocol::Socks5, false, b"\x05\x00\x05\x05", refused(5), true),
            (Protocol::Socks5, false, b"\x05\x00\x05\x06", refused(6), true),
            (Protocol::Socks5, false, b"\x05\x00\x05\x07", refused(7), false),
            (Protocol::Socks5, false, b"\x05\x00\x05\x08", refused(8), false),
            (Protocol::Socks5, false, b"\x05\x00\x05\x00\x00\x09", SocksError::Malformed, false),
            (Protocol::Socks5, false, b"\x05\x00\x04\x00", SocksError::Malformed, false),
            (Protocol::Socks4, false, b"\x00\x5b\0\0\0\0\0\0", refused(91), true),
            (Protocol::Socks4, false, b"\x00\x5c", refused(92), false),
            (Protocol::Socks4, false, b"HTTP/1.1", SocksError::Malformed, false),
        ] {
            let handshake = Handshake::new(protocol, &target("o.test:443"), has_login).unwrap();
            assert_eq!(play(handshake, answers, 1).1, Err(error), "{answers:?}");
            assert_eq!(error.is_final(), is_final, "{error}");
        }
        assert_eq!(refused(5).to_string(), "the upstream said: connection refused (SOCKS reply 5)");
    }

    #[test]
    fn what_cannot_be_said_is_an_error() {
        assert!(matches!(Handshake::new(Protocol::Socks4, &target("[2001:db8::1]:1"), false), Err(SocksError::NoIpv6)));
        let long = "x".repeat(256);
        for (user, password) in [("", "p"), ("u", ""), (long.as_str(), "p"), ("u", long.as_str())] {
            assert_eq!(login(user, &Secret::new(password)).unwrap_err(), SocksError::LoginLength);
        }
        assert!(login("u", &Secret::new("\u{e4}".repeat(127))).is_ok());
    }
}
