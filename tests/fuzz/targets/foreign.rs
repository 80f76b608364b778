//! Files of other programs: read for `config import`, and changed and put back by `env --write` and `--undo`.

use std::net::SocketAddr;
use std::path::Path;

use hallpass::config::export::{self, Half, Hive, Scope};
use hallpass::config::import::{self, Tool, exported};
use hallpass::tools::{self, Asked, Recipe, change};

/// The first byte says whose settings they are.
pub fn import(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let tool = [Tool::Cntlm, Tool::Px, Tool::Alpaca, Tool::Environment][usize::from(*which) % 4];
    let text = import::decode(bytes);
    let _known = import::tool_of("f", &text);
    let imported = import::file(tool, "f", &text);
    assert!(imported.lines.len() <= text.lines().count());
    let settings = &imported.settings;
    let file = format!("{}\n{}", settings.top(), settings.tables());
    let parsed = toml::from_str::<toml::Table>(&file);
    assert!(parsed.is_ok(), "{parsed:?}\n{file:?}");
    assert!(imported.lines.iter().all(|line| !line.to_string().contains(char::is_control)));
    let Some(hash) = settings.nt_hash.as_deref() else { return };
    // A user may be called as the hash is written.
    let is_hidden = |line: String| !line.to_lowercase().contains(hash);
    assert!(
        settings.user.iter().any(|user| user.contains(hash))
            || imported.lines.iter().map(ToString::to_string).all(is_hidden)
    );
}

/// The first byte says what it is called. What is read is written as text that reads as the same.
pub fn exported(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let name = ["f.reg", "f.mobileconfig", "f.toml"][usize::from(*which) % 3];
    let read = |name: &str, bytes: &[u8]| exported::read(Path::new(name), bytes);
    let Some(Ok(portable)) = read(name, bytes) else { return };
    let text = export::toml(&portable, Half::Locked);
    let again = read("f.toml", text.as_bytes()).and_then(Result::ok);
    let again = again.unwrap_or_else(|| panic!("what we wrote cannot be read:\n{text}"));
    assert_eq!(export::toml(&again, Half::Locked), text);
    let _written = (
        export::registry_file(&portable, Hive::User, Half::Recommended),
        export::mobileconfig(&portable, Scope::User, Half::Locked),
    );
}

/// The first byte says whose file it is; none is there if that is all.
pub fn tool_settings(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let tool = tools::ALL[usize::from(*which) % tools::ALL.len()];
    let before = Some(bytes).filter(|bytes| !bytes.is_empty());
    let (Some(first), Some(second)) = (recipe(tool, 3128), recipe(tool, 4128)) else { return };
    let Ok(written) = change::write(first.syntax, &first.settings, before, None) else { return };
    let again = change::write(first.syntax, &first.settings, Some(&written.bytes), Some(&written.kept));
    assert_eq!(again.expect("what we wrote can be read").bytes, written.bytes, "a second time");
    let moved = change::write(first.syntax, &second.settings, Some(&written.bytes), Some(&written.kept));
    let moved = moved.expect("what we wrote can be read");
    let undone = change::undo(first.syntax, Some(&moved.bytes), &moved.kept).expect("what we wrote can be read");
    assert_eq!(undone.bytes.as_deref(), before, "{}", String::from_utf8_lossy(&moved.bytes));
}

fn recipe(tool: tools::Tool, port: u16) -> Option<tools::FileRecipe> {
    let variable = |name: &str| (name == "HOME").then(|| "/home/alice".to_owned());
    let relay = SocketAddr::from(([127, 0, 0, 1], port));
    let asked = Asked { relay, for_containers: Some(relay), trust: None, variable: &variable, system: "linux" };
    match tool.recipe(&asked) {
        Ok(Recipe::File(recipe)) => Some(recipe),
        Ok(Recipe::Advice(_)) | Err(_) => None,
    }
}
