//! Compression of record batches and message sets.
//!
//! In: packed bytes, perhaps cut at their end. Out: what they hold, as far as the cap allows and the
//! data is sound. Never: more bytes than [`Limits`] have left; for snappy without framing not more
//! than [`MAX_SNAPPY_BLOCK`] at a time. Standards: RFC 1952 (gzip), RFC 8878 (zstd), the LZ4 frame
//! format, the snappy format, and the framing that snappy-java gives it.

use std::io::Read;

use bytes::Bytes;

use super::decode::Limits;
use crate::bytes::Reader;

/// Largest block of snappy that is unpacked: it comes out whole or not at all. Producers send
/// batches of up to 1 MB (`max.request.size`).
const MAX_SNAPPY_BLOCK: usize = 2 * 1024 * 1024;

/// What snappy-java puts before its blocks: a name, then two versions of four bytes each.
const SNAPPY_JAVA: &[u8] = b"\x82SNAPPY\0";

/// Largest zstd window as a power of two: 8 MB, what RFC 9659 asks of every recipient.
const MAX_ZSTD_WINDOW_LOG: u32 = 23;

/// Compression of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// None.
    None,
    /// `gzip`
    Gzip,
    /// `snappy`
    Snappy,
    /// `lz4`
    Lz4,
    /// `zstd`
    Zstd,
    /// One that is not known.
    Unknown,
}

impl Codec {
    /// The lowest three bits of a batch's attributes.
    pub(super) fn of(attributes: i16) -> Codec {
        match attributes & 7 {
            0 => Codec::None,
            1 => Codec::Gzip,
            2 => Codec::Snappy,
            3 => Codec::Lz4,
            4 => Codec::Zstd,
            _ => Codec::Unknown,
        }
    }

    /// Its name in the configuration of producers (`compression.type`).
    pub(super) fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
            Codec::Unknown => "unknown",
        }
    }
}

/// Unpacks `packed`; `None` when nothing can be made of it.
pub(super) fn unpack(codec: Codec, packed: &Bytes, limits: &mut Limits) -> Option<Bytes> {
    let out = match codec {
        Codec::None => return Some(packed.clone()),
        Codec::Gzip => read(flate2::bufread::MultiGzDecoder::new(&packed[..]), limits),
        Codec::Lz4 => read(lz4_flex::frame::FrameDecoder::new(&packed[..]), limits),
        Codec::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&packed[..]).ok()?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).ok()?;
            read(decoder, limits)
        }
        Codec::Snappy => snappy(packed, limits),
        Codec::Unknown => Vec::new(),
    };
    (!out.is_empty()).then(|| out.into())
}

/// Reads up to the cap; an error ends it with what came before.
fn read(mut from: impl Read, limits: &mut Limits) -> Vec<u8> {
    let mut out = Vec::new();
    let most = limits.unpacked as u64 + 1;
    let _ = from.by_ref().take(most).read_to_end(&mut out);
    charge(&mut out, limits);
    out
}

fn charge(out: &mut Vec<u8>, limits: &mut Limits) {
    if out.len() > limits.unpacked {
        out.truncate(limits.unpacked);
        limits.met = true;
    }
    limits.unpacked -= out.len();
}

fn snappy(packed: &[u8], limits: &mut Limits) -> Vec<u8> {
    let Some(framed) = packed.strip_prefix(SNAPPY_JAVA) else {
        return snappy_block(packed, limits);
    };
    let mut reader = Reader::new(framed);
    let _ = reader.skip(8);
    let mut out = Vec::new();
    while let Ok(length) = reader.u32() {
        let block = reader.take(usize::try_from(length).unwrap_or(usize::MAX));
        let block = block.map_or_else(|_| Vec::new(), |block| snappy_block(block, limits));
        if block.is_empty() {
            break;
        }
        out.extend_from_slice(&block);
    }
    out
}

fn snappy_block(block: &[u8], limits: &mut Limits) -> Vec<u8> {
    let sound = snap::raw::decompress_len(block).is_ok_and(|length| length <= MAX_SNAPPY_BLOCK);
    if !sound || limits.unpacked == 0 {
        limits.met |= limits.unpacked == 0;
        return Vec::new();
    }
    let mut out = snap::raw::Decoder::new()
        .decompress_vec(block)
        .unwrap_or_default();
    charge(&mut out, limits);
    out
}
