//! One stream in a worker: reassembly, detection, and the dissector.
//!
//! In: the packets of one stream, in capture order. Out: items. Never: more memory for a stream that
//! nobody knows than its [`Tally`].
//!
//! ```text
//! detecting ──known──▶ reading ──upgraded──▶ detecting
//!     │                   │
//!   unknown         malformed, limit
//!     ▼                   ▼
//!            idle ──a gap, or a new word of the client──▶ detecting, a few times
//! ```
//!
//! SCTP needs no detection. The messages that it carries are a conversation of their own above it.

mod saved;
mod sink;

use std::sync::Arc;

use bytes::Bytes;

use self::sink::Sink;
use super::detect::{Detection, Found};
use super::flows::Tally;
use super::pending::Pending;
use super::sctp::Sctp;
use super::{Dissector, GiveUp, Handover, Outcome, Output, Protocol, Protocols, Stream};
use crate::flow::{
    Budget, Chunk, Datagrams, Event, Gap, Opening, Reassembly, ReassemblyCounts, Segment,
    StreamInfo,
};
use crate::packet::{Decoded, Direction, EndReason, Packet, Transport};
use crate::time::Timestamp;

/// Bytes that wait for the rest of a message at most, in each direction; what is more becomes a
/// gap. Dissectors take long bodies as they come, so only headers and small messages wait.
pub const MAX_PENDING: usize = 4 << 20;

/// Times that one stream is looked at anew; bounds what a stream that keeps failing costs.
const MAX_DETECTIONS: u32 = 64;

/// New words of the client that are looked at in a stream that nobody knew, when its beginning
/// was not seen or bytes went missing: the capture may have begun inside a message.
const RETRIES: u32 = 16;

/// What a conversation met, counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ConversationCounts {
    /// Payload bytes of streams that nobody knew, up to where they were left alone.
    pub unknown_bytes: u64,
    /// Times that a dissector gave up because the bytes are against its protocol.
    pub malformed: u64,
    /// Times that a cap was met.
    pub limited: u64,
}

/// One stream from its first packet to its end.
pub struct Conversation {
    /// The stream; joined late once bytes were missed before anybody knew it.
    stream: Stream,
    protocols: Protocols,
    transport: Carrier,
    phase: Phase,
    to_server: Pending,
    to_client: Pending,
    last_direction: Option<Direction>,
    retries: u32,
    detections: u32,
    ts: Timestamp,
    ordinal: u64,
    events: Vec<Event>,
    counts: ConversationCounts,
    reassembly_counts: ReassemblyCounts,
    /// What the stream came to, until a protocol gave an item.
    tally: Option<Box<Tally>>,
    /// The messages that the stream carries, when it is one of SCTP.
    upper: Option<Box<Conversation>>,
    /// Whether the stream's own items are left out: it is read only for what it carries.
    muted: bool,
    /// Whether the dissector took anything of the last chunk.
    took: bool,
    /// Gaps behind which the dissector has taken nothing of that direction yet.
    holes: Vec<Gap>,
}

enum Carrier {
    Tcp(Box<Reassembly>),
    /// Each packet's payload stands for itself: UDP, ICMP, SCTP.
    Datagrams(Datagrams),
    /// Another conversation, which decrypts: bytes come in order.
    Inside,
    /// Not looked at, or no longer.
    None,
}

enum Phase {
    Detecting(Box<Detection>),
    Reading(&'static dyn Protocol, Box<dyn Dissector>),
    Idle,
}

impl Conversation {
    /// A stream of which nothing was seen yet; held segments count against `budget`.
    pub fn new(info: &StreamInfo, protocols: &Protocols, budget: &Arc<Budget>) -> Conversation {
        let transport = info.name.transport;
        let wanted = protocols
            .iter()
            .any(|protocol| protocol.transports().contains(&transport));
        let carrier = match transport {
            _ if !wanted => Carrier::None,
            Transport::Tcp => {
                let reassembly = Reassembly::with_policy(budget.clone(), protocols.overlap);
                Carrier::Tcp(Box::new(reassembly))
            }
            _ => Carrier::Datagrams(Datagrams::default()),
        };
        let mut conversation = Conversation::over(carrier, info, protocols);
        conversation.tally = Tally::wanted(transport, protocols).map(Box::new);
        if wanted && transport == Transport::SCTP {
            conversation.carry();
        }
        conversation
    }

    /// What an encrypted stream carries, fed by [`Conversation::event`]; with `handover` it goes on
    /// with that protocol.
    pub(super) fn inside(
        info: &StreamInfo,
        protocols: &Protocols,
        handover: Option<&Handover>,
    ) -> Conversation {
        let mut conversation = Conversation::over(Carrier::Inside, info, protocols);
        if let Some((protocol, dissector)) = handover.and_then(|next| conversation.next(next)) {
            conversation.phase = Phase::Reading(protocol, dissector);
        }
        conversation
    }

    /// Goes on with [`Conversation::inside`] as saved.
    pub(super) fn restore_inside(
        info: &StreamInfo,
        protocols: &Protocols,
        state: &[u8],
    ) -> Option<Conversation> {
        Conversation::inside(info, protocols, None)
            .resume(state, &Budget::new(0))
            .filter(|restored| matches!(restored.transport, Carrier::Inside | Carrier::None))
    }

    fn over(carrier: Carrier, info: &StreamInfo, protocols: &Protocols) -> Conversation {
        let whole = info.opening == Opening::Syn;
        Conversation {
            stream: (*info).into(),
            protocols: protocols.clone(),
            transport: carrier,
            phase: Phase::Detecting(Box::default()),
            to_server: Pending::default(),
            to_client: Pending::default(),
            last_direction: None,
            retries: if whole { 0 } else { RETRIES },
            detections: 0,
            ts: info.first,
            ordinal: info.name.stream.0,
            events: Vec::new(),
            counts: ConversationCounts::default(),
            reassembly_counts: ReassemblyCounts::default(),
            tally: None,
            upper: None,
            muted: false,
            took: false,
            holes: Vec::new(),
        }
    }

    /// Reads the stream as SCTP, whether its own items are wanted or only those of what it carries.
    fn carry(&mut self) {
        self.muted = !self.protocols.has(Sctp.name());
        let above = self.protocols.without(Sctp.name());
        let carries = above
            .iter()
            .any(|protocol| protocol.transports().contains(&Transport::SCTP));
        self.upper = carries.then(|| {
            let messages = Carrier::Datagrams(Datagrams::default());
            Box::new(Conversation::over(messages, &self.stream, &above))
        });
        self.phase = Phase::Reading(&Sctp, Sctp.start(&self.stream));
    }

    /// The stream.
    pub fn info(&self) -> &StreamInfo {
        &self.stream
    }

    /// The protocol that is being read.
    pub fn protocol(&self) -> Option<&'static dyn Protocol> {
        match &self.phase {
            Phase::Reading(protocol, _) => Some(*protocol),
            _ => None,
        }
    }

    /// Whether the stream is read as an encrypted one, whose state may hold what was decrypted.
    pub fn is_encrypted(&self) -> bool {
        self.protocol()
            .is_some_and(|protocol| protocol.name() == "tls")
    }

    /// Whether nothing more is read of the stream: its owner may forget it before its end, and keep
    /// the tally alone ([`Conversation::take_tally`]).
    pub fn is_left_alone(&self) -> bool {
        matches!(self.transport, Carrier::None) && !matches!(self.phase, Phase::Reading(..))
    }

    /// What the stream came to so far, to be counted on by its owner; `None` when nobody wants to
    /// know, or a protocol gave an item.
    pub fn take_tally(&mut self) -> Option<Box<Tally>> {
        self.tally.take()
    }

    /// What detection and dissection met so far.
    pub fn counts(&self) -> ConversationCounts {
        self.counts
    }

    /// What reassembly met so far.
    pub fn reassembly_counts(&self) -> ReassemblyCounts {
        match &self.transport {
            Carrier::Tcp(reassembly) => reassembly.counts(),
            _ => self.reassembly_counts,
        }
    }

    /// Takes the stream's next packet; `payload` is its transport payload as captured.
    pub fn packet(&mut self, packet: &Packet, payload: Bytes, out: &mut dyn Output) {
        let (Decoded::Flow(layers), Some((_, direction))) = (&packet.decoded, packet.stream) else {
            return;
        };
        self.ts = packet.record.ts;
        self.ordinal = packet.ordinal;
        if let Some(tally) = &mut self.tally {
            match self.transport {
                Carrier::None => tally.packet(packet, &payload),
                _ => tally.count(packet),
            }
        }
        let mut events = std::mem::take(&mut self.events);
        match (&mut self.transport, layers.tcp) {
            (Carrier::Tcp(reassembly), Some(tcp)) => reassembly.push(
                Segment {
                    direction,
                    tcp,
                    payload,
                    wire_len: layers.payload_wire_len,
                    ts: packet.record.ts,
                    ordinal: packet.ordinal,
                },
                &mut events,
            ),
            (Carrier::Datagrams(datagrams), _) => datagrams.push(
                Chunk {
                    direction,
                    offset: 0,
                    bytes: payload,
                    ts: packet.record.ts,
                    ordinal: packet.ordinal,
                },
                layers.payload_wire_len,
                &mut events,
            ),
            _ => {}
        }
        self.drain(events, out);
    }

    /// Lets go of the batch that the last packets came in; to be called when it is done.
    pub fn settle(&mut self) {
        if let Phase::Reading(_, dissector) = &mut self.phase {
            dissector.settle();
        }
        if let Some(upper) = &mut self.upper {
            upper.settle();
        }
    }

    /// Hands out what is open; the stream is over.
    ///
    /// What waited behind holes comes with gaps, whatever the reason.
    pub fn end(&mut self, reason: EndReason, out: &mut dyn Output) {
        let mut events = std::mem::take(&mut self.events);
        if let Carrier::Tcp(reassembly) = &mut self.transport {
            reassembly.finish(self.ts, self.ordinal, &mut events);
        }
        self.drain(events, out);
        if let Phase::Detecting(detection) = &mut self.phase
            && let Found::Known(protocol) = detection.end(&self.stream, &self.protocols)
        {
            self.start(protocol, out);
        }
        self.stop(out);
        if let Some(mut upper) = self.upper.take() {
            upper.end(reason, out);
        }
        if let Some(tally) = self.tally.take() {
            tally.end(&self.stream, reason, out);
        }
    }

    fn drain(&mut self, mut events: Vec<Event>, out: &mut dyn Output) {
        for event in events.drain(..) {
            self.event(event, out);
        }
        // Leftovers must not keep the batch alive that they came in.
        self.to_server.own();
        self.to_client.own();
        // Streams that are not read keep no room for events.
        if matches!(self.phase, Phase::Reading(..)) {
            self.events = events;
        }
    }

    /// Takes what reassembly hands on.
    pub(super) fn event(&mut self, event: Event, out: &mut dyn Output) {
        match event {
            Event::Chunk(chunk) => {
                if let Some(tally) = &mut self.tally {
                    tally.bytes(chunk.direction, &chunk.bytes);
                }
                let turned = self.last_direction.replace(chunk.direction) != Some(chunk.direction);
                if matches!(self.phase, Phase::Idle) && !self.look_again(chunk.direction, turned) {
                    self.counts.unknown_bytes += chunk.bytes.len() as u64;
                    return;
                }
                match self.phase {
                    Phase::Detecting(_) => self.detect(&chunk, out),
                    _ => self.read(chunk, out),
                }
            }
            Event::Gap(gap) => self.gap(gap, out),
            Event::Fin(direction) => {
                if let Phase::Reading(_, dissector) = &mut self.phase {
                    let rest = side(&mut self.to_server, &mut self.to_client, direction).clear();
                    let mut out = Sink::new(&mut self.tally, &mut self.upper, self.muted, out);
                    dissector.on_fin(direction, &rest, &mut out);
                }
            }
            // What a reset leaves open is flushed at the end: late bytes may still come.
            Event::Rst(_) => {}
        }
    }

    /// Whether a stream that was left alone is worth another look: the client begins a new word, or
    /// goes on where the server was never heard, or a datagram came.
    fn look_again(&mut self, direction: Direction, turned: bool) -> bool {
        let alone = || match &self.transport {
            Carrier::Tcp(reassembly) => {
                reassembly.is_heard(direction) && !reassembly.is_heard(direction.other())
            }
            _ => false,
        };
        let datagram = self.stream.name.transport != Transport::Tcp;
        let fresh = datagram || (direction == Direction::ToServer && (turned || alone()));
        if !fresh || self.retries == 0 || self.detections >= MAX_DETECTIONS {
            return false;
        }
        self.retries -= 1;
        if !datagram {
            self.stream = self.stream.joined_late();
        }
        self.phase = Phase::Detecting(Box::default());
        true
    }

    fn detect(&mut self, chunk: &Chunk, out: &mut dyn Output) {
        let Phase::Detecting(detection) = &mut self.phase else {
            return;
        };
        match detection.chunk(&self.stream, &self.protocols, chunk) {
            Found::Known(protocol) => self.start(protocol, out),
            Found::Unsure => {}
            Found::Unknown => {
                let chunks = detection.chunks().iter();
                self.counts.unknown_bytes +=
                    chunks.map(|chunk| chunk.bytes.len() as u64).sum::<u64>();
                self.detections += 1;
                self.leave_alone();
            }
        }
    }

    /// Starts the dissector and offers it what detection looked at.
    fn start(&mut self, protocol: &'static dyn Protocol, out: &mut dyn Output) {
        let Phase::Detecting(detection) = &mut self.phase else {
            return;
        };
        let events = detection.take();
        self.detections += 1;
        let mut dissector = protocol.start(&self.stream);
        dissector.equip(&self.protocols);
        self.phase = Phase::Reading(protocol, dissector);
        for event in events {
            match (event, &self.phase) {
                // It gave up at once: what follows is looked at anew.
                (Event::Chunk(chunk), Phase::Detecting(_)) => self.detect(&chunk, out),
                (Event::Chunk(chunk), _) => self.read(chunk, out),
                (Event::Gap(gap), _) => self.gap(gap, out),
                (Event::Fin(_) | Event::Rst(_), _) => {}
            }
        }
    }

    fn read(&mut self, chunk: Chunk, out: &mut dyn Output) {
        let (direction, ts, ordinal) = (chunk.direction, chunk.ts, chunk.ordinal);
        let end = chunk.offset + chunk.bytes.len() as u64;
        let datagram = matches!(self.transport, Carrier::Datagrams(_));
        let Phase::Reading(_, dissector) = &mut self.phase else {
            return;
        };
        let pending = side(&mut self.to_server, &mut self.to_client, direction);
        let mut next = match pending.begin(&chunk) {
            true => Some(chunk),
            false => {
                pending.push(&chunk);
                pending.is_due().then(|| pending.take(direction))
            }
        };
        while let Some(offered) = next.take() {
            let len = offered.bytes.len();
            let mut sink = Sink::new(&mut self.tally, &mut self.upper, self.muted, out);
            match dissector.on_chunk(&offered, &mut sink) {
                Outcome::Consumed(0) => pending.put_back(offered, 0, len + 1),
                Outcome::Consumed(count) => {
                    self.took = true;
                    if !self.holes.is_empty() {
                        self.holes.retain(|hole| hole.direction != direction);
                    }
                    pending.put_back(offered, count.min(len), 0);
                }
                Outcome::NeedMore(need) => pending.put_back(offered, 0, need.max(len + 1)),
                Outcome::GiveUp(reason) => {
                    pending.put_back(offered, 0, 0);
                    return self.give_up(reason, direction, out);
                }
            }
            if datagram {
                // The next datagram does not go on from this one.
                pending.clear();
            }
            next = pending.is_due().then(|| pending.take(direction));
        }
        if pending.need() > MAX_PENDING || pending.len() > MAX_PENDING {
            self.counts.limited += 1;
            let gap = Gap {
                direction,
                offset: end,
                len: 0,
                ts,
                ordinal,
            };
            self.gap(gap, out);
        }
    }

    /// Tells the dissector what is missing: the gap, and before it what was not taken yet, so that
    /// a gap always begins where the dissector stands.
    fn gap(&mut self, gap: Gap, out: &mut dyn Output) {
        if let Phase::Detecting(detection) = &mut self.phase {
            // No more will come of what stands before the gap: what it may well be, it is.
            if let Found::Known(protocol) = detection.end(&self.stream, &self.protocols) {
                self.start(protocol, out);
            }
        }
        match &mut self.phase {
            Phase::Detecting(detection) => {
                detection.gap(gap);
                self.stream = self.stream.joined_late();
                self.retries = RETRIES;
            }
            Phase::Reading(_, dissector) => {
                let lost = side(&mut self.to_server, &mut self.to_client, gap.direction).clear();
                let whole = Gap {
                    offset: gap.offset.saturating_sub(lost.len() as u64),
                    len: gap.len.saturating_add(lost.len() as u64),
                    ..gap
                };
                self.holes.retain(|hole| hole.direction != gap.direction);
                self.holes.push(gap);
                let mut sink = Sink::new(&mut self.tally, &mut self.upper, self.muted, out);
                if let Outcome::GiveUp(reason) = dissector.on_gap(&whole, &mut sink) {
                    self.retries = RETRIES;
                    self.give_up(reason, gap.direction, out);
                }
            }
            Phase::Idle => {
                self.stream = self.stream.joined_late();
                self.retries = RETRIES;
            }
        }
    }

    fn give_up(&mut self, reason: GiveUp, direction: Direction, out: &mut dyn Output) {
        let mut handover = None;
        if let Phase::Reading(_, dissector) = &mut self.phase {
            let mut sink = Sink::new(&mut self.tally, &mut self.upper, self.muted, out);
            dissector.on_end(&mut sink);
            handover = dissector.handover();
        }
        match reason {
            GiveUp::Malformed => self.counts.malformed += 1,
            GiveUp::Limit => self.counts.limited += 1,
            GiveUp::Upgraded if self.detections < MAX_DETECTIONS => {
                // The next protocol begins here.
                self.stream = Stream::from(*self.stream);
                self.phase = match handover.and_then(|handover| self.next(&handover)) {
                    Some((protocol, dissector)) => {
                        self.detections += 1;
                        Phase::Reading(protocol, dissector)
                    }
                    None => Phase::Detecting(Box::default()),
                };
                let mut left = self.to_server.chunks(Direction::ToServer);
                left.extend(self.to_client.chunks(Direction::ToClient));
                // The side that brought the news speaks last.
                left.sort_by_key(|chunk| (chunk.ts, chunk.direction == direction));
                self.to_server.clear();
                self.to_client.clear();
                // Whoever reads on misses the bytes too; the detections bound how often.
                for hole in std::mem::take(&mut self.holes) {
                    self.gap(hole, out);
                }
                for chunk in left {
                    match self.phase {
                        Phase::Detecting(_) => self.detect(&chunk, out),
                        _ => self.read(chunk, out),
                    }
                }
                return;
            }
            GiveUp::Upgraded => {}
        }
        self.holes.clear();
        // The bytes that did not fit are left; a later word may fit again.
        self.to_server.clear();
        self.to_client.clear();
        if self.retries == 0 && reason == GiveUp::Malformed {
            self.retries = RETRIES;
        }
        self.leave_alone();
    }

    /// The dissector that a stream was handed over to; `None` when its protocol is not looked for.
    fn next(&self, handover: &Handover) -> Option<(&'static dyn Protocol, Box<dyn Dissector>)> {
        let protocol = self
            .protocols
            .iter()
            .find(|protocol| protocol.name() == handover.protocol)
            .filter(|protocol| self.protocols.ports.allow(**protocol, &self.stream))?;
        let mut dissector = protocol.take_over(&self.stream, &handover.note);
        dissector.equip(&self.protocols);
        Some((*protocol, dissector))
    }

    /// Stops reading; for good when nothing can make the stream readable again.
    fn leave_alone(&mut self) {
        self.phase = Phase::Idle;
        if self.retries == 0 || self.detections >= MAX_DETECTIONS {
            self.reassembly_counts = self.reassembly_counts();
            self.transport = Carrier::None;
            self.events = Vec::new();
        }
    }

    /// What the dissector that reads the stream would save.
    #[cfg(test)]
    pub(super) fn dissector_state(&self) -> Option<Vec<u8>> {
        match &self.phase {
            Phase::Reading(_, dissector) => Some(dissector.save()),
            _ => None,
        }
    }

    /// Goes on with a given dissector, past detection.
    #[cfg(test)]
    pub(super) fn read_with(
        &mut self,
        protocol: &'static dyn Protocol,
        dissector: Box<dyn Dissector>,
    ) {
        self.phase = Phase::Reading(protocol, dissector);
    }

    fn stop(&mut self, out: &mut dyn Output) {
        if let Phase::Reading(_, dissector) = &mut self.phase {
            let mut sink = Sink::new(&mut self.tally, &mut self.upper, self.muted, out);
            dissector.on_end(&mut sink);
        }
        self.reassembly_counts = self.reassembly_counts();
        self.transport = Carrier::None;
        self.phase = Phase::Idle;
    }
}

fn side<'a>(
    to_server: &'a mut Pending,
    to_client: &'a mut Pending,
    direction: Direction,
) -> &'a mut Pending {
    match direction {
        Direction::ToServer => to_server,
        Direction::ToClient => to_client,
    }
}

#[cfg(test)]
pub(super) mod tests;
