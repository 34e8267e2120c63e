//! What the server sends: the handshake, answers, results.
//!
//! In: whole payloads of the server. Out: answers of the exchanges in `open`, finished ones handed
//! out. Never: a guess about rows whose command was not seen; they are counted only.

use bytes::Bytes;

use super::client::com;
use super::dissector::{MAX_KEPT, Mysql};
use super::exchange::{Await, Command, Exchange, named};
use super::parser::{self, CURSOR_EXISTS, MAX_PAYLOAD, MORE_RESULTS_EXISTS};
use super::statements::{Statement, Statements};
use crate::bytes::Reader;
use crate::dissect::Output;
use crate::dissect::intake::Message;

/// Columns of one result at most (4096 in a table, more in a join).
const MAX_COLUMNS: u64 = 65_535;

const OK: u8 = 0x00;
const LOCAL_INFILE: u8 = 0xfb;
const EOF: u8 = 0xfe;
const ERR: u8 = 0xff;

/// What both sides agreed on, as far as it changes how answers are read.
#[derive(Debug, Clone, Copy)]
struct Agreed {
    /// No EOF packets between parts of a result; `None` when unknown.
    deprecate_eof: Option<bool>,
    /// A flag says whether column definitions follow (MySQL).
    optional_metadata: bool,
}

/// The payload of one packet with what is needed to read it.
#[derive(Clone, Copy)]
struct Packet<'a> {
    payload: &'a [u8],
    first: u8,
    /// Length of the payload as sent.
    size: u64,
    is_cut: bool,
}

impl Packet<'_> {
    /// A report of progress, which MariaDB dresses as an error.
    fn is_progress(&self) -> bool {
        self.payload.starts_with(&[ERR, 0xff, 0xff])
    }

    fn is_eof(&self) -> bool {
        self.first == EOF && self.size <= 5
    }

    /// EOF, or the OK packet that stands for it. A row may begin with the same byte, but then its
    /// first value has 16 MB or more.
    fn ends_rows(&self) -> bool {
        self.first == EOF && self.size < MAX_PAYLOAD as u64
    }
}

impl Mysql {
    /// Takes one payload of the server.
    pub(super) fn on_response(&mut self, message: &Message, out: &mut dyn Output) {
        let payload = parser::payload(&message.bytes);
        let packet = Packet {
            payload,
            first: payload.first().copied().unwrap_or_default(),
            size: message.size.saturating_sub(parser::HEADER as u64),
            is_cut: message.is_cut(),
        };
        if self.greeting && self.open.is_empty() {
            return self.greet(message, packet, out);
        }
        if std::mem::take(&mut self.maybe_eof) && packet.is_eof() {
            return;
        }
        let waits = self
            .open
            .iter()
            .position(|one| one.awaits != Await::Nothing);
        let agreed = Agreed {
            deprecate_eof: self.deprecate_eof,
            optional_metadata: self.optional_metadata,
        };
        match waits.and_then(|at| self.open.get_mut(at)) {
            Some(exchange) => {
                if exchange.answer.first.is_none() {
                    exchange.doubtful = false;
                }
                exchange.touch(message);
                exchange.take(packet, agreed, &self.statements);
            }
            None => return self.unseen(message, packet, agreed, out),
        }
        self.finish(out);
    }

    /// The server's first packet.
    fn greet(&mut self, message: &Message, packet: Packet<'_>, out: &mut dyn Output) {
        if let Some(found) = parser::handshake(packet.payload) {
            self.login.server_version = Bytes::copy_from_slice(found.server_version);
            self.login.thread_id = found.thread_id;
            self.login.server_capabilities = found.capabilities;
            self.login.server_plugin = Bytes::copy_from_slice(found.auth_plugin);
        } else if packet.first == ERR {
            // The server sends the client away before it has said anything.
            let mut exchange = Exchange::unseen(message);
            exchange.login = Some(self.login.clone());
            exchange.touch(message);
            exchange.fail(packet.payload);
            self.emit(exchange, out);
        }
    }

    /// A packet to which there is no request.
    fn unseen(
        &mut self,
        message: &Message,
        packet: Packet<'_>,
        agreed: Agreed,
        out: &mut dyn Output,
    ) {
        if self.unseen.is_none() && parser::sequence(&message.bytes) != 1 {
            // The rest of an answer whose beginning was not seen.
            return;
        }
        let mut exchange = match self.unseen.take() {
            Some(exchange) => exchange,
            None => Box::new(Exchange::unseen(message)),
        };
        exchange.touch(message);
        exchange.take(packet, agreed, &self.statements);
        if exchange.awaits == Await::Nothing {
            self.emit(*exchange, out);
        } else {
            self.unseen = Some(exchange);
        }
    }

    /// Takes over what finished exchanges changed, and hands them out.
    fn finish(&mut self, out: &mut dyn Output) {
        let done = |one: &&mut Exchange| one.awaits == Await::Nothing;
        let Some(exchange) = self.open.front_mut().filter(done) else {
            return;
        };
        let failed = !exchange.answer.error.is_empty();
        match exchange.command {
            _ if failed => {}
            Command::Login => {
                self.greeting = false;
                self.compressed = self.compresses;
            }
            Command::Code(com::INIT_DB) => self.database = named(&exchange.text),
            Command::Code(com::CHANGE_USER) => {
                self.user = exchange.user.clone();
                self.database = exchange.database.clone();
                self.statements = Statements::default();
            }
            Command::Code(com::RESET_CONNECTION) => self.statements = Statements::default(),
            Command::Code(com::STMT_PREPARE) => {
                if let Some((id, columns, parameters)) = exchange.answer.prepared {
                    self.statements.put(Statement {
                        id,
                        query: exchange.text.clone(),
                        cut: exchange.cut,
                        parameters,
                        columns: Bytes::copy_from_slice(&exchange.result().columns),
                        column_count: columns,
                        ..Statement::default()
                    });
                    self.maybe_eof =
                        self.deprecate_eof.is_none() && (columns, parameters) != (0, 0);
                }
            }
            _ => {}
        }
        if let Some(schema) = exchange.schema() {
            self.database = schema;
        }
        self.settle(out);
    }
}

impl Exchange {
    /// Takes one packet of the answer.
    fn take(&mut self, packet: Packet<'_>, agreed: Agreed, statements: &Statements) {
        if packet.is_progress() {
            return;
        }
        match self.awaits {
            Await::Login => self.take_login(packet),
            Await::First => self.take_first(packet, agreed, statements),
            Await::Columns(left) => {
                self.column(packet.payload);
                self.awaits = match left {
                    0 | 1 => Await::ColumnsEnd,
                    _ => Await::Columns(left - 1),
                };
            }
            Await::ColumnsEnd if packet.is_eof() => {
                let status = parser::eof_status(packet.payload);
                match status & CURSOR_EXISTS {
                    0 => self.awaits = Await::Rows,
                    _ => self.end_result(&[], status),
                }
            }
            Await::ColumnsEnd | Await::Rows => self.take_row(packet),
            Await::Prepared(parameters, columns) => {
                self.take_definition(packet, agreed, parameters, columns);
            }
            Await::Fields => self.take_field(packet),
            Await::Events => self.take_event(packet),
            // The server breaks off, or the file was not sent to its end.
            Await::File => match packet.first {
                ERR => self.fail(packet.payload),
                _ => self.take_end(packet),
            },
            Await::Nothing => {}
        }
    }

    fn take_login(&mut self, packet: Packet<'_>) {
        match packet.first {
            OK | ERR => self.take_end(packet),
            EOF => {
                let mut reader = Reader::new(packet.payload);
                let name = reader.skip(1).and_then(|()| parser::text(&mut reader));
                // Nothing but the first byte means the method of old.
                self.plugin(name.unwrap_or(b"mysql_old_password"));
            }
            // More data of the method in use.
            _ => {}
        }
    }

    fn take_first(&mut self, packet: Packet<'_>, agreed: Agreed, statements: &Statements) {
        match (self.command, packet.first) {
            (_, ERR) => self.fail(packet.payload),
            (Command::Code(com::STATISTICS), _) => {
                self.result().text = Bytes::copy_from_slice(packet.payload);
                self.awaits = Await::Nothing;
            }
            (Command::Code(com::FIELD_LIST), _) => {
                self.awaits = Await::Fields;
                self.take_field(packet);
            }
            (Command::Code(com::STMT_PREPARE), OK) => self.take_prepared(packet, agreed),
            (Command::Code(com::STMT_FETCH), _) => {
                self.take_known_columns(statements);
                self.take_row(packet);
            }
            (Command::Code(com::BINLOG_DUMP | com::BINLOG_DUMP_GTID), _) => {
                self.awaits = Await::Events;
                self.take_event(packet);
            }
            (Command::Code(com::QUERY), LOCAL_INFILE) if packet.size > 1 => {
                let name = packet.payload.get(1..).unwrap_or_default();
                self.answer.file = Bytes::copy_from_slice(name);
                self.awaits = Await::File;
            }
            (command, first) if first != OK && first != EOF && has_results(command) => {
                self.take_count(packet, agreed, statements);
            }
            (command, OK)
                if agreed.optional_metadata && has_results(command) && packet.size < 7 =>
            {
                self.take_count(packet, agreed, statements);
            }
            _ => self.take_end(packet),
        }
    }

    /// The count of columns, with which a result begins.
    fn take_count(&mut self, packet: Packet<'_>, agreed: Agreed, statements: &Statements) {
        let mut reader = Reader::new(packet.payload);
        let mut follows = true;
        if agreed.optional_metadata {
            follows = reader.u8() == Ok(1);
        }
        let count = parser::lenenc_int(&mut reader).unwrap_or_default();
        if reader.left() == 1 {
            // MariaDB says behind it whether definitions follow (MARIADB_CLIENT_CACHE_METADATA).
            follows = reader.u8() == Ok(1);
        }
        if !reader.is_empty() || count == 0 || count > MAX_COLUMNS {
            self.holed = true;
            self.awaits = Await::Nothing;
            return;
        }
        let binary = matches!(
            self.command,
            Command::Code(com::STMT_EXECUTE | com::STMT_BULK_EXECUTE)
        );
        if follows {
            self.awaits = Await::Columns(count);
        } else {
            self.take_known_columns(statements);
            self.awaits = Await::ColumnsEnd;
        }
        let result = self.result();
        result.column_count = count;
        result.binary = binary;
    }

    /// Rows of a statement whose columns its COM_STMT_PREPARE told.
    fn take_known_columns(&mut self, statements: &Statements) {
        let known = self.statement_id.and_then(|id| statements.find(id));
        let result = self.result();
        result.binary = true;
        if let Some(statement) = known {
            result.columns = statement.columns.to_vec();
            result.column_count = statement.column_count.into();
        }
        self.awaits = Await::Rows;
    }

    fn take_row(&mut self, packet: Packet<'_>) {
        if packet.first == ERR {
            self.fail(packet.payload);
        } else if packet.ends_rows() {
            self.take_end(packet);
        } else {
            self.awaits = Await::Rows;
            match self.command {
                // Nobody knows whether they are in text or binary.
                Command::Unseen => self.result().count += 1,
                _ => self.row(packet.payload, packet.is_cut),
            }
        }
    }

    fn take_prepared(&mut self, packet: Packet<'_>, agreed: Agreed) {
        let Some(found) = parser::prepared(packet.payload) else {
            self.holed = true;
            self.awaits = Await::Nothing;
            return;
        };
        self.answer.prepared = Some((found.statement_id, found.columns, found.parameters));
        self.result().column_count = found.columns.into();
        let no_metadata = agreed.optional_metadata && packet.payload.get(12) == Some(&0);
        self.awaits = match (found.parameters, found.columns) {
            (0, 0) => Await::Nothing,
            _ if no_metadata => Await::Nothing,
            (parameters, columns) => Await::Prepared(parameters, columns),
        };
    }

    fn take_definition(
        &mut self,
        packet: Packet<'_>,
        agreed: Agreed,
        mut parameters: u16,
        mut columns: u16,
    ) {
        if packet.is_eof() {
            if (parameters, columns) == (0, 0) {
                self.awaits = Await::Nothing;
            }
            return;
        }
        if packet.first == ERR {
            return self.fail(packet.payload);
        }
        if parameters > 0 {
            parameters -= 1;
        } else {
            self.column(packet.payload);
            columns = columns.saturating_sub(1);
        }
        self.awaits = match (parameters, columns, agreed.deprecate_eof) {
            (0, 0, Some(true) | None) => Await::Nothing,
            _ => Await::Prepared(parameters, columns),
        };
    }

    fn take_field(&mut self, packet: Packet<'_>) {
        match packet.first {
            ERR => self.fail(packet.payload),
            EOF => self.take_end(packet),
            _ => {
                self.column(packet.payload);
                self.result().column_count += 1;
            }
        }
    }

    fn take_event(&mut self, packet: Packet<'_>) {
        match packet.first {
            ERR => self.fail(packet.payload),
            EOF => self.take_end(packet),
            _ => {
                self.answer.events += 1;
                self.answer.event_bytes += packet.size.saturating_sub(1);
            }
        }
    }

    /// OK, EOF or ERR.
    fn take_end(&mut self, packet: Packet<'_>) {
        if packet.first == ERR {
            self.fail(packet.payload);
        } else if packet.is_eof() {
            self.end_result(&[], parser::eof_status(packet.payload));
        } else {
            let status = parser::ok(packet.payload, self.tracks).map_or(0, |ok| ok.status);
            self.end_result(packet.payload, status);
        }
    }

    fn end_result(&mut self, ok: &[u8], status: u16) {
        let result = self.result();
        result.ok = Bytes::copy_from_slice(ok.get(..MAX_KEPT).unwrap_or(ok));
        result.status = status;
        result.done = true;
        self.awaits = match status & MORE_RESULTS_EXISTS {
            0 => Await::Nothing,
            _ => Await::First,
        };
    }

    fn fail(&mut self, payload: &[u8]) {
        self.answer.error = Bytes::copy_from_slice(payload.get(..MAX_KEPT).unwrap_or(payload));
        if let Some(result) = self.answer.results.last_mut() {
            result.done = true;
        }
        self.awaits = Await::Nothing;
    }

    /// The schema that the answer says the session went over to.
    fn schema(&self) -> Option<Bytes> {
        let mut results = self.answer.results.iter().rev();
        results.find_map(|result| {
            let schema = parser::ok(&result.ok, self.tracks)?.schema?;
            Some(named(schema))
        })
    }
}

/// Whether a command is answered by results, or by OK.
fn has_results(command: Command) -> bool {
    matches!(
        command,
        Command::Unseen
            | Command::Code(
                com::QUERY | com::PROCESS_INFO | com::STMT_EXECUTE | com::STMT_BULK_EXECUTE
            )
    )
}
