//! Saving a conversation and going on with it, for a reel that begins in the middle of a stream.
//!
//! In: a conversation. Out: bytes, and from them one that gives the same items. Never: trust in the
//! bytes; what does not fit makes the whole state unreadable.

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use super::{Carrier, Conversation, MAX_DETECTIONS, Phase, RETRIES, side};
use crate::bytes::Reader;
use crate::dissect::flows::Tally;
use crate::dissect::{Protocol, Protocols, Stream};
use crate::flow::{Budget, Chunk, Datagrams, Gap, Reassembly, State, StreamInfo};
use crate::packet::Direction;
use crate::time::Timestamp;

/// Saving and restoring, for a reel that begins in the middle of a stream.
///
/// ```text
/// state    = version u8 (3), carrier, tally, upper, retries u32, detections u32,
///            last direction u8 (0 none), late u8, needs 2 x u64, chunks, missed,
///            reader                                                             big-endian
/// carrier  = kind u8 (0 none, 1 TCP, 2 datagrams, 3 inside),
///            state of the reassembly (30 bytes) or 2 x u64 offsets
/// tally    = length u32 (0 none), state
/// upper    = length u32 (0 none), state of the messages carried
/// chunks   = count u32, count x (direction u8, offset u64, ts i64, ordinal u64, length u32, bytes)
/// missed   = gaps behind which nothing was read: count u8, count x (chunks before it u32,
///            direction u8, offset u64, length u64, ts i64, ordinal u64)
/// reader   = kind u8 (0 idle, 1 detecting, 2 reading), reading: name length u8, name, state
/// ```
///
/// A state of version 2 lacks `late` and `missed`.
impl Conversation {
    /// What a later reel of the same stream needs in order to give the same items.
    pub fn save(&self) -> Vec<u8> {
        let mut out = vec![3];
        match &self.transport {
            Carrier::None => out.push(0),
            Carrier::Inside => out.push(3),
            Carrier::Tcp(reassembly) => {
                out.push(1);
                out.extend_from_slice(&reassembly.state().to_bytes());
            }
            Carrier::Datagrams(datagrams) => {
                out.push(2);
                for offset in datagrams.offsets() {
                    out.put_u64(offset);
                }
            }
        }
        let tally = self.tally.as_ref().map(|tally| tally.save());
        let upper = self.upper.as_ref().map(|upper| upper.save());
        for part in [tally, upper] {
            let part = part.unwrap_or_default();
            out.put_u32(u32::try_from(part.len()).unwrap_or(u32::MAX));
            out.extend_from_slice(&part);
        }
        out.put_u32(self.retries);
        out.put_u32(self.detections);
        out.push(match self.last_direction {
            None => 0,
            Some(direction) => direction_code(direction),
        });
        out.push(u8::from(self.stream != Stream::from(*self.stream)));
        for pending in [&self.to_server, &self.to_client] {
            out.put_u64(pending.need() as u64);
        }
        let chunks = match &self.phase {
            Phase::Detecting(detection) => detection.chunks().to_vec(),
            _ => {
                let mut chunks = self.to_server.chunks(Direction::ToServer);
                chunks.extend(self.to_client.chunks(Direction::ToClient));
                chunks
            }
        };
        out.put_u32(u32::try_from(chunks.len()).unwrap_or(u32::MAX));
        for chunk in &chunks {
            out.push(direction_code(chunk.direction));
            out.put_u64(chunk.offset);
            out.put_i64(chunk.ts.nanos());
            out.put_u64(chunk.ordinal);
            out.put_u32(u32::try_from(chunk.bytes.len()).unwrap_or(u32::MAX));
            out.extend_from_slice(&chunk.bytes);
        }
        let missed: Vec<(usize, Gap)> = match &self.phase {
            Phase::Detecting(detection) => detection.missed().to_vec(),
            _ => self.holes.iter().map(|hole| (0, *hole)).collect(),
        };
        out.push(u8::try_from(missed.len()).unwrap_or(u8::MAX));
        for (place, gap) in &missed {
            out.put_u32(u32::try_from(*place).unwrap_or(u32::MAX));
            out.push(direction_code(gap.direction));
            out.put_u64(gap.offset);
            out.put_u64(gap.len);
            out.put_i64(gap.ts.nanos());
            out.put_u64(gap.ordinal);
        }
        match &self.phase {
            Phase::Idle => out.push(0),
            Phase::Detecting(_) => out.push(1),
            Phase::Reading(protocol, dissector) => {
                out.push(2);
                let name = protocol.name().as_bytes();
                out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
                out.extend_from_slice(name);
                out.extend_from_slice(&dissector.save());
            }
        }
        out
    }

    /// Goes on with a stream whose state was saved; `None` when `state` cannot be read or names a
    /// protocol that is not enabled.
    pub fn restore(
        info: &StreamInfo,
        protocols: &Protocols,
        budget: &Arc<Budget>,
        state: &[u8],
    ) -> Option<Conversation> {
        Conversation::new(info, protocols, budget).resume(state, budget)
    }

    pub(super) fn resume(self, state: &[u8], budget: &Arc<Budget>) -> Option<Conversation> {
        let mut restored = self;
        let mut reader = Reader::new(state);
        let version = reader.u8().ok()?;
        if !matches!(version, 2 | 3) {
            return None;
        }
        let protocols = restored.protocols.clone();
        restored.transport = match reader.u8().ok()? {
            0 => Carrier::None,
            1 => {
                let state = State::from_bytes(reader.take(State::LEN).ok()?)?;
                Carrier::Tcp(Box::new(Reassembly::resume(
                    &state,
                    budget.clone(),
                    protocols.overlap,
                )))
            }
            2 => Carrier::Datagrams(Datagrams::resume([reader.u64().ok()?, reader.u64().ok()?])?),
            3 => Carrier::Inside,
            _ => return None,
        };
        let length = usize::try_from(reader.u32().ok()?).ok()?;
        let tally = reader.take(length).ok()?;
        restored.tally = match (restored.tally.take(), length) {
            (None, _) | (_, 0) => None,
            (Some(_), _) => Some(Box::new(Tally::restore(
                &protocols,
                &restored.stream,
                tally,
            )?)),
        };
        let length = usize::try_from(reader.u32().ok()?).ok()?;
        let state = reader.take(length).ok()?;
        restored.upper = match (restored.upper.take(), length) {
            (None, _) | (_, 0) => None,
            // One level only: what SCTP carries carries nothing itself.
            (Some(upper), _) => Some(Box::new(upper.resume(state, budget)?)),
        };
        restored.retries = reader.u32().ok()?.min(RETRIES);
        restored.detections = reader.u32().ok()?.min(MAX_DETECTIONS);
        restored.last_direction = match reader.u8().ok()? {
            0 => None,
            code => Some(direction_of(code)?),
        };
        if version > 2 && reader.u8().ok()? != 0 {
            restored.stream = restored.stream.joined_late();
        }
        let stream = restored.stream;
        let needs = [reader.u64().ok()?, reader.u64().ok()?];
        let chunks = read_chunks(&mut reader)?;
        let missed = match version {
            2 => Vec::new(),
            _ => read_missed(&mut reader)?,
        };
        match reader.u8().ok()? {
            0 => restored.phase = Phase::Idle,
            1 => {
                if let Phase::Detecting(detection) = &mut restored.phase {
                    let mut missed = missed.into_iter().peekable();
                    for (at, chunk) in chunks.iter().enumerate() {
                        while let Some((_, gap)) = missed.next_if(|(place, _)| *place <= at) {
                            detection.gap(gap);
                        }
                        detection.chunk(&stream, &protocols, chunk);
                    }
                    missed.for_each(|(_, gap)| detection.gap(gap));
                }
            }
            2 => {
                let length = usize::from(reader.u8().ok()?);
                let name = reader.take(length).ok()?;
                let protocol: &'static dyn Protocol = match &restored.phase {
                    // SCTP is read even when its own items are not wanted.
                    Phase::Reading(carrier, _) => *carrier,
                    _ => *protocols
                        .iter()
                        .find(|protocol| protocol.name().as_bytes() == name)?,
                };
                if protocol.name().as_bytes() != name {
                    return None;
                }
                let mut dissector = protocol.restore(&stream, reader.rest())?;
                dissector.equip(&protocols);
                restored.phase = Phase::Reading(protocol, dissector);
                restored.holes = missed.into_iter().map(|(_, gap)| gap).collect();
                for chunk in &chunks {
                    let Conversation {
                        to_server,
                        to_client,
                        ..
                    } = &mut restored;
                    side(to_server, to_client, chunk.direction).push(chunk);
                }
                for (pending, need) in [&mut restored.to_server, &mut restored.to_client]
                    .into_iter()
                    .zip(needs)
                {
                    pending.set_need(usize::try_from(need).ok()?);
                }
            }
            _ => return None,
        }
        Some(restored)
    }
}

fn direction_code(direction: Direction) -> u8 {
    match direction {
        Direction::ToServer => 1,
        Direction::ToClient => 2,
    }
}

fn direction_of(code: u8) -> Option<Direction> {
    match code {
        1 => Some(Direction::ToServer),
        2 => Some(Direction::ToClient),
        _ => None,
    }
}

fn read_missed(reader: &mut Reader<'_>) -> Option<Vec<(usize, Gap)>> {
    let count = reader.u8().ok()?;
    let mut missed = Vec::new();
    for _ in 0..count {
        let place = usize::try_from(reader.u32().ok()?).ok()?;
        let gap = Gap {
            direction: direction_of(reader.u8().ok()?)?,
            offset: reader.u64().ok().filter(|offset| *offset < 1 << 62)?,
            len: reader.u64().ok()?,
            ts: Timestamp::from_nanos(reader.u64().ok()? as i64),
            ordinal: reader.u64().ok()?,
        };
        missed.push((place, gap));
    }
    Some(missed)
}

fn read_chunks(reader: &mut Reader<'_>) -> Option<Vec<Chunk>> {
    let count = reader.u32().ok()?;
    let mut chunks = Vec::new();
    for _ in 0..count {
        let direction = direction_of(reader.u8().ok()?)?;
        let offset = reader.u64().ok().filter(|offset| *offset < 1 << 62)?;
        let ts = Timestamp::from_nanos(reader.u64().ok()? as i64);
        let ordinal = reader.u64().ok()?;
        let length = usize::try_from(reader.u32().ok()?).ok()?;
        chunks.push(Chunk {
            direction,
            offset,
            bytes: Bytes::copy_from_slice(reader.take(length).ok()?),
            ts,
            ordinal,
        });
    }
    Some(chunks)
}
