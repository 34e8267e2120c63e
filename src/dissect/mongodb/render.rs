//! A message as the values of an item; made only when somebody reads them.
//!
//! In: the bytes of one message behind a few of our own. Out: `request` and `response` in the shape
//! that `mod.rs` draws. Never: passwords and SASL payloads of the commands that carry them.

use bytes::{BufMut, Bytes, BytesMut};

use super::bson::{self, Renderer};
use super::compression::COMPRESSORS;
use super::parser::{self, Parts, flag, op};
use crate::item::{Key, MAX_ITEM_BODY, Value};

/// Documents that an item shows.
const MAX_DOCUMENTS: usize = 100;

/// No compressor.
pub(super) const PLAIN: u8 = 0xff;

/// What is known of a message besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// Bytes of it are not kept or were not captured.
    pub cut: bool,
    /// Values that may be secrets are not shown.
    pub hide: bool,
    /// See [`COMPRESSORS`]; [`PLAIN`] when the message was not compressed.
    pub compressor: u8,
}

/// Bytes of [`Known`] in front of a message.
const KNOWN: usize = 3;

/// ```text
/// from = cut u8, hide u8, compressor u8, message
/// ```
pub(super) fn from(message: &[u8], mut known: Known) -> Bytes {
    let kept = message.get(..MAX_ITEM_BODY).unwrap_or(message);
    known.cut |= kept.len() < message.len();
    let mut out = BytesMut::with_capacity(KNOWN + kept.len());
    out.put_slice(&[known.cut.into(), known.hide.into(), known.compressor]);
    out.put_slice(kept);
    out.freeze()
}

/// Nothing is known of a message besides its bytes.
const NOTHING: Known = Known {
    cut: false,
    hide: false,
    compressor: PLAIN,
};

/// The member `response` of an item, whose message is not copied before somebody reads it when
/// nothing else is known of it.
pub(super) fn reply(message: Bytes, known: Known) -> Value {
    match known == NOTHING && message.len() <= MAX_ITEM_BODY {
        true => Value::lazy(message, |message| response(&from(message, NOTHING))),
        false => Value::lazy(from(&message, known), response),
    }
}

fn read(from: &Bytes) -> Option<(Known, Bytes, u32, Parts<'_>)> {
    let (head, message) = from.split_first_chunk::<KNOWN>()?;
    let [cut, hide, compressor] = *head;
    let known = Known {
        cut: cut == 1,
        hide: hide == 1,
        compressor,
    };
    let opcode = parser::header(message)?.opcode;
    let parts = parser::parts(message, opcode, known.cut);
    Some((known, from.clone(), opcode, parts))
}

/// Members of an object in their order.
struct Members(Vec<(Key, Value)>);

impl Members {
    fn put(&mut self, name: &'static str, value: Value) {
        self.0.push((Key::Static(name), value));
    }

    fn text(&mut self, name: &'static str, text: Bytes) {
        if !text.is_empty() {
            self.put(name, Value::Text(text));
        }
    }

    fn finish(mut self, known: Known, opcode: u32, is_cut: bool) -> Value {
        if let Some(name) = parser::opcode_name(opcode) {
            self.put("opcode", Value::Static(name));
        }
        if known.compressor != PLAIN {
            let name = COMPRESSORS.get(usize::from(known.compressor));
            let name = name.copied().unwrap_or("unknown");
            self.put("compressor", Value::Static(name));
        }
        if known.cut || is_cut {
            self.put("truncated", Value::Bool(true));
        }
        Value::Object(self.0)
    }
}

fn slice(whole: &Bytes, part: &[u8]) -> Bytes {
    match part.is_empty() {
        true => Bytes::new(),
        false => whole.slice_ref(part),
    }
}

fn int(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// What a request is about.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subject<'a> {
    pub command: &'a [u8],
    pub database: &'a [u8],
    pub collection: &'a [u8],
}

/// Finds command, database and collection of a request.
pub(super) fn subject<'a>(parts: &Parts<'a>, opcode: u32) -> Subject<'a> {
    let dot = parts.namespace.iter().position(|byte| *byte == b'.');
    let (database, rest) = match dot.and_then(|at| parts.namespace.split_at_checked(at)) {
        Some((database, rest)) => (database, rest.get(1..).unwrap_or_default()),
        None => (parts.namespace, &[][..]),
    };
    let legacy: &[u8] = match opcode {
        op::INSERT => b"insert",
        op::UPDATE => b"update",
        op::DELETE => b"delete",
        op::GET_MORE => b"getMore",
        op::KILL_CURSORS => b"killCursors",
        op::QUERY if rest != b"$cmd" => b"query",
        _ => {
            let mut found = of_command(parser::command_document(parts.document));
            if found.database.is_empty() {
                found.database = database;
            }
            return found;
        }
    };
    Subject {
        command: legacy,
        database,
        collection: rest,
    }
}

fn of_command(document: &[u8]) -> Subject<'_> {
    let Some(first) = bson::elements(document).next() else {
        return Subject::default();
    };
    let database = bson::member(document, b"$db").and_then(|one| one.text());
    let collection = match first.name {
        b"getMore" => bson::member(document, b"collection").and_then(|one| one.text()),
        b"explain" => first.document().map(|inner| of_command(inner).collection),
        // Their text is the name of a user or a role, or of a whole namespace.
        name if is_about_users(name) || name == b"renameCollection" => None,
        _ => first.text(),
    };
    Subject {
        command: first.name,
        database: database.unwrap_or_default(),
        collection: collection.unwrap_or_default(),
    }
}

fn is_about_users(command: &[u8]) -> bool {
    [&b"User"[..], b"Role", b"usersInfo", b"rolesInfo"]
        .iter()
        .any(|part| memchr::memmem::find(command, part).is_some())
}

/// Whether a command or its reply may carry a password or what proves one ("Command Monitoring",
/// section "Security").
pub(super) fn is_sensitive(command: &[u8]) -> bool {
    const COMMANDS: [&[u8]; 12] = [
        b"authenticate",
        b"saslStart",
        b"saslContinue",
        b"getnonce",
        b"createUser",
        b"updateUser",
        b"copydbgetnonce",
        b"copydbsaslstart",
        b"copydb",
        b"hello",
        b"ismaster",
        b"isMaster",
    ];
    COMMANDS.contains(&command)
}

/// The member `request` of an item.
pub(super) fn request(from: &Bytes) -> Value {
    let Some((known, whole, opcode, parts)) = read(from) else {
        return Value::Null;
    };
    let about = subject(&parts, opcode);
    let mut members = Members(Vec::with_capacity(8));
    // Names of legacy operations are not in the message.
    members.put(
        "command",
        Value::Text(Bytes::copy_from_slice(about.command)),
    );
    members.text("database", slice(&whole, about.database));
    members.text("collection", slice(&whole, about.collection));
    let mut renderer = Renderer::new(&whole);
    let document = parser::command_document(parts.document);
    // What is written stands in a sequence, or in an array of the command.
    let array = [&b"documents"[..], b"updates", b"deletes"]
        .into_iter()
        .find_map(|name| bson::member(document, name).filter(|one| one.document().is_some()));
    if !document.is_empty() {
        let query = match array {
            Some(array) => renderer.without(document, array.name, known.hide),
            None => renderer.document(document, known.hide),
        };
        members.put("query", query);
    }
    let listed: Vec<&[u8]> = match array.and_then(|array| array.document()) {
        Some(array) => bson::elements(array)
            .filter_map(|element| element.document())
            .collect(),
        None => parser::documents(parts.documents).collect(),
    };
    if !listed.is_empty() {
        members.put("documents", documents(&mut renderer, &listed, known.hide));
        members.put("documentCount", int(listed.len()));
    }
    put_flags(&mut members, &parts, opcode);
    let left_out = listed.len() > MAX_DOCUMENTS;
    let is_cut = renderer.cut || left_out;
    members.finish(known, opcode, is_cut)
}

fn documents(renderer: &mut Renderer<'_>, listed: &[&[u8]], hide: bool) -> Value {
    let shown = listed.iter().take(MAX_DOCUMENTS);
    Value::List(shown.map(|one| renderer.document(one, hide)).collect())
}

fn put_flags(members: &mut Members, parts: &Parts<'_>, opcode: u32) {
    if opcode != op::MSG || parts.flags == 0 {
        return;
    }
    let names = [
        (flag::CHECKSUM_PRESENT, "checksumPresent"),
        (flag::MORE_TO_COME, "moreToCome"),
        (flag::EXHAUST_ALLOWED, "exhaustAllowed"),
    ];
    let set = names
        .iter()
        .filter(|(bit, _)| parts.flags & bit != 0)
        .map(|(_, name)| Value::Static(name));
    members.put("flags", Value::List(set.collect()));
}

/// How a reply went.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Outcome<'a> {
    /// `None` when the reply is cut before it says.
    ok: Option<bool>,
    code: Option<i64>,
    code_name: &'a [u8],
    message: &'a [u8],
}

fn outcome<'a>(document: &'a [u8], is_cut: bool) -> Outcome<'a> {
    let number = |document: &'a [u8], name| bson::member(document, name).and_then(|one| one.int());
    let text = |document: &'a [u8], name| {
        let found = bson::member(document, name).and_then(|one| one.text());
        found.unwrap_or_default()
    };
    let error = |document: &'a [u8]| Outcome {
        ok: Some(false),
        code: number(document, b"code"),
        code_name: text(document, b"codeName"),
        message: match text(document, b"errmsg") {
            [] => text(document, b"$err"),
            message => message,
        },
    };
    // A write may fail in a reply that is ok.
    let first_write = bson::member(document, b"writeErrors")
        .and_then(|one| bson::elements(one.document()?).next()?.document());
    let concern = bson::member(document, b"writeConcernError").and_then(|one| one.document());
    if bson::member(document, b"$err").is_some() {
        return error(document);
    }
    match (number(document, b"ok"), first_write.or(concern)) {
        (Some(0), _) => error(document),
        (_, Some(write)) => error(write),
        (Some(_), None) => Outcome {
            ok: Some(true),
            ..Outcome::default()
        },
        // A reply with a cursor is none that failed; documents of a legacy reply have no `ok`.
        (None, None) => Outcome {
            ok: (!is_cut || bson::member(document, b"cursor").is_some()).then_some(true),
            ..Outcome::default()
        },
    }
}

/// The member `response` of an item.
pub(super) fn response(from: &Bytes) -> Value {
    let Some((known, whole, opcode, parts)) = read(from) else {
        return Value::Null;
    };
    let document = match opcode {
        op::REPLY => parser::documents(parts.documents)
            .next()
            .unwrap_or_default(),
        _ => parts.document,
    };
    let outcome = outcome(document, known.cut);
    let mut members = Members(Vec::with_capacity(8));
    members.put(
        "status",
        match (outcome.ok, outcome.code) {
            (Some(true), _) => Value::Static("ok"),
            (Some(false), Some(code)) => Value::text(code.to_string()),
            (Some(false), None) => Value::Static("error"),
            (None, _) => Value::Static("unknown"),
        },
    );
    if let Some(ok) = outcome.ok {
        members.put("success", Value::Bool(ok));
    }
    if outcome.ok == Some(false) {
        if let Some(code) = outcome.code {
            members.put("errorCode", Value::Int(code));
        }
        members.text("errorCodeName", slice(&whole, outcome.code_name));
        members.text("errorMessage", slice(&whole, outcome.message));
    }
    let mut renderer = Renderer::new(&whole);
    if !is_rows(opcode, document) {
        put_reply(&mut members, &mut renderer, document, known.hide);
    }
    let mut listed: Vec<&[u8]> = Vec::new();
    if let Some(batch) = batch(document) {
        listed.extend(bson::elements(batch).filter_map(|one| one.document()));
        members.put("rowCount", int(listed.len()));
        members.put("rows", documents(&mut renderer, &listed, known.hide));
    } else if let Some(cursor) = parts.cursor.filter(|_| is_rows(opcode, document)) {
        listed.extend(parser::documents(parts.documents));
        members.put("cursorId", Value::Int(cursor.cast_signed()));
        members.put("rowCount", int(listed.len()));
        members.put("rows", documents(&mut renderer, &listed, known.hide));
    }
    put_flags(&mut members, &parts, opcode);
    let is_cut = renderer.cut || listed.len() > MAX_DOCUMENTS;
    members.finish(known, opcode, is_cut)
}

/// Whether the documents of a reply are rows: the reply to a command says how it went.
fn is_rows(opcode: u32, first: &[u8]) -> bool {
    opcode == op::REPLY && bson::member(first, b"ok").is_none()
}

/// The documents of a reply's cursor.
fn batch(document: &[u8]) -> Option<&[u8]> {
    let cursor = bson::member(document, b"cursor")?.document()?;
    [&b"firstBatch"[..], b"nextBatch"]
        .into_iter()
        .find_map(|name| bson::member(cursor, name)?.document())
}

/// The reply without what has members of its own.
fn put_reply(members: &mut Members, renderer: &mut Renderer<'_>, document: &[u8], hide: bool) {
    let cursor = bson::member(document, b"cursor").and_then(|one| one.document());
    let Some(cursor) = cursor else {
        if !document.is_empty() {
            members.put("reply", renderer.document(document, hide));
        }
        return;
    };
    if let Some(id) = bson::member(cursor, b"id").and_then(|one| one.int()) {
        members.put("cursorId", Value::Int(id));
    }
    let others = renderer.without(document, b"cursor", hide);
    members.put("reply", others);
}
