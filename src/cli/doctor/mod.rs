//! `hallpass doctor`: what is wrong with the way out, and what to do.

mod further;
mod progress;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::flags::Flags;
use super::{EXIT_MISTAKE, output};
use crate::config::{self, Loaded};
use crate::daemon;
use crate::doctor::{
    Case, Check, DEFAULT_TARGET, Entry, Report, checks, checks_of_mistakes, checks_of_unusable, examine, probes,
};
use crate::proxy::{Wanted, chain};
use further::Further;
use progress::Line;

#[derive(Debug, Args)]
pub struct Doctor {
    /// A URL, or HOST:PORT for a tunnel, that is to be reached [default: https://api.anthropic.com/].
    #[arg(value_name = "URL")]
    urls: Vec<String>,
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
    /// Where to write the authorities that a target's certificate stands on, if they are not public ones [default:
    /// authorities.pem in the state directory].
    #[arg(long, value_name = "FILE")]
    ca_out: Option<PathBuf>,
    #[command(flatten)]
    further: further::Demands,
    #[command(flatten)]
    flags: Flags,
}

pub fn run(arguments: &Doctor) -> anyhow::Result<ExitCode> {
    let mut further = match arguments.further.prepare() {
        Ok(further) => further,
        Err(error) => return Ok(mistaken(&error)),
    };
    if let Some(list) = further.allow_list() {
        output::say(list.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = match wanted(&arguments.urls, further.first()) {
        Ok(wanted) => wanted,
        Err(error) => return Ok(mistaken(&error)),
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let report = runtime.block_on(async {
        let mut line = Line::default();
        let (checks, case) = match config::load(&arguments.flags.inputs()) {
            Ok(loaded) => checks_of(loaded, wanted, arguments.ca_out.clone(), &mut further, &line).await,
            Err(mistakes) => (checks_of_mistakes(&mistakes), None),
        };
        line.of(checks.len());
        let report = examine(checks, |progress| line.tell(&progress)).await;
        if let Some(case) = case {
            case.settle().await;
        }
        line.clear();
        report
    });
    // What still blocks somewhere has been given up.
    runtime.shutdown_background();
    match arguments.json {
        true => output::say(as_json(&report)),
        false => output::say(text::of(&report, output::stdout_takes_colours())),
    }
    further.write(&as_json(&report))?;
    Ok(if report.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn mistaken(error: &anyhow::Error) -> ExitCode {
    output::complain(format_args!("hallpass: {error:#}"));
    ExitCode::from(EXIT_MISTAKE)
}

fn wanted(urls: &[String], first: Option<String>) -> anyhow::Result<Vec<Wanted>> {
    let default = [first.unwrap_or_else(|| DEFAULT_TARGET.into())];
    let urls = if urls.is_empty() { default.as_slice() } else { urls };
    let parse = |url: &String| Wanted::parse(url).with_context(|| format!("{url} is no URL and no HOST:PORT"));
    urls.iter().map(parse).collect()
}

async fn checks_of(
    loaded: Loaded,
    wanted: Vec<Wanted>,
    ca_out: Option<PathBuf>,
    further: &mut Further,
    line: &Line,
) -> (Vec<Check>, Option<Arc<Case>>) {
    further.note(&loaded);
    line.say("looking at where this machine is");
    match daemon::survey_for_trial(&loaded.config).await {
        Ok(proxy) => {
            further.listen_to(&proxy);
            let Loaded { config, warnings, .. } = loaded;
            let case = Arc::new(Case::new(config, warnings, proxy, wanted, ca_out).await);
            let checks = checks(&case).into_iter().chain(probes(&case, &further.probing)).collect();
            (checks, Some(case))
        }
        Err(error) => (checks_of_unusable(&chain(&error)), None),
    }
}

fn as_json(report: &Report) -> Value {
    let cause = report.cause();
    let cause = cause.map(|entry| json!({ "name": entry.name, "says": entry.says, "advice": entry.advice }));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "cause": cause,
        "checks": report.entries.iter().map(entry_as_json).collect::<Vec<_>>(),
        "millis": millis(report.took),
    })
}

fn entry_as_json(entry: &Entry) -> Value {
    let mut value = json!({
        "name": entry.name,
        "state": entry.state.name(),
        "says": entry.says,
        "advice": entry.advice,
        "details": entry.details,
        "millis": millis(entry.took),
    });
    if let Some(because) = &entry.because {
        value["because"] = because.clone().into();
    }
    value
}

fn millis(took: std::time::Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
