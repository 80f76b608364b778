//! Maven: the first active `proxy` of a protocol counts, and https is content with one of http only where there is no other.

use super::change::Setting;
use super::syntax::Syntax;
use super::{Asked, Cannot, FileRecipe, Recipe, Tool};

pub const MAVEN: Tool = Tool { name: "maven", aliases: &["mvn"], syntax: Some(Syntax::Maven), recipe };

fn recipe(asked: &Asked<'_>) -> Result<Recipe, Cannot> {
    let settings = ["https", "http"].map(|protocol| {
        let id = format!("hallpass-{protocol}");
        let element = format!(
            "<proxy>\n      <id>{id}</id>\n      <active>true</active>\n      <protocol>{protocol}</protocol>\n      \
             <host>{}</host>\n      <port>{}</port>\n      <nonProxyHosts>localhost|127.*|[::1]</nonProxyHosts>\n    </proxy>",
            asked.relay.ip(),
            asked.relay.port()
        );
        Setting::is(&[&id], element)
    });
    let mut notes = vec!["ours stand first, so other proxies in the file are not asked".to_string()];
    notes.extend(java_trust(asked));
    let path = asked.home()?.join(".m2").join("settings.xml");
    Ok(Recipe::File(FileRecipe { path, syntax: Syntax::Maven, settings: settings.into(), notes }))
}

/// What reads certificates from no file that we could write.
pub(super) fn java_trust(asked: &Asked<'_>) -> Option<String> {
    asked.trust.map(|trust| {
        format!(
            "Java has a trust store of its own: keytool -importcert -cacerts -noprompt -alias corporate -file '{}'",
            trust.extra.display()
        )
    })
}
