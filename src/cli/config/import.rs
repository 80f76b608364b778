//! `hallpass config import`: a configuration file from what another tool was told.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};

use super::place;
use crate::cli::output;
use crate::config::export::{self, Half};
use crate::config::import::{self, Imported, Tool};
use crate::config::{self, Environment, Files, Inputs, Layer, Loaded, Mistake, Mistakes, PolicyPlace};

#[derive(Debug, Args)]
pub struct Import {
    /// cntlm.conf, cntlm.ini, px.ini, a profile that sets NTLM_CREDENTIALS, what config export wrote, or - for standard input. Without it the variables
    /// of this shell are read: https_proxy and its kin, no_proxy, NTLM_CREDENTIALS.
    file: Option<PathBuf>,
    /// Whose settings they are, where neither the file's name nor its content says so.
    #[arg(long, value_name = "TOOL")]
    from: Option<From>,
    /// Print the configuration instead of writing it; the report goes to standard error.
    #[arg(long)]
    print: bool,
    /// Write this file instead of the usual one.
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    config: Option<PathBuf>,
    /// Replace a file that is there already; what it held stays beside it.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    Cntlm,
    Px,
    Alpaca,
    Environment,
}

pub fn run(arguments: &Import) -> anyhow::Result<()> {
    if let Some(text) = of_ours(arguments)? {
        return keep(arguments, &text);
    }
    let imported = read(arguments)?;
    if imported.lines.is_empty() {
        return Err(anyhow!(
            "nothing in it is about a proxy, so there is nothing to take; --from says whose file it is"
        ));
    }
    let say: fn(&str) = if arguments.print { |line| output::complain(line) } else { |line| output::say(line) };
    imported.lines.iter().for_each(|line| say(&line.to_string()));
    say(&imported.tally().to_string());
    keep(arguments, &checked(&imported)?)?;
    if !arguments.print {
        next_steps(&imported);
    }
    Ok(())
}

/// Prints it or writes it, as is wished.
fn keep(arguments: &Import, text: &str) -> anyhow::Result<()> {
    if arguments.print {
        output::say(text.trim_end());
        return Ok(());
    }
    let path = place::destination(arguments.config.as_ref())?;
    if path.exists() && !arguments.force {
        return Err(anyhow!("{} is there already; --force replaces it", path.display()));
    }
    place::written(&path, text)
}

/// What `config export` wrote: it has our own keys, so there is nothing to report line by line.
fn of_ours(arguments: &Import) -> anyhow::Result<Option<String>> {
    let Some(path) = arguments.file.as_ref().filter(|path| arguments.from.is_none() && *path != Path::new("-")) else {
        return Ok(None);
    };
    let Some(read) = import::exported::read(path, &bytes(path)?) else { return Ok(None) };
    let portable = read?;
    if portable.is_empty() {
        return Err(anyhow!("{} says nothing of hallpass", path.display()));
    }
    let text = export::toml(&portable, Half::Locked);
    load_draft(&text)?;
    Ok(Some(text))
}

fn read(arguments: &Import) -> anyhow::Result<Imported> {
    let tool = arguments.from.map(|from| match from {
        From::Cntlm => Tool::Cntlm,
        From::Px => Tool::Px,
        From::Alpaca => Tool::Alpaca,
        From::Environment => Tool::Environment,
    });
    let Some(path) = &arguments.file else {
        return match tool {
            None | Some(Tool::Environment | Tool::Alpaca) => Ok(import::environment(&|name| std::env::var(name).ok())),
            Some(Tool::Cntlm | Tool::Px) => Err(anyhow!("name the file: hallpass config import /etc/cntlm.conf")),
        };
    };
    let text = import::decode(&bytes(path)?);
    let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    let tool = tool.or_else(|| import::tool_of(&name, &text)).with_context(|| {
        format!("{} is no file of cntlm, Px or alpaca that hallpass knows; --from says whose it is", path.display())
    })?;
    Ok(import::file(tool, &name, &text))
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = match path == Path::new("-") {
        true => {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes).map(|_| bytes)
        }
        false => fs::read(path),
    };
    read.with_context(|| format!("cannot read {}", path.display()))
}

/// The text of the file, which `config check` accepts.
fn checked(imported: &Imported) -> anyhow::Result<String> {
    let settings = &imported.settings;
    let loaded = load_draft(&[settings.top(), settings.tables()].join("\n"))?;
    let profiles = place::office_and_home(&loaded.config);
    let parts = [settings.top(), place::TEMPLATE.into(), settings.tables(), profiles];
    Ok(parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n"))
}

/// As `config check` reads it, and for nobody else's eyes.
fn load_draft(draft: &str) -> anyhow::Result<Loaded> {
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let path = directory.path().join("hallpass.toml");
    config::write_private(&path, draft, false).context("cannot write a temporary file")?;
    let inputs = Inputs {
        files: Files::Only(path),
        environment: Environment::default(),
        flags: Layer::default(),
        policy: PolicyPlace::Nowhere,
    };
    config::load(&inputs).map_err(|mistakes| does_not_fit(&mistakes))
}

/// Where the mistakes stand is of no use, as that file is gone.
fn does_not_fit(mistakes: &Mistakes) -> anyhow::Error {
    let said = mistakes.0.iter().map(|Mistake { key, problem, .. }| {
        let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{key}: {}{hint}", problem.message)
    });
    anyhow!(
        "nothing was written, because what was taken does not fit together; correct it in the old file, and try again:\n{}",
        said.collect::<Vec<_>>().join("\n")
    )
}

fn next_steps(imported: &Imported) {
    let settings = &imported.settings;
    if settings.has_no_way_out() {
        output::say(
            "it names no proxy and no script, so hallpass goes by the system's settings; --upstream or [upstreams.office] names one",
        );
    }
    if settings.pac.is_some() {
        output::say(
            "the proxies that the script names get your credential only where for = [\"*.corp.example\"] in [credentials.NAME] covers them",
        );
    }
    if let Some(user) = settings.lacks_password_of() {
        output::say(format_args!("the password is still needed; run: hallpass login '{user}'"));
    }
    output::say("then see whether it works: hallpass doctor");
}
