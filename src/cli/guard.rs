//! Settings of the system that were changed for a while are put back: by `hallpass guard`, which waits for the end of a
//! process, at the next log-in, and by whatever else of hallpass starts.

use std::any::Any;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::output;
use crate::config::{Environment, state_directory};
use crate::process::{Signals, apart, identity};
use crate::state::State;
use crate::system_proxy::change::{self, Autostart, Change, ChangeError, JOURNAL, Key, Outcome, Owner, Store};

/// What the guard prints once nothing but the end of its parent can end it.
pub const READY: &str = "ready";

/// Without an owner: what the dead have left is put back, and that is all.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where the journal is.
    directory: PathBuf,
    /// The process whose end is waited for: that of standard input.
    #[arg(long, value_name = "JSON")]
    owner: Option<String>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let desk = Desk::new(&arguments.directory);
    let Some(owner) = &arguments.owner else {
        tell(desk.change(|change| change.leave(None))?);
        return Ok(ExitCode::SUCCESS);
    };
    let owner: Owner = serde_json::from_str(owner).context("this is no owner")?;
    wait_for_end()?;
    tell(desk.change(|change| change.leave(Some(&owner)))?);
    Ok(ExitCode::SUCCESS)
}

/// Who sends us a signal means somebody else, such as all of a session that ends: our parent hears it too.
fn wait_for_end() -> anyhow::Result<()> {
    apart::settle().context("cannot leave the terminal")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let _entered = runtime.enter();
    let _heard_and_passed_over = Signals::listen().context("cannot listen for signals")?;
    output::say(READY);
    let _its_end_however_it_comes = io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}

/// Before any other command: what the dead have left is put back, and said. What it costs when there is nothing is to
/// look for one file.
pub fn put_back_what_is_left() {
    let environment = Environment::of_process();
    let Some(directory) = state_directory(&|name| environment.get(name).map(str::to_owned)) else { return };
    let desk = Desk::new(&directory);
    match desk.change(|change| if change.is_left_behind() { change.leave(None) } else { Ok(Outcome::Nothing) }) {
        Ok(outcome) => tell(outcome),
        Err(error) => output::complain(format_args!(
            "hallpass: what an earlier hallpass run --system changed is not put back yet: {:#}",
            anyhow::Error::from(error)
        )),
    }
}

fn tell(outcome: Outcome) {
    let Outcome::Restored { source, left } = outcome else { return };
    output::complain(format_args!(
        "hallpass: {source} are as before hallpass run --system, which was ended by force{}",
        but_for(&left)
    ));
}

/// What somebody else has changed meanwhile, to be added to a sentence.
pub fn but_for(left: &[Key]) -> String {
    let names: Vec<String> = left.iter().map(ToString::to_string).collect();
    match names.as_slice() {
        [] => String::new(),
        some => format!("; {} stays as somebody else has set it since", some.join(", ")),
    }
}

/// Everything that a change needs, for one state directory.
pub struct Desk {
    directory: PathBuf,
    store: Record,
}

impl Desk {
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.into(), store: Record(State::at(Some(directory.into()))) }
    }

    pub fn change<T>(&self, act: impl FnOnce(&Change) -> Result<T, ChangeError>) -> Result<T, ChangeError> {
        let environment = Environment::of_process();
        let variable = |name: &str| environment.get(name).map(str::to_owned);
        let autostart = self.autostart(&variable);
        act(&Change {
            store: &self.store,
            autostart: autostart.as_deref(),
            settings: &|desktop| change::of(desktop, &variable),
            is_alive: &|owner| identity::is_alive(owner.pid, &owner.started),
        })
    }

    fn autostart(&self, variable: &dyn Fn(&str) -> Option<String>) -> Option<Box<dyn Autostart>> {
        let program = std::env::current_exe().ok()?;
        let command = [program.into_os_string(), OsString::from("guard"), self.directory.clone().into_os_string()];
        change::autostart(&command, variable)
    }
}

/// The journal among the files that outlive the process.
struct Record(State);

impl Store for Record {
    fn lock(&self) -> io::Result<Box<dyn Any>> {
        Ok(Box::new(self.0.lock(JOURNAL)?))
    }

    fn read(&self) -> Option<Vec<u8>> {
        self.0.read(JOURNAL)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.write(JOURNAL, bytes)
    }

    fn remove(&self) -> io::Result<()> {
        self.0.remove(JOURNAL)
    }
}
