//! The process that plays: a task for each connection, all on one thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::gate::{Answer, Auth, Door, Gate};
use super::{Addresses, Counts, Play, origin};
use crate::head::{Connection, Head};

const BACKLOG: u32 = 4096;

type Shared = Rc<RefCell<Counts>>;

/// Plays until stdin ends. Says where it listens first, and what happened whenever asked.
pub fn serve(play: &Play) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let counts = Shared::default();
        let mut ports = HashMap::new();
        for auth in Auth::ALL {
            let listener = listen(SocketAddr::new(play.listen, 0))?;
            ports.insert(auth, listener.local_addr()?);
            tokio::task::spawn_local(accept(listener, Gate::new(auth), play.delay(), Rc::clone(&counts)));
        }
        let port = |auth| ports.get(&auth).copied().context("no such port");
        say(&Addresses {
            none: port(Auth::None)?,
            basic: port(Auth::Basic)?,
            ntlm: port(Auth::Ntlm)?,
            negotiate: port(Auth::Negotiate)?,
        })?;
        let mut orders = orders();
        while orders.recv().await.is_some() {
            say(&*counts.borrow())?;
        }
        Ok(())
    })
}

/// Each line of stdin; it ends when stdin does.
fn orders() -> mpsc::UnboundedReceiver<()> {
    let (sender, orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).try_for_each(|_| sender.send(())));
    orders
}

fn say(what: &impl serde::Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, what)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(address)?;
    Ok(socket.listen(BACKLOG)?)
}

async fn accept(listener: TcpListener, gate: Gate, delay: Duration, counts: Shared) {
    loop {
        // Out of descriptors is the only error that is met here: some client is about to leave.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (gate, counts) = (gate.clone(), Rc::clone(&counts));
        tokio::task::spawn_local(async move {
            counts.borrow_mut().connections += 1;
            counts.borrow_mut().open += 1;
            // A client that leaves is no fault: whoever needs the bytes notices what is missing.
            let _ = connection(stream, gate, delay, &counts).await;
            counts.borrow_mut().open -= 1;
        });
    }
}

async fn connection(stream: TcpStream, gate: Gate, delay: Duration, counts: &Shared) -> Result<()> {
    let mut connection = Connection::new(stream)?;
    let mut door = Door::new(gate);
    while let Some(head) = connection.head().await? {
        let come = Instant::now();
        counts.borrow_mut().requests += 1;
        let answer = door.knock(&head);
        note(&answer, counts);
        match answer {
            Answer::Challenge(challenge) | Answer::Refused(challenge) => {
                skip_body(&mut connection, &head).await?;
                late(come, delay).await;
                refuse(&mut connection, &challenge).await?;
            }
            Answer::Enter | Answer::LoggedOn => {
                late(come, delay).await;
                if head.request().0 == "CONNECT" {
                    return Box::pin(origin::tunnel(connection, head)).await;
                }
                Box::pin(origin::forward(&mut connection, &head)).await?;
            }
        }
    }
    Ok(())
}

fn note(answer: &Answer, counts: &Shared) {
    let mut counts = counts.borrow_mut();
    match answer {
        Answer::Enter => {}
        Answer::LoggedOn => counts.logons += 1,
        Answer::Challenge(_) => counts.challenges += 1,
        Answer::Refused(_) => counts.refused += 1,
    }
}

async fn skip_body(connection: &mut Connection, head: &Head) -> Result<()> {
    if head.length()?.is_some() || head.has("transfer-encoding", "chunked") {
        connection.body_of(head).await?;
    }
    Ok(())
}

async fn refuse(connection: &mut Connection, challenge: &str) -> Result<()> {
    let answer = format!(
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: {challenge}\r\n\
         Proxy-Connection: keep-alive\r\nContent-Length: 0\r\n\r\n"
    );
    Ok(connection.stream.write_all(answer.as_bytes()).await?)
}

/// Waits until `delay` has passed since the request came. The runtime's timer knows milliseconds only, a thread's is exact.
async fn late(come: Instant, delay: Duration) {
    if delay.is_zero() {
        return;
    }
    let wait = move || std::thread::sleep((come + delay).saturating_duration_since(Instant::now()));
    let _ = tokio::task::spawn_blocking(wait).await;
}
