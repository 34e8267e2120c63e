//! HTTP/2 and gRPC: field blocks and DATA frames of both directions.
//!
//! In: what was captured of a connection. Out: the same with named values overwritten; strings keep
//! their length, coded and plain, so that the tables of later blocks stay right. Never: a frame that
//! cannot be decoded left alone. Standards: RFC 9113, RFC 7541.

use std::collections::HashMap;
use std::ops::Range;

use ahash::RandomState;

use super::body::Kind;
use super::side::Side;
use super::{Payload, Redactor};
use crate::dissect::FieldBlocks;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Streams whose bodies are followed at a time.
const MAX_STREAMS: usize = 16_384;

/// Largest frame whose head is believed when the way is searched.
const MAX_SEARCHED: usize = 1 << 20;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const HAS_PRIORITY: u8 = 0x20;

/// A connection from reel to reel.
#[derive(Debug, Default, Clone)]
pub(super) struct Http2 {
    sides: [Half; 2],
}

#[derive(Debug, Default, Clone)]
struct Half {
    blocks: FieldBlocks,
    /// Bytes of a frame that an earlier reel began, which go.
    left: u64,
    /// Whether nobody knows where the next frame begins.
    lost: bool,
    /// Whether a field block goes on, and its first frames went.
    torn: bool,
    streams: HashMap<u32, Stream, RandomState>,
}

/// A body on its way.
#[derive(Debug, Default, Clone)]
struct Stream {
    kind: Kind,
    /// Where its bytes stand in this reel.
    pieces: Vec<Range<usize>>,
    /// Whether some of them are missing or in an earlier reel.
    broken: bool,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    length: usize,
}

impl Frame {
    fn read(bytes: &[u8]) -> Option<Frame> {
        let [a, b, c, kind, flags, d, e, f, g] = *bytes.first_chunk::<9>()?;
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes([d & 0x7f, e, f, g]),
            length: u32::from_be_bytes([0, a, b, c]) as usize,
        })
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether it may be one.
    fn is_likely(&self, reserved: u8) -> bool {
        let fits = match self.kind {
            DATA | HEADERS | CONTINUATION | PUSH_PROMISE => self.stream != 0,
            PRIORITY => self.stream != 0 && self.length == 5,
            RST_STREAM => self.stream != 0 && self.length == 4,
            SETTINGS => self.stream == 0 && self.length.is_multiple_of(6),
            PING => self.stream == 0 && self.length == 8,
            GOAWAY => self.stream == 0 && self.length >= 8,
            WINDOW_UPDATE => self.length == 4,
            _ => false,
        };
        fits && reserved & 0x80 == 0 && self.length <= MAX_SEARCHED
    }
}

/// Whether bytes begin with frames, two of them when there is room.
fn begins(bytes: &[u8]) -> bool {
    let mut at = 0;
    for _ in 0..2 {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(frame) = Frame::read(rest) else {
            return at > 0;
        };
        if !frame.is_likely(rest.get(5).copied().unwrap_or(0xff)) {
            return false;
        }
        at += 9 + frame.length;
    }
    true
}

impl Http2 {
    /// Joins a connection of which nothing is known.
    pub(super) fn joined() -> Http2 {
        let half = || Half {
            blocks: FieldBlocks::unknown(),
            lost: true,
            ..Half::default()
        };
        Http2 {
            sides: [half(), half()],
        }
    }

    /// Overwrites what must go; both sides go on from where they stood.
    pub(super) fn rewrite(&mut self, redactor: &Redactor, sides: &mut [Side; 2]) {
        for (half, side) in self.sides.iter_mut().zip(sides) {
            half.walk(redactor, side);
        }
    }
}

impl Half {
    fn walk(&mut self, redactor: &Redactor, side: &mut Side) {
        let mut at = 0;
        if self.left > 0 {
            let moved = side.advance(0, self.left);
            side.hide(0..moved.to);
            self.left = moved.left;
            self.lost |= moved.holed;
            at = moved.to;
        }
        if side.rest(at).starts_with(PREFACE) {
            at += PREFACE.len();
            self.lost = false;
        }
        while at < side.bytes.len() {
            if self.lost || (side.is_behind_gap(at) && !begins(side.rest(at))) {
                self.lose();
                let Some(start) = side.next_start(at, begins) else {
                    side.hide(at..side.bytes.len());
                    break;
                };
                side.hide(at..start);
                at = start;
                self.lost = false;
            }
            if side.is_behind_gap(at) {
                // Whole frames may be missing, blocks among them.
                self.lose();
                self.lost = false;
            }
            at = self.frames(redactor, side, at);
        }
        for stream in self.streams.values_mut() {
            // What is not whole by the end of the reel cannot be decoded.
            if stream.kind.goes_undecoded(redactor) {
                stream
                    .pieces
                    .iter()
                    .for_each(|part| side.hide(part.clone()));
            }
            stream.broken |= !stream.pieces.is_empty();
            stream.pieces.clear();
        }
    }

    fn lose(&mut self) {
        self.blocks.lose();
        self.torn = false;
        for stream in self.streams.values_mut() {
            stream.broken = true;
        }
        self.lost = true;
    }

    /// One frame, or a field block of several; answers where the next one begins.
    fn frames(&mut self, redactor: &Redactor, side: &mut Side, at: usize) -> usize {
        let Some(frame) = Frame::read(side.rest(at)) else {
            let end = side.reach(at);
            side.hide(at..end);
            self.lose();
            return end;
        };
        let body = at + 9;
        let moved = side.advance(body, frame.length as u64);
        if moved.holed || moved.left > 0 || (frame.length > 0 && side.is_behind_gap(body)) {
            side.hide(body..moved.to);
            self.cut(&frame);
            self.left = moved.left;
            self.lost |= moved.holed || side.is_behind_gap(body);
            return moved.to;
        }
        let whole = body..moved.to;
        match frame.kind {
            HEADERS | PUSH_PROMISE => return self.block(redactor, side, &frame, whole),
            CONTINUATION => {
                // Its beginning went, so nobody can read on from it.
                side.hide(whole);
                self.torn = !frame.has(END_HEADERS);
            }
            DATA => self.data(redactor, side, &frame, whole),
            PRIORITY | RST_STREAM | SETTINGS | PING | WINDOW_UPDATE => {}
            GOAWAY => side.hide(whole.start + whole.len().min(8)..whole.end),
            _ => side.hide(whole),
        }
        moved.to
    }

    /// A frame of which not all is there.
    fn cut(&mut self, frame: &Frame) {
        match frame.kind {
            HEADERS | PUSH_PROMISE | CONTINUATION => {
                self.blocks.lose();
                self.torn = !frame.has(END_HEADERS);
            }
            DATA => self.streams.entry(frame.stream).or_default().broken = true,
            _ => {}
        }
    }

    /// A field block with the frames that continue it.
    fn block(
        &mut self,
        redactor: &Redactor,
        side: &mut Side,
        first: &Frame,
        whole: Range<usize>,
    ) -> usize {
        let ahead = match first.kind {
            PUSH_PROMISE => 4,
            _ if first.has(HAS_PRIORITY) => 5,
            _ => 0,
        };
        let part = unpadded(side, first, whole.clone());
        let mut pieces: Vec<Range<usize>> = Vec::new();
        pieces.push((part.start + ahead).min(part.end)..part.end);
        let mut next = whole.end;
        let mut ended = first.has(END_HEADERS);
        while !ended {
            let frame = Frame::read(side.rest(next)).filter(|frame| {
                frame.kind == CONTINUATION
                    && frame.stream == first.stream
                    && !side.is_behind_gap(next)
            });
            let Some(frame) = frame else { break };
            let moved = side.advance(next + 9, frame.length as u64);
            if moved.holed || moved.left > 0 {
                break;
            }
            pieces.push(next + 9..moved.to);
            ended = frame.has(END_HEADERS);
            next = moved.to;
        }
        if !ended {
            pieces.into_iter().for_each(|part| side.hide(part));
            self.blocks.lose();
            self.torn = true;
            return next;
        }
        let mut block: Vec<u8> = pieces
            .iter()
            .filter_map(|part| side.bytes.get(part.clone()))
            .flatten()
            .copied()
            .collect();
        let mut kind = Kind::default();
        let mut edits: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
        let read = self.blocks.read(&block, |sent| {
            let found = match sent.name {
                Some(name) => {
                    kind.learn(name, sent.value);
                    redactor.in_header(name, sent.value)
                }
                // Nobody knows what it is.
                None => super::text::whole(sent.value),
            };
            if let (Some(part), false) = (sent.part.clone(), found.is_empty()) {
                edits.push((part, sent.without(&found)));
            }
        });
        if !read {
            pieces.into_iter().for_each(|part| side.hide(part));
            self.blocks.lose();
            return next;
        }
        for (part, bytes) in edits {
            match block.get_mut(part) {
                Some(target) if target.len() == bytes.len() => target.copy_from_slice(&bytes),
                Some(target) => target.fill(super::MASK),
                None => {}
            }
        }
        let mut rest = block.as_slice();
        for part in pieces {
            if let Some(target) = side.bytes.get_mut(part)
                && let Some((front, behind)) = rest.split_at_checked(target.len())
            {
                target.copy_from_slice(front);
                rest = behind;
            }
        }
        self.open(redactor, side, first, kind);
        next
    }

    /// Notes what a block says of the body behind it; trailers end one.
    fn open(&mut self, redactor: &Redactor, side: &mut Side, frame: &Frame, kind: Kind) {
        if frame.kind == PUSH_PROMISE {
            return;
        }
        if frame.has(END_STREAM) {
            self.finish(redactor, side, frame.stream);
        } else if self.streams.len() < MAX_STREAMS {
            let stream = self.streams.entry(frame.stream).or_default();
            if !kind.media.is_empty() || stream.kind.media.is_empty() {
                stream.kind = kind;
            }
        }
    }

    fn data(&mut self, redactor: &Redactor, side: &mut Side, frame: &Frame, whole: Range<usize>) {
        let part = unpadded(side, frame, whole);
        if !self.streams.contains_key(&frame.stream) && self.streams.len() >= MAX_STREAMS {
            if redactor.rule.reads_bodies() || redactor.rule.payload == Payload::Headers {
                side.hide(part);
            }
            return;
        }
        let stream = self.streams.entry(frame.stream).or_default();
        stream.pieces.push(part);
        if frame.has(END_STREAM) {
            self.finish(redactor, side, frame.stream);
        }
    }

    fn finish(&mut self, redactor: &Redactor, side: &mut Side, id: u32) {
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        if stream.broken {
            if stream.kind.goes_undecoded(redactor) {
                stream.pieces.into_iter().for_each(|part| side.hide(part));
            }
            return;
        }
        let parts = stream
            .pieces
            .iter()
            .filter_map(|part| side.bytes.get(part.clone()));
        let mut body: Vec<u8> = parts.flatten().copied().collect();
        if !redactor.in_body(&stream.kind, &mut body) {
            return;
        }
        let mut rest = body.as_slice();
        for part in stream.pieces {
            if let Some(target) = side.bytes.get_mut(part)
                && let Some((front, behind)) = rest.split_at_checked(target.len())
            {
                target.copy_from_slice(front);
                rest = behind;
            }
        }
    }
}

/// A frame's payload without its padding, which is overwritten.
fn unpadded(side: &mut Side, frame: &Frame, whole: Range<usize>) -> Range<usize> {
    if !frame.has(PADDED) {
        return whole;
    }
    let padding = side.bytes.get(whole.start).copied().unwrap_or(0);
    let end = whole
        .end
        .saturating_sub(padding.into())
        .max((whole.start + 1).min(whole.end));
    if let Some(padding) = side.bytes.get_mut(end..whole.end) {
        padding.fill(0);
    }
    (whole.start + 1).min(end)..end
}
