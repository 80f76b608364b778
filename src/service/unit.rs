//! Units of systemd as text: those of the packages, with our own program, flags and addresses in their places.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::net::SocketAddr;

use super::{Scope, Service};

const SYSTEM_SERVICE: &str = include_str!("../../packaging/systemd/system/hallpass.service");
const SYSTEM_SOCKET: &str = include_str!("../../packaging/systemd/system/hallpass.socket");
const USER_SERVICE: &str = include_str!("../../packaging/systemd/user/hallpass.service");
const USER_SOCKET: &str = include_str!("../../packaging/systemd/user/hallpass.socket");

const START: &str = "ExecStart=";
const LISTEN: &str = "ListenStream=";

pub fn service(service: &Service) -> String {
    let text = match service.scope {
        Scope::User => USER_SERVICE,
        Scope::System => SYSTEM_SERVICE,
    };
    let words = [service.program.as_os_str(), OsStr::new("serve")];
    let words = words.into_iter().chain(service.arguments.iter().map(AsRef::as_ref));
    let line: Vec<String> = words.map(word).collect();
    with(text, START, &[line.join(" ")])
}

pub fn socket(service: &Service) -> String {
    let text = match service.scope {
        Scope::User => USER_SOCKET,
        Scope::System => SYSTEM_SOCKET,
    };
    let addresses: Vec<String> = service.listen.iter().map(SocketAddr::to_string).collect();
    with(text, LISTEN, &addresses)
}

/// The text with other lines of this key, where the first of them stands.
fn with(text: &str, key: &str, values: &[String]) -> String {
    let mut out = String::new();
    let mut values = Some(values);
    for line in text.lines() {
        if !line.starts_with(key) {
            let _ = writeln!(out, "{line}");
        } else if let Some(values) = values.take() {
            values.iter().for_each(|value| out.extend([key, value, "\n"]));
        }
    }
    out
}

/// One word of a command line as systemd.service(5) reads it: specifiers and variables stand for themselves.
fn word(word: &OsStr) -> String {
    let plain = word.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:,=@+[]*".contains(c);
    if !plain.is_empty() && plain.chars().all(is_plain) {
        return plain.into_owned();
    }
    let mut quoted = String::from("\"");
    for c in plain.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' | '$' => quoted.extend([c, c]),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn wanted(scope: Scope, arguments: &[&str]) -> Service {
        Service {
            scope,
            program: "/opt/a b/hallpass".into(),
            arguments: arguments.iter().map(Into::into).collect(),
            listen: vec!["127.0.0.1:3129".parse().unwrap()],
            grace: Duration::from_secs(5),
        }
    }

    #[test]
    fn a_unit_starts_our_program_with_its_flags_whatever_is_in_them() {
        let arguments = ["--user", "CORP\\al$ce", "--no-proxy", "*.x,10%", "--pac", "it's \"x\"", "--profile", ""];
        let text = service(&wanted(Scope::System, &arguments));
        let line = text.lines().find(|line| line.starts_with(START)).unwrap();
        assert_eq!(
            line,
            r#"ExecStart="/opt/a b/hallpass" serve --user "CORP\\al$$ce" --no-proxy "*.x,10%%" --pac "it's \"x\"" --profile """#
        );
        assert_eq!(text.matches(START).count(), 1);
        assert_eq!(text.lines().count(), SYSTEM_SERVICE.lines().count());
    }

    #[test]
    fn a_socket_listens_where_the_relay_would() {
        let text = socket(&wanted(Scope::User, &[]));
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(LISTEN)).collect();
        assert_eq!(lines, ["ListenStream=127.0.0.1:3129"]);
    }

    #[test]
    fn what_packages_ship_is_what_we_would_write_for_their_program() {
        for scope in [Scope::User, Scope::System] {
            let listen = crate::config::DEFAULT_LISTEN.into();
            let packaged = Service { program: "/usr/bin/hallpass".into(), listen, ..wanted(scope, &[]) };
            let (unit, sockets) = match scope {
                Scope::User => (USER_SERVICE, USER_SOCKET),
                Scope::System => (SYSTEM_SERVICE, SYSTEM_SOCKET),
            };
            assert_eq!(service(&packaged), unit);
            assert_eq!(socket(&packaged), sockets);
        }
    }
}
