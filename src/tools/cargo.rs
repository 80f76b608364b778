//! cargo: `http.proxy` and `http.cainfo` (in place of all certificates) in its own configuration; rustup reads variables.

use super::change::Setting;
use super::syntax::Syntax;
use super::{Asked, Cannot, FileRecipe, Recipe, Tool};

pub const CARGO: Tool = Tool { name: "cargo", aliases: &["rust"], syntax: Some(Syntax::Toml), recipe };

fn recipe(asked: &Asked<'_>) -> Result<Recipe, Cannot> {
    let directory = match asked.path("CARGO_HOME") {
        Some(path) => path,
        None => asked.home()?.join(".cargo"),
    };
    // The name without an ending goes before the other.
    let old = directory.join("config");
    let path = if old.is_file() { old } else { directory.join("config.toml") };
    let text = |value: String| toml::Value::String(value).to_string();
    let mut settings = vec![Setting::is(&["http", "proxy"], text(asked.url()))];
    settings.extend(asked.combined().map(|file| Setting::is(&["http", "cainfo"], text(file))));
    let notes = vec![
        "rustup reads the variables only".into(),
        "with net.git-fetch-with-cli cargo asks git: see hallpass env --for git".into(),
    ];
    Ok(Recipe::File(FileRecipe { path, syntax: Syntax::Toml, settings, notes }))
}
