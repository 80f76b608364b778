//! `hallpass config check --try`: one log-in at the proxy, for whoever rolls a password out to many.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tokio::runtime::Runtime;

use super::init::attempt::{Account, Outcome, judge};
use super::init::{LAST_WORDS, TRY_TARGET, target};
use crate::address::Target;
use crate::cli::flags::Flags;
use crate::cli::output;
use crate::config::{self, Config, Loaded};
use crate::daemon;
use crate::process::leave_no_core;

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    flags: Flags,
    /// Make one tunnel to this target, with one log-in at most, and say whether the proxy took it: 0 yes, 1 no.
    #[arg(long = "try", value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = TRY_TARGET, value_parser = target)]
    tried: Option<Target>,
}

pub fn run(arguments: &Check) -> anyhow::Result<ExitCode> {
    let loaded = config::load(&arguments.flags.inputs())?;
    super::check(&loaded);
    match &arguments.tried {
        Some(target) => try_once(&loaded, target),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn try_once(loaded: &Loaded, target: &Target) -> anyhow::Result<ExitCode> {
    leave_no_core();
    let runtime = Runtime::new().context("cannot start the runtime")?;
    let account = account(&loaded.config);
    let tried = runtime.block_on(async {
        let proxy = daemon::survey_for_trial(&loaded.config).await?;
        anyhow::Ok(daemon::try_out(&proxy, target).await)
    });
    // What is being resolved or asked for in vain must not hold up the end.
    runtime.shutdown_timeout(LAST_WORDS);
    let (outcome, said) = judge(&tried?, target, &account);
    match shows_that_it_works(&outcome) {
        true => output::say(said),
        false => output::complain(said),
    }
    Ok(ExitCode::from(u8::from(!shows_that_it_works(&outcome))))
}

/// An account that was not looked at is as good as none: nobody should roll it out for that.
fn shows_that_it_works(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Works { .. } | Outcome::Forbidden { scheme: Some(_) } => true,
        Outcome::Forbidden { scheme: None }
        | Outcome::Direct
        | Outcome::WantsAccount
        | Outcome::WantsBasic
        | Outcome::Locked
        | Outcome::WrongPassword
        | Outcome::OutOfReach => false,
    }
}

fn account(config: &Config) -> Account {
    let users = config.credentials.iter().filter_map(|credential| credential.user.as_ref());
    let users: Vec<String> = users.map(ToString::to_string).collect();
    match users.as_slice() {
        [] => Account::Nobody,
        some => Account::Known(some.join(" or ")),
    }
}
