//! The server's half: what a client says, as far as it has come, and how it is answered.
//!
//! Versions 4 and 4a are one message; version 5 is a list of methods and then a request.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use super::{
    CONNECT, IPV4, IPV6, LOGIN_VERSION, NAME, NO_LOGIN, NO_METHOD, Reply, USER_PASSWORD, VERSION_4, VERSION_5,
};
use crate::address::{AddressError, Host, Target};

/// A user name or host of version 4 ends with a zero; longer ones are nobody's.
const MAX_TEXT: usize = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Four,
    Five,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    #[error("the client does not speak SOCKS: its first byte is {0:#04x}")]
    Version(u8),
    #[error("the client wants to log in, and this listener knows no log-in")]
    Methods,
    #[error("this listener wants a token as the password, and the client shows none")]
    NoLogin,
    #[error("of SOCKS, only CONNECT is served here, not command {0}")]
    Command(u8),
    #[error("no such type of address: {0}")]
    AddressType(u8),
    #[error("the message is not well formed")]
    Malformed,
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// What stands at the beginning of the bytes; the number says how many of them it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// Version 5: to be answered with [`METHOD`], then a [`request`] follows; or with [`METHOD_LOGIN`], then a
    /// [`login`] before it.
    Methods(usize),
    /// Version 4: this is the request already.
    Request(Target, usize),
}

/// To a version 5 hello.
pub const METHOD: [u8; 2] = [VERSION_5, NO_LOGIN];

/// The same where a log-in is wanted.
pub const METHOD_LOGIN: [u8; 2] = [VERSION_5, USER_PASSWORD];

/// Answers to a log-in (RFC 1929).
pub const LOGIN_TAKEN: [u8; 2] = [LOGIN_VERSION, 0];
pub const LOGIN_REFUSED: [u8; 2] = [LOGIN_VERSION, 1];

/// `None`: more bytes are needed. `wants_login`: who cannot log in is refused.
pub fn hello(bytes: &[u8], wants_login: bool) -> Result<Option<Hello>, Error> {
    match bytes {
        [] => Ok(None),
        [VERSION_5, rest @ ..] => {
            let Some((count, methods)) = rest.split_first() else { return Ok(None) };
            let Some(methods) = methods.get(..usize::from(*count)) else { return Ok(None) };
            let method = if wants_login { USER_PASSWORD } else { NO_LOGIN };
            match methods.contains(&method) {
                true => Ok(Some(Hello::Methods(2 + methods.len()))),
                false if wants_login => Err(Error::NoLogin),
                false => Err(Error::Methods),
            }
        }
        [VERSION_4, ..] if wants_login => Err(Error::NoLogin),
        [VERSION_4, ..] => Ok(request_4(bytes)?.map(|(target, taken)| Hello::Request(target, taken))),
        [other, ..] => Err(Error::Version(*other)),
    }
}

/// A user's name and password.
pub type Login<'a> = (&'a [u8], &'a [u8]);

/// `1, length, user, length, password`, and how many bytes it took (RFC 1929 §2).
pub fn login(bytes: &[u8]) -> Result<Option<(Login<'_>, usize)>, Error> {
    let rest = match bytes {
        [] => return Ok(None),
        [LOGIN_VERSION, rest @ ..] => rest,
        [..] => return Err(Error::Malformed),
    };
    let Some((user, rest)) = counted(rest) else { return Ok(None) };
    let Some((password, rest)) = counted(rest) else { return Ok(None) };
    Ok(Some(((user, password), bytes.len() - rest.len())))
}

/// What stands behind its length, and what follows.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// The request of version 5: where to, and how many bytes it took.
pub fn request(bytes: &[u8]) -> Result<Option<(Target, usize)>, Error> {
    match bytes {
        [version, ..] if *version != VERSION_5 => return Err(Error::Malformed),
        [_, command, ..] if *command != CONNECT => return Err(Error::Command(*command)),
        [_, _, reserved, ..] if *reserved != 0 => return Err(Error::Malformed),
        _ => {}
    }
    let Some((kind, rest)) = bytes.get(3..).and_then(<[u8]>::split_first) else { return Ok(None) };
    let (host, rest): (Host, &[u8]) = match *kind {
        IPV4 => match rest.split_first_chunk::<4>() {
            Some((ip, rest)) => (Host::Ip(Ipv4Addr::from(*ip).into()), rest),
            None => return Ok(None),
        },
        IPV6 => match rest.split_first_chunk::<16>() {
            Some((ip, rest)) => (Host::Ip(IpAddr::V6(Ipv6Addr::from(*ip)).to_canonical()), rest),
            None => return Ok(None),
        },
        NAME => {
            let Some((length, rest)) = rest.split_first() else { return Ok(None) };
            match rest.split_at_checked(usize::from(*length)) {
                Some((name, rest)) => (host(name)?, rest),
                None => return Ok(None),
            }
        }
        other => return Err(Error::AddressType(other)),
    };
    let Some((port, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
    Ok(Some((target(host, *port)?, bytes.len() - rest.len())))
}

/// `4, command, port, address, user, 0`, and for an address of `0.0.0.x` the host's name and another 0 (4a).
fn request_4(bytes: &[u8]) -> Result<Option<(Target, usize)>, Error> {
    match bytes {
        [_, command, ..] if *command != CONNECT => return Err(Error::Command(*command)),
        _ => {}
    }
    let Some((port, rest)) = bytes.get(2..).and_then(<[u8]>::split_first_chunk::<2>) else { return Ok(None) };
    let Some((ip, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let Some((_user, rest)) = text(rest)? else { return Ok(None) };
    let (host, rest) = match ip {
        [0, 0, 0, last] if *last != 0 => match text(rest)? {
            Some((name, rest)) => (host(name)?, rest),
            None => return Ok(None),
        },
        _ => (Host::Ip(Ipv4Addr::from(*ip).into()), rest),
    };
    Ok(Some((target(host, *port)?, bytes.len() - rest.len())))
}

/// What stands before a zero, and what after it.
type Text<'a> = (&'a [u8], &'a [u8]);

fn text(bytes: &[u8]) -> Result<Option<Text<'_>>, Error> {
    match bytes.iter().position(|byte| *byte == 0) {
        Some(end) if end <= MAX_TEXT => Ok(Some((&bytes[..end], &bytes[end + 1..]))),
        None if bytes.len() <= MAX_TEXT => Ok(None),
        Some(_) | None => Err(Error::Malformed),
    }
}

fn host(name: &[u8]) -> Result<Host, Error> {
    let name = std::str::from_utf8(name).map_err(|_| Error::Malformed)?;
    Ok(Host::parse(name)?)
}

fn target(host: Host, port: [u8; 2]) -> Result<Target, Error> {
    match u16::from_be_bytes(port) {
        0 => Err(AddressError::BadPort("0".into()).into()),
        port => Ok(Target::new(host, port)),
    }
}

/// The answer to a request. Where we are bound is nobody's business, and no client asks.
pub fn reply(version: Version, reply: Reply) -> Vec<u8> {
    match version {
        Version::Five => vec![VERSION_5, reply.0, 0, IPV4, 0, 0, 0, 0, 0, 0],
        Version::Four => {
            let Reply(code) = if reply == Reply::SUCCEEDED { Reply::GRANTED } else { Reply::REJECTED };
            vec![0, code, 0, 0, 0, 0, 0, 0]
        }
    }
}

/// The answer to what makes no sense; `asked`: after the methods were settled. Empty for what is not SOCKS.
pub fn refusal(version: Version, asked: bool, error: &Error) -> Vec<u8> {
    match error {
        Error::Version(_) => Vec::new(),
        Error::Methods | Error::NoLogin if version == Version::Five => vec![VERSION_5, NO_METHOD],
        Error::Methods | Error::NoLogin => reply(version, Reply::FAILURE),
        _ if version == Version::Five && !asked => vec![VERSION_5, NO_METHOD],
        Error::Command(_) => reply(version, Reply::COMMAND_NOT_SUPPORTED),
        Error::AddressType(_) => reply(version, Reply::ADDRESS_NOT_SUPPORTED),
        Error::Malformed | Error::Address(_) => reply(version, Reply::FAILURE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(bytes: &[u8]) -> Result<Option<Hello>, Error> {
        super::hello(bytes, false)
    }

    fn address(bytes: &[u8]) -> Result<Option<(String, usize)>, Error> {
        request(bytes).map(|found| found.map(|(target, taken)| (target.to_string(), taken)))
    }

    #[test]
    fn every_kind_of_address_is_read_and_what_follows_is_left() {
        let name = [&[5, 1, 0, 3, 11][..], b"Example.com", &[1, 187]].concat();
        let v6 = [&[5, 1, 0, 4][..], &Ipv6Addr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]).octets(), &[0, 22]].concat();
        let mapped = [&[5, 1, 0, 4][..], &Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().octets(), &[0, 22]].concat();
        for (bytes, shown) in [
            (vec![5, 1, 0, 1, 192, 0, 2, 7, 0, 80], "192.0.2.7:80"),
            (name, "example.com:443"),
            (v6, "[2001:db8::1]:22"),
            (mapped, "192.0.2.7:22"),
        ] {
            assert_eq!(address(&bytes), Ok(Some((shown.into(), bytes.len()))));
            let early = [&bytes[..], b"early"].concat();
            assert_eq!(address(&early), Ok(Some((shown.into(), bytes.len()))));
            for cut in 0..bytes.len() {
                assert_eq!(address(&bytes[..cut]), Ok(None), "{shown} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_hello_offers_methods_or_is_a_request_of_version_4() {
        let four = [&[4, 1, 0, 22, 192, 0, 2, 7][..], b"user\0"].concat();
        let four_a = [&[4, 1, 1, 187, 0, 0, 0, 1][..], b"\0Example.com\0"].concat();
        let request = |text: &str, taken| Hello::Request(Target::parse(text, None).unwrap(), taken);
        for (bytes, wanted) in [
            (vec![5, 1, 0], Hello::Methods(3)),
            (vec![5, 3, 1, 2, 0], Hello::Methods(5)),
            (four.clone(), request("192.0.2.7:22", four.len())),
            (four_a.clone(), request("example.com:443", four_a.len())),
        ] {
            assert_eq!(hello(&bytes), Ok(Some(wanted.clone())));
            assert_eq!(hello(&[&bytes[..], b"early"].concat()), Ok(Some(wanted)));
            for cut in 0..bytes.len() {
                assert_eq!(hello(&bytes[..cut]), Ok(None), "{bytes:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn where_a_login_is_wanted_only_who_can_log_in_goes_on() {
        for (bytes, wanted) in [
            (vec![5, 1, 2], Ok(Some(Hello::Methods(3)))),
            (vec![5, 2, 0, 2], Ok(Some(Hello::Methods(4)))),
            (vec![5, 1, 0], Err(Error::NoLogin)),
            (vec![4, 1, 0, 22, 192, 0, 2, 7, 0], Err(Error::NoLogin)),
        ] {
            assert_eq!(super::hello(&bytes, true), wanted, "{bytes:?}");
        }
        let said = [&[1, 1][..], b"x", &[5], b"t0ken"].concat();
        assert_eq!(
            login(&[&said[..], &[5, 1]].concat()),
            Ok(Some(((b"x".as_slice(), b"t0ken".as_slice()), said.len())))
        );
        for cut in 0..said.len() {
            assert_eq!(login(&said[..cut]), Ok(None), "cut at {cut}");
        }
        assert_eq!(login(&[5, 1, 0]), Err(Error::Malformed));
    }

    #[test]
    fn what_cannot_be_served_is_refused_in_words_the_client_knows() {
        use Version::{Five, Four};
        let long = vec![b'u'; 300];
        for (error, version, asked, answer) in [
            (hello(b"GET / HTTP/1.1\r\n").unwrap_err(), Five, false, vec![]),
            (hello(&[5, 1, 2]).unwrap_err(), Five, false, vec![5, 0xff]),
            (hello(&[5, 0]).unwrap_err(), Five, false, vec![5, 0xff]),
            (hello(&[4, 2]).unwrap_err(), Four, false, vec![0, 91, 0, 0, 0, 0, 0, 0]),
            (
                hello(&[&[4, 1, 0, 1, 1, 2, 3, 4][..], &long].concat()).unwrap_err(),
                Four,
                false,
                vec![0, 91, 0, 0, 0, 0, 0, 0],
            ),
            (request(&[5, 2]).unwrap_err(), Five, true, vec![5, 7, 0, 1, 0, 0, 0, 0, 0, 0]),
            (request(&[5, 3]).unwrap_err(), Five, true, vec![5, 7, 0, 1, 0, 0, 0, 0, 0, 0]),
            (request(&[5, 1, 0, 9]).unwrap_err(), Five, true, vec![5, 8, 0, 1, 0, 0, 0, 0, 0, 0]),
            (request(&[4]).unwrap_err(), Five, true, vec![5, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
            (request(&[5, 1, 1]).unwrap_err(), Five, true, vec![5, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
            (request(&[5, 1, 0, 3, 1, 0xff, 0, 1]).unwrap_err(), Five, true, vec![5, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
            (request(&[5, 1, 0, 3, 0, 0, 1]).unwrap_err(), Five, true, vec![5, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
            (request(&[5, 1, 0, 1, 1, 2, 3, 4, 0, 0]).unwrap_err(), Five, true, vec![5, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(refusal(version, asked, &error), answer, "{error}");
        }
    }

    #[test]
    fn version_4_has_one_answer_for_every_failure() {
        assert_eq!(reply(Version::Four, Reply::SUCCEEDED), [0, 90, 0, 0, 0, 0, 0, 0]);
        assert_eq!(reply(Version::Four, Reply::TTL_EXPIRED), [0, 91, 0, 0, 0, 0, 0, 0]);
        assert_eq!(reply(Version::Five, Reply::SUCCEEDED), [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(reply(Version::Five, Reply::CONNECTION_REFUSED)[1], 5);
    }
}
