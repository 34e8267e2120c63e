//! Any bytes as what a bucket says of a reel: its manifest, and the stream states in its blocks. What
//! can be read can be written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tapedeck::record::manifest::Manifest;
use tapedeck::record::{STATE_MAGIC, parse_state};

fuzz_target!(|input: &[u8]| {
    let _ = parse_state(input);
    let _ = parse_state(&[STATE_MAGIC.as_slice(), input].concat());
    if let Ok(manifest) = Manifest::parse(input) {
        let again = Manifest::parse(&manifest.to_bytes()).expect("what was written can be read");
        assert_eq!(again, manifest);
    }
});
