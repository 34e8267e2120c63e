//! The flow table: which stream each packet belongs to, and when a stream is over.
//!
//! In: ordinal, time and headers of each packet, in capture order. Out: stream and direction of the
//! packet, and the streams that ended. Never: payload bytes, clocks; one thread owns the table.
//! A stream's number is the ordinal of its first packet, so it does not depend on how work is
//! shared out. Standards: RFC 9293 sections 3.4 and 3.5 (initial sequence numbers, connection
//! establishment), RFC 6056 (reuse of ports).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::translated::Translations;
use super::{Opening, StreamInfo};
use crate::packet::{
    Direction, EndReason, Ended, Endpoint, FiveTuple, Layers, StreamId, StreamName, TcpFlags,
    TcpHeader, Transport,
};
use crate::time::Timestamp;

/// A flow moves within its list at most this often; timeouts are met up to this much late.
const TOUCH: Duration = Duration::from_secs(1);

/// A packet's time may lie this far behind the latest one before the clock counts as set back.
const STEP_BACK: Duration = Duration::from_secs(10);

/// So many packets in a row must lie behind before the clock is taken to have been set back: a
/// few late ones, or two interleaved clocks, are no reason.
const STEP_BACK_PACKETS: u32 = 256;

/// A SYN seen after data of its own stream may lie this far before that data; further off it opens
/// another connection.
const LATE_SYN_WINDOW: u32 = 1 << 20;

/// Bounds of a [`Table`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Flows held at once; the one idle longest goes when another is needed.
    /// A million take some 300 MB, more than a busy node has open.
    pub max_flows: usize,
    /// Silence after which an established TCP stream is over; long enough for most keep-alives.
    pub tcp_idle: Duration,
    /// Silence after which a TCP stream is over when only one side was ever heard: SYN without
    /// an answer. Linux gives up after 127 s of retries, the last pause being 64 s.
    pub tcp_embryonic: Duration,
    /// Silence after which a TCP stream is over that one side has closed.
    pub tcp_half_closed: Duration,
    /// How long a stream goes on after its last FIN or RST, so that late packets find it.
    pub tcp_linger: Duration,
    /// Silence after which a SYN with another initial sequence number opens a new stream although
    /// no end was seen.
    pub tcp_reuse: Duration,
    /// Silence after which a UDP conversation is over.
    pub udp_idle: Duration,
    /// Silence after which a conversation of any other transport is over.
    pub other_idle: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_flows: 1_000_000,
            tcp_idle: Duration::from_secs(20 * 60),
            tcp_embryonic: Duration::from_secs(70),
            tcp_half_closed: Duration::from_secs(120),
            tcp_linger: Duration::from_secs(10),
            tcp_reuse: Duration::from_secs(10),
            udp_idle: Duration::from_secs(60),
            other_idle: Duration::from_secs(60),
        }
    }
}

/// What the table says about one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    /// The stream that the packet belongs to.
    pub info: StreamInfo,
    /// Which way the packet went.
    pub direction: Direction,
    /// Whether it is the stream's first packet.
    pub new: bool,
    /// Of a stream's first packet: the stream that it is behind address translation. Reading both
    /// would show each call twice.
    pub translated: Option<StreamId>,
}

/// Counts of a table since it was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TableCounts {
    /// Streams opened.
    pub opened: u64,
    /// Ended after FIN from both sides.
    pub fin: u64,
    /// Ended after RST.
    pub rst: u64,
    /// Ended by silence.
    pub idle: u64,
    /// Ended because a new connection took the five-tuple.
    pub reused: u64,
    /// Ended because the table was full.
    pub evicted: u64,
    /// Ended with the source.
    pub source_end: u64,
    /// Opened that are another stream behind address translation.
    pub translated: u64,
}

/// All flows of a source.
///
/// Invariants: each flow is in exactly one of the lists, each list is ordered by `moved_at`, and a
/// flow's last packet is at most [`TOUCH`] later than its `moved_at`.
#[derive(Debug)]
pub struct Table {
    limits: Limits,
    keys: HashMap<Key, u32, ahash::RandomState>,
    flows: Vec<Flow>,
    free: Vec<u32>,
    lists: [List; CLASSES],
    clock: TrafficClock,
    translations: Translations,
    last_ordinal: u64,
    ended: Vec<Ended>,
    counts: TableCounts,
}

impl Table {
    /// An empty table.
    pub fn new(limits: Limits) -> Table {
        Table {
            limits,
            keys: HashMap::default(),
            flows: Vec::new(),
            free: Vec::new(),
            lists: [List::EMPTY; CLASSES],
            clock: TrafficClock::default(),
            translations: Translations::default(),
            last_ordinal: 0,
            ended: Vec::new(),
            counts: TableCounts::default(),
        }
    }

    /// Flows held now.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no flow is held.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Counts so far.
    pub fn counts(&self) -> TableCounts {
        self.counts
    }

    /// Finds or opens the stream of a packet as [`Table::assign`] does; a stream that it opens has
    /// the sides, the opening and the first packet's time of `resumed`, whose state goes on with it.
    pub fn resume(
        &mut self,
        ordinal: u64,
        ts: Timestamp,
        layers: &Layers,
        resumed: &StreamInfo,
    ) -> Assigned {
        let mut assigned = self.assign(ordinal, ts, layers);
        let (key, from_low) = Key::of(&layers.tuple);
        let Some(&slot) = self.keys.get(&key).filter(|_| assigned.new) else {
            return assigned;
        };
        let from_client = layers.tuple.src == resumed.client;
        let flow = self.flow_mut(slot);
        flow.info = StreamInfo {
            name: flow.info.name,
            ..*resumed
        };
        flow.client_is_low = from_low == from_client;
        assigned.info = flow.info;
        assigned.translated = None;
        assigned.direction = match from_client {
            true => Direction::ToServer,
            false => Direction::ToClient,
        };
        assigned
    }

    /// Whether a packet of this five-tuple would go to a stream that is open.
    pub fn has(&self, tuple: &FiveTuple) -> bool {
        self.keys.contains_key(&Key::of(tuple).0)
    }

    /// Finds or opens the stream of a packet; streams that ended by it are told by the next
    /// [`Table::sweep`].
    pub fn assign(&mut self, ordinal: u64, ts: Timestamp, layers: &Layers) -> Assigned {
        let now = self.clock.advance(ts);
        self.last_ordinal = ordinal;
        let (key, from_low) = Key::of(&layers.tuple);
        if let Some(&slot) = self.keys.get(&key) {
            match self.verdict(slot, now, from_low, layers.tcp.as_ref()) {
                Fate::Goes => {
                    return self.existing(slot, now, from_low, layers);
                }
                Fate::Ends(reason) => self.end(slot, reason, ordinal.saturating_sub(1)),
            }
        }
        if self.keys.len() >= self.limits.max_flows.max(1) {
            self.evict();
        }
        self.open(key, from_low, ordinal, ts, now, layers)
    }

    /// Tells which streams ended: those that [`Table::assign`] ended, and those silent for too
    /// long at `now`. Costs nothing for streams that go on.
    pub fn sweep(&mut self, now: Timestamp, out: &mut Vec<Ended>) {
        let now = self.clock.advance(now);
        for class in Class::ALL {
            let timeout = self.timeout(class) + TOUCH;
            while let Some(flow) = self.head(class) {
                if now.since(flow.moved_at) <= timeout {
                    break;
                }
                let reason = flow.reason();
                let slot = self.lists[class as usize].head;
                self.end(slot, reason, self.last_ordinal);
            }
        }
        out.append(&mut self.ended);
    }

    /// Ends all streams, at the end of the source or where its next packets belong to another run,
    /// and forgets the time.
    pub fn end_all(&mut self, out: &mut Vec<Ended>) {
        for class in Class::ALL {
            while self.lists[class as usize].head != NONE {
                let slot = self.lists[class as usize].head;
                let reason = match self.flow(slot).reason() {
                    EndReason::Idle => EndReason::SourceEnd,
                    closed => closed,
                };
                self.end(slot, reason, self.last_ordinal);
            }
        }
        self.clock = TrafficClock::default();
        self.translations = Translations::default();
        out.append(&mut self.ended);
    }

    fn flow(&self, slot: u32) -> &Flow {
        &self.flows[slot as usize]
    }

    fn flow_mut(&mut self, slot: u32) -> &mut Flow {
        &mut self.flows[slot as usize]
    }

    fn head(&self, class: Class) -> Option<&Flow> {
        let head = self.lists[class as usize].head;
        (head != NONE).then(|| self.flow(head))
    }

    fn timeout(&self, class: Class) -> Duration {
        match class {
            Class::Closed => self.limits.tcp_linger,
            Class::Embryonic => self.limits.tcp_embryonic,
            Class::HalfClosed => self.limits.tcp_half_closed,
            Class::Established => self.limits.tcp_idle,
            Class::Udp => self.limits.udp_idle,
            Class::Other => self.limits.other_idle,
        }
    }

    /// Whether a packet goes to the flow that has its key. Silence counts here and not only in
    /// [`Table::sweep`], so that streams do not depend on when sweeping happens.
    fn verdict(&self, slot: u32, now: Timestamp, from_low: bool, tcp: Option<&TcpHeader>) -> Fate {
        let flow = self.flow(slot);
        let silence = now.since(flow.last);
        if silence > self.timeout(flow.class) + TOUCH {
            return Fate::Ends(flow.reason());
        }
        let (Some(tcp), Some(state)) = (tcp, &flow.tcp) else {
            return Fate::Goes;
        };
        if state.is_taken_over(tcp, from_low, silence > self.limits.tcp_reuse) {
            return Fate::Ends(match flow.reason() {
                EndReason::Idle => EndReason::Reused,
                closed => closed,
            });
        }
        Fate::Goes
    }

    fn existing(&mut self, slot: u32, now: Timestamp, from_low: bool, layers: &Layers) -> Assigned {
        let flow = self.flow_mut(slot);
        flow.last = now;
        let before = flow.class;
        if let (Some(tcp), Some(state)) = (&layers.tcp, &mut flow.tcp) {
            state.follow(tcp, from_low, layers.payload_wire_len);
            flow.class = state.class();
        }
        let assigned = Assigned {
            info: flow.info,
            direction: if from_low == flow.client_is_low {
                Direction::ToServer
            } else {
                Direction::ToClient
            },
            new: false,
            translated: None,
        };
        let (class, moved_at) = (flow.class, flow.moved_at);
        if layers.tcp.is_some_and(|tcp| tcp.flags.has(TcpFlags::SYN)) {
            self.translations.again(&assigned.info, now, layers);
        }
        if class != before || now.since(moved_at) > TOUCH {
            self.unlink(slot, before);
            self.link(slot, class, now);
        }
        assigned
    }

    fn open(
        &mut self,
        key: Key,
        from_low: bool,
        ordinal: u64,
        ts: Timestamp,
        now: Timestamp,
        layers: &Layers,
    ) -> Assigned {
        let (opening, from_client) = guess_opening(&layers.tuple, layers.tcp.as_ref());
        let FiveTuple {
            src,
            dst,
            transport,
        } = layers.tuple;
        let (client, server) = if from_client { (src, dst) } else { (dst, src) };
        let tcp = layers.tcp.as_ref().map(|tcp| {
            let mut state = TcpState::default();
            state.follow(tcp, from_low, layers.payload_wire_len);
            state
        });
        let class = match (&tcp, transport) {
            (Some(state), _) => state.class(),
            (None, Transport::Udp) => Class::Udp,
            (None, _) => Class::Other,
        };
        let flow = Flow {
            key,
            info: StreamInfo {
                name: StreamName {
                    stream: StreamId(ordinal),
                    transport,
                },
                client,
                server,
                opening,
                first: ts,
            },
            client_is_low: from_low == from_client,
            class,
            last: now,
            moved_at: now,
            before: NONE,
            after: NONE,
            tcp,
        };
        let assigned = Assigned {
            info: flow.info,
            direction: if from_client {
                Direction::ToServer
            } else {
                Direction::ToClient
            },
            new: true,
            translated: from_client
                .then(|| self.translations.open(flow.info.name.stream, now, layers))
                .flatten(),
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                *self.flow_mut(slot) = flow;
                slot
            }
            None => {
                let slot = u32::try_from(self.flows.len()).expect("max_flows is below 2^32");
                self.flows.push(flow);
                slot
            }
        };
        self.keys.insert(key, slot);
        self.link(slot, class, now);
        self.counts.opened += 1;
        self.counts.translated += u64::from(assigned.translated.is_some());
        assigned
    }

    fn evict(&mut self) {
        let oldest = Class::ALL
            .into_iter()
            .filter_map(|class| self.head(class).map(|flow| (flow.moved_at, class)))
            .min_by_key(|(moved_at, _)| *moved_at);
        if let Some((_, class)) = oldest {
            let slot = self.lists[class as usize].head;
            self.end(slot, EndReason::Evicted, self.last_ordinal);
        }
    }

    fn end(&mut self, slot: u32, reason: EndReason, ordinal: u64) {
        let flow = self.flow(slot);
        let (key, class, stream) = (flow.key, flow.class, flow.info.name.stream);
        self.unlink(slot, class);
        self.keys.remove(&key);
        self.free.push(slot);
        let count = match reason {
            EndReason::Fin => &mut self.counts.fin,
            EndReason::Rst => &mut self.counts.rst,
            EndReason::Idle => &mut self.counts.idle,
            EndReason::Reused => &mut self.counts.reused,
            EndReason::Evicted => &mut self.counts.evicted,
            EndReason::SourceEnd => &mut self.counts.source_end,
        };
        *count += 1;
        self.ended.push(Ended {
            stream,
            reason,
            ordinal,
        });
    }

    fn link(&mut self, slot: u32, class: Class, now: Timestamp) {
        let tail = self.lists[class as usize].tail;
        let flow = self.flow_mut(slot);
        flow.moved_at = now;
        flow.before = tail;
        flow.after = NONE;
        if tail == NONE {
            self.lists[class as usize].head = slot;
        } else {
            self.flow_mut(tail).after = slot;
        }
        self.lists[class as usize].tail = slot;
    }

    fn unlink(&mut self, slot: u32, class: Class) {
        let Flow { before, after, .. } = *self.flow(slot);
        if before == NONE {
            self.lists[class as usize].head = after;
        } else {
            self.flow_mut(before).after = after;
        }
        if after == NONE {
            self.lists[class as usize].tail = before;
        } else {
            self.flow_mut(after).before = before;
        }
    }
}

enum Fate {
    Goes,
    Ends(EndReason),
}

/// Tells client from server by the first packet; true when its sender is the client.
fn guess_opening(tuple: &FiveTuple, tcp: Option<&TcpHeader>) -> (Opening, bool) {
    const WELL_KNOWN: u16 = 1024;
    let (src, dst) = (tuple.src.port, tuple.dst.port);
    if let Some(tcp) = tcp {
        if tcp.flags.has(TcpFlags::SYN | TcpFlags::ACK) {
            return (Opening::SynAck, false);
        }
        if tcp.flags.has(TcpFlags::SYN) {
            return (Opening::Syn, true);
        }
        return match dst.cmp(&src) {
            std::cmp::Ordering::Less => (Opening::Port, true),
            std::cmp::Ordering::Equal => (Opening::FirstPacket, true),
            std::cmp::Ordering::Greater => (Opening::Port, false),
        };
    }
    // Without a connection the first packet mostly is the question, unless it comes from a
    // well-known port.
    match (src < WELL_KNOWN, dst < WELL_KNOWN) {
        _ if tuple.transport != Transport::Udp => (Opening::FirstPacket, true),
        (true, false) => (Opening::Port, false),
        (false, true) => (Opening::Port, true),
        _ => (Opening::FirstPacket, true),
    }
}

/// A flow key: the five-tuple without direction, the smaller endpoint first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    low: u128,
    high: u128,
    ports: u32,
    /// Protocol number, with bit 8 for IPv6.
    protocol: u16,
}

impl Key {
    /// The key, and whether the sender is the smaller endpoint.
    fn of(tuple: &FiveTuple) -> (Key, bool) {
        let number = |endpoint: &Endpoint| match endpoint.ip {
            IpAddr::V4(ip) => u128::from(u32::from(ip)),
            IpAddr::V6(ip) => u128::from(ip),
        };
        let src = (number(&tuple.src), tuple.src.port);
        let dst = (number(&tuple.dst), tuple.dst.port);
        let from_low = src <= dst;
        let (low, high) = if from_low { (src, dst) } else { (dst, src) };
        let number = match tuple.transport {
            Transport::Tcp => 6,
            Transport::Udp => 17,
            Transport::Other(number) => u16::from(number),
        };
        let key = Key {
            low: low.0,
            high: high.0,
            ports: u32::from(low.1) << 16 | u32::from(high.1),
            protocol: number | u16::from(tuple.src.ip.is_ipv6()) << 8,
        };
        (key, from_low)
    }
}

#[derive(Debug, Clone, Copy)]
struct Flow {
    key: Key,
    info: StreamInfo,
    client_is_low: bool,
    class: Class,
    last: Timestamp,
    moved_at: Timestamp,
    before: u32,
    after: u32,
    tcp: Option<TcpState>,
}

impl Flow {
    /// Why the flow is over when nothing more comes.
    fn reason(&self) -> EndReason {
        match &self.tcp {
            Some(state) if state.reset => EndReason::Rst,
            Some(state) if state.sides.iter().all(|side| side.fin) => EndReason::Fin,
            _ => EndReason::Idle,
        }
    }
}

/// What decides how long a flow may be silent; one list each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Closed,
    Embryonic,
    HalfClosed,
    Established,
    Udp,
    Other,
}

const CLASSES: usize = 6;

impl Class {
    const ALL: [Class; CLASSES] = [
        Class::Closed,
        Class::Embryonic,
        Class::HalfClosed,
        Class::Established,
        Class::Udp,
        Class::Other,
    ];
}

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

impl List {
    const EMPTY: List = List {
        head: NONE,
        tail: NONE,
    };
}

/// What is known of one side of a TCP flow; `sides[0]` is the smaller endpoint's.
#[derive(Debug, Default, Clone, Copy)]
struct Side {
    heard: bool,
    isn: Option<u32>,
    /// Sequence number behind the last segment, once one was seen.
    next: Option<u32>,
    fin: bool,
}

impl Side {
    fn only_syn(&self) -> bool {
        self.isn
            .is_some_and(|isn| self.next == Some(isn.wrapping_add(1)))
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct TcpState {
    sides: [Side; 2],
    reset: bool,
    /// Initial sequence number of a SYN in the middle of the stream; a SYN-ACK that answers it
    /// proves a new connection.
    strange_syn: Option<u32>,
}

impl TcpState {
    fn class(&self) -> Class {
        let [a, b] = &self.sides;
        if self.reset || (a.fin && b.fin) {
            Class::Closed
        } else if a.fin || b.fin {
            Class::HalfClosed
        } else if [(a, b), (b, a)]
            .iter()
            .any(|(side, other)| !other.heard && side.only_syn())
        {
            Class::Embryonic
        } else {
            Class::Established
        }
    }

    fn follow(&mut self, tcp: &TcpHeader, from_low: bool, payload: u32) {
        let strange = tcp.flags.has(TcpFlags::SYN) && !self.knows_syn(tcp, from_low);
        let side = &mut self.sides[usize::from(!from_low)];
        side.heard = true;
        if tcp.flags.has(TcpFlags::RST) {
            self.reset = true;
            return;
        }
        if strange && side.next.is_some() {
            if !tcp.flags.has(TcpFlags::ACK) {
                self.strange_syn = Some(tcp.seq);
            }
            return;
        }
        if tcp.flags.has(TcpFlags::SYN) {
            side.isn = Some(tcp.seq);
        }
        side.fin |= tcp.flags.has(TcpFlags::FIN);
        let counted = u32::from(tcp.flags.has(TcpFlags::SYN))
            .wrapping_add(u32::from(tcp.flags.has(TcpFlags::FIN)));
        let end = tcp.seq.wrapping_add(payload).wrapping_add(counted);
        side.next = match side.next {
            Some(next) if (end.wrapping_sub(next) as i32) < 0 => Some(next),
            _ => Some(end),
        };
    }

    /// Whether a SYN belongs to this stream: sent again, the first of its side, or late.
    fn knows_syn(&self, tcp: &TcpHeader, from_low: bool) -> bool {
        let side = &self.sides[usize::from(!from_low)];
        match (side.isn, side.next) {
            (Some(isn), _) => isn == tcp.seq,
            (None, Some(next)) => next.wrapping_sub(tcp.seq.wrapping_add(1)) <= LATE_SYN_WINDOW,
            (None, None) => true,
        }
    }

    /// Whether a packet opens another connection over the same five-tuple.
    fn is_taken_over(&self, tcp: &TcpHeader, from_low: bool, silent: bool) -> bool {
        if !tcp.flags.has(TcpFlags::SYN) || tcp.flags.has(TcpFlags::RST) {
            return false;
        }
        let [a, b] = &self.sides;
        let closing = self.reset || a.fin || b.fin;
        if tcp.flags.has(TcpFlags::ACK) {
            let answers_strange = self
                .strange_syn
                .is_some_and(|isn| tcp.ack == isn.wrapping_add(1));
            return !self.knows_syn(tcp, from_low) && (closing || answers_strange);
        }
        if self.knows_syn(tcp, from_low) {
            // The first SYN of a side is a simultaneous open, unless the stream is over.
            return closing && self.sides[usize::from(!from_low)].next.is_none();
        }
        // A client that nobody answered tries anew.
        let unanswered = !self.sides[usize::from(from_low)].heard;
        closing || silent || unanswered
    }
}

/// Time as the packets tell it, never going back.
///
/// A clock that was set back goes on from where it stood, once enough packets agree on that.
#[derive(Debug, Default)]
struct TrafficClock {
    latest: Option<Timestamp>,
    added: Duration,
    behind: u32,
}

impl TrafficClock {
    fn advance(&mut self, ts: Timestamp) -> Timestamp {
        let ts = ts + self.added;
        let Some(latest) = self.latest else {
            self.latest = Some(ts);
            return ts;
        };
        if ts >= latest {
            self.behind = 0;
            self.latest = Some(ts);
            return ts;
        }
        if latest.since(ts) > STEP_BACK {
            self.behind += 1;
            if self.behind >= STEP_BACK_PACKETS {
                self.behind = 0;
                self.added += latest.since(ts);
            }
        }
        latest
    }
}

#[cfg(test)]
mod tests;
