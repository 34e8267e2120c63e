//! The thread that seals: closed reels and signs of life, in order, into the outbox.
//!
//! In: jobs from the recorder. Out: parcels. Never: a job given up while the process lives: what a
//! full disk refuses is tried again, and stays on disk for the next start. Nor one that holds up the
//! others: what fails for a reason of its own is tried again behind them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::indexer::{Guarded, Indexer, guarded};
use super::journal::Head;
use super::manifest::Kind;
use super::outbox::Outbox;
use super::redaction::Redactors;
use super::reel::Closed;
use super::seal::{self, Occasion};
use crate::time::Timestamp;

/// First pause after a failure; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Attempts for a job while the process wants to end; then the next start seals it.
const LAST_ATTEMPTS: u32 = 2;

/// Bytes of reels that wait for sealing beyond which indexes are left out: packets come first.
const MAX_INDEX_BACKLOG: u64 = 256 << 20;

/// What is to be sealed.
#[derive(Debug)]
pub(crate) enum Job {
    /// A reel.
    Reel {
        /// Its folder.
        closed: Box<Closed>,
        /// Bytes of its files.
        bytes: u64,
        /// Why and when.
        occasion: Occasion,
    },
    /// A sign of life, or a roll-up.
    Heartbeat {
        /// Which of them.
        kind: Kind,
        /// Recording, node, run and sequence.
        head: Box<Head>,
        /// Start of the time it covers.
        from: Timestamp,
        /// Why and when.
        occasion: Occasion,
    },
}

/// Sentences kept for whoever asks next.
const MAX_WARNINGS: usize = 32;

/// A job in the queue.
struct Waiting {
    job: Job,
    /// Whether later ones overtook it.
    is_late: bool,
}

/// What the thread did.
#[derive(Debug, Default, Clone)]
pub(crate) struct Progress {
    /// Reels sealed, by recording, since that began last.
    pub(crate) sealed: BTreeMap<String, u64>,
    /// Bytes of reels that wait for sealing.
    pub(crate) waiting_bytes: u64,
    /// The last failure that was not overcome yet.
    pub(crate) error: Option<String>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Waiting>,
    progress: Progress,
    /// Run and number of the first parcel of recordings that began, by their names.
    begun: BTreeMap<String, (u64, u64)>,
    warnings: Vec<String>,
    is_busy: bool,
    is_ending: bool,
}

struct Shared {
    outbox: Arc<Outbox>,
    indexer: Option<Arc<dyn Indexer>>,
    state: Mutex<State>,
    changed: Condvar,
}

/// Handle of the thread.
pub(crate) struct Sealer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Sealer {
    pub(crate) fn start(
        outbox: Arc<Outbox>,
        redactors: Redactors,
        indexer: Option<Arc<dyn Indexer>>,
    ) -> io::Result<Sealer> {
        let shared = Arc::new(Shared {
            outbox,
            indexer,
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        });
        let worker = shared.clone();
        let thread = std::thread::Builder::new()
            .name("seal".into())
            .spawn(move || worker.work(redactors))?;
        Ok(Sealer {
            shared,
            thread: Some(thread),
        })
    }

    /// Hands over a job; jobs are small, their packets lie on disk within the recorder's share.
    pub(crate) fn add(&self, job: Job) {
        let mut state = self.shared.lock();
        state.progress.waiting_bytes += job.bytes();
        state.jobs.push_back(Waiting {
            job,
            is_late: false,
        });
        self.shared.changed.notify_all();
    }

    /// Bytes of reels that wait for sealing.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.shared.lock().progress.waiting_bytes
    }

    pub(crate) fn progress(&self) -> Progress {
        self.shared.lock().progress.clone()
    }

    /// A recording begins, whose parcels of a run have numbers from `first` on: what one of its name sealed
    /// before, or still has to, is none of its reels.
    pub(crate) fn begin(&self, recording: &str, run: u64, first: u64) {
        let state = &mut *self.shared.lock();
        let before = state.begun.insert(recording.to_owned(), (run, first));
        if before.is_some() {
            state.progress.sealed.remove(recording);
        }
    }

    /// Sentences about trouble since the last call.
    pub(crate) fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().warnings)
    }

    /// Waits until no job is left.
    #[cfg(test)]
    pub(crate) fn settle(&self) {
        let mut state = self.shared.lock();
        while !state.jobs.is_empty() || state.is_busy {
            state = self.shared.changed.wait(state).unwrap();
        }
    }

    /// Does what is left, as far as the disk allows, and ends the thread.
    pub(crate) fn finish(&mut self) {
        self.shared.lock().is_ending = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; its jobs are on disk for the next start.
            let _ = thread.join();
        }
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Job {
    fn head(&self) -> &Head {
        match self {
            Job::Reel { closed, .. } => &closed.head,
            Job::Heartbeat { head, .. } => head,
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Job::Reel { bytes, .. } => *bytes,
            Job::Heartbeat { .. } => 0,
        }
    }

    /// Does the job; answers whether something came of it.
    fn run(
        &self,
        outbox: &Arc<Outbox>,
        redactors: &mut Redactors,
        index: &seal::Index<'_>,
    ) -> io::Result<bool> {
        match self {
            Job::Reel {
                closed, occasion, ..
            } => {
                let id = closed.head.id();
                outbox.deliver(
                    &id,
                    |folder| seal::seal(closed, occasion, redactors, index, folder),
                    || closed.let_go(),
                )
            }
            Job::Heartbeat {
                kind,
                head,
                from,
                occasion,
            } => outbox.deliver(
                &head.id(),
                |_| Ok(Some(seal::heartbeat(head, *kind, occasion, *from))),
                || Ok(()),
            ),
        }
    }
}

/// Whether a parcel is of a recording whose name one has that began later.
fn is_of_before(head: &Head, begun: &BTreeMap<String, (u64, u64)>) -> bool {
    let begun = begun.get(&head.recording);
    begun.is_some_and(|(run, first)| head.run == *run && head.sequence < *first)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut redactors: Redactors) {
        let say = |sentence| self.warn(sentence);
        let indexer = self
            .indexer
            .as_deref()
            .map(|indexer| Guarded { indexer, say: &say });
        let mut failures = 0;
        while let Some(mut waiting) = self.next() {
            let job = &waiting.job;
            let index = match &indexer {
                None => seal::Index::Off,
                Some(indexer) if self.lock().progress.waiting_bytes > MAX_INDEX_BACKLOG => {
                    seal::Index::Late(indexer)
                }
                Some(indexer) => seal::Index::By(indexer),
            };
            if waiting.is_late {
                begin_anew(job, &mut redactors, indexer.as_ref());
            }
            let done = guarded(|| job.run(&self.outbox, &mut redactors, &index));
            let done = done.unwrap_or_else(|panic| {
                let recording = &job.head().recording;
                if !waiting.is_late {
                    self.warn(format!(
                        "a reel of the recording {recording} could not be sealed ({panic}); it is \
                         tried again, nothing is lost; please report this"
                    ));
                }
                Err(io::Error::other(panic))
            });
            waiting.is_late |= done.as_ref().is_err_and(|error| !is_full(error));
            if waiting.is_late {
                begin_anew(job, &mut redactors, indexer.as_ref());
            }
            match done {
                Ok(is_kept) => {
                    failures = 0;
                    self.done(job, is_kept);
                }
                Err(error) => {
                    failures += 1;
                    if !self.failed(waiting, &error, failures) {
                        return;
                    }
                }
            }
        }
    }

    fn warn(&self, sentence: String) {
        let mut state = self.lock();
        if state.warnings.len() < MAX_WARNINGS {
            state.warnings.push(sentence);
        }
    }

    fn next(&self) -> Option<Waiting> {
        let mut state = self.lock();
        loop {
            let in_order = state.jobs.iter().position(|waiting| !waiting.is_late);
            let job = state.jobs.remove(in_order.unwrap_or(0));
            state.is_busy = job.is_some();
            self.changed.notify_all();
            if job.is_some() {
                return job;
            }
            if state.is_ending {
                return None;
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, job: &Job, is_kept: bool) {
        let state = &mut *self.lock();
        let progress = &mut state.progress;
        progress.waiting_bytes = progress.waiting_bytes.saturating_sub(job.bytes());
        if !state.jobs.iter().any(|waiting| waiting.is_late) {
            progress.error = None;
        }
        if let (Job::Reel { closed, .. }, true) = (job, is_kept)
            && !is_of_before(&closed.head, &state.begun)
        {
            *progress
                .sealed
                .entry(closed.head.recording.clone())
                .or_default() += 1;
        }
    }

    /// Puts a job back and waits where nothing else can be done; false when the process ends and the
    /// next start must do it.
    fn failed(&self, waiting: Waiting, error: &io::Error, failures: u32) -> bool {
        let mut state = self.lock();
        state.progress.error = Some(format!(
            "a reel cannot be sealed: {error}; it is tried again, nothing is lost"
        ));
        // What others need too holds them up; what is of this one does not.
        match waiting.is_late {
            true => state.jobs.push_back(waiting),
            false => state.jobs.push_front(waiting),
        }
        let is_full = is_full(error);
        if state.is_ending {
            let round = if is_full { 1 } else { state.jobs.len() };
            let round = u32::try_from(round).unwrap_or(u32::MAX);
            return failures < LAST_ATTEMPTS.saturating_mul(round);
        }
        let pause = FIRST_PAUSE
            .saturating_mul(1 << failures.min(10))
            .min(MAX_PAUSE);
        drop(self.changed.wait_timeout_while(state, pause, |state| {
            let others = state.jobs.iter().any(|waiting| !waiting.is_late);
            !state.is_ending && (is_full || !others)
        }));
        true
    }
}

/// Whether a job failed for want of room, which the others want too.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Lets whoever goes through the reels of a recording in their order begin anew, around one that
/// comes out of it.
fn begin_anew(job: &Job, redactors: &mut Redactors, indexer: Option<&Guarded<'_>>) {
    if let Job::Reel { closed, .. } = job {
        redactors.forget(&closed.head.recording);
        if let Some(indexer) = indexer {
            indexer.forget(&closed.head);
        }
    }
}
