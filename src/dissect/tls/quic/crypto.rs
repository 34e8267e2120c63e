//! CRYPTO frames into handshake messages (RFC 9000 sections 7.5 and 19.6).
//!
//! In: the frames of Initial packets of one side, which browsers send in any order and in many
//! pieces. Out: whole messages, and the alert that ends a handshake. Never: more than
//! [`MAX_PIECES`] pieces or [`MAX_AHEAD`] bytes of them.

use super::super::handshake::{Message, Messages};
use super::packet::varint;
use crate::bytes::{Reader, Short};

/// Pieces that wait for those before them; a hello of browsers comes in some ten.
pub(super) const MAX_PIECES: usize = 128;

/// Bytes from the next one that is missing to the last that is kept: what RFC 9000 section 7.5 lets
/// an endpoint refuse is beyond 4096, hellos with post-quantum shares and ECH stay far below this.
pub(super) const MAX_AHEAD: u64 = 64 * 1024;

const PADDING: u64 = 0;
const PING: u64 = 1;
const ACK: u64 = 2;
const ACK_ECN: u64 = 3;
const CRYPTO: u64 = 6;
const CONNECTION_CLOSE: u64 = 0x1c;

/// Errors of this range are alerts of TLS (RFC 9001 section 4.8).
const CRYPTO_ERROR: u64 = 0x100;

/// The handshake bytes of one side.
#[derive(Debug, Default)]
pub(super) struct CryptoStream {
    /// Offset of the next byte that is missing.
    pub(super) at: u64,
    /// Pieces behind it.
    pub(super) pieces: Vec<(u64, Vec<u8>)>,
    pub(super) messages: Messages,
}

impl CryptoStream {
    /// Takes the frames of one packet; answers the alert among them.
    pub(super) fn frames(&mut self, frames: &[u8]) -> Option<u8> {
        let mut reader = Reader::new(frames);
        let mut alert = None;
        while !reader.is_empty() {
            match self.frame(&mut reader) {
                Ok(Some(code)) => alert = Some(code),
                Ok(None) => {}
                Err(_) => break,
            }
        }
        alert
    }

    fn frame(&mut self, reader: &mut Reader<'_>) -> Result<Option<u8>, Short> {
        match varint(reader)? {
            PADDING | PING => {}
            kind @ (ACK | ACK_ECN) => {
                varint(reader)?;
                varint(reader)?;
                let ranges = varint(reader)?;
                varint(reader)?;
                for _ in 0..ranges {
                    varint(reader)?;
                    varint(reader)?;
                }
                for _ in 0..if kind == ACK_ECN { 3 } else { 0 } {
                    varint(reader)?;
                }
            }
            CRYPTO => {
                let offset = varint(reader)?;
                let len = usize::try_from(varint(reader)?).unwrap_or(usize::MAX);
                self.piece(offset, reader.take(len)?);
            }
            CONNECTION_CLOSE => {
                let code = varint(reader)?;
                varint(reader)?;
                let reason = usize::try_from(varint(reader)?).unwrap_or(usize::MAX);
                reader.skip(reason)?;
                let alert = code.checked_sub(CRYPTO_ERROR);
                return Ok(alert.and_then(|alert| u8::try_from(alert).ok()));
            }
            // No other frame may stand in an Initial packet (RFC 9000 section 17.2.2).
            _ => reader.skip(reader.left())?,
        }
        Ok(None)
    }

    fn piece(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset.saturating_add(bytes.len() as u64);
        if end <= self.at || end - self.at > MAX_AHEAD {
            return;
        }
        if offset > self.at {
            let known = self
                .pieces
                .iter()
                .any(|(at, piece)| *at <= offset && at.saturating_add(piece.len() as u64) >= end);
            if !known && self.pieces.len() < MAX_PIECES {
                self.pieces.push((offset, bytes.to_vec()));
            }
            return;
        }
        self.append(offset, bytes);
        while let Some(index) = self.pieces.iter().position(|(at, _)| *at <= self.at) {
            let (at, piece) = self.pieces.swap_remove(index);
            self.append(at, &piece);
        }
    }

    /// Takes the part of a piece that is new; it begins at or before the next missing byte.
    fn append(&mut self, offset: u64, bytes: &[u8]) {
        let known = usize::try_from(self.at.saturating_sub(offset)).unwrap_or(usize::MAX);
        if let Some(new) = bytes.get(known..) {
            self.messages.push(new);
            self.at += new.len() as u64;
        }
    }

    /// The next whole message.
    pub(super) fn next(&mut self) -> Option<Message> {
        self.messages.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crypto(offset: u8, bytes: &[u8]) -> Vec<u8> {
        [&[6, offset, bytes.len() as u8], bytes].concat()
    }

    #[test]
    fn pieces_may_come_in_any_order_and_overlap() {
        let message = [1, 0, 0, 6, b'a', b'b', b'c', b'd', b'e', b'f'];
        let pieces = [(7, 10), (2, 5), (0, 3), (4, 8)];
        let mut stream = CryptoStream::default();
        for (from, to) in pieces {
            assert_eq!(stream.next(), None);
            let frames = [&[0, 1][..], &crypto(from as u8, &message[from..to])].concat();
            assert_eq!(stream.frames(&frames), None);
        }
        assert_eq!(stream.next().unwrap().body, &b"abcdef"[..]);
    }

    #[test]
    fn an_alert_is_seen_behind_an_acknowledgement() {
        let mut stream = CryptoStream::default();
        let frames = [2, 0, 0, 1, 0, 0, 0, 0x1c, 0x41, 0x28, 6, 1, b'x'];
        assert_eq!(stream.frames(&frames), Some(40));
    }

    #[test]
    fn pieces_without_end_meet_a_cap() {
        let mut stream = CryptoStream::default();
        for offset in 1..10_000_u64 {
            stream.piece(2 * offset, &[0]);
        }
        assert_eq!(stream.pieces.len(), MAX_PIECES);
        stream.piece(1 << 40, &[0]);
        assert_eq!(stream.pieces.len(), MAX_PIECES);
    }
}
