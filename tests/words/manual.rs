//! What clap knows of the commands, and the schema of the keys, as parts of the manual.

use std::fmt::Write as _;

use clap::{Arg, Command};
use serde_json::Value;

/// Every command that is shown, with the words that lead to it.
pub fn all(command: &Command) -> Vec<(String, Command)> {
    let mut command = command.clone().disable_help_subcommand(true);
    command.build();
    let mut list = Vec::new();
    collect(&command, command.get_name().to_owned(), &mut list);
    list
}

fn collect(command: &Command, path: String, list: &mut Vec<(String, Command)>) {
    list.push((path.clone(), command.clone()));
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        collect(inner, format!("{path} {}", inner.get_name()), list);
    }
}

/// What may be written behind a command; `--help` and `--version` go without saying.
pub fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str()))
}

/// As it is typed: `--user <USER>`.
pub fn typed(arg: &Arg) -> String {
    let names: Vec<String> = arg.get_value_names().unwrap_or_default().iter().map(|name| format!("<{name}>")).collect();
    let takes = arg.get_action().takes_values();
    let value = if takes { names.join(" ") } else { String::new() };
    match arg.get_long() {
        Some(long) if value.is_empty() => format!("--{long}"),
        Some(long) => format!("--{long} {value}"),
        None => value,
    }
}

/// The lines of an example that call hallpass, without what the shell does with them.
pub fn examples(command: &Command) -> Vec<String> {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.strip_prefix("  ")).map(str::trim);
    lines.filter(|line| line.starts_with("hallpass")).map(ToOwned::to_owned).collect()
}

/// As a shell would split it; what it redirects is cut off.
pub fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (quoted, c) {
            (Some(quote), c) if c == quote => quoted = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quoted, any) = (Some(c), true),
            (None, ' ') => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            (None, c) => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    let end = words.iter().position(|word| [">", ">>", "<", "|", "&&"].contains(&word.as_str()));
    words.truncate(end.unwrap_or(words.len()));
    words
}

/// A section for every command.
pub fn commands(root: &Command) -> String {
    let all = all(root);
    let flags: Vec<String> = all[0].1.clone().get_arguments().map(typed).collect();
    let mut text = String::new();
    for (at, (path, command)) in all.iter().enumerate() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        write!(text, "\n### {path}\n\n{about}\n").unwrap();
        let own: Vec<&Arg> = arguments(command).collect();
        let shares = at > 0 && flags.iter().filter(|flag| own.iter().any(|arg| typed(arg) == **flag)).count() > 5;
        let rows = own.iter().filter(|arg| !shares || !flags.contains(&typed(arg)));
        let rows: Vec<String> = rows.map(|arg| row(arg)).collect();
        if !rows.is_empty() {
            write!(text, "\n| flag | meaning |\n|---|---|\n{}", rows.concat()).unwrap();
        }
        if shares {
            text.push_str("\nIt also takes the flags of the configuration, those of [hallpass](#hallpass) itself.\n");
        }
        if let Some(example) = command.get_after_help() {
            write!(text, "\n```text\n{}\n```\n", example.to_string().trim_end()).unwrap();
        }
    }
    text + "\n"
}

fn row(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| value.get_name().into())
        .collect();
    let values = match values.is_empty() || !arg.get_action().takes_values() {
        true => String::new(),
        false => format!(" [{}]", values.join(", ")),
    };
    let default: Vec<String> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    let default = match default.is_empty() || !arg.get_action().takes_values() {
        true => String::new(),
        false => format!(" [default: {}]", default.join(", ")),
    };
    format!("| `{}` | {} |\n", typed(arg).replace('|', "\\|"), (help + &values + &default).replace('|', "\\|"))
}

/// A row for every key of the configuration.
pub fn keys(schema: &Value) -> String {
    let mut text = String::from("\n| key | default | meaning |\n|---|---|---|\n");
    leaves(schema, "", &mut |key, leaf| {
        let default = leaf.get("default").map(|value| format!("`{value}`")).unwrap_or_default();
        let meaning = leaf["description"].as_str().unwrap_or_default().replace('|', "\\|");
        writeln!(text, "| `{key}` | {default} | {meaning} |").unwrap();
    });
    text + "\n"
}

fn leaves(within: &Value, path: &str, found: &mut impl FnMut(&str, &Value)) {
    if let Some(named) = within.get("additionalProperties").filter(|named| named.is_object()) {
        return leaves(named, &format!("{path}.NAME"), found);
    }
    if let Some(items) = within.get("items").filter(|items| items.get("properties").is_some()) {
        return leaves(items, &format!("{path}[]"), found);
    }
    let Some(properties) = within.get("properties").and_then(Value::as_object) else { return found(path, within) };
    for (name, value) in properties {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        leaves(value, &path, found);
    }
}
