//! Searches in the spool: what rows no longer hold is dissected again from its packets.
//!
//! In: a query and a time before the oldest row. Out: rows of the packets that are still there, the
//! newest first. Never: more than a time of patience; what was not reached is for the next page.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::capture;
use crate::deliver::Delivery;
use crate::dissect::Protocols;
use crate::flow::Limits;
use crate::item::Origin;
use crate::packet::StreamName;
use crate::pipeline::{self, NamesOf, Rows, RowsConsumer};
use crate::server::search::{Part, Place, SPOOL, Wanted, merged, of_rows};
use crate::spool::Reader;
use crate::time::Timestamp;

/// Time that one search takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// The first piece of time that is read, and the longest.
const FIRST: i64 = 30_000;
const LONGEST: i64 = 24 * 3_600_000;

/// Time beside a piece in which exchanges of it may begin and end.
const BESIDE: i64 = 30_000;

/// Bytes of packets of one piece.
const MAX_PIECE: u64 = 256 << 20;

/// Bytes and number of the rows of one piece.
const MAX_ROWS_BYTES: usize = 128 << 20;
const MAX_ROWS: usize = 500_000;

/// Bytes of packets up to which the next piece is longer.
const LITTLE: u64 = 16 << 20;

/// How packets of the spool are read.
pub(super) struct SpoolSearch {
    pub(super) reader: Reader,
    pub(super) protocols: Protocols,
    pub(super) limits: Limits,
    pub(super) origin: Arc<Origin>,
    pub(super) names: Option<Arc<Mutex<NamesOf>>>,
}

impl SpoolSearch {
    /// Rows of packets up to `until`, the moment of the oldest row that is held.
    pub(super) fn search(
        &self,
        delivery: &Delivery<'_>,
        wanted: &Wanted,
        until: Timestamp,
    ) -> Vec<Part> {
        if !wanted.asks(SPOOL) {
            return Vec::new();
        }
        let begun = Instant::now();
        let Some(oldest) = self.oldest() else {
            return Vec::new();
        };
        let oldest = oldest.millis().max(wanted.from.unwrap_or(i64::MIN));
        let before = wanted.before.as_ref().map_or(i64::MAX, |place| place.at);
        let mut end = until.millis().min(before).saturating_add(1);
        let mut length = FIRST;
        let mut part = Part::default();
        while end > oldest && part.floor.is_none() {
            let start = end.saturating_sub(length).max(oldest);
            let (piece, bytes) = match self.piece(delivery, wanted, start, end) {
                Ok(Some(read)) => read,
                // Too much at once.
                Ok(None) if length > 1000 => {
                    length /= 4;
                    continue;
                }
                Ok(None) => (self.unread("a second has more packets than are read"), 0),
                Err(why) => (self.unread(&why), 0),
            };
            // Pieces come one before the other: what is older stands behind.
            part = merged(vec![part, piece], wanted);
            end = start;
            if bytes < LITTLE {
                length = length.saturating_mul(2).min(LONGEST);
            }
            if begun.elapsed() > PATIENCE {
                break;
            }
        }
        // What was not reached is for the next page.
        if end > oldest && part.floor.is_none() {
            part.floor = Some(Place {
                at: end,
                key: String::new(),
            });
        }
        vec![part]
    }

    fn unread(&self, why: &str) -> Part {
        Part::missing(&self.origin.node_name, why)
    }

    /// When the oldest packet was captured.
    fn oldest(&self) -> Option<Timestamp> {
        let (first, last) = (
            Timestamp::from_nanos(i64::MIN),
            Timestamp::from_nanos(i64::MAX),
        );
        self.reader.runs().into_iter().find_map(|run| {
            let reader = self.reader.of_run(run)?;
            let packet = reader.window(first, last).next()?.ok()?;
            Some(packet.entry.ts)
        })
    }

    /// Rows between two moments, and the bytes of packets read; `None` when these are too many.
    fn piece(
        &self,
        delivery: &Delivery<'_>,
        wanted: &Wanted,
        start: i64,
        end: i64,
    ) -> Result<Option<(Part, u64)>, String> {
        let moment = |millis: i64| Timestamp::from_nanos(millis.saturating_mul(1_000_000));
        let (from, to) = (moment(start - BESIDE), moment(end.saturating_add(BESIDE)));
        let mut file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        let mut streams: Vec<Option<StreamName>> = Vec::new();
        let mut bounded = Bounded {
            out: file.as_file_mut(),
            bytes: 0,
        };
        for run in self.reader.runs() {
            let Some(reader) = self.reader.of_run(run) else {
                continue;
            };
            let written = reader.write_raw(from, to, "", &mut bounded, &mut |entry| {
                streams.push(entry.stream.map(|(name, _)| name));
            });
            match written {
                Ok(_) => {}
                Err(_) if bounded.bytes > MAX_PIECE => return Ok(None),
                Err(error) => return Err(error.to_string()),
            }
        }
        let bytes = bounded.bytes;
        let rows = Arc::new(Rows::new(MAX_ROWS_BYTES, MAX_ROWS));
        let source = capture::file::open(file.path()).map_err(|error| error.to_string())?;
        let running = pipeline::start(
            source,
            pipeline::Options::pass(
                self.protocols.clone(),
                self.limits,
                self.origin.clone(),
                self.names.clone().map(shared),
                Box::new(RowsConsumer(rows.clone())),
            ),
        );
        running.join().map_err(|error| error.to_string())?;
        let ends = Place {
            at: end,
            key: String::new(),
        };
        let within = Wanted {
            before: Some(
                wanted
                    .before
                    .clone()
                    .map_or(ends.clone(), |place| place.min(ends)),
            ),
            from: Some(start.max(wanted.from.unwrap_or(i64::MIN))),
            ..wanted.clone()
        };
        let mut part = of_rows(&rows, delivery, &within, SPOOL);
        for found in &mut part.found {
            as_in_run(&mut found.row, &streams);
        }
        part.looked = streams.len() as u64;
        Ok(Some((part, bytes)))
    }
}

/// Names that several runs ask for.
pub(super) fn shared(names: Arc<Mutex<NamesOf>>) -> NamesOf {
    Box::new(move |origin: &Origin| {
        let names = names.lock().unwrap_or_else(PoisonError::into_inner);
        names(origin)
    })
}

/// Gives a row the name that its stream has in the run, by which its packets can be had. Its place in
/// the stream is not known, and so is its id.
fn as_in_run(row: &mut Json, streams: &[Option<StreamName>]) {
    let here = row["stream"].as_str().and_then(StreamName::parse);
    let number = here.and_then(|name| usize::try_from(name.stream.0).ok());
    let name = number.and_then(|number| *streams.get(number)?);
    row["stream"] = name.map_or(Json::Null, |name| name.to_string().into());
    row["id"] = Json::Null;
}

/// Takes so many bytes and no more.
struct Bounded<'f> {
    out: &'f mut std::fs::File,
    bytes: u64,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        if self.bytes > MAX_PIECE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
