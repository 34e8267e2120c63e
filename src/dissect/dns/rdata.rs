//! A record's data as text.
//!
//! In: a record's frame and its message. Out: text in the form of a zone file (RFC 1035 section 5),
//! names without the last dot. Types that are rarely seen are read by `hickory-proto`; what it does
//! not read either is shown as RFC 3597 says.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::{RData, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, Restrict};

use super::parser::{Message, ParseError, Record};
use super::render::name_text;

/// OPT, the pseudo-record of EDNS (RFC 6891).
pub(super) const OPT: u16 = 41;

/// The member of a record that holds its data, and the data.
pub(super) fn data_text(message: &Message<'_>, record: &Record) -> (&'static str, String) {
    let read = known(message, record);
    match read {
        Ok(Some(found)) => found,
        Ok(None) => ("data", other(message, record)),
        Err(_) => ("data", generic(message, record)),
    }
}

fn known(
    message: &Message<'_>,
    record: &Record,
) -> Result<Option<(&'static str, String)>, ParseError> {
    let name = |at| {
        message
            .name(at)
            .map(|(labels, end)| (name_text(&labels), end))
    };
    let mut reader = message.reader(record.data)?;
    Ok(Some(match record.kind {
        1 if record.len == 4 => ("ip", Ipv4Addr::from(reader.u32()?).to_string()),
        28 if record.len == 16 => {
            let halves = [reader.u64()?, reader.u64()?].map(u128::from);
            let ip = Ipv6Addr::from(halves[0] << 64 | halves[1]);
            ("ip", ip.to_string())
        }
        2 => ("ns", name(record.data)?.0),
        5 | 39 => ("cname", name(record.data)?.0),
        12 => ("ptr", name(record.data)?.0),
        6 => {
            let (server, at) = name(record.data)?;
            let (mailbox, at) = name(at)?;
            let mut reader = message.reader(at)?;
            let mut text = format!("{server} {mailbox}");
            for _ in 0..5 {
                let _ = write!(text, " {}", reader.u32()?);
            }
            ("soa", text)
        }
        15 => {
            let preference = reader.u16()?;
            ("mx", format!("{preference} {}", name(reader.offset())?.0))
        }
        33 => {
            let (priority, weight, port) = (reader.u16()?, reader.u16()?, reader.u16()?);
            let target = name(reader.offset())?.0;
            ("srv", format!("{priority} {weight} {port} {target}"))
        }
        16 | 99 => {
            let mut texts = Vec::new();
            while reader.offset() < record.data + record.len {
                let length = usize::from(reader.u8()?);
                texts.push(String::from_utf8_lossy(reader.take(length)?).into_owned());
            }
            ("txts", texts.join(", "))
        }
        256 if record.len >= 4 => {
            let (priority, weight) = (reader.u16()?, reader.u16()?);
            let target = String::from_utf8_lossy(reader.take(record.len - 4)?);
            ("uri", format!("{priority} {weight} {target}"))
        }
        OPT => ("opt", opt(message, record)?),
        _ => return Ok(None),
    }))
}

/// `udp=1232, version=0, do, COOKIE=0011223344556677`.
fn opt(message: &Message<'_>, record: &Record) -> Result<String, ParseError> {
    let mut text = format!("udp={}, version={}", record.class, record.ttl >> 16 & 0xff);
    if record.ttl & 0x8000 != 0 {
        text.push_str(", do");
    }
    let mut reader = message.reader(record.data)?;
    while reader.offset() < record.data + record.len {
        let code = reader.u16()?;
        let length = usize::from(reader.u16()?);
        let value = reader.take(length)?;
        let name = match code {
            3 => "NSID",
            8 => "CLIENT-SUBNET",
            9 => "EXPIRE",
            10 => "COOKIE",
            11 => "TCP-KEEPALIVE",
            12 => "PADDING",
            14 => "KEY-TAG",
            15 => "EXTENDED-ERROR",
            18 => "REPORT-CHANNEL",
            19 => "ZONEVERSION",
            _ => "",
        };
        text.push_str(", ");
        match name {
            "" => {
                let _ = write!(text, "OPT{code}");
            }
            // Nothing but zeros: its length says all.
            "PADDING" => {
                let _ = write!(text, "PADDING={length}");
                continue;
            }
            name => text.push_str(name),
        }
        text.push('=');
        hex(value, &mut text);
    }
    Ok(text)
}

/// Types that `hickory-proto` can print: CAA, HTTPS, NAPTR, SSHFP, TLSA and their like.
fn other(message: &Message<'_>, record: &Record) -> String {
    let kind = RecordType::from(record.kind);
    let mut decoder = BinDecoder::new(message.bytes());
    let mut text = String::new();
    let printed = decoder.read_slice(record.data).is_ok()
        && u16::try_from(record.len).is_ok_and(|length| {
            match RData::read(&mut decoder, kind, Restrict::new(length)) {
                Ok(RData::Unknown { .. } | RData::NULL(_)) | Err(_) => false,
                // Some types refuse to be printed.
                Ok(data) => write!(text, "{data}").is_ok(),
            }
        });
    if printed {
        text
    } else {
        generic(message, record)
    }
}

/// `\# 4 0a000001` (RFC 3597 section 5).
fn generic(message: &Message<'_>, record: &Record) -> String {
    let data = message
        .reader(record.data)
        .ok()
        .and_then(|mut reader| reader.take(record.len).ok())
        .unwrap_or_default();
    let mut text = format!("\\# {}", data.len());
    if !data.is_empty() {
        text.push(' ');
        hex(data, &mut text);
    }
    text
}

fn hex(bytes: &[u8], into: &mut String) {
    for byte in bytes {
        let _ = write!(into, "{byte:02x}");
    }
}
