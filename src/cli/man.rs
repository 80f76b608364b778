//! `hallpass man`: the manual pages, made from the commands themselves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Args, Command};
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
    let mut command = super::command().disable_help_subcommand(true);
    command.build();
    match &arguments.all {
        Some(directory) => {
            let written = fs::create_dir_all(directory).and_then(|()| write_all(&command, directory));
            written.with_context(|| format!("cannot write manual pages into {}", directory.display()))?;
        }
        None => {
            let (_, roff) = page(find(&command, &arguments.path)?).context("cannot make the manual page")?;
            output::raw(|out| out.write_all(roff.as_bytes())).context("cannot write the manual page")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write_all(command: &Command, directory: &Path) -> io::Result<()> {
    let (name, roff) = page(command)?;
    fs::write(directory.join(name), roff)?;
    let shown = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    shown.into_iter().try_for_each(|inner| write_all(inner, directory))
}

/// With the name of its file. What stands below the flags are examples, and the page says so.
fn page(command: &Command) -> io::Result<(String, String)> {
    let (man, mut bytes) = (Man::new(command.clone()), Vec::new());
    man.render(&mut bytes)?;
    let roff = String::from_utf8_lossy(&bytes).replace("\n.SH EXTRA\n", "\n.SH EXAMPLES\n");
    Ok((man.get_filename(), roff))
}

fn find<'a>(command: &'a Command, path: &[String]) -> anyhow::Result<&'a Command> {
    path.iter().try_fold(command, |found, word| {
        let inner = found.find_subcommand(word);
        inner.ok_or_else(|| anyhow!("there is no command {word:?}: hallpass --help names them"))
    })
}
