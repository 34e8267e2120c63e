//! An archive as tables, for an engine that asks for columns.
//!
//! In: days, reels and columns that somebody chose, and what rows must be like. Out: blocks of rows
//! with the verdicts of queries on each, and manifests. Never: a row group that the statistics rule
//! out; packets, but for queries that ask for what the index lacks; more than one row group of a
//! reader in memory.

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use ahash::RandomState;

use super::days::day_of;
use super::group::Place;
use super::made;
use super::packets::{PacketsError, Reading};
use super::ranges::{Cache, Used};
use super::reel::Reel;
use super::reels::Archive;
use super::search::{OpenReel, kinds};
use super::shard::Shard;
use super::span::Span;
use super::straddling::{self, Exchange, exchange};
use crate::index::{self, Block, Need, Reader, Sieve};
use crate::item::{Item, ProtocolInfo};
use crate::kfl::prefilter::{ColumnTest, Condition};
use crate::kfl::{Query, Verdict};
use crate::record::manifest::{MAX_MANIFEST_BYTES, Manifest};
use crate::store::StoreError;
use crate::time::Timestamp;

/// Sentences that are kept.
const MAX_WARNINGS: usize = 100;

/// Items of one reel, or of a source that is no archive, whose verdicts by packets are kept at a
/// time, some 150 bytes each.
const MAX_DISSECTED: usize = 2_000_000;

/// An archive, and which part of it is looked at.
pub struct Tables {
    archive: Arc<Archive>,
    span: Span,
    shard: Option<Shard>,
    /// When it was asked: what `now` in a query means.
    now: Timestamp,
    reading: Reading,
    cache: Option<Arc<Cache>>,
    kinds: Vec<&'static ProtocolInfo>,
    warnings: Mutex<Vec<String>>,
}

/// A partition of an archive: a day of a cluster, or all there is where it has no days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    folder: String,
    /// The cluster; `None` where the archive does not tell.
    pub cluster: Option<String>,
    /// The date, as `2026-11-24`; `None` likewise.
    pub date: Option<String>,
}

/// What the key of a reel tells, or of a sign of life.
#[derive(Clone)]
pub struct Part {
    reel: Arc<Reel>,
    /// The cluster.
    pub cluster: Option<String>,
    /// The date of its first packet in UTC, as `2026-11-24`.
    pub date: Option<String>,
    /// The hour of its first packet in UTC, as `07`.
    pub hour: Option<String>,
    /// The node.
    pub node: Option<String>,
    /// The recording.
    pub recording: Option<String>,
    /// The run: its Unix start second.
    pub run: Option<i64>,
    /// Number in the run.
    pub sequence: Option<i64>,
    /// Its short name, without folders and hash.
    pub name: String,
}

/// What is asked of the rows of a reel.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Of [`crate::index::COLUMNS`], those that are wanted.
    pub columns: Vec<usize>,
    /// What rows must be like; others may come all the same.
    pub condition: Option<Condition<ColumnTest>>,
    /// Queries whose verdicts on each row are wanted.
    pub queries: Vec<Query>,
}

/// Rows of a row group.
pub struct Rows {
    /// The columns that were asked for.
    pub block: Block,
    /// The rows of it that are in the part that is looked at.
    pub chosen: Vec<usize>,
    /// For each query the verdict on each chosen row; `None` when it took too many steps.
    pub verdicts: Vec<Vec<Option<bool>>>,
    /// For each chosen row the node and the recording, where rows of one index have several.
    pub origins: Option<Vec<(Arc<str>, Arc<str>)>>,
}

impl Tables {
    /// Looks at the items of `span` in one part of `archive`.
    pub fn new(
        archive: Archive,
        span: Span,
        shard: Option<Shard>,
        now: Timestamp,
        reading: Reading,
        cache: Option<Arc<Cache>>,
    ) -> Tables {
        Tables {
            archive: Arc::new(archive),
            span,
            shard,
            now,
            reading,
            cache,
            kinds: kinds(),
            warnings: Mutex::default(),
        }
    }

    /// The archive.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// When it was asked.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What went wrong, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut said = std::mem::take(&mut *warnings);
        said.extend(self.archive.warnings());
        said
    }

    fn warn(&self, sentence: String) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.len() < MAX_WARNINGS && !warnings.contains(&sentence) {
            warnings.push(sentence);
        }
    }

    /// The times in which rows lie that meet `condition`.
    fn span(&self, condition: Option<&Condition<ColumnTest>>) -> Span {
        self.span.narrowed(condition)
    }

    /// Whether keys of its objects tell where they are from.
    pub fn has_places(&self) -> bool {
        self.archive.only().is_none()
    }

    /// The days that may hold items that meet `condition`, the newest first.
    ///
    /// # Errors
    /// When the archive cannot be listed.
    pub fn days(&self, condition: Option<&Condition<ColumnTest>>) -> Result<Vec<Day>, StoreError> {
        let mut folders = self.archive.partitions(&self.span(condition))?;
        folders.sort_by_key(|folder| std::cmp::Reverse(day_of(folder)));
        Ok(folders.into_iter().map(Day::of).collect())
    }

    /// The reels of a day that may hold items that meet `condition`, the newest first.
    ///
    /// # Errors
    /// When the day cannot be listed.
    pub fn reels(
        &self,
        day: &Day,
        condition: Option<&Condition<ColumnTest>>,
    ) -> Result<Vec<Part>, StoreError> {
        let span = self.span(condition);
        let mut reels = self.archive.list(&day.folder, &span)?;
        reels.retain(|reel| self.is_in_part(reel));
        reels.sort_by_key(|reel| std::cmp::Reverse(reel.span()));
        Ok(reels.into_iter().map(Part::of).collect())
    }

    /// All of a day that has a manifest, in the order of their keys, whatever it holds.
    ///
    /// # Errors
    /// When the day cannot be listed.
    pub fn sealed(&self, day: &Day) -> Result<Vec<Part>, StoreError> {
        let mut found = self.archive.gathered(&day.folder)?;
        found.retain(|reel| reel.manifest.is_some() && self.is_in_part(reel));
        Ok(found.into_iter().map(Part::of).collect())
    }

    fn is_in_part(&self, reel: &Reel) -> bool {
        self.shard.is_none_or(|shard| {
            let entry = reel.index.as_ref().or(reel.packets.first());
            let entry = entry.or(reel.manifest.as_ref());
            entry.is_none_or(|entry| shard.has(&entry.key, ""))
        })
    }

    /// The times that are looked at.
    pub fn times(&self) -> &Span {
        &self.span
    }

    /// The manifest of a part; `None`, and a warning, when it cannot be read.
    pub fn manifest(&self, part: &Part) -> Option<Manifest> {
        let entry = part.reel.manifest.as_ref()?;
        Used::add(&self.archive.used.gets, 1);
        Used::add(&self.archive.used.bytes, entry.size);
        let read = || -> Result<Manifest, String> {
            let mut text = Vec::new();
            let body = self.archive.store.get_listed(entry, None);
            body.map_err(|error| error.to_string())?
                .take(MAX_MANIFEST_BYTES)
                .read_to_end(&mut text)
                .map_err(|error| error.to_string())?;
            Manifest::parse(&text).map_err(|error| error.to_string())
        };
        read()
            .map_err(|why| self.warn(format!("{}: {why}", entry.key)))
            .ok()
    }

    /// Calls `each` for the rows of a reel, row group by row group, until it answers that it takes
    /// no more. A reel that cannot be read is a warning.
    pub fn rows(&self, part: &Part, asked: &Asked, each: &mut dyn FnMut(Rows) -> bool) {
        if let Err(error) = self.read(part, asked, each) {
            self.warn(format!("{}: {error}", part.reel.stem));
        }
    }

    fn read(
        &self,
        part: &Part,
        asked: &Asked,
        each: &mut dyn FnMut(Rows) -> bool,
    ) -> Result<(), PacketsError> {
        let warn = |sentence| self.warn(sentence);
        let cache = self.cache.as_ref();
        let reader = made::open(&self.archive, &part.reel, &self.reading, cache, &warn)?;
        let span = self.span(asked.condition.as_ref());
        let mut columns = asked.columns.clone();
        if self.span.is_limited() {
            columns.extend(index::moment());
        }
        let judge = Judge::new(self, &reader, asked, &mut columns);
        columns.sort_unstable();
        columns.dedup();
        let open = OpenReel::new(&part.reel, reader.clone(), columns, Sieve::open());
        let mut dissected = None;
        for group in 0..reader.groups() {
            let (first, last) = reader.span(group).unwrap_or((i64::MIN, i64::MAX));
            let may_hold = || match &asked.condition {
                Some(condition) => reader.may_hold(group, condition),
                None => Ok(true),
            };
            if !span.touches(first, last) || !may_hold()? {
                continue;
            }
            let block = reader.read(group, &open.wanted)?;
            let mut chosen: Vec<usize> = (0..block.len()).collect();
            if self.span.is_limited() {
                chosen.retain(|row| {
                    let start = Timestamp::from_nanos(block.start(*row));
                    self.span.contains(start)
                });
            }
            if chosen.is_empty() {
                continue;
            }
            if judge.needs_packets() && dissected.is_none() {
                dissected = Some(judge.dissect(part, &reader)?);
            }
            let verdicts = judge.verdicts(&open, &block, &chosen, dissected.as_mut());
            let origins = chosen
                .iter()
                .map(|row| {
                    let (origin, record) = reader.origin(block.number(*row))?;
                    Some((Arc::from(origin.node_name.as_str()), record.clone()))
                })
                .collect();
            let rows = Rows {
                block,
                chosen,
                verdicts,
                origins,
            };
            if !each(rows) {
                break;
            }
        }
        Ok(())
    }
}

/// The verdicts on items by the packets of their reel.
#[derive(Default)]
struct Dissected {
    /// Of equal exchanges in their order.
    verdicts: HashMap<Exchange, VecDeque<Box<[Option<bool>]>>, RandomState>,
    items: usize,
}

/// Decides about rows.
struct Judge<'t> {
    tables: &'t Tables,
    queries: &'t [Query],
    /// Of the queries, those whose answer lies in the packets.
    in_packets: Vec<usize>,
}

impl<'t> Judge<'t> {
    /// Adds to `columns` what it needs of a row.
    fn new(
        tables: &'t Tables,
        reader: &Reader,
        asked: &'t Asked,
        columns: &mut Vec<usize>,
    ) -> Judge<'t> {
        let mut in_packets = Vec::new();
        for (at, query) in asked.queries.iter().enumerate() {
            let paths = query.paths();
            match reader.need(paths.iter().map(|path| &**path)) {
                Need::Columns(wanted) => columns.extend(wanted),
                Need::Packets => {
                    in_packets.push(at);
                    columns.extend(index::whole());
                }
            }
        }
        Judge {
            tables,
            queries: &asked.queries,
            in_packets,
        }
    }

    fn needs_packets(&self) -> bool {
        !self.in_packets.is_empty()
    }

    fn dissect(&self, part: &Part, reader: &Reader) -> Result<Dissected, PacketsError> {
        let mut found = Dissected::default();
        let Tables {
            archive, reading, ..
        } = self.tables;
        straddling::items(archive, &part.reel, reading, Some(reader), &mut |item| {
            found.items += 1;
            if found.items > MAX_DISSECTED {
                return;
            }
            let verdicts = self.in_packets.iter().map(|at| self.decide(*at, &item));
            let verdicts = verdicts.collect();
            let exchange = found.verdicts.entry(exchange(&item));
            exchange.or_default().push_back(verdicts);
        })?;
        if found.items > MAX_DISSECTED {
            self.tables.warn(format!(
                "{}: kfl() asks for bodies of more than {MAX_DISSECTED} items and is null for the others; narrow it with --from and --to",
                part.name
            ));
        }
        Ok(found)
    }

    fn decide(&self, at: usize, item: &Item) -> Option<bool> {
        match self.queries.get(at)?.matches(item.node(), self.tables.now) {
            Verdict::Match => Some(true),
            Verdict::NoMatch => Some(false),
            Verdict::Undecided => {
                let sentence = "kfl() took too many steps on some items and is null there";
                self.tables.warn(sentence.to_owned());
                None
            }
        }
    }

    fn verdicts(
        &self,
        open: &OpenReel,
        block: &Block,
        chosen: &[usize],
        mut dissected: Option<&mut Dissected>,
    ) -> Vec<Vec<Option<bool>>> {
        let mut verdicts = vec![Vec::with_capacity(chosen.len()); self.queries.len()];
        if self.queries.is_empty() {
            return verdicts;
        }
        for row in chosen {
            let item = open.item(block, *row, &self.tables.kinds);
            let by_packets = item.as_ref().and_then(|item| {
                let verdicts = &mut dissected.as_mut()?.verdicts;
                verdicts.get_mut(&exchange(item))?.pop_front()
            });
            let is_lost = by_packets.is_none()
                && dissected
                    .as_ref()
                    .is_some_and(|dissected| dissected.items > MAX_DISSECTED);
            for (at, verdicts) in verdicts.iter_mut().enumerate() {
                let place = self.in_packets.iter().position(|one| *one == at);
                let told = place.and_then(|place| by_packets.as_ref()?.get(place));
                verdicts.push(match told {
                    Some(told) => *told,
                    None if is_lost && place.is_some() => None,
                    None => item.as_ref().and_then(|item| self.decide(at, item)),
                });
            }
        }
        verdicts
    }
}

impl Day {
    fn of(folder: String) -> Day {
        Day {
            cluster: column(&folder, "cluster"),
            date: column(&folder, "date"),
            folder,
        }
    }
}

impl Part {
    /// Whether it may hold items: signs of life have none.
    pub fn is_reel(&self) -> bool {
        self.reel.index.is_some() || !self.reel.packets.is_empty()
    }

    fn of(reel: Arc<Reel>) -> Part {
        let entry = reel.index.as_ref().or(reel.packets.first());
        let entry = entry.or(reel.manifest.as_ref());
        let place = entry.and_then(|entry| Place::of(&entry.key));
        let name = reel.stem.rsplit('/').next().unwrap_or_default();
        Part {
            cluster: column(&reel.stem, "cluster"),
            date: column(&reel.stem, "date"),
            hour: column(&reel.stem, "hour"),
            run: place
                .as_ref()
                .and_then(|place| i64::try_from(place.run?).ok()),
            node: place.as_ref().map(|place| place.node.clone()),
            recording: place.and_then(|place| place.recording),
            sequence: name.rsplit('-').next().and_then(|text| text.parse().ok()),
            name: name.to_owned(),
            reel,
        }
    }
}

/// A column of a key that is written as Hive does.
fn column(key: &str, name: &str) -> Option<String> {
    let value = key.split('/').find_map(|part| {
        let (column, value) = part.split_once('=')?;
        (column == name).then_some(value)
    })?;
    let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
    Some(value.into_owned())
}
