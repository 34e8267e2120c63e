//! Which streams recordings have that wait for what happens: whatever is told again, and to whichever run,
//! they take none of them twice, and lose nothing of one that went on.
//!
//! In: streams of reels that are closed, or that a killed process left open, and up to which packet they
//! have them. Out: from which packet on a stream is new; a file that says so to the next run. Never: more
//! than [`MAX_STREAMS`] of them; runs of which the spool has nothing any more.
//!
//! A reel says in its journal what it has until it is sealed, and this file does from before that on, so
//! there is no moment in which neither does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::files::{read_json, write_json};
use crate::packet::StreamId;

/// Streams that are kept; beyond that the oldest are forgotten, and what is asked for once more of them is
/// taken once more.
const MAX_STREAMS: usize = 262_144;

/// Largest file that is read: two numbers take up to 44 bytes.
const MAX_FILE: u64 = 12 << 20;

/// By run, recording and stream: the ordinal of the first packet that is in no reel.
type Streams = BTreeMap<u64, BTreeMap<String, BTreeMap<u64, u64>>>;

/// What was taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    streams: Streams,
    count: usize,
    file: PathBuf,
}

impl Taken {
    /// What the file says of these runs.
    pub(super) fn read(file: PathBuf, runs: &[u64]) -> Taken {
        let mut streams: Streams = read_json(&file, MAX_FILE).unwrap_or_default();
        streams.retain(|run, _| runs.contains(run));
        let all = streams.values().flat_map(BTreeMap::values);
        Taken {
            count: all.map(BTreeMap::len).sum(),
            streams,
            file,
        }
    }

    /// The ordinal of the first packet of a stream that a recording does not have; 0 when it has none of it.
    pub(super) fn upto(&self, recording: &str, run: u64, stream: StreamId) -> u64 {
        let of = self.streams.get(&run).and_then(|of| of.get(recording));
        let upto = of.and_then(|streams| streams.get(&stream.0));
        upto.copied().unwrap_or(0)
    }

    /// Notes that a recording has streams up to, not including, the packet `upto`.
    pub(super) fn add(
        &mut self,
        recording: &str,
        run: u64,
        streams: impl IntoIterator<Item = StreamId>,
        upto: u64,
    ) {
        let of = self.streams.entry(run).or_default();
        let of = of.entry(recording.to_owned()).or_default();
        let before = of.len();
        for stream in streams {
            let known = of.entry(stream.0).or_default();
            *known = upto.max(*known);
        }
        self.count += of.len() - before;
        while self.count > MAX_STREAMS {
            self.forget_one();
        }
    }

    /// Forgets the oldest stream of the oldest run, of the recording that has most of it.
    fn forget_one(&mut self) {
        let Some(mut run) = self.streams.first_entry() else {
            return;
        };
        let most = run.get_mut().values_mut().max_by_key(|of| of.len());
        let is_gone = most.is_some_and(|of| of.pop_first().is_some());
        if is_gone {
            self.count -= 1;
        } else {
            run.remove();
        }
    }

    /// Writes the file.
    pub(super) fn keep(&self) {
        if let Err(error) = write_json(&self.file, &self.streams) {
            tracing::warn!(
                %error,
                file = %self.file.display(),
                "streams may be taken once more after a restart"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_known_to_the_next_run_as_long_as_the_spool_has_it() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("taken.json");
        let mut taken = Taken::read(file.clone(), &[]);
        taken.add("crashes", 17, [StreamId(4)], 9);
        taken.add("crashes", 17, [StreamId(4), StreamId(5)], 7);
        taken.add("crashes", 18, [StreamId(4)], u64::MAX);
        taken.keep();
        let again = Taken::read(file.clone(), &[17]);
        assert_eq!(again.count, 2);
        let upto = |recording, run, stream| again.upto(recording, run, StreamId(stream));
        assert_eq!((upto("crashes", 17, 4), upto("crashes", 17, 5)), (9, 7));
        assert_eq!((upto("crashes", 18, 4), upto("probes", 17, 4)), (0, 0));
        std::fs::write(&file, "{").unwrap();
        assert_eq!(Taken::read(file, &[17]).count, 0);
    }

    #[test]
    fn the_oldest_are_forgotten_first_and_a_full_file_is_read_again() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("taken.json");
        let mut taken = Taken::read(file.clone(), &[]);
        let most = MAX_STREAMS as u64;
        taken.add("crashes", 17, [StreamId(1)], 9);
        let far = u64::MAX - most;
        taken.add("crashes", 18, (far..=u64::MAX - 2).map(StreamId), u64::MAX);
        assert_eq!(taken.count, MAX_STREAMS);
        taken.add("probes", 18, [StreamId(2), StreamId(3)], 9);
        assert_eq!(taken.count, MAX_STREAMS);
        assert_eq!(taken.upto("crashes", 17, StreamId(1)), 0);
        assert_eq!(taken.upto("crashes", 18, StreamId(far)), 0);
        assert_eq!(taken.upto("crashes", 18, StreamId(far + 1)), u64::MAX);
        assert_eq!(taken.upto("probes", 18, StreamId(2)), 9);
        taken.keep();
        assert_eq!(Taken::read(file, &[17, 18]).count, MAX_STREAMS);
    }
}
