//! `hallpass connect HOST:PORT`: stdin and stdout through the relay that runs, for ssh's ProxyCommand and its like.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, anyhow};
use clap::Args;

use super::flags::Flags;
use super::{output, relay};
use crate::address::{AddressError, Target};
use crate::http1::{Body, ReadError, ResponseHead, Wire};
use crate::process::end_stdout;

/// As much as a line of a refusal may be; hallpass's own are far shorter.
const MAX_REFUSAL: usize = 64 * 1024;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Where to, such as git.example.com:22.
    #[arg(value_name = "HOST:PORT", value_parser = target)]
    target: Target,
    #[command(flatten)]
    flags: Flags,
}

/// What the relay said.
enum Answer {
    /// A tunnel, and the bytes that came with it.
    Tunnel(TcpStream, Vec<u8>),
    Refused(ResponseHead, String),
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let target = &arguments.target;
    let relay = relay::find(&arguments.flags)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let answer = runtime.block_on(ask(relay, target)).context("the relay broke off")?;
    drop(runtime);
    match answer {
        Answer::Tunnel(stream, early) => copy(stream, &early),
        Answer::Refused(head, line) => {
            let reason = String::from_utf8_lossy(&head.reason).into_owned();
            let answer = format!("{} {reason}: {line}", head.status);
            Err(anyhow!("no tunnel to {target}: {}", answer.trim_end_matches([':', ' '])))
        }
    }
}

fn target(text: &str) -> Result<Target, AddressError> {
    Target::parse(text, None)
}

async fn ask(relay: TcpStream, target: &Target) -> Result<Answer, ReadError> {
    let (mut wire, head) = relay::ask(relay, &format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")).await?;
    if !(200..300).contains(&head.status) {
        let line = first_line(&mut wire, &head).await;
        return Ok(Answer::Refused(head, line));
    }
    let stream = wire.stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(Answer::Tunnel(stream, wire.buffer.to_vec()))
}

/// Of the refusal's body; hallpass says there in one line what is wrong. Of a page, nothing can be shown.
async fn first_line(wire: &mut Wire<tokio::net::TcpStream>, head: &ResponseHead) -> String {
    let is_text = head.fields.first("content-type").is_some_and(|kind| kind.starts_with(b"text/plain"));
    let Ok(mut body) = Body::of_response("CONNECT", head) else { return String::new() };
    let mut text = Vec::new();
    while is_text && text.len() < MAX_REFUSAL && !text.contains(&b'\n') {
        match wire.reader().piece(&mut body).await {
            Ok(Ok(data)) => text.extend_from_slice(&data),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect()
}

/// Both ways until both have ended. Either may end first: the other goes on.
fn copy(stream: TcpStream, early: &[u8]) -> anyhow::Result<ExitCode> {
    let up = stream.try_clone().context("the connection cannot be used both ways")?;
    let up = thread::spawn(move || {
        let sent = pass(&mut io::stdin().lock(), &mut &up);
        // The end of our input is the end of what the target hears; a relay that is gone needs no end.
        let _gone = up.shutdown(Shutdown::Write);
        sent
    });
    let down = output::raw(|out| {
        out.write_all(early)?;
        out.flush()?;
        pass(&mut &stream, out)
    });
    match down {
        // Nobody reads on: what would still be sent has no answer either.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(anyhow::Error::from(error).context("the connection broke off")),
        Ok(()) => {}
    }
    if end_stdout().is_err() {
        return Ok(ExitCode::SUCCESS);
    }
    // What the target does not take any more is no failure of ours: it had its say.
    let _not_taken = up.join();
    Ok(ExitCode::SUCCESS)
}

/// As it comes: nothing is held back for a fuller buffer.
fn pass(from: &mut impl Read, to: &mut (impl Write + ?Sized)) -> io::Result<()> {
    let mut room = vec![0; 64 * 1024];
    loop {
        match from.read(&mut room) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                to.write_all(&room[..count])?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
