//! `hallpass config`: write, show or check the configuration.

mod export;
mod import;
mod init;
mod list;
mod place;
mod schema;
mod show;
mod trial;
mod tried;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Subcommand;

use super::flags::Flags;
use super::output;
use crate::config::{Config, Loaded};
use crate::credential::Source;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find out what is needed, asking for what cannot be found, try it, and write a configuration file.
    #[command(after_help = "Examples:\n  \
        hallpass config init\n  \
        hallpass config init --upstream proxy.corp.example:8080 --user 'CORP\\alice'")]
    Init(init::Init),
    /// Take over what cntlm, Px, alpaca or the environment were told, and report line by line what became of it.
    #[command(after_help = "Examples:\n  \
        hallpass config import /etc/cntlm.conf\n  \
        hallpass config import px.ini --print\n  \
        hallpass config import --from environment")]
    Import(import::Import),
    /// Hand the configuration out: as a profile for macOS, a file for the registry, templates of Group Policy, or text.
    #[command(after_help = "Examples:\n  \
        hallpass config export --format reg --out hallpass.reg\n  \
        hallpass config export --format mobileconfig --out hallpass.mobileconfig\n  \
        hallpass config export --format admx --out PolicyDefinitions\n  \
        hallpass config export --format txt --out policy.toml")]
    Export(export::Export),
    /// Name the configurations that --config can choose, whether they are right, and which is in use.
    #[command(after_help = "Example:\n  hallpass config list")]
    List(Flags),
    /// Print each effective value with where it stands, secrets left out: what to send to whoever is to help.
    #[command(after_help = "Example:\n  hallpass config show --config hallpass.toml")]
    Show(show::Show),
    /// Say everything that is wrong with the configuration.
    #[command(after_help = "Examples:\n  \
        hallpass config check --config hallpass.toml\n  \
        hallpass config check --try example.com:443")]
    Check(trial::Check),
    /// Print the JSON Schema of hallpass.toml, by which editors complete and check it.
    #[command(after_help = "Example:\n  \
        hallpass config schema > hallpass.schema.json\n\n\
        With \"#:schema ./hallpass.schema.json\" as the first line of hallpass.toml, Even Better TOML and taplo use it.")]
    Schema,
}

pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init(arguments) => return init::run(&arguments),
        Command::Import(arguments) => import::run(&arguments)?,
        Command::Export(arguments) => export::run(&arguments)?,
        Command::List(flags) => list::run(&flags),
        Command::Show(arguments) => show::run(&arguments)?,
        Command::Check(arguments) => return trial::run(&arguments),
        Command::Schema => schema::run()?,
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
    let policies: String =
        loaded.policies().iter().map(|found| format!("; by the policy of {}", found.place)).collect();
    output::say(format_args!("ok: {}{policies}", summary(&loaded.config)));
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
