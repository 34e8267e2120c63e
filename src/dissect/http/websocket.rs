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
    if response.kept.cut && extensions.is_empty() {
        return unseen(request, asks);
    }
    note(asks, [&target, &subprotocol, &extensions])
}

/// The same of a handshake whose answer was not captured, or not up to its extensions: what was
/// agreed on is not known.
pub(super) fn unseen(request: Option<&Message>, asks: Direction) -> Handover {
    let target = match request.map(|message| &message.head.start) {
        Some(StartLine::Request { target, .. }) => &target[..],
        _ => &[],
    };
    noted(asks, 2, [target, b"", b""])
}

/// Whether bytes may begin a frame of the client (masked), else of its server: known opcode, no bit
/// that no extension uses. A server's must be final, so that text is none (RFC 6455 section 5.2).
pub(super) fn fronts_frame(bytes: &[u8], of_client: bool) -> bool {
    let [first, second, ..] = bytes else {
        return false;
    };
    let known = matches!(first & 0x0f, 0..=2 | 8..=10) && first & 0x30 == 0;
    known && (second & 0x80 != 0) == of_client && (of_client || first & 0x80 != 0)
}

/// The note for `ws`, of request target, subprotocol and extensions.
///
/// ```text
/// note = asks u8 (1 the client sends to the server, 2 to the client; 3 and 4 the same when the
///        answer was not seen),
///        request target, subprotocol, extensions; each length u32, bytes             big-endian
/// ```
pub(super) fn note(asks: Direction, parts: [&[u8]; 3]) -> Handover {
    noted(asks, 0, parts)
}

fn noted(asks: Direction, unseen: u8, parts: [&[u8]; 3]) -> Handover {
    let direction = match asks {
        Direction::ToServer => 1,
        Direction::ToClient => 2,
    };
    let mut note = vec![direction + unseen];
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
