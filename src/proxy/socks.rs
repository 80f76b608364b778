//! SOCKS clients: what they want is read, and then it is a CONNECT in other words.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroize as _;

use super::greeting::{self, Greeting};
use super::{Client, Door, Next, Problem, Shared, Story, connect, draining};
use crate::address::Target;
use crate::http1::{Fields, Wire};
use crate::socks::server::{self, Error, Hello, LOGIN_REFUSED, LOGIN_TAKEN, METHOD, METHOD_LOGIN, Version};

/// Why nothing can be done for a client.
enum Left {
    /// It went, or was too slow, before it said what it wants.
    Gone,
    Wrong {
        error: Error,
        answer: Vec<u8>,
    },
    WrongToken,
}

pub(super) async fn serve(client: &mut Client, shared: &mut Shared) -> Next {
    let head_timeout = shared.proxies.borrow().head_timeout;
    let asked = tokio::select! {
        biased;
        asked = timeout(head_timeout, asked(&mut client.wire, &client.door)) => asked.unwrap_or(Err(Left::Gone)),
        () = draining(&mut shared.phase) => Err(Left::Gone),
    };
    let proxy = shared.proxies.borrow().of(&client.peer);
    match asked {
        Ok((version, target)) => {
            let mut story = Story::of_tunnel(&client.peer, &proxy);
            if let Some(stranger) = client.stranger.clone() {
                story.record.target = Some(target.to_string().into());
                let problem = client.turned_away(&stranger, shared);
                Box::pin(Greeting::Socks(version).turn_away(client, story, &problem)).await;
                return Next::Close;
            }
            connect::open(client, Greeting::Socks(version), target, &Fields::default(), story, &proxy, shared).await
        }
        Err(Left::Gone) => Next::Close,
        Err(Left::WrongToken) => {
            let mut story = Story::of_tunnel(&client.peer, &proxy);
            let problem = Problem::token_wanted();
            story.answered(problem.fault.status);
            greeting::log(&story, &problem.line());
            Greeting::send_refusal(client, story, Some(LOGIN_REFUSED.to_vec()), problem.fault.end).await;
            Next::Close
        }
        Err(Left::Wrong { error, answer }) => {
            let mut story = Story::of_tunnel(&client.peer, &proxy);
            let problem = Problem::bad_socks(&error);
            story.answered(problem.fault.status);
            story.note(&problem);
            greeting::log(&story, &problem.line());
            Greeting::send_refusal(client, story, Some(answer), problem.fault.end).await;
            Next::Close
        }
    }
}

/// Where the client wants to go. What it sent ahead stays in the buffer.
async fn asked(wire: &mut Wire<TcpStream>, door: &Door) -> Result<(Version, Target), Left> {
    let taken = loop {
        match server::hello(&wire.buffer, door.token.is_some()) {
            Ok(Some(Hello::Request(target, taken))) => {
                let _ = wire.buffer.split_to(taken);
                return Ok((Version::Four, target));
            }
            Ok(Some(Hello::Methods(taken))) => break taken,
            Ok(None) => fill(wire).await?,
            Err(error) => return Err(wrong(wire, false, error)),
        }
    };
    let _ = wire.buffer.split_to(taken);
    if door.token.is_some() {
        wire.stream.write_all(&METHOD_LOGIN).await.map_err(|_| Left::Gone)?;
        log_in(wire, door).await?;
    } else {
        wire.stream.write_all(&METHOD).await.map_err(|_| Left::Gone)?;
    }
    loop {
        match server::request(&wire.buffer) {
            Ok(Some((target, taken))) => {
                let _ = wire.buffer.split_to(taken);
                return Ok((Version::Five, target));
            }
            Ok(None) => fill(wire).await?,
            Err(error) => return Err(wrong(wire, true, error)),
        }
    }
}

async fn log_in(wire: &mut Wire<TcpStream>, door: &Door) -> Result<(), Left> {
    loop {
        match server::login(&wire.buffer) {
            Ok(Some(((user, password), taken))) => {
                let opens = door.is_opened_by_login(user, password);
                // Behind it, nobody needs it any more.
                wire.buffer.split_to(taken).zeroize();
                if !opens {
                    return Err(Left::WrongToken);
                }
                return wire.stream.write_all(&LOGIN_TAKEN).await.map_err(|_| Left::Gone);
            }
            Ok(None) => fill(wire).await?,
            Err(error) => return Err(Left::Wrong { error, answer: LOGIN_REFUSED.to_vec() }),
        }
    }
}

fn wrong(wire: &Wire<TcpStream>, methods_settled: bool, error: Error) -> Left {
    let version = if wire.buffer.first() == Some(&4) && !methods_settled { Version::Four } else { Version::Five };
    let answer = server::refusal(version, methods_settled, &error);
    Left::Wrong { error, answer }
}

async fn fill(wire: &mut Wire<TcpStream>) -> Result<(), Left> {
    match wire.stream.read_buf(&mut wire.buffer).await {
        Ok(1..) => Ok(()),
        Ok(0) | Err(_) => Err(Left::Gone),
    }
}
