//! TOML, as cargo's.

use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use super::{Key, Unreadable, line_end};

fn parse(text: &str) -> Result<DocumentMut, Unreadable> {
    text.parse::<DocumentMut>().map_err(|error| {
        let place = error.span().map_or(0, |span| span.start);
        Unreadable::at(text, place, format!("this is no TOML ({}): correct it there", error.message()))
    })
}

fn refusal(text: &str, name: &str) -> Unreadable {
    let place = text.find(name).unwrap_or_default();
    Unreadable::at(text, place, format!("{name} is no table: make it one or take it out"))
}

/// The table that the key's last name stands in.
fn parent<'d>(text: &str, document: &'d DocumentMut, key: &Key) -> Result<Option<&'d dyn TableLike>, Unreadable> {
    let mut table: &dyn TableLike = document.as_table();
    for name in key.iter().take(key.len().saturating_sub(1)) {
        match table.get(name) {
            None => return Ok(None),
            Some(item) => table = item.as_table_like().ok_or_else(|| refusal(text, name))?,
        }
    }
    Ok(Some(table))
}

pub fn get(text: &str, key: &Key) -> Result<Option<String>, Unreadable> {
    let document = parse(text)?;
    let found = parent(text, &document, key)?.and_then(|table| table.get(key.last()?)?.as_value());
    Ok(found.map(|value| value.clone().decorated("", "").to_string()))
}

pub fn set(text: &str, key: &Key, value: &str) -> Result<String, Unreadable> {
    let mut document = parse(text)?;
    let Some((name, outer)) = key.split_last() else { return Ok(text.into()) };
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for name in outer {
        table = table
            .entry(name)
            .or_insert_with(|| Item::Table(Table::new()))
            .as_table_like_mut()
            .ok_or_else(|| refusal(text, name))?;
    }
    let mut value: Value = value.parse().unwrap_or_else(|_| value.into());
    match table.get_mut(name).and_then(Item::as_value_mut) {
        Some(there) => {
            *value.decor_mut() = there.decor().clone();
            *there = value;
        }
        None => drop(table.insert(name, Item::Value(value))),
    }
    Ok(as_before(text, document.to_string()))
}

pub fn unset(text: &str, key: &Key, original: &str) -> Result<String, Unreadable> {
    let before = parse(original)?;
    let mut document = parse(text)?;
    for length in (1..=key.len()).rev() {
        let path = &key[..length];
        let Some((name, outer)) = path.split_last() else { break };
        let stays = length < key.len()
            && (parent(original, &before, path)?.is_some_and(|table| table.contains_key(name))
                || !parent(text, &document, path)?
                    .and_then(|table| table.get(name)?.as_table_like())
                    .is_some_and(TableLike::is_empty));
        if stays {
            break;
        }
        let mut table: &mut dyn TableLike = document.as_table_mut();
        for name in outer {
            match table.get_mut(name).and_then(Item::as_table_like_mut) {
                Some(next) => table = next,
                None => return Ok(text.into()),
            }
        }
        table.remove(name);
    }
    Ok(as_before(text, document.to_string()))
}

/// The library writes line ends of its own.
fn as_before(text: &str, mut now: String) -> String {
    if line_end(text) == "\r\n" {
        now = now.replace("\r\n", "\n").replace('\n', "\r\n");
    }
    if !text.is_empty() && !text.ends_with('\n') {
        now.truncate(now.trim_end_matches(['\r', '\n']).len());
    }
    now
}
