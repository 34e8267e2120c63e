//! An exchange as the values of an item.
//!
//! In: an [`Exchange`]. Out: `request` and `response` in the shape that `mod.rs` draws. Lists are
//! made when somebody reads them. Never: passwords and proofs of them, which no exchange keeps.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::binary::{self, Type};
use super::exchange::{Await, Command, Exchange, Login, ResultSet};
use super::parser::{self, CAPABILITIES, STATUS};
use crate::bytes::Reader;
use crate::item::{Key, Value};

/// Members of an object in their order.
struct Members(Vec<(Key, Value)>);

impl Members {
    fn put(&mut self, name: &'static str, value: Value) {
        self.0.push((Key::Static(name), value));
    }

    /// Text, left out when empty.
    fn text(&mut self, name: &'static str, text: &Bytes) {
        if !text.is_empty() {
            self.put(name, Value::Text(text.clone()));
        }
    }

    fn flag(&mut self, name: &'static str, is_set: bool) {
        if is_set {
            self.put(name, Value::Bool(true));
        }
    }

    /// A list that is left out when it is empty, and made from its bytes when somebody reads it.
    fn lazy(&mut self, name: &'static str, from: Bytes, make: fn(&Bytes) -> Value) {
        if !from.is_empty() {
            self.put(name, Value::lazy(from, make));
        }
    }
}

fn int(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// `part` of `whole` without a copy.
fn slice(whole: &Bytes, part: &[u8]) -> Bytes {
    match part.is_empty() {
        true => Bytes::new(),
        false => whole.slice_ref(part),
    }
}

/// The name of a command.
fn name(command: Command) -> Value {
    match command {
        Command::Code(code) => match parser::command_name(code) {
            Some(name) => Value::Static(name),
            None => Value::text(format!("command {code}")),
        },
        Command::Login => Value::Static("HandshakeResponse"),
        Command::SslRequest => Value::Static("SSLRequest"),
        Command::Unseen => Value::Null,
    }
}

/// The member `request` of an item.
pub(super) fn request(exchange: &Exchange) -> Value {
    let mut members = Members(Vec::with_capacity(8));
    members.put("command", name(exchange.command));
    if exchange.text_known {
        members.put("query", Value::Text(exchange.text.clone()));
    }
    if let Some(id) = exchange.statement_id {
        members.put("statementId", int(id.into()));
    }
    members.lazy("parameters", exchange.parameters.clone(), parameters);
    if let Some(login) = &exchange.login {
        put_login(&mut members, login);
    }
    members.text("user", &exchange.user);
    members.text("database", &exchange.database);
    members.flag("truncated", exchange.cut);
    Value::Object(members.0)
}

fn put_login(members: &mut Members, login: &Login) {
    members.put("characterSet", int(login.character_set.into()));
    let flags = Bytes::copy_from_slice(&login.capabilities.to_be_bytes());
    members.lazy("capabilities", flags, capabilities);
    members.text("authPlugin", &login.auth_plugin);
    members.flag("authSent", login.auth_sent);
    members.lazy("attributes", login.attributes.clone(), attributes);
}

/// The member `response` of an item.
pub(super) fn response(exchange: &Exchange) -> Value {
    let answer = &exchange.answer;
    let mut members = Members(Vec::with_capacity(8));
    let error = parser::err(&answer.error);
    let (status, success) = match (error, exchange.awaits) {
        (Some(error), _) => (Value::text(error.code.to_string()), false),
        (None, Await::Nothing | Await::Events) => (Value::Static("ok"), true),
        (None, _) => (Value::Static("incomplete"), false),
    };
    members.put("status", status);
    members.put("success", Value::Bool(success));
    if let Some(error) = error {
        members.put("errorCode", int(error.code.into()));
        members.text("sqlState", &slice(&answer.error, error.sql_state));
        members.put(
            "errorMessage",
            Value::Text(slice(&answer.error, error.message)),
        );
    }
    if let Some(login) = &exchange.login {
        members.text("serverVersion", &login.server_version);
        members.put("threadId", int(login.thread_id.into()));
        let flags = Bytes::copy_from_slice(&login.server_capabilities.to_be_bytes());
        members.lazy("serverCapabilities", flags, capabilities);
        members.text("serverAuthPlugin", &login.server_plugin);
    }
    if !answer.plugins.is_empty() {
        let names = answer.plugins.iter().cloned().map(Value::Text);
        members.put("authSwitch", Value::List(names.collect()));
    }
    if let Some((id, columns, parameters)) = answer.prepared {
        members.put("statementId", int(id.into()));
        members.put("columnCount", int(columns.into()));
        members.put("parameterCount", int(parameters.into()));
    }
    // Rows are what people look for: a procedure ends with a result that has none.
    let last = answer.results.last();
    let with_rows = answer.results.iter().rev().find(|one| one.column_count > 0);
    if let Some(result) = with_rows.or(last) {
        put_result(&mut members, result, exchange);
    }
    if answer.results.len() > 1 {
        let results = answer.results.iter().map(|result| {
            let mut members = Members(Vec::with_capacity(4));
            put_result(&mut members, result, exchange);
            Value::Object(members.0)
        });
        members.put("results", Value::List(results.collect()));
        members.flag("moreResults", answer.more_results);
    }
    if !answer.file.is_empty() {
        members.text("localInfile", &answer.file);
        members.put("localInfileBytes", int(answer.file_bytes));
    }
    if exchange.awaits == Await::Events || answer.events > 0 {
        members.put("events", int(answer.events));
        members.put("eventBytes", int(answer.event_bytes));
    }
    Value::Object(members.0)
}

fn put_result(members: &mut Members, result: &ResultSet, exchange: &Exchange) {
    if result.column_count > 0 {
        let defined = Bytes::copy_from_slice(&result.columns);
        members.lazy("columns", defined, columns);
        if !matches!(exchange.command, Command::Code(0x16 | 0x04)) {
            members.put("rowCount", int(result.count));
            members.put("rows", Value::lazy(rows_of(result), rows));
        }
    }
    let is_ok = result.ok.first() == Some(&0);
    if let Some(ok) = parser::ok(&result.ok, exchange.tracks) {
        if is_ok {
            members.put("affectedRows", int(ok.affected_rows));
            members.put("lastInsertId", int(ok.last_insert_id));
        }
        members.put("warnings", int(ok.warnings.into()));
        members.text("info", &slice(&result.ok, ok.info));
    }
    members.text("text", &result.text);
    if result.status != 0 {
        let flags = Bytes::copy_from_slice(&result.status.to_be_bytes());
        members.lazy("serverStatus", flags, status_flags);
    }
    members.flag("truncated", result.cut || result.kept < result.count);
}

fn named(flags: u32, names: &[&'static str]) -> Value {
    let set = names.iter().enumerate().filter(|(bit, name)| {
        let mask = u32::try_from(*bit)
            .ok()
            .and_then(|bit| 1u32.checked_shl(bit));
        mask.is_some_and(|mask| flags & mask != 0) && !name.is_empty()
    });
    Value::List(set.map(|(_, name)| Value::Static(name)).collect())
}

fn capabilities(flags: &Bytes) -> Value {
    named(Reader::new(flags).u32().unwrap_or_default(), &CAPABILITIES)
}

fn status_flags(flags: &Bytes) -> Value {
    named(Reader::new(flags).u16().unwrap_or_default().into(), &STATUS)
}

fn attributes(bytes: &Bytes) -> Value {
    /// Attributes that are shown; clients send about ten.
    const MAX_ATTRIBUTES: usize = 128;
    let mut reader = Reader::new(bytes);
    let mut members: Vec<(Key, Value)> = Vec::new();
    while let (Ok(name), Ok(value)) = (parser::lenenc(&mut reader), parser::lenenc(&mut reader)) {
        let key = Key::Bytes(slice(bytes, name));
        if members.len() < MAX_ATTRIBUTES && members.iter().all(|(other, _)| *other != key) {
            members.push((key, Value::Text(slice(bytes, value))));
        }
    }
    Value::Object(members)
}

/// Bytes behind their length as `u32`.
fn counted<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = usize::try_from(reader.u32().ok()?).ok()?;
    reader.take(length).ok()
}

fn columns(definitions: &Bytes) -> Value {
    let mut reader = Reader::new(definitions);
    let mut names = Vec::new();
    while let Some(payload) = counted(&mut reader) {
        let name = parser::column(payload).map_or(&[][..], |column| column.name);
        names.push(Value::Text(slice(definitions, name)));
    }
    Value::List(names)
}

/// ```text
/// rows = binary u8, column definitions: length u32, payloads behind their length as u32;
///        row: length u32, payload
/// ```
fn rows_of(result: &ResultSet) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + result.columns.len() + result.rows.len());
    out.put_u8(result.binary.into());
    out.put_u32(u32::try_from(result.columns.len()).unwrap_or(u32::MAX));
    out.put_slice(&result.columns);
    out.put_slice(&result.rows);
    out.freeze()
}

fn rows(from: &Bytes) -> Value {
    let mut reader = Reader::new(from);
    let binary = reader.u8() == Ok(1);
    let mut definitions = Reader::new(counted(&mut reader).unwrap_or_default());
    let mut types = Vec::new();
    while let Some(payload) = counted(&mut definitions) {
        types.push(parser::column(payload).map(|column| Type::of_column(&column)));
    }
    let mut rows = Vec::new();
    while let Some(payload) = counted(&mut reader) {
        rows.push(Value::List(match binary {
            true => binary_row(from, payload, &types),
            false => text_row(from, payload, &types),
        }));
    }
    Value::List(rows)
}

fn text_row(from: &Bytes, payload: &[u8], types: &[Option<Type>]) -> Vec<Value> {
    let mut reader = Reader::new(payload);
    let mut values = Vec::new();
    while !reader.is_empty() {
        let Some(value) = parser::text_value(&mut reader) else {
            break;
        };
        let of = types.get(values.len()).copied().flatten();
        values.push(match (value, of) {
            (None, _) => Value::Null,
            (Some(text), Some(of)) => of.text(slice(from, text)),
            (Some(text), None) => Value::Text(slice(from, text)),
        });
    }
    values
}

/// A row of the binary protocol: 0, a bit for each NULL from the third on, values.
fn binary_row(from: &Bytes, payload: &[u8], types: &[Option<Type>]) -> Vec<Value> {
    let mut reader = Reader::new(payload);
    let nulls = reader
        .skip(1)
        .and_then(|()| reader.take((types.len() + 9) / 8));
    let nulls = nulls.unwrap_or_default();
    let mut values = Vec::new();
    for (index, of) in types.iter().enumerate() {
        let value = match (is_set(nulls, index + 2), of) {
            (true, _) => Some(Value::Null),
            (false, Some(of)) => binary::value(from, &mut reader, *of),
            (false, None) => None,
        };
        match value {
            Some(value) => values.push(value),
            None => break,
        }
    }
    values
}

fn is_set(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8)
        .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// The values of a COM_STMT_EXECUTE, from
///
/// ```text
/// parameters = count u16, count x (type u16, sent apart u8), a bit for each NULL, values
/// ```
pub(super) fn parameters(from: &Bytes) -> Value {
    let mut reader = Reader::new(from);
    let count = usize::from(reader.u16().unwrap_or_default());
    let types = reader.take(count * 3).unwrap_or_default();
    let nulls = reader.take(count.div_ceil(8)).unwrap_or_default();
    let mut values = Vec::new();
    for (index, mut entry) in types.chunks_exact(3).enumerate() {
        let of = Type::of_parameter(entry.get_u16());
        let value = if is_set(nulls, index) {
            Some(Value::Null)
        } else if entry.first() == Some(&1) {
            Some(Value::Static("(sent with COM_STMT_SEND_LONG_DATA)"))
        } else {
            binary::value(from, &mut reader, of)
        };
        match value {
            Some(value) => values.push(value),
            None => break,
        }
    }
    Value::List(values)
}
