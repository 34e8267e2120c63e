//! The Basic Encoding Rules as LDAP uses them; pure.
//!
//! In: bytes. Out: elements whose contents are slices. Never: allocation, recursion beyond
//! [`MAX_DEPTH`]. Standard: ITU-T X.690 section 8 with the restrictions of RFC 4511 section 5.1
//! ("only the definite form of length encoding is used"); all tags have one octet.

use crate::bytes::{Reader, Short};

/// `BOOLEAN`.
pub(super) const BOOLEAN: u8 = 0x01;
/// `INTEGER`.
pub(super) const INTEGER: u8 = 0x02;
/// `OCTET STRING`.
pub(super) const OCTETS: u8 = 0x04;
/// `ENUMERATED`.
pub(super) const ENUMERATED: u8 = 0x0a;
/// `SEQUENCE`.
pub(super) const SEQUENCE: u8 = 0x30;

/// Bit of a tag whose contents are elements.
const CONSTRUCTED: u8 = 0x20;

/// Elements within each other; filters that people write nest less than ten deep.
pub(super) const MAX_DEPTH: usize = 64;

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParseErrorKind {
    /// The bytes end early.
    Truncated,
    /// A length is indefinite, or longer than four octets can say.
    Length,
    /// An element is not of the type that belongs there.
    Tag,
    /// Elements are nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

/// Why reading stopped, and the offset of the first byte that did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ParseError {
    /// Why.
    pub(super) kind: ParseErrorKind,
    /// Where.
    pub(super) offset: usize,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.kind {
            ParseErrorKind::Truncated => "it ends early",
            ParseErrorKind::Length => "a length is of no allowed form",
            ParseErrorKind::Tag => "an element is of the wrong type",
            ParseErrorKind::TooDeep => "elements are nested too deeply",
        };
        write!(f, "{what}, at byte {}", self.offset)
    }
}

impl From<Short> for ParseError {
    fn from(short: Short) -> ParseError {
        ParseError {
            kind: ParseErrorKind::Truncated,
            offset: short.offset,
        }
    }
}

/// Tag and length of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Its tag.
    pub(super) tag: u8,
    /// Bytes of its contents.
    pub(super) len: usize,
}

impl Head {
    /// Reads one off the front.
    ///
    /// # Errors
    /// `Truncated` when bytes are missing, `Length` when the length is of no allowed form.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Head, ParseError> {
        let tag = reader.u8()?;
        let at = reader.offset();
        let first = reader.u8()?;
        let len = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x84 => {
                let octets = reader.take(usize::from(first & 0x7f))?;
                octets
                    .iter()
                    .fold(0, |len, octet| len << 8 | usize::from(*octet))
            }
            _ => {
                return Err(ParseError {
                    kind: ParseErrorKind::Length,
                    offset: at,
                });
            }
        };
        Ok(Head { tag, len })
    }
}

/// One element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    /// Its tag.
    pub(super) tag: u8,
    /// Its contents.
    pub(super) contents: &'a [u8],
    /// Offset of the contents in the message.
    offset: usize,
}

impl<'a> Element<'a> {
    /// Its contents as elements.
    pub(super) fn elements(&self) -> Elements<'a> {
        Elements {
            reader: Reader::new(self.contents),
            base: self.offset,
        }
    }

    /// Its contents as a number; `None` when it has no octet or more than eight.
    pub(super) fn int(&self) -> Option<i64> {
        let (first, _) = self.contents.split_first()?;
        let sign = if first & 0x80 != 0 { -1 } else { 0 };
        (self.contents.len() <= 8).then(|| {
            self.contents
                .iter()
                .fold(sign, |number, octet| number << 8 | i64::from(*octet))
        })
    }
}

/// Elements in a row, in order; ends after the first error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elements<'a> {
    reader: Reader<'a>,
    base: usize,
}

impl<'a> Elements<'a> {
    /// The elements of `bytes`.
    pub(super) fn of(bytes: &'a [u8]) -> Elements<'a> {
        Elements {
            reader: Reader::new(bytes),
            base: 0,
        }
    }

    /// The next element, which may be cut: its contents are what is there of them.
    pub(super) fn next_cut(&mut self) -> Result<Element<'a>, ParseError> {
        let head = Head::read(&mut self.reader).map_err(|error| self.at(error))?;
        let offset = self.base + self.reader.offset();
        let contents = self.reader.take(head.len.min(self.reader.left()))?;
        Ok(Element {
            tag: head.tag,
            contents,
            offset,
        })
    }

    /// Offset in the message of what comes next.
    pub(super) fn offset(&self) -> usize {
        self.base + self.reader.offset()
    }

    /// The next element if it has this tag; otherwise it stays.
    pub(super) fn optional(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = *self;
        let element = ahead.next()?.ok()?;
        (element.tag == tag).then(|| {
            *self = ahead;
            element
        })
    }

    fn at(&self, error: ParseError) -> ParseError {
        ParseError {
            offset: self.base + error.offset,
            ..error
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let element = Head::read(&mut self.reader).and_then(|head| {
            let offset = self.base + self.reader.offset();
            let contents = self.reader.take(head.len)?;
            Ok(Element {
                tag: head.tag,
                contents,
                offset,
            })
        });
        if let Err(error) = element {
            let error = self.at(error);
            *self = Elements::of(&[]);
            return Some(Err(error));
        }
        Some(element)
    }
}

/// Reads all elements to their ends.
///
/// # Errors
/// The first error, in wire order.
pub(super) fn check(elements: Elements<'_>, depth: usize) -> Result<(), ParseError> {
    if depth >= MAX_DEPTH {
        return Err(ParseError {
            kind: ParseErrorKind::TooDeep,
            offset: elements.offset(),
        });
    }
    for element in elements {
        let element = element?;
        if element.tag & CONSTRUCTED != 0 {
            check(element.elements(), depth + 1)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// X.690 section 8.1.3 and 8.3: lengths in short and long form, numbers with sign.
    #[test]
    fn lengths_and_numbers_are_read() {
        let long = [&[0x04, 0x82, 0x01, 0x00][..], &[7; 256]].concat();
        let mut elements = Elements::of(&long);
        assert_eq!(elements.next().unwrap().unwrap().contents.len(), 256);
        for (bytes, number) in [
            (&[0x02, 1, 0x7f][..], Some(127)),
            (&[0x02, 1, 0x80], Some(-128)),
            (&[0x02, 2, 0, 0x80], Some(128)),
            (&[0x02, 0], None),
        ] {
            let element = Elements::of(bytes).next().unwrap().unwrap();
            assert_eq!(element.int(), number);
        }
    }

    #[test]
    fn errors_say_where() {
        let kind = |bytes: &[u8]| {
            check(Elements::of(bytes), 0).map_err(|error| (error.kind, error.offset))
        };
        assert_eq!(kind(&[0x30, 0x80, 0, 0]), Err((ParseErrorKind::Length, 1)));
        assert_eq!(
            kind(&[0x30, 4, 0x04, 9, 1, 2]),
            Err((ParseErrorKind::Truncated, 4))
        );
        let mut deep = vec![];
        for _ in 0..100 {
            deep = [
                &[0xa0, 0x82, (deep.len() >> 8) as u8, deep.len() as u8][..],
                &deep,
            ]
            .concat();
        }
        assert_eq!(kind(&deep).unwrap_err().0, ParseErrorKind::TooDeep);
    }
}
