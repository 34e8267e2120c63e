//! Rows of row groups that match, looked for on several threads.
//!
//! In: row groups in the order in which they are wanted. Out: the newest rows of each that match, and the
//! groups that nobody looked into any more. Never: a column that the rows left over do not need: the query's
//! condition is tested on columns first, and only what passes becomes items.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::cursor::Cursor;
use super::search::{OpenReel, Row, Search, Unit, What};
use super::span::Span;
use crate::index::{self, Block, IndexError};
use crate::time::Timestamp;

/// Threads that look into row groups at least: those of a bucket mostly wait.
const LEAST_THREADS: usize = 4;

/// The same at most.
const MOST_THREADS: usize = 8;

/// A row group of an open index.
pub(super) type Group = (Arc<OpenReel>, usize);

/// What rows are wanted.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'w> {
    /// Of this time.
    pub(super) span: &'w Span,
    /// Behind this place.
    pub(super) after: Option<&'w Cursor>,
    /// So many of the newest, after which the groups that are left may wait.
    pub(super) count: usize,
    /// Until this moment, after which they may wait as well.
    pub(super) until: Option<Instant>,
}

impl Search {
    /// The row groups of an open reel that may hold matching items of a time.
    pub(super) fn groups_within(&self, open: &Arc<OpenReel>, span: &Span) -> Vec<Group> {
        let may_hold = |group: &usize| {
            let (first, last) = open.reader.span(*group).unwrap_or((i64::MIN, i64::MAX));
            span.touches(first, last) && self.may_hold(open, *group)
        };
        let groups = (0..open.reader.groups()).filter(may_hold);
        groups.map(|group| (open.clone(), group)).collect()
    }

    /// Looks into groups, the first ones first; answers the rows found and the groups that were not
    /// looked into. One group at least is.
    pub(super) fn look_into_groups(
        &self,
        groups: Vec<Group>,
        wanted: Wanted<'_>,
    ) -> (Vec<Unit>, Vec<Group>) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.clamp(LEAST_THREADS, MOST_THREADS).min(groups.len());
        let (taken, matched) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            let mut units = Vec::new();
            loop {
                let at = taken.fetch_add(1, Ordering::Relaxed);
                let Some((open, group)) = groups.get(at) else {
                    break;
                };
                match self.newest_rows(open, *group, wanted) {
                    Ok(rows) => {
                        matched.fetch_add(rows.len(), Ordering::Relaxed);
                        units.extend(rows);
                    }
                    Err(error) => self.warn(format!("{}: {error}", open.reel.stem)),
                }
                let is_late = wanted.until.is_some_and(|until| Instant::now() > until);
                if is_late || matched.load(Ordering::Relaxed) >= wanted.count {
                    break;
                }
            }
            units
        };
        let units = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut units = work();
            for other in others {
                match other.join() {
                    Ok(more) => units.extend(more),
                    Err(_) => self.warn("a reel could not be looked into".to_owned()),
                }
            }
            units
        });
        let looked = taken.into_inner().min(groups.len());
        (units, groups.into_iter().skip(looked).collect())
    }

    /// The newest rows of a row group that match, whole.
    fn newest_rows(
        &self,
        open: &Arc<OpenReel>,
        group: usize,
        wanted: Wanted<'_>,
    ) -> Result<Vec<Unit>, IndexError> {
        let (block, mut rows) = self.matching(open, group, wanted.span, wanted.after)?;
        // One more than are wanted tells that there are more.
        let most = wanted.count.saturating_add(1);
        if rows.len() > most {
            rows.sort_by_key(|row| (std::cmp::Reverse(block.start(*row)), *row));
            rows.truncate(most);
            rows.sort_unstable();
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let whole = open.reader.read_on(group, &block, &index::whole(), &rows)?;
        let whole = Arc::new(whole);
        let units = (0..whole.len()).map(|row| {
            let cursor = open.cursor(&whole, row);
            Unit {
                bound: cursor.start,
                what: What::Row(cursor, Row::Indexed(open.clone(), whole.clone(), row)),
            }
        });
        Ok(units.collect())
    }

    /// Rows of a row group that match: the columns of all that might, and the places of those that do.
    pub(super) fn matching(
        &self,
        open: &OpenReel,
        group: usize,
        span: &Span,
        after: Option<&Cursor>,
    ) -> Result<(Block, Vec<usize>), IndexError> {
        let reader = &open.reader;
        self.count(reader.rows(group));
        let (first, last) = reader.span(group).unwrap_or((i64::MIN, i64::MAX));
        let is_within = span.contains(Timestamp::from_nanos(first))
            && span.contains(Timestamp::from_nanos(last))
            && after.is_none_or(|after| last < after.start);
        let mut early = open.sieve.columns();
        if !is_within {
            early.extend(index::moment());
        }
        let block = match early.is_empty() {
            true => reader.read(group, &open.wanted)?,
            false => reader.read(group, &early)?,
        };
        let mut rows = open.sieve.rows(&block);
        if !is_within {
            let is_behind = |row: usize, start: i64| match after {
                Some(after) if start == after.start => {
                    open.cursor(&block, row).is_behind(Some(after))
                }
                after => after.is_none_or(|after| start < after.start),
            };
            rows.retain(|row| {
                let start = block.start(*row);
                span.contains(Timestamp::from_nanos(start)) && is_behind(*row, start)
            });
        }
        if rows.is_empty() {
            return Ok((block, rows));
        }
        let block = match early.is_empty() {
            true => block,
            false => reader.read_on(group, &block, &open.wanted, &rows)?,
        };
        let block = block.only(self.paths.iter().map(String::as_str));
        let mut verdicts = self.verdicts(open, &block);
        let matched = (0..block.len())
            .filter(|row| self.wants(&mut verdicts, open, &block, *row))
            .collect();
        drop(verdicts);
        Ok((block.unlimited(), matched))
    }
}
