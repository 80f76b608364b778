//! JSON as people keep it: with comments and trailing commas, which stay.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstObjectProp, CstRootNode};
use serde_json::Value;

use super::{Key, Unreadable, line_end};

/// VS Code's rules; what a stricter tool would not take is not made worse.
const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_loose_object_property_names: false,
    allow_trailing_commas: true,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

fn parse(text: &str) -> Result<CstRootNode, Unreadable> {
    CstRootNode::parse(text, &OPTIONS).map_err(|error| Unreadable {
        line: error.line_display(),
        cause: format!("this is no JSON ({}): correct it there", error.kind()),
    })
}

/// The object at the top, made where there is nothing but comments.
fn top(root: &CstRootNode) -> Result<CstObject, Unreadable> {
    let refusal = || Unreadable { line: 1, cause: "the file is no JSON object { … }".into() };
    match root.value() {
        None => Ok(root.object_value_or_set()),
        Some(_) => root.object_value().ok_or_else(refusal),
    }
}

/// The last of a name counts, as it does for those who read it.
fn property(object: &CstObject, name: &str) -> Option<CstObjectProp> {
    object.properties().into_iter().rev().find(|property| property.decoded_name().as_deref() == Some(name))
}

fn inner(text: &str, object: &CstObject, name: &str) -> Result<Option<CstObject>, Unreadable> {
    let Some(property) = property(object, name) else { return Ok(None) };
    match property.object_value() {
        Some(object) => Ok(Some(object)),
        None => {
            let place = text.find(&format!("\"{name}\"")).unwrap_or_default();
            Err(Unreadable::at(text, place, format!("{name:?} is no object {{ … }}: make it one or take it out")))
        }
    }
}

/// The object that the key's last name stands in.
fn parent(text: &str, root: &CstRootNode, key: &Key) -> Result<Option<CstObject>, Unreadable> {
    if root.value().is_none() {
        return Ok(None);
    }
    let mut object = top(root)?;
    for name in key.iter().take(key.len().saturating_sub(1)) {
        match inner(text, &object, name)? {
            Some(next) => object = next,
            None => return Ok(None),
        }
    }
    Ok(Some(object))
}

pub fn get(text: &str, key: &Key) -> Result<Option<String>, Unreadable> {
    let root = parse(text)?;
    let Some(object) = parent(text, &root, key)? else { return Ok(None) };
    let found = key.last().and_then(|name| property(&object, name)).and_then(|property| property.value());
    let Some(found) = found else { return Ok(None) };
    // Comments may stand in it.
    let written = found.to_string();
    let value = jsonc_parser::parse_to_ast(&written, &Default::default(), &OPTIONS);
    let value = value.ok().and_then(|parsed| parsed.value).map(|value| plain(&value));
    Ok(Some(value.unwrap_or_default().to_string()))
}

fn plain(value: &jsonc_parser::ast::Value<'_>) -> Value {
    use jsonc_parser::ast::Value as Ast;
    match value {
        Ast::StringLit(text) => Value::String(text.value.to_string()),
        Ast::NumberLit(number) => serde_json::from_str(number.value).unwrap_or_default(),
        Ast::BooleanLit(switch) => Value::Bool(switch.value),
        Ast::NullKeyword(_) => Value::Null,
        Ast::Array(array) => Value::Array(array.elements.iter().map(plain).collect()),
        Ast::Object(object) => Value::Object(
            object
                .properties
                .iter()
                .map(|property| (property.name.as_str().to_string(), plain(&property.value)))
                .collect(),
        ),
    }
}

pub fn set(text: &str, key: &Key, value: &str) -> Result<String, Unreadable> {
    let root = parse(text)?;
    let Some((name, outer)) = key.split_last() else { return Ok(text.into()) };
    let mut object = top(&root)?;
    for name in outer {
        object = match inner(text, &object, name)? {
            Some(next) => next,
            None => object.append(name, CstInputValue::Object(Vec::new())).object_value_or_set(),
        };
        object.ensure_multiline();
    }
    let value = input(&serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.into())));
    match property(&object, name) {
        Some(property) => property.set_value(value),
        None => drop(object.append(name, value)),
    }
    let mut text_now = root.to_string();
    if text.trim().is_empty() && !text_now.ends_with('\n') {
        text_now.push('\n');
    }
    Ok(text_now)
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(switch) => CstInputValue::Bool(*switch),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(map) => {
            CstInputValue::Object(map.iter().map(|(name, value)| (name.clone(), input(value))).collect())
        }
    }
}

pub fn unset(text: &str, key: &Key, original: &str) -> Result<String, Unreadable> {
    let before = parse(original)?;
    let mut now = text.to_string();
    for length in (1..=key.len()).rev() {
        let root = parse(&now)?;
        let path = &key[..length];
        let Some(object) = parent(&now, &root, path)? else { continue };
        let Some(property) = path.last().and_then(|name| property(&object, name)) else { continue };
        let stays = length < key.len()
            && (property.object_value().is_none_or(|object| !object.properties().is_empty())
                || parent(original, &before, path)?
                    .is_some_and(|object| path.last().is_some_and(|name| self::property(&object, name).is_some())));
        if stays {
            break;
        }
        property.remove();
        now = root.to_string();
    }
    let end = line_end(text);
    Ok(if end == "\r\n" { now.replace("\r\n", "\n").replace('\n', end) } else { now })
}
