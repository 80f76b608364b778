//! A configuration profile for macOS, as a device management or a person installs it: the managed preferences of `hallpass`.
//!
//! Two exports of the same configuration are the same profile, byte for byte, so that a device management sees a change
//! only where there is one: the identifiers are made from the content.

use std::io::Write as _;

use plist::{Dictionary, Value};
use sha2::{Digest, Sha256};

use super::reg::keeps_its_order;
use super::{Half, Portable};
use crate::config::policy::{BUNDLE_ID, CONFIGURATION, Content, Node, RECOMMENDED};

/// For the machine, or for the users to whom it is assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    System,
    User,
}

/// Apple's payload for the preferences of any program.
const PREFERENCES: &str = "com.apple.ManagedClient.preferences";

pub fn mobileconfig(portable: &Portable, scope: Scope, half: Half) -> Result<Vec<u8>, plist::Error> {
    let settings = settings(portable);
    let settings = match half {
        Half::Locked => settings,
        Half::Recommended => dictionary([(RECOMMENDED, Value::Dictionary(settings))]),
    };
    let scope = match scope {
        Scope::System => "System",
        Scope::User => "User",
    };
    let mut seed = xml(&settings)?;
    seed.extend_from_slice(scope.as_bytes());
    let forced = dictionary([("mcx_preference_settings", Value::Dictionary(settings))]);
    let forced = dictionary([("Forced", Value::Array(vec![Value::Dictionary(forced)]))]);
    let mut inner = head(PREFERENCES, "hallpass.policy.preferences", &uuid(&seed, "payload"));
    inner.insert("PayloadEnabled".into(), true.into());
    inner.insert("PayloadContent".into(), Value::Dictionary(dictionary([(BUNDLE_ID, Value::Dictionary(forced))])));
    let mut profile = head("Configuration", "hallpass.policy", &uuid(&seed, "profile"));
    let said = [
        ("PayloadDisplayName", "hallpass"),
        ("PayloadDescription", "How hallpass, the local relay proxy, reaches the network."),
        ("PayloadScope", scope),
    ];
    for (name, value) in said {
        profile.insert(name.into(), value.into());
    }
    profile.insert("PayloadContent".into(), Value::Array(vec![Value::Dictionary(inner)]));
    xml(&profile)
}

fn settings(portable: &Portable) -> Dictionary {
    let (single, rest) = portable.parts(keeps_its_order);
    let rest = rest.map(|json| (CONFIGURATION.to_owned(), json.into()));
    single.iter().filter_map(|(name, node)| Some((name.clone(), value(node)?))).chain(rest).collect()
}

fn value(node: &Node) -> Option<Value> {
    Some(match &node.content {
        Content::Text(text) => text.as_str().into(),
        Content::Number(number) => match number.parse::<u64>() {
            Ok(number) => number.into(),
            Err(_) => number.as_str().into(),
        },
        Content::Switch(switch) => (*switch).into(),
        Content::List(items) => Value::Array(items.iter().filter_map(value).collect()),
        Content::Table(inner) => {
            Value::Dictionary(inner.iter().filter_map(|(name, node)| Some((name.clone(), value(node)?))).collect())
        }
        Content::Other(_) => return None,
    })
}

fn head(kind: &str, identifier: &str, uuid: &str) -> Dictionary {
    let mut head = dictionary([
        ("PayloadType", kind.into()),
        ("PayloadIdentifier", identifier.into()),
        ("PayloadUUID", uuid.into()),
    ]);
    head.insert("PayloadVersion".into(), 1.into());
    head
}

fn dictionary<const N: usize>(entries: [(&str, Value); N]) -> Dictionary {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Version 8 of RFC 9562: made in a way of our own.
fn uuid(seed: &[u8], what: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(what.as_bytes());
    digest.update(seed);
    let digest = digest.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn xml(dictionary: &Dictionary) -> Result<Vec<u8>, plist::Error> {
    let mut bytes = Vec::new();
    Value::Dictionary(dictionary.clone()).to_writer_xml(&mut bytes)?;
    let _into_memory = bytes.write_all(b"\n");
    Ok(bytes)
}
