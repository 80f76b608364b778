//! What the registry knows: the user's packages, App Paths, and what installers have noted.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use windows_registry::{CURRENT_USER, Key, LOCAL_MACHINE};

use super::package::{self, Application, FullName};
use super::setup::{self, Entry};
use super::{Installed, Inventory, Start};

const PACKAGES: &str =
    r"Software\Classes\Local Settings\Software\Microsoft\Windows\CurrentVersion\AppModel\Repository\Packages";
const APP_PATHS: &str = r"Software\Microsoft\Windows\CurrentVersion\App Paths";
const UNINSTALL: &str = r"Software\Microsoft\Windows\CurrentVersion\Uninstall";
/// The same for programs of 32 bits.
const UNINSTALL_32: &str = r"Software\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall";

/// Where aliases of packages lie, each a link that the system follows.
const ALIASES: &str = r"Microsoft\WindowsApps";

/// Some versions of Windows start no program of a package by its path.
const IF_DENIED: &str = "this Windows starts the programs of a package by the shell alone, which gives them no variables: set \
    the proxy in the program's own settings, or start it from the menu while hallpass run --system runs another program";

pub fn inventory() -> Inventory {
    let roots = [(CURRENT_USER, "HKCU"), (LOCAL_MACHINE, "HKLM")];
    let mut programs = packages();
    let mut places = vec![format!(r"HKCU\{PACKAGES}")];
    for (root, name) in roots {
        places.push(format!(r"{name}\{APP_PATHS}"));
        programs.extend(entries(root, APP_PATHS, |key, entry| {
            setup::of_app_path(key, &entry.get_string("").ok()?, |name| env::var(name).ok())
        }));
    }
    for (root, name, path) in
        [(CURRENT_USER, "HKCU", UNINSTALL), (LOCAL_MACHINE, "HKLM", UNINSTALL), (LOCAL_MACHINE, "HKLM", UNINSTALL_32)]
    {
        places.push(format!(r"{name}\{path}"));
        programs.extend(entries(root, path, |_, key| setup::of_entry(&noted(key), Path::is_file)));
    }
    Inventory { programs, places }
}

/// Each key below one, read.
fn entries<T>(root: &Key, path: &str, read: impl Fn(&str, &Key) -> Option<T>) -> Vec<T> {
    let Ok(parent) = root.open(path) else { return Vec::new() };
    let Ok(names) = parent.keys() else { return Vec::new() };
    names.filter_map(|name| read(&name, &parent.open(&name).ok()?)).collect()
}

fn noted(key: &Key) -> Entry {
    let text = |name: &str| key.get_string(name).unwrap_or_default();
    Entry {
        display_name: text("DisplayName"),
        display_icon: text("DisplayIcon"),
        install_location: text("InstallLocation"),
        is_part_of_system: key.get_u32("SystemComponent").is_ok_and(|value| value != 0),
    }
}

fn packages() -> Vec<Installed> {
    let all = entries(CURRENT_USER, PACKAGES, |name, key| {
        let folder = PathBuf::from(key.get_string("PackageRootFolder").ok()?);
        Some((FullName::parse(name)?, (folder, key.get_string("DisplayName").ok())))
    });
    let newest = package::newest(all).into_iter();
    newest.flat_map(|(name, (folder, display_name))| of_package(&name, &folder, display_name.as_deref())).collect()
}

fn of_package(package: &FullName, folder: &Path, display_name: Option<&str>) -> Vec<Installed> {
    let manifest = fs::read(folder.join("AppxManifest.xml")).unwrap_or_default();
    let applications = package::applications(&manifest).unwrap_or_default();
    let installed = |one: Application| Installed {
        id: format!("{}!{}", package.family, one.id),
        names: one.names(package, display_name),
        is_shown: one.is_shown,
        start: start(package, folder, &one),
    };
    applications.into_iter().map(installed).collect()
}

/// By an alias where there is one, which every version of Windows starts; else by the executable itself.
fn start(package: &FullName, folder: &Path, application: &Application) -> Result<Start, String> {
    let Some(executable) = application.executable.as_ref().filter(|_| application.is_full_trust) else {
        return Err(
            "only the shell starts an app of this kind, and it goes by the system's settings: start it from the \
                    menu while hallpass run --system runs another program"
                .into(),
        );
    };
    let aliases = env::var_os("LOCALAPPDATA").map(|local| PathBuf::from(local).join(ALIASES).join(&package.family));
    let alias = aliases.and_then(|directory| {
        let files = application.aliases.iter().map(|alias| directory.join(alias));
        // Only the system itself can follow such a link.
        files.into_iter().find(|file| fs::symlink_metadata(file).is_ok())
    });
    let program = alias.unwrap_or_else(|| folder.join(executable));
    Ok(Start { program, if_denied: Some(IF_DENIED), ..Start::default() })
}
