//! The heads of one real log-in as a text that a test can play: what each side said, connection by connection, byte for
//! byte but for secrets and names.
//!
//! ```text
//! # comment
//! = connection 1
//! > CONNECT host-1.example:443 HTTP/1.1\r\n        what we sent
//! > \r\n
//! < HTTP/1.1 407 Proxy Authentication Required\r\n  what was answered
//! < \r\n
//! ```

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::heads::{without_names, without_secrets};
use super::redact::Redactor;
use crate::upstream::{Connection, Witness};

/// More than any log-in has; a check that tries for ever must not fill the memory.
const MOST: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Us,
    Upstream,
}

#[derive(Debug)]
struct Head {
    connection: Connection,
    from: From,
    /// Its secrets are gone already.
    bytes: Vec<u8>,
}

/// Hears log-ins, and keeps nothing of them that could be used.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<Head>>);

impl Witness for Recorder {
    fn sent(&self, connection: Connection, head: &[u8]) {
        self.keep(connection, From::Us, head);
    }

    fn received(&self, connection: Connection, head: &[u8]) {
        self.keep(connection, From::Upstream, head);
    }
}

impl Recorder {
    fn keep(&self, connection: Connection, from: From, head: &[u8]) {
        let bytes = without_secrets(head);
        let mut heads = self.heads();
        if heads.len() < MOST {
            heads.push(Head { connection, from, bytes });
        }
    }

    /// A panic elsewhere leaves the list whole.
    fn heads(&self) -> MutexGuard<'_, Vec<Head>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One log-in, the first that came to an end if there is one: all connections that it took.
    pub fn text(&self, redactor: &Redactor) -> Option<String> {
        let heads = self.heads();
        let connections = login(&heads);
        if connections.is_empty() {
            return None;
        }
        let mut text = format!("# A log-in at a proxy, recorded by hallpass {}.\n", env!("CARGO_PKG_VERSION"));
        for (number, connection) in connections.iter().enumerate() {
            let _infallible = writeln!(text, "= connection {}", number + 1);
            for head in heads.iter().filter(|head| head.connection == *connection) {
                let sign = match head.from {
                    From::Us => '>',
                    From::Upstream => '<',
                };
                for line in without_names(&head.bytes, redactor).split_inclusive(|byte| *byte == b'\n') {
                    let _infallible = writeln!(text, "{sign} {}", line.escape_ascii());
                }
            }
        }
        Some(text)
    }
}

/// The connections of one log-in: the one on which it ended, and, where that one did not begin bare, those before it.
fn login(heads: &[Head]) -> Vec<Connection> {
    let is_final = |head: &&Head| head.from == From::Upstream && status(&head.bytes) != Some(b"407");
    let Some(end) = heads.iter().find(is_final).or(heads.last()).map(|head| head.connection) else { return Vec::new() };
    let begins =
        |connection: Connection| heads.iter().find(|head| head.connection == connection && head.from == From::Us);
    let Some(wanted) = begins(end).map(|head| request_line(&head.bytes)) else { return Vec::new() };
    let mut same: Vec<Connection> = Vec::new();
    for head in heads.iter().filter(|head| head.from == From::Us && request_line(&head.bytes) == wanted) {
        if !same.contains(&head.connection) {
            same.push(head.connection);
        }
    }
    let last = same.iter().position(|connection| *connection == end).unwrap_or_default();
    let is_bare = |connection: Connection| begins(connection).is_some_and(|head| !shows_credentials(&head.bytes));
    let first = (0..=last).rev().find(|at| is_bare(same[*at])).unwrap_or_default();
    same.drain(first..=last).collect()
}

fn shows_credentials(head: &[u8]) -> bool {
    String::from_utf8_lossy(head).to_ascii_lowercase().contains("\nproxy-authorization:")
}

fn status(head: &[u8]) -> Option<&[u8]> {
    head.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).nth(1)?.get(..3)
}

fn request_line(head: &[u8]) -> &[u8] {
    head.split(|byte| *byte == b'\n').next().unwrap_or_default()
}
