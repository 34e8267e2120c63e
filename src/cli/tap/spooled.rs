//! Searches in the spool: what rows no longer hold is dissected again from its packets.
//!
//! In: a query and a time before the oldest row. Out: rows of the packets that are still there, the
//! newest first. Never: more than a time of patience; what was not reached is for the next page.

use std::io::{self, Write};
use std::path::Path;
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
use crate::server::search::{Found, Part, Place, SPOOL, Wanted, merged, of_rows};
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

    /// Rows between two moments, and the bytes of packets read; `None` when these are too many. Packets of
    /// each run are read for themselves, since its streams end with it.
    fn piece(
        &self,
        delivery: &Delivery<'_>,
        wanted: &Wanted,
        start: i64,
        end: i64,
    ) -> Result<Option<(Part, u64)>, String> {
        let moment = |millis: i64| Timestamp::from_nanos(millis.saturating_mul(1_000_000));
        let (from, to) = (moment(start - BESIDE), moment(end.saturating_add(BESIDE)));
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
        let mut parts = Vec::new();
        let mut bytes = 0;
        for run in self.reader.runs() {
            let Some(reader) = self.reader.of_run(run) else {
                continue;
            };
            let mut file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
            let mut streams: Vec<Option<StreamName>> = Vec::new();
            let mut bounded = Bounded {
                out: file.as_file_mut(),
                left: MAX_PIECE - bytes,
                is_full: false,
            };
            let written = reader.write_raw(from, to, "", &mut bounded, &mut |entry| {
                streams.push(entry.stream.map(|(name, _)| name));
            });
            match written {
                Ok(0) => continue,
                Ok(_) => bytes = MAX_PIECE - bounded.left,
                Err(_) if bounded.is_full => return Ok(None),
                Err(error) => return Err(error.to_string()),
            }
            let mut part = self.dissected(file.path(), delivery, &within)?;
            for found in &mut part.found {
                as_in_run(found, run, &streams);
            }
            part.looked = streams.len() as u64;
            parts.push(part);
        }
        Ok(Some((merged(parts, &within), bytes)))
    }

    /// Rows of the packets of a savefile.
    fn dissected(
        &self,
        file: &Path,
        delivery: &Delivery<'_>,
        wanted: &Wanted,
    ) -> Result<Part, String> {
        let rows = Arc::new(Rows::new(MAX_ROWS_BYTES, MAX_ROWS));
        let source = capture::file::open(file).map_err(|error| error.to_string())?;
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
        Ok(of_rows(&rows, delivery, wanted, SPOOL))
    }
}

/// Names that several runs ask for.
pub(super) fn shared(names: Arc<Mutex<NamesOf>>) -> NamesOf {
    Box::new(move |origin: &Origin| {
        let names = names.lock().unwrap_or_else(PoisonError::into_inner);
        names(origin)
    })
}

/// Gives a row the name that its stream has in its run, by which its packets can be had. Its number and
/// its place in the stream are of this reading alone, so it has no number and no id; its key is the same
/// whenever it is read.
fn as_in_run(found: &mut Found, run: u64, streams: &[Option<StreamName>]) {
    let row = &mut found.row;
    let here = row["stream"].as_str().and_then(StreamName::parse);
    let number = here.and_then(|name| usize::try_from(name.stream.0).ok());
    let name = number.and_then(|number| *streams.get(number)?);
    row["stream"] = name.map_or(Json::Null, |name| name.to_string().into());
    row["run"] = run.into();
    row["key"] = found.place.key.as_str().into();
    row["n"] = Json::Null;
    row["id"] = Json::Null;
}

/// Takes so many bytes and no more.
struct Bounded<'f> {
    out: &'f mut std::fs::File,
    left: u64,
    is_full: bool,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        self.left = left;
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kfl;
    use crate::pipeline::host::{SpoolStreams, StreamReader as _, StreamRef};
    use crate::spool::{self, Writer};
    use crate::synth;

    const AT: i64 = 1_700_000_000;

    /// One exchange on a connection of its own.
    fn exchange(client: [u8; 4], path: &str, at: i64) -> Vec<synth::Frame> {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        synth::tcp((client, 40_000), ([10, 9, 9, 9], 80))
            .at(Timestamp::from_secs(at, 0))
            .to_server(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .to_client(answer)
            .fin()
    }

    /// Writes frames into the spool as one run.
    fn run(folder: &Path, number: u64, frames: &[synth::Frame]) -> Reader {
        let (writer, reader) = Writer::open(spool::Options::new(folder, number)).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&synth::savefile(frames)).unwrap();
        let source = capture::file::open(file.path()).unwrap();
        let rows = Arc::new(Rows::new(MAX_ROWS_BYTES, MAX_ROWS));
        let mut options = pipeline::Options::pass(
            Protocols::all(),
            Limits::default(),
            Arc::new(Origin::default()),
            None,
            Box::new(RowsConsumer(rows)),
        );
        options.spool = Some((writer, reader.clone()));
        pipeline::start(source, options).join().unwrap();
        reader
    }

    fn wanted() -> Wanted {
        Wanted {
            kfl: "http".to_owned(),
            before: None,
            from: None,
            limit: 100,
            now: 0,
            place: SPOOL.to_owned(),
        }
    }

    /// What a spool has of HTTP.
    fn found(reader: Reader) -> Part {
        let search = SpoolSearch {
            reader,
            protocols: Protocols::all(),
            limits: Limits::default(),
            origin: Arc::new(Origin::default()),
            names: None,
        };
        let query = kfl::compile("http", &kfl::Schema::empty()).unwrap();
        let delivery = Delivery::new(query, Timestamp::default(), None);
        let until = Timestamp::from_secs(AT + 60, 0);
        search.search(&delivery, &wanted(), until).pop().unwrap()
    }

    #[test]
    fn rows_lead_to_the_packets_of_their_own_run() {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), 1, &exchange([10, 1, 1, 1], "/first", AT));
        let frames = exchange([10, 2, 2, 2], "/second", AT + 20);
        let reader = run(folder.path(), 2, &frames);
        let part = found(reader.clone());
        let rows: Vec<&Json> = part.found.iter().map(|found| &found.row).collect();
        let told = |row: &&Json| (row["summary"].clone(), row["run"].clone());
        let told: Vec<_> = rows.iter().map(told).collect();
        assert_eq!(
            told,
            [("/second".into(), 2.into()), ("/first".into(), 1.into())]
        );
        // The first stream of each run has the same name.
        assert_eq!(rows[0]["stream"], rows[1]["stream"]);
        for row in rows {
            assert!(row["n"].is_null() && row["id"].is_null(), "{row}");
            assert_eq!(row["key"].as_str().unwrap().len(), 24);
            let wanted = StreamRef {
                run: row["run"].as_u64().unwrap(),
                stream: StreamName::parse(row["stream"].as_str().unwrap()).unwrap(),
            };
            let mut packets = Vec::new();
            let streams = SpoolStreams(reader.clone());
            streams.write_pcap(&[wanted], &mut packets).unwrap();
            let path = row["summary"].as_str().unwrap().as_bytes();
            let has = |text: &[u8]| packets.windows(text.len()).any(|part| part == text);
            assert!(has(path), "{row}");
        }
    }

    #[test]
    fn a_connection_that_goes_on_in_the_next_run_is_a_stream_of_each() {
        let folder = tempfile::tempdir().unwrap();
        let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let frames = synth::tcp(([10, 1, 1, 1], 40_000), ([10, 9, 9, 9], 80))
            .at(Timestamp::from_secs(AT, 0))
            .to_server(request("/first"))
            .to_client(answer)
            .wait(Duration::from_secs(5))
            .to_server(request("/second"))
            .to_client(answer)
            .fin();
        let middle = Timestamp::from_secs(AT + 3, 0);
        let (before, after): (Vec<_>, Vec<_>) =
            frames.into_iter().partition(|frame| frame.ts < middle);
        let other = exchange([10, 2, 2, 2], "/other", AT + 4);
        run(folder.path(), 1, &before);
        let reader = run(folder.path(), 2, &synth::merge([other, after]));
        let part = found(reader);
        let of = |path: &str| {
            let row = part.found.iter().find(|found| found.row["summary"] == path);
            let row = &row.unwrap().row;
            (row["run"].clone(), row["stream"].clone())
        };
        let (run_of_first, first) = of("/first");
        let (run_of_second, second) = of("/second");
        assert_eq!((run_of_first, run_of_second), (1.into(), 2.into()));
        assert!(!second.is_null() && second != first);
    }
}
