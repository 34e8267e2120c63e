//! Record batches (magic 2) and the message sets before them (magic 0 and 1).
//!
//! In: the bytes of one partition's records, perhaps cut at their end. Out: one value with the
//! records of all batches in order. Never: more unpacked than [`Limits`] allow; a batch within a
//! batch within a batch. Standard: the "Record Batch" and "Old Message Format" chapters of the
//! implementation guide of Apache Kafka; KIP-98, KIP-110.
//!
//! ```text
//! records     = {recordBatch: {baseOffset, batchLength, partitionLeaderEpoch, magic, crc,
//!                attributes, lastOffsetDelta, firstTimestamp, maxTimestamp, producerId,
//!                producerEpoch, baseSequence, record: [record], compression, batches}}
//! record      = {key, value, headers: [{headerKey, value}], offsetDelta, timestampDelta, offset,
//!                timestamp}
//! ```
//!
//! What stands before `record` is of the first batch; message sets have no more of it than
//! `baseOffset`, `batchLength`, `magic`, `crc` and `attributes`. An `offset` is null where a packed
//! set of magic 1 is cut. Keys and values are text when they
//! are UTF-8, else base64.

use bytes::Bytes;

use super::decode::Limits;
use super::unpack::{self, Codec};
use crate::bytes::{Reader, Short};
use crate::item::{Key, Value};

/// Bytes before the magic byte in every format: offset, length and, by format, epoch or checksum.
const BEFORE_MAGIC: usize = 16;

/// Bytes of offset and length, which the length does not count.
const BEFORE_LENGTH: usize = 12;

type Members = Vec<(Key, Value)>;

/// The records of one partition.
pub(super) fn records(bytes: &Bytes, limits: &mut Limits) -> Value {
    let mut rest = bytes.clone();
    let mut first: Option<Members> = None;
    let mut list = Vec::new();
    let mut batches = 0;
    let mut compression = Codec::None;
    while rest.len() > BEFORE_MAGIC && !limits.met {
        let mut reader = Reader::new(&rest);
        let _ = reader.skip(BEFORE_LENGTH - 4);
        let length = reader.u32().map_or(-1, u32::cast_signed);
        let Some(end) = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(BEFORE_LENGTH))
        else {
            break;
        };
        let whole = rest.get(..end).is_some();
        let batch = rest.split_to(end.min(rest.len()));
        let parsed = match batch.get(BEFORE_MAGIC) {
            Some(2) => record_batch(&batch, &mut list, limits),
            Some(0 | 1) => message(&batch, &mut list, limits),
            _ => break,
        };
        batches += 1;
        // Brokers send what fits: the last batch of a Fetch response may be cut.
        if let Ok((members, codec)) = parsed
            && first.is_none()
        {
            (first, compression) = (Some(members), codec);
        }
        if !whole {
            break;
        }
    }
    let mut batch = first.unwrap_or_default();
    batch.push(("record".into(), Value::List(list)));
    batch.push(("compression".into(), Value::Static(compression.name())));
    batch.push(("batches".into(), Value::Int(batches)));
    Value::Object(vec![("recordBatch".into(), Value::Object(batch))])
}

/// Reads a batch of magic 2: its fields, and its records into `list`.
fn record_batch(
    batch: &Bytes,
    list: &mut Vec<Value>,
    limits: &mut Limits,
) -> Result<(Members, Codec), Short> {
    let mut reader = Reader::new(batch);
    let base_offset = reader.u64()?.cast_signed();
    let length = reader.u32()?.cast_signed();
    let epoch = reader.u32()?.cast_signed();
    let magic = reader.u8()?;
    let crc = reader.u32()?;
    let attributes = reader.u16()?.cast_signed();
    let last_offset_delta = reader.u32()?.cast_signed();
    let base_timestamp = reader.u64()?.cast_signed();
    let max_timestamp = reader.u64()?.cast_signed();
    let members = vec![
        ("baseOffset".into(), Value::Int(base_offset)),
        ("batchLength".into(), Value::Int(length.into())),
        ("partitionLeaderEpoch".into(), Value::Int(epoch.into())),
        ("magic".into(), Value::Int(magic.into())),
        ("crc".into(), Value::Int(crc.into())),
        ("attributes".into(), Value::Int(attributes.into())),
        (
            "lastOffsetDelta".into(),
            Value::Int(last_offset_delta.into()),
        ),
        ("firstTimestamp".into(), Value::Int(base_timestamp)),
        ("maxTimestamp".into(), Value::Int(max_timestamp)),
        ("producerId".into(), Value::Int(reader.u64()?.cast_signed())),
        (
            "producerEpoch".into(),
            Value::Int(reader.u16()?.cast_signed().into()),
        ),
        (
            "baseSequence".into(),
            Value::Int(reader.u32()?.cast_signed().into()),
        ),
    ];
    let count = reader.u32()?;
    let codec = Codec::of(attributes);
    let body = batch.slice_ref(reader.rest());
    let Some(body) = unpack::unpack(codec, &body, limits) else {
        return Ok((members, codec));
    };
    let mut reader = Reader::new(&body);
    for _ in 0..count {
        if reader.is_empty() || !limits.element() {
            break;
        }
        let Ok(record) = record(&body, &mut reader, base_offset, base_timestamp, limits) else {
            break;
        };
        list.push(record);
    }
    Ok((members, codec))
}

fn record(
    body: &Bytes,
    reader: &mut Reader<'_>,
    base_offset: i64,
    base_timestamp: i64,
    limits: &mut Limits,
) -> Result<Value, Short> {
    let length = usize::try_from(varint(reader)?).unwrap_or(0);
    let mut reader = Reader::new(reader.take(length)?);
    reader.skip(1)?;
    let timestamp_delta = varint(&mut reader)?;
    let offset_delta = varint(&mut reader)?;
    let key = field(body, &mut reader)?;
    let value = field(body, &mut reader)?;
    let mut headers = Vec::new();
    for _ in 0..varint(&mut reader)?.max(0) {
        if !limits.element() {
            break;
        }
        let key = field(body, &mut reader)?;
        let value = field(body, &mut reader)?;
        headers.push(Value::Object(vec![
            ("headerKey".into(), key),
            ("value".into(), value),
        ]));
    }
    Ok(Value::Object(vec![
        ("key".into(), key),
        ("value".into(), value),
        ("headers".into(), Value::List(headers)),
        ("offsetDelta".into(), Value::Int(offset_delta)),
        ("timestampDelta".into(), Value::Int(timestamp_delta)),
        (
            "offset".into(),
            Value::Int(base_offset.saturating_add(offset_delta)),
        ),
        (
            "timestamp".into(),
            Value::Int(base_timestamp.saturating_add(timestamp_delta)),
        ),
    ]))
}

/// Bytes behind a varint of their length; null when that is negative.
fn field(body: &Bytes, reader: &mut Reader<'_>) -> Result<Value, Short> {
    match usize::try_from(varint(reader)?) {
        Ok(length) => Ok(text_or_base64(body.slice_ref(reader.take(length)?))),
        Err(_) => Ok(Value::Null),
    }
}

/// Reads a message of magic 0 or 1, or the set that is packed in it.
fn message(
    bytes: &Bytes,
    list: &mut Vec<Value>,
    limits: &mut Limits,
) -> Result<(Members, Codec), Short> {
    let outer = Message::read(bytes)?;
    let members = vec![
        ("baseOffset".into(), Value::Int(outer.offset)),
        ("batchLength".into(), Value::Int(outer.length.into())),
        ("magic".into(), Value::Int(outer.magic.into())),
        ("crc".into(), Value::Int(outer.crc.into())),
        ("attributes".into(), Value::Int(outer.attributes.into())),
    ];
    let codec = Codec::of(outer.attributes);
    if codec == Codec::None {
        if limits.element() {
            list.push(outer.into_record(Some(0)));
        }
        return Ok((members, codec));
    }
    let packed = outer.value.clone().unwrap_or_default();
    let Some(mut rest) = unpack::unpack(codec, &packed, limits) else {
        return Ok((members, codec));
    };
    let mut inner = Vec::new();
    let mut last = None;
    while rest.len() > BEFORE_MAGIC {
        let Ok(message) = Message::read(&rest) else {
            break;
        };
        let end = usize::try_from(message.length)
            .ok()
            .and_then(|length| length.checked_add(BEFORE_LENGTH));
        let Some(end) = end.filter(|end| *end <= rest.len()) else {
            break;
        };
        last = Some(message.offset);
        // What is not shown still tells where the set ends.
        if limits.element() {
            inner.push(message);
        }
        let _ = rest.split_to(end);
    }
    // With magic 1 the inner offsets count from the set's beginning, and the outer one is that of
    // the last message (KIP-31): where the set is cut, nothing tells the others.
    let shift = match outer.magic {
        1 => last
            .filter(|_| rest.is_empty())
            .map(|last| outer.offset.saturating_sub(last)),
        _ => Some(0),
    };
    list.extend(inner.into_iter().map(|message| message.into_record(shift)));
    Ok((members, codec))
}

struct Message {
    offset: i64,
    length: i32,
    crc: u32,
    magic: u8,
    attributes: i16,
    timestamp: Option<i64>,
    key: Option<Bytes>,
    value: Option<Bytes>,
}

impl Message {
    fn read(bytes: &Bytes) -> Result<Message, Short> {
        let mut reader = Reader::new(bytes);
        let offset = reader.u64()?.cast_signed();
        let length = reader.u32()?.cast_signed();
        let crc = reader.u32()?;
        let magic = reader.u8()?;
        let attributes = reader.u8()?.into();
        let timestamp = match magic {
            0 => None,
            _ => Some(reader.u64()?.cast_signed()),
        };
        let mut part = || -> Result<Option<Bytes>, Short> {
            match usize::try_from(reader.u32()?.cast_signed()) {
                Ok(length) => Ok(Some(bytes.slice_ref(reader.take(length)?))),
                Err(_) => Ok(None),
            }
        };
        Ok(Message {
            offset,
            length,
            crc,
            magic,
            attributes,
            timestamp,
            key: part()?,
            value: part()?,
        })
    }

    /// The record's value; without a `shift` its offset is not known.
    fn into_record(self, shift: Option<i64>) -> Value {
        let part = |bytes: Option<Bytes>| bytes.map_or(Value::Null, text_or_base64);
        let mut members = vec![
            ("key".into(), part(self.key)),
            ("value".into(), part(self.value)),
            ("headers".into(), Value::List(Vec::new())),
            (
                "offset".into(),
                shift.map_or(Value::Null, |shift| {
                    Value::Int(self.offset.saturating_add(shift))
                }),
            ),
        ];
        if let Some(timestamp) = self.timestamp {
            members.push(("timestamp".into(), Value::Int(timestamp)));
        }
        Value::Object(members)
    }
}

fn text_or_base64(bytes: Bytes) -> Value {
    match std::str::from_utf8(&bytes) {
        Ok(_) => Value::Text(bytes),
        Err(_) => Value::Base64(bytes),
    }
}

/// Seven bits a byte, least significant first, then zigzag: 0, -1, 1, -2, ...
fn varint(reader: &mut Reader<'_>) -> Result<i64, Short> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let byte = reader.u8()?;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_zigzag() {
        let cases: &[(&[u8], i64)] = &[
            (&[0], 0),
            (&[1], -1),
            (&[2], 1),
            (&[3], -2),
            (&[0xac, 0x02], 150),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                i64::MIN,
            ),
            (
                &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                i64::MAX,
            ),
        ];
        for (bytes, value) in cases {
            assert_eq!(varint(&mut Reader::new(bytes)), Ok(*value), "{bytes:?}");
        }
        assert!(varint(&mut Reader::new(&[0x80])).is_err());
    }
}
