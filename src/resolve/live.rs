//! A history that goes on while it is asked, as watches of a cluster tell it.
//!
//! In: [`Update`]s, from a watch in this process or from the hub. Out: names at a moment, to many
//! threads. Never: names that ended longer ago than [`KEPT`]; more than [`MAX_CHANGES`] changes.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::history::{Address, Change, History, Name};
use super::write::Form;
use crate::item::Identity;
use crate::time::Timestamp;

/// Time for which names that ended are kept: packets are looked up within seconds, reels hold their
/// own names, and this is what scripts may upload.
pub const KEPT: Duration = Duration::from_secs(6 * 3600);

/// Time between two looks for names that ended longer ago.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// Changes kept at most; from there on names are forgotten sooner. With an identity of 600 bytes each it
/// is some 150 MB; 5,000 pods that are all replaced every hour make a bit more than half of it in six hours.
const MAX_CHANGES: usize = 200_000;

/// Rows of full tables up to which they are written: some 10 MB.
const MAX_ROWS: usize = 50_000;

/// Changes of one address from the first one on.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The address.
    pub address: Address,
    /// What holds from when on; they replace what was known from the first of them on.
    pub changes: Vec<Change>,
}

/// An update as it travels and as it lies in files.
#[derive(Serialize, Deserialize)]
struct Written {
    address: String,
    changes: Vec<WrittenChange>,
}

#[derive(Serialize, Deserialize)]
struct WrittenChange {
    from: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    who: Option<Json>,
}

impl Serialize for Update {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let changes = self.changes.iter().map(|change| {
            let name = change.name.as_ref();
            let who = name.and_then(|name| name.identity.as_ref());
            WrittenChange {
                from: change.from,
                name: name.map(|name| name.name.to_string()),
                namespace: name.map_or_else(String::new, |name| name.namespace.to_string()),
                who: who.and_then(|who| serde_json::from_str(who.text()).ok()),
            }
        });
        let written = Written {
            address: self.address.to_string(),
            changes: changes.collect(),
        };
        written.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Update {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Update, D::Error> {
        let written = Written::deserialize(from)?;
        let address = Address::parse(&written.address)
            .ok_or_else(|| serde::de::Error::custom("no address that can have a name"))?;
        let changes = written.changes.into_iter().map(|change| Change {
            from: change.from,
            name: change.name.map(|name| Name {
                identity: change
                    .who
                    .as_ref()
                    .and_then(Identity::from_json)
                    .map(Into::into),
                ..Name::plain(&name, &change.namespace)
            }),
        });
        let mut changes: Vec<Change> = changes.collect();
        changes.sort_by_key(|change| change.from);
        Ok(Update { address, changes })
    }
}

/// A history that many threads look into while it goes on.
#[derive(Debug)]
pub struct LiveHistory {
    history: RwLock<History>,
    forgotten: RwLock<Option<Timestamp>>,
    max: usize,
}

impl Default for LiveHistory {
    fn default() -> LiveHistory {
        LiveHistory::new()
    }
}

impl LiveHistory {
    /// A history without names.
    pub fn new() -> LiveHistory {
        LiveHistory::with_max(MAX_CHANGES)
    }

    /// A history that keeps `max` changes.
    pub(super) fn with_max(max: usize) -> LiveHistory {
        LiveHistory {
            history: RwLock::new(History::with_max(max)),
            forgotten: RwLock::new(None),
            max,
        }
    }

    /// Takes updates in at `now`, and forgets what ended long ago.
    pub fn apply(&self, updates: &[Update], now: Timestamp) {
        if updates.is_empty() {
            return;
        }
        let mut history = self.history.write().unwrap_or_else(PoisonError::into_inner);
        let mut kept = true;
        for update in updates {
            kept &= history.rewrite(update.address, &update.changes);
        }
        let mut forgotten = self
            .forgotten
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let due = forgotten.is_none_or(|at| now.since(at) >= FORGET_EVERY);
        if due {
            *forgotten = Some(now);
            history.forget_before(seconds_before(now, KEPT));
        }
        if kept {
            return;
        }
        // Too much at once: shorter and shorter times are kept until there is room for a tenth.
        let mut keep = KEPT;
        while history.changes() > self.max / 10 * 9 && keep > Duration::from_secs(60) {
            keep /= 2;
            history.forget_before(seconds_before(now, keep));
        }
        for update in updates {
            history.rewrite(update.address, &update.changes);
        }
    }

    /// What `look` finds now.
    pub fn read<R>(&self, look: impl FnOnce(&History) -> R) -> R {
        look(&self.history.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The names in force at `at`, by address: what somebody who begins now has to know.
    pub fn snapshot(&self, at: Timestamp) -> Vec<Update> {
        self.read(|history| {
            let known = history.all().filter_map(|(address, changes)| {
                let behind = changes.partition_point(|change| change.from <= at.secs());
                let rest = changes.get(behind.saturating_sub(1)..)?;
                let is_named = rest.iter().any(|change| change.name.is_some());
                is_named.then(|| Update {
                    address: *address,
                    changes: rest.to_vec(),
                })
            });
            known.collect()
        })
    }

    /// The history as `name_resolution_history.json` holds it, with a table for each second in which
    /// names changed between two moments: full tables, as other tools read them, where that makes no
    /// more than [`MAX_ROWS`] rows, else what changed.
    pub fn json(&self, from: Timestamp, to: Timestamp) -> Json {
        let mut text = Vec::new();
        self.read(|history| {
            let tables: HashSet<i64> = history
                .all()
                .flat_map(|(_, changes)| changes)
                .map(|change| change.from)
                .filter(|at| (from.secs()..=to.secs()).contains(at))
                .collect();
            let form = match (tables.len() + 1) * history.len() <= MAX_ROWS {
                true => Form::Full,
                false => Form::Deltas,
            };
            // A vector takes all that is written.
            let _ = history.write(from, to, form, &mut text);
        });
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Addresses that have or had a name, and changes kept.
    pub fn size(&self) -> (usize, usize) {
        self.read(|history| (history.len(), history.changes()))
    }
}

fn seconds_before(now: Timestamp, span: Duration) -> i64 {
    let span = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    now.secs().saturating_sub(span)
}
