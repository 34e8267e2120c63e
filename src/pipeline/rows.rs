//! Live rows: the newest items, bounded in bytes and in number.
//!
//! One writer (the collector), many readers (pages, queries). Rows come in the runs in which they
//! were encoded, and so they are kept for a while; then a thread packs some thousand of them
//! together, which takes a tenth of the room and can be read in place ([`packed`]). The writer never
//! waits for that: rows that come faster than they are packed let the oldest go earlier.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, OnceLock, RwLock};

use crossbeam_channel::Sender;
use tokio::sync::watch;

use super::{Consumer, Encoded, Step};
use crate::item::Item;
use crate::item::flat::{self, Flat};
use crate::item::packed::{self, Held, Packed};
use crate::kfl::prefilter::{ColumnTest, Condition};

/// Rows that are looked up under one lock.
const STEP: u64 = 2048;

/// Rows that are packed together at most, and their bytes before that.
const PACKED_ROWS: usize = 4096;
const PACKED_BYTES: usize = 8 << 20;

/// Of what is held, the part that is let go of at a time when rows are packed.
const PARTS: usize = 16;

/// Rows of one run, as they were encoded or packed.
struct Run {
    first: u64,
    form: Form,
}

enum Form {
    Flat {
        bytes: Arc<Vec<u8>>,
        starts: Vec<u32>,
    },
    Packed(Box<Packed>),
}

impl Run {
    fn node(&self, index: usize) -> Option<Held<'_>> {
        match &self.form {
            Form::Packed(packed) => packed.get(index),
            Form::Flat { .. } => self.flat(index).map(Held::of),
        }
    }

    fn flat(&self, index: usize) -> Option<Flat<'_>> {
        let Form::Flat { bytes, starts } = &self.form else {
            return None;
        };
        let start = *starts.get(index)? as usize;
        let end = starts.get(index + 1);
        let end = end.map_or(bytes.len(), |end| *end as usize);
        Flat::new(bytes.get(start..end)?)
    }

    fn len(&self) -> usize {
        match &self.form {
            Form::Flat { starts, .. } => starts.len(),
            Form::Packed(packed) => packed.len(),
        }
    }

    fn bytes(&self) -> usize {
        match &self.form {
            Form::Flat { bytes, starts } => bytes.len() + size_of_val(starts.as_slice()),
            Form::Packed(packed) => packed.bytes(),
        }
    }

    fn end(&self) -> u64 {
        self.first + self.len() as u64
    }

    fn is_packed(&self) -> bool {
        matches!(self.form, Form::Packed(_))
    }
}

#[derive(Default)]
struct Ring {
    /// The packed ones stand in front.
    runs: VecDeque<Arc<Run>>,
    bytes: usize,
    rows: usize,
    /// Of those that are not packed.
    flat_bytes: usize,
    flat_rows: usize,
}

impl Ring {
    fn add(&mut self, run: &Run) {
        self.bytes += run.bytes();
        self.rows += run.len();
        if !run.is_packed() {
            self.flat_bytes += run.bytes();
            self.flat_rows += run.len();
        }
    }

    fn take(&mut self, run: &Run) {
        self.bytes -= run.bytes();
        self.rows -= run.len();
        if !run.is_packed() {
            self.flat_bytes -= run.bytes();
            self.flat_rows -= run.len();
        }
    }
}

/// One row; keeps its run alive.
#[derive(Clone)]
pub struct Row {
    run: Arc<Run>,
    index: usize,
}

impl Row {
    /// The item.
    pub fn node(&self) -> Option<Held<'_>> {
        self.run.node(self.index)
    }
}

/// Rows that stand in a row, of one run; looking at them costs nothing each.
#[derive(Clone)]
pub struct Block {
    run: Arc<Run>,
    range: Range<usize>,
    /// Those of the run that are meant, when not all are.
    only: Option<Arc<[bool]>>,
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

    /// The rows that may meet the condition, by the texts that packed rows share; `None` when there
    /// are none. Without a condition all may.
    pub fn narrowed_by(&self, condition: Option<&Condition<ColumnTest>>) -> Option<Block> {
        let (Form::Packed(packed), Some(condition)) = (&self.run.form, condition) else {
            return Some(self.clone());
        };
        let only = having(packed, condition);
        if let Some(only) = &only
            && !only.get(self.range.clone())?.contains(&true)
        {
            return None;
        }
        Some(Block {
            only: only.map(Arc::from),
            ..self.clone()
        })
    }

    fn is_meant(&self, index: usize) -> bool {
        let only = self.only.as_deref();
        only.is_none_or(|only| only.get(index) == Some(&true))
    }

    /// Hands each row to `each`, in rising order.
    pub fn each(&self, each: &mut dyn FnMut(Held<'_>)) {
        let meant = self.range.clone().filter(|index| self.is_meant(*index));
        meant
            .filter_map(|index| self.run.node(index))
            .for_each(each);
    }

    /// The rows that `wanted` takes, the newest first, until it has `limit`.
    pub fn newest(&self, limit: usize, wanted: &mut dyn FnMut(Held<'_>) -> bool) -> Vec<Row> {
        let mut rows = Vec::new();
        for index in self.range.clone().rev() {
            if rows.len() == limit {
                break;
            }
            if self.is_meant(index) && self.run.node(index).is_some_and(&mut *wanted) {
                rows.push(Row {
                    run: self.run.clone(),
                    index,
                });
            }
        }
        rows
    }
}

/// Which rows may meet the condition; `None` when all may.
fn having(packed: &Packed, condition: &Condition<ColumnTest>) -> Option<Vec<bool>> {
    let joined = |mut all: Vec<bool>, one: Vec<bool>, join: fn(&mut bool, bool)| {
        all.iter_mut()
            .zip(one)
            .for_each(|(all, one)| join(all, one));
        all
    };
    match condition {
        Condition::All(parts) => {
            let mut all: Option<Vec<bool>> = None;
            for one in parts.iter().filter_map(|part| having(packed, part)) {
                let left = match all {
                    Some(all) => joined(all, one, |all, one| *all &= one),
                    None => one,
                };
                // What one part leaves out needs no look at the others.
                let is_none = !left.contains(&true);
                all = Some(left);
                if is_none {
                    break;
                }
            }
            all
        }
        Condition::Any(parts) => {
            let mut each = parts.iter().map(|part| having(packed, part));
            let first = each.next()??;
            each.try_fold(first, |all, one| {
                Some(joined(all, one?, |all, one| *all |= one))
            })
        }
        Condition::Is(test) => {
            let (text, is_whole) = test.plain_text()?;
            packed.having(&test.column, text.as_bytes(), is_whole)
        }
    }
}

/// The ring of rows.
pub struct Rows {
    held: Arc<Bounded>,
    end: watch::Sender<u64>,
    /// Wakes the thread that packs, as soon as there is one.
    packer: OnceLock<Option<Sender<()>>>,
}

struct Bounded {
    ring: RwLock<Ring>,
    max_bytes: usize,
    max_rows: usize,
}

impl Rows {
    /// An empty ring.
    pub fn new(max_bytes: usize, max_rows: usize) -> Rows {
        Rows {
            held: Arc::new(Bounded {
                ring: RwLock::default(),
                max_bytes,
                max_rows,
            }),
            end: watch::Sender::new(0),
            packer: OnceLock::new(),
        }
    }

    /// An empty ring whose rows stay as they come, so that a test knows which are held.
    #[cfg(test)]
    pub(crate) fn unpacked(max_bytes: usize, max_rows: usize) -> Rows {
        Rows {
            packer: OnceLock::from(None),
            ..Rows::new(max_bytes, max_rows)
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
        starts.shrink_to_fit();
        let end = first + starts.len() as u64;
        let form = Form::Flat {
            bytes: bytes.clone(),
            starts,
        };
        let run = Arc::new(Run { first, form });
        let is_due = {
            let mut ring = self.held.ring.write().expect("no reader panics");
            ring.add(&run);
            ring.runs.push_back(run);
            while (ring.bytes > self.held.max_bytes || ring.rows > self.held.max_rows)
                && ring.runs.len() > 1
            {
                let Some(old) = ring.runs.pop_front() else {
                    break;
                };
                ring.take(&old);
            }
            self.held.is_due(&ring)
        };
        self.end.send_replace(end);
        if is_due && let Some(packer) = self.packer.get_or_init(|| packer(&self.held)) {
            // One that is awake looks again before it sleeps.
            let _ = packer.try_send(());
        }
    }

    /// Item numbers that are held.
    pub fn held(&self) -> Range<u64> {
        let ring = self.held.ring.read().expect("no writer panics");
        let end = *self.end.borrow();
        ring.runs.front().map_or(end..end, |run| run.first..end)
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.held.ring.read().expect("no writer panics").bytes
    }

    /// Lets go of the older half, by its bytes.
    pub fn let_go(&self) {
        let mut ring = self.held.ring.write().expect("no reader panics");
        let half = ring.bytes / 2;
        while ring.bytes > half
            && let Some(old) = ring.runs.pop_front()
        {
            ring.take(&old);
        }
    }

    /// Bytes and rows that are held at most; the oldest go first.
    pub fn most(&self) -> (usize, usize) {
        (self.held.max_bytes, self.held.max_rows)
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
        let ring = self.held.ring.read().expect("no writer panics");
        let from = ring.runs.partition_point(|run| run.end() <= range.start);
        let touched = ring
            .runs
            .range(from..)
            .take_while(|run| run.first < range.end);
        let blocks = touched.map(|run| {
            let within = |number: u64| {
                let at = usize::try_from(number.saturating_sub(run.first));
                at.unwrap_or(usize::MAX).min(run.len())
            };
            Block {
                run: run.clone(),
                range: within(range.start)..within(range.end),
                only: None,
            }
        });
        blocks.filter(|block| !block.is_empty()).collect()
    }
}

impl Bounded {
    /// Rows and bytes that are packed together: little of a small ring, which goes at once.
    fn piece(&self) -> (usize, usize) {
        let rows = (self.max_rows / PARTS).clamp(1, PACKED_ROWS);
        (rows, (self.max_bytes / PARTS).clamp(1, PACKED_BYTES))
    }

    fn is_due(&self, ring: &Ring) -> bool {
        let (rows, bytes) = self.piece();
        ring.flat_rows >= rows || ring.flat_bytes >= bytes
    }

    /// Packs the oldest rows that are not packed; whether there were enough of them.
    fn pack(&self) -> bool {
        let (most_rows, most_bytes) = self.piece();
        let mut taken: Vec<Arc<Run>> = Vec::new();
        {
            let ring = self.ring.read().expect("no writer panics");
            if !self.is_due(&ring) {
                return false;
            }
            let from = ring.runs.partition_point(|run| run.is_packed());
            let (mut rows, mut bytes) = (0, 0);
            for run in ring.runs.range(from..) {
                let follows = taken.last().is_none_or(|last| last.end() == run.first);
                if rows >= most_rows || bytes >= most_bytes || !follows {
                    break;
                }
                rows += run.len();
                bytes += run.bytes();
                taken.push(run.clone());
            }
        }
        let Some(oldest) = taken.first() else {
            return false;
        };
        let first = oldest.first;
        let flats: Vec<Flat<'_>> = taken
            .iter()
            .flat_map(|run| (0..run.len()).filter_map(|index| run.flat(index)))
            .collect();
        let form = Form::Packed(Box::new(packed::pack(&flats)));
        let run = Arc::new(Run { first, form });
        let mut ring = self.ring.write().expect("no reader panics");
        let at = ring.runs.partition_point(|run| run.first < first);
        let is_held = ring
            .runs
            .get(at)
            .is_some_and(|run| Arc::ptr_eq(run, oldest));
        // Rows that were let go of meanwhile do not come back.
        if is_held {
            for old in &taken {
                ring.take(old);
            }
            ring.runs.drain(at..at + taken.len());
            ring.add(&run);
            ring.runs.insert(at, run);
        }
        true
    }
}

/// Starts the thread that packs rows until they are gone; `None` when there can be none, and rows stay
/// as they are.
fn packer(held: &Arc<Bounded>) -> Option<Sender<()>> {
    let (wake, woken) = crossbeam_channel::bounded(1);
    let held = Arc::downgrade(held);
    let work = move || {
        while woken.recv().is_ok() {
            while held.upgrade().is_some_and(|held| held.pack()) {}
        }
    };
    let thread = std::thread::Builder::new().name("rows".to_owned());
    thread.spawn(work).ok().map(|_| wake)
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

    /// Packs what is due, as the thread would.
    fn pack(rows: &Rows) {
        while rows.held.pack() {}
    }

    #[test]
    fn rows_that_are_packed_read_as_before() {
        let flat = filled(40, 25, usize::MAX);
        let rows = filled(40, 25, 16_000);
        pack(&rows);
        let packed = |rows: &Rows| {
            let ring = rows.held.ring.read().unwrap();
            ring.runs.iter().filter(|run| run.is_packed()).count()
        };
        assert_eq!((packed(&flat), packed(&rows)), (0, 1));
        assert_eq!(rows.held(), 0..1000);
        assert!(rows.bytes() * 5 < flat.bytes());
        let records = |rows: &Rows| {
            let page = rows.page(0..1000, 1000);
            let records = page
                .iter()
                .map(|row| row.node().unwrap().record().into_owned());
            records.collect::<Vec<_>>()
        };
        assert_eq!(records(&rows), records(&flat));
        let blocks = rows.blocks(990..1000);
        let newest = blocks.last().unwrap().newest(2, &mut |_| true);
        assert_eq!(newest[1].node().unwrap().number(), 998);
    }

    #[test]
    fn rows_are_counted_while_they_are_packed_and_let_go() {
        let rows = Rows::new(usize::MAX, 800);
        for first in 0..3000u64 {
            let mut item = sample::http();
            item.number = first;
            let mut bytes = Vec::new();
            flat::encode(&item, &mut bytes);
            rows.push(first, &Arc::new(bytes));
            if first % 100 == 0 {
                pack(&rows);
            }
        }
        pack(&rows);
        let held = rows.held();
        assert!(held.end == 3000 && held.start > 2100, "{held:?}");
        let ring = rows.held.ring.read().unwrap();
        let sum = |of: fn(&Run) -> usize| ring.runs.iter().map(|run| of(run)).sum::<usize>();
        assert_eq!((ring.rows, ring.bytes), (sum(Run::len), sum(Run::bytes)));
        assert_eq!(ring.rows as u64, held.end - held.start);
        let flat = ring.runs.iter().filter(|run| !run.is_packed());
        assert_eq!(ring.flat_rows, flat.map(|run| run.len()).sum::<usize>());
    }

    #[test]
    fn the_thread_that_packs_ends_with_the_rows() {
        let rows = filled(40, 25, 1600);
        let held = Arc::downgrade(&rows.held);
        drop(rows);
        let began = std::time::Instant::now();
        while held.upgrade().is_some() {
            assert!(began.elapsed().as_secs() < 10);
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_oldest_run_goes_first() {
        let rows = filled(5, 4, 10);
        assert_eq!(rows.held(), 12..20);
        assert!(rows.get(11).is_none());
    }
}
