//! A Diameter message: header and AVPs (RFC 6733 sections 3 and 4).
//!
//! In: the bytes of a message. Out: [`Header`] and [`Avp`]s. Never: allocation, recursion.

use crate::bytes::Reader;

/// Length of a message's header.
pub(super) const HEADER: usize = 20;

/// Largest message that is read; the length field would allow 16 MiB, messages have some kilobytes.
pub(super) const MAX_MESSAGE: usize = 1 << 20;

const VERSION: u8 = 1;

/// A message's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the whole message.
    pub(super) length: usize,
    pub(super) flags: u8,
    pub(super) command: u32,
    pub(super) application: u32,
    pub(super) hop_by_hop: u32,
    pub(super) end_to_end: u32,
}

impl Header {
    pub(super) const REQUEST: u8 = 0x80;
    pub(super) const PROXIABLE: u8 = 0x40;
    pub(super) const ERROR: u8 = 0x20;
    pub(super) const RETRANSMITTED: u8 = 0x10;
    const RESERVED: u8 = 0x0f;

    pub(super) fn is_request(&self) -> bool {
        self.flags & Header::REQUEST != 0
    }
}

/// What the front of some bytes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// No message.
    No,
    /// Too little to tell.
    Short,
    /// A message with a sane first AVP.
    Fits(Header),
}

/// Reads a header; `None` when it was cut off or is none.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let mut reader = Reader::new(bytes);
    let first = reader.u32().ok()?;
    let second = reader.u32().ok()?;
    let [version, length @ ..] = first.to_be_bytes();
    let [flags, command @ ..] = second.to_be_bytes();
    let header = Header {
        length: usize::try_from(number(length)).ok()?,
        flags,
        command: number(command),
        application: reader.u32().ok()?,
        hop_by_hop: reader.u32().ok()?,
        end_to_end: reader.u32().ok()?,
    };
    // Both the error and the request flag: RFC 6733 section 3 forbids it.
    let both = Header::REQUEST | Header::ERROR;
    let sane = version == VERSION
        && header.length >= HEADER
        && header.length.is_multiple_of(4)
        && flags & Header::RESERVED == 0
        && flags & both != both;
    sane.then_some(header)
}

fn number([a, b, c]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, a, b, c])
}

/// Whether a message begins here.
pub(super) fn check(bytes: &[u8]) -> Check {
    match bytes.first() {
        None => return Check::Short,
        Some(&VERSION) => {}
        Some(_) => return Check::No,
    }
    if bytes.len() < HEADER {
        return Check::Short;
    }
    let Some(header) = header(bytes) else {
        return Check::No;
    };
    if header.length > MAX_MESSAGE {
        return Check::No;
    }
    if header.length == HEADER {
        return Check::Fits(header);
    }
    let Some(front) = bytes.get(HEADER..HEADER + 8) else {
        return if header.length < HEADER + 8 {
            Check::No
        } else {
            Check::Short
        };
    };
    match read_avp_header(&mut Reader::new(front)) {
        Some((_, flags, length))
            if flags & Avp::RESERVED == 0 && length + HEADER <= header.length =>
        {
            Check::Fits(header)
        }
        _ => Check::No,
    }
}

/// One AVP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avp<'a> {
    pub(super) code: u32,
    pub(super) flags: u8,
    /// 0 when it is one of the IETF.
    pub(super) vendor: u32,
    pub(super) data: &'a [u8],
}

impl Avp<'_> {
    pub(super) const VENDOR: u8 = 0x80;
    pub(super) const MANDATORY: u8 = 0x40;
    pub(super) const PROTECTED: u8 = 0x20;
    const RESERVED: u8 = 0x1f;
}

fn read_avp_header(reader: &mut Reader<'_>) -> Option<(u32, u8, usize)> {
    let code = reader.u32().ok()?;
    let [flags, length @ ..] = reader.u32().ok()?.to_be_bytes();
    let length = usize::try_from(number(length)).ok()?;
    let least = if flags & Avp::VENDOR != 0 { 12 } else { 8 };
    (length >= least).then_some((code, flags, length))
}

/// The AVPs of a message's body or of a grouped AVP; the last element is `Err` when the bytes end
/// within one or it contradicts itself.
pub(super) fn avps(bytes: &[u8]) -> impl Iterator<Item = Result<Avp<'_>, Damaged>> {
    let mut reader = Reader::new(bytes);
    let mut over = false;
    std::iter::from_fn(move || {
        if over || reader.is_empty() {
            return None;
        }
        let next = next_avp(&mut reader);
        over = next.is_none();
        Some(next.ok_or(Damaged {
            offset: reader.offset(),
        }))
    })
}

/// An AVP that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged {
    /// Offset of the first byte that did not fit.
    pub(super) offset: usize,
}

fn next_avp<'a>(reader: &mut Reader<'a>) -> Option<Avp<'a>> {
    let (code, flags, length) = read_avp_header(reader)?;
    let (vendor, header) = match flags & Avp::VENDOR {
        0 => (0, 8),
        _ => (reader.u32().ok()?, 12),
    };
    let len = length - header;
    let data = reader.take(len).ok()?;
    // The padding is not counted; the last AVP of a sloppy sender has none.
    let padding = (len.next_multiple_of(4) - len).min(reader.left());
    reader.skip(padding).ok()?;
    Some(Avp {
        code,
        flags,
        vendor,
        data,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            front in prop::sample::select(vec![vec![], vec![1, 0, 0, 40, 0x80, 0, 1, 1]]),
            tail in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [front, tail].concat();
            check(&bytes);
            header(&bytes);
            let mut read = 0;
            for avp in avps(&bytes) {
                read += avp.map_or(0, |avp| avp.data.len());
            }
            prop_assert!(read <= bytes.len());
        }
    }
}
