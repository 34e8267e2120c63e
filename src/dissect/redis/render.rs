//! Commands and replies as the values of an item; made only when somebody reads more of them than
//! lists show.
//!
//! In: the bytes of one message, perhaps cut at their end. Out: `request` and `response` in the
//! shape that `mod.rs` draws. Never: recursion; nesting is a stack.

use bytes::Bytes;

use super::command;
use super::parser::{Head, HeadStep, Kind, head};
use crate::item::{Key, MAX_ITEM_BODY, Told, Value};

/// The member `request` of an item.
pub(super) fn request(bytes: &Bytes, cut: bool) -> Value {
    let make = match cut {
        false => request_value::<false>,
        true => request_value::<true>,
    };
    Value::outlined(bytes.clone(), told_of_request, make)
}

/// The member `response` of an item, of a reply or of a message that the server pushed.
pub(super) fn response(bytes: &Bytes, pushed: bool, cut: bool) -> Value {
    let make = match (pushed, cut) {
        (false, false) => response_value::<false, false>,
        (false, true) => response_value::<false, true>,
        (true, false) => response_value::<true, false>,
        (true, true) => response_value::<true, true>,
    };
    match pushed {
        false => Value::outlined(bytes.clone(), told_of_reply, make),
        true => Value::lazy(bytes.clone(), make),
    }
}

fn told_of_request<'a>(bytes: &'a Bytes, name: &str) -> Option<Told<'a>> {
    match name {
        "command" => command::verb_told(bytes),
        "key" => command::key_told(bytes),
        _ => None,
    }
}

fn told_of_reply<'a>(bytes: &'a Bytes, name: &str) -> Option<Told<'a>> {
    let plain = |first: &u8| !matches!(first, b'-' | b'!' | b'|');
    match name {
        // Errors have one, and perhaps what stands behind attributes.
        "keyword" if bytes.first().is_some_and(plain) => Some(Told::Text(&[])),
        "command" => Some(Told::Static("")),
        _ => None,
    }
}

fn request_value<const CUT: bool>(bytes: &Bytes) -> Value {
    let parts = command::parts(bytes);
    let mut value = Vec::new();
    for (index, word) in parts.values.iter().enumerate() {
        value.extend_from_slice(if index == 0 { b"[" } else { b", " });
        value.extend_from_slice(word);
    }
    if !value.is_empty() {
        value.push(b']');
    }
    let kind = match bytes.first() {
        Some(b'*') => "Array",
        _ => "N/A",
    };
    let mut members = members(
        kind,
        Value::text(parts.verb),
        Value::Text(parts.key.into_owned().into()),
        value,
        Value::text(parts.keyword),
        CUT,
    );
    members.insert(5, ("commandLine".into(), Value::Text(parts.line.into())));
    Value::Object(members)
}

fn response_value<const PUSHED: bool, const CUT: bool>(bytes: &Bytes) -> Value {
    let start = behind_attributes(bytes);
    let message = bytes.get(start..).unwrap_or_default();
    let (kind, size) = match head(message) {
        HeadStep::Head(head, size) => (kind_of(head), size),
        _ => (None, 0),
    };
    let (mut key, mut keyword) = (Vec::new(), Vec::new());
    let mut value = Vec::new();
    // The lines of MONITOR are pushed too, and have no parts.
    if PUSHED && kind != Some(Kind::SimpleString) {
        let mut rest = message.get(size..).unwrap_or_default();
        write_next(&mut rest, &mut keyword);
        keyword.make_ascii_uppercase();
        write_next(&mut rest, &mut key);
        let mut others = 0;
        while !rest.is_empty() {
            let mut text = Vec::new();
            write_next(&mut rest, &mut text);
            value.extend_from_slice(if others == 0 { b"" } else { b", " });
            value.extend_from_slice(&text);
            others += 1;
        }
        if others > 1 {
            value.insert(0, b'[');
            value.push(b']');
        }
    } else {
        let mut rest = message;
        write_next(&mut rest, &mut value);
        if kind == Some(Kind::Null) {
            value.clear();
        }
        if matches!(kind, Some(Kind::SimpleError | Kind::BulkError)) {
            keyword = error_code(&value).to_vec();
        }
    }
    Value::Object(members(
        kind.map_or("N/A", type_name),
        Value::Static(""),
        Value::Text(key.into()),
        value,
        Value::Text(keyword.into()),
        CUT,
    ))
}

fn members(
    kind: &'static str,
    command: Value,
    key: Value,
    mut value: Vec<u8>,
    keyword: Value,
    cut: bool,
) -> Vec<(Key, Value)> {
    let cut = cut || value.len() > MAX_ITEM_BODY;
    value.truncate(MAX_ITEM_BODY);
    let mut members = vec![
        ("type".into(), Value::Static(kind)),
        ("command".into(), command),
        ("key".into(), key),
        ("value".into(), Value::Text(value.into())),
        ("keyword".into(), keyword),
    ];
    if cut {
        members.push(("truncated".into(), Value::Bool(true)));
    }
    members
}

/// "The first upper-case word after the `-`, up to the first space or newline, represents the kind
/// of error returned" (RESP specification, simple errors).
fn error_code(message: &[u8]) -> &[u8] {
    let code = message
        .split(|byte| byte.is_ascii_whitespace())
        .next()
        .unwrap_or_default();
    let upper = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    match code.iter().all(upper) {
        true => code,
        false => b"",
    }
}

fn kind_of(head: Head) -> Option<Kind> {
    match head {
        Head::Line(kind)
        | Head::Short(kind, _)
        | Head::Bulk(kind, _)
        | Head::Aggregate(kind, _)
        | Head::StreamedAggregate(kind) => Some(kind),
        Head::StreamedString => Some(Kind::BulkString),
        Head::Chunk(_) | Head::End => None,
    }
}

/// The names of the data item, and those of the specification for the types of RESP3.
fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::SimpleString => "Simple String",
        Kind::SimpleError | Kind::BulkError => "Error",
        Kind::Integer => "Integer",
        Kind::BulkString => "Bulk String",
        Kind::Array => "Array",
        Kind::Null => "Null",
        Kind::Boolean => "Boolean",
        Kind::Double => "Double",
        Kind::BigNumber => "Big Number",
        Kind::VerbatimString => "Verbatim String",
        Kind::Map => "Map",
        Kind::Attribute => "Attribute",
        Kind::Set => "Set",
        Kind::Push => "Push",
    }
}

/// An aggregate that is being written.
struct Open {
    kind: Kind,
    /// Elements to come; `None` up to the end mark.
    left: Option<u64>,
    written: u64,
}

/// Where the value behind the attributes begins.
fn behind_attributes(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let HeadStep::Head(Head::Aggregate(Kind::Attribute, count), size) = head(rest) {
        rest = rest.get(size..).unwrap_or_default();
        for _ in 0..count {
            if rest.is_empty() {
                break;
            }
            write_next(&mut rest, &mut Vec::new());
        }
    }
    bytes.len() - rest.len()
}

/// Writes the value at the front of `rest` as text, and moves behind it: lists as `[a, b]`, maps as
/// `{a: b}`, a null in them as `(nil)`. Attributes are left out.
fn write_next(rest: &mut &[u8], out: &mut Vec<u8>) {
    let mut open: Vec<Open> = Vec::new();
    // Depth at which an attribute was opened; nothing is written within it.
    let mut muted: Option<usize> = None;
    loop {
        let HeadStep::Head(head, size) = head(rest) else {
            *rest = &[];
            return;
        };
        let begin = *rest;
        *rest = rest.get(size..).unwrap_or_default();
        let text = match head {
            Head::Line(_) => line(rest),
            Head::Short(kind, length) => short(kind, begin.get(1..1 + length).unwrap_or_default()),
            Head::Bulk(kind, length) => bulk(kind, rest, length),
            _ => &[],
        };
        if muted.is_none() && !matches!(head, Head::End | Head::Aggregate(Kind::Attribute, _)) {
            separate(open.last_mut(), out);
        }
        let opened = match head {
            Head::Aggregate(kind, count) => Some((kind, Some(count))),
            Head::StreamedAggregate(kind) => Some((kind, None)),
            _ => None,
        };
        if let Some((kind, left)) = opened {
            if kind == Kind::Attribute && muted.is_none() {
                muted = Some(open.len());
            }
            if muted.is_none() {
                out.push(if kind == Kind::Map { b'{' } else { b'[' });
            }
            open.push(Open {
                kind,
                left,
                written: 0,
            });
        } else if head == Head::StreamedString {
            let mut ignored = Vec::new();
            chunks(rest, if muted.is_none() { out } else { &mut ignored });
        } else if muted.is_none() {
            out.extend_from_slice(text);
        }
        if !close(head, &mut open, &mut muted, out) {
            return;
        }
    }
}

/// Closes what ends with a value; false when the outermost one has ended.
fn close(head: Head, open: &mut Vec<Open>, muted: &mut Option<usize>, out: &mut Vec<u8>) -> bool {
    let mut ended = !matches!(head, Head::Aggregate(..) | Head::StreamedAggregate(_));
    let mut end_mark = head == Head::End;
    loop {
        let Some(top) = open.last_mut() else {
            return false;
        };
        if ended
            && !end_mark
            && let Some(left) = &mut top.left
        {
            *left = left.saturating_sub(1);
        }
        let full = top.left == Some(0) || (end_mark && top.left.is_none());
        if !full {
            return true;
        }
        let kind = top.kind;
        open.pop();
        (ended, end_mark) = (true, false);
        match *muted {
            None => out.push(if kind == Kind::Map { b'}' } else { b']' }),
            // The value that the attribute describes follows.
            Some(depth) if depth == open.len() && kind == Kind::Attribute => {
                *muted = None;
                return true;
            }
            Some(_) => {}
        }
        if kind == Kind::Attribute {
            return true;
        }
    }
}

fn separate(parent: Option<&mut Open>, out: &mut Vec<u8>) {
    let Some(parent) = parent else { return };
    if parent.written > 0 {
        let within_entry = parent.kind == Kind::Map && parent.written % 2 == 1;
        out.extend_from_slice(if within_entry { b": " } else { b", " });
    }
    parent.written += 1;
}

fn line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = memchr::memchr(b'\n', rest);
    let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    *rest = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn short(kind: Kind, text: &[u8]) -> &[u8] {
    match (kind, text) {
        (Kind::Null, _) => b"(nil)",
        (Kind::Boolean, b"t") => b"true",
        (Kind::Boolean, _) => b"false",
        _ => text,
    }
}

fn bulk<'a>(kind: Kind, rest: &mut &'a [u8], length: u64) -> &'a [u8] {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let text = rest.get(..length).unwrap_or(rest);
    let behind = length.checked_add(2).and_then(|next| rest.get(next..));
    *rest = behind.unwrap_or_default();
    match kind {
        // "Exactly three bytes represent the data's encoding", then a colon.
        Kind::VerbatimString => text.get(4..).unwrap_or_default(),
        _ => text,
    }
}

fn chunks(rest: &mut &[u8], out: &mut Vec<u8>) {
    while let HeadStep::Head(Head::Chunk(length), size) = head(rest) {
        *rest = rest.get(size..).unwrap_or_default();
        if length == 0 {
            return;
        }
        out.extend_from_slice(bulk(Kind::BulkString, rest, length));
    }
    *rest = &[];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::sample::told_as_made;

    #[test]
    fn what_is_told_is_what_is_made() {
        let commands: [&'static [u8]; 11] = [
            b"*2\r\n$3\r\nGET\r\n$4\r\ncart\r\n",
            b"*2\r\n$3\r\nget\r\n$4\r\n\xffart\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"*4\r\n$4\r\nEVAL\r\n$1\r\ns\r\n$1\r\n1\r\n$1\r\nk\r\n",
            b"*2\r\n$8\r\nJSON.GET\r\n$1\r\nk\r\n",
            b"*2\r\n$8\r\njson.get\r\n$1\r\nk\r\n",
            b"*2\r\n$3\r\nG\xffT\r\n$1\r\nk\r\n",
            b"*3\r\n$6\r\nOBJECT\r\n$8\r\nENCODING\r\n$1\r\nk\r\n",
            b"*2\r\n$3\r\nGET\r\n$9\r\nca",
            b"*0\r\n",
            b"SET 'a b' x\r\n",
        ];
        let replies: [&'static [u8]; 9] = [
            b"+OK\r\n",
            b"-WRONGTYPE Operation\r\n",
            b"!9\r\nERR wrong\r\n",
            b"$2\r\nab\r\n",
            b"*1\r\n-ERR\r\n",
            b"_\r\n",
            b"|1\r\n+a\r\n+b\r\n-ERR x\r\n",
            b">2\r\n+message\r\n+b\r\n",
            b"%1\r\n+a\r\n:1\r\n",
        ];
        let paths = [
            "type",
            "command",
            "key",
            "value",
            "keyword",
            "commandLine",
            "x",
        ];
        let asked = commands.map(|bytes| request(&Bytes::from_static(bytes), false));
        let asked = asked.iter().map(|value| told_as_made(value, &paths));
        assert_eq!(asked.collect::<Vec<_>>(), [2, 2, 2, 1, 2, 0, 0, 2, 2, 2, 1]);
        let replies = replies.map(|bytes| response(&Bytes::from_static(bytes), false, false));
        let replies = replies.iter().map(|value| told_as_made(value, &paths));
        assert_eq!(replies.collect::<Vec<_>>(), [2, 1, 1, 2, 2, 2, 1, 2, 2]);
    }
}
