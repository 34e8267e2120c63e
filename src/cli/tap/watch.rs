//! What a recording run must not keep silent about: stores that do not lock, queries that match
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::stores::Stores;
use crate::record::Status;
use crate::time::Timestamp;

/// Time without a match, while items flow, after which it is said.
const SILENT: Duration = Duration::from_secs(3600);

/// What is known of the stores and recordings of a run.
pub(super) struct Watch {
    stores: Arc<Stores>,
    /// Lock by destination; empty while it is being asked.
    locks: Arc<Mutex<BTreeMap<String, String>>>,
    /// Recordings that were warned about: what they seal cannot be taken back.
    warned: BTreeSet<String>,
    /// When each recording was last seen to match, or to begin, and the items by then.
    seen: BTreeMap<String, (Timestamp, u64)>,
}

impl Watch {
    /// Nothing is known yet.
    pub(super) fn new(stores: Arc<Stores>) -> Watch {
        Watch {
            stores,
            locks: Arc::default(),
            warned: BTreeSet::new(),
            seen: BTreeMap::new(),
        }
    }

    /// The locks as pages show them, shared.
    pub(super) fn locks(&self) -> Locks {
        Locks(self.locks.clone())
    }

    /// Looks at the recordings at `now`, when the run has given `items`; answers what must be said.
    pub(super) fn look(
        &mut self,
        recordings: &[Status],
        items: u64,
        now: Timestamp,
    ) -> Vec<String> {
        for recording in recordings {
            self.ask(&recording.destination);
        }
        self.seen
            .retain(|name, _| recordings.iter().any(|recording| recording.name == *name));
        let mut said = self.unredacted(recordings);
        for recording in recordings {
            let (since, before) = self
                .seen
                .entry(recording.name.clone())
                .or_insert((now, items));
            if recording.last_match.is_some_and(|matched| matched > *since) {
                (*since, *before) = (now, items);
            } else if now.since(*since) >= SILENT {
                if items > *before {
                    said.push(format!(
                        "the recording {} matched none of the last {} items in an hour: {}",
                        recording.name,
                        items - *before,
                        recording.kfl
                    ));
                }
                (*since, *before) = (now, items);
            }
        }
        said
    }

    /// A sentence for each recording that seals into a locking store without a rule, once.
    fn unredacted(&mut self, recordings: &[Status]) -> Vec<String> {
        let mut said = Vec::new();
        for recording in recordings.iter().filter(|recording| !recording.redacted) {
            let locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            let lock = locks.get(&recording.destination);
            if lock.is_some_and(|lock| lock.starts_with("on"))
                && self.warned.insert(recording.name.clone())
            {
                said.push(format!(
                    "what the recording {} seals in {} cannot be taken back, and nothing is overwritten before; \
                     set redact: credentials or payload: headers for it",
                    recording.name, recording.destination
                ));
            }
        }
        said
    }

    /// Asks a store once, beside the run, whether it really locks (design D7).
    fn ask(&self, destination: &str) {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.contains_key(destination) {
            return;
        }
        locks.insert(destination.to_owned(), String::new());
        drop(locks);
        let (stores, locks) = (self.stores.clone(), self.locks.clone());
        let destination = destination.to_owned();
        let asking = std::thread::Builder::new()
            .name("ask-store".into())
            .spawn(move || {
                let lock = match stores.open(&destination) {
                    Ok(store) => told(&mut store.facts()),
                    Err(error) => format!("unknown: {error}"),
                };
                eprintln!("Object lock of {destination}: {lock}");
                locks
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(destination, lock);
            });
        if let Err(error) = asking {
            tracing::warn!(%error, "the store's lock is not asked");
        }
    }
}

/// What a store's facts say about its lock; a bucket without one is not immutable.
fn told(facts: &mut BTreeMap<&'static str, String>) -> String {
    let lock = facts
        .remove("object lock")
        .unwrap_or_else(|| "unknown".to_owned());
    let default = facts
        .remove("default retention")
        .filter(|default| default != "none");
    match default {
        Some(default) => format!("{lock}, default {default}"),
        None if lock == "off" || lock.starts_with("none") => format!("{lock}; not immutable"),
        None => lock,
    }
}

/// Locks by destination, for pages.
#[derive(Clone)]
pub(super) struct Locks(Arc<Mutex<BTreeMap<String, String>>>);

impl Locks {
    /// All that are known.
    pub(super) fn json(&self) -> Json {
        json!(*self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_does_not_lock_is_said_to_be_not_immutable() {
        let told = |lock: &str, default: &str| {
            told(&mut BTreeMap::from([
                ("object lock", lock.to_owned()),
                ("default retention", default.to_owned()),
            ]))
        };
        assert_eq!(told("off", "none"), "off; not immutable");
        assert_eq!(
            told("on", "COMPLIANCE for 3 days"),
            "on, default COMPLIANCE for 3 days"
        );
        assert_eq!(told("unknown", "unknown"), "unknown, default unknown");
    }

    #[test]
    fn a_locking_store_without_a_rule_is_warned_about_once() {
        let stores = Stores::new(crate::store::OpenOptions::default(), Default::default());
        let mut watch = Watch::new(stores);
        let locks = [
            ("s3://locked/", "on, default none"),
            ("s3://open/", "off; not immutable"),
        ];
        for (destination, lock) in locks {
            watch
                .locks
                .lock()
                .unwrap()
                .insert(destination.to_owned(), lock.to_owned());
        }
        let status = |name: &str, destination: &str, redacted| crate::record::Status {
            name: name.to_owned(),
            destination: destination.to_owned(),
            redacted,
            ..Default::default()
        };
        let recordings = [
            status("bare", "s3://locked/", false),
            status("covered", "s3://locked/", true),
            status("unlocked", "s3://open/", false),
        ];
        let at = Timestamp::from_secs(0, 0);
        let said = watch.look(&recordings, 0, at);
        assert_eq!(said.len(), 1);
        assert!(
            said[0]
                .starts_with("what the recording bare seals in s3://locked/ cannot be taken back")
        );
        assert_eq!(watch.look(&recordings, 0, at), Vec::<String>::new());
    }

    #[test]
    fn an_hour_without_a_match_is_said_once() {
        let stores = Stores::new(crate::store::OpenOptions::default(), Default::default());
        let mut watch = Watch::new(stores);
        let schema = crate::kfl::Schema::empty();
        let query = crate::kfl::compile("true", &schema).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let wish = crate::record::Wish::new("quiet", query, folder.path().display().to_string());
        let status = crate::record::Status {
            name: wish.name,
            kfl: "x".into(),
            destination: wish.destination,
            ..Default::default()
        };
        let at = |secs| Timestamp::from_secs(secs, 0);
        assert_eq!(
            watch.look(std::slice::from_ref(&status), 5, at(0)),
            Vec::<String>::new()
        );
        assert_eq!(
            watch.look(std::slice::from_ref(&status), 9, at(3599)),
            Vec::<String>::new()
        );
        let said = watch.look(std::slice::from_ref(&status), 9, at(3600));
        assert_eq!(
            said,
            ["the recording quiet matched none of the last 4 items in an hour: x"]
        );
        assert_eq!(
            watch.look(std::slice::from_ref(&status), 9, at(7200)),
            Vec::<String>::new()
        );
    }
}
