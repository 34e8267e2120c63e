//! Payload search: `tapedeck query SRC --grep TEXT` and `--hex BYTES`.
//!
//! One thread reads packets and tells their streams, one for each core looks into payloads, and the
//! hits are printed in packet order. What a TCP segment ends with is looked into again in front of
//! the one that follows it, so that a text may lie in several; segments out of order are looked into
//! alone.

use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::thread;

use ahash::RandomState;
use crossbeam_channel::{Receiver, Sender, bounded};
use memchr::memmem::Finder;
use serde_json::json;

use super::exit::{Exit, Failure};
use super::plain;
use super::reading::Range;
use crate::capture::Source;
use crate::flow::Limits;
use crate::packet::{Decoded, Direction, FiveTuple, StreamId, StreamName, TcpHeader};
use crate::pipeline::Stop;
use crate::pipeline::extract::{self, Met};
use crate::time::Timestamp;

/// Packets that one thread is handed at a time.
const BATCH_PACKETS: usize = 1024;

/// Their bytes.
const BATCH_BYTES: usize = 1 << 20;

/// Bytes shown around a hit.
const AROUND: usize = 24;

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Needle(Vec<u8>);

impl Needle {
    /// A text as it is on the wire.
    pub fn text(text: &str) -> Result<Needle, Failure> {
        match text.is_empty() {
            true => Err(Failure::usage("--grep needs a text")),
            false => Ok(Needle(text.as_bytes().to_vec())),
        }
    }

    /// Bytes in hexadecimal; blanks and colons between them are passed over.
    pub fn hex(text: &str) -> Result<Needle, Failure> {
        let wrong = || Failure::usage(format!("--hex {text} is no list of bytes such as 16030100"));
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | ':')).collect();
        if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.is_ascii() {
            return Err(wrong());
        }
        let bytes = (0..digits.len()).step_by(2).map(|at| {
            let pair = digits.get(at..at + 2)?;
            u8::from_str_radix(pair, 16).ok()
        });
        bytes
            .collect::<Option<Vec<u8>>>()
            .map(Needle)
            .ok_or_else(wrong)
    }
}

/// How hits are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A line for people.
    Lines,
    /// An object a line.
    Json,
}

struct Packet {
    ts: Timestamp,
    stream: StreamName,
    tuple: FiveTuple,
    /// The payload, behind what the segments in front of it end with.
    payload: Vec<u8>,
    /// Bytes of that.
    before: usize,
}

/// Directions of streams whose last bytes are kept.
const MAX_ENDS: usize = 65_536;

/// What TCP segments end with, until the next one of their direction comes.
struct Ends {
    kept: HashMap<(StreamId, Direction), End, RandomState>,
    /// Bytes that are kept: one less than what is looked for.
    length: usize,
}

struct End {
    /// Sequence number of the byte behind.
    next: u32,
    bytes: Vec<u8>,
}

impl Ends {
    /// A payload behind what it follows; answers how many bytes are in front of it.
    fn join(
        &mut self,
        of: (StreamId, Direction),
        tcp: &TcpHeader,
        wire_length: u32,
        payload: &[u8],
    ) -> (Vec<u8>, usize) {
        if self.length == 0 {
            return (payload.to_vec(), 0);
        }
        let before = self.kept.remove(&of).filter(|end| end.next == tcp.seq);
        let mut joined = before.map_or_else(Vec::new, |end| end.bytes);
        let before = joined.len();
        joined.extend_from_slice(payload);
        let is_whole = payload.len() as u64 == u64::from(wire_length);
        if is_whole && self.kept.len() < MAX_ENDS {
            let from = joined.len().saturating_sub(self.length);
            let end = End {
                next: tcp.seq.wrapping_add(wire_length),
                bytes: joined.get(from..).unwrap_or_default().to_vec(),
            };
            self.kept.insert(of, end);
        }
        (joined, before)
    }

    fn forget(&mut self, stream: StreamId) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            self.kept.remove(&(stream, direction));
        }
    }
}

struct Hit {
    ts: Timestamp,
    stream: StreamName,
    tuple: FiveTuple,
    /// Where it begins in the packet's payload.
    offset: usize,
    /// Bytes of it that lie in segments before.
    before: usize,
    around: Vec<u8>,
}

/// Which packets are printed, and how.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'n> {
    /// What their payload holds.
    pub needle: &'n Needle,
    /// When they were captured.
    pub range: Range,
    /// How many at most.
    pub limit: u64,
    /// How they look.
    pub shape: Shape,
}

/// Prints the packets that are wanted to `out`.
pub fn run(
    mut source: Box<dyn Source>,
    limits: Limits,
    wanted: &Wanted<'_>,
    mut out: Box<dyn Write + Send>,
    stop: &Stop,
) -> Result<Exit, Failure> {
    let Wanted { needle, range, .. } = *wanted;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (to_search, batches) = bounded::<(u64, Vec<Packet>)>(cores * 2);
    let (hits, found) = bounded::<(u64, Vec<Hit>)>(cores * 2);
    thread::scope(|scope| {
        for _ in 0..cores {
            let (batches, hits) = (batches.clone(), hits.clone());
            scope.spawn(move || search(needle, &batches, &hits));
        }
        drop((batches, hits));
        let reading = scope.spawn(|| {
            let length = needle.0.len();
            let read = read(&mut *source, limits, range, length, stop, &to_search);
            drop(to_search);
            (read, source.warnings())
        });
        let printed = print(&found, wanted, &mut *out, stop);
        // Whoever still searches must not wait for a reader that is gone.
        drop(found);
        let (read, warnings) = reading.join().expect("reading packets does not panic");
        match printed {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Done),
            Err(error) => return Err(Failure::failed(super::no_output(&error))),
            Ok(()) => {}
        }
        read.map_err(Failure::failed)?;
        for warning in &warnings {
            eprintln!("{}", super::Style::stderr().yellow(warning));
        }
        Ok(if warnings.is_empty() {
            Exit::Done
        } else {
            Exit::Gaps
        })
    })
}

fn read(
    source: &mut dyn Source,
    limits: Limits,
    range: Range,
    length: usize,
    stop: &Stop,
    out: &Sender<(u64, Vec<Packet>)>,
) -> Result<(), String> {
    let (mut number, mut bytes, mut batch) = (0, 0, Vec::new());
    let mut ends = Ends {
        kept: HashMap::default(),
        length: length.saturating_sub(1),
    };
    let mut hand_on = |batch: &mut Vec<Packet>| {
        let sent = out.send((number, std::mem::take(batch))).is_ok();
        number += 1;
        sent
    };
    extract::packets(source, limits, &mut |met| {
        let packet = match met {
            Met::Packet(packet) => packet,
            Met::Ended(stream) => {
                ends.forget(stream);
                return Ok(!stop.is_asked());
            }
        };
        if let (Decoded::Flow(layers), Some((stream, direction)), true) =
            (packet.decoded, packet.stream, range.has(packet.record.ts))
        {
            let start = layers.payload_start as usize;
            let payload = match layers.datagram {
                None => packet.bytes.get(start..start + layers.payload_len as usize),
                // The last piece of what was put together; the others were looked into as they came.
                Some(_) => Some(packet.bytes),
            };
            let payload = payload.unwrap_or_default();
            if !payload.is_empty() {
                let (payload, before) = match &layers.tcp {
                    Some(tcp) if layers.datagram.is_none() => {
                        let of = (stream.stream, direction);
                        ends.join(of, tcp, layers.payload_wire_len, payload)
                    }
                    _ => (payload.to_vec(), 0),
                };
                bytes += payload.len();
                batch.push(Packet {
                    ts: packet.record.ts,
                    stream,
                    tuple: layers.tuple,
                    payload,
                    before,
                });
            }
        }
        if batch.len() >= BATCH_PACKETS || bytes >= BATCH_BYTES {
            bytes = 0;
            return Ok(hand_on(&mut batch) && !stop.is_asked());
        }
        Ok(true)
    })?;
    hand_on(&mut batch);
    Ok(())
}

fn search(needle: &Needle, batches: &Receiver<(u64, Vec<Packet>)>, hits: &Sender<(u64, Vec<Hit>)>) {
    let finder = Finder::new(&needle.0);
    for (number, packets) in batches {
        let found = packets.into_iter().filter_map(|packet| {
            let offset = finder.find(&packet.payload)?;
            let from = offset.saturating_sub(AROUND);
            let to = (offset + needle.0.len() + AROUND).min(packet.payload.len());
            Some(Hit {
                ts: packet.ts,
                stream: packet.stream,
                tuple: packet.tuple,
                offset: offset.saturating_sub(packet.before),
                before: packet.before.saturating_sub(offset),
                around: packet.payload.get(from..to).unwrap_or_default().to_vec(),
            })
        });
        if hits.send((number, found.collect())).is_err() {
            return;
        }
    }
}

/// Prints hits in the order of their packets.
fn print(
    found: &Receiver<(u64, Vec<Hit>)>,
    wanted: &Wanted<'_>,
    out: &mut dyn Write,
    stop: &Stop,
) -> std::io::Result<()> {
    let mut waiting = BTreeMap::new();
    let (mut next, mut left) = (0, wanted.limit);
    for (number, hits) in found {
        waiting.insert(number, hits);
        while let Some(hits) = waiting.remove(&next) {
            next += 1;
            for hit in hits {
                if left == 0 {
                    break;
                }
                left -= 1;
                line(out, &hit, wanted.shape)?;
            }
        }
        if left == 0 {
            stop.stop();
            break;
        }
    }
    out.flush()
}

fn line(out: &mut dyn Write, hit: &Hit, shape: Shape) -> std::io::Result<()> {
    let at = |end: crate::packet::Endpoint| SocketAddr::new(end.ip, end.port).to_string();
    let text = String::from_utf8_lossy(&hit.around);
    match shape {
        Shape::Json => {
            let object = json!({
                "timestamp": hit.ts.to_string(), "stream": hit.stream.to_string(),
                "src": at(hit.tuple.src), "dst": at(hit.tuple.dst),
                "offset": hit.offset, "before": hit.before, "around": text,
            });
            writeln!(out, "{object}")
        }
        Shape::Lines => {
            let begins = match hit.before {
                0 => hit.offset.to_string(),
                before => format!("0 ({before} bytes before)"),
            };
            writeln!(
                out,
                "{} {} {} -> {} at {begins}: {}",
                hit.ts,
                hit.stream,
                at(hit.tuple.src),
                at(hit.tuple.dst),
                plain(&text),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::WindowScale;

    #[test]
    fn bytes_are_read_with_or_without_separators() {
        for text in ["160301", "16 03 01", "16:03:01"] {
            assert_eq!(Needle::hex(text).unwrap().0, [0x16, 3, 1]);
        }
        for text in ["", "1", "xy", "ä1"] {
            assert!(Needle::hex(text).is_err(), "{text}");
        }
        assert!(Needle::text("").is_err());
    }

    #[test]
    fn a_text_in_several_segments_is_found_where_it_ends() {
        let mut ends = Ends {
            kept: HashMap::default(),
            length: 5,
        };
        let of = (StreamId(7), Direction::ToServer);
        let tcp = |seq| TcpHeader {
            seq,
            ack: 0,
            flags: crate::packet::TcpFlags(0),
            window: 0,
            scale: WindowScale::UNKNOWN,
        };
        assert_eq!(ends.join(of, &tcp(1), 3, b"xse"), (b"xse".to_vec(), 0));
        assert_eq!(ends.join(of, &tcp(4), 1, b"c"), (b"xsec".to_vec(), 3));
        assert_eq!(
            ends.join(of, &tcp(5), 4, b"rets"),
            (b"xsecrets".to_vec(), 4)
        );
        // Only what is not longer than the text itself without its last byte stays.
        assert_eq!(ends.join(of, &tcp(9), 1, b"!"), (b"crets!".to_vec(), 5));
        // Sent once more, or after a gap: alone.
        assert_eq!(ends.join(of, &tcp(4), 1, b"c"), (b"c".to_vec(), 0));
        assert_eq!(ends.join(of, &tcp(90), 2, b"ab"), (b"ab".to_vec(), 0));
        ends.forget(StreamId(7));
        assert!(ends.kept.is_empty());
    }
}
