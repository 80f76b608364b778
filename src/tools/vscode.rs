//! VS Code and what is made of it: `http.proxy` in the person's settings.

use serde_json::{Value, json};

use super::change::{Setting, Wanted};
use super::syntax::Syntax;
use super::{Asked, Cannot, FileRecipe, Recipe, Tool};

pub const VSCODE: Tool = Tool {
    name: "vscode",
    aliases: &["code", "vs-code"],
    syntax: Some(Syntax::Json),
    recipe: |asked| recipe(asked, "Code"),
};

pub const VSCODIUM: Tool = Tool {
    name: "vscodium",
    aliases: &["codium"],
    syntax: Some(Syntax::Json),
    recipe: |asked| recipe(asked, "VSCodium"),
};

pub const CURSOR: Tool =
    Tool { name: "cursor", aliases: &[], syntax: Some(Syntax::Json), recipe: |asked| recipe(asked, "Cursor") };

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

fn recipe(asked: &Asked<'_>, product: &str) -> Result<Recipe, Cannot> {
    let base = match asked.system {
        "windows" => asked.app_data()?,
        "macos" => asked.home()?.join("Library/Application Support"),
        _ => asked.config()?,
    };
    let path = match asked.path("VSCODE_PORTABLE") {
        Some(portable) => portable.join("user-data"),
        None => base.join(product),
    };
    let settings = vec![
        Setting::is(&["http.proxy"], json!(asked.url()).to_string()),
        Setting { key: vec!["http.noProxy".into()], value: Wanted::Of(more_exceptions) },
    ];
    let notes = vec![
        "a profile and a workspace with settings of their own go before this, and so does --proxy-server".into(),
        "its terminals have the variables of the shell: hallpass env --for bash --write or another shell".into(),
    ];
    Ok(Recipe::File(FileRecipe { path: path.join("User/settings.json"), syntax: Syntax::Json, settings, notes }))
}

/// A list, in JSON.
fn more_exceptions(before: Option<&str>) -> String {
    let mut list: Vec<Value> = before.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let missing = LOOPBACK.into_iter().map(Value::from).filter(|name| !list.contains(name));
    let missing: Vec<Value> = missing.collect();
    list.extend(missing);
    Value::Array(list).to_string()
}
