//! Indexes of sealed reels: the packets of one reel after the other go through the pipeline again.
//!
//! In: sealed reels in their order. Out: an index a reel, with the items that whoever reads the
//! archive from its beginning gets: those of the look-back, and those whose request lies in the reel
//! before. Never: what the running capture knows and the sealed packets do not, such as TLS secrets,
//! and what was overwritten before sealing.
//!
//! ```text
//! sealer ──path──▶ Relay (a Source that waits for the next reel) ──▶ pipeline ──▶ Found ──▶ index
//! ```
//!
//! One such pipeline runs for each recording of a run, so that exchanges go on from reel to reel.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ahash::RandomState;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::{Consumer, Encoded, Options, Running, Step};
use crate::capture::file::{FileSource, LeftBlocks, open_numbered};
use crate::capture::{CaptureError, Filled, RawBatch, Source, SourceCounts};
use crate::dissect::Protocols;
use crate::flow::Limits;
use crate::index::{IndexError, Place, Summary, Writer};
use crate::item::{Item, Origin};
use crate::packet::{StreamId, StreamName};
use crate::record::journal::Head;
use crate::record::manifest::Frame;
use crate::record::{Indexer, SealedReel};
use crate::redact::Rule;
use crate::resolve::Names;

/// Steps whose items may wait for the index.
const QUEUED_FOUND: usize = 4;

/// How often it is looked whether a reel gave fewer packets than it should.
const PATIENCE: Duration = Duration::from_millis(200);

/// Makes indexes with the dissectors of the running configuration.
pub struct Indexing {
    protocols: Protocols,
    limits: Limits,
    lanes: Mutex<HashMap<(String, u64), Lane, RandomState>>,
}

impl Indexing {
    /// Indexes of what `protocols` find, with the caps of `limits`.
    pub fn new(protocols: Protocols, limits: Limits) -> Indexing {
        Indexing {
            protocols,
            limits,
            lanes: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, u64), Lane, RandomState>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane(&self, head: &Head) -> Lane {
        let kept = self.lock().remove(&key(head));
        // What an earlier rule did not overwrite is in no index of a later one.
        let kept = kept.filter(|lane| lane.rule == head.redact);
        kept.unwrap_or_else(|| Lane::start(head, self.protocols.clone(), self.limits))
    }
}

fn key(head: &Head) -> (String, u64) {
    (head.recording.clone(), head.run)
}

impl Indexer for Indexing {
    fn index(&self, reel: &SealedReel<'_>) -> io::Result<Summary> {
        // A lane that fails is not put back: the next reel begins anew.
        let mut lane = self.lane(reel.head);
        let summary = lane.index(reel)?;
        if !reel.is_last {
            self.lock().insert(key(reel.head), lane);
        }
        Ok(summary)
    }

    fn forget(&self, head: &Head) {
        self.lock().remove(&key(head));
    }
}

/// The pipeline of one recording.
struct Lane {
    reels: Option<Sender<PathBuf>>,
    found: Receiver<Found>,
    shared: Arc<Shared>,
    running: Option<Running>,
    /// What was overwritten of its packets.
    rule: Rule,
    /// Packets of the reels before.
    base: u64,
    /// Names in the recorded run of streams that are open, by their number here.
    names: HashMap<StreamId, StreamName, RandomState>,
}

#[derive(Default)]
struct Shared {
    names: Mutex<Option<Arc<Names>>>,
    /// Packets that the reels which were read to their end had.
    given: AtomicU64,
    /// Reels that were read to their end.
    ended: AtomicU64,
}

/// What one step held.
struct Found {
    /// Streams of its packets, by ordinal.
    streams: Vec<(u64, StreamId)>,
    /// Ordinal behind its last packet, when it had packets.
    next: Option<u64>,
    items: Vec<Item>,
    /// Streams that went on with a saved state, and their names in the recorded run.
    resumed: Vec<(StreamId, StreamName)>,
    ended: Vec<StreamId>,
}

impl Lane {
    fn start(head: &Head, protocols: Protocols, limits: Limits) -> Lane {
        let (reels, paths) = bounded(1);
        let (to_index, found) = bounded(QUEUED_FOUND);
        let shared: Arc<Shared> = Arc::default();
        let names = shared.clone();
        let running = super::start(
            Box::new(Relay {
                paths,
                number: 0,
                current: None,
                left: LeftBlocks::default(),
                packets: 0,
                shared: shared.clone(),
            }),
            Options::pass(
                protocols,
                limits,
                Arc::new(Origin {
                    node_name: head.node.clone(),
                    node_ip: String::new(),
                    worker: head.node.clone(),
                    ..Origin::default().with_addresses(&head.addresses)
                }),
                Some(Box::new(move |_| {
                    let names = names.names.lock();
                    names.map_or(None, |names| names.clone())
                })),
                Box::new(Forward(to_index)),
            ),
        );
        Lane {
            reels: Some(reels),
            found,
            shared,
            running: Some(running),
            rule: head.redact.clone(),
            base: 0,
            names: HashMap::default(),
        }
    }

    fn index(&mut self, reel: &SealedReel<'_>) -> io::Result<Summary> {
        if let Ok(mut names) = self.shared.names.lock() {
            *names = Some(reel.names.clone());
        }
        let gone = || io::Error::other("its packets cannot be read again");
        let reels_before = self.shared.ended.load(Ordering::Acquire);
        let reels = self.reels.as_ref().ok_or_else(gone)?;
        reels.send(reel.packets.to_owned()).map_err(|_| gone())?;
        if reel.is_last {
            self.reels = None;
        }
        let out = BufWriter::new(File::create(reel.out)?);
        let mut writer = Writer::new(out, &reel.head.recording).map_err(failed)?;
        let frames = frames_of(&reel.streams, reel.frames);
        let wanted = self.base + reel.streams.len() as u64;
        let mut seen = self.base;
        while reel.is_last || seen < wanted {
            let found = match self.found.recv_timeout(PATIENCE) {
                Ok(found) => found,
                Err(RecvTimeoutError::Timeout) => {
                    let is_read = self.shared.ended.load(Ordering::Acquire) > reels_before;
                    let given = self.shared.given.load(Ordering::Acquire);
                    if is_read && given < wanted {
                        return Err(gone());
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) if reel.is_last => break,
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            };
            seen = found.next.unwrap_or(seen);
            self.write(&found, reel, &frames, &mut writer)?;
        }
        self.base = wanted;
        let (summary, out) = writer.finish().map_err(failed)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?;
        if reel.is_last
            && let Some(running) = self.running.take()
        {
            running.join().map_err(io::Error::other)?;
        }
        Ok(summary)
    }

    fn write<W: Write + Send>(
        &mut self,
        found: &Found,
        reel: &SealedReel<'_>,
        frames: &HashMap<StreamName, (u32, u32), RandomState>,
        writer: &mut Writer<W>,
    ) -> io::Result<()> {
        let within = |ordinal: u64| ordinal.checked_sub(self.base);
        self.names.extend(found.resumed.iter().copied());
        for (ordinal, stream) in &found.streams {
            let at = within(*ordinal).and_then(|at| usize::try_from(at).ok());
            if let Some(Some(name)) = at.and_then(|at| reel.streams.get(at)) {
                self.names.entry(*stream).or_insert(*name);
            }
        }
        for item in &found.items {
            let known = self.names.get(&item.stream.stream);
            let stream = known.copied().unwrap_or(item.stream);
            let place = Place {
                stream,
                packet: within(item.ordinal),
                frames: frames.get(&stream).copied(),
            };
            writer.push(item, &place).map_err(failed)?;
        }
        for ended in &found.ended {
            self.names.remove(ended);
        }
        Ok(())
    }
}

/// A pipeline that nobody asks any more ends.
impl Drop for Lane {
    fn drop(&mut self) {
        self.reels = None;
        if let Some(running) = self.running.take() {
            running.stop.stop();
            for _ in self.found.iter() {}
            // What it could not read was told already.
            let _ = running.join();
        }
    }
}

fn failed(error: IndexError) -> io::Error {
    match error {
        IndexError::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// First and last frame of each stream's packets.
fn frames_of(
    streams: &[Option<StreamName>],
    frames: &[Frame],
) -> HashMap<StreamName, (u32, u32), RandomState> {
    let mut found: HashMap<StreamName, (u32, u32), RandomState> = HashMap::default();
    let mut streams = streams.iter();
    for (number, frame) in (0u32..).zip(frames) {
        let packets = usize::try_from(frame.packets).unwrap_or(usize::MAX);
        for stream in streams.by_ref().take(packets).flatten() {
            found.entry(*stream).or_insert((number, number)).1 = number;
        }
    }
    found
}

/// The packets of one reel after the other, waiting for the next.
struct Relay {
    paths: Receiver<PathBuf>,
    number: u32,
    current: Option<FileSource>,
    left: LeftBlocks,
    packets: u64,
    shared: Arc<Shared>,
}

impl Source for Relay {
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        let Some(current) = &mut self.current else {
            let Ok(path) = self.paths.recv() else {
                return Ok(Filled::End);
            };
            self.current = Some(open_numbered(&path, self.number)?);
            self.number = self.number.wrapping_add(1);
            return Ok(Filled::More);
        };
        let filled = current.fill(batch)?;
        self.packets += batch.records.len() as u64;
        if filled == Filled::End {
            self.left.keep(current);
            self.current = None;
            self.shared.given.store(self.packets, Ordering::Release);
            self.shared.ended.fetch_add(1, Ordering::Release);
        }
        Ok(Filled::More)
    }

    fn counts(&mut self) -> SourceCounts {
        SourceCounts::default()
    }

    fn progress(&self) -> Option<(u64, u64)> {
        None
    }

    fn interface_name(&self, interface: u32) -> Option<String> {
        self.current.as_ref()?.interface_name(interface)
    }

    fn front_blocks(&mut self) -> Option<Vec<Vec<u8>>> {
        self.left.front(self.current.as_mut())
    }

    fn back_blocks(&mut self) -> Vec<Vec<u8>> {
        self.left.back(self.current.as_mut())
    }
}

/// Hands what the pipeline yields to whoever writes the index.
struct Forward(Sender<Found>);

impl Consumer for Forward {
    fn on_step(&mut self, step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        let packets = &step.batch.packets;
        let found = Found {
            streams: packets
                .iter()
                .filter_map(|packet| Some((packet.ordinal, packet.stream?.0)))
                .collect(),
            next: packets.last().map(|packet| packet.ordinal + 1),
            items: items.to_vec(),
            resumed: step
                .links
                .resumed
                .iter()
                .map(|(stream, resumed)| (*stream, resumed.info.name))
                .collect(),
            ended: step.batch.ended.iter().map(|ended| ended.stream).collect(),
        };
        // Fails only when nobody writes an index any more.
        let _ = self.0.send(found);
    }
}
