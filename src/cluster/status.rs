//! How the watches fare, for people, pages and metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::kinds::Kind;

/// How a kind is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KindState {
    /// It is being listed for the first time.
    Listing,
    /// It is watched.
    Watching,
    /// The rights do not suffice; the API server's words.
    Denied(String),
    /// They suffice in some namespaces only: those that are watched, and the API server's words.
    Confined(String, String),
    /// The API server cannot be asked; why.
    Away(String),
}

impl KindState {
    /// All words for states.
    pub(super) const WORDS: [&str; 5] = ["listing", "watching", "denied", "confined", "away"];

    /// As pages and metrics call it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            KindState::Listing => "listing",
            KindState::Watching => "watching",
            KindState::Denied(_) => "denied",
            KindState::Confined(..) => "confined",
            KindState::Away(_) => "away",
        }
    }

    /// Why it is so; empty where it is as it should be.
    pub(super) fn why(&self) -> &str {
        match self {
            KindState::Listing | KindState::Watching => "",
            KindState::Denied(why) | KindState::Confined(_, why) | KindState::Away(why) => why,
        }
    }
}

/// Counts of all watches together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct WatchCounts {
    /// Pages of lists asked for.
    pub lists: u64,
    /// Watches begun.
    pub watches: u64,
    /// Other requests.
    pub others: u64,
    /// Bytes of the answers.
    pub bytes: u64,
    /// Events of objects.
    pub events: u64,
    /// Bookmarks.
    pub bookmarks: u64,
    /// Lists that had to be repeated because a version was no longer kept.
    pub relists: u64,
    /// Requests that failed otherwise.
    pub failures: u64,
}

/// The states of all kinds, with what is still to be said of them.
#[derive(Debug, Default)]
pub(super) struct Statuses {
    states: Mutex<BTreeMap<(Kind, Option<String>), KindState>>,
    sentences: Mutex<Vec<String>>,
    events: AtomicU64,
    bookmarks: AtomicU64,
    relists: AtomicU64,
    failures: AtomicU64,
}

/// Sentences that wait to be said.
const MAX_SENTENCES: usize = 50;

impl Statuses {
    pub(super) fn set(&self, kind: Kind, namespace: Option<&str>, state: KindState) {
        let key = (kind, namespace.map(str::to_owned));
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let before = states.insert(key, state.clone());
        let away = states
            .values()
            .filter(|state| matches!(state, KindState::Away(_)))
            .count();
        drop(states);
        if before.as_ref() == Some(&state) {
            return;
        }
        let place = namespace.map_or("the cluster".to_owned(), |namespace| {
            format!("the namespace {namespace}")
        });
        let name = kind.name();
        let sentence = match (&before, &state) {
            (_, KindState::Denied(said)) => Some(format!(
                "{name} of {place} may not be listed and watched, so {}: {said}",
                without(kind)
            )),
            (_, KindState::Confined(within, said)) => Some(format!(
                "{name} are watched in {within} only, so addresses of other namespaces may have no names: {said}"
            )),
            // All kinds lose the API server together; the first one says so.
            (Some(KindState::Away(_)), KindState::Away(_)) => None,
            (_, KindState::Away(why)) if away == 1 => Some(format!(
                "the API server cannot be asked, and names stay as they were until it can: {why}"
            )),
            (Some(KindState::Away(_)), KindState::Watching) if away == 0 => {
                Some("the API server answers again".to_owned())
            }
            (Some(KindState::Denied(_)), KindState::Watching) => {
                Some(format!("{name} of {place} may be watched now"))
            }
            _ => None,
        };
        if let Some(sentence) = sentence {
            self.say(sentence);
        }
    }

    /// A kind is not followed in a namespace any more.
    pub(super) fn forget(&self, kind: Kind, namespace: &str) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.remove(&(kind, Some(namespace.to_owned())));
    }

    /// Whether a kind may be watched in some namespaces only.
    pub(super) fn is_confined(&self, kind: Kind) -> bool {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all = states.get(&(kind, None));
        matches!(of_all, Some(KindState::Confined(..)))
    }

    pub(super) fn states(&self) -> BTreeMap<(Kind, Option<String>), KindState> {
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Has a sentence said.
    pub(super) fn say(&self, sentence: String) {
        let mut sentences = self
            .sentences
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if sentences.len() < MAX_SENTENCES {
            sentences.push(sentence);
        }
    }

    pub(super) fn take_sentences(&self) -> Vec<String> {
        std::mem::take(
            &mut *self
                .sentences
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub(super) fn count_event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_bookmark(&self) {
        self.bookmarks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_relist(&self) {
        self.relists.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self, requests: &super::api::Requests) -> WatchCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WatchCounts {
            lists: load(&requests.lists),
            watches: load(&requests.watches),
            others: load(&requests.others),
            bytes: load(&requests.bytes),
            events: load(&self.events),
            bookmarks: load(&self.bookmarks),
            relists: load(&self.relists),
            failures: load(&self.failures),
        }
    }
}

/// What is missing without a kind.
fn without(kind: Kind) -> &'static str {
    match kind {
        Kind::Pods => "addresses have no names of pods",
        Kind::Services => "addresses have no names of services",
        Kind::EndpointSlices => "pods are shown without their services",
        Kind::Nodes => "addresses of nodes have no names",
        Kind::Namespaces => "labels of namespaces are not known",
        Kind::Events => "recordings do not hear of failed probes",
    }
}
