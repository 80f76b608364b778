//! The error texts of the program, read out of its sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::source::{Token, closing, lexed, without_tests};

/// What is called with words for people.
const CALLS: [&str; 14] = [
    "Err",
    "anyhow",
    "bail",
    "complain",
    "context",
    "failed",
    "hint",
    "lacks_secret",
    "map_err",
    "ok_or",
    "ok_or_else",
    "refused",
    "unavailable",
    "with_context",
];
/// Types whose `new` is.
const TYPES: [&str; 4] = ["Lacking", "Mistake", "Problem", "Self"];
/// What such words are called before they are given away.
const NAMES: [&str; 9] = ["cause", "hint", "message", "problem", "reason", "remedy", "text", "what", "why"];

/// By the room of the source, sorted, each text once.
pub fn of_the_program(root: &Path) -> BTreeMap<String, Vec<String>> {
    let mut rooms: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files(&root.join("src")) {
        let place = file.strip_prefix(root.join("src")).unwrap().to_str().unwrap().to_owned();
        let room = place.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        // What a test says is nobody's to understand.
        if file.file_name().unwrap() != "tests.rs" {
            rooms.entry(room).or_default().extend(of_source(&fs::read_to_string(&file).unwrap()));
        }
    }
    for texts in rooms.values_mut() {
        texts.sort();
        texts.dedup();
    }
    rooms.retain(|_, texts| !texts.is_empty());
    rooms
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut list = Vec::new();
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => list.extend(files(&path)),
            false => list.push(path),
        }
    }
    list.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    list.sort();
    list
}

pub fn of_source(source: &str) -> Vec<String> {
    let tokens = without_tests(lexed(source));
    let mut texts = Vec::new();
    for at in 0..tokens.len() {
        let Some(end) = end_of_words(&tokens, at) else { continue };
        texts.extend(tokens[at..end].iter().filter_map(|token| words(&token.text)));
    }
    texts
}

/// If words for people begin here: where they end.
fn end_of_words(tokens: &[Token], at: usize) -> Option<usize> {
    let is = |ahead: usize, text: &str| tokens.get(at + ahead).is_some_and(|token| token.is(text));
    let is_one_of = |ahead: usize, list: &[&str]| list.iter().any(|text| is(ahead, text));
    if is(0, "#") && is(1, "[") && is(2, "error") && is(3, "(") {
        return Some(closing(tokens, at + 3));
    }
    if is_one_of(0, &TYPES) && is(1, "::") && is(2, "new") && is(3, "(") {
        return Some(closing(tokens, at + 3));
    }
    if is_one_of(0, &CALLS) {
        let open = at + if is(1, "!") { 2 } else { 1 };
        return tokens.get(open).filter(|token| token.is("(")).map(|_| closing(tokens, open));
    }
    if is(0, "let") {
        let names = tokens[at..].iter().take_while(|token| !token.is("=") && !token.is(";"));
        let is_named = names.into_iter().any(|token| NAMES.iter().any(|name| token.is(name)));
        return if is_named { end_of_statement(tokens, at) } else { None };
    }
    // A field: `cause: format!(…),`
    if is_one_of(0, &NAMES) && is(1, ":") {
        let is_format = is(2, "format") && is(3, "!") && is(4, "(");
        return if is_format { Some(closing(tokens, at + 4)) } else { Some(at + 3) };
    }
    None
}

fn end_of_statement(tokens: &[Token], mut at: usize) -> Option<usize> {
    while !tokens.get(at)?.is(";") {
        let opens = ["(", "[", "{"].iter().any(|text| tokens[at].is(text));
        at = if opens { closing(tokens, at) } else { at + 1 };
    }
    Some(at)
}

/// A literal's text as it is printed, what varies as `{…}`; none for what is no sentence.
fn words(literal: &str) -> Option<String> {
    let raw = literal.starts_with('r');
    let text = literal.trim_start_matches('r').trim_matches('#').strip_prefix('"')?.strip_suffix('"')?;
    let text = filled(&if raw { text.to_owned() } else { unescaped(text) });
    let letters = text.replace("{…}", "");
    let is_sentence = letters.trim().contains(' ') && letters.chars().any(char::is_alphabetic);
    is_sentence.then(|| text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn unescaped(text: &str) -> String {
    let (mut out, mut chars) = (String::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('\n')) => while chars.next_if(|c| c.is_whitespace()).is_some() {},
            ('\\', Some('n' | 't' | 'r')) => out.push(' '),
            ('\\', Some(other)) => out.push(other),
            (plain, _) => out.push(plain),
        }
    }
    out
}

fn filled(text: &str) -> String {
    let (mut out, mut chars) = (String::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '{' if chars.next_if_eq(&'{').is_some() => out.push('{'),
            '{' => {
                chars.by_ref().find(|c| *c == '}');
                out.push_str("{…}");
            }
            '}' => {
                chars.next_if_eq(&'}');
                out.push('}');
            }
            other => out.push(other),
        }
    }
    out
}
