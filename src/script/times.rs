//! How long calls took, as a compact histogram.
//!
//! In: durations of single calls, and what other histograms counted. Out: percentiles. Never: more
//! than [`BUCKETS`] numbers, whatever is counted; a percentile that is off by more than an eighth.
//!
//! Buckets are logarithmic, four to each doubling, as in HdrHistogram with two significant bits:
//! the number of a bucket is the place of the highest bit of the nanoseconds, then the next two bits.

use serde::{Deserialize, Deserializer, Serialize};

/// Buckets of a histogram: durations below 2^41 ns (36 minutes); longer ones are in the last.
pub const BUCKETS: u8 = 4 * 40;

/// Counts of durations, in the order of their buckets; those without counts are left out.
///
/// On the wire a list of `[bucket, count]`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Times(Vec<(u8, u64)>);

impl Times {
    /// Counts one call.
    pub fn add(&mut self, nanos: u64) {
        self.count(bucket_of(nanos), 1);
    }

    /// Counts what `others` counted.
    pub fn add_all(&mut self, others: &Times) {
        for (bucket, count) in &others.0 {
            self.count(*bucket, *count);
        }
    }

    /// Calls that were counted.
    pub fn calls(&self) -> u64 {
        let counts = self.0.iter().map(|(_, count)| *count);
        counts.fold(0, u64::saturating_add)
    }

    /// Nanoseconds that `percent` of all calls did not exceed; `None` before the first call.
    ///
    /// Answers the middle of a bucket, which is at most an eighth away.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let calls = u128::from(self.calls());
        let wanted = (calls * u128::from(percent.min(100))).div_ceil(100).max(1);
        let mut below = 0;
        self.0.iter().find_map(|(bucket, count)| {
            below += u128::from(*count);
            (below >= wanted).then(|| middle_of(*bucket))
        })
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn count(&mut self, bucket: u8, count: u64) {
        match self.0.binary_search_by_key(&bucket, |(known, _)| *known) {
            Ok(at) => {
                if let Some((_, kept)) = self.0.get_mut(at) {
                    *kept = kept.saturating_add(count);
                }
            }
            Err(at) => self.0.insert(at, (bucket, count)),
        }
    }
}

fn bucket_of(nanos: u64) -> u8 {
    let bucket = match nanos.checked_ilog2() {
        Some(octave) if octave >= 2 => {
            let quarter = (nanos >> (octave - 2)) & 3;
            (u64::from(octave) - 1) * 4 + quarter
        }
        // Too short to have two bits behind the highest.
        _ => nanos,
    };
    u8::try_from(bucket).unwrap_or(u8::MAX).min(BUCKETS - 1)
}

fn middle_of(bucket: u8) -> u64 {
    let bucket = u64::from(bucket);
    if bucket < 4 {
        return bucket;
    }
    let (octave, quarter) = (bucket / 4 + 1, bucket % 4);
    let width = 1 << (octave - 2);
    (4 + quarter) * width + width / 2
}

impl<'de> Deserialize<'de> for Times {
    /// Buckets that there are none of are left out: whoever sent them is not trusted.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Times, D::Error> {
        let mut times = Times::default();
        for (bucket, count) in Vec::<(u64, u64)>::deserialize(from)? {
            if let Some(bucket) = u8::try_from(bucket).ok().filter(|one| *one < BUCKETS) {
                times.count(bucket, count);
            }
        }
        Ok(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_at_most_an_eighth_off() {
        for nanos in
            (0..40).flat_map(|octave| [1_u64 << octave, (1 << octave) * 7 / 4, 3 << octave])
        {
            let mut times = Times::default();
            times.add(nanos);
            let found = times.percentile(50).unwrap();
            let most = (1_u64 << 41) - 1;
            let off = found.abs_diff(nanos.min(most));
            assert!(off * 8 <= nanos, "{nanos}: {found}");
        }
    }

    #[test]
    fn percentiles_follow_the_counts() {
        let mut times = Times::default();
        assert_eq!(times.percentile(50), None);
        (0..98).for_each(|_| times.add(1000));
        (0..2).for_each(|_| times.add(1_000_000));
        assert_eq!(times.calls(), 100);
        assert!((900..1100).contains(&times.percentile(50).unwrap()));
        assert!((900..1100).contains(&times.percentile(98).unwrap()));
        assert!((900_000..1_100_000).contains(&times.percentile(99).unwrap()));
        let mut twice = times.clone();
        twice.add_all(&times);
        assert_eq!(
            (twice.calls(), twice.percentile(99)),
            (200, times.percentile(99))
        );
    }

    #[test]
    fn it_travels_as_the_buckets_that_have_counts() {
        let mut times = Times::default();
        times.add(1000);
        times.add(1000);
        times.add(u64::MAX);
        let text = serde_json::to_string(&times).unwrap();
        assert_eq!(text, "[[35,2],[159,1]]");
        assert_eq!(serde_json::from_str::<Times>(&text).unwrap(), times);
        // A child may send what it likes.
        let odd: Times =
            serde_json::from_str("[[999999,1],[3,7],[3,18446744073709551615]]").unwrap();
        assert_eq!(odd.calls(), u64::MAX);
    }
}
