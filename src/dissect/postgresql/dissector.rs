//! One stream of PostgreSQL: which side asks, where each stands, which answer is whose.
//!
//! In: chunks and gaps. Out: items. The server answers in the order of the requests; what belongs to
//! one statement of the extended query protocol is one exchange. Never: clocks, decryption.
//! Standard: PostgreSQL documentation, "Frontend/Backend Protocol", section "Message Flow".
//!
//! Invariant: exchanges in `open` stand in the order of their requests; all but the last are closed.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes};

use super::catalog::Catalog;
use super::exchange::{Command, Exchange, Session, Step};
use super::parser::{self, Walk};
use crate::dissect::intake::{self, Intake, Message};
use crate::dissect::saved::{Saved, put_bytes, put_list};
use crate::dissect::{Dissector, GiveUp, Handover, Outcome, Output, Stream};
use crate::flow::{Chunk, Gap};
use crate::packet::Direction;

/// Bytes of one message that are kept.
pub(super) const MAX_KEPT: usize = 64 * 1024;

/// Requests that may await their answers; pipelines of drivers have up to some thousand.
pub(super) const MAX_OPEN: usize = 2048;

/// Bytes that open requests keep before they are shortened.
const MAX_OPEN_BYTES: usize = 1024 * 1024;

/// Requests behind a gap, each sent when no answer was awaited any more, that may still be given the
/// answer of a missing one: a client that never lets its pipeline run dry is rare.
const DOUBTS: u8 = 2;

/// First byte of a saved state.
const SAVE_VERSION: u8 = 2;

/// The state of one stream.
pub(super) struct Postgres {
    /// Direction of the requests; `None` until a message tells.
    pub(super) asks: Option<Direction>,
    /// Whether the client's next message is one without a type.
    pub(super) starting: bool,
    client: Intake,
    server: Intake,
    pub(super) session: Session,
    pub(super) catalog: Catalog,
    pub(super) open: VecDeque<Exchange>,
    open_bytes: usize,
    /// Answers up to ReadyForQuery whose requests were handed out for lack of room.
    pub(super) expired: u64,
    /// The request that ReadyForQuery ends was handed out, its Sync is still to come.
    pub(super) expired_sync: bool,
    /// Requests that are marked yet, because one is missing whose answer was not seen.
    pub(super) doubts: u8,
    /// Whether requests from before the capture may be open.
    pub(super) late: bool,
    /// Answers to requests that nobody saw.
    pub(super) unseen: Option<Box<Exchange>>,
    /// The client sends the rows of a COPY.
    pub(super) copying: bool,
    /// What follows is encrypted; true for TLS.
    pub(super) encrypted: Option<bool>,
    ordinal: u64,
}

impl Postgres {
    /// A stream of which nothing was read yet.
    pub(super) fn new(stream: &Stream) -> Postgres {
        let from_start = stream.is_from_start();
        let mut intakes = [Intake::new(MAX_KEPT), Intake::new(MAX_KEPT)];
        if !from_start {
            intakes.iter_mut().for_each(Intake::lose);
        }
        let [client, server] = intakes;
        Postgres {
            asks: stream.knows_sides().then_some(Direction::ToServer),
            starting: from_start,
            client,
            server,
            session: Session::default(),
            catalog: Catalog::default(),
            open: VecDeque::new(),
            open_bytes: 0,
            expired: 0,
            expired_sync: false,
            doubts: 0,
            late: !from_start,
            unseen: None,
            copying: false,
            encrypted: None,
            ordinal: 0,
        }
    }

    /// Learns who asks from bytes of either side.
    fn who_asks(&self, chunk: &Chunk) -> Option<Direction> {
        let asks = is_startup(&chunk.bytes) || is_some(parser::walk_frontend(&chunk.bytes));
        let answers = is_some(parser::walk_backend(&chunk.bytes));
        match (asks, answers) {
            (true, true) => Some(Direction::ToServer),
            (true, false) => Some(chunk.direction),
            (false, true) => Some(chunk.direction.other()),
            (false, false) => None,
        }
    }

    /// Looks for a message at the front of a chunk: they mostly begin where a segment does.
    fn find(&mut self, chunk: &Chunk, is_client: bool) -> bool {
        if is_client {
            let startup = is_startup(&chunk.bytes);
            if !startup && !is_some(parser::walk_frontend(&chunk.bytes)) {
                return false;
            }
            self.starting = startup;
            self.client.found();
        } else {
            if !is_some(parser::walk_backend(&chunk.bytes)) {
                return false;
            }
            self.server.found();
        }
        true
    }

    fn step(&mut self, chunk: &Chunk, is_client: bool) -> intake::Step {
        match (is_client, self.starting) {
            (true, true) => self.client.next(chunk, parser::startup),
            (true, false) => self.client.next(chunk, parser::frontend),
            (false, _) => self.server.next(chunk, parser::backend),
        }
    }

    fn message(&mut self, message: Message, is_client: bool, out: &mut dyn Output) {
        match is_client {
            true => self.on_request(&message, out),
            false => self.on_response(&message, out),
        }
    }

    /// Puts a request behind the others.
    pub(super) fn ask(&mut self, mut exchange: Exchange, out: &mut dyn Output) {
        if let Some(last) = self.open.back_mut() {
            last.closed = true;
        }
        self.settle(out);
        // Who asks anew has most likely read all of the answers before it.
        while self.open.front().is_some_and(|first| first.doubtful) {
            self.hand_out(out);
        }
        self.doubt_of(&mut exchange);
        if self.open_bytes + exchange.weight() > MAX_OPEN_BYTES {
            exchange.shrink();
        }
        self.open_bytes += exchange.weight();
        self.open.push_back(exchange);
        if self.open.len() > MAX_OPEN {
            self.expire(out);
        }
    }

    /// Marks a request whose answer may be that of another one: behind a gap in the requests the
    /// order tells nothing before an answer without a request comes, or the client has waited.
    fn doubt_of(&mut self, exchange: &mut Exchange) {
        match self.open.back() {
            None => {
                exchange.unsure |= self.doubts > 0;
                self.doubts = self.doubts.saturating_sub(1);
            }
            Some(last) => {
                exchange.holed |= last.holed;
                let early = self.late && self.open.iter().any(Exchange::awaits_ready);
                let pipelined = early || self.doubts > 0;
                exchange.unsure |= last.unsure || pipelined;
                if pipelined {
                    self.open.iter_mut().for_each(|one| one.unsure = true);
                }
            }
        }
    }

    /// Notes that the last request keeps more than before.
    pub(super) fn grow(&mut self, before: usize, after: usize) {
        self.open_bytes = (self.open_bytes + after).saturating_sub(before);
        if self.open_bytes > MAX_OPEN_BYTES
            && let Some(last) = self.open.back_mut()
        {
            last.shrink();
            self.open_bytes = (self.open_bytes + last.weight()).saturating_sub(after);
        }
    }

    /// Hands out the oldest requests, up to one that ReadyForQuery ends.
    fn expire(&mut self, out: &mut dyn Output) {
        while let Some(first) = self.open.front() {
            let ends = first.awaits_ready();
            self.hand_out(out);
            if ends {
                self.expired += 1;
                return;
            }
        }
        self.expired += 1;
        self.expired_sync = true;
    }

    /// Hands out exchanges that are over.
    pub(super) fn settle(&mut self, out: &mut dyn Output) {
        while let Some(first) = self.open.front() {
            if !first.steps.is_empty() || !first.closed {
                return;
            }
            self.hand_out(out);
        }
    }

    /// Hands out the oldest exchange as it is.
    pub(super) fn hand_out(&mut self, out: &mut dyn Output) {
        if let Some(exchange) = self.open.pop_front() {
            self.open_bytes = self.open_bytes.saturating_sub(exchange.weight());
            if exchange.command != Command::Sync {
                self.emit(exchange, out);
            }
        }
    }

    /// Hands out answers to a request that nobody saw.
    pub(super) fn hand_out_unseen(&mut self, out: &mut dyn Output) {
        if let Some(exchange) = self.unseen.take() {
            self.emit(*exchange, out);
        }
    }

    /// Hands out one exchange.
    pub(super) fn emit(&self, exchange: Exchange, out: &mut dyn Output) {
        let asks = self.asks.unwrap_or(Direction::ToServer);
        out.item(exchange.draft(&self.session, asks));
    }

    /// Bytes of the server are missing and nobody knows how many answers they held. Of the requests
    /// before the last one all are taken as answered, as they are for clients that wait.
    fn doubt(&mut self, out: &mut dyn Output) {
        while self.open.len() > 1 {
            if let Some(first) = self.open.front_mut() {
                first.doubtful = true;
            }
            self.hand_out(out);
        }
        if let Some(last) = self.open.front_mut() {
            last.doubtful = true;
            last.holed = true;
        }
        self.expired = 0;
        self.copying = false;
    }

    /// An SSLRequest or GSSENCRequest is answered by one byte that is no message.
    fn encryption_answer(&mut self, chunk: &Chunk, out: &mut dyn Output) -> bool {
        let Some(first) = self.open.front_mut() else {
            return false;
        };
        let Some(answer @ (b'S' | b'G' | b'N')) = chunk.bytes.first().copied() else {
            return false;
        };
        if first.steps.front() != Some(&Step::Encryption) || !self.server.is_at_front() {
            return false;
        }
        first.steps.clear();
        first.touch(&Message {
            bytes: chunk.bytes.slice(..1),
            size: 1,
            ts: chunk.ts,
            ordinal: chunk.ordinal,
            holed: false,
        });
        first.answer.encryption = answer;
        if answer != b'N' {
            self.encrypted = Some(answer == b'S');
        }
        self.settle(out);
        true
    }
}

fn is_some(walk: Walk) -> bool {
    walk == Walk::Messages
}

/// Whether the bytes begin with a whole start-up message.
fn is_startup(bytes: &[u8]) -> bool {
    is_some(parser::walk_startup(bytes))
}

impl Dissector for Postgres {
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        if self.encrypted.is_some() {
            return Outcome::GiveUp(GiveUp::Upgraded);
        }
        self.ordinal = chunk.ordinal;
        if self.asks.is_none() {
            self.asks = self.who_asks(chunk);
        }
        let Some(asks) = self.asks else {
            return Outcome::Consumed(chunk.bytes.len());
        };
        let is_client = chunk.direction == asks;
        let lost = match is_client {
            true => self.client.is_lost(),
            false => self.server.is_lost(),
        };
        if lost && !self.find(chunk, is_client) {
            return Outcome::Consumed(chunk.bytes.len());
        }
        if !is_client && self.encryption_answer(chunk, out) {
            return Outcome::Consumed(1);
        }
        match self.step(chunk, is_client) {
            intake::Step::Message(message, taken) => {
                self.message(message, is_client, out);
                Outcome::Consumed(taken)
            }
            intake::Step::Took(taken) => Outcome::Consumed(taken),
            intake::Step::NeedMore(need) => Outcome::NeedMore(need),
            intake::Step::Malformed => Outcome::GiveUp(GiveUp::Malformed),
        }
    }

    fn on_gap(&mut self, gap: &Gap, out: &mut dyn Output) -> Outcome {
        self.ordinal = gap.ordinal;
        let is_client = self.asks.is_none_or(|asks| gap.direction == asks);
        let message = match is_client {
            true => self.client.gap(gap),
            false => self.server.gap(gap),
        };
        if let Some(message) = message {
            self.message(message, is_client, out);
        }
        if is_client && self.client.is_lost() {
            // A statement may have got another text meanwhile.
            self.catalog = Catalog::default();
            // A request may be missing whose answers come before those of the ones that follow.
            self.open.iter_mut().for_each(|one| one.holed = true);
            self.doubts = DOUBTS;
        } else if !is_client && self.server.is_lost() {
            self.doubt(out);
        }
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, direction: Direction, _rest: &Bytes, out: &mut dyn Output) {
        let is_client = self.asks == Some(direction);
        let message = match is_client {
            true => self.client.end(self.ordinal),
            false => self.server.end(self.ordinal),
        };
        if let Some(message) = message {
            self.message(message, is_client, out);
        }
    }

    fn on_end(&mut self, out: &mut dyn Output) {
        for (is_client, message) in [
            (true, self.client.end(self.ordinal)),
            (false, self.server.end(self.ordinal)),
        ] {
            if let Some(message) = message {
                self.message(message, is_client, out);
            }
        }
        self.hand_out_unseen(out);
        while !self.open.is_empty() {
            self.hand_out(out);
        }
    }

    fn handover(&mut self) -> Option<Handover> {
        self.encrypted.filter(|tls| *tls).map(|_| Handover {
            protocol: "tls",
            note: Bytes::new(),
        })
    }

    /// ```text
    /// state = version u8 (2), asks u8 (0 unknown, 1 server is asked, 2 client), flags 4 x u8,
    ///         doubts u8, encrypted u8 (0 no, 1 GSS, 2 TLS), ordinal u64, expired u64, client and server intake,
    ///         user, database, catalog, count u32, count x exchange, unseen u8, exchange
    /// ```
    fn save(&self) -> Vec<u8> {
        let mut out = vec![SAVE_VERSION];
        out.put_u8(match self.asks {
            None => 0,
            Some(Direction::ToServer) => 1,
            Some(Direction::ToClient) => 2,
        });
        for flag in [self.starting, self.copying, self.expired_sync, self.late] {
            out.put_u8(flag.into());
        }
        out.put_u8(self.doubts);
        out.put_u8(self.encrypted.map_or(0, |tls| 1 + u8::from(tls)));
        out.put_u64(self.ordinal);
        out.put_u64(self.expired);
        self.client.save(&mut out);
        self.server.save(&mut out);
        put_bytes(&mut out, &self.session.user);
        put_bytes(&mut out, &self.session.database);
        self.catalog.save(&mut out);
        put_list(&mut out, self.open.iter(), |out, one| one.save(out));
        put_list(&mut out, self.unseen.iter(), |out, one| one.save(out));
        out
    }
}

impl Postgres {
    /// Reads [`Dissector::save`] back.
    pub(super) fn restore(stream: &Stream, state: &[u8]) -> Option<Postgres> {
        let mut saved = Saved::new(state);
        if saved.u8()? != SAVE_VERSION {
            return None;
        }
        let mut restored = Postgres::new(stream);
        restored.asks = match saved.u8()? {
            0 => None,
            1 => Some(Direction::ToServer),
            2 => Some(Direction::ToClient),
            _ => return None,
        };
        restored.starting = saved.flag()?;
        restored.copying = saved.flag()?;
        restored.expired_sync = saved.flag()?;
        restored.late = saved.flag()?;
        restored.doubts = saved.u8().filter(|doubts| *doubts <= DOUBTS)?;
        restored.encrypted = match saved.u8()? {
            0 => None,
            1 => Some(false),
            2 => Some(true),
            _ => return None,
        };
        restored.ordinal = saved.u64()?;
        restored.expired = saved.u64()?;
        restored.client = Intake::restore(&mut saved, MAX_KEPT)?;
        restored.server = Intake::restore(&mut saved, MAX_KEPT)?;
        restored.session.user = saved.bytes(MAX_KEPT)?;
        restored.session.database = saved.bytes(MAX_KEPT)?;
        restored.catalog = Catalog::restore(&mut saved)?;
        restored.open = saved.list(MAX_OPEN, Exchange::restore)?.into();
        restored.open_bytes = restored.open.iter().map(Exchange::weight).sum();
        restored.unseen = saved.list(1, Exchange::restore)?.pop().map(Box::new);
        saved.is_empty().then_some(restored)
    }
}
