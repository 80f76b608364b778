//! What is odd about proxy variables, in words. Thinks only; never shows a password.

use std::collections::BTreeMap;

use super::{Program, VARIABLES, Wanted};
use crate::doctor::proxy_value::ProxyValue;
use crate::route::no_proxy::NoProxy;

/// One line for each oddity, with the programs that have it.
pub(super) fn notes(programs: &[&Program], wanted: &Wanted) -> Vec<String> {
    let mut notes: Vec<(String, Vec<&Program>)> = Vec::new();
    for program in programs {
        for oddity in oddities(&program.variables, wanted) {
            match notes.iter_mut().find(|(known, _)| *known == oddity) {
                Some((_, with)) => with.push(program),
                None => notes.push((oddity, vec![program])),
            }
        }
    }
    notes.into_iter().map(|(oddity, with)| format!("{}: {oddity}", named(&with))).collect()
}

fn named(programs: &[&Program]) -> String {
    let name = |program: &Program| match program.pid {
        Some(pid) => format!("{} ({pid})", program.name),
        None => program.name.clone(),
    };
    match programs {
        [] => String::new(),
        [one] => name(one),
        [one, two] => format!("{} and {}", name(one), name(two)),
        [one, others @ ..] => format!("{} and {} others", name(one), others.len()),
    }
}

fn oddities(variables: &BTreeMap<String, String>, wanted: &Wanted) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in variables.iter().filter(|(_, value)| !value.trim().is_empty()) {
        let is_known = VARIABLES.iter().any(|known| known == name || known.to_lowercase() == *name);
        if !is_known {
            found.push(format!("no program reads {name}: it is {} or {}", name.to_uppercase(), name.to_lowercase()));
        } else if name.eq_ignore_ascii_case("NO_PROXY") {
            found.extend(exceptions(name, value, wanted));
        } else {
            found.extend(of_proxy(name, value, wanted));
        }
    }
    for name in VARIABLES {
        if let (Some(upper), Some(lower)) = (variables.get(name), variables.get(&name.to_lowercase()))
            && upper.trim() != lower.trim()
        {
            found.push(format!("{name} and {} differ: some programs read one, some the other", name.to_lowercase()));
        }
    }
    let has = |name: &str| [name.to_string(), name.to_lowercase()].iter().any(|name| variables.contains_key(name));
    if has("HTTP_PROXY") && !has("HTTPS_PROXY") && !has("ALL_PROXY") {
        found.push("HTTP_PROXY is set and HTTPS_PROXY is not: most programs go direct for https".into());
    }
    found
}

fn of_proxy(name: &str, value: &str, wanted: &Wanted) -> Vec<String> {
    let mut found = Vec::new();
    let proxy = ProxyValue::parse(value);
    let leads_here = proxy.leads_to(&wanted.relay);
    if proxy.place.is_none() {
        found.push(format!("{name} holds no address of a proxy"));
    } else if !leads_here {
        found.push(format!("{name} leads to {proxy} and not to the relay"));
    }
    if proxy.has_password {
        found.push(format!("{name} has a password in it, which every program of this user can read"));
    }
    if leads_here && proxy.scheme.as_deref() == Some("https") {
        found.push(format!("{name} says https:// for the relay, which is spoken to without TLS: it is http://"));
    }
    if leads_here && proxy.scheme.as_deref().is_some_and(|scheme| scheme.starts_with("socks")) {
        found.push(format!("{name} says SOCKS for a port of the relay that speaks HTTP"));
    }
    found
}

fn exceptions(name: &str, value: &str, wanted: &Wanted) -> Option<String> {
    // An entry that means nothing to us may mean something to others: the rest counts all the same.
    let (list, _) = NoProxy::parse(value);
    let caught: Vec<String> =
        wanted.hosts.iter().filter(|host| list.matches(host).is_some()).map(|host| host.host.to_string()).collect();
    let (first, others) = caught.split_first()?;
    let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
    Some(format!("{name} excepts {first}{others}: programs go there without the proxy"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Target;

    fn program(name: &str, pid: Option<u32>, variables: &[(&str, &str)]) -> Program {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Program { name: name.into(), pid, variables }
    }

    fn wanted() -> Wanted {
        Wanted {
            relay: vec!["127.0.0.1:3128".parse().unwrap()],
            hosts: ["api.anthropic.com:443", "claude.ai:443"].map(|text| Target::parse(text, None).unwrap()).into(),
        }
    }

    fn of(variables: &[(&str, &str)]) -> Vec<String> {
        notes(&[&program("bash", Some(7), variables)], &wanted())
    }

    #[test]
    fn what_hallpass_env_sets_is_no_news() {
        let url = "http://127.0.0.1:3128";
        let both = [("HTTP_PROXY", url), ("http_proxy", url), ("HTTPS_PROXY", url), ("https_proxy", url)];
        assert_eq!(of(&[both.as_slice(), &[("NO_PROXY", "localhost,127.0.0.1,::1,.corp.test")]].concat()), [""; 0]);
        assert_eq!(of(&[]), [""; 0]);
    }

    #[test]
    fn each_oddity_is_said_once_with_whoever_has_it() {
        for (variables, says) in [
            (
                &[("HTTPS_PROXY", "http://proxy.corp.test:8080")][..],
                "HTTPS_PROXY leads to http://proxy.corp.test:8080 and not",
            ),
            (&[("https_proxy", "http://a:hunter2@127.0.0.1:3128")], "https_proxy has a password in it"),
            (&[("HTTPS_PROXY", "https://127.0.0.1:3128")], "it is http://"),
            (&[("ALL_PROXY", "socks5://127.0.0.1:3128")], "says SOCKS"),
            (&[("HTTPS_PROXY", "http://:x")], "no address"),
            (&[("Https_Proxy", "http://127.0.0.1:3128")], "no program reads Https_Proxy"),
            (&[("HTTP_PROXY", "http://127.0.0.1:3128")], "HTTPS_PROXY is not"),
            (&[("HTTPS_PROXY", "http://127.0.0.1:3128"), ("https_proxy", "http://localhost:3128")], "differ"),
            (&[("NO_PROXY", "!?, .anthropic.com claude.ai")], "NO_PROXY excepts api.anthropic.com and 1 more"),
            (&[("no_proxy", "*")], "no_proxy excepts api.anthropic.com"),
        ] {
            let notes = of(variables);
            let [note] = notes.as_slice() else { panic!("{variables:?}: {notes:?}") };
            assert!(note.starts_with("bash (7): ") && note.contains(says), "{note}");
            assert!(!note.contains("hunter2"), "{note}");
        }
    }

    #[test]
    fn programs_with_the_same_oddity_share_a_line() {
        let odd = [("HTTPS_PROXY", "http://proxy.corp.test:8080")];
        let programs =
            [program("this shell", None, &odd), program("zsh", Some(3), &odd), program("code", Some(4), &odd)];
        let notes = notes(&programs.iter().collect::<Vec<_>>(), &wanted());
        let [note] = notes.as_slice() else { panic!("{notes:?}") };
        assert!(note.starts_with("this shell and 2 others: HTTPS_PROXY"), "{note}");
    }
}
