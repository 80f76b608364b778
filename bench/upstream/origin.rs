//! The origin: what a tunnel or a forward does is told by the first word of the target's name.
//!
//! | host | it |
//! |---|---|
//! | `echo.bench` | sends back what comes |
//! | `down.bench` | sends the pattern until a byte comes, then how much it was as eight bytes |
//! | `up.bench` | takes the pattern, and says after each `STRIDE` as eight bytes how much has come |
//! | `sse.bench` | sends an event a millisecond with the time in it |
//! | any other | answers a request with `SMALL` bytes of the pattern, having checked its body |

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::MissedTickBehavior;

use crate::clock;
use crate::head::{Connection, Head};
use crate::pattern::{self, Check};

/// The body of small requests and answers.
pub const SMALL: usize = 1024;
/// How often an upload is acknowledged.
pub const STRIDE: u64 = 1024 * 1024;
/// What an upload with wrong bytes is told.
pub const WRONG: u64 = u64::MAX;
/// How often an event is sent.
const EVENTS_EVERY: Duration = Duration::from_millis(1);

pub async fn tunnel(mut connection: Connection, head: Head) -> Result<()> {
    connection.stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    match name(head.request().1) {
        "down" => down(connection).await,
        "up" => up(connection).await,
        "sse" => events(connection).await,
        _ => echo(connection).await,
    }
}

/// The first word of the host in `host:port` or `http://host/path`.
fn name(target: &str) -> &str {
    let host = target.strip_prefix("http://").unwrap_or(target);
    host.split(['.', ':', '/']).next().unwrap_or_default()
}

async fn echo(mut connection: Connection) -> Result<()> {
    loop {
        if !connection.read.is_empty() {
            connection.stream.write_all(&connection.read.split()).await?;
        }
        if connection.stream.read_buf(&mut connection.read).await? == 0 {
            return Ok(());
        }
    }
}

async fn down(connection: Connection) -> Result<()> {
    let (mut from, mut to) = connection.stream.into_split();
    let mut stop = [0; 1];
    let mut sent = 0_u64;
    loop {
        let chunk = pattern::at(sent, pattern::CHUNK);
        tokio::select! {
            biased;
            order = from.read(&mut stop) => {
                ensure!(order? > 0, "the client left");
                break;
            }
            written = to.write(chunk) => sent += written? as u64,
        }
    }
    to.write_all(&sent.to_le_bytes()).await?;
    // Relays differ in how they end a tunnel, which is not what is compared: the client leaves first.
    from.read(&mut stop).await.map(|_| ()).context("the client's end")
}

async fn up(mut connection: Connection) -> Result<()> {
    let mut check = Check::default();
    let mut buffer = vec![0; pattern::CHUNK];
    check.take(&connection.read)?;
    loop {
        let length = connection.stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let strides = check.position / STRIDE;
        let right = check.take(&buffer[..length]).is_ok();
        if !right {
            connection.stream.write_all(&WRONG.to_le_bytes()).await?;
        }
        ensure!(right, "wrong bytes");
        for stride in strides + 1..=check.position / STRIDE {
            connection.stream.write_all(&(stride * STRIDE).to_le_bytes()).await?;
        }
    }
}

/// The length of an event.
pub const EVENT: usize = 28;

/// When an event was sent.
pub fn sent(event: &[u8]) -> Result<Duration> {
    let digits = event.strip_prefix(b"data: ").and_then(|event| event.strip_suffix(b"\n\n"));
    let digits = std::str::from_utf8(digits.context("an event with wrong bytes")?)?;
    Ok(Duration::from_nanos(digits.parse().context("an event with wrong bytes")?))
}

/// An event: its length is always the same, so that it is read with no more than a comparison.
fn event(sent: Duration) -> String {
    format!("data: {:020}\n\n", sent.as_nanos())
}

async fn events(mut connection: Connection) -> Result<()> {
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        connection.stream.write_all(event(clock::now()).as_bytes()).await?;
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(EVENTS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

pub async fn forward(connection: &mut Connection, head: &Head) -> Result<()> {
    let (method, target) = head.request();
    if name(target) == "sse" {
        return streamed_events(connection).await;
    }
    let mut status = "200 OK";
    if method == "POST" {
        let body = connection.body_of(head).await?;
        if body != pattern::at(0, SMALL) {
            status = "400 Wrong Bytes";
        }
    }
    let mut answer =
        format!("HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {SMALL}\r\n\r\n")
            .into_bytes();
    if method != "HEAD" {
        answer.extend_from_slice(pattern::at(0, SMALL));
    }
    Ok(connection.stream.write_all(&answer).await?)
}

async fn streamed_events(connection: &mut Connection) -> Result<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    connection.stream.write_all(head.as_bytes()).await?;
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        let event = event(clock::now());
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        connection.stream.write_all(chunk.as_bytes()).await?;
    }
}
