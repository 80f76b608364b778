//! Services by systemd: units of the machine in /etc/systemd/system, of a user in ~/.config/systemd/user.

mod systemctl;

use std::fs;
use std::path::{Path, PathBuf};

use super::signed::{self, Author};
use super::unix::{self, check_rights, remove};
use super::{Definition, Done, Leavings, Manner, Running, Scope, Service, ServiceError, Status, unit};
use systemctl::{Shown, Systemctl};

const SERVICE: &str = "hallpass.service";
const SOCKET: &str = "hallpass.socket";

/// What `StateDirectory=` of the system's unit makes; the first is a link to the second.
const STATE_OF_MACHINE: [&str; 2] = ["/var/lib/hallpass", "/var/lib/private/hallpass"];

/// What a unit with ProtectHome= and PrivateTmp= does not see.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

pub(super) fn default_scope() -> Scope {
    unix::default_scope()
}

pub(super) fn definition(service: &Service, manner: Manner) -> Result<String, ServiceError> {
    let directory = directory(service.scope)?;
    let file = |name: &str, text: String| format!("# {}\n{text}", directory.join(name).display());
    let mut text = file(SERVICE, unit::service(service));
    if manner.sockets {
        text += "\n";
        text += &file(SOCKET, unit::socket(service));
    }
    Ok(text)
}

pub(super) fn install(service: &Service, manner: Manner) -> Result<Done, ServiceError> {
    let scope = service.scope;
    let systemctl = Systemctl::open(scope)?;
    check_rights(scope)?;
    if scope == Scope::System {
        check_reach(service)?;
        unix::check_program(&service.program)?;
    }
    let directory = directory(scope)?;
    let names = if manner.sockets { &[SERVICE, SOCKET][..] } else { &[SERVICE] };
    // All of them before the first is written.
    for name in names {
        let path = directory.join(name);
        refuse_masked(&path)?;
        refuse_change(&path, author(&path)?, manner)?;
    }
    let mut done = Done::new();
    let mut changed = put(&directory, SERVICE, unit::service(service), scope, &mut done)?;
    if manner.sockets {
        changed |= put(&directory, SOCKET, unit::socket(service), scope, &mut done)?;
    } else if author(&directory.join(SOCKET))? == Some(Author::Us) {
        systemctl.run(&["disable", "--now", SOCKET])?;
        remove(&directory.join(SOCKET), &mut done)?;
        changed = true;
    }
    if changed {
        systemctl.run(&["daemon-reload"])?;
    }
    systemctl.run(&[&["enable"], names].concat())?;
    done.push(match scope {
        Scope::User => "it starts with your log-in from now on".into(),
        Scope::System => "it starts with the machine from now on".into(),
    });
    if !manner.only_enable {
        bring_up(&systemctl, names, changed, &mut done)?;
    }
    Ok(done)
}

/// Starts what does not run, and what runs by another definition once more.
fn bring_up(systemctl: &Systemctl, names: &[&str], changed: bool, done: &mut Done) -> Result<(), ServiceError> {
    let runs = systemctl.show(SERVICE)?.is_active();
    if runs && !changed {
        done.push("it runs".into());
        return Ok(());
    }
    // The sockets can only be bound where the relay does not have them.
    if runs && names.contains(&SOCKET) && !systemctl.show(SOCKET)?.is_active() {
        systemctl.run(&["stop", SERVICE])?;
    }
    for name in names.iter().rev() {
        let verb = if runs && *name == SERVICE { "restart" } else { "start" };
        systemctl.bring_up(verb, name)?;
    }
    done.push(if runs { "it is started anew" } else { "it is started" }.into());
    Ok(())
}

pub(super) fn uninstall(scope: Scope, leavings: &Leavings) -> Result<Done, ServiceError> {
    let systemctl = Systemctl::open(scope)?;
    check_rights(scope)?;
    let directory = directory(scope)?;
    let mut done = Done::new();
    for name in [SOCKET, SERVICE] {
        let shown = systemctl.show(name)?;
        if shown.is_loaded() {
            if shown.is_active() {
                done.push(format!("{name} is stopped"));
            }
            systemctl.run(&["disable", "--now", name])?;
            if shown.is_enabled() {
                done.push(format!("{name} starts no more by itself"));
            }
        }
        let path = directory.join(name);
        match author(&path)? {
            None => {}
            Some(Author::Us | Author::UsOnce) => remove(&path, &mut done)?,
            Some(Author::Another) => {
                done.push(format!("{} is not ours and stays, and starts no more by itself", path.display()));
            }
        }
    }
    // Of a unit that failed, systemd keeps that it did; it is no mistake that most did not.
    let _ = systemctl.run(&["daemon-reload"]).and_then(|_| systemctl.run(&["reset-failed", SERVICE]));
    if scope == Scope::User {
        remove_if_empty(&directory);
    }
    if done.is_empty() {
        done.push("nothing was installed".into());
    }
    leave(scope, leavings, &mut done)?;
    Ok(done)
}

/// What the relay has kept.
fn leave(scope: Scope, leavings: &Leavings, done: &mut Done) -> Result<(), ServiceError> {
    let places: Vec<PathBuf> = match scope {
        Scope::User => leavings.state_directory.iter().cloned().collect(),
        Scope::System => STATE_OF_MACHINE.iter().map(PathBuf::from).collect(),
    };
    for place in places {
        if fs::symlink_metadata(&place).is_err() {
            continue;
        }
        if !leavings.purge {
            done.push(format!("{} stays; --purge removes it", place.display()));
            return Ok(());
        }
        remove(&place, done)?;
    }
    Ok(())
}

pub(super) fn start(scope: Scope) -> Result<Done, ServiceError> {
    let systemctl = Systemctl::open(scope)?;
    let shown = installed(&systemctl, scope)?;
    if shown.is_active() {
        return Ok(vec!["it runs already".into()]);
    }
    check_rights(scope)?;
    if systemctl.show(SOCKET)?.is_enabled() {
        systemctl.bring_up("start", SOCKET)?;
    }
    systemctl.bring_up("start", SERVICE)?;
    Ok(vec!["it is started".into()])
}

pub(super) fn stop(scope: Scope) -> Result<Done, ServiceError> {
    let systemctl = Systemctl::open(scope)?;
    let shown = installed(&systemctl, scope)?;
    // Sockets that go on listening would start it with the next client.
    let mut running = Vec::new();
    if systemctl.show(SOCKET)?.is_active() {
        running.push(SOCKET);
    }
    if !shown.is_stopped() {
        running.push(SERVICE);
    }
    if running.is_empty() {
        return Ok(vec!["it does not run".into()]);
    }
    check_rights(scope)?;
    systemctl.run(&[&["stop"], running.as_slice()].concat())?;
    Ok(vec!["it is stopped".into()])
}

pub(super) fn status(scope: Scope) -> Result<Status, ServiceError> {
    let systemctl = Systemctl::open(scope)?;
    let (shown, socket) = (systemctl.show(SERVICE)?, systemctl.show(SOCKET)?);
    let mut remarks = shown.remarks(scope);
    if scope == Scope::User && Systemctl::open(Scope::System)?.show(SERVICE)?.is_active() {
        remarks.push("a relay of the machine runs: hallpass service status --system".into());
    }
    if socket.is_active() {
        remarks.push(format!("{SOCKET} listens for it, and starts it when somebody connects"));
    }
    let place = shown.place();
    let is_ours = place.as_deref().is_some_and(|place| author(Path::new(place)).is_ok_and(|by| by == Some(Author::Us)));
    Ok(Status {
        name: SERVICE.into(),
        definition: place.map(|place| Definition { place, is_ours }),
        enabled: shown.is_enabled() || socket.is_enabled(),
        running: shown.is_active().then(|| Running { pid: shown.pid(), since: shown.since(), says: shown.says() }),
        remarks,
    })
}

pub(super) fn state_of_machine() -> Option<PathBuf> {
    Some(STATE_OF_MACHINE[0].into())
}

fn installed(systemctl: &Systemctl, scope: Scope) -> Result<Shown, ServiceError> {
    let shown = systemctl.show(SERVICE)?;
    if shown.is_loaded() {
        return Ok(shown);
    }
    Err(unix::not_installed(scope))
}

/// The machine's unit does not see into homes.
fn check_reach(service: &Service) -> Result<(), ServiceError> {
    let is_hidden = |path: &Path| {
        let path = path.canonicalize().unwrap_or_else(|_| path.into());
        HIDDEN.iter().any(|place| path.starts_with(place))
    };
    let program = &service.program;
    if is_hidden(program) {
        let what = format!("a service of the machine does not see {}", program.display());
        return Err(unix::wrong_place(what, program));
    }
    let mut paths = service.arguments.iter().map(Path::new).filter(|path| path.is_absolute());
    match paths.find(|path| is_hidden(path)) {
        Some(path) => {
            let hint = "put the file into /etc/hallpass";
            Err(ServiceError::refused(format!("a service of the machine does not see {}", path.display()), hint))
        }
        None => Ok(()),
    }
}

/// Whether there is another definition now than before.
fn put(directory: &Path, name: &str, text: String, scope: Scope, done: &mut Done) -> Result<bool, ServiceError> {
    let path = directory.join(name);
    let before = author(&path)?;
    if let Some(packaged) =
        packaged(scope, name).filter(|packaged| fs::read_to_string(packaged).is_ok_and(|is| is == text))
    {
        // What we wrote for other flags would stand before it.
        if before.is_some() {
            remove(&path, done)?;
        }
        done.push(format!("{} is what is wanted", packaged.display()));
        return Ok(before.is_some());
    }
    let text = signed::sign("#", "", &text);
    if unix::is_written(&path, &text) {
        done.push(format!("{} is what is wanted already", path.display()));
        return Ok(false);
    }
    unix::write(&path, &text)?;
    let instead = packaged(scope, name).map(|of| format!(", and stands before {}", of.display())).unwrap_or_default();
    done.push(match before {
        None => format!("{} is written{instead}", path.display()),
        Some(_) => format!("{} is written anew{instead}", path.display()),
    });
    Ok(true)
}

fn refuse_change(path: &Path, before: Option<Author>, manner: Manner) -> Result<(), ServiceError> {
    let name = path.file_name().unwrap_or_default().display();
    let more = format!("; changes of your own last in a drop-in, by systemctl edit {name}");
    unix::refuse_change(path, before, manner, &more)
}

fn refuse_masked(path: &Path) -> Result<(), ServiceError> {
    if !is_masked(path) {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().display();
    let what = format!("{name} is masked, so that nobody starts it");
    Err(ServiceError::refused(what, format!("systemctl unmask {name}")))
}

fn is_masked(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|to| to == Path::new("/dev/null"))
}

/// `None` where there is no file. A mask is an administrator's.
fn author(path: &Path) -> Result<Option<Author>, ServiceError> {
    if is_masked(path) {
        return Ok(Some(Author::Another));
    }
    Ok(unix::read(path)?.map(|text| signed::author(&text)))
}

/// The directories that were made for our unit alone.
fn remove_if_empty(directory: &Path) {
    for directory in directory.ancestors().take(2) {
        if fs::remove_dir(directory).is_err() {
            return;
        }
    }
}

fn directory(scope: Scope) -> Result<PathBuf, ServiceError> {
    if scope == Scope::System {
        return Ok("/etc/systemd/system".into());
    }
    let base = unix::told("XDG_CONFIG_HOME").or_else(|| unix::told("HOME").map(|home| home.join(".config")));
    Ok(base.ok_or_else(unix::no_home)?.join("systemd/user"))
}

/// The file of this name that a package has brought.
fn packaged(scope: Scope, name: &str) -> Option<PathBuf> {
    let places = ["/usr/local/lib/systemd", "/usr/lib/systemd", "/lib/systemd"];
    places.iter().map(|place| Path::new(place).join(scope.to_string()).join(name)).find(|path| path.is_file())
}
