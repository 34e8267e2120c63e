//! Reads RADIUS packets: header and attributes; pure.
//!
//! In: the payload of one datagram. Out: places and numbers in it. Never: text (that is `render`),
//! allocation. Standard: RFC 2865 sections 3 and 5.

use super::dictionary::{self, Code};
use crate::bytes::Reader;

/// Bytes of a header.
pub(super) const HEADER: usize = 20;

/// "the maximum length is 4096" (RFC 2865 section 3).
const MAX_LENGTH: usize = 4096;

/// Bytes of an attribute's type and length.
const ATTRIBUTE_HEADER: usize = 2;

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParseErrorKind {
    /// The datagram is shorter than the packet says.
    Truncated,
    /// An attribute is longer than the packet, or shorter than its own header.
    AttributeLength,
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
            ParseErrorKind::AttributeLength => "an attribute's length does not fit",
        };
        write!(f, "{what}, at byte {}", self.offset)
    }
}

/// One packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    /// What it is.
    pub(super) code: &'static Code,
    /// Identifier; a response has that of its request.
    pub(super) id: u8,
    /// Bytes of the packet, as it says itself.
    pub(super) length: usize,
    /// The authenticator.
    pub(super) authenticator: &'a [u8],
    /// What follows it, up to the packet's end.
    attributes: &'a [u8],
    /// Whether the datagram ends before the packet does.
    is_cut: bool,
}

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    /// Its type.
    pub(super) kind: u8,
    /// Its value.
    pub(super) value: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads one; `None` when the bytes cannot be one.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Packet<'a>> {
        let mut reader = Reader::new(bytes);
        let code = dictionary::code(reader.u8().ok()?)?;
        let id = reader.u8().ok()?;
        let length = usize::from(reader.u16().ok()?);
        let authenticator = reader.take(16).ok()?;
        if !(HEADER..=MAX_LENGTH).contains(&length) {
            return None;
        }
        // "Octets outside the range of the Length field MUST be treated as padding."
        let rest = reader.rest();
        let attributes = rest.get(..length - HEADER);
        Some(Packet {
            code,
            id,
            length,
            authenticator,
            attributes: attributes.unwrap_or(rest),
            is_cut: attributes.is_none(),
        })
    }

    /// Its attributes, in order; ends after the first error.
    pub(super) fn attributes(&self) -> Attributes<'a> {
        Attributes {
            reader: Reader::new(self.attributes),
            base: HEADER,
        }
    }

    /// Reads the packet to its end.
    ///
    /// # Errors
    /// The first error in its attributes; `Truncated` when the datagram ends early.
    pub(super) fn check(&self) -> Result<(), ParseError> {
        let mut attributes = self.attributes();
        let read = attributes.try_for_each(|attribute| attribute.map(|_| ()));
        match self.is_cut {
            // An attribute that does not fit is the cut's fault then.
            true => Err(ParseError {
                kind: ParseErrorKind::Truncated,
                offset: HEADER + self.attributes.len(),
            }),
            false => read,
        }
    }
}

/// Attributes, in order; ends after the first error.
pub(super) struct Attributes<'a> {
    reader: Reader<'a>,
    base: usize,
}

impl<'a> Attributes<'a> {
    /// Those of a vendor, as most write them (RFC 2865 section 5.26).
    pub(super) fn of_vendor(bytes: &'a [u8]) -> Attributes<'a> {
        Attributes {
            reader: Reader::new(bytes),
            base: 0,
        }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let offset = self.base + self.reader.offset();
        let mut read = || {
            let kind = self.reader.u8().ok()?;
            let length = usize::from(self.reader.u8().ok()?);
            let value = self.reader.take(length.checked_sub(ATTRIBUTE_HEADER)?);
            Some(Attribute {
                kind,
                value: value.ok()?,
            })
        };
        match read() {
            Some(attribute) => Some(Ok(attribute)),
            None => {
                self.reader = Reader::new(&[]);
                Some(Err(ParseError {
                    kind: ParseErrorKind::AttributeLength,
                    offset,
                }))
            }
        }
    }
}
