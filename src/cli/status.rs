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
use crate::config;
use crate::state::State;

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
    /// Have every log-in that was rejected, or that nobody judged, tried once more. Needs no relay that runs.
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    retry: bool,
    #[command(flatten)]
    flags: Flags,
}

pub fn run(arguments: &Status) -> anyhow::Result<ExitCode> {
    if arguments.retry {
        return retry(&arguments.flags);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let mut last = String::new();
    loop {
        let relay = relay::find(&arguments.flags)?;
        let (status, body) = runtime.block_on(relay::page(relay, "/status")).context("the relay broke off")?;
        let page: Value = match status {
            200 => serde_json::from_slice(&body).context("this is no answer of hallpass")?,
            _ => return Err(refusal(status, &body)),
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

/// A relay that serves others says so itself.
fn refusal(status: u16, body: &[u8]) -> anyhow::Error {
    match String::from_utf8_lossy(body).trim().strip_prefix("hallpass: ") {
        Some(reason) => anyhow!("the relay does not answer: {reason}"),
        None => anyhow!("what listens there is no hallpass: it answers /status with {status}"),
    }
}

/// Every relay that keeps its record in this directory sees it within a second.
fn retry(flags: &Flags) -> anyhow::Result<ExitCode> {
    let config = config::load(&flags.inputs())?.config;
    let directory = config.state_directory.context(
        "nothing outlives hallpass here, so there is nothing to ask for: set XDG_STATE_HOME or HOME to what the relay has",
    )?;
    let state = State::at(Some(directory.clone()));
    state.raise_generation().with_context(|| format!("cannot write in {}", directory.display()))?;
    output::say(format_args!(
        "each log-in that was rejected is tried once more with the next request that needs it (noted in {})",
        directory.display()
    ));
    Ok(ExitCode::SUCCESS)
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
    text += &configuration_as_text(&page["configuration"]);
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
    text += &losses_as_text(&page["lost"]);
    for trouble in page["lockout"].as_array().into_iter().flatten() {
        let upstream = trouble["upstream"].as_str().map(|upstream| format!(" by {upstream}")).unwrap_or_default();
        let next = match trouble["next_trial_seconds"].as_u64() {
            Some(seconds) => format!("tried again in {seconds} s"),
            None => {
                "not tried again before it changes, or hallpass login or hallpass status --retry asks for it".into()
            }
        };
        let (account, reason, since) = (word(&trouble["account"]), word(&trouble["reason"]), word(&trouble["since"]));
        let _infallible = writeln!(text, "account  {account} {reason}{upstream} since {since}: {next}");
    }
    for refused in page["refused"].as_array().into_iter().flatten() {
        let (cause, remedy, last) = (word(&refused["cause"]), word(&refused["remedy"]), word(&refused["last"]));
        let _infallible = writeln!(text, "refused  {} times, last {last}: {cause} - {remedy}", refused["count"]);
    }
    text.trim_end().to_owned()
}

/// What is wrong with a newer one matters more than which one counts.
fn configuration_as_text(configuration: &Value) -> String {
    let words = |key: &str| {
        let list = configuration[key].as_array().into_iter().flatten();
        list.filter_map(|word| word.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let (files, problems) = (words("files"), words("problem"));
    let files = if files.is_empty() { "no file".into() } else { files.join(", ") };
    let loaded = configuration["loaded"].as_str().unwrap_or_default();
    let mut text = format!("config   {files}, loaded {loaded}\n");
    if !problems.is_empty() {
        text += "config   is wrong since then, the former one still counts:\n";
    }
    problems.iter().for_each(|problem| text += &format!("         {problem}\n"));
    text
}

/// Nothing, if nothing was lost.
fn losses_as_text(lost: &Value) -> String {
    let kinds = [("audit_records", "audit records"), ("log_lines", "lines of the log")];
    let counted = kinds.iter().filter_map(|(key, name)| {
        let count = lost[*key].as_u64().filter(|count| *count > 0)?;
        Some(format!("lost     {count} {name}\n"))
    });
    counted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_that_refuses_is_told_from_something_else_on_its_port() {
        let said = |status, body: &str| refusal(status, body.as_bytes()).to_string();
        assert_eq!(
            said(403, "hallpass: this relay does not serve user 7 - ask (request h-1)\n"),
            "the relay does not answer: this relay does not serve user 7 - ask (request h-1)"
        );
        assert_eq!(said(404, "<html>"), "what listens there is no hallpass: it answers /status with 404");
    }
}
