//! Compressed captures: what they are told by, and how they are undone.
//!
//! In: the bytes of a file. Out: what they hold. Never: more memory than [`MAX_ZSTD_WINDOW_LOG`] or two
//! blocks of LZ4 (8 MiB each). Standards: RFC 1952 (gzip), RFC 8878 (zstd), the LZ4 frame format.

use std::io::{self, Cursor, Read};

use lz4_flex::frame::FrameDecoder;

/// Largest zstd window that is accepted, 128 MiB: the default bound of the zstd program, so that a
/// hostile frame header cannot ask for more.
pub const MAX_ZSTD_WINDOW_LOG: u32 = 27;

/// Bytes of a file that tell how it is compressed.
pub(super) const MAGIC: usize = 4;

/// Bytes of a file that tell what it is, when it is no capture: as many as a tar archive's first header.
const FRONT: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Gzip,
    Lz4,
    Zstd,
}

/// What a file that begins with these bytes is compressed with.
fn compression(front: &[u8]) -> Option<Compression> {
    match front {
        [0x1f, 0x8b, ..] => Some(Compression::Gzip),
        // As the lz4 program writes them, and as its first versions did.
        [0x04, 0x22, 0x4d, 0x18, ..] | [0x02, 0x21, 0x4c, 0x18, ..] => Some(Compression::Lz4),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Compression::Zstd),
        _ => None,
    }
}

/// Whether a file that begins with these bytes is compressed.
pub(super) fn is_compressed(front: &[u8; MAGIC]) -> bool {
    compression(front).is_some()
}

/// Names of files without the ending that says how they are compressed.
pub(crate) fn plain_name(name: &str) -> &str {
    [".gz", ".lz4", ".zst"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name)
}

/// Undoes gzip, LZ4 and zstd, several members or frames in a row included; tells whether it does.
pub(crate) fn decompressed(
    mut reader: Box<dyn Read + Send>,
) -> io::Result<(Box<dyn Read + Send>, bool)> {
    let front = front_of(&mut reader)?;
    let found = compression(&front);
    let whole = Cursor::new(front).chain(reader);
    Ok(match found {
        Some(Compression::Gzip) => (Box::new(flate2::read::MultiGzDecoder::new(whole)), true),
        Some(Compression::Lz4) => (Box::new(Lz4::new(whole)), true),
        Some(Compression::Zstd) => {
            let mut decoder = zstd::stream::read::Decoder::new(whole)?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
            (Box::new(decoder), true)
        }
        None => (Box::new(whole), false),
    })
}

/// As much of the front as one read gives, and at least [`MAGIC`] bytes where there are so many: who still
/// writes is not waited for.
fn front_of(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut front = vec![0; FRONT];
    let mut length = 0;
    while length < MAGIC {
        match reader.read(front.get_mut(length..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    front.truncate(length);
    Ok(front)
}

/// Frames of LZ4 in a row: their decoder ends with each.
struct Lz4<R: Read>(FrameDecoder<Counted<R>>);

impl<R: Read> Lz4<R> {
    fn new(reader: R) -> Lz4<R> {
        Lz4(FrameDecoder::new(Counted { reader, count: 0 }))
    }
}

impl<R: Read> Read for Lz4<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let before = self.0.get_ref().count;
            let count = self.0.read(into)?;
            if count > 0 || into.is_empty() || self.0.get_ref().count == before {
                return Ok(count);
            }
        }
    }
}

/// Counts what is read.
struct Counted<R> {
    reader: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(into)?;
        self.count += count as u64;
        Ok(count)
    }
}
