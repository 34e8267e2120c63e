//! One of several parts of a source, so that several machines read it together.
//!
//! A part has whole days of a node's recording, or all files of a node and run: what belongs
//! together is read together, and every object is in exactly one part.

use sha2::{Digest as _, Sha256};

use super::group::Place;

/// Part `index` of `count`, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    /// Reads `i/n`.
    ///
    /// # Errors
    /// One sentence, when it is no such part.
    pub fn parse(text: &str) -> Result<Shard, String> {
        let parts = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parts {
            Some((index, count)) if index < count => Ok(Shard { index, count }),
            _ => Err("write i/n with i from 0 to n-1, as 0/4 for the first of four".to_owned()),
        }
    }

    /// Whether an object is in it: by node, run, recording and day of a reel, else by `group`.
    pub(super) fn has(&self, key: &str, group: &str) -> bool {
        let place = Place::of(key).filter(|place| place.recording.is_some());
        let name = match place {
            Some(place) => {
                let day = key.split('/').find(|part| part.starts_with("date="));
                format!("{}/{}", place.key, day.unwrap_or_default())
            }
            None => group.to_owned(),
        };
        let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        let number = digest
            .first_chunk()
            .map_or(0, |first| u64::from_le_bytes(*first));
        number % self.count == self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_one_part_and_days_stay_together() {
        let key = |day: u32, number: u32| {
            format!(
                "reels/cluster=c/date=2026-11-{day:02}/hour=01/node=n/recording=r/202611{day:02}T010000Z-5-{number:06}-0123456789abcdef.pcapng.zst"
            )
        };
        let parts: Vec<Shard> = (0..4).map(|index| Shard { index, count: 4 }).collect();
        let part_of = |key: &str| {
            let of: Vec<u64> = parts
                .iter()
                .filter(|part| part.has(key, ""))
                .map(|part| part.index)
                .collect();
            assert_eq!(of.len(), 1, "{key}");
            of[0]
        };
        let of_days: Vec<u64> = (1..=28).map(|day| part_of(&key(day, 1))).collect();
        assert!((0..4).all(|part| of_days.contains(&part)), "{of_days:?}");
        assert_eq!(part_of(&key(3, 7)), part_of(&key(3, 8)));
    }

    #[test]
    fn a_part_is_written_as_jobs_count() {
        assert_eq!(Shard::parse("3/4"), Ok(Shard { index: 3, count: 4 }));
        for text in ["4/4", "1", "a/b", "-1/4", "0/0"] {
            assert!(Shard::parse(text).is_err(), "{text}");
        }
    }
}
