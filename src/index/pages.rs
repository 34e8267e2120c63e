//! The pages of one column chunk, decompressed one after the other.
//!
//! In: the bytes of a chunk. Out: pages for the decoder of `parquet`, whose own reader of pages makes a
//! compressor and a decompressor for each chunk; there are forty in a row group, and making them costs more
//! than what they do. Here each thread has one. Never: pages of a kind that no index has; a length that is
//! believed. Format: <https://github.com/apache/parquet-format>, in Thrift's compact protocol.

use std::cell::RefCell;
use std::io::Cursor;

use ::bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use zstd::bulk::Decompressor;

use crate::bytes::{Reader, Short};

/// Structs within structs that a header may have; those of pages have two.
const MAX_DEPTH: u8 = 8;

/// Types of pages (`PageType`).
const DATA: i64 = 0;
const DICTIONARY: i64 = 2;

thread_local! {
    static ZSTD: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Reads the pages of a chunk.
pub(super) struct Pages {
    chunk: Bytes,
    at: usize,
    compression: Compression,
    /// Bytes that all its pages may have together.
    left: usize,
}

/// What the header of a page says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Head {
    kind: i64,
    uncompressed: i64,
    compressed: i64,
    values: i64,
    encoding: i64,
    definition: i64,
    repetition: i64,
    /// Bytes of the header itself.
    size: usize,
}

impl Pages {
    /// The pages in `chunk`, which have `bytes` together when they are decompressed.
    pub(super) fn of(chunk: Bytes, compression: Compression, bytes: usize) -> Pages {
        Pages {
            chunk,
            at: 0,
            compression,
            left: bytes,
        }
    }

    fn head(&self) -> Result<Option<Head>> {
        let rest = self.chunk.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let mut reader = Reader::new(rest);
        let mut head = Head::default();
        let read = fields(&mut reader, 0, &mut |path, value| {
            let to = match path {
                [1] => &mut head.kind,
                [2] => &mut head.uncompressed,
                [3] => &mut head.compressed,
                [5 | 7, 1] => &mut head.values,
                [5 | 7, 2] => &mut head.encoding,
                [5, 3] => &mut head.definition,
                [5, 4] => &mut head.repetition,
                _ => return,
            };
            *to = value;
        });
        read.map_err(|_| damaged("the header of a page is cut off"))?;
        head.size = reader.offset();
        match head.kind {
            DATA | DICTIONARY => Ok(Some(head)),
            _ => Err(damaged("a page is of a kind that is not written")),
        }
    }

    fn next(&mut self) -> Result<Option<Page>> {
        let Some(head) = self.head()? else {
            return Ok(None);
        };
        let body = self.body(&head)?;
        let size = usize::try_from(head.uncompressed).ok();
        let size = size.filter(|size| *size <= self.left);
        let size = size.ok_or_else(|| damaged("a page is larger than its column"))?;
        self.left -= size;
        let buf = match self.compression {
            Compression::UNCOMPRESSED => body,
            Compression::ZSTD(_) => decompressed(&body, size)?,
            _ => return Err(damaged("a column is compressed in another way")),
        };
        let num_values =
            u32::try_from(head.values).map_err(|_| damaged("a page has no count of values"))?;
        let encoding = encoding(head.encoding)?;
        self.at += head.size + usize::try_from(head.compressed).unwrap_or_default();
        Ok(Some(match head.kind {
            DICTIONARY => Page::DictionaryPage {
                buf,
                num_values,
                encoding,
                is_sorted: false,
            },
            _ => Page::DataPage {
                buf,
                num_values,
                encoding,
                def_level_encoding: self::encoding(head.definition)?,
                rep_level_encoding: self::encoding(head.repetition)?,
                statistics: None,
            },
        }))
    }

    fn body(&self, head: &Head) -> Result<Bytes> {
        let start = self.at + head.size;
        let end = usize::try_from(head.compressed).ok();
        let end = end.and_then(|size| start.checked_add(size));
        let end = end.filter(|end| *end <= self.chunk.len());
        let end = end.ok_or_else(|| damaged("a page goes beyond its column"))?;
        Ok(self.chunk.slice(start..end))
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        Pages::next(self)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        Ok(self.head()?.map(|head| PageMetadata {
            num_rows: None,
            num_levels: usize::try_from(head.values)
                .ok()
                .filter(|_| head.kind == DATA),
            is_dict: head.kind == DICTIONARY,
        }))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        if let Some(head) = self.head()? {
            self.at += head.size + self.body(&head)?.len();
        }
        Ok(())
    }
}

fn damaged(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

fn decompressed(body: &[u8], size: usize) -> Result<Bytes> {
    let mut plain = Vec::with_capacity(size);
    if size > 0 {
        ZSTD.with(|zstd| {
            let mut zstd = zstd.borrow_mut();
            let zstd = match &mut *zstd {
                Some(zstd) => zstd,
                none => none.insert(Decompressor::new()?),
            };
            zstd.decompress_to_buffer(body, &mut Cursor::new(&mut plain))
        })
        .map_err(|_| damaged("a page cannot be decompressed"))?;
    }
    match plain.len() == size {
        true => Ok(plain.into()),
        false => Err(damaged("a page has another size than its header says")),
    }
}

/// `Encoding` of parquet.thrift.
fn encoding(number: i64) -> Result<Encoding> {
    Ok(match number {
        0 => Encoding::PLAIN,
        2 => Encoding::PLAIN_DICTIONARY,
        3 => Encoding::RLE,
        5 => Encoding::DELTA_BINARY_PACKED,
        6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        7 => Encoding::DELTA_BYTE_ARRAY,
        8 => Encoding::RLE_DICTIONARY,
        _ => return Err(damaged("a page is encoded in another way")),
    })
}

/// Hands the whole numbers of a struct and of those in it to `each`, with the fields that lead there.
fn fields(
    reader: &mut Reader<'_>,
    within: i64,
    each: &mut dyn FnMut(&[i64], i64),
) -> std::result::Result<(), Short> {
    let mut field = 0;
    loop {
        let front = reader.u8()?;
        if front == 0 {
            return Ok(());
        }
        field = match front >> 4 {
            0 => zigzag(reader)?,
            delta => field + i64::from(delta),
        };
        match front & 0xf {
            // i16, i32, i64
            4..=6 => {
                let value = zigzag(reader)?;
                match within {
                    0 => each(&[field], value),
                    _ => each(&[within, field], value),
                }
            }
            12 if within == 0 => fields(reader, field, each)?,
            kind => skip(reader, kind, 0)?,
        }
    }
}

/// Passes over a value of the compact protocol.
fn skip(reader: &mut Reader<'_>, kind: u8, depth: u8) -> std::result::Result<(), Short> {
    if depth > MAX_DEPTH {
        return reader.skip(usize::MAX);
    }
    match kind {
        1 | 2 => Ok(()),
        3 => reader.skip(1),
        4..=6 => zigzag(reader).map(|_| ()),
        7 => reader.skip(8),
        8 => {
            let length = varint(reader)?;
            reader.skip(usize::try_from(length).unwrap_or(usize::MAX))
        }
        9 | 10 => {
            let front = reader.u8()?;
            let count = match front >> 4 {
                15 => varint(reader)?,
                few => few.into(),
            };
            for _ in 0..count {
                match front & 0xf {
                    // In a list, yes and no take a byte each.
                    1 | 2 => reader.skip(1)?,
                    kind => skip(reader, kind, depth + 1)?,
                }
            }
            Ok(())
        }
        12 => loop {
            let front = reader.u8()?;
            if front == 0 {
                return Ok(());
            }
            if front >> 4 == 0 {
                zigzag(reader)?;
            }
            skip(reader, front & 0xf, depth + 1)?;
        },
        // Maps, and what is none: no header has one.
        _ => reader.skip(usize::MAX),
    }
}

fn varint(reader: &mut Reader<'_>) -> std::result::Result<u64, Short> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = reader.u8()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    reader.skip(usize::MAX)?;
    Ok(value)
}

fn zigzag(reader: &mut Reader<'_>) -> std::result::Result<i64, Short> {
    let value = varint(reader)?;
    Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header as parquet.thrift has it: a data page of 3 values with statistics, then its body.
    const HEAD: &[u8] = &[
        0x15, 0, 0x15, 8, 0x15, 8, // type, sizes
        0x2c, 0x15, 6, 0x15, 0, 0x15, 6, 0x15, 6, // header of a data page
        0x1c, 0x18, 2, b'a', b'b', 0x16, 4, 0, 0, // statistics: bytes and a number
        0, // end
        1, 2, 3, 4,
    ];

    #[test]
    fn headers_tell_what_a_page_is() {
        let chunk = Bytes::from_static(HEAD);
        let mut pages = Pages::of(chunk, Compression::UNCOMPRESSED, 4);
        let peeked = pages.peek_next_page().unwrap().unwrap();
        assert_eq!((peeked.num_levels, peeked.is_dict), (Some(3), false));
        let Some(Ok(Page::DataPage {
            buf,
            num_values,
            encoding,
            def_level_encoding,
            ..
        })) = Iterator::next(&mut pages)
        else {
            panic!("a data page");
        };
        assert_eq!((&buf[..], num_values), (&[1, 2, 3, 4][..], 3));
        assert_eq!(
            (encoding, def_level_encoding),
            (Encoding::PLAIN, Encoding::RLE)
        );
        assert!(Iterator::next(&mut pages).is_none());
    }

    #[test]
    fn what_is_damaged_is_an_error_and_never_more() {
        for end in 1..HEAD.len() {
            let chunk = Bytes::copy_from_slice(&HEAD[..end]);
            let mut pages = Pages::of(chunk, Compression::UNCOMPRESSED, 4);
            assert!(pages.get_next_page().is_err(), "cut at {end}");
        }
        for at in 0..HEAD.len() {
            for value in 0..=255 {
                let mut bytes = HEAD.to_vec();
                bytes[at] = value;
                let mut pages = Pages::of(bytes.into(), Compression::UNCOMPRESSED, 4);
                // Whatever it is, it ends, and no page is larger than its column.
                while let Ok(Some(page)) = pages.get_next_page() {
                    assert!(page.buffer().len() <= HEAD.len());
                }
            }
        }
        let chunk = Bytes::from_static(HEAD);
        let mut large = Pages::of(chunk, Compression::UNCOMPRESSED, 3);
        assert!(large.get_next_page().is_err());
    }
}
