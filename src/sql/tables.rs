//! The tables and their columns: one list that the engine, the command for DuckDB and the tests of
//! the reference page walk.
//!
//! `items` has the columns of the index ([`crate::index::COLUMNS`]) and those of [`PLACE`]; `reels`
//! and `coverage` have those of [`PLACE`] and their own; `streams` is a query over `items`.

use crate::index::Kind;

/// A column that is not of the index.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// One sentence for people.
    pub doc: &'static str,
}

const fn column(name: &'static str, kind: Kind, doc: &'static str) -> Column {
    Column { name, kind, doc }
}

use Kind::{Int, Text, Time};

/// What the key of an object tells: behind the columns of every table.
#[rustfmt::skip]
pub static PLACE: &[Column] = &[
    column("cluster", Text, "the cluster"),
    column("date", Text, "date of the reel's first packet in UTC, as 2026-11-24"),
    column("hour", Text, "hour of it, as 07"),
    column("node", Text, "the node"),
    column("recording", Text, "the recording"),
    column("run", Int, "the run: its Unix start second"),
    column("reel", Text, "name of the reel, unique for a cluster, node and recording"),
];

/// The columns of `reels` before those of its place: one row a reel.
#[rustfmt::skip]
pub static REELS: &[Column] = &[
    column("sequence", Int, "number in the run"),
    column("begins", Time, "time of the first packet"),
    column("ends", Time, "time of the last packet"),
    column("sealed", Time, "when it was sealed"),
    column("why", Text, "why it was sealed: age, size, stop, asked, ..."),
    column("kfl", Text, "the query in force"),
    column("packets", Int, "packets in it"),
    column("bytes", Int, "their captured bytes"),
    column("streams", Int, "streams with packets in it"),
    column("items", Int, "items seen on them"),
    column("stored", Int, "bytes of its objects"),
    column("lock", Text, "locked when all of its objects are, else what others are: not-locked or not-verified"),
];

/// The columns of `coverage` before those of its place: one row a manifest and reason, one without a
/// reason for a manifest that tells of no loss.
#[rustfmt::skip]
pub static COVERAGE: &[Column] = &[
    column("kind", Text, "reel, heartbeat or rollup"),
    column("sequence", Int, "number in the run"),
    column("begins", Time, "start of the time that the manifest is about"),
    column("ends", Time, "end of it"),
    column("reason", Text, "why packets are in no reel, as kernel_dropped; null when none were lost"),
    column("packets", Int, "packets lost for it since the run began"),
    column("bytes", Int, "their bytes, where known"),
    column("first", Time, "first time it happened"),
    column("last", Time, "last time it happened"),
];

/// The columns of `streams`, in the order of [`STREAMS_QUERY`].
#[rustfmt::skip]
pub static STREAMS: &[Column] = &[
    column("stream", Text, "name of the stream in its run"),
    column("begins", Time, "time of its first request"),
    column("ends", Time, "time of its last request"),
    column("items", Int, "items on it"),
    column("errors", Int, "items with an error"),
    column("protocol", Text, "short name of a protocol on it"),
    column("src_ip", Text, "client address"),
    column("src_port", Int, "client port"),
    column("src_name", Text, "client name"),
    column("dst_ip", Text, "server address"),
    column("dst_port", Int, "server port"),
    column("dst_name", Text, "server name"),
    column("request_bytes", Int, "bytes of its requests"),
    column("response_bytes", Int, "bytes of its responses"),
    column("reels", Int, "reels that hold items of it"),
    column("cluster", Text, "the cluster"),
    column("node", Text, "the node"),
    column("recording", Text, "the recording"),
    column("run", Int, "the run"),
];

/// `streams` over `items`, in words that every engine knows.
pub const STREAMS_QUERY: &str = "\
SELECT stream, min(\"timestamp\") AS begins, max(\"timestamp\") AS ends, count(*) AS items, \
count(error_type) AS errors, min(protocol_abbr) AS protocol, min(src_ip) AS src_ip, \
min(src_port) AS src_port, min(src_name) AS src_name, min(dst_ip) AS dst_ip, \
min(dst_port) AS dst_port, min(dst_name) AS dst_name, \
CAST(sum(request_size) AS BIGINT) AS request_bytes, \
CAST(sum(response_size) AS BIGINT) AS response_bytes, count(DISTINCT reel) AS reels, \
cluster, node, recording, run \
FROM items GROUP BY cluster, node, recording, run, stream";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::COLUMNS;

    #[test]
    fn names_are_unique_in_each_table_and_are_on_the_page() {
        let place = || PLACE.iter().map(|column| column.name);
        let of = |columns: &'static [Column]| columns.iter().map(|column| column.name);
        let page = include_str!("../../docs/lake.md");
        for names in [
            COLUMNS
                .iter()
                .map(|column| column.name)
                .chain(place())
                .collect::<Vec<_>>(),
            of(REELS).chain(place()).collect(),
            of(COVERAGE).chain(place()).collect(),
            of(STREAMS).collect(),
        ] {
            for (at, name) in names.iter().enumerate() {
                assert!(!names[..at].contains(name), "{name}");
                assert!(page.contains(&format!("`{name}`")), "{name}");
            }
        }
    }

    #[test]
    fn the_query_of_streams_has_their_columns_in_order() {
        let mut rest = STREAMS_QUERY;
        for column in STREAMS {
            let at = rest.find(column.name);
            let at = at.unwrap_or_else(|| panic!("{} is not behind the others", column.name));
            rest = &rest[at + column.name.len()..];
        }
    }
}
