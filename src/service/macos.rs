//! Services by launchd: an agent of the user in ~/Library/LaunchAgents, a daemon of the machine in /Library/LaunchDaemons.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::plist::{self, ACCOUNT, HOME_OF_ACCOUNT, LABEL, LOG_OF_ACCOUNT};
use super::signed::{self, Author};
use super::{Definition, Done, Leavings, Manner, Scope, Service, ServiceError, Status};

const LAUNCHCTL: &str = "/bin/launchctl";
const DSCL: &str = "/usr/bin/dscl";

/// Numbers of accounts that are no person's; the system's own are below.
const FREE_IDS: std::ops::Range<u32> = 400..500;

pub(super) fn default_scope() -> Scope {
    if is_root() { Scope::System } else { Scope::User }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(super) fn definition(service: &Service, manner: Manner) -> Result<String, ServiceError> {
    let log = log(service.scope)?;
    Ok(plist::plist(service, manner.sockets, Some(&log)))
}

pub(super) fn install(service: &Service, manner: Manner) -> Result<Done, ServiceError> {
    let scope = service.scope;
    check_rights(scope)?;
    let mut done = Done::new();
    let path = file(scope)?;
    let before = author(&path)?;
    refuse_change(&path, before, manner)?;
    match scope {
        Scope::System => prepare_account(&mut done)?,
        Scope::User => make_directory(&log(scope)?)?,
    }
    let text = sign(&definition(service, manner)?);
    let changed = !fs::read_to_string(&path).is_ok_and(|is| is == text);
    if changed {
        write(&path, &text)?;
        done.push(format!("{} is written", path.display()));
    } else {
        done.push(format!("{} is what is wanted already", path.display()));
    }
    launchctl(&["enable", &target(scope)])?;
    done.push(match scope {
        Scope::User => "it starts with your log-in from now on".into(),
        Scope::System => "it starts with the machine from now on".into(),
    });
    let loaded = printed(scope)?;
    if loaded.is_some() && changed {
        launchctl(&["bootout", &target(scope)])?;
    }
    if !manner.only_enable && (changed || loaded.is_none()) {
        load(scope, &path)?;
        done.push("it is started".into());
    }
    Ok(done)
}

/// Which starts it, too.
fn load(scope: Scope, path: &Path) -> Result<(), ServiceError> {
    launchctl(&["bootstrap", &domain(scope), &path.to_string_lossy()]).map(drop)
}

pub(super) fn uninstall(scope: Scope, leavings: &Leavings) -> Result<Done, ServiceError> {
    check_rights(scope)?;
    let mut done = Done::new();
    if printed(scope)?.is_some() {
        launchctl(&["bootout", &target(scope)])?;
        done.push("it is stopped".into());
    }
    let path = file(scope)?;
    match author(&path)? {
        None => done.push("nothing was installed".into()),
        Some(Author::Us | Author::UsOnce) => remove(&path, &mut done)?,
        Some(Author::Another) => done.push(format!("{} is not ours and stays", path.display())),
    }
    let log = log(scope)?;
    let kept = match scope {
        Scope::User => leavings.state_directory.iter().cloned().chain([log]).collect::<Vec<_>>(),
        Scope::System => vec![HOME_OF_ACCOUNT.into(), log.parent().unwrap_or(&log).into()],
    };
    for place in kept.into_iter().filter(|place| place.exists()) {
        if leavings.purge {
            remove(&place, &mut done)?;
        } else {
            done.push(format!("{} stays; --purge removes it", place.display()));
        }
    }
    if scope == Scope::System && leavings.purge && id_of_account()?.is_some() {
        for kind in ["Users", "Groups"] {
            run(DSCL, &[".", "-delete", &format!("/{kind}/{ACCOUNT}")])?;
        }
        done.push(format!("the account {ACCOUNT} is removed"));
    }
    Ok(done)
}

pub(super) fn start(scope: Scope) -> Result<Done, ServiceError> {
    check_rights(scope)?;
    let path = installed(scope)?;
    match printed(scope)? {
        None => load(scope, &path)?,
        Some(text) if plist::read_state(&text).0.is_some() => return Ok(vec!["it runs already".into()]),
        Some(_) => launchctl(&["kickstart", &target(scope)]).map(drop)?,
    }
    Ok(vec!["it is started".into()])
}

/// Out of launchd's sight, so that neither a socket nor a failure starts it again before the next log-in.
pub(super) fn stop(scope: Scope) -> Result<Done, ServiceError> {
    check_rights(scope)?;
    installed(scope)?;
    if printed(scope)?.is_none() {
        return Ok(vec!["it does not run".into()]);
    }
    launchctl(&["bootout", &target(scope)])?;
    Ok(vec!["it is stopped".into()])
}

pub(super) fn status(scope: Scope) -> Result<Status, ServiceError> {
    let path = file(scope)?;
    let by = author(&path)?;
    let (running, remarks) = printed(scope)?.map(|text| plist::read_state(&text)).unwrap_or_default();
    let disabled = launchctl(&["print-disabled", &domain(scope)]).is_ok_and(|text| {
        let line = text.lines().find(|line| line.contains(&format!("\"{LABEL}\"")));
        line.is_some_and(|line| line.ends_with("disabled") || line.ends_with("true"))
    });
    Ok(Status {
        name: LABEL.into(),
        definition: by.map(|by| Definition { place: path.display().to_string(), is_ours: by == Author::Us }),
        enabled: by.is_some() && !disabled,
        running,
        remarks,
    })
}

pub(super) fn state_of_machine() -> Option<PathBuf> {
    Some(Path::new(HOME_OF_ACCOUNT).join("Library/Application Support/hallpass/state"))
}

fn installed(scope: Scope) -> Result<PathBuf, ServiceError> {
    let path = file(scope)?;
    if path.is_file() {
        return Ok(path);
    }
    let hint = match scope {
        Scope::User => "hallpass service install --user does that",
        Scope::System => "sudo hallpass service install --system does that",
    };
    Err(ServiceError::refused("there is no such service", hint))
}

fn check_rights(scope: Scope) -> Result<(), ServiceError> {
    match (scope, is_root()) {
        (Scope::System, false) => Err(ServiceError::refused(
            "root alone may change services of the machine",
            "sudo hallpass service …, or --user for a service of your own",
        )),
        (Scope::User, true) => Err(ServiceError::refused(
            "root has no service of its own at log-in",
            "call it without sudo, or with --system",
        )),
        (Scope::System, true) | (Scope::User, false) => Ok(()),
    }
}

/// An account that nobody can log in to, and the directories that are its own.
fn prepare_account(done: &mut Done) -> Result<(), ServiceError> {
    let id = match id_of_account()? {
        Some(id) => id,
        None => {
            let id = free_id()?;
            for arguments in account_commands(id) {
                run(DSCL, &arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
            }
            done.push(format!("the account {ACCOUNT} is made, with the number {id}"));
            id
        }
    };
    let log = Path::new(LOG_OF_ACCOUNT);
    for directory in [Path::new(HOME_OF_ACCOUNT), log.parent().unwrap_or(log)] {
        let made = || -> io::Result<()> {
            fs::create_dir_all(directory)?;
            fs::set_permissions(directory, Permissions::from_mode(0o700))?;
            chown(directory, Some(id), Some(id))
        };
        made().map_err(|cause| ServiceError::File { verb: "make", path: directory.into(), cause })?;
    }
    Ok(())
}

/// The group has the same number.
fn account_commands(id: u32) -> Vec<Vec<String>> {
    let (group, user, id) = (format!("/Groups/{ACCOUNT}"), format!("/Users/{ACCOUNT}"), id.to_string());
    let records: [(&str, &[&str]); 9] = [
        (&group, &[]),
        (&group, &["PrimaryGroupID", &id]),
        (&user, &[]),
        (&user, &["UniqueID", &id]),
        (&user, &["PrimaryGroupID", &id]),
        (&user, &["RealName", "hallpass relay"]),
        (&user, &["UserShell", "/usr/bin/false"]),
        (&user, &["NFSHomeDirectory", HOME_OF_ACCOUNT]),
        (&user, &["IsHidden", "1"]),
    ];
    let command = |(record, value): (&str, &[&str])| {
        [".", "-create", record].iter().chain(value).map(ToString::to_string).collect()
    };
    records.into_iter().map(command).collect()
}

fn id_of_account() -> Result<Option<u32>, ServiceError> {
    Ok(ids()?.into_iter().find(|(name, _)| name == ACCOUNT).map(|(_, id)| id))
}

fn free_id() -> Result<u32, ServiceError> {
    let taken: Vec<u32> = ids()?.into_iter().map(|(_, id)| id).collect();
    FREE_IDS.clone().rev().find(|id| !taken.contains(id)).ok_or_else(|| {
        ServiceError::refused(
            "every number for accounts of services is taken",
            format!("make an account {ACCOUNT} yourself"),
        )
    })
}

fn ids() -> Result<Vec<(String, u32)>, ServiceError> {
    let text = run(DSCL, &[".", "-list", "/Users", "UniqueID"])?;
    let pair = |line: &str| {
        let (name, id) = line.split_once(char::is_whitespace)?;
        Some((name.to_owned(), id.trim().parse().ok()?))
    };
    Ok(text.lines().filter_map(pair).collect())
}

/// `None`: launchd does not know it at the moment.
fn printed(scope: Scope) -> Result<Option<String>, ServiceError> {
    match launchctl(&["print", &target(scope)]) {
        Ok(text) => Ok(Some(text)),
        Err(ServiceError::Failed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn domain(scope: Scope) -> String {
    match scope {
        Scope::User => format!("gui/{}", rustix::process::getuid().as_raw()),
        Scope::System => "system".into(),
    }
}

fn target(scope: Scope) -> String {
    format!("{}/{LABEL}", domain(scope))
}

fn file(scope: Scope) -> Result<PathBuf, ServiceError> {
    let directory = match scope {
        Scope::User => home()?.join("Library/LaunchAgents"),
        Scope::System => "/Library/LaunchDaemons".into(),
    };
    Ok(directory.join(format!("{LABEL}.plist")))
}

fn log(scope: Scope) -> Result<PathBuf, ServiceError> {
    match scope {
        Scope::User => Ok(home()?.join("Library/Logs/hallpass.log")),
        Scope::System => Ok(LOG_OF_ACCOUNT.into()),
    }
}

fn home() -> Result<PathBuf, ServiceError> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    home.ok_or_else(|| ServiceError::refused("it is not known where your home is", "set HOME"))
}

/// The declaration of XML must stay the first line.
fn sign(text: &str) -> String {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    format!("{first}\n{}", signed::sign("<!--", " -->", rest))
}

fn author(path: &Path) -> Result<Option<Author>, ServiceError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(signed::author(text.split_once('\n').map_or("", |(_, rest)| rest)))),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(ServiceError::File { verb: "read", path: path.into(), cause }),
    }
}

fn refuse_change(path: &Path, before: Option<Author>, manner: Manner) -> Result<(), ServiceError> {
    let what = match before {
        None | Some(Author::Us) => return Ok(()),
        Some(_) if manner.replace => return Ok(()),
        Some(Author::UsOnce) => format!("somebody has changed {}", path.display()),
        Some(Author::Another) => format!("{} is not ours", path.display()),
    };
    Err(ServiceError::refused(what, "--replace overwrites it"))
}

/// Whole or not at all; launchd takes only what nobody else may write.
fn write(path: &Path, text: &str) -> Result<(), ServiceError> {
    make_directory(path)?;
    let written = || -> io::Result<()> {
        let unfinished = path.with_extension("new");
        fs::write(&unfinished, text)?;
        fs::set_permissions(&unfinished, Permissions::from_mode(0o644))?;
        fs::rename(&unfinished, path)
    };
    written().map_err(|cause| ServiceError::File { verb: "write", path: path.into(), cause })
}

fn make_directory(path: &Path) -> Result<(), ServiceError> {
    let Some(directory) = path.parent() else { return Ok(()) };
    fs::create_dir_all(directory).map_err(|cause| ServiceError::File { verb: "make", path: directory.into(), cause })
}

fn remove(path: &Path, done: &mut Done) -> Result<(), ServiceError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(|cause| ServiceError::File { verb: "remove", path: path.into(), cause })?;
    done.push(format!("{} is removed", path.display()));
    Ok(())
}

fn launchctl(arguments: &[&str]) -> Result<String, ServiceError> {
    run(LAUNCHCTL, arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<String, ServiceError> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|cause| ServiceError::Start { program: program.into(), cause })?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            Err(ServiceError::Failed { command: format!("{program} {}", arguments.join(" ")), said: said(&output) })
        }
    }
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
    if text.is_empty() { output.status.to_string() } else { text }
}
