//! How long things took, as counts in buckets that widen with the value.

/// Buckets for each power of two: a percentile is at most one part in 32 too high.
const STEPS: u32 = 32;

/// Counts by bucket, in rising order; only buckets that hold something take room.
#[derive(Debug, Default, Clone)]
pub(crate) struct Latencies {
    counts: Vec<(u16, u32)>,
    total: u64,
}

impl Latencies {
    /// Counts one value, in any unit that all values share.
    pub(crate) fn add(&mut self, value: u64) {
        self.add_many(bucket_of(value), 1);
        self.total += 1;
    }

    /// Counts what another has counted.
    pub(crate) fn merge(&mut self, other: &Latencies) {
        for &(bucket, count) in &other.counts {
            self.add_many(bucket, count);
        }
        self.total += other.total;
    }

    /// The value that `percent` of all values do not exceed; `None` without values.
    pub(crate) fn percentile(&self, percent: u64) -> Option<u64> {
        let wanted = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.counts
            .iter()
            .find(|(_, count)| {
                seen += u64::from(*count);
                seen >= wanted
            })
            .map(|(bucket, _)| top_of(*bucket))
    }

    fn add_many(&mut self, bucket: u16, count: u32) {
        match self.counts.binary_search_by_key(&bucket, |entry| entry.0) {
            Ok(at) => self.counts[at].1 = self.counts[at].1.saturating_add(count),
            Err(at) => self.counts.insert(at, (bucket, count)),
        }
    }
}

/// Values below twice [`STEPS`] have a bucket each.
fn bucket_of(value: u64) -> u16 {
    let octave = value.max(1).ilog2();
    if octave <= STEPS.ilog2() {
        return value as u16;
    }
    let shift = octave - STEPS.ilog2();
    (shift * STEPS) as u16 + (value >> shift) as u16
}

/// The highest value of a bucket.
fn top_of(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    let steps = u64::from(STEPS);
    if bucket < 2 * steps {
        return bucket;
    }
    let shift = bucket / steps - 1;
    let front = bucket - shift * steps;
    // The last bucket ends where the type does.
    ((front + 1).wrapping_shl(shift as u32)).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_values_and_no_others() {
        let mut last = 0;
        for value in 0..20_000 {
            let bucket = bucket_of(value);
            assert!(bucket == last || bucket == last + 1, "{value}");
            assert!(value <= top_of(bucket), "{value} {bucket}");
            assert!(top_of(bucket) <= value + value / 8 + 1, "{value}");
            last = bucket;
        }
        assert!(top_of(bucket_of(u64::MAX)) == u64::MAX);
    }

    #[test]
    fn percentiles_of_a_hundred_values() {
        let mut some = Latencies::default();
        assert_eq!(some.percentile(50), None);
        let mut others = Latencies::default();
        (1..=50).for_each(|value| some.add(value));
        (51..=100).for_each(|value| others.add(value));
        some.merge(&others);
        assert!((50..=56).contains(&some.percentile(50).unwrap()));
        assert!((99..=111).contains(&some.percentile(99).unwrap()));
        assert_eq!(some.percentile(1), Some(1));
    }
}
