//! Services by the service control manager and the task scheduler.

mod directory;
mod events;
mod machine;
mod orders;
mod user;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{
    Definition, Done, Leavings, Manner, Running, Scope, Service, ServiceError, Status, patience, rights, task,
};

pub(super) use directory::{prepare, remove_directory, run_of_machine};
pub(super) use orders::listen_unseen;

pub(super) fn default_scope() -> Scope {
    if machine::may_install() { Scope::System } else { Scope::User }
}

pub(super) fn definition(service: &Service, manner: Manner) -> Result<String, ServiceError> {
    check(manner)?;
    match service.scope {
        Scope::System => Ok(machine::definition(service)),
        Scope::User => user::definition(service),
    }
}

pub(super) fn install(service: &Service, manner: Manner) -> Result<Done, ServiceError> {
    check(manner)?;
    match service.scope {
        Scope::System => machine::install(service, manner),
        Scope::User => user::install(service, manner),
    }
}

pub(super) fn uninstall(scope: Scope, leavings: &Leavings) -> Result<Done, ServiceError> {
    match scope {
        Scope::System => machine::uninstall(leavings),
        Scope::User => user::uninstall(leavings),
    }
}

pub(super) fn start(scope: Scope) -> Result<Done, ServiceError> {
    match scope {
        Scope::System => machine::start(),
        Scope::User => user::start(),
    }
}

pub(super) fn resume(scope: Scope, program: &Path) -> Result<Option<Done>, ServiceError> {
    match scope {
        Scope::System => machine::resume(program),
        Scope::User => user::resume(),
    }
}

pub(super) fn stop(scope: Scope) -> Result<Done, ServiceError> {
    match scope {
        Scope::System => machine::stop(),
        Scope::User => user::stop(),
    }
}

pub(super) fn status(scope: Scope) -> Result<Status, ServiceError> {
    match scope {
        Scope::System => machine::status(),
        Scope::User => user::status(),
    }
}

pub(super) fn state_of_machine() -> Option<PathBuf> {
    Some(directory::state())
}

fn check(manner: Manner) -> Result<(), ServiceError> {
    match manner.sockets {
        true => Err(ServiceError::refused("Windows does not listen for a service", "leave --sockets out")),
        false => Ok(()),
    }
}

/// Whoever may change the program would decide what is run.
fn check_program(program: &Path) -> Result<(), ServiceError> {
    let cause = |cause| ServiceError::File { verb: "look at", path: program.into(), cause };
    match rights::strangers_by(program).map_err(cause)? {
        strangers if strangers.is_empty() => Ok(()),
        strangers => Err(ServiceError::refused(
            format!("others may change {} or a directory that it is in ({})", program.display(), strangers.join(", ")),
            r"have the programs where nobody else may write, such as C:\Program Files\hallpass, and install the service from there",
        )),
    }
}

/// What cannot be written as text is no path of an installed program, and no flag of ours.
fn texts(words: &[OsString]) -> Vec<String> {
    words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}
