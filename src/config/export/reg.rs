//! A `.reg` file for the Policies branch: what `reg import`, Group Policy preferences and deployment scripts take.
//!
//! What the branch held before is deleted first, so that the machine has this policy and not a mixture.

use super::{Half, Portable, json};
use crate::config::keys::{self, Found};
use crate::config::policy::registry::order;
use crate::config::policy::{CONFIGURATION, Content, Node, REGISTRY_KEY};

/// For everybody on the machine, or for one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hive {
    Machine,
    User,
}

/// Of a key's name in the registry.
const MAX_NAME: usize = 255;

/// In UTF-16, as Windows writes them itself: any other is read by the machine's own character set.
pub fn registry_file(portable: &Portable, hive: Hive, half: Half) -> Vec<u8> {
    let hive = match hive {
        Hive::Machine => "HKEY_LOCAL_MACHINE",
        Hive::User => "HKEY_CURRENT_USER",
    };
    let root = match half {
        Half::Locked => format!(r"{hive}\{REGISTRY_KEY}"),
        Half::Recommended => format!(r"{hive}\{REGISTRY_KEY}\Recommended"),
    };
    let mut out = Out { text: format!("Windows Registry Editor Version 5.00\n\n[-{root}]\n") };
    let (single, rest) = portable.parts(|node| keeps_its_order(node) && has_no_blank(node));
    out.head(&root);
    if let Some(json) = rest {
        out.text_value(CONFIGURATION, &json);
    }
    out.key(&root, &[], &single);
    let text = format!("\u{feff}{}", out.text.replace('\n', "\r\n"));
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The registry has its keys in the order of their names, and not every name is one that it can have.
pub(super) fn keeps_its_order(node: &Node) -> bool {
    let Content::Table(inner) = &node.content else { return true };
    let is_sorted = |pair: &[(String, Node)]| order(&pair[0].0) < order(&pair[1].0);
    let differs = |pair: &[(String, Node)]| !pair[0].0.eq_ignore_ascii_case(&pair[1].0);
    let has_tables = inner.iter().any(|(_, node)| matches!(node.content, Content::Table(_)));
    let fits = |name: &str| name.len() <= MAX_NAME && !name.contains(['\\', '\0']) && !name.is_empty();
    !has_tables
        || (inner.windows(2).all(|pair| is_sorted(pair) && differs(pair)) && inner.iter().all(|(name, _)| fits(name)))
}

/// An empty text would end a REG_MULTI_SZ. Lists of tables are JSON anyway.
fn has_no_blank(node: &Node) -> bool {
    match &node.content {
        Content::List(items) => {
            items.iter().all(|item| !matches!(&item.content, Content::Text(text) if text.is_empty()))
        }
        Content::Table(inner) => inner.iter().all(|(_, node)| has_no_blank(node)),
        Content::Text(_) | Content::Number(_) | Content::Switch(_) | Content::Other(_) => true,
    }
}

struct Out {
    text: String,
}

impl Out {
    fn head(&mut self, key: &str) {
        self.text.push_str(&format!("\n[{key}]\n"));
    }

    fn key(&mut self, root: &str, path: &[&str], inner: &[(String, Node)]) {
        for (name, node) in inner {
            match &node.content {
                Content::Text(text) => self.text_value(name, text),
                Content::Switch(switch) => self.number(name, u32::from(*switch)),
                Content::Number(number) => match number.parse() {
                    Ok(number) => self.number(name, number),
                    Err(_) => self.text_value(name, number),
                },
                Content::List(items) if !is_tables(path, name) || items.is_empty() => self.list(name, items),
                // A table in which nothing stands means something, and a key without values does not.
                Content::Table(inner) if inner.is_empty() => self.text_value(name, "{}"),
                Content::List(_) | Content::Table(_) | Content::Other(_) => {}
            }
        }
        for (name, node) in inner {
            let below: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            match &node.content {
                Content::Table(inner) if !inner.is_empty() => {
                    let root = format!(r"{root}\{name}");
                    // The table of all tables with names has no values itself, unless one of them is empty.
                    let says = |(_, node): &(String, Node)| !matches!(&node.content, Content::Table(inner) if !inner.is_empty());
                    if inner.iter().any(says) {
                        self.head(&root);
                    }
                    self.key(&root, &below, inner);
                }
                Content::List(items) if is_tables(path, name) && !items.is_empty() => {
                    self.head(&format!(r"{root}\{name}"));
                    for (at, item) in items.iter().enumerate() {
                        self.text_value(&(at + 1).to_string(), &json::of(item));
                    }
                }
                Content::Table(_)
                | Content::List(_)
                | Content::Text(_)
                | Content::Number(_)
                | Content::Switch(_)
                | Content::Other(_) => {}
            }
        }
    }

    fn number(&mut self, name: &str, number: u32) {
        self.text.push_str(&format!("{}=dword:{number:08x}\n", quoted(name)));
    }

    fn text_value(&mut self, name: &str, text: &str) {
        let value = match text.chars().any(char::is_control) {
            true => format!("hex(1):{}", bytes(&format!("{text}\0"))),
            false => quoted(text),
        };
        self.text.push_str(&format!("{}={value}\n", quoted(name)));
    }

    fn list(&mut self, name: &str, items: &[Node]) {
        let texts: String = items.iter().filter_map(plain).map(|text| format!("{text}\0")).collect();
        self.text.push_str(&format!("{}=hex(7):{}\n", quoted(name), bytes(&format!("{texts}\0"))));
    }
}

fn is_tables(path: &[&str], name: &str) -> bool {
    let path: Vec<&str> = path.iter().copied().chain([name]).collect();
    keys::find(&path) == Found::Tables
}

fn plain(node: &Node) -> Option<String> {
    match &node.content {
        Content::Text(text) | Content::Number(text) => Some(text.clone()),
        Content::Switch(switch) => Some(switch.to_string()),
        Content::List(_) | Content::Table(_) | Content::Other(_) => None,
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

fn bytes(text: &str) -> String {
    let bytes = text.encode_utf16().flat_map(u16::to_le_bytes);
    bytes.map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(",")
}
