//! Reads DNS messages: header, questions and the frame of each record; pure.
//!
//! In: the bytes of one message. Out: places and numbers in it. Never: text (that is `render`),
//! allocation except for a name that is asked for. Standard: RFC 1035 section 4.
//!
//! Compression pointers must point backwards (RFC 1035 section 4.1.4: "a prior occurrence"), so a
//! loop cannot be written.

use crate::bytes::{Reader, Short};

/// Bytes of a header.
pub(super) const HEADER: usize = 12;

/// Octets of a name on the wire at most (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParseErrorKind {
    /// The message ends early.
    Truncated,
    /// A compression pointer does not point backwards.
    NameLoop,
    /// A name is longer than 255 octets.
    NameTooLong,
    /// A label is of no known kind.
    Label,
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
            ParseErrorKind::Truncated => "the message ends early",
            ParseErrorKind::NameLoop => "a compression pointer does not point backwards",
            ParseErrorKind::NameTooLong => "a name is longer than 255 octets",
            ParseErrorKind::Label => "a label is of no known kind",
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

/// A message's header (RFC 1035 section 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Identifier; a response has that of its query.
    pub(super) id: u16,
    flags: u16,
    /// Counts of questions, answers, authorities, additionals.
    pub(super) counts: [u16; 4],
}

impl Header {
    /// Whether it is a response.
    pub(super) fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// Kind of query.
    pub(super) fn opcode(&self) -> u8 {
        (self.flags >> 11 & 0xf) as u8
    }

    /// Response code without the part that EDNS adds.
    pub(super) fn rcode(&self) -> u8 {
        (self.flags & 0xf) as u8
    }

    /// Whether the sender left something out for lack of room.
    pub(super) fn is_truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }

    /// Whether it can be a header at all: an assigned opcode, and no more records than a message
    /// can hold.
    pub(super) fn is_plausible(&self) -> bool {
        // 3 was never assigned; 6 is the last one (RFC 8490).
        const MOST: u32 = 6000;
        let total: u32 = self.counts.iter().map(|count| u32::from(*count)).sum();
        matches!(self.opcode(), 0..=2 | 4..=6) && total <= MOST
    }

    /// Whether it is one that clients and servers send every day: a query, notification or update
    /// with one question, or a multicast message.
    fn has_usual_counts(&self) -> bool {
        let [questions, answers, ..] = self.counts;
        questions == 1
            || (questions <= 32 && (self.is_response() || answers == 0) && self.id == 0)
            || (questions == 0 && self.is_response() && answers > 0)
    }

    /// Whether it stands out as DNS without a hint from the port.
    pub(super) fn is_usual(&self) -> bool {
        // Bit 6 of the second flag octet must be zero (RFC 1035 section 4.1.1).
        self.is_plausible() && self.flags & 0x0040 == 0 && self.has_usual_counts()
    }
}

/// A question's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    /// Offset of the name.
    pub(super) name: usize,
    /// Type asked for.
    pub(super) kind: u16,
    /// Class asked for.
    pub(super) class: u16,
}

/// The section that a record stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// Answers, or the prerequisites of an update.
    Answer,
    /// Authorities, or the updates of an update.
    Authority,
    /// Additionals.
    Additional,
}

/// A record's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// Where it stands.
    pub(super) section: Section,
    /// Offset of the name.
    pub(super) name: usize,
    /// Type.
    pub(super) kind: u16,
    /// Class; of an OPT record the largest payload.
    pub(super) class: u16,
    /// Seconds to live; of an OPT record flags.
    pub(super) ttl: u32,
    /// Offset of the data.
    pub(super) data: usize,
    /// Bytes of data.
    pub(super) len: usize,
}

/// What [`Message::check`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Check {
    /// Offset behind the questions; `None` when they are not whole.
    pub(super) questions: Option<usize>,
    /// Offset behind the last thing that could be read.
    pub(super) end: usize,
    /// Why reading stopped before the end.
    pub(super) error: Option<ParseError>,
}

/// The bytes of one message, its header read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    bytes: &'a [u8],
    header: Header,
}

impl<'a> Message<'a> {
    /// A message, without the two-byte length that stands in front over TCP.
    ///
    /// # Errors
    /// `Truncated` when the header is not whole.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Message<'a>, ParseError> {
        let mut reader = Reader::new(bytes);
        let id = reader.u16()?;
        let flags = reader.u16()?;
        let mut counts = [0; 4];
        for count in &mut counts {
            *count = reader.u16()?;
        }
        Ok(Message {
            bytes,
            header: Header { id, flags, counts },
        })
    }

    /// The header.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// All bytes.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The questions; the last is an error when the section is not whole.
    pub(super) fn questions(self) -> impl Iterator<Item = Result<Question, ParseError>> {
        let mut at = HEADER;
        let mut left = self.header.counts[0];
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let read = self.question(at);
            match read {
                Ok((_, end)) => at = end,
                Err(_) => left = 0,
            }
            Some(read.map(|(question, _)| question))
        })
    }

    /// The labels of the first question's name; `None` when the question is not whole.
    pub(super) fn first_name(self) -> Option<Vec<&'a [u8]>> {
        (self.header.counts[0] > 0).then_some(())?;
        let (labels, end) = self.name(HEADER).ok()?;
        // Its type and its class.
        self.reader(end).ok()?.skip(4).ok()?;
        Some(labels)
    }

    /// Where the questions end; `None` when they are not whole.
    fn questions_end(self) -> Option<usize> {
        let mut at = HEADER;
        for _ in 0..self.header.counts[0] {
            at = self.question(at).ok()?.1;
        }
        Some(at)
    }

    /// The records of all sections; the last is an error when one is not whole.
    pub(super) fn records(self) -> impl Iterator<Item = Result<Record, ParseError>> {
        self.records_from(self.questions_end())
    }

    /// The same when it is known where they begin.
    fn records_from(
        self,
        mut at: Option<usize>,
    ) -> impl Iterator<Item = Result<Record, ParseError>> {
        let [_, answers, authorities, additionals] = self.header.counts;
        let sections = [
            (Section::Answer, answers),
            (Section::Authority, authorities),
            (Section::Additional, additionals),
        ];
        let mut wanted = sections
            .into_iter()
            .flat_map(|(section, count)| std::iter::repeat_n(section, usize::from(count)));
        std::iter::from_fn(move || {
            let section = wanted.next()?;
            let read = self.record(at?, section);
            at = read.ok().map(|record| record.data + record.len);
            Some(read)
        })
    }

    /// Reads the frame of all that the header announces.
    pub(super) fn check(self) -> Check {
        let mut check = Check {
            questions: None,
            end: HEADER,
            error: None,
        };
        for _ in 0..self.header.counts[0] {
            match self.question(check.end) {
                Ok((_, next)) => check.end = next,
                Err(error) => {
                    check.error = Some(error);
                    return check;
                }
            }
        }
        check.questions = Some(check.end);
        for record in self.records_from(check.questions) {
            match record {
                Ok(record) => check.end = record.data + record.len,
                Err(error) => {
                    check.error = Some(error);
                    break;
                }
            }
        }
        check
    }

    fn question(&self, at: usize) -> Result<(Question, usize), ParseError> {
        let mut reader = self.reader(self.skip_name(at)?)?;
        let question = Question {
            name: at,
            kind: reader.u16()?,
            class: reader.u16()?,
        };
        Ok((question, reader.offset()))
    }

    fn record(&self, at: usize, section: Section) -> Result<Record, ParseError> {
        let mut reader = self.reader(self.skip_name(at)?)?;
        let kind = reader.u16()?;
        let class = reader.u16()?;
        let ttl = reader.u32()?;
        let len = usize::from(reader.u16()?);
        let data = reader.offset();
        reader.skip(len)?;
        Ok(Record {
            section,
            name: at,
            kind,
            class,
            ttl,
            data,
            len,
        })
    }

    /// A reader at an offset of the message.
    pub(super) fn reader(&self, at: usize) -> Result<Reader<'a>, ParseError> {
        let mut reader = Reader::new(self.bytes);
        reader.skip(at)?;
        Ok(reader)
    }

    /// The offset behind the name at `at`; all of the name is read.
    fn skip_name(&self, at: usize) -> Result<usize, ParseError> {
        self.walk_name(at, |_| {})
    }

    /// The labels of the name at `at`, and the offset behind it.
    pub(super) fn name(&self, at: usize) -> Result<(Vec<&'a [u8]>, usize), ParseError> {
        let mut labels = Vec::new();
        let end = self.walk_name(at, |label| labels.push(label))?;
        Ok((labels, end))
    }

    fn walk_name(&self, at: usize, mut label: impl FnMut(&'a [u8])) -> Result<usize, ParseError> {
        let mut reader = self.reader(at)?;
        let mut end = None;
        let mut floor = at;
        let mut octets = 0;
        loop {
            let here = reader.offset();
            let error = |kind| ParseError { kind, offset: here };
            let first = reader.u8()?;
            match first >> 6 {
                0b00 => {
                    octets += 1 + usize::from(first);
                    if octets > MAX_NAME {
                        return Err(error(ParseErrorKind::NameTooLong));
                    }
                    if first == 0 {
                        return Ok(end.unwrap_or(reader.offset()));
                    }
                    label(reader.take(usize::from(first))?);
                }
                0b11 => {
                    let low = reader.u8()?;
                    let target = usize::from(u16::from_be_bytes([first & 0x3f, low]));
                    if target >= floor {
                        return Err(error(ParseErrorKind::NameLoop));
                    }
                    end.get_or_insert(reader.offset());
                    floor = target;
                    reader = self.reader(target)?;
                }
                _ => return Err(error(ParseErrorKind::Label)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The header of a query with one question.
    const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00";

    fn with(rest: &[u8]) -> Vec<u8> {
        [QUERY, rest].concat()
    }

    #[test]
    fn a_name_may_end_in_a_pointer() {
        let bytes = with(b"\x03www\x02ab\x00\x00\x01\x00\x01\x01x\xc0\x10");
        let message = Message::new(&bytes).unwrap();
        let question = message.questions().next().unwrap().unwrap();
        assert_eq!((question.name, question.kind, question.class), (12, 1, 1));
        let (labels, end) = message.name(24).unwrap();
        assert_eq!(labels, [&b"x"[..], b"ab"]);
        assert_eq!(end, bytes.len());
    }

    #[test]
    fn pointers_must_point_backwards() {
        for name in [&b"\xc0\x0c"[..], b"\x01a\xc0\x0c", b"\xc0\x20\x00"] {
            let bytes = with(name);
            let error = Message::new(&bytes).unwrap().name(12).unwrap_err();
            assert_eq!(error.kind, ParseErrorKind::NameLoop);
        }
    }

    #[test]
    fn names_have_255_octets_at_most() {
        let label = [&[63][..], &[b'a'; 63]].concat();
        let mut name = label.repeat(3);
        name.extend([&[61][..], &[b'a'; 61], &[0]].concat());
        let bytes = with(&name);
        assert!(Message::new(&bytes).unwrap().name(12).is_ok());
        let bytes = with(&label.repeat(4));
        let error = Message::new(&bytes).unwrap().name(12).unwrap_err();
        assert_eq!(error.kind, ParseErrorKind::NameTooLong);
    }

    #[test]
    fn a_message_that_ends_early_says_where() {
        let bytes = with(b"\x03www\x00\x00");
        let check = Message::new(&bytes).unwrap().check();
        assert_eq!(check.end, 12);
        let error = check.error.unwrap();
        assert_eq!((error.kind, error.offset), (ParseErrorKind::Truncated, 17));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(message) = Message::new(&bytes) {
                let check = message.check();
                prop_assert!(check.end <= bytes.len());
                for at in 0..=bytes.len() {
                    let _ = message.name(at);
                }
            }
        }
    }
}
