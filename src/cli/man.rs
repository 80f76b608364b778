//! `hallpass man`: the manual pages, made from the commands themselves.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Args;
use clap_mangen::Man;

use super::output;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Of this command only, such as login or config check [default: hallpass itself].
    #[arg(value_name = "COMMAND")]
    path: Vec<String>,
    /// Write a page for each command into this directory instead, for packages.
    #[arg(long, value_name = "DIR", conflicts_with = "path")]
    all: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let command = super::command();
    match &arguments.all {
        Some(directory) => {
            std::fs::create_dir_all(directory)
                .and_then(|()| clap_mangen::generate_to(command, directory))
                .with_context(|| format!("cannot write manual pages into {}", directory.display()))?;
        }
        None => {
            let page = Man::new(named(command, &arguments.path)?);
            output::raw(|out| page.render(out)).context("cannot write the manual page")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The command at the end of the path.
fn named(mut command: clap::Command, path: &[String]) -> anyhow::Result<clap::Command> {
    command.build();
    let mut found = &command;
    for word in path {
        found = found
            .find_subcommand(word)
            .ok_or_else(|| anyhow!("there is no command {word:?}: hallpass --help names them"))?;
    }
    Ok(found.clone())
}
