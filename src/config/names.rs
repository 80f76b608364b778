//! Several configurations: `--config NAME` is `NAME.toml` beside the `hallpass.toml` of the machine and of the user.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::keys::nearest;
use super::load::{Files, candidates};
use super::mistake::{Mistake, Origin, Problem};
use super::{machine_file, user_file};

type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

const ENDING: &str = "toml";

/// It stands in the machine's directory, too, and is no configuration that one could choose.
const POLICY: &str = "policy";

/// What `--config` or the variable means: a file, or a name where nothing about it looks like one.
pub fn chosen(path: PathBuf, by: Origin, variable: Variable<'_>) -> Files {
    match name_of(&path) {
        Some(name) if !path.exists() => named_files(name, by, variable),
        Some(_) | None => Files::Only(path),
    }
}

/// Where a configuration that is to be written goes.
pub fn place_for(path: &Path, variable: Variable<'_>) -> PathBuf {
    let beside = name_of(path).filter(|_| !path.exists()).and_then(|name| Some(beside(&user_file(variable)?, name)));
    beside.unwrap_or_else(|| path.into())
}

/// What [`chosen`] takes for a name.
pub fn is_name(path: &Path) -> bool {
    name_of(path).is_some() && !path.exists()
}

/// No directory, and no ending.
fn name_of(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let is_name = path.file_name().is_some_and(|name| name == path.as_os_str())
        && !text.contains(['/', '\\', ':'])
        && path.extension().is_none_or(|ending| ending != ENDING);
    is_name.then_some(text)
}

pub fn named_files(name: &str, by: Origin, variable: Variable<'_>) -> Files {
    let user = user_file(variable).map(|file| beside(&file, name));
    Files::Named { name: name.into(), by, machine: beside(&machine_file(variable), name), user }
}

fn beside(file: &Path, name: &str) -> PathBuf {
    file.with_file_name(format!("{name}.{ENDING}"))
}

/// All that would be read, whether they are there or not.
pub fn places_of(files: &Files) -> Vec<PathBuf> {
    candidates(files).into_iter().map(|(path, _)| path).collect()
}

/// Those that there are, in the order of the alphabet.
pub fn names(variable: Variable<'_>) -> Vec<String> {
    let files = [Some(machine_file(variable)), user_file(variable)];
    let directories: Vec<PathBuf> =
        files.into_iter().flatten().filter_map(|file| file.parent().map(PathBuf::from)).collect();
    in_directories(&directories)
}

fn in_directories(directories: &[PathBuf]) -> Vec<String> {
    let entries = directories.iter().filter_map(|directory| directory.read_dir().ok()).flatten().flatten();
    let names = entries.filter_map(|entry| {
        let path = entry.path();
        let is_ours = path.extension().is_some_and(|ending| ending == ENDING) && path.is_file();
        path.file_stem().and_then(|name| name.to_str()).filter(|_| is_ours).map(str::to_owned)
    });
    let names: BTreeSet<String> = names.filter(|name| name != POLICY).collect();
    names.into_iter().collect()
}

/// A name that nobody has given to a configuration.
pub fn unknown(files: &Files) -> Option<Mistake> {
    let Files::Named { name, by, .. } = files else { return None };
    let places = places_of(files);
    if name != POLICY && places.iter().any(|place| place.exists()) {
        return None;
    }
    let directories: Vec<PathBuf> = places.iter().filter_map(|place| place.parent().map(PathBuf::from)).collect();
    let known = in_directories(&directories);
    let near = nearest(name, known.iter().map(String::as_str)).map(|near| format!("did you mean {near}? "));
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    let looked = places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(" and ");
    let hint = format!("{}there is {known}; looked for {looked}", near.unwrap_or_default());
    let problem = Problem::new(format!("there is no configuration {name:?}, and no file of this name here")).hint(hint);
    Some(Mistake::new(by.clone(), "", problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_neither_a_directory_nor_an_ending() {
        for (path, name) in [
            ("office", Some("office")),
            ("office-2.1", Some("office-2.1")),
            ("office.toml", None),
            ("./office", None),
            ("a/office", None),
            ("a\\office", None),
            ("C:office", None),
            ("", None),
            ("..", None),
        ] {
            assert_eq!(name_of(Path::new(path)), name, "{path}");
        }
    }
}
