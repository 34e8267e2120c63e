//! What the opening handshake agreed on.
//!
//! In: the note of the dissector that read the handshake. Out: who masks, path, subprotocol and the
//! parameters of permessage-deflate. Never: a refusal; an extension that is not known is remembered
//! as that. Standards: RFC 6455 sections 4 and 9.1, RFC 7692 section 7.1.

use bytes::{BufMut, Bytes};

use crate::bytes::Reader;
use crate::packet::Direction;

/// Longest request target, subprotocol or list of extensions that is kept; a head has 64 KiB.
const MAX_TEXT: usize = 64 * 1024;

/// Window bits when a side names none (RFC 7692 section 7.1.2).
const MAX_WINDOW_BITS: u8 = 15;

/// Fewest window bits (RFC 7692 section 7.1.2).
const MIN_WINDOW_BITS: u8 = 8;

/// How one side compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deflate {
    /// Whether a message may refer to those before it.
    pub takeover: bool,
    /// The window's size as a power of two.
    pub window_bits: u8,
}

impl Deflate {
    /// What inflates every way to compress.
    const ANY: Deflate = Deflate {
        takeover: true,
        window_bits: MAX_WINDOW_BITS,
    };
}

/// What the extensions do to messages.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Extensions {
    /// How the client compresses, then how the server does; `None` without permessage-deflate.
    pub deflate: Option<[Deflate; 2]>,
    /// Whether there is one that is not known.
    pub unknown: bool,
}

/// The outcome of the handshake.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Agreed {
    /// Direction in which the client sends; `None` until it is seen who masks.
    pub asks: Option<Direction>,
    /// Whether the handshake was seen.
    pub handshake: bool,
    /// The request target; empty when unknown.
    pub target: Bytes,
    /// The subprotocol; empty without one.
    pub subprotocol: Bytes,
    /// `Sec-WebSocket-Extensions` of the response, several fields joined by commas.
    pub header: Bytes,
    /// The same, understood.
    pub extensions: Extensions,
}

impl Agreed {
    /// Reads a note; `None` when it is none.
    ///
    /// ```text
    /// note = asks u8 (1 the client sends to the server, 2 to the client),
    ///        request target, subprotocol, extensions; each length u32, bytes         big-endian
    /// ```
    pub(super) fn from_note(note: &[u8]) -> Option<Agreed> {
        let mut reader = Reader::new(note);
        let agreed = Agreed::load(&mut reader)?;
        reader.is_empty().then_some(agreed)
    }

    /// Writes it for [`Agreed::load`]: a note, or one that begins with 0 when no handshake was seen
    /// and 3 or 4 for its directions when it was learnt from frames.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let direction = match self.asks {
            None => 0,
            Some(Direction::ToServer) => 1,
            Some(Direction::ToClient) => 2,
        };
        let learnt = if self.handshake || self.asks.is_none() {
            0
        } else {
            2
        };
        out.put_u8(direction + learnt);
        for text in [&self.target, &self.subprotocol, &self.header] {
            out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
            out.extend_from_slice(text);
        }
    }

    /// Reads what [`Agreed::save`] wrote.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Agreed> {
        let (asks, handshake) = match from.u8().ok()? {
            0 => (None, false),
            1 => (Some(Direction::ToServer), true),
            2 => (Some(Direction::ToClient), true),
            3 => (Some(Direction::ToServer), false),
            4 => (Some(Direction::ToClient), false),
            _ => return None,
        };
        let mut text = || {
            let length = usize::try_from(from.u32().ok()?).ok()?;
            let text = from.take(length).ok().filter(|_| length <= MAX_TEXT)?;
            Some(Bytes::copy_from_slice(text))
        };
        let (target, subprotocol, header) = (text()?, text()?, text()?);
        let extensions = extensions(&header);
        Some(Agreed {
            asks,
            handshake,
            target,
            subprotocol,
            header,
            extensions,
        })
    }

    /// How the side that sends in `direction` compresses; `None` when it does not, or not that we
    /// know of. Without a handshake it may compress in any way of permessage-deflate.
    pub(super) fn deflate(&self, direction: Direction) -> Option<Deflate> {
        if !self.handshake {
            return self.asks.map(|_| Deflate::ANY);
        }
        let [client, server] = self.extensions.deflate?;
        Some(match self.asks? == direction {
            true => client,
            false => server,
        })
    }

    /// The path of the request target, without its query.
    pub(super) fn path(&self) -> Bytes {
        let end = memchr::memchr2(b'?', b'#', &self.target);
        self.target.slice(..end.unwrap_or(self.target.len()))
    }
}

/// `extension-token *( ";" token [ "=" ( token / quoted-string ) ] )`, separated by commas.
fn extensions(header: &[u8]) -> Extensions {
    let mut found = Extensions::default();
    for extension in split(header, b',') {
        let mut parts = split(extension, b';');
        let Some(name) = parts.next() else { continue };
        if !name.eq_ignore_ascii_case(b"permessage-deflate") || found.deflate.is_some() {
            found.unknown = true;
            continue;
        }
        let (mut client, mut server) = (Deflate::ANY, Deflate::ANY);
        for parameter in parts {
            let mut halves = split(parameter, b'=');
            let name = halves.next().unwrap_or_default().to_ascii_lowercase();
            let value = halves.next().unwrap_or_default();
            match name.as_slice() {
                b"client_no_context_takeover" => client.takeover = false,
                b"server_no_context_takeover" => server.takeover = false,
                b"client_max_window_bits" => client.window_bits = window_bits(value),
                b"server_max_window_bits" => server.window_bits = window_bits(value),
                _ => {}
            }
        }
        found.deflate = Some([client, server]);
    }
    found
}

/// Values outside of what the standard allows, or none at all, leave the largest window: it serves
/// for every smaller one.
fn window_bits(value: &[u8]) -> u8 {
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    let value = value.strip_suffix(b"\"").unwrap_or(value);
    std::str::from_utf8(value)
        .ok()
        .and_then(|value| value.parse().ok())
        .filter(|bits| (MIN_WINDOW_BITS..=MAX_WINDOW_BITS).contains(bits))
        .unwrap_or(MAX_WINDOW_BITS)
}

/// The parts between separators, trimmed, empty ones left out. No registered parameter has a
/// separator in a quoted value.
fn split(list: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    list.split(move |byte| *byte == separator)
        .map(<[u8]>::trim_ascii)
        .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_for_each_side() {
        let side = |takeover, window_bits| Deflate {
            takeover,
            window_bits,
        };
        type Case = (&'static [u8], Option<[Deflate; 2]>, bool);
        let cases: [Case; 7] = [
            (b"", None, false),
            (
                b"permessage-deflate",
                Some([side(true, 15), side(true, 15)]),
                false,
            ),
            (
                b"permessage-deflate; server_max_window_bits=12; client_no_context_takeover",
                Some([side(false, 15), side(true, 12)]),
                false,
            ),
            (
                b"Permessage-Deflate;server_no_context_takeover; client_max_window_bits=\"9\"",
                Some([side(true, 9), side(false, 15)]),
                false,
            ),
            (
                b"permessage-deflate; client_max_window_bits; server_max_window_bits=99",
                Some([side(true, 15), side(true, 15)]),
                false,
            ),
            (b"x-webkit-deflate-frame", None, true),
            (
                b"foo, permessage-deflate",
                Some([side(true, 15), side(true, 15)]),
                true,
            ),
        ];
        for (header, deflate, unknown) in cases {
            assert_eq!(extensions(header), Extensions { deflate, unknown });
        }
    }

    #[test]
    fn a_note_goes_there_and_back() {
        let note = b"\x01\0\0\0\x05/a?b=\0\0\0\x02v1\0\0\0\x12permessage-deflate";
        let agreed = Agreed::from_note(note).unwrap();
        assert_eq!(agreed.asks, Some(Direction::ToServer));
        assert_eq!((&agreed.path()[..], agreed.handshake), (&b"/a"[..], true));
        assert!(agreed.deflate(Direction::ToClient).is_some());
        let mut saved = Vec::new();
        agreed.save(&mut saved);
        assert_eq!(saved, note);
        assert_eq!(Agreed::from_note(&note[..9]), None);
        let learnt = Agreed {
            asks: Some(Direction::ToClient),
            ..Agreed::default()
        };
        let mut saved = Vec::new();
        learnt.save(&mut saved);
        assert_eq!(Agreed::load(&mut Reader::new(&saved)), Some(learnt));
    }
}
