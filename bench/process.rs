//! What the processes of a relay use: a process and all that it started.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// What /proc counts processor time in, on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A process and its descendants, parents first. Empty when it is gone.
pub fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut there = false;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        there |= pid == root;
        if let Ok(stat) = Stat::of(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut tree: Vec<u32> = there.then_some(root).into_iter().collect();
    let mut at = 0;
    while let Some(pid) = tree.get(at) {
        tree.extend(children.remove(pid).unwrap_or_default());
        at += 1;
    }
    tree
}

/// The processor time that a tree has used, in user and kernel mode.
pub fn cpu(root: u32) -> Duration {
    tree(root).into_iter().filter_map(|pid| Stat::of(pid).ok()).map(|stat| stat.cpu).sum()
}

/// The memory that a tree takes up, in KiB: what it shares with others is shared out among them (PSS).
pub fn memory(root: u32) -> Result<f64> {
    let kib = |pid: u32| -> Result<f64> {
        let file = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&file)
            .with_context(|| format!("{file} (who keeps others from reading its memory shows it to root only)"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    tree(root).into_iter().map(kib).sum()
}

/// How many descriptors a tree has open.
pub fn descriptors(root: u32) -> Result<usize> {
    let of = |pid| Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count());
    tree(root).into_iter().map(of).sum()
}

/// How many threads a tree has.
pub fn threads(root: u32) -> u64 {
    tree(root).into_iter().filter_map(|pid| Stat::of(pid).ok()).map(|stat| stat.threads).sum()
}

/// How long the threads of a tree have run, finer than in ticks. Those that have ended are not in it.
pub fn run_time(root: u32) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for pid in tree(root) {
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // One that has ended meanwhile is none.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            sum += Duration::from_nanos(text.split(' ').next().unwrap_or_default().parse()?);
        }
    }
    Ok(sum)
}

struct Stat {
    parent: u32,
    cpu: Duration,
    threads: u64,
}

impl Stat {
    fn of(pid: u32) -> Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name stands in parentheses and may hold anything; the numbers follow the last one.
        let (_, numbers) = text.rsplit_once(") ").context("no name")?;
        let field =
            |at: usize| numbers.split(' ').nth(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
        Ok(Self {
            parent: u32::try_from(field(1))?,
            cpu: TICK * u32::try_from(field(11) + field(12))?,
            threads: field(17),
        })
    }
}
