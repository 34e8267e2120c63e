//! The items of a batch that a script wants to see.
//!
//! In: records of a batch, and the pre-filters that scripts state (`onItemCaptured.kfl`). Out: one
//! batch for each query that differs, shared by all scripts that state it. Never: a record that is
//! copied for a script that wants all of them; an item that is left out because nobody could tell.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::runner::{Runner, Work};
use super::wire::Batch;
use crate::item::flat;
use crate::kfl::{Query, Verdict};
use crate::time::Timestamp;

/// Records of one step with their numbers.
pub(crate) struct Records<'a> {
    /// The flat records, back to back.
    pub bytes: &'a [u8],
    /// How many there are.
    pub count: u32,
    /// Number of the last one.
    pub last: u64,
    /// Packet time when the step was closed.
    pub now: Timestamp,
}

/// What one query leaves of the records.
struct Selected {
    query: Option<Query>,
    /// The batch with its items and bytes; `None` when nothing is left.
    batch: Option<(Batch, u32, usize)>,
}

/// Selections of the same records, each made when the first script asks for it.
pub(crate) struct Selections<'a> {
    records: Records<'a>,
    readers: &'a [Arc<Runner>],
    at: Timestamp,
    made: Vec<Selected>,
}

impl<'a> Selections<'a> {
    /// Of `records` for `readers`; `at` is what `now` means in queries.
    pub(crate) fn new(
        records: Records<'a>,
        readers: &'a [Arc<Runner>],
        at: Timestamp,
    ) -> Selections<'a> {
        Selections {
            records,
            readers,
            at,
            made: Vec::new(),
        }
    }

    /// What `runner` is to be told, and how many items its query leaves out.
    pub(crate) fn of(&mut self, runner: &Runner) -> (Option<Work>, u32) {
        let query = runner.filter();
        let known = self
            .made
            .iter()
            .position(|made| is_same(made.query.as_ref(), query.as_ref()));
        let position = known.unwrap_or_else(|| {
            self.made.push(self.select(query));
            self.made.len() - 1
        });
        let all = self.records.count;
        match self.made.get(position).and_then(|made| made.batch.as_ref()) {
            Some((batch, count, bytes)) => {
                let work = Work::Items(batch.clone(), *count, *bytes);
                (Some(work), all - count)
            }
            None => (None, all),
        }
    }

    /// As [`Selections::of`], with what is left out counted.
    pub(crate) fn counted(&mut self, runner: &Runner) -> Option<Work> {
        let (work, left_out) = self.of(runner);
        let counts = &runner.counts.filtered;
        counts.fetch_add(left_out.into(), Ordering::Relaxed);
        work
    }

    fn select(&self, query: Option<Query>) -> Selected {
        let Records {
            bytes,
            count,
            last,
            now,
        } = self.records;
        let same = |runner: &&Arc<Runner>| is_same(runner.filter().as_ref(), query.as_ref());
        let readers = self.readers.iter().filter(same).count();
        let mut kept = Vec::new();
        let mut numbers = 0..0;
        let mut left = 0;
        let all = match &query {
            None => true,
            Some(query) => {
                for record in flat::records(bytes) {
                    // What cannot be decided is told: a script sees rather too much.
                    if query.matches(record, self.at) != Verdict::NoMatch {
                        if left == 0 {
                            numbers.start = record.number();
                        }
                        numbers.end = record.number();
                        left += 1;
                        kept.extend_from_slice(record.record());
                    }
                }
                left == count
            }
        };
        let batch = if all {
            let first = flat::records(bytes).next().map_or(last, flat::Flat::number);
            let batch = Batch::new(first, last, now, bytes, readers);
            Some((batch, count, bytes.len()))
        } else if left == 0 {
            None
        } else {
            let batch = Batch::new(numbers.start, numbers.end, now, &kept, readers);
            Some((batch, left, kept.len()))
        };
        Selected { query, batch }
    }
}

fn is_same(one: Option<&Query>, other: Option<&Query>) -> bool {
    one.map(Query::text) == other.map(Query::text)
}
