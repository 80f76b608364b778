//! What the texts of the program and of the documents tell people to type.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;
use hallpass::tools;

const PLACES: [&str; 6] = ["src", "presets", "docs", "examples", "README.md", "CONTRIBUTING.md"];
const KINDS: [&str; 3] = ["rs", "md", "toml"];

/// Where people are spoken to, and the text there; one of several lines in the source is one.
pub fn texts(root: &Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    PLACES.iter().for_each(|place| collect(&root.join(place), &mut all));
    all
}

fn collect(path: &Path, all: &mut Vec<(PathBuf, String)>) {
    if path.is_dir() {
        let inner = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        inner.for_each(|path| collect(&path, all));
    } else if path.extension().is_some_and(|kind| KINDS.iter().any(|known| kind == *known)) {
        let text = fs::read_to_string(path).unwrap();
        let mut parts = text.split("\\\n");
        let first = parts.next().unwrap_or_default().to_owned();
        all.push((path.into(), parts.fold(first, |whole, part| whole + part.trim_start())));
    }
}

/// What stands behind the program's name, up to the end of the line or of the source's literal.
pub fn commands(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().flat_map(|line| line.split("\\n")).flat_map(|line| line.split('"'));
    lines.flat_map(|line| line.match_indices("hallpass ").map(|(at, name)| &line[at + name.len()..]))
}

/// How many flags stand there, until something else is said.
pub fn flags_that_exist(program: &Command, advised: &str) -> Result<usize, String> {
    let mut command = program;
    let mut flags = 0;
    let mut words = advised.split_whitespace();
    while let Some(word) = words.next() {
        let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        if let Some(inner) = command.find_subcommand(bare).filter(|_| flags == 0) {
            command = inner;
        } else if let Some(name) = bare.strip_prefix("--").filter(|name| !name.is_empty()) {
            let value = flag(command, program, name)?.then(|| words.next()).flatten();
            flags += 1;
            if name == "for" {
                of_tool(value)?;
            }
            if value.is_some_and(|value| value.ends_with(END)) {
                break;
            }
        } else {
            break;
        }
        if word.ends_with(END) {
            break;
        }
    }
    Ok(flags)
}

/// What ends a command within a sentence.
const END: [char; 7] = ['.', ',', ';', ':', ')', '`', ']'];

/// A flag of `run` that is there alone.
const ON_WINDOWS: &str = "app";

/// Whether it takes a value in a word of its own.
fn flag(command: &Command, program: &Command, name: &str) -> Result<bool, String> {
    if ["help", "version"].contains(&name) {
        return Ok(false);
    }
    if name == ON_WINDOWS {
        return Ok(true);
    }
    let name = name.split('=').next().unwrap_or(name);
    let known = command.get_arguments().chain(program.get_arguments()).find(|arg| arg.get_long() == Some(name));
    let known = known.ok_or_else(|| format!("there is no --{name}"))?;
    Ok(known.get_action().takes_values())
}

/// Where it is no placeholder.
fn of_tool(value: Option<&str>) -> Result<(), String> {
    let name = value.unwrap_or_default().trim_end_matches(END);
    match name.starts_with(|c: char| c.is_ascii_lowercase()) {
        true => tools::find(name).map(|_| ()),
        false => Ok(()),
    }
}
