//! Shells: a block of variables, between two marks, in the file that an interactive shell reads.

use std::path::PathBuf;

use super::change::Setting;
use super::shell::Shell;
use super::syntax::{Mark, Syntax};
use super::{Asked, Cannot, FileRecipe, Recipe, Tool};

/// Comments begin so in all of them.
const SYNTAX: Syntax = Syntax::Block(Mark("#"));

pub const SH: Tool = Tool {
    name: "sh",
    aliases: &["profile", "dash", "ksh"],
    syntax: Some(SYNTAX),
    recipe: |asked| of(asked, Shell::Sh, asked.home()?.join(".profile")),
};

pub const BASH: Tool = Tool {
    name: "bash",
    aliases: &[],
    syntax: Some(SYNTAX),
    recipe: |asked| of(asked, Shell::Sh, asked.home()?.join(".bashrc")),
};

pub const ZSH: Tool = Tool { name: "zsh", aliases: &[], syntax: Some(SYNTAX), recipe: zsh };

pub const FISH: Tool = Tool {
    name: "fish",
    aliases: &[],
    syntax: Some(SYNTAX),
    recipe: |asked| of(asked, Shell::Fish, asked.config()?.join("fish").join("config.fish")),
};

/// That which comes with Windows.
pub const POWERSHELL: Tool = Tool {
    name: "powershell",
    aliases: &[],
    syntax: Some(SYNTAX),
    recipe: |asked| of(asked, Shell::PowerShell, powershell(asked, "WindowsPowerShell")?),
};

pub const PWSH: Tool = Tool {
    name: "pwsh",
    aliases: &[],
    syntax: Some(SYNTAX),
    recipe: |asked| of(asked, Shell::PowerShell, powershell(asked, "PowerShell")?),
};

fn zsh(asked: &Asked<'_>) -> Result<Recipe, Cannot> {
    let directory = match asked.path("ZDOTDIR") {
        Some(path) => path,
        None => asked.home()?,
    };
    of(asked, Shell::Sh, directory.join(".zshrc"))
}

/// For all hosts of the current user (about_Profiles).
fn powershell(asked: &Asked<'_>, product: &str) -> Result<PathBuf, Cannot> {
    Ok(match asked.is_windows() {
        true => asked.home()?.join("Documents").join(product).join("profile.ps1"),
        false => asked.config()?.join("powershell").join("profile.ps1"),
    })
}

fn of(asked: &Asked<'_>, shell: Shell, path: PathBuf) -> Result<Recipe, Cannot> {
    let body = shell.lines(&super::variables_of(asked, None)).join("\n");
    let notes = vec!["shells that run do not see it: open a new one".to_string()];
    Ok(Recipe::File(FileRecipe { path, syntax: SYNTAX, settings: vec![Setting::is(&["variables"], body)], notes }))
}

/// The person's.
pub(super) fn usual(asked: &Asked<'_>) -> Shell {
    Shell::usual((asked.variable)("SHELL").as_deref(), asked.system)
}

/// As a tool of ours is called.
pub(super) fn name_of_usual(asked: &Asked<'_>) -> &'static str {
    let shell = (asked.variable)("SHELL").unwrap_or_default();
    let program = shell.rsplit('/').next().unwrap_or_default();
    match usual(asked) {
        Shell::Fish => "fish",
        Shell::PowerShell | Shell::Cmd => "powershell",
        Shell::Sh if program == "bash" => "bash",
        Shell::Sh if program == "zsh" => "zsh",
        Shell::Sh => "sh",
    }
}
