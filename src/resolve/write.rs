//! Writes a name history as JSON.
//!
//! In: a [`History`]. Out: the drop-in's `name_resolution_history.json`, or the shorter file of
//! deltas that `read` describes.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::history::{Address, History, Name};
use super::read::DELTAS;
use crate::time::Timestamp;

/// What each table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// All names, again for each change: what other tools read.
    Full,
    /// What changed; a fraction of the size.
    Deltas,
}

impl History {
    /// Writes the tables that count between two moments: the one in force at `from`, and those
    /// that begin up to `to`.
    ///
    /// Each record has both spellings that users know. Names that captures hold themselves are in
    /// the first table.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write(
        &self,
        from: Timestamp,
        to: Timestamp,
        form: Form,
        out: impl Write,
    ) -> io::Result<()> {
        let mut tables: BTreeMap<i64, BTreeMap<Address, Option<&Name>>> = BTreeMap::new();
        let start = from.secs().max(self.first().unwrap_or(i64::MIN));
        if let Some(first) = self.first() {
            tables.insert(start.max(first), BTreeMap::new());
        }
        for (address, changes) in self.all() {
            // The change in force at the start, then the later ones.
            let begin = changes
                .partition_point(|change| change.from <= start)
                .saturating_sub(1);
            for change in changes.get(begin..).unwrap_or_default() {
                if change.from > to.secs().max(start) {
                    break;
                }
                tables
                    .entry(change.from.max(start))
                    .or_default()
                    .insert(*address, change.name.as_ref());
            }
        }
        let learned: Vec<Name> = self
            .all_learned()
            .map(|(_, name)| Name::plain(name, ""))
            .collect();
        let known = self.all_learned().map(|(ip, _)| Address::Ip(*ip));
        let when = tables.keys().next().copied().unwrap_or(0);
        for (address, name) in known.zip(&learned) {
            let table = tables.entry(when).or_default();
            table.entry(address).or_insert(Some(name));
        }
        let file = File { tables, form };
        serde_json::to_writer(out, &file).map_err(io::Error::from)
    }
}

struct File<'h> {
    tables: BTreeMap<i64, BTreeMap<Address, Option<&'h Name>>>,
    form: Form,
}

impl Serialize for File<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut file = to.serialize_map(None)?;
        if self.form == Form::Deltas {
            file.serialize_entry(DELTAS, &true)?;
        }
        let mut all: BTreeMap<Address, &Name> = BTreeMap::new();
        for (from, changed) in &self.tables {
            if self.form == Form::Deltas {
                file.serialize_entry(&from.to_string(), &Delta(changed))?;
                continue;
            }
            for (address, name) in changed {
                match name {
                    Some(name) => all.insert(*address, name),
                    None => all.remove(address),
                };
            }
            file.serialize_entry(&from.to_string(), &Whole(&all))?;
        }
        file.end()
    }
}

struct Delta<'t, 'h>(&'t BTreeMap<Address, Option<&'h Name>>);

impl Serialize for Delta<'_, '_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let rows = self.0.iter();
        let rows =
            rows.map(|(address, name)| (address.to_string(), name.map(|name| Row(name, true))));
        to.collect_map(rows)
    }
}

struct Whole<'t, 'h>(&'t BTreeMap<Address, &'h Name>);

impl Serialize for Whole<'_, '_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let by_address = self
            .0
            .iter()
            .map(|(address, name)| (address.to_string(), *name));
        let by_name: BTreeMap<String, &Name> = self
            .0
            .values()
            .map(|name| (full_address(name), *name))
            .collect();
        to.collect_map(
            by_address
                .chain(by_name)
                .map(|(key, name)| (key, Row(name, false))),
        )
    }
}

/// One name, and whether with all that is known of who has it: in full tables, which repeat each
/// row for each change, that would be most of the file.
struct Row<'h>(&'h Name, bool);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Name {
            name,
            namespace,
            identity,
            ..
        } = self.0;
        let mut row = to.serialize_map(None)?;
        row.serialize_entry("FullAddress", &full_address(self.0))?;
        row.serialize_entry("Namespace", &**namespace)?;
        row.serialize_entry("name", &**name)?;
        row.serialize_entry("namespace", &**namespace)?;
        if let Some(who) = identity.as_ref().filter(|_| self.1) {
            let who = RawValue::from_string(who.text().to_owned());
            row.serialize_entry("who", &who.map_err(S::Error::custom)?)?;
        }
        row.end()
    }
}

fn full_address(name: &Name) -> String {
    if name.namespace.is_empty() {
        name.name.to_string()
    } else {
        format!("{}.{}", name.name, name.namespace)
    }
}
