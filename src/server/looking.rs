//! Rows that match a query, the newest first, looked for on all cores.
//!
//! In: the ring of rows, a query. Out: some of the newest matches and where to go on. Never: a lock
//! held while a query runs, an answer that comes much later than [`PATIENCE`].

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::item::packed::Held;
use crate::kfl;
use crate::kfl::prefilter::{ColumnTest, Condition};
use crate::pipeline::{Block, Row, Rows};
use crate::time::Timestamp;

/// Time after which an answer has what was found so far.
const PATIENCE: Duration = Duration::from_secs(1);

/// Rows of the first step, which is often enough; each step is four times the one before.
const FIRST: u64 = 4096;

/// Rows of the largest step.
const MOST: u64 = 1 << 18;

/// Threads at most.
const MAX_THREADS: usize = 8;

/// Some of the newest matches.
pub(super) struct Found {
    /// The rows, the newest first.
    pub(super) rows: Vec<Row>,
    /// All rows from this number on were looked at; `None` when all were.
    pub(super) next: Option<u64>,
    /// Rows that were looked at.
    pub(super) looked: u64,
    /// Rows that the query could not decide about; they are left out.
    pub(super) undecided: u64,
}

/// At most `limit` rows that match, of those in front of the number `before`.
pub(super) fn newest(
    rows: &Rows,
    query: &kfl::Query,
    now: Timestamp,
    before: Option<u64>,
    limit: usize,
) -> Found {
    let began = Instant::now();
    let held = rows.held();
    let mut end = before.unwrap_or(held.end).min(held.end);
    let from = end;
    let mut found = Vec::new();
    let undecided = AtomicU64::new(0);
    let matches = |node: Held<'_>| match query.matches(node, now) {
        kfl::Verdict::Match => true,
        kfl::Verdict::NoMatch => false,
        kfl::Verdict::Undecided => {
            undecided.fetch_add(1, Ordering::Relaxed);
            false
        }
    };
    let condition = query.column_condition(now);
    let mut step = FIRST;
    while end > held.start && found.len() < limit && began.elapsed() < PATIENCE {
        let start = end.saturating_sub(step).max(held.start);
        let mut blocks = rows.blocks(start..end);
        blocks.reverse();
        let threads = if step == FIRST { 1 } else { cores() };
        let reached = look(
            &blocks,
            limit,
            threads,
            condition.as_ref(),
            &matches,
            &mut found,
        );
        end = reached.unwrap_or(start);
        step = (step * 4).min(MOST);
    }
    if found.len() > limit {
        found.truncate(limit);
    }
    if found.len() == limit {
        let last = found.last().and_then(Row::node);
        end = last.map_or(end, |last| last.number());
    }
    Found {
        rows: found,
        next: (end > held.start).then_some(end),
        looked: from.saturating_sub(end),
        undecided: undecided.into_inner(),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS))
}

/// Appends the matches of `blocks`, which stand the newest first, and stops when there are `limit`;
/// answers the number of the oldest row that was looked at when some were not.
fn look(
    blocks: &[Block],
    limit: usize,
    threads: usize,
    condition: Option<&Condition<ColumnTest>>,
    matches: &(impl Fn(Held<'_>) -> bool + Sync),
    found: &mut Vec<Row>,
) -> Option<u64> {
    let wanted = limit - found.len();
    // Blocks are taken in order, so those that were taken are the newest.
    let (taken, matched) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        let mut mine = Vec::new();
        while matched.load(Ordering::Relaxed) < wanted {
            let at = taken.fetch_add(1, Ordering::Relaxed);
            let Some(block) = blocks.get(at) else { break };
            let Some(block) = block.narrowed_by(condition) else {
                continue;
            };
            let rows = block.newest(wanted, &mut |node| matches(node));
            matched.fetch_add(rows.len(), Ordering::Relaxed);
            if !rows.is_empty() {
                mine.push((at, rows));
            }
        }
        mine
    };
    let mut parts = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut parts = work();
        for other in others {
            parts.extend(other.join().unwrap_or_default());
        }
        parts
    });
    parts.sort_unstable_by_key(|(at, _)| *at);
    found.extend(parts.into_iter().flat_map(|(_, rows)| rows));
    let looked = taken.into_inner().min(blocks.len());
    (looked < blocks.len())
        .then(|| blocks.get(looked.saturating_sub(1)).map(Block::first))
        .flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::item::{flat, sample};

    /// Rows of which every `nth` has the status 404.
    fn ring(count: u64, nth: u64) -> Rows {
        let rows = Rows::new(usize::MAX, usize::MAX);
        let mut first = 0;
        while first < count {
            let mut bytes = Vec::new();
            let last = (first + 100).min(count);
            for number in first..last {
                let mut item = sample::http();
                item.number = number;
                item.src.endpoint.port = if number % nth == 0 { 404 } else { 1 };
                flat::encode(&item, &mut bytes);
            }
            rows.push(first, &Arc::new(bytes));
            first = last;
        }
        rows
    }

    #[test]
    fn pages_hold_every_match_once_and_in_order() {
        let query = kfl::compile("src.port == \"404\"", &kfl::Schema::empty()).unwrap();
        for (count, nth, limit) in [
            (30_000, 7, 100),
            (30_000, 9_001, 100),
            (50, 1, 1000),
            (0, 1, 1),
        ] {
            let rows = ring(count, nth);
            let mut numbers = Vec::new();
            let mut before = None;
            loop {
                let found = newest(&rows, &query, Timestamp::default(), before, limit);
                assert!(found.rows.len() <= limit);
                numbers.extend(found.rows.iter().map(|row| row.node().unwrap().number()));
                match found.next {
                    Some(next) => before = Some(next),
                    None => break,
                }
            }
            let wanted: Vec<u64> = (0..count)
                .rev()
                .filter(|number| number % nth == 0)
                .collect();
            assert_eq!(numbers, wanted, "{count} {nth}");
        }
    }
}
