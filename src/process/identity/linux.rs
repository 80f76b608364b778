//! Processes by /proc (proc(5)): the boot, the namespace of numbers, and the tick at which they began.

use std::fs;

pub(super) fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(format!("{} {}", here(), tick(&stat)?))
}

pub(super) fn may_run(pid: u32) -> bool {
    started(pid).is_some()
}

/// In another namespace the number is somebody else's: a home may be shared with a container.
pub(super) fn is_alive(pid: u32, since: &str) -> bool {
    let here = here();
    let elsewhere = |here: &str| {
        let (boot, _) = here.split_once(' ').unwrap_or_default();
        since.strip_prefix(boot).is_some_and(|rest| rest.starts_with(' ')) && !since.starts_with(here)
    };
    elsewhere(&here) || started(pid).as_deref() == Some(since)
}

fn here() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim(), namespace.display())
}

/// The name, in parentheses, may hold anything. A zombie has ended.
fn tick(stat: &str) -> Option<&str> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    // The 22nd field, of which the name was the second.
    (!["Z", "X"].contains(&state)).then(|| fields.nth(18)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tick_is_found_behind_any_name() {
        let stat = |name: &str, state: &str| {
            format!("7 ({name}) {state} 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 99 1")
        };
        assert_eq!(tick(&stat("a", "S")), Some("4711"));
        assert_eq!(tick(&stat(") R 1 (", "R")), Some("4711"));
        assert_eq!(tick(&stat("a", "Z")), None);
        assert_eq!(tick(""), None);
    }

    #[test]
    fn who_cannot_be_seen_from_here_lives_and_who_lived_before_the_boot_does_not() {
        let own = std::process::id();
        let here = here();
        let (boot, _) = here.split_once(' ').unwrap();
        assert!(is_alive(own, &format!("{boot} pid:[1] 1")));
        assert!(!is_alive(own, "another-boot pid:[1] 1"));
        assert!(!is_alive(own, &format!("{here} 1")));
    }
}
