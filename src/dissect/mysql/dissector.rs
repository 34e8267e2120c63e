//! One stream of MySQL: which side asks, where each stands, which answer is whose.
//!
//! In: chunks and gaps. Out: items. The server answers in the order of the commands. Never: clocks,
//! decryption. Standard: MySQL source documentation, "Client/Server Protocol", sections "Connection
//! Phase" and "Command Phase"; for MariaDB's additions its knowledge base.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes};

use super::exchange::{Exchange, Login};
use super::layers::{Layers, Part};
use super::parser::{self, capability};
use super::statements::Statements;
use crate::dissect::intake::Message;
use crate::dissect::saved::{Saved, put_bytes, put_list};
use crate::dissect::{Dissector, GiveUp, Handover, Outcome, Output, Stream};
use crate::flow::{Chunk, Gap};
use crate::packet::Direction;

/// Bytes of one payload that are kept.
pub(super) const MAX_KEPT: usize = 64 * 1024;

/// Commands that may await their answers; clients wait for each, some connectors send a few ahead.
const MAX_OPEN: usize = 256;

/// Bytes that open commands keep before they are shortened.
const MAX_OPEN_BYTES: usize = 1024 * 1024;

/// First byte of a saved state.
const SAVE_VERSION: u8 = 1;

/// The state of one stream.
pub(super) struct Mysql {
    /// Direction of the commands; `None` until a packet tells.
    asks: Option<Direction>,
    /// Whether the connection phase is not over.
    pub(super) greeting: bool,
    /// Whether packets come compressed, and whether they will after the login.
    pub(super) compressed: bool,
    pub(super) compresses: bool,
    /// What follows is TLS.
    pub(super) encrypted: bool,
    /// What both sides agreed on; `None` and false when that was not seen.
    pub(super) deprecate_eof: Option<bool>,
    pub(super) query_attributes: bool,
    pub(super) optional_metadata: bool,
    tracks: bool,
    /// An EOF packet may follow that belongs to an answer that is over.
    pub(super) maybe_eof: bool,
    client: Layers,
    server: Layers,
    /// What the handshake said.
    pub(super) login: Login,
    pub(super) user: Bytes,
    pub(super) database: Bytes,
    pub(super) statements: Statements,
    pub(super) open: VecDeque<Exchange>,
    open_bytes: usize,
    /// An answer to a command that nobody saw.
    pub(super) unseen: Option<Box<Exchange>>,
    ordinal: u64,
}

impl Mysql {
    /// A stream of which nothing was read yet.
    pub(super) fn new(stream: &Stream) -> Mysql {
        let from_start = stream.is_from_start();
        let side = || match from_start {
            true => Layers::at_start(),
            false => Layers::lost(),
        };
        Mysql {
            asks: stream.knows_sides().then_some(Direction::ToServer),
            greeting: from_start,
            compressed: false,
            compresses: false,
            encrypted: false,
            deprecate_eof: None,
            query_attributes: false,
            optional_metadata: false,
            // Most clients of today ask for it; only the words of an OK packet depend on it.
            tracks: !from_start,
            maybe_eof: false,
            client: side(),
            server: side(),
            login: Login::default(),
            user: Bytes::new(),
            database: Bytes::new(),
            statements: Statements::default(),
            open: VecDeque::new(),
            open_bytes: 0,
            unseen: None,
            ordinal: 0,
        }
    }

    /// Notes what client and server have in common.
    pub(super) fn agree(&mut self, client: u32) {
        const DEPRECATE_EOF: u32 = 1 << 24;
        // Without the handshake the client's word stands: it names only what it was offered.
        let server = match self.login.server_version.is_empty() {
            true => u32::MAX,
            false => self.login.server_capabilities,
        };
        let has = |flag| client & server & flag != 0;
        self.deprecate_eof = Some(has(DEPRECATE_EOF));
        self.query_attributes = has(capability::QUERY_ATTRIBUTES);
        self.optional_metadata = has(capability::OPTIONAL_RESULTSET_METADATA);
        self.tracks = has(capability::SESSION_TRACK);
        self.compresses = has(capability::COMPRESS) || has(capability::ZSTD_COMPRESSION_ALGORITHM);
    }

    /// Learns who asks from bytes of either side.
    fn who_asks(chunk: &Chunk) -> Option<Direction> {
        if is_greeting(&chunk.bytes) || is_answer(&chunk.bytes) {
            return Some(chunk.direction.other());
        }
        is_command(&chunk.bytes).then_some(chunk.direction)
    }

    /// Puts a command behind the others.
    pub(super) fn ask(&mut self, mut exchange: Exchange, out: &mut dyn Output) {
        // Who asks anew has most likely read all of the answers before it.
        while self.open.front().is_some_and(|first| first.doubtful) {
            self.hand_out(out);
        }
        if exchange.user.is_empty() {
            exchange.user = self.user.clone();
        }
        if exchange.database.is_empty() {
            exchange.database = self.database.clone();
        }
        exchange.tracks = self.tracks;
        if self.open_bytes + exchange.weight() > MAX_OPEN_BYTES {
            exchange.shrink();
        }
        self.open_bytes += exchange.weight();
        self.open.push_back(exchange);
        if self.open.len() > MAX_OPEN {
            self.doubt(out);
        }
        self.settle(out);
    }

    /// Hands out exchanges that are over.
    pub(super) fn settle(&mut self, out: &mut dyn Output) {
        let is_over = |one: &Exchange| one.awaits == super::exchange::Await::Nothing;
        while self.open.front().is_some_and(is_over) {
            self.hand_out(out);
        }
    }

    fn hand_out(&mut self, out: &mut dyn Output) {
        if let Some(exchange) = self.open.pop_front() {
            self.open_bytes = self.open_bytes.saturating_sub(exchange.weight());
            self.emit(exchange, out);
        }
    }

    /// Hands out one exchange.
    pub(super) fn emit(&self, exchange: Exchange, out: &mut dyn Output) {
        out.item(exchange.draft(self.asks.unwrap_or(Direction::ToServer)));
    }

    /// Nobody knows how many commands were answered. Of those before the last one all are taken as
    /// answered, as they are for clients that wait.
    fn doubt(&mut self, out: &mut dyn Output) {
        while self.open.len() > 1 {
            if let Some(first) = self.open.front_mut() {
                first.doubtful = true;
            }
            self.hand_out(out);
        }
        if let Some(last) = self.open.front_mut() {
            last.doubtful = true;
            last.holed |= last.answer.first.is_some();
        }
        self.unseen = None;
    }

    fn message(&mut self, message: Message, is_client: bool, out: &mut dyn Output) {
        match is_client {
            true => self.on_request(&message, out),
            false => self.on_response(&message, out),
        }
    }

    /// Takes what the layers of one side made of a chunk or gap.
    fn take(&mut self, parts: Vec<Part>, is_client: bool, out: &mut dyn Output) {
        for part in parts {
            match part {
                Part::Message(message) => self.message(message, is_client, out),
                Part::Lost if is_client => {
                    // A statement may have been closed and its number given anew.
                    self.statements = Statements::default();
                    self.greeting = false;
                }
                Part::Lost => {
                    self.greeting = false;
                    self.doubt(out);
                }
            }
        }
    }

    fn layers(&mut self, is_client: bool) -> &mut Layers {
        match is_client {
            true => &mut self.client,
            false => &mut self.server,
        }
    }
}

/// Whether the bytes begin with a server's handshake.
pub(super) fn is_greeting(bytes: &[u8]) -> bool {
    parser::sequence(bytes) == 0 && parser::handshake(parser::payload(bytes)).is_some()
}

/// Whether the bytes begin with a whole packet that can be a command.
pub(super) fn is_command(bytes: &[u8]) -> bool {
    first_packet(bytes).is_some_and(|packet| {
        parser::sequence(packet) == 0 && parser::looks_like_command(parser::payload(packet))
    })
}

/// Whether the bytes begin with a whole packet that can be the first of an answer.
pub(super) fn is_answer(bytes: &[u8]) -> bool {
    first_packet(bytes)
        .is_some_and(|packet| parser::sequence(packet) == 1 && !parser::payload(packet).is_empty())
}

fn first_packet(bytes: &[u8]) -> Option<&[u8]> {
    let crate::dissect::intake::Front::Length(length) = parser::packet(bytes) else {
        return None;
    };
    bytes.get(..usize::try_from(length).ok()?)
}

impl Dissector for Mysql {
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        if self.encrypted {
            return Outcome::GiveUp(GiveUp::Upgraded);
        }
        self.ordinal = chunk.ordinal;
        if self.asks.is_none() {
            self.asks = Mysql::who_asks(chunk);
        }
        let Some(asks) = self.asks else {
            return Outcome::Consumed(chunk.bytes.len());
        };
        let is_client = chunk.direction == asks;
        let compressed = self.compressed;
        let begins = match is_client {
            true => is_command,
            false => is_answer,
        };
        match self.layers(is_client).next(chunk, compressed, begins) {
            Ok((taken, parts)) => {
                self.take(parts, is_client, out);
                Outcome::Consumed(taken)
            }
            Err(need) => Outcome::NeedMore(need),
        }
    }

    fn on_gap(&mut self, gap: &Gap, out: &mut dyn Output) -> Outcome {
        self.ordinal = gap.ordinal;
        let is_client = self.asks.is_none_or(|asks| gap.direction == asks);
        let compressed = self.compressed;
        let parts = self.layers(is_client).gap(gap, compressed);
        self.take(parts, is_client, out);
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, direction: Direction, _rest: &Bytes, out: &mut dyn Output) {
        let is_client = self.asks == Some(direction);
        let ordinal = self.ordinal;
        if let Some(message) = self.layers(is_client).end(ordinal) {
            self.message(message, is_client, out);
        }
    }

    fn on_end(&mut self, out: &mut dyn Output) {
        for is_client in [true, false] {
            let ordinal = self.ordinal;
            if let Some(message) = self.layers(is_client).end(ordinal) {
                self.message(message, is_client, out);
            }
        }
        if let Some(exchange) = self.unseen.take() {
            self.emit(*exchange, out);
        }
        while !self.open.is_empty() {
            self.hand_out(out);
        }
    }

    fn handover(&mut self) -> Option<Handover> {
        self.encrypted.then_some(Handover {
            protocol: "tls",
            note: Bytes::new(),
        })
    }

    /// ```text
    /// state = version u8 (1), asks u8 (0 unknown, 1 server is asked, 2 client), flags 8 x u8,
    ///         EOF u8 (0 unknown, 1 sent, 2 deprecated), ordinal u64, client and server layers,
    ///         login, user, database, statements, count u32, count x exchange, unseen u8, exchange
    /// ```
    fn save(&self) -> Vec<u8> {
        let mut out = vec![SAVE_VERSION];
        out.put_u8(match self.asks {
            None => 0,
            Some(Direction::ToServer) => 1,
            Some(Direction::ToClient) => 2,
        });
        for flag in [
            self.greeting,
            self.compressed,
            self.compresses,
            self.encrypted,
            self.query_attributes,
            self.optional_metadata,
            self.tracks,
            self.maybe_eof,
        ] {
            out.put_u8(flag.into());
        }
        out.put_u8(self.deprecate_eof.map_or(0, |flag| 1 + u8::from(flag)));
        out.put_u64(self.ordinal);
        self.client.save(&mut out);
        self.server.save(&mut out);
        self.login.save(&mut out);
        put_bytes(&mut out, &self.user);
        put_bytes(&mut out, &self.database);
        self.statements.save(&mut out);
        put_list(&mut out, self.open.iter(), |out, one| one.save(out));
        put_list(&mut out, self.unseen.iter(), |out, one| one.save(out));
        out
    }
}

impl Mysql {
    /// Reads [`Dissector::save`] back.
    pub(super) fn restore(stream: &Stream, state: &[u8]) -> Option<Mysql> {
        let mut saved = Saved::new(state);
        if saved.u8()? != SAVE_VERSION {
            return None;
        }
        let mut restored = Mysql::new(stream);
        restored.asks = match saved.u8()? {
            0 => None,
            1 => Some(Direction::ToServer),
            2 => Some(Direction::ToClient),
            _ => return None,
        };
        restored.greeting = saved.flag()?;
        restored.compressed = saved.flag()?;
        restored.compresses = saved.flag()?;
        restored.encrypted = saved.flag()?;
        restored.query_attributes = saved.flag()?;
        restored.optional_metadata = saved.flag()?;
        restored.tracks = saved.flag()?;
        restored.maybe_eof = saved.flag()?;
        restored.deprecate_eof = match saved.u8()? {
            0 => None,
            1 => Some(false),
            2 => Some(true),
            _ => return None,
        };
        restored.ordinal = saved.u64()?;
        restored.client = Layers::restore(&mut saved)?;
        restored.server = Layers::restore(&mut saved)?;
        restored.login = Login::restore(&mut saved)?;
        restored.user = saved.bytes(MAX_KEPT)?;
        restored.database = saved.bytes(MAX_KEPT)?;
        restored.statements = Statements::restore(&mut saved)?;
        restored.open = saved.list(MAX_OPEN, Exchange::restore)?.into();
        restored.open_bytes = restored.open.iter().map(Exchange::weight).sum();
        restored.unseen = saved.list(1, Exchange::restore)?.pop().map(Box::new);
        saved.is_empty().then_some(restored)
    }
}
