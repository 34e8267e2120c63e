//! Long headers of QUIC and the protection of Initial packets (RFC 9000 section 17.2, RFC 9001
//! section 5).
//!
//! In: a datagram. Out: its packets one after another, and the frames of Initial ones. Never: short
//! headers, 0-RTT and Handshake packets beyond their length.

use ring::aead::{self, quic};

use super::super::cipher::numbered;
use super::super::keys::{Hash, expand_label, extract};
use crate::bytes::{Reader, Short};

/// Bytes of a connection ID at most (RFC 9000 section 17.2).
pub(super) const MAX_CONNECTION_ID: usize = 20;

/// Bytes of the header's sample, and of the tag.
const SAMPLE: usize = 16;

/// A version whose Initial packets can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
    Draft29,
}

impl Version {
    pub(super) fn of(number: u32) -> Option<Version> {
        Some(match number {
            1 => Version::V1,
            0x6b33_43cf => Version::V2,
            0xff00_001d => Version::Draft29,
            _ => return None,
        })
    }

    /// RFC 9001 section 5.2, RFC 9369 section 3.3.1, draft-ietf-quic-tls-29 section 5.2.
    fn salt(self) -> [u8; 20] {
        match self {
            Version::V1 => [
                0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8,
                0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
            ],
            Version::V2 => [
                0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26,
                0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9,
            ],
            Version::Draft29 => [
                0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61,
                0x11, 0xe0, 0x43, 0x90, 0xa8, 0x99,
            ],
        }
    }

    /// Labels of key, IV and header protection (RFC 9001 section 5.1, RFC 9369 section 3.3.2).
    fn labels(self) -> [&'static [u8]; 3] {
        match self {
            Version::V2 => [b"quicv2 key", b"quicv2 iv", b"quicv2 hp"],
            _ => [b"quic key", b"quic iv", b"quic hp"],
        }
    }
}

/// What a long header begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
}

/// A long header in front of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Long<'a> {
    pub(super) version: Version,
    pub(super) kind: Kind,
    pub(super) destination: &'a [u8],
    /// Offset of the packet number.
    number_at: usize,
    /// Bytes of the whole packet; a Retry fills its datagram.
    pub(super) len: usize,
}

impl<'a> Long<'a> {
    /// Reads the header at the front of `bytes`; `None` when it is none of a known version, or its
    /// packet does not fit.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Long<'a>> {
        let mut reader = Reader::new(bytes);
        let first = reader.u8().ok()?;
        // Header form and fixed bit.
        if first & 0xc0 != 0xc0 {
            return None;
        }
        let version = Version::of(reader.u32().ok()?)?;
        let destination = connection_id(&mut reader)?;
        connection_id(&mut reader)?;
        let kind = match ((first >> 4) & 3, version) {
            (0, Version::V1 | Version::Draft29) | (1, Version::V2) => Kind::Initial,
            (1, Version::V1 | Version::Draft29) | (2, Version::V2) => Kind::ZeroRtt,
            (2, Version::V1 | Version::Draft29) | (3, Version::V2) => Kind::Handshake,
            _ => Kind::Retry,
        };
        if kind == Kind::Retry {
            return Some(Long {
                version,
                kind,
                destination,
                number_at: bytes.len(),
                len: bytes.len(),
            });
        }
        if kind == Kind::Initial {
            let token = usize::try_from(varint(&mut reader).ok()?).ok()?;
            reader.skip(token).ok()?;
        }
        let left = usize::try_from(varint(&mut reader).ok()?).ok()?;
        let number_at = reader.offset();
        reader.skip(left).ok()?;
        Some(Long {
            version,
            kind,
            destination,
            number_at,
            len: reader.offset(),
        })
    }
}

fn connection_id<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = usize::from(reader.u8().ok()?);
    if len > MAX_CONNECTION_ID {
        return None;
    }
    reader.take(len).ok()
}

/// A number of one, two, four or eight bytes (RFC 9000 section 16).
pub(super) fn varint(reader: &mut Reader<'_>) -> Result<u64, Short> {
    let first = reader.u8()?;
    let more = (1_usize << (first >> 6)) - 1;
    let mut value = u64::from(first & 0x3f);
    for byte in reader.take(more)? {
        value = value << 8 | u64::from(*byte);
    }
    Ok(value)
}

/// Keys of Initial packets, of both sides.
pub(super) struct InitialKeys {
    /// The connection ID of the client's first Initial, which they follow from.
    pub(super) connection_id: Vec<u8>,
    pub(super) version: Version,
    client: SideKeys,
    server: SideKeys,
}

struct SideKeys {
    key: aead::LessSafeKey,
    iv: [u8; 12],
    header: quic::HeaderProtectionKey,
}

impl InitialKeys {
    /// RFC 9001 section 5.2.
    pub(super) fn new(version: Version, connection_id: &[u8]) -> Option<InitialKeys> {
        let initial = extract(&version.salt(), connection_id);
        let side = |label: &[u8]| {
            let secret = expand_label(Hash::Sha256, &initial, label, 32)?;
            SideKeys::new(version, &secret)
        };
        Some(InitialKeys {
            connection_id: connection_id.to_vec(),
            version,
            client: side(b"client in")?,
            server: side(b"server in")?,
        })
    }

    /// The frames of the packet at the front of `bytes`, when it is protected by these keys.
    pub(super) fn open(&self, long: &Long<'_>, bytes: &[u8], from_client: bool) -> Option<Vec<u8>> {
        let side = if from_client {
            &self.client
        } else {
            &self.server
        };
        side.open(long, bytes.get(..long.len)?)
    }
}

impl SideKeys {
    fn new(version: Version, secret: &[u8]) -> Option<SideKeys> {
        let [key, iv, header] = version.labels();
        let key = expand_label(Hash::Sha256, secret, key, 16)?;
        let iv = expand_label(Hash::Sha256, secret, iv, 12)?;
        let header = expand_label(Hash::Sha256, secret, header, 16)?;
        let key = aead::UnboundKey::new(&aead::AES_128_GCM, &key).ok()?;
        Some(SideKeys {
            key: aead::LessSafeKey::new(key),
            iv: <[u8; 12]>::try_from(iv).ok()?,
            header: quic::HeaderProtectionKey::new(&quic::AES_128, &header).ok()?,
        })
    }

    fn open(&self, long: &Long<'_>, packet: &[u8]) -> Option<Vec<u8>> {
        let (head, behind) = packet.split_at_checked(long.number_at)?;
        // The sample is taken as if the packet number had four bytes (RFC 9001 section 5.4.2).
        let sample = behind.get(4..4 + SAMPLE)?;
        let [mask, number_mask @ ..] = self.header.new_mask(sample).ok()?;
        let first = head.first()? ^ (mask & 0x0f);
        let number_len = usize::from(first & 3) + 1;
        let (number, sealed) = behind.split_at_checked(number_len)?;
        let mut additional = head.to_vec();
        if let Some(byte) = additional.first_mut() {
            *byte = first;
        }
        // Initial packets are few: the bytes sent are the whole number.
        let mut whole = 0;
        for (byte, mask) in number.iter().zip(number_mask) {
            additional.push(byte ^ mask);
            whole = whole << 8 | u64::from(byte ^ mask);
        }
        let nonce = aead::Nonce::assume_unique_for_key(numbered(&self.iv, whole));
        let mut plaintext = sealed.to_vec();
        let len = self
            .key
            .open_in_place(nonce, aead::Aad::from(&additional), &mut plaintext)
            .ok()?
            .len();
        plaintext.truncate(len);
        Some(plaintext)
    }
}
