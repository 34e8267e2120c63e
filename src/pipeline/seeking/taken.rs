//! Which streams were taken for happenings, so that a run after a restart does not take them again.
//!
//! In: streams by recording and run. Out: whether one was taken; a file that says so to the next run.
//! Never: more than [`MAX_STREAMS`] of them; runs of which the spool has nothing any more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::packet::StreamId;
use crate::record::{read_json, write_json};

/// Streams that are kept; beyond that the oldest run is forgotten, and what is asked for once more of it is
/// taken once more.
const MAX_STREAMS: usize = 32_768;

/// Largest file that is read: a number takes up to 21 bytes.
const MAX_FILE: u64 = 4 << 20;

/// The numbers of streams by run and recording.
type Streams = BTreeMap<u64, BTreeMap<String, BTreeSet<u64>>>;

/// What was taken.
#[derive(Default)]
pub(super) struct Taken {
    streams: Streams,
    count: usize,
    file: Option<PathBuf>,
    is_changed: bool,
}

impl Taken {
    /// What the file says of these runs.
    pub(super) fn read(file: PathBuf, runs: &[u64]) -> Taken {
        let mut streams: Streams = read_json(&file, MAX_FILE).unwrap_or_default();
        streams.retain(|run, _| runs.contains(run));
        let all = streams.values().flat_map(BTreeMap::values);
        Taken {
            count: all.map(BTreeSet::len).sum(),
            streams,
            file: Some(file),
            is_changed: false,
        }
    }

    /// Whether a recording has taken a stream of a run.
    pub(super) fn has(&self, recording: &str, run: u64, stream: StreamId) -> bool {
        let of = self.streams.get(&run).and_then(|of| of.get(recording));
        of.is_some_and(|streams| streams.contains(&stream.0))
    }

    /// Notes a stream.
    pub(super) fn add(&mut self, recording: &str, run: u64, stream: StreamId) {
        let of = self.streams.entry(run).or_default();
        let is_new = match of.get_mut(recording) {
            Some(streams) => streams.insert(stream.0),
            None => of
                .insert(recording.to_owned(), BTreeSet::from([stream.0]))
                .is_none(),
        };
        self.is_changed |= is_new;
        self.count += usize::from(is_new);
        while self.count > MAX_STREAMS
            && let Some((_, oldest)) = self.streams.pop_first()
        {
            self.count -= oldest.values().map(BTreeSet::len).sum::<usize>();
        }
    }

    /// Writes the file, when there is something new.
    pub(super) fn keep(&mut self) {
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        if let Some(file) = &self.file
            && let Err(error) = write_json(file, &self.streams)
        {
            tracing::warn!(%error, file = %file.display(), "streams may be taken once more after a restart");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_known_to_the_next_run_as_long_as_the_spool_has_it() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("streams.json");
        let mut taken = Taken::read(file.clone(), &[]);
        taken.add("crashes", 17, StreamId(4));
        taken.add("crashes", 17, StreamId(4));
        taken.add("crashes", 18, StreamId(4));
        taken.keep();
        let again = Taken::read(file.clone(), &[17]);
        assert_eq!(again.count, 1);
        assert!(again.has("crashes", 17, StreamId(4)));
        assert!(!again.has("crashes", 18, StreamId(4)));
        assert!(!again.has("probes", 17, StreamId(4)));
        std::fs::write(&file, "{").unwrap();
        assert_eq!(Taken::read(file, &[17]).count, 0);
    }

    #[test]
    fn the_oldest_run_is_forgotten_first() {
        let mut taken = Taken::default();
        for stream in 0..=MAX_STREAMS as u64 {
            taken.add("crashes", 17 + stream % 2, StreamId(stream));
        }
        assert!(taken.count <= MAX_STREAMS);
        assert!(!taken.has("crashes", 17, StreamId(2)));
        assert!(taken.has("crashes", 18, StreamId(1)));
    }
}
