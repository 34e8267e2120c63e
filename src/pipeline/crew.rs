//! The threads of a run: each reads, dissects its own streams and hands items out, whichever is due.
//!
//! In: steps from one [`Feed`]. Out: each step through every worker, then through the collector, in
//! order. Never: more than [`MAX_STEPS`] steps at a time, a thread that only hands on.
//!
//! ```text
//!            ┌──────────── board: steps in order ────────────┐
//! feed ─────▶│ read ahead │ dissected by some │ by all        │─────▶ collector
//!            └───────────────────────────────────────────────┘
//! ```
//!
//! One worker does all of it in turn, the bytes of a step at hand in its cache from being read to
//! being written out. Of several, one at a time reads and one at a time collects, in turns: a worker
//! whose streams have less to say reads more, so that all have the same to do.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::collect::Collector;
use super::worker::{Found, Worker};
use super::{Spent, Step};

/// Steps between reading and collecting: 2 MiB of packets with
/// [`BATCH_BYTES`](crate::capture::BATCH_BYTES) a step.
pub(super) const MAX_STEPS: usize = 8;

/// Steps that a worker has before it when it leaves reading to others: enough to go on with while
/// another reads.
const AHEAD: u64 = 3;

/// Gives the steps of a run, one after the other.
pub(super) trait Feed: Send {
    /// The next step, in the memory of one that is done where there is any; `None` at the end.
    fn next(&mut self, spent: Option<Spent>) -> Option<Step>;
}

/// What the threads of a run share.
pub(super) struct Crew {
    feed: Mutex<Box<dyn Feed>>,
    collector: Mutex<Collector>,
    board: Mutex<Board>,
    /// Tells those who wait that the board has changed.
    changed: Condvar,
}

/// Which steps there are and how far they came.
struct Board {
    steps: VecDeque<Slot>,
    /// Number of the first of them.
    first: u64,
    /// Number of the step that each worker dissects next.
    next: Vec<u64>,
    spent: Vec<Spent>,
    /// Workers that wait for a change.
    waiting: usize,
    reading: bool,
    collecting: bool,
    /// Whether the feed has ended.
    read: bool,
    /// Whether nothing is left to do, or a thread is gone.
    over: bool,
}

/// A step with what the workers found in it.
struct Slot {
    step: Arc<Step>,
    found: Vec<Option<Found>>,
    /// Workers that have not dissected it.
    missing: usize,
}

enum Task {
    Read(Option<Spent>),
    Dissect(Arc<Step>, u64),
    Collect(Slot),
    /// All steps are done, and this worker is the one to end the consumers.
    End,
}

impl Crew {
    /// A crew of so many workers.
    pub(super) fn new(feed: Box<dyn Feed>, collector: Collector, workers: usize) -> Crew {
        Crew {
            feed: Mutex::new(feed),
            collector: Mutex::new(collector),
            board: Mutex::new(Board {
                steps: VecDeque::with_capacity(MAX_STEPS),
                first: 0,
                next: vec![0; workers],
                spent: Vec::with_capacity(MAX_STEPS),
                waiting: 0,
                reading: false,
                collecting: false,
                read: false,
                over: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Works as worker `index` until the feed has ended and all is collected.
    pub(super) fn run(&self, index: usize, mut worker: Worker) {
        let gone = Gone(self);
        while let Some(task) = self.task(index) {
            match task {
                Task::Read(spent) => {
                    let step = lock(&self.feed).next(spent);
                    self.change(|board| board.add(step));
                }
                Task::Dissect(step, number) => {
                    let found = worker.find(&step);
                    // Whoever collects is the last to hold it.
                    drop(step);
                    self.change(|board| board.found(index, number, found));
                }
                Task::Collect(slot) => {
                    let found = slot.found.into_iter().flatten().collect();
                    let spent = lock(&self.collector).step(slot.step, found);
                    self.change(|board| board.collected(spent));
                }
                Task::End => lock(&self.collector).end(),
            }
        }
        drop(gone);
    }

    /// Waits for something to do; `None` when nothing will be.
    fn task(&self, index: usize) -> Option<Task> {
        let mut board = lock(&self.board);
        loop {
            if board.over {
                return None;
            }
            if let Some(task) = board.task(index) {
                return Some(task);
            }
            board.waiting += 1;
            board = self
                .changed
                .wait(board)
                .unwrap_or_else(PoisonError::into_inner);
            board.waiting -= 1;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Board)) {
        let mut board = lock(&self.board);
        change(&mut board);
        self.tell(board);
    }

    fn tell(&self, board: MutexGuard<'_, Board>) {
        let waiting = board.waiting > 0;
        drop(board);
        // Telling nobody is a system call too.
        if waiting {
            self.changed.notify_all();
        }
    }
}

impl Board {
    /// What is due for a worker: what is done goes out first, so that its memory is free; then
    /// there must be something to dissect.
    fn task(&mut self, index: usize) -> Option<Task> {
        if !self.collecting
            && let Some(slot) = self.steps.pop_front_if(|slot| slot.missing == 0)
        {
            self.first += 1;
            self.collecting = true;
            return Some(Task::Collect(slot));
        }
        let next = self.next.get(index).copied().unwrap_or_default();
        let ahead = self.first + self.steps.len() as u64 - next;
        let enough = match self.next.len() {
            1 => 1,
            _ => AHEAD,
        };
        if ahead < enough && !self.read && !self.reading && self.steps.len() < MAX_STEPS {
            self.reading = true;
            return Some(Task::Read(self.spent.pop()));
        }
        let place = usize::try_from(next - self.first).ok();
        if let Some(slot) = place.and_then(|place| self.steps.get(place)) {
            return Some(Task::Dissect(slot.step.clone(), next));
        }
        if self.read && self.steps.is_empty() && !self.collecting {
            self.over = true;
            return Some(Task::End);
        }
        None
    }

    fn add(&mut self, step: Option<Step>) {
        self.reading = false;
        let workers = self.next.len();
        match step {
            None => self.read = true,
            Some(step) => self.steps.push_back(Slot {
                step: Arc::new(step),
                found: (0..workers).map(|_| None).collect(),
                missing: workers,
            }),
        }
    }

    fn found(&mut self, index: usize, number: u64, found: Found) {
        if let Some(next) = self.next.get_mut(index) {
            *next = number + 1;
        }
        let place = usize::try_from(number - self.first).ok();
        if let Some(slot) = place.and_then(|place| self.steps.get_mut(place))
            && let Some(mine) = slot.found.get_mut(index)
        {
            *mine = Some(found);
            slot.missing -= 1;
        }
    }

    fn collected(&mut self, spent: Option<Spent>) {
        self.collecting = false;
        if self.spent.len() < MAX_STEPS {
            self.spent.extend(spent);
        }
    }
}

/// Lets the others end when a thread does, for whatever reason.
struct Gone<'c>(&'c Crew);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.change(|board| board.over = true);
    }
}

/// A panic of another thread ends the run; what it held is not looked at again.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
