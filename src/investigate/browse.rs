//! An archive that stays open while people look at it.
//!
//! In: a store with reels. Out: pages of items, the newest first, each with a number by which it can
//! be had again; whole items; the packets of a stream; scans of all items that match. Never: items
//! kept: a number says where the item stands.
//!
//! ```text
//! number = reel, in the order in which reels were first shown (27 bits) | row (25 bits)
//!        | or with bit 52: all behind this microsecond of Unix time
//! ```
//! Numbers fit what a browser calculates with exactly (2^53).

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ahash::RandomState;

use super::cursor::{Cursor, DISSECTED, id_of};
use super::kept::Making;
use super::packets::{Part, Reading};
use super::ranges::{Cache, Used};
use super::reel::Reel;
use super::reels::Archive;
use super::scan::Scan;
use super::search::{OpenReel, Search, kinds};
use super::span::Span;
use super::{Again, Opened, made, straddling, stream};
use crate::index::{self, Block, IndexError, Reader, Sieve};
use crate::item::{Item, Origin};
use crate::kfl::{self, Dialect, Query, Schema};
use crate::packet::StreamName;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Bits of a number that tell the row.
const ROW_BITS: u32 = 25;

/// Marks numbers that are moments.
const MOMENT: u64 = 1 << 52;

/// Reels that numbers are given to.
const MAX_REELS: usize = 1_000_000;

/// Streams of which it is remembered where they were shown last.
const KEPT_STREAMS: usize = 4096;

/// Streams that are counted.
const MAX_COUNTED: usize = 2_000_000;

/// Sentences that are kept.
const MAX_WARNINGS: usize = 100;

/// Time that finding one item by its name may take.
const FINDING: Duration = Duration::from_secs(20);

/// Reels that a stream is followed through to either side.
const MAX_BESIDE: usize = 32;

/// What is shown of an archive; all of it by default.
#[derive(Debug, Clone, Default)]
pub struct Only {
    /// Times of requests.
    pub span: Span,
    /// What items must match.
    pub query: Option<Query>,
}

/// An archive that stays open.
pub struct Browse {
    archive: Arc<Archive>,
    only: Only,
    reading: Reading,
    cache: Option<Arc<Cache>>,
    numbered: Arc<Mutex<Numbered>>,
    warnings: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Numbered {
    reels: Vec<Arc<Reel>>,
    by_id: HashMap<String, usize>,
    /// Streams that were shown, with origin and number of an item of each; the last one at the end.
    streams: VecDeque<(StreamName, Arc<Origin>, u64)>,
}

/// Some of the newest items, by number.
pub struct Numbers {
    /// The items with their numbers.
    pub items: Vec<(u64, Item)>,
    /// The number to go on behind; `None` when there are no more.
    pub next: Option<u64>,
    /// Items that were looked at.
    pub looked: u64,
}

impl Browse {
    /// Looks at `archive`.
    pub fn new(mut archive: Archive, reading: Reading, cache: Option<Arc<Cache>>) -> Browse {
        archive.keep_listings();
        Browse {
            archive: Arc::new(archive),
            only: Only::default(),
            reading,
            cache,
            numbered: Arc::default(),
            warnings: Mutex::default(),
        }
    }

    /// The same with nothing shown but this.
    pub fn only(self, only: Only) -> Browse {
        Browse { only, ..self }
    }

    /// The same archive, listed anew: numbers that `before` gave mean what they meant.
    pub fn after(self, before: &Browse) -> Browse {
        Browse {
            numbered: before.numbered.clone(),
            ..self
        }
    }

    /// Looks at a source that is no archive by an index that an earlier reading of it left; gives
    /// the source back when there is none.
    pub fn known(
        opened: Opened,
        name: &str,
        reading: Reading,
        cache: Option<Arc<Cache>>,
    ) -> Result<Browse, Box<Opened>> {
        let archive = Archive::known(opened, name, &reading, cache.as_deref())?;
        Ok(Browse::of_index(archive, reading, cache))
    }

    /// Looks at a source that is no archive by the index that was made while it was read; the items
    /// have the numbers that they had in that run. With `beside`, the index is put beside it.
    ///
    /// # Errors
    /// When the index could not be written or kept.
    pub fn made(
        making: Making,
        name: &str,
        again: Again,
        reading: Reading,
        cache: Option<Arc<Cache>>,
        beside: bool,
    ) -> Result<Browse, IndexError> {
        let archive = Archive::made(making, name, again, &reading, cache.as_deref(), beside)?;
        Ok(Browse::of_index(archive, reading, cache))
    }

    fn of_index(archive: Archive, reading: Reading, cache: Option<Arc<Cache>>) -> Browse {
        let mut numbered = Numbered::default();
        if let Some(only) = archive.only() {
            numbered.by_id.insert(id_of(only), 0);
            numbered.reels.push(only.clone());
        }
        Browse {
            archive: Arc::new(archive),
            only: Only::default(),
            reading,
            cache,
            numbered: Arc::new(Mutex::new(numbered)),
            warnings: Mutex::default(),
        }
    }

    /// What people call the archive.
    pub fn name(&self) -> String {
        self.archive.name()
    }

    /// What reading it took so far.
    pub fn used(&self) -> &Used {
        self.archive.used()
    }

    /// Reels that items were shown of.
    pub fn reels(&self) -> usize {
        self.numbered().reels.len()
    }

    /// What went wrong so far, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.clone()
    }

    /// Notes what went wrong.
    pub fn warn(&self, sentences: Vec<String>) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        for sentence in sentences {
            if warnings.len() < MAX_WARNINGS && !warnings.contains(&sentence) {
                warnings.push(sentence);
            }
        }
    }

    fn numbered(&self) -> MutexGuard<'_, Numbered> {
        self.numbered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn search(&self, query: Query, now: Timestamp) -> Search {
        Search::new(
            self.archive.clone(),
            query,
            self.only.span,
            now,
            self.reading.clone(),
            self.cache.clone(),
        )
        .and(self.only.query.clone())
    }

    /// The newest items that match, of those behind the number `before`, at most `limit`; fewer
    /// when the patience is over.
    ///
    /// # Errors
    /// When the archive cannot be listed, or there is no such number.
    pub fn page(
        &self,
        query: Query,
        now: Timestamp,
        before: Option<u64>,
        limit: usize,
        patience: Duration,
    ) -> Result<Numbers, StoreError> {
        let search = self.search(query, now);
        let after = before.map(|number| self.cursor(number)).transpose()?;
        let until = Instant::now() + patience;
        let page = search.page(limit, after.as_ref(), Some(until))?;
        self.warn(search.warnings());
        let mut items = Vec::with_capacity(page.found.len());
        let mut last = None;
        for found in page.found {
            let number = self.number(&found.reel, found.cursor.row)?;
            last = Some((found.cursor, number));
            items.push((number, found.item));
        }
        self.remember(&items);
        let next = page.next.map(|cursor| match last {
            Some((last, number)) if last == cursor => number,
            _ => moment(cursor.start),
        });
        Ok(Numbers {
            items,
            next,
            looked: search.looked(),
        })
    }

    fn remember(&self, items: &[(u64, Item)]) {
        let mut numbered = self.numbered();
        for (number, item) in items {
            let shown = (item.stream, item.origin.clone(), *number);
            numbered.streams.push_back(shown);
        }
        let over = numbered.streams.len().saturating_sub(KEPT_STREAMS);
        numbered.streams.drain(..over);
    }

    fn number(&self, reel: &Arc<Reel>, row: u64) -> Result<u64, StoreError> {
        let id = id_of(reel);
        let mut numbered = self.numbered();
        let at = match numbered.by_id.get(&id) {
            Some(at) => *at,
            None if numbered.reels.len() >= MAX_REELS => {
                return Err(StoreError::Refused(format!(
                    "items of {MAX_REELS} reels were shown; open the archive again"
                )));
            }
            None => {
                let at = numbered.reels.len();
                numbered.reels.push(reel.clone());
                numbered.by_id.insert(id, at);
                at
            }
        };
        Ok((at as u64) << ROW_BITS | row & ((1 << ROW_BITS) - 1))
    }

    /// The reel and the row that a number means.
    fn place(&self, number: u64) -> Result<(Arc<Reel>, u64), StoreError> {
        let at = usize::try_from(number >> ROW_BITS).unwrap_or(usize::MAX);
        let reel = self.numbered().reels.get(at).cloned();
        let reel = reel.ok_or_else(|| missing(number))?;
        Ok((reel, number & ((1 << ROW_BITS) - 1)))
    }

    fn cursor(&self, number: u64) -> Result<Cursor, StoreError> {
        if number & MOMENT != 0 {
            let micros = i64::try_from(number & (MOMENT - 1)).unwrap_or(i64::MAX);
            return Ok(Cursor::at(micros.saturating_mul(1000).saturating_add(999)));
        }
        let (reel, row) = self.place(number)?;
        let start = match row & DISSECTED {
            0 => self.block(&reel, row, &index::moment())?.start(0),
            _ => self.dissected(&reel, row)?.start.nanos(),
        };
        Ok(Cursor {
            start,
            reel: id_of(&reel),
            row,
        })
    }

    fn open(&self, reel: &Reel) -> Result<Arc<Reader>, StoreError> {
        let cache = self.cache.as_ref();
        let warn = |sentence| self.warn(vec![sentence]);
        made::open(&self.archive, reel, &self.reading, cache, &warn)
            .map_err(|error| failed(reel, &error))
    }

    /// Columns of one row; a number may have been made up by whoever asks.
    fn block(&self, reel: &Reel, row: u64, columns: &[usize]) -> Result<Block, StoreError> {
        let reader = self.open(reel)?;
        let (group, row) = reader.group_of(row).ok_or_else(|| missing(row))?;
        let block = reader.read_rows(group, columns, &[row]);
        block.map_err(|error| failed(reel, &error))
    }

    /// The item of a row of a reel's index, where its packets are, and whether it lacks something.
    fn row(
        &self,
        reel: &Arc<Reel>,
        row: u64,
    ) -> Result<(Item, Option<index::Place>, bool), StoreError> {
        let block = self.block(reel, row, &index::whole())?;
        let open = OpenReel::new(reel, self.open(reel)?, Vec::new(), Sieve::open());
        let item = open.item(&block, 0, &kinds());
        let item = item.ok_or_else(|| failed(reel, &"a row of its index cannot be read"))?;
        Ok((item, block.place(0), block.is_cut(0)))
    }

    /// One item of a reel by its packets.
    fn dissected(&self, reel: &Arc<Reel>, row: u64) -> Result<Item, StoreError> {
        let (mut at, mut found) = (DISSECTED, None);
        let reader = self.open(reel).ok();
        straddling::items(
            &self.archive,
            reel,
            &self.reading,
            reader.as_deref(),
            &mut |item| {
                if at == row {
                    found = Some(item);
                }
                at += 1;
            },
        )
        .map_err(|error| failed(reel, &error))?;
        found.ok_or_else(|| missing(row))
    }

    /// The whole item of a number, with its bodies where the packets give them.
    ///
    /// # Errors
    /// When there is no such number, or its reel cannot be read.
    pub fn item(&self, number: u64) -> Result<Item, StoreError> {
        let (reel, row) = self.place(number)?;
        let item = self.item_of(&reel, row)?;
        self.remember(&[(number, item.clone())]);
        Ok(item)
    }

    fn item_of(&self, reel: &Arc<Reel>, row: u64) -> Result<Item, StoreError> {
        if row & DISSECTED != 0 {
            return self.dissected(reel, row);
        }
        let (item, place, is_cut) = self.row(reel, row)?;
        let Some(place) = place.filter(|_| is_cut) else {
            return Ok(item);
        };
        let whole = match &self.archive.source {
            Some(source) => source.whole(&item),
            None => stream::whole_item(&self.archive, &self.reading, reel, &place, &item)
                .map_err(|error| error.to_string()),
        };
        Ok(whole.unwrap_or_else(|why| {
            self.warn(vec![format!(
                "{}: an item is shown without its bodies: {why}",
                reel.stem
            )]);
            item
        }))
    }

    /// The newest item of a node, stream and index within it, as the item's `id` has them.
    ///
    /// # Errors
    /// When the archive cannot be read.
    pub fn named(
        &self,
        worker: &str,
        stream: StreamName,
        index: u32,
        now: Timestamp,
    ) -> Result<Option<(u64, Item)>, StoreError> {
        let text = format!("stream == \"{stream}\" and index == {index}");
        let query = kfl::compile_as(&text, Dialect::V1, &Schema::empty())
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        let search = self.search(query, now).of_node(worker);
        let until = Instant::now() + FINDING;
        let mut after = None;
        loop {
            let page = search.page(1, after.as_ref(), Some(until))?;
            self.warn(search.warnings());
            let found = page.found.into_iter().next();
            if let Some(found) = found.filter(|found| found.item.origin.worker == worker) {
                let number = self.number(&found.reel, found.cursor.row)?;
                return Ok(Some((number, self.item(number)?)));
            }
            after = page.next;
            if after.is_none() || Instant::now() > until {
                return Ok(None);
            }
        }
    }

    /// Writes the packets of a stream as a savefile: of the stream that the item of the number
    /// `near` has, else of the one of this name that was shown last, of a worker when it is named.
    ///
    /// # Errors
    /// One sentence: why they cannot be had.
    pub fn stream_pcap(
        &self,
        worker: &str,
        name: StreamName,
        near: Option<u64>,
        out: &mut dyn Write,
    ) -> Result<u64, String> {
        if let Some(source) = &self.archive.source {
            return source.stream_pcap(name, out);
        }
        let shown = || {
            let numbered = self.numbered();
            let mut shown = numbered.streams.iter().rev();
            let found = shown.find(|(stream, origin, _)| {
                let names = [&origin.worker, &origin.node_name];
                *stream == name && (worker.is_empty() || names.iter().any(|name| *name == worker))
            });
            found.map(|(.., number)| *number)
        };
        let number = near.or_else(shown).ok_or_else(|| {
            format!("no item of {name} was shown; open one of its items in the list first")
        })?;
        let (reel, row) = self.place(number).map_err(|error| error.to_string())?;
        let (item, frames) = match row & DISSECTED {
            0 => {
                let found = self.row(&reel, row);
                let (item, place, _) = found.map_err(|error| error.to_string())?;
                (item, place.and_then(|place| place.frames))
            }
            _ => {
                let item = self
                    .dissected(&reel, row)
                    .map_err(|error| error.to_string())?;
                (item, None)
            }
        };
        let mut reels = VecDeque::from([(reel.clone(), frames)]);
        for by in [-1, 1] {
            let mut at = reel.clone();
            for _ in 0..MAX_BESIDE {
                let Ok(Some(next)) = self.archive.beside(&at, by) else {
                    break;
                };
                let Some(frames) = self.frames_in(&next, name) else {
                    break;
                };
                match by {
                    -1 => reels.push_front((next.clone(), frames)),
                    _ => reels.push_back((next.clone(), frames)),
                }
                at = next;
            }
        }
        let parts: Vec<Part<'_>> = reels
            .iter()
            .map(|(reel, frames)| Part {
                reel,
                frames: *frames,
            })
            .collect();
        stream::savefile(&self.archive, &parts, self.reading.limits, &item, out)
            .map_err(|error| error.to_string())
    }

    /// Hands savefiles to `each` that together hold the packets of streams, of each the name and the
    /// number of one of its items.
    ///
    /// # Errors
    /// One sentence: why they cannot be had, or as `each` says.
    pub fn streams_pcap(
        &self,
        streams: &[(StreamName, u64)],
        each: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut savefile = Vec::new();
        if let Some(source) = &self.archive.source {
            let names: Vec<StreamName> = streams.iter().map(|(name, _)| *name).collect();
            source.streams_pcap(&names, &mut savefile)?;
            return each(&savefile);
        }
        for (name, number) in streams {
            savefile.clear();
            self.stream_pcap("", *name, Some(*number), &mut savefile)?;
            each(&savefile)?;
        }
        Ok(())
    }

    /// The frames of a reel that hold a stream; `None` when no item of it is in the index.
    fn frames_in(&self, reel: &Arc<Reel>, name: StreamName) -> Option<Option<(u32, u32)>> {
        // A made index calls streams otherwise.
        reel.index.as_ref()?;
        let reader = self.open(reel).ok()?;
        for group in 0..reader.groups() {
            if !reader.may_hold_stream(group, name).unwrap_or(true) {
                continue;
            }
            let block = reader.read(group, &index::places()).ok()?;
            let mut places = (0..block.len()).filter_map(|row| block.place(row));
            if let Some(place) = places.find(|place| place.stream == name) {
                return Some(place.frames);
            }
        }
        None
    }

    /// Streams of the items that are shown, as far as they are counted in `patience`.
    ///
    /// # Errors
    /// When the archive cannot be listed.
    pub fn streams(&self, now: Timestamp, patience: Duration) -> Result<u64, StoreError> {
        let all = kfl::compile_as("", Dialect::V2, &Schema::empty())
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        let mut scan = self.scan(all, now, vec!["stream".to_owned()])?;
        let mut streams: HashMap<String, HashSet<StreamName, RandomState>, RandomState> =
            HashMap::default();
        let mut count = 0;
        let until = Instant::now() + patience;
        while !scan.is_over() && Instant::now() < until && count < MAX_COUNTED {
            scan.step(&|| Instant::now() < until, &mut |item| {
                let worker = item.origin.worker.as_str();
                let is_new = match streams.get_mut(worker) {
                    Some(known) => known.insert(item.stream),
                    None => {
                        let first = HashSet::from_iter([item.stream]);
                        streams.insert(worker.to_owned(), first).is_none()
                    }
                };
                count += usize::from(is_new);
            })?;
        }
        self.warn(scan.warnings());
        Ok(count as u64)
    }

    /// A scan of all items that match, with what indexes have of `paths` in them, the newest reels
    /// first.
    ///
    /// # Errors
    /// When the archive cannot be listed.
    pub fn scan(
        &self,
        query: Query,
        now: Timestamp,
        paths: Vec<String>,
    ) -> Result<Scan, StoreError> {
        Scan::new(self.search(query, now), paths)
    }
}

/// The number for [`Browse::page`] of all items before a moment in nanoseconds.
pub fn moment(nanos: i64) -> u64 {
    let micros = u64::try_from(nanos.div_euclid(1000)).unwrap_or(0);
    MOMENT | micros.min(MOMENT - 1)
}

/// The moment in milliseconds that a number of [`moment`] stands for; `None` for that of an item.
pub fn moment_of(number: u64) -> Option<i64> {
    let micros = number.checked_sub(MOMENT)?;
    i64::try_from(micros / 1000).ok()
}

fn failed(reel: &Reel, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("{}: {why}", reel.stem))
}

fn missing(number: u64) -> StoreError {
    StoreError::Missing(format!(
        "there is no item {number} here; load the list again"
    ))
}
