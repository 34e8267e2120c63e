//! From HTTP/1.1 to HTTP/2 on the same connection ("h2c").
//!
//! In: the request that was upgraded. Out: a note for [`super::Http2`], and from the note the request
//! as stream 1 has it. Never: a connection. Standard: RFC 7540 section 3.2, which RFC 9113 no longer
//! has; the mapping of request line and Host is that of RFC 9113 section 8.3.1.
//!
//! ```text
//! note = asks u8 (1 the client of the stream, 0 its server), settings, request (exchange.rs)
//! settings = length u32, payload of a SETTINGS frame
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use super::exchange::Message;
use super::frame::Settings;
use super::hpack::Name;
use super::section::Section;
use crate::bytes::Reader;
use crate::dissect::Handover;
use crate::dissect::http::exchange::{self as http1, flag, load_bytes, save_bytes};
use crate::dissect::http::parser::{self, StartLine};
use crate::packet::Direction;

/// Longest HTTP2-Settings payload that is taken over.
const MAX_SETTINGS: usize = 1024;

/// What the next dissector has to know of the upgraded request.
pub(in crate::dissect::http) fn handover(
    request: &http1::Message,
    asks: Direction,
) -> Option<Handover> {
    let StartLine::Request { method, target } = &request.head.start else {
        return None;
    };
    let head = &request.head.bytes;
    let mut section = Section::with_room(head.len());
    let mut settings = Vec::new();
    section.push(Name::Written(b":method"), Some(method));
    section.push(Name::Written(b":path"), Some(target));
    parser::each_field(head, |name, value| {
        let name = name.to_ascii_lowercase();
        match &name[..] {
            b"host" => section.push(Name::Written(b":authority"), Some(value)),
            b"http2-settings" => {
                let value = value.trim_ascii_end();
                let value = value.strip_suffix(b"=").unwrap_or(value);
                settings = URL_SAFE_NO_PAD.decode(value).unwrap_or_default();
            }
            _ => {}
        }
        section.push(Name::Written(&name), Some(value));
    });
    let message = Message {
        section,
        headed: true,
        kept: request.kept.clone(),
        body_size: request.body_size,
        missing: request.missing,
        size: request.size,
        ts: request.ts,
        // "stream 1 is implicitly half-closed from the client toward the server".
        done: true,
        holed: false,
    };
    let mut note = vec![u8::from(asks == Direction::ToServer)];
    settings.truncate(MAX_SETTINGS);
    save_bytes(&settings, &mut note);
    message.save(&mut note);
    Some(Handover {
        protocol: super::NAME,
        note: Bytes::from(note),
    })
}

/// Reads a note; `None` when it is not one.
pub(super) fn read(note: &[u8]) -> Option<(Direction, Message, Settings)> {
    let mut reader = Reader::new(note);
    let asks = match flag(&mut reader)? {
        true => Direction::ToServer,
        false => Direction::ToClient,
    };
    let settings = Settings::read(load_bytes(&mut reader, MAX_SETTINGS)?);
    let message = Message::load(&mut reader)?;
    reader.is_empty().then_some((asks, message, settings))
}
