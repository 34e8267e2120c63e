//! Any bytes as a TLS key log that comes in pieces: the same secrets as from the whole, and no more
//! memory than a line.
//!
//! ```text
//! input = pieces as in `records`, the kind is left out
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use tapedeck::dissect::{KeyLogLines, Secrets};
use tapedeck_fuzz::records;

fuzz_target!(|input: &[u8]| {
    let (pieces, whole) = (Secrets::default(), Secrets::default());
    let mut lines = KeyLogLines::default();
    let mut text = Vec::new();
    for (_, piece) in records(input) {
        lines.push(piece, &pieces);
        text.extend_from_slice(piece);
    }
    lines.end(&pieces);
    whole.insert(&text);
    // A line that is longer than any of the format is left out when it comes in pieces.
    assert!(pieces.counts().secrets <= whole.counts().secrets);
});
