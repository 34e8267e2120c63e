//! The walk over a store: groups of objects to workers, what they see back in one place.
//!
//! A reel's parts and its manifest share their key up to the hash, so they are neighbours in the
//! listing: one group at a time is enough to compare them, however large the archive is.

use std::thread;

use super::object::{self, Seen};
use super::{MAX_FINDINGS, Options};
use crate::investigate::group::{named_second, reel_stem};
use crate::record::PREFIX;
use crate::store::{Entry, Store, StoreError};

/// Requests at a time: a bucket answers each in tens of milliseconds.
const WORKERS: usize = 16;

/// Groups that wait for a worker.
const WAITING: usize = 256;

/// Manifests that are looked at at once; each costs some 400 bytes.
const MAX_MANIFESTS: usize = 4_000_000;

/// Objects of one group; a reel has a few.
const MAX_GROUP: usize = 1024;

/// Why there is nothing to tell when nobody waits for the end.
const STOPPED: &str = "it was stopped before all objects were listed";

/// Looks at every object below `reels/`, as long as `more` answers true.
///
/// # Errors
/// When it cannot be listed, or there is too much.
pub(super) fn walk(
    store: &dyn Store,
    options: &Options,
    more: &(dyn Fn() -> bool + Sync),
) -> Result<Seen, StoreError> {
    let (to_workers, groups) = crossbeam_channel::bounded::<Vec<Entry>>(WAITING);
    let (to_us, results) = crossbeam_channel::bounded::<Seen>(WAITING);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            let (groups, to_us) = (groups.clone(), to_us.clone());
            scope.spawn(move || {
                for group in groups {
                    if !more() {
                        return;
                    }
                    if to_us.send(object::look(store, options, group)).is_err() {
                        return;
                    }
                }
            });
        }
        drop((groups, to_us));
        let lister = scope.spawn(move || list(store, options, more, &to_workers));
        let mut seen = Seen::default();
        let mut too_many = false;
        for found in results {
            seen.add(found, MAX_FINDINGS);
            if seen.links.len() > MAX_MANIFESTS {
                too_many = true;
                break;
            }
        }
        let listed = match lister.join() {
            Ok(listed) => listed,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        if too_many {
            return Err(StoreError::Refused(format!(
                "there are more than {MAX_MANIFESTS} manifests; name a shorter time with --since"
            )));
        }
        listed?;
        match more() {
            true => Ok(seen),
            false => Err(StoreError::Refused(STOPPED.to_owned())),
        }
    })
}

/// Hands groups to the workers until there is no more, or nobody takes them.
fn list(
    store: &dyn Store,
    options: &Options,
    more: &(dyn Fn() -> bool + Sync),
    groups: &crossbeam_channel::Sender<Vec<Entry>>,
) -> Result<(), StoreError> {
    let mut group: Vec<Entry> = Vec::new();
    store.list(PREFIX, &mut |entry| {
        if !more() {
            return false;
        }
        if is_before(&entry.key, options) {
            return true;
        }
        let same = group
            .first()
            .is_some_and(|first| stem(&first.key) == stem(&entry.key));
        if (!same || group.len() >= MAX_GROUP) && !group.is_empty() {
            let done = std::mem::take(&mut group);
            if groups.send(done).is_err() {
                return false;
            }
        }
        group.push(entry);
        true
    })?;
    if !group.is_empty() {
        // Nobody takes it any more only when the walk was given up.
        let _ = groups.send(group);
    }
    Ok(())
}

fn stem(key: &str) -> &str {
    reel_stem(key).unwrap_or(key)
}

/// Whether a key's own time lies before the time asked for.
pub(super) fn is_before(key: &str, options: &Options) -> bool {
    options
        .since
        .zip(named_second(key))
        .is_some_and(|(since, second)| second < since.secs())
}
