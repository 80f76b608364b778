//! A configuration file as a user writes it: TOML in, keys with their places out. All that is wrong is found in one go.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Found};
use super::layer::{Item, Layer, Value};
use super::mistake::{Mistake, Origin, Problem};

/// The parser goes on after most errors, but not after this one.
const GIVES_UP_AT: &str = "key with no value";

pub fn read(path: &Path, text: &str, mistakes: &mut Vec<Mistake>) -> Layer {
    let mut file = File { path, text, broken: BTreeSet::new(), layer: Layer::default(), mistakes };
    let mut readable = text.to_owned();
    while let Some(line) = file.pass(&readable) {
        blank(&mut readable, line);
    }
    file.layer
}

/// Spaces instead of a line, so that all other places stay where they are.
fn blank(text: &mut String, line: Range<usize>) {
    let spaces = " ".repeat(line.len());
    text.replace_range(line, &spaces);
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
    /// Lines that are not TOML: what was recovered from them is not judged a second time.
    broken: BTreeSet<usize>,
    layer: Layer,
    mistakes: &'a mut Vec<Mistake>,
}

impl File<'_> {
    /// Reads all there is, or gives the line without which more could be read.
    fn pass(&mut self, text: &str) -> Option<Range<usize>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let obstacle = errors.iter().find(|error| error.message().starts_with(GIVES_UP_AT));
        let obstacle = obstacle.and_then(toml::de::Error::span).map(|span| line_around(text, span.start));
        // A line that is blank already cannot be what is in the way.
        let obstacle = obstacle.filter(|line| !text[line.clone()].trim().is_empty());
        for error in errors {
            self.syntax(&error);
        }
        if obstacle.is_none() {
            self.table(&[], table.get_ref());
        }
        obstacle
    }

    fn syntax(&mut self, error: &toml::de::Error) {
        let (line, column) = place(self.text, error.span().map_or(0, |span| span.start));
        // One bad line often gives several errors; the first says it.
        if !self.broken.insert(line) {
            return;
        }
        let mut problem = Problem::new(error.message());
        if self.text.lines().nth(line - 1).is_some_and(|text| text.contains('\\')) {
            problem = problem.hint("a backslash needs single quotes: 'DOMAIN\\user'");
        }
        let origin = Origin::File { path: self.path.into(), line, column };
        self.mistakes.push(Mistake::new(origin, "", problem));
    }

    fn table(&mut self, parents: &[&str], table: &DeTable<'_>) {
        let mut entries: Vec<_> = table.iter().collect();
        // The order written, which is the order of the upstreams.
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let path: Vec<&str> = parents.iter().copied().chain([key.get_ref().as_ref()]).collect();
            let origin = self.origin(key.span().start);
            match (keys::find(&path), value.get_ref()) {
                (Found::Key, DeValue::Table(_)) => self.not_a_table(&path, origin),
                (Found::Key, _) => {
                    let value = if self.is_broken(&origin) { Value::Broken } else { self.value(value) };
                    self.layer.set(&path, value, origin);
                }
                (Found::Named, DeValue::Table(inner)) => {
                    self.check_name(&path, &origin);
                    self.layer.set(&path, Value::Named, origin);
                    self.table(&path, inner);
                }
                (Found::Table, DeValue::Table(inner)) => self.table(&path, inner),
                (Found::Table | Found::Named, _) => self.not_a_value(&path, origin),
                (Found::Later, _) => self.wrong(&path, origin, later(&path)),
                (Found::Unknown, _) => self.wrong(&path, origin, unknown(&path)),
            }
        }
    }

    fn value(&self, value: &Spanned<DeValue<'_>>) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => Value::Number(number.as_str().into()),
            DeValue::Integer(_) => Value::Other("a number that is not decimal"),
            DeValue::Boolean(switch) => Value::Switch(*switch),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.item(item)).collect()),
            DeValue::Float(_) => Value::Other("a fraction"),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Table(_) => Value::Other("a table"),
        }
    }

    fn item(&self, value: &Spanned<DeValue<'_>>) -> Item {
        Item { value: self.value(value), origin: self.origin(value.span().start) }
    }

    fn check_name(&mut self, path: &[&str], origin: &Origin) {
        if path[1].is_empty() || path[1].chars().any(char::is_control) {
            let problem = Problem::new("the name is empty or has a control character");
            self.wrong(path, origin.clone(), problem);
        }
    }

    fn not_a_table(&mut self, path: &[&str], origin: Origin) {
        self.wrong(path, origin, Problem::new("this is a key, not a table"));
    }

    fn not_a_value(&mut self, path: &[&str], origin: Origin) {
        let named = keys::find(&[path[0], "NAME"]) == Found::Named;
        let head = if named { format!("{}.NAME", path[0]) } else { path.join(".") };
        let problem = match path.len() {
            1 => Problem::new("this is a table, not a key").hint(format!("write [{head}] on a line of its own")),
            _ => Problem::new("the table it stands in needs a name").hint(format!("[{head}]")),
        };
        self.wrong(path, origin, problem);
    }

    fn wrong(&mut self, path: &[&str], origin: Origin, problem: Problem) {
        if !self.is_broken(&origin) {
            self.mistakes.push(Mistake::new(origin, path.join("."), problem));
        }
    }

    fn origin(&self, offset: usize) -> Origin {
        let (line, column) = place(self.text, offset);
        Origin::File { path: self.path.into(), line, column }
    }

    fn is_broken(&self, origin: &Origin) -> bool {
        matches!(origin, Origin::File { line, .. } if self.broken.contains(line))
    }
}

fn unknown(path: &[&str]) -> Problem {
    let problem = Problem::new("no such key");
    match keys::meant(path) {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

pub(super) fn later(path: &[&str]) -> Problem {
    Problem::new(format!("{} is not supported by this version", path.join(".")))
}

fn line_around(text: &str, offset: usize) -> Range<usize> {
    let offset = offset.min(text.len());
    let start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let end = text[offset..].find('\n').map_or(text.len(), |at| offset + at);
    start..end
}

/// Line and column of a byte, both from 1, the column in characters.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (line, before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let mut mistakes = Vec::new();
        read(Path::new("f"), text, &mut mistakes);
        mistakes.iter().map(Mistake::to_string).collect()
    }

    #[test]
    fn a_place_is_a_line_and_a_column_in_characters() {
        assert_eq!(place("a\nbä = 1\n", 0), (1, 1));
        assert_eq!(place("a\nbä = 1\n", 6), (2, 4));
        assert_eq!(place("", 9), (1, 1));
    }

    #[test]
    fn a_file_that_is_partly_not_toml_is_still_read_to_its_end() {
        let found = mistakes("grace 5\n[log]\nlevl = \"info\"\n[upstreams.a]\nurl = \"x\n\nspn\nnone = 1\n");
        assert_eq!(found.len(), 5, "{found:#?}");
        assert!(found[0].starts_with("f:1:"), "{found:#?}");
        assert!(found[3].starts_with("f:3:1: log.levl: no such key (did you mean level?)"), "{found:#?}");
    }

    #[test]
    fn the_backslash_of_a_domain_gets_its_hint_and_the_line_is_not_quoted() {
        let found = mistakes("[credentials.c]\nuser = \"CORP\\alice\"\npassword = \"hun\\ter2\\q\"\n");
        assert!(found.iter().all(|text| text.contains("single quotes") && !text.contains("hun")), "{found:#?}");
    }

    #[test]
    fn a_table_where_a_key_belongs_is_reported_and_the_other_way_round() {
        assert_eq!(
            mistakes("upstreams = \"http://proxy:8080\"\nlog = 1\n[grace]\nx = 1\n[credentials]\nuser = 'a'\n"),
            [
                "f:1:1: upstreams: this is a table, not a key (write [upstreams.NAME] on a line of its own)",
                "f:2:1: log: this is a table, not a key (write [log] on a line of its own)",
                "f:3:2: grace: this is a key, not a table",
                "f:6:1: credentials.user: the table it stands in needs a name ([credentials.NAME])",
            ]
        );
    }

    #[test]
    fn upstreams_keep_the_order_in_which_they_are_written() {
        let text = "[upstreams.z]\nurl='a'\n[upstreams.a]\nurl='b'\n[upstreams.\"m.x\"]\nurl='c'\n";
        let layer = read(Path::new("f"), text, &mut Vec::new());
        assert_eq!(layer.names("upstreams"), ["z", "a", "m.x"]);
    }
}
