//! One interpretation of every message that two readers could read differently: tables of exact bytes, in
//! `tests/data/smuggling`. What is not refused leaves in one unambiguous form.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::AsyncReadExt;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{Head, Peer, Relay, Scripted, soon};

/// Sent behind each row's own bytes, in the same write: what an attacker wants to be taken for a request of somebody else.
const SECOND: &str = "GET http://second.test/smuggled HTTP/1.1|Host: second.test||";

/// The same as the upstream gets it, if it is a request at all.
const SECOND_SENT: &str =
    "GET http://second.test/smuggled HTTP/1.1|Host: second.test|Via: 1.1 hallpass|Proxy-Connection: Keep-Alive||";

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// So many rows are played at the same time.
const AT_ONCE: usize = 16;

/// A block of a table: its name, and the text behind each sign that begins a line.
#[derive(Debug, Default, Clone)]
struct Row {
    name: String,
    /// The request to which an answer is said, where it is no plain GET.
    asked: String,
    said: String,
    heard: String,
    then: String,
}

/// `# …` and empty lines mean nothing, `{NAME} = …` names a text for `{NAME}` in all that follows.
fn rows(file: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/smuggling").join(file);
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    names.insert("{second}".into(), SECOND.into());
    names.insert("{second sent}".into(), SECOND_SENT.into());
    let mut rows: Vec<Row> = Vec::new();
    for line in fs::read_to_string(path).unwrap().lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some((name, text)) = line.split_once(" = ").filter(|(name, _)| name.starts_with('{')) {
            let text = names.iter().fold(text.to_string(), |text, (name, to)| text.replace(name, to));
            names.insert(name.into(), text);
            continue;
        }
        let (sign, text) = line.split_at(1);
        let text = names.iter().fold(text.trim_start().to_string(), |text, (name, to)| text.replace(name, to));
        if sign == ":" {
            rows.push(Row { name: text, ..Row::default() });
            continue;
        }
        let row = rows.last_mut().unwrap();
        match sign {
            "?" => row.asked = text,
            ">" => row.said = text,
            "<" => row.heard = text,
            "=" => row.then = text,
            _ => panic!("{line:?} begins with no sign"),
        }
    }
    assert!(rows.iter().all(|row| !row.said.is_empty() && !row.then.is_empty()), "{rows:?}");
    rows
}

/// `|` is a line's end, `\` begins an escape, and `<text*count>` is repeated.
fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '|' => out.extend(b"\r\n"),
            '\\' => out.push(match rest.next().unwrap() {
                'r' => b'\r',
                'n' => b'\n',
                't' => b'\t',
                '0' => 0,
                'p' => b'|',
                's' => b' ',
                'x' => u8::from_str_radix(&rest.by_ref().take(2).collect::<String>(), 16).unwrap(),
                other => panic!("\\{other} in {text:?}"),
            }),
            '<' => {
                let inside: String = rest.by_ref().take_while(|c| *c != '>').collect();
                let (what, count) = inside.rsplit_once('*').unwrap();
                out.extend(bytes(what).repeat(count.parse().unwrap()));
            }
            c => out.extend(c.to_string().bytes()),
        }
    }
    out
}

/// In the form of the tables, without what differs from run to run.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'|' => text += "\\p",
            b'\r' | b'\n' | b' '..=b'~' => text.push(char::from(*byte)),
            b'\t' => text += "\\t",
            0 => text += "\\0",
            other => write!(text, "\\x{other:02x}").unwrap(),
        }
    }
    let text = text.replace("\r\n", "|").replace('\r', "\\r").replace('\n', "\\n");
    let mut parts = text.split("hallpass-");
    let first = parts.next().unwrap().to_string();
    parts.fold(first, |text, part| {
        text + "hallpass" + part.trim_start_matches(|c: char| c.is_ascii_hexdigit() || c == '-')
    })
}

fn as_shown(text: &str) -> String {
    shown(&bytes(text))
}

/// Takes one connection after the other, writes down all that comes, and answers what it takes for a request.
fn record_all(upstream: Scripted) -> JoinHandle<Vec<Vec<u8>>> {
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        let mut heard = Vec::new();
        loop {
            tokio::select! {
                peer = upstream.accept_whenever() => drop(connections.spawn(record(peer))),
                Some(bytes) = connections.join_next() => {
                    heard.push(bytes.unwrap());
                    // All are kept alive by the relay's life.
                    if connections.is_empty() {
                        return heard;
                    }
                }
            }
        }
    })
}

/// All that one connection brings, by its end.
async fn record(mut peer: Peer) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut at = 0;
    loop {
        let bytes = peer.once().await;
        if bytes.is_empty() {
            return heard;
        }
        heard.extend(bytes);
        while let Some(length) = request_at(&heard[at..]) {
            let is_tunnel = heard[at..].starts_with(b"CONNECT ");
            at += length;
            let answer = if is_tunnel { "HTTP/1.1 200 OK\r\n\r\n" } else { OK };
            if !peer.try_send(answer.as_bytes()).await {
                return heard;
            }
            if is_tunnel {
                heard.extend(peer.rest().await);
                return heard;
            }
        }
    }
}

/// The length of the request at the front, if it is whole: read as simply as a server can that trusts its proxy.
fn request_at(bytes: &[u8]) -> Option<usize> {
    let ends = |what: &[u8], from: usize| {
        bytes[from..].windows(what.len()).position(|w| w == what).map(|at| from + at + what.len())
    };
    let end = ends(b"\r\n\r\n", 0)?;
    let head = Head(String::from_utf8_lossy(&bytes[..end]).into_owned());
    if head.has("transfer-encoding") {
        return ends(b"0\r\n\r\n", end).or_else(|| ends(b"\r\n\r\n", ends(b"\r\n0\r\n", end - 2)?));
    }
    let length: usize = head.one("content-length").map_or(0, |length| length.parse().unwrap());
    (bytes.len() >= end + length).then_some(end + length)
}

/// What came of a row: what the upstream heard, and the statuses that the client did.
async fn play_request(row: Row) -> (String, String) {
    let upstream = Scripted::start().await;
    let relay = Relay::before(upstream.addr()).start();
    let recording = record_all(upstream);
    // It is known now to ask for no log-in, so that nothing is sent to find out.
    assert_eq!(relay.client().await.ask("GET http://known.test/ HTTP/1.1\r\nHost: k\r\n\r\n").await.status(), 200);
    let mut client = relay.client().await;
    client.send([bytes(&row.said), bytes(SECOND)].concat()).await;
    let wanted = row.then.split(' ').count();
    let is_tunnel = row.said.starts_with("CONNECT ");
    let mut statuses = Vec::new();
    while let Some(head) = client.try_head().await {
        statuses.push(head.status().to_string());
        if head.status() == 200 && is_tunnel {
            // It hears nothing back, so its end is ours to say.
            client.finish().await;
            break;
        }
        if head.status() >= 200 {
            client.body(&head).await;
        }
        if statuses.len() == wanted && head.status() == 200 && !head.has("connection") {
            break;
        }
    }
    drop(client);
    relay.stop().await;
    let heard = soon("the end of all connections", recording).await.unwrap();
    let known =
        as_shown("GET http://known.test/ HTTP/1.1|Host: known.test|Via: 1.1 hallpass|Proxy-Connection: Keep-Alive||");
    let mut heard: Vec<String> = heard.iter().map(|bytes| shown(bytes)).filter(|heard| *heard != known).collect();
    heard.sort_by_key(|bytes| bytes.contains("second.test"));
    (heard.concat(), statuses.join(" "))
}

/// Plays all rows of a table, and tells of all that differ.
async fn play<F>(file: &str, play: impl Fn(Row) -> F)
where
    F: Future<Output = (String, String)> + Send + 'static,
{
    let mut differences = String::new();
    for some in rows(file).chunks(AT_ONCE) {
        let plays: Vec<_> = some.iter().map(|row| tokio::spawn(play(row.clone()))).collect();
        for (row, play) in some.iter().zip(plays) {
            let Ok((heard, then)) = play.await else { panic!("{row:?}") };
            let fits = match row.heard.strip_suffix("...") {
                Some(beginning) => heard.starts_with(&as_shown(beginning)) && !heard.contains("evil"),
                None => heard == as_shown(&row.heard),
            };
            if !fits || then != row.then {
                let Row { name, heard: expected, then: wanted, .. } = row;
                writeln!(differences, ": {name}\n< {heard}\n= {then}").unwrap();
                writeln!(differences, "  and not\n< {}\n= {wanted}\n", as_shown(expected)).unwrap();
            }
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

#[tokio::test]
async fn a_request_is_refused_or_reaches_the_upstream_in_one_form() {
    let contradicts = |row: &Row| !row.then.starts_with('2') && row.heard.contains("second.test");
    assert!(!rows("requests.txt").iter().any(contradicts), "nothing follows what is refused");
    play("requests.txt", play_request).await;
}

/// Says a row once, and to every other request its own path; gives the number of its connections.
fn answer_all(upstream: Scripted, row: &Row) -> Arc<AtomicUsize> {
    let connections = Arc::new(AtomicUsize::new(0));
    let said = Arc::new(Mutex::new(Some(bytes(&row.said))));
    let (count, closes) = (connections.clone(), row.then.starts_with("ends,"));
    tokio::spawn(async move {
        loop {
            let mut peer = upstream.accept_whenever().await;
            count.fetch_add(1, Ordering::Relaxed);
            let said = said.clone();
            tokio::spawn(async move {
                while let Some(head) = peer.try_head().await {
                    let path = head.line().split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_string();
                    let once = said.lock().unwrap().take();
                    let own =
                        || format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()).into_bytes();
                    let is_row = once.is_some();
                    if !peer.try_send(&once.unwrap_or_else(own)).await || (is_row && closes) {
                        return;
                    }
                }
            });
        }
    });
    connections
}

/// What a client hears to two requests sent together, and what became of its connection.
async fn hear(client: &mut Peer, until: &[u8]) -> (Vec<u8>, &'static str) {
    let (mut heard, mut room) = (Vec::new(), [0; 16 * 1024]);
    loop {
        match soon("a byte or the end", client.stream.read(&mut room)).await {
            Ok(0) => return (heard, "closed"),
            Ok(read) => heard.extend_from_slice(&room[..read]),
            Err(_) => return (heard, "reset"),
        }
        if heard.ends_with(until) {
            return (heard, "kept");
        }
    }
}

/// What the client hears of it, what becomes of its connection, and over how many the upstream was asked.
async fn play_answer(row: Row) -> (String, String) {
    let upstream = Scripted::start().await;
    let relay = Relay::before(upstream.addr()).start();
    let connections = answer_all(upstream, &row);
    let mut client = relay.client().await;
    let first = if row.asked.is_empty() { "GET http://h.test/first HTTP/1.1|Host: h.test||" } else { &row.asked };
    client.send([bytes(first), b"GET http://h.test/second HTTP/1.1\r\nHost: h.test\r\n\r\n".to_vec()].concat()).await;
    let (heard, end) = hear(&mut client, b"\r\n\r\nsecond").await;
    let mut other = relay.client().await;
    let answer = other.ask("GET http://h.test/third HTTP/1.1\r\nHost: h.test\r\n\r\n").await;
    assert_eq!((answer.status(), answer.text()), (200, "third"), "{row:?}: another client's answer");
    let said = if row.then.starts_with("ends,") { "ends" } else { "stays" };
    let mut heard = shown(&heard);
    if end == "kept" {
        let second = "HTTP/1.1 200 OK|Content-Length: 6|Via: 1.1 hallpass||second";
        heard = heard.strip_suffix(second).unwrap_or_else(|| panic!("{row:?}: {heard}")).to_string();
    }
    (heard, format!("{said}, {end}, {}", connections.load(Ordering::Relaxed)))
}

#[tokio::test]
async fn an_answer_is_refused_or_reaches_its_own_client_in_one_form() {
    play("answers.txt", play_answer).await;
}
