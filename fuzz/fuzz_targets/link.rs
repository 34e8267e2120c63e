//! Any bytes as what a worker says to its hub, or the hub to a worker, in any pieces: messages or an
//! error, never more memory than a frame may have, and what was read can be written and read again.
//! Targets and their differences are followed within the limits of whole lists.
//!
//! ```text
//! input = side u8 (odd: the hub's), frames
//! ```

#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use tapedeck::hub::following::{Following, Heard};
use tapedeck::hub::frame::{Frames, MAX_HELLO};
use tapedeck::hub::message::{self, FromHub, FromWorker, MAX_ROWS, ToWorker};
use tapedeck::hub::targeted::{MAX_BYTES, MAX_PODS, Targeted};
use tapedeck::item::{flat, json};

/// Bytes that come at once.
const PIECE: usize = 61;

fuzz_target!(|input: &[u8]| {
    let [side, bytes @ ..] = input else { return };
    let mut frames = Frames::new(MAX_HELLO);
    let (mut following, now) = (Following::default(), Instant::now());
    for piece in bytes.chunks(PIECE) {
        frames.buffer().extend_from_slice(piece);
        loop {
            let frame = match frames.take() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return,
            };
            assert!(frame.body.len() <= MAX_HELLO);
            if side & 1 == 0 {
                from_worker(frame);
            } else {
                from_hub(frame, &mut following, now);
            }
        }
    }
});

fn from_worker(frame: tapedeck::hub::frame::Frame) {
    match message::from_worker(frame) {
        Ok(Some(FromWorker::Said(said))) => {
            let written = message::said(&said).expect("what came is short enough");
            again(&written, message::from_worker);
        }
        Ok(Some(FromWorker::Rows(rows))) => {
            assert!(rows.records.len() <= MAX_ROWS);
            for row in flat::records(&rows.records).take(100) {
                json::to_string(row);
            }
            let written = message::rows(&rows).expect("they are few enough");
            assert_eq!(again(&written, message::from_worker), FromWorker::Rows(rows));
        }
        Ok(Some(FromWorker::Chunk { .. }) | None) | Err(_) => {}
    }
}

fn from_hub(frame: tapedeck::hub::frame::Frame, following: &mut Following, now: Instant) {
    let Ok(Some(FromHub::Said(said))) = message::from_hub(frame) else {
        return;
    };
    let written = message::said(&said).expect("what came is short enough");
    again(&written, message::from_hub);
    let targeted = match said {
        ToWorker::Targets { targets, number } => following.whole(number, targets),
        ToWorker::Retargeted {
            base,
            number,
            difference,
        } => match following.difference(base, number, &difference, now) {
            Heard::Targets(targeted) => Some(targeted),
            Heard::Nothing | Heard::Ask => None,
        },
        _ => None,
    };
    if let Some(targeted) = targeted {
        let written = serde_json::to_value(&targeted).expect("it has texts and numbers only");
        let read = Targeted::read(written).expect("what was written can be read");
        assert_eq!(read, *targeted);
        assert!(targeted.pod_bytes() <= MAX_PODS && targeted.bytes() <= MAX_BYTES);
    }
}

/// Reads a frame that was written.
fn again<M, E: std::fmt::Debug>(
    written: &[u8],
    read: impl Fn(tapedeck::hub::frame::Frame) -> Result<Option<M>, E>,
) -> M {
    let mut frames = Frames::new(tapedeck::hub::frame::MAX_FRAME);
    frames.buffer().extend_from_slice(written);
    let frame = frames.take().expect("it is short enough").expect("it is whole");
    let message = read(frame).expect("what was written can be read");
    message.expect("its kind is known")
}
