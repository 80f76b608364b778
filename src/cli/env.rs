//! `hallpass env`: tells other programs of the relay, by variables or in their own files.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;

use super::flags::Flags;
use super::{output, relay};
use crate::config::{self, Config};
use crate::tools::bundle::Certificates;
use crate::tools::files::{Journal, Outcome, Restored};
use crate::tools::shell::Shell;
use crate::tools::{self, Asked, FileRecipe, Recipe, Tool, variables};

#[derive(Debug, Args)]
pub struct Env {
    /// Whose lines: sh (bash and zsh too), fish, powershell or cmd [default: by $SHELL, else the system's].
    #[arg(long, value_name = "SHELL")]
    shell: Option<Shell>,
    /// Take the variables back instead.
    #[arg(long, conflicts_with_all = ["ca", "tool"])]
    unset: bool,
    /// Certificates to be trusted besides the system's, as PEM; a file with both is made for programs that can have only one.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Show what goes into the settings of this tool, such as claude, git, npm, pip, cargo, docker, vscode, maven, gradle, apt, bash.
    #[arg(long = "for", value_name = "TOOL", value_parser = tools::find, conflicts_with = "shell")]
    tool: Option<Tool>,
    /// Write it there. A second time changes nothing.
    #[arg(long, requires = "tool")]
    write: bool,
    /// Take back what was written: the file becomes what it was, to the byte, unless somebody has changed it since.
    #[arg(long, requires = "tool", conflicts_with_all = ["write", "ca"])]
    undo: bool,
    #[command(flatten)]
    flags: Flags,
}

pub fn run(arguments: &Env) -> anyhow::Result<ExitCode> {
    let variable = |name: &str| std::env::var(name).ok();
    let shell = arguments.shell.unwrap_or_else(|| Shell::usual(variable("SHELL").as_deref(), std::env::consts::OS));
    if arguments.unset {
        variables::names().into_iter().for_each(|name| output::say(shell.unset(name)));
        return Ok(ExitCode::SUCCESS);
    }
    let config = config::load(&arguments.flags.inputs())?.config;
    if let (true, Some(tool)) = (arguments.undo, arguments.tool) {
        return undo(tool, &config);
    }
    let found = relay::address(&arguments.flags)?;
    if !found.runs {
        output::complain(format_args!("no relay is running at {} yet: start one with hallpass serve", found.relay));
    }
    if config.access.token.is_some() {
        output::complain(
            "the relay asks for a token, which is written nowhere: add it to the address, as http://any:TOKEN@HOST:PORT",
        );
    }
    let certificates =
        arguments.ca.as_deref().map(|extra| Certificates::with(config.state_directory.as_deref(), extra));
    let certificates = certificates.transpose()?;
    let asked = Asked {
        relay: found.relay,
        for_containers: found.for_containers,
        trust: certificates.as_ref().map(Certificates::trust),
        variable: &variable,
        system: std::env::consts::OS,
    };
    match arguments.tool {
        Some(tool) => tell(tool, &asked, arguments.write, &config),
        None => {
            let no_proxy = ["no_proxy", "NO_PROXY"].into_iter().find_map(variable);
            let lines = shell.lines(&tools::variables_of(&asked, no_proxy.as_deref()));
            lines.iter().for_each(output::say);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn tell(tool: Tool, asked: &Asked<'_>, write: bool, config: &Config) -> anyhow::Result<ExitCode> {
    match tool.recipe(asked)? {
        Recipe::Advice(text) if write => {
            Err(anyhow!("{} has no file that hallpass could write. What is to be done:\n\n{text}", tool.name))
        }
        Recipe::Advice(text) => {
            output::say(text);
            Ok(ExitCode::SUCCESS)
        }
        Recipe::File(recipe) if write => {
            let journal = Journal::in_directory(config.state_directory.as_deref())?;
            let outcome = journal.apply(tool.name, &recipe.path, recipe.syntax, &recipe.settings)?;
            report(tool, &recipe, &outcome);
            Ok(ExitCode::SUCCESS)
        }
        Recipe::File(recipe) => {
            let journal = Journal::in_directory(config.state_directory.as_deref())?;
            let outcome = journal.plan(&recipe.path, recipe.syntax, &recipe.settings)?;
            show(tool, &recipe, &outcome)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What would be written, as it would stand in a file of its own.
fn show(tool: Tool, recipe: &FileRecipe, outcome: &Outcome) -> anyhow::Result<()> {
    let text = recipe.alone()?;
    output::complain(format_args!(
        "{} would have (hallpass env --for {} --write does it):\n",
        outcome.path.display(),
        tool.name
    ));
    output::say(text.trim_end());
    if !outcome.changed {
        output::complain(format_args!("\n{} is so already", outcome.path.display()));
    }
    for (key, before) in &outcome.replaced {
        output::complain(format_args!("\nin place of {key}: {before}"));
    }
    notes(recipe);
    Ok(())
}

fn report(tool: Tool, recipe: &FileRecipe, outcome: &Outcome) {
    let path = outcome.path.display();
    match outcome.changed {
        true => output::say(format_args!("{path} is written; hallpass env --for {} --undo takes it back", tool.name)),
        false => output::say(format_args!("{path} is so already: nothing is changed")),
    }
    for (key, before) in &outcome.replaced {
        output::say(format_args!("in place of {key}: {before} (kept for --undo)"));
    }
    if outcome.changed {
        notes(recipe);
    }
}

fn notes(recipe: &FileRecipe) {
    recipe.notes.iter().for_each(|note| output::complain(format_args!("note: {note}")));
}

fn undo(tool: Tool, config: &Config) -> anyhow::Result<ExitCode> {
    let Some(syntax) = tool.syntax else {
        return Err(anyhow!("nothing is ever written for {}: there is only advice", tool.name));
    };
    let restored = Journal::in_directory(config.state_directory.as_deref())?.undo(tool.name, syntax)?;
    if restored.is_empty() {
        output::say(format_args!("nothing was written for {}: nothing is changed", tool.name));
    }
    for Restored { path, removed, left } in restored {
        let path = path.display();
        match removed {
            true => output::say(format_args!("{path} is removed, as it was not there before")),
            false if left.is_empty() => output::say(format_args!("{path} is without it again")),
            false => output::say(format_args!("{path} has been changed since: what was still ours is out of it")),
        }
        for key in left {
            output::say(format_args!("left as it is now: {key}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
