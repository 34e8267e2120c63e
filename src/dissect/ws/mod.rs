//! WebSocket: the messages that follow an upgrade of HTTP/1.1.
//!
//! In: the stream from behind the handshake on, with a note of what was agreed on; or a stream
//! joined in its middle, when several frames in a row leave no doubt. Out: one item a message.
//! Never: what messages mean to a subprotocol, such as GraphQL subscriptions. Standards: RFC 6455,
//! RFC 7692 (permessage-deflate).

mod agreed;
mod dissector;
mod inflate;
mod message;
mod parser;
mod recognise;
#[cfg(test)]
mod tests;

use self::agreed::Agreed;
use self::dissector::WebSocket;
#[cfg(test)]
use super::robustness::Sample;
use super::{Dissector, Probe, Protocol, Verdict};
use crate::dissect::Stream;
use crate::item::FieldType::{Bool, Int, Text};
use crate::item::{Columns, Field, ProtocolInfo, field};
use crate::packet::Transport;

/// The entry in the list of protocols.
pub(super) struct Ws;

static WS: ProtocolInfo = ProtocolInfo {
    name: "ws",
    version: "13",
    abbr: "WS",
    long_name: "The WebSocket Protocol",
    macro_name: "ws",
    background: "#0b7a75",
    foreground: "#ffffff",
    font_size: 12,
    reference: "https://www.rfc-editor.org/rfc/rfc6455",
    ports: &["80", "443", "8080"],
    layer4: "tcp",
    priority: 0,
};

impl Protocol for Ws {
    fn name(&self) -> &'static str {
        "ws"
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Tcp]
    }

    fn kinds(&self) -> &'static [&'static ProtocolInfo] {
        static KINDS: [&ProtocolInfo; 1] = [&WS];
        &KINDS
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn columns(&self) -> Columns {
        Columns {
            method: "request.opcode",
            status: "request.closeCode",
            summary: "request.payload",
        }
    }

    /// Knows streams whose handshake was not seen.
    fn probe(&self, probe: &Probe<'_>) -> Verdict {
        let (first, second) = (probe.to_server, probe.to_client);
        let tells = |client, server| {
            recognise::tells(recognise::run(client, true), recognise::run(server, false))
        };
        // Who is the client may have been guessed wrong; the mask tells.
        let guessed = !probe.stream.knows_sides();
        let swapped = match guessed {
            true => tells(second, first),
            false => Some(false),
        };
        match (tells(first, second), swapped) {
            (Some(true), _) | (_, Some(true)) => Verdict::Certain,
            (Some(false), Some(false)) => Verdict::No,
            _ => Verdict::Unsure,
        }
    }

    fn start(&self, _stream: &Stream) -> Box<dyn Dissector> {
        Box::new(WebSocket::new(Agreed::default()))
    }

    fn take_over(&self, _stream: &Stream, note: &[u8]) -> Box<dyn Dissector> {
        Box::new(WebSocket::new(Agreed::from_note(note).unwrap_or_default()))
    }

    fn restore(&self, _stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        WebSocket::load(state).map(|websocket| Box::new(websocket) as Box<dyn Dissector>)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<Sample> {
        tests::samples()
    }
}

const FIELDS: &[Field] = &[
    field(
        "request.opcode",
        Text,
        "text, binary, close, ping or pong; continuation when the message's first frame was not seen",
    ),
    field(
        "request.payload",
        Text,
        "content of the message, inflated; of a close its reason; in base64 unless text or close",
    ),
    field(
        "request.encoding",
        Text,
        "base64 when the payload is in it; absent otherwise",
    ),
    field(
        "request.length",
        Int,
        "bytes of the content; where it could not be inflated, as sent",
    ),
    field("request.masked", Bool, "whether it was masked on the wire"),
    field("request.sender", Text, "client or server"),
    field("request.frames", Int, "frames that the message came in"),
    field(
        "request.compressed",
        Bool,
        "whether it was sent compressed (permessage-deflate)",
    ),
    field(
        "request.url",
        Text,
        "request target of the handshake; empty when unseen",
    ),
    field(
        "request.path",
        Text,
        "path of the request target, without query",
    ),
    field(
        "request.subprotocol",
        Text,
        "subprotocol that was agreed on; empty without one",
    ),
    field(
        "request.closeCode",
        Int,
        "status code of a close, 0 without one; absent on other messages",
    ),
    field(
        "request.closeReason",
        Text,
        "reason of a close; absent on other messages",
    ),
    field(
        "request.truncated",
        Bool,
        "true when part of the payload is left out",
    ),
];
