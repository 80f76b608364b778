//! One user's relay: a task that starts with the log-in, or where the task scheduler refuses, the Run key of the registry.
#![expect(unsafe_code, reason = "which handles are inherited is said to the system")]

use std::io::Write;
use std::os::windows::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use windows_registry::{CURRENT_USER, LOCAL_MACHINE};
use windows_sys::Win32::Foundation::{HANDLE_FLAG_INHERIT, SetHandleInformation};
use windows_sys::Win32::System::Console::{GetStdHandle, STD_ERROR_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE};
use windows_sys::Win32::System::Threading::{CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, DETACHED_PROCESS};

use super::orders::{ask_to_stop, is_overdue, is_ready, runs_unseen};
use super::rights::own_sid;
use super::task::{Task, command_line, file, parted, xml};
use super::{
    Definition, Done, Leavings, Manner, Running, Service, ServiceError, Status, check_program, directory, machine,
    texts,
};

const PROGRAM: &str = "hallpassw.exe";
const RUN_KEY: &str = r"Software\Microsoft\Windows\CurrentVersion\Run";
const RUN_VALUE: &str = "hallpass";

/// Until there is anything of it, and from then until it listens.
const START: Duration = Duration::from_secs(10);
const READY: Duration = Duration::from_secs(30);
/// Until it says how long its end may take.
const STOP: Duration = Duration::from_secs(30);
/// A scheduler that is busy is slow, and one that does not run takes its time to start.
const ANSWER: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn definition(service: &Service) -> Result<String, ServiceError> {
    Ok(xml(&task_of(service)?))
}

fn task_of(service: &Service) -> Result<Task, ServiceError> {
    let program = service.program.with_file_name(PROGRAM);
    if !program.is_file() {
        return Err(ServiceError::refused(
            format!("{} is not there", program.display()),
            "install both programs in one directory",
        ));
    }
    check_program(&program)?;
    Ok(Task {
        user: ourselves()?,
        program: program.to_string_lossy().into_owned(),
        arguments: texts(&service.arguments),
    })
}

/// Tasks stand in one list for all users.
fn task_name() -> Result<String, ServiceError> {
    Ok(format!("hallpass-{}", ourselves()?))
}

fn ourselves() -> Result<String, ServiceError> {
    own_sid().map_err(|cause| failed("asking Windows whose this process is", &cause.to_string()))
}

pub(super) fn install(service: &Service, manner: Manner) -> Result<Done, ServiceError> {
    let task = task_of(service)?;
    let mut done = Vec::new();
    if runs_unseen() {
        end()?;
    }
    match register(&task) {
        Ok(()) => {
            remove_run_value();
            done.push(format!("made the task {}, which starts hallpassw at your log-in", task_name()?));
        }
        Err(error) => {
            // Half a task would be a second start.
            drop(schtasks(&["/delete", "/tn", &task_name()?, "/f"]));
            set_run_value(&task)?;
            done.push(format!("warning: the task scheduler refuses ({error})"));
            done.push(format!("hallpassw starts at your log-in by HKCU\\{RUN_KEY} instead, and only then"));
        }
    }
    done.extend(beside_machine());
    if !manner.only_enable {
        done.append(&mut start()?);
    }
    Ok(done)
}

/// By a file, because the definition is longer than a command line may be and has what quoting would break.
fn register(task: &Task) -> Result<(), ServiceError> {
    let wrong = |cause: std::io::Error| failed("writing the task's definition", &cause.to_string());
    let mut definition = tempfile::Builder::new().prefix("hallpass-").suffix(".xml").tempfile().map_err(wrong)?;
    definition.write_all(&file(&xml(task))).map_err(wrong)?;
    // Others cannot read a file that is open to be written.
    let path = definition.into_temp_path();
    let path = path.to_string_lossy();
    schtasks(&["/create", "/tn", &task_name()?, "/xml", &path, "/f"]).map(drop)?;
    match is_registered()? {
        true => Ok(()),
        false => Err(failed("schtasks /create", "the task is not there afterwards")),
    }
}

/// By its definition, which only a task that is there has. A scheduler that gives no answer has not said that there is none.
fn is_registered() -> Result<bool, ServiceError> {
    let definition = answer_of_scheduler(&["/query", "/tn", &task_name()?, "/xml"])?;
    Ok(definition.is_ok_and(|text| text.contains("<Task")))
}

fn set_run_value(task: &Task) -> Result<(), ServiceError> {
    let words: Vec<&str> = [&task.program].into_iter().chain(&task.arguments).map(String::as_str).collect();
    let key = CURRENT_USER.create(RUN_KEY).and_then(|key| key.set_string(RUN_VALUE, command_line(&words)));
    key.map_err(|error| failed("writing the Run key", &error.to_string()))
}

fn run_value() -> Option<String> {
    CURRENT_USER.open(RUN_KEY).and_then(|key| key.get_string(RUN_VALUE)).ok()
}

/// What the machine's installation has everybody's log-in start, if it was told to.
fn run_value_of_machine() -> Option<String> {
    LOCAL_MACHINE.open(RUN_KEY).and_then(|key| key.get_string(RUN_VALUE)).ok()
}

fn remove_run_value() -> bool {
    CURRENT_USER.options().write().open(RUN_KEY).and_then(|key| key.remove_value(RUN_VALUE)).is_ok()
}

pub(super) fn uninstall(leavings: &Leavings) -> Result<Done, ServiceError> {
    let mut done = Vec::new();
    if runs_unseen() {
        end()?;
        done.push("ended hallpassw".into());
    }
    // First what needs no scheduler, which may not answer.
    if remove_run_value() {
        done.push(format!("removed hallpass from HKCU\\{RUN_KEY}"));
    }
    let name = task_name()?;
    if is_registered()? {
        schtasks(&["/delete", "/tn", &name, "/f"])?;
        done.push(format!("removed the task {name}"));
    }
    if let Some(state) = leavings.state_directory.as_ref().filter(|_| leavings.purge) {
        done.extend(directory::remove(state)?);
    }
    if done.is_empty() {
        done.push("there was no service of yours".into());
    }
    if run_value_of_machine().is_some() {
        done.push(format!(
            "HKLM\\{RUN_KEY} starts hallpassw at every log-in still: LOGON=0 to the installer ends that"
        ));
    }
    Ok(done)
}

/// By the task scheduler, or as the log-in does it.
pub(super) fn start() -> Result<Done, ServiceError> {
    if !runs_unseen() {
        match run_value() {
            Some(command) => launch(&command)?,
            None if is_registered()? => drop(schtasks(&["/run", "/tn", &task_name()?])?),
            None => launch(&run_value_of_machine().ok_or_else(not_installed)?)?,
        }
    }
    if !wait(START, runs_unseen) {
        return Err(not_running("hallpassw does not run"));
    }
    wait(READY, || is_ready() || !runs_unseen());
    match (is_ready(), runs_unseen()) {
        (true, _) => Ok(vec!["hallpassw runs".into()]),
        (false, true) => Err(not_running("hallpassw is not ready yet")),
        (false, false) => Err(not_running("hallpassw has ended at once")),
    }
}

fn not_running(what: &str) -> ServiceError {
    match beside_machine() {
        None => ServiceError::refused(what, r"its log says why: %LOCALAPPDATA%\hallpass\hallpass.log"),
        Some(also) => {
            ServiceError::refused(what, format!(r"its log says why: %LOCALAPPDATA%\hallpass\hallpass.log; {also}"))
        }
    }
}

/// A user's relay beside the machine's is nothing wrong: it logs on in the user's name, which the other one cannot.
fn beside_machine() -> Option<String> {
    let hint = "the machine's service runs, too: each needs a port of its own, such as by listen = \"auto\"";
    machine::runs().then(|| hint.into())
}

pub(super) fn resume() -> Result<Option<Done>, ServiceError> {
    if run_value().is_none() && !is_registered()? {
        return Ok(None);
    }
    Ok(Some(start().unwrap_or_else(|error| vec![format!("warning: {error}")])))
}

fn launch(command: &str) -> Result<(), ServiceError> {
    let (program, arguments) = parted(command);
    keep_handles();
    let mut command = Command::new(program);
    command.raw_arg(arguments).creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop).map_err(|cause| ServiceError::Start { program: program.into(), cause })
}

/// Whoever reads what we print waits for its end, which a relay that had inherited it would be.
fn keep_handles() {
    for name in [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        // SAFETY: calls without pointers; what is no handle is refused, and then nobody inherits it either.
        unsafe { SetHandleInformation(GetStdHandle(name), HANDLE_FLAG_INHERIT, 0) };
    }
}

pub(super) fn stop() -> Result<Done, ServiceError> {
    if !runs_unseen() {
        return Ok(vec!["hallpassw does not run".into()]);
    }
    end()?;
    Ok(vec!["hallpassw has ended; it starts again at your next log-in".into()])
}

/// Its tunnels have their grace, however long that is.
fn end() -> Result<(), ServiceError> {
    ask_to_stop().map_err(|cause| failed("telling hallpassw to end", &cause.to_string()))?;
    let silent = Instant::now() + STOP;
    while runs_unseen() {
        if is_overdue().unwrap_or_else(|| Instant::now() >= silent) {
            return Err(ServiceError::refused("hallpassw does not end", "end its process in the task manager"));
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

pub(super) fn status() -> Result<Status, ServiceError> {
    let definition = match (is_registered()?, run_value()) {
        (true, _) => Some(Definition { place: format!("the task {}", task_name()?), is_ours: true }),
        (false, Some(command)) => Some(Definition { place: format!(r"HKCU\{RUN_KEY}: {command}"), is_ours: true }),
        (false, None) => run_value_of_machine()
            .map(|command| Definition { place: format!(r"HKLM\{RUN_KEY}: {command}"), is_ours: false }),
    };
    Ok(Status {
        name: "hallpassw".into(),
        enabled: definition.is_some(),
        definition,
        running: runs_unseen().then(|| Running {
            pid: None,
            since: None,
            says: (!is_ready()).then(|| "it is not ready yet".into()),
        }),
        remarks: beside_machine().into_iter().collect(),
    })
}

fn not_installed() -> ServiceError {
    ServiceError::refused("there is no service of yours", "run hallpass service install --user")
}

/// What it printed.
fn schtasks(arguments: &[&str]) -> Result<String, ServiceError> {
    let answer = answer_of_scheduler(arguments)?;
    answer.map_err(|said| failed(&format!("schtasks {}", arguments[0]), &said))
}

/// What it printed of a success or of a failure, on the console's page of codes.
fn answer_of_scheduler(arguments: &[&str]) -> Result<Result<String, String>, ServiceError> {
    let mut command = Command::new("schtasks.exe");
    command.args(arguments).stdin(Stdio::null()).creation_flags(CREATE_NO_WINDOW);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = command.spawn().map_err(|cause| ServiceError::Start { program: "schtasks".into(), cause })?;
    let (answer, answered) = channel();
    // Whoever waits no longer is no reason to end it: what it has begun is the scheduler's.
    thread::spawn(move || answer.send(started.wait_with_output()));
    let output = answered.recv_timeout(ANSWER).map_err(|_| failed("schtasks", "the task scheduler does not answer"))?;
    let output = output.map_err(|cause| ServiceError::Start { program: "schtasks".into(), cause })?;
    // A definition may come in characters of two bytes.
    let text = |bytes: &[u8]| {
        let bytes: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    };
    Ok(match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    })
}

fn failed(command: &str, said: &str) -> ServiceError {
    ServiceError::Failed { command: command.into(), said: said.into() }
}

fn wait(time: Duration, fact: impl Fn() -> bool) -> bool {
    let end = Instant::now() + time;
    while !fact() {
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(LOOK);
    }
    true
}
