//! The service control manager, which calls us with its orders and is told how we are.

use std::ffi::OsString;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::{define_windows_service, service_dispatcher};

use super::super::signals::raise;
use super::super::{Signal, State};
use super::Relay;

/// A service of its own process need not be called by its name.
const NAME: &str = "hallpass";

/// To read the configuration and to listen takes a moment, on a machine that starts many.
const START: Duration = Duration::from_secs(30);

/// Until the relay itself has said how long its end may take.
const END: Duration = Duration::from_secs(10);

/// What the end takes beside the grace of tunnels.
const LAST_STEPS: Duration = Duration::from_secs(3);

static RELAY: Mutex<Option<Relay>> = Mutex::new(None);
static OBEYING: AtomicBool = AtomicBool::new(false);
/// The order to end has come: whatever becomes ready after it is not told.
static ENDING: AtomicBool = AtomicBool::new(false);
static MANAGER: OnceLock<ServiceStatusHandle> = OnceLock::new();
static ANNOUNCE: OnceLock<Announce> = OnceLock::new();
/// Rises with each report of something that takes its time.
static STEP: AtomicU32 = AtomicU32::new(0);

/// Called with what the relay would tell its manager.
type Announce = Box<dyn Fn(State) + Send + Sync>;

define_windows_service!(begin, serve);

pub(super) fn obey(relay: Relay) -> io::Result<()> {
    OBEYING.store(true, Ordering::Release);
    *RELAY.lock().unwrap_or_else(PoisonError::into_inner) = Some(relay);
    let obeyed = service_dispatcher::start(NAME, begin).map_err(cause);
    OBEYING.store(false, Ordering::Release);
    obeyed
}

pub(super) fn is_obeying() -> bool {
    OBEYING.load(Ordering::Acquire)
}

/// On the thread that the manager's part of this process has made for the service.
fn serve(_: Vec<OsString>) {
    let Some(relay) = RELAY.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    // Without a way to be told there is no service: the manager sees the process end.
    let Ok(manager) = service_control_handler::register(NAME, answer) else { return };
    let manager = MANAGER.get_or_init(|| manager);
    tell(manager, pending(ServiceState::StartPending, START));
    let code = match relay() {
        0 => ServiceExitCode::Win32(0),
        code => ServiceExitCode::ServiceSpecific(code.into()),
    };
    tell(manager, ServiceStatus { exit_code: code, ..steady(ServiceState::Stopped) });
}

/// Called at any time, and to return at once.
fn answer(order: ServiceControl) -> ServiceControlHandlerResult {
    if [ServiceControl::Stop, ServiceControl::Shutdown, ServiceControl::Preshutdown].contains(&order) {
        ENDING.store(true, Ordering::Release);
        if let Some(manager) = MANAGER.get() {
            tell(manager, pending(ServiceState::StopPending, END));
        }
        raise(Signal::Stop);
    } else if order == ServiceControl::ParamChange {
        raise(Signal::Reload);
    } else if order != ServiceControl::Interrogate {
        return ServiceControlHandlerResult::NotImplemented;
    }
    ServiceControlHandlerResult::NoError
}

/// Has somebody told who is no manager of services.
pub fn announce_by(announce: Announce) {
    ANNOUNCE.get_or_init(|| announce);
}

pub(in super::super) fn notify(state: State) -> io::Result<()> {
    if let Some(announce) = ANNOUNCE.get() {
        announce(state);
    }
    let Some(manager) = MANAGER.get() else { return Ok(()) };
    match state {
        State::Ready if ENDING.load(Ordering::Acquire) => Ok(()),
        State::Ready => manager.set_service_status(steady(ServiceState::Running)).map_err(cause),
        // The manager knows no such state, and an order to stop may come meanwhile.
        State::Reloading => Ok(()),
        State::Stopping(grace) => {
            let patience = grace.saturating_add(LAST_STEPS);
            manager.set_service_status(pending(ServiceState::StopPending, patience)).map_err(cause)
        }
    }
}

/// A manager that does not listen kills us in its time; there is nobody else to complain to.
fn tell(manager: &ServiceStatusHandle, status: ServiceStatus) {
    if let Err(error) = manager.set_service_status(status) {
        tracing::warn!(error = %cause(error), "the service control manager was not told");
    }
}

fn steady(state: ServiceState) -> ServiceStatus {
    let all = ServiceControlAccept::STOP | ServiceControlAccept::PRESHUTDOWN | ServiceControlAccept::PARAM_CHANGE;
    let accepted = if state == ServiceState::Running { all } else { ServiceControlAccept::empty() };
    ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted: accepted,
        exit_code: ServiceExitCode::Win32(0),
        checkpoint: 0,
        wait_hint: Duration::ZERO,
        process_id: None,
    }
}

/// The hint is 32 bits of milliseconds.
fn pending(state: ServiceState, patience: Duration) -> ServiceStatus {
    let checkpoint = STEP.fetch_add(1, Ordering::Relaxed).saturating_add(1);
    let wait_hint = patience.min(Duration::from_millis(u32::MAX.into()));
    ServiceStatus { checkpoint, wait_hint, ..steady(state) }
}

/// The system's own error where there is one.
fn cause(error: windows_service::Error) -> io::Error {
    if let windows_service::Error::Winapi(error) = error { error } else { io::Error::other(error) }
}

/// Has this process end, as a signal would.
pub fn stop() {
    raise(Signal::Stop);
}
