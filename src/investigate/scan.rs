//! All items of an archive that match, in no order: at once, or bit by bit with the newest reels
//! first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_channel::bounded;

use super::days::Days;
use super::packets::PacketsError;
use super::reel::Reel;
use super::search::{Answer, Search};
use crate::item::Item;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Reels that are read at the same time.
const PARALLEL: usize = 16;

/// Batches of items that may wait for whoever takes them.
const QUEUED: usize = 4;

/// Bytes of indexes that a scan without a time range reads at most: what nobody limited must not
/// read a year.
const UNASKED_BYTES: u64 = 64 << 20;

/// Bytes of an index that one item takes, until some were read.
const ITEM_BYTES: u64 = 100;

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
        let next = AtomicUsize::new(0);
        let (to_here, found) = bounded::<Vec<Item>>(QUEUED);
        std::thread::scope(|scope| {
            for _ in 0..PARALLEL.min(reels.len()) {
                let (to_here, next) = (to_here.clone(), &next);
                scope.spawn(move || {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
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
    }

    fn scan_reel(
        &self,
        reel: &Arc<Reel>,
        paths: &[String],
        send: &mut dyn FnMut(Vec<Item>),
    ) -> Result<(), PacketsError> {
        let Answer::Columns(open) = self.open(reel, paths)? else {
            self.dissect(reel, &mut |item| {
                if self.span.contains(item.start) && self.matches(&item) {
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
            let (block, rows) = self.matching(&open, group, &self.span, None)?;
            let items: Vec<Item> = rows
                .into_iter()
                .filter_map(|row| open.item(&block, row, &self.kinds))
                .collect();
            if !items.is_empty() {
                send(items);
            }
        }
        Ok(())
    }
}

/// A scan that goes on where it stopped.
pub struct Scan {
    search: Search,
    days: Days,
    /// Reels that are listed and not read, the newest last.
    left: Vec<Arc<Reel>>,
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
            bytes: 0,
            items: 0,
            listed: (0, 0),
            is_over: false,
            since: None,
        })
    }

    /// Calls `each` for further items until the time is over; a step reads some reels at least.
    ///
    /// # Errors
    /// When the archive cannot be listed; what is listed is read all the same the next time.
    pub fn step(&mut self, until: Instant, each: &mut dyn FnMut(&Item)) -> Result<(), StoreError> {
        while !self.is_over {
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
            self.search.scan_reels(&some, &[], &mut |item| {
                given += 1;
                each(item);
            });
            self.bytes += some.iter().map(|reel| size_of(reel)).sum::<u64>();
            self.items += (self.search.looked() - before).max(given);
            if Instant::now() > until {
                break;
            }
        }
        Ok(())
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
        ((left + later) / item).max(1)
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

/// Bytes that looking through a reel takes.
fn size_of(reel: &Reel) -> u64 {
    let packets = || reel.packets.iter().map(|entry| entry.size).sum();
    reel.index.as_ref().map_or_else(packets, |entry| entry.size)
}
