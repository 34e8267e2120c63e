//! Streams that are another stream behind address translation.
//!
//! In: the first packet of each stream, as a node sees it: once as the pod sent it to a service, and
//! once with the address that the service stands for. Out: the stream that it was first. Never: a
//! stream taken for another because of addresses or ports alone.
//! What translation leaves as it is tells: the initial sequence number, the window, the IPv4
//! identification, the length. A host picks sequence numbers at random (RFC 6528).
//! Where the SYN behind the translation was not captured, or the way back is translated before it is
//! seen, packets under other addresses are part of the stream itself: its sequence numbers show it.

use std::collections::HashMap;
use std::time::Duration;

use super::StreamInfo;
use crate::packet::{Endpoint, Layers, StreamId, TcpFlags, TcpHeader, Transport};
use crate::time::Timestamp;

/// Translation within a host takes microseconds, more when its queues are full.
const WINDOW: Duration = Duration::from_millis(500);

/// First packets remembered in each of two generations; beyond sixty thousand new streams a second
/// the window shrinks.
const MAX_REMEMBERED: usize = 32_768;

/// Sequence numbers of one connection lie this near to each other within the window.
const NEAR: u32 = 1 << 16;

/// What stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Mark {
    /// The initial sequence number of a client.
    Isn(u32),
    /// The client of a TCP stream; sequence numbers decide.
    Client(Endpoint),
    Udp {
        client: Endpoint,
        id: u16,
        len: u32,
    },
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    stream: StreamId,
    /// Where the flow table has it.
    slot: u32,
    client: Endpoint,
    server: Endpoint,
    id: u16,
    window: u16,
    /// Next sequence number of the client and of the server, as far as known.
    next: [Option<u32>; 2],
    ts: Timestamp,
}

/// The first packets of late.
#[derive(Debug, Default)]
pub(super) struct Translations {
    young: HashMap<Mark, Seen, ahash::RandomState>,
    old: HashMap<Mark, Seen, ahash::RandomState>,
    /// When the generations last changed places.
    turned: Timestamp,
}

impl Translations {
    /// The stream that a new stream's first packet, sent by its client, shows behind translation.
    pub(super) fn before(&mut self, ts: Timestamp, layers: &Layers) -> Option<StreamId> {
        let mark = mark(layers)?;
        let seen = self.find(&mark, ts)?;
        let (client, server) = (layers.tuple.src, layers.tuple.dst);
        let other = (seen.client, seen.server) != (client, server);
        // The source is translated too where the way back must lead through the node.
        let known = seen.client == client || seen.id != 0;
        let window = layers.tcp.map_or(0, |tcp| tcp.window);
        let same = seen.id == layers.identification && seen.window == window;
        (other && known && same).then_some(seen.stream)
    }

    /// The flow, by its slot, that a packet of no known flow is part of: the SYN-ACK of a SYN that
    /// was seen under other addresses, or data whose SYN was not captured.
    pub(super) fn part_of(
        &self,
        ts: Timestamp,
        layers: &Layers,
        client: Endpoint,
    ) -> Option<(u32, StreamId)> {
        let tcp = layers.tcp?;
        let from_client = client == layers.tuple.src;
        let server = match from_client {
            true => layers.tuple.dst,
            false => layers.tuple.src,
        };
        let seen = match (tcp.flags.has(TcpFlags::SYN), tcp.flags.has(TcpFlags::ACK)) {
            // A SYN is looked at by its own mark, and a lone RST tells nothing.
            (true, false) | (false, false) => return None,
            (true, true) => {
                let seen = self.find(&Mark::Isn(tcp.ack.wrapping_sub(1)), ts)?;
                (seen.server == server || seen.client == client).then_some(seen)?
            }
            (false, true) => {
                let seen = self.find(&Mark::Client(client), ts)?;
                let near = |known: Option<u32>, next: u32| {
                    known.is_none_or(|known| {
                        let ahead = next.wrapping_sub(known) as i32;
                        ahead.unsigned_abs() < NEAR
                    })
                };
                let [mine, other] = next_of(&tcp, from_client);
                (near(seen.next[0], mine) && near(seen.next[1], other)).then_some(seen)?
            }
        };
        ((seen.client, seen.server) != (client, server)).then_some((seen.slot, seen.stream))
    }

    /// Remembers a stream that was opened, in `slot` of the flow table, with this packet.
    pub(super) fn remember(
        &mut self,
        info: &StreamInfo,
        slot: u32,
        ts: Timestamp,
        layers: &Layers,
    ) {
        if ts.since(self.turned) > WINDOW || self.young.len() >= MAX_REMEMBERED {
            self.old = std::mem::take(&mut self.young);
            self.turned = ts;
        }
        let from_client = info.client == layers.tuple.src;
        let next = match layers.tcp {
            None => [None, None],
            Some(tcp) => {
                let [client, server] = next_of(&tcp, from_client);
                let is_syn = tcp.flags.has(TcpFlags::SYN) && !tcp.flags.has(TcpFlags::ACK);
                [Some(client), (!is_syn).then_some(server)]
            }
        };
        let seen = Seen {
            stream: info.name.stream,
            slot,
            client: info.client,
            server: info.server,
            id: layers.identification,
            window: layers.tcp.map_or(0, |tcp| tcp.window),
            next,
            ts,
        };
        let by_client = layers.tcp.map(|_| Mark::Client(info.client));
        let own = mark(layers).filter(|_| from_client);
        for mark in [own, by_client].into_iter().flatten() {
            // What stands behind the translation must not be taken for what it stands for.
            let known = self.find(&mark, ts);
            if known.is_none_or(|known| known.stream == seen.stream) {
                self.young.insert(mark, seen);
            }
        }
    }

    fn find(&self, mark: &Mark, ts: Timestamp) -> Option<Seen> {
        let seen = self.young.get(mark).or_else(|| self.old.get(mark));
        seen.filter(|seen| ts.since(seen.ts) <= WINDOW).copied()
    }
}

/// Where client and server go on, by a packet of one of them.
fn next_of(tcp: &TcpHeader, from_client: bool) -> [u32; 2] {
    let syn = u32::from(tcp.flags.has(TcpFlags::SYN));
    let sender = tcp.seq.wrapping_add(syn);
    match from_client {
        true => [sender, tcp.ack],
        false => [tcp.ack, sender],
    }
}

fn mark(layers: &Layers) -> Option<Mark> {
    match (layers.tuple.transport, layers.tcp) {
        (Transport::Tcp, Some(tcp)) => {
            let opens = tcp.flags.has(TcpFlags::SYN) && !tcp.flags.has(TcpFlags::ACK);
            opens.then_some(Mark::Isn(tcp.seq))
        }
        // Zero: a host that numbers nothing may ask two servers alike.
        (Transport::Udp, _) if layers.identification != 0 => Some(Mark::Udp {
            client: layers.tuple.src,
            id: layers.identification,
            len: layers.payload_wire_len,
        }),
        _ => None,
    }
}
