//! The GNU C library's allocator (mallopt(3)).

/// What it begins with. But each larger block that is let go makes that block's size the new limit, up to 32 MiB, and what is
/// smaller stays with the process from then on: the first digest of a secret, 19 MiB, would see to that.
const LARGE: i32 = 128 * 1024;

pub(super) fn give_large_blocks_back() {
    // SAFETY: changes one number of the allocator, under its own lock; no block is touched.
    #[expect(unsafe_code, reason = "the C library has no other way to say it")]
    let taken = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
    if taken == 0 {
        tracing::debug!("memory that was let go may stay with the process");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks with pages of their own begin right behind their length, at the beginning of a page.
    fn has_pages_of_its_own(block: &[u8]) -> bool {
        block.as_ptr().addr() % 4096 == 16
    }

    #[test]
    fn a_block_of_a_mebibyte_has_pages_of_its_own_also_after_a_larger_one_was_let_go() {
        give_large_blocks_back();
        drop(std::hint::black_box(vec![1_u8; 20 * 1024 * 1024]));
        let blocks: Vec<Vec<u8>> = (0..4).map(|_| vec![1_u8; 1024 * 1024]).collect();
        assert!(blocks.iter().all(|block| has_pages_of_its_own(block)));
    }
}
