//! RLIMIT_NOFILE (getrlimit(2)).

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where the hard limit is no limit at all, a system may still refuse more than this: macOS its OPEN_MAX.
const SURELY_ALLOWED: u64 = 10240;

pub(super) fn raise_limit() -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none() || current == maximum {
        return Ok(());
    }
    let all = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    if all.is_ok() || current >= Some(SURELY_ALLOWED) {
        return Ok(all?);
    }
    let some = maximum.map_or(SURELY_ALLOWED, |maximum| maximum.min(SURELY_ALLOWED));
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(some), maximum })?)
}

pub(super) fn limit() -> Option<usize> {
    getrlimit(Resource::Nofile).current.and_then(|current| usize::try_from(current).ok())
}
