//! hallpass as a service of this machine or of one user: installed, started, stopped, asked how it is, removed.
//!
//! Each system has its own manager of services behind the same functions. What is done is told in words, a line for
//! each step, and what cannot be done says what to do instead.

#[cfg(any(target_os = "macos", all(test, unix)))]
mod agents;
#[cfg(any(target_os = "macos", all(test, unix)))]
mod launchctl;
#[cfg(any(windows, test))]
mod patience;
#[cfg(any(target_os = "macos", test))]
mod plist;
#[cfg(any(unix, test))]
mod signed;
#[cfg(any(target_os = "linux", test))]
mod unit;
#[cfg(unix)]
mod unix;

#[cfg_attr(target_os = "linux", path = "linux/mod.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows/mod.rs")]
mod imp;

#[cfg(not(windows))]
#[path = "other.rs"]
mod unseen;
#[cfg(windows)]
use imp as unseen;

pub mod rights;
pub mod task;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

/// For whom the service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The one who is logged in: it runs in that person's name, from log-in to log-out.
    User,
    /// The machine: it runs from its start under an account of its own.
    System,
}

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct Service {
    pub scope: Scope,
    /// Our own executable.
    pub program: PathBuf,
    /// What follows `hallpass serve`.
    pub arguments: Vec<OsString>,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// The service's manager must have more patience than this with the end of it.
    pub grace: Duration,
}

/// How to install it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// Also where the same name belongs to somebody else, or was changed by hand.
    pub replace: bool,
    /// Starts when the machine or the session starts, and not now.
    pub only_enable: bool,
    /// The manager listens from the start, and hands its sockets to the relay.
    pub sockets: bool,
}

/// What the relay keeps, which outlives its removal unless somebody says otherwise.
#[derive(Debug, Clone, Default)]
pub struct Leavings {
    /// The user's; that of the machine's service is known here.
    pub state_directory: Option<PathBuf>,
    pub purge: bool,
}

/// Line by line what was done.
pub type Done = Vec<String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// As the manager calls it.
    pub name: String,
    /// The file, key or task that defines it; `None`: not installed.
    pub definition: Option<Definition>,
    /// Starts by itself.
    pub enabled: bool,
    pub running: Option<Running>,
    /// What the manager says beyond that, such as how the last run ended.
    pub remarks: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub place: String,
    /// Ours as we write it, or of somebody else: a package, an administrator.
    pub is_ours: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    pub pid: Option<u32>,
    /// As the manager writes it.
    pub since: Option<String>,
    /// What the relay told its manager of itself.
    pub says: Option<String>,
}

#[derive(Debug, Error)]
pub enum ServiceError {
    /// Says what to do instead.
    #[error("{what}: {hint}")]
    Refused { what: String, hint: String },
    #[error("cannot run {program}")]
    Start {
        program: String,
        #[source]
        cause: io::Error,
    },
    /// With the last words of the manager.
    #[error("{command} failed: {said}")]
    Failed { command: String, said: String },
    #[error("it is installed and does not run: {said}")]
    NotRunning { said: String },
    #[error("cannot {verb} {}", path.display())]
    File {
        verb: &'static str,
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
}

impl ServiceError {
    fn refused(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), hint: hint.into() }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::System => "system",
        })
    }
}

/// The machine's for whoever may install one, else the user's own.
pub fn default_scope() -> Scope {
    imp::default_scope()
}

/// What would be installed, as text; nothing is changed.
pub fn definition(service: &Service, manner: Manner) -> Result<String, ServiceError> {
    imp::definition(service, manner)
}

/// Makes the directory of the machine's configuration for administrators alone, and what an installer brings is the
/// configuration where there is none.
pub fn prepare(configuration: Option<&Path>) -> Result<Done, ServiceError> {
    unseen::prepare(configuration)
}

/// Removes the directory of the machine's configuration, with what the service has kept there.
pub fn remove_directory() -> Result<Done, ServiceError> {
    unseen::remove_directory()
}

/// Has what an installer has stopped go on as somebody has made it; `program` takes the place of one that is gone. What
/// cannot be started is told, and is no mistake of the installation. `None`: there is nothing of ours.
pub fn resume(scope: Scope, program: &Path) -> Result<Option<Done>, ServiceError> {
    unseen::resume(scope, program)
}

/// Where the machine's relay says that it listens, if nobody else can have written there. Elsewhere than on Windows
/// variables tell.
pub fn run_of_machine() -> Option<PathBuf> {
    unseen::run_of_machine()
}

/// Has this process end when this user's relay without a console is to end, and tells whoever starts one when it is ready.
/// False: another one runs already.
pub fn listen_unseen() -> io::Result<bool> {
    unseen::listen_unseen()
}

/// Twice is as good as once; another definition of ours takes the place of the former one.
pub fn install(service: &Service, manner: Manner) -> Result<Done, ServiceError> {
    imp::install(service, manner)
}

/// Stops it first. What was not there is no mistake.
pub fn uninstall(scope: Scope, leavings: &Leavings) -> Result<Done, ServiceError> {
    imp::uninstall(scope, leavings)
}

/// Returns when it is ready.
pub fn start(scope: Scope) -> Result<Done, ServiceError> {
    imp::start(scope)
}

/// Returns when it has ended.
pub fn stop(scope: Scope) -> Result<Done, ServiceError> {
    imp::stop(scope)
}

pub fn status(scope: Scope) -> Result<Status, ServiceError> {
    imp::status(scope)
}

/// Where the machine's service keeps what outlives it, if it has run here.
pub fn state_of_machine() -> Option<PathBuf> {
    imp::state_of_machine().filter(|directory| directory.is_dir())
}
