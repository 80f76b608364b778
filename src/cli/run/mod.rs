//! `hallpass run`: one program with its proxy set to the relay, for it and what it starts alone.

mod environment;

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::Context as _;
use clap::Args;

use super::flags::Flags;
use super::{output, relay};

/// As shells say that a program is there and cannot be run, and that there is none.
const EXIT_NOT_RUNNABLE: u8 = 126;
const EXIT_NOT_FOUND: u8 = 127;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    flags: Flags,
    /// Certificates that the program is to trust as well, as PEM: those of a company that inspects TLS.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The program and its arguments; what begins with a dash belongs to it.
    #[arg(value_name = "CMD", trailing_var_arg = true, required = true)]
    command: Vec<OsString>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let relay = relay::find(&arguments.flags)?.peer_addr().context("the relay has gone")?;
    run_beside(relay, arguments)
}

/// The program's whole life, with the relay there.
fn run_beside(relay: SocketAddr, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Some((program, rest)) = arguments.command.split_first() else { return Ok(ExitCode::SUCCESS) };
    let mut command = Command::new(program);
    command.args(rest);
    environment::set(&mut command, relay, arguments.ca.as_deref());
    // What is to hold while the program runs begins here,
    let ended = command.status();
    // and ends here.
    match ended {
        Ok(status) => Ok(code_of(status)),
        Err(error) => Ok(not_started(program, &error)),
    }
}

fn code_of(status: ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

fn not_started(program: &OsString, error: &io::Error) -> ExitCode {
    let name = program.display();
    if error.kind() == io::ErrorKind::NotFound {
        output::complain(format_args!("hallpass: there is no program {name}"));
        return ExitCode::from(EXIT_NOT_FOUND);
    }
    output::complain(format_args!("hallpass: cannot start {name}: {error}"));
    ExitCode::from(EXIT_NOT_RUNNABLE)
}
