//! Requests and responses as the values of an item; made only when somebody reads them.
//!
//! In: what [`super::message`] keeps of a message. Out: `request` and `response` in the shape that
//! `mod.rs` draws, their payloads made later still: a filter on `apiKey` unpacks no records.

use bytes::Bytes;

use super::decode::{Decoded, Reading, decode, unsigned_varint};
use super::header::{RequestStart, ResponseStart, request_header, response_body_at};
use super::names;
use super::schema::{API_VERSIONS, Api, METADATA, PRODUCE};
use crate::bytes::Reader;
use crate::item::{Key, Value, text_of};
use crate::time::Timestamp;

/// Topics or other names that a summary lists.
const MAX_SUMMARY_NAMES: usize = 16;

/// "UNSUPPORTED_VERSION": the response is then of version 0, which every client can read (KIP-511).
const UNSUPPORTED_VERSION: u16 = 35;

/// What is kept of a message, taken apart.
struct Kept {
    ts: Timestamp,
    key: i16,
    version: i16,
    names: Bytes,
    message: Bytes,
}

impl Kept {
    fn of(bytes: &Bytes) -> Option<Kept> {
        let mut reader = Reader::new(bytes);
        let ts = Timestamp::from_nanos(reader.u64().ok()?.cast_signed());
        let key = reader.u16().ok()?.cast_signed();
        let version = reader.u16().ok()?.cast_signed();
        let names = usize::try_from(reader.u32().ok()?).ok()?;
        Some(Kept {
            ts,
            key,
            version,
            names: bytes.slice_ref(reader.take(names).ok()?),
            message: bytes.slice_ref(reader.rest()),
        })
    }

    /// Whether what is kept is less than the message.
    fn is_cut(&self, size: u32) -> bool {
        (self.message.len() as u64) < 4 + u64::from(size)
    }
}

/// The member `request` of an item.
pub(super) fn request(bytes: &Bytes) -> Value {
    let Some(kept) = Kept::of(bytes) else {
        return Value::Null;
    };
    let Ok(header) = request_header(&kept.message) else {
        return cut_request(&kept);
    };
    let start = header.start;
    let mut members: Vec<(Key, Value)> = vec![
        ("size".into(), Value::Int(start.size.into())),
        (
            "apiKeyName".into(),
            Value::Static(Api::of_any(start.key).name),
        ),
        ("apiKey".into(), Value::Int(start.key.into())),
        ("apiVersion".into(), Value::Int(start.version.into())),
        (
            "correlationID".into(),
            Value::Int(start.correlation_id.into()),
        ),
        (
            "clientID".into(),
            Value::Text(kept.message.slice_ref(header.client_id)),
        ),
        (
            "payload".into(),
            Value::lazy(bytes.clone(), request_payload),
        ),
        ("captureTime".into(), Value::text(kept.ts.to_string())),
        ("summary".into(), Value::lazy(bytes.clone(), summary)),
    ];
    if kept.is_cut(start.size) {
        members.push(("truncated".into(), Value::Bool(true)));
    }
    Value::Object(members)
}

/// A request whose header is not whole.
fn cut_request(kept: &Kept) -> Value {
    let mut members: Vec<(Key, Value)> = Vec::new();
    if let Ok(start) = RequestStart::read(&kept.message) {
        members.extend([
            ("size".into(), Value::Int(start.size.into())),
            (
                "apiKeyName".into(),
                Value::Static(Api::of_any(start.key).name),
            ),
            ("apiKey".into(), Value::Int(start.key.into())),
            ("apiVersion".into(), Value::Int(start.version.into())),
            (
                "correlationID".into(),
                Value::Int(start.correlation_id.into()),
            ),
        ]);
    }
    members.push(("captureTime".into(), Value::text(kept.ts.to_string())));
    members.push(("truncated".into(), Value::Bool(true)));
    Value::Object(members)
}

/// The member `response` of an item.
pub(super) fn response(bytes: &Bytes) -> Value {
    let Some(kept) = Kept::of(bytes) else {
        return Value::Null;
    };
    let Ok(start) = ResponseStart::read(&kept.message) else {
        return Value::Object(vec![("truncated".into(), Value::Bool(true))]);
    };
    let mut members: Vec<(Key, Value)> = vec![
        ("size".into(), Value::Int(start.size.into())),
        (
            "correlationID".into(),
            Value::Int(start.correlation_id.into()),
        ),
        (
            "payload".into(),
            Value::lazy(bytes.clone(), response_payload),
        ),
        ("captureTime".into(), Value::text(kept.ts.to_string())),
    ];
    if kept.is_cut(start.size) {
        members.push(("truncated".into(), Value::Bool(true)));
    }
    Value::Object(members)
}

fn request_payload(bytes: &Bytes) -> Value {
    let Some((api, decoded)) = read_request(bytes, true) else {
        return Value::Null;
    };
    let mut fields = decoded.fields;
    if api.key == PRODUCE {
        one_partition_an_entry(&mut fields);
    }
    marked(fields, decoded.whole)
}

fn read_request(bytes: &Bytes, with_records: bool) -> Option<(&'static Api, Decoded)> {
    let kept = Kept::of(bytes)?;
    let header = request_header(&kept.message).ok()?;
    let version = header.start.version;
    let api = Api::of(header.start.key)?;
    let [layout, _] = api.layouts.filter(|_| api.knows(version))?;
    let body = kept.message.slice(header.body_at..);
    let reading = Reading {
        version,
        flexible: api.is_flexible(version),
        with_records,
        names: kept.names,
    };
    Some((api, decode(&body, layout, reading)))
}

fn response_payload(bytes: &Bytes) -> Value {
    let decoded = Kept::of(bytes)
        .and_then(|kept| read_response(&kept.message, kept.key, kept.version, kept.names));
    match decoded {
        Some(decoded) => marked(decoded.fields, decoded.whole),
        None => Value::Null,
    }
}

fn read_response(message: &Bytes, key: i16, version: i16, names: Bytes) -> Option<Decoded> {
    let api = Api::of(key)?;
    let [_, layout] = api.layouts.filter(|_| api.knows(version))?;
    let body = message.slice(response_body_at(message, api, version).ok()?..);
    let read = |version| {
        let reading = Reading {
            version,
            flexible: api.is_flexible(version),
            with_records: true,
            names: names.clone(),
        };
        decode(&body, layout, reading)
    };
    let refused = Reader::new(&body).u16() == Ok(UNSUPPORTED_VERSION);
    // Some brokers say so in the version that they were asked in.
    let oldest = (api.key == API_VERSIONS && version > 0 && refused).then(|| read(0));
    Some(match oldest {
        Some(mut decoded) if decoded.whole => {
            if let Value::Object(members) = &mut decoded.fields {
                members.push(("apiVersion".into(), Value::Int(0)));
            }
            decoded
        }
        _ => read(version),
    })
}

/// Takes note of the topics that a Metadata response names.
pub(super) fn learn_topics(names: &mut Vec<u8>, message: &[u8], version: i16) {
    let message = Bytes::copy_from_slice(message);
    let decoded = read_response(&message, METADATA, version, Bytes::new());
    let Some(Value::List(topics)) = decoded.as_ref().and_then(|all| all.fields.member("topics"))
    else {
        return;
    };
    for topic in topics {
        if let (Some(Value::Text(id)), Some(Value::Text(name))) =
            (topic.member("topicID"), topic.member("name"))
        {
            names::learn(names, id, name);
        }
    }
}

/// Adds the mark of a payload that is not all there.
fn marked(mut fields: Value, whole: bool) -> Value {
    if let (false, Value::Object(members)) = (whole, &mut fields) {
        members.push(("truncated".into(), Value::Bool(true)));
    }
    fields
}

/// The data item has one partition in each entry of `topicData`: a topic with several comes several
/// times, and `length` says how many they are.
fn one_partition_an_entry(fields: &mut Value) {
    let Value::Object(members) = fields else {
        return;
    };
    let Some((_, Value::List(topics))) = members
        .iter_mut()
        .find(|(name, _)| *name == Key::Static("topicData"))
    else {
        return;
    };
    let mut entries = Vec::with_capacity(topics.len());
    for topic in std::mem::take(topics) {
        let Value::Object(mut members) = topic else {
            continue;
        };
        let partitions = match members.pop_if(|(name, _)| *name == Key::Static("partitions")) {
            Some((_, Value::List(partitions))) => partitions,
            _ => Vec::new(),
        };
        let length = i64::try_from(partitions.len()).unwrap_or(i64::MAX);
        if partitions.is_empty() {
            members.push(("partitions".into(), partitions_value(0, Value::Null)));
            entries.push(Value::Object(members.clone()));
        }
        for partition in partitions {
            let mut members = members.clone();
            members.push(("partitions".into(), partitions_value(length, partition)));
            entries.push(Value::Object(members));
        }
    }
    *topics = entries;
}

fn partitions_value(length: i64, mut partition: Value) -> Value {
    if let Value::Object(members) = &mut partition {
        members.insert(members.len().min(1), ("unknown".into(), Value::Null));
    }
    Value::Object(vec![
        ("length".into(), Value::Int(length)),
        ("partitionData".into(), partition),
    ])
}

/// How many acknowledgements a Produce wants: none means that no response comes.
pub(super) fn required_acks(message: &[u8]) -> Option<i16> {
    let header = request_header(message).ok()?;
    let version = header.start.version;
    let api = Api::of(header.start.key)?;
    let mut reader = Reader::new(message);
    reader.skip(header.body_at).ok()?;
    // The transaction's name stands first since version 3.
    if version >= 3 {
        let length = match api.is_flexible(version) {
            true => i64::from(unsigned_varint(&mut reader).ok()?) - 1,
            false => reader.u16().ok()?.cast_signed().into(),
        };
        reader.skip(usize::try_from(length).unwrap_or(0)).ok()?;
    }
    Some(reader.u16().ok()?.cast_signed())
}

/// What a request is about: its topics, else the group or whatever else it names.
fn summary(bytes: &Bytes) -> Value {
    let Some((_, decoded)) = read_request(bytes, false) else {
        return Value::Static("");
    };
    let mut names = Vec::new();
    for list in [
        "topicData",
        "topics",
        "topicNames",
        "groups",
        "groupIds",
        "groupsNames",
        "coordinatorKeys",
    ] {
        if let Some(Value::List(list)) = decoded.fields.member(list) {
            for element in list {
                names.extend(name_of(element));
            }
        }
    }
    if names.is_empty() {
        for member in [
            "groupId",
            "key",
            "transactionalID",
            "mechanism",
            "clientSoftwareName",
        ] {
            names.extend(decoded.fields.member(member).and_then(name_of));
        }
    }
    names.truncate(MAX_SUMMARY_NAMES);
    Value::text(names.join(", "))
}

fn name_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::Object(_) => ["name", "topic", "topicName", "topicID", "groupId"]
            .iter()
            .find_map(|name| value.member(name).and_then(name_of)),
        Value::Text(text) => Some(text_of(text).into_owned()),
        _ => None,
    };
    text.filter(|text| !text.is_empty())
}
