//! `no_proxy` and `never_direct`: patterns of hosts.

use super::mistake::Problem;
use super::reader::Reader;
use crate::route::no_proxy::NoProxy;
use crate::route::pattern::Pattern;

pub fn read(reader: &mut Reader<'_>, path: &[&str]) -> NoProxy {
    let mut all = NoProxy::default();
    for (text, origin) in reader.items(path).unwrap_or_default() {
        let (list, bad) = NoProxy::parse(&text);
        all.extend(list);
        for pattern in bad {
            let problem = Problem::new(pattern).hint("a host, .suffix, *.suffix, network/bits or *, and :port");
            reader.wrong_at(origin.clone(), path, problem);
        }
    }
    all
}

pub fn never_direct(reader: &mut Reader<'_>) -> Vec<Pattern> {
    reader.list(&["never_direct"], pattern).unwrap_or_default()
}

pub(super) fn pattern(text: &str) -> Result<Pattern, Problem> {
    Pattern::parse(text).map_err(|error| Problem::new(error).hint("a host, \"*.corp.example\" or \"*\""))
}
