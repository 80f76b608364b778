//! The configuration as the text of a file: of `hallpass.toml`, and of `policy.toml` as well.

use super::{Half, Portable};
use crate::config::policy::{Content, Node, RECOMMENDED};
use crate::config::schema;
use crate::config::show::{key, quote};

/// Longer comments go on in the next line.
const WIDTH: usize = 110;

/// With what each key means above it.
pub fn toml(portable: &Portable, half: Half) -> String {
    let mut out = Out { text: String::new(), said: Vec::new() };
    let above: &[&str] = match half {
        Half::Locked => &[],
        Half::Recommended => &[RECOMMENDED],
    };
    if half == Half::Recommended {
        out.text.push_str(&format!("[{RECOMMENDED}]\n"));
    }
    if let Content::Table(inner) = &portable.node().content {
        out.table(above, &[], inner);
    }
    out.text
}

struct Out {
    text: String,
    /// What was explained once.
    said: Vec<String>,
}

impl Out {
    /// Keys first, because they belong to the table that was begun last.
    fn table(&mut self, above: &[&str], path: &[&str], inner: &[(String, Node)]) {
        for (name, node) in inner {
            let below: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            if let Some(value) = value(node) {
                self.explain(&below);
                self.text.push_str(&format!("{} = {value}\n", key(name)));
            }
        }
        for (name, node) in inner {
            let below: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            let head: Vec<String> = above.iter().chain(&below).map(|part| key(part)).collect();
            match &node.content {
                Content::Table(inner) => {
                    // The table of all tables with names has no keys itself.
                    if !inner.is_empty() && inner.iter().all(|(_, node)| is_table(node)) && path.is_empty() {
                        self.table(above, &below, inner);
                    } else {
                        self.text.push_str(&format!("\n[{}]\n", head.join(".")));
                        self.table(above, &below, inner);
                    }
                }
                Content::List(items) if value(node).is_none() => {
                    for item in items {
                        let Content::Table(inner) = &item.content else { continue };
                        self.text.push_str(&format!("\n[[{}]]\n", head.join(".")));
                        let numbered: Vec<&str> = below.iter().copied().chain(["1"]).collect();
                        self.table(above, &numbered, inner);
                    }
                }
                Content::List(_) | Content::Text(_) | Content::Number(_) | Content::Switch(_) | Content::Other(_) => {}
            }
        }
    }

    fn explain(&mut self, path: &[&str]) {
        let Some(comment) = schema::description_of(path) else { return };
        if self.said.contains(&comment) {
            return;
        }
        let mut line = String::from("#");
        for word in comment.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.text.push_str(&format!("{line}\n"));
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        self.text.push_str(&format!("{line}\n"));
        self.said.push(comment);
    }
}

fn is_table(node: &Node) -> bool {
    matches!(node.content, Content::Table(_))
}

/// `None` for tables and lists of them.
fn value(node: &Node) -> Option<String> {
    Some(match &node.content {
        Content::Text(text) => quote(text),
        Content::Number(number) => number.clone(),
        Content::Switch(switch) => switch.to_string(),
        Content::List(items) if !items.iter().any(is_table) => {
            format!("[{}]", items.iter().filter_map(value).collect::<Vec<_>>().join(", "))
        }
        Content::List(_) | Content::Table(_) | Content::Other(_) => return None,
    })
}
