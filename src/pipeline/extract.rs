//! One stream out of a recorded source: the source is read again from its start, headers only.
//!
//! A recorded source is its own spool. Ordinals, and so the numbers of streams, come out as in the
//! first reading, because they depend on the order of packets alone.

use std::io::Write;

use crate::capture::{Filled, RawBatch, Source};
use crate::flow::{Limits, Table};
use crate::packet::headers::{Decoder, Found};
use crate::packet::savefile::pcap;
use crate::packet::{Decoded, LinkType, MAX_SNAPLEN, Record, StreamId};
use crate::time::Timestamp;

/// Writes the packets of `stream` as a classic savefile and answers how many they are.
///
/// # Errors
/// One sentence, when the source cannot be read again or does not hold the stream.
pub fn stream_pcap(
    mut source: Box<dyn Source>,
    limits: Limits,
    stream: StreamId,
    out: &mut dyn Write,
) -> Result<u64, String> {
    let mut reading = Reading {
        decoder: Decoder::new(),
        found: Found::default(),
        table: Table::new(limits),
        ended: Vec::new(),
        ordinal: 0,
        now: Timestamp::default(),
        stream,
        linktype: None,
        written: 0,
        buffer: Vec::new(),
    };
    let mut raw = RawBatch::default();
    loop {
        raw.clear();
        let filled = source.fill(&mut raw).map_err(|error| error.to_string())?;
        let over = reading.batch(&raw, filled);
        out.write_all(&reading.buffer)
            .map_err(|error| error.to_string())?;
        reading.buffer.clear();
        if over || filled == Filled::End {
            break;
        }
    }
    match reading.written {
        0 => Err(format!("stream {} is not in this source", stream.0)),
        written => Ok(written),
    }
}

struct Reading {
    decoder: Decoder,
    found: Found,
    table: Table,
    ended: Vec<crate::packet::Ended>,
    ordinal: u64,
    now: Timestamp,
    stream: StreamId,
    linktype: Option<LinkType>,
    written: u64,
    buffer: Vec<u8>,
}

impl Reading {
    /// Takes one batch as the ingest thread does; says whether the stream is over.
    fn batch(&mut self, raw: &RawBatch, filled: Filled) -> bool {
        for record in &raw.records {
            let start = record.start as usize;
            let bytes = raw
                .bytes
                .get(start..start + record.caplen as usize)
                .unwrap_or_default();
            self.packet(record, bytes);
        }
        self.found.datagrams.clear();
        self.table.sweep(self.now, &mut self.ended);
        if filled == Filled::Boundary {
            self.table.end_all(&mut self.ended);
            self.decoder = Decoder::new();
        }
        self.ended
            .drain(..)
            .any(|ended| ended.stream == self.stream)
    }

    fn packet(&mut self, record: &Record, bytes: &[u8]) {
        let ordinal = self.ordinal;
        self.ordinal += 1;
        self.now = self.now.max(record.ts);
        let decoded = self.decoder.decode(ordinal, record, bytes, &mut self.found);
        self.found.earlier.clear();
        let Decoded::Flow(layers) = decoded else {
            return;
        };
        if self
            .table
            .assign(ordinal, record.ts, &layers)
            .info
            .name
            .stream
            != self.stream
        {
            return;
        }
        if self.linktype.is_none() {
            self.linktype = Some(record.linktype);
            pcap::write_header(
                &mut self.buffer,
                record.linktype,
                MAX_SNAPLEN,
                pcap::Precision::Micros,
            );
        }
        // A savefile has one link type; a stream is seen on one interface.
        if self.linktype == Some(record.linktype) {
            pcap::write_packet(
                &mut self.buffer,
                pcap::Precision::Micros,
                record.ts,
                record.len,
                bytes,
            );
            self.written += 1;
        }
    }
}
