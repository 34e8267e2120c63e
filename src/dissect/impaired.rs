//! What happens to segments on their way: swapped, repeated, overlapping, cut elsewhere. The samples of
//! every protocol give the same items all the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::conversation::tests::dissect_frames;
use super::robustness::{Sample, each, only, render};
use super::{Draft, Protocols};
use crate::packet::{Direction, Transport};
use crate::synth::{self, Frame, Tcp};
use crate::time::Timestamp;

/// Frames of the handshake; they stay in front, since a stream is told by them.
const HANDSHAKE: usize = 3;

/// How far a frame comes too late: less than what reassembly waits for.
const MAX_SWAP: usize = 3;

/// What is done to a conversation.
#[derive(Debug, Clone)]
struct Impairment {
    /// Most payload of a segment.
    mss: usize,
    /// The same of segments that are sent once more, cut elsewhere, among the first ones.
    again: Option<usize>,
    /// Places where a frame changes its place with one so far behind.
    swaps: Vec<(prop::sample::Index, usize)>,
    /// Places of frames that come once more, so far behind.
    repeats: Vec<(prop::sample::Index, usize)>,
}

fn impairment() -> impl Strategy<Value = Impairment> {
    let place = || any::<prop::sample::Index>();
    (
        8..700usize,
        prop::option::of(8..700usize),
        prop::collection::vec((place(), 1..=MAX_SWAP), 0..6),
        prop::collection::vec((place(), 1..20usize), 0..6),
    )
        .prop_map(|(mss, again, swaps, repeats)| Impairment {
            mss,
            again,
            swaps,
            repeats,
        })
}

/// The frames of each turn of a sample, and behind them those of the close.
fn turns(sample: &Sample, start: Tcp) -> Vec<Vec<Frame>> {
    let mut said = start;
    let mut turns = Vec::new();
    let mut before = 0;
    for (direction, bytes) in &sample.turns {
        said = match direction {
            Direction::ToServer => said.to_server(bytes),
            Direction::ToClient => said.to_client(bytes),
        };
        let mut frames = said.clone().end();
        let new = frames.split_off(before);
        before += new.len();
        turns.push(new);
    }
    turns.push(said.fin().split_off(before));
    turns
}

fn start(sample: &Sample) -> Tcp {
    synth::tcp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], sample.server_port))
}

/// The frames of a sample as they are captured.
fn captured(sample: &Sample, how: &Impairment) -> Vec<Frame> {
    let first = turns(sample, start(sample).mss(how.mss));
    let mut frames: Vec<Frame> = match how.again {
        None => first.into_iter().flatten().collect(),
        Some(mss) => {
            let again = turns(sample, start(sample).mss(mss).without_acks());
            let both = first.into_iter().zip(again);
            both.flat_map(|(one, other)| interleaved(one, other))
                .collect()
        }
    };
    let mut repeats = BTreeMap::<usize, Vec<Frame>>::new();
    for (place, behind) in &how.repeats {
        let place = place.index(frames.len());
        repeats
            .entry(place + behind)
            .or_default()
            .push(frames[place].clone());
    }
    for (place, behind) in &how.swaps {
        let place = HANDSHAKE + place.index(frames.len());
        if place + behind < frames.len() {
            frames.swap(place, place + behind);
        }
    }
    for (place, repeated) in repeats.into_iter().rev() {
        let place = place.clamp(HANDSHAKE, frames.len());
        frames.splice(place..place, repeated);
    }
    for (number, frame) in (0u32..).zip(&mut frames) {
        frame.ts = synth::START + synth::STEP * number;
    }
    frames
}

fn interleaved(one: Vec<Frame>, other: Vec<Frame>) -> Vec<Frame> {
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut frames = Vec::new();
    loop {
        match (one.next(), other.next()) {
            (None, None) => return frames,
            (first, second) => frames.extend(first.into_iter().chain(second)),
        }
    }
}

/// The items of frames, without their times and whatever their order.
fn items(frames: &[Frame], protocols: &Protocols) -> Vec<String> {
    let without_time = |draft: Draft| {
        render(&Draft {
            start: Timestamp::default(),
            ..draft
        })
    };
    let drafts = dissect_frames(frames, protocols);
    let mut items: Vec<String> = drafts.into_iter().map(without_time).collect();
    items.sort();
    items
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn impaired_segments_give_the_same_items(how in impairment()) {
        let mut wrong = Vec::new();
        each(|protocol, sample| {
            if sample.transport != Transport::Tcp {
                return;
            }
            let whole: Vec<Frame> = turns(sample, start(sample)).into_iter().flatten().collect();
            let expected = items(&whole, &only(protocol));
            let found = items(&captured(sample, &how), &only(protocol));
            if found != expected {
                wrong.push((protocol.name(), sample.name, found, expected));
            }
        });
        prop_assert!(wrong.is_empty(), "found, expected: {:#?}", wrong);
    }
}
