//! What a stream came to: packets and bytes each way, its flags, its first bytes, its end.
//!
//! In: the packets of one stream. Out: at its end one item, or none. Never: more than some hundred
//! bytes, however long the stream.

use bytes::{BufMut, Bytes};

use super::{TCP, UDP};
use crate::bytes::Reader;
use crate::dissect::{Draft, Output, Protocols};
use crate::flow::{Opening, StreamInfo};
use crate::item::{ItemError, Value};
use crate::packet::{Decoded, Direction, EndReason, Packet, TcpFlags, Transport};
use crate::time::Timestamp;

/// Payload bytes that are kept of each side: a banner or a request line, and little enough for a
/// million streams.
pub const MAX_FIRST_BYTES: usize = 128;

/// One side of a stream.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Side {
    packets: u32,
    bytes: u64,
    flags: TcpFlags,
    first: Vec<u8>,
}

/// The tally of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    tcp: bool,
    /// Whether streams with bytes are wanted, and those that came to nothing.
    flows: bool,
    conns: bool,
    client: Side,
    server: Side,
    /// Checksum of the first datagram.
    checksum: u16,
    last: Timestamp,
    ordinal: u64,
}

impl Tally {
    /// The tally of a stream of which nothing was seen; `None` when nobody wants to know.
    pub(in crate::dissect) fn wanted(transport: Transport, protocols: &Protocols) -> Option<Tally> {
        let (tcp, flow, conn) = match transport {
            Transport::Tcp => (true, "tcp-flow", "tcp-conn"),
            Transport::Udp => (false, "udp-flow", "udp-conn"),
            Transport::Other(_) => return None,
        };
        let (flows, conns) = (protocols.has(flow), protocols.has(conn));
        (flows || conns).then(|| Tally {
            tcp,
            flows,
            conns,
            client: Side::default(),
            server: Side::default(),
            checksum: 0,
            last: Timestamp::default(),
            ordinal: 0,
        })
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::ToServer => &mut self.client,
            Direction::ToClient => &mut self.server,
        }
    }

    /// Counts a packet of a stream that nobody reads; `payload` is its payload as captured.
    pub fn packet(&mut self, packet: &Packet, payload: &[u8]) {
        self.count(packet);
        if let Some((_, direction)) = packet.stream
            && self.side(direction).first.is_empty()
        {
            self.bytes(direction, payload);
        }
    }

    /// Counts a packet whose bytes come in order ([`Tally::bytes`]).
    pub(in crate::dissect) fn count(&mut self, packet: &Packet) {
        let (Decoded::Flow(layers), Some((_, direction))) = (&packet.decoded, packet.stream) else {
            return;
        };
        if self.client.packets == 0 && self.server.packets == 0 {
            self.checksum = layers.udp_checksum;
        }
        self.last = self.last.max(packet.record.ts);
        self.ordinal = packet.ordinal;
        let side = self.side(direction);
        side.packets = side.packets.saturating_add(1);
        side.bytes += u64::from(layers.payload_wire_len);
        side.flags.0 |= layers.tcp.map_or(0, |tcp| tcp.flags.0);
    }

    /// The next bytes of a side; of datagrams only the first counts.
    pub(in crate::dissect) fn bytes(&mut self, direction: Direction, bytes: &[u8]) {
        let tcp = self.tcp;
        let first = &mut self.side(direction).first;
        if tcp || first.is_empty() {
            let room = MAX_FIRST_BYTES.saturating_sub(first.len());
            first.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
    }

    /// The stream ended and no protocol gave an item of it.
    pub fn end(self, info: &StreamInfo, reason: EndReason, out: &mut dyn Output) {
        let silent = self.client.is_silent() && self.server.is_silent();
        let error = match (self.tcp, silent) {
            (true, true) if !self.conns => return,
            (true, true) => match self.failure(info) {
                Some(error) => Some(error),
                None => return,
            },
            (true, false) if !self.flows => return,
            (true, false) => self.reset(reason),
            (false, _) => {
                let answered = !self.client.is_silent() && !self.server.is_silent();
                let wanted = if answered { self.flows } else { self.conns };
                if !wanted {
                    return;
                }
                None
            }
        };
        out.item(Draft {
            kind: if self.tcp { &TCP } else { &UDP },
            from_client: true,
            start: info.first,
            elapsed_nanos: 0,
            request_size: self.client.bytes,
            response_size: self.server.bytes,
            request: Value::Null,
            response: Value::Null,
            ordinal: self.ordinal.max(info.name.stream.0),
            data: self.data(info, reason),
            error,
        });
    }

    /// Why a connection came to nothing; `None` when it was opened, or its opening not seen.
    fn failure(&self, info: &StreamInfo) -> Option<ItemError> {
        if info.opening != Opening::Syn {
            return None;
        }
        let answer = self.server.flags;
        let msg = if self.server.packets == 0 {
            "no answer to the SYN was captured"
        } else if answer.has(TcpFlags::RST) && !answer.has(TcpFlags::SYN) {
            "the server refused the connection"
        } else {
            return None;
        };
        Some(ItemError {
            kind: "connection",
            msg: msg.into(),
        })
    }

    fn reset(&self, reason: EndReason) -> Option<ItemError> {
        let closed = [&self.client, &self.server]
            .iter()
            .all(|side| side.flags.has(TcpFlags::FIN));
        if reason != EndReason::Rst || closed {
            return None;
        }
        let msg = if self.server.flags.has(TcpFlags::RST) {
            "the server reset the connection"
        } else {
            "the client reset the connection"
        };
        Some(ItemError {
            kind: "connection",
            msg: msg.into(),
        })
    }

    fn data(self, info: &StreamInfo, reason: EndReason) -> Value {
        let number = |value: u64| Value::Int(i64::try_from(value).unwrap_or(i64::MAX));
        let flags = TcpFlags(self.client.flags.0 | self.server.flags.0);
        let duration = self.last.max(info.first).since(info.first).as_millis();
        let server = Bytes::from(self.server.first);
        let payload = match self.client.first.is_empty() {
            true => server.clone(),
            false => self.client.first.into(),
        };
        let mut members = vec![
            ("payload".into(), Value::Text(payload)),
            ("serverPayload".into(), Value::Text(server)),
        ];
        if self.tcp {
            members.push(("method".into(), Value::text(flags_text(flags))));
        } else {
            members.push(("checksum".into(), Value::Int(self.checksum.into())));
        }
        members.extend([
            (
                "length".into(),
                number(self.client.bytes.saturating_add(self.server.bytes)),
            ),
            ("clientPackets".into(), number(self.client.packets.into())),
            ("clientBytes".into(), number(self.client.bytes)),
            ("serverPackets".into(), number(self.server.packets.into())),
            ("serverBytes".into(), number(self.server.bytes)),
            (
                "duration".into(),
                number(u64::try_from(duration).unwrap_or(u64::MAX)),
            ),
            ("end".into(), Value::Static(end_text(reason))),
        ]);
        Value::Object(members)
    }
}

impl Side {
    fn is_silent(&self) -> bool {
        self.bytes == 0 && self.first.is_empty()
    }
}

/// Names of the control bits, from the lowest on.
fn flags_text(flags: TcpFlags) -> String {
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set = (0..).zip(names).filter(|(bit, _)| flags.has(1 << bit));
    set.map(|(_, name)| name).collect::<Vec<_>>().join(",")
}

fn end_text(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Fin => "fin",
        EndReason::Rst => "rst",
        EndReason::Idle => "idle",
        EndReason::Reused => "reused",
        EndReason::Evicted => "evicted",
        EndReason::SourceEnd => "source-end",
    }
}

/// Saving and restoring.
///
/// ```text
/// state = side, side, checksum u16, last i64, ordinal u64                         big-endian
/// side  = packets u32, bytes u64, flags u8, length u8, first bytes
/// ```
impl Tally {
    pub(in crate::dissect) fn save(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for side in [&self.client, &self.server] {
            out.put_u32(side.packets);
            out.put_u64(side.bytes);
            out.put_u8(side.flags.0);
            out.put_u8(u8::try_from(side.first.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(&side.first);
        }
        out.put_u16(self.checksum);
        out.put_i64(self.last.nanos());
        out.put_u64(self.ordinal);
        out
    }

    pub(in crate::dissect) fn restore(
        protocols: &Protocols,
        info: &StreamInfo,
        state: &[u8],
    ) -> Option<Tally> {
        let mut restored = Tally::wanted(info.name.transport, protocols)?;
        let mut reader = Reader::new(state);
        for side in [&mut restored.client, &mut restored.server] {
            *side = Side {
                packets: reader.u32().ok()?,
                // Half of what the number holds: sums of both sides must fit.
                bytes: reader.u64().ok().filter(|bytes| *bytes < 1 << 62)?,
                flags: TcpFlags(reader.u8().ok()?),
                first: {
                    let length = usize::from(reader.u8().ok()?);
                    reader.take(length.min(MAX_FIRST_BYTES)).ok()?.to_vec()
                },
            };
        }
        restored.checksum = reader.u16().ok()?;
        restored.last = Timestamp::from_nanos(reader.u64().ok()?.cast_signed());
        restored.ordinal = reader.u64().ok()?;
        Some(restored)
    }
}
