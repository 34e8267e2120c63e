//! OP_COMPRESSED: from a compressed message to the one inside.
//!
//! In: a whole message. Out: the message as it was before, and the compressor's name. Never: more
//! bytes than [`MAX_UNPACKED`]. Standard: MongoDB specification "Wire Compression".
//!
//! ```text
//! body = original opcode i32, uncompressed size i32, compressor u8, data
//! ```

use std::io::Read;

use bytes::{BufMut, Bytes};

use super::parser::{HEADER, Header};
use crate::bytes::Reader;

/// Bytes that one message unpacks to; what is more is left out.
const MAX_UNPACKED: usize = 4 * 1024 * 1024;

/// Largest zstd window as a power of two.
const MAX_ZSTD_WINDOW_LOG: u32 = 24;

/// A message out of a compressed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unpacked {
    /// Header and body; the header tells the original opcode and length.
    pub bytes: Bytes,
    pub opcode: u32,
    pub compressor: u8,
    /// Length of the whole message before compression.
    pub size: u64,
}

/// Names of the compressors, by number.
pub(super) const COMPRESSORS: [&str; 4] = ["noop", "snappy", "zlib", "zstd"];

/// Unpacks a message; of one that is damaged or too long what can be read.
pub(super) fn unpack(message: &[u8], header: Header) -> Option<Unpacked> {
    let mut reader = Reader::new(message);
    reader.skip(HEADER).ok()?;
    let opcode = reader.u32_le().ok()?;
    let told = reader.u32_le().ok()?;
    let compressor = reader.u8().ok()?;
    let body = inflate(compressor, reader.rest(), usize::try_from(told).ok()?);
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.put_u32_le(told.saturating_add(16));
    bytes.put_u32_le(header.request_id);
    bytes.put_u32_le(header.response_to);
    bytes.put_u32_le(opcode);
    bytes.extend(body);
    Some(Unpacked {
        bytes: bytes.into(),
        opcode,
        compressor,
        size: u64::from(told) + HEADER as u64,
    })
}

fn inflate(compressor: u8, data: &[u8], told: usize) -> Vec<u8> {
    let most = told.min(MAX_UNPACKED) as u64;
    let mut out = Vec::new();
    // An error ends what can be read; what is missing shows as cut.
    let _ = match compressor {
        0 => data.take(most).read_to_end(&mut out),
        1 => {
            out = snappy(data);
            Ok(out.len())
        }
        2 => flate2::bufread::ZlibDecoder::new(data)
            .take(most)
            .read_to_end(&mut out),
        3 => zstd::stream::read::Decoder::with_buffer(data).and_then(|mut decoder| {
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
            decoder.take(most).read_to_end(&mut out)
        }),
        _ => Ok(0),
    };
    out
}

/// Unpacks snappy data, which cannot be read in part: nothing when it is damaged or too long.
fn snappy(data: &[u8]) -> Vec<u8> {
    match snap::raw::decompress_len(data) {
        Ok(length) if length <= MAX_UNPACKED => {
            let unpacked = snap::raw::Decoder::new().decompress_vec(data);
            unpacked.unwrap_or_default()
        }
        _ => Vec::new(),
    }
}
