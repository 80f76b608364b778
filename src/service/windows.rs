//! Services by the service control manager and the task scheduler.

use super::{Done, Leavings, Manner, Scope, Service, ServiceError, Status};

pub(super) fn default_scope() -> Scope {
    Scope::User
}

pub(super) fn definition(_: &Service, _: Manner) -> Result<String, ServiceError> {
    Err(missing())
}

pub(super) fn install(_: &Service, _: Manner) -> Result<Done, ServiceError> {
    Err(missing())
}

pub(super) fn uninstall(_: Scope, _: &Leavings) -> Result<Done, ServiceError> {
    Err(missing())
}

pub(super) fn start(_: Scope) -> Result<Done, ServiceError> {
    Err(missing())
}

pub(super) fn stop(_: Scope) -> Result<Done, ServiceError> {
    Err(missing())
}

pub(super) fn status(_: Scope) -> Result<Status, ServiceError> {
    Err(missing())
}

fn missing() -> ServiceError {
    ServiceError::refused("this version installs no services here", "have hallpass serve started when you log in")
}
