//! An exchange as the values of an item.
//!
//! In: an [`Exchange`]. Out: `request` and `response` in the shape that `mod.rs` draws. Lists are
//! made when somebody reads them. Never: passwords and SASL data, which no exchange keeps.

use bytes::{BufMut, Bytes, BytesMut};

use super::answer::{Copy, ResultSet};
use super::exchange::{Command, Exchange, Session};
use super::parser::{self, Format, Formats, Values};
use crate::bytes::Reader;
use crate::item::{Key, Value};

/// Members of an object in their order.
struct Members(Vec<(Key, Value)>);

impl Members {
    fn put(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push((Key::Static(name), value.into()));
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

/// The member `request` of an item.
pub(super) fn request(exchange: &Exchange, session: &Session) -> Value {
    let mut members = Members(Vec::with_capacity(8));
    members.put("command", Value::Static(exchange.command.name()));
    if exchange.query_known {
        members.put("query", Value::Text(exchange.query.clone()));
    }
    if exchange.command.is_extended() {
        members.put("statement", Value::Text(exchange.statement.clone()));
    }
    match exchange.command {
        Command::Bind | Command::Execute => {
            members.put("portal", Value::Text(exchange.portal.clone()));
            members.lazy("parameters", exchange.body.clone(), bound);
            if exchange.number > 0 {
                members.put("maxRows", int(exchange.number.into()));
            }
        }
        Command::StartupMessage => {
            let (major, minor) = (exchange.number >> 16, exchange.number & 0xffff);
            members.put("protocolVersion", Value::text(format!("{major}.{minor}")));
            members.lazy("startupParameters", exchange.body.clone(), startup);
            members.flag("passwordSent", exchange.password_sent);
            members.text("mechanism", &exchange.mechanism);
        }
        Command::CancelRequest => members.put("processId", int(exchange.number.into())),
        Command::FunctionCall => members.put("functionOid", int(exchange.number.into())),
        _ => {}
    }
    members.text("user", &session.user);
    members.text("database", &session.database);
    members.flag("truncated", exchange.cut);
    Value::Object(members.0)
}

/// The member `response` of an item.
pub(super) fn response(exchange: &Exchange) -> Value {
    let answer = &exchange.answer;
    let mut members = Members(Vec::with_capacity(8));
    let (status, success) = status(exchange);
    members.put("status", status);
    members.put("success", Value::Bool(success));
    if !answer.error.is_empty() {
        let field = |code| slice(&answer.error, parser::error_field(&answer.error, code));
        members.text("errorCode", &field(b'C'));
        members.text("errorMessage", &field(b'M'));
        members.lazy("error", answer.error.clone(), report);
    }
    if !answer.authentication.is_empty() {
        let codes = Bytes::copy_from_slice(&answer.authentication);
        members.lazy("authentication", codes, authentication);
        members.lazy("mechanisms", answer.mechanisms.clone(), mechanisms);
    }
    if answer.encryption != 0 {
        members.put("encryption", Value::Bool(answer.encryption != b'N'));
    }
    if let Some(id) = answer.process_id {
        members.put("processId", int(id.into()));
    }
    // Rows are what people look for, and the last statement may have none.
    let last = answer.results.last();
    let with_rows = |one: &&ResultSet| !one.columns.is_empty() || one.count > 0;
    let shown = answer.results.iter().rev().find(with_rows).or(last);
    if let Some(result) = shown {
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
    members.lazy("notices", joined(&answer.notices), reports);
    members.lazy("parameterStatus", answer.parameters.concat().into(), map);
    members.lazy("notification", answer.notification.clone(), notification);
    match answer.transaction {
        0 => {}
        b'T' => members.put("transactionStatus", Value::Static("in transaction")),
        b'E' => members.put("transactionStatus", Value::Static("failed")),
        _ => members.put("transactionStatus", Value::Static("idle")),
    }
    Value::Object(members.0)
}

/// `ok`, the SQLSTATE of the error, `aborted` or `incomplete`.
fn status(exchange: &Exchange) -> (Value, bool) {
    let answer = &exchange.answer;
    if !answer.error.is_empty() {
        let code = parser::error_field(&answer.error, b'C');
        return (Value::Text(slice(&answer.error, code)), false);
    }
    match (answer.aborted, exchange.steps.is_empty()) {
        (true, _) => (Value::Static("aborted"), false),
        (false, false) => (Value::Static("incomplete"), false),
        (false, true) => (Value::Static("ok"), true),
    }
}

fn put_result(members: &mut Members, result: &ResultSet, exchange: &Exchange) {
    members.text("commandTag", &result.tag);
    if let Some(rows) = parser::affected_rows(&result.tag) {
        members.put("affectedRows", Value::Int(rows));
    }
    let described = match result.columns.is_empty() {
        true => &exchange.columns,
        false => &result.columns,
    };
    members.lazy("columns", described.clone(), columns);
    let runs = !matches!(
        exchange.command,
        Command::Parse | Command::Describe | Command::Bind
    );
    if result.count > 0 || (runs && !described.is_empty()) {
        members.put("rowCount", int(result.count));
        members.put("rows", Value::lazy(rows_of(result, exchange), rows));
    }
    members.flag("suspended", result.suspended);
    if let Some(copy) = &result.copy {
        members.put("copy", copied(copy));
    }
    members.flag("truncated", result.cut || result.kept < result.count);
}

fn copied(copy: &Copy) -> Value {
    let mut members = Members(Vec::with_capacity(6));
    members.put(
        "direction",
        Value::Static(match copy.kind {
            b'G' => "in",
            b'H' => "out",
            _ => "both",
        }),
    );
    let format = if copy.binary { "binary" } else { "text" };
    members.put("format", Value::Static(format));
    members.put("columns", int(copy.columns.into()));
    members.put("bytes", int(copy.bytes));
    members.put("messages", int(copy.messages));
    members.text("failed", &copy.failed);
    Value::Object(members.0)
}

/// `part` of `whole` without a copy.
fn slice(whole: &Bytes, part: &[u8]) -> Bytes {
    match part.is_empty() {
        true => Bytes::new(),
        false => whole.slice_ref(part),
    }
}

fn value(whole: &Bytes, value: Option<&[u8]>, format: Format) -> Value {
    match (value, format) {
        (None, _) => Value::Null,
        (Some(text), Format::Text) => Value::Text(slice(whole, text)),
        (Some(bytes), Format::Binary | Format::Unknown) => Value::Base64(slice(whole, bytes)),
    }
}

/// The values of a Bind message.
fn bound(body: &Bytes) -> Value {
    let Ok((formats, values)) = parser::bind_values(body) else {
        return Value::Null;
    };
    let values = values
        .enumerate()
        .map(|(index, one)| value(body, one, formats.of(index)));
    Value::List(values.collect())
}

/// ```text
/// rows = formats: length u16, two bytes each; row: length u32, body of a DataRow
/// ```
fn rows_of(result: &ResultSet, exchange: &Exchange) -> Bytes {
    let described: Vec<u8> = parser::columns(&result.columns)
        .flat_map(|(_, format)| format.to_be_bytes())
        .collect();
    let unknown = Bytes::from_static(&[0xff, 0xff]);
    let formats = match (&exchange.formats, exchange.command) {
        // What Bind asked for holds; a statement is described before that is known.
        (Some(formats), _) => formats.clone(),
        (None, Command::Query) if described.is_empty() => Bytes::new(),
        (None, _) if described.is_empty() => unknown,
        (None, _) => described.into(),
    };
    let mut out = BytesMut::with_capacity(2 + formats.len() + result.rows.len());
    out.put_u16(u16::try_from(formats.len()).unwrap_or(u16::MAX));
    out.put_slice(formats.get(..usize::from(u16::MAX)).unwrap_or(&formats));
    out.put_slice(&result.rows);
    out.freeze()
}

fn rows(from: &Bytes) -> Value {
    let mut reader = Reader::new(from);
    let formats = reader.u16().and_then(|length| reader.take(length.into()));
    let formats = Formats(formats.unwrap_or_default());
    let mut rows = Vec::new();
    while let Some(body) = counted(&mut reader) {
        let values = Values::of_row(body)
            .enumerate()
            .map(|(index, one)| value(from, one, formats.of(index)));
        rows.push(Value::List(values.collect()));
    }
    Value::List(rows)
}

/// Bytes behind their length as `u32`.
fn counted<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = usize::try_from(reader.u32().ok()?).ok()?;
    reader.take(length).ok()
}

fn columns(body: &Bytes) -> Value {
    let names = parser::columns(body).map(|(name, _)| Value::Text(slice(body, name)));
    Value::List(names.collect())
}

fn startup(body: &Bytes) -> Value {
    let members = parser::pairs(body).map(|pair| member(body, pair));
    Value::Object(unique(members))
}

/// Bodies of ParameterStatus messages: name and value, ended by zero each.
fn map(bodies: &Bytes) -> Value {
    startup(bodies)
}

fn member(whole: &Bytes, (name, value): (&[u8], &[u8])) -> (Key, Value) {
    let key = Key::Bytes(slice(whole, name));
    (key, Value::Text(slice(whole, value)))
}

/// The last of each name stays.
fn unique(members: impl Iterator<Item = (Key, Value)>) -> Vec<(Key, Value)> {
    /// Names of one message that are compared; clients send a handful.
    const MAX_NAMES: usize = 128;
    let mut kept: Vec<(Key, Value)> = Vec::new();
    for (name, value) in members.take(MAX_NAMES) {
        match kept.iter_mut().find(|(other, _)| *other == name) {
            Some((_, other)) => *other = value,
            None => kept.push((name, value)),
        }
    }
    kept
}

/// Names of the fields of ErrorResponse and NoticeResponse.
const REPORT: &[(u8, &str)] = &[
    (b'S', "severity"),
    (b'C', "code"),
    (b'M', "message"),
    (b'D', "detail"),
    (b'H', "hint"),
    (b'P', "position"),
    (b'p', "internalPosition"),
    (b'q', "internalQuery"),
    (b'W', "where"),
    (b's', "schema"),
    (b't', "table"),
    (b'c', "column"),
    (b'd', "dataType"),
    (b'n', "constraint"),
    (b'F', "file"),
    (b'L', "line"),
    (b'R', "routine"),
];

fn report(body: &Bytes) -> Value {
    let members = REPORT.iter().filter_map(|(code, name)| {
        let text = parser::error_field(body, *code);
        (!text.is_empty()).then(|| (Key::Static(name), Value::Text(slice(body, text))))
    });
    Value::Object(members.collect())
}

fn joined(bodies: &[Bytes]) -> Bytes {
    let mut out = BytesMut::new();
    for body in bodies {
        out.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
        out.put_slice(body);
    }
    out.freeze()
}

fn reports(from: &Bytes) -> Value {
    let mut reader = Reader::new(from);
    let mut reports = Vec::new();
    while let Some(body) = counted(&mut reader) {
        reports.push(report(&slice(from, body)));
    }
    Value::List(reports)
}

fn authentication(codes: &Bytes) -> Value {
    let names = codes.iter().map(|code| {
        Value::Static(match code {
            0 => "AuthenticationOk",
            2 => "AuthenticationKerberosV5",
            3 => "AuthenticationCleartextPassword",
            5 => "AuthenticationMD5Password",
            6 => "AuthenticationSCMCredential",
            7 => "AuthenticationGSS",
            8 => "AuthenticationGSSContinue",
            9 => "AuthenticationSSPI",
            10 => "AuthenticationSASL",
            11 => "AuthenticationSASLContinue",
            12 => "AuthenticationSASLFinal",
            _ => "unknown",
        })
    });
    Value::List(names.collect())
}

fn mechanisms(list: &Bytes) -> Value {
    let names = list
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| Value::Text(slice(list, name)));
    Value::List(names.collect())
}

fn notification(body: &Bytes) -> Value {
    let mut reader = Reader::new(body);
    let process = reader.u32().unwrap_or_default();
    let mut part = || slice(body, parser::text(&mut reader).unwrap_or_default());
    let (channel, payload) = (part(), part());
    let mut members = Members(Vec::with_capacity(3));
    members.put("channel", Value::Text(channel));
    members.put("payload", Value::Text(payload));
    members.put("processId", int(process.into()));
    Value::Object(members.0)
}
