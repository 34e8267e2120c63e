//! The streams of a connection: which are open, what belongs to them, and when they are handed out.
//!
//! In: field sections, data, resets. Out: items. Never: frames. Standard: RFC 9113 sections 5 and 8.

use std::ops::Range;

use super::connection::{At, Connection};
use super::exchange::Message;
use super::frame;
use super::section::Speaker;
use super::side::Block;
use super::tunnel;
use crate::dissect::Output;
use crate::dissect::http::exchange::{CONNECTION, DISSECTION, PAIR_NOT_FOUND};
use crate::flow::Chunk;
use crate::packet::Direction;
use crate::time::Timestamp;

/// Streams of one connection that may be open; servers allow 100 to 250 at a time.
pub(super) const MAX_OPEN: usize = 1024;

/// Bytes that the open streams of one connection may hold. Bodies beyond it are not kept; for heads
/// the oldest stream makes room.
const MAX_OPEN_BYTES: usize = 4 * 1024 * 1024;

/// Streams that were reset or had to make room, whose late frames are passed over.
pub(super) const MAX_CLOSED: usize = 128;

impl Connection {
    /// Puts a field section where it belongs.
    pub(super) fn section(&mut self, mut block: Block, here: &mut At<'_>) {
        block.section.fit();
        match block.section.speaker {
            Speaker::Client if !block.promise => self.asked_by(here.direction),
            Speaker::Client | Speaker::Server(_) => self.asked_by(here.direction.other()),
            Speaker::Unclear => {}
        }
        let is_request = block.promise || here.direction == self.asks;
        if self.closed.contains(&block.stream) {
            return;
        }
        if let Speaker::Server(100..=199) = block.section.speaker
            && !block.end
        {
            if let Some(exchange) = self.open.get_mut(&block.stream) {
                exchange.interim_size += block.size;
            }
            return;
        }
        let loose = self.side(here.direction).loose;
        let exchange = self.open.entry(block.stream).or_default();
        exchange.ordinal = here.ordinal;
        exchange.pushed |= block.promise;
        if let Some(flaw) = block.flaw {
            exchange.fail(DISSECTION, flaw.text());
        }
        let spoken = block.section.speaker != Speaker::Unclear;
        let before = exchange.weight();
        match exchange.side(is_request) {
            Some(message) => {
                message.headed |= spoken;
                message.size += block.size;
                message.section.append(&block.section);
            }
            side => {
                *side = Some(Message {
                    // Without pseudo-header fields it is a trailer section, or its head is unknown.
                    headed: spoken || !loose || block.flaw.is_some(),
                    section: block.section,
                    size: block.size,
                    ts: block.ts,
                    done: block.promise,
                    ..Message::default()
                });
            }
        }
        self.weight += exchange.weight() - before;
        if is_request {
            exchange.note_reflection();
            self.reflects |= exchange.learned.is_some();
        } else if exchange.opens_tunnel() && !block.end {
            return self.open_tunnel(block.stream, here);
        }
        if block.end {
            self.finish(block.stream, here);
        }
        self.make_room(here);
    }

    /// The server has granted a tunnel: the exchange is over, and its stream carries something else.
    fn open_tunnel(&mut self, stream: u32, here: &mut At<'_>) {
        let Some(exchange) = self.open.get_mut(&stream) else {
            return;
        };
        let sides = [&mut exchange.request, &mut exchange.response];
        for message in sides.into_iter().flatten() {
            message.done = true;
        }
        let handover = match (&exchange.request, &exchange.response) {
            (Some(request), Some(response)) => {
                tunnel::handover(&request.section, &response.section, self.asks)
            }
            _ => None,
        };
        if let Some(handover) = handover {
            self.tunnels.open(stream, &handover);
        }
        self.close(stream, here.out);
    }

    /// A message has ended; so has its exchange, perhaps.
    pub(super) fn finish(&mut self, stream: u32, here: &mut At<'_>) {
        let is_request = here.direction == self.asks;
        let unasked = match stream % 2 {
            0 => self.side(self.asks.other()).loose,
            _ => self.side(self.asks).loose,
        };
        let Some(exchange) = self.open.get_mut(&stream) else {
            return;
        };
        exchange.ordinal = here.ordinal;
        if let Some(message) = exchange.side(is_request) {
            message.done = true;
        }
        let answered = exchange.response.as_ref().is_some_and(|one| one.done);
        let asked = match &exchange.request {
            // The server knows when it has all of it; the end may stand in a gap.
            Some(request) => request.done || request.holed,
            None => unasked,
        };
        if answered && asked {
            self.emit(stream, here.out);
        }
    }

    /// A side wants nothing more of a stream (RST_STREAM).
    pub(super) fn reset(&mut self, stream: u32, code: u32, here: &mut At<'_>) {
        let who = match here.direction == self.asks {
            true => "client",
            false => "server",
        };
        self.tunnels.close(stream, here.out);
        let Some(exchange) = self.open.get_mut(&stream) else {
            return;
        };
        exchange.ordinal = here.ordinal;
        // "A server MAY request that the client abort transmission of a request without error by
        // sending a RST_STREAM with an error code of NO_ERROR after sending a complete response"
        // (section 8.1).
        let answered = exchange.response.as_ref().is_some_and(|one| one.done);
        if !(answered && code == 0) {
            let name = frame::error_name(code);
            exchange.fail(CONNECTION, format!("the {who} reset the stream: {name}"));
        }
        self.close(stream, here.out);
    }

    /// "GOAWAY ... contains the stream identifier of the last peer-initiated stream that was or might
    /// be processed" (section 6.8): those above it get no answer.
    pub(super) fn go_away(&mut self, last: u32, code: u32, here: &mut At<'_>) {
        self.goaway = Some(code);
        let from_client = u32::from(here.direction != self.asks);
        let refused: Vec<u32> = self
            .open
            .range(last.saturating_add(1)..)
            .filter(|(stream, exchange)| *stream % 2 == from_client && exchange.response.is_none())
            .map(|(stream, _)| *stream)
            .collect();
        for stream in refused {
            if let Some(exchange) = self.open.get_mut(&stream) {
                let name = frame::error_name(code);
                let msg = format!("the connection was given up before this stream: {name}");
                exchange.fail(CONNECTION, msg);
                exchange.ordinal = here.ordinal;
            }
            self.close(stream, here.out);
        }
    }

    /// Hands a stream out as it is; what still comes of it is passed over.
    fn close(&mut self, stream: u32, out: &mut dyn Output) {
        if self.closed.len() == MAX_CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back(stream);
        self.emit(stream, out);
    }

    /// Hands the oldest streams out until the caps are kept.
    fn make_room(&mut self, here: &mut At<'_>) {
        while self.open.len() > MAX_OPEN || (self.weight > MAX_OPEN_BYTES && self.open.len() > 1) {
            let Some(mut oldest) = self.open.first_entry() else {
                return;
            };
            let stream = *oldest.key();
            oldest.get_mut().fail(
                PAIR_NOT_FOUND,
                "too many streams were open to await the end of this one",
            );
            self.close(stream, here.out);
        }
    }

    fn emit(&mut self, stream: u32, out: &mut dyn Output) {
        let Some(mut exchange) = self.open.remove(&stream) else {
            return;
        };
        self.weight = self.weight.saturating_sub(exchange.weight());
        for message in [&mut exchange.request, &mut exchange.response]
            .into_iter()
            .flatten()
        {
            message.kept.cut |= !message.done;
        }
        out.item(exchange.into_draft(self.asks, &self.schemas()));
    }

    /// Hands out all that is open; `closed` when the server said that nothing comes any more.
    pub(super) fn flush(&mut self, closed: bool, out: &mut dyn Output) {
        self.tunnels.close_all(out);
        let why = match self.goaway.filter(|code| *code != 0) {
            Some(code) => format!(": {}", frame::error_name(code)),
            None => String::new(),
        };
        while let Some(mut first) = self.open.first_entry() {
            let (stream, exchange) = (*first.key(), first.get_mut());
            match (&exchange.request, &exchange.response) {
                (_, Some(response)) if !response.done => {
                    let msg = format!("the connection ended before the end of the response{why}");
                    exchange.fail(CONNECTION, msg);
                }
                (Some(request), Some(_)) if !request.done => {
                    let msg = format!("the connection ended before the end of the request{why}");
                    exchange.fail(CONNECTION, msg);
                }
                (_, None) if closed => {
                    let msg = format!("the connection was closed before it was answered{why}");
                    exchange.fail(CONNECTION, msg);
                }
                _ => {}
            }
            self.emit(stream, out);
        }
    }

    /// Learns who asks; what was taken for a request until then was a response.
    pub(super) fn asked_by(&mut self, direction: Direction) {
        if !self.certain && self.asks != direction {
            for exchange in self.open.values_mut() {
                std::mem::swap(&mut exchange.request, &mut exchange.response);
            }
            self.asks = direction;
        }
        self.certain = true;
    }

    /// Whether data of a stream is to be kept; where its first frames may have been missed, it is
    /// opened.
    pub(super) fn accepts_data(
        &mut self,
        stream: u32,
        ts: Timestamp,
        direction: Direction,
    ) -> bool {
        let is_request = direction == self.asks;
        let late = self.side(direction).loose && !self.finished;
        let may_open = late && stream != 0 && !self.closed.contains(&stream);
        let known = self.open.contains_key(&stream);
        if !known && (!may_open || self.open.len() >= MAX_OPEN) {
            return false;
        }
        let exchange = self.open.entry(stream).or_default();
        let message = exchange.side(is_request);
        if message.is_none() && late {
            *message = Some(Message {
                ts,
                ..Message::default()
            });
        }
        message.as_ref().is_some_and(|message| !message.done)
    }

    /// Adds data to a body; `last` when nothing of it follows.
    pub(super) fn keep(&mut self, stream: u32, last: bool, chunk: &Chunk, range: Range<usize>) {
        let is_request = chunk.direction == self.asks;
        let room = MAX_OPEN_BYTES.saturating_sub(self.weight);
        let Some(message) = self.message(stream, chunk.direction) else {
            return;
        };
        message.body_size += range.len() as u64;
        let before = message.kept.len();
        if range.len() > room {
            message.kept.cut = true;
        } else if last && !is_request {
            // A body that is handed out at once need not be copied.
            message.kept.push(chunk.bytes.slice(range));
        } else {
            let bytes = chunk.bytes.get(range).unwrap_or_default();
            message.kept.push_copied(bytes);
        }
        let added = message.kept.len() - before;
        self.weight += added;
    }

    /// The message of a stream that goes this way.
    pub(super) fn message(&mut self, stream: u32, direction: Direction) -> Option<&mut Message> {
        let is_request = direction == self.asks;
        self.open.get_mut(&stream)?.side(is_request).as_mut()
    }
}
