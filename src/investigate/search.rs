//! Items of an archive by its indexes: the newest first, page by page, or all of them in no order.
//!
//! In: a query and a time range. Out: items. Never: a reel whose key, footer or filters rule it out;
//! packets, but of reels that have no index or whose index lacks what the query asks for.
//!
//! What may hold the newest item is looked into first: days, then reels by the span in their keys,
//! then row groups by their statistics, then rows. A row is given when nothing that was not looked
//! into can hold a newer one.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::bounded;
use sha2::{Digest as _, Sha256};

use super::group::Place;
use super::packets::{self, Reading};
use super::ranges::{Cache, ObjectRanges};
use super::reels::{Archive, Days, Reel, Span};
use crate::dissect::PROTOCOLS;
use crate::index::{self, Block, IndexError, Need, Reader};
use crate::item::{Item, Origin, ProtocolInfo};
use crate::kfl::prefilter::{ColumnTest, Condition};
use crate::kfl::{Query, Verdict};
use crate::store::{Digest, StoreError, hex};
use crate::time::Timestamp;

/// Reels that are opened at the same time.
const PARALLEL: usize = 8;

/// Row groups that are kept decoded for the items of a page.
const KEPT_BLOCKS: usize = 4;

/// Batches of items that may wait for whoever takes them.
const QUEUED: usize = 16;

/// Sentences that are kept.
const MAX_WARNINGS: usize = 100;

/// A question about an archive.
pub struct Search<'a> {
    archive: &'a Archive,
    query: Query,
    condition: Option<Condition<ColumnTest>>,
    paths: Vec<String>,
    span: Span,
    now: Timestamp,
    reading: Reading,
    cache: Option<Arc<Cache>>,
    kinds: Vec<&'static ProtocolInfo>,
    warnings: Mutex<Vec<String>>,
    /// Reels that were listed, by node and run, then by number.
    listed: Mutex<BTreeMap<(String, u64), Reel>>,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    start: i64,
    reel: String,
    row: u64,
}

impl Cursor {
    /// Reads a cursor as it is shown; `None` when it is none.
    pub fn parse(text: &str) -> Option<Cursor> {
        let mut parts = text.split('.');
        let cursor = Cursor {
            start: parts.next()?.parse().ok()?,
            reel: parts.next()?.to_owned(),
            row: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(cursor)
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.start, self.reel, self.row)
    }
}

/// Items come the newest first; of one moment, by reel and row.
impl Ord for Cursor {
    fn cmp(&self, other: &Cursor) -> Ordering {
        let left = (Reverse(self.start), &self.reel, self.row);
        left.cmp(&(Reverse(other.start), &other.reel, other.row))
    }
}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Cursor) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An item that was found.
pub struct Found {
    /// The item; bodies and long texts are null in it when it is from an index.
    pub item: Item,
    /// Where it stands.
    pub cursor: Cursor,
    source: Option<Source>,
}

impl Found {
    /// Whether something of it is in the packets alone.
    pub fn is_cut(&self) -> bool {
        self.source.is_some()
    }
}

/// Where the packets of an item are.
type Source = (Arc<OpenReel>, index::Place);

struct OpenReel {
    reel: Reel,
    id: String,
    reader: Reader,
    wanted: Vec<usize>,
    origin: Arc<Origin>,
}

/// What is still to be looked into, and rows that wait for it.
struct Unit {
    /// Nanoseconds behind which it holds nothing.
    bound: i64,
    what: What,
}

enum What {
    Days,
    Reel(Box<Reel>),
    Group(Arc<OpenReel>, usize),
    Row(Cursor, Row),
}

enum Row {
    Indexed(Arc<OpenReel>, usize, usize),
    Dissected(Box<Item>),
}

impl Ord for Unit {
    fn cmp(&self, other: &Unit) -> Ordering {
        self.bound
            .cmp(&other.bound)
            // What holds rows goes before rows of the same moment.
            .then_with(|| match (&self.what, &other.what) {
                (What::Row(left, _), What::Row(right, _)) => right.cmp(left),
                (What::Row(..), _) => Ordering::Less,
                (_, What::Row(..)) => Ordering::Greater,
                _ => Ordering::Equal,
            })
    }
}

impl PartialOrd for Unit {
    fn partial_cmp(&self, other: &Unit) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Unit {
    fn eq(&self, other: &Unit) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Unit {}

impl<'a> Search<'a> {
    /// Asks `query` of the items of `span` in `archive`; `now` is when it was asked.
    pub fn new(
        archive: &'a Archive,
        query: Query,
        span: Span,
        now: Timestamp,
        reading: Reading,
        cache: Option<Arc<Cache>>,
    ) -> Search<'a> {
        let kinds = PROTOCOLS
            .iter()
            .flat_map(|protocol| protocol.kinds().iter().copied());
        Search {
            condition: query.column_condition(now),
            paths: query.paths().into_iter().collect(),
            kinds: kinds.collect(),
            warnings: Mutex::default(),
            listed: Mutex::default(),
            archive,
            query,
            span,
            now,
            reading,
            cache,
        }
    }

    /// What went wrong, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn warn(&self, sentence: String) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.len() < MAX_WARNINGS {
            warnings.push(sentence);
        }
    }

    /// The newest items, behind `after` when it is given, at most `limit`.
    ///
    /// # Errors
    /// When the archive cannot be listed; reels that cannot be read are warnings.
    pub fn page(&self, limit: usize, after: Option<&Cursor>) -> Result<Vec<Found>, StoreError> {
        let mut span = self.span;
        if let Some(after) = after {
            let last = Timestamp::from_nanos(after.start);
            span.to = Some(span.to.map_or(last, |to| to.min(last)));
        }
        let mut days = self.archive.by_day(&span)?;
        let mut open = BinaryHeap::new();
        open.push(Unit {
            bound: days.bound(),
            what: What::Days,
        });
        let mut blocks: VecDeque<(String, usize, Arc<Block>)> = VecDeque::new();
        let mut page = Vec::new();
        while page.len() < limit
            && let Some(unit) = open.pop()
        {
            match unit.what {
                What::Days => self.look_into_days(&mut days, &mut open)?,
                What::Reel(reel) => {
                    let mut reels = vec![*reel];
                    while reels.len() < PARALLEL
                        && let Some(Unit {
                            what: What::Reel(_),
                            ..
                        }) = open.peek()
                        && let Some(Unit {
                            what: What::Reel(reel),
                            ..
                        }) = open.pop()
                    {
                        reels.push(*reel);
                    }
                    open.extend(self.look_into_reels(reels, &span, after));
                }
                What::Group(reel, group) => match self.rows(&reel, group, &span, after) {
                    Ok(rows) => open.extend(rows),
                    Err(error) => self.warn(format!("{}: {error}", reel.reel.stem)),
                },
                What::Row(cursor, Row::Dissected(item)) => page.push(Found {
                    item: *item,
                    cursor,
                    source: None,
                }),
                What::Row(cursor, Row::Indexed(reel, group, row)) => {
                    match self.whole_row(&reel, group, row, &mut blocks) {
                        Ok(Some((item, source))) => page.push(Found {
                            item,
                            cursor,
                            source,
                        }),
                        Ok(None) => {}
                        Err(error) => self.warn(format!("{}: {error}", reel.reel.stem)),
                    }
                }
            }
        }
        Ok(page)
    }

    fn look_into_days(
        &self,
        days: &mut Days<'_>,
        open: &mut BinaryHeap<Unit>,
    ) -> Result<(), StoreError> {
        if let Some(reels) = days.next()? {
            let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
            listed.extend(
                reels
                    .iter()
                    .filter_map(|reel| Some((reel.number()?, reel.clone()))),
            );
            drop(listed);
            open.extend(reels.into_iter().map(|reel| Unit {
                bound: reel.span().1,
                what: What::Reel(Box::new(reel)),
            }));
            open.push(Unit {
                bound: days.bound(),
                what: What::Days,
            });
        }
        Ok(())
    }

    fn look_into_reels(&self, reels: Vec<Reel>, span: &Span, after: Option<&Cursor>) -> Vec<Unit> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = reels
                .into_iter()
                .map(|reel| scope.spawn(move || self.look_into_reel(reel, span, after)))
                .collect();
            let mut found = Vec::new();
            for thread in threads {
                match thread.join() {
                    Ok(units) => found.extend(units),
                    Err(_) => self.warn("a reel could not be looked into".to_owned()),
                }
            }
            found
        })
    }

    fn look_into_reel(&self, reel: Reel, span: &Span, after: Option<&Cursor>) -> Vec<Unit> {
        let id = id_of(&reel);
        let open = match self.open(&reel, &[]) {
            Ok(Some(open)) => Arc::new(open),
            Ok(None) => {
                let mut rows = Vec::new();
                let mut row = 0;
                self.dissect(&reel, &mut |item| {
                    let cursor = Cursor {
                        start: item.start.nanos(),
                        reel: id.clone(),
                        row,
                    };
                    row += 1;
                    if is_behind(&cursor, after) && span.contains(item.start) {
                        rows.push(Unit {
                            bound: cursor.start,
                            what: What::Row(cursor, Row::Dissected(Box::new(item))),
                        });
                    }
                });
                return rows;
            }
            Err(error) => {
                self.warn(format!("{}: {error}", reel.stem));
                return Vec::new();
            }
        };
        let groups = (0..open.reader.groups()).filter_map(|group| {
            let (first, last) = open.reader.span(group).unwrap_or((i64::MIN, i64::MAX));
            let may = span.touches(first, last) && self.may_hold(&open, group);
            may.then(|| Unit {
                bound: last,
                what: What::Group(open.clone(), group),
            })
        });
        groups.collect()
    }

    /// Opens the index of a reel; `None` when the packets must answer.
    fn open(&self, reel: &Reel, more: &[String]) -> Result<Option<OpenReel>, IndexError> {
        let Some(entry) = &reel.index else {
            return Ok(None);
        };
        let source = ObjectRanges::new(
            self.archive.store.clone(),
            entry.clone(),
            self.cache.clone(),
            self.archive.used.clone(),
        );
        let reader = match Reader::open(Arc::new(source)) {
            Ok(reader) => reader,
            // A damaged index is no reason not to look at the packets.
            Err(error) if !reel.packets.is_empty() => {
                self.warn(format!("{}: {error}; its packets are read", entry.key));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let paths = self.paths.iter().chain(more).map(String::as_str);
        let Need::Columns(wanted) = reader.need(paths) else {
            let may = (0..reader.groups()).any(|group| {
                self.condition
                    .as_ref()
                    .is_none_or(|condition| reader.may_hold(group, condition).unwrap_or(true))
            });
            // What the columns rule out, the packets need not be asked.
            return Ok((!may).then(|| OpenReel::new(reel, reader, Vec::new())));
        };
        Ok(Some(OpenReel::new(reel, reader, wanted)))
    }

    fn may_hold(&self, open: &OpenReel, group: usize) -> bool {
        let Some(condition) = &self.condition else {
            return true;
        };
        open.reader
            .may_hold(group, condition)
            .unwrap_or_else(|error| {
                self.warn(format!("{}: {error}", open.reel.stem));
                true
            })
    }

    /// The rows of a row group that match.
    fn rows(
        &self,
        open: &Arc<OpenReel>,
        group: usize,
        span: &Span,
        after: Option<&Cursor>,
    ) -> Result<Vec<Unit>, IndexError> {
        let block = open.reader.read(group, &open.wanted)?;
        let before: usize = (0..group).map(|group| open.reader.rows(group)).sum();
        let mut rows = Vec::new();
        for row in 0..block.len() {
            let start = block.start(row);
            let cursor = Cursor {
                start,
                reel: open.id.clone(),
                row: (before + row) as u64,
            };
            if !span.contains(Timestamp::from_nanos(start)) || !is_behind(&cursor, after) {
                continue;
            }
            let item = block.item(row, &self.kinds, &open.origin);
            if item.is_some_and(|item| self.matches(&item)) {
                rows.push(Unit {
                    bound: start,
                    what: What::Row(cursor, Row::Indexed(open.clone(), group, row)),
                });
            }
        }
        Ok(rows)
    }

    fn matches(&self, item: &Item) -> bool {
        self.query.is_empty()
            || match self.query.matches(item.node(), self.now) {
                Verdict::Match => true,
                Verdict::NoMatch => false,
                Verdict::Undecided => {
                    self.warn("an item took too many steps and was left out".to_owned());
                    false
                }
            }
    }

    fn whole_row(
        &self,
        open: &Arc<OpenReel>,
        group: usize,
        row: usize,
        blocks: &mut VecDeque<(String, usize, Arc<Block>)>,
    ) -> Result<Option<(Item, Option<Source>)>, IndexError> {
        let kept = blocks
            .iter()
            .find(|(id, kept, _)| *kept == group && *id == open.id);
        let block = match kept {
            Some((_, _, block)) => block.clone(),
            None => {
                let block = Arc::new(open.reader.read(group, &index::whole())?);
                blocks.truncate(KEPT_BLOCKS - 1);
                blocks.push_front((open.id.clone(), group, block.clone()));
                block
            }
        };
        let source = block
            .place(row)
            .filter(|_| block.is_cut(row))
            .map(|place| (open.clone(), place));
        let item = block.item(row, &self.kinds, &open.origin);
        Ok(item.map(|item| (item, source)))
    }

    /// Calls `each` for all items that match, in no order; of an indexed item what `paths` name is
    /// there, and perhaps more.
    ///
    /// # Errors
    /// When the archive cannot be listed; reels that cannot be read are warnings.
    pub fn scan(&self, paths: &[String], each: &mut dyn FnMut(&Item)) -> Result<(), StoreError> {
        let reels = self.archive.reels(&self.span)?;
        let next = AtomicUsize::new(0);
        let (to_here, found) = bounded::<Vec<Item>>(QUEUED);
        std::thread::scope(|scope| {
            for _ in 0..PARALLEL.min(reels.len()) {
                let (to_here, reels, next) = (to_here.clone(), &reels, &next);
                scope.spawn(move || {
                    loop {
                        let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let Some(reel) = reels.get(at) else { break };
                        // Fails only when nobody takes any more.
                        if let Err(error) = self.scan_reel(reel, paths, &mut |items| {
                            let _ = to_here.send(items);
                        }) {
                            self.warn(format!("{}: {error}", reel.stem));
                        }
                    }
                });
            }
            drop(to_here);
            for items in found {
                items.iter().for_each(&mut *each);
            }
        });
        Ok(())
    }

    fn scan_reel(
        &self,
        reel: &Reel,
        paths: &[String],
        send: &mut dyn FnMut(Vec<Item>),
    ) -> Result<(), IndexError> {
        let Some(open) = self.open(reel, paths)? else {
            self.dissect(reel, &mut |item| {
                if self.span.contains(item.start) {
                    send(vec![item]);
                }
            });
            return Ok(());
        };
        for group in 0..open.reader.groups() {
            let (first, last) = open.reader.span(group).unwrap_or((i64::MIN, i64::MAX));
            if !self.span.touches(first, last) || !self.may_hold(&open, group) {
                continue;
            }
            let block = open.reader.read(group, &open.wanted)?;
            let rows = (0..block.len())
                .filter(|row| self.span.contains(Timestamp::from_nanos(block.start(*row))))
                .filter_map(|row| block.item(row, &self.kinds, &open.origin));
            let items: Vec<Item> = rows.filter(|item| self.matches(item)).collect();
            if !items.is_empty() {
                send(items);
            }
        }
        Ok(())
    }

    /// Calls `each` for the items of a reel that match, from its packets.
    fn dissect(&self, reel: &Reel, each: &mut dyn FnMut(Item)) {
        let done = packets::items(self.archive, None, reel, &self.reading, None, &mut |item| {
            if self.matches(&item) {
                each(item);
            }
        });
        if let Err(error) = done {
            self.warn(format!("{}: {error}", reel.stem));
        }
    }

    /// The whole item from the packets of its stream alone; as it was found when they do not give
    /// it.
    pub fn whole(&self, found: &Found) -> Item {
        let Some((open, place)) = &found.source else {
            return found.item.clone();
        };
        let mut why = "its packets do not give it".to_owned();
        let before = self.before(&open.reel);
        // Where the request lies in the reel before, both together have it.
        let with_before = before.map(|before| (Some(before), None));
        for (before, frames) in [(None, place.frames)].into_iter().chain(with_before) {
            let mut whole = None;
            let done = packets::items(
                self.archive,
                before.as_ref(),
                &open.reel,
                &self.reading,
                frames,
                &mut |item| {
                    if whole.is_none() && is_same(&item, &found.item) {
                        whole = Some(item);
                    }
                },
            );
            match (done, whole) {
                (Ok(()), Some(item)) => {
                    return Item {
                        index: found.item.index,
                        stream: found.item.stream,
                        ..item
                    };
                }
                (Err(error), _) => why = error.to_string(),
                (Ok(()), None) => {}
            }
        }
        self.warn(format!(
            "{}: an item is shown without its bodies: {why}",
            open.reel.stem
        ));
        found.item.clone()
    }

    /// The reel before one of the same node, run and recording, when it was listed.
    fn before(&self, reel: &Reel) -> Option<Reel> {
        let (chain, number) = reel.number()?;
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = listed.range((chain.clone(), 0)..(chain, number));
        before.next_back().map(|(_, reel)| reel.clone())
    }
}

/// Whether two readings of the traffic mean the same exchange.
fn is_same(left: &Item, right: &Item) -> bool {
    left.start == right.start
        && left.elapsed_nanos == right.elapsed_nanos
        && left.protocol.abbr == right.protocol.abbr
        && left.src.endpoint == right.src.endpoint
        && left.dst.endpoint == right.dst.endpoint
}

impl OpenReel {
    fn new(reel: &Reel, reader: Reader, wanted: Vec<usize>) -> OpenReel {
        let place = reel.index.as_ref().and_then(|entry| Place::of(&entry.key));
        OpenReel {
            id: id_of(reel),
            origin: place.map(|place| place.origin()).unwrap_or_default(),
            reel: reel.clone(),
            reader,
            wanted,
        }
    }
}

fn is_behind(cursor: &Cursor, after: Option<&Cursor>) -> bool {
    after.is_none_or(|after| cursor > after)
}

/// A short name of a reel for cursors.
fn id_of(reel: &Reel) -> String {
    let digest: Digest = Sha256::digest(reel.stem.as_bytes()).into();
    let mut id = hex(&digest);
    id.truncate(16);
    id
}
