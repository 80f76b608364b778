//! `hallpass login` and `hallpass logout`: the password in the store of the system.

use std::io::{self, BufRead, IsTerminal, Read};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use zeroize::Zeroizing;

use super::flags::Flags;
use super::output;
use crate::auth::User;
use crate::config::{self, Credential, Loaded, Origin};
use crate::credential::{Source, store};
use crate::process;
use crate::secret::Secret;
use crate::state::State;

/// No password is longer; a longer line is some other file.
const MAX_PASSWORD: u64 = 64 * 1024;

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
    let may_ask = !arguments.password_stdin && io::stdin().is_terminal();
    let user = match whose(arguments.whose.as_ref(), &loaded)? {
        Some(user) => user,
        None if may_ask => asked_user()?,
        None => return Err(anyhow!("whose password? Name the user: hallpass login 'DOMAIN\\user'")),
    };
    let password = if may_ask { asked_password(&user)? } else { password_of_stdin()? };
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

fn asked_user() -> anyhow::Result<User> {
    output::ask("User (DOMAIN\\user, user@REALM or user): ");
    let mut line = String::new();
    io::stdin().read_line(&mut line).context("cannot read the user")?;
    Ok(line.trim_end_matches(['\r', '\n']).parse()?)
}

/// From the terminal itself, without echo, once: a wrong one is found out by the first logon, which is only one.
fn asked_password(user: &User) -> anyhow::Result<Secret> {
    catch_interrupts().context("cannot prepare to ask")?;
    match rpassword::prompt_password(format!("Password of {user}: ")) {
        Ok(text) => Ok(Secret::new(text)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(anyhow!("interrupted: nothing was stored")),
        Err(error) => {
            Err(error).context("cannot ask for the password here: hallpass login --password-stdin reads it from stdin")
        }
    }
}

/// Ctrl-C must not end us before the terminal shows again what is typed; whoever asks hears of it and gives up.
fn catch_interrupts() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Asked once is enough: what is caught stays caught.
    runtime.block_on(async {
        let _nobody_has_pressed_it_yet = tokio::time::timeout(Duration::ZERO, tokio::signal::ctrl_c()).await;
    });
    Ok(())
}

fn password_of_stdin() -> anyhow::Result<Secret> {
    let mut line = Zeroizing::new(Vec::with_capacity(1024));
    let read = io::stdin().lock().take(MAX_PASSWORD + 1).read_until(b'\n', &mut line);
    let length = read.context("cannot read the password from stdin")?;
    if length as u64 > MAX_PASSWORD {
        return Err(anyhow!("the line on stdin is longer than 64 KiB: that is no password"));
    }
    for end in [b'\n', b'\r'] {
        if line.last() == Some(&end) {
            line.pop();
        }
    }
    let text = std::str::from_utf8(&line).map_err(|_| anyhow!("the password on stdin is not UTF-8 text"))?;
    Ok(Secret::new(text))
}

/// A relay that runs tries again what it had given up.
fn start_afresh(loaded: &Loaded) {
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
        origin @ (Origin::File { .. } | Origin::Flag(_)) => Some(format!("{key} ({origin})")),
    })
}

fn lines_to_add(user: &User, loaded: &Loaded, flags: &Flags) -> String {
    let variable = |name: &str| std::env::var(name).ok();
    let file = flags.config.clone().or_else(|| config::user_file(&variable)).filter(|_| !flags.no_config);
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
             hallpass config init --user '{user}' --upstream http://PROXY:PORT"
        ),
    }
}
