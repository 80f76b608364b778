//! `hallpass config show`: what counts, and where each value stands.

use std::path::Path;

use clap::Args;

use super::init::found;
use crate::cli::flags::Flags;
use crate::cli::output;
use crate::config::{self, Files, Inputs, Loaded};

#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    flags: Flags,
    /// Only what stands in a file, a variable or a flag, without the defaults.
    #[arg(long)]
    written: bool,
}

pub fn run(arguments: &Show) -> anyhow::Result<()> {
    let inputs = arguments.flags.inputs();
    let loaded = config::load(&inputs)?;
    for warning in &loaded.warnings {
        output::complain(format_args!("{warning} [a warning only]"));
    }
    heading(&inputs, &loaded).iter().for_each(output::say);
    let toml = if arguments.written { loaded.written_to_toml() } else { loaded.to_toml() };
    output::say(format_args!("\n{}", toml.trim()));
    Ok(())
}

/// Comments: what is printed can be a file.
fn heading(inputs: &Inputs, loaded: &Loaded) -> Vec<String> {
    let mut lines = vec![
        "# What counts. Behind each value where it stands: file:line:column, a variable, a flag, or nowhere (default)."
            .into(),
    ];
    let read = |path: &Path| loaded.config.files.iter().any(|file| file == path);
    let (machine, user) = match &inputs.files {
        Files::Standard { machine, user } => (Some(machine), user.as_ref()),
        Files::Only(path) => (None, Some(path)),
        Files::Nothing => (None, None),
    };
    for path in machine.into_iter().chain(user) {
        let what = if read(path) { "read" } else { "not there" };
        lines.push(format!("# {what}: {}", path.display()));
    }
    if loaded.config.files.is_empty() {
        lines.push("# No file was read; hallpass config init writes one.".into());
    }
    if loaded.config.says_nothing_of_routes() {
        lines.push(format!("# No way is configured, so the system's settings count: {}.", of_the_system(loaded)));
    }
    lines
}

fn of_the_system(loaded: &Loaded) -> String {
    let found = found::way(&loaded.config.environment, &loaded.config.listen, loaded.config.state_directory.clone());
    match &found.way {
        Some(way) => format!("{} names {way}", found.source),
        None => "they name no proxy, and everything goes direct".into(),
    }
}
