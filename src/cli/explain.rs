//! `hallpass explain`: which way a request would go from here, and why.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::flags::Flags;
use super::output;
use crate::config;
use crate::daemon;
use crate::proxy::{Decision, Proxy, Wanted};

#[derive(Debug, Args)]
pub struct Explain {
    /// A URL, or HOST:PORT for a tunnel; a bare host is taken for https.
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

pub fn run(arguments: &Explain) -> anyhow::Result<ExitCode> {
    let loaded = config::load(&arguments.flags.inputs())?;
    let wanted: Vec<(&String, Wanted)> = arguments
        .urls
        .iter()
        .map(|url| Ok((url, Wanted::parse(url).with_context(|| format!("{url} is no URL and no HOST:PORT"))?)))
        .collect::<anyhow::Result<_>>()?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
        let proxy = daemon::survey(&loaded.config).await?;
        for (url, wanted) in wanted {
            let began = Instant::now();
            let decision = proxy.explain(&wanted).await;
            let micros = began.elapsed().as_micros();
            match arguments.json {
                true => output::say(as_json(url, &decision, &proxy, micros)),
                false => output::say(as_text(url, &decision, &proxy, micros)),
            }
        }
        anyhow::Ok(())
    })?;
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

fn as_json(url: &str, decision: &Decision, proxy: &Proxy, micros: u128) -> String {
    let hops: Vec<String> = decision.hops.iter().map(ToString::to_string).collect();
    let profile = proxy.standing.profile.as_deref();
    json!({ "url": url, "hops": hops, "reason": decision.reason, "profile": profile, "micros": micros }).to_string()
}

fn as_text(url: &str, decision: &Decision, proxy: &Proxy, micros: u128) -> String {
    let hops: Vec<String> = decision.hops.iter().map(ToString::to_string).collect();
    let hops = if hops.is_empty() { "none: the request is refused".into() } else { hops.join(", then ") };
    let profile = proxy.standing.profile.as_deref().unwrap_or("none");
    let (kind, text) = (decision.reason.kind.name(), &decision.reason.text);
    format!(
        "{url}\n  hops     {hops}\n  reason   {kind}: {text}\n  profile  {profile} ({})\n  took     {micros} \u{b5}s",
        proxy.standing.why
    )
}
