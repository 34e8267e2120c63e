//! The rows of all workers become one list.
//!
//! In: batches of workers, in any order among each other. Out: rows in the hub's ring, numbered
//! anew; those that come within a moment stand in the order of their time. Never: a row of a node
//! that is another's, memory without an end.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::item::{Node, flat, lookup};
use crate::pipeline::Rows;

/// Bytes that wait; beyond them nothing is held back.
const MAX_WAITING: usize = 64 << 20;

/// Bytes of one run of rows in the ring.
const RUN: usize = 1 << 20;

/// One row that waits.
struct Waiting {
    /// When the exchange ended, Unix milliseconds.
    at: i64,
    batch: Arc<Vec<u8>>,
    range: Range<usize>,
}

#[derive(Default)]
struct Inner {
    waiting: Vec<Waiting>,
    bytes: usize,
    /// Last batch by connection.
    taken: BTreeMap<u64, u64>,
    hold: Option<Instant>,
    next: u64,
}

/// The rows on their way into the ring.
pub(super) struct Merge {
    rows: Arc<Rows>,
    inner: Mutex<Inner>,
}

/// What became of the rows of a batch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) rows: u64,
    /// Rows that say that they are of another node.
    pub(super) foreign: u64,
}

impl Merge {
    /// Rows go into `rows`, which nobody else fills.
    pub(super) fn new(rows: Arc<Rows>) -> Merge {
        Merge {
            rows,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a batch of the node `node`, which came over the connection `connection`.
    pub(super) fn add(&self, node: &str, connection: u64, batch: u64, records: Vec<u8>) -> Taken {
        let records = Arc::new(records);
        let mut taken = Taken::default();
        let mut found = Vec::new();
        let mut at = 0;
        for record in flat::records(&records) {
            let range = at..at + record.record().len();
            at = range.end;
            let name = lookup(record, "node.name").and_then(Node::text);
            if name.as_deref() != Some(node) {
                taken.foreign += 1;
                continue;
            }
            let int = |path| lookup(record, path).and_then(Node::int).unwrap_or_default();
            found.push(Waiting {
                at: int("timestamp").saturating_add(int("elapsedTime")),
                batch: records.clone(),
                range,
            });
        }
        taken.rows = found.len() as u64;
        let mut inner = self.inner();
        inner.bytes += records.len();
        inner.waiting.append(&mut found);
        inner.taken.insert(connection, batch);
        taken
    }

    /// Holds rows back until this moment, or until [`Merge::release`].
    pub(super) fn hold(&self, until: Instant) {
        let mut inner = self.inner();
        inner.hold = inner.hold.max(Some(until));
    }

    /// Holds nothing back any more.
    pub(super) fn release(&self) {
        self.inner().hold = None;
    }

    /// Puts what waits into the ring; answers the last batch of each connection that is there now.
    pub(super) fn flush(&self) -> BTreeMap<u64, u64> {
        let mut inner = self.inner();
        let is_held = inner.hold.is_some_and(|until| Instant::now() < until);
        if is_held && inner.bytes < MAX_WAITING {
            return BTreeMap::new();
        }
        let mut waiting = std::mem::take(&mut inner.waiting);
        inner.bytes = 0;
        waiting.sort_by_key(|row| row.at);
        let mut run = Vec::new();
        let mut first = inner.next;
        for row in &waiting {
            let Some(record) = row.batch.get(row.range.clone()) else {
                continue;
            };
            let start = run.len();
            run.extend_from_slice(record);
            flat::renumber(run.get_mut(start..).unwrap_or_default(), inner.next);
            inner.next += 1;
            if run.len() >= RUN {
                self.rows.push(first, &Arc::new(std::mem::take(&mut run)));
                first = inner.next;
            }
        }
        if !run.is_empty() {
            self.rows.push(first, &Arc::new(run));
        }
        std::mem::take(&mut inner.taken)
    }

    /// Bytes that wait.
    pub(super) fn is_full(&self) -> bool {
        self.inner().bytes >= MAX_WAITING
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::item::{Origin, sample};
    use crate::time::Timestamp;

    fn batch(node: &str, times: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, at) in times.iter().enumerate() {
            let mut item = sample::http();
            item.number = number as u64;
            item.start = Timestamp::from_secs(*at, 0);
            item.origin = Arc::new(Origin {
                node_name: node.to_owned(),
                ..Origin::default()
            });
            flat::encode(&item, &mut bytes);
        }
        bytes
    }

    /// (node, second, number) of all rows.
    fn held(rows: &Rows) -> Vec<(String, i64, u64)> {
        let page = rows.page(rows.held(), usize::MAX);
        let row = |row: &crate::pipeline::Row| {
            let node = row.node().unwrap();
            let name = lookup(node, "node.name").and_then(Node::text).unwrap();
            let at = lookup(node, "timestamp").and_then(Node::int).unwrap();
            (name.into_owned(), at / 1000, node.number())
        };
        page.iter().map(row).collect()
    }

    #[test]
    fn rows_of_all_nodes_stand_in_the_order_of_their_time() {
        let rows = Arc::new(Rows::new(usize::MAX, 1000));
        let merge = Merge::new(rows.clone());
        merge.add("a", 1, 1, batch("a", &[10, 30]));
        merge.add("b", 2, 7, batch("b", &[20, 40]));
        merge.add("a", 1, 2, batch("a", &[15]));
        assert_eq!(merge.flush(), BTreeMap::from([(1, 2), (2, 7)]));
        assert_eq!(merge.flush(), BTreeMap::new());
        let found = held(&rows);
        let order: Vec<(&str, i64)> = found.iter().map(|(n, at, _)| (n.as_str(), *at)).collect();
        assert_eq!(
            order,
            [("a", 10), ("a", 15), ("b", 20), ("a", 30), ("b", 40)]
        );
        assert!(found.iter().map(|(.., number)| *number).eq(0..5));
        merge.add("a", 1, 3, batch("a", &[12]));
        merge.flush();
        assert_eq!(held(&rows).last(), Some(&("a".to_owned(), 12, 5)));
    }

    #[test]
    fn rows_are_held_back_for_a_while_and_foreign_ones_never_come() {
        let rows = Arc::new(Rows::new(usize::MAX, 1000));
        let merge = Merge::new(rows.clone());
        merge.hold(Instant::now() + Duration::from_secs(60));
        let taken = merge.add("a", 1, 1, [batch("a", &[1]), batch("b", &[2])].concat());
        assert_eq!(
            taken,
            Taken {
                rows: 1,
                foreign: 1
            }
        );
        assert_eq!(merge.flush(), BTreeMap::new());
        assert_eq!(held(&rows), []);
        merge.release();
        merge.flush();
        assert_eq!(held(&rows), [("a".to_owned(), 1, 0)]);
        let garbage = merge.add("a", 1, 2, vec![0xff; 1000]);
        assert_eq!(garbage, Taken::default());
    }
}
