//! A Diameter message as the values of an item; made only when somebody reads them.
//!
//! In: the bytes of one message. Out: `request` or `response` in the shape that `mod.rs` draws.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

use super::command;
use super::dictionary::{self, Kind, VENDOR_3GPP};
use super::parser::{self, Avp, HEADER, Header};
use crate::bytes::Reader;
use crate::item::{Key, Value};
use crate::time::Timestamp;

/// AVPs of one message that are shown; a large credit control request has some hundred.
const MAX_AVPS: usize = 1024;

/// Groups within groups that are opened; 3GPP's deepest have six.
const MAX_DEPTH: usize = 10;

/// Bytes of one value that are shown: certificates and service profiles fit.
const MAX_VALUE: usize = 16 * 1024;

/// Seconds from 1900, where NTP's time begins, to 1970 (RFC 5905 section 6).
const NTP_TO_UNIX: i64 = 2_208_988_800;

const SESSION_ID: u32 = 263;
const ORIGIN_HOST: u32 = 264;
const RESULT_CODE: u32 = 268;
const EXPERIMENTAL_RESULT: u32 = 297;
const EXPERIMENTAL_RESULT_CODE: u32 = 298;
const CC_REQUEST_TYPE: u32 = 416;

type Members = Vec<(Key, Value)>;

/// The member `request` or `response` of an item.
pub(super) fn message(bytes: &Bytes) -> Value {
    let Some(header) = parser::header(bytes) else {
        return Value::Null;
    };
    let body = bytes.get(HEADER..).unwrap_or_default();
    let mut members: Members = vec![
        ("method".into(), Value::text(method(&header))),
        ("commandCode".into(), Value::Int(header.command.into())),
        (
            "applicationId".into(),
            Value::Int(header.application.into()),
        ),
        (
            "application".into(),
            Value::Static(command::application_name(header.application)),
        ),
        ("flags".into(), flags(&header)),
        ("hopByHopId".into(), Value::Int(header.hop_by_hop.into())),
        ("endToEndId".into(), Value::Int(header.end_to_end.into())),
        ("length".into(), count(header.length)),
        ("summary".into(), Value::text(summary(&header, body))),
    ];
    if !header.is_request()
        && let Some((code, name)) = result(body)
    {
        members.push(("resultCode".into(), Value::Int(code.into())));
        members.push(("result".into(), Value::Static(name)));
    }
    if header.length > bytes.len() {
        members.push(("truncated".into(), Value::Bool(true)));
    }
    let mut left = MAX_AVPS;
    members.push(("avps".into(), avp_list(body, &mut left, 0)));
    Value::Object(members)
}

/// The command's name, `Command<n>` when it has none.
pub(super) fn method(header: &Header) -> String {
    let what = if header.is_request() {
        "Request"
    } else {
        "Answer"
    };
    match command::name(header.command) {
        Some(name) => format!("{name}-{what}"),
        None => format!("Command{}-{what}", header.command),
    }
}

fn flags(header: &Header) -> Value {
    let names = [
        (Header::REQUEST, "request"),
        (Header::PROXIABLE, "proxiable"),
        (Header::ERROR, "error"),
        (Header::RETRANSMITTED, "retransmitted"),
    ];
    let set = names.iter().filter(|(bit, _)| header.flags & bit != 0);
    Value::List(set.map(|(_, name)| Value::Static(name)).collect())
}

/// The command, the kind of credit control request, and the session or who speaks.
fn summary(header: &Header, body: &[u8]) -> String {
    let (mut kind, mut session, mut host) = (None, None, None);
    for avp in parser::avps(body).map_while(Result::ok).take(MAX_AVPS) {
        match (avp.vendor, avp.code) {
            (0, CC_REQUEST_TYPE) => {
                kind = integer(avp.data).and_then(|value| command::enumerated(avp.code, value));
            }
            (0, SESSION_ID) => session = Some(avp.data),
            (0, ORIGIN_HOST) => host = Some(avp.data),
            _ => {}
        }
    }
    let mut text = method(header);
    if let Some(kind) = kind {
        text.push(' ');
        text.push_str(kind);
    }
    if let Some(who) = session.or(host) {
        let shown = who.get(..MAX_VALUE).unwrap_or(who);
        text.push(' ');
        text.push_str(&String::from_utf8_lossy(shown));
    }
    text
}

fn integer(data: &[u8]) -> Option<i32> {
    let value = Reader::new(data).u32().ok()?;
    Some(value.cast_signed())
}

/// The result code, or the experimental one with the name that its vendor gives it.
fn result(body: &[u8]) -> Option<(u32, &'static str)> {
    let code = |avp: &Avp<'_>| Reader::new(avp.data).u32().ok();
    let mut avps = parser::avps(body).map_while(Result::ok).take(MAX_AVPS);
    avps.find_map(|avp| match (avp.vendor, avp.code) {
        (0, RESULT_CODE) => code(&avp).map(|code| (code, command::result_name(code))),
        (0, EXPERIMENTAL_RESULT) => {
            let mut inner = parser::avps(avp.data).map_while(Result::ok).take(MAX_AVPS);
            let found = inner.find(|inner| inner.code == EXPERIMENTAL_RESULT_CODE)?;
            code(&found).map(|code| (code, command::experimental_name(code)))
        }
        _ => None,
    })
}

/// AVPs in order; `left` counts those that may still be shown.
fn avp_list(bytes: &[u8], left: &mut usize, depth: usize) -> Value {
    let mut list = Vec::new();
    for avp in parser::avps(bytes).map_while(Result::ok) {
        if *left == 0 {
            break;
        }
        *left -= 1;
        list.push(avp_value(&avp, left, depth));
    }
    Value::List(list)
}

fn avp_value(avp: &Avp<'_>, left: &mut usize, depth: usize) -> Value {
    let entry = dictionary::find(avp.code, avp.vendor);
    let mut members: Members = vec![
        ("code".into(), Value::Int(avp.code.into())),
        (
            "name".into(),
            match entry {
                Some((_, name, _)) => Value::Static(name),
                None if avp.vendor == VENDOR_3GPP => Value::text(format!("3GPP-{}", avp.code)),
                None => Value::text(format!("AVP-{}", avp.code)),
            },
        ),
    ];
    if avp.vendor != 0 {
        members.push(("vendorId".into(), Value::Int(avp.vendor.into())));
    }
    let letters = [
        (Avp::VENDOR, 'V'),
        (Avp::MANDATORY, 'M'),
        (Avp::PROTECTED, 'P'),
    ];
    let set = letters.iter().filter(|(bit, _)| avp.flags & bit != 0);
    let flags: String = set.map(|(_, letter)| letter).collect();
    members.push(("flags".into(), Value::text(flags)));
    let kind = entry.map(|(_, _, kind)| *kind);
    if kind == Some(Kind::Grouped) && depth < MAX_DEPTH {
        members.push(("avps".into(), avp_list(avp.data, left, depth + 1)));
        return Value::Object(members);
    }
    members.push((
        "value".into(),
        kind.and_then(|kind| typed(kind, avp.data))
            .unwrap_or_else(|| raw(avp.data)),
    ));
    if let (0, Some(Kind::Integer32)) = (avp.vendor, kind)
        && let Some(name) = integer(avp.data).and_then(|value| command::enumerated(avp.code, value))
    {
        members.push(("valueName".into(), Value::Static(name)));
    }
    if avp.data.len() > MAX_VALUE {
        members.push(("truncated".into(), Value::Bool(true)));
    }
    Value::Object(members)
}

/// Data of a known type; `None` when its length is not that of the type.
fn typed(kind: Kind, data: &[u8]) -> Option<Value> {
    let word = || data.try_into().ok().map(u32::from_be_bytes);
    let long = || data.try_into().ok().map(u64::from_be_bytes);
    Some(match kind {
        Kind::Address => Value::text(address(data)?),
        Kind::Integer32 => Value::Int(word()?.cast_signed().into()),
        Kind::Unsigned32 => Value::Int(word()?.into()),
        Kind::Integer64 => Value::Int(long()?.cast_signed()),
        Kind::Unsigned64 => match i64::try_from(long()?) {
            Ok(value) => Value::Int(value),
            Err(_) => Value::text(long()?.to_string()),
        },
        Kind::Time => {
            let seconds = i64::from(word()?);
            // RFC 6733 section 4.3.1: from 2036 on the first bit is clear and the count anew.
            let era = if seconds < 1 << 31 { 1 << 32 } else { 0 };
            Value::text(Timestamp::from_secs(seconds + era - NTP_TO_UNIX, 0).to_string())
        }
        Kind::Utf8 => {
            let shown = data.get(..MAX_VALUE).unwrap_or(data);
            Value::Text(Bytes::copy_from_slice(shown))
        }
        Kind::OctetString | Kind::Grouped => return None,
    })
}

/// RFC 6733 section 4.3.1: an address family, then the address. Those of network access have no
/// family (RFC 7155 section 4.4.10.5.1).
fn address(data: &[u8]) -> Option<String> {
    let v4 = |octets: &[u8]| {
        let octets: [u8; 4] = octets.try_into().ok()?;
        Some(Ipv4Addr::from(octets).to_string())
    };
    let v6 = |octets: &[u8]| {
        let octets: [u8; 16] = octets.try_into().ok()?;
        Some(Ipv6Addr::from(octets).to_string())
    };
    match (data, data.len()) {
        (_, 4) => v4(data),
        (_, 16) => v6(data),
        ([0, 1, octets @ ..], _) => v4(octets),
        ([0, 2, octets @ ..], _) => v6(octets),
        // A telephone number (RFC 6733 names the IANA registry of families).
        ([0, 8, digits @ ..], _) => std::str::from_utf8(digits).ok().map(str::to_owned),
        _ => None,
    }
}

/// Printable bytes as they are, others in hexadecimal.
fn raw(data: &[u8]) -> Value {
    let shown = data.get(..MAX_VALUE).unwrap_or(data);
    let printable = shown
        .iter()
        .all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    if printable {
        return Value::Text(Bytes::copy_from_slice(shown));
    }
    let digits = shown.iter().map(|byte| format!("{byte:02x}"));
    Value::text(format!("0x{}", digits.collect::<String>()))
}

fn count(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
