//! `hallpass status`: how the relay that runs stands.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::Value;

use super::flags::Flags;
use super::{output, relay};

/// How often a watched relay is asked.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct Status {
    /// As the relay's page /status has it.
    #[arg(long)]
    json: bool,
    /// Go on, and print it again whenever it changes.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    flags: Flags,
}

pub fn run(arguments: &Status) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let mut last = String::new();
    loop {
        let relay = relay::find(&arguments.flags)?;
        let (status, body) = runtime.block_on(relay::page(relay, "/status")).context("the relay broke off")?;
        let page: Value = match status {
            200 => serde_json::from_slice(&body).context("this is no answer of hallpass")?,
            _ => return Err(anyhow!("what listens there is no hallpass: it answers /status with {status}")),
        };
        let text = if arguments.json { page.to_string() } else { as_text(&page) };
        if text != last {
            output::say(&text);
        }
        if !arguments.watch {
            return Ok(ExitCode::SUCCESS);
        }
        last = text;
        sleep(PAUSE);
    }
}

fn as_text(page: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let listen: Vec<String> = page["listen"].as_array().into_iter().flatten().map(word).collect();
    let mut text = format!(
        "hallpass {} (pid {}) is {} on {}\n",
        word(&page["version"]),
        page["pid"],
        word(&page["phase"]),
        listen.join(", ")
    );
    let profile = page["profile"]["name"].as_str().unwrap_or("none");
    let _infallible = writeln!(text, "profile  {profile} ({})", word(&page["profile"]["reason"]));
    if let Some(system) = page["system"].as_str() {
        let _infallible = writeln!(text, "system   {system}");
    }
    let pac = &page["pac"];
    if pac.is_object() {
        let problem = pac["problem"].as_str().map(|problem| format!(": {problem}")).unwrap_or_default();
        let fetched = pac["fetched"].as_str().map(|at| format!(", fetched {at}")).unwrap_or_default();
        let _infallible =
            writeln!(text, "pac      {} is {}{fetched}{problem}", word(&pac["source"]), word(&pac["state"]));
    }
    for hop in page["hops"].as_array().into_iter().flatten() {
        let problem = hop["problem"].as_str().map(|problem| format!(": {problem}")).unwrap_or_default();
        let (name, state, since) = (word(&hop["hop"]), word(&hop["state"]), word(&hop["since"]));
        let _infallible = writeln!(text, "hop      {name} {state} since {since}{problem}");
    }
    for refused in page["refused"].as_array().into_iter().flatten() {
        let (cause, remedy, last) = (word(&refused["cause"]), word(&refused["remedy"]), word(&refused["last"]));
        let _infallible = writeln!(text, "refused  {} times, last {last}: {cause} - {remedy}", refused["count"]);
    }
    text.trim_end().to_owned()
}
