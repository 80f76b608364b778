//! Files with a setting a line: git's, npm's, pip's and those of Java.

use std::ops::Range;

use super::{Key, line_end, with_lines_behind, without_lines};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// git-config(1): sections, names in any case, quotes, comments behind values, `\` at the end of a line.
    Git,
    /// npm's ini: settings above all sections.
    Npm,
    /// Python's configparser: sections, further lines of a value are indented.
    Pip,
    /// Java's Properties: no sections, `=`, `:` or a blank, `\` at the end of a line.
    Properties,
}

impl Dialect {
    fn has_sections(self) -> bool {
        self != Self::Properties
    }

    fn comments(self) -> [char; 2] {
        match self {
            Self::Properties => ['#', '!'],
            Self::Git | Self::Npm | Self::Pip => ['#', ';'],
        }
    }

    fn is_same(self, one: &str, other: &str) -> bool {
        match self {
            Self::Git => one.eq_ignore_ascii_case(other),
            Self::Pip => one.to_lowercase().replace('_', "-") == other.to_lowercase().replace('_', "-"),
            Self::Npm | Self::Properties => one == other,
        }
    }

    /// Whether the setting that begins with `first` goes on behind `line`.
    fn goes_on(self, first: &str, line: &str, next: Option<&str>) -> bool {
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
        match self {
            Self::Git | Self::Properties => next.is_some() && backslashes % 2 == 1,
            Self::Pip => next.is_some_and(|next| indent(next) > indent(first) && !next.trim().is_empty()),
            Self::Npm => false,
        }
    }

    /// The length of a name, where its value begins, and whether anything stands between the two.
    fn separated(self, line: &str) -> Option<(usize, usize, bool)> {
        let at = match self {
            Self::Git | Self::Npm => line.find('='),
            Self::Pip => line.find(['=', ':']),
            Self::Properties => line.find(['=', ':', ' ', '\t']),
        };
        let at = at.unwrap_or(line.len());
        let behind = &line[at..];
        let blanks = |text: &str| text.len() - text.trim_start_matches([' ', '\t']).len();
        let mut skip = blanks(behind);
        let is_bare = behind[skip..].is_empty();
        if behind[skip..].starts_with(['=', ':']) {
            skip += 1;
            skip += blanks(&behind[skip..]);
        }
        let name = line[..at].trim_end();
        (!name.is_empty()).then_some((name.len(), at + skip, !is_bare))
    }

    fn separator(self) -> &'static str {
        match self {
            Self::Git | Self::Pip => " = ",
            Self::Npm | Self::Properties => "=",
        }
    }

    fn line(self, key: &str, value: &str) -> String {
        match self {
            Self::Git => format!("\t{key}{}{value}", self.separator()),
            Self::Pip | Self::Npm | Self::Properties => format!("{key}{}{value}", self.separator()),
        }
    }

    fn written(self, value: &str) -> String {
        let has = |signs: &[char]| value.contains(signs) || value.trim() != value;
        match self {
            Self::Git if has(&['\\', '"', '#', ';']) => {
                format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
            }
            Self::Properties => value.replace('\\', "\\\\"),
            Self::Git | Self::Npm | Self::Pip => value.into(),
        }
    }

    /// What a value as it stands there means, as far as it matters for a proxy.
    fn meant(self, written: &str) -> String {
        match self {
            Self::Git => unquoted(written),
            Self::Npm => written.trim_matches(['"', '\'']).into(),
            Self::Pip => written.split('\n').map(str::trim).collect::<Vec<_>>().join("\n"),
            Self::Properties => written.replace("\\\\", "\\").replace("\\:", ":").replace("\\=", "="),
        }
    }

    /// How much of a value is one, and not a comment or blanks behind it.
    fn length(self, value: &str) -> usize {
        let mut quoted = false;
        let mut escaped = false;
        let ends = |(at, sign): (usize, char)| {
            if escaped {
                escaped = false;
                return None;
            }
            match sign {
                '\\' => escaped = true,
                '"' => quoted = !quoted,
                '#' | ';' if !quoted => return Some(at),
                _ => {}
            }
            None
        };
        let end = match self {
            Self::Git => value.char_indices().find_map(ends).unwrap_or(value.len()),
            Self::Npm | Self::Pip | Self::Properties => value.len(),
        };
        value[..end].trim_end().len()
    }
}

/// git's quotes and escapes.
fn unquoted(written: &str) -> String {
    let (mut meant, mut signs) = (String::new(), written.chars());
    while let Some(sign) = signs.next() {
        match sign {
            '"' => {}
            '\\' => meant.extend(signs.next()),
            sign => meant.push(sign),
        }
    }
    meant
}

struct Entry {
    section: Option<String>,
    name: String,
    /// Its lines.
    whole: Range<usize>,
    /// All behind the name, where it stands alone.
    value: Range<usize>,
    is_alone: bool,
}

struct Header {
    name: String,
    whole: Range<usize>,
}

#[derive(Default)]
struct Read {
    entries: Vec<Entry>,
    headers: Vec<Header>,
}

fn read(dialect: Dialect, text: &str) -> Read {
    let mut read = Read::default();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let bare = |at: usize| lines.get(at).map(|line: &&str| line.trim_end_matches(['\r', '\n']));
    let (mut number, mut at) = (0, 0);
    while let Some(line) = bare(number) {
        let begin = at;
        let mut end = at + lines[number].len();
        let mut content = begin + (line.len() - line.trim_start().len());
        let mut rest = line.trim_start();
        if dialect.has_sections()
            && rest.starts_with('[')
            && let Some(close) = rest.find(']')
        {
            read.headers.push(Header { name: rest[1..close].trim().into(), whole: begin..end });
            content += close + 1;
            rest = &rest[close + 1..];
            let blanks = rest.len() - rest.trim_start().len();
            content += blanks;
            rest = &rest[blanks..];
        }
        let is_entry = !rest.is_empty() && !rest.starts_with(dialect.comments());
        if is_entry {
            let mut last = line;
            while dialect.goes_on(line, last, bare(number + 1)) {
                number += 1;
                end += lines[number].len();
                last = bare(number).unwrap_or_default();
            }
            if let Some((name, behind, is_separated)) = dialect.separated(rest) {
                let from = (content + behind).min(end);
                let to = from + text[from..end].trim_end_matches(['\r', '\n']).len();
                let value = match is_separated {
                    true => from..from + dialect.length(&text[from..to]),
                    false => content + name..to,
                };
                let section = read.headers.last().map(|header| header.name.clone());
                // A setting behind its section's name leaves that in its place.
                let whole =
                    if content > begin && line.trim_start().starts_with('[') { content..to } else { begin..end };
                read.entries.push(Entry { section, name: rest[..name].into(), whole, value, is_alone: !is_separated });
            }
        }
        at = end;
        number += 1;
    }
    read
}

/// A key is a name, or a section and a name.
fn parts(key: &Key) -> (Option<&str>, &str) {
    match key {
        [name] => (None, name),
        [section, name, ..] => (Some(section), name),
        [] => (None, ""),
    }
}

fn found<'r>(dialect: Dialect, read: &'r Read, key: &Key) -> Option<&'r Entry> {
    let (section, name) = parts(key);
    read.entries.iter().rev().find(|entry| {
        let in_section = match (&entry.section, section) {
            (None, None) => true,
            (Some(one), Some(other)) => is_section(dialect, one, other),
            (Some(_), None) | (None, Some(_)) => false,
        };
        in_section && dialect.is_same(&entry.name, name)
    })
}

fn is_section(dialect: Dialect, one: &str, other: &str) -> bool {
    match dialect {
        Dialect::Git => one.eq_ignore_ascii_case(other),
        Dialect::Npm | Dialect::Pip | Dialect::Properties => one == other,
    }
}

pub fn get(dialect: Dialect, text: &str, key: &Key) -> Option<String> {
    let read = read(dialect, text);
    let entry = found(dialect, &read, key)?;
    Some(if entry.is_alone { String::new() } else { dialect.meant(&text[entry.value.clone()]) })
}

pub fn set(dialect: Dialect, text: &str, key: &Key, value: &str) -> Result<String, super::Unreadable> {
    let read = read(dialect, text);
    let written = dialect.written(value);
    if let Some(entry) = found(dialect, &read, key) {
        let separator = if entry.is_alone { dialect.separator() } else { "" };
        return Ok(format!("{}{separator}{written}{}", &text[..entry.value.start], &text[entry.value.end..]));
    }
    if ends_unfinished(dialect, text) {
        let cause = "the last line ends in a backslash, and what follows would be a part of it: take the backslash out";
        return Err(super::Unreadable::at(text, text.trim_end_matches(['\r', '\n']).len(), cause));
    }
    let (section, name) = parts(key);
    let line = dialect.line(name, &written);
    let is_here = |entry: &&Entry| match (&entry.section, section) {
        (None, None) => true,
        (Some(one), Some(other)) => is_section(dialect, one, other),
        (Some(_), None) | (None, Some(_)) => false,
    };
    let header = section.and_then(|wanted| read.headers.iter().rev().find(|h| is_section(dialect, &h.name, wanted)));
    let last = read.entries.iter().rev().find(is_here).map(|entry| entry.whole.end);
    let place = match (section, header) {
        (Some(section), None) => return Ok(with_lines_behind(text, &format!("[{section}]\n{line}"))),
        (Some(_), Some(header)) => last.unwrap_or(header.whole.end).max(header.whole.end),
        (None, _) => match read.headers.first() {
            None => return Ok(with_lines_behind(text, &line)),
            Some(header) => last.unwrap_or(header.whole.start),
        },
    };
    if dialect == Dialect::Pip && text[place..].starts_with([' ', '\t']) {
        let cause = "this line would become a part of what is written above it: begin it without a blank";
        return Err(super::Unreadable::at(text, place, cause));
    }
    let end = line_end(text);
    Ok(match text[..place].ends_with('\n') || place == 0 {
        true => format!("{}{line}{end}{}", &text[..place], &text[place..]),
        false => format!("{}{end}{line}{}", &text[..place], &text[place..]),
    })
}

/// A line behind it would not be one of its own.
fn ends_unfinished(dialect: Dialect, text: &str) -> bool {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let last = text.strip_suffix('\r').unwrap_or(text).rsplit('\n').next().unwrap_or_default();
    dialect != Dialect::Pip
        && !last.trim_start().starts_with(dialect.comments())
        && dialect.goes_on(last, last, Some(""))
}

pub fn unset(dialect: Dialect, text: &str, key: &Key, original: &str) -> String {
    let now = read(dialect, text);
    let Some(entry) = found(dialect, &now, key) else { return text.into() };
    let text = without_lines(text, entry.whole.clone());
    let Some(section) = parts(key).0 else { return text };
    let has = |read: &Read| read.headers.iter().any(|header| is_section(dialect, &header.name, section));
    let now = read(dialect, &text);
    let is_used =
        now.entries.iter().any(|entry| entry.section.as_deref().is_some_and(|s| is_section(dialect, s, section)));
    if has(&read(dialect, original)) || is_used {
        return text;
    }
    match now.headers.iter().rev().find(|header| is_section(dialect, &header.name, section)) {
        Some(header) => without_lines(&text, header.whole.clone()),
        None => text,
    }
}
