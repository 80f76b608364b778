//! A configuration as JSON: what one text in the registry or in a property list can hold. The order of its keys counts,
//! as it does in a file.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{Content, Node};
use crate::config::mistake::{Origin, Problem};

/// All of it is said to stand at `origin`.
pub fn read(text: &str, origin: &Origin) -> Result<Node, Problem> {
    let parsed: Parsed = serde_json::from_str(text).map_err(|error| {
        Problem::new(format!("this is no JSON: {error}")).hint("hallpass config schema says what fits")
    })?;
    Ok(parsed.0.at(origin))
}

struct Parsed(Node);

impl Parsed {
    fn of(content: Content) -> Self {
        Self(Node::new(content, &Origin::Default))
    }
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Parsed, E> {
        Ok(Parsed::of(Content::Switch(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Parsed, E> {
        Ok(Parsed::of(Content::Number(value.to_string())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Parsed, E> {
        Ok(Parsed::of(Content::Number(value.to_string())))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Parsed, E> {
        Ok(Parsed::of(Content::Other("a fraction")))
    }

    fn visit_unit<E>(self) -> Result<Parsed, E> {
        Ok(Parsed::of(Content::Other("null")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Parsed, E> {
        Ok(Parsed::of(Content::Text(value.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Parsed, A::Error> {
        let mut list = Vec::new();
        while let Some(Parsed(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Parsed::of(Content::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Parsed, A::Error> {
        let mut table: Vec<(String, Node)> = Vec::new();
        while let Some((name, Parsed(value))) = entries.next_entry::<String, Parsed>()? {
            if table.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom(format_args!("{name:?} stands here twice")));
            }
            table.push((name, value));
        }
        Ok(Parsed::of(Content::Table(table)))
    }
}
