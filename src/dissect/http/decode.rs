//! Content codings: from a compressed body to its bytes.
//!
//! In: the codings of a message and the body as it was sent. Out: the decoded bytes, as far as the
//! caps allow and the data is sound. Never: more output than [`MAX_ITEM_BODY`] kept, more work than
//! [`MAX_DECODED`]. Standards: RFC 9110 section 8.4.1, RFC 1950 to 1952, RFC 7932, RFC 8878.

use std::io::{BufRead, BufReader, ErrorKind, Read};

use crate::item::MAX_ITEM_BODY;

/// Decoded bytes that are counted; a body that unpacks to more is left at that.
const MAX_DECODED: u64 = 8 * 1024 * 1024;

/// Output for one byte of input, the most that deflate can reach; what promises more is a bomb.
const MAX_RATIO: u64 = 1032;

/// Bytes that are decoded at a time.
const STEP: usize = 4096;

/// Codings of one message that are undone; nobody applies more than two.
const MAX_CODINGS: usize = 4;

/// Largest zstd window as a power of two: 8 MB, what RFC 9659 asks of every recipient.
const MAX_ZSTD_WINDOW_LOG: u32 = 23;

/// One compression.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// `identity`: nothing to undo.
    #[default]
    Identity,
    /// `gzip`, `x-gzip`
    Gzip,
    /// `deflate`, with or without its zlib wrapper.
    Deflate,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
    /// One that we cannot undo.
    Unknown,
}

impl Coding {
    const ALL: [Coding; 6] = [
        Coding::Identity,
        Coding::Gzip,
        Coding::Deflate,
        Coding::Brotli,
        Coding::Zstd,
        Coding::Unknown,
    ];

    /// The coding of this name, upper or lower case.
    pub(super) fn named(name: &[u8]) -> Coding {
        let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
        match name.len() {
            8 if is(b"identity") => Coding::Identity,
            4 if is(b"gzip") => Coding::Gzip,
            6 if is(b"x-gzip") => Coding::Gzip,
            7 if is(b"deflate") => Coding::Deflate,
            2 if is(b"br") => Coding::Brotli,
            4 if is(b"zstd") => Coding::Zstd,
            _ => Coding::Unknown,
        }
    }
}

/// The codings of one message in the order in which they were applied.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Codings {
    list: [Coding; MAX_CODINGS],
    count: u8,
}

impl Codings {
    /// Adds one; past [`MAX_CODINGS`] the body stays as it is.
    pub(super) fn push(&mut self, coding: Coding) {
        if coding == Coding::Identity {
            return;
        }
        match self.list.get_mut(usize::from(self.count)) {
            Some(slot) => {
                *slot = coding;
                self.count += 1;
            }
            None => self.list[MAX_CODINGS - 1] = Coding::Unknown,
        }
    }

    /// Adds those that were applied later.
    pub(super) fn append(&mut self, later: Codings) {
        for coding in later.applied() {
            self.push(*coding);
        }
    }

    fn applied(&self) -> &[Coding] {
        self.list.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// Whether there is something to undo that we can undo.
    pub(super) fn is_compressed(&self) -> bool {
        self.count > 0 && !self.applied().contains(&Coding::Unknown)
    }

    /// Three bits a coding, for bytes that carry their codings with them.
    pub(super) fn to_bits(self) -> u16 {
        self.applied().iter().rev().fold(0, |bits, coding| {
            let index = Coding::ALL
                .iter()
                .position(|one| one == coding)
                .unwrap_or(0);
            (bits << 3) | u16::try_from(index).unwrap_or(0)
        })
    }

    /// The reverse of [`Codings::to_bits`].
    pub(super) fn from_bits(mut bits: u16) -> Codings {
        let mut codings = Codings::default();
        while bits != 0 {
            let coding = Coding::ALL.get(usize::from(bits & 7));
            codings.push(coding.copied().unwrap_or(Coding::Unknown));
            bits >>= 3;
        }
        codings
    }
}

/// A decoded body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// The first bytes, at most [`MAX_ITEM_BODY`].
    pub bytes: Vec<u8>,
    /// Decoded bytes that were counted.
    pub size: u64,
    /// Whether the end was reached with nothing left out.
    pub whole: bool,
}

/// Undoes `codings`; `None` when the data is not of the first of them at all.
pub(super) fn decode(codings: Codings, body: &[u8]) -> Option<Decoded> {
    let mut input: Box<dyn BufRead + '_> = Box::new(body);
    let (outermost, others) = codings.applied().split_first()?;
    for coding in others.iter().rev() {
        input = Box::new(BufReader::with_capacity(STEP, undo(*coding, input)?));
    }
    let mut reader = undo(*outermost, input)?;
    let mut bytes = Vec::with_capacity(body.len().saturating_mul(4).min(MAX_ITEM_BODY));
    let kept = reader
        .by_ref()
        .take(MAX_ITEM_BODY as u64)
        .read_to_end(&mut bytes);
    let mut size = bytes.len() as u64;
    let mut whole = kept.is_ok();
    if whole && bytes.len() == MAX_ITEM_BODY {
        let left = count(&mut reader, body.len());
        size += left;
        whole = left == 0;
    }
    // Bytes that were never compressed are shown as they are.
    (whole || !bytes.is_empty()).then_some(Decoded { bytes, size, whole })
}

/// Counts what else there is, up to the caps.
fn count(reader: &mut dyn Read, input: usize) -> u64 {
    let most = MAX_DECODED.min((input as u64).saturating_mul(MAX_RATIO));
    let mut buffer = [0; STEP];
    let mut size = 0;
    while size < most {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => size += count as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    size
}

fn undo<'r>(coding: Coding, mut from: Box<dyn BufRead + 'r>) -> Option<Box<dyn Read + 'r>> {
    Some(match coding {
        Coding::Identity => from,
        Coding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        Coding::Deflate => match is_zlib(from.fill_buf().ok()?) {
            true => Box::new(flate2::bufread::ZlibDecoder::new(from)),
            false => Box::new(flate2::bufread::DeflateDecoder::new(from)),
        },
        Coding::Brotli => Box::new(brotli_decompressor::Decompressor::new(from, STEP)),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(from).ok()?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).ok()?;
            Box::new(decoder)
        }
        Coding::Unknown => return None,
    })
}

/// "some non-conformant implementations send the deflate data without the zlib wrapper"
/// (RFC 9110 section 8.4.1.2); the wrapper's first two bytes are a multiple of 31 (RFC 1950).
fn is_zlib(first: &[u8]) -> bool {
    match first {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => true,
    }
}
