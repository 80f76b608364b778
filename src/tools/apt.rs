//! apt: a file of our own in the machine's directory, the same for http and https (apt-transport-http(1)).

use super::change::Setting;
use super::syntax::Syntax;
use super::{Asked, Cannot, FileRecipe, Recipe, Tool};

/// Late, so that it counts; a directory of `Dir::Etc::parts` may be named for trying.
const DIRECTORY: &str = "/etc/apt/apt.conf.d";
const NAME: &str = "95hallpass";

pub const APT: Tool = Tool { name: "apt", aliases: &["apt-get"], syntax: Some(Syntax::Whole), recipe };

fn recipe(asked: &Asked<'_>) -> Result<Recipe, Cannot> {
    let url = asked.url();
    let text = format!("Acquire::http::Proxy \"{url}/\";\nAcquire::https::Proxy \"{url}/\";\n");
    let mut notes = vec![
        "this is for all users of the machine, and apt works only while the relay runs".to_string(),
        "the relay must serve root and _apt: users = [\"self\", \"root\", \"_apt\"] in [access]".into(),
    ];
    if asked.trust.is_some() {
        notes.push("apt trusts the system's store: put the certificate into /usr/local/share/ca-certificates and run update-ca-certificates".into());
    }
    let path = std::path::Path::new(DIRECTORY).join(NAME);
    Ok(Recipe::File(FileRecipe { path, syntax: Syntax::Whole, settings: vec![Setting::is(&["apt"], text)], notes }))
}
