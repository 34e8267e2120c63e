//! The records of a capture, from any reader.
//!
//! In: bytes, with large reads. Out: packets and blocks, one after the other, and where they lie in
//! the window; with [`Records::recover`] also those behind a damaged block. Never: allocation per
//! packet, a window of more than one record.

use std::io::{self, Read};
use std::ops::Range;

use super::{MAGIC_BYTES, PacketHead, Parser, SavefileError, Step, looks_like, pcapng};

/// Bytes asked for at a time: few system calls, and what is read is still in the cache when it is
/// looked at.
const READ_BYTES: usize = 256 * 1024;

/// A packet or block, with its bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A packet.
    Packet {
        /// Its record header.
        head: PacketHead,
        /// Its bytes, link-layer header first.
        bytes: &'a [u8],
        /// Offset of its record.
        offset: u64,
    },
    /// A pcapng block that is no packet.
    Block {
        /// The block.
        block: pcapng::Block<'a>,
        /// Its offset.
        offset: u64,
    },
}

/// The records of a capture, read from the front.
///
/// Memory: one window of 256 KiB, growing to one record of at most
/// [`MAX_RECORD_BYTES`](super::MAX_RECORD_BYTES) as its bytes arrive.
#[derive(Debug)]
pub struct Records<R> {
    inner: R,
    window: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset of `window[start]` in the file.
    offset: u64,
    parser: Parser,
    read_bytes: usize,
    /// What stands at the front of the window, when that is known already.
    found: Option<Step>,
    /// Whether the reader has ended.
    read: bool,
    /// What the reader said while the window was filled, for when its bytes are needed.
    failed: Option<io::Error>,
    ended: bool,
}

impl<R: Read> Records<R> {
    /// Records of the bytes that `inner` gives; nothing is read yet.
    pub fn new(inner: R) -> Records<R> {
        Records::with_read_bytes(inner, READ_BYTES)
    }

    /// The same with smaller reads, for those who want only the front of many files.
    pub fn with_read_bytes(inner: R, read_bytes: usize) -> Records<R> {
        Records {
            inner,
            window: Vec::new(),
            start: 0,
            end: 0,
            offset: 0,
            parser: Parser::Start,
            read_bytes: read_bytes.max(1),
            found: None,
            read: false,
            failed: None,
            ended: false,
        }
    }

    /// Reads up to the first record, so that what is no capture is told at once.
    ///
    /// # Errors
    /// As [`Records::advance`].
    pub fn open(&mut self) -> Result<(), SavefileError> {
        while matches!(self.parser, Parser::Start) {
            let front = self.window.get(self.start..self.end).unwrap_or_default();
            match self.parser.step(front, self.offset)? {
                Step::NeedMore(needed) => {
                    if !self.read_until(needed)? {
                        self.ended = true;
                        let (front, offset) = (self.front(), self.offset);
                        return Err(if front.is_empty() {
                            SavefileError::Empty
                        } else if front.len() < MAGIC_BYTES {
                            SavefileError::Unknown(looks_like(front))
                        } else {
                            SavefileError::CutOff(offset)
                        });
                    }
                }
                Step::PassOver(size) => self.pass_over(size)?,
                Step::Packet { .. } | Step::Block { .. } => break,
            }
        }
        Ok(())
    }

    /// The next packet or block; `None` at the end.
    ///
    /// # Errors
    /// At damage and where the file is cut off; after that there is nothing more.
    pub fn advance(&mut self) -> Result<Option<Entry<'_>>, SavefileError> {
        if !self.read_on(false)? {
            return Ok(None);
        }
        let at_hand = self.at_hand()?;
        Ok(at_hand.map(|(entry, _)| entry))
    }

    /// Reads until a record lies whole in the window, and with `full` until the window is full;
    /// false at the end. What the window held before may move.
    ///
    /// # Errors
    /// As [`Records::advance`].
    pub fn read_on(&mut self, full: bool) -> Result<bool, SavefileError> {
        if self.ended {
            return Ok(false);
        }
        if self.found.is_none() {
            let found = self.find();
            self.ended = !matches!(found, Ok(Some(_)));
            self.found = found?;
        }
        while full && !self.ended && !self.read && self.end < self.window.len() {
            // What was found before an error counts first; a checksum that is wrong is told once,
            // and behind it the data seems to end.
            if let Err(error) = self.read_some() {
                self.failed = Some(error);
                break;
            }
        }
        Ok(!self.ended)
    }

    /// The next packet or block, when it lies whole in the window, and where a packet's bytes begin
    /// there; nothing in the window moves.
    ///
    /// # Errors
    /// At damage; after that there is nothing more.
    #[inline]
    pub fn at_hand(&mut self) -> Result<Option<(Entry<'_>, usize)>, SavefileError> {
        let step = match self.found.take() {
            Some(step) => step,
            None if self.ended => return Ok(None),
            None => loop {
                let front = self.window.get(self.start..self.end).unwrap_or_default();
                match self.parser.step(front, self.offset) {
                    Ok(Step::PassOver(size)) if size <= front.len() as u64 => {
                        self.consume(usize::try_from(size).unwrap_or_default());
                    }
                    Ok(step) => break step,
                    Err(error) => {
                        self.ended = true;
                        return Err(error);
                    }
                }
            },
        };
        let (from, offset) = (self.start, self.offset);
        let slice = |window: Range<usize>| from + window.start..from + window.end;
        Ok(match step {
            Step::Packet { head, data, size } => {
                self.consume(size);
                let start = from + data.start;
                let bytes = self.window.get(slice(data)).unwrap_or_default();
                let entry = Entry::Packet {
                    head,
                    bytes,
                    offset,
                };
                Some((entry, start))
            }
            Step::Block {
                kind,
                body,
                order,
                size,
            } => {
                self.consume(size);
                let start = from + body.start;
                let body = self.window.get(slice(body)).unwrap_or_default();
                let block = pcapng::Block { kind, body, order };
                Some((Entry::Block { block, offset }, start))
            }
            Step::NeedMore(_) | Step::PassOver(_) => None,
        })
    }

    /// After [`SavefileError::Damaged`], and [`SavefileError::CutOff`], which a wrong length looks like:
    /// finds the next block of a pcapng file, so that reading goes on there. Tells how many bytes it passed over, and `None` when there is no such block.
    ///
    /// A block that is whole but says what cannot be is passed over; where its lengths are wrong, the
    /// next place is looked for at which a block of a known type begins and ends.
    ///
    /// # Errors
    /// When the reader fails.
    pub fn recover(&mut self) -> Result<Option<u64>, SavefileError> {
        let Parser::Pcapng(parser) = &self.parser else {
            return Ok(None);
        };
        let (order, from) = (parser.order(), self.offset);
        self.look_ahead()?;
        let mut step = pcapng::looks_like_block(self.front(), order).unwrap_or(4);
        loop {
            self.consume(step);
            self.look_ahead()?;
            if self.front().is_empty() {
                return Ok(None);
            }
            if pcapng::looks_like_block(self.front(), order).is_some() {
                self.ended = false;
                return Ok(Some(self.offset - from));
            }
            step = 4.min(self.front().len());
        }
    }

    /// Reads on until the longest block that is looked for lies whole in the window, in large steps.
    fn look_ahead(&mut self) -> Result<(), SavefileError> {
        if !self.read && self.buffered() < pcapng::MAX_FOUND {
            self.read_until(2 * pcapng::MAX_FOUND)?;
        }
        Ok(())
    }

    /// Whether nothing follows what was handed out.
    pub fn is_over(&self) -> bool {
        self.ended || self.read && self.start == self.end && self.found.is_none()
    }

    /// Hands the window out in `room`, so that what was found in it can be kept without a copy, and
    /// takes the memory of `room` for the next one. What was not handed out yet moves there.
    pub fn hand_out(&mut self, room: &mut Vec<u8>) {
        let used = self.window.get(..self.start).unwrap_or_default();
        // Little in a large window is copied, or it would hold the whole of it.
        if used.len() < self.window.len() / 4 {
            room.clear();
            room.extend_from_slice(used);
            return;
        }
        std::mem::swap(&mut self.window, room);
        let left = room.get(self.start..self.end).unwrap_or_default();
        if self.window.len() < left.len() {
            self.window
                .resize(left.len().next_multiple_of(self.read_bytes), 0);
        }
        if let Some(front) = self.window.get_mut(..left.len()) {
            front.copy_from_slice(left);
        }
        self.end -= self.start;
        self.start = 0;
    }

    /// Offset of the next record.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes that are read and not handed out yet.
    pub fn buffered(&self) -> usize {
        self.end - self.start
    }

    /// What the format's parser knows.
    pub fn parser(&self) -> &Parser {
        &self.parser
    }

    /// Steps until a packet or block lies whole in the window; `None` at the clean end.
    fn find(&mut self) -> Result<Option<Step>, SavefileError> {
        self.open()?;
        loop {
            let front = self.window.get(self.start..self.end).unwrap_or_default();
            match self.parser.step(front, self.offset)? {
                Step::NeedMore(needed) => {
                    if !self.read_until(needed)? {
                        return if self.start == self.end {
                            Ok(None)
                        } else {
                            Err(SavefileError::CutOff(self.offset))
                        };
                    }
                }
                Step::PassOver(size) => self.pass_over(size)?,
                step => return Ok(Some(step)),
            }
        }
    }

    fn front(&self) -> &[u8] {
        self.window.get(self.start..self.end).unwrap_or_default()
    }

    fn consume(&mut self, size: usize) {
        self.start = (self.start + size).min(self.end);
        self.offset += size as u64;
    }

    /// Passes over `size` bytes, in the window and behind it.
    fn pass_over(&mut self, size: u64) -> Result<(), SavefileError> {
        let at = self.offset;
        let mut left = size;
        loop {
            let here = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(self.end - self.start);
            self.consume(here);
            left -= here as u64;
            if left == 0 {
                return Ok(());
            }
            if !self.read_until(1)? {
                return Err(SavefileError::CutOff(at));
            }
        }
    }

    /// Reads until the window holds `needed` bytes; false when the reader ends before.
    ///
    /// The window grows only when it is full of bytes that did arrive.
    fn read_until(&mut self, needed: usize) -> Result<bool, SavefileError> {
        while self.end - self.start < needed {
            if self.start > 0 {
                self.window.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.end == self.window.len() {
                self.window.resize(self.window.len() + self.read_bytes, 0);
            }
            if self.read_some()? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads into what is free of the window; 0 at the end.
    fn read_some(&mut self) -> io::Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        loop {
            let free = self.window.get_mut(self.end..).unwrap_or_default();
            match self.inner.read(free) {
                Ok(count) => {
                    let count = count.min(free.len());
                    self.read = count == 0;
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
