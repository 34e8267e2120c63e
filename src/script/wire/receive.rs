//! The reading side of both ends.
//!
//! In: frames from the line, and the sealed memory that comes with them. Out: messages. Never: memory
//! for what a length promises and nobody sends, in the parent; trust in a child.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;

use super::batch::{Batch, MAX_BATCH, Records};
use super::line::Line;
use super::sealed::Sealed;
use super::{
    BATCH_HEAD, ITEMS, JSON, MAX_FRAME, PACKET, PACKETS, PacketSummary, QUERIED, SEALED, Start,
    ToChild, ToParent, WireError,
};
use crate::time::Timestamp;

/// The parent's reading side of one child.
pub struct FromChild<R>(R);

impl<R: Read> FromChild<R> {
    /// Reads from `input`; a buffered reader saves system calls.
    pub fn new(input: R) -> FromChild<R> {
        FromChild(input)
    }

    /// The next message; `None` when the child closed its end.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator cannot say why it ended"
    )]
    pub fn next(&mut self) -> Result<Option<ToParent>, WireError> {
        let mut head = [0; 5];
        if !read_or_end(&mut self.0, &mut head)? {
            return Ok(None);
        }
        let [a, b, c, d, kind] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length == 0 || length > MAX_FRAME {
            return Err(WireError::Size(length));
        }
        // Grows with what arrives, not with what the length promises.
        let mut body = Vec::new();
        let wanted = length - 1;
        if (&mut self.0).take(wanted as u64).read_to_end(&mut body)? != wanted {
            return Err(WireError::Cut);
        }
        if kind != JSON {
            return Err(WireError::Malformed(kind));
        }
        serde_json::from_slice(&body)
            .map(Some)
            .map_err(|_| WireError::Malformed(kind))
    }
}

/// Fills `into`; false when the input ended before its first byte.
fn read_or_end(input: &mut impl Read, into: &mut [u8]) -> Result<bool, WireError> {
    let mut read = 0;
    while let Some(rest) = into.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) if read == 0 => return Ok(false),
            Ok(0) => return Err(WireError::Cut),
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// The child's reading side: frames and the sealed memory that comes with them.
pub struct FromParent {
    line: Line,
    /// What was read and not yet asked for lies from `start` to `end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    sealed: VecDeque<Sealed>,
}

/// Bytes asked of the line at once for small messages.
const READ: usize = 16 << 10;

impl FromParent {
    /// Reads from `line`.
    pub fn new(line: Line) -> FromParent {
        FromParent {
            line,
            buffer: vec![0; READ],
            start: 0,
            end: 0,
            sealed: VecDeque::new(),
        }
    }

    /// The first message; `None` when the parent closed its end.
    pub fn start(&mut self) -> Result<Option<Start>, WireError> {
        let Some((JSON, body)) = self.frame()? else {
            return Ok(None);
        };
        serde_json::from_slice(&body)
            .map(Some)
            .map_err(|_| WireError::Malformed(JSON))
    }

    /// The next message after the first; `None` when the parent closed its end.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator cannot say why it ended"
    )]
    pub fn next(&mut self) -> Result<Option<ToChild>, WireError> {
        let Some((kind, body)) = self.frame()? else {
            return Ok(None);
        };
        self.message(kind, body)
            .ok_or(WireError::Malformed(kind))
            .map(Some)
    }

    fn message(&mut self, kind: u8, body: Bytes) -> Option<ToChild> {
        Some(match kind {
            JSON => ToChild::Small(serde_json::from_slice(&body).ok()?),
            ITEMS | SEALED => {
                let (head, rest) = body.split_at_checked(BATCH_HEAD)?;
                let records = if kind == ITEMS {
                    Records::Inline(body.slice(BATCH_HEAD..))
                } else {
                    let size = usize::try_from(u64_at(rest, 0)?).ok()?;
                    let sealed = self.sealed.pop_front()?;
                    (size <= MAX_BATCH).then(|| Records::Sealed(Arc::new(sealed), size))?
                };
                ToChild::Items(Batch {
                    first: u64_at(head, 0)?,
                    last: u64_at(head, 8)?,
                    now: Timestamp::from_nanos(u64_at(head, 16)?.cast_signed()),
                    records,
                })
            }
            PACKETS => {
                let (last, rest) = body.split_at_checked(8)?;
                let packets = rest
                    .chunks_exact(PACKET)
                    .map(packet)
                    .collect::<Option<_>>()?;
                ToChild::Packets {
                    last: u64_at(last, 0)?,
                    packets,
                }
            }
            QUERIED => {
                let length = u32_at(&body, 8)? as usize;
                let (query, record) = body.get(12..)?.split_at_checked(length)?;
                ToChild::Queried {
                    call: u64_at(&body, 0)?,
                    query: String::from_utf8(query.to_vec()).ok()?,
                    record: record.to_vec(),
                }
            }
            _ => return None,
        })
    }

    fn frame(&mut self) -> Result<Option<(u8, Bytes)>, WireError> {
        let mut head = [0; 5];
        match self.fill(&mut head)? {
            0 => return Ok(None),
            5 => {}
            _ => return Err(WireError::Cut),
        }
        let [a, b, c, d, kind] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length == 0 || length > MAX_FRAME {
            return Err(WireError::Size(length));
        }
        Ok(Some((kind, self.body(length - 1)?.into())))
    }

    /// The next `length` bytes.
    fn body(&mut self, length: usize) -> Result<Vec<u8>, WireError> {
        let mut body = Vec::with_capacity(length);
        let waiting = self.buffer.get(self.start..self.end).unwrap_or_default();
        let waiting = waiting.get(..length).unwrap_or(waiting);
        body.extend_from_slice(waiting);
        self.start += waiting.len();
        // Sealed memory comes with the head of a frame.
        while length - body.len() >= READ {
            let most = length - body.len();
            if self.line.append(&mut body, most)? == 0 {
                return Err(WireError::Cut);
            }
        }
        let start = body.len();
        body.resize(length, 0);
        let rest = body.get_mut(start..).unwrap_or_default();
        if self.fill(rest)? != length - start {
            return Err(WireError::Cut);
        }
        Ok(body)
    }

    /// Fills `into` with what waits, then from the line; less only when the other end closes.
    fn fill(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let waiting = self.buffer.get(self.start..self.end).unwrap_or_default();
            let count = if !waiting.is_empty() {
                let count = waiting.len().min(rest.len());
                let (to, _) = rest.split_at_mut(count);
                to.copy_from_slice(waiting.get(..count).unwrap_or_default());
                self.start += count;
                count
            } else if rest.len() >= READ {
                // Large bodies go straight to their place.
                self.line.receive(rest, &mut self.sealed)?
            } else {
                self.start = 0;
                self.end = self.line.receive(&mut self.buffer, &mut self.sealed)?;
                if self.end == 0 {
                    break;
                }
                continue;
            };
            if count == 0 {
                break;
            }
            filled += count;
        }
        Ok(filled)
    }
}

fn packet(bytes: &[u8]) -> Option<PacketSummary> {
    Some(PacketSummary {
        at: Timestamp::from_nanos(u64_at(bytes, 0)?.cast_signed()),
        caplen: u32_at(bytes, 8)?,
        len: u32_at(bytes, 12)?,
        fragmented: *bytes.get(16)? & 1 == 1,
    })
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}
