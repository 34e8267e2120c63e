//! One direction of a stream whose messages tell their length in front.
//!
//! In: chunks and gaps. Out: messages, whole ones as slices of the stream. A message that is longer
//! than what one keeps is taken as it comes, so nothing waits for its end. Never: more memory than
//! the cap that the owner names; a guess at where messages begin after a gap, which is the owner's.

use bytes::{BufMut, Bytes};

use super::saved::{Saved, put_bytes};
use crate::flow::{Chunk, Gap};
use crate::time::Timestamp;

/// What the first bytes of a message say about its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    /// This many bytes are needed to tell.
    NeedMore(usize),
    /// The whole message has this many bytes, what stands in front included.
    Length(u64),
    /// No message begins so.
    Malformed,
}

/// One message.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Its bytes, as far as they are kept.
    pub bytes: Bytes,
    /// Its length.
    pub size: u64,
    /// Time of its first byte.
    pub ts: Timestamp,
    /// Ordinal of the packet that made it complete.
    pub ordinal: u64,
    /// Whether bytes of it were not captured; those before them are in `bytes`.
    pub holed: bool,
}

impl Message {
    /// Whether `bytes` is not all of it.
    pub(super) fn is_cut(&self) -> bool {
        self.bytes.len() as u64 != self.size
    }
}

/// What one look at a chunk gave.
#[derive(Debug)]
pub(super) enum Step {
    /// A message, and how many bytes of the chunk were its last ones.
    Message(Message, usize),
    /// So many bytes belong to a message that goes on.
    Took(usize),
    /// This many bytes are needed.
    NeedMore(usize),
    /// The chunk does not begin with a message.
    Malformed,
}

/// Where one direction stands.
#[derive(Debug)]
pub(super) struct Intake {
    reading: Reading,
    most: usize,
}

#[derive(Debug)]
enum Reading {
    /// At the start of a message.
    Front,
    /// Inside a message.
    Inside(Partial),
    /// A gap hid where messages begin.
    Lost,
}

#[derive(Debug)]
struct Partial {
    kept: Vec<u8>,
    left: u64,
    size: u64,
    ts: Timestamp,
    holed: bool,
}

impl Partial {
    fn message(self, ordinal: u64) -> Message {
        Message {
            bytes: self.kept.into(),
            size: self.size,
            ts: self.ts,
            ordinal,
            holed: self.holed,
        }
    }
}

impl Intake {
    /// At the start of a message; `most` bytes of each are kept.
    pub(super) fn new(most: usize) -> Intake {
        Intake {
            reading: Reading::Front,
            most,
        }
    }

    /// Whether nobody knows where the next message begins.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.reading, Reading::Lost)
    }

    /// Whether the next byte is the first of a message.
    pub(super) fn is_at_front(&self) -> bool {
        matches!(self.reading, Reading::Front)
    }

    /// The next byte is the first of a message.
    pub(super) fn found(&mut self) {
        self.reading = Reading::Front;
    }

    /// What follows is no message of its own.
    pub(super) fn lose(&mut self) {
        self.reading = Reading::Lost;
    }

    /// Takes what the chunk has of the message that stands first.
    pub(super) fn next(&mut self, chunk: &Chunk, front: impl FnOnce(&[u8]) -> Front) -> Step {
        match std::mem::replace(&mut self.reading, Reading::Front) {
            Reading::Inside(partial) => self.go_on(partial, chunk),
            Reading::Lost => {
                self.reading = Reading::Lost;
                Step::Took(chunk.bytes.len())
            }
            Reading::Front => match front(&chunk.bytes) {
                Front::Malformed | Front::Length(0) => Step::Malformed,
                Front::NeedMore(need) => Step::NeedMore(need),
                Front::Length(size) => self.begin(size, chunk),
            },
        }
    }

    fn begin(&mut self, size: u64, chunk: &Chunk) -> Step {
        let whole = usize::try_from(size)
            .ok()
            .filter(|size| *size <= chunk.bytes.len());
        let Some(whole) = whole else {
            let partial = Partial {
                kept: Vec::new(),
                left: size,
                size,
                ts: chunk.ts,
                holed: false,
            };
            return self.go_on(partial, chunk);
        };
        let message = Message {
            bytes: chunk.bytes.slice(..whole.min(self.most)),
            size,
            ts: chunk.ts,
            ordinal: chunk.ordinal,
            holed: false,
        };
        Step::Message(message, whole)
    }

    fn go_on(&mut self, mut partial: Partial, chunk: &Chunk) -> Step {
        let left = usize::try_from(partial.left).unwrap_or(usize::MAX);
        let taken = left.min(chunk.bytes.len());
        if !partial.holed {
            let room = self.most.saturating_sub(partial.kept.len()).min(taken);
            partial
                .kept
                .extend_from_slice(chunk.bytes.get(..room).unwrap_or_default());
        }
        partial.left -= taken as u64;
        if partial.left == 0 {
            return Step::Message(partial.message(chunk.ordinal), taken);
        }
        self.reading = Reading::Inside(partial);
        Step::Took(taken)
    }

    /// Passes over bytes that were not captured; the message that ended among them is handed out
    /// for what is known of it.
    pub(super) fn gap(&mut self, gap: &Gap) -> Option<Message> {
        match std::mem::replace(&mut self.reading, Reading::Lost) {
            Reading::Inside(mut partial) => {
                partial.holed = true;
                if gap.len < partial.left {
                    partial.left -= gap.len;
                    self.reading = Reading::Inside(partial);
                    return None;
                }
                if gap.len == partial.left {
                    self.reading = Reading::Front;
                }
                Some(partial.message(gap.ordinal))
            }
            _ => None,
        }
    }

    /// The direction ends: the message that stands first, when one has begun.
    pub(super) fn end(&mut self, ordinal: u64) -> Option<Message> {
        match std::mem::replace(&mut self.reading, Reading::Lost) {
            Reading::Inside(mut partial) => {
                partial.holed = true;
                Some(partial.message(ordinal))
            }
            _ => None,
        }
    }

    /// ```text
    /// intake = kind u8 (0 front, 1 inside, 2 lost)
    /// inside = holed u8, left u64, size u64, ts i64, length u32, bytes          big-endian
    /// ```
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        match &self.reading {
            Reading::Front => out.push(0),
            Reading::Inside(partial) => {
                out.push(1);
                out.put_u8(partial.holed.into());
                out.put_u64(partial.left);
                out.put_u64(partial.size);
                out.put_i64(partial.ts.nanos());
                put_bytes(out, &partial.kept);
            }
            Reading::Lost => out.push(2),
        }
    }

    /// Reads [`Intake::save`] back.
    pub(super) fn restore(saved: &mut Saved<'_>, most: usize) -> Option<Intake> {
        let reading = match saved.u8()? {
            0 => Reading::Front,
            1 => {
                let holed = saved.flag()?;
                let left = saved.u64()?;
                let size = saved.u64().filter(|size| left > 0 && left <= *size)?;
                let ts = saved.time()?;
                let kept = saved.bytes(most)?;
                if kept.len() as u64 > size - left {
                    return None;
                }
                Reading::Inside(Partial {
                    kept: kept.into(),
                    left,
                    size,
                    ts,
                    holed,
                })
            }
            2 => Reading::Lost,
            _ => return None,
        };
        Some(Intake { reading, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Direction;

    fn chunk(bytes: &'static [u8]) -> Chunk {
        Chunk {
            direction: Direction::ToServer,
            offset: 0,
            bytes: Bytes::from_static(bytes),
            ts: Timestamp::default(),
            ordinal: 7,
        }
    }

    fn gap(len: u64) -> Gap {
        Gap {
            direction: Direction::ToServer,
            offset: 0,
            len,
            ts: Timestamp::default(),
            ordinal: 9,
        }
    }

    /// The first byte is the length of the message.
    fn front(bytes: &[u8]) -> Front {
        match bytes.first() {
            Some(length) => Front::Length(u64::from(*length)),
            None => Front::NeedMore(1),
        }
    }

    #[test]
    fn a_whole_message_is_a_slice_and_a_long_one_is_cut() {
        let mut intake = Intake::new(4);
        let Step::Message(message, 3) = intake.next(&chunk(b"\x03abrest"), front) else {
            panic!("a message of three bytes");
        };
        assert_eq!(&message.bytes[..], b"\x03ab");
        assert!(matches!(
            intake.next(&chunk(b"\x08ab"), front),
            Step::Took(3)
        ));
        assert!(matches!(intake.next(&chunk(b"cde"), front), Step::Took(3)));
        let mut state = Vec::new();
        intake.save(&mut state);
        intake = Intake::restore(&mut Saved::new(&state), 4).expect("it was saved");
        let Step::Message(message, 2) = intake.next(&chunk(b"fghi"), front) else {
            panic!("the message ends");
        };
        assert_eq!((&message.bytes[..], message.size), (&b"\x08abc"[..], 8));
        assert!(message.is_cut() && !message.holed);
        assert!(intake.is_at_front());
    }

    #[test]
    fn a_gap_in_a_message_keeps_its_place_and_a_longer_one_loses_it() {
        for (len, at_front) in [(3, false), (5, true), (6, false)] {
            let mut intake = Intake::new(100);
            assert!(matches!(
                intake.next(&chunk(b"\x08ab"), front),
                Step::Took(3)
            ));
            let message = intake.gap(&gap(len));
            assert_eq!(message.is_some(), len >= 5);
            assert_eq!(intake.is_at_front(), at_front);
            assert_eq!(intake.is_lost(), len > 5);
            let message = message.or_else(|| match intake.next(&chunk(b"fghi"), front) {
                Step::Message(message, 2) => Some(message),
                _ => None,
            });
            let message = message.expect("the message ends");
            assert!(message.holed);
            assert_eq!(&message.bytes[..], b"\x08ab");
        }
    }

    #[test]
    fn what_is_no_message_is_said() {
        let mut intake = Intake::new(4);
        assert!(matches!(intake.next(&chunk(b"\0"), front), Step::Malformed));
        assert!(matches!(intake.next(&chunk(b""), front), Step::NeedMore(1)));
    }
}
