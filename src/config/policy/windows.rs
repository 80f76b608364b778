//! Where the policy is on Windows: in the branches of the registry that only administrators may write.

use std::path::PathBuf;

use windows_registry::{CURRENT_USER, Key as Open, LOCAL_MACHINE, Type};

use super::registry::{Key, Value};
use super::{REGISTRY_KEY, Statement};
use crate::config::mistake::{Origin, Problem};

/// ERROR_FILE_NOT_FOUND: there is no such key.
const NOT_THERE: i32 = 0x8007_0002_u32 as i32;

/// Deeper than any key of ours.
const MAX_DEPTH: usize = 8;

fn hives() -> [(String, &'static Open); 2] {
    [(format!(r"HKLM\{REGISTRY_KEY}"), LOCAL_MACHINE), (format!(r"HKCU\{REGISTRY_KEY}"), CURRENT_USER)]
}

/// None of it is a file.
pub fn files() -> Vec<PathBuf> {
    Vec::new()
}

pub fn branches() -> Vec<Statement> {
    let read = |(root, hive): (String, &'static Open)| match hive.open(REGISTRY_KEY) {
        Ok(open) => Some(match tree(&open, 0) {
            Ok(key) => Statement::Registry { root, key },
            Err(error) => refused(root, &error),
        }),
        Err(error) if error.code().0 == NOT_THERE => None,
        Err(error) => Some(refused(root, &error)),
    };
    hives().into_iter().filter_map(read).collect()
}

pub fn roots() -> Vec<String> {
    hives().into_iter().map(|(root, _)| root).collect()
}

fn refused(root: String, error: &dyn std::fmt::Display) -> Statement {
    let problem = Problem::new(format!("cannot read the policy: {error}"));
    let hint = "whoever manages this machine can let its users read the key";
    Statement::Refused { place: Origin::Managed(root), problem: problem.hint(hint) }
}

fn tree(open: &Open, depth: usize) -> windows_registry::Result<Key> {
    let mut key = Key::default();
    for (name, value) in open.values()? {
        key.values.push((name, plain(value)));
    }
    if depth < MAX_DEPTH {
        for name in open.keys()? {
            let below = tree(&open.open(&name)?, depth + 1)?;
            key.keys.push((name, below));
        }
    }
    Ok(key)
}

fn plain(value: windows_registry::Value) -> Value {
    match value.ty() {
        Type::String => String::try_from(value).map_or(Value::Other("text that is not Unicode"), Value::Text),
        Type::U32 => {
            u32::try_from(value).map_or(Value::Other("a broken number"), |number| Value::Number(number.into()))
        }
        Type::U64 => u64::try_from(value).map_or(Value::Other("a broken number"), Value::Number),
        Type::MultiString => Value::List(lines(value.as_wide())),
        Type::ExpandString => Value::Other("a REG_EXPAND_SZ (REG_SZ with ${env:NAME} is filled in)"),
        Type::Bytes => Value::Other("a REG_BINARY"),
        Type::Other(_) => Value::Other("a value of this type"),
    }
}

/// Each ends in a zero; behind the last one stands another.
fn lines(wide: &[u16]) -> Vec<String> {
    wide.split(|unit| *unit == 0).filter(|line| !line.is_empty()).map(String::from_utf16_lossy).collect()
}
