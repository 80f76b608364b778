//! `hallpass config export`: the configuration as IT hands it out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};

use crate::cli::flags::Flags;
use crate::cli::output;
use crate::config::export::{self, Half, Hive, Portable, Scope, admx};
use crate::config::{self, Loaded};

#[derive(Debug, Args)]
pub struct Export {
    /// mobileconfig: a profile for macOS. reg: a file for the registry's Policies branch. admx: the templates by which Group
    /// Policy and Intune ask for each key. txt: a hallpass.toml, which is a policy.toml as well.
    #[arg(long, value_name = "FORMAT")]
    format: Format,
    /// Write this file; of admx, which is two files, the directory. Without it what is one file is printed.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// For the machine (HKLM, scope System) or for single users (HKCU, scope User).
    #[arg(long, value_name = "WHOM", default_value = "machine")]
    scope: Whom,
    /// Recommend the values, so that users may change them, instead of locking them.
    #[arg(long)]
    recommended: bool,
    /// Only what stands in a file, a variable, a flag or a policy; this is so without --defaults, too.
    #[arg(long, conflicts_with = "defaults")]
    written: bool,
    /// With the defaults, which are then fixed for later versions as well.
    #[arg(long)]
    defaults: bool,
    /// Go on though no proxy has ever accepted the credential.
    #[arg(long)]
    untried: bool,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Mobileconfig,
    Reg,
    Admx,
    Txt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Whom {
    Machine,
    User,
}

pub fn run(arguments: &Export) -> anyhow::Result<()> {
    if arguments.format == Format::Admx {
        return templates(arguments);
    }
    let loaded = config::load(&arguments.flags.inputs())?;
    for warning in &loaded.warnings {
        output::complain(format_args!("{warning} [a warning only]"));
    }
    if !arguments.untried {
        refuse_untried(&loaded)?;
    }
    let portable = Portable::of(&loaded, arguments.defaults);
    if portable.is_empty() {
        return Err(anyhow!("nothing is configured, so there is nothing to export; --defaults exports the defaults"));
    }
    for key in &portable.left_out {
        output::complain(format_args!(
            "{key} is left out: a secret in plain text is not handed to other machines; \"${{file:/path}}\", password_command or hallpass login there"
        ));
    }
    for credential in &loaded.config.credentials {
        if let Some(user) = portable.user_of(&credential.name) {
            output::complain(format_args!(
                "{user} becomes the account of everybody who gets this; leave user out of [credentials.{}] for each to have their own",
                credential.name
            ));
        }
    }
    let bytes = arguments.written_as(&portable)?;
    match &arguments.out {
        Some(path) => {
            fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
            output::say(format_args!("written: {}", path.display()));
            Ok(())
        }
        None => output::raw(|out| out.write_all(&bytes)).context("cannot print it"),
    }
}

impl Export {
    fn written_as(&self, portable: &Portable) -> anyhow::Result<Vec<u8>> {
        let half = if self.recommended { Half::Recommended } else { Half::Locked };
        Ok(match (self.format, self.scope) {
            (Format::Mobileconfig, Whom::Machine) => export::mobileconfig(portable, Scope::System, half)?,
            (Format::Mobileconfig, Whom::User) => export::mobileconfig(portable, Scope::User, half)?,
            (Format::Reg, Whom::Machine) => export::registry_file(portable, Hive::Machine, half),
            (Format::Reg, Whom::User) => export::registry_file(portable, Hive::User, half),
            (Format::Txt | Format::Admx, _) => export::toml(portable, half).into_bytes(),
        })
    }
}

/// They are of the program, not of this configuration, so none is needed.
fn templates(arguments: &Export) -> anyhow::Result<()> {
    let directory =
        arguments.out.as_ref().ok_or_else(|| anyhow!("admx is two files: name their directory with --out"))?;
    let files =
        [(directory.join("hallpass.admx"), admx::admx()), (directory.join("en-US/hallpass.adml"), admx::adml())];
    for (path, text) in &files {
        let cannot_write = || format!("cannot write {}", path.display());
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).with_context(cannot_write)?;
        fs::write(path, text).with_context(cannot_write)?;
        output::say(format_args!("written: {}", path.display()));
    }
    Ok(())
}

/// What locks out one user at once locks out thousands when it is handed out.
fn refuse_untried(loaded: &Loaded) -> anyhow::Result<()> {
    let untried = super::tried::untried(&loaded.config);
    if untried.is_empty() {
        return Ok(());
    }
    Err(anyhow!(
        "no proxy is known to have accepted the credential {}: hallpass config check --try tries it, or any request through hallpass \
         does; --untried exports the configuration all the same, as is needed where a Kerberos ticket did it, of which \
         nothing is recorded",
        super::join(untried.into_iter())
    ))
}
