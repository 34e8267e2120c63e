//! The two tables that HPACK indexes: 61 fields known beforehand, and those that were sent.
//!
//! In: the fields that a block adds. Out: a field by its index, or that it is not known. Never: more
//! than [`MAX_TABLE`] bytes. Standard: RFC 7541 sections 2.3, 4 and appendix A.
//!
//! Invariant of the dynamic table: `entries` are the latest ones, the newest first, without a hole.
//! Indices count from the newest, so what was added before a gap, or before the capture began, can
//! only ever be missing at the end: an index gives its own entry or none.

use std::collections::VecDeque;

use crate::bytes::Reader;
use crate::dissect::http::exchange::flag;

/// Fields of the static table.
pub(super) const STATIC_LEN: usize = 61;

/// Size of the dynamic table before anything else is agreed on (RFC 9113 section 6.5.2).
pub(super) const DEFAULT_TABLE: usize = 4096;

/// Most bytes of a dynamic table that are kept: browsers and proxies allow 64 KiB, and a sender uses
/// no more than what is allowed.
pub(super) const MAX_TABLE: usize = 64 * 1024;

/// "The size of an entry is the sum of its name's length in octets, its value's length in octets,
/// and 32" (RFC 7541 section 4.1).
pub(in crate::dissect::http::h2) const ENTRY_OVERHEAD: usize = 32;

/// The static table; index 1 stands first.
#[rustfmt::skip]
static STATIC: [(&str, &str); STATIC_LEN] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"),
    (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
    ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""),
    ("authorization", ""), ("cache-control", ""), ("content-disposition", ""),
    ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""),
    ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""),
    ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""),
    ("vary", ""), ("via", ""), ("www-authenticate", ""),
];

/// A field of the static table by its index, from 1.
pub(in crate::dissect::http::h2) fn fixed(
    index: usize,
) -> Option<&'static (&'static str, &'static str)> {
    STATIC.get(index.checked_sub(1)?)
}

/// The name of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dissect::http::h2) enum Name<'a> {
    /// That of this index in the static table.
    Static(u8),
    /// Written out.
    Written(&'a [u8]),
    /// One that was sent where nobody captured it.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Index of the name in the static table; 0 when `text` begins with the name.
    fixed: u8,
    /// Length of a name in `text`; [`Entry::UNKNOWN`] when nobody knows it.
    name: u32,
    /// Name, unless it is in the static table, and value.
    text: Box<[u8]>,
}

impl Entry {
    const UNKNOWN: u32 = u32::MAX;

    fn new(name: Name<'_>, value: &[u8]) -> Entry {
        let (fixed, length, written) = match name {
            Name::Static(index) => (index, 0, &[][..]),
            Name::Written(name) => (0, u32::try_from(name.len()).unwrap_or(0), name),
            Name::Unknown => (0, Entry::UNKNOWN, &[][..]),
        };
        Entry {
            fixed,
            name: length,
            text: [written, value].concat().into_boxed_slice(),
        }
    }

    fn name(&self) -> Name<'_> {
        match (self.fixed, self.name) {
            (0, Entry::UNKNOWN) => Name::Unknown,
            (0, length) => {
                let length = usize::try_from(length).unwrap_or(0);
                Name::Written(self.text.get(..length).unwrap_or_default())
            }
            (index, _) => Name::Static(index),
        }
    }

    fn value(&self) -> &[u8] {
        let name = match self.name {
            Entry::UNKNOWN => 0,
            length => usize::try_from(length).unwrap_or(0),
        };
        self.text.get(name..).unwrap_or_default()
    }

    /// Its size as the standard counts it; without an unknown name, which makes it only smaller.
    fn size(&self) -> usize {
        let name = fixed(self.fixed.into()).map_or(0, |(name, _)| name.len());
        name + self.text.len() + ENTRY_OVERHEAD
    }
}

/// The dynamic table of one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    /// Sum of the entries' sizes.
    size: usize,
    /// What the sender keeps at most; `None` while that is not known.
    max: Option<usize>,
    /// Whether the entries are all that the sender has.
    complete: bool,
}

impl Table {
    /// The empty table of a connection that is seen from its beginning.
    pub(super) fn new() -> Table {
        Table {
            entries: VecDeque::new(),
            size: 0,
            max: Some(DEFAULT_TABLE),
            complete: true,
        }
    }

    /// A table of which nothing is known.
    pub(super) fn unknown() -> Table {
        Table {
            max: None,
            complete: false,
            ..Table::new()
        }
    }

    /// Whether an index without an entry is against the standard.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The field of an index that is not in the static table, counted from 0.
    pub(super) fn get(&self, index: usize) -> Option<(Name<'_>, &[u8])> {
        let entry = self.entries.get(index)?;
        Some((entry.name(), entry.value()))
    }

    /// Adds a field with a name of its own or one of the static table.
    pub(super) fn insert(&mut self, name: Name<'_>, value: &[u8]) {
        self.add(Entry::new(name, value));
    }

    /// Adds a field with the name of an entry of this table, counted from 0.
    pub(super) fn insert_named_as(&mut self, index: usize, value: &[u8]) {
        let name = self.entries.get(index).map_or(Name::Unknown, Entry::name);
        let entry = Entry::new(name, value);
        self.add(entry);
    }

    fn add(&mut self, entry: Entry) {
        let size = entry.size();
        let limit = self.limit();
        self.shrink(limit.saturating_sub(size));
        // "an attempt to add an entry larger than the maximum size causes the table to be emptied
        // of all existing entries and results in an empty table" (RFC 7541 section 4.4).
        if size <= limit {
            self.size += size;
            self.entries.push_front(entry);
        } else if limit < self.max.unwrap_or(usize::MAX) {
            self.complete = false;
        }
    }

    /// Takes over a size that the sender announced.
    pub(super) fn resize(&mut self, max: usize) {
        self.max = Some(max);
        self.shrink(self.limit());
        // Nothing fits in, so nothing unknown is left.
        if max < ENTRY_OVERHEAD {
            self.complete = true;
        }
    }

    fn limit(&self) -> usize {
        self.max.unwrap_or(MAX_TABLE).min(MAX_TABLE)
    }

    fn shrink(&mut self, room: usize) {
        while self.size > room {
            let Some(entry) = self.entries.pop_back() else {
                break;
            };
            self.size -= entry.size();
            // The sender may hold it still, when our own cap is the reason.
            if self.max.is_none_or(|max| max > MAX_TABLE) {
                self.complete = false;
            }
        }
    }

    /// Writes it for [`Table::load`].
    ///
    /// ```text
    /// table = complete u8, max u64 (all ones: unknown), count u32, entries
    /// entry = static index u8, name length u32, length u32, text
    /// ```
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.complete));
        let max = self.max.map_or(u64::MAX, |max| max as u64);
        out.extend_from_slice(&max.to_be_bytes());
        let count = |count: usize| u32::try_from(count).unwrap_or(0).to_be_bytes();
        out.extend_from_slice(&count(self.entries.len()));
        for entry in &self.entries {
            out.push(entry.fixed);
            out.extend_from_slice(&entry.name.to_be_bytes());
            out.extend_from_slice(&count(entry.text.len()));
            out.extend_from_slice(&entry.text);
        }
    }

    /// Reads one back; `None` when the bytes are not those of a save.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Table> {
        let complete = flag(from)?;
        let max = match from.u64().ok()? {
            u64::MAX => None,
            max => Some(usize::try_from(max).ok()?),
        };
        let mut table = Table {
            max,
            complete,
            ..Table::new()
        };
        for _ in 0..from.u32().ok()? {
            let (fixed, name) = (from.u8().ok()?, from.u32().ok()?);
            let length = usize::try_from(from.u32().ok()?).ok()?;
            let entry = Entry {
                fixed,
                name,
                text: from.take(length).ok()?.into(),
            };
            let named = match (fixed, name) {
                (0, Entry::UNKNOWN) => true,
                (0, name) => usize::try_from(name).is_ok_and(|name| name <= length),
                (index, 0) => usize::from(index) <= STATIC_LEN,
                _ => false,
            };
            table.size += entry.size();
            (named && table.size <= table.limit()).then_some(())?;
            table.entries.push_back(entry);
        }
        Some(table)
    }
}
