//! A cursor over untrusted bytes that knows its offset.
//!
//! Every parser reads through [`Reader`]: no indexing, no length that is believed before it is
//! checked. Integers are big-endian (network order) unless the name says `le`.

/// The bytes ended before a field did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{needed} bytes needed at offset {offset}, {left} left")]
pub struct Short {
    /// Offset of the field that did not fit, from the start of the reader's slice.
    pub offset: usize,
    /// Bytes that the field needs.
    pub needed: usize,
    /// Bytes that were left.
    pub left: usize,
}

/// Reads fields off the front of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { all: bytes, at: 0 }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.all.get(self.at..).unwrap_or_default()
    }

    /// Count of bytes not read yet.
    pub fn left(&self) -> usize {
        self.all.len() - self.at
    }

    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Short> {
        let end = self
            .at
            .checked_add(count)
            .filter(|end| *end <= self.all.len());
        let Some(end) = end else {
            return Err(Short {
                offset: self.at,
                needed: count,
                left: self.left(),
            });
        };
        let taken = self.all.get(self.at..end).unwrap_or_default();
        self.at = end;
        Ok(taken)
    }

    /// Passes over `count` bytes.
    pub fn skip(&mut self, count: usize) -> Result<(), Short> {
        self.take(count).map(|_| ())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Short> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes, network order.
    pub fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, network order.
    pub fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, network order.
    pub fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_be_bytes)
    }

    /// Two bytes, least significant first.
    pub fn u16_le(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, least significant first.
    pub fn u32_le(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, least significant first.
    pub fn u64_le(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Appends the decimal digits of a number: lists have several a line, and the general formatter
/// costs more than the rest of the line.
pub fn append_number(out: &mut Vec<u8>, number: u64) {
    append_padded(out, number, 1);
}

/// The same with zeroes in front, up to `width` digits; a longer number has all its own.
pub fn append_padded(out: &mut Vec<u8>, mut number: u64, width: usize) {
    // u64::MAX has twenty digits.
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        // Nearly all numbers are short, and those are divided faster.
        (*digit, number) = match u32::try_from(number) {
            Ok(short) => (b'0' + (short % 10) as u8, (short / 10).into()),
            Err(_) => (b'0' + (number % 10) as u8, number / 10),
        };
        used += 1;
        if number == 0 {
            break;
        }
    }
    let first = digits.len().saturating_sub(used.max(width));
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_formatter_does() {
        for number in [0, 7, 10, 99, 100, 65_535, 123_456_789_012, u64::MAX] {
            let (mut plain, mut padded) = (Vec::new(), Vec::new());
            append_number(&mut plain, number);
            append_padded(&mut padded, number, 12);
            assert_eq!(plain, number.to_string().into_bytes());
            assert_eq!(padded, format!("{number:012}").into_bytes());
        }
    }

    #[test]
    fn a_field_that_does_not_fit_says_where() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u16(), Ok(0x0102));
        assert_eq!(
            reader.u32(),
            Err(Short {
                offset: 2,
                needed: 4,
                left: 1
            })
        );
        assert_eq!(reader.u8(), Ok(3));
        assert!(reader.is_empty());
    }

    #[test]
    fn a_length_near_the_top_does_not_wrap() {
        let mut reader = Reader::new(&[1]);
        reader.skip(1).unwrap();
        assert!(reader.take(usize::MAX).is_err());
    }
}
