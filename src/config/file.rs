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
    read_keys(path, text, keys::find, mistakes)
}

pub(super) fn read_keys(path: &Path, text: &str, find: fn(&[&str]) -> Found, mistakes: &mut Vec<Mistake>) -> Layer {
    let mut file = File { path, text, find, broken: BTreeSet::new(), layer: Layer::default(), mistakes };
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
    find: fn(&[&str]) -> Found,
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
            match ((self.find)(&path), value.get_ref()) {
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
                (Found::Tables, DeValue::Array(tables)) => self.tables(&path, tables, origin),
                (Found::Table | Found::Named, _) => self.not_a_value(&path, origin),
                (Found::Tables, _) => self.wrong(&path, origin, not_tables(&path)),
                (Found::Unknown, _) => self.wrong(&path, origin, unknown(self.split(&path).1)),
            }
        }
    }

    /// A table that is no key of ours, such as the policy's `recommended`, only holds what is.
    fn split<'p>(&self, path: &'p [&'p str]) -> (&'p [&'p str], &'p [&'p str]) {
        let holds = |first| keys::find(&[first]) == Found::Unknown && (self.find)(&[first]) == Found::Table;
        path.split_at(usize::from(path.len() > 1 && holds(path[0])))
    }

    /// `[[tunnels]]` one after the other, or `tunnels = [{ … }, …]`.
    fn tables(&mut self, path: &[&str], tables: &[Spanned<DeValue<'_>>], origin: Origin) {
        if self.is_broken(&origin) {
            return;
        }
        self.layer.set(path, Value::Tables, origin);
        for (at, table) in tables.iter().enumerate() {
            let origin = self.origin(table.span().start);
            let DeValue::Table(inner) = table.get_ref() else {
                self.wrong(path, origin, not_tables(path));
                continue;
            };
            let number = (at + 1).to_string();
            let path: Vec<&str> = path.iter().copied().chain([number.as_str()]).collect();
            self.layer.set(&path, Value::Named, origin);
            self.table(&path, inner);
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
        if let Some(problem) = path.last().and_then(|name| not_a_name(name)) {
            self.wrong(path, origin.clone(), problem);
        }
    }

    fn not_a_table(&mut self, path: &[&str], origin: Origin) {
        self.wrong(path, origin, Problem::new("this is a key, not a table"));
    }

    fn not_a_value(&mut self, path: &[&str], origin: Origin) {
        let (above, below) = self.split(path);
        let named = keys::find(&[below[0], "NAME"]) == Found::Named;
        let head = if named { [above, &below[..1], &["NAME"]].concat().join(".") } else { path.join(".") };
        let problem = match below.len() {
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

fn not_tables(path: &[&str]) -> Problem {
    let head = path.join(".");
    Problem::new("this is a list of tables").hint(format!("write [[{head}]] above the keys of each"))
}

/// Why a table cannot have this name.
pub(super) fn not_a_name(name: &str) -> Option<Problem> {
    let is_none = name.is_empty() || name.chars().any(char::is_control);
    is_none.then(|| Problem::new("the name is empty or has a control character"))
}

pub(super) fn unknown(path: &[&str]) -> Problem {
    let problem = Problem::new("no such key");
    match keys::meant(path) {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
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

    /// Keys as they may be one day.
    fn find(path: &[&str]) -> Found {
        let keys = ["ways.#.port", "ways.#.hosts", "profiles.*.pac", "profiles.*.ways.#.port"];
        keys::find_in(&keys, path)
    }

    fn entries(text: &str) -> (Vec<String>, Vec<String>) {
        let mut mistakes = Vec::new();
        let layer = read_keys(Path::new("f"), text, find, &mut mistakes);
        let shown = |entry: &crate::config::layer::Entry| format!("{} {}", entry.origin, entry.path.join("."));
        (layer.entries.iter().map(shown).collect(), mistakes.iter().map(Mistake::to_string).collect())
    }

    #[test]
    fn the_tables_of_a_list_are_numbered_and_each_key_has_its_place() {
        let (found, mistakes) = entries(
            "[[ways]]\nport = 1\n\n[[ways]]\n  hosts = ['a',\n 'b']\n[profiles.office]\npac = 'x'\n\
             [[profiles.office.ways]]\nport = 3\n[[profiles.office.ways]]\nport = 4\n",
        );
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert_eq!(
            found,
            [
                "f:1:3 ways",
                "f:1:1 ways.1",
                "f:2:1 ways.1.port",
                "f:4:1 ways.2",
                "f:5:3 ways.2.hosts",
                "f:7:11 profiles.office",
                "f:8:1 profiles.office.pac",
                "f:9:19 profiles.office.ways",
                "f:9:1 profiles.office.ways.1",
                "f:10:1 profiles.office.ways.1.port",
                "f:11:1 profiles.office.ways.2",
                "f:12:1 profiles.office.ways.2.port",
            ]
        );
    }

    #[test]
    fn the_tables_of_a_list_may_stand_on_one_line_or_be_none() {
        let text = "ways = [{ port = 1 },\n { hosts = ['a'] }]\n[profiles.home]\nways = [{ port = 2 }]\n\
                    [profiles.none]\nways = []\n";
        let (found, mistakes) = entries(text);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert_eq!(
            found,
            [
                "f:1:1 ways",
                "f:1:9 ways.1",
                "f:1:11 ways.1.port",
                "f:2:2 ways.2",
                "f:2:4 ways.2.hosts",
                "f:3:11 profiles.home",
                "f:4:1 profiles.home.ways",
                "f:4:9 profiles.home.ways.1",
                "f:4:11 profiles.home.ways.1.port",
                "f:5:11 profiles.none",
                "f:6:1 profiles.none.ways",
            ]
        );
    }

    #[test]
    fn what_is_no_list_of_tables_is_reported_and_so_is_a_wrong_key_in_one() {
        let hint = "this is a list of tables (write [[ways]] above the keys of each)";
        assert_eq!(entries("ways = 1\n").1, [format!("f:1:1: ways: {hint}")]);
        assert_eq!(entries("[ways]\nport = 1\n").1, [format!("f:1:2: ways: {hint}")]);
        assert_eq!(entries("ways = [{ port = 1 }, 2]\n").1, [format!("f:1:23: ways: {hint}")]);
        assert_eq!(entries("[[ways]]\n[[ways]]\nnone = 1\n").1, ["f:3:1: ways.2.none: no such key"]);
    }

    #[test]
    fn a_list_of_tables_replaces_the_one_in_the_layer_below() {
        let read = |text| read_keys(Path::new("f"), text, find, &mut Vec::new());
        let mut layer = read("[[ways]]\nport = 1\n[[ways]]\nport = 2\n[[profiles.office.ways]]\nport = 3\n");
        layer.cover(read("[[ways]]\nhosts = 'a'\n"));
        assert_eq!(layer.names("ways"), ["1"]);
        assert!(layer.get(&["ways", "1", "port"]).is_none(), "{layer:?}");
        assert_eq!(layer.names_in(&["profiles", "office", "ways"]), ["1"]);
        layer.cover(read("ways = []\n"));
        assert!(layer.names("ways").is_empty() && layer.get(&["ways"]).is_some(), "{layer:?}");
    }

    #[test]
    fn upstreams_keep_the_order_in_which_they_are_written() {
        let text = "[upstreams.z]\nurl='a'\n[upstreams.a]\nurl='b'\n[upstreams.\"m.x\"]\nurl='c'\n";
        let layer = read(Path::new("f"), text, &mut Vec::new());
        assert_eq!(layer.names("upstreams"), ["z", "a", "m.x"]);
    }
}
