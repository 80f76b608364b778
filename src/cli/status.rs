//! `hallpass status`: how the relay that runs stands.

mod screen;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::{Map, Value};
use tokio::time::sleep;

use super::flags::Flags;
use super::{output, relay};
use crate::config;
use crate::process::{Signal, Signals};
use crate::service::{self, Scope};
use crate::state::State;

/// How often a watched relay is asked.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct Status {
    /// As the relay's page /status has it.
    #[arg(long)]
    json: bool,
    /// Go on: on a terminal it stays up to date in its place, elsewhere it is printed again whenever it changes.
    #[arg(long)]
    watch: bool,
    /// With the tunnels that are open, the one that was active last first.
    #[arg(long)]
    tunnels: bool,
    /// Have every log-in that was rejected, or that nobody judged, tried once more. Needs no relay that runs.
    #[arg(long, conflicts_with_all = ["json", "watch", "tunnels"])]
    retry: bool,
    #[command(flatten)]
    flags: Flags,
}

pub fn run(arguments: &Status) -> anyhow::Result<ExitCode> {
    if arguments.retry {
        return retry(&arguments.flags);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        if !arguments.watch {
            output::say(arguments.text_of(&ask(&arguments.flags).await?));
        } else if !arguments.json && screen::is_there() {
            stay_in_place(arguments).await?;
        } else {
            print_changes(arguments).await?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

impl Status {
    fn text_of(&self, page: &Value) -> String {
        if self.json { page.to_string() } else { text::of(page, self.tunnels) }
    }
}

/// What the relay says at the moment.
async fn ask(flags: &Flags) -> anyhow::Result<Value> {
    let relay = relay::find(flags)?;
    let (status, body) = relay::page(relay, "/status").await.context("the relay broke off")?;
    match status {
        200 => serde_json::from_slice(&body).context("this is no answer of hallpass"),
        _ => Err(refusal(status, &body)),
    }
}

/// For a reader of lines: what only counts on is no news.
async fn print_changes(arguments: &Status) -> anyhow::Result<()> {
    let mut last = None;
    loop {
        let page = ask(&arguments.flags).await?;
        let news = if arguments.json { page.clone() } else { lasting(&page) };
        if last.as_ref() != Some(&news) {
            output::say(arguments.text_of(&page));
            last = Some(news);
        }
        sleep(PAUSE).await;
    }
}

/// Without what changes with every byte and every second.
fn lasting(page: &Value) -> Value {
    let volatile = |key: &str| matches!(key, "traffic" | "tunnels");
    let upstream = |upstream: &Value| {
        let fields = upstream.as_object().into_iter().flatten();
        let kept = fields.filter(|(key, _)| !matches!(key.as_str(), "ticket" | "last_success" | "logons"));
        Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    let fields = page.as_object().into_iter().flatten().filter(|(key, _)| !volatile(key));
    let kept = fields.map(|(key, value)| {
        let upstreams = value.as_array().filter(|_| key == "upstreams");
        (key.clone(), upstreams.map_or_else(|| value.clone(), |all| all.iter().map(upstream).collect()))
    });
    Value::Object(kept.collect::<Map<_, _>>())
}

/// For a person at a terminal, until Ctrl-C. A relay that is gone may come back.
async fn stay_in_place(arguments: &Status) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let screen = screen::Screen::enter();
    let draw = async {
        loop {
            let text = match ask(&arguments.flags).await {
                Ok(page) => arguments.text_of(&page),
                Err(error) => format!("{error:#}"),
            };
            screen.draw(&text);
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = draw => {}
        Signal::Stop | Signal::Reload = signals.next() => {}
    }
    Ok(())
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
    // Root asks the machine's relay as well.
    let of_machine = service::state_of_machine().filter(|_| service::default_scope() == Scope::System);
    for directory in kept_in(config.state_directory, of_machine)? {
        let state = State::at(Some(directory.clone()));
        state.raise_generation().with_context(|| format!("cannot write in {}", directory.display()))?;
        output::say(format_args!(
            "each log-in that was rejected is tried once more with the next request that needs it (noted in {})",
            directory.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Either will do: whoever asks for the machine's relay alone may have no directory of their own.
fn kept_in(own: Option<PathBuf>, of_machine: Option<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    let directories: Vec<PathBuf> = own.into_iter().chain(of_machine).collect();
    match directories.is_empty() {
        false => Ok(directories),
        true => Err(anyhow!(
            "nothing outlives hallpass here, so there is nothing to ask for: set XDG_STATE_HOME or HOME to what the relay has"
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    #[test]
    fn the_machines_relay_is_asked_also_by_who_has_no_home() {
        let (own, of_machine) = (PathBuf::from("own"), PathBuf::from("machine"));
        for (has_own, has_machine) in [(true, true), (true, false), (false, true)] {
            let own = has_own.then(|| own.clone());
            let of_machine = has_machine.then(|| of_machine.clone());
            let all: Vec<PathBuf> = own.iter().chain(&of_machine).cloned().collect();
            assert_eq!(kept_in(own, of_machine).unwrap(), all);
        }
        assert!(kept_in(None, None).unwrap_err().to_string().contains("set XDG_STATE_HOME or HOME"));
    }

    #[test]
    fn bytes_and_seconds_are_no_news_and_troubles_are() {
        let page = |bytes: u64, state: &str| {
            json!({
                "pid": 1, "traffic": { "bytes_up": bytes }, "tunnels": { "count": bytes },
                "upstreams": [{ "state": state, "last_success": bytes.to_string(), "logons": { "accepted": bytes } }],
            })
        };
        assert_eq!(lasting(&page(1, "up")), lasting(&page(2, "up")));
        assert_ne!(lasting(&page(1, "up")), lasting(&page(1, "down")));
    }
}
