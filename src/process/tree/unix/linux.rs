//! All that a program has started, whoever its parents were: we stand in for parents that have ended
//! (PR_SET_CHILD_SUBREAPER), so those who live on are children of ours.

use std::collections::HashSet;
use std::fs;
use std::io;

use nix::libc;
use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};

#[derive(Debug)]
pub struct Kin {
    /// Our own from before: others take leave of them.
    others: HashSet<i32>,
}

/// Of a siginfo_t: kill(2), sigqueue(3) and their like sent it, and not the kernel.
pub fn is_by_process(code: i32) -> bool {
    code == libc::SI_USER || code < 0
}

#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    name: String,
}

impl Kin {
    /// Before the program is started.
    pub fn gather() -> io::Result<Self> {
        let others = children()?.into_iter().map(|child| child.pid).collect();
        set_child_subreaper(Some(getpid()))?;
        Ok(Self { others })
    }

    /// The names of those who live, without the program itself. Those who have ended are taken leave of.
    pub fn living(&self, program: Option<Pid>) -> Vec<String> {
        let program = program.map(|pid| pid.as_raw_nonzero().get());
        let ours = |child: &Process| !self.others.contains(&child.pid) && Some(child.pid) != program;
        let children = children().unwrap_or_default().into_iter().filter(ours);
        children.filter(lives).map(|child| format!("{} (pid {})", child.name, child.pid)).collect()
    }
}

fn lives(child: &Process) -> bool {
    let Some(pid) = Pid::from_raw(child.pid) else { return false };
    matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None))
}

fn children() -> io::Result<Vec<Process>> {
    let own = getpid().as_raw_nonzero().get();
    let all = fs::read_dir("/proc")?.flatten();
    let numbered = all.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()));
    // One that cannot be read has ended meanwhile.
    let found = numbered.filter_map(|entry| process(&fs::read(entry.path().join("stat")).ok()?));
    Ok(found.filter(|process| process.parent == own).collect())
}

/// proc_pid_stat(5): the name is in parentheses and may hold any byte, those included.
fn process(stat: &[u8]) -> Option<Process> {
    let stat = String::from_utf8_lossy(stat);
    let (before, rest) = stat.rsplit_once(')')?;
    let (pid, name) = before.split_once(" (")?;
    let parent = rest.split_ascii_whitespace().nth(1)?;
    Some(Process { pid: pid.parse().ok()?, parent: parent.parse().ok()?, name: name.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_the_rest_of_its_line() {
        let found = process(b"17 (a) S 1 (b)) R 5 17 17 0 -1").unwrap();
        assert_eq!(found, Process { pid: 17, parent: 5, name: "a) S 1 (b)".into() });
        assert_eq!(process(b"17 (a"), None);
        assert_eq!(process(b""), None);
    }
}
