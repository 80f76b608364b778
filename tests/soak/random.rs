//! Numbers that one seed gives again, and streams of bytes that are known at every place.

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    /// Different streams of one seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed ^ mix(stream)))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// At least `low`, less than `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    /// As often small as large.
    pub fn size(&mut self, low: u64, high: u64) -> u64 {
        let (least, most) = (u64::from(low.max(1).ilog2()), u64::from(high.ilog2()));
        let scale = 1 << self.between(least, most + 1);
        (scale + self.next() % scale).clamp(low, high)
    }

    pub fn one_of(&mut self, all: &[u64]) -> u64 {
        all[self.between(0, all.len() as u64) as usize]
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count)
    }
}

/// Byte `at` of the stream with this name.
pub fn fill(name: u64, at: u64, room: &mut [u8]) {
    for (byte, place) in room.iter_mut().zip(at..) {
        *byte = mix(name ^ mix(place / 8)).to_le_bytes()[(place % 8) as usize];
    }
}
