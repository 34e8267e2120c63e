//! Body framing: which bytes behind a head belong to the message, and where it ends.
//!
//! In: what head and request method say, then the bytes in order or the length of a gap. Out: steps
//! over data and framing. Never: keeping bytes. Standard: RFC 9112 sections 6 and 7.

use super::parser::{Fields, Length, MAX_HEAD, Transfer};
use crate::bytes::Reader;

/// Longest chunk-size line with its extensions; servers refuse more than 4 to 16 KiB.
const MAX_CHUNK_LINE: usize = 8 * 1024;

/// Where in a body the reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes are left.
    Length(u64),
    /// Chunks follow.
    Chunked(Chunked),
    /// All that comes until the sender closes.
    UntilClose,
}

/// Where in a chunked body the reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunked {
    /// At the first chunk-size line.
    First,
    /// At another chunk-size line.
    Size,
    /// Within a chunk with so many bytes left.
    Data(u64),
    /// At the line end behind a chunk's data.
    DataEnd,
    /// Among the trailer fields, so many bytes of them read.
    Trailers(u32),
    /// Behind the empty line that ends the trailers.
    End,
}

/// What comes next in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes of data, at least one.
    Data(usize),
    /// So many bytes of framing, at least one.
    Framing(usize),
    /// A line of the trailer section, of so many bytes with its end.
    Trailer(usize),
    /// The body has ended before this byte.
    Done,
    /// More bytes are needed.
    Wait,
    /// The framing is against the standard; where the body ends cannot be told.
    Broken,
}

/// What a gap did to a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gapped {
    /// The body goes on, or ends, right behind the gap.
    Within,
    /// The body ended in the gap, and so did the framing of what follows.
    Lost,
}

/// A message's framing: its body if it has one, and what is wrong with what the head says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    /// The body; `None` when there is none.
    pub body: Option<Body>,
    /// One sentence, when the head contradicts itself.
    pub fault: Option<&'static str>,
}

impl Framing {
    const NONE: Framing = Framing {
        body: None,
        fault: None,
    };

    fn length(length: u64, fault: Option<&'static str>) -> Framing {
        let body = (length > 0).then_some(Body::Length(length));
        Framing { body, fault }
    }
}

const BOTH: &str = "the message has both Transfer-Encoding and Content-Length";
const INVALID: &str = "the message has no valid Content-Length";

/// Framing of a request (RFC 9112 section 6.3, rules 3 to 7).
pub(super) fn of_request(fields: &Fields) -> Framing {
    match (fields.transfer, fields.length) {
        (Transfer::Chunked, length) => chunked(length),
        (Transfer::Other, _) => Framing {
            body: None,
            fault: Some("the request's last transfer coding is not chunked"),
        },
        (Transfer::Absent, Length::Known(length)) => Framing::length(length, None),
        (Transfer::Absent, Length::Invalid) => Framing::length(0, Some(INVALID)),
        (Transfer::Absent, Length::Absent) => Framing::NONE,
    }
}

/// Framing of a final response (RFC 9112 section 6.3, rules 1 to 8).
pub(super) fn of_response(fields: &Fields, status: u16, method: &[u8]) -> Framing {
    let bodiless = method == b"HEAD" || matches!(status, 100..=199 | 204 | 304);
    if bodiless || (method == b"CONNECT" && (200..300).contains(&status)) {
        return Framing::NONE;
    }
    match (fields.transfer, fields.length) {
        (Transfer::Chunked, length) => chunked(length),
        (Transfer::Absent, Length::Known(length)) => Framing::length(length, None),
        (transfer, length) => Framing {
            body: Some(Body::UntilClose),
            fault: match transfer {
                Transfer::Absent if length == Length::Invalid => Some(INVALID),
                _ => None,
            },
        },
    }
}

/// "Transfer-Encoding overrides the Content-Length ... ought to be handled as an error."
fn chunked(length: Length) -> Framing {
    Framing {
        body: Some(Body::Chunked(Chunked::First)),
        fault: (length != Length::Absent).then_some(BOTH),
    }
}

impl Body {
    /// What comes next, given what is there; the body has moved on by what the step says.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Step {
        match self {
            Body::Length(0) | Body::Chunked(Chunked::End) => Step::Done,
            _ if bytes.is_empty() => Step::Wait,
            Body::Length(left) => data(left, bytes),
            Body::UntilClose => Step::Data(bytes.len()),
            Body::Chunked(chunked) => chunked.step(bytes),
        }
    }

    /// Passes over `len` bytes that were never seen.
    pub(super) fn gap(&mut self, len: u64) -> Gapped {
        match self {
            Body::UntilClose => Gapped::Within,
            Body::Length(left) | Body::Chunked(Chunked::Data(left)) if len <= *left => {
                *left -= len;
                Gapped::Within
            }
            Body::Length(_) | Body::Chunked(_) => Gapped::Lost,
        }
    }

    /// Writes the position for [`Body::load`].
    pub(super) fn save(self, out: &mut Vec<u8>) {
        let (tag, number) = match self {
            Body::Length(left) => (0, left),
            Body::UntilClose => (1, 0),
            Body::Chunked(Chunked::First) => (2, 0),
            Body::Chunked(Chunked::Size) => (3, 0),
            Body::Chunked(Chunked::Data(left)) => (4, left),
            Body::Chunked(Chunked::DataEnd) => (5, 0),
            Body::Chunked(Chunked::Trailers(seen)) => (6, seen.into()),
            Body::Chunked(Chunked::End) => (7, 0),
        };
        out.push(tag);
        out.extend_from_slice(&number.to_be_bytes());
    }

    /// Reads a position back.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Body> {
        let tag = from.u8().ok()?;
        let number = from.u64().ok()?;
        Some(match tag {
            0 => Body::Length(number),
            1 => Body::UntilClose,
            2 => Body::Chunked(Chunked::First),
            3 => Body::Chunked(Chunked::Size),
            4 => Body::Chunked(Chunked::Data(number)),
            5 => Body::Chunked(Chunked::DataEnd),
            6 => Body::Chunked(Chunked::Trailers(u32::try_from(number).ok()?)),
            7 => Body::Chunked(Chunked::End),
            _ => return None,
        })
    }
}

fn data(left: &mut u64, bytes: &[u8]) -> Step {
    let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    *left -= taken as u64;
    Step::Data(taken)
}

impl Chunked {
    fn step(&mut self, bytes: &[u8]) -> Step {
        match self {
            Chunked::First | Chunked::Size => self.size_line(bytes),
            Chunked::Data(0) => {
                *self = Chunked::DataEnd;
                self.step(bytes)
            }
            Chunked::Data(left) => data(left, bytes),
            Chunked::DataEnd => match bytes {
                [b'\r', b'\n', ..] => self.framing(Chunked::Size, 2),
                // A line end of LF alone, or none at all, is not worth losing the stream for.
                [b'\n', ..] => self.framing(Chunked::Size, 1),
                [b'\r'] => Step::Wait,
                _ => {
                    *self = Chunked::Size;
                    self.step(bytes)
                }
            },
            Chunked::End => Step::Done,
            Chunked::Trailers(seen) => {
                let Some(end) = memchr::memchr(b'\n', bytes) else {
                    let too_long = *seen as usize + bytes.len() > MAX_HEAD;
                    return if too_long { Step::Broken } else { Step::Wait };
                };
                let line = bytes.get(..end).unwrap_or_default();
                if line.is_empty() || line == b"\r" {
                    return self.framing(Chunked::End, end + 1);
                }
                let seen = *seen as usize + end + 1;
                match u32::try_from(seen) {
                    Ok(count) if seen <= MAX_HEAD => {
                        *self = Chunked::Trailers(count);
                        Step::Trailer(end + 1)
                    }
                    _ => Step::Broken,
                }
            }
        }
    }

    fn framing(&mut self, next: Chunked, count: usize) -> Step {
        *self = next;
        Step::Framing(count)
    }

    /// `chunk-size [ chunk-ext ] CRLF`
    fn size_line(&mut self, bytes: &[u8]) -> Step {
        let window = bytes
            .get(..bytes.len().min(MAX_CHUNK_LINE))
            .unwrap_or(bytes);
        let end = memchr::memchr(b'\n', window);
        let line = window
            .get(..end.unwrap_or(window.len()))
            .unwrap_or_default();
        let line = line.trim_ascii_start();
        let digits = line
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let (digits, rest) = line.split_at_checked(digits).unwrap_or_default();
        let size = digits.iter().try_fold(0u64, |size, digit| {
            let digit = char::from(*digit).to_digit(16)?;
            size.checked_mul(16)?.checked_add(digit.into())
        });
        let next = rest.trim_ascii_start().first();
        let fits =
            matches!(next, None | Some(b';')) && size.is_some_and(|size| size <= i64::MAX as u64);
        match (end, size) {
            _ if !fits => Step::Broken,
            (None, _) if window.len() == MAX_CHUNK_LINE => Step::Broken,
            (None, _) => Step::Wait,
            (Some(_), _) if digits.is_empty() => Step::Broken,
            (Some(end), Some(0)) => self.framing(Chunked::Trailers(0), end + 1),
            (Some(end), Some(size)) => self.framing(Chunked::Data(size), end + 1),
            (Some(_), None) => Step::Broken,
        }
    }
}
