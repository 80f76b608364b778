//! Gradle: Java's properties, handed on by `systemProp.`. Java leaves loopback out by itself.

use super::change::Setting;
use super::syntax::{Dialect, Syntax};
use super::{Asked, Cannot, FileRecipe, Recipe, Tool, maven};

const SYNTAX: Syntax = Syntax::Lines(Dialect::Properties);

pub const GRADLE: Tool = Tool { name: "gradle", aliases: &["gradlew"], syntax: Some(SYNTAX), recipe };

fn recipe(asked: &Asked<'_>) -> Result<Recipe, Cannot> {
    let directory = match asked.path("GRADLE_USER_HOME") {
        Some(path) => path,
        None => asked.home()?.join(".gradle"),
    };
    let of = |protocol: &str| {
        [
            Setting::is(&[&format!("systemProp.{protocol}.proxyHost")], asked.relay.ip().to_string()),
            Setting::is(&[&format!("systemProp.{protocol}.proxyPort")], asked.relay.port().to_string()),
        ]
    };
    let settings = ["http", "https"].iter().flat_map(|protocol| of(protocol)).collect();
    let mut notes = vec!["a daemon that runs keeps what it knew: gradle --stop".to_string()];
    notes.extend(maven::java_trust(asked));
    Ok(Recipe::File(FileRecipe { path: directory.join("gradle.properties"), syntax: SYNTAX, settings, notes }))
}
