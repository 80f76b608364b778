//! The house rules of `src/lib.rs`, enforced: floors, thinking floors without I/O, platform files, one printer.
//!
//! Sources are read as tokens, so comments, strings and `#[cfg(test)]` items say nothing. `samples` breaks every
//! rule on purpose: a guard that cannot bark is none.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

#[path = "architecture/samples.rs"]
mod samples;
#[path = "architecture/source.rs"]
mod source;

use std::fs;
use std::path::Path;

use source::{Found, Token, closing, paths, tokens, without_tests};

/// From the ground up. A module imports lower floors only, never its own. One that is still to be built may stand here.
const FLOORS: &[&[&str]] = &[
    &["address", "owner", "secret", "shortage"],
    &["auth", "http1", "route", "socks"],
    &[
        "audit",
        "credential",
        "listener",
        "mechanism",
        "network",
        "process",
        "relay",
        "resolver",
        "sink",
        "state",
        "system_proxy",
        "tools",
        "trace",
        "upstream",
    ],
    &["practice", "proxy", "service"],
    &["config"],
    &["daemon", "doctor"],
    &["cli"],
];

/// The first floor that may touch sockets, files and clocks.
const OUTSIDE: usize = 2;

/// The practice proxy judges the relay's handshakes: a judge made of the same parts would find them right.
const PRACTICE_MAY_IMPORT: &[&str] = &["address", "auth", "http1", "secret"];

/// Bytes in memory look the same through these as bytes of a socket, so a codec may ask for them.
const IO_TRAITS: &[&str] = &[
    "AsyncBufRead",
    "AsyncBufReadExt",
    "AsyncRead",
    "AsyncReadExt",
    "AsyncWrite",
    "AsyncWriteExt",
    "ReadBuf",
    "ReadHalf",
    "WriteHalf",
    "split",
];

const PRINTER: &str = "cli/output.rs";

const PLATFORMS: &[&str] = &["linux", "macos", "windows", "unix", "other"];

const PLATFORM_WORDS: &[&str] = &["unix", "windows", "target_os", "target_family", "target_env", "target_vendor"];

/// Words that say nothing, or that mean something else here.
const NOT_A_NAME: &[&str] = &[
    "common",
    "context",
    "downstream",
    "handler",
    "handlers",
    "helper",
    "helpers",
    "manager",
    "misc",
    "session",
    "util",
    "utils",
];

#[test]
fn every_file_keeps_to_the_house_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    assert!(files.len() > 50, "the sources are not here: {}", root.display());
    let broken: Vec<String> =
        files.iter().flat_map(|(path, text)| check(path, text)).chain(check_map(&files)).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// What one file does wrong; its path is relative to `src`.
fn check(path: &str, text: &str) -> Vec<String> {
    let tokens = without_tests(tokens(text));
    let paths = paths(&tokens);
    let mut broken = Broken { file: path, list: Vec::new() };
    let purpose = text.lines().next().and_then(|line| line.strip_prefix("//! ")).unwrap_or_default();
    if purpose.trim().is_empty() {
        broken.add(1, "the first line says what the file is for: //! …".into());
    }
    for name in path.trim_end_matches(".rs").split('/').filter(|name| NOT_A_NAME.contains(name)) {
        broken.add(1, format!("{name} is no name for a module: say what it does"));
    }
    check_imports(path, &paths, &mut broken);
    if floor(module(path)).is_some_and(|floor| floor < OUTSIDE) {
        check_thinking(path, &paths, &mut broken);
    }
    if !is_platform_file(path) && !is_of_tests(path) {
        check_platforms(path, &tokens, &mut broken);
    }
    if path != PRINTER {
        check_printing(&tokens, &paths, &mut broken);
    }
    broken.list
}

struct Broken<'a> {
    file: &'a str,
    list: Vec<String>,
}

impl Broken<'_> {
    fn add(&mut self, line: usize, what: String) {
        self.list.push(format!("src/{}:{line}: {what}", self.file));
    }
}

fn module(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

fn check_imports(path: &str, paths: &[Found], broken: &mut Broken) {
    let own = module(path);
    for found in paths {
        let segments: Vec<&str> = found.path.iter().map(String::as_str).collect();
        let supers = segments.iter().take_while(|segment| **segment == "super").count();
        if supers > 0 && supers >= depth(path) + found.within {
            broken.add(found.line, format!("{} leaves the module: write crate::…", segments.join("::")));
        }
        let wanted = match segments.as_slice() {
            ["crate" | "hallpass"] => Some("*"),
            ["crate" | "hallpass", wanted, ..] => Some(*wanted),
            _ => None,
        };
        let (Some(wanted), true) = (wanted, wanted != Some(own)) else { continue };
        match (own, floor(own), floor(wanted)) {
            (_, _, None) => broken.add(found.line, format!("crate::{wanted} stands on no floor")),
            ("main" | "bin", ..) if wanted != "cli" => {
                broken.add(found.line, format!("{own} opens cli and nothing else: {wanted}"))
            }
            ("practice", ..) if !PRACTICE_MAY_IMPORT.contains(&wanted) => {
                broken.add(found.line, format!("practice judges by itself, not with {wanted}"));
            }
            (_, Some(own_floor), Some(wanted_floor)) if wanted_floor >= own_floor => {
                let way = if wanted_floor == own_floor { "sideways" } else { "upward" };
                broken.add(
                    found.line,
                    format!("{own} (floor {own_floor}) imports {way}: {wanted} (floor {wanted_floor})"),
                );
            }
            _ => {}
        }
    }
}

/// How many `super` lead from a file to the crate's root.
fn depth(path: &str) -> usize {
    path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').count()
}

fn check_thinking(path: &str, paths: &[Found], broken: &mut Broken) {
    for found in paths {
        let segments: Vec<&str> = found.path.iter().map(String::as_str).collect();
        let called = |name: &[&str]| segments.windows(2).any(|pair| pair == name);
        let socket = |name: &str| {
            ["Tcp", "Udp", "Unix"].iter().any(|kind| {
                name.strip_prefix(kind).is_some_and(|rest| ["Stream", "Listener", "Socket", "Datagram"].contains(&rest))
            })
        };
        let what = match segments.as_slice() {
            ["tokio", "io", name, ..] if module(path) == "http1" && IO_TRAITS.contains(name) => continue,
            ["tokio", ..] => "the runtime",
            ["std", "fs", ..] => "files",
            ["std", "env" | "os" | "process" | "thread", ..] | ["libc" | "socket2", ..] => "the system",
            _ if segments.iter().any(|segment| socket(segment) || *segment == "ToSocketAddrs") => "sockets",
            _ if segments.iter().any(|segment| ["SystemTime", "UNIX_EPOCH"].contains(segment)) => "the clock",
            _ if ["Instant", "Timestamp", "Zoned"].iter().any(|clock| called(&[clock, "now"])) => "the clock",
            _ => continue,
        };
        broken.add(found.line, format!("floors below {OUTSIDE} only think, and {} is {what}", segments.join("::")));
    }
}

fn is_platform_file(path: &str) -> bool {
    path.trim_end_matches(".rs").split('/').any(|part| PLATFORMS.contains(&part))
}

/// A file whose module is there for tests alone, which says no more than one within another file.
fn is_of_tests(path: &str) -> bool {
    path.ends_with("/tests.rs")
}

/// `cfg` of a platform only where a `mod.rs` picks a file, `unsafe` not at all.
fn check_platforms(path: &str, tokens: &[Token], broken: &mut Broken) {
    for (at, token) in tokens.iter().enumerate() {
        if token.is("unsafe") {
            broken.add(token.line, "unsafe stands in platform files only".into());
        }
        if !(token.is("cfg") || token.is("cfg_attr")) {
            continue;
        }
        let attribute = tokens.get(at + 1).is_some_and(|next| next.is("(")) && at >= 2 && tokens[at - 1].is("[");
        let open = if attribute { at + 1 } else { at + 2 };
        if !attribute && !tokens.get(at + 1).is_some_and(|next| next.is("!")) {
            continue;
        }
        let end = closing(tokens, open);
        let word = tokens[open..end].iter().find(|token| PLATFORM_WORDS.contains(&token.text.as_str()));
        let Some(word) = word else { continue };
        let picks = attribute && path.ends_with("/mod.rs") && picks_a_file(&tokens[end..]);
        if !picks {
            broken.add(token.line, format!("{} stands in platform files and in the mod.rs that picks them", word.text));
        }
    }
}

/// Whether the item after an attribute's `)]` is a `mod` or `use`.
fn picks_a_file(mut rest: &[Token]) -> bool {
    loop {
        rest = match rest {
            [first, ..] if first.is(")") || first.is("]") || first.is("pub") => &rest[1..],
            [first, second, ..] if first.is("#") && second.is("[") => &rest[closing(rest, 1)..],
            [first, ..] if first.is("(") => &rest[closing(rest, 0)..],
            [first, ..] => return first.is("mod") || first.is("use"),
            [] => return false,
        };
    }
}

fn check_printing(tokens: &[Token], paths: &[Found], broken: &mut Broken) {
    for pair in tokens.windows(2) {
        if ["print", "println", "eprint", "eprintln", "dbg"].iter().any(|name| pair[0].is(name)) && pair[1].is("!") {
            broken.add(pair[0].line, format!("{}! stands in {PRINTER} only", pair[0].text));
        }
    }
    for found in paths.iter().filter(|found| found.path.last().is_some_and(|last| last == "stdout")) {
        broken.add(found.line, format!("stdout is written to in {PRINTER} only"));
    }
}

/// `lib.rs` names every module, the top floor first.
fn check_map(files: &[(String, String)]) -> Vec<String> {
    let (_, map) = files.iter().find(|(path, _)| path == "lib.rs").unwrap();
    let tokens = tokens(map);
    let listed: Vec<&Token> = tokens.windows(2).filter(|pair| pair[0].is("mod")).map(|pair| &pair[1]).collect();
    let mut broken = Broken { file: "lib.rs", list: Vec::new() };
    for pair in listed.windows(2).filter(|pair| floor(&pair[0].text) < floor(&pair[1].text)) {
        broken.add(
            pair[1].line,
            format!("{} stands on a higher floor than {}: list it there", pair[1].text, pair[0].text),
        );
    }
    for name in listed.iter().filter(|name| floor(&name.text).is_none()) {
        broken.add(name.line, format!("{} has no floor: give it one in tests/architecture.rs", name.text));
    }
    let mut missing: Vec<&str> = files.iter().map(|(path, _)| module(path)).collect();
    missing.dedup();
    missing.retain(|name| !["bin", "lib", "main"].contains(name) && !listed.iter().any(|token| token.is(name)));
    for name in missing {
        broken.add(1, format!("{name} is not in the list of modules"));
    }
    broken.list
}
