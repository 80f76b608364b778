//! The relay of one program, as the process that it is.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{Begun, NOW};
use crate::cli::flags::Flags;
use crate::cli::{output, serve};
use crate::config::{self, AuditTo, Config, Loaded, Origin, Users};
use crate::daemon::Daemon;
use crate::process::descriptors::raise_limit;
use crate::process::{Owners, account, leave_no_core};
use crate::sink::{Lines, Rotation, Sink};
use crate::trace;

/// What is written down of so many programs is kept.
const KEPT: usize = 20;

/// Of a file before the next one is begun, in bytes.
const MAX_LOG: u64 = 4 * 1024 * 1024;

/// Tunnels are waited for until somebody says otherwise.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What was said last is worth this much waiting for the disk.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How requests end that brought the program what it asked for, or that it gave up itself.
const GOOD_ENDS: [&str; 7] =
    ["done", "client_closed", "client_reset", "upstream_closed", "upstream_reset", "idle_timeout", "drained"];

pub fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    leave_no_core();
    let inputs = flags.inputs();
    let begun = config::load(&inputs).map_err(anyhow::Error::from).and_then(|loaded| {
        let places = Places::make(&loaded.config);
        serve_until_told(&loaded, &places)?;
        Ok(places)
    });
    match begun {
        Ok(places) => {
            output::say(places.records.as_deref().map_or(0, failures));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            say(&Begun::Failed { why: format!("{error:#}") });
            Ok(ExitCode::FAILURE)
        }
    }
}

fn say(begun: &Begun) {
    match serde_json::to_string(begun) {
        Ok(line) => output::say(line),
        Err(error) => tracing::error!(%error, "cannot say how it began"),
    }
}

/// Where the log and the records go: the terminal belongs to the program.
struct Places {
    log: Option<PathBuf>,
    records: Option<PathBuf>,
}

impl Places {
    fn make(config: &Config) -> Self {
        let directory = config.state_directory.as_ref().map(|state| state.join("run"));
        let directory = directory.filter(|directory| fs::create_dir_all(directory).is_ok());
        if let Some(directory) = &directory {
            forget_the_oldest(directory);
        }
        let place = |kind: &str| directory.as_ref().map(|at| at.join(format!("{}.{kind}", std::process::id())));
        let records = match &config.audit.to {
            AuditTo::Stderr => place("records"),
            AuditTo::Off | AuditTo::System(_) | AuditTo::File(_) => None,
        };
        Self { log: place("log"), records }
    }
}

fn forget_the_oldest(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let age = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut files: Vec<_> = entries.map(|entry| entry.path()).map(|path| (age(&path), path)).collect();
    files.sort();
    let surplus = files.len().saturating_sub(KEPT);
    for (_, path) in files.iter().take(surplus) {
        let _somebody_else_was_faster = fs::remove_file(path);
    }
}

fn serve_until_told(loaded: &Loaded, places: &Places) -> anyhow::Result<()> {
    let config = adapt(loaded, places);
    let lines = Arc::new(Lines::new("lines of the log"));
    lines.switch(lines.prepare(&sink(places.log.clone())).context("cannot write the log")?);
    let _log = serve::start_log(&config, lines.clone());
    trace::report_panics();
    raise_limit();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let served = runtime.block_on(serve(&config, loaded, places, lines.clone()));
    runtime.shutdown_background();
    lines.finish(LAST_WORDS);
    served
}

fn sink(path: Option<PathBuf>) -> Sink {
    match path {
        Some(path) => Sink::File(Rotation { path, max_size: MAX_LOG, max_age: None, keep: 1 }),
        None => Sink::Off,
    }
}

/// The user's configuration, with nothing in it that there can be only one of, and for this user alone.
fn adapt(loaded: &Loaded, places: &Places) -> Config {
    let mut config = loaded.config.clone();
    if !matches!(loaded.origin(&["listen"]), Origin::Flag(_)) {
        config.listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
        config.listen_auto = false;
    }
    config.listeners.clear();
    config.tunnels.clear();
    config.access.allow.clear();
    if let (Some(own), true) = (account::own(), Owners::open().is_ok()) {
        // Root may be asked to run a part of what the program does, and can do anything anyway.
        config.access.users = Users { written: vec!["self".into()], owners: Some(vec![own, account::root()]) };
    }
    config.audit.to = match config.audit.to {
        AuditTo::Stderr => places.records.clone().map_or(AuditTo::Off, AuditTo::File),
        elsewhere @ (AuditTo::Off | AuditTo::System(_) | AuditTo::File(_)) => elsewhere,
    };
    config.grace = FOR_EVER;
    config
}

async fn serve(config: &Config, loaded: &Loaded, places: &Places, lines: Arc<Lines>) -> anyhow::Result<()> {
    let daemon = Daemon::start_with(config, lines)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let addr = daemon.addrs().first().copied().context("the relay listens nowhere")?;
    tracing::info!("listening on {addr} for one program");
    let mut told = words();
    say(&Begun::Listening { addr, records: places.records.clone(), log: places.log.clone() });
    if told.recv().await == Some(NOW) {
        daemon.stop(std::future::ready(())).await;
        return Ok(());
    }
    daemon.stop(told_to_hurry(told)).await;
    Ok(())
}

/// Whoever is gone cannot be in a hurry.
async fn told_to_hurry(mut told: mpsc::UnboundedReceiver<u8>) {
    loop {
        match told.recv().await {
            Some(NOW) => return,
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}

/// What our starter says, byte by byte, until its end.
fn words() -> mpsc::UnboundedReceiver<u8> {
    let (say, told) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut byte = [0];
        while std::io::stdin().read_exact(&mut byte).is_ok() && say.send(byte[0]).is_ok() {}
    });
    told
}

/// How many requests failed, by their records.
fn failures(records: &Path) -> usize {
    let text = fs::read_to_string(records).unwrap_or_default();
    let ends = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    ends.filter(|record| record["end"].as_str().is_some_and(|end| !GOOD_ENDS.contains(&end))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_failed_are_told_from_those_that_ended_well() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records");
        assert_eq!(failures(&path), 0);
        fs::write(&path, "{\"end\":\"done\"}\n{\"end\":\"credential_rejected\"}\n{\"end\":\"client_reset\"}\nx\n{}\n")
            .unwrap();
        assert_eq!(failures(&path), 1);
    }

    #[test]
    fn the_newest_files_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..KEPT + 5 {
            fs::write(directory.path().join(format!("{number}.log")), "x").unwrap();
        }
        forget_the_oldest(directory.path());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), KEPT);
    }
}
