//! `hallpass completions SHELL`: what a shell needs to complete commands and flags.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clap_complete::{Shell, generate};

use super::output;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Whose completion.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    generate(arguments.shell, &mut super::command(), "hallpass", &mut script);
    output::raw(|out| out.write_all(&script)).context("cannot write the completion")?;
    Ok(ExitCode::SUCCESS)
}
