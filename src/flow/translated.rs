//! Streams that are another stream behind address translation.
//!
//! In: the first packet of each stream, as a node sees it: once as the pod sent it to a service, and
//! once with the address that the service stands for. Out: the stream that it was first. Never: a
//! stream taken for another because of addresses or ports alone.
//! What translation leaves as it is tells: the initial sequence number, the window, the IPv4
//! identification, the length. A host picks sequence numbers at random (RFC 6528).

use std::collections::HashMap;
use std::time::Duration;

use super::StreamInfo;
use crate::packet::{Endpoint, Layers, StreamId, TcpFlags, Transport};
use crate::time::Timestamp;

/// Translation within a host takes microseconds, more when its queues are full.
const WINDOW: Duration = Duration::from_millis(500);

/// First packets remembered in each of two generations; beyond sixty thousand new streams a second
/// the window shrinks.
const MAX_REMEMBERED: usize = 32_768;

/// What stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Mark {
    Tcp { isn: u32, window: u16 },
    Udp { client: Endpoint, id: u16, len: u32 },
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    stream: StreamId,
    client: Endpoint,
    server: Endpoint,
    id: u16,
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
    /// Takes a new stream's first packet, sent by its client; the stream that it is behind
    /// translation, when that was seen.
    pub(super) fn open(
        &mut self,
        stream: StreamId,
        ts: Timestamp,
        layers: &Layers,
    ) -> Option<StreamId> {
        let mark = mark(layers)?;
        if ts.since(self.turned) > WINDOW || self.young.len() >= MAX_REMEMBERED {
            self.old = std::mem::take(&mut self.young);
            self.turned = ts;
        }
        let (client, server) = (layers.tuple.src, layers.tuple.dst);
        let id = layers.identification;
        let before = self.young.get(&mark).or_else(|| self.old.get(&mark));
        if let Some(seen) = before
            && ts.since(seen.ts) <= WINDOW
        {
            let other = (seen.client, seen.server) != (client, server);
            // The source is translated too where the way back must lead through the node.
            let known = seen.client == client || id != 0;
            return (other && known && seen.id == id).then_some(seen.stream);
        }
        let seen = Seen {
            stream,
            client,
            server,
            id,
            ts,
        };
        self.young.insert(mark, seen);
        None
    }

    /// Takes a SYN that was sent again: the first one may not have passed the translation.
    pub(super) fn again(&mut self, info: &StreamInfo, ts: Timestamp, layers: &Layers) {
        if (info.client, info.server) == (layers.tuple.src, layers.tuple.dst)
            && let Some(mark) = mark(layers)
        {
            let seen = Seen {
                stream: info.name.stream,
                client: info.client,
                server: info.server,
                id: layers.identification,
                ts,
            };
            // What stands behind the translation must not be taken for what it stands for.
            let known = self.young.get(&mark).or_else(|| self.old.get(&mark));
            if known.is_none_or(|known| known.stream == seen.stream || ts.since(known.ts) > WINDOW)
            {
                self.young.insert(mark, seen);
            }
        }
    }
}

fn mark(layers: &Layers) -> Option<Mark> {
    match (layers.tuple.transport, layers.tcp) {
        (Transport::Tcp, Some(tcp)) => {
            let opens = tcp.flags.has(TcpFlags::SYN) && !tcp.flags.has(TcpFlags::ACK);
            opens.then_some(Mark::Tcp {
                isn: tcp.seq,
                window: tcp.window,
            })
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
