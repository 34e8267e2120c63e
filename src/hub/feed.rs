//! What a worker sends of its live rows: those that a query of the hub asks for, each once.
//!
//! In: the ring of rows, the queries in force, what the hub has received. Out: batches. Never: a
//! queue of its own. The ring is the queue: a hub or link that is slow makes the feed fall behind
//! there, and rows that the ring holds no longer are counted as skipped, so that nothing behind the
//! feed waits for it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::message::{FULL_BATCH, MAX_QUERIES, MAX_ROWS, QueryText, Rows as Batch};
use super::state::FeedCounts;
use crate::deliver::Imposed;
use crate::kfl::{self, Schema, Verdict};
use crate::pipeline::{Row, Rows};
use crate::time::Timestamp;

/// Batches that the hub has not said to have.
const WINDOW: usize = 8;

/// Rows of one batch.
const BATCH_ROWS: usize = 512;

/// Rows that queries are tried on in one step.
const LOOK: u64 = 20_000;

/// Rows that are looked up under one lock.
const PAGE: u64 = 2048;

/// Rows that the feed may be behind before it is skipped forward.
const MAX_BEHIND: u64 = 200_000;

/// Rows of before that one query is sent.
const BACKFILL_ROWS: usize = 10_000;

/// Their bytes.
const BACKFILL_BYTES: usize = 16 << 20;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Rows to send.
    Send(Batch),
    /// All rows of before that a query asks for were sent.
    Backfilled(u64),
    /// There is more to look at.
    Again,
    /// Nothing until rows come, or word of the hub.
    Wait,
}

/// One query, behind what is imposed; what this version cannot read asks for all that this lets
/// through, and the hub filters.
struct Query {
    id: u64,
    kfl: String,
    compiled: Option<kfl::Query>,
}

impl Query {
    fn wants(&self, row: &Row, now: Timestamp) -> bool {
        let Some(node) = row.node() else { return false };
        match &self.compiled {
            None => true,
            // What takes too long is not left out here: the hub counts it.
            Some(query) => query.matches(node, now) != Verdict::NoMatch,
        }
    }
}

/// Rows of before that a query asks for.
struct Backfill {
    query: u64,
    /// Rows that are still to be looked at, newest first.
    left: Range<u64>,
    /// What was found, oldest last, with its bytes.
    found: Vec<u64>,
    bytes: usize,
}

/// The feed of one run.
pub(super) struct Feed {
    rows: Arc<Rows>,
    schema: Arc<Schema>,
    imposed: Imposed,
    hub: u64,
    queries: Vec<Query>,
    backfills: VecDeque<Backfill>,
    /// Rows that were sent and may not have come.
    again: VecDeque<u64>,
    /// The next row that comes by itself.
    next: u64,
    sent: Marks,
    batch: u64,
    open: VecDeque<(u64, Vec<u64>)>,
    skipped: u64,
    counts: FeedCounts,
}

impl Feed {
    /// A feed of `rows` that nobody asked for yet.
    pub(super) fn new(rows: Arc<Rows>, schema: Arc<Schema>, imposed: Imposed) -> Feed {
        Feed {
            rows,
            schema,
            imposed,
            hub: 0,
            queries: Vec::new(),
            backfills: VecDeque::new(),
            again: VecDeque::new(),
            next: 0,
            sent: Marks::default(),
            batch: 0,
            open: VecDeque::new(),
            skipped: 0,
            counts: FeedCounts::default(),
        }
    }

    /// What it did.
    pub(super) fn counts(&self) -> FeedCounts {
        self.counts
    }

    /// A hub is there, which has the batches up to `received` when it is the one of before; its
    /// queries come next.
    pub(super) fn connected(&mut self, hub: u64, received: u64) {
        self.queries.clear();
        self.backfills.clear();
        if hub == self.hub {
            self.received(received);
            let open = std::mem::take(&mut self.open);
            self.again
                .extend(open.into_iter().flat_map(|(_, numbers)| numbers));
            return;
        }
        self.hub = hub;
        self.open.clear();
        self.again.clear();
        self.next = self.rows.held().end;
        self.sent = Marks::from(self.next);
        self.skipped = 0;
    }

    /// The hub has the batches up to this one.
    pub(super) fn received(&mut self, batch: u64) {
        while self
            .open
            .front()
            .is_some_and(|(number, _)| *number <= batch)
        {
            self.open.pop_front();
        }
    }

    /// A query in force, for hooks that are told one; rows may be asked for by several.
    pub(super) fn query(&self) -> String {
        let first = self.queries.first();
        first.map(|query| query.kfl.clone()).unwrap_or_default()
    }

    /// The queries in force from now on.
    pub(super) fn set_queries(&mut self, queries: Vec<QueryText>) {
        let held = self.rows.held();
        if self.queries.is_empty() {
            // Nobody asked for the rows that came meanwhile; they are rows of before.
            self.next = held.end;
        }
        let mut before = std::mem::take(&mut self.queries);
        for QueryText { id, kfl } in queries.into_iter().take(MAX_QUERIES) {
            match before.iter().position(|query| query.id == id) {
                Some(at) => self.queries.push(before.swap_remove(at)),
                None => {
                    self.backfills.push_back(Backfill {
                        query: id,
                        left: held.start..self.next,
                        found: Vec::new(),
                        bytes: 0,
                    });
                    let compiled = self.imposed.compile(&kfl, &self.schema).ok();
                    let compiled = compiled.or_else(|| self.imposed.query().cloned());
                    self.queries.push(Query { id, kfl, compiled });
                }
            }
        }
        let asked = |id| self.queries.iter().any(|query| query.id == id);
        self.backfills.retain(|backfill| asked(backfill.query));
        tracing::debug!(
            queries = ?self.queries.iter().map(|query| &query.kfl).collect::<Vec<_>>(),
            "queries of the hub"
        );
    }

    /// Looks at some rows, at the time `now`.
    pub(super) fn step(&mut self, now: Timestamp) -> Step {
        let held = self.rows.held();
        self.sent.forget(held.start);
        if self.queries.is_empty() {
            self.next = held.end;
            self.again.clear();
            return Step::Wait;
        }
        if self.open.len() >= WINDOW {
            self.catch_up(&held);
            return Step::Wait;
        }
        if !self.again.is_empty() {
            return self.send_again(&held);
        }
        if let Some(backfill) = self.backfills.pop_front() {
            return self.backfill(backfill, &held, now);
        }
        self.live(&held, now)
    }

    /// Gives up rows that are held no longer, or too many.
    fn catch_up(&mut self, held: &Range<u64>) {
        let least = held.start.max(held.end.saturating_sub(MAX_BEHIND));
        let lost = least.saturating_sub(self.next);
        if lost > 0 {
            self.next = least;
            self.skipped += lost;
            self.counts.skipped += lost;
        }
    }

    fn live(&mut self, held: &Range<u64>, now: Timestamp) -> Step {
        self.catch_up(held);
        let end = held.end.min(self.next.saturating_add(LOOK));
        let mut records = Vec::new();
        let mut numbers = Vec::new();
        while self.next < end && numbers.len() < BATCH_ROWS && records.len() < FULL_BATCH {
            let page = self.next..end.min(self.next + PAGE);
            let to = page.end;
            for row in self.rows.page(page, PAGE as usize) {
                let Some(number) = row.node().map(|node| node.number()) else {
                    continue;
                };
                self.next = number + 1;
                self.counts.looked_at += 1;
                if self.queries.iter().any(|query| query.wants(&row, now)) {
                    self.add(&row, number, &mut records, &mut numbers);
                }
                if numbers.len() >= BATCH_ROWS || records.len() >= FULL_BATCH {
                    break;
                }
            }
            if numbers.len() < BATCH_ROWS && records.len() < FULL_BATCH {
                // Rows that went away while they were looked at are not waited for.
                self.next = self.next.max(to);
            }
        }
        if numbers.is_empty() {
            return match self.next < held.end {
                true => Step::Again,
                false => Step::Wait,
            };
        }
        self.batch(0, records, numbers)
    }

    fn send_again(&mut self, held: &Range<u64>) -> Step {
        let (mut records, mut numbers) = (Vec::new(), Vec::new());
        while numbers.len() < BATCH_ROWS && records.len() < FULL_BATCH {
            let Some(number) = self.again.pop_front() else {
                break;
            };
            match self.rows.get(number).filter(|_| held.contains(&number)) {
                Some(row) => self.add(&row, number, &mut records, &mut numbers),
                None => {
                    self.skipped += 1;
                    self.counts.skipped += 1;
                }
            }
        }
        match numbers.is_empty() {
            true => Step::Again,
            false => self.batch(0, records, numbers),
        }
    }

    fn backfill(&mut self, mut backfill: Backfill, held: &Range<u64>, now: Timestamp) -> Step {
        let Some(query) = self.queries.iter().find(|query| query.id == backfill.query) else {
            return Step::Again;
        };
        let mut looked = 0;
        let start = backfill.left.start.max(held.start);
        let is_full = |backfill: &Backfill| {
            backfill.found.len() >= BACKFILL_ROWS || backfill.bytes >= BACKFILL_BYTES
        };
        while backfill.left.end > start && looked < LOOK && !is_full(&backfill) {
            let from = backfill.left.end.saturating_sub(PAGE).max(start);
            for row in self
                .rows
                .page(from..backfill.left.end, PAGE as usize)
                .iter()
                .rev()
            {
                let Some(node) = row.node() else { continue };
                looked += 1;
                if !self.sent.has(node.number()) && query.wants(row, now) && !is_full(&backfill) {
                    backfill.found.push(node.number());
                    backfill.bytes += node.record().len();
                }
            }
            backfill.left.end = from;
        }
        self.counts.looked_at += looked;
        if backfill.left.end > start && !is_full(&backfill) {
            self.backfills.push_front(backfill);
            return Step::Again;
        }
        backfill.left.end = start;
        let (mut records, mut numbers) = (Vec::new(), Vec::new());
        while numbers.len() < BATCH_ROWS && records.len() < FULL_BATCH {
            let Some(number) = backfill.found.pop() else {
                break;
            };
            if let Some(row) = self.rows.get(number)
                && !self.sent.has(number)
            {
                self.add(&row, number, &mut records, &mut numbers);
            }
        }
        let query = backfill.query;
        if numbers.is_empty() && backfill.found.is_empty() {
            return Step::Backfilled(query);
        }
        // Its end is told in a step of its own.
        self.backfills.push_front(backfill);
        match numbers.is_empty() {
            true => Step::Again,
            false => self.batch(query, records, numbers),
        }
    }

    fn add(&mut self, row: &Row, number: u64, records: &mut Vec<u8>, numbers: &mut Vec<u64>) {
        let Some(node) = row.node() else { return };
        let record = node.record();
        if records.len() + record.len() > MAX_ROWS {
            // A batch is sent when it holds less than a quarter of that.
            self.counts.too_large += 1;
            self.skipped += 1;
            return;
        }
        records.extend_from_slice(&record);
        numbers.push(number);
        self.sent.set(number);
    }

    fn batch(&mut self, query: u64, records: Vec<u8>, numbers: Vec<u64>) -> Step {
        self.batch += 1;
        self.counts.sent += numbers.len() as u64;
        self.open.push_back((self.batch, numbers));
        Step::Send(Batch {
            batch: self.batch,
            query,
            skipped: std::mem::take(&mut self.skipped),
            records,
        })
    }
}

/// Which rows were sent, a bit each.
#[derive(Debug, Default)]
struct Marks {
    /// The first row of the first word; a multiple of 64.
    first: u64,
    words: VecDeque<u64>,
}

impl Marks {
    /// Marks of rows from about `number` on; those before count as not sent.
    fn from(number: u64) -> Marks {
        Marks {
            first: number / 64 * 64,
            words: VecDeque::new(),
        }
    }

    fn place(&self, number: u64) -> Option<(usize, u64)> {
        let at = number.checked_sub(self.first)?;
        Some((usize::try_from(at / 64).ok()?, 1 << (at % 64)))
    }

    fn set(&mut self, number: u64) {
        // A row of before: as many words in front as it takes.
        while number < self.first {
            self.words.push_front(0);
            self.first -= 64;
        }
        if let Some((word, bit)) = self.place(number) {
            if word >= self.words.len() {
                self.words.resize(word + 1, 0);
            }
            if let Some(word) = self.words.get_mut(word) {
                *word |= bit;
            }
        }
    }

    fn has(&self, number: u64) -> bool {
        self.place(number)
            .is_some_and(|(word, bit)| self.words.get(word).is_some_and(|word| word & bit != 0))
    }

    /// Forgets rows before this one.
    fn forget(&mut self, start: u64) {
        while self.first + 64 <= start && self.words.pop_front().is_some() {
            self.first += 64;
        }
        if self.words.is_empty() {
            self.first = self.first.max(start / 64 * 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::item::{Value, flat, sample};

    /// Adds items with these answers behind those that are there.
    fn add(rows: &Rows, statuses: &[i64]) {
        let first = rows.held().end;
        let mut bytes = Vec::new();
        for (number, status) in (first..).zip(statuses) {
            let mut item = sample::http();
            item.number = number;
            if let Value::Object(members) = &mut item.response
                && let Some((_, value)) = members.first_mut()
            {
                *value = Value::Int(*status);
            }
            flat::encode(&item, &mut bytes);
        }
        rows.push(first, &Arc::new(bytes));
    }

    fn query(id: u64, kfl: &str) -> QueryText {
        QueryText {
            id,
            kfl: kfl.to_owned(),
        }
    }

    fn feed(rows: &Arc<Rows>) -> Feed {
        let mut feed = Feed::new(rows.clone(), Arc::new(Schema::empty()), Imposed::default());
        feed.connected(1, 0);
        feed
    }

    /// Runs until nothing is left, and says each batch received; answers (query, number) of all rows
    /// and the queries whose rows of before came.
    fn drain(feed: &mut Feed) -> (Vec<(u64, u64)>, Vec<u64>) {
        let (mut found, mut ended) = (Vec::new(), Vec::new());
        loop {
            match feed.step(Timestamp::default()) {
                Step::Send(batch) => {
                    let numbers = flat::records(&batch.records).map(|row| row.number());
                    found.extend(numbers.map(|number| (batch.query, number)));
                    feed.received(batch.batch);
                }
                Step::Backfilled(query) => ended.push(query),
                Step::Again => {}
                Step::Wait => return (found, ended),
            }
        }
    }

    #[test]
    fn only_what_is_asked_for_is_sent_and_only_once() {
        let rows = Arc::new(Rows::new(usize::MAX, 1000));
        add(&rows, &[200, 500, 200]);
        let mut feed = feed(&rows);
        assert_eq!(drain(&mut feed), (vec![], vec![]));
        feed.set_queries(vec![query(1, "response.status == 500")]);
        add(&rows, &[500, 200]);
        assert_eq!(drain(&mut feed), (vec![(1, 1), (0, 3)], vec![1]));
        // The second query gets what the first one did not ask for.
        let both = vec![query(1, "response.status == 500"), query(2, "")];
        feed.set_queries(both);
        assert_eq!(drain(&mut feed), (vec![(2, 0), (2, 2), (2, 4)], vec![2]));
        add(&rows, &[404]);
        assert_eq!(drain(&mut feed).0, [(0, 5)]);
        // What came while nobody asked is of before.
        feed.set_queries(vec![]);
        add(&rows, &[200]);
        assert_eq!(drain(&mut feed).0, []);
        feed.set_queries(vec![query(3, "")]);
        assert_eq!(drain(&mut feed), (vec![(3, 6)], vec![3]));
    }

    #[test]
    fn a_query_that_cannot_be_read_gets_everything() {
        let rows = Arc::new(Rows::new(usize::MAX, 1000));
        let mut feed = feed(&rows);
        feed.set_queries(vec![query(1, "some new syntax ->")]);
        add(&rows, &[200, 500]);
        assert_eq!(drain(&mut feed).0, [(0, 0), (0, 1)]);
    }

    #[test]
    fn what_did_not_come_is_sent_again_to_the_same_hub_alone() {
        let rows = Arc::new(Rows::new(usize::MAX, 1000));
        let mut feed = feed(&rows);
        feed.set_queries(vec![query(1, "")]);
        assert_eq!(drain(&mut feed), (vec![], vec![1]));
        add(&rows, &[200]);
        let Step::Send(came) = feed.step(Timestamp::default()) else {
            panic!("a row was there")
        };
        add(&rows, &[404]);
        let Step::Send(lost) = feed.step(Timestamp::default()) else {
            panic!("a row was there")
        };
        add(&rows, &[500]);
        feed.connected(1, came.batch);
        feed.set_queries(vec![query(1, "")]);
        let (found, _) = drain(&mut feed);
        let numbers: Vec<u64> = found.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, [1, 2], "{found:?}");
        assert!(lost.batch > came.batch);
        // Another hub has nothing, and asks for what it wants of before.
        feed.connected(2, 0);
        feed.set_queries(vec![query(1, "")]);
        let (found, ended) = drain(&mut feed);
        assert_eq!(found, [(1, 0), (1, 1), (1, 2)]);
        assert_eq!(ended, [1]);
    }

    #[test]
    fn a_hub_that_is_slow_costs_rows_that_are_counted() {
        let rows = Arc::new(Rows::unpacked(usize::MAX, 600));
        let mut feed = feed(&rows);
        feed.set_queries(vec![query(1, "")]);
        drain(&mut feed);
        let mut sent = 0;
        for _ in 0..WINDOW {
            add(&rows, &[200; 10]);
            let Step::Send(batch) = feed.step(Timestamp::default()) else {
                panic!("the window is open")
            };
            sent = batch.batch;
        }
        for _ in 0..100 {
            add(&rows, &[200; 10]);
            assert_eq!(feed.step(Timestamp::default()), Step::Wait);
        }
        feed.received(sent);
        let (found, _) = drain(&mut feed);
        assert_eq!(found.len(), 600);
        assert_eq!(feed.counts().skipped, 400);
        assert_eq!(feed.counts().sent, 80 + 600);
    }

    proptest! {
        #[test]
        fn marks_are_those_that_were_set(
            start in 0_u64..1000,
            set in prop::collection::btree_set(0_u64..3000, 0..100),
            forgotten in 0_u64..3000,
        ) {
            let mut marks = Marks::from(start);
            for number in &set {
                marks.set(*number);
            }
            for number in 0..3100 {
                prop_assert_eq!(marks.has(number), set.contains(&number));
            }
            marks.forget(forgotten);
            for number in forgotten..3100 {
                prop_assert_eq!(marks.has(number), set.contains(&number));
            }
            prop_assert!(marks.words.len() <= 3100 / 64 + 1);
        }
    }
}
