//! The command around the story: its arguments, and the relay as `serve` would start it.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::{DemoOptions, RelayWish, demo, offer};
use crate::auth::{Scheme, UnknownScheme};
use crate::cli::output;
use crate::config::{self, AuditTo, Environment, Files, Inputs, Layer, PolicyPlace};
use crate::daemon::Daemon;
use crate::process;

#[derive(Debug, Args)]
pub struct Arguments {
    /// End after the story; the exit code says whether all of it went well.
    #[arg(long)]
    once: bool,
    /// What the practice proxy demands: ntlm, digest or basic.
    #[arg(long, value_name = "SCHEME", default_value = "ntlm", value_parser = practised)]
    scheme: Scheme,
}

fn practised(text: &str) -> Result<Scheme, String> {
    let scheme = text.parse().map_err(|error: UnknownScheme| error.to_string())?;
    offer(scheme).map(|_| scheme).map_err(|error| error.to_string())
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    process::leave_no_core();
    let options =
        DemoOptions { once: arguments.once, scheme: arguments.scheme, colour: output::stdout_takes_colours() };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let mut out = output::writer();
    let fine = runtime.block_on(demo(options, &mut out, start_relay))?;
    runtime.shutdown_background();
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Configured by a few variables, as a user would do it, and by nothing that lies on this machine.
pub async fn start_relay(wish: RelayWish) -> anyhow::Result<(SocketAddr, Daemon)> {
    let upstream = format!("http://{}", wish.upstream);
    let environment = Environment::from_pairs([
        ("HALLPASS_LISTEN", "127.0.0.1:0"),
        ("HALLPASS_UPSTREAM", &upstream),
        ("HALLPASS_USER", &wish.user),
        ("HALLPASS_PASSWORD", wish.password.expose()),
        ("HALLPASS_SCHEME", &wish.scheme.token().to_lowercase()),
    ]);
    let mut loaded = config::load(&Inputs {
        files: Files::Nothing,
        environment,
        flags: Layer::default(),
        policy: PolicyPlace::Nowhere,
    })?;
    // Its records would run through the story.
    loaded.config.audit.to = AuditTo::Off;
    let daemon = Daemon::start(&loaded.config)?;
    let address = daemon.addrs().first().copied().context("the relay listens nowhere")?;
    Ok((address, daemon))
}
