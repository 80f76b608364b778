//! Maven's settings.xml: the elements `proxy` in `proxies`, of which the first of a protocol counts.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::{Key, Unreadable, line_end};

/// What `mvn` itself begins such a file with.
const NEW: &str = "<settings xmlns=\"http://maven.apache.org/SETTINGS/1.2.0\">\n</settings>\n";

#[derive(Default)]
struct Read {
    /// Where the content of `settings` ends.
    settings_end: Option<usize>,
    /// `<proxies/>`, without content.
    closed: Option<Range<usize>>,
    proxies: Option<Range<usize>>,
    /// Each `proxy` and its id.
    found: Vec<(String, Range<usize>)>,
}

fn read(text: &str) -> Result<Read, Unreadable> {
    let mut reader = Reader::from_str(text);
    let (mut read, mut path, mut id, mut begin, mut inside) = (Read::default(), Vec::new(), String::new(), 0, 0);
    loop {
        let before = place(&reader);
        let event = reader.read_event().map_err(|error| {
            let at = usize::try_from(reader.error_position()).unwrap_or_default();
            Unreadable::at(text, at, format!("this is no XML ({error}): correct it there"))
        })?;
        let after = place(&reader);
        let is = |path: &[String], names: &[&str]| path.iter().map(String::as_str).eq(names.iter().copied());
        match event {
            Event::Start(start) => {
                path.push(start.local_name().as_ref().to_string());
                if is(&path, &["settings", "proxies"]) {
                    inside = after;
                } else if is(&path, &["settings", "proxies", "proxy"]) {
                    (begin, id) = (before, String::new());
                }
            }
            Event::Empty(start) if is(&path, &["settings"]) && start.local_name().as_ref() == "proxies" => {
                read.closed = Some(before..after);
            }
            Event::Text(words) if is(&path, &["settings", "proxies", "proxy", "id"]) => {
                id = words.trim().to_string();
            }
            Event::End(_) => {
                if is(&path, &["settings", "proxies", "proxy"]) {
                    read.found.push((std::mem::take(&mut id), begin..after));
                } else if is(&path, &["settings", "proxies"]) {
                    read.proxies = Some(inside..before);
                } else if is(&path, &["settings"]) {
                    read.settings_end = Some(before);
                }
                path.pop();
            }
            Event::Eof if path.is_empty() => return Ok(read),
            Event::Eof => {
                let cause = format!("<{}> is never closed: correct it", path.join("><"));
                return Err(Unreadable::at(text, text.len(), cause));
            }
            Event::Empty(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
}

fn place(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or_default()
}

fn element(read: &Read, key: &Key) -> Option<Range<usize>> {
    let wanted = key.last()?;
    read.found.iter().find(|(id, _)| id == wanted).map(|(_, place)| place.clone())
}

pub fn get(text: &str, key: &Key) -> Result<Option<String>, Unreadable> {
    Ok(element(&read(text)?, key).map(|place| text[place].replace("\r\n", "\n")))
}

pub fn set(text: &str, key: &Key, value: &str) -> Result<String, Unreadable> {
    let start = if text.trim().is_empty() { NEW } else { text };
    let read = read(start)?;
    let end = line_end(start);
    let value = value.replace('\n', end);
    if let Some(place) = element(&read, key) {
        return Ok(format!("{}{value}{}", &start[..place.start], &start[place.end..]));
    }
    // Before all others, because the first counts.
    if let Some(inside) = read.proxies {
        return Ok(format!("{}{end}    {value}{}", &start[..inside.start], &start[inside.start..]));
    }
    let proxies = format!("<proxies>{end}    {value}{end}  </proxies>");
    if let Some(closed) = read.closed {
        return Ok(format!("{}{proxies}{}", &start[..closed.start], &start[closed.end..]));
    }
    let Some(at) = read.settings_end else {
        return Err(Unreadable { line: 1, cause: "there is no element <settings>…</settings> in it".into() });
    };
    let (before, after) = start.split_at(at);
    let indent = if before.ends_with('\n') { "  ".to_string() } else { format!("{end}  ") };
    Ok(format!("{before}{indent}{proxies}{end}{after}"))
}

pub fn unset(text: &str, key: &Key, original: &str) -> Result<String, Unreadable> {
    let found = read(text)?;
    let Some(place) = element(&found, key) else { return Ok(text.into()) };
    let text = cut(text, place);
    let now = read(&text)?;
    let Some(inside) = now.proxies.filter(|inside| text[inside.clone()].trim().is_empty()) else { return Ok(text) };
    let before = read(original)?;
    if before.proxies.is_some() || before.closed.is_some() {
        return Ok(text);
    }
    let whole = text[..inside.start].rfind("<proxies").unwrap_or(inside.start)..inside.end + "</proxies>".len();
    Ok(cut(&text, whole))
}

/// Without these bytes and the blanks of their line before them.
fn cut(text: &str, place: Range<usize>) -> String {
    let before = text[..place.start].trim_end_matches([' ', '\t']);
    let before = before.strip_suffix('\n').map_or(before, |text| text.strip_suffix('\r').unwrap_or(text));
    format!("{before}{}", &text[place.end..])
}

pub fn is_empty(text: &str) -> bool {
    text.is_empty() || text.split_whitespace().eq(NEW.split_whitespace())
}
