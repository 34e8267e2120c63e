//! Reads `name_resolution_history.json`.
//!
//! In: its text, as a stream. Out: a [`History`]. A file repeats thousands of rows for each change
//! and grows to 100 MB; one row is held at a time, and changes alone are kept.
//!
//! ```text
//! file   = {"<unix seconds>": table, ...}            each table holds all names from then on
//! table  = {"ip" | "ip:port" | "name": record, ...}
//! record = {"FullAddress": "name.namespace", "Namespace": "namespace"}, or
//!          {"name": "name", "namespace": "namespace", ...}, or both
//! ```
//!
//! A record of tapedeck has `"who"` too: pod, service and more, as [`Identity`] holds them.
//!
//! A file of deltas, as tapedeck writes them, has the member `"deltas": true` in front; its tables
//! hold what changed, and `null` for what is gone.

use std::collections::HashSet;
use std::fmt;
use std::io::Read;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use serde_json::Value as Json;

use super::ResolveError;
use super::history::{Address, History, Name};
use crate::item::Identity;

/// Name of the member that marks a file of deltas.
pub(super) const DELTAS: &str = "deltas";

/// Bytes of a history that are read; ten times the largest on record.
const MAX_BYTES: u64 = 1 << 30;

/// Keys from here on are milliseconds: as seconds they would lie beyond the year 5000.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

impl History {
    /// Adds the tables of a `name_resolution_history.json`.
    ///
    /// Tables in the order of time, as they are written, are taken as complete: an address that a
    /// table leaves out has no name any more. A table that comes late only adds.
    ///
    /// # Errors
    /// `Damaged` where the text is no history or is cut off, `TooLarge` when there is more than is
    /// kept; what could be read is in the history all the same.
    pub fn read(&mut self, from: impl Read) -> Result<(), ResolveError> {
        let reader = std::io::BufReader::with_capacity(256 * 1024, from.take(MAX_BYTES));
        let mut tables = Tables {
            history: self,
            deltas: false,
            newest: i64::MIN,
            holding: HashSet::default(),
            full: false,
        };
        let max = tables.history.max();
        let mut text = serde_json::Deserializer::from_reader(reader);
        let read = tables.deserialize(&mut text).and_then(|()| text.end());
        let full = tables.full;
        read.map_err(ResolveError::Damaged)?;
        if full {
            return Err(ResolveError::TooLarge { max });
        }
        Ok(())
    }
}

/// The file.
struct Tables<'h> {
    history: &'h mut History,
    deltas: bool,
    newest: i64,
    /// Addresses with a name in the newest table.
    holding: HashSet<Address, ahash::RandomState>,
    full: bool,
}

impl<'de> DeserializeSeed<'de> for &mut Tables<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Tables<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tables of names by Unix second")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == DELTAS {
                self.deltas = map.next_value()?;
                continue;
            }
            let Ok(from) = key.parse::<i64>() else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let from = if from >= MILLISECONDS_FROM {
                from / 1000
            } else {
                from
            };
            self.history.table(from);
            let in_order = from >= self.newest;
            self.newest = self.newest.max(from);
            let mut table = Table {
                history: &mut *self.history,
                from,
                holding: HashSet::default(),
                full: false,
            };
            map.next_value_seed(&mut table)?;
            self.full |= table.full;
            if self.deltas || !in_order {
                continue;
            }
            let holding = table.holding;
            for gone in self.holding.difference(&holding) {
                self.full |= !self.history.note(*gone, from, None);
            }
            self.holding = holding;
        }
        Ok(())
    }
}

/// One table.
struct Table<'h> {
    history: &'h mut History,
    from: i64,
    holding: HashSet<Address, ahash::RandomState>,
    full: bool,
}

impl<'de> DeserializeSeed<'de> for &mut Table<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Table<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("records by address")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let record = map.next_value::<Option<Record>>()?;
            // Names are keys too; nobody looks them up.
            let Some(address) = Address::parse(&key) else {
                continue;
            };
            let name = record.as_ref().and_then(Record::name);
            if name.is_some() {
                // A table beyond the cap is not kept whole; what is noted stays right.
                if self.holding.len() >= self.history.max() {
                    self.full = true;
                    continue;
                }
                self.holding.insert(address);
            }
            self.full |= !self.history.note(address, self.from, name);
        }
        Ok(())
    }
}

/// One record, in either spelling; other members (pods, services, ...) are passed over.
#[derive(Debug, Default, serde::Deserialize)]
struct Record {
    #[serde(rename = "FullAddress", default)]
    full_address: Option<String>,
    #[serde(rename = "Namespace", default)]
    old_namespace: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    who: Option<Json>,
}

impl Record {
    /// Name and namespace; `None` when the record holds no name.
    fn name(&self) -> Option<Name> {
        let full = filled([&self.name, &self.full_address])?;
        let namespace = filled([&self.namespace, &self.old_namespace]).unwrap_or("");
        let name = full
            .strip_suffix(namespace)
            .and_then(|front| front.strip_suffix('.'))
            .filter(|front| !namespace.is_empty() && !front.is_empty())
            .unwrap_or(full);
        let identity = self.who.as_ref().and_then(Identity::from_json);
        Some(Name {
            identity: identity.map(Arc::new),
            ..Name::plain(name, namespace)
        })
    }
}

/// The first text that is there and not empty.
fn filled(texts: [&Option<String>; 2]) -> Option<&str> {
    texts
        .into_iter()
        .filter_map(|text| text.as_deref())
        .find(|text| !text.is_empty())
}
