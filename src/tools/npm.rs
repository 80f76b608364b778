//! npm, and pnpm, which reads the same file: `proxy` for http, `https-proxy` for https, `cafile` in place of all certificates.

use super::change::{Setting, Wanted};
use super::syntax::{Dialect, Syntax};
use super::variables::exceptions;
use super::{Asked, Cannot, FileRecipe, Recipe, Tool};

const SYNTAX: Syntax = Syntax::Lines(Dialect::Npm);

pub const NPM: Tool = Tool { name: "npm", aliases: &["pnpm", "npx"], syntax: Some(SYNTAX), recipe };

fn recipe(asked: &Asked<'_>) -> Result<Recipe, Cannot> {
    let named = ["npm_config_userconfig", "NPM_CONFIG_USERCONFIG"].into_iter().find_map(|name| asked.path(name));
    let path = match named {
        Some(path) => path,
        None => asked.home()?.join(".npmrc"),
    };
    let no_proxy = Wanted::Of(|before| exceptions(before.unwrap_or_default()));
    let mut settings = vec![
        Setting::is(&["proxy"], asked.url()),
        Setting::is(&["https-proxy"], asked.url()),
        Setting { key: vec!["noproxy".into()], value: no_proxy },
    ];
    settings.extend(asked.combined().map(|file| Setting::is(&["cafile"], file)));
    let notes = vec!["a project's own .npmrc goes before this".into()];
    Ok(Recipe::File(FileRecipe { path, syntax: SYNTAX, settings, notes }))
}
