//! How long something took, over all times that it was done, in the manner of Prometheus.

use std::time::Duration;

/// Upper ends in seconds; what takes longer falls beyond all of them.
pub const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0];

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Histogram {
    within: [u64; BUCKETS.len()],
    pub count: u64,
    /// In seconds.
    pub sum: f64,
}

impl Histogram {
    pub fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some(at) = BUCKETS.iter().position(|end| seconds <= *end) {
            self.within[at] += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }

    /// Each upper end, and how many took no longer than that.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        BUCKETS.into_iter().zip(self.within).scan(0, |total, (end, count)| {
            *total += count;
            Some((end, *total))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_holds_all_that_was_quicker() {
        let mut histogram = Histogram::default();
        for millis in [0, 1, 2, 30, 20_000, 20_001] {
            histogram.observe(Duration::from_millis(millis));
        }
        let counts: Vec<u64> = histogram.cumulative().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 5]);
        assert_eq!(histogram.count, 6);
        assert!((histogram.sum - 40.034).abs() < 1e-9, "{}", histogram.sum);
    }
}
