//! `hallpass login` and `hallpass logout`: the password in the store of the system.

use std::io;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::flags::Flags;
use super::output;
use super::prompt::{Terminal, password_of_stdin, unanswered};
use crate::auth::User;
use crate::config::{self, Credential, Loaded, Origin};
use crate::credential::{Source, store};
use crate::process;
use crate::secret::Secret;
use crate::state::State;

#[derive(Debug, Args)]
pub struct Login {
    /// Whose password: 'DOMAIN\user', user@REALM or user [default: the user of the configuration].
    #[arg(value_name = "USER")]
    whose: Option<User>,
    /// Read the password from stdin, one line, and never ask.
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
pub struct Logout {
    /// Whose password: 'DOMAIN\user', user@REALM or user [default: the user of the configuration].
    #[arg(value_name = "USER")]
    whose: Option<User>,
    #[command(flatten)]
    flags: Flags,
}

pub fn login(arguments: &Login) -> anyhow::Result<ExitCode> {
    process::leave_no_core();
    let loaded = config::load(&arguments.flags.inputs())?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let terminal = if arguments.password_stdin { None } else { Terminal::open(&runtime) };
    let asked = asked(arguments, &loaded, terminal.as_ref());
    // A line that is still waited for must not hold up the end.
    runtime.shutdown_background();
    let (user, password) = asked?;
    if password.expose().is_empty() {
        return Err(anyhow!("the password is empty: nothing was stored"));
    }
    let account = user.to_string();
    let kept = store::write(&account, &password).with_context(|| format!("the password of {account} is not stored"))?;
    for why in &kept.instead {
        output::complain(why);
    }
    let until = kept.until.map(|until| format!(", {until}")).unwrap_or_default();
    output::say(format_args!("the password of {account} is stored in {}{until}", kept.place));
    start_afresh(&loaded);
    output::say(how_it_is_used(&user, &loaded, &arguments.flags));
    Ok(ExitCode::SUCCESS)
}

fn asked(arguments: &Login, loaded: &Loaded, terminal: Option<&Terminal>) -> anyhow::Result<(User, Secret)> {
    let user = match (whose(arguments.whose.as_ref(), loaded)?, terminal) {
        (Some(user), _) => user,
        (None, Some(terminal)) => asked_user(terminal)?,
        (None, None) => return Err(anyhow!("whose password? Name the user: hallpass login 'DOMAIN\\user'")),
    };
    let password = match terminal {
        Some(terminal) => asked_password(terminal, &user)?,
        None => password_of_stdin()?,
    };
    Ok((user, password))
}

pub fn logout(arguments: &Logout) -> anyhow::Result<ExitCode> {
    let loaded = config::load(&arguments.flags.inputs())?;
    let user = whose(arguments.whose.as_ref(), &loaded)?;
    let account = user.ok_or_else(|| anyhow!("whose password? Name the user: hallpass logout 'DOMAIN\\user'"))?;
    let account = account.to_string();
    let removed = store::remove(&account).with_context(|| format!("the password of {account} may still be stored"));
    start_afresh(&loaded);
    let places = removed?;
    if places.is_empty() {
        output::say(format_args!("no password of {account} was stored"));
    }
    for place in places {
        output::say(format_args!("the password of {account} is removed from {place}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The user who was named, spelt as in the configuration; else the only one there.
fn whose(named: Option<&User>, loaded: &Loaded) -> anyhow::Result<Option<User>> {
    let mut users: Vec<&User> = Vec::new();
    for user in loaded.config.credentials.iter().filter_map(|credential| credential.user.as_ref()) {
        if !users.contains(&user) {
            users.push(user);
        }
    }
    if let Some(named) = named {
        let known = users.into_iter().find(|user| are_the_same(user, named));
        return Ok(Some(known.unwrap_or(named).clone()));
    }
    match users.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some((*only).clone())),
        several => {
            let names: Vec<String> = several.iter().map(|user| format!("'{user}'")).collect();
            Err(anyhow!("whose password? The configuration has several users: name one of {}", names.join(", ")))
        }
    }
}

/// Directories do not tell capitals apart.
fn are_the_same(one: &User, other: &User) -> bool {
    one.to_string().to_lowercase() == other.to_string().to_lowercase()
}

fn asked_user(terminal: &Terminal) -> anyhow::Result<User> {
    let line = terminal.line("User (DOMAIN\\user, user@REALM or user): ").map_err(nothing_stored)?;
    Ok(line.parse()?)
}

fn asked_password(terminal: &Terminal, user: &User) -> anyhow::Result<Secret> {
    terminal.password(&format!("Password of {user}: ")).map_err(nothing_stored)
}

fn nothing_stored(error: io::Error) -> anyhow::Error {
    unanswered(error, "nothing was stored")
}

/// A relay that runs tries again what it had given up.
pub(super) fn start_afresh(loaded: &Loaded) {
    let state = State::at(loaded.config.state_directory.clone());
    if let Err(error) = state.raise_generation() {
        output::complain(format_args!("a relay that runs is not told of it: {error}; restart it"));
    }
}

fn how_it_is_used(user: &User, loaded: &Loaded, flags: &Flags) -> String {
    let config = &loaded.config;
    match config.credentials.iter().find(|credential| credential.user.as_ref() == Some(user)) {
        Some(credential) => match stands_before(credential, loaded) {
            Some(first) => format!("but it is not used: {first} comes first; take that away to have this one used"),
            None => "hallpass uses it from now on".into(),
        },
        None => lines_to_add(user, loaded, flags),
    }
}

/// What the configuration asks before the store.
fn stands_before(credential: &Credential, loaded: &Loaded) -> Option<String> {
    if matches!(credential.secret, Some(Source::Store(_))) {
        return None;
    }
    let keys = ["password", "password_command", "nt_hash", "keytab"];
    keys.into_iter().find_map(|key| match loaded.origin(&["credentials", &credential.name, key]) {
        Origin::Default => None,
        Origin::Variable(name) => Some(name),
        origin @ (Origin::File { .. } | Origin::Flag(_) | Origin::Managed(_)) => Some(format!("{key} ({origin})")),
    })
}

fn lines_to_add(user: &User, loaded: &Loaded, flags: &Flags) -> String {
    let variable = |name: &str| std::env::var(name).ok();
    let file = flags
        .config
        .as_ref()
        .map(|path| config::place_for(path, &variable))
        .or_else(|| config::user_file(&variable))
        .filter(|_| !flags.no_config);
    let taken = |name: &str| loaded.config.credentials.iter().any(|credential| credential.name == name);
    let name = ["default", "login"].into_iter().find(|name| !taken(name)).unwrap_or("another");
    let quoted = toml::Value::String(user.to_string());
    match file.filter(|file| file.exists()) {
        Some(file) => format!(
            "no configuration names this user; to have the password used, add to {}:\n\n[credentials.{name}]\nuser = {quoted}",
            file.display()
        ),
        None => format!(
            "no configuration names this user; to have the password used, write one:\n\n\
             hallpass config init --user '{user}'"
        ),
    }
}
