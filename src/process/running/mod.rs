//! Programs of which only one runs: whoever starts another one talks to the first, which keeps the environment it has.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
mod imp;

use std::ffi::OsStr;
use std::path::Path;

/// What lies beside every program that is made with Electron or Chromium, which is how most of them come to be one only.
const OF_CHROMIUM: [&str; 3] = ["icudtl.dat", "resources.pak", "chrome_100_percent.pak"];

/// Others that hand over to the first of them.
const OTHERS: [&str; 3] = ["firefox", "firefox-bin", "thunderbird"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub pid: u32,
    pub name: String,
}

/// The one that runs already and that what is started now would be handed over to, unless it has this proxy already.
/// `None` also where the system does not tell.
pub fn instance_of(program: &OsStr, proxy: &str) -> Option<Instance> {
    imp::instance_of(program, proxy, &|executable| is_one_only(executable, Path::exists))
}

fn is_one_only(executable: &Path, is_there: impl Fn(&Path) -> bool) -> bool {
    let named = executable.file_name().and_then(OsStr::to_str).is_some_and(|name| OTHERS.contains(&name));
    let of_chromium = |file: &&&str| executable.parent().is_some_and(|directory| is_there(&directory.join(file)));
    named || OF_CHROMIUM.iter().filter(of_chromium).count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_are_one_only_are_told_by_what_lies_beside_them() {
        let there = ["/opt/a/icudtl.dat", "/opt/a/resources.pak", "/opt/b/icudtl.dat"];
        let is_there = |path: &Path| there.iter().any(|known| Path::new(known) == path);
        for (executable, one_only) in [
            ("/opt/a/slack", true),
            ("/opt/b/node", false),
            ("/usr/bin/bash", false),
            ("/usr/lib/firefox/firefox", true),
        ] {
            assert_eq!(is_one_only(Path::new(executable), is_there), one_only, "{executable}");
        }
    }
}
