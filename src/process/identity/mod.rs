//! What tells a process from a later one of the same number, so that it can be said whether it still lives.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

/// When a process began, in the system's own words; `None` if there is none of this number, or only its remains.
pub fn started(pid: u32) -> Option<String> {
    imp::started(pid)
}

/// Whether there may be a process of this number. One that cannot be seen from here counts as one.
pub fn may_run(pid: u32) -> bool {
    imp::may_run(pid)
}

/// Whether the process that began then still runs. One that cannot be seen from here is taken to run.
pub fn is_alive(pid: u32, since: &str) -> bool {
    imp::is_alive(pid, since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_live_and_neither_who_had_our_number_before_nor_who_has_ended() {
        let own = std::process::id();
        let since = started(own).unwrap();
        assert_eq!(started(own), Some(since.clone()));
        assert!(may_run(own));
        assert!(is_alive(own, &since));
        assert!(!is_alive(own, "something else"));
        let words: &[&str] = if cfg!(windows) { &["ping", "-n", "30", "127.0.0.1"] } else { &["sleep", "30"] };
        let mut command = std::process::Command::new(words[0]);
        let mut child = command.args(&words[1..]).stdout(std::process::Stdio::null()).spawn().unwrap();
        let since = started(child.id()).unwrap();
        assert!(is_alive(child.id(), &since));
        child.kill().unwrap();
        // Its remains are there until somebody asks how it ended.
        while is_alive(child.id(), &since) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!may_run(child.id()));
        assert!(!is_alive(child.id(), &since));
    }
}
