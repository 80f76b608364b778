//! `hallpass config init`: looks around, asks what it cannot find, tries it, and writes a configuration file.

pub(super) mod attempt;
mod closing;
mod dialog;
mod draft;
pub(super) mod found;
mod words;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use tokio::runtime::Runtime;

use super::place;
use crate::address::{AddressError, Target};
use crate::cli::flags::Flags;
use crate::cli::login::start_afresh;
use crate::cli::output;
use crate::config::Environment;
use crate::credential::store;
use crate::process;
use dialog::{Dialog, Keep, Settled};

/// What a trial found out about a secret is written down a little later.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where nothing else is named: what most people want the proxy for.
pub(super) const TRY_TARGET: &str = "api.anthropic.com:443";

#[derive(Debug, Args)]
pub struct Init {
    #[command(flatten)]
    flags: Flags,
    /// Replace a file that is there already; what it held stays beside it.
    #[arg(long)]
    force: bool,
    /// Write what the flags and the answers say without trying it.
    #[arg(long)]
    no_try: bool,
    /// The tunnel by which it is tried.
    #[arg(long, value_name = "HOST:PORT", default_value = TRY_TARGET, value_parser = target)]
    try_target: Target,
    /// Read the password from stdin, one line, and never ask.
    #[arg(long)]
    password_stdin: bool,
    /// Write every key with its default, commented out; nothing is looked for, asked or tried.
    #[arg(long)]
    template: bool,
}

pub(super) fn target(text: &str) -> Result<Target, AddressError> {
    Target::parse(text, Some(443))
}

pub fn run(arguments: &Init) -> anyhow::Result<ExitCode> {
    process::leave_no_core();
    let path = place::destination(arguments.flags.config.as_ref())?;
    let runtime = Runtime::new().context("cannot start the runtime")?;
    let done = set_up(arguments, &path, &runtime);
    match &done {
        Ok(_) => runtime.shutdown_timeout(LAST_WORDS),
        // A line that is still waited for must not hold up the end.
        Err(_) => runtime.shutdown_background(),
    }
    done
}

fn set_up(arguments: &Init, path: &Path, runtime: &Runtime) -> anyhow::Result<ExitCode> {
    let mut dialog = Dialog::new(arguments, runtime);
    if path.exists() && !arguments.force && !dialog.may_replace(path)? {
        return Err(anyhow!("{} is there already; --force replaces it", path.display()));
    }
    if arguments.template {
        place::written(path, place::TEMPLATE)?;
        return Ok(ExitCode::SUCCESS);
    }
    let settled = dialog.settle()?;
    let before = closing::running(&arguments.flags, runtime);
    let stored = keep(&settled);
    place::written(path, &place::text(&settled.loaded))?;
    let (next, relay) = closing::next_step(&arguments.flags, path, before.as_ref(), runtime);
    output::say(next);
    closing::paste(&settled.loaded.config, relay, &Environment::of_process());
    stored.map(|()| ExitCode::SUCCESS)
}

/// The file is of use without it: there are other places for a password.
fn keep(settled: &Settled) -> anyhow::Result<()> {
    let Keep::Store { user, password } = &settled.keep else { return Ok(()) };
    let account = user.to_string();
    let kept = store::write(&account, password).with_context(|| format!("the password of {account} is not stored"))?;
    for why in &kept.instead {
        output::complain(why);
    }
    let until = kept.until.map(|until| format!(", {until}")).unwrap_or_default();
    output::say(format_args!("# the password of {account} is stored in {}{until}", kept.place));
    start_afresh(&settled.loaded);
    Ok(())
}
