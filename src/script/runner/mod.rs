//! One version of one script: its child process and all that is said to it, one thing at a time.
//!
//! In: [`Work`] from bounded queues. Out: calls of the [`Host`](super::host::Host), console lines,
//! [`Event`]s for the supervisor. Never: a decision about restarts.
//!
//! Two threads serve a child. The driver takes work, says it, and waits until the child answers;
//! the reader takes what the child says and does its host calls. The supervisor looks at
//! [`Runner::overrun`] now and then and kills a child whose call does not return.

mod counts;
mod drive;
mod listen;
mod watch;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError, bounded};
use serde_json::Value as Json;

pub use self::counts::CallCount;
pub(crate) use self::counts::Counts;
use self::drive::Queues;
pub use self::watch::Budgets;
use self::watch::Call;
use super::folder::ScriptFile;
use super::host::{HostCall, ScriptId};
use super::jobs::{Firing, Owner};
use super::process::Process;
use super::wire::{Batch, Hook, Level, Line, PacketSummary, Small, Start};
use crate::kfl::Query;
use crate::time::Timestamp;

/// Batches that wait for one script.
const MAX_BATCHES: usize = 256;

/// Bytes of the batches that wait for one script.
const MAX_QUEUED_BYTES: usize = 32 << 20;

/// Jobs, questions and ticks that wait for one script; they overtake batches.
const MAX_URGENT: usize = 1024;

/// Answers of a child that wait for its driver, which asks one thing at a time.
const MAX_BACK: usize = 4;

/// How long a child that was told to stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// Bytes of the questions, and of what is told, that wait for one script.
const MAX_URGENT_BYTES: usize = 8 << 20;

/// Bytes of the text of one fault: it is printed, kept, and told to other scripts.
const MAX_FAULT: usize = 8 << 10;

/// Something for a child to do.
pub(crate) enum Work {
    /// Items; how many, and their bytes.
    Items(Batch, u32, usize),
    /// Packets.
    Packets(u64, Arc<Vec<PacketSummary>>),
    /// A job ended, something was sent to the hub, or a pod changed: the hook that is told, what it
    /// is told, and the bytes of that.
    Told(Hook, Arc<Small>, usize),
    /// Timers are due.
    Tick(Timestamp),
    /// Runs a job; whoever waits for it gets its result, else the supervisor does.
    Job(Firing, Option<Sender<Result<(), String>>>),
    /// A function is not needed any more.
    Forget(u64),
    /// Asks `onItemQueried`.
    Ask {
        /// The item.
        record: Arc<[u8]>,
        /// The client's query.
        query: Arc<str>,
        /// Gets what the hook returned.
        reply: Sender<(u32, Option<Json>)>,
    },
    /// Says when everything before it is done.
    Barrier(Sender<()>),
}

/// What happened to a child.
#[derive(Debug)]
pub(crate) enum Event {
    /// Its top level completed.
    Loaded(Owner),
    /// Its script cannot be run.
    Broken(Owner, String),
    /// Its process is gone, and how.
    Ended(Owner, String),
    /// A run of a job ended.
    JobDone(Firing, Result<(), String>),
    /// A timer or a job changed.
    Wake,
}

/// Who serves the calls of a child that are not its own business.
pub(crate) trait Desk: Send + Sync {
    /// Does a host call.
    fn call(&self, runner: &Runner, call: HostCall) -> Result<Json, String>;
    /// Takes sentences about what the system does not limit.
    fn missing(&self, sentences: Vec<String>);
    /// Prints a line.
    fn line(&self, runner: &Runner, level: Level, text: &str);
    /// Takes an event.
    fn event(&self, event: Event);
    /// Compiles a query that a script states; `None` when it is none.
    fn compile(&self, query: &str) -> Option<Query>;
}

/// Whether work was taken.
pub(crate) enum Offer {
    /// It waits in the queue.
    Taken,
    /// The queue is full.
    Full,
    /// The runner takes no more work.
    Retired,
}

/// One child and its queues.
pub(crate) struct Runner {
    /// Which script, which child.
    pub owner: Owner,
    /// The version that runs.
    pub file: Arc<ScriptFile>,
    /// For the host.
    pub id: ScriptId,
    /// Counts of the script.
    pub counts: Arc<Counts>,
    /// Whether it took over.
    pub active: AtomicBool,
    process: Process,
    line: Line,
    /// Held while a frame is written.
    writing: Mutex<()>,
    queue: Mutex<Option<Sender<Work>>>,
    urgent: Mutex<Option<Sender<Work>>>,
    queued_bytes: AtomicUsize,
    urgent_bytes: AtomicUsize,
    hooks: AtomicU8,
    /// The query that the script states for its item hook.
    filter: Mutex<Option<Query>>,
    timer: AtomicI64,
    call: Mutex<Option<Call>>,
    killed: Mutex<Option<String>>,
    budgets: Budgets,
}

impl Runner {
    /// Starts a child and has it load the script; events tell the rest.
    pub(crate) fn start(
        program: &Path,
        start: Start,
        owner: Owner,
        file: Arc<ScriptFile>,
        counts: Arc<Counts>,
        budgets: Budgets,
        desk: Arc<dyn Desk>,
    ) -> io::Result<Arc<Runner>> {
        let (process, line) = Process::start(program)?;
        let reading = line.try_clone()?;
        let (queue, work) = bounded(MAX_BATCHES);
        let (urgent, urgent_work) = bounded(MAX_URGENT);
        let (back, answers) = bounded(MAX_BACK);
        let runner = Arc::new(Runner {
            owner,
            id: ScriptId {
                index: owner.script,
                child: owner.child,
                title: file.title.clone(),
                path: file.path.clone(),
                role: start.role,
            },
            file,
            counts,
            active: AtomicBool::new(false),
            process,
            line,
            writing: Mutex::new(()),
            queue: Mutex::new(Some(queue)),
            urgent: Mutex::new(Some(urgent)),
            queued_bytes: AtomicUsize::new(0),
            urgent_bytes: AtomicUsize::new(0),
            hooks: AtomicU8::new(0),
            filter: Mutex::new(None),
            timer: AtomicI64::new(i64::MAX),
            call: Mutex::new(None),
            killed: Mutex::new(None),
            budgets,
        });
        let (reader, reader_desk) = (Arc::clone(&runner), Arc::clone(&desk));
        thread::spawn(move || reader.read(reading, &back, reader_desk.as_ref()));
        let driver = Arc::clone(&runner);
        thread::spawn(move || {
            let mut work = Queues {
                queue: work,
                urgent: urgent_work,
                answers,
                question: 0,
                in_a_row: 0,
            };
            driver.drive(start, &mut work, desk.as_ref());
            driver.retire();
            driver.count_lost(&work);
            let words = driver.process.end(STOP_WITHIN);
            let words = match (lock(&driver.killed).clone(), lock(&driver.call).take()) {
                (Some(reason), _) => reason,
                (None, Some(call)) => format!("in {} {words}", call.what),
                (None, None) => words,
            };
            desk.event(Event::Ended(driver.owner, words));
        });
        Ok(runner)
    }

    /// Whether the script defines a hook.
    pub(crate) fn has(&self, hook: Hook) -> bool {
        self.hooks.load(Ordering::Relaxed) & bit(hook) != 0
    }

    /// The query of the script's item hook; `None` tells it every item.
    pub(crate) fn filter(&self) -> Option<Query> {
        lock(&self.filter).clone()
    }

    /// When its earliest timer is due.
    pub(crate) fn timer(&self) -> Option<Timestamp> {
        match self.timer.load(Ordering::Relaxed) {
            i64::MAX => None,
            at => Some(Timestamp::from_nanos(at)),
        }
    }

    /// Forgets the timer at `at`, unless the child has named another one meanwhile.
    pub(crate) fn clear_timer(&self, at: Timestamp) {
        let (at, none) = (at.nanos(), i64::MAX);
        // An error means that there is another one.
        let _ = self
            .timer
            .compare_exchange(at, none, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Forgets the timer until the child names the next one.
    pub(crate) fn take_timer(&self) {
        self.timer.store(i64::MAX, Ordering::Relaxed);
    }

    /// Queues work behind all that waits, without waiting; what does not fit is not taken.
    pub(crate) fn offer(&self, work: Work) -> Offer {
        let bytes = bytes_of(&work);
        if self.queued_bytes.load(Ordering::Relaxed) + bytes > MAX_QUEUED_BYTES {
            return Offer::Full;
        }
        let queue = lock(&self.queue);
        let Some(queue) = queue.as_ref() else {
            return Offer::Retired;
        };
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        match queue.try_send(work) {
            Ok(()) => Offer::Taken,
            Err(error) => {
                self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                match error {
                    TrySendError::Full(_) => Offer::Full,
                    TrySendError::Disconnected(_) => Offer::Retired,
                }
            }
        }
    }

    /// Queues work behind all that waits, waiting for room; false when the runner takes no more.
    pub(crate) fn push(&self, work: Work) -> bool {
        let Some(queue) = lock(&self.queue).clone() else {
            return false;
        };
        let bytes = bytes_of(&work);
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        queue.send(work).is_ok()
    }

    /// Queues work in front of the batches, without waiting; false when it was not taken.
    pub(crate) fn hurry(&self, work: Work) -> bool {
        let bytes = urgent_bytes_of(&work);
        let waiting = self.urgent_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = waiting + bytes <= MAX_URGENT_BYTES;
        let urgent = lock(&self.urgent);
        let taken = fits
            && urgent
                .as_ref()
                .is_some_and(|urgent| urgent.try_send(work).is_ok());
        if !taken {
            self.urgent_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        taken
    }

    /// Takes no more work; the child ends when it has done what waits.
    pub(crate) fn retire(&self) {
        lock(&self.queue).take();
        lock(&self.urgent).take();
    }

    /// Kills the child, with the reason to tell.
    pub(crate) fn kill(&self, reason: String) {
        lock(&self.killed).get_or_insert(reason);
        self.process.kill();
    }

    /// Bytes of memory that the child holds; `None` when the system does not tell.
    pub(crate) fn memory(&self) -> Option<u64> {
        self.process.memory()
    }
}

fn bytes_of(work: &Work) -> usize {
    match work {
        Work::Items(_, _, bytes) => *bytes,
        Work::Packets(_, packets) => packets.len() * size_of::<PacketSummary>(),
        _ => 0,
    }
}

fn urgent_bytes_of(work: &Work) -> usize {
    match work {
        Work::Told(_, _, bytes) => *bytes,
        Work::Ask { record, query, .. } => record.len() + query.len(),
        _ => 0,
    }
}

fn bit(hook: Hook) -> u8 {
    let position = Hook::ALL.iter().position(|one| *one == hook);
    1 << position.unwrap_or_default()
}

/// Locks; what a panicking thread left is as good as any.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
