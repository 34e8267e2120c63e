//! What a connection turns into when a request to upgrade it is granted.
//!
//! In: the exchange that ends with 101. Out: the next protocol and what it has to know. Never: a
//! protocol that was not agreed on. Standard: RFC 9110 section 7.8.

use super::exchange::Exchange;
use super::{h2, parser};
use crate::dissect::Handover;
use crate::packet::Direction;

/// The protocol that the response switches to; `None` lets detection find out.
pub(super) fn of(exchange: &Exchange, asks: Direction) -> Option<Handover> {
    let (request, response) = (exchange.request.as_ref()?, exchange.response.as_ref()?);
    let mut token = Vec::new();
    parser::each_field(&response.head.bytes, |name, value| {
        if name.eq_ignore_ascii_case(b"upgrade") {
            token = value.to_ascii_lowercase();
        }
    });
    match &token[..] {
        b"h2c" => h2::upgrade::handover(request, asks),
        _ => None,
    }
}
