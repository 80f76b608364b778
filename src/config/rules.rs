//! The tables `[[rules]]`: which requests, and where they go.

use super::mistake::{Origin, Problem};
use super::reader::Reader;
use super::{Upstream, no_proxy, upstreams, value};
use crate::route::Hop;
use crate::route::rules::{PortRange, Rule, Use};

const WAYS: &str = "\"direct\", \"pac\", \"deny\", an upstream's name, or a list of upstreams";

const DIRECT: &str = "direct";
const PAC: &str = "pac";
const DENY: &str = "deny";

/// What no upstream can be called.
pub(super) const WORDS: [&str; 3] = [DIRECT, PAC, DENY];

/// In the order written. `path` is `rules`, at the top level or in a profile.
pub fn read(reader: &mut Reader<'_>, path: &[&str], upstreams: &[Upstream]) -> Vec<Rule> {
    let numbers = reader.layer.names_in(path);
    numbers.iter().filter_map(|number| rule(reader, path, number, upstreams)).collect()
}

fn rule(reader: &mut Reader<'_>, path: &[&str], number: &str, upstreams: &[Upstream]) -> Option<Rule> {
    let at = |key| -> Vec<&str> { path.iter().copied().chain([number, key]).collect() };
    let table: Vec<&str> = path.iter().copied().chain([number]).collect();
    let place = place(number, &reader.origin(&table));
    let mut rule = Rule {
        hosts: reader.list(&at("hosts"), no_proxy::pattern).unwrap_or_default(),
        cidr: reader.list(&at("cidr"), value::network).unwrap_or_default(),
        resolve: reader.parsed(&at("resolve"), value::switch).unwrap_or(false),
        ports: reader.list(&at("ports"), ports).unwrap_or_default(),
        schemes: reader.list(&at("schemes"), scheme).unwrap_or_default(),
        programs: reader.list(&at("programs"), program).unwrap_or_default(),
        action: Use::Deny,
        reason: reader.text(&at("reason")).filter(|reason| !reason.is_empty()),
        place,
    };
    let action = action(reader, &at("use"), upstreams);
    for key in ["hosts", "cidr", "ports", "schemes", "programs"] {
        if reader.items(&at(key)).is_some_and(|items| items.is_empty()) {
            reader.wrong(&at(key), Problem::new("the list is empty: no request is meant").hint("leave the key out"));
        }
    }
    if rule.resolve && rule.cidr.is_empty() {
        reader.wrong(&at("resolve"), Problem::new("resolve is for cidr, and there is none"));
    }
    rule.action = action?;
    Some(rule)
}

/// Where people find it again.
fn place(number: &str, origin: &Origin) -> String {
    match origin {
        Origin::File { path, line, .. } => {
            let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            format!("rule {number} at line {line} of {file}")
        }
        Origin::Managed(_) => format!("rule {number} of the policy"),
        Origin::Variable(_) | Origin::Flag(_) | Origin::Default => format!("rule {number}"),
    }
}

fn action(reader: &mut Reader<'_>, path: &[&str], all: &[Upstream]) -> Option<Use> {
    if !reader.has(path) {
        reader.wrong(path, Problem::new("the rule does not say where to go").hint(format!("use = {WAYS}")));
        return None;
    }
    let mut hops = Vec::new();
    let items = reader.items(path)?;
    for (word, origin) in &items {
        match word.as_str() {
            PAC if items.len() == 1 => return Some(Use::Pac),
            DENY if items.len() == 1 => return Some(Use::Deny),
            PAC | DENY => {
                let problem = Problem::new(format!("{word:?} stands alone")).hint(format!("use = {word:?}"));
                reader.wrong_at(origin.clone(), path, problem);
            }
            DIRECT => hops.push(Hop::Direct),
            name => {
                let known = upstreams::known(name, all).map(|upstream| upstream.endpoint.clone());
                let known = known.map_err(|problem| match replaced_by(reader, all, origin) {
                    Some(flag) => {
                        problem.hint(format!("{flag} replaces the upstreams of the files: leave it out, or the rule"))
                    }
                    None => problem,
                });
                hops.extend(reader.checked(path, origin.clone(), known).map(Hop::Upstream));
            }
        }
    }
    if items.is_empty() {
        reader.wrong(path, Problem::new("the list is empty").hint(format!("use = {WAYS}")));
    }
    Some(Use::Hops(hops))
}

/// What stands in the place of the upstreams that the same file has: `--upstream`, or the variable.
fn replaced_by(reader: &Reader<'_>, all: &[Upstream], rule: &Origin) -> Option<Origin> {
    let of = |upstream: &Upstream| reader.origin(&["upstreams", &upstream.name, "url"]);
    let is_above = |origin: &Origin| matches!(origin, Origin::Flag(_) | Origin::Variable(_));
    let is_of_a_file = matches!(rule, Origin::File { .. });
    all.iter().map(of).find(is_above).filter(|_| is_of_a_file)
}

fn ports(text: &str) -> Result<PortRange, Problem> {
    PortRange::parse(text).map_err(|error| Problem::new(error).hint("443, or a range such as \"8000-8999\""))
}

fn scheme(text: &str) -> Result<String, Problem> {
    let scheme = text.to_ascii_lowercase();
    match scheme.as_str() {
        "http" | "https" | "ws" | "wss" | "ftp" => Ok(scheme),
        _ => Err(Problem::new(format!("{text:?} is no scheme of requests")).hint("\"http\" or \"https\"")),
    }
}

fn program(text: &str) -> Result<String, Problem> {
    match text.is_empty() || text.contains(['/', '\\']) {
        true => Err(Problem::new(format!("{text:?} is no program's name")).hint("the file's name, such as \"git\"")),
        false => Ok(text.into()),
    }
}
