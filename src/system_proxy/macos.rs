//! Where proxies are set on macOS: in the network settings, of which `scutil` shows those of the network in use.

use super::{Found, Source, Variable, program, scutil};

pub(super) fn sources(_: Variable) -> Vec<Source> {
    vec![of_the_network]
}

fn of_the_network(_: Variable) -> Option<Found> {
    scutil::read(&program::output("/usr/sbin/scutil", &["--proxy"], program::LIMIT)?)
}
