//! Frames: their headers, and the small payloads that matter to a passive reader.
//!
//! In: bytes from where a frame begins. Out: header, settings, error names. Never: state. Standard:
//! RFC 9113 sections 4 and 6.

use crate::bytes::Reader;

/// "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", what a client sends first (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Octets of every frame header.
pub(super) const HEADER_LEN: usize = 9;

/// Payload that every receiver takes (SETTINGS_MAX_FRAME_SIZE before it is set).
pub(super) const DEFAULT_MAX_FRAME: u32 = 16_384;

/// Largest payload that can be allowed.
pub(super) const LARGEST_FRAME: u32 = (1 << 24) - 1;

/// "The stream has ended" on DATA and HEADERS.
pub(super) const END_STREAM: u8 = 0x1;
/// "This is an acknowledgement" on SETTINGS and PING.
pub(super) const ACK: u8 = 0x1;
/// "The field block ends here" on HEADERS, PUSH_PROMISE and CONTINUATION.
pub(super) const END_HEADERS: u8 = 0x4;
/// "A pad length and padding are there" on DATA, HEADERS and PUSH_PROMISE.
pub(super) const PADDED: u8 = 0x8;
/// "Stream dependency and weight are there" on HEADERS.
pub(super) const PRIORITY: u8 = 0x20;

/// SETTINGS_HEADER_TABLE_SIZE
const HEADER_TABLE_SIZE: u16 = 0x1;
/// SETTINGS_MAX_FRAME_SIZE
const MAX_FRAME_SIZE: u16 = 0x5;

/// Settings that one frame of a stream that is searched may hold; ten are defined.
const MAX_SETTINGS: u32 = 32;

/// The type of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// "Implementations MUST ignore and discard frames of unknown types" (section 4.1).
    Unknown(u8),
}

impl Kind {
    const KNOWN: [Kind; 10] = [
        Kind::Data,
        Kind::Headers,
        Kind::Priority,
        Kind::RstStream,
        Kind::Settings,
        Kind::PushPromise,
        Kind::Ping,
        Kind::GoAway,
        Kind::WindowUpdate,
        Kind::Continuation,
    ];

    fn of(code: u8) -> Kind {
        let known = Kind::KNOWN.get(usize::from(code)).copied();
        known.unwrap_or(Kind::Unknown(code))
    }

    /// Its number.
    pub(super) fn code(self) -> u8 {
        match self {
            Kind::Unknown(code) => code,
            known => {
                let place = Kind::KNOWN.iter().position(|kind| *kind == known);
                place
                    .and_then(|place| u8::try_from(place).ok())
                    .unwrap_or(0)
            }
        }
    }
}

/// The nine octets in front of every payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Octets of the payload.
    pub length: u32,
    /// Type.
    pub kind: Kind,
    /// Flags.
    pub flags: u8,
    /// Stream; 0 is the connection.
    pub stream: u32,
    /// Whether the bit in front of the stream is set, which senders leave unset.
    pub reserved: bool,
}

impl Header {
    /// Reads the header at the front of `bytes`; `None` when they are fewer than [`HEADER_LEN`].
    pub(super) fn read(bytes: &[u8]) -> Option<Header> {
        let mut reader = Reader::new(bytes);
        let high = u32::from(reader.u8().ok()?);
        let length = high << 16 | u32::from(reader.u16().ok()?);
        let (kind, flags) = (reader.u8().ok()?, reader.u8().ok()?);
        let stream = reader.u32().ok()?;
        Some(Header {
            length,
            kind: Kind::of(kind),
            flags,
            stream: stream & 0x7fff_ffff,
            reserved: stream & 0x8000_0000 != 0,
        })
    }

    /// As it stands on the wire.
    pub(super) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [_, high, middle, low] = self.length.to_be_bytes();
        let reserved = if self.reserved { 0x8000_0000 } else { 0 };
        let [s0, s1, s2, s3] = (self.stream | reserved).to_be_bytes();
        [
            high,
            middle,
            low,
            self.kind.code(),
            self.flags,
            s0,
            s1,
            s2,
            s3,
        ]
    }

    /// Whether a flag is set.
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Payload in bytes.
    pub(super) fn payload(&self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    /// The whole frame in bytes.
    pub(super) fn size(&self) -> u64 {
        HEADER_LEN as u64 + u64::from(self.length)
    }

    /// Whether a sender that keeps to the standard may have written this: for finding frames where
    /// nothing else tells.
    pub(super) fn is_plausible(&self, max: u32) -> bool {
        let only = |flags: u8| self.flags & !flags == 0;
        let fits = match (self.kind, self.stream) {
            // An empty one that does not end its stream says nothing, and looks like zeros.
            (Kind::Data, 1..) => only(END_STREAM | PADDED) && (self.length > 0 || self.flags != 0),
            (Kind::Headers, 1..) => {
                only(END_STREAM | END_HEADERS | PADDED | PRIORITY) && self.length > 0
            }
            (Kind::Priority, 1..) => self.length == 5 && self.flags == 0,
            (Kind::RstStream, 1..) => self.length == 4 && self.flags == 0,
            (Kind::Settings, 0) if self.flags == ACK => self.length == 0,
            (Kind::Settings, 0) => {
                only(0) && self.length.is_multiple_of(6) && self.length <= 6 * MAX_SETTINGS
            }
            (Kind::PushPromise, 1..) => only(END_HEADERS | PADDED) && self.length > 4,
            (Kind::Ping, 0) => only(ACK) && self.length == 8,
            (Kind::GoAway, 0) => only(0) && self.length >= 8,
            (Kind::WindowUpdate, _) => only(0) && self.length == 4,
            (Kind::Continuation, 1..) => only(END_HEADERS),
            _ => false,
        };
        fits && !self.reserved && self.length <= max
    }
}

/// What a passive reader needs of SETTINGS.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settings {
    /// SETTINGS_HEADER_TABLE_SIZE in bytes.
    pub header_table_size: Option<u32>,
    /// SETTINGS_MAX_FRAME_SIZE in bytes.
    pub max_frame_size: Option<u32>,
}

impl Settings {
    /// Reads the payload of a SETTINGS frame, or of an HTTP2-Settings field; a part of a setting at
    /// the end is left out.
    pub(super) fn read(payload: &[u8]) -> Settings {
        let mut settings = Settings::default();
        let mut reader = Reader::new(payload);
        while let (Ok(identifier), Ok(value)) = (reader.u16(), reader.u32()) {
            match identifier {
                HEADER_TABLE_SIZE => settings.header_table_size = Some(value),
                MAX_FRAME_SIZE => {
                    let allowed = DEFAULT_MAX_FRAME..=LARGEST_FRAME;
                    settings.max_frame_size = allowed.contains(&value).then_some(value);
                }
                _ => {}
            }
        }
        settings
    }
}

/// The name of an error code (RFC 9113 section 7).
pub(super) fn error_name(code: u32) -> &'static str {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    name.copied().unwrap_or("an unknown error")
}

/// The part of a HEADERS or PUSH_PROMISE payload behind padding and priority, and the promised
/// stream; `None` when the payload is too short for what its flags say.
pub(super) fn fragment<'p>(header: &Header, payload: &'p [u8]) -> Option<(&'p [u8], u32)> {
    let mut reader = Reader::new(payload);
    let padding = match header.has(PADDED) && header.kind != Kind::Continuation {
        true => usize::from(reader.u8().ok()?),
        false => 0,
    };
    let mut promised = 0;
    match header.kind {
        Kind::Headers if header.has(PRIORITY) => reader.skip(5).ok()?,
        Kind::PushPromise => promised = reader.u32().ok()? & 0x7fff_ffff,
        _ => {}
    }
    let length = reader.left().checked_sub(padding)?;
    Some((reader.take(length).ok()?, promised))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_its_fields() {
        let header = Header::read(b"\x00\x01\x02\x01\x25\x80\x00\x00\x03rest").unwrap();
        assert_eq!(
            (header.length, header.kind, header.stream, header.reserved),
            (258, Kind::Headers, 3, true)
        );
        assert!(header.has(PRIORITY) && header.has(END_HEADERS) && !header.has(PADDED));
        assert_eq!(header.to_bytes(), *b"\x00\x01\x02\x01\x25\x80\x00\x00\x03");
        assert_eq!(Header::read(b"\0\0\0\0\0\0\0\0"), None);
        for code in 0..=255 {
            assert_eq!(Kind::of(code).code(), code);
        }
    }

    #[test]
    fn padding_and_priority_are_left_out() {
        let header = |kind, flags| Header {
            length: 0,
            kind,
            flags,
            stream: 1,
            reserved: false,
        };
        let headers = header(Kind::Headers, PADDED | PRIORITY);
        assert_eq!(
            fragment(&headers, b"\x02\0\0\0\x01\x10ab\0\0"),
            Some((&b"ab"[..], 0))
        );
        assert_eq!(fragment(&headers, b"\x03\0\0\0\x01\x10\0\0"), None);
        assert_eq!(fragment(&headers, b"\x03\0\0"), None);
        let promise = header(Kind::PushPromise, 0);
        assert_eq!(fragment(&promise, b"\x80\0\0\x02ab"), Some((&b"ab"[..], 2)));
        // PADDED is no flag of CONTINUATION.
        let continuation = header(Kind::Continuation, PADDED);
        assert_eq!(fragment(&continuation, b"ab"), Some((&b"ab"[..], 0)));
    }

    #[test]
    fn settings_that_matter_are_read() {
        let payload = b"\0\x01\0\0\x10\x01\0\x09\0\0\0\x01\0\x05\0\0\x40\x01\0\x01\0";
        assert_eq!(
            Settings::read(payload),
            Settings {
                header_table_size: Some(4097),
                max_frame_size: Some(16385)
            }
        );
        assert_eq!(Settings::read(b"\0\x05\0\0\0\x01").max_frame_size, None);
    }
}
