//! One association as one pair of addresses shows it.
//!
//! In: datagrams, each one packet from its verification tag on. Out: items, and whole messages for
//! the protocols above. Never: more than two directions' pieces.

use bytes::{BufMut, Bytes, BytesMut};

use super::association::{Message, Piece, Sender};
use super::parser::{self, ABORT, Chunk as SctpChunk, DATA, ERROR, I_DATA, INIT, INIT_ACK, PAD};
use super::parser::{Packet, SACK};
use super::{SCTP, render};
use crate::bytes::Reader;
use crate::dissect::{Dissector, Draft, Outcome, Output};
use crate::flow::{Chunk, Gap};
use crate::item::{ItemError, MAX_ITEM_BODY, Value};
use crate::packet::Direction;
use crate::time::Timestamp;

/// State of one association.
#[derive(Debug, Default)]
pub(super) struct SctpDissector {
    to_server: Sender,
    to_client: Sender,
    /// When the last packet came, for what the end hands out.
    last: (Timestamp, u64),
}

impl SctpDissector {
    fn sender(&mut self, direction: Direction) -> &mut Sender {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    fn on_packet(&mut self, packet: &Packet<'_>, chunk: &Chunk, out: &mut dyn Output) {
        let mut messages = Vec::new();
        for part in packet.chunks() {
            match part.kind {
                SACK | PAD => {}
                DATA | I_DATA => {
                    if let Some(piece) = piece(&part, chunk) {
                        self.sender(chunk.direction).take(piece, &mut messages);
                        for message in messages.drain(..) {
                            self.message(&message, part.is_cut(), packet, chunk, out);
                        }
                    } else {
                        control(&part, packet, chunk, out);
                    }
                }
                kind => {
                    if (kind == INIT || kind == INIT_ACK)
                        && let Some(initial) = part.initial_tsn()
                    {
                        self.sender(chunk.direction).begin(initial);
                    }
                    control(&part, packet, chunk, out);
                }
            }
        }
    }

    fn message(
        &self,
        message: &Message,
        cut: bool,
        packet: &Packet<'_>,
        chunk: &Chunk,
        out: &mut dyn Output,
    ) {
        let Piece { bytes, ts, .. } = &message.piece;
        let whole = Chunk {
            direction: chunk.direction,
            offset: 0,
            bytes: bytes.clone(),
            ts: *ts,
            ordinal: chunk.ordinal,
        };
        let damaged = cut || message.incomplete;
        if !damaged && out.message(&whole) {
            return;
        }
        let error = damaged.then(|| ItemError {
            kind: "dissection",
            msg: "a part of the message was not captured".into(),
        });
        out.item(Draft {
            data: Value::lazy(data_bytes(&message.piece, packet), render::data),
            error,
            ..draft(&whole)
        });
    }
}

/// The item's bytes for [`render::data`]: tag, checksum, then a DATA chunk's header with its length
/// in 32 bits, then the message.
fn data_bytes(piece: &Piece, packet: &Packet<'_>) -> Bytes {
    let shown = piece.bytes.get(..MAX_ITEM_BODY).unwrap_or(&piece.bytes);
    let mut out = BytesMut::with_capacity(render::DATA_HEADER + shown.len());
    out.put_u32(packet.tag);
    out.put_u32(packet.checksum);
    out.put_u8(piece.interleaved.into());
    out.put_u8(piece.flags);
    out.put_u32(u32::try_from(piece.bytes.len()).unwrap_or(u32::MAX));
    out.put_u32(piece.data.tsn);
    out.put_u16(piece.data.stream);
    out.put_u32(piece.data.seq);
    out.put_u32(piece.data.protocol);
    out.extend_from_slice(shown);
    out.freeze()
}

fn piece(part: &SctpChunk<'_>, chunk: &Chunk) -> Option<Piece> {
    let data = part.data()?;
    let start = part.at + data.header;
    let end = part.at + part.value.len();
    Some(Piece {
        data,
        flags: part.flags,
        interleaved: part.kind == I_DATA,
        bytes: match data.first && data.last {
            true => chunk.bytes.slice(start..end),
            // A copy: it may wait long, and must not hold a whole batch.
            false => Bytes::copy_from_slice(chunk.bytes.get(start..end).unwrap_or_default()),
        },
        ts: chunk.ts,
    })
}

fn control(part: &SctpChunk<'_>, packet: &Packet<'_>, chunk: &Chunk, out: &mut dyn Output) {
    let mut bytes = BytesMut::with_capacity(render::CONTROL_HEADER + part.value.len());
    bytes.put_u32(packet.tag);
    bytes.put_u32(packet.checksum);
    bytes.put_u8(part.kind);
    bytes.put_u8(part.flags);
    bytes.put_u16(part.length);
    bytes.extend_from_slice(part.value);
    let error = match part.kind {
        ABORT | ERROR => {
            let causes = render::cause_names(part.value).join(", ");
            let colon = if causes.is_empty() { "" } else { ": " };
            let what = match part.kind {
                ABORT => "the association was aborted",
                _ => "an error was reported",
            };
            Some(ItemError {
                kind: "connection",
                msg: format!("{what}{colon}{causes}"),
            })
        }
        _ => None,
    };
    let shown = Chunk {
        bytes: bytes.freeze(),
        ..chunk.clone()
    };
    out.item(Draft {
        request_size: part.length.into(),
        data: Value::lazy(shown.bytes.clone(), render::control),
        error,
        ..draft(&shown)
    });
}

fn draft(chunk: &Chunk) -> Draft {
    Draft {
        kind: &SCTP,
        from_client: chunk.direction == Direction::ToServer,
        start: chunk.ts,
        elapsed_nanos: 0,
        request_size: chunk.bytes.len() as u64,
        response_size: 0,
        request: Value::Null,
        response: Value::Null,
        data: Value::Null,
        error: None,
        ordinal: chunk.ordinal,
    }
}

impl Dissector for SctpDissector {
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        self.last = (chunk.ts, chunk.ordinal);
        match Packet::parse(&chunk.bytes) {
            Ok(packet) => self.on_packet(&packet, chunk, out),
            Err(short) => out.item(Draft {
                data: Value::Object(vec![("chunkType".into(), Value::Static(""))]),
                error: Some(ItemError {
                    kind: "dissection",
                    msg: format!("the packet could not be read: {short}"),
                }),
                ..draft(chunk)
            }),
        }
        Outcome::Consumed(chunk.bytes.len())
    }

    fn on_gap(&mut self, _: &Gap, _: &mut dyn Output) -> Outcome {
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, _: Direction, _: &Bytes, _: &mut dyn Output) {}

    fn on_end(&mut self, out: &mut dyn Output) {
        let (ts, ordinal) = self.last;
        for direction in [Direction::ToServer, Direction::ToClient] {
            let mut messages = Vec::new();
            self.sender(direction).finish(&mut messages);
            let chunk = Chunk {
                direction,
                offset: 0,
                bytes: Bytes::new(),
                ts,
                ordinal,
            };
            // The packets that brought the pieces are gone, and with them tag and checksum.
            let Ok(packet) = Packet::parse(&[0; 8]) else {
                return;
            };
            for message in messages {
                self.message(&message, false, &packet, &chunk, out);
            }
        }
    }

    /// ```text
    /// state = version u8 (2), ts i64, ordinal u64, sender to server, sender to client
    /// ```
    fn save(&self) -> Vec<u8> {
        let mut out = vec![2];
        out.put_i64(self.last.0.nanos());
        out.put_u64(self.last.1);
        self.to_server.save(&mut out);
        self.to_client.save(&mut out);
        out
    }
}

impl SctpDissector {
    /// Reads [`Dissector::save`] back.
    pub(super) fn restore(state: &[u8]) -> Option<SctpDissector> {
        let mut reader = Reader::new(state);
        if reader.u8().ok()? != 2 {
            return None;
        }
        let ts = Timestamp::from_nanos(reader.u64().ok()?.cast_signed());
        Some(SctpDissector {
            last: (ts, reader.u64().ok()?),
            to_server: Sender::restore(&mut reader)?,
            to_client: Sender::restore(&mut reader)?,
        })
    }
}

/// The name of a chunk's type, `Chunk<n>` when it has none.
pub(super) fn type_value(kind: u8) -> Value {
    match parser::type_name(kind) {
        Some(name) => Value::Static(name),
        None => Value::text(format!("Chunk{kind}")),
    }
}
