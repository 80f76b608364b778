//! Values as JSON on one line, in their order.

use crate::config::policy::{Content, Node};

pub fn of(node: &Node) -> String {
    match &node.content {
        Content::Text(text) => quoted(text),
        Content::Number(number) => number.clone(),
        Content::Switch(switch) => switch.to_string(),
        Content::List(items) => format!("[{}]", items.iter().map(of).collect::<Vec<_>>().join(", ")),
        Content::Table(inner) => {
            let inner = inner.iter().map(|(name, node)| format!("{}: {}", quoted(name), of(node)));
            format!("{{{}}}", inner.collect::<Vec<_>>().join(", "))
        }
        Content::Other(_) => "null".into(),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
