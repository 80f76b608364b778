//! git: `http.proxy` for http and https alike; `NO_PROXY` is heeded beside it (git-config(1), http.c).

use super::change::Setting;
use super::syntax::{Dialect, Syntax};
use super::{Asked, Cannot, FileRecipe, Recipe, Tool};

const SYNTAX: Syntax = Syntax::Lines(Dialect::Git);

pub const GIT: Tool = Tool { name: "git", aliases: &[], syntax: Some(SYNTAX), recipe };

fn recipe(asked: &Asked<'_>) -> Result<Recipe, Cannot> {
    let mut settings = vec![Setting::is(&["http", "proxy"], asked.url())];
    settings.extend(asked.combined().map(|file| Setting::is(&["http", "sslCAInfo"], file)));
    let of_home = asked.home()?.join(".gitconfig");
    let of_xdg = asked.config()?.join("git").join("config");
    // git's own choice: the second where only that one is there.
    let usual = if !of_home.exists() && of_xdg.exists() { of_xdg } else { of_home };
    let path = asked.path("GIT_CONFIG_GLOBAL").unwrap_or(usual);
    let mut notes = vec!["http.<URL>.proxy and a repository's own http.proxy go before this".to_string()];
    if asked.is_windows() && asked.trust.is_some() {
        notes.push("git for Windows trusts the system's store unless http.sslBackend is openssl".into());
    }
    Ok(Recipe::File(FileRecipe { path, syntax: SYNTAX, settings, notes }))
}
