//! Headers and fragments of any bytes.
//!
//! The first byte chooses the link type, the rest is cut into packets by two-byte lengths, so that
//! fragments of one datagram can meet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tapedeck::bytes::Reader;
use tapedeck::packet::headers::{Decoder, Found};
use tapedeck::packet::{Decoded, LinkType, Position, Record};
use tapedeck::time::Timestamp;

const LINKTYPES: [u16; 10] = [0, 1, 12, 14, 101, 108, 113, 228, 229, 276];

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new(data);
    let Ok(choice) = reader.u8() else { return };
    let linktype = LINKTYPES[usize::from(choice) % LINKTYPES.len()];
    let mut decoder = Decoder::new();
    let mut found = Found::default();
    let mut ordinal = 0;
    while let Ok(len) = reader.u16() {
        let len = usize::from(len).min(reader.left());
        let Ok(bytes) = reader.take(len) else { return };
        let record = Record {
            ts: Timestamp::from_secs(ordinal, 0),
            start: 0,
            caplen: bytes.len() as u32,
            len: bytes.len() as u32,
            linktype: LinkType(linktype),
            interface: 0,
            position: Position::default(),
        };
        if let Decoded::Flow(layers) =
            decoder.decode(ordinal.unsigned_abs(), &record, bytes, &mut found)
        {
            let whole = match layers.datagram {
                Some(index) => found.datagrams[index as usize].len(),
                None => bytes.len(),
            };
            assert!((layers.payload_start + layers.payload_len) as usize <= whole);
        }
        ordinal += 1;
    }
});
