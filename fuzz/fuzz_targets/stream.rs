//! Packets of any bytes on the whole way from the link layer to items: headers and tunnels, fragments,
//! flow table, reassembly, detection, dissectors.
//!
//! ```text
//! input = linktype u8, count x (kind u8, length u16 big-endian, bytes)
//! kind  = bits 0-6 milliseconds since the packet before, squared; bit 7: cut on capture
//! ```

#![no_main]

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tapedeck::bytes::Reader;
use tapedeck::dissect::{Conversation, Protocols};
use tapedeck::flow::{Budget, Limits, Table};
use tapedeck::packet::headers::{Decoder, Found};
use tapedeck::packet::{Batch, Decoded, Ended, LinkType, Packet, Position, Record, StreamId};
use tapedeck::time::Timestamp;
use tapedeck_fuzz::Shows;

const LINKTYPES: [u16; 10] = [0, 1, 12, 14, 101, 108, 113, 228, 229, 276];

/// Few, so that the oldest have to go.
const MAX_FLOWS: usize = 8;

struct Streams {
    open: HashMap<StreamId, Conversation>,
    out: Shows,
}

impl Streams {
    fn end(&mut self, ended: &mut Vec<Ended>) {
        for end in ended.drain(..) {
            if let Some(mut conversation) = self.open.remove(&end.stream) {
                conversation.end(end.reason, &mut self.out);
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new(data);
    let Ok(choice) = reader.u8() else { return };
    let linktype = LinkType(LINKTYPES[usize::from(choice) % LINKTYPES.len()]);
    let protocols = Protocols::all();
    let budget = Budget::new(1 << 16);
    let mut decoder = Decoder::new();
    let mut table = Table::new(Limits {
        max_flows: MAX_FLOWS,
        ..Limits::default()
    });
    let mut streams = Streams {
        open: HashMap::new(),
        out: Shows::default(),
    };
    let mut now = Timestamp::from_secs(1_700_000_000, 0);
    let mut ended = Vec::new();
    let mut ordinal = 0;
    while let (Ok(kind), Ok(len)) = (reader.u8(), reader.u16()) {
        let Ok(bytes) = reader.take(usize::from(len).min(reader.left())) else {
            break;
        };
        let wait = u64::from(kind & 0x7f);
        now = now + Duration::from_millis(wait * wait);
        let record = Record {
            ts: now,
            start: 0,
            caplen: bytes.len() as u32,
            len: bytes.len() as u32 + u32::from(kind >> 7) * 100,
            linktype,
            interface: 0,
            position: Position::default(),
        };
        let mut found = Found::default();
        let mut packet = Packet {
            ordinal,
            record,
            decoded: decoder.decode(ordinal, &record, bytes, &mut found),
            stream: None,
        };
        ordinal += 1;
        if let Decoded::Flow(layers) = &packet.decoded {
            let assigned = table.assign(packet.ordinal, now, layers);
            let stream = assigned.info.name.stream;
            packet.stream = Some((stream, assigned.direction));
            table.sweep(now, &mut ended);
            // A stream that took the five-tuple of another one ends it first.
            ended.retain(|end: &Ended| end.stream != stream);
            streams.end(&mut ended);
            let batch = Batch {
                bytes: Bytes::copy_from_slice(bytes),
                datagrams: found.datagrams,
                tunnels: found.tunnels,
                ..Batch::default()
            };
            let payload = batch.payload_of(&packet);
            let open = streams.open.entry(stream);
            let conversation =
                open.or_insert_with(|| Conversation::new(&assigned.info, &protocols, &budget));
            conversation.packet(&packet, payload, &mut streams.out);
        }
        assert!(table.len() <= MAX_FLOWS);
    }
    table.end_all(&mut ended);
    streams.end(&mut ended);
    for (_, mut conversation) in streams.open.drain() {
        conversation.end(tapedeck::packet::EndReason::SourceEnd, &mut streams.out);
    }
    assert_eq!(budget.used(), 0, "held bytes are given back");
});
