//! Chunks and messages as the values of an item; made only when somebody reads them.
//!
//! In: the bytes that the dissector put together. Out: `data` in the shape that `mod.rs` draws.

use bytes::Bytes;

use super::dissector::type_value;
use super::parser::{ABORT, CHUNK_HEADER, DATA, ERROR, I_DATA, INIT, INIT_ACK};
use crate::bytes::{Reader, Short};
use crate::item::{Key, MAX_ITEM_BODY, Value};

/// What stands before a message.
pub(super) const DATA_HEADER: usize = 28;

/// What stands before the value of a control chunk.
pub(super) const CONTROL_HEADER: usize = 12;

/// Causes of one chunk that are shown.
const MAX_CAUSES: usize = 16;

type Members = Vec<(Key, Value)>;

/// A message, behind its header of [`DATA_HEADER`] bytes.
pub(super) fn data(bytes: &Bytes) -> Value {
    let mut members = Members::new();
    // The header was written by the dissector: nothing of it is missing.
    let _ = data_members(bytes, &mut members);
    Value::Object(members)
}

fn data_members(bytes: &Bytes, members: &mut Members) -> Result<(), Short> {
    let mut reader = Reader::new(bytes);
    let tag = reader.u32()?;
    let checksum = reader.u32()?;
    let (kind, header) = match reader.u8()? {
        0 => (DATA, 12),
        _ => (I_DATA, 16),
    };
    let flags = reader.u8()?;
    let len = reader.u32()?;
    let chunk_len = i64::from(len) + header + CHUNK_HEADER as i64;
    front(members, checksum, kind, chunk_len, flags, tag);
    members.push(("tsn".into(), Value::Int(reader.u32()?.into())));
    members.push(("streamId".into(), Value::Int(reader.u16()?.into())));
    members.push(("streamSeq".into(), Value::Int(reader.u32()?.into())));
    let protocol = reader.u32()?;
    members.push(("payloadProtocol".into(), Value::Int(protocol.into())));
    members.push((
        "payloadProtocolName".into(),
        Value::Static(protocol_name(protocol)),
    ));
    let payload = bytes.slice(reader.offset()..);
    if usize::try_from(len).is_ok_and(|len| len > MAX_ITEM_BODY) {
        members.push(("truncated".into(), Value::Bool(true)));
    }
    members.push(("payload".into(), Value::Base64(payload)));
    Ok(())
}

/// A control chunk, behind its header of [`CONTROL_HEADER`] bytes.
pub(super) fn control(bytes: &Bytes) -> Value {
    let mut members = Members::new();
    // What is cut off is left out.
    let _ = control_members(bytes, &mut members);
    Value::Object(members)
}

fn control_members(bytes: &Bytes, members: &mut Members) -> Result<(), Short> {
    let mut reader = Reader::new(bytes);
    let (tag, checksum) = (reader.u32()?, reader.u32()?);
    let (kind, flags, length) = (reader.u8()?, reader.u8()?, reader.u16()?);
    front(members, checksum, kind, length.into(), flags, tag);
    let payload = bytes.slice(reader.offset()..);
    match kind {
        INIT | INIT_ACK => {
            members.push(("initiateTag".into(), Value::Int(reader.u32()?.into())));
            members.push(("window".into(), Value::Int(reader.u32()?.into())));
            members.push(("outboundStreams".into(), Value::Int(reader.u16()?.into())));
            members.push(("inboundStreams".into(), Value::Int(reader.u16()?.into())));
            members.push(("initialTsn".into(), Value::Int(reader.u32()?.into())));
        }
        ABORT | ERROR => {
            let causes = cause_names(&payload).into_iter().map(Value::text);
            members.push(("causes".into(), Value::List(causes.collect())));
        }
        _ => {}
    }
    members.push(("payload".into(), Value::Base64(payload)));
    Ok(())
}

fn front(members: &mut Members, checksum: u32, kind: u8, length: i64, flags: u8, tag: u32) {
    members.extend([
        ("checksum".into(), Value::Int(checksum.into())),
        ("chunkType".into(), type_value(kind)),
        ("length".into(), Value::Int(length)),
        ("flags".into(), Value::Int(flags.into())),
        ("verificationTag".into(), Value::Int(tag.into())),
    ]);
}

/// Names of the error causes in an ABORT or ERROR chunk (RFC 9260 section 3.3.10).
pub(super) fn cause_names(value: &[u8]) -> Vec<String> {
    const NAMES: [&str; 13] = [
        "Invalid Stream Identifier",
        "Missing Mandatory Parameter",
        "Stale Cookie",
        "Out of Resource",
        "Unresolvable Address",
        "Unrecognized Chunk Type",
        "Invalid Mandatory Parameter",
        "Unrecognized Parameters",
        "No User Data",
        "Cookie Received While Shutting Down",
        "Restart of an Association with New Addresses",
        "User-Initiated Abort",
        "Protocol Violation",
    ];
    let mut reader = Reader::new(value);
    let mut causes = Vec::new();
    while causes.len() < MAX_CAUSES {
        let (Ok(code), Ok(length)) = (reader.u16(), reader.u16()) else {
            break;
        };
        let name = usize::from(code)
            .checked_sub(1)
            .and_then(|index| NAMES.get(index));
        causes.push(name.map_or_else(|| format!("Cause {code}"), |name| (*name).to_owned()));
        let len = usize::from(length).max(4).next_multiple_of(4) - 4;
        if reader.skip(len).is_err() {
            break;
        }
    }
    causes
}

/// IANA registry "SCTP Payload Protocol Identifiers", those met in the field.
fn protocol_name(protocol: u32) -> &'static str {
    match protocol {
        1 => "IUA",
        2 => "M2UA",
        3 => "M3UA",
        4 => "SUA",
        5 => "M2PA",
        6 => "V5UA",
        7 => "H.248",
        8 => "BICC/Q.2150.3",
        9 => "TALI",
        10 => "DUA",
        11 => "ASAP",
        12 => "ENRP",
        13 => "H.323",
        14 => "Q.IPC/Q.2150.3",
        18 => "S1AP",
        19 => "RUA",
        20 => "HNBAP",
        24 => "SBc-AP",
        25 => "NBAP",
        27 => "X2AP",
        29 => "LCS-AP",
        30 => "MPICH2",
        31 => "SABP",
        43 => "M2AP",
        44 => "M3AP",
        45 => "SSH",
        46 => "Diameter",
        47 => "Diameter over DTLS",
        48 => "R14P",
        50 => "WebRTC DCEP",
        51 => "WebRTC String",
        53 => "WebRTC Binary",
        60 => "NGAP",
        61 => "XnAP",
        62 => "F1AP",
        63 => "HTTP/SCTP",
        64 => "E1AP",
        65 => "ELE2 Lawful Interception",
        66 => "NGAP over DTLS",
        68 => "F1AP over DTLS",
        70 => "E2-CP",
        71 => "E2-UP",
        72 => "E2-DU",
        73 => "W1AP",
        _ => "",
    }
}
