//! One exchange: a command, or the login, and what the server answers.
//!
//! In: packets that `dissector` found to belong to it. Out: a [`Draft`]. Never: more than the caps
//! below; a password or what proves one.

use bytes::{BufMut, Bytes};

use super::MYSQL;
use super::render;
use crate::dissect::Draft;
use crate::dissect::intake::Message;
use crate::dissect::saved::{Saved, put_bytes, put_list, put_time};
use crate::item::{ItemError, Value};
use crate::packet::Direction;
use crate::time::Timestamp;

/// Bytes of rows that one exchange keeps: enough to see what kind of rows they are.
const MAX_ROW_BYTES: usize = 64 * 1024;

/// Rows that one exchange keeps.
const MAX_ROWS: u64 = 100;

/// Bytes of column definitions that one result keeps; a table has up to 4096 columns.
pub(super) const MAX_COLUMN_BYTES: usize = 32 * 1024;

/// Results of one command that are kept.
const MAX_RESULTS: usize = 32;

/// Plugins that one login may go through.
const MAX_PLUGINS: usize = 8;

/// Bytes of one text that is kept.
const MAX_TEXT: usize = super::dissector::MAX_KEPT;

/// Bytes of the name of a user or schema; servers take 64 characters.
const MAX_NAME: usize = 256;

/// A copy of a name, cut at [`MAX_NAME`].
pub(super) fn named(name: &[u8]) -> Bytes {
    Bytes::copy_from_slice(name.get(..MAX_NAME).unwrap_or(name))
}

/// What a client's packet asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// A command of the command phase, by its code.
    Code(u8),
    Login,
    SslRequest,
    /// No request was seen.
    Unseen,
}

/// What the server sends next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Await {
    /// Packets of the login.
    Login,
    /// The first packet of an answer or of another result.
    First,
    /// So many column definitions.
    Columns(u64),
    /// An EOF packet, or already the first row.
    ColumnsEnd,
    Rows,
    /// So many definitions of parameters, then of columns, of a prepared statement.
    Prepared(u16, u16),
    /// Column definitions up to an EOF packet.
    Fields,
    /// Nothing before the client has sent a file.
    File,
    /// Events of the binary log, without end.
    Events,
    /// Nothing more.
    Nothing,
}

/// One result.
#[derive(Debug, Default, Clone)]
pub(super) struct ResultSet {
    /// Payloads of the column definitions, each behind its length as `u32`.
    pub columns: Vec<u8>,
    pub column_count: u64,
    /// Payloads of the first rows, each behind its length as `u32`.
    pub rows: Vec<u8>,
    pub kept: u64,
    pub count: u64,
    /// A kept row is not whole.
    pub cut: bool,
    /// Rows are in the binary protocol.
    pub binary: bool,
    pub done: bool,
    /// OK packet that ended it, or was it.
    pub ok: Bytes,
    /// Status flags of the packet that ended it.
    pub status: u16,
    /// A server's text: statistics.
    pub text: Bytes,
}

/// What the server answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub first: Option<Timestamp>,
    pub size: u64,
    /// ERR packet.
    pub error: Bytes,
    pub results: Vec<ResultSet>,
    pub more_results: bool,
    /// Plugins that the server asked to go over to, each ended by zero.
    pub plugins: Vec<Bytes>,
    /// Statement of a COM_STMT_PREPARE: number, columns, parameters.
    pub prepared: Option<(u32, u16, u16)>,
    /// Name of the file that the server asked for.
    pub file: Bytes,
    pub file_bytes: u64,
    /// Events of the binary log.
    pub events: u64,
    pub event_bytes: u64,
}

/// One exchange.
#[derive(Debug)]
pub(super) struct Exchange {
    pub command: Command,
    pub awaits: Await,
    pub start: Timestamp,
    pub ordinal: u64,
    pub request_size: u64,
    /// SQL text, schema, or table; for a login its packet without the proof.
    pub text: Bytes,
    pub text_known: bool,
    pub cut: bool,
    pub statement_id: Option<u32>,
    /// See [`render::parameters`].
    pub parameters: Bytes,
    pub user: Bytes,
    pub database: Bytes,
    pub login: Option<Login>,
    pub answer: Answer,
    pub holed: bool,
    /// The capture missed part of the answer: it may already be over.
    pub doubtful: bool,
    /// OK packets tell what changed in the session.
    pub tracks: bool,
}

/// What both sides said about themselves.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub server_version: Bytes,
    pub thread_id: u32,
    pub server_capabilities: u32,
    pub server_plugin: Bytes,
    pub capabilities: u32,
    pub character_set: u8,
    pub auth_sent: bool,
    pub auth_plugin: Bytes,
    pub attributes: Bytes,
}

impl Exchange {
    /// A request that begins with `message`.
    pub(super) fn new(command: Command, message: &Message) -> Exchange {
        Exchange {
            command,
            awaits: Await::First,
            start: message.ts,
            ordinal: message.ordinal,
            request_size: message.size,
            text: Bytes::new(),
            text_known: false,
            cut: false,
            statement_id: None,
            parameters: Bytes::new(),
            user: Bytes::new(),
            database: Bytes::new(),
            login: None,
            answer: Answer::default(),
            holed: message.holed,
            doubtful: false,
            tracks: false,
        }
    }

    /// An answer to a request that nobody saw; `message` is its first.
    pub(super) fn unseen(message: &Message) -> Exchange {
        Exchange {
            request_size: 0,
            holed: false,
            ..Exchange::new(Command::Unseen, message)
        }
    }

    /// Whether it is this command of the command phase.
    pub(super) fn is(&self, code: u8) -> bool {
        self.command == Command::Code(code)
    }

    /// Bytes that the request keeps.
    pub(super) fn weight(&self) -> usize {
        self.text.len() + self.parameters.len()
    }

    /// Keeps only the beginning of what it says, for want of room.
    pub(super) fn shrink(&mut self) {
        const LEFT: usize = 256;
        for part in [&mut self.text, &mut self.parameters] {
            if part.len() > LEFT {
                *part = Bytes::copy_from_slice(part.get(..LEFT).unwrap_or_default());
                self.cut = true;
            }
        }
    }

    /// Notes one packet of the answer.
    pub(super) fn touch(&mut self, message: &Message) {
        self.answer.first.get_or_insert(message.ts);
        self.answer.size += message.size;
        self.ordinal = message.ordinal;
        self.holed |= message.holed;
    }

    /// The result that goes on, or a new one.
    pub(super) fn result(&mut self) -> &mut ResultSet {
        let results = &mut self.answer.results;
        if results.last().is_none_or(|result| result.done) {
            if results.len() < MAX_RESULTS {
                results.push(ResultSet::default());
            } else if let Some(last) = results.last_mut() {
                self.answer.more_results = true;
                *last = ResultSet::default();
            }
        }
        results.last_mut().expect("one is there or was just pushed")
    }

    /// Keeps a column definition while there is room.
    pub(super) fn column(&mut self, payload: &[u8]) {
        let result = self.result();
        if result.columns.len() + payload.len() <= MAX_COLUMN_BYTES {
            put_bytes(&mut result.columns, payload);
        }
    }

    /// Counts a row and keeps it while there is room.
    pub(super) fn row(&mut self, payload: &[u8], is_cut: bool) {
        let held: usize = self.answer.results.iter().map(|one| one.rows.len()).sum();
        let kept: u64 = self.answer.results.iter().map(|one| one.kept).sum();
        let room = MAX_ROW_BYTES.saturating_sub(held);
        let result = self.result();
        result.count += 1;
        // Rows that are left out must not be followed by one that is kept.
        let in_a_row = result.kept + 1 == result.count && !result.cut;
        if kept < MAX_ROWS && room > 0 && in_a_row {
            let part = payload.get(..room).unwrap_or(payload);
            result.cut = is_cut || part.len() < payload.len();
            put_bytes(&mut result.rows, part);
            result.kept += 1;
        }
    }

    /// Notes a plugin that the server goes over to.
    pub(super) fn plugin(&mut self, name: &[u8]) {
        if self.answer.plugins.len() < MAX_PLUGINS && name.len() <= 64 {
            self.answer.plugins.push(Bytes::copy_from_slice(name));
        }
    }

    /// The item.
    pub(super) fn draft(self, asks: Direction) -> Draft {
        let error = self.error();
        let elapsed = self
            .answer
            .first
            .map_or(0, |first| first.since(self.start).as_nanos());
        Draft {
            kind: &MYSQL,
            from_client: asks == Direction::ToServer,
            start: self.start,
            elapsed_nanos: u64::try_from(elapsed).unwrap_or(u64::MAX),
            request_size: self.request_size,
            response_size: self.answer.size,
            request: match self.command {
                Command::Unseen => Value::Null,
                _ => render::request(&self),
            },
            response: match self.answer.first.is_some() {
                true => render::response(&self),
                false => Value::Null,
            },
            data: Value::Null,
            error,
            ordinal: self.ordinal,
        }
    }

    fn error(&self) -> Option<ItemError> {
        let (kind, msg) = if self.holed || self.doubtful {
            ("dissection", "bytes of the exchange were not captured")
        } else if self.command == Command::Unseen && self.login.is_some() {
            // The server speaks first, and this was all that it said.
            return None;
        } else if self.command == Command::Unseen {
            (
                "pair-not-found",
                "no request for this response was captured",
            )
        } else if matches!(self.awaits, Await::Nothing | Await::Events) {
            return None;
        } else if self.answer.first.is_some() {
            ("connection", "the stream ended before the response did")
        } else {
            ("timeout", "no response to this request was captured")
        };
        Some(ItemError {
            kind,
            msg: msg.into(),
        })
    }
}

/// Saving and restoring, the fields in their order.
impl Exchange {
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let (kind, code) = match self.command {
            Command::Code(code) => (0, code),
            Command::Login => (1, 0),
            Command::SslRequest => (2, 0),
            Command::Unseen => (3, 0),
        };
        out.put_slice(&[kind, code]);
        let (awaits, left) = match self.awaits {
            Await::Login => (0, 0),
            Await::First => (1, 0),
            Await::Columns(left) => (2, left),
            Await::ColumnsEnd => (3, 0),
            Await::Rows => (4, 0),
            Await::Prepared(parameters, columns) => {
                (5, u64::from(parameters) << 16 | u64::from(columns))
            }
            Await::Fields => (6, 0),
            Await::File => (7, 0),
            Await::Events => (8, 0),
            Await::Nothing => (9, 0),
        };
        out.put_u8(awaits);
        out.put_u64(left);
        out.put_i64(self.start.nanos());
        out.put_u64(self.ordinal);
        out.put_u64(self.request_size);
        for flag in [
            self.text_known,
            self.cut,
            self.holed,
            self.doubtful,
            self.tracks,
            self.statement_id.is_some(),
        ] {
            out.put_u8(flag.into());
        }
        out.put_u32(self.statement_id.unwrap_or_default());
        for bytes in [&self.text, &self.parameters, &self.user, &self.database] {
            put_bytes(out, bytes);
        }
        put_list(out, self.login.iter(), |out, login| login.save(out));
        self.answer.save(out);
    }

    pub(super) fn restore(saved: &mut Saved<'_>) -> Option<Exchange> {
        let command = match (saved.u8()?, saved.u8()?) {
            (0, code) => Command::Code(code),
            (1, _) => Command::Login,
            (2, _) => Command::SslRequest,
            (3, _) => Command::Unseen,
            _ => return None,
        };
        let (awaits, left) = (saved.u8()?, saved.u64()?);
        let low = |number: u64| u16::try_from(number & 0xffff).unwrap_or_default();
        let awaits = match awaits {
            0 => Await::Login,
            1 => Await::First,
            2 => Await::Columns(left),
            3 => Await::ColumnsEnd,
            4 => Await::Rows,
            5 => Await::Prepared(low(left >> 16), low(left)),
            6 => Await::Fields,
            7 => Await::File,
            8 => Await::Events,
            9 => Await::Nothing,
            _ => return None,
        };
        let (start, ordinal, request_size) = (saved.time()?, saved.u64()?, saved.u64()?);
        let (text_known, cut, holed) = (saved.flag()?, saved.flag()?, saved.flag()?);
        let (doubtful, tracks) = (saved.flag()?, saved.flag()?);
        let statement_id = match (saved.flag()?, saved.u32()?) {
            (true, id) => Some(id),
            (false, _) => None,
        };
        Some(Exchange {
            command,
            awaits,
            start,
            ordinal,
            request_size,
            text_known,
            cut,
            holed,
            doubtful,
            tracks,
            statement_id,
            text: saved.bytes(MAX_TEXT)?,
            parameters: saved.bytes(2 * MAX_TEXT)?,
            user: saved.bytes(MAX_TEXT)?,
            database: saved.bytes(MAX_TEXT)?,
            login: saved.list(1, Login::restore)?.pop(),
            answer: Answer::restore(saved)?,
        })
    }
}

impl Login {
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        out.put_u32(self.thread_id);
        out.put_u32(self.server_capabilities);
        out.put_u32(self.capabilities);
        out.put_u8(self.character_set);
        out.put_u8(self.auth_sent.into());
        for bytes in [
            &self.server_version,
            &self.server_plugin,
            &self.auth_plugin,
            &self.attributes,
        ] {
            put_bytes(out, bytes);
        }
    }

    pub(super) fn restore(saved: &mut Saved<'_>) -> Option<Login> {
        Some(Login {
            thread_id: saved.u32()?,
            server_capabilities: saved.u32()?,
            capabilities: saved.u32()?,
            character_set: saved.u8()?,
            auth_sent: saved.flag()?,
            server_version: saved.bytes(MAX_TEXT)?,
            server_plugin: saved.bytes(MAX_TEXT)?,
            auth_plugin: saved.bytes(MAX_TEXT)?,
            attributes: saved.bytes(MAX_TEXT)?,
        })
    }
}

impl Answer {
    fn save(&self, out: &mut Vec<u8>) {
        put_time(out, self.first);
        out.put_u64(self.size);
        out.put_u8(self.more_results.into());
        out.put_u8(self.prepared.is_some().into());
        let (id, columns, parameters) = self.prepared.unwrap_or_default();
        out.put_u32(id);
        out.put_u16(columns);
        out.put_u16(parameters);
        for number in [self.file_bytes, self.events, self.event_bytes] {
            out.put_u64(number);
        }
        put_bytes(out, &self.error);
        put_bytes(out, &self.file);
        put_list(out, self.plugins.iter(), |out, name| put_bytes(out, name));
        put_list(out, self.results.iter(), |out, one| one.save(out));
    }

    fn restore(saved: &mut Saved<'_>) -> Option<Answer> {
        let first = saved.time_or_none()?;
        let (size, more_results) = (saved.u64()?, saved.flag()?);
        let is_prepared = saved.flag()?;
        let prepared = (saved.u32()?, saved.u16()?, saved.u16()?);
        Some(Answer {
            first,
            size,
            more_results,
            prepared: is_prepared.then_some(prepared),
            file_bytes: saved.u64()?,
            events: saved.u64()?,
            event_bytes: saved.u64()?,
            error: saved.bytes(MAX_TEXT)?,
            file: saved.bytes(MAX_TEXT)?,
            plugins: saved.list(MAX_PLUGINS, |saved| saved.bytes(MAX_TEXT))?,
            results: saved.list(MAX_RESULTS, ResultSet::restore)?,
        })
    }
}

impl ResultSet {
    fn save(&self, out: &mut Vec<u8>) {
        for bytes in [&self.columns[..], &self.rows, &self.ok, &self.text] {
            put_bytes(out, bytes);
        }
        for number in [self.column_count, self.kept, self.count] {
            out.put_u64(number);
        }
        out.put_u16(self.status);
        for flag in [self.cut, self.binary, self.done] {
            out.put_u8(flag.into());
        }
    }

    fn restore(saved: &mut Saved<'_>) -> Option<ResultSet> {
        Some(ResultSet {
            columns: saved.bytes(2 * MAX_COLUMN_BYTES)?.into(),
            rows: saved.bytes(2 * MAX_ROW_BYTES)?.into(),
            ok: saved.bytes(MAX_TEXT)?,
            text: saved.bytes(MAX_TEXT)?,
            column_count: saved.u64()?,
            kept: saved.u64()?,
            count: saved.u64()?,
            status: saved.u16()?,
            cut: saved.flag()?,
            binary: saved.flag()?,
            done: saved.flag()?,
        })
    }
}
