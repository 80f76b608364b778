//! How the relay stands, in lines for people: what matters in one glance, and no more than fits on a screen.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::proxy::figures;

/// More than these are counted only.
const UPSTREAMS: usize = 5;
const ACCOUNTS: usize = 3;
const FAILURES: usize = 3;
const REFUSED: usize = 2;
const PROBLEMS: usize = 5;

pub(super) fn of(page: &Value, with_tunnels: bool) -> String {
    let mut lines = vec![headline(page)];
    configuration(&page["configuration"], &mut lines);
    let profile = page["profile"]["name"].as_str().unwrap_or("none");
    lines.push(format!("profile  {profile} ({})", word(&page["profile"]["reason"])));
    if let Some(system) = page["system"].as_str() {
        lines.push(format!("system   {system}"));
    }
    pac(&page["pac"], &mut lines);
    some(&page["upstreams"], UPSTREAMS, "upstream", upstream, &mut lines);
    traffic(page, &mut lines);
    losses(&page["lost"], &mut lines);
    some(&page["lockout"], ACCOUNTS, "account", account, &mut lines);
    some(&page["failures"], FAILURES, "failed", failure, &mut lines);
    some(&page["refused"], REFUSED, "refused", refused, &mut lines);
    if with_tunnels {
        tunnels(&page["tunnels"], &mut lines);
    }
    lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
}

/// Programs choose their names and scripts their words, and none of them is an order to the terminal.
fn plain(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn words(value: &Value) -> String {
    list(value).iter().map(word).collect::<Vec<_>>().join(", ")
}

/// The first `most` of a list, and how many there are besides.
fn some(all: &Value, most: usize, name: &str, line: fn(&Value) -> String, lines: &mut Vec<String>) {
    let all = list(all);
    lines.extend(all.iter().take(most).map(|one| format!("{name:<8} {}", line(one))));
    if let Some(more) = all.len().checked_sub(most).filter(|more| *more > 0) {
        lines.push(format!("{name:<8} and {more} more: --json has them all"));
    }
}

/// A time and how long ago that is.
fn ago(value: &Value) -> String {
    let Ok(at) = word(value).parse::<Timestamp>() else { return word(value).into() };
    let ago = Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or_default();
    format!("{} ago", figures::duration(ago))
}

fn headline(page: &Value) -> String {
    let (version, pid, phase) = (word(&page["version"]), &page["pid"], word(&page["phase"]));
    format!("hallpass {version} (pid {pid}) is {phase} on {}", words(&page["listen"]))
}

/// What is wrong with a newer one matters more than which one counts.
fn configuration(configuration: &Value, lines: &mut Vec<String>) {
    let (files, loaded) = (words(&configuration["files"]), word(&configuration["loaded"]));
    let files = if files.is_empty() { "no file" } else { &files };
    lines.push(format!("config   {files}, loaded {loaded}"));
    let problems = list(&configuration["problem"]);
    if !problems.is_empty() {
        lines.push("config   is wrong since then, the former one still counts:".into());
    }
    lines.extend(problems.iter().take(PROBLEMS).map(|problem| format!("         {}", word(problem))));
    if problems.len() > PROBLEMS {
        lines.push(format!("         and {} more: hallpass config check", problems.len() - PROBLEMS));
    }
}

fn pac(pac: &Value, lines: &mut Vec<String>) {
    if pac.is_object() {
        let problem = pac["problem"].as_str().map(|problem| format!(": {problem}")).unwrap_or_default();
        let fetched = pac["fetched"].as_str().map(|at| format!(", fetched {at}")).unwrap_or_default();
        lines.push(format!("pac      {} is {}{fetched}{problem}", word(&pac["source"]), word(&pac["state"])));
    }
}

fn upstream(upstream: &Value) -> String {
    let mut line = format!("{} ", word(&upstream["upstream"]));
    line += match word(&upstream["state"]) {
        "unused" => "not used yet",
        state => state,
    };
    if upstream["since"].is_string() {
        line += &format!(" since {}", word(&upstream["since"]));
    }
    if let Some(problem) = upstream["problem"].as_str() {
        line += &format!(": {problem}");
    }
    if let Some(scheme) = upstream["scheme"].as_str() {
        line += &format!(", {scheme} as {}", upstream["account"].as_str().unwrap_or("nobody"));
    }
    let (accepted, rejected) = (number(&upstream["logons"]["accepted"]), number(&upstream["logons"]["rejected"]));
    if accepted + rejected > 0 {
        line += &format!(", log-ons: {accepted} accepted, {rejected} rejected");
    }
    if upstream["last_success"].is_string() {
        line += &format!(", last success {}", ago(&upstream["last_success"]));
    }
    if upstream["breaker"] == "open" {
        line += ", breaker open";
    }
    let ticket = &upstream["ticket"];
    if ticket.is_object() {
        let left = Duration::from_secs(number(&ticket["left_seconds"]));
        line += &match left.is_zero() {
            true => format!(", the ticket of {} has expired: renew it with kinit", word(&ticket["owner"])),
            false => format!(", ticket of {} for {} more", word(&ticket["owner"]), figures::duration(left)),
        };
    }
    line
}

fn traffic(page: &Value, lines: &mut Vec<String>) {
    let counted = |count: u64, noun: &str| if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") };
    let (tunnels, clients) = (number(&page["tunnels"]["count"]), number(&page["traffic"]["clients"]));
    let [up, down] = ["bytes_up", "bytes_down"].map(|key| figures::bytes(number(&page["traffic"][key])));
    let (tunnels, clients) = (counted(tunnels, "tunnel"), counted(clients, "client"));
    lines.push(format!("traffic  {tunnels}, {clients}, {up} sent, {down} received, begun {}", ago(&page["started"])));
}

/// Nothing, if nothing was lost.
fn losses(lost: &Value, lines: &mut Vec<String>) {
    for (key, name) in [("audit_records", "audit records"), ("log_lines", "lines of the log")] {
        if number(&lost[key]) > 0 {
            lines.push(format!("lost     {} {name}", number(&lost[key])));
        }
    }
}

fn account(trouble: &Value) -> String {
    let upstream = trouble["upstream"].as_str().map(|upstream| format!(" by {upstream}")).unwrap_or_default();
    let next = match trouble["next_trial_seconds"].as_u64() {
        Some(seconds) => format!("tried again in {seconds} s"),
        None => "not tried again before it changes, or hallpass login or hallpass status --retry asks for it".into(),
    };
    let (account, reason, since) = (word(&trouble["account"]), word(&trouble["reason"]), word(&trouble["since"]));
    format!("{account} {reason}{upstream} since {since}: {next}")
}

fn failure(failure: &Value) -> String {
    let count = number(&failure["count"]);
    let count = if count > 1 { format!(", {}", figures::times(count)) } else { String::new() };
    let (target, id) = (failure["target"].as_str().unwrap_or("no target"), word(&failure["id"]));
    let (cause, hint) = (word(&failure["cause"]), word(&failure["hint"]));
    let at_fault = failure["at_fault"].as_str().map(|whose| format!(" - at fault: {whose}")).unwrap_or_default();
    let anchor = failure["anchor"].as_str().map(|anchor| format!(", errors.md#{anchor}")).unwrap_or_default();
    format!("{}{count}: {target}: {cause}{at_fault} - {hint} (request {id}{anchor})", ago(&failure["time"]))
}

fn refused(refused: &Value) -> String {
    let (cause, remedy, last) = (word(&refused["cause"]), word(&refused["remedy"]), word(&refused["last"]));
    format!("{}, last {last}: {cause} - {remedy}", figures::times(number(&refused["count"])))
}

/// A table, its figures in columns.
fn tunnels(tunnels: &Value, lines: &mut Vec<String>) {
    let all = list(&tunnels["list"]);
    lines.push(String::new());
    if all.is_empty() {
        lines.push("no tunnel is open".into());
        return;
    }
    lines.push(format!("{:>9} {:>9} {:>10} {:>10}  target", "sent", "received", "age", "idle"));
    for tunnel in all {
        let [up, down] = ["bytes_up", "bytes_down"].map(|key| figures::bytes(number(&tunnel[key])));
        let seconds = |key: &str| figures::duration(Duration::from_secs(number(&tunnel[key])));
        let (age, idle) = (seconds("age_seconds"), seconds("idle_seconds"));
        let (target, hop) = (word(&tunnel["target"]), word(&tunnel["hop"]));
        let client = tunnel["program"].as_str().unwrap_or(word(&tunnel["client"]));
        let client = client.rsplit(['/', '\\']).next().unwrap_or(client);
        lines.push(format!("{up:>9} {down:>9} {age:>10} {idle:>10}  {target} by {hop} for {client}"));
    }
    if let Some(more) = number(&tunnels["count"]).checked_sub(all.len() as u64).filter(|more| *more > 0) {
        lines.push(format!("and {more} that were active longer ago"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_worst_day_still_fits_on_a_screen() {
        let many = |one: Value| vec![one; 40];
        let upstream = json!({
            "upstream": "http://p:1", "state": "down", "problem": "gone", "since": "2026-01-01T00:00:00Z",
            "scheme": "NTLM", "account": "CORP\\a", "logons": { "accepted": 3, "rejected": 1 }, "breaker": "open",
            "ticket": { "owner": "a@CORP", "left_seconds": 3600 },
        });
        let page = json!({
            "pid": 1, "phase": "serving", "listen": ["127.0.0.1:1"], "system": "s", "pac": { "state": "failed" },
            "configuration": { "files": ["f"], "problem": many(json!("p")) }, "upstreams": many(upstream),
            "lost": { "audit_records": 1, "log_lines": 1 }, "lockout": many(json!({ "account": "a" })),
            "failures": many(json!({ "target": "t:1", "cause": "c", "hint": "h", "id": "i", "count": 2 })),
            "refused": many(json!({ "cause": "c", "remedy": "r", "count": 1, "last": "l" })),
        });
        let text = of(&page, false);
        assert!(text.lines().count() <= 32, "{text}");
        assert!(text.contains("NTLM as CORP\\a") && text.contains("ticket of a@CORP for 1 h 0 min more"), "{text}");
        assert!(text.contains("2 times: t:1: c - h (request i)"), "{text}");
        assert!(text.contains("refused  1 time, last l: c - r"), "{text}");
        let quiet = json!({ "pid": 1, "upstreams": many(json!({ "upstream": "u" })) });
        assert!(of(&quiet, false).lines().count() < 25);
    }

    #[test]
    fn nobodys_name_is_an_order_to_the_terminal_or_a_line_of_its_own() {
        let tunnel =
            json!({ "target": "t:443", "hop": "direct", "program": "/tmp/\x1b]0;x\x07git\nno tunnel is open" });
        let page = json!({
            "pac": { "source": "p", "state": "failed", "problem": "a\x1b[2Jb\nprofile  none" },
            "tunnels": { "count": 1, "list": [tunnel] },
        });
        let text = of(&page, true);
        assert!(
            text.contains("for  ]0;x git no tunnel is open") && text.contains(": a [2Jb profile  none"),
            "{text:?}"
        );
        assert!(!text.contains(|c: char| c.is_control() && c != '\n') && !text.contains("\nno tunnel"), "{text:?}");
    }

    #[test]
    fn tunnels_are_a_table_and_say_when_there_is_none() {
        let tunnel = json!({
            "bytes_up": 1, "bytes_down": 2048, "age_seconds": 61, "idle_seconds": 0, "target": "t:443", "hop": "direct",
            "program": "/usr/bin/git", "client": "127.0.0.1:1",
        });
        let text = of(&json!({ "tunnels": { "count": 3, "list": [tunnel] } }), true);
        let line = "      1 B   2.0 KiB  1 min 1 s        0 s  t:443 by direct for git";
        assert!(text.lines().any(|found| found == line), "{text}");
        assert!(text.ends_with("and 2 that were active longer ago"), "{text}");
        assert!(of(&json!({}), true).ends_with("no tunnel is open"));
    }
}
