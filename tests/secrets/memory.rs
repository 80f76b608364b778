//! What another process has in its memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};

use crate::needles::{self, Needles};

/// How often each needle stands in what the process can write to: its heap, its stacks, its data.
pub fn copies(pid: u32, needles: &Needles) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    for line in fs::read_to_string(format!("/proc/{pid}/maps")).unwrap().lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        memory.seek(SeekFrom::Start(from)).unwrap();
        // A mapping may have ended since it was listed.
        if memory.read_exact(&mut bytes).is_err() {
            continue;
        }
        for (name, needle) in needles.iter() {
            let found = needles::count(&bytes, needle);
            if found > 0 {
                *copies.entry(name.to_owned()).or_default() += found;
            }
        }
    }
    copies
}
