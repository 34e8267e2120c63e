//! Frames of RFC 6455: headers, masks, close payloads.
//!
//! In: bytes from where a frame begins. Out: a [`Header`], and payloads unmasked. Never: state, or a
//! payload put together. Standard: RFC 6455 section 5, for closing sections 5.5.1 and 7.4.

use crate::bytes::Reader;

/// Longest payload of a control frame (RFC 6455 section 5.5).
pub(super) const MAX_CONTROL: u64 = 125;

/// Longest header: two bytes, a length of eight, a masking key.
#[cfg(test)]
pub(super) const MAX_HEADER: usize = 14;

/// What a frame carries (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    /// More of the message that an earlier frame began.
    Continuation,
    /// Text in UTF-8.
    Text,
    /// Bytes.
    Binary,
    /// The end of the conversation.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping, or says that the sender is there.
    Pong,
}

impl Opcode {
    const ALL: [Opcode; 6] = [
        Opcode::Continuation,
        Opcode::Text,
        Opcode::Binary,
        Opcode::Close,
        Opcode::Ping,
        Opcode::Pong,
    ];

    /// The opcode on the wire.
    pub(super) fn code(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xa,
        }
    }

    /// The opcode with this number; `None` for the reserved ones.
    pub(super) fn from_code(code: u8) -> Option<Opcode> {
        Opcode::ALL.into_iter().find(|opcode| opcode.code() == code)
    }

    /// The name that items have.
    pub(super) fn name(self) -> &'static str {
        match self {
            Opcode::Continuation => "continuation",
            Opcode::Text => "text",
            Opcode::Binary => "binary",
            Opcode::Close => "close",
            Opcode::Ping => "ping",
            Opcode::Pong => "pong",
        }
    }

    /// Whether it is a control frame, which may stand between the frames of a message.
    pub(super) fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// FIN: whether it is the last frame of its message.
    pub fin: bool,
    /// RSV1: of a message's first frame, whether it is compressed (RFC 7692 section 6).
    pub rsv1: bool,
    /// RSV2 or RSV3, which no registered extension uses.
    pub rsv23: bool,
    /// What it carries.
    pub opcode: Opcode,
    /// The masking key; `None` when the payload is not masked.
    pub mask: Option<[u8; 4]>,
    /// Bytes of the payload.
    pub length: u64,
    /// Whether the length is written in as few bytes as it can be.
    pub minimal: bool,
    /// Bytes of the header.
    pub size: usize,
}

/// What became of reading a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parsed {
    /// It is there.
    Header(Header),
    /// This many bytes are needed, from the start of the frame.
    Partial(usize),
    /// It is against the standard in a way that leaves the framing in doubt: a reserved opcode, a
    /// control frame that is fragmented or longer than [`MAX_CONTROL`], a length beyond 63 bits.
    Malformed,
}

/// Reads the header at the front of `bytes`.
///
/// ```text
/// FIN 1 bit, RSV1-3 3 bits, opcode 4 bits, MASK 1 bit, length 7 bits,
/// 126: length u16, 127: length u64, MASK: key 4 bytes                              big-endian
/// ```
pub(super) fn header(bytes: &[u8]) -> Parsed {
    let Some(([first, second], _)) = bytes.split_first_chunk::<2>() else {
        // A first byte that cannot be one is known at once.
        return match bytes.first().map(|first| Opcode::from_code(first & 0x0f)) {
            Some(None) => Parsed::Malformed,
            _ => Parsed::Partial(2),
        };
    };
    let Some(opcode) = Opcode::from_code(first & 0x0f) else {
        return Parsed::Malformed;
    };
    let (fin, masked, short) = (first & 0x80 != 0, second & 0x80 != 0, second & 0x7f);
    // "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be
    // fragmented."
    if opcode.is_control() && (!fin || u64::from(short) > MAX_CONTROL) {
        return Parsed::Malformed;
    }
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let size = 2 + extended + if masked { 4 } else { 0 };
    let mut reader = Reader::new(bytes);
    let mut rest = || {
        reader.skip(2)?;
        let length = match short {
            126 => reader.u16()?.into(),
            127 => reader.u64()?,
            short => short.into(),
        };
        let mut key = [0; 4];
        if masked {
            key.copy_from_slice(reader.take(4)?);
        }
        Ok::<_, crate::bytes::Short>((length, masked.then_some(key)))
    };
    match rest() {
        Err(_) => Parsed::Partial(size),
        // "the most significant bit MUST be 0"
        Ok((length, _)) if length > i64::MAX as u64 => Parsed::Malformed,
        Ok((length, mask)) => Parsed::Header(Header {
            fin,
            rsv1: first & 0x40 != 0,
            rsv23: first & 0x30 != 0,
            opcode,
            mask,
            length,
            minimal: match extended {
                2 => length > MAX_CONTROL,
                8 => length > u64::from(u16::MAX),
                _ => true,
            },
            size,
        }),
    }
}

/// Applies a masking key to bytes that begin `at` bytes into the payload (RFC 6455 section 5.3).
pub(super) fn unmask(bytes: &mut [u8], key: [u8; 4], at: u64) {
    let turns = usize::try_from(at % 4).unwrap_or(0);
    let mut key = key;
    key.rotate_left(turns);
    for (byte, key) in bytes.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// Splits an unmasked close payload into status code and reason; `None` without a code.
pub(super) fn close(payload: &[u8]) -> Option<(u16, &[u8])> {
    let (code, reason) = payload.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*code), reason))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Header {
        match header(bytes) {
            Parsed::Header(header) => header,
            other => panic!("{bytes:x?}: {other:?}"),
        }
    }

    /// The examples of RFC 6455 section 5.7.
    #[test]
    fn headers_of_the_standard() {
        let plain = read(b"\x81\x05Hello");
        assert_eq!(
            (plain.fin, plain.opcode, plain.mask, plain.length),
            (true, Opcode::Text, None, 5)
        );
        let mut payload = *b"\x7f\x9f\x4d\x51\x58";
        let masked = read(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        assert_eq!(
            (masked.mask, masked.size),
            (Some([0x37, 0xfa, 0x21, 0x3d]), 6)
        );
        unmask(&mut payload, masked.mask.unwrap(), 0);
        assert_eq!(&payload, b"Hello");
        let (first, second) = (read(b"\x01\x03Hel"), read(b"\x80\x02lo"));
        assert_eq!((first.fin, first.opcode), (false, Opcode::Text));
        assert_eq!((second.fin, second.opcode), (true, Opcode::Continuation));
        assert_eq!(read(b"\x89\x05Hello").opcode, Opcode::Ping);
        assert_eq!(read(b"\x82\x7e\x01\x00").length, 256);
        let long = read(b"\x82\x7f\0\0\0\0\0\x01\0\0");
        assert_eq!((long.length, long.size, long.minimal), (65536, 10, true));
    }

    #[test]
    fn what_is_against_the_standard() {
        let cases: [(&[u8], &str); 5] = [
            (b"\x83", "a reserved opcode"),
            (b"\x8b\0", "a reserved control opcode"),
            (b"\x09\0", "a fragmented ping"),
            (b"\x88\x7e\0\x7e", "a long close"),
            (b"\x82\x7f\x80\0\0\0\0\0\0\0", "a length of 64 bits"),
        ];
        for (bytes, what) in cases {
            assert_eq!(header(bytes), Parsed::Malformed, "{what}");
        }
        assert!(!read(b"\x82\x7e\0\x05").minimal);
        assert!(!read(b"\x82\x7f\0\0\0\0\0\0\0\x05").minimal);
        assert!(read(b"\xf2\x00").rsv23 && read(b"\xc2\x00").rsv1);
    }

    #[test]
    fn a_partial_header_says_what_it_needs() {
        assert_eq!(header(b""), Parsed::Partial(2));
        assert_eq!(header(b"\x81"), Parsed::Partial(2));
        assert_eq!(header(b"\x81\x85"), Parsed::Partial(6));
        assert_eq!(header(b"\x81\xfe\x01"), Parsed::Partial(8));
        assert_eq!(header(b"\x81\xff\0"), Parsed::Partial(MAX_HEADER));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Parsed::Header(header) = header(&bytes) {
                prop_assert!(header.size <= bytes.len() && header.size <= MAX_HEADER);
            }
            close(&bytes);
        }

        #[test]
        fn a_mask_goes_on_where_it_stopped(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            key in any::<[u8; 4]>(),
            cut in any::<proptest::sample::Index>(),
        ) {
            let (mut whole, mut parts) = (bytes.clone(), bytes.clone());
            unmask(&mut whole, key, 0);
            let at = cut.index(bytes.len() + 1);
            unmask(&mut parts[..at], key, 0);
            unmask(&mut parts[at..], key, at as u64);
            prop_assert_eq!(whole, parts);
        }
    }
}
