//! Items of an archive by its indexes: the newest first, page by page.
//!
//! In: a query and a time range. Out: items. Never: a reel whose key, footer or filters rule it out;
//! packets, but of reels that have no index or whose index lacks what the query asks for.
//!
//! What may hold the newest item is looked into first: days, then reels by the span in their keys,
//! then row groups by their statistics, then rows. A row is given when nothing that was not looked
//! into can hold a newer one.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::cursor::{Cursor, DISSECTED, id_of};
use super::days::Days;
use super::group::Place;
use super::packets::{PacketsError, Reading};
use super::ranges::{Cache, Used};
use super::reel::Reel;
use super::reels::Archive;
use super::rows::Wanted;
use super::shard::Shard;
use super::span::Span;
use super::verdicts::Verdicts;
use super::{made, straddling, stream};
use crate::dissect::PROTOCOLS;
use crate::index::{self, Block, Need, Reader, Sieve};
use crate::item::{Item, Origin, ProtocolInfo};
use crate::kfl::prefilter::{self, ColumnTest, Condition};
use crate::kfl::{Query, Verdict};
use crate::store::StoreError;
use crate::time::Timestamp;

/// Reels that are opened at the same time at first, and at most: when the first were not enough,
/// many more will be wanted.
const PARALLEL: usize = 8;
const MOST_PARALLEL: usize = 32;

/// Row groups that are looked into before something else is considered, at first and at most.
const GROUPS: usize = 4;
const MOST_GROUPS: usize = 256;

/// Sentences that are kept.
const MAX_WARNINGS: usize = 100;

/// A question about an archive.
pub struct Search {
    pub(super) archive: Arc<Archive>,
    query: Query,
    /// What items must match too.
    also: Option<Query>,
    condition: Option<Condition<ColumnTest>>,
    pub(super) paths: Vec<String>,
    /// What is wanted beside, as far as indexes have it.
    beside: Vec<String>,
    pub(super) span: Span,
    now: Timestamp,
    pub(super) reading: Reading,
    pub(super) cache: Option<Arc<Cache>>,
    pub(super) kinds: Vec<&'static ProtocolInfo>,
    /// Only reels of this node.
    node: Option<String>,
    /// Only reels of this part.
    shard: Option<Shard>,
    /// Rows that were looked at.
    looked: AtomicU64,
    warnings: Mutex<Vec<String>>,
}

/// An item that was found.
pub struct Found {
    /// The item; bodies and long texts are null in it when it is from an index.
    pub item: Item,
    /// Where it stands.
    pub cursor: Cursor,
    pub(super) reel: Arc<Reel>,
    source: Option<index::Place>,
}

impl Found {
    /// Whether something of it is in the packets alone.
    pub fn is_cut(&self) -> bool {
        self.source.is_some()
    }
}

/// Some of the newest items.
pub struct Page {
    /// The items.
    pub found: Vec<Found>,
    /// Where to go on; `None` when there are no more.
    pub next: Option<Cursor>,
}

/// A reel whose index is open.
pub(super) struct OpenReel {
    pub(super) reel: Arc<Reel>,
    id: String,
    pub(super) reader: Arc<Reader>,
    pub(super) wanted: Vec<usize>,
    /// What the query's condition rules out by columns.
    pub(super) sieve: Sieve,
    origin: Arc<Origin>,
}

/// What answers a question about a reel.
pub(super) enum Answer {
    /// Columns of its index.
    Columns(OpenReel),
    /// Its packets: the index lacks what is asked for.
    Packets,
}

/// What is still to be looked into, and rows that wait for it.
pub(super) struct Unit {
    /// Nanoseconds behind which it holds nothing.
    pub(super) bound: i64,
    pub(super) what: What,
}

pub(super) enum What {
    Days,
    Reel(Arc<Reel>),
    Group(Arc<OpenReel>, usize),
    Row(Cursor, Row),
}

pub(super) enum Row {
    /// A row of a block that holds it whole.
    Indexed(Arc<OpenReel>, Arc<Block>, usize),
    Dissected(Arc<Reel>, Box<Item>),
}

impl Unit {
    /// A row group that is to be looked into.
    fn group((open, group): (Arc<OpenReel>, usize)) -> Unit {
        let (_, last) = open.reader.span(group).unwrap_or((i64::MIN, i64::MAX));
        Unit {
            bound: last,
            what: What::Group(open, group),
        }
    }
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

impl Search {
    /// Asks `query` of the items of `span` in `archive`; `now` is when it was asked.
    pub fn new(
        archive: Arc<Archive>,
        query: Query,
        span: Span,
        now: Timestamp,
        reading: Reading,
        cache: Option<Arc<Cache>>,
    ) -> Search {
        let condition = query.column_condition(now);
        Search {
            span: span.narrowed(condition.as_ref()),
            condition,
            paths: query.paths().into_iter().collect(),
            beside: Vec::new(),
            kinds: kinds(),
            node: None,
            shard: None,
            looked: AtomicU64::new(0),
            warnings: Mutex::default(),
            archive,
            query,
            also: None,
            now,
            reading,
            cache,
        }
    }

    /// The same of items alone that match this too.
    pub(super) fn and(mut self, also: Option<Query>) -> Search {
        let Some(also) = also else {
            return self;
        };
        let condition = also.column_condition(self.now);
        self.span = self.span.narrowed(condition.as_ref());
        self.condition = prefilter::all(vec![self.condition, condition]);
        for path in also.paths() {
            if !self.paths.contains(&path) {
                self.paths.push(path);
            }
        }
        self.also = Some(also);
        self
    }

    /// The same of one node's reels alone.
    pub(super) fn of_node(self, node: &str) -> Search {
        Search {
            node: Some(node.to_owned()),
            ..self
        }
    }

    /// The same of one part's reels alone.
    pub fn of_shard(self, shard: Option<Shard>) -> Search {
        Search { shard, ..self }
    }

    /// The same with these paths in the items of scans, as far as indexes have them.
    pub(super) fn with(self, beside: Vec<String>) -> Search {
        Search { beside, ..self }
    }

    /// What went wrong, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut said = std::mem::take(&mut *warnings);
        said.extend(self.archive.warnings());
        said
    }

    /// Rows that were looked at so far.
    pub fn looked(&self) -> u64 {
        self.looked.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Counts rows that are looked at.
    pub(super) fn count(&self, rows: usize) {
        Used::add(&self.looked, rows as u64);
    }

    pub(super) fn warn(&self, sentence: String) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.len() < MAX_WARNINGS {
            warnings.push(sentence);
        }
    }

    /// The newest items, behind `after` when it is given, at most `limit`. After `until` nothing
    /// more is looked into, once the page has got behind `after`: it may then be short.
    ///
    /// # Errors
    /// When the archive cannot be listed; reels that cannot be read are warnings.
    pub fn page(
        &self,
        limit: usize,
        after: Option<&Cursor>,
        until: Option<Instant>,
    ) -> Result<Page, StoreError> {
        let began = after.map_or(i64::MAX, |after| after.start);
        let span = match after {
            Some(after) => self.span.until(Timestamp::from_nanos(after.start)),
            None => self.span,
        };
        let mut days = self.archive.by_day(&span)?;
        let mut open = BinaryHeap::new();
        open.push(Unit {
            bound: days.bound(),
            what: What::Days,
        });
        let mut found: Vec<Found> = Vec::new();
        let (mut together, mut groups_together) = (PARALLEL, GROUPS);
        loop {
            let Some(unit) = open.pop() else {
                return Ok(Page { found, next: None });
            };
            let is_row = matches!(unit.what, What::Row(..));
            if found.len() >= limit {
                let next = found.last().map(|last| last.cursor.clone());
                return Ok(Page { found, next });
            }
            let is_late = until.is_some_and(|until| Instant::now() > until);
            if is_late && !is_row && unit.bound < began {
                let next = Some(Cursor::at(unit.bound));
                return Ok(Page { found, next });
            }
            match unit.what {
                What::Days => self.look_into_days(&mut days, &mut open)?,
                What::Reel(reel) => {
                    let mut reels = vec![reel];
                    while reels.len() < together
                        && let Some(What::Reel(_)) = open.peek().map(|unit| &unit.what)
                        && let Some(What::Reel(reel)) = open.pop().map(|unit| unit.what)
                    {
                        reels.push(reel);
                    }
                    open.extend(
                        self.at_once(reels, |reel| self.look_into_reel(&reel, &span, after)),
                    );
                    together = (together * 2).min(MOST_PARALLEL);
                }
                What::Group(reel, group) => {
                    let mut groups = vec![(reel, group)];
                    while groups.len() < groups_together
                        && let Some(What::Group(..)) = open.peek().map(|unit| &unit.what)
                        && let Some(What::Group(reel, group)) = open.pop().map(|unit| unit.what)
                    {
                        groups.push((reel, group));
                    }
                    let wanted = Wanted {
                        span: &span,
                        after,
                        count: limit - found.len(),
                        until,
                    };
                    let (rows, left) = self.look_into_groups(groups, wanted);
                    open.extend(rows);
                    open.extend(left.into_iter().map(Unit::group));
                    groups_together = (groups_together * 4).min(MOST_GROUPS);
                }
                What::Row(cursor, Row::Dissected(reel, item)) => found.push(Found {
                    item: *item,
                    cursor,
                    reel,
                    source: None,
                }),
                What::Row(cursor, Row::Indexed(reel, block, row)) => {
                    if let Some(item) = reel.item(&block, row, &self.kinds) {
                        found.push(Found {
                            item,
                            cursor,
                            reel: reel.reel.clone(),
                            source: block.place(row).filter(|_| block.is_cut(row)),
                        });
                    }
                }
            }
        }
    }

    fn look_into_days(
        &self,
        days: &mut Days,
        open: &mut BinaryHeap<Unit>,
    ) -> Result<(), StoreError> {
        if let Some(reels) = days.next()? {
            let reels = reels.into_iter().filter(|reel| self.is_wanted(reel));
            open.extend(reels.map(|reel| Unit {
                bound: reel.span().1,
                what: What::Reel(reel),
            }));
            open.push(Unit {
                bound: days.bound(),
                what: What::Days,
            });
        }
        Ok(())
    }

    pub(super) fn is_wanted(&self, reel: &Reel) -> bool {
        let is_in_part = self.shard.is_none_or(|shard| {
            let entry = reel.index.as_ref().or(reel.packets.first());
            entry.is_none_or(|entry| shard.has(&entry.key, ""))
        });
        is_in_part
            && self.node.as_ref().is_none_or(|node| {
                let place = reel.place();
                place.is_none_or(|place| place.node == *node)
            })
    }

    fn look_into_reel(&self, reel: &Arc<Reel>, span: &Span, after: Option<&Cursor>) -> Vec<Unit> {
        let open = match self.open(reel, &[]) {
            Ok(Answer::Columns(open)) => Arc::new(open),
            Ok(Answer::Packets) => return self.dissected(reel, span, after),
            Err(error) => {
                self.warn(format!("{}: {error}", reel.stem));
                return Vec::new();
            }
        };
        let groups = self.groups_within(&open, span).into_iter();
        groups.map(Unit::group).collect()
    }

    /// The rows of a reel that match, by its packets.
    fn dissected(&self, reel: &Arc<Reel>, span: &Span, after: Option<&Cursor>) -> Vec<Unit> {
        let id = id_of(reel);
        let mut rows = Vec::new();
        let mut row = DISSECTED;
        self.dissect(reel, &mut |item| {
            let cursor = Cursor {
                start: item.start.nanos(),
                reel: id.clone(),
                row,
            };
            row += 1;
            if cursor.is_behind(after) && span.contains(item.start) && self.matches(&item) {
                rows.push(Unit {
                    bound: cursor.start,
                    what: What::Row(cursor, Row::Dissected(reel.clone(), Box::new(item))),
                });
            }
        });
        rows
    }

    /// Opens the index of a reel, one that is made now where there is none.
    pub(super) fn open(&self, reel: &Arc<Reel>, more: &[String]) -> Result<Answer, PacketsError> {
        let reader = made::open(
            &self.archive,
            reel,
            &self.reading,
            self.cache.as_ref(),
            &|sentence| self.warn(sentence),
        )?;
        let paths = self.paths.iter().chain(more).map(String::as_str);
        let Need::Columns(mut wanted) = reader.need(paths) else {
            let may = (0..reader.groups()).any(|group| {
                self.condition
                    .as_ref()
                    .is_none_or(|condition| reader.may_hold(group, condition).unwrap_or(true))
            });
            // What the columns rule out, the packets need not be asked.
            return Ok(match may {
                true => Answer::Packets,
                false => Answer::Columns(self.open_reel(reel, reader, Vec::new())),
            });
        };
        wanted.extend(reader.columns(self.beside.iter().map(String::as_str)));
        wanted.sort_unstable();
        wanted.dedup();
        Ok(Answer::Columns(self.open_reel(reel, reader, wanted)))
    }

    fn open_reel(&self, reel: &Arc<Reel>, reader: Arc<Reader>, wanted: Vec<usize>) -> OpenReel {
        let sieve = reader.sieve(self.condition.as_ref());
        OpenReel::new(reel, reader, wanted, sieve)
    }

    pub(super) fn may_hold(&self, open: &OpenReel, group: usize) -> bool {
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

    /// Nothing is decided yet of the rows of a block.
    pub(super) fn verdicts<'b>(&self, open: &OpenReel, block: &'b Block) -> Verdicts<'b> {
        let read = open.reader.columns(self.paths.iter().map(String::as_str));
        Verdicts::new(block, &self.paths, &read)
    }

    /// Whether a row of a block matches.
    pub(super) fn wants(
        &self,
        verdicts: &mut Verdicts<'_>,
        open: &OpenReel,
        block: &Block,
        row: usize,
    ) -> bool {
        let origin = open.reader.origin(block.number(row));
        let origin = origin.map_or(0, |(origin, _)| Arc::as_ptr(origin).addr());
        verdicts.of(row, origin, || {
            let item = open.item(block, row, &self.kinds);
            item.is_some_and(|item| self.matches(&item))
        })
    }

    pub(super) fn matches(&self, item: &Item) -> bool {
        let mut queries = std::iter::once(&self.query).chain(&self.also);
        queries.all(|query| {
            query.is_empty()
                || match query.matches(item.node(), self.now) {
                    Verdict::Match => true,
                    Verdict::NoMatch => false,
                    Verdict::Undecided => {
                        self.warn("an item took too many steps and was left out".to_owned());
                        false
                    }
                }
        })
    }

    /// Calls `each` for the items of a reel, from its packets.
    pub(super) fn dissect(&self, reel: &Reel, each: &mut dyn FnMut(Item)) {
        // It is open already; what was wrong with it was told then.
        let cache = self.cache.as_ref();
        let reader = made::open(&self.archive, reel, &self.reading, cache, &|_| {}).ok();
        let done = straddling::items(
            &self.archive,
            reel,
            &self.reading,
            reader.as_deref(),
            &mut |item| {
                self.count(1);
                each(item);
            },
        );
        if let Err(error) = done {
            self.warn(format!("{}: {error}", reel.stem));
        }
    }

    /// Does the same for several at once, each on a thread of its own; all that they give together.
    fn at_once<T: Send>(&self, all: Vec<T>, look: impl Fn(T) -> Vec<Unit> + Sync) -> Vec<Unit> {
        let look = &look;
        std::thread::scope(|scope| {
            let threads: Vec<_> = all
                .into_iter()
                .map(|one| scope.spawn(move || look(one)))
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

    /// The whole item from the packets of its stream alone; as it was found when they do not give
    /// it.
    pub fn whole(&self, found: &Found) -> Item {
        let Some(place) = &found.source else {
            return found.item.clone();
        };
        stream::whole_item(
            &self.archive,
            &self.reading,
            &found.reel,
            place,
            &found.item,
        )
        .unwrap_or_else(|why| {
            self.warn(format!(
                "{}: an item is shown without its bodies: {why}",
                found.reel.stem
            ));
            found.item.clone()
        })
    }
}

/// Every kind of item that an index may hold.
pub(super) fn kinds() -> Vec<&'static ProtocolInfo> {
    PROTOCOLS
        .iter()
        .flat_map(|protocol| protocol.kinds().iter().copied())
        .collect()
}

impl OpenReel {
    pub(super) fn new(
        reel: &Arc<Reel>,
        reader: Arc<Reader>,
        wanted: Vec<usize>,
        sieve: Sieve,
    ) -> OpenReel {
        OpenReel {
            id: id_of(reel),
            origin: reel
                .place()
                .map(|place: Place| place.origin())
                .unwrap_or_default(),
            reel: reel.clone(),
            reader,
            wanted,
            sieve,
        }
    }

    /// Where a row of a block stands.
    pub(super) fn cursor(&self, block: &Block, row: usize) -> Cursor {
        Cursor {
            start: block.start(row),
            reel: self.id.clone(),
            row: block.number(row),
        }
    }

    /// The item of a row of a block.
    pub(super) fn item(
        &self,
        block: &Block,
        row: usize,
        kinds: &[&'static ProtocolInfo],
    ) -> Option<Item> {
        match self.reader.origin(block.number(row)) {
            None => block.item(row, kinds, &self.origin),
            Some((origin, record)) => Some(Item {
                record: record.clone(),
                ..block.item(row, kinds, origin)?
            }),
        }
    }
}
