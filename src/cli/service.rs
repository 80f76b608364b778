//! `hallpass service …`: the relay as a service of this machine or of the user.

mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use super::flags::Flags;
use super::{output, unseen};
use crate::config::{self, Environment, Inputs};
use crate::service::{self, Done, Leavings, Manner, Scope, Service};

/// As `systemctl status` ends for a unit that does not run.
const EXIT_NOT_RUNNING: u8 = 3;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Install the relay as a service and start it. Again with other flags, it takes them over.
    #[command(after_help = "Examples:\n  \
        hallpass service install\n  \
        hallpass service install --system --config /etc/hallpass/hallpass.toml\n  \
        hallpass service install --user --print")]
    Install(Box<Install>),
    /// Stop the service and remove it.
    #[command(after_help = "Example:\n  hallpass service uninstall --purge")]
    Uninstall(Uninstall),
    /// Start the service that is installed.
    #[command(after_help = "Example:\n  hallpass service start")]
    Start(Whose),
    /// Stop the service until it is started again, or the machine or session is.
    #[command(after_help = "Example:\n  hallpass service stop")]
    Stop(Whose),
    /// Say whether the service is installed, starts by itself and runs; exits with 3 where it does not run.
    #[command(after_help = "Example:\n  hallpass service status")]
    Status(Whose),
    /// What the service control manager of Windows starts.
    #[command(hide = true)]
    Run(Box<Flags>),
    /// Have what an installer has stopped go on, as somebody has made it.
    #[command(hide = true)]
    Resume(Whose),
    /// Make the directory of the machine's configuration, as an installer does.
    #[command(hide = true)]
    Prepare(Prepare),
}

#[derive(Debug, Args)]
pub struct Prepare {
    /// What stands there where nothing does yet.
    #[arg(long, value_name = "FILE")]
    configuration: Option<PathBuf>,
    /// Remove it and all that is in it.
    #[arg(long, conflicts_with = "configuration")]
    remove: bool,
}

#[derive(Debug, Args)]
pub struct Whose {
    /// The one of the user who is logged in [default, but for an administrator].
    #[arg(long = "user", id = "of_user", conflicts_with = "of_system")]
    user: bool,
    /// The one of the machine [default for an administrator].
    #[arg(long = "system", id = "of_system")]
    system: bool,
}

/// The name of the account has another flag here, because `--user` says whose service it is.
#[derive(Debug, Args)]
#[command(mut_arg("user", |account| account.long("account").value_name("USER")))]
pub struct Install {
    #[command(flatten)]
    whose: Whose,
    /// Show what would be installed, and change nothing.
    #[arg(long)]
    print: bool,
    /// Let it start with the machine or the session, and not now.
    #[arg(long)]
    no_start: bool,
    /// Let the system listen and hand its sockets to the relay: whoever connects while it starts anew has to wait, and is not refused.
    #[arg(long)]
    sockets: bool,
    /// Take the place of what somebody else has installed under the same name, or changed by hand.
    #[arg(long)]
    replace: bool,
    /// Leave what is installed as it was made, and start it unless it is not to be; without it, install.
    #[arg(long, hide = true, conflicts_with_all = ["print", "replace"])]
    keep: bool,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
pub struct Uninstall {
    #[command(flatten)]
    whose: Whose,
    /// Remove what the relay has kept, too: its record of refused log-ins, its copy of a script.
    #[arg(long)]
    purge: bool,
}

pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Install(arguments) => install(arguments),
        Command::Uninstall(arguments) => Ok(told(service::uninstall(arguments.whose.scope(), &arguments.leavings())?)),
        Command::Start(whose) => Ok(told(service::start(whose.scope())?)),
        Command::Stop(whose) => Ok(told(service::stop(whose.scope())?)),
        Command::Status(whose) => status(whose.scope()),
        Command::Run(flags) => {
            unseen::run_service(flags).context("only the service control manager starts this; try hallpass serve")?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Resume(whose) => {
            let done = service::resume(whose.scope(), &program()?)?;
            Ok(told(done.unwrap_or_else(|| vec!["nothing is installed".into()])))
        }
        Command::Prepare(arguments) if arguments.remove => Ok(told(service::remove_directory()?)),
        Command::Prepare(arguments) => Ok(told(service::prepare(arguments.configuration.as_deref())?)),
    }
}

fn told(done: Done) -> ExitCode {
    done.into_iter().for_each(output::say);
    ExitCode::SUCCESS
}

impl Whose {
    fn scope(&self) -> Scope {
        match (self.user, self.system) {
            (true, _) => Scope::User,
            (false, true) => Scope::System,
            (false, false) => service::default_scope(),
        }
    }
}

impl Uninstall {
    fn leavings(&self) -> Leavings {
        let environment = Environment::of_process();
        let state_directory = config::state_directory(&|name| environment.get(name).map(str::to_owned));
        Leavings { state_directory, purge: self.purge }
    }
}

/// Whether the configuration is right for the service only the service itself can tell, in its own name and place; so it
/// is not refused here, and what the service says when it starts is told.
fn install(arguments: &Install) -> anyhow::Result<ExitCode> {
    let (scope, flags) = (arguments.whose.scope(), &arguments.flags);
    if arguments.keep
        && let Some(done) = keep(scope, arguments.no_start)?
    {
        return Ok(told(done));
    }
    let manner = Manner { replace: arguments.replace, only_enable: arguments.no_start, sockets: arguments.sockets };
    let inputs = Inputs::of_service(flags.config.clone(), flags.no_config, flags.layer(), scope == Scope::User);
    let (listen, grace) = match config::load(&inputs) {
        Ok(loaded) => (loaded.config.listen.clone(), loaded.config.longest_end()),
        Err(mistakes) if manner.sockets => return Err(mistakes.into()),
        Err(mistakes) => {
            if arguments.print || arguments.no_start {
                output::complain(format_args!(
                    "as far as can be seen from here, the relay would not start:\n{mistakes}"
                ));
            }
            (config::DEFAULT_LISTEN.into(), config::DEFAULT_GRACE)
        }
    };
    if manner.sockets && listen.iter().any(|addr| addr.port() == 0) {
        bail!("--sockets needs a port that is known before the relay starts: listen = \"127.0.0.1:3128\"");
    }
    let arguments_of_serve = flags.arguments().context("the directory we are in is gone")?;
    let service = Service { scope, program: program()?, arguments: arguments_of_serve, listen, grace };
    if arguments.print {
        output::say(service::definition(&service, manner)?.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let done = service::install(&service, manner)?;
    let ours = Environment::of_process().our_names();
    if !ours.is_empty() {
        output::complain(format_args!(
            "the service does not see {} of this shell: write the values into the configuration file",
            ours.join(", ")
        ));
    }
    Ok(told(done))
}

/// `None`: there is nothing of ours.
fn keep(scope: Scope, only_enable: bool) -> anyhow::Result<Option<Done>> {
    if !only_enable {
        return Ok(service::resume(scope, &program()?)?);
    }
    let definition = service::status(scope)?.definition.filter(|definition| definition.is_ours);
    Ok(definition.map(|definition| vec![format!("{} stays as it was made", definition.place)]))
}

fn program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find our own executable")
}

fn status(scope: Scope) -> anyhow::Result<ExitCode> {
    let status = service::status(scope)?;
    output::say(text::of(&status, scope));
    Ok(if status.running.is_some() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NOT_RUNNING) })
}
