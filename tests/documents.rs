//! What the documents say is so: configurations load, quoted messages exist, links lead somewhere.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// Those at the root and all of docs.
fn documents() -> Vec<String> {
    let at_root = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(ToOwned::to_owned);
    at_root.into_iter().chain(pages().into_iter().map(|page| format!("docs/{page}"))).collect()
}

fn pages() -> Vec<String> {
    let entries = fs::read_dir(root().join("docs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<String> = names.filter(|name| name.ends_with(".md")).collect();
    pages.sort();
    pages
}

/// The text of all sources, a string that goes on in the next line put together.
fn sources() -> String {
    fn collect(directory: &Path, text: &mut String) {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => collect(&path, text),
                false => text.push_str(&fs::read_to_string(&path).unwrap()),
            }
        }
    }
    let mut text = String::new();
    collect(&root().join("src"), &mut text);
    text
}

/// What stands between lines that begin with the fence and with ```.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while lines.by_ref().any(|line| line == format!("```{language}")) {
        blocks.push(lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>().join("\n"));
    }
    blocks
}

#[test]
fn every_configuration_in_a_document_is_right() {
    let home = tempfile::tempdir().unwrap();
    for name in ["corp-ca.pem", "me.pem", "me.key", "build.keytab"] {
        let path = home.path().join(name);
        fs::write(&path, "-----BEGIN CERTIFICATE-----\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut checked = 0;
    for block in documents().iter().flat_map(|name| blocks(&document(name), "toml")) {
        fs::write(home.path().join("hallpass.toml"), &block).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_hallpass"))
            .args(["config", "check", "--config", "hallpass.toml"])
            .env_clear()
            .env("HOME", home.path())
            .current_dir(home.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stderr));
        checked += 1;
    }
    assert!(checked >= 25, "only {checked} configurations were found");
}

#[test]
fn every_message_that_is_explained_is_one_that_is_given() {
    let (text, sources) = (document("docs/troubleshooting.md"), sources());
    let headings = text.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    let tables = text.split("| it says | do |\n").skip(1);
    let rows = tables.flat_map(|rest| rest.lines().take_while(|line| line.starts_with('|')));
    let cells = rows.filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(cell, _)| cell));
    let messages: Vec<&str> = headings.chain(cells).flat_map(|line| line.split("`, `")).collect();
    assert!(messages.len() > 30, "{messages:?}");
    for message in messages {
        let parts = message.split(" … ");
        let missing: Vec<&str> = parts.filter(|part| !sources.contains(part)).collect();
        assert!(missing.is_empty(), "nothing says {missing:?}");
    }
}

#[test]
fn every_end_of_a_request_is_explained() {
    let audit = fs::read_to_string(root().join("src/audit.rs")).unwrap();
    let (_, body) = audit.split_once("pub enum End {").unwrap();
    let text = document("docs/troubleshooting.md");
    let (_, table) = text.split_once("| `end` | meaning |").unwrap();
    for variant in body.split('}').next().unwrap().split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let mut name = String::new();
        for c in variant.chars() {
            if c.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.extend(c.to_lowercase());
        }
        assert!(table.contains(&format!("`{name}`")), "{name} is not explained");
    }
}

/// What stands between single backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn names_a_file(name: &str) -> bool {
    ["tests/", "src/"].iter().any(|directory| name.starts_with(directory))
}

#[test]
fn every_promise_of_security_names_a_test_that_exists() {
    let text = document("SECURITY.md");
    let (_, promises) = text.split_once("## What is promised").unwrap();
    let (promises, _) = promises.split_once("## What is not promised").unwrap();
    let rows = promises.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise"));
    let mut checked = 0;
    for row in rows {
        let (promise, tests) = row.trim_matches(['|', ' ']).rsplit_once(" | ").unwrap();
        assert!(quoted(tests).into_iter().any(names_a_file), "nothing shows that: {promise}");
        checked += 1;
    }
    assert!(checked >= 8, "only {checked} promises were found");
    let stages = document("tests/run");
    for name in quoted(&text).into_iter().filter(|name| names_a_file(name) && !name.contains("NAME")) {
        let (file, stage) = name.split_once(' ').unwrap_or((name, ""));
        assert!(root().join(file).exists(), "there is no {file}");
        assert!(stage.is_empty() || stages.contains(&format!("\n{stage}() {{")), "tests/run knows no {stage}");
        // A file of scenarios is run by being named in their main.rs.
        if let Some(module) = file.strip_prefix("tests/scenarios/").and_then(|file| file.strip_suffix(".rs")) {
            assert!(document("tests/scenarios/main.rs").contains(&format!("mod {module};")), "nothing runs {file}");
        }
    }
}

#[test]
fn every_link_leads_to_a_file() {
    for name in &documents() {
        let directory: PathBuf = root().join(name).parent().unwrap().into();
        let text = document(name);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() { root().join(name) } else { directory.join(file) };
            assert!(path.exists(), "{name} links to {link}");
            if !place.is_empty() {
                // As code forges make them: punctuation goes.
                let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
                let anchor = |line: &str| -> String {
                    let title = line.trim_start_matches(['#', ' ']).to_lowercase();
                    title.chars().filter(kept).collect::<String>().replace(' ', "-")
                };
                let target = fs::read_to_string(&path).unwrap();
                let found = target.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == place);
                assert!(found, "{name} links to {link}");
            }
        }
    }
}

#[test]
fn every_page_is_linked_from_the_readme() {
    let readme = document("README.md");
    let pages = pages();
    assert!(pages.len() > 15, "{pages:?}");
    for page in pages {
        assert!(readme.contains(&format!("](docs/{page}")), "nobody who reads the README finds docs/{page}");
    }
}

#[test]
fn every_picture_is_there_and_every_picture_is_shown() {
    let mut shown = Vec::new();
    for name in &documents() {
        let (directory, text) = (root().join(name).parent().unwrap().to_owned(), document(name));
        let pictures = ["src=\"", "srcset=\""].map(|before| text.split(before).skip(1).collect::<Vec<_>>()).concat();
        for picture in pictures.iter().filter_map(|rest| rest.split('"').next()) {
            assert!(directory.join(picture).exists(), "{name} shows {picture}");
            shown.push(Path::new(picture).file_name().unwrap().to_owned());
        }
    }
    for picture in fs::read_dir(root().join("docs/images")).unwrap().map(|entry| entry.unwrap().file_name()) {
        assert!(shown.contains(&picture), "no document shows docs/images/{}", picture.display());
    }
}
