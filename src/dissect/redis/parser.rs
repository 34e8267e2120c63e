//! RESP framing: where a command or a reply ends, byte by byte, without keeping any.
//!
//! In: the bytes of one direction in order, or the length of a gap. Out: how many of them belong to
//! the message, and whether it has ended. Never: memory for what a length announces; recursion
//! (nesting is a stack of at most [`MAX_DEPTH`] counts). Standard: the Redis serialization
//! protocol specification, RESP2 and RESP3 with its streamed types.

use crate::bytes::Reader;

/// Levels of nesting; replies of Redis and its modules stay below ten.
const MAX_DEPTH: usize = 64;

/// Longest line that holds a length or a number: sign, digits, fraction, exponent, line end.
const MAX_HEAD: usize = 64;

/// Longest inline command that servers take (`PROTO_INLINE_MAX_SIZE`).
pub(super) const MAX_INLINE: u32 = 64 * 1024;

/// Longest bulk string; servers take 512 MB unless `proto-max-bulk-len` says otherwise.
const MAX_BULK: i64 = 1 << 40;

/// Most elements of an aggregate; servers count them in 32 bits.
const MAX_COUNT: i64 = i32::MAX as i64;

/// Which of the two languages a direction speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Commands: arrays of bulk strings, and inline commands.
    Command,
    /// Replies: every type.
    Reply,
}

/// The type of a value, named after its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `+`
    SimpleString,
    /// `-`
    SimpleError,
    /// `:`
    Integer,
    /// `$`
    BulkString,
    /// `*`
    Array,
    /// `_`, and `$-1` and `*-1` of RESP2.
    Null,
    /// `#`
    Boolean,
    /// `,`
    Double,
    /// `(`
    BigNumber,
    /// `!`
    BulkError,
    /// `=`
    VerbatimString,
    /// `%`
    Map,
    /// `|`
    Attribute,
    /// `~`
    Set,
    /// `>`
    Push,
}

/// What a value begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// A line of text follows the type byte.
    Line(Kind),
    /// The whole value was one short line, of which so many bytes are text behind the type byte.
    Short(Kind, usize),
    /// So many bytes follow, then a line end.
    Bulk(Kind, u64),
    /// So many elements follow; of a map twice its entries.
    Aggregate(Kind, u64),
    /// Chunks follow (`$?`).
    StreamedString,
    /// Elements follow up to a `.` (`*?`, `~?`, `%?`, `>?`).
    StreamedAggregate(Kind),
    /// A chunk of a streamed string; the last one is empty.
    Chunk(u64),
    /// The end of a streamed aggregate.
    End,
}

/// What reading a head gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadStep {
    /// A head of so many bytes.
    Head(Head, usize),
    /// It is not whole yet.
    Wait,
    /// The bytes are against RESP.
    Broken,
}

/// Reads what a value begins with.
pub(super) fn head(bytes: &[u8]) -> HeadStep {
    let Some((&first, rest)) = bytes.split_first() else {
        return HeadStep::Wait;
    };
    // Nearly all heads are short lengths.
    if let (b'$' | b'*', Some((length, size))) = (first, short_length(rest)) {
        let head = match first {
            b'$' => Head::Bulk(Kind::BulkString, length),
            _ => Head::Aggregate(Kind::Array, length),
        };
        return HeadStep::Head(head, 1 + size);
    }
    match first {
        b'+' => return HeadStep::Head(Head::Line(Kind::SimpleString), 1),
        b'-' => return HeadStep::Head(Head::Line(Kind::SimpleError), 1),
        b'(' => return HeadStep::Head(Head::Line(Kind::BigNumber), 1),
        b':' | b'$' | b'*' | b'_' | b'#' | b',' | b'!' | b'=' | b'%' | b'|' | b'~' | b'>'
        | b';' | b'.' => {}
        _ => return HeadStep::Broken,
    }
    let window = rest.get(..MAX_HEAD).unwrap_or(rest);
    let Some(end) = memchr::memchr(b'\n', window) else {
        let sound = window.len() < MAX_HEAD && window.iter().all(|byte| is_head_byte(*byte));
        return if sound {
            HeadStep::Wait
        } else {
            HeadStep::Broken
        };
    };
    let Some(line) = window.get(..end).and_then(|line| line.strip_suffix(b"\r")) else {
        return HeadStep::Broken;
    };
    match whole_head(first, line) {
        Some(head) => HeadStep::Head(head, 1 + end + 1),
        None => HeadStep::Broken,
    }
}

/// A length of at most eight digits with its line end, and the bytes of both.
fn short_length(line: &[u8]) -> Option<(u64, usize)> {
    let mut length = 0;
    for (at, byte) in line.iter().take(9).enumerate() {
        match byte {
            b'0'..=b'9' if at < 8 => length = length * 10 + u64::from(byte - b'0'),
            b'\r' if at > 0 && line.get(at + 1) == Some(&b'\n') => return Some((length, at + 2)),
            _ => return None,
        }
    }
    None
}

fn is_head_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'?' | b'\r')
}

fn whole_head(first: u8, line: &[u8]) -> Option<Head> {
    let short = |kind| Head::Short(kind, line.len());
    let streamed = line == b"?";
    Some(match first {
        b':' => {
            number(line)?;
            short(Kind::Integer)
        }
        b'_' => line.is_empty().then_some(short(Kind::Null))?,
        b'#' => matches!(line, b"t" | b"f").then_some(short(Kind::Boolean))?,
        b',' => {
            let text = std::str::from_utf8(line).ok()?;
            text.parse::<f64>().ok()?;
            short(Kind::Double)
        }
        b'.' => line.is_empty().then_some(Head::End)?,
        b'$' if streamed => Head::StreamedString,
        b'*' if streamed => Head::StreamedAggregate(Kind::Array),
        b'%' if streamed => Head::StreamedAggregate(Kind::Map),
        b'~' if streamed => Head::StreamedAggregate(Kind::Set),
        b'>' if streamed => Head::StreamedAggregate(Kind::Push),
        b'$' | b'*' if line == b"-1" => Head::Short(Kind::Null, 0),
        b';' => Head::Chunk(length(line)?),
        b'$' => Head::Bulk(Kind::BulkString, length(line)?),
        b'!' => Head::Bulk(Kind::BulkError, length(line)?),
        b'=' => Head::Bulk(Kind::VerbatimString, length(line)?),
        b'*' => Head::Aggregate(Kind::Array, count(line)?),
        b'~' => Head::Aggregate(Kind::Set, count(line)?),
        b'>' => Head::Aggregate(Kind::Push, count(line)?),
        b'%' => Head::Aggregate(Kind::Map, 2 * count(line)?),
        b'|' => Head::Aggregate(Kind::Attribute, 2 * count(line)?),
        _ => return None,
    })
}

/// `[<+|->]<digits>` in 64 bits.
fn number(line: &[u8]) -> Option<i64> {
    // Nearly all of them are short, and fit without a check.
    if matches!(line.len(), 1..=9) && line.iter().all(u8::is_ascii_digit) {
        let digits = line.iter().map(|digit| i64::from(digit - b'0'));
        return Some(digits.fold(0, |number, digit| number * 10 + digit));
    }
    let digits = line.strip_prefix(b"-").or_else(|| line.strip_prefix(b"+"));
    if !digits.unwrap_or(line).first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(line).ok()?.parse().ok()
}

fn length(line: &[u8]) -> Option<u64> {
    u64::try_from(number(line).filter(|length| *length <= MAX_BULK)?).ok()
}

fn count(line: &[u8]) -> Option<u64> {
    u64::try_from(number(line).filter(|count| *count <= MAX_COUNT)?).ok()
}

/// What a level of nesting waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// So many elements.
    Elements(u64),
    /// So many elements of an attribute, which is none itself: the value that it describes follows.
    Attribute(u64),
    /// Elements up to the end mark.
    Streamed,
    /// Chunks up to the empty one.
    Chunks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// At the head of a value.
    Head,
    /// Within a line of text.
    Line,
    /// Within an inline command of which so many bytes were read.
    Inline(u32),
    /// Within a bulk string, so many bytes left.
    Data(u64),
    /// At the line end behind a bulk string.
    DataEnd,
}

/// How far a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes, perhaps none, belong to it, and more must come.
    Took(usize),
    /// It ends after so many bytes.
    End(usize),
    /// The bytes are against RESP.
    Broken,
}

/// Where in a message one direction stands.
///
/// Invariant: `stack` is at most [`MAX_DEPTH`] deep and empty between messages; counts in it are
/// never 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Framer {
    role: Role,
    stack: Vec<Level>,
    at: At,
}

impl Framer {
    /// At the start of a message.
    pub(super) fn new(role: Role) -> Framer {
        Framer {
            role,
            stack: Vec::new(),
            at: At::Head,
        }
    }

    /// Goes over `bytes` up to the end of the message.
    pub(super) fn walk(&mut self, bytes: &[u8]) -> Step {
        let mut reader = Reader::new(bytes);
        loop {
            let ended = match self.at {
                At::Head => match self.head(&mut reader) {
                    Ok(ended) => ended,
                    Err(step) => return step,
                },
                At::Line => match memchr::memchr(b'\n', reader.rest()) {
                    None => return Step::Took(bytes.len()),
                    Some(end) => {
                        let _ = reader.skip(end + 1);
                        self.close()
                    }
                },
                At::Inline(seen) => match self.inline(seen, &mut reader) {
                    Ok(ended) => ended,
                    Err(step) => return step,
                },
                At::Data(left) => {
                    let here = reader
                        .left()
                        .min(usize::try_from(left).unwrap_or(usize::MAX));
                    let _ = reader.skip(here);
                    let left = left.saturating_sub(here as u64);
                    if left > 0 {
                        self.at = At::Data(left);
                        return Step::Took(bytes.len());
                    }
                    self.at = At::DataEnd;
                    false
                }
                At::DataEnd => match reader.rest() {
                    [b'\r', b'\n', ..] => {
                        let _ = reader.skip(2);
                        match self.stack.last() {
                            Some(Level::Chunks) => {
                                self.at = At::Head;
                                false
                            }
                            _ => self.close(),
                        }
                    }
                    [] | [b'\r'] => return Step::Took(reader.offset()),
                    _ => return Step::Broken,
                },
            };
            if ended {
                return Step::End(reader.offset());
            }
        }
    }

    /// Reads one head; `Ok(true)` when the message ends with it.
    fn head(&mut self, reader: &mut Reader<'_>) -> Result<bool, Step> {
        if self.role == Role::Command && self.stack.is_empty() {
            match reader.rest().first() {
                None => return Err(Step::Took(reader.offset())),
                Some(b'*') => {}
                Some(byte) if byte.is_ascii_alphabetic() || matches!(byte, b'\r' | b'\n') => {
                    self.at = At::Inline(0);
                    return Ok(false);
                }
                Some(_) => return Err(Step::Broken),
            }
        }
        let (head, size) = match head(reader.rest()) {
            HeadStep::Head(head, size) => (head, size),
            HeadStep::Wait => return Err(Step::Took(reader.offset())),
            HeadStep::Broken => return Err(Step::Broken),
        };
        if !self.fits(head) {
            return Err(Step::Broken);
        }
        let _ = reader.skip(size);
        Ok(match head {
            Head::Line(_) => {
                self.at = At::Line;
                false
            }
            Head::Short(..) => self.close(),
            Head::Bulk(_, length) => {
                self.at = At::Data(length);
                false
            }
            Head::Chunk(0) | Head::End => {
                self.stack.pop();
                self.close()
            }
            Head::Chunk(length) => {
                self.at = At::Data(length);
                false
            }
            Head::Aggregate(Kind::Attribute, 0) => false,
            Head::Aggregate(_, 0) => self.close(),
            Head::Aggregate(Kind::Attribute, count) => self.open(Level::Attribute(count))?,
            Head::Aggregate(_, count) => self.open(Level::Elements(count))?,
            Head::StreamedString => self.open(Level::Chunks)?,
            Head::StreamedAggregate(_) => self.open(Level::Streamed)?,
        })
    }

    /// Whether a head may stand here.
    fn fits(&self, head: Head) -> bool {
        if self.role == Role::Command {
            return match head {
                Head::Bulk(Kind::BulkString, _) => !self.stack.is_empty(),
                Head::Aggregate(Kind::Array, _) | Head::Short(Kind::Null, _) => {
                    self.stack.is_empty()
                }
                _ => false,
            };
        }
        match (self.stack.last(), head) {
            (Some(Level::Chunks), Head::Chunk(_)) | (Some(Level::Streamed), Head::End) => true,
            (Some(Level::Chunks), _) | (_, Head::Chunk(_) | Head::End) => false,
            (level, Head::Aggregate(Kind::Push, _)) => level.is_none(),
            _ => true,
        }
    }

    fn open(&mut self, level: Level) -> Result<bool, Step> {
        if self.stack.len() == MAX_DEPTH {
            return Err(Step::Broken);
        }
        self.stack.push(level);
        self.at = At::Head;
        Ok(false)
    }

    /// Takes note that a value has ended; answers whether the message has.
    fn close(&mut self) -> bool {
        self.at = At::Head;
        loop {
            match self.stack.last_mut() {
                None => return true,
                Some(Level::Streamed | Level::Chunks) => return false,
                Some(Level::Elements(left)) => {
                    *left -= 1;
                    if *left > 0 {
                        return false;
                    }
                    self.stack.pop();
                }
                Some(Level::Attribute(left)) => {
                    *left -= 1;
                    if *left == 0 {
                        self.stack.pop();
                    }
                    return false;
                }
            }
        }
    }

    fn inline(&mut self, seen: u32, reader: &mut Reader<'_>) -> Result<bool, Step> {
        let rest = reader.rest();
        let end = memchr::memchr(b'\n', rest);
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let control = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\r');
        let seen = seen.saturating_add(u32::try_from(line.len()).unwrap_or(u32::MAX));
        if seen > MAX_INLINE || line.iter().any(control) {
            return Err(Step::Broken);
        }
        let _ = reader.skip(line.len() + usize::from(end.is_some()));
        self.at = At::Inline(seen);
        match end {
            Some(_) => Ok(self.close()),
            None => Err(Step::Took(reader.offset())),
        }
    }

    /// Passes over `len` bytes that were never seen; false when they hid where values begin.
    pub(super) fn gap(&mut self, len: u64) -> bool {
        match &mut self.at {
            At::Data(left) if len <= *left => {
                *left -= len;
                true
            }
            _ => false,
        }
    }

    /// Writes the position for [`Framer::load`].
    ///
    /// ```text
    /// framer = at u8, number u64, depth u8, depth x (level u8, count u64)      big-endian
    /// ```
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let (at, number) = match self.at {
            At::Head => (0, 0),
            At::Line => (1, 0),
            At::Inline(seen) => (2, seen.into()),
            At::Data(left) => (3, left),
            At::DataEnd => (4, 0),
        };
        out.push(at);
        out.extend_from_slice(&u64::to_be_bytes(number));
        out.push(u8::try_from(self.stack.len()).unwrap_or(u8::MAX));
        for level in &self.stack {
            let (level, count) = match level {
                Level::Elements(left) => (0, *left),
                Level::Attribute(left) => (1, *left),
                Level::Streamed => (2, 1),
                Level::Chunks => (3, 1),
            };
            out.push(level);
            out.extend_from_slice(&u64::to_be_bytes(count));
        }
    }

    /// Reads a position back.
    pub(super) fn load(role: Role, from: &mut Reader<'_>) -> Option<Framer> {
        let at = from.u8().ok()?;
        let number = from.u64().ok()?;
        let at = match at {
            0 => At::Head,
            1 => At::Line,
            2 => At::Inline(u32::try_from(number).ok()?),
            3 => At::Data(number),
            4 => At::DataEnd,
            _ => return None,
        };
        let depth = usize::from(from.u8().ok()?);
        if depth > MAX_DEPTH {
            return None;
        }
        let mut stack = Vec::with_capacity(depth);
        for _ in 0..depth {
            let level = from.u8().ok()?;
            let count = from.u64().ok().filter(|count| *count > 0)?;
            stack.push(match level {
                0 => Level::Elements(count),
                1 => Level::Attribute(count),
                2 => Level::Streamed,
                3 => Level::Chunks,
                _ => return None,
            });
        }
        Some(Framer { role, stack, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_length_is_read_as_one_of_many_digits() {
        for first in ["$", "*"] {
            for digits in ["0", "7", "00000001", "12345678", "123456789"] {
                let one = head(format!("{first}{digits}\r\n").as_bytes());
                let many = head(format!("{first}{digits:0>30}\r\n").as_bytes());
                let (HeadStep::Head(one, size), HeadStep::Head(many, _)) = (one, many) else {
                    panic!("{first}{digits}: {one:?}, {many:?}");
                };
                assert_eq!((one, size), (many, digits.len() + 3));
            }
            for waits in ["", "1", "1\r", "12345678"] {
                let step = head(format!("{first}{waits}").as_bytes());
                assert_eq!(step, HeadStep::Wait, "{first}{waits}");
            }
            for broken in ["\r\n", "1\n", "1\r\r\n", "1 \r\n", "12345678x\r\n"] {
                let step = head(format!("{first}{broken}").as_bytes());
                assert_eq!(step, HeadStep::Broken, "{first}{broken:?}");
            }
        }
    }
}
