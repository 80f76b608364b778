//! From flags, the system and answers to a configuration that was seen to work.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tokio::runtime::Runtime;

use super::attempt::{Account, Outcome, judge};
use super::draft::{Draft, Way, for_trial, user};
use super::{Init, found, words};
use crate::auth::User;
use crate::cli::output;
use crate::cli::prompt::{Terminal, password_of_stdin};
use crate::config::{Config, Environment, Loaded};
use crate::credential::store;
use crate::daemon::{self, Trial};
use crate::mechanism;
use crate::proxy::Proxy;
use crate::route::pac::named_hops;
use crate::secret::Secret;

const PASSWORD_VARIABLE: &str = "HALLPASS_PASSWORD";

pub struct Dialog<'a> {
    arguments: &'a Init,
    runtime: &'a Runtime,
    person: Option<Terminal<'a>>,
    environment: Environment,
    draft: Draft,
    password: Option<Password>,
    /// A second wrong password is the last one: directories count them.
    has_retried: bool,
}

struct Password {
    secret: Secret,
    /// What a variable holds stays there.
    is_to_be_stored: bool,
}

/// What is to be written.
pub struct Settled {
    pub loaded: Loaded,
    pub keep: Keep,
}

pub enum Keep {
    Nothing,
    Store { user: User, password: Secret },
}

enum Step {
    Again,
    /// The rest is not tried.
    Untried,
    /// Whether the password, if there is one, was accepted.
    Done {
        proven: bool,
    },
}

impl<'a> Dialog<'a> {
    pub fn new(arguments: &'a Init, runtime: &'a Runtime) -> Self {
        Self {
            arguments,
            runtime,
            person: if arguments.password_stdin { None } else { Terminal::open(runtime) },
            environment: Environment::of_process(),
            draft: Draft::of(&arguments.flags),
            password: None,
            has_retried: false,
        }
    }

    /// Nobody to be asked is a no.
    pub fn may_replace(&mut self, path: &Path) -> anyhow::Result<bool> {
        match &self.person {
            Some(_) => self.confirm(&words::replace(path), false),
            None => Ok(false),
        }
    }

    pub fn settle(&mut self) -> anyhow::Result<Settled> {
        let flags = self.draft.load()?;
        self.password = self.given_password(user(&flags.config).is_some())?;
        if !self.draft.names_a_way() {
            self.find_way(&flags.config)?;
        }
        if self.arguments.no_try {
            return self.untried();
        }
        loop {
            match self.attempt()? {
                Step::Again => {}
                Step::Untried => return self.untried(),
                Step::Done { proven } => return self.settled(proven),
            }
        }
    }

    fn given_password(&self, names_user: bool) -> anyhow::Result<Option<Password>> {
        if self.arguments.password_stdin {
            if !names_user {
                return Err(words::missing("--user", "whose password?", "--user 'DOMAIN\\user'").into());
            }
            let secret = password_of_stdin()?;
            return match secret.expose().is_empty() {
                true => Err(anyhow!("the password on stdin is empty: {}", words::NOTHING_DONE)),
                false => Ok(Some(Password { secret, is_to_be_stored: true })),
            };
        }
        let variable = self.environment.get(PASSWORD_VARIABLE).filter(|text| names_user && !text.is_empty());
        Ok(variable.map(|text| Password { secret: Secret::new(text), is_to_be_stored: false }))
    }

    fn find_way(&mut self, config: &Config) -> anyhow::Result<()> {
        let found = found::way(&self.environment, &config.listen, config.state_directory.clone());
        found.notes.iter().for_each(output::complain);
        if !self.draft.has_exceptions() && !found.exceptions.is_empty() {
            self.draft.except(found.exceptions.clone());
        }
        let Some(person) = &self.person else {
            let Some(way) = &found.way else {
                let hint = "--upstream HOST:PORT, or --pac with the address of a script";
                return Err(
                    words::missing("--upstream", "the system names no proxy, so one is to be named", hint).into()
                );
            };
            output::complain(words::taken(way, &found.source));
            self.draft.lead(way);
            return Ok(());
        };
        if found.way.is_none() {
            output::complain(words::NO_PROXY_FOUND);
        }
        loop {
            let answer = person.line(&words::way(&found)).map_err(words::unanswered)?;
            let way = match (&found.way, answer.is_empty()) {
                (Some(way), true) => way.clone(),
                (None, true) => continue,
                (_, false) => Way::parse(&answer),
            };
            if lead(&mut self.draft, &way) {
                return Ok(());
            }
        }
    }

    /// One trial, and what follows from it.
    fn attempt(&mut self) -> anyhow::Result<Step> {
        let (trial, account) = match self.trusting_the_script()? {
            Some(problem) => {
                output::complain(problem);
                return self.out_of_reach();
            }
            None => self.try_out()?,
        };
        let (outcome, said) = judge(&trial, &self.arguments.try_target, &account);
        output::complain(said);
        let loaded = self.draft.load()?;
        match (outcome, user(&loaded.config)) {
            (Outcome::Works { scheme } | Outcome::Forbidden { scheme: scheme @ Some(_) }, _) => {
                Ok(Step::Done { proven: scheme.is_some() })
            }
            (Outcome::Forbidden { scheme: None } | Outcome::Direct, Some(_)) => Ok(Step::Done { proven: false }),
            (Outcome::Forbidden { scheme: None } | Outcome::Direct, None) => {
                self.ask_account_if_any()?;
                Ok(Step::Done { proven: false })
            }
            (Outcome::WantsAccount, None) => self.ask_account(None),
            (Outcome::WantsAccount, Some(user)) if self.password.is_none() => self.ask_password(user),
            (Outcome::WantsAccount | Outcome::WrongPassword, user) => self.ask_once_more(user),
            (Outcome::WantsBasic, _) => self.ask_basic(),
            (Outcome::Locked, _) => Err(anyhow!(words::NOTHING_DONE)),
            (Outcome::OutOfReach, _) => self.out_of_reach(),
        }
    }

    fn try_out(&self) -> anyhow::Result<(Trial, Account)> {
        let config = self.draft.load()?.config;
        let target = &self.arguments.try_target;
        let account = match user(&config) {
            Some(user) if self.password.is_some() || may_do_without_password(user) => Account::Known(user.to_string()),
            Some(_) => Account::Nobody,
            None => mechanism::ticket_owner()
                .map_or(Account::Nobody, |owner| Account::Known(format!("the ticket of {owner}"))),
        };
        output::complain(format_args!("Trying {} with {target} …", way_of(&config)));
        let tried = for_trial(&config, self.password.as_ref().map(|password| &password.secret));
        let trial = self.wait_for(async {
            let proxy = daemon::survey_for_trial(&tried).await?;
            Ok::<_, daemon::StartError>(daemon::try_out(&proxy, target).await)
        })??;
        Ok((trial, account))
    }

    /// The upstreams that the script names today may receive the credential; tomorrow's are for the user to add. What is
    /// given back is why there is no script.
    fn trusting_the_script(&mut self) -> anyhow::Result<Option<String>> {
        if !self.draft.has_script() || self.draft.names_recipients() {
            return Ok(None);
        }
        let config = for_trial(&self.draft.load()?.config, None);
        let proxy: Arc<Proxy> = self.wait_for(daemon::survey(&config))??;
        let standing = &proxy.standing;
        let Some(text) = &standing.pac_text else {
            let why = standing.pac.as_ref().and_then(|pac| pac.problem.clone()).unwrap_or_else(|| "it is empty".into());
            return Ok(Some(format!("{} cannot be used: {why}.", way_of(&config))));
        };
        let mut hosts: Vec<String> = Vec::new();
        for upstream in named_hops(text) {
            let host = upstream.target.host.to_string();
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        if hosts.is_empty() {
            output::complain(
                "The script names no proxy: write those that may receive a credential into for = [] there.",
            );
        } else {
            self.draft.trust(hosts);
        }
        Ok(None)
    }

    fn out_of_reach(&mut self) -> anyhow::Result<Step> {
        let Some(person) = &self.person else {
            return Err(anyhow!("{}; --no-try writes the file without trying", words::NOTHING_DONE));
        };
        loop {
            let answer = person.line(words::OTHER_WAY).map_err(words::unanswered)?;
            if answer.eq_ignore_ascii_case(words::KEEP) {
                return Ok(Step::Untried);
            }
            if answer.is_empty() || lead(&mut self.draft, &Way::parse(&answer)) {
                return Ok(Step::Again);
            }
        }
    }

    fn ask_account(&mut self, known: Option<&User>) -> anyhow::Result<Step> {
        if self.person.is_none() {
            let hint = "--user 'DOMAIN\\user', with --password-stdin for its password";
            return Err(words::missing("--user", "the proxy asks for a log-in, and no user is named", hint).into());
        }
        let found = known.cloned().or_else(|| found::user(&self.environment));
        let user = loop {
            let answer = self.ask(&words::user(found.as_ref()))?;
            match (answer.is_empty(), &found) {
                (true, Some(user)) => break user.clone(),
                (true, None) => {}
                (false, _) => match parsed_user(&answer) {
                    Some(user) => break user,
                    None => continue,
                },
            }
        };
        self.draft.name_user(&user);
        match known.is_none() && may_do_without_password(&user) {
            true => Ok(Step::Again),
            false => self.ask_password(&user),
        }
    }

    fn ask_account_if_any(&mut self) -> anyhow::Result<()> {
        if self.person.is_none() {
            return Ok(());
        }
        loop {
            let answer = self.ask(words::USER_IF_ANY)?;
            if answer.is_empty() {
                return Ok(());
            }
            if let Some(user) = parsed_user(&answer) {
                self.draft.name_user(&user);
                return self.ask_untried_password(&user);
            }
        }
    }

    fn ask_password(&mut self, user: &User) -> anyhow::Result<Step> {
        let Some(person) = &self.person else {
            let hint = "--password-stdin reads it from stdin, --no-try writes the file without one";
            return Err(
                words::missing("--password-stdin", &format!("the password of {user} is not known"), hint).into()
            );
        };
        loop {
            let secret = person.password(&words::password(user)).map_err(words::unanswered)?;
            if !secret.expose().is_empty() {
                self.password = Some(Password { secret, is_to_be_stored: true });
                return Ok(Step::Again);
            }
            output::complain("The password is empty.");
        }
    }

    fn ask_untried_password(&mut self, user: &User) -> anyhow::Result<()> {
        let Some(person) = self.person.as_ref().filter(|_| self.password.is_none()) else { return Ok(()) };
        let secret = person.password(&words::password_untried(user)).map_err(words::unanswered)?;
        if !secret.expose().is_empty() {
            self.password = Some(Password { secret, is_to_be_stored: true });
        }
        Ok(())
    }

    fn ask_once_more(&mut self, user: Option<&User>) -> anyhow::Result<Step> {
        if self.person.is_none() || self.has_retried || !self.confirm(words::RETRY, false)? {
            return Err(anyhow!(words::NOTHING_DONE));
        }
        self.has_retried = true;
        self.ask_account(user)
    }

    fn ask_basic(&mut self) -> anyhow::Result<Step> {
        if self.person.is_none() {
            return Err(anyhow!("{}; --scheme negotiate,ntlm,digest,basic allows it", words::NOTHING_DONE));
        }
        if !self.confirm(words::BASIC, false)? {
            return Err(anyhow!(words::NOTHING_DONE));
        }
        self.draft.allow_basic();
        Ok(Step::Again)
    }

    /// What was not asked for a trial is asked now.
    fn untried(&mut self) -> anyhow::Result<Settled> {
        if let Some(problem) = self.trusting_the_script()? {
            output::complain(format_args!(
                "{problem} Write the proxies that may receive a credential into for = [] there."
            ));
        }
        match user(&self.draft.load()?.config) {
            Some(user) if !may_do_without_password(user) => self.ask_untried_password(user)?,
            Some(_) => {}
            None => self.ask_account_if_any()?,
        }
        let loaded = self.draft.load()?;
        let keep = self.to_be_kept(&loaded);
        Ok(Settled { loaded, keep })
    }

    fn settled(&mut self, proven: bool) -> anyhow::Result<Settled> {
        let loaded = self.draft.load()?;
        let keep = self.to_be_kept(&loaded);
        let keep = match (&keep, &self.person) {
            (Keep::Store { .. }, Some(_)) if !proven && !self.confirm(words::STORE_UNTRIED, true)? => Keep::Nothing,
            (Keep::Store { .. }, None) if !proven => {
                return Err(anyhow!(
                    "the password could not be tried, so {}; --try-target names another target, --no-try stores it untried",
                    words::NOTHING_DONE
                ));
            }
            (Keep::Store { .. } | Keep::Nothing, _) => keep,
        };
        Ok(Settled { loaded, keep })
    }

    fn to_be_kept(&self, loaded: &Loaded) -> Keep {
        match (user(&loaded.config), &self.password) {
            (Some(user), Some(password)) if password.is_to_be_stored => {
                Keep::Store { user: user.clone(), password: password.secret.clone() }
            }
            _ => Keep::Nothing,
        }
    }

    fn ask(&self, question: &str) -> anyhow::Result<String> {
        let person = self.person.as_ref().context("there is nobody to ask")?;
        person.line(question).map_err(words::unanswered)
    }

    fn confirm(&self, question: &str, default: bool) -> anyhow::Result<bool> {
        loop {
            match self.ask(question)?.to_lowercase().as_str() {
                "" => return Ok(default),
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => output::complain("y or n?"),
            }
        }
    }

    fn wait_for<T>(&self, work: impl Future<Output = T>) -> anyhow::Result<T> {
        match &self.person {
            Some(person) => person.unless_interrupted(work).map_err(words::unanswered),
            None => Ok(self.runtime.block_on(work)),
        }
    }
}

/// Whether it can be one. If not, a person is told why.
fn lead(draft: &mut Draft, way: &Way) -> bool {
    let mut next = draft.clone();
    next.lead(way);
    match next.load() {
        Ok(_) => *draft = next,
        Err(mistakes) => {
            output::complain(words::wrong(&mistakes));
            return false;
        }
    }
    true
}

fn parsed_user(answer: &str) -> Option<User> {
    answer.parse().map_err(|error| output::complain(format_args!("That is no user: {error}."))).ok()
}

/// There is a ticket of theirs, or a password from before.
fn may_do_without_password(user: &User) -> bool {
    let is_theirs = |owner: String| {
        let (name, _) = owner.rsplit_once('@').unwrap_or((&owner, ""));
        name.to_lowercase() == user.name.to_lowercase()
    };
    mechanism::ticket_owner().is_ok_and(is_theirs)
        || matches!(store::read(&user.to_string()), Ok(store::Found::Secret(_)))
}

fn way_of(config: &Config) -> String {
    match &config.routing.pac {
        Some(script) => format!("the PAC script {}", script.written),
        None => {
            let all: Vec<String> = config.upstreams.iter().map(|upstream| upstream.endpoint.to_string()).collect();
            all.join(", ")
        }
    }
}
