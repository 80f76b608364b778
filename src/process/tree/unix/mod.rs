//! Life and end of a program by the rules of job control: one process group with us, one terminal, one exit code.

mod signals;
mod terminal;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
mod kin;

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, getpid, kill_process, waitid};

use super::{Ending, Event};
use kin::Kin;
use signals::{Heard, Signals};

/// What shells add to the number of a signal.
const BY_SIGNAL: i32 = 128;

/// Whoever continues a whole process group continues us and the program one after the other.
const CONTINUED_TOGETHER: Duration = Duration::from_millis(20);

pub fn exit_code(ending: Ending) -> ExitCode {
    let code = match ending {
        Ending::Code(code) => i32::try_from(code).unwrap_or(i32::MAX),
        Ending::Signal(number) => BY_SIGNAL + number,
    };
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

pub fn set_apart(command: &mut Command) {
    command.process_group(0);
}

#[derive(Debug)]
pub struct Tree {
    program: Pid,
    stage: Stage,
    signals: Signals,
    /// `None`: nobody waits for more than the program.
    kin: Option<Kin>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// The program has ended.
    LeftBehind,
    Empty,
}

impl Tree {
    pub fn start(command: &mut Command, whole: bool) -> io::Result<Self> {
        let kin = whole.then(Kin::gather).transpose()?;
        let signals = Signals::listen()?;
        let program = spawn(command)?;
        Ok(Self { program, stage: Stage::Running, signals, kin })
    }

    pub fn next(&mut self, patience: Option<Duration>) -> io::Result<Option<Event>> {
        let until = patience.and_then(|patience| Instant::now().checked_add(patience));
        loop {
            if let Some(event) = self.look()? {
                return Ok(Some(event));
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match self.signals.next(left)? {
                None => return Ok(None),
                Some(Heard { number, .. }) if number == Signal::CHILD.as_raw() => {
                    if self.stage == Stage::Empty {
                        return Ok(None);
                    }
                }
                Some(heard) => match self.stage {
                    // By a process it is for us as we are, as ever; the program may have heard it, too.
                    _ if heard.stops() && !heard.is_typed() => kill_process(getpid(), Signal::STOP)?,
                    Stage::Running => self.pass_on(heard),
                    Stage::LeftBehind | Stage::Empty if heard.ends() => return Ok(Some(Event::Interrupted)),
                    // No program decides it for us any more.
                    Stage::LeftBehind | Stage::Empty if heard.stops() => {
                        let _nobody_could_continue_us = stop();
                    }
                    Stage::LeftBehind | Stage::Empty => {}
                },
            }
        }
    }

    pub fn left_behind(&self) -> Vec<String> {
        self.kin.as_ref().map(|kin| kin.living(self.living_program())).unwrap_or_default()
    }

    fn living_program(&self) -> Option<Pid> {
        (self.stage == Stage::Running).then_some(self.program)
    }

    /// Whether anything has changed that the kernel tells only on asking.
    fn look(&mut self) -> io::Result<Option<Event>> {
        // Those that ended are taken leave of, whoever's they were once: somebody may wait for their numbers to go.
        let nobody = self.kin.as_ref().is_none_or(|kin| kin.living(self.living_program()).is_empty());
        match self.stage {
            Stage::Running => {
                let ended = self.ended()?;
                if ended.is_some() {
                    self.stage = Stage::LeftBehind;
                    self.signals.forget_typed()?;
                }
                Ok(ended.map(Event::Ended))
            }
            Stage::LeftBehind if nobody => {
                self.stage = Stage::Empty;
                Ok(Some(Event::Empty))
            }
            Stage::LeftBehind | Stage::Empty => Ok(None),
        }
    }

    fn ended(&self) -> io::Result<Option<Ending>> {
        while let Some(status) = self.status(WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT)? {
            if !status.stopped() {
                let _taken = self.status(WaitIdOptions::EXITED)?;
                return Ok(ending(&status));
            }
            sleep(CONTINUED_TOGETHER);
            if self.status(WaitIdOptions::STOPPED)?.is_some() {
                self.stop_too()?;
            }
        }
        Ok(None)
    }

    fn status(&self, wanted: WaitIdOptions) -> io::Result<Option<WaitIdStatus>> {
        loop {
            match waitid(WaitId::Pid(self.program), wanted | WaitIdOptions::NOHANG) {
                Err(rustix::io::Errno::INTR) => {}
                // It has ended meanwhile, and whoever has ended never stops.
                Err(rustix::io::Errno::CHILD) if !wanted.contains(WaitIdOptions::EXITED) => return Ok(None),
                other => return Ok(other?),
            }
        }
    }

    /// After the program and not before: one that makes the terminal ready for the shell takes a moment, and one that
    /// does not stop for Ctrl-Z keeps it. If we did not, the shell would wait for us at a terminal that nobody reads.
    fn stop_too(&self) -> io::Result<()> {
        if stop() {
            // Here we go on, and whoever continued us may not know of the program. To continue it once more would take back
            // the next Ctrl-Z, which may be on its way; and one that has stopped anew by now stays as its user wants it.
            let has_gone_on = self.status(WaitIdOptions::CONTINUED)?.is_some();
            if !has_gone_on && self.status(WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT)?.is_none() {
                let _it_may_have_ended = kill_process(self.program, Signal::CONT);
            }
        }
        Ok(())
    }

    /// What was typed has reached the program by itself.
    fn pass_on(&self, heard: Heard) {
        if heard.is_typed() {
            return;
        }
        if let Some(signal) = Signal::from_named_raw(heard.number) {
            let _it_may_have_ended = kill_process(self.program, signal);
        }
    }
}

/// Whether we were stopped, and are continued.
fn stop() -> bool {
    terminal::is_ours_by_a_shell() && kill_process(getpid(), Signal::STOP).is_ok()
}

fn ending(status: &WaitIdStatus) -> Option<Ending> {
    let by_itself = status.exit_status().and_then(|code| u32::try_from(code).ok()).map(Ending::Code);
    by_itself.or_else(|| status.terminating_signal().map(Ending::Signal))
}

/// What is no binary and names no interpreter is a script of the shell, as execvp(3) has it.
fn spawn(command: &mut Command) -> io::Result<Pid> {
    let child = match command.spawn() {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => by_shell(command)?,
        other => other?,
    };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("the system gave it no number"))
}

fn by_shell(command: &Command) -> io::Result<std::process::Child> {
    let mut shell = Command::new("/bin/sh");
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        shell.current_dir(directory);
    }
    shell.spawn()
}
