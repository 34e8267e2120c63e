//! Any bytes as what a script's child process says to its parent, and as what a child hears: messages or
//! an error, never more memory than arrived.
//!
//! ```text
//! input = side u8 (odd: the child's), frames
//! ```

#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use tapedeck::item::flat;
use tapedeck::item::json;
use tapedeck::script::wire::{FromChild, FromParent, Line, ToChild};

/// What a line takes at once without anybody reading.
const MAX_SENT: usize = 64 << 10;

fuzz_target!(|input: &[u8]| {
    let [side, frames @ ..] = input else { return };
    if side & 1 == 0 {
        let mut child = FromChild::new(frames);
        while let Ok(Some(_)) = child.next() {}
        return;
    }
    let Ok((parent, child)) = Line::pair() else {
        return;
    };
    let frames = &frames[..frames.len().min(MAX_SENT)];
    (&parent)
        .write_all(frames)
        .expect("the line takes the frames");
    drop(parent);
    let mut said = FromParent::new(child);
    if side & 2 != 0 && said.start().is_err() {
        return;
    }
    while let Ok(Some(message)) = said.next() {
        if let ToChild::Items(batch) = message
            && let Ok(items) = batch.records()
        {
            for item in flat::records(&items) {
                json::to_string(item);
            }
        }
    }
});
