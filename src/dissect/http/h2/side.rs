//! One direction of a connection: where it stands between frames, and the field block it is in.
//!
//! In: fragments, gaps. Out: whole sections. Never: streams. Standard: RFC 9113 sections 4.2 and 4.3.

use super::frame::{DEFAULT_MAX_FRAME, HEADER_LEN, Header, LARGEST_FRAME};
use super::hpack::{Decoder, Fault};
use super::section::Section;
use crate::bytes::Reader;
use crate::dissect::http::exchange::{flag, load_bytes, save_bytes};
use crate::time::Timestamp;

/// Longest field line that is put together from several frames; one that is longer costs the block
/// and what the sender's table holds. Servers refuse more than 8 to 64 KiB.
const MAX_LINE: usize = 128 * 1024;

/// Where one direction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// At a frame header.
    Frame,
    /// In front of a payload that is waited for, whose header came at this time.
    Payload(Header, Timestamp),
    /// In a DATA frame.
    Data(Data),
    /// So many bytes before the next frame header.
    Skip(u64),
    /// Looking for a frame; whether the next bytes begin where a packet does.
    Lost(bool),
}

/// What is left of a DATA frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Data {
    /// Its stream.
    pub stream: u32,
    /// Bytes of data.
    pub left: u64,
    /// Bytes of padding behind them.
    pub padding: u64,
    /// Whether the stream ends with it.
    pub end: bool,
}

/// A field block that has begun.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// The stream of its frames.
    pub carrier: u32,
    /// The stream that it is about: of a PUSH_PROMISE the promised one.
    pub stream: u32,
    /// Whether it is a PUSH_PROMISE.
    pub promise: bool,
    /// Whether the stream ends with it.
    pub end: bool,
    /// Time of its first packet.
    pub ts: Timestamp,
    /// Bytes of its frames.
    pub size: u64,
    /// What was read so far.
    pub section: Section,
    /// Why the rest cannot be read.
    pub flaw: Option<Flaw>,
    /// The front of a field line, and how long it has to be to be read.
    tail: Vec<u8>,
    needs: usize,
}

/// Why a block is not all there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Bytes of it were not captured.
    Missing,
    /// A field line is longer than [`MAX_LINE`], or a frame than what is waited for.
    TooLong,
    /// It ends within a field line, or another frame comes before its end.
    Unfinished,
    /// It is against the standard.
    Fault(Fault),
}

impl Flaw {
    /// In the order of a save's numbers, from 1.
    const ALL: [Flaw; 7] = [
        Flaw::Missing,
        Flaw::TooLong,
        Flaw::Unfinished,
        Flaw::Fault(Fault::Index),
        Flaw::Fault(Fault::Integer),
        Flaw::Fault(Fault::Huffman),
        Flaw::Fault(Fault::Size),
    ];

    /// One sentence.
    pub(super) fn text(self) -> &'static str {
        match self {
            Flaw::Missing => "bytes of a header block were not captured",
            Flaw::TooLong => "a header block has a field or a frame that is too long",
            Flaw::Unfinished => "a header block ends too early",
            Flaw::Fault(fault) => fault.text(),
        }
    }
}

impl Block {
    /// A block whose first frame has this header.
    pub(super) fn new(header: &Header, ts: Timestamp) -> Block {
        Block {
            carrier: header.stream,
            stream: header.stream,
            promise: false,
            end: false,
            ts,
            size: 0,
            section: Section::with_room(header.payload()),
            flaw: None,
            tail: Vec::new(),
            needs: 0,
        }
    }

    /// Reads the next fragment.
    pub(super) fn feed(&mut self, fragment: &[u8], hpack: &mut Decoder) {
        if self.flaw.is_some() {
            return;
        }
        let waiting = !self.tail.is_empty();
        if waiting {
            self.tail.extend_from_slice(fragment);
            if self.tail.len() < self.needs {
                return;
            }
        }
        let tail = std::mem::take(&mut self.tail);
        let bytes = if waiting { &tail[..] } else { fragment };
        match hpack.decode(bytes, |name, value| self.section.push(name, value)) {
            Ok(progress) if progress.needs > MAX_LINE => self.spoil(Flaw::TooLong, hpack),
            Ok(progress) => {
                self.tail = bytes.get(progress.taken..).unwrap_or_default().to_vec();
                self.needs = progress.needs;
            }
            Err(fault) => self.spoil(Flaw::Fault(fault), hpack),
        }
    }

    /// Ends it: a field line that is still open never will be whole.
    pub(super) fn close(&mut self, hpack: &mut Decoder) {
        if !self.tail.is_empty() && self.flaw.is_none() {
            self.spoil(Flaw::Unfinished, hpack);
        }
    }

    /// Nothing more can be read of it, and the sender's table is no longer known.
    pub(super) fn spoil(&mut self, flaw: Flaw, hpack: &mut Decoder) {
        self.tail = Vec::new();
        self.section.cut = true;
        self.flaw = Some(flaw);
        hpack.lose();
    }
}

/// One direction.
#[derive(Debug, Clone)]
pub(super) struct Side {
    /// Where it stands.
    pub reading: Reading,
    /// Its field lines.
    pub hpack: Decoder,
    /// The field block that has begun; only its CONTINUATION frames may follow.
    pub block: Option<Block>,
    /// Whether frames were perhaps missed.
    pub loose: bool,
    /// Whether the bytes offered last were too few.
    pub waited: bool,
    /// Bytes passed over in search of a frame.
    pub lost: u64,
    /// Largest payload that the receiver allows; `None` while that is not known.
    max_frame: Option<u32>,
}

impl Side {
    /// The direction of a connection that is seen from its beginning.
    pub(super) fn new() -> Side {
        Side {
            reading: Reading::Frame,
            hpack: Decoder::new(),
            block: None,
            loose: false,
            waited: false,
            lost: 0,
            max_frame: Some(DEFAULT_MAX_FRAME),
        }
    }

    /// The direction of a connection that is joined late.
    pub(super) fn joined() -> Side {
        Side {
            reading: Reading::Lost(true),
            hpack: Decoder::unknown(),
            loose: true,
            max_frame: None,
            ..Side::new()
        }
    }

    /// Frames were missed: it starts looking for one.
    pub(super) fn lose(&mut self) {
        self.reading = Reading::Lost(true);
        self.hpack.lose();
        self.loose = true;
    }

    /// Settings of the receiver may have been missed.
    pub(super) fn unlimited(&mut self) {
        self.max_frame = None;
        self.hpack.allow(usize::MAX);
    }

    /// The receiver allows payloads of up to `size` bytes; larger ones may still be under way.
    pub(super) fn allow_frames(&mut self, size: u32) {
        self.max_frame = Some(self.max_frame.unwrap_or(size).max(size));
    }

    /// Largest payload of a frame.
    pub(super) fn largest(&self) -> u32 {
        self.max_frame.unwrap_or(LARGEST_FRAME)
    }

    /// Largest payload of a frame that is searched.
    pub(super) fn largest_searched(&self) -> u32 {
        self.max_frame.unwrap_or(DEFAULT_MAX_FRAME)
    }
}

/// Saving and restoring.
///
/// ```text
/// side    = hpack, loose u8, waited u8, lost u64, largest frame u32 (0 unknown), reading, block
/// reading = 0 | 1, header 9 bytes, ts i64 | 2, stream u32, left u64, padding u64, end u8
///         | 3, u64 | 4, fresh u8
/// block   = 0 | 1, carrier u32, stream u32, promise u8, end u8, ts i64, size u64, section,
///           flaw u8, tail, needs u32
/// ```
impl Side {
    /// Writes it for [`Side::load`].
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        self.hpack.save(out);
        out.extend([u8::from(self.loose), u8::from(self.waited)]);
        out.extend_from_slice(&self.lost.to_be_bytes());
        out.extend_from_slice(&self.max_frame.unwrap_or(0).to_be_bytes());
        match self.reading {
            Reading::Frame => out.push(0),
            Reading::Payload(header, ts) => {
                out.push(1);
                out.extend_from_slice(&header.to_bytes());
                out.extend_from_slice(&ts.nanos().to_be_bytes());
            }
            Reading::Data(data) => {
                out.push(2);
                out.extend_from_slice(&data.stream.to_be_bytes());
                out.extend_from_slice(&data.left.to_be_bytes());
                out.extend_from_slice(&data.padding.to_be_bytes());
                out.push(u8::from(data.end));
            }
            Reading::Skip(left) => {
                out.push(3);
                out.extend_from_slice(&left.to_be_bytes());
            }
            Reading::Lost(fresh) => out.extend([4, u8::from(fresh)]),
        }
        out.push(u8::from(self.block.is_some()));
        if let Some(block) = &self.block {
            block.save(out);
        }
    }

    /// Reads one back; `None` when the bytes are not those of a save.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Side> {
        let hpack = Decoder::load(from)?;
        let (loose, waited, lost) = (flag(from)?, flag(from)?, from.u64().ok()?);
        let max_frame = Some(from.u32().ok()?).filter(|size| *size > 0);
        let reading = match from.u8().ok()? {
            0 => Reading::Frame,
            1 => Reading::Payload(Header::read(from.take(HEADER_LEN).ok()?)?, time(from)?),
            2 => Reading::Data(Data {
                stream: from.u32().ok()?,
                left: from.u64().ok()?,
                padding: from.u64().ok()?,
                end: flag(from)?,
            }),
            3 => Reading::Skip(from.u64().ok()?),
            4 => Reading::Lost(flag(from)?),
            _ => return None,
        };
        let block = match flag(from)? {
            true => Some(Block::load(from)?),
            false => None,
        };
        Some(Side {
            reading,
            hpack,
            block,
            loose,
            waited,
            lost,
            max_frame,
        })
    }
}

fn time(from: &mut Reader<'_>) -> Option<Timestamp> {
    Some(Timestamp::from_nanos(from.u64().ok()?.cast_signed()))
}

impl Block {
    fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.carrier.to_be_bytes());
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend([u8::from(self.promise), u8::from(self.end)]);
        out.extend_from_slice(&self.ts.nanos().to_be_bytes());
        out.extend_from_slice(&self.size.to_be_bytes());
        self.section.save(out);
        let flaw = Flaw::ALL.iter().position(|flaw| Some(*flaw) == self.flaw);
        out.push(
            flaw.and_then(|place| u8::try_from(place + 1).ok())
                .unwrap_or(0),
        );
        save_bytes(&self.tail, out);
        out.extend_from_slice(&u32::try_from(self.needs).unwrap_or(u32::MAX).to_be_bytes());
    }

    fn load(from: &mut Reader<'_>) -> Option<Block> {
        Some(Block {
            carrier: from.u32().ok()?,
            stream: from.u32().ok()?,
            promise: flag(from)?,
            end: flag(from)?,
            ts: time(from)?,
            size: from.u64().ok()?,
            section: Section::load(from)?,
            flaw: match from.u8().ok()? {
                0 => None,
                place => Some(*Flaw::ALL.get(usize::from(place) - 1)?),
            },
            tail: load_bytes(from, MAX_LINE)?.to_vec(),
            needs: usize::try_from(from.u32().ok()?).ok()?,
        })
    }
}
