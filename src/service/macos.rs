//! Services by launchd: an agent of the user in ~/Library/LaunchAgents, a daemon of the machine in /Library/LaunchDaemons.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::launchctl::{Launchctl, run};
use super::plist::{self, ACCOUNT, HOME_OF_ACCOUNT, LABEL, LOG_OF_ACCOUNT};
use super::signed::{self, Author};
use super::unix::{self, make_directory_of, remove};
use super::{Definition, Done, Leavings, Manner, Scope, Service, ServiceError, Status};

const LAUNCHCTL: &str = "/bin/launchctl";
const DSCL: &str = "/usr/bin/dscl";
const PS: &str = "/bin/ps";

const DAEMONS: &str = "/Library/LaunchDaemons";
/// What the package has for everybody who logs in. One relay serves the machine, so while there is a daemon the agent lies
/// under a name that launchd does not read; the package's own scripts do the same.
const AGENT_OF_ALL: &str = "/Library/LaunchAgents/hallpass.relay.plist";
const AGENT_ASIDE: &str = "/Library/LaunchAgents/hallpass.relay.plist.off";

/// Numbers of accounts that are no person's; the system's own are below.
const FREE_IDS: std::ops::Range<u32> = 400..500;

pub(super) fn default_scope() -> Scope {
    unix::default_scope()
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
    unix::refuse_change(&path, author(&path)?, manner, "")?;
    match scope {
        Scope::System => {
            unix::check_program(&service.program)?;
            prepare_account(&mut done)?;
        }
        Scope::User => {
            refuse_beside_daemon()?;
            make_directory_of(&log(scope)?)?;
        }
    }
    let text = sign(&definition(service, manner)?);
    let changed = !unix::is_written(&path, &text);
    if changed {
        unix::write(&path, &text)?;
        done.push(format!("{} is written", path.display()));
    } else {
        done.push(format!("{} is what is wanted already", path.display()));
    }
    if scope == Scope::System {
        put_agent_aside(manner, &mut done)?;
    }
    let launchctl = launchctl();
    launchctl.run(&["enable", &target(scope)])?;
    done.push(match scope {
        Scope::User => "it starts with your log-in from now on".into(),
        Scope::System => "it starts with the machine from now on".into(),
    });
    let was_loaded = match changed {
        true => launchctl.boot_out(&target(scope))?,
        false => launchctl.printed(&target(scope))?.is_some(),
    };
    if !manner.only_enable && (changed || !was_loaded) {
        load(scope, &path)?;
        done.push("it is started".into());
    }
    Ok(done)
}

/// Which starts it, too.
fn load(scope: Scope, path: &Path) -> Result<(), ServiceError> {
    let loaded = launchctl().bootstrap(&domain(scope), &path.to_string_lossy(), &target(scope));
    loaded.map_err(|error| with_log(error, scope))
}

/// Why it does not run stands in its log.
fn with_log(error: ServiceError, scope: Scope) -> ServiceError {
    match (error, log(scope)) {
        (ServiceError::NotRunning { said }, Ok(log)) => {
            ServiceError::NotRunning { said: format!("{said}; {} says why", log.display()) }
        }
        (error, _) => error,
    }
}

/// The agent of a person would want the daemon's port.
fn refuse_beside_daemon() -> Result<(), ServiceError> {
    let daemon = file(Scope::System)?;
    if !daemon.exists() {
        return Ok(());
    }
    let what = format!("a relay of the machine serves everybody here, by {}", daemon.display());
    Err(ServiceError::refused(what, "hallpass service status --system"))
}

fn put_agent_aside(manner: Manner, done: &mut Done) -> Result<(), ServiceError> {
    if !Path::new(AGENT_OF_ALL).exists() {
        return Ok(());
    }
    rename(AGENT_OF_ALL, AGENT_ASIDE)?;
    done.push(format!("{AGENT_OF_ALL} is now {AGENT_ASIDE}: nobody needs a relay of their own"));
    if manner.only_enable {
        return Ok(());
    }
    for user in plist::sessions(&run(PS, &["-axo", "uid=,comm="])?) {
        if launchctl().boot_out(&format!("gui/{user}/{LABEL}"))? {
            done.push(format!("the relay of user {user} is stopped"));
        }
    }
    Ok(())
}

fn put_agent_back(done: &mut Done) -> Result<(), ServiceError> {
    if Path::new(AGENT_ASIDE).exists() {
        rename(AGENT_ASIDE, AGENT_OF_ALL)?;
        done.push(format!("{AGENT_OF_ALL} is back: whoever logs in has a relay again"));
    }
    Ok(())
}

fn rename(from: &str, to: &str) -> Result<(), ServiceError> {
    fs::rename(from, to).map_err(|cause| ServiceError::File { verb: "rename", path: from.into(), cause })
}

pub(super) fn uninstall(scope: Scope, leavings: &Leavings) -> Result<Done, ServiceError> {
    check_rights(scope)?;
    let mut done = Done::new();
    if launchctl().boot_out(&target(scope))? {
        done.push("it is stopped".into());
    }
    let path = file(scope)?;
    match author(&path)? {
        None => done.push("nothing was installed".into()),
        Some(Author::Us | Author::UsOnce) => remove(&path, &mut done)?,
        Some(Author::Another) => done.push(format!("{} is not ours and stays", path.display())),
    }
    if scope == Scope::System && !path.exists() {
        put_agent_back(&mut done)?;
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
    match launchctl().printed(&target(scope))? {
        None => load(scope, &path)?,
        Some(text) if plist::read_state(&text).0.is_some() => return Ok(vec!["it runs already".into()]),
        Some(_) => launchctl().kickstart(&target(scope)).map_err(|error| with_log(error, scope))?,
    }
    Ok(vec!["it is started".into()])
}

/// Out of launchd's sight, so that neither a socket nor a failure starts it again before the next log-in.
pub(super) fn stop(scope: Scope) -> Result<Done, ServiceError> {
    check_rights(scope)?;
    installed(scope)?;
    let was_there = launchctl().boot_out(&target(scope))?;
    Ok(vec![if was_there { "it is stopped" } else { "it does not run" }.into()])
}

pub(super) fn status(scope: Scope) -> Result<Status, ServiceError> {
    let path = file(scope)?;
    let by = author(&path)?;
    let launchctl = launchctl();
    let (running, remarks) =
        launchctl.printed(&target(scope))?.map(|text| plist::read_state(&text)).unwrap_or_default();
    let disabled = launchctl.run(&["print-disabled", &domain(scope)]).is_ok_and(|text| {
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
    Err(unix::not_installed(scope))
}

fn check_rights(scope: Scope) -> Result<(), ServiceError> {
    unix::check_rights(scope)?;
    if scope == Scope::User && unix::is_root() {
        let hint = "call it without sudo, or with --system";
        return Err(ServiceError::refused("root has no service of its own at log-in", hint));
    }
    Ok(())
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

fn launchctl() -> Launchctl {
    Launchctl::new(LAUNCHCTL)
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
        Scope::System => DAEMONS.into(),
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
    unix::told("HOME").ok_or_else(unix::no_home)
}

/// The declaration of XML must stay the first line.
fn sign(text: &str) -> String {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    format!("{first}\n{}", signed::sign("<!--", " -->", rest))
}

fn author(path: &Path) -> Result<Option<Author>, ServiceError> {
    Ok(unix::read(path)?.map(|text| signed::author(text.split_once('\n').map_or("", |(_, rest)| rest))))
}
