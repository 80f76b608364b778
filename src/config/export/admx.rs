//! The templates by which Group Policy and Intune ask for each key: `hallpass.admx` and `en-US/hallpass.adml`.
//!
//! They are made from the list of keys and their shapes, so that none can be missing. A key with one name is a policy of
//! its own; a table with names of somebody's choice, and a list of tables, is one list of names and JSON; and the whole
//! configuration can be given as one JSON text. Each is there twice: locked, and below "Recommended".

use std::fmt::Write as _;

use crate::config::keys;
use crate::config::policy::{CONFIGURATION, REGISTRY_KEY};
use crate::config::schema::{self, Element};

/// Of the format, which Windows Vista brought.
const SCHEMA: &str = "http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions";
const NAMESPACE: &str = "hallpass.Policies";

/// For whoever opens the file.
const HOW_TO: &str = "Templates only: values come by Group Policy (copy both files to PolicyDefinitions), by Intune (import them as \
                      custom templates, or ./Device/Vendor/MSFT/Policy/ConfigOperations/ADMXInstall/hallpass/Policy/hallpass and \
                      then ./Device/Vendor/MSFT/Policy/Config/hallpass~Policy~hallpass~General/grace and the like), or by a .reg \
                      file of: hallpass config export, format reg";

/// Longer texts do not fit the editor's window.
const MULTI_LINE_ROWS: u32 = 8;

/// One entry of the editor.
struct Policy {
    /// In file names of no system, so only letters and digits.
    name: String,
    category: String,
    /// The key, where it is for one.
    title: String,
    explained: String,
    /// Below the key of all policies.
    key: String,
    value: String,
    element: Element,
}

/// `hallpass.admx`
pub fn admx() -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <!-- {HOW_TO} -->\n\
         <policyDefinitions revision=\"1.0\" schemaVersion=\"1.0\" xmlns=\"{SCHEMA}\">\n  \
         <policyNamespaces>\n    <target prefix=\"hallpass\" namespace=\"{NAMESPACE}\"/>\n  </policyNamespaces>\n  \
         <resources minRequiredRevision=\"1.0\"/>\n  \
         <supportedOn>\n    <definitions>\n      \
         <definition name=\"supported\" displayName=\"$(string.supported)\"/>\n    </definitions>\n  </supportedOn>\n  \
         <categories>\n",
    );
    for (name, parent) in categories() {
        let _ = match parent {
            Some(parent) => writeln!(
                out,
                "    <category name=\"{name}\" displayName=\"$(string.{name})\">\n      \
                 <parentCategory ref=\"{parent}\"/>\n    </category>"
            ),
            None => writeln!(out, "    <category name=\"{name}\" displayName=\"$(string.{name})\"/>"),
        };
    }
    out.push_str("  </categories>\n  <policies>\n");
    for policy in policies() {
        policy.define(&mut out);
    }
    out.push_str("  </policies>\n</policyDefinitions>\n");
    out
}

/// `en-US/hallpass.adml`
pub fn adml() -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <policyDefinitionResources revision=\"1.0\" schemaVersion=\"1.0\" xmlns=\"{SCHEMA}\">\n  \
         <displayName>hallpass</displayName>\n  \
         <description>Configuration of hallpass, a local relay proxy.</description>\n  \
         <resources>\n    <stringTable>\n",
    );
    let mut string = |id: &str, text: &str| {
        let _ = writeln!(out, "      <string id=\"{id}\">{}</string>", escaped(text));
    };
    string("supported", "hallpass 0.1 or later");
    for (name, _) in categories() {
        string(&name, &title_of(&name));
    }
    let policies = policies();
    for policy in &policies {
        string(&policy.name, &policy.title);
        string(&format!("{}_help", policy.name), &policy.explained);
        if let Element::Words(words) = &policy.element {
            words.iter().for_each(|word| string(&format!("{}_{}", policy.name, identifier(word)), word));
        }
    }
    out.push_str("    </stringTable>\n    <presentationTable>\n");
    for policy in policies.iter().filter(|policy| policy.element != Element::Switch) {
        let _ = writeln!(
            out,
            "      <presentation id=\"{}\">\n        {}\n      </presentation>",
            policy.name,
            policy.presentation()
        );
    }
    out.push_str("    </presentationTable>\n  </resources>\n</policyDefinitionResources>\n");
    out
}

/// The name of each category and of the one around it.
fn categories() -> Vec<(String, Option<String>)> {
    let mut all = vec![("hallpass".to_owned(), None), ("Recommended".to_owned(), Some("hallpass".to_owned()))];
    for policy in policies() {
        if !all.iter().any(|(name, _)| *name == policy.category) {
            let parent = if policy.category.starts_with("Recommended_") { "Recommended" } else { "hallpass" };
            all.push((policy.category, Some(parent.into())));
        }
    }
    all
}

fn title_of(category: &str) -> String {
    let (of, recommended) = category.strip_prefix("Recommended_").map_or((category, ""), |of| (of, ", recommended"));
    match of {
        "hallpass" => "hallpass".into(),
        "Recommended" => "Recommended (users may change these)".into(),
        table => format!("{}{recommended}", table.trim_start_matches("Table_")),
    }
}

fn policies() -> Vec<Policy> {
    let mut all = Vec::new();
    for recommended in [false, true] {
        let whole = "The keys of hallpass.toml as one JSON object; hallpass config schema describes it. Policies for \
                     single keys stand above it. No secret belongs here: everybody can read policies.";
        let mut policy = Policy::new(recommended, "", CONFIGURATION, CONFIGURATION, whole, Element::Lines);
        policy.title = "The whole configuration (JSON)".into();
        all.push(policy);
        let mut tables: Vec<String> = Vec::new();
        for key in keys::all() {
            let parts: Vec<&str> = key.split('.').collect();
            match parts.iter().position(|part| ["*", "#"].contains(part)) {
                None => {
                    let (last, table) = parts.split_last().unwrap_or((&"", &[]));
                    let explained = schema::description_of(&parts).unwrap_or_default();
                    all.push(Policy::new(recommended, &table.join("\\"), last, key, &explained, schema::element(key)));
                }
                Some(at) => {
                    let table = parts[..at].join("\\");
                    if !tables.contains(&table) {
                        all.push(Policy::of_table(recommended, &table, parts[at]));
                        tables.push(table);
                    }
                }
            }
        }
    }
    all
}

impl Policy {
    fn new(recommended: bool, table: &str, last: &str, title: &str, explained: &str, element: Element) -> Self {
        let (prefix, branch) = if recommended { ("Recommended_", r"\Recommended") } else { ("", "") };
        let category = if table.is_empty() { "General".into() } else { format!("Table_{table}") };
        let below = if table.is_empty() { String::new() } else { format!(r"\{table}") };
        Self {
            name: format!("{prefix}{}", identifier(title)),
            category: format!("{prefix}{category}"),
            title: title.into(),
            explained: explained.into(),
            key: format!("{REGISTRY_KEY}{branch}{below}"),
            value: last.into(),
            element,
        }
    }

    /// All tables of one kind: the names are the administrator's, the rest is JSON.
    fn of_table(recommended: bool, table: &str, sign: &str) -> Self {
        let short = match table {
            "upstreams" => " The url alone may stand for it.",
            "credentials" => " The user alone may stand for it.",
            _ => "",
        };
        let prefix = format!("{table}.{sign}.");
        let inner: Vec<&str> = keys::all().filter_map(|key| key.strip_prefix(&prefix)).collect();
        let (what, element) = match sign {
            "*" => ("The name of each, and a JSON object with its keys.", Element::Named),
            _ => ("One JSON object with its keys a line; they count in this order.", Element::Numbered),
        };
        let explained = format!("{what}{short} The keys: {}.", inner.join(", "));
        let mut policy = Self::new(recommended, "", "", table, &explained, element);
        policy.key = format!(r"{}\{table}", policy.key);
        policy
    }

    fn define(&self, out: &mut String) {
        let Self { name, category, key, value, element, .. } = self;
        let of_value = format!("valueName=\"{value}\"");
        let presentation = match *element == Element::Switch {
            true => of_value.clone(),
            false => format!("presentation=\"$(presentation.{name})\""),
        };
        let _ = write!(
            out,
            "    <policy name=\"{name}\" class=\"Both\" displayName=\"$(string.{name})\" \
             explainText=\"$(string.{name}_help)\" key=\"{}\" {presentation}>\n      \
             <parentCategory ref=\"{category}\"/>\n      <supportedOn ref=\"supported\"/>\n",
            escaped(key)
        );
        if *element == Element::Switch {
            let number = |number: u32| format!("<decimal value=\"{number}\"/>");
            let _ = write!(
                out,
                "      <enabledValue>{}</enabledValue>\n      <disabledValue>{}</disabledValue>\n",
                number(1),
                number(0)
            );
        } else {
            let _ = write!(out, "      <elements>\n        {}\n      </elements>\n", self.element_of(&of_value));
        }
        out.push_str("    </policy>\n");
    }

    fn element_of(&self, of_value: &str) -> String {
        let Self { name, element, key, .. } = self;
        match element {
            Element::Switch => String::new(),
            Element::Text => format!("<text id=\"{name}\" {of_value} required=\"true\" maxLength=\"4096\"/>"),
            Element::Lines | Element::List => format!("<multiText id=\"{name}\" {of_value} required=\"true\"/>"),
            Element::Number(from, to) => {
                format!("<decimal id=\"{name}\" {of_value} required=\"true\" minValue=\"{from}\" maxValue=\"{to}\"/>")
            }
            Element::Words(words) => {
                let item = |word: &&'static str| {
                    let id = identifier(word);
                    format!(
                        "\n          <item displayName=\"$(string.{name}_{id})\"><value><string>{word}</string></value></item>"
                    )
                };
                let items: String = words.iter().map(item).collect();
                format!("<enum id=\"{name}\" {of_value} required=\"true\">{items}\n        </enum>")
            }
            Element::Named => format!("<list id=\"{name}\" key=\"{}\" explicitValue=\"true\"/>", escaped(key)),
            Element::Numbered => format!("<list id=\"{name}\" key=\"{}\" valuePrefix=\"\"/>", escaped(key)),
        }
    }

    fn presentation(&self) -> String {
        let Self { name, title, element, .. } = self;
        let title = escaped(title);
        match element {
            Element::Switch => String::new(),
            Element::Text => format!("<textBox refId=\"{name}\"><label>{title}</label></textBox>"),
            Element::Lines | Element::List => {
                format!("<text>{title}</text><multiTextBox refId=\"{name}\" defaultHeight=\"{MULTI_LINE_ROWS}\"/>")
            }
            Element::Number(from, to) => {
                // Nobody reaches a large one by steps.
                let spin = if *to > 10_000 { " spin=\"false\"" } else { "" };
                let shown = schema::default_number(&self.title).unwrap_or(*from);
                format!("<decimalTextBox refId=\"{name}\" defaultValue=\"{shown}\"{spin}>{title}</decimalTextBox>")
            }
            Element::Words(_) => format!("<dropdownList refId=\"{name}\" noSort=\"true\">{title}</dropdownList>"),
            Element::Named | Element::Numbered => format!("<listBox refId=\"{name}\">{title}</listBox>"),
        }
    }
}

fn identifier(text: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    text.chars().map(keep).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
