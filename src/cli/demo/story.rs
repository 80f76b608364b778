//! The demo's steps, each of which can fail and say why.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tokio::time::timeout;

use super::client;
use super::transcript::Transcript;
use crate::auth::Scheme;
use crate::practice::CorporateProxy;

const PAGE: &str = "http://hello.practice/hello";
const TUNNEL: &str = "hello.practice:80";
const EVENTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(200);
/// Far more than any step needs; a hang must not look like a slow machine for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the story is played on.
pub(super) struct Stage<'a> {
    pub scheme: Scheme,
    /// `DOMAIN\user`.
    pub user: String,
    pub proxy: &'a CorporateProxy,
    pub relay: SocketAddr,
}

/// True when nothing failed.
pub(super) async fn tell(stage: &Stage<'_>, transcript: &mut Transcript<'_>) -> anyhow::Result<bool> {
    introduce(stage, transcript)?;
    let mut failures = 0;

    transcript.heading("without hallpass")?;
    let name = format!("GET {PAGE}");
    match patiently(straight(stage)).await {
        Ok(result) => transcript.refused(&name, &result)?,
        Err(why) => failures += failure(transcript, &name, &why)?,
    }

    transcript.heading("with hallpass")?;
    let name = format!("GET {PAGE}");
    failures += report(transcript, &name, patiently(page(stage.relay)).await)?;
    failures += report(transcript, &format!("CONNECT {TUNNEL}"), patiently(tunnelled_page(stage.relay)).await)?;
    failures += report(transcript, "server-sent events", patiently(events(stage.relay)).await)?;
    failures += report(transcript, "WebSocket through the tunnel", patiently(tunnelled_echo(stage.relay)).await)?;
    failures += report(transcript, "WebSocket by Upgrade", patiently(upgraded_echo(stage.relay)).await)?;

    transcript.heading("what the corporate proxy saw")?;
    failures += report(transcript, &format!("{} logons", stage.scheme), logons(stage))?;

    transcript.line("")?;
    transcript.line(&match failures {
        0 => "All of it passed, and the client needed nothing but the address of hallpass.".to_string(),
        1 => "1 step failed.".to_string(),
        many => format!("{many} steps failed."),
    })?;
    Ok(failures == 0)
}

fn introduce(stage: &Stage<'_>, transcript: &mut Transcript<'_>) -> anyhow::Result<()> {
    transcript.line("hallpass demo: everything runs in this process; nothing leaves this machine.")?;
    transcript.line("")?;
    let demand = format!("{}  demands {}", stage.proxy.addr(), stage.scheme);
    transcript.fact("corporate proxy", &demand)?;
    let account = format!("{}  logs on there as {} (made for this run)", stage.relay, stage.user);
    transcript.fact("hallpass", &account)?;
    transcript.fact("client", "has no password and speaks no proxy authentication")?;
    Ok(())
}

/// The number of failures to add.
fn report(transcript: &mut Transcript<'_>, name: &str, result: anyhow::Result<String>) -> anyhow::Result<usize> {
    match result {
        Ok(result) => transcript.works(name, &result).map(|()| 0).map_err(Into::into),
        Err(why) => failure(transcript, name, &why),
    }
}

fn failure(transcript: &mut Transcript<'_>, name: &str, why: &anyhow::Error) -> anyhow::Result<usize> {
    transcript.failed(name, &format!("{why:#}"))?;
    Ok(1)
}

async fn patiently(step: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<String> {
    match timeout(PATIENCE, step).await {
        Ok(result) => result,
        Err(_) => bail!("nothing happened for {} s", PATIENCE.as_secs()),
    }
}

async fn straight(stage: &Stage<'_>) -> anyhow::Result<String> {
    let answer = client::get(stage.proxy.addr(), PAGE).await?;
    ensure!(answer.status == 407, "a 407 was expected, not {}", answer.status);
    ensure!(answer.challenges == [stage.scheme.token()], "the challenges were {:?}", answer.challenges);
    Ok(format!("407  the proxy demands {}", stage.scheme))
}

async fn page(relay: SocketAddr) -> anyhow::Result<String> {
    let started = Instant::now();
    let answer = client::get(relay, PAGE).await?;
    shown_page(&answer, started)
}

async fn tunnelled_page(relay: SocketAddr) -> anyhow::Result<String> {
    let started = Instant::now();
    let tunnel = client::connect(relay, TUNNEL).await?;
    let answer = client::get_on(tunnel, "/hello").await?;
    shown_page(&answer, started)
}

fn shown_page(answer: &client::Answer, started: Instant) -> anyhow::Result<String> {
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.body.trim_end());
    ensure!(answer.body.starts_with("hello"), "another page came: {:?}", answer.body);
    Ok(format!("200  \"{}\" after {}", answer.body.trim_end(), since(started)))
}

fn since(started: Instant) -> String {
    format!("{:.1} ms", started.elapsed().as_secs_f64() * 1000.0)
}

/// Held back and released together, events would arrive without a pause between them.
async fn events(relay: SocketAddr) -> anyhow::Result<String> {
    let uri = format!("http://hello.practice/sse?n={EVENTS}&ms={}", PAUSE.as_millis());
    let arrivals = client::events(relay, &uri).await?;
    ensure!(arrivals.len() == EVENTS, "{} of {EVENTS} events came", arrivals.len());
    let pauses: Vec<Duration> = arrivals.windows(2).map(|pair| pair[1] - pair[0]).collect();
    ensure!(pauses.iter().all(|pause| *pause > PAUSE / 2), "events came together: {pauses:?}");
    let pauses: Vec<String> = pauses.iter().map(|pause| pause.as_millis().to_string()).collect();
    let sent = PAUSE.as_millis();
    Ok(format!("200  {EVENTS} events sent {sent} ms apart came {} ms apart", pauses.join(", ")))
}

async fn tunnelled_echo(relay: SocketAddr) -> anyhow::Result<String> {
    let tunnel = client::connect(relay, TUNNEL).await?;
    let socket = client::websocket_on(tunnel, "ws://hello.practice/ws").await?;
    echoed(socket).await
}

async fn upgraded_echo(relay: SocketAddr) -> anyhow::Result<String> {
    let socket = client::websocket_by_upgrade(relay, "http://hello.practice/ws").await?;
    echoed(socket).await
}

async fn echoed(mut socket: client::Socket) -> anyhow::Result<String> {
    const MESSAGE: &str = "anybody there?";
    let started = Instant::now();
    let answer = client::echo(&mut socket, MESSAGE).await?;
    ensure!(answer == MESSAGE, "another message came back: {answer:?}");
    Ok(format!("101  \"{MESSAGE}\" came back after {}", since(started)))
}

fn logons(stage: &Stage<'_>) -> anyhow::Result<String> {
    let record = stage.proxy.record();
    let logons = record.logons();
    ensure!(logons.rejected == 0, "{} were refused: {}", logons.rejected, record.notes().join("; "));
    ensure!(logons.accepted > 0, "nobody logged on");
    ensure!(record.users().iter().all(|user| *user == stage.user), "others logged on: {:?}", record.users());
    let (accepted, connections) = (logons.accepted, record.connections());
    Ok(format!("{accepted} as {}, none refused, on {connections} connections", stage.user))
}
