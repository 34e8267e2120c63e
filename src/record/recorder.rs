//! The recorder: decides which streams are kept, and keeps them.
//!
//! In: wishes, and from one thread batches with their items in order. Out: sealed reels in the
//! outbox. Never: a script's judgement (design D15), packets of streams that nobody asked for.

mod adopt;
mod events;
mod status;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;

use super::indexer::Indexer;
use super::lane::{Around, CHANGED, Lane, STOPPED, Stats};
use super::manifest::{Coverage, Covered};
use super::outbox::Outbox;
use super::redaction::{self, Redactors};
use super::seal::Occasion;
use super::sealer::{Job, Sealer};
use super::states::States;
use super::taken::Taken;
use super::wish::{MAX_RECORDINGS, Wish};
use crate::item::Item;
use crate::packet::{SharedBatch, StreamId, StreamName};
use crate::redact::Protocols;
use crate::spool;
use crate::time::{Clock, Timestamp};
use adopt::Left;

pub use status::Status;

/// Sentences kept for whoever asks next.
const MAX_WARNINGS: usize = 32;

/// Asks for the states of streams as of the start of a later batch; they come through
/// [`Recorder::on_states`].
pub type WantStates = dyn Fn(&[StreamId]) + Send + Sync;

/// Says what was lost so far, by reason, outside spool and recorder.
pub type ReadCoverage = dyn Fn() -> Coverage + Send + Sync;

/// How the recorder is set up.
pub struct Options {
    /// Folder of open reels; made when missing.
    pub dir: PathBuf,
    /// The run: its Unix start second.
    pub run: u64,
    /// Name of the node.
    pub node: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Names of the source's interfaces, by number.
    pub interfaces: Vec<String>,
    /// Addresses of the machine's interfaces, which reels tell.
    pub addresses: Vec<IpAddr>,
    /// Bytes that open reels, and closed ones that are not sealed yet, may have together.
    pub max_open_bytes: u64,
    /// Time between two signs of life of a recording.
    pub heartbeat: Duration,
    /// Losses of capture and dissection, for the manifests.
    pub coverage: Option<Arc<ReadCoverage>>,
    /// How to ask for states of streams that go on in a new reel; without it they go on without one.
    pub want_states: Option<Arc<WantStates>>,
    /// Makes the indexes of reels; without one they have none.
    pub indexer: Option<Arc<dyn Indexer>>,
    /// Sentences that each manifest of the run carries.
    pub remarks: Vec<String>,
    /// By which streams are known when they are redacted.
    pub protocols: Protocols,
}

impl Options {
    /// A recorder in `dir` with the defaults.
    pub fn new(dir: impl Into<PathBuf>, run: u64, node: &str, cluster: &str) -> Options {
        Options {
            dir: dir.into(),
            run,
            node: node.to_owned(),
            cluster: cluster.to_owned(),
            interfaces: Vec::new(),
            addresses: Vec::new(),
            max_open_bytes: DEFAULT_OPEN_BYTES,
            heartbeat: Duration::from_secs(3600),
            coverage: None,
            want_states: None,
            indexer: None,
            remarks: Vec::new(),
            protocols: Protocols::all(),
        }
    }

    pub(crate) fn occasion(
        &self,
        why: &'static str,
        now: Timestamp,
        spool: Option<&spool::Reader>,
        stats: &Stats,
    ) -> Occasion {
        let mut coverage = self
            .coverage
            .as_ref()
            .map(|read| read())
            .unwrap_or_default();
        if let Some(spool) = spool {
            let counts = spool.counts();
            for (reason, lost) in [
                ("spool_overwritten", counts.overwritten),
                ("spool_not_written", counts.not_written),
            ] {
                if lost.packets > 0 {
                    let lost = Covered::new(lost.packets, lost.bytes, lost.span);
                    coverage.insert(reason.to_owned(), lost);
                }
            }
        }
        coverage.extend(stats.coverage());
        let mut remarks = self.remarks.clone();
        remarks.extend(stats.remarks());
        Occasion {
            why,
            now,
            due: (why != "stop").then(|| now + self.heartbeat),
            coverage,
            remarks,
            events: Vec::new(),
        }
    }
}

/// The open reels' part of the default `tap.storageLimit` of 5 GiB.
pub const DEFAULT_OPEN_BYTES: u64 = 1 << 30;

/// All recordings of a process.
pub struct Recorder {
    options: Options,
    open_dir: PathBuf,
    spool: Option<spool::Reader>,
    clock: Arc<dyn Clock>,
    sealer: Sealer,
    outbox: Arc<Outbox>,
    /// Day of the last roll-up by destination.
    rolled: BTreeMap<String, String>,
    /// Whether the outbox was full at the last look.
    was_stopped: bool,
    lanes: Vec<Lane>,
    /// What those did that ended, the oldest first.
    past: Vec<Status>,
    sequence: u64,
    /// Numbers of the next reels of earlier runs.
    late: BTreeMap<u64, u64>,
    /// What recordings have that wait for what happens.
    taken: Taken,
    next: u64,
    /// What an earlier process left and could not be sealed yet.
    left: Left,
    warnings: Vec<String>,
}

/// Why the recorder cannot work.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep open reels in {path}: {error}")]
pub struct RecorderError {
    path: String,
    error: io::Error,
}

impl Recorder {
    /// Opens the recorder and seals what an earlier process left open, under its old run.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(
        options: Options,
        spool: Option<spool::Reader>,
        clock: Arc<dyn Clock>,
        outbox: Arc<Outbox>,
    ) -> Result<Recorder, RecorderError> {
        let open_dir = options.dir.join("open");
        let failed = |error| RecorderError {
            path: open_dir.display().to_string(),
            error,
        };
        fs::create_dir_all(&open_dir).map_err(failed)?;
        let left: Vec<PathBuf> = fs::read_dir(&open_dir)
            .map_err(failed)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        let key = redaction::key(&options.dir.join("redact.key")).map_err(failed)?;
        let redactors = Redactors::new(key, options.protocols.clone());
        let indexer = options.indexer.clone();
        let sealer = Sealer::start(outbox.clone(), redactors, indexer).map_err(failed)?;
        let run = options.run;
        let runs = spool.as_ref().map(spool::Reader::runs).unwrap_or_default();
        let taken = Taken::read(options.dir.join("taken.json"), &runs);
        let mut recorder = Recorder {
            options,
            open_dir,
            spool,
            clock,
            sealer,
            sequence: outbox.next_sequence(run),
            outbox,
            rolled: BTreeMap::new(),
            was_stopped: false,
            lanes: Vec::new(),
            past: Vec::new(),
            late: BTreeMap::new(),
            taken,
            next: 0,
            left: Left::default(),
            warnings: Vec::new(),
        };
        recorder.adopt_all(left);
        Ok(recorder)
    }

    /// Makes the recordings those of `wishes`: new ones begin, changed ones go on with the new
    /// query, missing ones end and are sealed. Answers a sentence for each change.
    pub fn set(&mut self, wishes: Vec<Wish>) -> Vec<String> {
        let mut said = Vec::new();
        let mut lanes = std::mem::take(&mut self.lanes);
        let mut wished: Vec<Wish> = Vec::new();
        for wish in wishes {
            if wished.iter().any(|known| known.name == wish.name) {
                said.push(format!(
                    "a second recording called {} is left out; give it another name",
                    wish.name
                ));
            } else if wished.len() >= MAX_RECORDINGS {
                said.push(format!(
                    "the recording {} is left out; there can be {MAX_RECORDINGS} at a time",
                    wish.name
                ));
            } else {
                wished.push(wish);
            }
        }
        let (mut kept, gone): (Vec<Lane>, Vec<Lane>) = lanes
            .drain(..)
            .partition(|lane| wished.iter().any(|wish| wish.name == lane.wish.name));
        for lane in gone {
            said.push(self.end(lane, "removed"));
        }
        for wish in wished {
            match kept.iter_mut().find(|lane| lane.wish.name == wish.name) {
                Some(lane) => said.extend(self.change(lane, wish)),
                None => {
                    said.push(format!(
                        "the recording {} is on: {} to {}",
                        wish.name,
                        wish.asks(),
                        wish.destination
                    ));
                    self.forget_counts(&wish.name);
                    let run = self.options.run;
                    self.sealer.begin(&wish.name, run, self.sequence);
                    let mut lane = Lane::new(wish, self.clock.now());
                    self.with(|around| lane.heartbeat("start", around));
                    kept.push(lane);
                }
            }
        }
        self.lanes = kept;
        said
    }

    fn change(&mut self, lane: &mut Lane, wish: Wish) -> Option<String> {
        if lane.wish.is_like(&wish) {
            lane.wish = wish;
            return None;
        }
        let said = format!(
            "the recording {} follows its new settings: {} to {}",
            wish.name,
            wish.asks(),
            wish.destination
        );
        // What is open says itself what it was for; what follows is for the new wish.
        lane.follow(wish, self.clock.now());
        self.close(lane, CHANGED);
        self.with(|around| lane.heartbeat(CHANGED, around));
        Some(said)
    }

    fn end(&mut self, mut lane: Lane, why: &'static str) -> String {
        let open = lane.reel.as_ref().map_or(0, |reel| reel.packets());
        lane.forget_all();
        self.close(&mut lane, why);
        self.with(|around| lane.heartbeat("stop", around));
        self.keep_counts(&lane);
        let stats = &lane.stats;
        format!(
            "the recording {} is off: {open} packets that were open are sealed for upload; in all \
             it recorded {} streams with {} packets and {} bytes",
            lane.wish.name, stats.streams, stats.packets, stats.bytes
        )
    }

    /// Takes a stream on somebody's word, with its look-back; `None` as `recording` is the only
    /// one. False when there is no such recording, or it has the stream already.
    pub fn take(&mut self, name: StreamName, recording: Option<&str>) -> bool {
        let mut lanes = std::mem::take(&mut self.lanes);
        let room = self.room(&lanes);
        let lane = match recording {
            Some(recording) => lanes.iter_mut().find(|lane| lane.wish.name == recording),
            None if lanes.len() == 1 => lanes.first_mut(),
            None => None,
        };
        let taken = lane.is_some_and(|lane| {
            let run = self.options.run;
            let from = self.taken.upto(&lane.wish.name, run, name.stream);
            let taken = lane.take(name, from, &mut self.around(room));
            lane.commit();
            taken
        });
        self.lanes = lanes;
        taken
    }

    /// Takes the states of streams as of the start of the batch that comes next: reels that waited
    /// for them end here, and the streams go on in the next ones.
    pub fn on_states(&mut self, states: &States, next: Option<u64>) {
        self.next = next.unwrap_or(self.next);
        let mut lanes = std::mem::take(&mut self.lanes);
        for lane in &mut lanes {
            let mut around = self.around(self.options.max_open_bytes);
            if let Some(job) = lane.switch(states, &mut around) {
                self.hand_over(job);
            }
        }
        self.lanes = lanes;
    }

    /// Takes the packets of a batch and the items that they completed; called in batch order, after
    /// the spool has the batch.
    pub fn on_batch(&mut self, batch: &SharedBatch, items: &[Item]) {
        if let Some(first) = batch.packets.first() {
            self.next = first.ordinal;
        }
        self.look_at_outbox();
        let mut lanes = std::mem::take(&mut self.lanes);
        let adopted: HashMap<u64, StreamId, RandomState> = batch.adopted.iter().copied().collect();
        let mut room = self.room(&lanes);
        for lane in &mut lanes {
            let mut around = self.around(room);
            for item in items {
                lane.consider(item, &mut around);
            }
            lane.add_batch(batch, &adopted, &mut around);
            room = around.room;
            lane.commit();
            lane.end_streams(batch);
        }
        if let Some(last) = batch.packets.last() {
            self.next = last.ordinal + 1;
        }
        let now = self.clock.now();
        for lane in &mut lanes {
            if lane.is_due(now) == Some("size") {
                self.close(lane, "size");
            }
        }
        self.lanes = lanes;
    }

    /// Seals what is due by age and gives signs of life; to be called about every second, with the
    /// time that the recorder's clock shows.
    pub fn tick(&mut self, now: Timestamp) {
        self.adopt_rest(now);
        let mut lanes = std::mem::take(&mut self.lanes);
        self.roll_up(&mut lanes, now);
        for lane in &mut lanes {
            lane.follow_clock(now);
            if let Some(why) = lane.is_due(now) {
                self.close(lane, why);
            }
            if now.since(lane.alive_at) >= self.options.heartbeat {
                self.with(|around| lane.heartbeat("hourly", around));
            }
            if let Some(sentence) = lane.warning.take() {
                self.warn(sentence);
            }
            if let Some(sentence) = lane.quiet(now) {
                self.warn(sentence);
            }
        }
        self.lanes = lanes;
    }

    /// Gives each destination its roll-up when a day is over.
    fn roll_up(&mut self, lanes: &mut [Lane], now: Timestamp) {
        let day = now.utc().format("%Y-%m-%d").to_string();
        for lane in lanes {
            let destination = lane.wish.destination.clone();
            if self.rolled.get(&destination) == Some(&day) {
                continue;
            }
            let outbox = &self.outbox;
            // A chain that begins today has no day to sum up.
            let before = self.rolled.insert(destination.clone(), day.clone());
            let before = before.or_else(|| outbox.rolled(&destination));
            if let Err(error) = outbox.set_rolled(&destination, &day) {
                tracing::warn!(%error, "the day of the last roll-up is not noted");
            }
            if before.is_some_and(|before| before != day) {
                self.with(|around| lane.rollup(around));
            }
        }
    }

    /// Seals the open reel of a recording, or of all; answers how many reels had packets.
    pub fn seal(&mut self, recording: Option<&str>, why: &'static str) -> usize {
        let mut lanes = std::mem::take(&mut self.lanes);
        let mut sealed = 0;
        for lane in &mut lanes {
            if recording.is_none_or(|recording| lane.wish.name == recording) {
                sealed += usize::from(self.close(lane, why));
            }
        }
        self.lanes = lanes;
        sealed
    }

    /// Ends all recordings: seals what is open, gives a last sign of life, and waits until all of
    /// it is in the outbox. Answers a sentence for each.
    pub fn finish(&mut self) -> Vec<String> {
        let lanes = std::mem::take(&mut self.lanes);
        let said = lanes
            .into_iter()
            .map(|lane| self.end(lane, "stop"))
            .collect();
        self.sealer.finish();
        said
    }

    /// Waits until everything that was closed is in the outbox.
    #[cfg(test)]
    pub(crate) fn settle(&self) {
        self.sealer.settle();
    }

    /// Names of the recordings that have this stream, with commas between them; `None` when none has.
    pub fn recordings_of(&self, stream: StreamId) -> Option<Arc<str>> {
        let mut names: Option<String> = None;
        for lane in self.lanes.iter().filter(|lane| lane.has(stream)) {
            match &mut names {
                None => names = Some(lane.wish.name.clone()),
                Some(names) => {
                    names.push(',');
                    names.push_str(&lane.wish.name);
                }
            }
        }
        names.map(Arc::from)
    }

    /// Whether no stream is followed and nothing is open.
    pub fn is_idle(&self) -> bool {
        self.lanes
            .iter()
            .all(|lane| lane.is_idle() && lane.open_bytes() == 0)
    }

    /// Sentences about trouble since the last call, for console and dashboard.
    pub fn warnings(&mut self) -> Vec<String> {
        let mut said = std::mem::take(&mut self.warnings);
        said.extend(self.sealer.warnings());
        said
    }

    /// Says when recording stops and goes on again because of the outbox.
    fn look_at_outbox(&mut self) {
        let is_full = self.outbox.is_full();
        if is_full != self.was_stopped {
            self.was_stopped = is_full;
            self.warn(match is_full {
                true => STOPPED.to_owned(),
                false => "recording goes on: the outbox has room again".to_owned(),
            });
        }
    }

    /// Bytes that the open reels of `lanes` may still grow by.
    fn room(&self, lanes: &[Lane]) -> u64 {
        if self.outbox.is_full() {
            return 0;
        }
        let open: u64 = lanes.iter().map(Lane::open_bytes).sum();
        let used = open + self.sealer.waiting_bytes();
        self.options.max_open_bytes.saturating_sub(used)
    }

    fn around(&mut self, room: u64) -> Around<'_> {
        Around {
            options: &self.options,
            open_dir: &self.open_dir,
            spool: self.spool.as_ref(),
            sequence: &mut self.sequence,
            now: self.clock.now(),
            next: self.next,
            room,
            is_stopped: self.was_stopped,
        }
    }

    fn with(&mut self, make: impl FnOnce(&mut Around<'_>) -> Job) {
        let job = make(&mut self.around(0));
        self.sealer.add(job);
    }

    fn close(&mut self, lane: &mut Lane, why: &'static str) -> bool {
        let (jobs, had_packets) = lane.close(why, &mut self.around(0));
        for job in jobs {
            self.hand_over(job);
        }
        had_packets
    }

    fn warn(&mut self, sentence: String) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(sentence);
        }
    }
}
