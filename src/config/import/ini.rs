//! Lines of keys and values, as INI files and shells have them.

/// A key and its value, where they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counted from 1.
    pub line: usize,
    /// The head above it, lower-case.
    pub section: String,
    pub key: String,
    pub value: String,
}

/// `[section]`, `key = value` or `key: value`; a line that begins with a blank goes on with the value above it.
pub fn entries(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut section = String::new();
    for (number, line) in content(text) {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim().to_lowercase();
            continue;
        }
        let goes_on = line.starts_with([' ', '\t']) && entries.last().is_some_and(|last| last.section == section);
        if let (true, Some(last)) = (goes_on, entries.last_mut()) {
            last.value = format!("{} {trimmed}", last.value).trim().to_owned();
            continue;
        }
        let (key, value) = trimmed.split_once(['=', ':']).unwrap_or((trimmed, ""));
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        entries.push(Entry { line: number, section: section.clone(), key, value });
    }
    entries
}

/// Every line that is neither empty nor a comment, with its number.
pub fn content(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_end()));
    lines.filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with(['#', ';']))
}

/// The parts of a list that is separated by commas, blanks or both.
pub fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty())
}

/// Whether a switch is on, as the tools write it.
pub fn is_on(value: &str) -> bool {
    ["yes", "on", "true", "1", "y"].contains(&value.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_comments_and_lines_that_go_on_are_understood() {
        let text = "; px\r\n[proxy]\r\nserver = a:1,\r\n  b:2\r\n# no\r\nallow: 10.*\r\n\r\n[Settings]\r\nlog=1\r\nempty =\r\n";
        let found: Vec<_> = entries(text).into_iter().map(|e| (e.line, e.section, e.key, e.value)).collect();
        let wanted = [
            (3, "proxy", "server", "a:1, b:2"),
            (6, "proxy", "allow", "10.*"),
            (9, "settings", "log", "1"),
            (10, "settings", "empty", ""),
        ];
        assert_eq!(found, wanted.map(|(line, s, k, v)| (line, s.to_owned(), k.to_owned(), v.to_owned())));
    }
}
