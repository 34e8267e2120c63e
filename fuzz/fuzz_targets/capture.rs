//! Any bytes as a savefile, plain, gzip, LZ4 or zstd, told by their content: packets, names and key logs up
//! to where it is damaged.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use tapedeck::capture::file::FileSource;
use tapedeck::capture::{Filled, RawBatch, Source};
use tapedeck::dissect::Secrets;
use tapedeck::packet::MAX_SNAPLEN;

/// Unpacked bytes that are looked at of one input: a small one can hold gigabytes.
const MAX_UNPACKED: usize = 8 << 20;

fuzz_target!(|input: &[u8]| {
    let reader = Cursor::new(input.to_vec());
    let Ok(mut source) = FileSource::new("input", Box::new(reader), 0) else {
        return;
    };
    let secrets = Secrets::default();
    let mut batch = RawBatch::default();
    let mut unpacked = 0;
    loop {
        batch.clear();
        let filled = source.fill(&mut batch);
        unpacked += batch.bytes.len();
        for record in &batch.records {
            let end = record.start as usize + record.caplen as usize;
            assert!(end <= batch.bytes.len());
            assert!(record.caplen <= MAX_SNAPLEN && record.caplen <= record.len);
        }
        source.new_names();
        for log in source.key_logs() {
            secrets.insert(&log);
        }
        match filled {
            Ok(Filled::End) | Err(_) => break,
            Ok(_) if unpacked > MAX_UNPACKED => break,
            Ok(_) => {}
        }
    }
    source.warnings();
    assert_eq!(
        source.bytes_read().min(input.len() as u64),
        source.bytes_read()
    );
});
