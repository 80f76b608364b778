//! Claude Code, which takes variables for itself and the programs it starts from its settings, and Claude Desktop, which
//! goes by the system.

use serde_json::Value;

use super::change::{Setting, Wanted};
use super::syntax::Syntax;
use super::variables::exceptions;
use super::{Asked, Cannot, FileRecipe, Recipe, Tool};

pub const CODE: Tool = Tool { name: "claude", aliases: &["claude-code"], syntax: Some(Syntax::Json), recipe };

pub const DESKTOP: Tool = Tool { name: "claude-desktop", aliases: &[], syntax: None, recipe: advice };

fn recipe(asked: &Asked<'_>) -> Result<Recipe, Cannot> {
    let directory = match asked.path("CLAUDE_CONFIG_DIR") {
        Some(path) => path,
        None => asked.home()?.join(".claude"),
    };
    let of_env = |(name, value): &(&'static str, std::ffi::OsString)| {
        let value = match name.eq_ignore_ascii_case("NO_PROXY") {
            true => Wanted::Of(more_exceptions),
            false => Wanted::Is(Value::String(value.to_string_lossy().into_owned()).to_string()),
        };
        Setting { key: vec!["env".into(), (*name).into()], value }
    };
    let settings = super::variables_of(asked, None).iter().map(of_env).collect();
    let notes = vec![
        "Claude Code that runs must be started anew".into(),
        "what the organisation manages goes before this, and so do a project's .claude/settings.json and settings.local.json".into(),
    ];
    Ok(Recipe::File(FileRecipe { path: directory.join("settings.json"), syntax: Syntax::Json, settings, notes }))
}

/// The value is JSON.
fn more_exceptions(before: Option<&str>) -> String {
    let before = before.and_then(|text| serde_json::from_str::<String>(text).ok()).unwrap_or_default();
    Value::String(exceptions(&before)).to_string()
}

fn advice(asked: &Asked<'_>) -> Result<Recipe, Cannot> {
    let url = asked.url();
    let system = match asked.system {
        "windows" => format!("Settings > Network & Internet > Proxy > Use a proxy server: {url}"),
        "macos" => format!(
            "System Settings > Network > (the network) > Details > Proxies: HTTP and HTTPS, server {}, port {}",
            asked.relay.ip(),
            asked.relay.port()
        ),
        _ => format!(
            "the desktop's network settings: HTTP and HTTPS proxy {} port {}",
            asked.relay.ip(),
            asked.relay.port()
        ),
    };
    let start = match asked.system {
        "windows" => "hallpass run --system --app Claude",
        "macos" => "hallpass run --system -- /Applications/Claude.app/Contents/MacOS/Claude",
        _ => "hallpass run --system -- claude-desktop",
    };
    Ok(Recipe::Advice(format!(
        "Claude Desktop has no setting of its own for a proxy: it goes by the system's, and its helpers by the variables it was \
         started with. Quit it (also in the tray) and start it with both:\n\n    {start}\n\nor set the system's proxy for good:\n\n    \
         {system}\n\nIts Code tab reads Claude Code's settings: hallpass env --for claude --write. An MCP server takes \
         variables from \"env\" of its entry in claude_desktop_config.json: HTTPS_PROXY={url}"
    )))
}
