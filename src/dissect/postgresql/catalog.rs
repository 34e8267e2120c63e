//! What a connection has prepared: statements by name, portals by name.
//!
//! In: names and texts of Parse and Bind messages. Out: the text that a later Execute runs. Never:
//! more than the caps; the oldest is forgotten, and what is forgotten has no text.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes};

use crate::dissect::saved::{Saved, put_bytes, put_list};

/// Statements that are remembered; drivers cache up to 256 on a connection.
const MAX_STATEMENTS: usize = 256;

/// Portals that are remembered; nearly all clients use the one without a name.
const MAX_PORTALS: usize = 64;

/// Bytes of one remembered text.
const MAX_QUERY: usize = 16 * 1024;

/// Bytes of all that is remembered of one kind.
const MAX_BYTES: usize = 512 * 1024;

/// Something prepared.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Text of the query.
    pub query: Bytes,
    pub query_known: bool,
    /// Whether the text goes on.
    pub cut: bool,
    /// Statement of a portal.
    pub statement: Bytes,
    /// Body of the RowDescription of a statement.
    pub columns: Bytes,
    /// Formats in which a portal gives its results.
    pub formats: Option<Bytes>,
}

impl Entry {
    fn weight(&self) -> usize {
        let formats = self.formats.as_ref().map_or(0, Bytes::len);
        self.query.len() + self.statement.len() + self.columns.len() + formats
    }
}

/// Entries by name, the most recent last.
#[derive(Debug, Default)]
struct Names {
    entries: VecDeque<(Bytes, Entry)>,
    bytes: usize,
}

impl Names {
    fn find(&self, name: &[u8]) -> Option<&Entry> {
        let found = self.entries.iter().rev().find(|(other, _)| other == name);
        found.map(|(_, entry)| entry)
    }

    fn forget(&mut self, name: &[u8]) {
        if let Some(at) = self.entries.iter().position(|(other, _)| other == name) {
            self.drop_at(at);
        }
    }

    fn drop_at(&mut self, at: usize) {
        if let Some((name, entry)) = self.entries.remove(at) {
            self.bytes -= name.len() + entry.weight();
        }
    }

    fn put(&mut self, name: &[u8], entry: Entry, most: usize) {
        self.forget(name);
        self.bytes += name.len() + entry.weight();
        self.entries
            .push_back((Bytes::copy_from_slice(name), entry));
        while self.entries.len() > most || self.bytes > MAX_BYTES {
            self.drop_at(0);
        }
    }
}

/// Statements and portals of one connection.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    statements: Names,
    portals: Names,
}

impl Catalog {
    /// The statement of this name.
    pub(super) fn statement(&self, name: &[u8]) -> Option<&Entry> {
        self.statements.find(name)
    }

    /// The portal of this name.
    pub(super) fn portal(&self, name: &[u8]) -> Option<&Entry> {
        self.portals.find(name)
    }

    /// A Parse message names a statement.
    pub(super) fn prepare(&mut self, name: &[u8], query: &[u8], cut: bool) {
        let kept = query.get(..MAX_QUERY).unwrap_or(query);
        let entry = Entry {
            query: Bytes::copy_from_slice(kept),
            query_known: true,
            cut: cut || kept.len() < query.len(),
            ..Entry::default()
        };
        self.statements.put(name, entry, MAX_STATEMENTS);
    }

    /// A statement's columns became known.
    pub(super) fn describe(&mut self, name: &[u8], columns: Bytes) {
        if let Some(entry) = self.statements.find(name) {
            let entry = Entry {
                columns,
                ..entry.clone()
            };
            self.statements.put(name, entry, MAX_STATEMENTS);
        }
    }

    /// A Bind message names a portal.
    pub(super) fn bind(&mut self, portal: &[u8], statement: &[u8], formats: Option<Bytes>) {
        let entry = Entry {
            statement: Bytes::copy_from_slice(statement),
            formats,
            ..self.statement(statement).cloned().unwrap_or_default()
        };
        self.portals.put(portal, entry, MAX_PORTALS);
    }

    /// A Close message names a statement.
    pub(super) fn close_statement(&mut self, name: &[u8]) {
        self.statements.forget(name);
    }

    /// A Close message names a portal.
    pub(super) fn close_portal(&mut self, name: &[u8]) {
        self.portals.forget(name);
    }

    pub(super) fn save(&self, out: &mut Vec<u8>) {
        for names in [&self.statements, &self.portals] {
            put_list(out, names.entries.iter(), |out, (name, entry)| {
                put_bytes(out, name);
                for bytes in [&entry.query, &entry.statement, &entry.columns] {
                    put_bytes(out, bytes);
                }
                for flag in [entry.query_known, entry.cut, entry.formats.is_some()] {
                    out.put_u8(flag.into());
                }
                put_bytes(out, entry.formats.as_ref().unwrap_or(&Bytes::new()));
            });
        }
    }

    pub(super) fn restore(saved: &mut Saved<'_>) -> Option<Catalog> {
        let mut catalog = Catalog::default();
        for (names, most) in [
            (&mut catalog.statements, MAX_STATEMENTS),
            (&mut catalog.portals, MAX_PORTALS),
        ] {
            let entries = saved.list(most, |saved| {
                let name = saved.bytes(MAX_BYTES)?;
                let (query, statement) = (saved.bytes(MAX_BYTES)?, saved.bytes(MAX_BYTES)?);
                let columns = saved.bytes(MAX_BYTES)?;
                let (query_known, cut) = (saved.flag()?, saved.flag()?);
                let has_formats = saved.flag()?;
                let entry = Entry {
                    query,
                    query_known,
                    cut,
                    statement,
                    columns,
                    formats: Some(saved.bytes(MAX_BYTES)?).filter(|_| has_formats),
                };
                Some((name, entry))
            })?;
            for (name, entry) in entries {
                names.put(&name, entry, most);
            }
        }
        Some(catalog)
    }
}
