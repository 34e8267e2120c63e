//! What the client sends: the login, commands, and what goes on with them.
//!
//! In: whole payloads of the client. Out: exchanges in `open`, waiting for their answers. Never: the
//! content of an authentication packet.

use bytes::Bytes;

use super::dissector::{MAX_KEPT, Mysql};
use super::exchange::{Await, Command, Exchange, named};
use super::parser;
use super::statements::{query_text, statement_id};
use crate::dissect::Output;
use crate::dissect::intake::Message;

/// Commands that are read in their own way.
pub(super) mod com {
    pub const QUIT: u8 = 0x01;
    pub const INIT_DB: u8 = 0x02;
    pub const QUERY: u8 = 0x03;
    pub const FIELD_LIST: u8 = 0x04;
    pub const CREATE_DB: u8 = 0x05;
    pub const DROP_DB: u8 = 0x06;
    pub const STATISTICS: u8 = 0x09;
    pub const PROCESS_INFO: u8 = 0x0a;
    pub const CHANGE_USER: u8 = 0x11;
    pub const BINLOG_DUMP: u8 = 0x12;
    pub const STMT_PREPARE: u8 = 0x16;
    pub const STMT_EXECUTE: u8 = 0x17;
    pub const STMT_SEND_LONG_DATA: u8 = 0x18;
    pub const STMT_CLOSE: u8 = 0x19;
    pub const STMT_RESET: u8 = 0x1a;
    pub const STMT_FETCH: u8 = 0x1c;
    pub const BINLOG_DUMP_GTID: u8 = 0x1e;
    pub const RESET_CONNECTION: u8 = 0x1f;
    pub const STMT_BULK_EXECUTE: u8 = 0xfa;
}

/// Number that stands for the statement prepared last (MariaDB).
const LAST_STATEMENT: u32 = u32::MAX;

impl Mysql {
    /// Takes one payload of the client.
    pub(super) fn on_request(&mut self, message: &Message, out: &mut dyn Output) {
        let payload = parser::payload(&message.bytes);
        let first = parser::sequence(&message.bytes) == 0;
        if let Some(front) = self.open.front_mut() {
            match front.awaits {
                Await::Login if !first => {
                    front.request_size += message.size;
                    if let Some(login) = &mut front.login {
                        login.auth_sent = true;
                    }
                    return;
                }
                Await::File if !first => {
                    front.request_size += message.size;
                    front.holed |= message.holed;
                    let size = message.size.saturating_sub(parser::HEADER as u64);
                    front.answer.file_bytes += size;
                    if size == 0 {
                        front.awaits = Await::First;
                    }
                    return;
                }
                _ => {}
            }
        }
        if first {
            self.command(message, payload, out);
        } else if self.greeting {
            self.login(message, payload, out);
        }
    }

    /// The client's first packet.
    fn login(&mut self, message: &Message, payload: &[u8], out: &mut dyn Output) {
        if parser::is_ssl_request(payload) {
            let mut exchange = Exchange::new(Command::SslRequest, message);
            exchange.awaits = Await::Nothing;
            self.encrypted = true;
            return self.ask(exchange, out);
        }
        let mut exchange = Exchange::new(Command::Login, message);
        exchange.awaits = Await::Login;
        let mut login = self.login.clone();
        if let Some(found) = parser::login(payload) {
            login.capabilities = found.capabilities;
            login.character_set = found.character_set;
            login.auth_sent = found.auth_sent;
            login.auth_plugin = Bytes::copy_from_slice(found.auth_plugin);
            login.attributes = Bytes::copy_from_slice(found.attributes);
            self.user = named(found.user);
            self.database = named(found.database);
            self.agree(found.capabilities);
        }
        exchange.login = Some(login);
        self.ask(exchange, out);
    }

    fn command(&mut self, message: &Message, payload: &[u8], out: &mut dyn Output) {
        self.greeting = false;
        let Some((code, body)) = payload.split_first() else {
            return;
        };
        let mut exchange = Exchange::new(Command::Code(*code), message);
        exchange.cut = message.is_cut();
        match *code {
            com::QUERY => {
                if let Some(text) = query_text(body, self.query_attributes) {
                    set_text(&mut exchange, text);
                }
            }
            com::STMT_PREPARE | com::INIT_DB | com::CREATE_DB | com::DROP_DB => {
                set_text(&mut exchange, body);
            }
            com::FIELD_LIST => {
                let table = body.split(|byte| *byte == 0).next();
                set_text(&mut exchange, table.unwrap_or_default());
            }
            com::CHANGE_USER => {
                exchange.awaits = Await::Login;
                exchange.cut = false;
                self.change_user(&mut exchange, body);
            }
            com::BINLOG_DUMP | com::BINLOG_DUMP_GTID => exchange.cut = false,
            com::STMT_EXECUTE
            | com::STMT_BULK_EXECUTE
            | com::STMT_FETCH
            | com::STMT_RESET
            | com::STMT_CLOSE
            | com::STMT_SEND_LONG_DATA => self.statement(&mut exchange, *code, body),
            _ => {}
        }
        if matches!(
            *code,
            com::QUIT | com::STMT_CLOSE | com::STMT_SEND_LONG_DATA
        ) {
            exchange.awaits = Await::Nothing;
        }
        self.ask(exchange, out);
    }

    fn change_user(&mut self, exchange: &mut Exchange, body: &[u8]) {
        if let Some((user, database)) = parser::change_user(body) {
            exchange.user = named(user);
            exchange.database = named(database);
        }
    }

    /// A command about a prepared statement.
    fn statement(&mut self, exchange: &mut Exchange, code: u8, body: &[u8]) {
        let Some(mut id) = statement_id(body) else {
            return;
        };
        if id == LAST_STATEMENT {
            // Sent together with its COM_STMT_PREPARE, before that had an answer.
            let waits = self.open.iter().rev().find(|one| one.is(com::STMT_PREPARE));
            if let Some(prepare) = waits {
                exchange.text = prepare.text.clone();
                exchange.text_known = prepare.text_known;
                exchange.cut |= prepare.cut;
                return;
            }
            id = self.statements.last().unwrap_or(id);
        }
        exchange.statement_id = Some(id);
        if let Some(statement) = self.statements.find(id) {
            exchange.text = statement.query.clone();
            exchange.text_known = true;
            exchange.cut |= statement.cut;
        }
        match code {
            com::STMT_EXECUTE => {
                let found = self.statements.parameters(id, body, self.query_attributes);
                exchange.parameters = found.unwrap_or_default();
            }
            com::STMT_RESET => self.statements.reset(id),
            com::STMT_CLOSE => self.statements.forget(id),
            com::STMT_SEND_LONG_DATA => {
                if let Some([low, high]) = body.get(4..6) {
                    let parameter = u16::from_le_bytes([*low, *high]);
                    self.statements.send_apart(id, parameter);
                }
                exchange.cut = false;
            }
            _ => {}
        }
    }
}

fn set_text(exchange: &mut Exchange, text: &[u8]) {
    exchange.text = Bytes::copy_from_slice(text.get(..MAX_KEPT).unwrap_or(text));
    exchange.text_known = true;
}
