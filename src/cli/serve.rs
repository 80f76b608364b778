//! `hallpass serve`: the relay in the foreground, until a signal ends it.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::Level;

use super::flags::Flags;
use super::output;
use crate::config::{self, Config, Loaded, LogFormat, Mistakes};
use crate::daemon::{ConfigFiles, Daemon, Pulse, StartError, WaysError, unreadable_secret};
use crate::listener::Inherited;
use crate::process::control;
use crate::process::descriptors::raise_limit;
use crate::process::{self, RunFile, Signal, Signals, State, holder_of, leave_no_core, notify, own_run_directory};
use crate::proxy::{Proxy, Way};
use crate::service;
use crate::sink::{Lines, Sink};
use crate::trace::{self, Keep, Log, View};

/// What was said last is worth this much waiting for a reader of the log.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Of the time that the watchdog waits, this much may pass between two signs of life: one that comes late is not the last.
const SIGNS_PER_WAIT: u32 = 3;

pub fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    let lines = Arc::new(Lines::new("lines of the log"));
    lines.switch(lines.prepare(&Sink::Stderr).context("cannot start the log")?);
    let _flushed = Flushed(lines.clone());
    run_into(flags, &lines, keep(lines.clone()))?;
    Ok(ExitCode::SUCCESS)
}

/// The log goes to `keep`, and records that are for standard error to `lines`.
pub(super) fn run_into(flags: &Flags, lines: &Arc<Lines>, keep: Keep) -> anyhow::Result<()> {
    leave_no_core();
    // A reload may want to know it when our parent is another one.
    let _known_from_now_on = process::is_machines_service();
    let inherited = Inherited::of_process()?;
    let (files, loaded) = ConfigFiles::read(flags.inputs())?;
    let log = Log::start(view(&loaded.config), keep);
    trace::report_panics();
    raise_limit();
    serve_in_runtime(files, &loaded, &log, lines, inherited)
}

/// However the relay ends, what it logged is written first.
pub(super) struct Flushed(pub Arc<Lines>);

impl Drop for Flushed {
    fn drop(&mut self) {
        self.0.finish(LAST_WORDS);
    }
}

fn serve_in_runtime(
    files: ConfigFiles,
    loaded: &Loaded,
    log: &Log,
    lines: &Arc<Lines>,
    inherited: Inherited,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let served = runtime.block_on(serve(files, loaded, log, lines, inherited));
    // A name that is being resolved or a command that is being waited for must not hold up the end.
    runtime.shutdown_background();
    served
}

pub(super) fn start_log(config: &Config, lines: Arc<Lines>) -> Log {
    Log::start(view(config), keep(lines))
}

fn keep(lines: Arc<Lines>) -> Keep {
    Arc::new(move |line| lines.push(&line))
}

fn view(config: &Config) -> View {
    let level = match config.log.level {
        config::Level::Off => None,
        config::Level::Error => Some(Level::ERROR),
        config::Level::Warn => Some(Level::WARN),
        config::Level::Info => Some(Level::INFO),
        config::Level::Debug => Some(Level::DEBUG),
        config::Level::Trace => Some(Level::TRACE),
    };
    let format = match config.log.format {
        LogFormat::Text => trace::Format::Text,
        LogFormat::Json => trace::Format::Json,
    };
    View { level, format, colours: output::stderr_takes_colours() }
}

async fn serve(
    mut files: ConfigFiles,
    loaded: &Loaded,
    log: &Log,
    lines: &Arc<Lines>,
    inherited: Inherited,
) -> anyhow::Result<()> {
    // Before anybody can learn that we run: a signal sent then must not kill us.
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let started = Daemon::start_on(&loaded.config, lines.clone(), inherited);
    let mut daemon = started.map_err(|error| explain(error, &loaded.config))?;
    announce(&daemon, loaded);
    let run_file = write_run_file(&daemon, &loaded.config);
    notify(State::Ready);
    let _living = process::watchdog().map(|wait| Aborted(tokio::spawn(live(daemon.pulse(), wait / SIGNS_PER_WAIT))));
    let mut snapshots = daemon.snapshots();
    let mut said = String::new();
    loop {
        describe(&daemon, &snapshots.borrow_and_update().clone(), &mut said);
        tokio::select! {
            _ = snapshots.changed() => {}
            signal = signals.next() => match signal {
                Signal::Stop => break,
                Signal::Reload => {
                    notify(State::Reloading);
                    for path in files.given_once() {
                        let path = path.display();
                        tracing::warn!("{path} is no file that can be read again: what it said at the start stays until a restart");
                    }
                    let read = files.load().await;
                    if reload(&mut daemon, read, log, run_file.as_ref()) {
                        files.count();
                    }
                    notify(State::Ready);
                }
            },
            () = files.changed() => {
                tracing::info!("the configuration, or a file that it names, has changed");
                let read = files.load_when_whole().await;
                let is_same = read.as_ref().is_ok_and(|read| read.config == *daemon.config());
                // An editor that saves what nobody changed costs no ticket and no connection.
                if is_same && !files.are_renewed() {
                    daemon.reject(Vec::new());
                } else if is_same && let Some(why) = unreadable_secret(&daemon.config()).await {
                    // To begin anew with nothing would help nobody.
                    keep_secrets(&daemon, why);
                } else if reload(&mut daemon, read, log, run_file.as_ref()) {
                    files.count();
                }
            }
        }
    }
    notify(State::Stopping(daemon.config().longest_end()));
    tracing::info!("stopping");
    daemon.stop(stop_again(&mut signals)).await;
    drop(run_file);
    Ok(())
}

/// Ends with what it belongs to.
struct Aborted(JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells the manager that waits for it that the relay works, for as long as it does.
async fn live(pulse: Pulse, pause: Duration) {
    loop {
        if pulse.beat().await {
            process::alive();
        }
        sleep(pause).await;
    }
}

/// Tells the manager in words what the relay does, whenever that is something else.
fn describe(daemon: &Daemon, snapshot: &Proxy, said: &mut String) {
    let addrs: Vec<String> = daemon.addrs().iter().map(ToString::to_string).collect();
    let profile = snapshot.standing.profile.as_ref().map(|name| format!(", profile {name}")).unwrap_or_default();
    let text = format!("listening on {}{profile}", addrs.join(", "));
    if *said != text {
        process::describe(&text);
        *said = text;
    }
}

async fn stop_again(signals: &mut Signals) {
    while signals.next().await != Signal::Stop {}
}

fn announce(daemon: &Daemon, loaded: &Loaded) {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    announce_ways(&daemon.ways(), &[]);
    if loaded.config.says_nothing_of_routes() {
        tracing::info!("no way is configured: the system's proxy settings count, and without any all goes direct");
    }
    for upstream in &loaded.config.upstreams {
        tracing::info!("upstream {} at {}", upstream.name, upstream.endpoint);
    }
}

/// Those that were not there `before`.
fn announce_ways(ways: &[(Way, Vec<SocketAddr>)], before: &[(Way, Vec<SocketAddr>)]) {
    let all = |ways: &[(Way, Vec<SocketAddr>)]| -> Vec<(Way, SocketAddr)> {
        ways.iter().flat_map(|(way, addrs)| addrs.iter().map(|addr| (way.clone(), *addr))).collect()
    };
    let before = all(before);
    for (way, addr) in all(ways).into_iter().filter(|way| !before.contains(way)) {
        match way {
            Way::Http => tracing::info!("listening on {addr}"),
            Way::Socks => tracing::info!("listening for SOCKS5 on {addr}"),
            Way::Tunnel(target) => tracing::info!("listening for {target} on {addr}"),
        }
    }
}

/// What was read before is as good as it was.
fn keep_secrets(daemon: &Daemon, why: String) {
    tracing::error!("{why}; what was read from there before stays");
    daemon.reject(vec![why]);
}

/// A wrong configuration changes nothing. Whether it counts now.
fn reload(daemon: &mut Daemon, read: Result<Loaded, Mistakes>, log: &Log, run_file: Option<&RunFile>) -> bool {
    let loaded = match read {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            daemon.reject(mistakes.0.iter().map(ToString::to_string).collect());
            for mistake in &mistakes.0 {
                tracing::error!("{mistake}");
            }
            tracing::error!("not reloaded: the configuration is wrong, the former one stays");
            return false;
        }
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let before = daemon.ways();
    match daemon.reload(&loaded.config) {
        Ok(()) => {
            log.show(view(&loaded.config));
            announce_ways(&daemon.ways(), &before);
            let said = run_file.map(|file| file.say(&daemon.addrs(), &loaded.config.files));
            if let Some(Err(error)) = said {
                tracing::warn!(%error, "the run file does not say where this relay listens now");
            }
            tracing::info!("reloaded");
            true
        }
        Err(error) => {
            tracing::error!("not reloaded, the former configuration stays: {:#}", anyhow::Error::from(error));
            false
        }
    }
}

/// For people at a "port in use": by whom.
fn explain(error: StartError, config: &Config) -> anyhow::Error {
    let StartError::Ways(WaysError::Bind(bind)) = &error else { return error.into() };
    let holder = holder_of(bind.addr).map(|holder| format!("{} is in use by {holder}", bind.addr));
    let in_use = bind.source.kind() == std::io::ErrorKind::AddrInUse;
    let addr = bind.addr;
    let error = anyhow::Error::from(error);
    let elsewhere = match config.listen.contains(&addr) {
        true => format!("with --listen {}:PORT", addr.ip()),
        false => "in the configuration's [[listeners]] or [[tunnels]]".into(),
    };
    match holder {
        Some(holder) if in_use => error.context(format!("{holder}: stop that, or choose another port {elsewhere}")),
        Some(_) | None => error,
    }
}

/// Absent where there is no place for it; nothing but convenience depends on it.
fn write_run_file(daemon: &Daemon, config: &Config) -> Option<RunFile> {
    let of_machine = control::is_obeying().then(service::run_of_machine).flatten();
    let directory = of_machine.or_else(|| own_run_directory(&|name| std::env::var(name).ok()))?;
    match RunFile::write(&directory, &daemon.addrs(), &config.files) {
        Ok(file) => Some(file),
        Err(error) => {
            tracing::warn!(%error, "cannot write the run file in {}", directory.display());
            None
        }
    }
}
