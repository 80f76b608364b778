//! Our own `/proxy.pac`: a router's decisions, said in the language of browsers.
//!
//! `DIRECT` where we would go direct, ourselves for the rest: what is denied too, so that people see why. Whatever a
//! browser cannot judge leads to us, which is never wrong. So do the ways out that `direct_fallback` allows while a
//! PAC is broken: browsers keep a script for hours, and the PAC may be back in a minute.
//!
//! The script is ECMAScript 3, because some systems' resolvers know no more, and stands on no function but its own.

mod conditions;
mod literal;

use std::fmt::Write;

use super::rules::{Rule, Use};
use super::{Hop, PacState, Router};
use conditions::{all_of, any_of};
use literal::string;

/// What every script begins with: names and addresses taken apart as we do it.
const PRELUDE: &str = include_str!("prelude.js");

/// The PAC script for a router. `ours` is where clients reach us, `host:port`; `pac` is the text of the PAC that the
/// router asks.
pub fn script(router: &Router, ours: &str, pac: Option<&str>) -> String {
    let mut text = String::from("// What this relay would do: DIRECT where it goes direct, the relay for the rest.\n");
    text.push_str("var hallpass = (function () {\n");
    put(&mut text, &format!("var US = {};", string(&format!("PROXY {ours}"))));
    text.push_str(PRELUDE);
    text.push_str(&never_direct(router));
    text.push_str(&upstream(router, pac));
    text.push_str("  return function (url, host) {\n    var t = target(url, host);\n");
    put_in(&mut text, "if (t === null) return US;");
    put_in(&mut text, "if (t.local) return \"DIRECT\";");
    for (hosts, port) in router.no_proxy.entries() {
        let port = port.map(|port| format!("t.port === {port}"));
        let covered = all_of([Some(conditions::entry(hosts)), port]);
        put_in(&mut text, &format!("if ({covered}) return direct(t);"));
    }
    for (index, rule) in router.rules.iter().enumerate() {
        put_rule(&mut text, index, rule);
    }
    put_in(&mut text, &format!("return {};", last(router)));
    text.push_str("  };\n})();\n\nfunction FindProxyForURL(url, host) {\n  return hallpass(url, host);\n}\n");
    text
}

fn put(text: &mut String, line: &str) {
    text.push_str("  ");
    text.push_str(line);
    text.push('\n');
}

fn put_in(text: &mut String, line: &str) {
    text.push_str("  ");
    put(text, line);
}

/// `direct(t)`: unless the target must never be dialled directly.
fn never_direct(router: &Router) -> String {
    let forbidden = any_of(router.never_direct.iter().map(|pattern| conditions::host(pattern.hosts())));
    let forbidden = forbidden.unwrap_or_else(|| "false".into());
    format!("  function direct(t) {{\n    return {forbidden} ? US : \"DIRECT\";\n  }}\n")
}

/// `upstream(t)`: what the company's script says of the target. Its text is a value here, compiled by the browser in
/// a scope of its own: neither its names nor its mistakes can reach what stands around it.
fn upstream(router: &Router, pac: Option<&str>) -> String {
    let (PacState::Ready(_), Some(pac)) = (&router.pac, pac) else {
        return "  function upstream(t) {\n    return US;\n  }\n".into();
    };
    let mut text = String::from("  var find = null;\n  try {\n    find = new Function([\n");
    // An assignment without var stays within, too; and in the inner function, let and const may have the names.
    text.push_str("      \"var FindProxyForURL, FindProxyForURLEx; return (function () {\\n\",\n");
    for line in pac.trim_start_matches('\u{feff}').split_inclusive('\n') {
        let _ = writeln!(text, "      {},", string(line));
    }
    text.push_str(
        "      \"\\n;return typeof FindProxyForURLEx === 'function' ? FindProxyForURLEx : FindProxyForURL;})();\"\n",
    );
    text.push_str("    ].join(\"\"))();\n  } catch (broken) {\n    find = null;\n  }\n");
    text.push_str("  function upstream(t) {\n    if (typeof find !== \"function\") return US;\n    try {\n");
    text.push_str("      return onlyDirect(find(t.url, t.host)) ? direct(t) : US;\n");
    text.push_str("    } catch (broken) {\n      return US;\n    }\n  }\n");
    text
}

fn put_rule(text: &mut String, index: usize, rule: &Rule) {
    put_in(text, &format!("// rule {}", index + 1));
    let networks = any_of(rule.cidr.iter().map(|network| conditions::network(*network)));
    let by_name = rule.resolve && networks.is_some();
    let networks = networks.map(|networks| if by_name { format!("(t.ip === null || {networks})") } else { networks });
    let holds = all_of([
        any_of(rule.hosts.iter().map(|pattern| conditions::host(pattern.hosts()))),
        any_of(rule.ports.iter().map(|ports| conditions::ports(*ports))),
        any_of(rule.schemes.iter().map(|scheme| format!("t.scheme === {}", string(&scheme.to_ascii_lowercase())))),
        networks,
    ]);
    let action = match &rule.action {
        // Which program asks is known to nobody but us.
        _ if !rule.programs.is_empty() => "US",
        Use::Pac => "upstream(t)",
        Use::Hops(hops) if is_direct(hops) => "direct(t)",
        Use::Deny | Use::Hops(_) => "US",
    };
    // Browsers may resolve otherwise than we do, and take their time for it.
    let action = if by_name && action != "US" { format!("t.ip === null ? US : {action}") } else { action.into() };
    put_in(text, &format!("if ({holds}) return {action};"));
}

fn is_direct(hops: &[Hop]) -> bool {
    !hops.is_empty() && hops.iter().all(|hop| *hop == Hop::Direct)
}

fn last(router: &Router) -> &'static str {
    match router.pac {
        PacState::Absent if router.upstreams.is_empty() => "direct(t)",
        PacState::Absent | PacState::Unreachable(_) | PacState::Failed(_) => "US",
        PacState::Ready(_) => "upstream(t)",
    }
}
