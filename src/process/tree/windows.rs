//! A program and what it starts, as one job object: whoever is born in it stays, however long its parents have ended.

use std::env;
use std::ffi::{OsStr, c_void};
use std::io;
use std::mem::size_of;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::os::windows::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_BREAKAWAY_OK, JOBOBJECT_BASIC_ACCOUNTING_INFORMATION,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicAccountingInformation, JobObjectExtendedLimitInformation,
    QueryInformationJobObject, SetInformationJobObject,
};
use windows_sys::Win32::System::Threading::{DETACHED_PROCESS, GetCurrentProcess};

use super::{Ending, Event};

/// How often it is looked who is left: the messages of a job may be lost.
const LOOK: Duration = Duration::from_millis(50);

/// We are in the job too.
const OURSELVES: u32 = 1;

/// What may be left out of a program's name, where nobody says otherwise.
const USUAL_ENDINGS: &str = ".COM;.EXE;.BAT;.CMD";

/// Somebody has typed Ctrl-C.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Codes of Windows have 32 bits, and Rust's [`ExitCode`] eight.
#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "the only way to end with a code beyond 255, at the very end"
)]
pub fn exit_code(ending: Ending) -> ExitCode {
    let code = match ending {
        Ending::Code(code) => code,
        Ending::Signal(_) => 1,
    };
    match u8::try_from(code) {
        Ok(code) => ExitCode::from(code),
        Err(_) => std::process::exit(code.cast_signed()),
    }
}

pub fn set_apart(command: &mut Command) {
    command.creation_flags(DETACHED_PROCESS);
}

#[derive(Debug)]
pub struct Tree {
    ended: Receiver<io::Result<Ending>>,
    stage: Stage,
    /// `None`: nobody waits for more than the program.
    job: Option<Job>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    LeftBehind,
    Empty,
}

impl Tree {
    pub fn start(command: &mut Command, whole: bool) -> io::Result<Self> {
        let job = whole.then(Job::join).transpose()?;
        hear_ctrl_c()?;
        let mut child = spawn(command)?;
        let (say, ended) = channel();
        thread::spawn(move || say.send(end_of(&mut child)));
        Ok(Self { ended, stage: Stage::Running, job })
    }

    pub fn next(&mut self, patience: Option<Duration>) -> io::Result<Option<Event>> {
        if self.stage == Stage::Running {
            return self.end_of_program(patience);
        }
        let until = patience.and_then(|patience| Instant::now().checked_add(patience));
        loop {
            if INTERRUPTED.swap(false, Ordering::Relaxed) {
                return Ok(Some(Event::Interrupted));
            }
            if self.stage == Stage::LeftBehind && self.count()? <= OURSELVES {
                self.stage = Stage::Empty;
                return Ok(Some(Event::Empty));
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
    }

    fn end_of_program(&mut self, patience: Option<Duration>) -> io::Result<Option<Event>> {
        let ended = match patience {
            None => self.ended.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(patience) => self.ended.recv_timeout(patience),
        };
        match ended {
            Ok(ending) => {
                self.stage = Stage::LeftBehind;
                // What was typed till now was meant for the program.
                INTERRUPTED.store(false, Ordering::Relaxed);
                ending.map(|ending| Some(Event::Ended(ending)))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("nobody waits for the program")),
        }
    }

    fn count(&self) -> io::Result<u32> {
        self.job.as_ref().map_or(Ok(OURSELVES), Job::count)
    }

    /// A job tells how many they are.
    pub fn left_behind(&self) -> Vec<String> {
        match self.count().unwrap_or(OURSELVES).saturating_sub(OURSELVES) {
            0 => Vec::new(),
            1 => vec!["a process".into()],
            count => vec![format!("{count} processes")],
        }
    }
}

fn end_of(child: &mut Child) -> io::Result<Ending> {
    let status = child.wait()?;
    Ok(Ending::Code(status.code().unwrap_or(1).cast_unsigned()))
}

#[derive(Debug)]
struct Job(OwnedHandle);

impl Job {
    /// Whom we start from now on is born in it; who asks to be born outside may.
    #[expect(unsafe_code, reason = "the system's calls for job objects")]
    fn join() -> io::Result<Self> {
        // SAFETY: null pointers ask for a job without a name and with the usual access.
        let handle = unsafe { CreateJobObjectW(ptr::null(), ptr::null()) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle is fresh and ours alone.
        let job = Self(unsafe { OwnedHandle::from_raw_handle(handle) });
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_BREAKAWAY_OK;
        let size = u32::try_from(size_of::<JOBOBJECT_EXTENDED_LIMIT_INFORMATION>()).unwrap_or_default();
        let place = ptr::from_ref(&limits).cast::<c_void>();
        // SAFETY: `place` is a structure of the kind that is named, of that size, which lives longer than the call.
        check(unsafe { SetInformationJobObject(handle, JobObjectExtendedLimitInformation, place, size) })?;
        // SAFETY: both handles are valid; that of the process is a constant.
        check(unsafe { AssignProcessToJobObject(handle, GetCurrentProcess()) })?;
        Ok(job)
    }

    #[expect(unsafe_code, reason = "the system's calls for job objects")]
    fn count(&self) -> io::Result<u32> {
        let mut found = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
        let size = u32::try_from(size_of::<JOBOBJECT_BASIC_ACCOUNTING_INFORMATION>()).unwrap_or_default();
        let place = ptr::from_mut(&mut found).cast::<c_void>();
        let handle = self.0.as_raw_handle();
        // SAFETY: `place` is room for a structure of the kind that is named, of that size.
        let asked = unsafe {
            QueryInformationJobObject(handle, JobObjectBasicAccountingInformation, place, size, ptr::null_mut())
        };
        check(asked).map(|()| found.ActiveProcesses)
    }
}

fn check(done: i32) -> io::Result<()> {
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The console tells all its processes: the program hears it by itself, and we must not end of it. To have it ignored
/// would be inherited by the program.
#[expect(unsafe_code, reason = "the system's call for what is typed")]
fn hear_ctrl_c() -> io::Result<()> {
    // SAFETY: the function lives as long as the process, and touches an atomic alone.
    check(unsafe { SetConsoleCtrlHandler(Some(typed), 1) })
}

#[expect(unsafe_code, reason = "the signature that the system calls")]
unsafe extern "system" fn typed(what: u32) -> i32 {
    let ours = what == CTRL_C_EVENT || what == CTRL_BREAK_EVENT;
    if ours {
        INTERRUPTED.store(true, Ordering::Relaxed);
    }
    i32::from(ours)
}

/// A name without its ending may be a script, such as `npm.cmd`, which only a shell would find.
fn spawn(command: &mut Command) -> io::Result<Child> {
    match command.spawn() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let path = env::var_os("PATH").unwrap_or_default();
            let endings = env::var("PATHEXT").unwrap_or_else(|_| USUAL_ENDINGS.into());
            let found = with_ending(command.get_program(), &path, &endings, Path::is_file);
            found.map_or(Err(error), |found| again(command, &found))
        }
        other => other,
    }
}

fn with_ending(name: &OsStr, path: &OsStr, endings: &str, is_there: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let name = Path::new(name);
    let directories: Vec<PathBuf> = match name.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => vec![parent.into()],
        Some(_) | None => env::split_paths(path).collect(),
    };
    let bare = name.file_name()?;
    let candidates = directories.iter().flat_map(|directory| {
        endings.split(';').filter(|ending| !ending.is_empty()).map(move |ending| {
            let mut file = bare.to_os_string();
            file.push(ending.to_ascii_lowercase());
            directory.join(file)
        })
    });
    candidates.into_iter().find(|candidate| is_there(candidate))
}

/// The standard library quotes for cmd.exe where the file is a script of it.
fn again(command: &Command, program: &Path) -> io::Result<Child> {
    let mut other = Command::new(program);
    other.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        other.current_dir(directory);
    }
    other.spawn()
}
