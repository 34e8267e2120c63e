//! Which protocol a stream speaks: by its first bytes, and by its port when the bytes leave doubt.
//!
//! In: the first chunks of both sides. Out: a protocol, or that nobody knows it. The chunks are kept
//! until then and handed on in their order. Never: more bytes than [`MAX_PROBE_BYTES`] a side.

use super::{Probe, Protocol, Protocols, Stream, Verdict};
use crate::flow::{Chunk, Event, Gap, StreamInfo};
use crate::packet::{Direction, Transport};

/// Bytes of each side that detection looks at before it decides with what it has. A request line
/// with a long target must fit, a TLS client hello with its extensions too.
const MAX_PROBE_BYTES: usize = 8 * 1024;

/// Chunks kept while detecting; one-byte segments must not make a list of thousands.
const MAX_PROBE_CHUNKS: usize = 64;

/// Datagrams of a conversation that detection looks at.
const MAX_PROBE_DATAGRAMS: usize = 4;

/// What detection found.
pub(super) enum Found {
    /// It speaks this.
    Known(&'static dyn Protocol),
    /// More bytes are needed.
    Unsure,
    /// It speaks nothing we know.
    Unknown,
}

/// The first bytes of a stream, and the protocols still in question.
#[derive(Default)]
pub(super) struct Detection {
    chunks: Vec<Chunk>,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    ruled_out: Vec<&'static str>,
    /// What is missing of either side in front of its chunks, and behind how many chunks it was
    /// told; one of each side at most.
    missed: Vec<(usize, Gap)>,
}

impl Detection {
    /// What was looked at so far, in order; detection starts anew.
    pub(super) fn take(&mut self) -> Vec<Event> {
        let Detection { chunks, missed, .. } = std::mem::take(self);
        let mut missed = missed.into_iter().peekable();
        let mut events = Vec::with_capacity(chunks.len() + missed.len());
        for (place, chunk) in chunks.into_iter().enumerate() {
            while let Some((_, gap)) = missed.next_if(|(before, _)| *before <= place) {
                events.push(Event::Gap(gap));
            }
            events.push(Event::Chunk(chunk));
        }
        events.extend(missed.map(|(_, gap)| Event::Gap(gap)));
        events
    }

    /// The chunks looked at so far.
    pub(super) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// What is missing, each with the count of chunks before it, in order.
    pub(super) fn missed(&self) -> &[(usize, Gap)] {
        &self.missed
    }

    /// A gap: what came before it on that side tells nothing about what comes, and joins it.
    pub(super) fn gap(&mut self, gap: Gap) {
        let direction = gap.direction;
        let earlier = self
            .missed
            .iter()
            .map(|(_, gap)| (gap.direction, gap.offset));
        let chunks = self
            .chunks
            .iter()
            .map(|chunk| (chunk.direction, chunk.offset));
        let mut fronts = earlier.chain(chunks);
        let front = fronts.find(|(side, _)| *side == direction);
        let offset = front.map_or(gap.offset, |(_, offset)| offset.min(gap.offset));
        self.missed.retain(|(_, gap)| gap.direction != direction);
        for (place, _) in &mut self.missed {
            let before = self.chunks.iter().take(*place);
            *place = before.filter(|chunk| chunk.direction != direction).count();
        }
        self.chunks.retain(|chunk| chunk.direction != direction);
        let len = gap.len.saturating_add(gap.offset - offset);
        self.missed
            .push((self.chunks.len(), Gap { offset, len, ..gap }));
        match direction {
            Direction::ToServer => self.to_server.clear(),
            Direction::ToClient => self.to_client.clear(),
        }
        self.ruled_out.clear();
    }

    /// Looks at one chunk more.
    pub(super) fn chunk(&mut self, stream: &Stream, protocols: &Protocols, chunk: &Chunk) -> Found {
        let side = match chunk.direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        };
        let datagrams = stream.name.transport != Transport::Tcp;
        if datagrams {
            // Datagrams do not go on from each other: each is looked at alone.
            self.ruled_out.clear();
            side.clear();
        }
        if side.is_empty() && !stream.is_from_start() {
            // Joined late, the other side's bytes may have been the rest of anything.
            self.ruled_out.clear();
        }
        let room = MAX_PROBE_BYTES.saturating_sub(side.len());
        side.extend_from_slice(chunk.bytes.get(..room).unwrap_or(&chunk.bytes));
        self.chunks.push(chunk.clone());
        let full = self.to_server.len().max(self.to_client.len()) >= MAX_PROBE_BYTES
            || self.chunks.len() >= MAX_PROBE_CHUNKS
            || (datagrams && self.chunks.len() >= MAX_PROBE_DATAGRAMS);
        self.decide(stream, protocols, full)
    }

    /// The stream is over: decides with what is there.
    pub(super) fn end(&mut self, stream: &Stream, protocols: &Protocols) -> Found {
        if self.chunks.is_empty() {
            return Found::Unknown;
        }
        self.decide(stream, protocols, true)
    }

    fn decide(&mut self, stream: &Stream, protocols: &Protocols, last: bool) -> Found {
        let probe = Probe {
            stream,
            ports: &[],
            to_server: &self.to_server,
            to_client: &self.to_client,
        };
        let (best, unsure) = look(probe, protocols, &mut self.ruled_out);
        match best {
            Some((Verdict::Certain, protocol)) => Found::Known(protocol),
            Some((_, protocol)) if last || !unsure => Found::Known(protocol),
            _ if last || !unsure && best.is_none() => Found::Unknown,
            _ => Found::Unsure,
        }
    }
}

/// The likeliest of `protocols` for what `probe` shows, and whether others need more bytes; those that
/// it cannot be join `ruled_out`, and are not asked again.
fn look<'p>(
    mut probe: Probe<'p>,
    protocols: &'p Protocols,
    ruled_out: &mut Vec<&'static str>,
) -> (Option<(Verdict, &'static dyn Protocol)>, bool) {
    let stream = probe.stream;
    let mut best: Option<(Verdict, bool, &'static dyn Protocol)> = None;
    let mut unsure = false;
    for protocol in protocols.iter() {
        if !protocol.transports().contains(&stream.name.transport)
            || ruled_out.contains(&protocol.name())
            || !protocols.ports.allow(*protocol, stream)
        {
            continue;
        }
        probe.ports = protocols.ports.further(*protocol);
        match protocol.probe(&probe) {
            Verdict::No => ruled_out.push(protocol.name()),
            Verdict::Unsure => unsure = true,
            verdict @ (Verdict::Likely | Verdict::Certain) => {
                let rank = (verdict, protocols.ports.suit(*protocol, stream));
                if best.is_none_or(|(verdict, port, _)| rank > (verdict, port)) {
                    best = Some((rank.0, rank.1, *protocol));
                }
            }
        }
    }
    (
        best.map(|(verdict, _, protocol)| (verdict, protocol)),
        unsure,
    )
}

impl Protocols {
    /// The protocol that a stream speaks by its first bytes, both sides, when no more of them come;
    /// `None` when nobody knows it.
    pub fn recognise(
        &self,
        stream: &StreamInfo,
        to_server: &[u8],
        to_client: &[u8],
    ) -> Option<&'static str> {
        let probe = Probe {
            stream: &(*stream).into(),
            ports: &[],
            to_server,
            to_client,
        };
        let (best, _) = look(probe, self, &mut Vec::new());
        best.map(|(_, protocol)| protocol.name())
    }
}
