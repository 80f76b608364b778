//! The lock-out breaker's record, kept among the files that outlive the process.

use std::io;

use crate::state::State;
use crate::upstream::lockout::Store;

const NAME: &str = "lockout.json";

pub(super) struct LockoutRecord(pub State);

impl Store for LockoutRecord {
    fn read(&self) -> Option<Vec<u8>> {
        self.0.read(NAME)
    }

    fn update(&self, change: &mut dyn FnMut(Option<Vec<u8>>) -> Option<Vec<u8>>) -> io::Result<()> {
        self.0.update(NAME, change)
    }

    fn generation(&self) -> u64 {
        self.0.generation()
    }
}
