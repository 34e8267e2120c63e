//! All files of a plan as one source.
//!
//! In: [`Input`]s. Out: their packets, file after file, with a [`Filled::Boundary`] where node or run
//! change or time goes back. A file that cannot be read is a warning as long as another can. Never:
//! two files open at a time.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::feed::{Feed, Input};
use super::fetch::Told;
use super::group::{Group, reel_stem};
use super::plan::Plan;
use super::{Options, SourceNames};
use crate::capture::file::FileSource;
use crate::capture::{CaptureError, Filled, RawBatch, Source, SourceCounts};
use crate::item::Origin;
use crate::resolve::{History, Names};
use crate::time::Timestamp;

/// A file may begin this long before the last packet of the one in front and still go on from it:
/// packets of several queues are not quite in order.
const ROTATION_SLACK: Duration = Duration::from_secs(1);

/// The packets of all files.
pub(super) struct Inputs {
    feed: Feed,
    told: Arc<Told>,
    total: Option<u64>,
    names: SourceNames,
    /// Number of the file opened next.
    number: u32,
    /// Paths by number, for files whose bytes lie at the offsets of positions.
    paths: Vec<Option<PathBuf>>,
    current: Option<FileSource>,
    /// Whether the current file is read to its end.
    ended: bool,
    group: Option<Arc<Group>>,
    /// Number of the reel that is read, in its run.
    sequence: Option<u64>,
    /// Names that came with the current file alone.
    own_names: Option<Arc<Names>>,
    /// A file that is open, with its first packets, while the boundary in front of it is told.
    next: Option<Next>,
    /// Latest packet time since the last boundary; `None` before the first packet.
    latest: Option<Timestamp>,
    counts: SourceCounts,
    warnings: Vec<String>,
    /// Key logs of files that are read, until somebody takes them.
    key_logs: Vec<Vec<u8>>,
    /// Custom blocks behind the packets of files that are read, until somebody takes them.
    back_blocks: Vec<Vec<u8>>,
    /// The last file that could not be read, while none could.
    failed: Option<CaptureError>,
}

struct Next {
    file: FileSource,
    group: Arc<Group>,
    sequence: Option<u64>,
    names: Option<Arc<Names>>,
    batch: RawBatch,
    filled: Filled,
}

impl Inputs {
    /// The files of `plan`; `names` will hold the names of the one read last.
    pub(super) fn new(plan: &Arc<Plan>, options: &Options, names: SourceNames) -> Inputs {
        let told = Arc::new(Told::default());
        Inputs {
            feed: Feed::new(plan.clone(), options.cache.clone(), told.clone()),
            told,
            total: plan.bytes(),
            names,
            number: 0,
            paths: Vec::new(),
            current: None,
            ended: false,
            group: None,
            sequence: None,
            own_names: None,
            next: None,
            latest: None,
            counts: SourceCounts::default(),
            warnings: Vec::new(),
            key_logs: Vec::new(),
            back_blocks: Vec::new(),
            failed: None,
        }
    }

    /// Opens the next file that can be read and reads its first packets.
    fn open_next(&mut self) -> Result<Option<Next>, CaptureError> {
        loop {
            let opened = match self.feed.next() {
                None => {
                    // Nothing could be read at all: that is no capture with a warning.
                    return match self.failed.take().filter(|_| self.number == 0) {
                        Some(error) => Err(error),
                        None => Ok(None),
                    };
                }
                Some(input) => input.and_then(|input| self.open(input)),
            };
            match opened {
                Ok(Some(next)) => return Ok(Some(next)),
                Ok(None) => {}
                Err(error) => {
                    if let Some(earlier) = self.failed.replace(error) {
                        self.warnings.push(earlier.to_string());
                    }
                    self.tell_failed();
                }
            }
        }
    }

    /// A failure is a warning once some file was read.
    fn tell_failed(&mut self) {
        if self.number > 0
            && let Some(error) = self.failed.take()
        {
            self.warnings.push(error.to_string());
        }
    }

    fn open(&mut self, input: Input) -> Result<Option<Next>, CaptureError> {
        let sequence = sequence_of(&input.name);
        let mut file = FileSource::new(input.name, input.reader, self.number)?;
        self.number = self.number.saturating_add(1);
        self.paths.push(input.path);
        self.tell_failed();
        let mut batch = RawBatch::default();
        let filled = file.fill(&mut batch)?;
        if batch.records.is_empty() && filled == Filled::End {
            self.close(file);
            return Ok(None);
        }
        Ok(Some(Next {
            file,
            group: input.group,
            sequence,
            names: input.names,
            batch,
            filled,
        }))
    }

    /// Whether the packets of `next` cannot go on where the ones before ended.
    fn is_other(&self, next: &Next) -> bool {
        let Some(latest) = self.latest else {
            return false;
        };
        let same = self
            .group
            .as_ref()
            .is_some_and(|group| group.key == next.group.key);
        let back = next
            .batch
            .records
            .first()
            .is_some_and(|first| latest.since(first.ts) > ROTATION_SLACK);
        // Reels between them are missing, or not wanted.
        let apart = self
            .sequence
            .zip(next.sequence)
            .is_some_and(|(before, next)| next != before + 1);
        !same || back || apart
    }

    fn enter(&mut self, next: Next, batch: &mut RawBatch) -> Filled {
        self.own_names = next.names;
        self.group = Some(next.group);
        self.sequence = next.sequence;
        self.names.set(self.known_names());
        *batch = next.batch;
        self.note_latest(batch);
        self.ended = next.filled == Filled::End;
        self.current = Some(next.file);
        self.learn();
        Filled::More
    }

    /// Takes over the names that the current file has held so far.
    fn learn(&mut self) {
        let Some(named) = self.current.as_mut().and_then(FileSource::new_names) else {
            return;
        };
        let mut learned = History::new();
        for (ip, name) in named {
            learned.learn(*ip, name);
        }
        let names = self.known_names().unwrap_or_default();
        let names = names.with_capture(Arc::new(learned));
        self.names.set(Some(Arc::new(names)));
    }

    /// Names of the current file, else of its group.
    fn known_names(&self) -> Option<Arc<Names>> {
        let group = || self.group.as_ref()?.names(&self.told);
        self.own_names.clone().or_else(group)
    }

    fn note_latest(&mut self, batch: &RawBatch) {
        let latest = batch.records.iter().map(|record| record.ts).max();
        self.latest = self.latest.max(latest);
    }

    fn close(&mut self, mut file: FileSource) {
        self.warnings.extend(file.warnings());
        self.key_logs.extend(file.key_logs());
        self.back_blocks.extend(file.back_blocks());
        let counts = file.counts();
        self.counts.received += counts.received;
        self.counts.damaged += counts.damaged;
    }
}

/// The number of a reel in its run, by the name of its packets.
fn sequence_of(name: &str) -> Option<u64> {
    reel_stem(name)?.rsplit('-').next()?.parse().ok()
}

impl Source for Inputs {
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        if self.ended {
            if !batch.records.is_empty() {
                // What is there belongs to another file than what comes.
                return Ok(Filled::More);
            }
            self.ended = false;
            if let Some(done) = self.current.take() {
                self.close(done);
            }
        }
        if let Some(next) = self.next.take() {
            return Ok(self.enter(next, batch));
        }
        if let Some(current) = &mut self.current {
            match current.fill(batch) {
                Ok(filled) => self.ended = filled == Filled::End,
                // One object that breaks off is no reason to leave out the others.
                Err(error) => {
                    self.ended = true;
                    self.counts.damaged += 1;
                    self.warnings.push(error.to_string());
                }
            }
            self.note_latest(batch);
            self.learn();
            return Ok(Filled::More);
        }
        let Some(next) = self.open_next()? else {
            return Ok(Filled::End);
        };
        if self.is_other(&next) {
            // Streams that end here still have the node and names of the file before.
            self.next = Some(next);
            self.latest = None;
            return Ok(Filled::Boundary);
        }
        Ok(self.enter(next, batch))
    }

    fn counts(&mut self) -> SourceCounts {
        let mut counts = self.counts;
        if let Some(current) = &mut self.current {
            let more = current.counts();
            counts.received += more.received;
            counts.damaged += more.damaged;
        }
        counts
    }

    fn progress(&self) -> Option<(u64, u64)> {
        let total = self.total?;
        Some((self.told.done.load(Ordering::Relaxed).min(total), total))
    }

    fn origin(&self) -> Option<Arc<Origin>> {
        self.group.as_ref()?.origin.clone()
    }

    fn addresses(&self) -> Option<Arc<[IpAddr]>> {
        self.current.as_ref()?.addresses()
    }

    fn record(&self) -> Option<Arc<str>> {
        self.group.as_ref()?.record.clone()
    }

    fn interface_name(&self, interface: u32) -> Option<String> {
        self.current.as_ref()?.interface_name(interface)
    }

    fn path(&self, file: u32) -> Option<PathBuf> {
        self.paths.get(usize::try_from(file).ok()?)?.clone()
    }

    fn key_logs(&mut self) -> Vec<Vec<u8>> {
        let mut logs = std::mem::take(&mut self.key_logs);
        if let Some(current) = &mut self.current {
            logs.extend(current.key_logs());
        }
        logs
    }

    fn front_blocks(&mut self) -> Option<Vec<Vec<u8>>> {
        self.current.as_mut()?.front_blocks()
    }

    fn back_blocks(&mut self) -> Vec<Vec<u8>> {
        let mut blocks = std::mem::take(&mut self.back_blocks);
        if let Some(current) = &mut self.current {
            blocks.extend(current.back_blocks());
        }
        blocks
    }

    fn warnings(&mut self) -> Vec<String> {
        let mut warnings = std::mem::take(&mut self.warnings);
        if let Some(current) = &mut self.current {
            warnings.extend(current.warnings());
        }
        warnings.extend(self.told.warnings());
        warnings
    }
}

/// Downloads end when nobody reads any more.
impl Drop for Inputs {
    fn drop(&mut self) {
        self.told.stop.store(true, Ordering::Relaxed);
    }
}
