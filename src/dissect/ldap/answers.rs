//! What is kept of an operation until its last response, and of its responses for an item.
//!
//! In: whole messages. Out: one run of bytes that `render` reads. Never: more entries of a search
//! than an item carries; they are counted.
//!
//! ```text
//! kept = flags u8 (1 cut, 2 the value is a secret), entries u64, references u64,
//!        intermediates u64, messages                                         big-endian
//! ```

use bytes::{BufMut, Bytes};

use super::ber::{ParseError, ParseErrorKind};
use super::parser::{self, ENTRY, Front, Message, REFERENCE, Role};
use crate::bytes::Reader;
use crate::item::MAX_ITEM_BODY;
use crate::packet::Direction;
use crate::time::Timestamp;

const CUT: u8 = 1;
const SECRET: u8 = 2;

/// The responses of one operation.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Answers {
    messages: Vec<u8>,
    entries: u64,
    references: u64,
    intermediates: u64,
    is_cut: bool,
    /// Bytes as captured.
    pub(super) size: u64,
    /// Time of the first one's first packet.
    pub(super) first: Option<Timestamp>,
    /// What is wrong with them first.
    pub(super) fault: Option<Fault>,
}

/// What is wrong with the responses of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Bytes are missing while they were awaited.
    Gap,
    /// One of them could not be read.
    Unreadable(ParseError),
}

/// Parse errors, in the order of a save's numbers from 1 on.
const ERRORS: [ParseErrorKind; 4] = [
    ParseErrorKind::Truncated,
    ParseErrorKind::Length,
    ParseErrorKind::Tag,
    ParseErrorKind::TooDeep,
];

impl Answers {
    /// Adds one response as long as there is `room`; the last one is always kept.
    pub(super) fn add(&mut self, front: &Front, bytes: &[u8], ts: Timestamp, room: usize) {
        self.size += bytes.len() as u64;
        self.first.get_or_insert(ts);
        match front.operation.tag {
            ENTRY => self.entries += 1,
            REFERENCE => self.references += 1,
            _ if front.operation.role == Role::Part => self.intermediates += 1,
            _ => {}
        }
        if let Err(error) = parser::check(bytes) {
            self.fault.get_or_insert(Fault::Unreadable(error));
        }
        let fits = self.messages.len() + bytes.len() <= MAX_ITEM_BODY && bytes.len() <= room;
        // Once something was left out, nothing that follows is kept: what is shown has no holes.
        if front.operation.role == Role::Final || (fits && !self.is_cut) {
            self.messages.extend_from_slice(bytes);
        } else {
            self.is_cut = true;
        }
    }

    /// Whether any response came.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Bytes that they hold in memory.
    pub(super) fn weight(&self) -> usize {
        self.messages.len()
    }

    /// What `render` needs of them.
    pub(super) fn into_bytes(self, is_secret: bool) -> Bytes {
        let mut out = Vec::with_capacity(25 + self.messages.len());
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        out.put_u8(flag(self.is_cut, CUT) | flag(is_secret, SECRET));
        for count in [self.entries, self.references, self.intermediates] {
            out.put_u64(count);
        }
        out.put_slice(&self.messages);
        Bytes::from(out)
    }

    /// ```text
    /// answers = entries u64, references u64, intermediates u64, cut u8, size u64,
    ///           answered u8, first i64, fault u8 (0 none, 1 to 4 unreadable, 255 gap), offset u64,
    ///           length u32, messages                                       big-endian
    /// ```
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        for count in [self.entries, self.references, self.intermediates] {
            out.put_u64(count);
        }
        out.put_u8(self.is_cut.into());
        out.put_u64(self.size);
        out.put_u8(self.first.is_some().into());
        out.put_i64(self.first.unwrap_or_default().nanos());
        let (code, offset) = match self.fault {
            None => (0, 0),
            Some(Fault::Gap) => (u8::MAX, 0),
            Some(Fault::Unreadable(error)) => {
                let known = ERRORS.iter().position(|kind| *kind == error.kind);
                let code = known.map_or(1, |index| index + 1);
                (u8::try_from(code).unwrap_or(1), error.offset as u64)
            }
        };
        out.put_u8(code);
        out.put_u64(offset);
        put(out, &self.messages);
    }

    /// Reads them back; `None` when the bytes are not those of a save.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Answers> {
        let mut number = || from.u64().ok().filter(|number| *number < 1 << 62);
        let (entries, references, intermediates) = (number()?, number()?, number()?);
        let is_cut = from.u8().ok()? == 1;
        let size = from.u64().ok().filter(|size| *size < 1 << 62)?;
        let answered = from.u8().ok()? == 1;
        let first = Timestamp::from_nanos(from.u64().ok()?.cast_signed());
        let (code, offset) = (from.u8().ok()?, from.u64().ok()?);
        let fault = match code {
            0 => None,
            u8::MAX => Some(Fault::Gap),
            code => Some(Fault::Unreadable(ParseError {
                kind: *ERRORS.get(usize::from(code) - 1)?,
                offset: usize::try_from(offset).ok()?,
            })),
        };
        Some(Answers {
            messages: take(from)?.to_vec(),
            entries,
            references,
            intermediates,
            is_cut,
            size,
            first: answered.then_some(first),
            fault,
        })
    }
}

/// The responses of one operation, as [`Answers::into_bytes`] wrote them.
pub(super) struct Kept<'a> {
    /// Entries of a search.
    pub(super) entries: u64,
    /// References of a search.
    pub(super) references: u64,
    /// Intermediate responses.
    pub(super) intermediates: u64,
    /// Whether responses were left out.
    pub(super) is_cut: bool,
    /// Whether the value of an extended response is a secret.
    pub(super) is_secret: bool,
    messages: &'a [u8],
}

impl<'a> Kept<'a> {
    /// Reads them.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Kept<'a>> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8().ok()?;
        Some(Kept {
            is_cut: flags & CUT != 0,
            is_secret: flags & SECRET != 0,
            entries: reader.u64().ok()?,
            references: reader.u64().ok()?,
            intermediates: reader.u64().ok()?,
            messages: reader.rest(),
        })
    }

    /// The responses that were kept, in order; the last may lack its end.
    pub(super) fn messages(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.messages;
        std::iter::from_fn(move || {
            let front = Front::parse(rest).ok()??;
            let (message, behind) = rest.split_at(front.total.min(rest.len()));
            rest = behind;
            Some(message)
        })
    }
}

/// A request that awaits its last response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    /// Who asked.
    pub(super) direction: Direction,
    /// Identifier of the operation.
    pub(super) id: u32,
    /// The message.
    pub(super) bytes: Bytes,
    /// Bytes of it as captured.
    pub(super) size: u64,
    /// Time of its first packet.
    pub(super) ts: Timestamp,
    /// Ordinal of the packet that completed it, or its last response so far.
    pub(super) ordinal: u64,
    /// What came of it.
    pub(super) answers: Answers,
}

impl Open {
    /// Bytes that it holds in memory.
    pub(super) fn weight(&self) -> usize {
        self.bytes.len() + self.answers.weight()
    }

    /// The message, which was readable when it came.
    pub(super) fn message(&self) -> Option<Message<'_>> {
        Message::parse(&self.bytes)
    }

    /// Name of the extended operation that it asks for; empty for all else.
    pub(super) fn extension(&self) -> &[u8] {
        self.message()
            .filter(|message| message.operation.tag == parser::EXTENDED)
            .map_or(&[], |message| parser::request_name(&message))
    }

    /// ```text
    /// open = direction u8 (1 to the client), id u32, size u64, ts i64, ordinal u64,
    ///        length u32, message, answers                                 big-endian
    /// ```
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::from(self.direction == Direction::ToClient));
        out.put_u32(self.id);
        out.put_u64(self.size);
        out.put_i64(self.ts.nanos());
        out.put_u64(self.ordinal);
        put(out, &self.bytes);
        self.answers.save(out);
    }

    /// Reads one back; `None` when the bytes are not those of a save.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Open> {
        Some(Open {
            direction: match from.u8().ok()? {
                0 => Direction::ToServer,
                1 => Direction::ToClient,
                _ => return None,
            },
            id: from.u32().ok()?,
            size: from.u64().ok()?,
            ts: Timestamp::from_nanos(from.u64().ok()?.cast_signed()),
            ordinal: from.u64().ok()?,
            bytes: Bytes::copy_from_slice(take(from)?),
            answers: Answers::load(from)?,
        })
    }
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    out.put_u32(u32::try_from(part.len()).unwrap_or(0));
    out.put_slice(part);
}

fn take<'a>(from: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = usize::try_from(from.u32().ok()?).ok()?;
    from.take(length).ok()
}
