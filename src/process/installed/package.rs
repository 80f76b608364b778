//! Packages of Windows (MSIX): their full names, and what their `AppxManifest.xml` says of the applications in them.

use super::xml::{self, Element};

/// `Claude_1.2.3.0_x64__pzs8sxrjxfjjc`: name, version, architecture, resources, the publisher's hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FullName {
    /// What stays the same from version to version.
    pub family: String,
    pub version: Vec<u32>,
    pub name: String,
}

impl FullName {
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('_').collect();
        let [name, version, _, _, publisher] = parts.as_slice() else { return None };
        let version = version.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { family: format!("{name}_{publisher}"), version, name: (*name).into() })
    }
}

/// Of each family the newest.
pub fn newest<T>(mut all: Vec<(FullName, T)>) -> Vec<(FullName, T)> {
    all.sort_by(|(one, _), (other, _)| other.cmp(one));
    all.dedup_by(|(one, _), (other, _)| one.family == other.family);
    all
}

/// One `Application` of a manifest.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Application {
    pub id: String,
    /// Below the package's folder.
    pub executable: Option<String>,
    /// As people see it, where the manifest has it in words.
    pub display_names: Vec<String>,
    /// It runs as any program does; others run in a container, which only the shell makes.
    pub is_full_trust: bool,
    pub is_shown: bool,
    /// Names by which any program may start it.
    pub aliases: Vec<String>,
}

impl Application {
    /// All that it may be called, the one that people see first. `display_name`: the system's word for the package.
    pub fn names(&self, package: &FullName, display_name: Option<&str>) -> Vec<String> {
        let short = package.name.rsplit('.').next().unwrap_or_default();
        let file = self.executable.iter().filter_map(|file| file.rsplit(['\\', '/']).next()).map(ToString::to_string);
        let mut names = self.display_names.clone();
        names.extend(display_name.and_then(in_words));
        names.extend([short, &package.name, &package.family].map(ToString::to_string));
        names.extend(Some(&self.id).filter(|id| *id != MEANINGLESS).cloned());
        for file in file.chain(self.aliases.iter().cloned()) {
            names.extend(file.to_lowercase().strip_suffix(".exe").map(ToString::to_string));
            names.push(file);
        }
        names
    }
}

/// What most manifests call their only application.
const MEANINGLESS: &str = "App";

/// `None`: no manifest, or none with an application.
pub fn applications(manifest: &[u8]) -> Option<Vec<Application>> {
    let mut of_package = None;
    let mut all: Vec<Application> = Vec::new();
    for element in xml::elements(manifest)? {
        match (element.path.as_str(), all.last_mut()) {
            ("Package/Properties/DisplayName", _) => of_package = in_words(&element.text),
            ("Package/Applications/Application", _) => all.push(begun(&element)),
            ("Package/Applications/Application/VisualElements", Some(one)) => {
                one.display_names.extend(element.attribute("DisplayName").and_then(in_words));
                one.is_shown = element.attribute("AppListEntry") != Some("none");
            }
            (path, Some(one)) if path.ends_with("/AppExecutionAlias/ExecutionAlias") => {
                one.aliases.extend(element.attribute("Alias").map(ToString::to_string));
            }
            _ => {}
        }
    }
    for one in &mut all {
        one.display_names.extend(of_package.clone().filter(|name| !one.display_names.contains(name)));
    }
    (!all.is_empty()).then_some(all)
}

fn begun(element: &Element) -> Application {
    let is = |name: &str, values: &[&str]| element.attribute(name).is_some_and(|value| values.contains(&value));
    let is_full_trust = is("EntryPoint", &["Windows.FullTrustApplication"])
        || is("TrustLevel", &["mediumIL"])
        || is("RuntimeBehavior", &["packagedClassicApp", "win32App"]);
    Application {
        id: element.attribute("Id").unwrap_or_default().into(),
        executable: element.attribute("Executable").map(ToString::to_string),
        is_full_trust,
        is_shown: true,
        ..Application::default()
    }
}

/// Not a name that stands elsewhere, in the user's language.
fn in_words(name: &str) -> Option<String> {
    let name = name.trim();
    let is_reference = name.starts_with("ms-resource:") || name.starts_with("@{");
    (!is_reference && !name.is_empty()).then(|| name.to_string())
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAUDE: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>
<Package xmlns=\"http://schemas.microsoft.com/appx/manifest/foundation/windows10\"
         xmlns:uap=\"http://schemas.microsoft.com/appx/manifest/uap/windows10\"
         xmlns:rescap=\"http://schemas.microsoft.com/appx/manifest/foundation/windows10/restrictedcapabilities\"
         IgnorableNamespaces=\"uap rescap\">
  <Identity Name=\"Claude\" Publisher=\"CN=&quot;Anthropic, PBC&quot;, C=US\" Version=\"1.1.381.0\" ProcessorArchitecture=\"x64\" />
  <Properties>
    <DisplayName>Claude</DisplayName>
    <PublisherDisplayName>Anthropic, PBC</PublisherDisplayName>
    <Logo>assets\\icon.png</Logo>
  </Properties>
  <Applications>
    <Application Id=\"Claude\" Executable=\"app\\Claude.exe\" EntryPoint=\"Windows.FullTrustApplication\">
      <uap:VisualElements DisplayName=\"Claude\" Description=\"Claude\" BackgroundColor=\"transparent\" />
      <Extensions>
        <uap:Extension Category=\"windows.protocol\"><uap:Protocol Name=\"claude\" /></uap:Extension>
      </Extensions>
    </Application>
  </Applications>
  <Capabilities><rescap:Capability Name=\"runFullTrust\" /></Capabilities>
</Package>
";

    const TERMINAL: &str = "<Package xmlns=\"urn:p\" xmlns:uap=\"urn:uap\" xmlns:uap3=\"urn:uap3\" xmlns:uap10=\"urn:uap10\" xmlns:desktop=\"urn:d\">
  <Properties><DisplayName>ms-resource:AppStoreName</DisplayName></Properties>
  <Applications>
    <Application Id=\"App\" Executable=\"WindowsTerminal.exe\" uap10:TrustLevel=\"mediumIL\" uap10:RuntimeBehavior=\"packagedClassicApp\">
      <uap:VisualElements DisplayName=\"ms-resource:AppName\" />
      <Extensions>
        <uap3:Extension Category=\"windows.appExecutionAlias\" Executable=\"wt.exe\" EntryPoint=\"Windows.FullTrustApplication\">
          <uap3:AppExecutionAlias><desktop:ExecutionAlias Alias=\"wt.exe\" /></uap3:AppExecutionAlias>
        </uap3:Extension>
      </Extensions>
    </Application>
    <Application Id=\"Elevate\" Executable=\"elevate-shim.exe\" EntryPoint=\"Windows.FullTrustApplication\">
      <uap:VisualElements AppListEntry=\"none\" DisplayName=\"Shim\" />
    </Application>
    <Application Id=\"Calc\" Executable=\"Calculator.exe\" EntryPoint=\"CalculatorApp.App\"/>
    <Application Id=\"Web\" StartPage=\"https://a.test/\"/>
  </Applications>
</Package>";

    #[test]
    fn a_manifest_of_one_program_says_where_it_is_and_what_it_is_called() {
        let found = applications(CLAUDE.as_bytes()).unwrap();
        assert_eq!(
            found,
            [Application {
                id: "Claude".into(),
                executable: Some("app\\Claude.exe".into()),
                display_names: vec!["Claude".into()],
                is_full_trust: true,
                is_shown: true,
                aliases: Vec::new(),
            }]
        );
        let package = FullName::parse("Claude_1.1.381.0_x64__pzs8sxrjxfjjc").unwrap();
        let names = ["Claude", "Claude", "Claude", "Claude_pzs8sxrjxfjjc", "Claude", "claude", "Claude.exe"];
        assert_eq!(found[0].names(&package, Some("@{Claude_1.1.381.0?ms-resource://Claude/Name}")), names);
    }

    #[test]
    fn applications_differ_in_trust_in_aliases_and_in_whether_they_are_shown() {
        let found = applications(TERMINAL.as_bytes()).unwrap();
        let facts: Vec<_> =
            found.iter().map(|one| (one.id.as_str(), one.is_full_trust, one.is_shown, one.aliases.len())).collect();
        assert_eq!(
            facts,
            [("App", true, true, 1), ("Elevate", true, false, 0), ("Calc", false, true, 0), ("Web", false, true, 0)]
        );
        let package = FullName::parse("Microsoft.WindowsTerminal_1.18.2822.0_x64__8wekyb3d8bbwe").unwrap();
        assert_eq!(
            found[0].names(&package, Some("Windows Terminal")),
            [
                "Windows Terminal",
                "WindowsTerminal",
                "Microsoft.WindowsTerminal",
                "Microsoft.WindowsTerminal_8wekyb3d8bbwe",
                "windowsterminal",
                "WindowsTerminal.exe",
                "wt",
                "wt.exe"
            ]
        );
        assert_eq!(found[3].executable, None);
    }

    #[test]
    fn what_has_no_application_is_none() {
        for text in ["", "<Package><Properties><Framework>true</Framework></Properties></Package>", "<Package>"] {
            assert_eq!(applications(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_newest_version_of_a_family_counts_by_number() {
        let all =
            ["Claude_1.9.0.0_x64__p", "Claude_1.10.0.0_x64__p", "Claude_1.2.0.0_arm64__p", "Claude_2.0.0.0_x64__other"];
        let found = newest(all.iter().map(|text| (FullName::parse(text).unwrap(), *text)).collect());
        let mut found: Vec<&str> = found.into_iter().map(|(_, text)| text).collect();
        found.sort_unstable();
        assert_eq!(found, ["Claude_1.10.0.0_x64__p", "Claude_2.0.0.0_x64__other"]);
        for text in ["Claude", "Claude_1.x_x64__p", "a_b_c_d_e_f", ""] {
            assert_eq!(FullName::parse(text), None, "{text}");
        }
    }
}
