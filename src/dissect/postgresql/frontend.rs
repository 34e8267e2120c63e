//! What the client sends: requests, and the messages that join them.
//!
//! In: messages of the client. Out: exchanges in `open`, waiting for their answers. A statement of
//! the extended query protocol is one exchange: Parse, Bind, Describe and Execute join as long as
//! they speak of the same statement or portal and no Sync or Flush stands between them. Never: the
//! content of a password message, but for the name of the SASL mechanism.

use bytes::Bytes;

use super::answer::kept;
use super::catalog::Entry;
use super::dissector::Postgres;
use super::exchange::{Command, Exchange, Step, named};
use super::parser::{self, CANCEL_REQUEST, GSSENC_REQUEST, HEADER, SSL_REQUEST, STARTUP_HEADER};
use crate::bytes::Reader;
use crate::dissect::Output;
use crate::dissect::intake::Message;

/// Code of AuthenticationSASL.
const SASL: u8 = 10;

impl Postgres {
    /// Takes one message of the client.
    pub(super) fn on_request(&mut self, message: &Message, out: &mut dyn Output) {
        if self.starting {
            return self.start(message, out);
        }
        let body = parser::body(&message.bytes);
        match message.bytes.first().copied().unwrap_or_default() {
            b'Q' => self.query(message, body, out),
            b'P' => self.parse(message, body, out),
            b'B' => self.bind(message, body, out),
            b'D' => self.describe(message, body, out),
            b'E' => self.execute(message, body, out),
            b'C' => self.close(message, body, out),
            b'S' => self.sync(message, out),
            b'H' => {
                if let Some(last) = self.open.back_mut() {
                    last.closed = true;
                    last.request_size += message.size;
                }
                self.settle(out);
            }
            b'F' => {
                let mut exchange = Exchange::new(Command::FunctionCall, message);
                exchange.number = Reader::new(body).u32().unwrap_or_default();
                self.ask_whole(exchange, out);
            }
            b'p' => self.password(message, body),
            b'd' => self.copy_data(message),
            b'c' => {
                self.copying = false;
                if let Some(exchange) = self.open.front_mut() {
                    exchange.request_size += message.size;
                }
            }
            b'f' => self.copy_fail(message, body),
            b'X' => {
                let exchange = Exchange::new(Command::Terminate, message);
                self.ask(closed(exchange), out);
                self.settle(out);
            }
            _ => {}
        }
    }

    /// A message that opens the connection.
    fn start(&mut self, message: &Message, out: &mut dyn Output) {
        let mut reader = Reader::new(&message.bytes);
        let code = reader.skip(4).and_then(|()| reader.u32());
        let command = match code.unwrap_or_default() {
            CANCEL_REQUEST => Command::CancelRequest,
            SSL_REQUEST => Command::SslRequest,
            GSSENC_REQUEST => Command::GssEncRequest,
            _ => Command::StartupMessage,
        };
        let mut exchange = Exchange::new(command, message);
        match command {
            Command::CancelRequest => {
                // The key that follows is as good as a password.
                exchange.number = reader.u32().unwrap_or_default();
                self.ask(closed(exchange), out);
                self.settle(out);
            }
            Command::SslRequest | Command::GssEncRequest => {
                exchange.steps.push_back(Step::Encryption);
                self.ask(closed(exchange), out);
            }
            _ => {
                self.starting = false;
                exchange.number = code.unwrap_or_default();
                exchange.body = kept(message.bytes.get(STARTUP_HEADER..).unwrap_or_default());
                self.login(&exchange.body);
                self.ask_whole(exchange, out);
            }
        }
    }

    /// Takes user and database from the parameters of a StartupMessage.
    fn login(&mut self, parameters: &[u8]) {
        for (key, value) in parser::pairs(parameters) {
            match key {
                b"user" => self.session.user = named(value),
                b"database" => self.session.database = named(value),
                _ => {}
            }
        }
        if self.session.database.is_empty() {
            // "The database to connect to. Defaults to the user name."
            self.session.database = self.session.user.clone();
        }
    }

    /// Puts a request behind the others that ReadyForQuery ends.
    fn ask_whole(&mut self, mut exchange: Exchange, out: &mut dyn Output) {
        exchange.steps.push_back(Step::Whole);
        self.ask(closed(exchange), out);
    }

    fn query(&mut self, message: &Message, body: &[u8], out: &mut dyn Output) {
        let mut exchange = Exchange::new(Command::Query, message);
        let text = body.strip_suffix(b"\0").unwrap_or(body);
        exchange.query = Bytes::copy_from_slice(text);
        exchange.query_known = true;
        exchange.cut = message.is_cut();
        self.ask_whole(exchange, out);
    }

    fn parse(&mut self, message: &Message, body: &[u8], out: &mut dyn Output) {
        let mut exchange = Exchange::new(Command::Parse, message);
        if let Ok(parse) = parser::parse(body) {
            self.catalog
                .prepare(parse.statement, parse.query, parse.cut);
            exchange.statement = named(parse.statement);
            if let Some(entry) = self.catalog.statement(parse.statement) {
                take_text(&mut exchange, entry);
            }
        }
        exchange.steps.push_back(Step::Parse);
        self.ask(exchange, out);
    }

    fn bind(&mut self, message: &Message, body: &[u8], out: &mut dyn Output) {
        let Ok((portal, statement)) = parser::bind_names(body) else {
            let mut exchange = Exchange::new(Command::Bind, message);
            exchange.steps.push_back(Step::Bind);
            return self.ask(exchange, out);
        };
        let formats = parser::bind_results(body).ok();
        let formats = formats.map(|formats| Bytes::copy_from_slice(formats.0));
        self.catalog.bind(portal, statement, formats.clone());
        let entry = self.catalog.portal(portal).cloned().unwrap_or_default();
        let joins = |last: &Exchange| {
            matches!(last.command, Command::Parse | Command::Describe)
                && last.statement == named(statement)
                && last.portal.is_empty()
        };
        let cut = message.is_cut();
        self.join(joins, Command::Bind, message, out, |exchange| {
            take_text(exchange, &entry);
            exchange.statement = named(statement);
            exchange.portal = named(portal);
            exchange.body = kept(body);
            exchange.cut |= cut || exchange.body.len() < body.len();
            exchange.formats = formats;
            exchange.steps.push_back(Step::Bind);
        });
    }

    fn describe(&mut self, message: &Message, body: &[u8], out: &mut dyn Output) {
        let mut reader = Reader::new(body);
        let of_statement = reader.u8() == Ok(b'S');
        let name = parser::text(&mut reader).unwrap_or_default();
        let entry = match of_statement {
            true => self.catalog.statement(name),
            false => self.catalog.portal(name),
        };
        let entry = entry.cloned().unwrap_or_default();
        let joins = |last: &Exchange| match last.command {
            Command::Parse => of_statement && last.statement == named(name),
            Command::Bind => !of_statement && last.portal == named(name),
            _ => false,
        };
        // What it joins keeps its name.
        let command = match self.open.back() {
            Some(last) if last.is_open() && joins(last) => last.command,
            _ => Command::Describe,
        };
        self.join(joins, command, message, out, |exchange| {
            if exchange.command == Command::Describe {
                take_text(exchange, &entry);
                match of_statement {
                    true => exchange.statement = named(name),
                    false => exchange.portal = named(name),
                }
            }
            exchange.steps.push_back(match of_statement {
                true => Step::DescribeStatement,
                false => Step::DescribePortal,
            });
        });
    }

    fn execute(&mut self, message: &Message, body: &[u8], out: &mut dyn Output) {
        let mut reader = Reader::new(body);
        let portal = parser::text(&mut reader).unwrap_or_default();
        let rows = reader.u32().unwrap_or_default();
        let entry = self.catalog.portal(portal).cloned().unwrap_or_default();
        let joins = |last: &Exchange| last.command == Command::Bind && last.portal == named(portal);
        self.join(joins, Command::Execute, message, out, |exchange| {
            take_text(exchange, &entry);
            exchange.statement = named(&entry.statement);
            exchange.portal = named(portal);
            exchange.formats = entry.formats.clone();
            exchange.columns = entry.columns.clone();
            exchange.number = rows;
            exchange.steps.push_back(Step::Execute);
        });
    }

    fn close(&mut self, message: &Message, body: &[u8], out: &mut dyn Output) {
        let mut exchange = Exchange::new(Command::Close, message);
        let mut reader = Reader::new(body);
        let of_statement = reader.u8() == Ok(b'S');
        let name = parser::text(&mut reader).unwrap_or_default();
        if of_statement {
            if let Some(entry) = self.catalog.statement(name) {
                take_text(&mut exchange, entry);
            }
            exchange.statement = named(name);
            self.catalog.close_statement(name);
        } else {
            exchange.portal = named(name);
            self.catalog.close_portal(name);
        }
        exchange.steps.push_back(Step::Close);
        self.ask(exchange, out);
    }

    /// Lets a message join the last request when `joins` says so, else begins one with it.
    fn join(
        &mut self,
        joins: impl FnOnce(&Exchange) -> bool,
        command: Command,
        message: &Message,
        out: &mut dyn Output,
        fill: impl FnOnce(&mut Exchange),
    ) {
        match self.open.back_mut() {
            Some(last) if last.is_open() && joins(last) => {
                let before = last.weight();
                last.join(command, message);
                fill(last);
                let after = last.weight();
                self.grow(before, after);
            }
            _ => {
                let mut exchange = Exchange::new(command, message);
                fill(&mut exchange);
                self.ask(exchange, out);
            }
        }
    }

    /// Sync ends the last request, or stands alone when that has ended.
    fn sync(&mut self, message: &Message, out: &mut dyn Output) {
        if self.copying {
            // "the backend ... will ignore Flush and Sync messages received during copy-in mode"
            return;
        }
        if std::mem::take(&mut self.expired_sync) {
            return;
        }
        match self.open.back_mut() {
            Some(last) if !last.closed && last.command.is_extended() => {
                last.join(last.command, message);
                last.steps.push_back(Step::Sync);
                last.closed = true;
            }
            _ => {
                let mut exchange = Exchange::new(Command::Sync, message);
                exchange.steps.push_back(Step::Sync);
                self.ask(closed(exchange), out);
            }
        }
    }

    fn password(&mut self, message: &Message, body: &[u8]) {
        let Some(first) = self.open.front_mut() else {
            return;
        };
        if first.command != Command::StartupMessage {
            return;
        }
        first.request_size += message.size;
        first.password_sent = true;
        // The first answer to AuthenticationSASL begins with the mechanism's name.
        if first.answer.authentication.last() == Some(&SASL) && first.mechanism.is_empty() {
            let name = parser::text(&mut Reader::new(body)).unwrap_or_default();
            if first
                .answer
                .mechanisms
                .split(|byte| *byte == 0)
                .any(|one| one == name)
            {
                first.mechanism = named(name);
            }
        }
    }

    fn copy_data(&mut self, message: &Message) {
        if let Some(exchange) = self.open.front_mut() {
            exchange.request_size += message.size;
            exchange.holed |= message.holed;
            if let Some(copy) = exchange.copy_mut() {
                copy.bytes += message.size.saturating_sub(HEADER as u64);
                copy.messages += 1;
            }
        }
    }

    fn copy_fail(&mut self, message: &Message, body: &[u8]) {
        self.copying = false;
        if let Some(exchange) = self.open.front_mut() {
            exchange.request_size += message.size;
            if let Some(copy) = exchange.copy_mut() {
                copy.failed = kept(body.strip_suffix(b"\0").unwrap_or(body));
            }
        }
    }
}

fn closed(exchange: Exchange) -> Exchange {
    Exchange {
        closed: true,
        ..exchange
    }
}

fn take_text(exchange: &mut Exchange, entry: &Entry) {
    if entry.query_known {
        exchange.query = entry.query.clone();
        exchange.query_known = true;
        exchange.cut |= entry.cut;
    }
}
