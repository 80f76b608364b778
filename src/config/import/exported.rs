//! What `config export` wrote, and what else has our own keys: a `.reg` file, a profile or property list, a policy in TOML.

use std::path::Path;

use plist::{Dictionary, Value as Plist};

use super::decode;
use crate::config::export::Portable;
use crate::config::mistake::{Mistake, Mistakes, Origin, Problem};
use crate::config::policy::{BUNDLE_ID, Policy, PolicyPlace, REGISTRY_KEY};
use crate::config::{RegistryKey, RegistryValue, Statement};

/// How a `.reg` file begins. The version before it has bytes of whatever character set the machine had.
const REGISTRY_FILE: &str = "Windows Registry Editor Version 5.00";

/// The payload in which a profile has preferences of any program.
const PREFERENCES: &str = "com.apple.ManagedClient.preferences";

/// Reads a file of ours; `None` if it is none. What is recommended counts where nothing is locked.
pub fn read(path: &Path, bytes: &[u8]) -> Option<Result<Portable, Mistakes>> {
    let statements = statements(path, bytes)?;
    let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
    let policy = match statements {
        Ok(statements) => Policy::read(&PolicyPlace::Recorded(statements), &mut mistakes, &mut warnings),
        Err(problem) => {
            let origin = Origin::File { path: path.into(), line: 1, column: 1 };
            return Some(Err(Mistakes(vec![Mistake::new(origin, "", problem)])));
        }
    };
    if !mistakes.is_empty() {
        return Some(Err(Mistakes(mistakes)));
    }
    let mut layer = policy.locked;
    layer.add_below(policy.recommended);
    Some(Ok(Portable::of_layer(layer)))
}

fn statements(path: &Path, bytes: &[u8]) -> Option<Result<Vec<Statement>, Problem>> {
    let has_ending = |wanted: &str| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(wanted));
    let text = decode(bytes);
    if has_ending("toml") {
        return Some(Ok(vec![Statement::Toml { path: path.into(), text }]));
    }
    if text.trim_start().starts_with(REGISTRY_FILE) {
        return Some(Ok(of_registry(&text)));
    }
    let is_plist = bytes.starts_with(b"bplist") || text.contains("<plist");
    is_plist.then(|| of_plist(path, bytes))
}

// ---- .reg ----

/// The branches of ours in it, the machine's above the user's.
fn of_registry(text: &str) -> Vec<Statement> {
    let mut branches = [("HKLM", "HKEY_LOCAL_MACHINE"), ("HKCU", "HKEY_CURRENT_USER")]
        .map(|(short, long)| (format!(r"{short}\{REGISTRY_KEY}"), format!(r"{long}\{REGISTRY_KEY}"), None));
    let mut at: Option<(usize, Vec<String>)> = None;
    for line in logical_lines(text) {
        if let Some(key) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            at = branches
                .iter()
                .enumerate()
                .find_map(|(number, (_, root, _))| below(key, root).map(|path| (number, path)));
            continue;
        }
        let (Some((number, path)), Some((name, value))) = (&at, value_of(&line)) else { continue };
        let root = branches[*number].2.get_or_insert_with(RegistryKey::default);
        put(root, path, name, value);
    }
    let found = branches.into_iter().filter_map(|(root, _, key)| Some(Statement::Registry { root, key: key? }));
    found.collect()
}

/// Lines that end in a backslash go on in the next.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.lines().map(str::trim) {
        let (part, more) = match line.strip_suffix('\\') {
            Some(part) if line.contains("=hex") || goes_on => (part, true),
            Some(_) | None => (line, false),
        };
        match lines.last_mut().filter(|_| goes_on) {
            Some(last) => last.push_str(part),
            None => lines.push(part.into()),
        }
        goes_on = more;
    }
    lines
}

/// The names between the root and the key, where it is the root's. The registry does not tell upper from lower case.
fn below(key: &str, root: &str) -> Option<Vec<String>> {
    let start = key.get(..root.len()).filter(|start| start.eq_ignore_ascii_case(root))?;
    let rest = &key[start.len()..];
    match rest.strip_prefix('\\') {
        Some(path) => Some(path.split('\\').map(str::to_owned).collect()),
        None => rest.is_empty().then(Vec::new),
    }
}

fn put(key: &mut RegistryKey, path: &[String], name: String, value: RegistryValue) {
    let Some((first, rest)) = path.split_first() else {
        return key.values.push((name, value));
    };
    let at = key.keys.iter().position(|(known, _)| known.eq_ignore_ascii_case(first)).unwrap_or_else(|| {
        key.keys.push((first.clone(), RegistryKey::default()));
        key.keys.len() - 1
    });
    if let Some((_, below)) = key.keys.get_mut(at) {
        put(below, rest, name, value);
    }
}

/// `"name"="text"`, `"name"=dword:0000002a`, `"name"=hex(7):61,00`.
fn value_of(line: &str) -> Option<(String, RegistryValue)> {
    let (name, rest) = quoted(line)?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    if let Some((text, _)) = quoted(rest) {
        return Some((name, RegistryValue::Text(text)));
    }
    let (kind, data) = rest.split_once(':')?;
    let value = match kind {
        "dword" => {
            u64::from_str_radix(data.trim(), 16).map_or(RegistryValue::Other("a broken number"), RegistryValue::Number)
        }
        "hex(1)" => RegistryValue::Text(texts(data).into_iter().next().unwrap_or_default()),
        "hex(7)" => RegistryValue::List(texts(data).into_iter().filter(|text| !text.is_empty()).collect()),
        "hex(b)" => RegistryValue::Number(bytes(data).iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))),
        _ => RegistryValue::Other("a value of this type"),
    };
    Some((name, value))
}

/// What stands in quotes at the beginning, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let (mut out, mut is_escaped) = (String::new(), false);
    for (at, c) in inner.char_indices() {
        match (is_escaped, c) {
            (false, '\\') => is_escaped = true,
            (false, '"') => return Some((out, &inner[at + 1..])),
            (_, c) => {
                out.push(c);
                is_escaped = false;
            }
        }
    }
    None
}

fn bytes(data: &str) -> Vec<u8> {
    data.split(',').filter_map(|byte| u8::from_str_radix(byte.trim(), 16).ok()).collect()
}

fn texts(data: &str) -> Vec<String> {
    let bytes = bytes(data);
    let wide: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    wide.split(|unit| *unit == 0).map(String::from_utf16_lossy).collect()
}

// ---- property lists ----

/// A profile, or the preferences themselves.
fn of_plist(path: &Path, bytes: &[u8]) -> Result<Vec<Statement>, Problem> {
    let plist = Plist::from_reader(std::io::Cursor::new(bytes)).map_err(|error| {
        Problem::new(format!("this is no property list: {error}")).hint("a signed profile: export it without")
    })?;
    let root = plist.into_dictionary().ok_or_else(|| Problem::new("this is no dictionary"))?;
    let all = match root.get("PayloadContent").and_then(Plist::as_array) {
        Some(payloads) => payloads.iter().filter_map(Plist::as_dictionary).filter_map(settings_of).collect(),
        None => vec![root],
    };
    if all.is_empty() {
        return Err(Problem::new(format!("the profile has no settings for {BUNDLE_ID}")));
    }
    let statement = |settings: Dictionary| {
        let mut bytes = Vec::new();
        Plist::Dictionary(settings).to_writer_xml(&mut bytes).map_err(Problem::new)?;
        Ok(Statement::Plist { path: path.into(), bytes })
    };
    all.into_iter().map(statement).collect()
}

/// Of a payload in one of the two forms in which Apple has preferences of any program.
fn settings_of(payload: &Dictionary) -> Option<Dictionary> {
    match payload.get("PayloadType")?.as_string()? {
        BUNDLE_ID => Some(payload.clone()),
        PREFERENCES => {
            let domain = payload.get("PayloadContent")?.as_dictionary()?.get(BUNDLE_ID)?.as_dictionary()?;
            let forced = domain.get("Forced")?.as_array()?.first()?.as_dictionary()?;
            forced.get("mcx_preference_settings")?.as_dictionary().cloned()
        }
        _ => None,
    }
}
