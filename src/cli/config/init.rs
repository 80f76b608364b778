//! `hallpass config init`: a configuration file from the flags.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;

use super::join;
use crate::cli::flags::Flags;
use crate::cli::output;
use crate::config::{self, Config, DEFAULT_LISTEN, Environment, Files, Inputs, Loaded, Origin, Value};
use crate::credential::Source;
use crate::daemon;
use crate::route::pac::named_hops;

/// Every key, commented out: what `init` writes.
pub(super) const TEMPLATE: &str = include_str!("../../../examples/hallpass.toml");

const PASSWORD_COMMENT: &str = "\
# hallpass login puts the password into the system's store; or set HALLPASS_PASSWORD, or write one of these below the user:
# password = \"${file:/run/secrets/proxy}\"
# password_command = [\"secret-tool\", \"lookup\", \"service\", \"proxy\"]
";

#[derive(Debug, Args)]
pub struct Init {
    #[command(flatten)]
    flags: Flags,
    /// Replace a file that is there already.
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Init) -> anyhow::Result<()> {
    let inputs = Inputs { files: Files::Nothing, environment: Environment::default(), flags: arguments.flags.layer() };
    let loaded = pinned(config::load(&inputs)?, inputs)?;
    let path = destination(arguments.flags.config.as_ref())?;
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

pub(super) fn destination(named: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    let variable = |name: &str| std::env::var(name).ok();
    let path = named.cloned().or_else(|| config::user_file(&variable));
    path.ok_or_else(|| anyhow!("there is no home directory to write to: name a file with --config"))
}

pub(super) fn write(path: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    if !force && path.exists() {
        return Err(anyhow!("{} is there already; --force replaces it", path.display()));
    }
    config::write_private(path, text, force).with_context(|| format!("cannot write {}", path.display()))
}

/// With a PAC script the script itself shows where the machine is; for upstreams that are always the same, profiles do.
pub(super) fn office_and_home(config: &Config) -> String {
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
