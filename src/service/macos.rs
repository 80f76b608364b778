//! Services by launchd: an agent of the user in ~/Library/LaunchAgents, a daemon of the machine in /Library/LaunchDaemons.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::agents::Agents;
use super::launchctl::{Brought, Launchctl, run};
use super::plist::{self, ACCOUNT, HOME_OF_ACCOUNT, LABEL, LOG_OF_ACCOUNT};
use super::signed::{self, Author};
use super::unix::{self, make_directory_of, remove};
use super::{Definition, Done, Leavings, Manner, Scope, Service, ServiceError, Status};

const LAUNCHCTL: &str = "/bin/launchctl";
const DSCL: &str = "/usr/bin/dscl";
const PS: &str = "/bin/ps";

const DAEMONS: &str = "/Library/LaunchDaemons";
/// What the package has for everybody who logs in. One relay serves the machine, so while there is a daemon the agent lies
/// under a name that launchd does not read.
const AGENT_OF_ALL: &str = "/Library/LaunchAgents/hallpass.relay.plist";
const HOMES: &str = "/Users";

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
    let own = file(scope)?;
    let before = author(&own)?;
    unix::refuse_change(&own, before, manner, "")?;
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
    let text = definition(service, manner)?;
    let agents = agents();
    let (path, changed) = match agents.packaged().filter(|_| scope == Scope::User) {
        Some(packaged) => (packaged.to_owned(), agents.take_packaged(packaged, &own, &text, &mut done)?),
        None => {
            let changed = put(&own, &sign(&text), &mut done)?;
            (own, changed)
        }
    };
    launchctl().run(&["enable", &target(scope)])?;
    done.push(match scope {
        Scope::User => "it starts with your log-in from now on".into(),
        Scope::System => "it starts with the machine from now on".into(),
    });
    let start = || bring_up(scope, &path, changed);
    let brought = match scope {
        Scope::System if manner.only_enable => {
            agents.put_aside(&mut done)?;
            return Ok(done);
        }
        Scope::User if manner.only_enable => return Ok(done),
        Scope::System => agents.give_way(&sessions()?, before.is_none().then_some(path.as_path()), start, &mut done)?,
        Scope::User => start()?,
    };
    done.push(match brought {
        Brought::Ran => "it runs".into(),
        Brought::Started => "it is started".into(),
        Brought::Anew => "it is started anew".into(),
    });
    Ok(done)
}

/// Whether there is another definition now than before.
fn put(path: &Path, text: &str, done: &mut Done) -> Result<bool, ServiceError> {
    if unix::is_written(path, text) {
        done.push(format!("{} is what is wanted already", path.display()));
        return Ok(false);
    }
    unix::write(path, text)?;
    done.push(format!("{} is written", path.display()));
    Ok(true)
}

fn bring_up(scope: Scope, path: &Path, changed: bool) -> Result<Brought, ServiceError> {
    launchctl().bring_up(&domain(scope), path, changed).map_err(|error| with_log(error, scope))
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

fn sessions() -> Result<Vec<u32>, ServiceError> {
    Ok(plist::sessions(&run(PS, &["-axo", "uid=,comm="])?))
}

pub(super) fn uninstall(scope: Scope, leavings: &Leavings) -> Result<Done, ServiceError> {
    check_rights(scope)?;
    let mut done = Done::new();
    if launchctl().boot_out(&target(scope))? {
        done.push("it is stopped".into());
    }
    let (path, agents) = (file(scope)?, agents());
    let packaged = agents.packaged().filter(|_| scope == Scope::User);
    match author(&path)? {
        None if packaged.is_some() => {}
        None => done.push("nothing was installed".into()),
        Some(Author::Us | Author::UsOnce) => remove(&path, &mut done)?,
        Some(Author::Another) => done.push(format!("{} is not ours and stays", path.display())),
    }
    if let Some(packaged) = packaged {
        launchctl().run(&["disable", &target(scope)])?;
        let packaged = packaged.display();
        done.push(format!("{packaged} is not ours and stays, and starts no more with your log-in"));
    }
    if scope == Scope::System && !path.exists() {
        agents.put_back(&mut done)?;
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
    if path != file(scope)? {
        // What is not ours is disabled by its removal.
        launchctl().run(&["enable", &target(scope)])?;
    }
    Ok(vec![match bring_up(scope, &path, false)? {
        Brought::Ran => "it runs already".into(),
        Brought::Started => "it is started".into(),
        Brought::Anew => format!("it is started anew, by {}", path.display()),
    }])
}

/// Out of launchd's sight, so that neither a socket nor a failure starts it again before the next log-in.
pub(super) fn stop(scope: Scope) -> Result<Done, ServiceError> {
    check_rights(scope)?;
    installed(scope)?;
    let was_there = launchctl().boot_out(&target(scope))?;
    Ok(vec![if was_there { "it is stopped" } else { "it does not run" }.into()])
}

pub(super) fn status(scope: Scope) -> Result<Status, ServiceError> {
    let path = defined(scope)?;
    let by = path.as_deref().map(author).transpose()?.flatten();
    let launchctl = launchctl();
    let (running, mut remarks) =
        launchctl.printed(&target(scope))?.map(|text| plist::read_state(&text)).unwrap_or_default();
    let agents = agents();
    if let (Scope::User, Some(path), Some(packaged)) = (scope, &path, agents.packaged())
        && path != packaged
    {
        let packaged = packaged.display();
        remarks.push(format!("{packaged} has the same name, and at log-in launchd takes one of the two"));
    }
    let disabled = launchctl.run(&["print-disabled", &domain(scope)]).is_ok_and(|text| plist::is_disabled(&text));
    let place = path.unwrap_or_default().display().to_string();
    Ok(Status {
        name: LABEL.into(),
        definition: by.map(|by| Definition { place, is_ours: by == Author::Us }),
        enabled: by.is_some() && !disabled,
        running,
        remarks,
    })
}

pub(super) fn state_of_machine() -> Option<PathBuf> {
    Some(Path::new(HOME_OF_ACCOUNT).join("Library/Application Support/hallpass/state"))
}

fn installed(scope: Scope) -> Result<PathBuf, ServiceError> {
    defined(scope)?.ok_or_else(|| unix::not_installed(scope))
}

/// By which file it is started: a person's own, or else the one that the package has for everybody.
fn defined(scope: Scope) -> Result<Option<PathBuf>, ServiceError> {
    let own = file(scope)?;
    if own.is_file() {
        return Ok(Some(own));
    }
    Ok(agents().packaged().filter(|_| scope == Scope::User).map(Path::to_owned))
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

fn agents() -> Agents {
    Agents::new(launchctl(), AGENT_OF_ALL, HOMES)
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
