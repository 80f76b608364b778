//! Talking to a KDC: TCP only (RFC 4120 §7.2.2), with time-outs.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::kerberos::KerberosError;
use crate::address::{Host, Target};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Tickets of people in very many groups stay well below.
const MAX_REPLY: usize = 1 << 20;

/// Whether a request that got no answer may go to another KDC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    Anywhere,
    /// It may have been counted as a try of the password.
    Never,
}

/// The KDCs of one realm, in order of preference.
#[derive(Debug, Clone)]
pub(super) struct Kdc {
    servers: Vec<Target>,
}

pub(super) struct Answer {
    pub(super) server: Target,
    pub(super) reply: Vec<u8>,
}

impl Kdc {
    pub(super) fn new(servers: Vec<Target>) -> Self {
        Self { servers }
    }

    pub(super) fn exchange(&self, request: &[u8], retry: Retry) -> Result<Answer, KerberosError> {
        let mut failures = Vec::new();
        for server in &self.servers {
            match exchange(server, request) {
                Ok(reply) => return Ok(Answer { server: server.clone(), reply }),
                Err(error) => failures.push(format!("{server}: {error}")),
            }
            if retry == Retry::Never {
                break;
            }
        }
        Err(KerberosError::Unreachable(format!("no KDC answers ({})", failures.join("; "))))
    }

    /// The one that answered before knows what it asked for.
    pub(super) fn exchange_with(&self, server: &Target, request: &[u8]) -> Result<Vec<u8>, KerberosError> {
        let only = Self::new(vec![server.clone()]);
        only.exchange(request, Retry::Never).map(|answer| answer.reply)
    }
}

fn exchange(server: &Target, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect(server)?;
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
    let length = u32::try_from(request.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), request].concat())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > MAX_REPLY {
        return Err(io::Error::other("its answer is too long"));
    }
    let mut reply = vec![0; length];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

fn connect(server: &Target) -> io::Result<TcpStream> {
    let addresses = match &server.host {
        Host::Ip(ip) => vec![(*ip, server.port).into()],
        Host::Name(name) => (name.as_str(), server.port).to_socket_addrs()?.collect(),
    };
    let mut last = io::Error::other("its name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn server(answer: impl FnOnce(TcpStream) + Send + 'static) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || answer(listener.accept().unwrap().0));
        Target::new(Host::Ip(address.ip()), address.port())
    }

    fn answering(reply: &'static [u8]) -> Target {
        server(move |mut stream| {
            let mut request = [0; 7];
            stream.read_exact(&mut request).unwrap();
            assert_eq!(&request, b"\0\0\0\x03ask");
            stream.write_all(reply).unwrap();
        })
    }

    fn closed() -> Target {
        server(drop)
    }

    #[test]
    fn the_next_kdc_is_asked_when_one_does_not_answer() {
        let good = answering(b"\0\0\0\x02ok");
        let answer = Kdc::new(vec![closed(), good.clone()]).exchange(b"ask", Retry::Anywhere).unwrap();
        assert_eq!((answer.server, answer.reply), (good, b"ok".to_vec()));
    }

    #[test]
    fn a_request_with_a_proof_goes_to_one_kdc_only() {
        let kdc = Kdc::new(vec![closed(), answering(b"\0\0\0\x02ok")]);
        assert!(kdc.exchange(b"ask", Retry::Never).is_err());
    }

    #[test]
    fn an_answer_that_is_too_long_or_cut_short_is_an_error() {
        for reply in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x09short", b"\0\0"] {
            assert!(Kdc::new(vec![answering(reply)]).exchange(b"ask", Retry::Anywhere).is_err());
        }
    }
}
