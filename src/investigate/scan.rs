//! All items of an archive that match, in no order: at once, or bit by bit with the newest reels
//! first.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::bounded;

use super::days::Days;
use super::packets::PacketsError;
use super::reel::Reel;
use super::rows::Group;
use super::search::{Answer, Search};
use crate::item::Item;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Reels that are read at the same time.
const PARALLEL: usize = 16;

/// Row groups that are read at the same time: what people wait for runs beside it.
const GROUPS: usize = 4;

/// Batches of items that may wait for whoever takes them.
const QUEUED: usize = 4;

/// Bytes of indexes that a scan without a time range reads at most: what nobody limited must not
/// read a year.
const UNASKED_BYTES: u64 = 64 << 20;

/// Bytes of an index that one item takes, until some were read.
const ITEM_BYTES: u64 = 100;

/// What is done with one of many: it may send items on.
type Work<'w, T> = dyn Fn(&T, &mut dyn FnMut(Vec<Item>)) -> Result<(), PacketsError> + Sync + 'w;

impl Search {
    /// Calls `each` for all items that match, in no order; of an indexed item what `paths` name is
    /// there, and perhaps more.
    ///
    /// # Errors
    /// When the archive cannot be listed; reels that cannot be read are warnings.
    pub fn scan(&self, paths: &[String], each: &mut dyn FnMut(&Item)) -> Result<(), StoreError> {
        let mut reels = self.archive.reels(&self.span)?;
        reels.retain(|reel| self.is_wanted(reel));
        self.scan_reels(&reels, paths, each);
        Ok(())
    }

    fn scan_reels(&self, reels: &[Arc<Reel>], paths: &[String], each: &mut dyn FnMut(&Item)) {
        self.share_out(PARALLEL, reels, each, &|reel, send| {
            let groups = self.groups_of(reel, paths, send)?;
            for group in groups {
                self.scan_group(&group, send)?;
            }
            Ok(())
        });
    }

    /// Calls `work` for each of `all`, on so many threads, and `each` for the items that it sends.
    fn share_out<T: Sync>(
        &self,
        threads: usize,
        all: &[T],
        each: &mut dyn FnMut(&Item),
        work: &Work<'_, T>,
    ) {
        let next = AtomicUsize::new(0);
        let (to_here, found) = bounded::<Vec<Item>>(QUEUED);
        std::thread::scope(|scope| {
            for _ in 0..threads.min(all.len()) {
                let (to_here, next) = (to_here.clone(), &next);
                scope.spawn(move || {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(one) = all.get(at) else { break };
                        // Sending fails only when nobody takes any more.
                        if let Err(error) = work(one, &mut |items| {
                            let _ = to_here.send(items);
                        }) {
                            self.warn(error.to_string());
                        }
                    }
                });
            }
            drop(to_here);
            for items in found {
                items.iter().for_each(&mut *each);
            }
        });
    }

    /// The row groups of a reel that may hold matching items; those of a reel that only its packets tell of
    /// are sent at once.
    fn groups_of(
        &self,
        reel: &Arc<Reel>,
        paths: &[String],
        send: &mut dyn FnMut(Vec<Item>),
    ) -> Result<Vec<Group>, PacketsError> {
        let open = match self.open(reel, paths) {
            Ok(Answer::Columns(open)) => Arc::new(open),
            Ok(Answer::Packets) => {
                self.dissect(reel, &mut |item| {
                    if self.span.contains(item.start) && self.matches(&item) {
                        send(vec![item]);
                    }
                });
                return Ok(Vec::new());
            }
            Err(error) => return Err(told(reel, &error)),
        };
        Ok(self.groups_within(&open, &self.span))
    }

    fn scan_group(
        &self,
        (open, group): &Group,
        send: &mut dyn FnMut(Vec<Item>),
    ) -> Result<(), PacketsError> {
        let found = self.matching(open, *group, &self.span, None);
        let (block, rows) = found.map_err(|error| told(&open.reel, &error))?;
        let items: Vec<Item> = rows
            .into_iter()
            .filter_map(|row| open.item(&block, row, &self.kinds))
            .collect();
        if !items.is_empty() {
            send(items);
        }
        Ok(())
    }
}

/// What is wrong with a reel, by its name.
fn told(reel: &Reel, error: &dyn std::fmt::Display) -> PacketsError {
    std::io::Error::other(format!("{}: {error}", reel.stem)).into()
}

/// A scan that goes on where it stopped.
pub struct Scan {
    search: Search,
    days: Days,
    /// Reels that are listed and not opened, the newest last.
    left: Vec<Arc<Reel>>,
    /// Row groups of open reels that are not read.
    groups: VecDeque<Group>,
    /// Bytes of the indexes that were read, and the items in them.
    bytes: u64,
    items: u64,
    /// Partitions and bytes that were listed so far.
    listed: (u64, u64),
    is_over: bool,
    since: Option<Timestamp>,
}

impl Scan {
    /// All items of a search, with what indexes have of `paths` in them.
    ///
    /// # Errors
    /// When the archive cannot be listed.
    pub(super) fn new(search: Search, paths: Vec<String>) -> Result<Scan, StoreError> {
        let search = search.with(paths);
        Ok(Scan {
            days: search.archive.by_day(&search.span)?,
            search,
            left: Vec::new(),
            groups: VecDeque::new(),
            bytes: 0,
            items: 0,
            listed: (0, 0),
            is_over: false,
            since: None,
        })
    }

    /// Calls `each` for further items as long as there is to be `more`; a step reads some reels at least.
    ///
    /// # Errors
    /// When the archive cannot be listed; what is listed is read all the same the next time.
    pub fn step(
        &mut self,
        more: &dyn Fn() -> bool,
        each: &mut dyn FnMut(&Item),
    ) -> Result<(), StoreError> {
        while !self.is_over {
            if !self.groups.is_empty() {
                self.read_groups(each);
                if !more() {
                    break;
                }
                continue;
            }
            if self.left.is_empty() {
                let days = self.days.left();
                let Some(mut reels) = self.days.next()? else {
                    self.is_over = true;
                    break;
                };
                reels.retain(|reel| self.search.is_wanted(reel));
                reels.sort_by_key(|reel| reel.span());
                self.listed.0 += (days - self.days.left()) as u64;
                self.listed.1 += reels.iter().map(|reel| size_of(reel)).sum::<u64>();
                self.left = reels;
                continue;
            }
            if self.search.span.from.is_none() && self.bytes > UNASKED_BYTES {
                let bound = self.left.last().map(|reel| reel.span().1);
                self.since = bound.map(Timestamp::from_nanos);
                self.is_over = true;
                break;
            }
            let some = self
                .left
                .split_off(self.left.len().saturating_sub(PARALLEL));
            let before = self.search.looked();
            let mut given = 0;
            let opened = Mutex::new(Vec::new());
            self.search.share_out(
                PARALLEL,
                &some,
                &mut |item| {
                    given += 1;
                    each(item);
                },
                &|reel, send| {
                    let groups = self.search.groups_of(reel, &[], send)?;
                    let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
                    opened.extend(groups);
                    Ok(())
                },
            );
            let opened = opened.into_inner().unwrap_or_else(PoisonError::into_inner);
            self.items += opened.iter().map(rows_of).sum::<u64>();
            self.items += (self.search.looked() - before).max(given);
            self.groups.extend(opened);
            self.bytes += some.iter().map(|reel| size_of(reel)).sum::<u64>();
            if !more() {
                break;
            }
        }
        Ok(())
    }

    /// Reads some of the row groups of open reels.
    fn read_groups(&mut self, each: &mut dyn FnMut(&Item)) {
        let some: Vec<Group> = self.groups.drain(..GROUPS.min(self.groups.len())).collect();
        let search = &self.search;
        search.share_out(GROUPS, &some, each, &|group, send| {
            search.scan_group(group, send)
        });
    }

    /// Whether everything was read.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Items that are still to be looked at, as far as sizes tell; 0 when it is over.
    pub fn behind(&self) -> u64 {
        if self.is_over {
            return 0;
        }
        let left: u64 = self.left.iter().map(|reel| size_of(reel)).sum();
        let (days, bytes) = self.listed;
        let later = bytes.checked_div(days).unwrap_or(0) * self.days.left() as u64;
        let item = self
            .bytes
            .checked_div(self.items)
            .unwrap_or(ITEM_BYTES)
            .max(1);
        let open: u64 = self.groups.iter().map(rows_of).sum();
        ((left + later) / item + open).max(1)
    }

    /// The moment before which nothing was read, since nobody limited the time.
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// What went wrong, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        self.search.warnings()
    }
}

/// Rows of a row group.
fn rows_of((open, group): &Group) -> u64 {
    open.reader.rows(*group) as u64
}

/// Bytes that looking through a reel takes.
fn size_of(reel: &Reel) -> u64 {
    let packets = || reel.packets.iter().map(|entry| entry.size).sum();
    reel.index.as_ref().map_or_else(packets, |entry| entry.size)
}
