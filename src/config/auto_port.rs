//! `listen = "auto"`: a port for this user alone, the same at each start.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::owner::Owner;
use crate::process::account;
use crate::state::State;

/// Below the ports that systems give to connections, above those that have names.
const FIRST: u16 = 20_000;
const COUNT: u16 = 8_000;

/// More than anybody's neighbours take.
const TRIES: u16 = 100;

/// What is kept in the state directory.
const NAME: &str = "port";

/// The port of the last start, or the one to begin with.
pub fn port(state_directory: &Path) -> u16 {
    recorded(state_directory).unwrap_or_else(|| preferred(state_directory, account::own().as_ref()))
}

fn recorded(state_directory: &Path) -> Option<u16> {
    let text = String::from_utf8(State::read_only(Some(state_directory.into())).read(NAME)?).ok()?;
    text.trim().parse().ok().filter(|port| *port >= 1024)
}

/// Users begin at different ones, so that they seldom meet.
fn preferred(state_directory: &Path, own: Option<&Owner>) -> u16 {
    let own = own.map_or_else(|| "None".into(), |own| format!("Some({own})"));
    let digest = Sha256::digest(format!("{own} {}", state_directory.display()));
    FIRST + u16::from_be_bytes([digest[0], digest[1]]) % COUNT
}

/// The port, and those that stand in for it while it is another user's.
pub fn candidates(port: u16) -> impl Iterator<Item = u16> {
    let offset = port.wrapping_sub(FIRST);
    let next = (1..TRIES).map(move |step| FIRST + offset.wrapping_add(step) % COUNT);
    std::iter::once(port).chain(next)
}

/// For the next start and for other commands.
pub fn record(state_directory: &Path, port: u16) -> std::io::Result<()> {
    match recorded(state_directory) == Some(port) {
        true => Ok(()),
        false => State::at(Some(state_directory.into())).write(NAME, format!("{port}\n").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_stays_what_it_was_and_others_stand_in_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let first = port(directory.path());
        assert!((FIRST..FIRST + COUNT).contains(&first), "{first}");
        assert_eq!(port(directory.path()), first);
        let all: Vec<u16> = candidates(first).collect();
        assert_eq!((all[0], all.len()), (first, usize::from(TRIES)));
        assert!(all.iter().all(|port| (FIRST..FIRST + COUNT).contains(port)), "{all:?}");
        assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), all.len());
        record(directory.path(), all[1]).unwrap();
        assert_eq!(port(directory.path()), all[1]);
        assert!(candidates(3128).skip(1).all(|port| port >= FIRST));
    }

    #[test]
    fn users_begin_at_different_ports() {
        let ports: std::collections::HashSet<u16> =
            (0..50).map(|uid| preferred(Path::new("/home/x/.local/state/hallpass"), Some(&Owner::Uid(uid)))).collect();
        assert!(ports.len() > 45, "{ports:?}");
    }
}
