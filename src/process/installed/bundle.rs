//! The `Info.plist` of an application of macOS.

use std::collections::BTreeMap;
use std::path::Path;

use super::xml;
use super::{Installed, Start};

/// `bundle`: the directory whose name ends in `.app`; `list`: its `Info.plist`, as XML.
pub fn installed(bundle: &Path, list: &[u8]) -> Option<Installed> {
    let mut values = strings(list)?;
    let stem = bundle.file_stem()?.to_string_lossy().into_owned();
    let executable = values.remove("CFBundleExecutable").filter(|name| !name.contains('/'));
    let start = executable.as_ref().map_or_else(
        || Err(format!("{} names no executable", bundle.join("Contents/Info.plist").display())),
        |name| Ok(Start { program: bundle.join("Contents/MacOS").join(name), ..Start::default() }),
    );
    let mut names = vec![stem];
    names.extend(
        ["CFBundleDisplayName", "CFBundleName", "CFBundleIdentifier"].into_iter().filter_map(|key| values.remove(key)),
    );
    names.extend(executable);
    Some(Installed { id: bundle.to_string_lossy().into_owned(), names, is_shown: true, start })
}

/// Those of the outermost dictionary.
fn strings(list: &[u8]) -> Option<BTreeMap<String, String>> {
    let (mut values, mut key) = (BTreeMap::new(), None);
    for element in xml::elements(list)? {
        match element.path.as_str() {
            "plist/dict/key" => key = Some(element.text),
            "plist/dict/string" => values.extend(key.take().map(|key| (key, element.text))),
            _ => {}
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAUDE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
  <dict>
    <key>CFBundleDisplayName</key>
    <string>Claude</string>
    <key>CFBundleDocumentTypes</key>
    <array><dict><key>CFBundleExecutable</key><string>wrong</string></dict></array>
    <key>CFBundleExecutable</key>
    <string>Claude</string>
    <key>CFBundleIdentifier</key>
    <string>com.anthropic.claudefordesktop</string>
    <key>LSRequiresCarbon</key>
    <true/>
    <key>CFBundleName</key>
    <string>Black &amp; White</string>
  </dict>
</plist>
"#;

    #[test]
    fn an_application_is_started_by_its_executable() {
        let found = installed(Path::new("/Applications/Claude Desktop.app"), CLAUDE.as_bytes()).unwrap();
        assert_eq!(found.id, "/Applications/Claude Desktop.app");
        assert_eq!(
            found.names,
            ["Claude Desktop", "Claude", "Black & White", "com.anthropic.claudefordesktop", "Claude"]
        );
        assert_eq!(found.start.unwrap().program, Path::new("/Applications/Claude Desktop.app/Contents/MacOS/Claude"));
    }

    #[test]
    fn a_list_without_an_executable_is_of_an_application_that_cannot_be_started() {
        let found =
            installed(Path::new("/A/B.app"), b"<plist><dict><key>CFBundleName</key><string>B</string></dict></plist>");
        let why = found.unwrap().start.unwrap_err().replace(std::path::MAIN_SEPARATOR, "/");
        assert_eq!(why, "/A/B.app/Contents/Info.plist names no executable");
        assert_eq!(installed(Path::new("/A/B.app"), b"bplist00"), None);
    }
}
