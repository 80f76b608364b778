//! Plays the upstream's side of a recorded log-in, and says what it was asked.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallpass::http1::{Body, RequestHead, ResponseHead, Wire};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

#[derive(Clone, Default)]
struct Head {
    is_ours: bool,
    bytes: Vec<u8>,
}

pub struct Played {
    pub addr: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Played {
    pub async fn heard(&self) -> Vec<String> {
        self.heard.lock().await.clone()
    }
}

/// Each connection in its turn: what is asked must be what was asked then, but for names and tokens.
pub async fn play(text: &str) -> Played {
    let connections = read(text);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, heard) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
    let record = heard.clone();
    tokio::spawn(async move {
        for heads in connections {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(one(Wire::new(stream), heads, record.clone()));
        }
    });
    Played { addr, heard }
}

async fn one(mut wire: Wire<TcpStream>, heads: Vec<Head>, heard: Arc<Mutex<Vec<String>>>) {
    for head in heads {
        if head.is_ours {
            let recorded = RequestHead::parse(&head.bytes).unwrap();
            let asked = wire.reader().request(64 * 1024).await.unwrap();
            assert_eq!((asked.method.as_str(), &asked.target), (recorded.method.as_str(), &recorded.target));
            assert_eq!(shape(&asked), shape(&recorded));
            heard.lock().await.push(shape(&asked));
            continue;
        }
        wire.stream.write_all(&head.bytes).await.unwrap();
        let answer = ResponseHead::parse(&head.bytes).unwrap();
        if let Body::Length(length) = Body::of_response("CONNECT", &answer).unwrap() {
            wire.stream.write_all(&vec![b'.'; usize::try_from(length).unwrap()]).await.unwrap();
        }
    }
    // The tunnel stays for as long as somebody wants it.
    let _ended = wire.reader().begun().await;
}

/// The scheme and, of NTLM, the type of the message.
fn shape(head: &RequestHead) -> String {
    let Some(value) = head.fields.first("proxy-authorization") else { return "bare".into() };
    let value = String::from_utf8_lossy(value);
    let (scheme, token) = value.split_once(' ').unwrap_or((&value, ""));
    match STANDARD.decode(token).ok().and_then(|token| token.get(8).copied()) {
        Some(kind) if scheme == "NTLM" => format!("{scheme} {kind}"),
        _ => scheme.to_string(),
    }
}

fn read(text: &str) -> Vec<Vec<Head>> {
    let mut connections: Vec<Vec<Head>> = Vec::new();
    for line in text.lines() {
        let (sign, rest) = line.split_once(' ').unwrap_or((line, ""));
        match sign {
            "=" => connections.push(Vec::new()),
            ">" | "<" => {
                let heads = connections.last_mut().unwrap();
                let is_ours = sign == ">";
                // A head ends with its empty line.
                let goes_on = heads.last().is_some_and(|head| !head.bytes.ends_with(b"\r\n\r\n"));
                if !goes_on {
                    heads.push(Head { is_ours, bytes: Vec::new() });
                }
                heads.last_mut().unwrap().bytes.extend(unescaped(rest));
            }
            _ => assert!(sign.starts_with('#'), "{line}"),
        }
    }
    connections
}

/// Undoes what `escape_ascii` did.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next().unwrap() {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'x' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    bytes
}
