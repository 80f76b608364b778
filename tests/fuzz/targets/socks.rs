//! SOCKS messages of clients and of servers: the same whole and in bytes, and read as they are written.

use hallpass::address::{Protocol, Target};
use hallpass::socks::client::{Handshake, SocksError, Step};
use hallpass::socks::server::{self, Error, Hello};

/// Both sides get the same bytes; which of them makes sense of what is not said.
pub fn socks(bytes: &[u8]) {
    client_says(bytes);
    for (protocol, has_login) in [(Protocol::Socks5, false), (Protocol::Socks5, true), (Protocol::Socks4, false)] {
        server_says(bytes, protocol, has_login);
    }
}

fn client_says(bytes: &[u8]) {
    let (open, guarded) = (settled(bytes, |b| server::hello(b, false)), settled(bytes, |b| server::hello(b, true)));
    if let Ok(Some(Hello::Request(target, taken))) = open {
        assert!(taken <= bytes.len());
        asked_for(&target, Protocol::Socks4);
        assert!(guarded.is_err(), "SOCKS 4 has no place for a token");
    }
    if let Ok(Some((target, taken))) = settled(bytes, server::request) {
        assert!(taken <= bytes.len() && target.port != 0);
        asked_for(&target, Protocol::Socks5);
    }
}

/// A message is there once all of it is, and what it says does not change with what follows.
fn settled<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    read: fn(&[u8]) -> Result<Option<T>, Error>,
) -> Result<Option<T>, Error> {
    let whole = read(bytes);
    let first = (0..=bytes.len().min(600)).map(|end| read(&bytes[..end])).find(|read| *read != Ok(None));
    if let Some(first) = first {
        assert_eq!(first, whole);
    }
    whole
}

/// What our own client asks for is what our server hears.
fn asked_for(target: &Target, protocol: Protocol) {
    let Ok(mut handshake) = Handshake::new(protocol, target, false) else { return };
    let heard = if protocol == Protocol::Socks4 {
        match server::hello(&handshake.opening(), false) {
            Ok(Some(Hello::Request(target, _))) => target,
            other => panic!("{other:?}"),
        }
    } else {
        assert_eq!(server::hello(&handshake.opening(), false), Ok(Some(Hello::Methods(3))));
        let Ok((2, Step::Send(request))) = handshake.step(&server::METHOD) else { panic!("no request") };
        match server::request(&request) {
            Ok(Some((target, _))) => target,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(heard, *target);
}

/// What a server answers, whole and byte by byte.
fn server_says(bytes: &[u8], protocol: Protocol, has_login: bool) {
    let whole = talk(bytes, bytes.len().max(1), protocol, has_login);
    assert_eq!(talk(bytes, 1, protocol, has_login), whole);
    let (said, logins, _) = whole;
    assert!(logins <= usize::from(has_login), "user and password went out {logins} times");
    assert!(said <= 1, "the request went out {said} times");
}

/// How often the request and the login went out, and how it ended: bytes left to the target.
fn talk(
    bytes: &[u8],
    size: usize,
    protocol: Protocol,
    has_login: bool,
) -> (usize, usize, Result<Option<usize>, SocksError>) {
    let target = Target::parse("a.example:443", None).expect("a target");
    let mut handshake = Handshake::new(protocol, &target, has_login).expect("a handshake");
    let _opening = handshake.opening();
    let (mut heard, mut rest, mut said, mut logins) = (Vec::new(), bytes, 0, 0);
    for _ in 0..bytes.len() * 2 + 8 {
        match handshake.step(&heard) {
            Err(error) => return (said, logins, Err(error)),
            Ok((used, step)) => {
                heard.drain(..used);
                match step {
                    Step::Done => return (said, logins, Ok(Some(heard.len() + rest.len()))),
                    Step::Send(_) => said += 1,
                    Step::LogIn => logins += 1,
                    Step::More if rest.is_empty() => return (said, logins, Ok(None)),
                    Step::More => {
                        let (now, later) = rest.split_at(size.min(rest.len()));
                        heard.extend_from_slice(now);
                        rest = later;
                    }
                }
            }
        }
    }
    panic!("a handshake without an end");
}
