//! One stream out of a recorded source: the source is read again from its start, headers only.
//!
//! A recorded source is its own spool. Ordinals, and so the numbers of streams, come out as in the
//! first reading, because they depend on the order of packets alone.

use std::collections::HashSet;
use std::io::Write;

use ahash::RandomState;

use crate::capture::{Filled, RawBatch, Source};
use crate::flow::{Limits, Table};
use crate::packet::headers::{Decoder, Found};
use crate::packet::savefile::pcap;
use crate::packet::{Decoded, Direction, LinkType, MAX_SNAPLEN, Record, StreamId, StreamName};
use crate::time::Timestamp;

/// A packet of a source that is read again.
pub struct Again<'a> {
    /// Its ordinal, as in the first reading.
    pub ordinal: u64,
    /// Its record.
    pub record: &'a Record,
    /// Its captured bytes.
    pub bytes: &'a [u8],
    /// Its headers.
    pub decoded: &'a Decoded,
    /// Stream and direction; `None` for packets of no flow.
    pub stream: Option<(StreamName, Direction)>,
    /// Ordinals of earlier fragments that turned out to be of its stream.
    pub earlier: &'a [u64],
}

/// What reading again meets.
pub enum Met<'a> {
    /// The next packet.
    Packet(Again<'a>),
    /// A stream that is over.
    Ended(StreamId),
}

/// Reads a source once more, headers only, and hands each packet to `each`, which answers whether to
/// go on.
///
/// # Errors
/// One sentence, when the source cannot be read, or as `each` says.
pub fn packets(
    source: &mut dyn Source,
    limits: Limits,
    each: &mut dyn FnMut(Met<'_>) -> Result<bool, String>,
) -> Result<(), String> {
    let mut reading = Reading {
        decoder: Decoder::new(),
        found: Found::default(),
        table: Table::new(limits),
        ended: Vec::new(),
        ordinal: 0,
        now: Timestamp::default(),
    };
    let mut raw = RawBatch::default();
    loop {
        raw.clear();
        let filled = source.fill(&mut raw).map_err(|error| error.to_string())?;
        if !reading.batch(&raw, filled, each)? || filled == Filled::End {
            return Ok(());
        }
    }
}

/// Writes the packets of `stream` as a classic savefile and answers how many they are.
///
/// # Errors
/// One sentence, when the source cannot be read again or does not hold the stream.
pub fn stream_pcap(
    source: Box<dyn Source>,
    limits: Limits,
    stream: StreamId,
    out: &mut dyn Write,
) -> Result<u64, String> {
    match streams_pcap(source, limits, &[stream], out)? {
        0 => Err(format!("stream {} is not in this source", stream.0)),
        written => Ok(written),
    }
}

/// The same of several streams in one pass, their packets in the order of the source; those that it
/// does not hold are left out.
///
/// # Errors
/// One sentence, when the source cannot be read again.
pub fn streams_pcap(
    mut source: Box<dyn Source>,
    limits: Limits,
    streams: &[StreamId],
    out: &mut dyn Write,
) -> Result<u64, String> {
    let mut file = Savefile::new(out);
    let wanted: HashSet<StreamId, RandomState> = streams.iter().copied().collect();
    let mut open = wanted.clone();
    packets(&mut *source, limits, &mut |met| {
        let packet = match met {
            Met::Ended(ended) => {
                open.remove(&ended);
                return Ok(!open.is_empty());
            }
            Met::Packet(packet) => packet,
        };
        if packet
            .stream
            .is_some_and(|(name, _)| wanted.contains(&name.stream))
        {
            file.write(packet.record, packet.bytes)?;
        }
        Ok(true)
    })?;
    Ok(file.packets())
}

/// A classic savefile of one stream while it is written.
pub struct Savefile<'o> {
    out: &'o mut dyn Write,
    linktype: Option<LinkType>,
    packets: u64,
    buffer: Vec<u8>,
}

impl<'o> Savefile<'o> {
    /// Goes to `out`, which gets nothing before the first packet.
    pub fn new(out: &'o mut dyn Write) -> Savefile<'o> {
        Savefile {
            out,
            linktype: None,
            packets: 0,
            buffer: Vec::new(),
        }
    }

    /// Writes a packet; one of another link type than the first is left out.
    ///
    /// # Errors
    /// One sentence, when the output takes no more.
    pub fn write(&mut self, record: &Record, bytes: &[u8]) -> Result<(), String> {
        let precision = pcap::Precision::Micros;
        if self.linktype.is_none() {
            self.linktype = Some(record.linktype);
            pcap::write_header(&mut self.buffer, record.linktype, MAX_SNAPLEN, precision);
        }
        // A savefile has one link type; a stream is seen on one interface.
        if self.linktype == Some(record.linktype) {
            pcap::write_packet(&mut self.buffer, precision, record.ts, record.len, bytes);
            self.packets += 1;
        }
        let written = self.out.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| error.to_string())
    }

    /// Packets that were written.
    pub fn packets(&self) -> u64 {
        self.packets
    }
}

struct Reading {
    decoder: Decoder,
    found: Found,
    table: Table,
    ended: Vec<crate::packet::Ended>,
    ordinal: u64,
    now: Timestamp,
}

impl Reading {
    /// Takes one batch as the ingest thread does; says whether to go on.
    fn batch(
        &mut self,
        raw: &RawBatch,
        filled: Filled,
        each: &mut dyn FnMut(Met<'_>) -> Result<bool, String>,
    ) -> Result<bool, String> {
        for record in &raw.records {
            let start = record.start as usize;
            let bytes = raw
                .bytes
                .get(start..start + record.caplen as usize)
                .unwrap_or_default();
            if !self.packet(record, bytes, each)? {
                return Ok(false);
            }
        }
        self.found.datagrams.clear();
        self.found.tunnels.clear();
        self.table.sweep(self.now, &mut self.ended);
        if filled == Filled::Boundary {
            self.table.end_all(&mut self.ended);
            self.decoder = Decoder::new();
        }
        for ended in self.ended.drain(..) {
            if !each(Met::Ended(ended.stream))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn packet(
        &mut self,
        record: &Record,
        bytes: &[u8],
        each: &mut dyn FnMut(Met<'_>) -> Result<bool, String>,
    ) -> Result<bool, String> {
        let ordinal = self.ordinal;
        self.ordinal += 1;
        self.now = self.now.max(record.ts);
        let decoded = self.decoder.decode(ordinal, record, bytes, &mut self.found);
        let stream = match &decoded {
            Decoded::Flow(layers) => {
                let assigned = self.table.assign(ordinal, record.ts, layers);
                Some((assigned.info.name, assigned.direction))
            }
            _ => None,
        };
        each(Met::Packet(Again {
            ordinal,
            record,
            bytes,
            decoded: &decoded,
            stream,
            earlier: &self.found.earlier,
        }))
    }
}
