//! What waits for one destination, and what may be tried now.
//!
//! In: parcels as they are sealed, and what became of each try. Out: the next one to try, or how long
//! to wait. Never: a parcel before one whose manifest may be in the store, since the chain goes on from
//! that; nor one recording that waits because the store refuses what another one asks for.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::store::StoreError;
use crate::time::Timestamp;

/// Longest pause when trying again may help.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Longest pause when somebody must change something first (rights, a missing bucket).
const MAX_REFUSED_PAUSE: Duration = Duration::from_secs(300);

/// A parcel that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) id: String,
    pub(super) recording: String,
    pub(super) bytes: u64,
    pub(super) packets: u64,
    pub(super) sealed: Timestamp,
    /// Whether its manifest is made, and so may be in the store.
    pub(super) is_final: bool,
    /// Why its last try failed.
    pub(super) error: Option<String>,
}

/// Tries that failed one after the other.
#[derive(Debug)]
struct Failing {
    failures: u32,
    retry_at: Instant,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Try the parcel with this id.
    Try(String),
    /// Wait so long.
    Wait(Duration),
    /// Wait for a parcel.
    Idle,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) uploading: Option<String>,
    pub(super) has_worker: bool,
    /// Why nothing can be uploaded.
    pub(super) error: Option<String>,
    /// The store cannot be used by anybody.
    away: Option<Failing>,
    /// Recordings of which the store refuses something: a lock, a storage class, a damaged part.
    refused: BTreeMap<String, Failing>,
}

impl Queue {
    pub(super) fn turn(&self, now: Instant) -> Turn {
        let away = self.away.as_ref().map(|away| away.retry_at);
        let until = |waiting: &Waiting| {
            let refused = self.refused.get(&waiting.recording);
            let until = refused.map(|refused| refused.retry_at).max(away);
            until.filter(|until| *until > now)
        };
        let last = self.waiting.iter().find(|waiting| waiting.is_final);
        let mut soonest: Option<Instant> = None;
        for waiting in last.into_iter().chain(&self.waiting) {
            match until(waiting) {
                None => return Turn::Try(waiting.id.clone()),
                Some(until) => soonest = Some(soonest.map_or(until, |soonest| soonest.min(until))),
            }
            if waiting.is_final {
                break;
            }
        }
        soonest.map_or(Turn::Idle, |soonest| Turn::Wait(soonest - now))
    }

    /// Lets nothing wait beyond `most`.
    pub(super) fn hurry(&mut self, most: Instant) {
        for failing in self.refused.values_mut().chain(&mut self.away) {
            failing.retry_at = failing.retry_at.min(most);
        }
    }

    /// Takes a parcel out that was uploaded; answers it, and whether that ends a trouble.
    pub(super) fn uploaded(&mut self, id: &str) -> (Option<Waiting>, bool) {
        self.away = None;
        let mut is_over = self.error.take().is_some();
        let at = self.waiting.iter().position(|waiting| waiting.id == id);
        let waiting = at.and_then(|at| self.waiting.remove(at));
        if let Some(gone) = &waiting {
            self.refused.remove(&gone.recording);
            let left = self.waiting.iter();
            let mut alike = left.filter(|other| other.recording == gone.recording);
            is_over |= gone.error.is_some() && alike.all(|other| other.error.is_none());
        }
        (waiting, is_over)
    }

    /// Notes that a parcel's try failed; answers the sentence when it is news. `first` is the pause
    /// after the first failure, which doubles with each further one.
    pub(super) fn failed(
        &mut self,
        id: &str,
        error: &StoreError,
        sentence: &str,
        first: Duration,
        now: Instant,
    ) -> bool {
        let at = self.waiting.iter().position(|waiting| waiting.id == id);
        let of_one = at.filter(|at| {
            let is_final = self.waiting.get(*at).is_some_and(|one| one.is_final);
            !error.is_transient() && !is_final
        });
        if let Some(mut waiting) = of_one.and_then(|at| self.waiting.remove(at)) {
            let known = self.refused.remove(&waiting.recording);
            let failing = Failing::once_more(known, first, MAX_REFUSED_PAUSE, now);
            self.refused.insert(waiting.recording.clone(), failing);
            let is_news = waiting.error.as_deref() != Some(sentence);
            waiting.error = Some(sentence.to_owned());
            // Another one of the same recording may go where this one does not.
            self.waiting.push_back(waiting);
            return is_news;
        }
        let longest = match error.is_transient() {
            true => MAX_PAUSE,
            false => MAX_REFUSED_PAUSE,
        };
        let known = self.away.take();
        self.away = Some(Failing::once_more(known, first, longest, now));
        let is_news = self.error.as_deref() != Some(sentence);
        self.error = Some(sentence.to_owned());
        is_news
    }

    /// Why something is not uploaded.
    pub(super) fn trouble(&self) -> Option<String> {
        let of_one = || {
            let mut waiting = self.waiting.iter();
            waiting.find_map(|waiting| waiting.error.clone())
        };
        self.error.clone().or_else(of_one)
    }
}

impl Failing {
    fn once_more(
        known: Option<Failing>,
        first: Duration,
        longest: Duration,
        now: Instant,
    ) -> Failing {
        let failures = known.map_or(0, |known| known.failures);
        let pause = first.saturating_mul(1 << failures.min(10)).min(longest);
        Failing {
            failures: failures.saturating_add(1),
            retry_at: now + pause,
        }
    }
}
