//! The samples of the protocols as inputs of the fuzz targets `dissect` and `state`.
//!
//! `tools/fuzz-seeds` runs this with `TAPEDECK_SEEDS` set, which names the folder to write to; so a
//! new protocol has seeds once it has samples. The forms of the inputs stand in `fuzz/fuzz_targets/`.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::BufMut;

use super::robustness::{Feed, Sample};
use super::{PROTOCOLS, Protocol, Protocols};
use crate::packet::Direction;

/// Bytes of one seed; a longer sample is left out.
const MAX_SEED: usize = 8 << 10;

/// Bytes that one step of an input holds.
const MAX_STEP: usize = 255;

/// Says that a step goes on with the next one of its side.
const GOES_ON: u8 = 2;

/// The turns as steps: `kind u8, length u8, bytes`.
fn steps(turns: &[(Direction, Vec<u8>)], out: &mut Vec<u8>) {
    for (direction, bytes) in turns {
        let side = u8::from(*direction == Direction::ToClient);
        let mut parts = bytes.chunks(MAX_STEP).peekable();
        while let Some(part) = parts.next() {
            let more = if parts.peek().is_some() { GOES_ON } else { 0 };
            out.put_u8(side | more);
            out.put_u8(u8::try_from(part.len()).unwrap());
            out.extend_from_slice(part);
        }
    }
}

/// The turns that [`steps`] wrote.
fn turns(mut input: &[u8]) -> Vec<(Direction, Vec<u8>)> {
    let sides = [Direction::ToServer, Direction::ToClient];
    let mut turns: Vec<(Direction, Vec<u8>)> = Vec::new();
    let mut goes_on = false;
    while let [kind, length, rest @ ..] = input {
        let (bytes, rest) = rest.split_at(usize::from(*length));
        match turns.last_mut() {
            Some((_, turn)) if goes_on => turn.extend_from_slice(bytes),
            _ => turns.push((sides[usize::from(kind & 1)], bytes.to_vec())),
        }
        goes_on = kind & GOES_ON != 0;
        input = rest;
    }
    turns
}

/// An input of `dissect`.
fn conversation(protocol: u8, sample: &Sample) -> Vec<u8> {
    let mut seed = vec![protocol, 0];
    steps(&sample.turns, &mut seed);
    seed
}

/// An input of `state`: what is saved after half of the turns, of the whole stream when `whole`,
/// and the rest of the turns.
fn state(number: u8, protocol: &'static dyn Protocol, sample: &Sample, whole: bool) -> Vec<u8> {
    let one = Protocols::new(Arc::new([protocol]));
    let mut feed = Feed::new(sample.transport, sample.server_port, &one);
    let (before, after) = sample.turns.split_at(sample.turns.len().div_ceil(2));
    for (direction, bytes) in before {
        feed.chunk(*direction, bytes);
    }
    let state = match whole {
        true => feed.conversation().save(),
        false => feed.conversation().dissector_state().unwrap_or_default(),
    };
    let mut seed = vec![number, if whole { 0x80 } else { 0 }];
    seed.put_u16(u16::try_from(state.len()).unwrap_or(u16::MAX));
    seed.extend_from_slice(&state);
    steps(after, &mut seed);
    seed
}

#[test]
fn samples_are_seeds_of_the_fuzz_targets() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tool that writes the seeds says where to"
    )]
    let folder = std::env::var("TAPEDECK_SEEDS").ok();
    let write = |target: &str, name: &str, seed: &[u8]| {
        if let Some(folder) = &folder
            && seed.len() <= MAX_SEED
        {
            let folder = Path::new(folder).join(target);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), seed).unwrap();
        }
    };
    for (number, protocol) in PROTOCOLS.iter().enumerate() {
        let name = protocol.name();
        let number = u8::try_from(number).unwrap();
        for (index, sample) in protocol.samples().iter().enumerate() {
            let seed = conversation(number, sample);
            let spoken = sample.turns.iter().filter(|(_, bytes)| !bytes.is_empty());
            assert!(
                turns(&seed[2..]).iter().eq(spoken),
                "{name}: {}",
                sample.name
            );
            write(&format!("dissect/{name}"), &index.to_string(), &seed);
            if index < 2 {
                for (kind, whole) in [("dissector", false), ("stream", true)] {
                    let seed = state(number, *protocol, sample, whole);
                    write("state", &format!("{name}-{kind}-{index}"), &seed);
                }
            }
        }
    }
}
