//! `--system`: programs that ignore the variables go by the system's settings, which name the relay for a while.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, anyhow, bail};

use crate::cli::guard::{Desk, READY, but_for};
use crate::cli::output;
use crate::config::{Environment, state_directory};
use crate::process::{apart, identity};
use crate::system_proxy::change::{self, Outcome, Owner};

/// How our own variables begin, which a guard has no use for; some are secrets.
const OURS: &str = "HALLPASS_";

/// The system's settings name the relay, until this is dropped or our process ends in whatever way.
pub struct SystemProxy {
    desk: Desk,
    owner: Owner,
    /// Its input ends with us, and then it puts back what we have not.
    _guard: Guard,
}

impl SystemProxy {
    /// If this fails, nothing is changed.
    pub fn set(relay: SocketAddr) -> anyhow::Result<Self> {
        let environment = Environment::of_process();
        let variable = |name: &str| environment.get(name).map(str::to_owned);
        let directory = state_directory(&variable).context(
            "--system has no place to note what it changes: set XDG_STATE_HOME or HOME to a directory of yours",
        )?;
        // What is not possible is said before anything is started for it.
        let settings = change::in_use(&variable)?;
        let pid = std::process::id();
        let started = identity::started(pid).ok_or_else(|| anyhow!("the system does not say when we began"))?;
        let guard = Guard::start(&directory, Owner { pid, started: started.clone(), relay, guard: 0 })?;
        let owner = Owner { pid, started, relay, guard: guard.0.id() };
        let desk = Desk::new(&directory);
        let entered = desk
            .change(|change| change.enter(settings.as_ref(), owner.clone(), &variable))
            .context("--system changes nothing")?;
        if let Some(cause) = entered.no_autostart {
            output::complain(format_args!(
                "hallpass: after a loss of power the settings are put back when hallpass is started, not by itself: {cause}"
            ));
        }
        if let Some(relay) = entered.joined {
            output::complain(format_args!(
                "hallpass: the system's settings name {relay} for another hallpass run --system that still runs"
            ));
        }
        Ok(Self { desk, owner, _guard: guard })
    }
}

impl Drop for SystemProxy {
    fn drop(&mut self) {
        match self.desk.change(|change| change.leave(Some(&self.owner))) {
            Ok(Outcome::Restored { source, left }) if !left.is_empty() => {
                output::complain(format_args!("hallpass: {source} are as before{}", but_for(&left)));
            }
            Ok(Outcome::Nothing | Outcome::StillWanted | Outcome::Restored { .. }) => {}
            Err(error) => output::complain(format_args!(
                "hallpass: the system's settings are not put back yet, and will be when hallpass is next started: {:#}",
                anyhow::Error::from(error)
            )),
        }
    }
}

struct Guard(Child);

impl Guard {
    /// Returns once the guard cannot be ended by what ends us.
    fn start(directory: &Path, owner: Owner) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the guard cannot be started")?;
        let mut command = Command::new(program);
        command.arg("guard").arg(directory).arg("--owner").arg(serde_json::to_string(&owner)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(OURS)) {
            command.env_remove(name);
        }
        apart::prepare(&mut command);
        let mut child = command.spawn().context("the guard cannot be started")?;
        let mut said = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut said)?;
        }
        if said.trim() != READY {
            bail!("the guard, which puts the settings back should we be killed, does not start");
        }
        Ok(Self(child))
    }
}

impl Drop for Guard {
    /// It sees the end of its input, finds nothing left to do, and ends.
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _reaped = self.0.wait();
    }
}
