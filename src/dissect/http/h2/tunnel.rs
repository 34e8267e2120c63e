//! WebSockets on streams of a connection.
//!
//! In: a CONNECT with `:protocol` that was granted, then the data of its stream. Out: the items of a
//! conversation within the stream; the exchange that opened it is an item of its own. Never: more of
//! them than [`MAX_TUNNELS`] at once. Standard: RFC 8441.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::section::Section;
use crate::bytes::Reader;
use crate::dissect::http::exchange::{flag, load_bytes, save_bytes};
use crate::dissect::http::websocket;
use crate::dissect::{Conversation, Handover, MAX_PENDING, Output, Protocols};
use crate::flow::{Chunk, Event, Gap, StreamInfo};
use crate::packet::{Direction, EndReason};

/// Tunnels open at once; what comes on others is passed over.
pub(super) const MAX_TUNNELS: usize = 256;

/// Longest state of a conversation inside that is read back.
const MAX_STATE: usize = 4 * MAX_PENDING;

/// The streams that carry conversations.
#[derive(Default)]
pub(super) struct Tunnels {
    open: BTreeMap<u32, Tunnel>,
    /// The stream of the connection, and what is looked for within; not known before equipment.
    around: Option<(StreamInfo, Protocols)>,
}

struct Tunnel {
    inside: Inside,
    /// Bytes to the server and to the client so far.
    offsets: [u64; 2],
    /// Whether the client and the server are done.
    ended: [bool; 2],
}

enum Inside {
    Live(Box<Conversation>),
    /// State that was saved, until it is known what is looked for.
    Saved(Bytes),
}

/// What was agreed on, when a request asks for a WebSocket.
pub(super) fn handover(request: &Section, response: &Section, asks: Direction) -> Option<Handover> {
    let is_websocket = request
        .value(b":protocol")
        .eq_ignore_ascii_case(b"websocket");
    is_websocket.then(|| {
        websocket::note(
            asks,
            [
                request.path(),
                response.value(b"sec-websocket-protocol"),
                response.value(b"sec-websocket-extensions"),
            ],
        )
    })
}

impl Tunnels {
    /// Learns what is around, and goes on with what was saved.
    pub(super) fn equip(&mut self, info: &StreamInfo, protocols: &Protocols) {
        let Some(protocols) = protocols.inside() else {
            return;
        };
        self.open.retain(|_, tunnel| {
            if let Inside::Saved(state) = &tunnel.inside {
                let Some(restored) = Conversation::restore_inside(info, &protocols, state) else {
                    return false;
                };
                tunnel.inside = Inside::Live(Box::new(restored));
            }
            true
        });
        self.around = Some((*info, protocols));
    }

    /// Opens one on a stream.
    pub(super) fn open(&mut self, stream: u32, handover: &Handover) {
        let Some((info, protocols)) = &self.around else {
            return;
        };
        if self.open.len() < MAX_TUNNELS {
            let conversation = Conversation::inside(info, protocols, Some(handover));
            let tunnel = Tunnel {
                inside: Inside::Live(Box::new(conversation)),
                offsets: [0; 2],
                ended: [false; 2],
            };
            self.open.insert(stream, tunnel);
        }
    }

    /// Whether a stream is one.
    pub(super) fn has(&self, stream: u32) -> bool {
        self.open.contains_key(&stream)
    }

    /// Hands on a part of a chunk.
    pub(super) fn data(
        &mut self,
        stream: u32,
        chunk: &Chunk,
        range: Range<usize>,
        out: &mut dyn Output,
    ) {
        let len = range.len() as u64;
        self.event(stream, chunk.direction, len, out, |offset| {
            Event::Chunk(Chunk {
                offset,
                bytes: chunk.bytes.slice(range),
                ..chunk.clone()
            })
        });
    }

    /// Tells of bytes that were not captured.
    pub(super) fn gap(&mut self, stream: u32, gap: &Gap, out: &mut dyn Output) {
        self.event(stream, gap.direction, gap.len, out, |offset| {
            Event::Gap(Gap { offset, ..*gap })
        });
    }

    /// A side is done.
    pub(super) fn fin(&mut self, stream: u32, direction: Direction, out: &mut dyn Output) {
        self.event(stream, direction, 0, out, |_| Event::Fin(direction));
        if let Some(tunnel) = self.open.get_mut(&stream) {
            let [client, server] = &mut tunnel.ended;
            match direction {
                Direction::ToServer => *client = true,
                Direction::ToClient => *server = true,
            }
            if *client && *server {
                self.close(stream, out);
            }
        }
    }

    fn event(
        &mut self,
        stream: u32,
        direction: Direction,
        len: u64,
        out: &mut dyn Output,
        event: impl FnOnce(u64) -> Event,
    ) {
        let Some(tunnel) = self.open.get_mut(&stream) else {
            return;
        };
        let [up, down] = &mut tunnel.offsets;
        let offset = match direction {
            Direction::ToServer => up,
            Direction::ToClient => down,
        };
        let at = *offset;
        *offset = offset.saturating_add(len);
        if let Inside::Live(conversation) = &mut tunnel.inside {
            conversation.event(event(at), out);
        }
    }

    /// Closes one, and hands out what is open in it.
    pub(super) fn close(&mut self, stream: u32, out: &mut dyn Output) {
        if let Some(Tunnel {
            inside: Inside::Live(mut conversation),
            ..
        }) = self.open.remove(&stream)
        {
            conversation.end(EndReason::SourceEnd, out);
        }
    }

    /// Closes all.
    pub(super) fn close_all(&mut self, out: &mut dyn Output) {
        while let Some((stream, _)) = self.open.first_key_value() {
            let stream = *stream;
            self.close(stream, out);
        }
    }

    /// Writes them for [`Tunnels::load`].
    ///
    /// ```text
    /// tunnels = count u32, count x (stream u32, offset u64, offset u64, client done u8, server done u8,
    ///           state: length u32, bytes)
    /// ```
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.open.len()).unwrap_or(0);
        out.extend_from_slice(&count.to_be_bytes());
        for (stream, tunnel) in &self.open {
            out.extend_from_slice(&stream.to_be_bytes());
            for offset in tunnel.offsets {
                out.extend_from_slice(&offset.to_be_bytes());
            }
            out.extend(tunnel.ended.map(u8::from));
            match &tunnel.inside {
                Inside::Live(conversation) => save_bytes(&conversation.save(), out),
                Inside::Saved(state) => save_bytes(state, out),
            }
        }
    }

    /// Reads them back; `None` when the bytes are not those of a save.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Tunnels> {
        let count = usize::try_from(from.u32().ok()?).ok()?;
        (count <= MAX_TUNNELS).then_some(())?;
        let mut tunnels = Tunnels::default();
        for _ in 0..count {
            let stream = from.u32().ok()?;
            let offsets = [from.u64().ok()?, from.u64().ok()?];
            let ended = [flag(from)?, flag(from)?];
            let state = Bytes::copy_from_slice(load_bytes(from, MAX_STATE)?);
            let inside = Inside::Saved(state);
            let tunnel = Tunnel {
                inside,
                offsets,
                ended,
            };
            tunnels.open.insert(stream, tunnel);
        }
        Some(tunnels)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::dissect::conversation::tests::dissect_savefile;
    use crate::dissect::{Draft, Protocols};
    use crate::item::{ItemNode, lookup, shown};

    fn told(draft: &Draft) -> String {
        let member = |name: &str| shown(ItemNode::of_value(&draft.request), name).into_owned();
        match draft.kind.name {
            "ws" => {
                let text: String = member("payload").chars().take(16).collect();
                let parts = ["sender", "opcode", "compressed", "path"].map(member);
                format!("{} {text}", parts.join(" "))
            }
            _ => {
                let status = lookup(ItemNode::of_value(&draft.response), "status");
                let status = status.and_then(crate::item::Node::int).unwrap_or_default();
                format!("{} {} {status}", member("method"), member("path"))
            }
        }
    }

    #[test]
    fn messages_of_websockets_within_a_connection_are_items() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pcaps/ws-over-h2.pcap");
        let drafts = dissect_savefile(Path::new(path), 0, &Protocols::all());
        let lines: Vec<String> = drafts.iter().map(told).collect();
        assert_eq!(
            lines,
            [
                "CONNECT /chat 200",
                "CONNECT /chat 200",
                "client text false /chat plain hello",
                "server text false /chat echo plain hello",
                "client text true /chat compressed compr",
                "server text true /chat echo compressed ",
                "client binary false /chat AQID",
                "server binary false /chat AwIB",
                "client text true /chat compressed compr",
                "server text true /chat echo compressed ",
                "client close false /chat bye",
                "server close false /chat bye",
            ]
        );
        assert!(drafts.iter().all(|draft| draft.error.is_none()));
    }
}
