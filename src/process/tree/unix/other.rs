//! Systems that do not tell us of the children of those who have ended: only the program itself is known.

use std::io;

use rustix::process::Pid;

/// Apple's SI_USER (sys/signal.h), which no crate has.
const SI_USER: i32 = 0x10001;

/// Of a siginfo_t: kill(2) and its like sent it, and not the kernel.
pub fn is_by_process(code: i32) -> bool {
    code == SI_USER
}

#[derive(Debug)]
pub struct Kin;

impl Kin {
    pub fn gather() -> io::Result<Self> {
        Ok(Self)
    }

    pub fn living(&self, _: Option<Pid>) -> Vec<String> {
        Vec::new()
    }
}
