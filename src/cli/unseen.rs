//! The relay where nobody looks: hallpassw, which a log-in starts, and the service that Windows starts. What it has to say
//! goes to a file beside what it keeps; what is wrong with a service is in the event log, too.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::{fs, io};

use clap::Parser;
use jiff::Timestamp;

use super::flags::Flags;
use super::serve::{self, Flushed};
use super::{EXIT_FAILED, EXIT_MISTAKE, exit_code};
use crate::config::{Environment, Mistakes, state_directory};
use crate::process::control;
use crate::service;
use crate::sink::{Lines, Rotation, Severity, Sink, SystemLog, severity};
use crate::trace::Keep;

const FILE: &str = "hallpass.log";
/// Bytes of the file before the next one is begun.
const MAX_SIZE: u64 = 4 * 1024 * 1024;
/// Former files that are kept.
const KEPT: usize = 3;

/// The relay of hallpass without a window.
#[derive(Debug, Parser)]
#[command(name = "hallpassw", version)]
struct Program {
    #[command(flatten)]
    flags: Flags,
}

/// hallpassw with its arguments.
pub fn run_program() -> ExitCode {
    let log = Unseen::open(Faults::InFile);
    ExitCode::from(match Program::try_parse() {
        Ok(program) => log.listen_and_run(&program.flags),
        Err(usage) => log.end(EXIT_MISTAKE, &usage.render().to_string()),
    })
}

/// The service, called by the service control manager: its exit code is told there.
pub fn run_service(flags: &Flags) -> io::Result<()> {
    let flags = flags.clone();
    control::obey(Box::new(move || Unseen::open(Faults::InSystemLog).run(&flags)))
}

/// Where faults are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Faults {
    InFile,
    InSystemLog,
}

struct Unseen {
    lines: Arc<Lines>,
    faults: Arc<Lines>,
    _flushed: [Flushed; 2],
}

impl Unseen {
    /// Without a file all goes to the system's log, whoever we are: it must not be lost.
    fn open(faults: Faults) -> Self {
        let lines = Arc::new(Lines::new("lines of the log"));
        let events = Arc::new(Lines::new("events"));
        let file = file().map(|path| Sink::File(Rotation { path, max_size: MAX_SIZE, max_age: None, keep: KEPT }));
        let opened = file.and_then(|file| lines.prepare(&file));
        let system = if SystemLog::EventLog.is_here() { Sink::System(SystemLog::EventLog) } else { Sink::Stderr };
        let no_file = opened.is_err();
        if let Ok(prepared) = opened.or_else(|_| lines.prepare(&system)) {
            lines.switch(prepared);
        }
        if faults == Faults::InSystemLog
            && !no_file
            && let Ok(prepared) = events.prepare(&system)
        {
            events.switch(prepared);
        }
        Self { _flushed: [Flushed(lines.clone()), Flushed(events.clone())], lines, faults: events }
    }

    fn keep(&self) -> Keep {
        let (lines, faults) = (self.lines.clone(), self.faults.clone());
        Arc::new(move |line| {
            if severity(&line) > Severity::Information {
                faults.push(&line);
            }
            lines.push(&line);
        })
    }

    fn listen_and_run(self, flags: &Flags) -> u8 {
        match service::listen_unseen() {
            Ok(true) => self.run(flags),
            // Who starts it twice, by a task and by the machine's entry, wants it once.
            Ok(false) => {
                self.tell("INFO", "another hallpassw of this session runs already");
                0
            }
            Err(error) => self.end(EXIT_FAILED, &format!("cannot listen for the order to end: {error}")),
        }
    }

    /// The exit code.
    fn run(self, flags: &Flags) -> u8 {
        match serve::run_into(flags, &self.lines, self.keep()) {
            Ok(()) => 0,
            Err(error) if error.is::<Mistakes>() => self.end(exit_code(&error), &format!("{error}")),
            Err(error) => self.end(exit_code(&error), &format!("hallpass: {error:#}")),
        }
    }

    /// Tells why it ends.
    fn end(self, code: u8, why: &str) -> u8 {
        self.tell("ERROR", why);
        code
    }

    /// A line each, as the log would.
    fn tell(&self, level: &str, text: &str) {
        let keep = self.keep();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            keep(format!("{:.6} {level} {line}\n", Timestamp::now()));
        }
    }
}

/// In a directory that is there.
fn file() -> io::Result<PathBuf> {
    let environment = Environment::of_process();
    let directory = state_directory(&|name| environment.get(name).map(str::to_owned));
    let directory = directory.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    fs::create_dir_all(&directory)?;
    Ok(directory.join(FILE))
}
