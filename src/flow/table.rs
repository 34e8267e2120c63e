//! The flow table: which stream each packet belongs to, and when a stream is over.
//!
//! In: ordinal, time and headers of each packet, in capture order. Out: stream and direction of the
//! packet, and the streams that ended. Never: payload bytes, clocks; one thread owns the table.
//! A stream's number is the ordinal of its first packet, so it does not depend on how work is
//! shared out. Standards: RFC 9293 sections 3.4 and 3.5 (initial sequence numbers, connection
//! establishment), RFC 6056 (reuse of ports).

mod clock;
mod flow;
mod key;
mod opening;
mod tcp;

use std::collections::HashMap;
use std::time::Duration;

use self::clock::TrafficClock;
use self::flow::{CLASSES, Class, Flow, List, NONE};
use self::key::Key;
use self::opening::{Opened, guess_opening};
use self::tcp::TcpState;
use super::StreamInfo;
use super::translated::Translations;
use crate::packet::{
    Direction, EndReason, Ended, FiveTuple, Layers, StreamId, TcpFlags, TcpHeader, Transport,
};
use crate::time::Timestamp;

/// A flow moves within its list at most this often; timeouts are met up to this much late.
const TOUCH: Duration = Duration::from_secs(1);

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
    /// Streams that packets under other addresses are part of.
    pub joined: u64,
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
        self.flows.len() - self.free.len()
    }

    /// Whether no flow is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
        self.place(ordinal, ts, layers, Some(resumed))
    }

    /// Whether a packet of this five-tuple would go to a stream that is open.
    pub fn has(&self, tuple: &FiveTuple) -> bool {
        self.keys.contains_key(&Key::of(tuple).0)
    }

    /// Finds or opens the stream of a packet; streams that ended by it are told by the next
    /// [`Table::sweep`].
    pub fn assign(&mut self, ordinal: u64, ts: Timestamp, layers: &Layers) -> Assigned {
        self.place(ordinal, ts, layers, None)
    }

    /// A stream whose opening is known (`resumed`) is no other one behind address translation, nor a
    /// part of one: what its packets look like without their opening says nothing.
    fn place(
        &mut self,
        ordinal: u64,
        ts: Timestamp,
        layers: &Layers,
        resumed: Option<&StreamInfo>,
    ) -> Assigned {
        let now = self.clock.advance(ts);
        self.last_ordinal = ordinal;
        let (key, from_low) = Key::of(&layers.tuple);
        let (key, found) = match (self.keys.get(&key), layers.vni) {
            (found, None) => (key, found.copied()),
            (found, Some(vni)) => self.in_network(key, found.copied(), vni, from_low, layers),
        };
        if let Some(slot) = found {
            let from_low = self.as_opened(slot, key, from_low);
            match self.verdict(slot, now, from_low, layers.tcp.as_ref()) {
                Fate::Goes => {
                    return self.existing(slot, now, from_low, layers);
                }
                Fate::Ends(reason) => self.end(slot, reason, ordinal.saturating_sub(1)),
            }
        }
        if resumed.is_none()
            && let Some(slot) = self.join(key, from_low, now, layers)
        {
            return self.existing(slot, now, self.as_opened(slot, key, from_low), layers);
        }
        if self.len() >= self.limits.max_flows.max(1) {
            self.evict();
        }
        let opened = Opened::of(ordinal, ts, layers, resumed);
        self.open(key, from_low, opened, now, layers)
    }

    /// The flow that a packet of no known flow is part of, under other addresses; it then has both
    /// keys. A flow has one more key at most.
    fn join(&mut self, key: Key, from_low: bool, now: Timestamp, layers: &Layers) -> Option<u32> {
        layers.tcp?;
        let (_, from_client) = guess_opening(&layers.tuple, layers.tcp.as_ref());
        let client = match from_client {
            true => layers.tuple.src,
            false => layers.tuple.dst,
        };
        let (slot, stream) = self.translations.part_of(now, layers, client)?;
        let flow = self.flows.get_mut(slot as usize)?;
        let alive = flow.info.name.stream == stream && self.keys.get(&flow.key) == Some(&slot);
        if !alive || flow.joined.is_some() {
            return None;
        }
        flow.joined = Some(Box::new((key, from_low == from_client)));
        self.keys.insert(key, slot);
        self.counts.joined += 1;
        Some(slot)
    }

    /// Whether the sender of a packet with `key` is the smaller endpoint of the key that the flow was
    /// opened with.
    fn as_opened(&self, slot: u32, key: Key, from_low: bool) -> bool {
        let flow = self.flow(slot);
        match flow.joined.as_deref() {
            Some((joined, client_is_low)) if *joined == key => {
                (from_low == *client_is_low) == flow.client_is_low
            }
            _ => from_low,
        }
    }

    /// The key that a packet of a virtual network goes by, and its flow.
    ///
    /// The first network to use a five-tuple has the plain key: a node sees the same packets on a
    /// pod's interface without their tunnel, and both sights must meet. The way back may have a
    /// network of its own, where the sender routes between the two.
    fn in_network(
        &self,
        plain: Key,
        found: Option<u32>,
        vni: u32,
        from_low: bool,
        layers: &Layers,
    ) -> (Key, Option<u32>) {
        let Some(flow) = found.map(|slot| self.flow(slot)) else {
            let own = plain.within(vni);
            return match self.keys.get(&own) {
                Some(&slot) => (own, Some(slot)),
                None => (plain, None),
            };
        };
        let [mine, other] = match from_low {
            true => flow.networks,
            false => [flow.networks[1], flow.networks[0]],
        };
        if mine == Some(vni) || mine.is_none() && other == Some(vni) {
            return (plain, found);
        }
        let own = plain.within(vni);
        if let Some(&slot) = self.keys.get(&own) {
            return (own, Some(slot));
        }
        let answers = || match (&flow.tcp, layers.tcp) {
            (Some(state), Some(tcp)) => state.is_answered(&tcp, from_low),
            _ => true,
        };
        if mine.is_none() && (other.is_none() || answers()) {
            return (plain, found);
        }
        (own, None)
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
        if layers.vni.is_some() {
            let network = &mut flow.networks[usize::from(!from_low)];
            *network = network.or(layers.vni);
        }
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
            let info = assigned.info;
            self.translations.remember(&info, slot, now, layers);
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
        opened: Opened,
        now: Timestamp,
        layers: &Layers,
    ) -> Assigned {
        let Opened {
            info,
            from_client,
            is_resumed,
        } = opened;
        let tcp = layers.tcp.as_ref().map(|tcp| {
            let mut state = TcpState::default();
            state.follow(tcp, from_low, layers.payload_wire_len);
            state
        });
        let class = match (&tcp, layers.tuple.transport) {
            (Some(state), _) => state.class(),
            (None, Transport::Udp) => Class::Udp,
            (None, _) => Class::Other,
        };
        let flow = Flow {
            key,
            info,
            client_is_low: from_low == from_client,
            networks: match from_low {
                true => [layers.vni, None],
                false => [None, layers.vni],
            },
            class,
            last: now,
            moved_at: now,
            before: NONE,
            after: NONE,
            joined: None,
            tcp,
        };
        let translated = (from_client && !is_resumed)
            .then(|| self.translations.before(now, layers))
            .flatten();
        let assigned = Assigned {
            info: flow.info,
            direction: if from_client {
                Direction::ToServer
            } else {
                Direction::ToClient
            },
            new: true,
            translated,
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
        if translated.is_none() {
            self.translations
                .remember(&assigned.info, slot, now, layers);
        }
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
        let flow = self.flow_mut(slot);
        let (key, class, stream) = (flow.key, flow.class, flow.info.name.stream);
        let joined = flow.joined.take();
        self.unlink(slot, class);
        self.keys.remove(&key);
        if let Some((joined, _)) = joined.as_deref() {
            self.keys.remove(joined);
        }
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

#[cfg(test)]
mod tests;
