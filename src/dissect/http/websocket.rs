//! The handshake of a WebSocket, for the protocol that goes on behind it.
//!
//! In: the exchange that ends with 101, or that HTTP/2 opens a tunnel with. Out: a note of what was agreed on. Never: frames; whether
//! the server's proof (Sec-WebSocket-Accept) is right, which is for the client to judge. Standards:
//! RFC 6455 section 4, RFC 7692 section 5.

use bytes::{BufMut, Bytes};

use super::exchange::Message;
use super::handover::values;
use super::parser::{MAX_HEAD, StartLine};
use crate::dissect::Handover;
use crate::packet::Direction;

/// What was agreed on by a handshake of HTTP/1.1.
pub(super) fn handover(request: Option<&Message>, response: &Message, asks: Direction) -> Handover {
    let target = match request.map(|message| &message.head.start) {
        Some(StartLine::Request { target, .. }) => target.to_vec(),
        _ => Vec::new(),
    };
    let subprotocol = values(response, b"sec-websocket-protocol");
    let extensions = values(response, b"sec-websocket-extensions");
    note(asks, [&target, &subprotocol, &extensions])
}

/// The note for `ws`, of request target, subprotocol and extensions.
///
/// ```text
/// note = asks u8 (1 the client sends to the server, 2 to the client),
///        request target, subprotocol, extensions; each length u32, bytes             big-endian
/// ```
pub(super) fn note(asks: Direction, parts: [&[u8]; 3]) -> Handover {
    let mut note = vec![match asks {
        Direction::ToServer => 1,
        Direction::ToClient => 2,
    }];
    for part in parts {
        let part = part.get(..part.len().min(MAX_HEAD)).unwrap_or_default();
        note.put_u32(u32::try_from(part.len()).unwrap_or(0));
        note.extend_from_slice(part);
    }
    Handover {
        protocol: "ws",
        note: Bytes::from(note),
    }
}
