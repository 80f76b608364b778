//! The commands: arguments in, exit code out. A file each; this one only knows their names.

mod completions;
mod config;
mod connect;
pub mod demo;
mod doctor;
mod env;
mod explain;
mod flags;
mod guard;
mod login;
mod man;
mod output;
mod prompt;
mod relay;
mod run;
mod serve;
mod service;
mod status;
mod unseen;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::Mistakes;

/// Usage or configuration is wrong; 1 is everything that fails at run time.
const EXIT_MISTAKE: u8 = 2;
const EXIT_FAILED: u8 = 1;

/// A local relay that authenticates to corporate proxies for the tools that cannot.
#[derive(Debug, Parser)]
#[command(
    name = "hallpass",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        hallpass config init --upstream proxy.corp.example:8080 --user 'CORP\\alice'\n  \
        hallpass login\n  \
        hallpass\n\n\
        What an error means: docs/errors.md. All commands and keys: docs/manual.md."
)]
struct Arguments {
    #[command(flatten)]
    flags: flags::Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay in the foreground; what hallpass does without a command.
    #[command(after_help = "Example:\n  hallpass serve --upstream proxy.corp.example:8080 --user 'CORP\\alice'")]
    Serve(flags::Flags),
    /// Show hallpass at work: a practice corporate proxy, the relay in front of it and a client, in one process.
    #[command(after_help = "Example:\n  hallpass demo --once --scheme digest")]
    Demo(demo::Arguments),
    /// Connect stdin and stdout to HOST:PORT through the relay that runs; for ssh: ProxyCommand hallpass connect %h:%p.
    #[command(after_help = "Example, with ssh:\n  \
        hallpass connect git.example.com:22\n  \
        ssh -o ProxyCommand='hallpass connect %h:%p' git@git.example.com")]
    Connect(connect::Arguments),
    /// Run one program with its proxy set to the relay.
    #[command(after_help = "Examples:\n  \
        hallpass run -- git clone https://github.com/rust-lang/log\n  \
        hallpass run --app Claude\n  \
        hallpass run --system -- ./Setup.exe")]
    Run(run::Arguments),
    /// Tell other programs of the relay: variables for the shell, or the settings of git, npm, Claude Code and others.
    #[command(after_help = "Examples:\n  \
        eval \"$(hallpass env)\"\n  \
        hallpass env --for claude --write\n  \
        hallpass env --for claude --undo")]
    Env(env::Env),
    /// Say how the relay that runs stands: its profile, its script, its hops.
    #[command(after_help = "Examples:\n  \
        hallpass status --watch\n  \
        hallpass status --retry")]
    Status(status::Status),
    /// Look for what is wrong with the way out, and say what to do.
    #[command(after_help = "Examples:\n  \
        hallpass doctor\n  \
        hallpass doctor --preset claude")]
    Doctor(doctor::Doctor),
    /// Say which way a request would go from here, and why.
    #[command(after_help = "Example:\n  hallpass explain https://github.com/ intranet.corp.example:443")]
    Explain(explain::Explain),
    /// Put the account's password into the system's store of secrets, from where the relay takes it.
    #[command(after_help = "Examples:\n  \
        hallpass login 'CORP\\alice'\n  \
        hallpass login --password-stdin < password")]
    Login(login::Login),
    /// Take the account's password out of the system's store of secrets.
    #[command(after_help = "Example:\n  hallpass logout 'CORP\\alice'")]
    Logout(login::Logout),
    /// Write, show or check the configuration.
    #[command(subcommand, after_help = "Example:\n  hallpass config check")]
    Config(config::Command),
    /// Have the machine run the relay: from your log-in on, or as a service of the system.
    #[command(
        subcommand,
        after_help = "Examples:\n  \
        hallpass service install\n  \
        hallpass service status\n  \
        hallpass service install --print --system"
    )]
    Service(service::Command),
    /// Put back the system's proxy settings when a process ends; what run --system starts by itself.
    #[command(hide = true)]
    Guard(guard::Arguments),
    /// Print the manual page of hallpass or of a command, or write all of them into a directory.
    #[command(after_help = "Examples:\n  \
        hallpass man login > hallpass-login.1\n  \
        hallpass man --all /usr/local/share/man/man1")]
    Man(man::Arguments),
    /// Print what a shell needs to complete commands and flags.
    #[command(after_help = "Examples:\n  \
        hallpass completions bash > ~/.local/share/bash-completion/completions/hallpass\n  \
        hallpass completions zsh > ~/.zfunc/_hallpass\n  \
        hallpass completions fish > ~/.config/fish/completions/hallpass.fish\n  \
        hallpass completions powershell >> $PROFILE")]
    Completions(completions::Arguments),
}

/// All commands and flags there are.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// The relay without a console: what hallpassw is.
pub fn serve_unseen() -> ExitCode {
    guard::put_back_what_is_left();
    unseen::run_program()
}

pub fn run() -> ExitCode {
    let result = match Arguments::try_parse() {
        Ok(arguments) => dispatch(arguments.command.unwrap_or(Command::Serve(arguments.flags))),
        Err(usage) => return output::usage(&usage),
    };
    result.unwrap_or_else(|error| failed(&error))
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    // A guard has its own to put back, when its time has come.
    if !matches!(command, Command::Guard(_)) {
        guard::put_back_what_is_left();
    }
    match command {
        Command::Serve(flags) => serve::run(&flags),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Connect(arguments) => connect::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Env(arguments) => env::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Login(arguments) => login::login(&arguments),
        Command::Logout(arguments) => login::logout(&arguments),
        Command::Config(command) => config::run(command),
        Command::Service(command) => service::run(&command),
        Command::Guard(arguments) => guard::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Mistakes>() {
        Some(mistakes) => output::complain(mistakes),
        None => output::complain(format_args!("hallpass: {error:#}")),
    }
    ExitCode::from(exit_code(error))
}

/// Managers do not start again what ended by a mistake, so what may pass by itself is none of theirs.
fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Mistakes>() {
        Some(mistakes) if !mistakes.may_pass() => EXIT_MISTAKE,
        Some(_) | None => EXIT_FAILED,
    }
}
