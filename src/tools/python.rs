//! pip, whose file knows `global.proxy` and `global.cert` (in place of all certificates), and uv, which reads variables.

use std::path::PathBuf;

use super::change::Setting;
use super::syntax::{Dialect, Syntax};
use super::{Asked, Cannot, FileRecipe, Recipe, Tool, shells};

const SYNTAX: Syntax = Syntax::Lines(Dialect::Pip);

pub const PIP: Tool = Tool { name: "pip", aliases: &["pip3", "python"], syntax: Some(SYNTAX), recipe };

pub const UV: Tool = Tool { name: "uv", aliases: &["uvx"], syntax: None, recipe: advice };

fn recipe(asked: &Asked<'_>) -> Result<Recipe, Cannot> {
    let mut settings = vec![Setting::is(&["global", "proxy"], asked.url())];
    settings.extend(asked.combined().map(|file| Setting::is(&["global", "cert"], file)));
    let path = match asked.path("PIP_CONFIG_FILE") {
        Some(path) => path,
        None => of_user(asked)?,
    };
    let notes = vec!["a pip.conf in a virtual environment goes before this".into()];
    Ok(Recipe::File(FileRecipe { path, syntax: SYNTAX, settings, notes }))
}

/// pip's "user" file: what it reads last of the person's.
fn of_user(asked: &Asked<'_>) -> Result<PathBuf, Cannot> {
    if asked.is_windows() {
        return Ok(asked.app_data()?.join("pip").join("pip.ini"));
    }
    let library = asked.home()?.join("Library/Application Support/pip");
    let directory = if asked.is_macos() && library.is_dir() { library } else { asked.config()?.join("pip") };
    Ok(directory.join("pip.conf"))
}

fn advice(asked: &Asked<'_>) -> Result<Recipe, Cannot> {
    let lines = shells::usual(asked).lines(&super::variables_of(asked, None)).join("\n");
    Ok(Recipe::Advice(format!(
        "uv reads the variables; in a shell:\n\n{lines}\n\nor for good: hallpass env --for {} --write",
        shells::name_of_usual(asked)
    )))
}
