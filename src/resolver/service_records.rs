//! SRV records (RFC 2782), which the operating systems' own calls do not give.
//!
//! One question of one type does not weigh a resolver library of thirty crates: this asks the servers that
//! `resolv.conf` names, over UDP, then TCP where the answer was cut.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;
use std::{fs, iter};

use crate::address::{Host, MAX_NAME, Target};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const TIMEOUT: Duration = Duration::from_secs(2);
const PORT: u16 = 53;
const HEADER: usize = 12;
/// No server of ours needs more, and pointers that go round in circles end here.
const MAX_POINTERS: usize = 16;

const TYPE_SRV: u16 = 33;
const CLASS_INTERNET: u16 = 1;

/// The hosts that DNS names for `_service._tcp.domain`, best first; none when it cannot be asked. Blocks.
pub fn service_records(name: &str) -> Vec<Target> {
    let servers = fs::read_to_string(Path::new(RESOLV_CONF)).map(|text| name_servers(&text)).unwrap_or_default();
    for server in servers {
        match ask(server, name) {
            Ok(records) => return sorted(records),
            Err(error) => tracing::debug!(%server, name, %error, "no service records"),
        }
    }
    Vec::new()
}

fn name_servers(resolv_conf: &str) -> Vec<SocketAddr> {
    let mut servers: Vec<_> = resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|rest| rest.split_whitespace().next()?.parse::<IpAddr>().ok())
        .map(|ip| SocketAddr::new(ip, PORT))
        .collect();
    servers.truncate(3);
    servers
}

fn ask(server: SocketAddr, name: &str) -> io::Result<Vec<Record>> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(|error| io::Error::other(error.to_string()))?;
    let question = question(id, name).ok_or_else(|| io::Error::other("the name cannot stand in DNS"))?;
    let mut answer = ask_udp(server, &question)?;
    if is_cut(&answer) {
        answer = ask_tcp(server, &question)?;
    }
    parse(&answer, &question).ok_or_else(|| io::Error::other("the answer makes no sense"))
}

/// The port is the system's choice: with the id, that is what somebody who forges answers must guess.
fn ask_udp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.send(question)?;
    let mut answer = vec![0; 4096];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

fn ask_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[derive(Debug, PartialEq, Eq)]
struct Record {
    priority: u16,
    weight: u16,
    target: Target,
}

fn sorted(mut records: Vec<Record>) -> Vec<Target> {
    records.sort_by_key(|record| (record.priority, u16::MAX - record.weight));
    records.into_iter().map(|record| record.target).collect()
}

fn question(id: [u8; 2], name: &str) -> Option<Vec<u8>> {
    let name = name.trim_end_matches('.');
    if name.len() > MAX_NAME {
        return None;
    }
    // Recursion desired, one question.
    let mut message = [&id[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        message.push(length);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend(TYPE_SRV.to_be_bytes());
    message.extend(CLASS_INTERNET.to_be_bytes());
    Some(message)
}

fn is_cut(answer: &[u8]) -> bool {
    answer.get(2).is_some_and(|flags| flags & 2 != 0)
}

/// `None` for what does not answer this question; an error that the server reports is an empty answer.
fn parse(answer: &[u8], question: &[u8]) -> Option<Vec<Record>> {
    let is_response = answer.get(2)? & 0x80 != 0;
    if !is_response || answer.get(..2)? != &question[..2] {
        return None;
    }
    // The question comes back, perhaps in other letters.
    let echoed = answer.get(HEADER..question.len())?;
    if !echoed.eq_ignore_ascii_case(&question[HEADER..]) {
        return None;
    }
    let count = u16_at(answer, 6)?;
    let mut at = question.len();
    let mut records = Vec::new();
    for _ in 0..count {
        let (kind, data, next) = record(answer, at)?;
        if kind == TYPE_SRV {
            records.extend(service(answer, data));
        }
        at = next;
    }
    Some(records)
}

/// Type, where its data begins, where the next one begins.
fn record(message: &[u8], at: usize) -> Option<(u16, usize, usize)> {
    let at = name_at(message, at)?.1;
    let length = usize::from(u16_at(message, at + 8)?);
    let data = at + 10;
    (data + length <= message.len()).then_some((u16_at(message, at)?, data, data + length))
}

/// A single dot as the target says that the service is not there.
fn service(message: &[u8], at: usize) -> Option<Record> {
    let (name, _) = name_at(message, at + 6)?;
    let target = Target::new(Host::parse(&name).ok()?, u16_at(message, at + 4)?);
    Some(Record { priority: u16_at(message, at)?, weight: u16_at(message, at + 2)?, target })
}

/// The name, and where what follows it begins.
fn name_at(message: &[u8], at: usize) -> Option<(String, usize)> {
    let mut labels: Vec<String> = Vec::new();
    let mut length_so_far = 0;
    let (mut at, mut after) = (at, None);
    for _ in 0..MAX_POINTERS {
        loop {
            let length = usize::from(*message.get(at)?);
            if length & 0xc0 == 0xc0 {
                after = after.or(Some(at + 2));
                at = usize::from(u16_at(message, at)? & 0x3fff);
                break;
            }
            if length == 0 {
                return Some((labels.join("."), after.unwrap_or(at + 1)));
            }
            length_so_far += length + 1;
            if length > 63 || length_so_far > MAX_NAME + 1 {
                return None;
            }
            let label = message.get(at + 1..at + 1 + length)?;
            labels.extend(iter::once(String::from_utf8_lossy(label).into_owned()));
            at += 1 + length;
        }
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "_kerberos._tcp.CORP.EXAMPLE";

    fn asked() -> Vec<u8> {
        question([7, 7], NAME).unwrap()
    }

    fn srv(priority: u16, weight: u16, port: u16, target: &[u8]) -> Vec<u8> {
        let mut record = vec![0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60];
        record.extend((6 + target.len() as u16).to_be_bytes());
        [priority, weight, port].iter().for_each(|number| record.extend(number.to_be_bytes()));
        record.extend(target);
        record
    }

    fn answered(records: &[Vec<u8>]) -> Vec<u8> {
        let mut message = asked();
        message[2] = 0x81;
        message[7] = records.len() as u8;
        message.extend(records.concat());
        message
    }

    fn example() -> Vec<u8> {
        // "dc1" and a pointer to CORP.EXAMPLE in the question; an alias in between.
        let alias = [&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2][..], &[0xc0, 12]].concat();
        answered(&[
            srv(10, 0, 88, b"\x03dc9\x04corp\x07example\0"),
            alias,
            srv(0, 1, 88, b"\x03dc2\xc0\x1b"),
            srv(0, 100, 8088, b"\x03dc1\xc0\x1b"),
        ])
    }

    #[test]
    fn records_come_in_order_of_priority_and_weight() {
        let found = sorted(parse(&example(), &asked()).unwrap());
        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["dc1.corp.example:8088", "dc2.corp.example:88", "dc9.corp.example:88"]);
    }

    #[test]
    fn an_answer_to_another_question_is_not_taken() {
        let good = example();
        for at in [0, 1, 2, 14, asked().len() - 3] {
            let mut other = good.clone();
            other[at] ^= 0x80;
            assert_eq!(parse(&other, &asked()), None, "{at}");
        }
    }

    #[test]
    fn no_service_is_no_record() {
        assert_eq!(parse(&answered(&[]), &asked()), Some(Vec::new()));
        assert_eq!(parse(&answered(&[srv(0, 0, 0, b"\0")]), &asked()), Some(Vec::new()));
    }

    #[test]
    fn names_in_circles_and_damaged_answers_end() {
        let circle = answered(&[srv(0, 0, 88, &[0xc0, (asked().len() + 18) as u8])]);
        assert_eq!(parse(&circle, &asked()), Some(Vec::new()));
        let good = example();
        for at in 0..good.len() {
            let _ = parse(&good[..at], &asked());
            for value in [0, 1, 0x3f, 0x40, 0xc0, 0xff] {
                let mut damaged = good.clone();
                damaged[at] = value;
                let _ = parse(&damaged, &asked());
            }
        }
    }

    #[test]
    fn name_servers_are_found() {
        let text = "# x\nsearch a b\nnameserver 10.0.0.1\n nameserver ::1 \nnameserver x\noptions ndots:1\n";
        assert_eq!(name_servers(text), ["10.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!(question([0, 0], "a..b"), None);
        assert_eq!(question([0, 0], &"a".repeat(64)), None);
    }
}
