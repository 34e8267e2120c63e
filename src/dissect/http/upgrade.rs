//! What a connection turns into after a 101 response.
//!
//! In: the exchange that ends HTTP/1. Out: the protocol that goes on, and what it has to know. Never:
//! the bytes that follow. Standards: RFC 9110 section 7.8, RFC 6455 section 4.

use bytes::{BufMut, Bytes};

use super::exchange::{Exchange, Message};
use super::parser::{self, MAX_HEAD, StartLine};
use crate::bytes::Reader;
use crate::dissect::Handover;
use crate::packet::Direction;

/// Protocols that a stream is handed over to, in the order of a save's numbers.
const NEXT: [&str; 1] = ["ws"];

/// Longest note that a save may hold: three parts of a head.
const MAX_NOTE: usize = 4 * MAX_HEAD;

/// Whom an exchange hands the stream over to; `None` lets detection find out.
pub(super) fn handover(exchange: &Exchange, asks: Direction) -> Option<Handover> {
    let response = exchange.response.as_ref()?;
    if !matches!(response.head.start, StartLine::Response { status: 101, .. }) {
        return None;
    }
    // "A server that sends a 101 response MUST send an Upgrade header field"; where it does not,
    // the client's wish stands.
    let token = [Some(response), exchange.request.as_ref()]
        .into_iter()
        .flatten()
        .map(|message| joined(message, b"upgrade"))
        .find(|token| !token.is_empty())?;
    match token.to_ascii_lowercase().as_slice() {
        b"websocket" => Some(Handover {
            protocol: NEXT[0],
            note: websocket(exchange, response, asks),
        }),
        _ => None,
    }
}

/// The note for `ws`.
///
/// ```text
/// note = asks u8 (1 the client sends to the server, 2 to the client),
///        request target, subprotocol, extensions; each length u32, bytes             big-endian
/// ```
fn websocket(exchange: &Exchange, response: &Message, asks: Direction) -> Bytes {
    let target = match exchange.request.as_ref().map(|message| &message.head.start) {
        Some(StartLine::Request { target, .. }) => target.to_vec(),
        _ => Vec::new(),
    };
    let mut note = vec![match asks {
        Direction::ToServer => 1,
        Direction::ToClient => 2,
    }];
    let subprotocol = joined(response, b"sec-websocket-protocol");
    let extensions = joined(response, b"sec-websocket-extensions");
    for part in [target, subprotocol, extensions] {
        let part = part.get(..part.len().min(MAX_HEAD)).unwrap_or_default();
        note.put_u32(u32::try_from(part.len()).unwrap_or(0));
        note.extend_from_slice(part);
    }
    Bytes::from(note)
}

/// The values of all fields called `name` (lower case), joined with a comma.
fn joined(message: &Message, name: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    parser::each_field(&message.head.bytes, |field, value| {
        if field.eq_ignore_ascii_case(name) {
            if !all.is_empty() {
                all.push(b',');
            }
            all.extend_from_slice(value.trim_ascii());
        }
    });
    all
}

/// Writes a handover, or that there is none: protocol u8 (0 none), length u32, note.
pub(super) fn save(handover: Option<&Handover>, out: &mut Vec<u8>) {
    let known = handover.and_then(|handover| {
        let at = NEXT.iter().position(|name| *name == handover.protocol)?;
        Some((u8::try_from(at + 1).ok()?, &handover.note))
    });
    match known {
        Some((number, note)) => {
            out.put_u8(number);
            out.put_u32(u32::try_from(note.len()).unwrap_or(0));
            out.extend_from_slice(note);
        }
        None => out.put_u8(0),
    }
}

/// Reads what [`save`] wrote; `None` when the bytes are not that.
pub(super) fn load(from: &mut Reader<'_>) -> Option<Option<Handover>> {
    let Some(at) = usize::from(from.u8().ok()?).checked_sub(1) else {
        return Some(None);
    };
    let protocol = NEXT.get(at)?;
    let length = usize::try_from(from.u32().ok()?).ok()?;
    let note = from.take(length).ok().filter(|_| length <= MAX_NOTE)?;
    Some(Some(Handover {
        protocol,
        note: Bytes::copy_from_slice(note),
    }))
}
