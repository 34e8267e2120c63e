//! What every message begins with: its size, and the headers of requests and responses.
//!
//! In: the bytes of one message from its size on, perhaps cut at their end. Out: its header, and
//! where its body begins. Never: a body. Standard: the protocol guide of Apache Kafka ("Request and
//! Response Headers"), KIP-482 for header versions 2 and 1.

use super::decode::unsigned_varint;
use super::schema::Api;
use crate::bytes::{Reader, Short};

/// Bytes of the size that stands before every message.
pub(super) const SIZE: usize = 4;

/// Bytes from the size to the correlation identifier of a request.
pub(super) const REQUEST_START: usize = SIZE + 8;

/// Bytes from the size to the correlation identifier of a response.
pub(super) const RESPONSE_START: usize = SIZE + 4;

/// Largest message; brokers take requests of 100 MiB (`socket.request.max.bytes`), consumers ask
/// for up to 50 MiB and get at least one batch whatever its size.
const MAX_SIZE: u32 = 1 << 30;

/// Highest key and version that a header may have to be one: there are 93 and 19 today.
const MAX_KEY: i16 = 255;
const MAX_VERSION: i16 = 99;

/// Versions above the latest known one that detection takes for those of a newer broker.
const NEWER_VERSIONS: i16 = 4;

/// Longest client identifier that detection believes.
const MAX_CLIENT_ID: i16 = 1024;

/// The fixed part of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestStart {
    /// Bytes behind the size.
    pub size: u32,
    /// Number of the API.
    pub key: i16,
    /// Version of the API.
    pub version: i16,
    /// Number that the response repeats.
    pub correlation_id: i32,
}

/// The fixed part of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResponseStart {
    /// Bytes behind the size.
    pub size: u32,
    /// Number of the request.
    pub correlation_id: i32,
}

impl RequestStart {
    /// Reads the first [`REQUEST_START`] bytes.
    pub(super) fn read(bytes: &[u8]) -> Result<RequestStart, Short> {
        let mut reader = Reader::new(bytes);
        Ok(RequestStart {
            size: reader.u32()?,
            key: reader.u16()?.cast_signed(),
            version: reader.u16()?.cast_signed(),
            correlation_id: reader.u32()?.cast_signed(),
        })
    }

    /// Whether a request may begin so.
    pub(super) fn is_sound(&self) -> bool {
        (8..=MAX_SIZE).contains(&self.size)
            && (0..=MAX_KEY).contains(&self.key)
            && (0..=MAX_VERSION).contains(&self.version)
    }

    /// Whether a request of an API that is known begins so.
    fn is_known(&self) -> bool {
        self.is_sound()
            && Api::of(self.key).is_some_and(|api| self.version <= api.latest + NEWER_VERSIONS)
    }
}

impl ResponseStart {
    /// Reads the first [`RESPONSE_START`] bytes.
    pub(super) fn read(bytes: &[u8]) -> Result<ResponseStart, Short> {
        let mut reader = Reader::new(bytes);
        Ok(ResponseStart {
            size: reader.u32()?,
            correlation_id: reader.u32()?.cast_signed(),
        })
    }

    /// Whether a response may begin so.
    pub(super) fn is_sound(&self) -> bool {
        (4..=MAX_SIZE).contains(&self.size)
    }
}

/// A request's whole header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestHeader<'a> {
    /// Its fixed part.
    pub start: RequestStart,
    /// Who says to be asking; empty when null.
    pub client_id: &'a [u8],
    /// Where the body begins, counted from the size.
    pub body_at: usize,
}

/// Reads a request's header.
pub(super) fn request_header(message: &[u8]) -> Result<RequestHeader<'_>, Short> {
    let start = RequestStart::read(message)?;
    let mut reader = Reader::new(message);
    reader.skip(REQUEST_START)?;
    let version = Api::of_any(start.key).request_header(start.version);
    let client_id = match version {
        0 => &[],
        _ => {
            let length = reader.u16()?.cast_signed();
            reader.take(usize::try_from(length).unwrap_or(0))?
        }
    };
    if version >= 2 {
        skip_tagged(&mut reader)?;
    }
    Ok(RequestHeader {
        start,
        client_id,
        body_at: reader.offset(),
    })
}

/// Where a response's body begins, counted from its size.
pub(super) fn response_body_at(message: &[u8], api: &Api, version: i16) -> Result<usize, Short> {
    let mut reader = Reader::new(message);
    reader.skip(RESPONSE_START)?;
    if api.response_header(version) > 0 {
        skip_tagged(&mut reader)?;
    }
    Ok(reader.offset())
}

fn skip_tagged(reader: &mut Reader<'_>) -> Result<(), Short> {
    for _ in 0..unsigned_varint(reader)? {
        unsigned_varint(reader)?;
        let size = unsigned_varint(reader)?;
        reader.skip(usize::try_from(size).unwrap_or(usize::MAX))?;
    }
    Ok(())
}

/// What the first bytes of a direction look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    /// They are no request.
    No,
    /// More bytes are needed.
    Unsure,
    /// They may be one: the fixed part fits, and there is no client identifier to confirm it.
    Perhaps(RequestStart),
    /// They are one.
    Yes(RequestStart),
}

/// Looks for a request at the front of `bytes`.
pub(super) fn looks_like_request(bytes: &[u8]) -> Looks {
    let Ok(start) = RequestStart::read(bytes) else {
        // The first two bytes of the size are as good as always 0; those of the key too.
        let fits = bytes.first().is_none_or(|byte| *byte <= 0x40)
            && bytes.get(4).is_none_or(|byte| *byte == 0);
        return if fits { Looks::Unsure } else { Looks::No };
    };
    if !start.is_known() {
        return Looks::No;
    }
    if Api::of_any(start.key).request_header(start.version) == 0 {
        return Looks::Perhaps(start);
    }
    let mut reader = Reader::new(bytes);
    let Ok(length) = reader.skip(REQUEST_START).and_then(|()| reader.u16()) else {
        return Looks::Unsure;
    };
    let length = length.cast_signed();
    if length == -1 {
        return Looks::Perhaps(start);
    }
    let fits = (0..=MAX_CLIENT_ID).contains(&length)
        && u32::from(length.unsigned_abs()) + 10 <= start.size;
    let client_id = reader
        .take(usize::try_from(length).unwrap_or(0))
        .unwrap_or(reader.rest());
    let printable = |byte: &u8| matches!(byte, b' '..=b'~' | 0x80..);
    if !fits || !client_id.iter().all(printable) {
        Looks::No
    } else if client_id.len() < usize::from(length.unsigned_abs()) {
        Looks::Unsure
    } else if length == 0 {
        Looks::Perhaps(start)
    } else {
        Looks::Yes(start)
    }
}
