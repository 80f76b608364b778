//! `hallpass config`: write, show or check the configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};

use super::flags::Flags;
use super::output;
use crate::config::{self, Config, DEFAULT_LISTEN, Environment, Files, Inputs, Loaded, Origin, Value};
use crate::credential::Source;
use crate::daemon;
use crate::route::pac::named_hops;

/// Every key, commented out: what `init` writes.
const TEMPLATE: &str = include_str!("../../examples/hallpass.toml");

const PASSWORD_COMMENT: &str = "\
# hallpass login puts the password into the system's store; or set HALLPASS_PASSWORD, or write one of these below the user:
# password = \"${file:/run/secrets/proxy}\"
# password_command = [\"secret-tool\", \"lookup\", \"service\", \"proxy\"]
";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a configuration file from the flags, or one with every key commented out.
    Init(Init),
    /// Print each effective value with its origin, secrets left out.
    Show(Flags),
    /// Say everything that is wrong with the configuration.
    Check(Flags),
}

#[derive(Debug, Args)]
pub struct Init {
    #[command(flatten)]
    flags: Flags,
    /// Replace a file that is there already.
    #[arg(long)]
    force: bool,
}

pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init(arguments) => init(&arguments)?,
        Command::Show(flags) => output::say(config::load(&flags.inputs())?.to_toml().trim_end()),
        Command::Check(flags) => check(&config::load(&flags.inputs())?),
    }
    Ok(ExitCode::SUCCESS)
}

fn check(loaded: &Loaded) {
    for warning in &loaded.warnings {
        output::complain(format_args!("{warning} [a warning only]"));
    }
    for account in from_the_store(&loaded.config) {
        output::say(format_args!(
            "the password of {account} is read from the system's store, where hallpass login puts it"
        ));
    }
    output::say(format_args!("ok: {}", summary(&loaded.config)));
}

/// Whether it has them is not asked: a check needs no secrets.
fn from_the_store(config: &Config) -> impl Iterator<Item = &str> {
    config.credentials.iter().filter_map(|credential| match &credential.secret {
        Some(Source::Store(account)) => Some(account.as_str()),
        Some(
            Source::Literal(_)
            | Source::Variable { .. }
            | Source::File(_)
            | Source::Systemd { .. }
            | Source::Command(_),
        )
        | None => None,
    })
}

fn summary(config: &Config) -> String {
    let listen = join(ways_in(config).into_iter());
    let routes = routes(config);
    let files = match config.files.as_slice() {
        [] => "no file".into(),
        some => join(some.iter().map(|path| path.display().to_string())),
    };
    format!("{files}; listens on {listen}; {routes}")
}

fn routes(config: &Config) -> String {
    if config.says_nothing_of_routes() {
        return "goes by the system's proxy settings, else direct".into();
    }
    let upstreams = config.upstreams.iter().map(|upstream| upstream.endpoint.to_string());
    let parts = [
        (!config.upstreams.is_empty()).then(|| format!("upstreams {}", join(upstreams))),
        config.routing.pac.as_ref().map(|pac| format!("PAC script {}", pac.written)),
        (!config.routing.rules.is_empty()).then(|| format!("{} rules", config.routing.rules.len())),
        (!config.profiles.is_empty())
            .then(|| format!("profiles {}", join(config.profiles.iter().map(|profile| profile.name.clone())))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "everything goes direct".into() } else { parts.join("; ") }
}

fn ways_in(config: &Config) -> Vec<String> {
    let mut ways: Vec<String> = config.listen.iter().map(SocketAddr::to_string).collect();
    for listener in &config.listeners {
        let spoken = if listener.socks5 { " (SOCKS5)" } else { "" };
        match listener.addrs().as_slice() {
            [] => ways.push(format!("{} port {}{spoken}", listener.interface, listener.port)),
            addrs => ways.extend(addrs.iter().map(|addr| format!("{addr}{spoken}"))),
        }
    }
    for tunnel in &config.tunnels {
        ways.extend(tunnel.listen.iter().map(|addr| format!("{addr} (for {})", tunnel.target)));
    }
    ways
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn init(arguments: &Init) -> anyhow::Result<()> {
    let inputs = Inputs { files: Files::Nothing, environment: Environment::default(), flags: arguments.flags.layer() };
    let loaded = pinned(config::load(&inputs)?, inputs)?;
    let path = destination(&arguments.flags)?;
    write(&path, &text(&loaded), arguments.force)?;
    let listen = loaded.config.listen.iter().find(|address| address.port() != 0).unwrap_or(&DEFAULT_LISTEN[0]);
    output::say(format_args!("# written: {}; once hallpass runs, paste these two lines", path.display()));
    output::say(format_args!("export HTTPS_PROXY=http://{listen} https_proxy=http://{listen}"));
    output::say(format_args!("export HTTP_PROXY=http://{listen} http_proxy=http://{listen}"));
    Ok(())
}

/// The upstreams that the script names today may receive the credential; tomorrow's are for the user to add.
fn pinned(loaded: Loaded, mut inputs: Inputs) -> anyhow::Result<Loaded> {
    let config = &loaded.config;
    let is_open = matches!(config.credentials.as_slice(), [only] if only.for_upstreams.is_empty());
    if config.routing.pac.is_none() || !is_open {
        return Ok(loaded);
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let proxy = runtime.block_on(daemon::survey(config))?;
    runtime.shutdown_background();
    let mut hosts: Vec<String> = Vec::new();
    for upstream in proxy.standing.pac_text.iter().flat_map(|text| named_hops(text)) {
        let host = upstream.target.host.to_string();
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    if hosts.is_empty() {
        output::complain(
            "the script could not be had, or names no proxy: write those that may receive the credential into for = [] there",
        );
        return Ok(loaded);
    }
    let origin = Origin::Flag("--pac");
    inputs.flags.set(&["credential_for"], Value::list(hosts, &origin), origin);
    Ok(config::load(&inputs)?)
}

fn destination(flags: &Flags) -> anyhow::Result<PathBuf> {
    let variable = |name: &str| std::env::var(name).ok();
    let path = flags.config.clone().or_else(|| config::user_file(&variable));
    path.ok_or_else(|| anyhow!("there is no home directory to write to: name a file with --config"))
}

fn write(path: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    if !force && path.exists() {
        return Err(anyhow!("{} is there already; --force replaces it", path.display()));
    }
    config::write_private(path, text, force).with_context(|| format!("cannot write {}", path.display()))
}

/// With a PAC script the script itself shows where the machine is; for upstreams that are always the same, profiles do.
fn office_and_home(config: &Config) -> String {
    let routing = &config.routing;
    if routing.upstreams.is_empty() || routing.pac.is_some() {
        return String::new();
    }
    let upstreams = routing.upstreams.iter().filter_map(|name| config.upstream(name));
    let reachable = join(upstreams.map(|upstream| format!("\"{}\"", upstream.endpoint.target)));
    format!(
        "# Where the proxy can be reached, it is used; elsewhere everything goes direct. Without these tables it is used\n\
         # everywhere.\n[profiles.office]\nwhen = {{ reachable = [{reachable}] }}\n\n[profiles.home]\nupstreams = []\n"
    )
}

/// What the flags say, around the template: top-level keys stand above all tables.
fn text(loaded: &Loaded) -> String {
    let (top, tables) = loaded.changes_to_toml();
    let needs_password =
        loaded.config.credentials.iter().any(|credential| matches!(credential.secret, Some(Source::Store(_))));
    let password = if needs_password { PASSWORD_COMMENT } else { "" };
    let profiles = office_and_home(&loaded.config);
    let parts = [top.as_str(), TEMPLATE, tables.trim_start(), password, &profiles];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}
