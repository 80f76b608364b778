//! The bytes that travel: an endless stream of which every place can be told, so that each byte is checked by comparing.

use std::sync::LazyLock;

use anyhow::{Result, ensure};

/// The most that is handed out at once.
pub const CHUNK: usize = 128 * 1024;

/// No power of two: a block of a buffer's or a page's size that is lost or comes twice shows as wrong bytes.
const PERIOD: usize = 61_441;

static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    // Xorshift: any bytes that do not repeat within the period will do.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let period: Vec<u8> = (0..PERIOD)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect();
    period.iter().copied().cycle().take(PERIOD + CHUNK).collect()
});

/// `length` bytes (at most a chunk) of the stream from `position` on.
pub fn at(position: u64, length: usize) -> &'static [u8] {
    let start = usize::try_from(position % PERIOD as u64).unwrap_or_default();
    &TABLE[start..start + length.min(CHUNK)]
}

/// Whether what arrives is the stream, without a gap.
#[derive(Default)]
pub struct Check {
    pub position: u64,
}

impl Check {
    pub fn take(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(CHUNK) {
            ensure!(piece == at(self.position, piece.len()), "wrong bytes behind {}", self.position);
            self.position += piece.len() as u64;
        }
        Ok(())
    }
}
