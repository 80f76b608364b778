//! `policy.toml`: the keys of `hallpass.toml`, and the same below `[recommended]`.

use std::path::Path;

use super::{RECOMMENDED, Stated};
use crate::config::file;
use crate::config::keys::{self, Found};
use crate::config::layer::Entry;
use crate::config::mistake::Mistake;

pub fn read(path: &Path, text: &str, mistakes: &mut Vec<Mistake>) -> Stated {
    let all = file::read_keys(path, text, find, mistakes);
    let mut stated = Stated::default();
    for entry in all.entries {
        match entry.path.split_first() {
            Some((first, rest)) if first == RECOMMENDED => {
                stated.recommended.entries.push(Entry { path: rest.to_vec(), ..entry.clone() });
            }
            Some(_) | None => stated.locked.entries.push(entry),
        }
    }
    stated
}

fn find(path: &[&str]) -> Found {
    match path {
        [RECOMMENDED] => Found::Table,
        [RECOMMENDED, rest @ ..] => keys::find(rest),
        _ => keys::find(path),
    }
}
