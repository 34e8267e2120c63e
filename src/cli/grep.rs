//! Payload search: `tapedeck query SRC --grep TEXT` and `--hex BYTES`.
//!
//! One thread reads packets and tells their streams, one for each core looks into payloads, and the
//! hits are printed in packet order. A text that two packets share is not found.

use std::collections::BTreeMap;
use std::io::{BufWriter, ErrorKind, Write};
use std::net::SocketAddr;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use memchr::memmem::Finder;
use serde_json::json;

use super::exit::{Exit, Failure};
use super::plain;
use super::reading::Range;
use crate::capture::Source;
use crate::flow::Limits;
use crate::packet::{Decoded, FiveTuple, StreamName};
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
    payload: Vec<u8>,
}

struct Hit {
    ts: Timestamp,
    stream: StreamName,
    tuple: FiveTuple,
    offset: usize,
    around: Vec<u8>,
}

/// Prints every packet in `range` whose payload holds the needle, at most `limit` of them.
pub fn run(
    mut source: Box<dyn Source>,
    limits: Limits,
    needle: &Needle,
    range: Range,
    limit: u64,
    shape: Shape,
    stop: &Stop,
) -> Result<Exit, Failure> {
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
            let read = read(&mut *source, limits, range, stop, &to_search);
            drop(to_search);
            (read, source.warnings())
        });
        let printed = print(&found, limit, shape, stop);
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
    stop: &Stop,
    out: &Sender<(u64, Vec<Packet>)>,
) -> Result<(), String> {
    let (mut number, mut bytes, mut batch) = (0, 0, Vec::new());
    let mut hand_on = |batch: &mut Vec<Packet>| {
        let sent = out.send((number, std::mem::take(batch))).is_ok();
        number += 1;
        sent
    };
    extract::packets(source, limits, &mut |met| {
        let Met::Packet(packet) = met else {
            return Ok(!stop.is_asked());
        };
        if let (Decoded::Flow(layers), Some((stream, _)), true) =
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
                bytes += payload.len();
                batch.push(Packet {
                    ts: packet.record.ts,
                    stream,
                    tuple: layers.tuple,
                    payload: payload.to_vec(),
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
                offset,
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
    limit: u64,
    shape: Shape,
    stop: &Stop,
) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::io::stdout());
    let mut waiting = BTreeMap::new();
    let (mut next, mut left) = (0, limit);
    for (number, hits) in found {
        waiting.insert(number, hits);
        while let Some(hits) = waiting.remove(&next) {
            next += 1;
            for hit in hits {
                if left == 0 {
                    break;
                }
                left -= 1;
                line(&mut out, &hit, shape)?;
            }
        }
        if left == 0 {
            stop.stop();
            break;
        }
    }
    out.flush()
}

fn line(out: &mut impl Write, hit: &Hit, shape: Shape) -> std::io::Result<()> {
    let at = |end: crate::packet::Endpoint| SocketAddr::new(end.ip, end.port).to_string();
    let text = String::from_utf8_lossy(&hit.around);
    match shape {
        Shape::Json => {
            let object = json!({
                "timestamp": hit.ts.to_string(), "stream": hit.stream.to_string(),
                "src": at(hit.tuple.src), "dst": at(hit.tuple.dst),
                "offset": hit.offset, "around": text,
            });
            writeln!(out, "{object}")
        }
        Shape::Lines => writeln!(
            out,
            "{} {} {} -> {} at {}: {}",
            hit.ts,
            hit.stream,
            at(hit.tuple.src),
            at(hit.tuple.dst),
            hit.offset,
            plain(&text),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
