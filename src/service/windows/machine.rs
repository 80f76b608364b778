//! The machine's service, with the service control manager.
#![expect(unsafe_code, reason = "a service is given another program, and nothing else, by a function of the system")]

use std::path::Path;
use std::ptr::{null, null_mut};
use std::thread;
use std::time::{Duration, Instant};

use windows_service::Error;
use windows_service::service::{
    Service as Handle, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl, ServiceExitCode,
    ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo, ServiceSidType, ServiceStartType, ServiceState,
    ServiceStatus, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_sys::Win32::System::Services::{ChangeServiceConfigW, SERVICE_NO_CHANGE};

use super::{
    Definition, Done, Leavings, Manner, Running, Service, ServiceError, Status, check_program, directory, events,
    patience::Patience, task, texts,
};

const NAME: &str = "hallpass";
const TITLE: &str = "hallpass";
const DESCRIPTION: &str = "Logs on to the corporate proxy for local programs.";
/// An account that there is for this service alone; it needs no password, and has fewer rights than LocalSystem.
const ACCOUNT: &str = r"NT SERVICE\hallpass";

/// After each failure, and then like the last.
const RESTARTS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(60)];
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// What the end takes beside the grace of tunnels.
const LAST_STEPS: Duration = Duration::from_secs(5);
const START: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// Error codes of the system (winerror.h).
const ACCESS_DENIED: i32 = 5;
const SERVICE_DOES_NOT_EXIST: i32 = 1060;
const SERVICE_ALREADY_RUNNING: i32 = 1056;
const SERVICE_CANNOT_ACCEPT: i32 = 1061;
const SERVICE_NOT_ACTIVE: i32 = 1062;

/// The exit code of a wrong configuration.
const MISTAKE: u32 = 2;

pub(super) fn may_install() -> bool {
    manager(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE).is_ok()
}

/// As `sc qc` shows it.
pub(super) fn definition(service: &Service) -> String {
    let restarts = RESTARTS.map(|time| format!("{} s", time.as_secs())).join(", ");
    format!(
        "service           {NAME}\ncommand           {}\naccount           {ACCOUNT}\nstart             automatic, \
         delayed\non failure        restart after {restarts}; forgotten after a day\ndescription       {DESCRIPTION}\n\
         configuration     {}\nstate and log     {}",
        command_line(service),
        directory::place().join("hallpass.toml").display(),
        directory::state().display(),
    )
}

fn command_line(service: &Service) -> String {
    let mut words = vec![service.program.to_string_lossy().into_owned(), "service".into(), "run".into()];
    words.extend(texts(&service.arguments));
    task::command_line(&words)
}

pub(super) fn install(service: &Service, manner: Manner) -> Result<Done, ServiceError> {
    let manager = manager(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?;
    let former = open(&manager, ServiceAccess::ALL_ACCESS)?;
    if let Some(former) = &former {
        check_owner(former, manner)?;
    }
    check_program(&service.program)?;
    let mut done = directory::prepare(None)?;
    events::register().map_err(|error| failed("registering the event source", &error))?;
    let info = info(service);
    let handle = match former {
        Some(handle) => {
            stop_and_wait(&handle)?;
            handle.change_config(&info).map_err(error_of("changing the service"))?;
            done.push(format!("changed the service {NAME}, which runs as {ACCOUNT}"));
            handle
        }
        None => {
            let made = manager.create_service(&info, ServiceAccess::ALL_ACCESS);
            done.push(format!("made the service {NAME}, which runs as {ACCOUNT}"));
            made.map_err(error_of("making the service"))?
        }
    };
    settle(&handle, service, &mut done)?;
    if !manner.only_enable {
        start_and_wait(&handle)?;
        done.push("it runs".into());
    }
    Ok(done)
}

fn info(service: &Service) -> ServiceInfo {
    let own = ["service".into(), "run".into()];
    ServiceInfo {
        name: NAME.into(),
        display_name: TITLE.into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: service.program.clone(),
        launch_arguments: own.into_iter().chain(service.arguments.iter().cloned()).collect(),
        dependencies: Vec::new(),
        account_name: Some(ACCOUNT.into()),
        account_password: None,
    }
}

/// What a service has beside what it is made with.
fn settle(handle: &Handle, service: &Service, done: &mut Done) -> Result<(), ServiceError> {
    let wrong = error_of("setting the service up");
    handle.set_description(DESCRIPTION).map_err(&wrong)?;
    let action = |delay| ServiceAction { action_type: ServiceActionType::Restart, delay };
    let actions = ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(FORGOTTEN_AFTER),
        reboot_msg: None,
        command: None,
        actions: Some(RESTARTS.map(action).to_vec()),
    };
    handle.update_failure_actions(actions).map_err(&wrong)?;
    let end = service.grace.saturating_add(LAST_STEPS);
    // Without these it is a service all the same.
    let wishes = [
        ("restarts after an end with an error code", handle.set_failure_actions_on_non_crash_failures(true)),
        ("its own identity in access lists", handle.set_config_service_sid_info(ServiceSidType::Unrestricted)),
        ("the time it has when the machine shuts down", handle.set_preshutdown_timeout(end)),
        ("a start after more urgent services", handle.set_delayed_auto_start(true)),
    ];
    for (wish, result) in wishes {
        if let Err(error) = result {
            done.push(format!("warning: Windows does not grant {wish}: {}", said(&error)));
        }
    }
    Ok(())
}

/// A service of the same name that is another program's stays, unless somebody says otherwise.
fn check_owner(handle: &Handle, manner: Manner) -> Result<(), ServiceError> {
    let place = place(handle)?;
    if manner.replace || is_ours(&place) {
        return Ok(());
    }
    Err(ServiceError::refused(
        format!("there is a service {NAME} of another program: {place}"),
        "hallpass service install --replace has ours in its place; sc delete hallpass removes it",
    ))
}

fn is_ours(command: &str) -> bool {
    command.to_ascii_lowercase().contains("hallpass.exe")
}

fn place(handle: &Handle) -> Result<String, ServiceError> {
    let config = handle.query_config().map_err(error_of("asking about the service"))?;
    Ok(config.executable_path.to_string_lossy().into_owned())
}

pub(super) fn uninstall(leavings: &Leavings) -> Result<Done, ServiceError> {
    let manager = manager(ServiceManagerAccess::CONNECT)?;
    let mut done = Vec::new();
    if let Some(handle) = open(&manager, ServiceAccess::ALL_ACCESS)? {
        check_owner(&handle, Manner::default())?;
        stop_and_wait(&handle)?;
        handle.delete().map_err(error_of("removing the service"))?;
        done.push(format!("removed the service {NAME}"));
    }
    events::remove();
    done.extend(directory::clear(leavings.purge));
    if done.is_empty() {
        done.push(format!("there was no service {NAME}"));
    }
    Ok(done)
}

pub(super) fn start() -> Result<Done, ServiceError> {
    start_and_wait(&opened(ServiceAccess::START | ServiceAccess::QUERY_STATUS)?)?;
    Ok(vec![format!("the service {NAME} runs")])
}

/// Account, flags, start and restarts stay as they are, whoever has set them; one that does not start by itself is not
/// started.
pub(super) fn resume(program: &Path) -> Result<Option<Done>, ServiceError> {
    let manager = manager(ServiceManagerAccess::CONNECT)?;
    let Some(handle) = open(&manager, ServiceAccess::ALL_ACCESS)? else { return Ok(None) };
    check_owner(&handle, Manner::default())?;
    let mut done = vec![format!("the service {NAME} stays as it was made")];
    done.extend(replace_lost(&handle, program)?);
    let config = handle.query_config().map_err(error_of("asking about the service"))?;
    let starts_by_itself = config.start_type == ServiceStartType::AutoStart;
    done.push(match starts_by_itself.then(|| start_and_wait(&handle)) {
        Some(Ok(())) => "it runs".into(),
        Some(Err(error)) => format!("warning: {error}"),
        None => format!("it is not started: its start is {:?}", config.start_type),
    });
    Ok(Some(done))
}

/// An installation may have moved.
fn replace_lost(handle: &Handle, program: &Path) -> Result<Option<String>, ServiceError> {
    let command = place(handle)?;
    let variable = |name: &str| std::env::var(name).ok();
    let is_there = |former: &str| Path::new(former).exists();
    let renewed = task::renewed(&command, &program.to_string_lossy(), variable, is_there);
    let Some((former, command)) = renewed else { return Ok(None) };
    let command: Vec<u16> = command.encode_utf16().chain([0]).collect();
    let (same, text) = (SERVICE_NO_CHANGE, null::<u16>());
    // SAFETY: the handle is open, the text ends with a zero and outlives the call, and null changes nothing.
    let changed = unsafe {
        let command = command.as_ptr();
        ChangeServiceConfigW(handle.raw_handle(), same, same, same, command, text, null_mut(), text, text, text, text)
    };
    match changed {
        0 => Err(failed("giving the service its program", &std::io::Error::last_os_error())),
        _ => Ok(Some(format!("{former} is gone: it is {} now", program.display()))),
    }
}

pub(super) fn stop() -> Result<Done, ServiceError> {
    stop_and_wait(&opened(ServiceAccess::STOP | ServiceAccess::QUERY_STATUS)?)?;
    Ok(vec![format!("the service {NAME} has ended")])
}

pub(super) fn status() -> Result<Status, ServiceError> {
    let name = NAME.to_owned();
    let manager = manager(ServiceManagerAccess::CONNECT)?;
    let Some(handle) = open(&manager, ServiceAccess::QUERY_CONFIG | ServiceAccess::QUERY_STATUS)? else {
        return Ok(Status { name, definition: None, enabled: false, running: None, remarks: Vec::new() });
    };
    let config = handle.query_config().map_err(error_of("asking about the service"))?;
    let now = query(&handle)?;
    let place = config.executable_path.to_string_lossy().into_owned();
    let account = config.account_name.map(|name| format!("it runs as {}", name.to_string_lossy()));
    let running = (now.current_state != ServiceState::Stopped).then(|| Running {
        pid: now.process_id,
        since: None,
        says: (now.current_state != ServiceState::Running).then(|| format!("{:?}", now.current_state)),
    });
    let end = running.is_none().then(|| end_of(&now)).flatten();
    Ok(Status {
        name,
        enabled: config.start_type == ServiceStartType::AutoStart,
        definition: Some(Definition { is_ours: is_ours(&place), place }),
        running,
        remarks: account.into_iter().chain(end).collect(),
    })
}

/// Which every user may ask.
pub(super) fn runs() -> bool {
    status().is_ok_and(|status| status.running.is_some())
}

/// How it ended, unless all was well or it never ran.
fn end_of(status: &ServiceStatus) -> Option<String> {
    /// No attempt to start it has been made since the machine started.
    const NEVER_STARTED: u32 = 1077;
    let log = directory::state().join("hallpass.log");
    match status.exit_code {
        ServiceExitCode::Win32(0 | NEVER_STARTED) => None,
        ServiceExitCode::ServiceSpecific(MISTAKE) => {
            Some(format!("it ended because its configuration is wrong: see {}", log.display()))
        }
        ServiceExitCode::Win32(code) => Some(format!("it ended with the system's error {code}")),
        ServiceExitCode::ServiceSpecific(code) => Some(format!("it ended with {code}: see {}", log.display())),
    }
}

fn start_and_wait(handle: &Handle) -> Result<(), ServiceError> {
    match handle.start::<&str>(&[]) {
        Err(error) if code(&error) == Some(SERVICE_ALREADY_RUNNING) => {}
        started => started.map_err(error_of("starting the service"))?,
    }
    let end = Instant::now() + START;
    loop {
        let now = query(handle)?;
        if now.current_state == ServiceState::Running {
            return Ok(());
        }
        let ended = now.current_state == ServiceState::Stopped;
        if ended || Instant::now() >= end {
            let why = end_of(&now).unwrap_or_else(|| "it does not say why".into());
            let what = if ended { "the service has ended at once" } else { "the service is not ready yet" };
            return Err(ServiceError::refused(what, why));
        }
        thread::sleep(LOOK);
    }
}

/// However long that takes: its tunnels have their grace, and the manager is told how long that is.
fn stop_and_wait(handle: &Handle) -> Result<(), ServiceError> {
    let mut patience = Patience::begin(Instant::now());
    let mut is_told = false;
    loop {
        is_told = is_told || tell_to_stop(handle)?;
        let now = query(handle)?;
        if now.current_state == ServiceState::Stopped {
            return Ok(());
        }
        if !patience.lasts(Instant::now(), now.checkpoint, now.wait_hint) {
            return Err(ServiceError::refused("the service does not end", "end its process in the task manager"));
        }
        thread::sleep(LOOK);
    }
}

/// False while it takes no orders: it is about to begin or to end.
fn tell_to_stop(handle: &Handle) -> Result<bool, ServiceError> {
    match handle.stop() {
        Err(error) if code(&error) == Some(SERVICE_CANNOT_ACCEPT) => Ok(false),
        Err(error) if code(&error) == Some(SERVICE_NOT_ACTIVE) => Ok(true),
        stopped => stopped.map(|_| true).map_err(error_of("stopping the service")),
    }
}

fn query(handle: &Handle) -> Result<ServiceStatus, ServiceError> {
    handle.query_status().map_err(error_of("asking about the service"))
}

fn manager(access: ServiceManagerAccess) -> Result<ServiceManager, ServiceError> {
    ServiceManager::local_computer(None::<&str>, access).map_err(error_of("asking the service control manager"))
}

fn open(manager: &ServiceManager, access: ServiceAccess) -> Result<Option<Handle>, ServiceError> {
    match manager.open_service(NAME, access) {
        Ok(handle) => Ok(Some(handle)),
        Err(error) if code(&error) == Some(SERVICE_DOES_NOT_EXIST) => Ok(None),
        Err(error) => Err(error_of("asking about the service")(error)),
    }
}

fn opened(access: ServiceAccess) -> Result<Handle, ServiceError> {
    open(&manager(ServiceManagerAccess::CONNECT)?, access)?.ok_or_else(|| {
        ServiceError::refused(format!("there is no service {NAME}"), "run hallpass service install --system")
    })
}

fn error_of(command: &'static str) -> impl Fn(Error) -> ServiceError {
    move |error| match code(&error) {
        Some(ACCESS_DENIED) => ServiceError::refused(
            format!("{command} is for administrators"),
            "use a terminal that was opened as administrator, or --user for a service of your own",
        ),
        Some(_) | None => failed(command, &said(&error)),
    }
}

fn failed(command: &str, said: &impl ToString) -> ServiceError {
    ServiceError::Failed { command: command.into(), said: said.to_string() }
}

fn said(error: &Error) -> String {
    if let Error::Winapi(error) = error { error.to_string() } else { error.to_string() }
}

fn code(error: &Error) -> Option<i32> {
    if let Error::Winapi(error) = error { error.raw_os_error() } else { None }
}
