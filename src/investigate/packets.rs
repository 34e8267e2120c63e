//! Items of one reel from its packets: where there is no index, and for what no index holds.
//!
//! In: a reel, or the frames of it that hold a stream. Out: items. Never: other frames than asked
//! for, the reel in memory.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::group::Place;
use super::ranges::Used;
use super::reel::Reel;
use super::reels::Archive;
use crate::capture::file::{FileSource, LeftBlocks};
use crate::capture::{CaptureError, Filled, RawBatch, Source, SourceCounts};
use crate::dissect::Protocols;
use crate::flow::Limits;
use crate::index::IndexError;
use crate::item::{Item, Origin};
use crate::pipeline::{self, Consumer, Encoded, NamesOf, Step};
use crate::record::manifest::{Frame, MAX_MANIFEST_BYTES, Manifest};
use crate::record::names;
use crate::resolve::Names;
use crate::store::{Entry, StoreError};

/// Batches of items that may wait for whoever reads them.
const QUEUED: usize = 4;

/// How packets of reels are read.
#[derive(Clone)]
pub struct Reading {
    /// Protocols to look for.
    pub protocols: Protocols,
    /// Caps and timeouts of the flow table.
    pub limits: Limits,
    /// What tells readings apart that give other items: indexes made with one mark are not used with
    /// another.
    pub mark: String,
}

/// Why packets of a reel cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum PacketsError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Capture(#[from] CaptureError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Index(#[from] IndexError),
}

/// Calls `each` for every item of a reel, of certain frames when `frames` names the first and the
/// last of them. With the reel `before` it, exchanges that began there are whole.
pub(super) fn items(
    archive: &Archive,
    before: Option<&Reel>,
    reel: &Reel,
    reading: &Reading,
    frames: Option<(u32, u32)>,
    each: &mut dyn FnMut(Item),
) -> Result<(), PacketsError> {
    if let Some(source) = &archive.source {
        return source.items(each);
    }
    let mut parts = VecDeque::new();
    let before = before.map(|reel| Part { reel, frames: None });
    for part in before.into_iter().chain([Part { reel, frames }]) {
        for (name, body) in bodies(archive, &part)? {
            parts.push_back(FileSource::new(name, body, 0)?);
        }
    }
    let Some(entry) = reel.packets.first() else {
        return Ok(());
    };
    let names = names_of(archive, reel)?;
    let place = Place::of(&entry.key);
    let origin = place.as_ref().map(Place::origin);
    let record = place.and_then(|place| place.recording);
    let source = Box::new(Parts {
        parts,
        left: LeftBlocks::default(),
        origin,
        addresses: None,
        record: record.map(Arc::from),
    });
    let names = Box::new(move |_: &Origin| names.clone());
    named(source, names, reading, each)
}

/// Calls `each` for every item of a source, without names.
pub(super) fn dissect(
    source: Box<dyn Source>,
    reading: &Reading,
    each: &mut dyn FnMut(Item),
) -> Result<(), PacketsError> {
    named(source, Box::new(|_| None), reading, each)
}

/// Calls `each` for every item of a source.
pub(super) fn named(
    source: Box<dyn Source>,
    names: NamesOf,
    reading: &Reading,
    each: &mut dyn FnMut(Item),
) -> Result<(), PacketsError> {
    let (to_here, found) = bounded(QUEUED);
    let origin = source
        .origin()
        .unwrap_or_else(|| Arc::new(Origin::offline()));
    let running = pipeline::start(
        source,
        pipeline::Options::pass(
            reading.protocols.clone(),
            reading.limits,
            origin,
            Some(names),
            Box::new(Forward(to_here)),
        ),
    );
    drain(&found, each);
    Ok(running.join()?)
}

/// A reel, or the frames of it from the first to the last.
pub(super) struct Part<'r> {
    pub(super) reel: &'r Reel,
    pub(super) frames: Option<(u32, u32)>,
}

/// The packets parts of a reel by their names, of which only some frames are read.
pub(super) fn bodies(archive: &Archive, part: &Part<'_>) -> Result<Vec<Named>, PacketsError> {
    let mut bodies = Vec::new();
    for entry in &part.reel.packets {
        let body = match part.frames {
            None => whole(archive, entry)?,
            Some(wanted) => match frames_of(archive, part.reel, entry)? {
                Some(frames) => some(archive, entry, &frames, wanted)?,
                None => whole(archive, entry)?,
            },
        };
        bodies.push((entry.key.clone(), body));
    }
    Ok(bodies)
}

type Named = (String, Box<dyn Read + Send>);

/// Files as one source, one after the other.
pub(super) fn in_a_row(parts: Vec<FileSource>) -> Box<dyn Source> {
    Box::new(Parts {
        parts: parts.into(),
        left: LeftBlocks::default(),
        origin: None,
        addresses: None,
        record: None,
    })
}

fn drain(found: &Receiver<Vec<Item>>, each: &mut dyn FnMut(Item)) {
    for items in found {
        items.into_iter().for_each(&mut *each);
    }
}

fn names_of(archive: &Archive, reel: &Reel) -> Result<Option<Arc<Names>>, PacketsError> {
    let Some(entry) = &reel.names else {
        return Ok(None);
    };
    Used::add(&archive.used.gets, 1);
    Used::add(&archive.used.bytes, entry.size);
    let history = names::read(archive.store.get_listed(entry, None)?)?;
    Ok(Some(Arc::new(Names::of(Arc::new(history)))))
}

fn whole(archive: &Archive, entry: &Entry) -> Result<Box<dyn Read + Send>, PacketsError> {
    Used::add(&archive.used.gets, 1);
    Used::add(&archive.used.bytes, entry.size);
    Ok(archive.store.get_listed(entry, None)?)
}

/// The frames of a packets part, as its manifest tells them.
fn frames_of(
    archive: &Archive,
    reel: &Reel,
    packets: &Entry,
) -> Result<Option<Vec<Frame>>, PacketsError> {
    let Some(entry) = &reel.manifest else {
        return Ok(None);
    };
    Used::add(&archive.used.gets, 1);
    Used::add(&archive.used.bytes, entry.size);
    let mut text = Vec::new();
    archive
        .store
        .get_listed(entry, None)?
        .take(MAX_MANIFEST_BYTES)
        .read_to_end(&mut text)?;
    let manifest = Manifest::parse(&text).map_err(io::Error::other)?;
    let part = manifest
        .parts
        .into_iter()
        .find(|part| packets.key.ends_with(&part.key) && !part.frames.is_empty());
    Ok(part.map(|part| part.frames))
}

/// The frame with the head of the file, and those from `first` to `last`.
fn some(
    archive: &Archive,
    entry: &Entry,
    frames: &[Frame],
    (first, last): (u32, u32),
) -> Result<Box<dyn Read + Send>, PacketsError> {
    let end_of = |frame: &Frame| frame.offset.saturating_add(frame.size).min(entry.size);
    let at = |number: u32| {
        usize::try_from(number)
            .ok()
            .and_then(|number| frames.get(number))
    };
    let (Some(head), Some(from), Some(to)) = (frames.first(), at(first), at(last)) else {
        return whole(archive, entry);
    };
    let mut ranges = vec![(head.offset, end_of(head))];
    let start = from.offset.max(end_of(head));
    if start < end_of(to) {
        match start == end_of(head) {
            true => ranges = vec![(head.offset, end_of(to))],
            false => ranges.push((start, end_of(to))),
        }
    }
    let mut body: Box<dyn Read + Send> = Box::new(io::empty());
    for range in ranges {
        Used::add(&archive.used.gets, 1);
        Used::add(&archive.used.bytes, range.1 - range.0);
        let next = archive.store.get_listed(entry, Some(range))?;
        body = Box::new(body.chain(next));
    }
    Ok(body)
}

/// Packets parts one after the other, with where they are from.
struct Parts {
    parts: VecDeque<FileSource>,
    left: LeftBlocks,
    origin: Option<Arc<Origin>>,
    addresses: Option<Arc<[IpAddr]>>,
    record: Option<Arc<str>>,
}

impl Source for Parts {
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        let Some(part) = self.parts.front_mut() else {
            return Ok(Filled::End);
        };
        let filled = part.fill(batch)?;
        self.addresses = part.addresses();
        if filled == Filled::End {
            self.left.keep(part);
            self.parts.pop_front();
        }
        Ok(Filled::More)
    }

    fn counts(&mut self) -> SourceCounts {
        SourceCounts::default()
    }

    fn progress(&self) -> Option<(u64, u64)> {
        None
    }

    fn origin(&self) -> Option<Arc<Origin>> {
        self.origin.clone()
    }

    fn addresses(&self) -> Option<Arc<[IpAddr]>> {
        self.addresses.clone()
    }

    fn record(&self) -> Option<Arc<str>> {
        self.record.clone()
    }

    fn interface_name(&self, interface: u32) -> Option<String> {
        self.parts.front()?.interface_name(interface)
    }

    fn key_logs(&mut self) -> Vec<Vec<u8>> {
        let part = self.parts.front_mut();
        part.map_or_else(Vec::new, |part| part.key_logs())
    }

    fn front_blocks(&mut self) -> Option<Vec<Vec<u8>>> {
        self.left.front(self.parts.front_mut())
    }

    fn back_blocks(&mut self) -> Vec<Vec<u8>> {
        self.left.back(self.parts.front_mut())
    }
}

/// Hands items over to another thread.
struct Forward(Sender<Vec<Item>>);

impl Consumer for Forward {
    fn on_step(&mut self, _step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        if !items.is_empty() {
            // Fails only when nobody reads any more.
            let _ = self.0.send(items.to_vec());
        }
    }
}
