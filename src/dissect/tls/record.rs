//! The record layer's header (RFC 8446 section 5.1, RFC 5246 section 6.2.1).
//!
//! In: five bytes. Out: type, version and length. Never: payloads.

use crate::bytes::Reader;

/// Bytes of a record's header.
pub(super) const HEADER: usize = 5;

/// Payload of an encrypted record at most: 2^14 and what a cipher may add (RFC 5246 section 6.2.3).
pub(super) const MAX_PAYLOAD: usize = (1 << 14) + 2048;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentType {
    ChangeCipherSpec,
    Alert,
    Handshake,
    ApplicationData,
    /// RFC 6520.
    Heartbeat,
}

impl ContentType {
    pub(super) fn of(code: u8) -> Option<ContentType> {
        Some(match code {
            20 => ContentType::ChangeCipherSpec,
            21 => ContentType::Alert,
            22 => ContentType::Handshake,
            23 => ContentType::ApplicationData,
            24 => ContentType::Heartbeat,
            _ => return None,
        })
    }
}

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: ContentType,
    /// The five bytes; ciphers authenticate them.
    pub(super) raw: [u8; HEADER],
    /// Bytes of the payload.
    pub(super) len: usize,
}

impl Head {
    /// Reads the header at the front of `bytes`; `None` when it is short or no header of TLS.
    pub(super) fn parse(bytes: &[u8]) -> Option<Head> {
        let raw = *bytes.first_chunk::<HEADER>()?;
        let mut reader = Reader::new(&raw);
        let kind = ContentType::of(reader.u8().ok()?)?;
        let version = reader.u16().ok()?;
        let len = usize::from(reader.u16().ok()?);
        let fits = (0x0300..=0x0304).contains(&version) && len <= MAX_PAYLOAD;
        // Empty records are allowed for application data only (RFC 8446 section 5.1).
        let filled = len > 0 || kind == ContentType::ApplicationData;
        (fits && filled).then_some(Head { kind, raw, len })
    }

    /// Header and payload together.
    pub(super) fn record_len(&self) -> usize {
        HEADER + self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_headers_of_tls_are_headers() {
        let head = Head::parse(&[22, 3, 1, 0, 5, 1]).unwrap();
        assert_eq!((head.kind, head.len), (ContentType::Handshake, 5));
        for other in [
            &b"GET / HTTP/1.1"[..],
            &[22, 3, 1, 0],
            &[22, 2, 0, 0, 5],
            &[22, 3, 3, 0x48, 1],
            &[22, 3, 3, 0, 0],
            &[25, 3, 3, 0, 1],
        ] {
            assert_eq!(Head::parse(other), None);
        }
    }
}
