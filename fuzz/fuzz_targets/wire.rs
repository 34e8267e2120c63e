//! Any bytes as what a script's child process says to its parent, and as what a child hears: messages or
//! an error, never more memory than arrived.
//!
//! ```text
//! input = side u8 (odd: the child's), frames
//! ```

#![no_main]

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use libfuzzer_sys::fuzz_target;
use tapedeck::item::flat;
use tapedeck::item::json;
use tapedeck::script::wire::{FromChild, FromParent, ToChild};

/// What a socket takes at once without anybody reading.
const MAX_SENT: usize = 64 << 10;

fuzz_target!(|input: &[u8]| {
    let [side, frames @ ..] = input else { return };
    if side & 1 == 0 {
        let mut child = FromChild::new(frames);
        while let Ok(Some(_)) = child.next() {}
        return;
    }
    let Ok((mut parent, child)) = UnixStream::pair() else {
        return;
    };
    let frames = &frames[..frames.len().min(MAX_SENT)];
    parent
        .write_all(frames)
        .expect("the socket takes the frames");
    parent
        .shutdown(Shutdown::Write)
        .expect("an open socket can be shut");
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
