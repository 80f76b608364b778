//! `hallpass demo`: a corporate proxy, the relay in front of it and a client, in one process, as a story.

mod client;
mod command;
mod story;
mod transcript;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

pub use command::{Arguments, run, start_relay};

use crate::auth::Scheme;
use crate::practice::{
    Account, Accounts, CorporateProxy, DigestAlgorithm, Gate, Names, Offer, Origin, OriginOptions, Place, ProxyOptions,
};
use crate::secret::Secret;
use story::Stage;
use transcript::Transcript;

const DOMAIN: &str = "PRACTICE";
const USER: &str = "alice";
/// How often the practice proxy's record is looked at while the demo stays up.
const LOOK: Duration = Duration::from_millis(200);

pub struct DemoOptions {
    /// End after the story instead of staying up.
    pub once: bool,
    /// What the practice proxy demands.
    pub scheme: Scheme,
    pub colour: bool,
}

/// The relay that the demo needs, in words that a configuration can be made from.
pub struct RelayWish {
    /// The only upstream, plain HTTP.
    pub upstream: SocketAddr,
    /// `DOMAIN\user`.
    pub user: String,
    pub password: Secret,
    /// The only scheme; Basic is thereby named.
    pub scheme: Scheme,
}

/// True when every step went as it should. `start_relay` gives the address the relay listens on, and whatever
/// keeps it running until it is dropped.
pub async fn demo<R>(
    options: DemoOptions,
    out: &mut dyn Write,
    start_relay: impl AsyncFnOnce(RelayWish) -> anyhow::Result<(SocketAddr, R)>,
) -> anyhow::Result<bool> {
    let offer = offer(options.scheme)?;
    let password = throw_away_password()?;
    let accounts = Accounts::new([Account::new(DOMAIN, USER, password.expose())]);
    let origin = Origin::start(OriginOptions { accounts: accounts.clone(), tls: None }).await.context("the origin")?;
    let proxy = CorporateProxy::start(ProxyOptions {
        gate: Gate::new([offer], accounts, DOMAIN),
        names: Names::none().with("*.practice", Place::At(origin.addr())),
        ..ProxyOptions::default()
    })
    .await
    .context("the practice proxy")?;
    let wish =
        RelayWish { upstream: proxy.addr(), user: format!("{DOMAIN}\\{USER}"), password, scheme: options.scheme };
    let user = wish.user.clone();
    let (relay, running) = start_relay(wish).await.context("the relay")?;

    let stage = Stage { scheme: options.scheme, user, proxy: &proxy, relay };
    let mut transcript = Transcript::new(out, options.colour);
    let fine = story::tell(&stage, &mut transcript).await?;
    if !options.once {
        stay_up(&stage, &mut transcript).await?;
    }
    drop(running);
    Ok(fine)
}

fn offer(scheme: Scheme) -> anyhow::Result<Offer> {
    Ok(match scheme {
        Scheme::Ntlm => Offer::Ntlm,
        Scheme::Digest => Offer::Digest(DigestAlgorithm::Sha256),
        Scheme::Basic => Offer::Basic,
        Scheme::Negotiate => bail!("the practice proxy knows no Kerberos; take ntlm, digest or basic"),
    })
}

fn throw_away_password() -> anyhow::Result<Secret> {
    let mut random = [0; 12];
    getrandom::fill(&mut random).map_err(|cause| anyhow!("no randomness for a password: {cause}"))?;
    Ok(Secret::new(random.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

/// Until Ctrl-C, whatever the corporate proxy sees is told as it happens.
async fn stay_up(stage: &Stage<'_>, transcript: &mut Transcript<'_>) -> anyhow::Result<()> {
    transcript.heading("your turn (Ctrl-C ends)")?;
    transcript.command(&format!("curl -x http://{} http://hello.practice/hello", stage.relay))?;
    transcript.command(&format!("curl -x http://{} -N \"http://hello.practice/sse?n=5&ms=500\"", stage.relay))?;
    transcript.heading("what the corporate proxy sees")?;
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let mut told = stage.proxy.record().requests().len();
    loop {
        tokio::select! {
            result = &mut interrupted => return result.context("cannot wait for Ctrl-C"),
            () = tokio::time::sleep(LOOK) => told = tell_new_requests(stage, transcript, told)?,
        }
    }
}

/// A request without an answer yet is told next time, so that the order stays.
fn tell_new_requests(stage: &Stage<'_>, transcript: &mut Transcript<'_>, told: usize) -> anyhow::Result<usize> {
    let mut count = told;
    for seen in stage.proxy.record().requests().iter().skip(told) {
        let Some(status) = seen.status else { break };
        let line = format!("connection {}  {} {}", seen.connection, seen.method, seen.target);
        transcript.seen(&line, status, seen.user.as_deref())?;
        count += 1;
    }
    Ok(count)
}
