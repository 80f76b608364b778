//! NO_PROXY beside the other tools: what we do, and what the document says, against one table of what was seen.
//!
//! `tests/real/tests_no_proxy.py` holds the clients' columns of the table to the clients.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use hallpass::address::{Endpoint, Protocol, Target};
use hallpass::route::no_proxy::NoProxy;
use hallpass::route::{Hop, Question, Router};

const CLIENTS: [&str; 5] = ["curl", "wget", "go", "requests", "undici"];

struct Row {
    /// As the table has it, with `\t` and `\n` for what they stand for.
    list: String,
    target: String,
    clients: Vec<String>,
    ours: String,
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn table() -> (Vec<String>, Vec<Row>) {
    let text = read("tests/data/no_proxy.tsv");
    let (versions, lines): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('#'));
    assert_eq!(lines[0], format!("no_proxy\ttarget\t{}\thallpass", CLIENTS.join("\t")));
    let rows = lines[1..].iter().map(|line| {
        let cells: Vec<String> = line.split('\t').map(Into::into).collect();
        let [list, target, clients @ .., ours] = cells.as_slice() else { panic!("{line}") };
        assert_eq!(clients.len(), CLIENTS.len(), "{line}");
        Row { list: list.clone(), target: target.clone(), clients: clients.to_vec(), ours: ours.clone() }
    });
    (versions.into_iter().map(Into::into).collect(), rows.collect())
}

/// What the relay does with an upstream and the list: entries it refuses are left out.
fn decided(list: &str, target: &str) -> &'static str {
    let upstream = Endpoint { target: Target::parse("proxy.example:8080", None).unwrap(), protocol: Protocol::Http };
    let list = list.replace("\\t", "\t").replace("\\n", "\n");
    let router = Router { no_proxy: NoProxy::parse(&list).0, upstreams: vec![upstream], ..Router::default() };
    let target = Target::parse(target, None).unwrap();
    let question = Question { target: &target, scheme: "http", url: "http://x/", program: None };
    let route = router.decide_now(&question, |_: IpAddr| false).unwrap().unwrap();
    if route.hops == [Hop::Direct] { "direct" } else { "proxy" }
}

#[test]
fn every_list_in_the_table_leads_where_the_table_says() {
    let (_, rows) = table();
    assert!(rows.len() > 100, "{}", rows.len());
    let mut wrong = String::new();
    for row in &rows {
        let found = decided(&row.list, &row.target);
        if found != row.ours {
            writeln!(wrong, "{}\t{}\t{}\t{found}", row.list, row.target, row.clients.join(" ")).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Where the clients agree, so do we, unless the row is one of these: more is understood here than by any of them.
const FURTHER: [&str; 14] = [
    "*:8080",
    "**",
    "a.example;example.com",
    "a.example|example.com",
    "192.0.2.*",
    "10.*",
    "192.0.2.1-192.0.2.9",
    "<local>",
    "build-*.example.com",
    "www*",
    "*example.com",
    "*corp*",
    "example.*",
    "[2001:db8::]/32",
];

#[test]
fn what_all_clients_agree_on_is_what_we_do_and_of_further_lists_we_understand_more() {
    let (_, rows) = table();
    let mut used = Vec::new();
    for row in rows.iter().filter(|row| row.clients.iter().all(|client| *client == row.clients[0])) {
        if row.ours != row.clients[0] {
            assert!(FURTHER.contains(&row.list.as_str()), "{} {}", row.list, row.target);
            assert_eq!(row.ours, "direct", "{} {}", row.list, row.target);
            used.push(row.list.as_str());
        }
    }
    used.dedup();
    let unused: Vec<_> = FURTHER.iter().filter(|list| !used.contains(list)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn the_document_shows_the_table() {
    let (versions, rows) = table();
    let text = read("docs/no_proxy.md");
    for version in versions {
        let (_, version) = version.split_once(": ").unwrap();
        assert!(text.contains(version), "docs/no_proxy.md does not say {version}");
    }
    let mut expected = String::from("| `NO_PROXY` | target | curl | wget | Go | requests | undici | hallpass |\n");
    expected.push_str("|---|---|---|---|---|---|---|---|\n");
    for row in &rows {
        let same = row.clients.iter().all(|client| *client == row.ours);
        if same {
            continue;
        }
        let list = row.list.replace('|', "\\|");
        let cells = row.clients.iter().chain([&row.ours]).map(String::as_str).collect::<Vec<_>>().join(" | ");
        writeln!(expected, "| `{list}` | `{}` | {cells} |", row.target).unwrap();
    }
    assert!(text.contains(&expected), "docs/no_proxy.md must hold:\n{expected}");
}
