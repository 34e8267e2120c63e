//! Handshake messages out of records (RFC 8446 section 4, RFC 5246 section 7.4).
//!
//! In: payloads of handshake records of one direction, which may hold several messages or a part of
//! one. Out: whole messages. Never: more than [`MAX_MESSAGE`] bytes kept; what is longer is passed
//! over.

use bytes::{Buf, Bytes, BytesMut};

use crate::bytes::Reader;

/// Bytes of one handshake message; long certificate chains have some ten thousand.
pub(super) const MAX_MESSAGE: usize = 128 * 1024;

/// Type and length in front of each message.
pub(super) const HEADER: usize = 4;

pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const END_OF_EARLY_DATA: u8 = 5;
pub(super) const ENCRYPTED_EXTENSIONS: u8 = 8;
pub(super) const CERTIFICATE: u8 = 11;
pub(super) const SERVER_HELLO_DONE: u8 = 14;
pub(super) const FINISHED: u8 = 20;
pub(super) const KEY_UPDATE: u8 = 24;
/// RFC 8879.
pub(super) const COMPRESSED_CERTIFICATE: u8 = 25;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    /// What follows the length.
    pub(super) body: Bytes,
}

/// Joins the messages of one direction.
#[derive(Debug, Default)]
pub(super) struct Messages {
    bytes: BytesMut,
    /// Bytes of a message too long to keep that are still to come.
    skip: usize,
}

impl Messages {
    /// Takes the payload of one record.
    pub(super) fn push(&mut self, payload: &[u8]) {
        let skipped = self.skip.min(payload.len());
        self.skip -= skipped;
        self.bytes
            .extend_from_slice(payload.get(skipped..).unwrap_or_default());
    }

    /// The next whole message.
    pub(super) fn next(&mut self) -> Option<Message> {
        loop {
            let mut reader = Reader::new(&self.bytes);
            let front = reader.u32().ok()?;
            let [kind, ..] = front.to_be_bytes();
            let len = usize::try_from(front & 0x00ff_ffff).unwrap_or(usize::MAX);
            if len > MAX_MESSAGE {
                let whole = HEADER + len;
                let here = whole.min(self.bytes.len());
                self.bytes.advance(here);
                self.skip = whole - here;
                continue;
            }
            if reader.left() < len {
                return None;
            }
            self.bytes.advance(HEADER);
            let body = Bytes::copy_from_slice(&self.bytes.split_to(len));
            return Some(Message { kind, body });
        }
    }

    /// Forgets the beginning of a message whose end was lost.
    pub(super) fn clear(&mut self) {
        *self = Messages::default();
    }

    /// What waits for the rest of its message, and how much is passed over, for saving.
    pub(super) fn parts(&self) -> (&[u8], usize) {
        (&self.bytes, self.skip)
    }

    /// The reverse of [`Messages::parts`].
    pub(super) fn of_parts(bytes: &[u8], skip: usize) -> Messages {
        Messages {
            bytes: bytes.into(),
            skip,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_joined_and_long_ones_passed_over() {
        let mut messages = Messages::default();
        messages.push(&[1, 0, 0, 3, 7]);
        assert_eq!(messages.next(), None);
        messages.push(&[8, 9, 14, 0, 0, 0, 11, 2, 0, 1, 5]);
        let seen: Vec<_> = std::iter::from_fn(|| messages.next()).collect();
        assert_eq!(seen[0].body, [7, 8, 9][..]);
        assert_eq!((seen[1].kind, seen[1].body.len()), (14, 0));
        assert_eq!(seen.len(), 2);
        messages.push(&[0; 0x2_0000]);
        assert_eq!(messages.next(), None);
        messages.push(&[20, 0, 0, 1, 6]);
        assert_eq!(messages.next().map(|message| message.kind), Some(20));
    }
}
