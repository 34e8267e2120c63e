//! A DNS message as the values of an item; made only when somebody reads them.
//!
//! In: the bytes of one message. Out: `request` and `response` in the shape that `mod.rs` draws.

use bytes::Bytes;

use super::parser::{Message, Question, Record, Section};
use super::rdata::{OPT, data_text};
use crate::item::{Key, Value};

/// Records that one item shows. A compressed record of 12 bytes is shown in some hundred, so a
/// message of 64 KiB must not be shown whole; zone transfers alone have more.
const MAX_RECORDS: usize = 2048;

/// The member `request` of an item.
pub(super) fn request(bytes: &Bytes) -> Value {
    let Ok(message) = Message::new(bytes) else {
        return Value::Null;
    };
    let questions = message
        .questions()
        .map_while(Result::ok)
        .take(MAX_RECORDS)
        .map(|question| question_value(&message, &question))
        .collect();
    object([
        ("opCode", opcode_text(message.header().opcode())),
        ("questions", Value::List(questions)),
    ])
}

/// The member `response` of an item.
pub(super) fn response(bytes: &Bytes) -> Value {
    let Ok(message) = Message::new(bytes) else {
        return Value::Null;
    };
    let mut sections = [Vec::new(), Vec::new(), Vec::new()];
    for record in records(message) {
        let [answers, authorities, additionals] = &mut sections;
        match record.section {
            Section::Answer => answers,
            Section::Authority => authorities,
            Section::Additional => additionals,
        }
        .push(record_value(&message, &record));
    }
    let [answers, authorities, additionals] = sections;
    object([
        ("code", code_text(code(message))),
        ("answers", Value::List(answers)),
        ("authorities", Value::List(authorities)),
        ("additionals", Value::List(additionals)),
    ])
}

fn records(message: Message<'_>) -> impl Iterator<Item = Record> {
    message.records().map_while(Result::ok).take(MAX_RECORDS)
}

/// The response code, the part that EDNS adds included.
pub(super) fn code(message: Message<'_>) -> u16 {
    let mut code = u16::from(message.header().rcode());
    for record in records(message) {
        if record.kind == OPT && record.section == Section::Additional {
            // The upper eight bits of the code (RFC 6891 section 6.1.3).
            code |= (record.ttl >> 24) as u16 * 16;
        }
    }
    code
}

fn object<const N: usize>(members: [(&'static str, Value); N]) -> Value {
    Value::Object(
        members
            .into_iter()
            .map(|(name, value)| (Key::Static(name), value))
            .collect(),
    )
}

fn question_value(message: &Message<'_>, question: &Question) -> Value {
    object([
        ("name", name_value(message, question.name)),
        ("type", type_text(question.kind)),
        ("class", class_text(question.class)),
    ])
}

fn record_value(message: &Message<'_>, record: &Record) -> Value {
    const DATA: [&str; 10] = [
        "ip", "ns", "cname", "ptr", "txts", "soa", "srv", "mx", "opt", "uri",
    ];
    let (member, text) = data_text(message, record);
    // Class and time to live of OPT hold other things, which `opt` shows.
    let (class, ttl) = match record.kind {
        OPT => (Value::Static(""), 0),
        _ => (class_text(record.class), record.ttl),
    };
    let mut members = Vec::with_capacity(4 + DATA.len());
    members.push(("name".into(), name_value(message, record.name)));
    members.push(("type".into(), type_text(record.kind)));
    members.push(("class".into(), class));
    members.push(("ttl".into(), Value::Int(ttl.into())));
    let mut text = Some(text);
    for name in DATA {
        let value = match text.take_if(|_| name == member) {
            Some(text) => Value::text(text),
            None => Value::Static(""),
        };
        members.push((name.into(), value));
    }
    if let Some(text) = text {
        members.push((member.into(), Value::text(text)));
    }
    Value::Object(members)
}

fn name_value(message: &Message<'_>, at: usize) -> Value {
    match message.name(at) {
        Ok((labels, _)) => Value::text(name_text(&labels)),
        Err(_) => Value::Static(""),
    }
}

/// A name with dots between its labels and none behind the last; the root is one dot.
///
/// A dot, backslash or control character within a label is escaped (RFC 1035 section 5.1); other
/// bytes are shown as UTF-8, as multicast DNS has them.
pub(super) fn name_text(labels: &[&[u8]]) -> String {
    if labels.is_empty() {
        return ".".into();
    }
    let mut text = Vec::with_capacity(labels.iter().map(|label| 1 + label.len()).sum());
    for (index, label) in labels.iter().enumerate() {
        if index > 0 {
            text.push(b'.');
        }
        // Nearly all labels are; without a way out in the middle, many bytes are looked at at once.
        let is_plain = label.iter().fold(true, |all, byte| {
            all & matches!(byte, b' '..=b'~') & (*byte != b'.') & (*byte != b'\\')
        });
        if is_plain {
            text.extend_from_slice(label);
            continue;
        }
        for &byte in *label {
            match byte {
                b'.' | b'\\' => text.extend([b'\\', byte]),
                0..0x20 | 0x7f => text.extend(format!("\\{byte:03}").bytes()),
                byte => text.push(byte),
            }
        }
    }
    String::from_utf8(text)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Names of the IANA registry "DNS OpCodes".
pub(super) fn opcode_text(opcode: u8) -> Value {
    Value::Static(match opcode {
        0 => "Query",
        1 => "Inverse Query",
        2 => "Status",
        4 => "Notify",
        5 => "Update",
        6 => "DNS Stateful Operations",
        _ => "Unassigned",
    })
}

/// Names of the IANA registry "DNS RCODEs".
pub(super) fn code_text(code: u16) -> Value {
    Value::Static(match code {
        0 => "No Error",
        1 => "Format Error",
        2 => "Server Failure",
        3 => "Non-Existent Domain",
        4 => "Not Implemented",
        5 => "Query Refused",
        6 => "Name Exists when it should not",
        7 => "RR Set Exists when it should not",
        8 => "RR Set that should exist does not",
        9 => "Server Not Authoritative for zone",
        10 => "Name not contained in zone",
        11 => "DSO-TYPE Not Implemented",
        16 => "Bad OPT Version",
        17 => "Key not recognized",
        18 => "Signature out of time window",
        19 => "Bad TKEY Mode",
        20 => "Duplicate key name",
        21 => "Algorithm not supported",
        22 => "Bad Truncation",
        23 => "Bad/missing Server Cookie",
        code => return Value::text(format!("Code {code}")),
    })
}

/// Class mnemonics; in multicast DNS the top bit means something else (RFC 6762 section 18.12).
pub(super) fn class_text(class: u16) -> Value {
    Value::Static(match class & 0x7fff {
        1 => "IN",
        3 => "CH",
        4 => "HS",
        254 => "NONE",
        255 => "ANY",
        other => return Value::text(format!("CLASS{other}")),
    })
}

/// Mnemonics of the IANA registry "Resource Record (RR) TYPEs"; others as `TYPE<n>` (RFC 3597).
pub(super) fn type_text(kind: u16) -> Value {
    Value::Static(match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        10 => "NULL",
        11 => "WKS",
        12 => "PTR",
        13 => "HINFO",
        14 => "MINFO",
        15 => "MX",
        16 => "TXT",
        17 => "RP",
        18 => "AFSDB",
        24 => "SIG",
        25 => "KEY",
        28 => "AAAA",
        29 => "LOC",
        33 => "SRV",
        35 => "NAPTR",
        36 => "KX",
        37 => "CERT",
        39 => "DNAME",
        41 => "OPT",
        42 => "APL",
        43 => "DS",
        44 => "SSHFP",
        45 => "IPSECKEY",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        49 => "DHCID",
        50 => "NSEC3",
        51 => "NSEC3PARAM",
        52 => "TLSA",
        53 => "SMIMEA",
        55 => "HIP",
        59 => "CDS",
        60 => "CDNSKEY",
        61 => "OPENPGPKEY",
        62 => "CSYNC",
        63 => "ZONEMD",
        64 => "SVCB",
        65 => "HTTPS",
        99 => "SPF",
        104 => "NID",
        105 => "L32",
        106 => "L64",
        107 => "LP",
        108 => "EUI48",
        109 => "EUI64",
        249 => "TKEY",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        256 => "URI",
        257 => "CAA",
        other => return Value::text(format!("TYPE{other}")),
    })
}
