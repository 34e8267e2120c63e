//! Savefiles of any bytes, pcap and pcapng.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tapedeck::packet::MAX_SNAPLEN;
use tapedeck::packet::savefile::{Entry, Records, pcapng};

fuzz_target!(|data: &[u8]| {
    let mut records = Records::with_read_bytes(data, 64);
    while let Ok(Some(entry)) = records.advance() {
        match entry {
            Entry::Packet { head, bytes, .. } => {
                assert_eq!(head.caplen as usize, bytes.len());
                assert!(head.caplen <= MAX_SNAPLEN && head.caplen <= head.len);
            }
            Entry::Block { block, .. } => {
                pcapng::names(&block).for_each(drop);
                pcapng::section_options(&block).for_each(drop);
                pcapng::custom(&block);
            }
        }
    }
});
