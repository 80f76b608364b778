//! Which program is meant by a name.

use thiserror::Error;

use super::{Installed, Inventory, Start};

/// As many near names help; more are a list to search through.
const NEAR: usize = 5;

#[derive(Debug, PartialEq, Eq, Error)]
pub enum Missing {
    #[error("no installed program is called {name}{}; looked through {}", meant(near), places.join(", "))]
    Unknown { name: String, near: Vec<String>, places: Vec<String> },
    #[error("{name} is the name of {} programs; say which, with --app and one of: {}", found.len(), found.join(", "))]
    Several { name: String, found: Vec<String> },
    #[error("{name} is installed and cannot be started with an environment: {why}")]
    NotStartable { name: String, why: String },
}

fn meant(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(", ")) }
}

pub fn choose(name: &str, inventory: Inventory) -> Result<Start, Missing> {
    let wanted = name.to_lowercase();
    let is_it = |known: &String| known.to_lowercase() == wanted;
    let Inventory { programs, places } = inventory;
    if let Some(one) = programs.iter().find(|one| is_it(&one.id)) {
        return start(one);
    }
    let mut found: Vec<&Installed> = programs.iter().filter(|one| one.names.iter().any(is_it)).collect();
    prefer(&mut found, |one| one.is_shown);
    prefer(&mut found, |one| one.start.is_ok());
    once_each(&mut found);
    match found.as_slice() {
        [] => Err(Missing::Unknown { name: name.into(), near: near(&wanted, &programs), places }),
        [one] => start(one),
        several => {
            let mut found: Vec<String> = several.iter().map(|one| one.id.clone()).collect();
            found.sort();
            Err(Missing::Several { name: name.into(), found })
        }
    }
}

/// Only those, if there are any.
fn prefer(found: &mut Vec<&Installed>, is_better: impl Fn(&Installed) -> bool) {
    if found.iter().any(|one| is_better(one)) {
        found.retain(|one| is_better(one));
    }
}

/// A program may be registered in more than one place.
fn once_each(found: &mut Vec<&Installed>) {
    let what = |one: &Installed| {
        one.start.clone().map(|start| (start.program.to_string_lossy().to_lowercase(), start.arguments))
    };
    let mut kept: Vec<&Installed> = Vec::new();
    for one in found.iter().copied() {
        if !kept.iter().any(|other| one.start.is_ok() && what(other) == what(one)) {
            kept.push(one);
        }
    }
    *found = kept;
}

fn start(one: &Installed) -> Result<Start, Missing> {
    let name = one.names.first().unwrap_or(&one.id).clone();
    one.start.clone().map_err(|why| Missing::NotStartable { name, why })
}

/// Those that hold the word, and those that differ by few keystrokes, the nearest first.
fn near(wanted: &str, programs: &[Installed]) -> Vec<String> {
    let far = 1 + wanted.len() / 4;
    let mut near: Vec<(usize, &String)> = Vec::new();
    for one in programs.iter().filter(|one| one.is_shown) {
        let distance = |known: &String| {
            let known = known.to_lowercase();
            let holds = known.contains(wanted) && !wanted.is_empty();
            if holds { 0 } else { strsim::damerau_levenshtein(&known, wanted) }
        };
        let names = one.names.iter().chain([&one.id]);
        near.extend(names.map(|known| (distance(known), known)).filter(|(distance, _)| *distance <= far).min());
    }
    near.sort();
    near.dedup();
    near.into_iter().take(NEAR).map(|(_, name)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(id: &str, names: &[&str], program: &str) -> Installed {
        let start = Start { program: program.into(), ..Start::default() };
        Installed {
            id: id.into(),
            names: names.iter().map(ToString::to_string).collect(),
            is_shown: true,
            start: Ok(start),
        }
    }

    fn machine() -> Inventory {
        let handler = Installed { is_shown: false, ..one("claude-url", &["Claude"], "/opt/claude/handler") };
        let store =
            Installed { start: Err("only the shell starts it".into()), ..one("Calc_1!App", &["Calculator"], "") };
        let programs = vec![
            one("claude-desktop", &["Claude", "claude"], "/opt/claude/claude"),
            handler,
            one("org.a.Notes", &["Notes", "notes"], "/opt/a/notes"),
            one("org.b.Notes", &["Notes"], "/opt/b/notes"),
            one("twice-1", &["Twice"], "C:\\T\\twice.exe"),
            one("twice-2", &["twice"], "c:\\t\\TWICE.EXE"),
            store,
        ];
        Inventory { programs, places: vec!["/here".into(), "/there".into()] }
    }

    #[test]
    fn a_name_is_of_one_program_or_it_is_said_what_there_is() {
        for (name, program) in [
            ("Claude", "/opt/claude/claude"),
            ("CLAUDE-DESKTOP", "/opt/claude/claude"),
            ("claude-url", "/opt/claude/handler"),
            ("org.b.notes", "/opt/b/notes"),
            ("twice", "C:\\T\\twice.exe"),
        ] {
            assert_eq!(choose(name, machine()).unwrap().program.to_str(), Some(program), "{name}");
        }
        for (name, words) in [
            ("notes", "notes is the name of 2 programs; say which, with --app and one of: org.a.Notes, org.b.Notes"),
            ("clade", "no installed program is called clade (did you mean Claude?); looked through /here, /there"),
            ("note", "no installed program is called note (did you mean Notes?); looked through /here, /there"),
            (
                "desktop",
                "no installed program is called desktop (did you mean claude-desktop?); looked through /here, /there",
            ),
            ("firefox", "no installed program is called firefox; looked through /here, /there"),
            (
                "calculator",
                "Calculator is installed and cannot be started with an environment: only the shell starts it",
            ),
        ] {
            assert_eq!(choose(name, machine()).unwrap_err().to_string(), words, "{name}");
        }
    }
}
