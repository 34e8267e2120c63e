//! One worker: reassembly and dissection of its share of the streams.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ahash::AHashMap;
use bytes::Bytes;

use relief::GivenUp;

use super::printing::{Lines, Printer};
use super::{Counters, Step, cuts};
use crate::dissect::{Conversation, Draft, Output, Protocols, Tally};
use crate::flow::{Budget, StreamInfo};
use crate::item::{Item, Origin, Peer, Tunnels};
use crate::packet::{Batch, Decoded, Direction, FiveTuple, LinkType, Packet, StreamId, link};

mod relief;

/// Out-of-order segments that all workers together hold at most.
const MAX_HELD_BYTES: usize = 256 * 1024 * 1024;

/// What a worker found in one step.
pub(super) struct Found {
    /// Items, in the order in which this worker found them; none in a run that prints.
    pub(super) items: Vec<Item>,
    /// States that the step asked for, as of its start.
    pub(super) states: Vec<(StreamId, (FiveTuple, Vec<u8>))>,
    /// The lines of a run that prints.
    pub(super) lines: Lines,
}

struct Stream {
    info: StreamInfo,
    conversation: Conversation,
    items: u32,
    /// The tunnels around its packets, as its client sees them.
    tunnel: Option<Tunnels>,
    /// Whether its client is the machine that captured, as its packets tell it.
    client_is_here: Option<bool>,
    /// The last step that had packets of it.
    last: u64,
}

/// The tunnels around a stream's packets, and whether its client is the machine that captured.
type Around = (Option<Tunnels>, Option<bool>);

/// What is kept of an open stream.
enum Place {
    /// All that reading it needs.
    Read(Box<Stream>),
    /// What it came to: nobody reads it, and it gave no item.
    Counted(Box<(StreamInfo, Around, Tally)>),
    /// What reading it anew takes: what was open in it was given up for want of memory.
    GivenUp(Box<GivenUp>),
    /// That it is there.
    Alone,
}

/// Which streams are a worker's own.
#[derive(Clone, Copy)]
struct Share {
    index: u64,
    of: u64,
}

impl Share {
    fn has(self, stream: StreamId) -> bool {
        self.of == 1 || spread(stream) % self.of == self.index
    }
}

/// A number for each stream, the same for both directions, that says nothing about its neighbours':
/// streams that open in step, as queries with their responses do, all have even numbers or odd ones.
fn spread(stream: StreamId) -> u64 {
    // Fibonacci hashing: 2^64 divided by the golden ratio; the upper bits depend on all others.
    stream.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

/// Owns every stream whose number falls to it.
pub(super) struct Worker {
    share: Share,
    protocols: Protocols,
    budget: Arc<Budget>,
    /// Open streams.
    streams: AHashMap<StreamId, Place>,
    counters: Arc<Counters>,
    /// Writes the lines of a run that prints.
    printer: Option<Box<dyn Printer>>,
    /// Streams that the step had packets of.
    touched: Vec<StreamId>,
    /// Steps so far.
    steps: u64,
    /// How often it had given up something when it did so last.
    relieved: u64,
    /// Items of the step by the short names of their protocols.
    kinds: Vec<(&'static str, u64)>,
}

/// What a worker counts references to of its own: threads that count them in one place wait for
/// each other.
struct Own {
    /// The bytes of the batch.
    bytes: Bytes,
    origin: Arc<Origin>,
    record: Arc<str>,
}

impl Own {
    fn of(step: &Step) -> Own {
        Own {
            bytes: Bytes::from_owner(step.batch.bytes.clone()),
            origin: Arc::new(Origin::clone(&step.origin)),
            record: Arc::from(&*step.record),
        }
    }
}

impl Worker {
    pub(super) fn new(
        index: usize,
        of: usize,
        protocols: Protocols,
        counters: Arc<Counters>,
    ) -> Worker {
        let budget = Budget::new(MAX_HELD_BYTES / of);
        let streams = AHashMap::default();
        let share = Share {
            index: index as u64,
            of: of as u64,
        };
        Worker {
            share,
            protocols,
            budget,
            streams,
            counters,
            printer: None,
            touched: Vec::new(),
            steps: 0,
            relieved: 0,
            kinds: Vec::new(),
        }
    }

    /// Makes lines of items from now on.
    pub(super) fn print_with(&mut self, printer: Box<dyn Printer>) {
        self.printer = Some(printer);
    }

    /// What the worker's share of the streams has in a step.
    pub(super) fn find(&mut self, step: &Step) -> Found {
        let mut found = Found {
            items: Vec::new(),
            lines: Lines::default(),
            states: self.saved(step),
        };
        self.step(step, &mut found);
        found
    }

    /// The states that a step asks for, before its packets are read.
    fn saved(&self, step: &Step) -> Vec<(StreamId, (FiveTuple, Vec<u8>))> {
        let wanted = step.wanted.iter().flat_map(|wanted| wanted.iter());
        let ours = wanted.filter(|stream| self.share.has(**stream));
        // The state of a stream that is decrypted holds plain text, which no reel has.
        let decrypts = self.protocols.secrets().counts().secrets > 0;
        ours.filter_map(|stream| match self.streams.get(stream)? {
            Place::Read(state) if decrypts && state.conversation.is_encrypted() => None,
            Place::Read(state) => {
                let saved = state.conversation.save();
                let info = &state.info;
                let tuple = FiveTuple {
                    src: info.client,
                    dst: info.server,
                    transport: info.name.transport,
                };
                Some((*stream, (tuple, cuts::save(info, state.items, &saved))))
            }
            Place::Counted(_) | Place::GivenUp(_) | Place::Alone => None,
        })
        .collect()
    }

    /// A conversation from its start, or as an earlier reel left it.
    fn opened(&self, step: &Step, info: &StreamInfo) -> (Conversation, u32) {
        let mut resumed = step.links.resumed.iter();
        let resumed = resumed.find(|(stream, _)| *stream == info.name.stream);
        let restored = resumed.and_then(|(_, resumed)| {
            let state = &resumed.state;
            let restored = Conversation::restore(info, &self.protocols, &self.budget, state)?;
            Some((restored, resumed.items))
        });
        restored.unwrap_or_else(|| (Conversation::new(info, &self.protocols, &self.budget), 0))
    }

    fn step(&mut self, step: &Step, found: &mut Found) {
        let own = Own::of(step);
        let share = self.share;
        self.steps += 1;
        self.give_up();
        let is_short = self.counters.relief.is_short();
        let mut unread = 0;
        for info in step
            .opened
            .iter()
            .filter(|info| share.has(info.name.stream))
        {
            let place = match is_short {
                true => Place::GivenUp(Box::new(GivenUp::unread(info))),
                false => {
                    let (conversation, items) = self.opened(step, info);
                    Place::Read(Box::new(Stream {
                        info: *info,
                        conversation,
                        items,
                        tunnel: None,
                        client_is_here: None,
                        last: 0,
                    }))
                }
            };
            self.streams.insert(info.name.stream, place);
        }
        let batch = &step.batch;
        let mut ends = batch
            .ended
            .iter()
            .filter(|ended| share.has(ended.stream))
            .peekable();
        for packet in &batch.packets {
            // A stream that ended by reuse of its five-tuple ends before the packet that reuses it.
            while let Some(end) = ends.next_if(|end| end.ordinal < packet.ordinal) {
                self.end(step, &own, *end, found);
            }
            let Some((stream, direction)) = packet.stream else {
                continue;
            };
            if !share.has(stream) {
                continue;
            }
            let Some(place) = self.streams.get_mut(&stream) else {
                continue;
            };
            if let Place::GivenUp(given) = place {
                if is_short {
                    unread += 1;
                    continue;
                }
                *place = Place::Read(Box::new(given.anew(&self.protocols, &self.budget)));
            }
            let state = match place {
                Place::Read(state) => state,
                Place::Counted(counted) => {
                    counted
                        .2
                        .packet(packet, &batch.payload_in(&own.bytes, packet));
                    continue;
                }
                Place::GivenUp(_) | Place::Alone => continue,
            };
            if state.tunnel.is_none() && is_in_tunnel(packet) {
                state.tunnel = tunnels_of(batch, packet, direction);
            }
            if state.client_is_here.is_none() {
                state.client_is_here = client_is_here(batch, packet, direction);
            }
            let mut out = Sink {
                step,
                own: &own,
                info: &state.info,
                tunnel: state.tunnel.as_ref(),
                client_is_here: state.client_is_here,
                count: &mut state.items,
                printer: &mut self.printer,
                kinds: &mut self.kinds,
                found,
            };
            if std::mem::replace(&mut state.last, self.steps) != self.steps {
                self.touched.push(stream);
            }
            let payload = batch.payload_in(&own.bytes, packet);
            state.conversation.packet(packet, payload, &mut out);
            if state.conversation.is_left_alone() {
                *place = match state.conversation.take_tally() {
                    Some(tally) => {
                        let tunnel = state.tunnel.take();
                        let seen = (tunnel, state.client_is_here);
                        Place::Counted(Box::new((state.info, seen, *tally)))
                    }
                    None => Place::Alone,
                };
            }
        }
        for end in ends {
            self.end(step, &own, *end, found);
        }
        for stream in self.touched.drain(..) {
            if let Some(Place::Read(state)) = self.streams.get_mut(&stream) {
                state.conversation.settle();
            }
        }
        let relief = &self.counters.relief;
        relief.packets.fetch_add(unread, Ordering::Relaxed);
        self.counters.count_items(&mut self.kinds);
        self.counters
            .streams_open
            .store_part(share.index as usize, self.streams.len() as u64);
    }

    fn end(&mut self, step: &Step, own: &Own, end: crate::packet::Ended, found: &mut Found) {
        let ended = self.streams.remove(&end.stream);
        let printer = &mut self.printer;
        let kinds = &mut self.kinds;
        match ended {
            // Another reel goes on with it, and with what is open.
            Some(Place::Read(state))
                if step
                    .links
                    .going_on
                    .as_ref()
                    .is_some_and(|going_on| going_on.goes_on(&state.info)) => {}
            Some(Place::Read(mut state)) => {
                let mut out = Sink {
                    step,
                    own,
                    info: &state.info,
                    tunnel: state.tunnel.as_ref(),
                    client_is_here: state.client_is_here,
                    count: &mut state.items,
                    printer,
                    kinds,
                    found,
                };
                state.conversation.end(end.reason, &mut out);
            }
            Some(Place::Counted(counted)) => {
                let (info, (tunnel, client_is_here), tally) = *counted;
                let mut out = Sink {
                    step,
                    own,
                    info: &info,
                    tunnel: tunnel.as_ref(),
                    client_is_here,
                    count: &mut 0,
                    printer,
                    kinds,
                    found,
                };
                tally.end(&info, end.reason, &mut out);
            }
            Some(Place::GivenUp(_) | Place::Alone) | None => {}
        }
    }
}

fn is_in_tunnel(packet: &Packet) -> bool {
    matches!(&packet.decoded, Decoded::Flow(layers) if layers.tunnel.is_some())
}

/// The tunnels around a packet as the stream's client sees them.
fn tunnels_of(batch: &Batch, packet: &Packet, direction: Direction) -> Option<Tunnels> {
    let tunnels = Tunnels::new(batch.tunnels_of(packet))?;
    Some(match direction {
        Direction::ToServer => tunnels,
        Direction::ToClient => tunnels.reversed(),
    })
}

/// Whether the client is the machine that captured; `None` when the packet does not tell. Cooked ones say
/// whether they were sent from there or to there.
fn client_is_here(batch: &Batch, packet: &Packet, direction: Direction) -> Option<bool> {
    let record = &packet.record;
    if !matches!(record.linktype, LinkType::LINUX_SLL | LinkType::LINUX_SLL2)
        || is_in_tunnel(packet)
    {
        return None;
    }
    let bytes = batch.bytes.get(record.start as usize..)?;
    let sent = link::was_sent(record.linktype, bytes)?;
    Some(sent == (direction == Direction::ToServer))
}

/// Makes items of drafts.
struct Sink<'a> {
    step: &'a Step,
    own: &'a Own,
    info: &'a StreamInfo,
    tunnel: Option<&'a Tunnels>,
    client_is_here: Option<bool>,
    count: &'a mut u32,
    printer: &'a mut Option<Box<dyn Printer>>,
    kinds: &'a mut Vec<(&'static str, u64)>,
    found: &'a mut Found,
}

impl Sink<'_> {
    fn peer(&self, client: bool, draft: &Draft) -> Peer {
        let endpoint = if client {
            self.info.client
        } else {
            self.info.server
        };
        let mut peer = Peer::unresolved(endpoint);
        // The asking side's port means nothing.
        let asks = client == draft.from_client;
        let named = self.step.names.as_ref().and_then(|names| match asks {
            true => names.lookup_ip(endpoint.ip, draft.start),
            false => names.lookup(endpoint, draft.start),
        });
        if let Some(named) = named {
            peer.name = named.name;
            peer.namespace = named.namespace;
            peer.mechanism = named.mechanism;
            peer.identity = named.identity;
        }
        let names = self.step.names.as_ref();
        peer.process = names.and_then(|names| names.process(endpoint, draft.start));
        peer
    }
}

impl Output for Sink<'_> {
    fn item(&mut self, draft: Draft) {
        self.push(draft, false);
    }

    fn decrypted(&mut self, draft: Draft) {
        self.push(draft, true);
    }
}

impl Sink<'_> {
    fn push(&mut self, draft: Draft, tls: bool) {
        let src = self.peer(draft.from_client, &draft);
        let dst = self.peer(!draft.from_client, &draft);
        let tunnel = self.tunnel.cloned().map(|tunnel| match draft.from_client {
            true => tunnel,
            false => tunnel.reversed(),
        });
        let name = draft.kind.abbr;
        match self.kinds.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => self.kinds.push((name, 1)),
        }
        let item = Item {
            number: 0,
            index: *self.count,
            stream: self.info.name,
            protocol: draft.kind,
            tls,
            src,
            dst,
            start: draft.start,
            elapsed_nanos: draft.elapsed_nanos,
            request_size: draft.request_size,
            response_size: draft.response_size,
            request: draft.request,
            response: draft.response,
            data: draft.data,
            error: draft.error,
            ordinal: draft.ordinal,
            origin: self.own.origin.clone(),
            record: self.own.record.clone(),
            tunnel,
            asked_here: self.client_is_here == Some(draft.from_client),
        };
        match &mut *self.printer {
            Some(printer) => self.found.lines.print(&item, &mut **printer),
            None => self.found.items.push(item),
        }
        *self.count = self.count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
