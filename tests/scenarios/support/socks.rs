//! A SOCKS server by the letter of RFC 1928, RFC 1929 and the notes on SOCKS 4a; everything it connects is one place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::Peer;

#[derive(Clone, Default)]
pub struct SocksPlan {
    /// Whom it lets in; `None` asks for nothing.
    pub login: Option<(String, String)>,
    /// Said instead of yes.
    pub reply: Option<u8>,
    /// Hangs up when it has seen the log-in.
    pub breaks_at_login: bool,
    /// Answers the log-in with what is no verdict.
    pub garbles_verdict: bool,
    /// Says nothing more when it has seen the log-in.
    pub ponders_login: bool,
}

pub struct SocksServer {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub targets: Vec<String>,
    pub logins: Vec<(String, String)>,
    pub connections: usize,
}

impl SocksServer {
    pub async fn start(plan: SocksPlan, to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let record = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                record.lock().unwrap().connections += 1;
                tokio::spawn(serve(Peer::new(stream), plan.clone(), to, record.clone()));
            }
        });
        Self { addr, seen, task }
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for SocksServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut peer: Peer, plan: SocksPlan, to: SocketAddr, seen: Arc<Mutex<Seen>>) {
    let yes = match peer.take(1).await[0] {
        5 => version_5(&mut peer, &plan, &seen).await,
        4 => version_4(&mut peer, &plan, &seen).await,
        other => panic!("version {other}"),
    };
    if yes {
        let mut target = TcpStream::connect(to).await.unwrap();
        let _ = copy_bidirectional(&mut peer.stream, &mut target).await;
    }
}

async fn version_5(peer: &mut Peer, plan: &SocksPlan, seen: &Mutex<Seen>) -> bool {
    let count = peer.take(1).await[0];
    let methods = peer.take(count.into()).await;
    match &plan.login {
        None => peer.send([5, 0]).await,
        Some(_) if !methods.contains(&2) => {
            peer.send([5, 0xff]).await;
            return false;
        }
        Some(wanted) => {
            peer.send([5, 2]).await;
            assert_eq!(peer.take(1).await, [1]);
            let login = (text(peer).await, text(peer).await);
            seen.lock().unwrap().logins.push(login.clone());
            if plan.breaks_at_login {
                return false;
            }
            if plan.garbles_verdict {
                peer.send([7, 0]).await;
                return false;
            }
            if plan.ponders_login {
                std::future::pending::<()>().await;
            }
            peer.send([1, u8::from(login != *wanted)]).await;
            if login != *wanted {
                return false;
            }
        }
    }
    assert_eq!(peer.take(3).await, [5, 1, 0]);
    let host = match peer.take(1).await[0] {
        1 => Ipv4Addr::from(<[u8; 4]>::try_from(peer.take(4).await).unwrap()).to_string(),
        4 => Ipv6Addr::from(<[u8; 16]>::try_from(peer.take(16).await).unwrap()).to_string(),
        3 => format!("name {}", text(peer).await),
        other => panic!("address {other}"),
    };
    note(peer, host, seen).await;
    let reply = plan.reply.unwrap_or(0);
    // In two writes, so that nobody takes a part for the whole.
    peer.send([5, reply, 0, 1]).await;
    peer.send([127, 0, 0, 1, 0, 1]).await;
    reply == 0
}

async fn version_4(peer: &mut Peer, plan: &SocksPlan, seen: &Mutex<Seen>) -> bool {
    assert_eq!(peer.take(1).await, [1]);
    let port = peer.take(2).await;
    let ip = <[u8; 4]>::try_from(peer.take(4).await).unwrap();
    assert_eq!(until_zero(peer).await, "");
    let host = match ip {
        [0, 0, 0, 1..=255] => format!("name {}", until_zero(peer).await),
        ip => IpAddr::from(ip).to_string(),
    };
    seen.lock().unwrap().targets.push(format!("{host} {}", u16::from_be_bytes([port[0], port[1]])));
    let code = plan.reply.unwrap_or(90);
    peer.send([0, code, 0, 0, 0, 0, 0, 0]).await;
    code == 90
}

async fn note(peer: &mut Peer, host: String, seen: &Mutex<Seen>) {
    let port = peer.take(2).await;
    seen.lock().unwrap().targets.push(format!("{host} {}", u16::from_be_bytes([port[0], port[1]])));
}

async fn text(peer: &mut Peer) -> String {
    let length = peer.take(1).await[0];
    String::from_utf8(peer.take(length.into()).await).unwrap()
}

async fn until_zero(peer: &mut Peer) -> String {
    let mut text = Vec::new();
    loop {
        match peer.take(1).await[0] {
            0 => return String::from_utf8(text).unwrap(),
            byte => text.push(byte),
        }
    }
}
