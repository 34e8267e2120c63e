//! Live rows: the newest items in their flat encoding, bounded in bytes and in number.
//!
//! One writer (the collector), many readers (pages, queries). Rows are kept in the runs in which
//! they were encoded, so a row costs no allocation of its own.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, RwLock};

use tokio::sync::watch;

use super::{Consumer, Encoded, Step};
use crate::item::Item;
use crate::item::flat::{self, Flat};

/// Rows that are looked up under one lock.
const STEP: u64 = 2048;

struct Run {
    first: u64,
    bytes: Arc<Vec<u8>>,
    starts: Vec<u32>,
}

impl Run {
    fn node(&self, index: usize) -> Option<Flat<'_>> {
        let start = *self.starts.get(index)? as usize;
        let end = self
            .starts
            .get(index + 1)
            .map_or(self.bytes.len(), |end| *end as usize);
        Flat::new(self.bytes.get(start..end)?)
    }
}

#[derive(Default)]
struct Ring {
    runs: VecDeque<Arc<Run>>,
    bytes: usize,
    rows: usize,
}

/// One row; keeps its run alive.
#[derive(Clone)]
pub struct Row {
    run: Arc<Run>,
    index: usize,
}

impl Row {
    /// The item.
    pub fn node(&self) -> Option<Flat<'_>> {
        self.run.node(self.index)
    }
}

/// Rows that stand in a row, of one run; looking at them costs nothing each.
pub struct Block {
    run: Arc<Run>,
    range: Range<usize>,
}

impl Block {
    /// Number of the first one.
    pub fn first(&self) -> u64 {
        self.run.first + self.range.start as u64
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The rows that `wanted` takes, the newest first, until it has `limit`.
    pub fn newest(&self, limit: usize, wanted: &mut dyn FnMut(Flat<'_>) -> bool) -> Vec<Row> {
        let mut rows = Vec::new();
        for index in self.range.clone().rev() {
            if rows.len() == limit {
                break;
            }
            if self.run.node(index).is_some_and(&mut *wanted) {
                rows.push(Row {
                    run: self.run.clone(),
                    index,
                });
            }
        }
        rows
    }
}

/// The ring of rows.
pub struct Rows {
    ring: RwLock<Ring>,
    max_bytes: usize,
    max_rows: usize,
    end: watch::Sender<u64>,
}

impl Rows {
    /// An empty ring.
    pub fn new(max_bytes: usize, max_rows: usize) -> Rows {
        Rows {
            ring: RwLock::default(),
            max_bytes,
            max_rows,
            end: watch::Sender::new(0),
        }
    }

    /// Adds records, the first of which has the number `first`, one more than the last that was added.
    pub fn push(&self, first: u64, bytes: &Arc<Vec<u8>>) {
        let mut starts = Vec::new();
        let mut at = 0u32;
        for record in flat::records(bytes) {
            starts.push(at);
            at += u32::try_from(record.record().len()).unwrap_or(u32::MAX);
        }
        let end = first + starts.len() as u64;
        {
            let mut ring = self.ring.write().expect("no reader panics");
            ring.bytes += bytes.len();
            ring.rows += starts.len();
            ring.runs.push_back(Arc::new(Run {
                first,
                bytes: bytes.clone(),
                starts,
            }));
            while (ring.bytes > self.max_bytes || ring.rows > self.max_rows) && ring.runs.len() > 1
            {
                let Some(old) = ring.runs.pop_front() else {
                    break;
                };
                ring.bytes -= old.bytes.len();
                ring.rows -= old.starts.len();
            }
        }
        self.end.send_replace(end);
    }

    /// Item numbers that are held.
    pub fn held(&self) -> Range<u64> {
        let ring = self.ring.read().expect("no writer panics");
        let end = *self.end.borrow();
        ring.runs.front().map_or(end..end, |run| run.first..end)
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.ring.read().expect("no writer panics").bytes
    }

    /// Follows the number of the next item.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    /// The row of one item.
    pub fn get(&self, number: u64) -> Option<Row> {
        self.page(number..number.checked_add(1)?, 1).pop()
    }

    /// Hands each row that is held now to `each`, in rising order, until it fails. Rows that go
    /// meanwhile are left out.
    ///
    /// # Errors
    /// What `each` says.
    pub fn try_each<E>(&self, mut each: impl FnMut(&Row) -> Result<(), E>) -> Result<(), E> {
        let held = self.held();
        let mut start = held.start;
        while start < held.end {
            let end = start.saturating_add(STEP).min(held.end);
            for row in self.page(start..end, STEP as usize) {
                each(&row)?;
            }
            start = end;
        }
        Ok(())
    }

    /// Up to `count` rows with numbers in `range`, in rising order.
    ///
    /// The lock is held only while the rows are looked up, so a filter runs without it.
    pub fn page(&self, range: Range<u64>, count: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        // Numbers follow each other without gaps.
        let start = range.start.max(self.held().start);
        let end = range.end.min(start.saturating_add(count as u64));
        for block in self.blocks(start..end) {
            for index in block.range {
                if rows.len() == count {
                    return rows;
                }
                rows.push(Row {
                    run: block.run.clone(),
                    index,
                });
            }
        }
        rows
    }

    /// The rows with numbers in `range`, in rising order, in the runs in which they are kept.
    ///
    /// The lock is held only while the runs are looked up.
    pub fn blocks(&self, range: Range<u64>) -> Vec<Block> {
        let ring = self.ring.read().expect("no writer panics");
        let from = ring
            .runs
            .partition_point(|run| run.first + run.starts.len() as u64 <= range.start);
        let touched = ring
            .runs
            .range(from..)
            .take_while(|run| run.first < range.end);
        let blocks = touched.map(|run| {
            let within = |number: u64| {
                let at = usize::try_from(number.saturating_sub(run.first));
                at.unwrap_or(usize::MAX).min(run.starts.len())
            };
            Block {
                run: run.clone(),
                range: within(range.start)..within(range.end),
            }
        });
        blocks.filter(|block| !block.is_empty()).collect()
    }
}

/// The ring as a consumer.
pub struct RowsConsumer(pub Arc<Rows>);

impl Consumer for RowsConsumer {
    fn on_step(&mut self, _step: &Step, items: &[Item], encoded: &Encoded<'_>) {
        if let Some(first) = items.first() {
            self.0.push(first.number, encoded.records());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::sample;

    fn filled(runs: u64, each: u64, max_rows: usize) -> Rows {
        let rows = Rows::new(usize::MAX, max_rows);
        for run in 0..runs {
            let mut bytes = Vec::new();
            for index in 0..each {
                let mut item = sample::http();
                item.number = run * each + index;
                flat::encode(&item, &mut bytes);
            }
            rows.push(run * each, &Arc::new(bytes));
        }
        rows
    }

    #[test]
    fn pages_cross_runs_and_stop_at_the_end() {
        let rows = filled(4, 3, 100);
        let numbers = |range, count| {
            rows.page(range, count)
                .iter()
                .map(|row| row.node().unwrap().number())
                .collect::<Vec<_>>()
        };
        assert_eq!(numbers(2..8, 100), [2, 3, 4, 5, 6, 7]);
        assert_eq!(numbers(10..99, 100), [10, 11]);
        assert_eq!(numbers(0..99, 4), [0, 1, 2, 3]);
        let block = &rows.blocks(4..8)[0];
        assert_eq!((block.first(), block.len()), (4, 2));
        let newest = block.newest(1, &mut |_| true);
        assert_eq!(newest[0].node().unwrap().number(), 5);
        assert_eq!(rows.get(11).unwrap().node().unwrap().number(), 11);
        assert!(rows.get(12).is_none());
    }

    #[test]
    fn the_oldest_run_goes_first() {
        let rows = filled(5, 4, 10);
        assert_eq!(rows.held(), 12..20);
        assert!(rows.get(11).is_none());
    }
}
