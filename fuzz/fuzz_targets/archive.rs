//! Any bytes as a tar archive of captures, plain, gzip, LZ4 or zstd, opened as a user opens it: packets and
//! names up to where it is damaged, and no thread that stays behind.

#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use tapedeck::capture::{Filled, RawBatch};
use tapedeck::investigate::{Options, open};
use tapedeck::item::Origin;

/// Unpacked bytes that are looked at of one input: a small one can hold gigabytes.
const MAX_UNPACKED: usize = 8 << 20;

fuzz_target!(|input: &[u8]| {
    let [kind, input @ ..] = input else { return };
    let ending = [".tar", ".tar.gz", ".pcap.zst", ".pcapng"][usize::from(kind & 3)];
    let Ok(mut file) = tempfile::Builder::new().suffix(ending).tempfile() else {
        return;
    };
    file.write_all(input)
        .expect("the temporary folder takes an input");
    let spec = file.path().display().to_string();
    let Ok(mut opened) = open(&[spec], &Options::default()) else {
        return;
    };
    let mut batch = RawBatch::default();
    let mut unpacked = 0;
    loop {
        batch.clear();
        let filled = opened.source.fill(&mut batch);
        unpacked += batch.bytes.len();
        let origin = opened
            .source
            .origin()
            .unwrap_or_else(|| Origin::default().into());
        opened.names.of(&origin);
        match filled {
            Ok(Filled::End) | Err(_) => break,
            Ok(_) if unpacked > MAX_UNPACKED => break,
            Ok(_) => {}
        }
    }
    opened.source.warnings();
});
