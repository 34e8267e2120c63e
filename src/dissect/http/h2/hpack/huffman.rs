//! The Huffman code of HPACK strings.
//!
//! In: a string literal as sent. Out: its octets, at the end of a buffer. Never: state. Standard:
//! RFC 7541 section 5.2 and appendix B. The code is canonical: codes of one length follow each other
//! in the order of their symbols, so the lengths tell everything.

use std::ops::Range;

/// Bits of each symbol's code, octets 0 to 255 and then EOS (RFC 7541 appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28,
    30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11,
    8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20,
    22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21,
    22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23,
    22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26,
    28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27,
    26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const SYMBOLS: usize = 257;

/// The symbol that only pads.
const EOS: u16 = 256;

/// Bits of the longest code.
const LONGEST: usize = 30;

/// Bits that are looked up at once: all codes of letters, digits and usual signs fit.
const QUICK_BITS: u32 = 10;

/// A string that is against the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Invalid;

struct Code {
    /// By the next [`QUICK_BITS`] bits: symbol, and the length of its code times 256; 0 for longer
    /// codes.
    quick: [u16; 1 << QUICK_BITS],
    /// By length: the first code.
    first: [u32; LONGEST + 1],
    /// By length: how many codes there are.
    count: [u16; LONGEST + 1],
    /// By length: the place of the first code's symbol in `symbols`.
    place: [u16; LONGEST + 1],
    /// Symbols by length and value.
    symbols: [u16; SYMBOLS],
}

static CODE: Code = code();

const fn code() -> Code {
    let mut made = Code {
        quick: [0; 1 << QUICK_BITS],
        first: [0; LONGEST + 1],
        count: [0; LONGEST + 1],
        place: [0; LONGEST + 1],
        symbols: [0; SYMBOLS],
    };
    let (mut next, mut placed, mut length) = (0u32, 0, 1);
    while length <= LONGEST {
        next <<= 1;
        made.first[length] = next;
        made.place[length] = placed as u16;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                made.symbols[placed] = symbol as u16;
                if length <= QUICK_BITS as usize {
                    let shift = QUICK_BITS as usize - length;
                    let mut tail = 0;
                    while tail < 1 << shift {
                        made.quick[((next as usize) << shift) + tail] =
                            symbol as u16 | (length as u16) << 8;
                        tail += 1;
                    }
                }
                made.count[length] += 1;
                placed += 1;
                next += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    made
}

/// Decodes `from` onto the end of `into`.
///
/// # Errors
/// "Padding strictly longer than 7 bits", padding that is not the front of EOS, and EOS itself
/// "MUST be treated as a decoding error" (RFC 7541 section 5.2).
pub(super) fn decode(from: &[u8], into: &mut Vec<u8>) -> Result<(), Invalid> {
    // The shortest codes have five bits.
    into.reserve(from.len().saturating_mul(8) / 5);
    let mut rest = from.iter();
    // Bits not decoded yet, from the top on, and how many there are.
    let (mut bits, mut count) = (0u64, 0u32);
    loop {
        while count <= 56 {
            let Some(byte) = rest.next() else { break };
            bits |= u64::from(*byte) << (56 - count);
            count += 8;
        }
        let at = usize::try_from(bits >> (64 - QUICK_BITS)).unwrap_or(0);
        let quick = CODE.quick.get(at).copied().unwrap_or(0);
        let (symbol, length) = match u32::from(quick >> 8) {
            0 if count == 0 => return Ok(()),
            0 => long(bits, count)?,
            length => (quick & 0xff, length),
        };
        if length > count {
            return padding(bits, count);
        }
        into.push(u8::try_from(symbol).map_err(|_| Invalid)?);
        bits <<= length;
        count -= length;
    }
}

/// The symbol of a code that is too long to be looked up, and its length; a length above `count`
/// when the bits end before the code does.
fn long(bits: u64, count: u32) -> Result<(u16, u32), Invalid> {
    for length in QUICK_BITS + 1..=LONGEST as u32 {
        if length > count {
            return Ok((0, length));
        }
        let by_length = usize::try_from(length).unwrap_or(0);
        let part = |list: &[u16; LONGEST + 1]| list.get(by_length).copied().unwrap_or(0);
        let first = CODE.first.get(by_length).copied().unwrap_or(0);
        let behind = (bits >> (64 - length)).checked_sub(first.into());
        let Some(behind) = behind.filter(|behind| *behind < part(&CODE.count).into()) else {
            continue;
        };
        let place = u64::from(part(&CODE.place)) + behind;
        let symbol = usize::try_from(place)
            .ok()
            .and_then(|place| CODE.symbols.get(place).copied());
        return symbol
            .filter(|symbol| *symbol != EOS)
            .map(|symbol| (symbol, length))
            .ok_or(Invalid);
    }
    Err(Invalid)
}

/// What is left must be the front of EOS, which is all ones.
fn padding(bits: u64, count: u32) -> Result<(), Invalid> {
    let ones = bits.leading_ones();
    match count < 8 && ones >= count {
        true => Ok(()),
        false => Err(Invalid),
    }
}

/// Bits of an octet's code.
fn bits_of(byte: u8) -> usize {
    LENGTHS.get(usize::from(byte)).copied().unwrap_or(0).into()
}

/// Encodes octets.
fn written(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u64, 0);
    for byte in plain {
        let length = bits_of(*byte);
        let place = CODE.place.get(length).copied().unwrap_or(0);
        let symbols = CODE.symbols.get(usize::from(place)..).unwrap_or_default();
        let behind = symbols
            .iter()
            .position(|symbol| *symbol == u16::from(*byte));
        let first = CODE.first.get(length).copied().unwrap_or(0);
        bits = (bits << length) | (u64::from(first) + behind.unwrap_or(0) as u64);
        count += length;
        while count >= 8 {
            count -= 8;
            out.push(((bits >> count) & 0xff) as u8);
        }
    }
    if count > 0 {
        out.push((((bits << (8 - count)) | (0xff >> count)) & 0xff) as u8);
    }
    out
}

/// `plain` encoded, with the octets of `parts` replaced by others that tell nothing about them but
/// how many they are and how many bits they take together: the length stays, coded and plain, so
/// that no later entry of a table moves.
pub(in crate::dissect::http::h2) fn hidden(plain: &[u8], parts: &[Range<usize>]) -> Vec<u8> {
    let mut text = plain.to_vec();
    for part in parts {
        let Some(target) = text.get_mut(part.clone()) else {
            continue;
        };
        let bits: usize = target.iter().map(|byte| bits_of(*byte)).sum();
        match stand_in(target.len(), bits) {
            Some(other) => target.copy_from_slice(&other),
            // No such sum of other codes: each octet gives way to one of its own length.
            None => {
                for byte in target {
                    *byte = with_bits(bits_of(*byte)).unwrap_or(*byte);
                }
            }
        }
    }
    written(&text)
}

/// So many octets whose codes have so many bits together.
fn stand_in(count: usize, bits: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(count);
    let mut left = bits;
    for others in (0..count).rev() {
        let most = left.div_ceil(others + 1);
        let length = match others {
            0 => left,
            _ => (5..=most)
                .rev()
                .find(|length| with_bits(*length).is_some())?,
        };
        out.push(with_bits(length)?);
        left = left.checked_sub(length)?;
    }
    Some(out)
}

/// The first printable octet whose code has so many bits, else any octet.
fn with_bits(length: usize) -> Option<u8> {
    (b'!'..=b'~')
        .chain(128..=255)
        .find(|byte| bits_of(*byte) == length)
}

#[cfg(test)]
pub(in crate::dissect::http::h2) fn encode(plain: &[u8]) -> Vec<u8> {
    written(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(from: &[u8]) -> Result<Vec<u8>, Invalid> {
        let mut into = Vec::new();
        decode(from, &mut into).map(|()| into)
    }

    #[test]
    fn codes_are_those_of_the_appendix() {
        let code = |symbol: u16| {
            let length = usize::from(LENGTHS[usize::from(symbol)]);
            let place = usize::from(CODE.place[length]);
            let behind = CODE.symbols[place..].iter().position(|one| *one == symbol);
            (CODE.first[length] + behind.unwrap() as u32, length)
        };
        assert_eq!(code(0), (0x1ff8, 13));
        assert_eq!(code(b'0'.into()), (0x0, 5));
        assert_eq!(code(b' '.into()), (0x14, 6));
        assert_eq!(code(b'X'.into()), (0xfc, 8));
        assert_eq!(code(b'\\'.into()), (0x7fff0, 19));
        assert_eq!(code(b'\n'.into()), (0x3ffffffc, 30));
        assert_eq!(code(249), (0xffffffe, 28));
        assert_eq!(code(EOS), (0x3fffffff, 30));
    }

    #[test]
    fn strings_of_the_examples_decode() {
        // RFC 7541 appendix C.4.1 and C.6.1.
        let authority = b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        assert_eq!(decoded(authority).unwrap(), b"www.example.com");
        assert_eq!(decoded(b"\x64\x02").unwrap(), b"302");
        assert_eq!(decoded(b"").unwrap(), b"");
    }

    #[test]
    fn wrong_padding_is_refused() {
        for (bytes, why) in [
            (&b"\x64\x02\xff"[..], "eight bits of padding"),
            (b"\x00", "padding with zeros"),
            (b"\xff\xff\xff\xff", "EOS"),
            (b"\xff\xff\xff\xfc", "EOS, as a symbol"),
            (b"\xff", "padding alone"),
            (b"\xff\xff", "a long code that is cut"),
        ] {
            assert_eq!(decoded(bytes), Err(Invalid), "{why}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes(plain in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(&encode(&plain)).unwrap(), plain);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decoded(&bytes);
        }
    }
}
