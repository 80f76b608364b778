//! Every rule broken on purpose.

use super::{check, check_map};

/// What is said about a file that begins as it should.
fn said(path: &str, code: &str) -> String {
    check(path, &format!("//! A sample.\n{code}")).join("\n")
}

fn assert_broken(cases: &[(&str, &str, &str)]) {
    for (path, code, complaint) in cases {
        let said = said(path, code);
        assert!(said.contains(complaint), "{path} {code:?}: wanted {complaint:?}, got {said:?}");
    }
}

fn assert_fine(cases: &[(&str, &str)]) {
    for (path, code) in cases {
        assert_eq!(said(path, code), "", "{path} {code:?}");
    }
}

#[test]
fn imports_go_down_only() {
    assert_broken(&[
        (
            "auth/mod.rs",
            "use crate::upstream::Live;",
            "src/auth/mod.rs:2: auth (floor 1) imports upward: upstream (floor 2)",
        ),
        ("relay/mod.rs", "fn f() { crate::audit::write() }", "imports sideways: audit"),
        ("route/mod.rs", "use crate::{address::Host, http1::{self, Wire}};", "imports sideways: http1"),
        ("route/mod.rs", "use {std::fmt, crate::proxy as p};", "imports upward: proxy"),
        ("config/mod.rs", "mod inner { use crate::cli; }", "imports upward: cli"),
        ("proxy/mod.rs", "use crate::*;", "crate::* stands on no floor"),
        ("proxy/mod.rs", "use crate as hallpass;", "crate::* stands on no floor"),
        ("cli/mod.rs", "use crate::version::V;", "crate::version stands on no floor"),
        ("main.rs", "fn main() { hallpass::daemon::run() }", "main opens cli and nothing else"),
        ("bin/hallpassw.rs", "fn main() { hallpass::daemon::run() }", "bin opens cli and nothing else"),
        ("upstream/dial.rs", "use super::super::audit::Audit;", "leaves the module"),
        ("listener.rs", "use super::audit::Audit;", "leaves the module"),
        ("listener.rs", "mod inner { use super::super::audit::Audit; }", "leaves the module"),
        ("practice/ntlm.rs", "use crate::mechanism::Account;", "practice judges by itself"),
        ("practice/ntlm.rs", "use crate::proxy::Proxy;", "practice judges by itself"),
    ]);
    assert_fine(&[
        ("auth/mod.rs", "use crate::{address::Host, auth::Leg, secret::Secret};"),
        ("upstream/lease.rs", "use super::dial; use crate::auth; fn f() -> impl Fn() + use<'_> { dial::go() }"),
        ("proxy/forward/attempt.rs", "use super::super::respond;"),
        ("listener.rs", "mod inner { use super::Peer; }"),
        ("route/mod.rs", "// use crate::cli;\n/* crate::cli::x /* */ crate::cli::y */ const S: &str = \"crate::cli\";"),
        ("route/mod.rs", "const S: &str = r#\"\" crate::cli::x\"#; const C: char = '\"'; fn f<'a>(_: &'a str) {}"),
        ("route/mod.rs", "#[cfg(test)] mod tests { use crate::cli; }"),
        ("practice/ntlm.rs", "use crate::{auth, secret};"),
        ("main.rs", "fn main() { hallpass::cli::run() }"),
    ]);
}

#[test]
fn the_lowest_floors_only_think() {
    assert_broken(&[
        ("auth/digest.rs", "use std::time::{Duration, SystemTime};", "is the clock"),
        ("auth/digest.rs", "use std::time::Instant; fn f() { Instant::now(); }", "is the clock"),
        ("auth/digest.rs", "fn f() { jiff::Timestamp::now(); }", "is the clock"),
        ("route/mod.rs", "use std::net::{IpAddr, TcpStream};", "std::net::TcpStream is sockets"),
        ("address.rs", "use std::net::ToSocketAddrs;", "is sockets"),
        ("address.rs", "use std::{fmt, fs};", "is files"),
        ("secret.rs", "fn f() { std::env::var(\"X\"); }", "is the system"),
        ("http1/reader.rs", "use tokio::net::TcpStream;", "is the runtime"),
        ("http1/reader.rs", "async fn f() { tokio::time::sleep(D).await }", "is the runtime"),
        ("http1/reader.rs", "use tokio::io::{AsyncRead, stdin};", "tokio::io::stdin is the runtime"),
        ("auth/mod.rs", "use tokio::io::AsyncRead;", "is the runtime"),
    ]);
    assert_fine(&[
        ("auth/digest.rs", "use std::net::IpAddr; use std::time::{Duration, Instant}; fn f(now: Instant) {}"),
        ("http1/reader.rs", "use tokio::io::{AsyncRead, AsyncReadExt}; fn f() { tokio::io::split(x); }"),
        ("http1/reader.rs", "#[cfg(test)]\nmod tests { #[tokio::test] async fn f() { Instant::now(); } }"),
        ("upstream/dial.rs", "use tokio::net::TcpStream; fn f() { Instant::now(); }"),
    ]);
}

#[test]
fn a_platform_is_a_file() {
    let complaint = "stands in platform files and in the mod.rs that picks them";
    assert_broken(&[
        ("relay/mod.rs", "#[cfg(unix)]\nfn f() {}", complaint),
        ("relay/mod.rs", "fn f() { if cfg!(target_os = \"linux\") {} }", complaint),
        ("relay/mod.rs", "#[cfg(not(windows))] #[inline] pub(super) fn f() {}", complaint),
        ("listener.rs", "#[cfg(all(unix, feature = \"x\"))] mod inner;", complaint),
        ("relay/copy.rs", "#[cfg_attr(windows, path = \"windows.rs\")] mod imp;", complaint),
        ("relay/mod.rs", "fn f() { unsafe { g() } }", "unsafe stands in platform files only"),
    ]);
    assert_fine(&[
        (
            "relay/mod.rs",
            "#[cfg(target_os = \"linux\")]\nmod linux;\n#[cfg(unix)] #[doc(hidden)] pub(crate) use linux as imp;",
        ),
        (
            "process/mod.rs",
            "#[cfg_attr(unix, path = \"unix.rs\")]\n#[cfg_attr(not(unix), path = \"windows.rs\")]\nmod imp;",
        ),
        ("relay/linux.rs", "#[cfg(target_env = \"musl\")] fn f() { unsafe { g() } }"),
        ("service/windows/install.rs", "unsafe fn f() {}"),
        ("relay/mod.rs", "#[cfg(feature = \"x\")] fn f(unix: bool) {} // cfg(unix)"),
    ]);
}

#[test]
fn one_file_prints() {
    assert_broken(&[
        ("daemon/mod.rs", "fn f() { println!(\"x\"); }", "println! stands in cli/output.rs only"),
        ("cli/serve.rs", "fn f() { eprint!(\"x\"); dbg!(1); }", "dbg! stands in"),
        ("cli/serve.rs", "fn f() { write!(std::io::stdout(), \"x\"); }", "stdout is written to"),
    ]);
    assert_fine(&[
        ("cli/output.rs", "use std::io; fn f() { io::stdout(); println!(\"x\"); }"),
        ("audit.rs", "fn f() { io::stderr(); }"),
    ]);
}

#[test]
fn a_file_says_what_it_is_for_under_a_name_that_does() {
    assert!(check("audit.rs", "use std::io;").join("").contains("src/audit.rs:1: the first line says"));
    assert!(check("audit.rs", "//!  \nuse std::io;").join("").contains("the first line says"));
    assert_broken(&[
        ("proxy/session.rs", "", "session is no name"),
        ("utils/time.rs", "", "utils is no name"),
        ("relay/context.rs", "", "context is no name"),
    ]);
}

#[test]
fn the_map_lists_every_module_on_its_floor() {
    let said = |map: &str, other: &str| {
        let files = [("lib.rs", map), (other, "//! x")].map(|(path, text)| (path.to_string(), text.to_string()));
        check_map(&files).join("\n")
    };
    assert_eq!(said("pub mod cli;\npub mod auth;\npub mod route;\npub mod address;", "auth/mod.rs"), "");
    assert!(said("pub mod auth;\npub mod cli;", "auth/mod.rs").contains("src/lib.rs:2: cli stands on a higher floor"));
    assert!(said("pub mod auth;\npub mod extra;", "auth/mod.rs").contains("extra has no floor"));
    assert!(said("pub mod auth;", "relay/mod.rs").contains("relay is not in the list"));
}
