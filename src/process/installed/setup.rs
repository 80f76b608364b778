//! What installers leave in the registry of Windows: App Paths, and the entries by which programs are taken away again.

use std::path::{Path, PathBuf};

use super::{Installed, Start};

/// What an installer says of a program for the list of all programs.
#[derive(Debug, Default, Clone)]
pub struct Entry {
    pub display_name: String,
    /// A file with an icon: mostly the program's own.
    pub display_icon: String,
    pub install_location: String,
    pub is_part_of_system: bool,
}

/// A key of App Paths, `chrome.exe`, and its value: a path, maybe in quotes, maybe with variables in it.
pub fn of_app_path(key: &str, value: &str, variable: impl Fn(&str) -> Option<String>) -> Option<Installed> {
    let program = expanded(value.trim().trim_matches('"'), variable);
    (is_program(&program)).then(|| installed(program, vec![stem(key).into(), key.into()]))
}

/// The program of an entry, if one of the places where it should be is a file.
pub fn of_entry(entry: &Entry, is_there: impl Fn(&Path) -> bool) -> Option<Installed> {
    if entry.display_name.is_empty() || entry.is_part_of_system {
        return None;
    }
    let icon = entry.display_icon.trim();
    let icon =
        icon.rsplit_once(',').filter(|(_, number)| number.trim().parse::<i32>().is_ok()).map_or(icon, |(file, _)| file);
    let icon = icon.trim().trim_matches('"');
    let location = entry.install_location.trim().trim_matches('"').trim_end_matches('\\');
    // Squirrel's icon is no program, and the program is called as the entry is.
    let beside = (!location.is_empty()).then(|| format!("{location}\\{}.exe", entry.display_name));
    let is_it = |file: &String| is_program(file) && !is_of_installer(file) && is_there(Path::new(file));
    let program = [Some(icon.to_string()), beside].into_iter().flatten().find(is_it)?;
    let file = program.rsplit('\\').next().unwrap_or_default().to_string();
    Some(installed(program, vec![entry.display_name.clone(), stem(&file).into(), file]))
}

fn installed(program: String, names: Vec<String>) -> Installed {
    let start = Start { program: PathBuf::from(&program), ..Start::default() };
    Installed { id: program, names, is_shown: true, start: Ok(start) }
}

fn is_program(file: &str) -> bool {
    file.to_lowercase().ends_with(".exe")
}

fn is_of_installer(file: &str) -> bool {
    let name = file.rsplit('\\').next().unwrap_or_default().to_lowercase();
    ["unins", "setup", "update", "install", "msiexec"].iter().any(|word| name.contains(word))
}

fn stem(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

/// `%NAME%` by its value; what has none stays.
fn expanded(text: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        match behind.split_once('%').and_then(|(name, after)| Some((variable(name)?, after))) {
            Some((value, after)) => {
                out.push_str(&value);
                rest = after;
            }
            None => {
                out.push('%');
                rest = behind;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_path_is_a_program_with_variables_and_quotes_taken_away() {
        let variable = |name: &str| (name == "LOCALAPPDATA").then(|| "C:\\Users\\a\\AppData\\Local".into());
        for (value, program) in [
            ("C:\\P\\chrome.exe", Some("C:\\P\\chrome.exe")),
            ("\"C:\\P P\\chrome.EXE\"", Some("C:\\P P\\chrome.EXE")),
            ("%LOCALAPPDATA%\\c\\claude.exe", Some("C:\\Users\\a\\AppData\\Local\\c\\claude.exe")),
            ("C:\\100%\\%NONE%\\a.exe", Some("C:\\100%\\%NONE%\\a.exe")),
            ("C:\\P\\a.dll", None),
            ("", None),
        ] {
            let found = of_app_path("Claude.exe", value, variable);
            assert_eq!(found.as_ref().map(|one| one.id.as_str()), program, "{value}");
            assert!(found.is_none_or(|one| one.names == ["Claude", "Claude.exe"]), "{value}");
        }
    }

    #[test]
    fn the_program_of_an_entry_is_its_icon_or_lies_beside_under_its_name() {
        let there = ["C:\\C\\Claude.exe", "C:\\G\\git.exe", "C:\\G\\unins000.exe", "C:\\U\\app.ico"];
        let is_there = |file: &Path| there.iter().any(|known| Path::new(known) == file);
        for (name, icon, location, program) in [
            ("Claude", "C:\\U\\app.ico", "C:\\C", Some("C:\\C\\Claude.exe")),
            ("Git 2.44", "C:\\G\\git.exe,0", "", Some("C:\\G\\git.exe")),
            ("Git 2.44", "\"C:\\G\\git.exe\",-101", "", Some("C:\\G\\git.exe")),
            ("Git", "C:\\G\\unins000.exe", "C:\\G\\", Some("C:\\G\\Git.exe")),
            ("Git", "C:\\G\\unins000.exe", "", None),
            ("Gone", "C:\\gone.exe", "C:\\gone", None),
            ("", "C:\\G\\git.exe", "", None),
        ] {
            let entry = Entry {
                display_name: name.into(),
                display_icon: icon.into(),
                install_location: location.into(),
                is_part_of_system: false,
            };
            let found = of_entry(&entry, |file| is_there(file) || file == Path::new("C:\\G\\Git.exe"));
            assert_eq!(found.as_ref().map(|one| one.id.as_str()), program, "{name} {icon}");
            assert_eq!(of_entry(&Entry { is_part_of_system: true, ..entry }, |_| true), None, "{name}");
        }
    }
}
