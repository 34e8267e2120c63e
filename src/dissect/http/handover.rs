//! What a connection turns into when a request to upgrade it is granted.
//!
//! In: the exchange that ends with 101. Out: the next protocol and what it has to know. Never: a
//! protocol that was not agreed on. Standard: RFC 9110 section 7.8.

use super::exchange::{Exchange, Message};
use super::{h2, parser, recognise, websocket};
use crate::dissect::Handover;
use crate::packet::Direction;

/// The protocol that the response switches to; `None` lets detection find out.
pub(super) fn of(exchange: &Exchange, asks: Direction) -> Option<Handover> {
    let response = exchange.response.as_ref()?;
    let mut token = values(response, b"upgrade");
    if token.is_empty() {
        // "A server that sends a 101 response MUST send an Upgrade header field"; without it the
        // client's wish stands.
        token = values(exchange.request.as_ref()?, b"upgrade");
    }
    match token.to_ascii_lowercase().as_slice() {
        b"websocket" => Some(websocket::handover(
            exchange.request.as_deref(),
            response,
            asks,
        )),
        b"h2c" => h2::upgrade::handover(exchange.request.as_ref()?, asks),
        _ => None,
    }
}

/// The protocol that a request asked for whose answer is unknown, when `bytes` of the client (else
/// of its server) are of that protocol.
pub(super) fn unseen(
    exchange: &Exchange,
    asks: Direction,
    of_client: bool,
    bytes: &[u8],
) -> Option<Handover> {
    let request = exchange.request.as_deref()?;
    let token = values(request, b"upgrade").to_ascii_lowercase();
    match (token.as_slice(), of_client) {
        (b"websocket", _) if websocket::fronts_frame(bytes, of_client) => {
            Some(websocket::unseen(Some(request), asks))
        }
        (b"h2c", true) if recognise::http2_preface(bytes) => h2::upgrade::handover(request, asks),
        (b"h2c", false) if h2::fronts_settings(bytes) => h2::upgrade::handover(request, asks),
        _ => None,
    }
}

/// The values of all fields called `name` (lower case), joined with a comma.
pub(super) fn values(message: &Message, name: &[u8]) -> Vec<u8> {
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
