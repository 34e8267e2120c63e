//! An ICMP message as the values of an item; made only when somebody reads them.
//!
//! In: the bytes of one message. Out: `request` or `response` in the shape that `mod.rs` draws.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

use super::parser::Message;
use super::quoted::Quoted;
use crate::bytes::{Reader, Short};
use crate::item::{Key, Value};

/// Options, group records or sources of one message that are shown; a packet of 1500 octets holds
/// fewer than two hundred options.
const MAX_LIST: usize = 256;

type Members = Vec<(Key, Value)>;

/// A message of ICMP.
pub(super) fn v4(bytes: &Bytes) -> Value {
    message(bytes, false)
}

/// A message of ICMPv6.
pub(super) fn v6(bytes: &Bytes) -> Value {
    message(bytes, true)
}

/// Name of a message's type, `Type<n>` when it has none.
pub(super) fn type_text(message: &Message<'_>) -> String {
    message
        .type_name()
        .map_or_else(|| format!("Type{}", message.kind), str::to_owned)
}

fn message(bytes: &Bytes, v6: bool) -> Value {
    let Ok(message) = Message::parse(bytes, v6) else {
        return Value::Object(vec![
            ("type".into(), Value::Static("")),
            ("version".into(), Value::Int(if v6 { 6 } else { 4 })),
            ("length".into(), count(bytes.len())),
        ]);
    };
    let mut members: Members = vec![
        (
            "type".into(),
            match message.type_name() {
                Some(name) => Value::Static(name),
                None => Value::text(type_text(&message)),
            },
        ),
        ("version".into(), Value::Int(if v6 { 6 } else { 4 })),
        ("length".into(), count(bytes.len())),
        ("code".into(), Value::Int(message.code.into())),
        ("codeName".into(), Value::Static(message.code_name())),
    ];
    let word = message.word;
    if message.has_identifier() {
        members.push(("id".into(), Value::Int((word >> 16).into())));
        members.push(("seq".into(), Value::Int((word & 0xffff).into())));
    } else if message.is_extended_echo() {
        members.push(("id".into(), Value::Int((word >> 16).into())));
        members.push(("seq".into(), Value::Int((word >> 8 & 0xff).into())));
    }
    // What is cut off is left out.
    let _ = if v6 {
        details_v6(&message, &mut members)
    } else {
        details_v4(&message, &mut members)
    };
    if message.quotes()
        && let Some(quoted) = Quoted::read(message.body)
    {
        members.push(("quoted".into(), quoted_value(&quoted)));
    }
    Value::Object(members)
}

fn details_v4(message: &Message<'_>, members: &mut Members) -> Result<(), Short> {
    let word = message.word;
    let mut reader = Reader::new(message.body);
    match message.kind {
        // RFC 1191 section 4: the next hop's MTU in the lower half.
        3 if message.code == 4 => members.push(("mtu".into(), Value::Int((word & 0xffff).into()))),
        5 => members.push(("gateway".into(), address(Ipv4Addr::from(word)))),
        12 => members.push(("pointer".into(), Value::Int((word >> 24).into()))),
        13 | 14 => {
            for name in ["originate", "receive", "transmit"] {
                members.push((name.into(), Value::Int(reader.u32()?.into())));
            }
        }
        17 | 18 => members.push(("mask".into(), address(Ipv4Addr::from(reader.u32()?)))),
        _ => {}
    }
    Ok(())
}

fn details_v6(message: &Message<'_>, members: &mut Members) -> Result<(), Short> {
    let word = message.word;
    let mut reader = Reader::new(message.body);
    match message.kind {
        2 => members.push(("mtu".into(), Value::Int(word.into()))),
        4 => members.push(("pointer".into(), Value::Int(word.into()))),
        130..=132 => listener(message, &mut reader, members)?,
        133 => members.push(("options".into(), options(reader))),
        134 => {
            members.push(("hopLimit".into(), Value::Int((word >> 24).into())));
            let flags = [
                (0x80, "managed"),
                (0x40, "other"),
                (0x20, "home-agent"),
                (0x04, "proxy"),
            ];
            members.push(("flags".into(), flag_names(word >> 16 & 0xff, &flags)));
            members.push(("lifetime".into(), Value::Int((word & 0xffff).into())));
            members.push(("reachableTime".into(), Value::Int(reader.u32()?.into())));
            members.push(("retransTimer".into(), Value::Int(reader.u32()?.into())));
            members.push(("options".into(), options(reader)));
        }
        135 | 136 => {
            members.push(("target".into(), ipv6(&mut reader)?));
            if message.kind == 136 {
                let flags = [(4, "router"), (2, "solicited"), (1, "override")];
                members.push(("flags".into(), flag_names(word >> 29, &flags)));
            }
            members.push(("options".into(), options(reader)));
        }
        137 => {
            members.push(("target".into(), ipv6(&mut reader)?));
            members.push(("destination".into(), ipv6(&mut reader)?));
            members.push(("options".into(), options(reader)));
        }
        143 => {
            let records = usize::try_from(word & 0xffff).unwrap_or(usize::MAX);
            members.push(("records".into(), group_records(&mut reader, records)));
        }
        _ => {}
    }
    Ok(())
}

/// RFC 2710 section 3, and for the longer query RFC 3810 section 5.1.
fn listener(
    message: &Message<'_>,
    reader: &mut Reader<'_>,
    members: &mut Members,
) -> Result<(), Short> {
    members.push((
        "maxResponseDelay".into(),
        Value::Int((message.word >> 16).into()),
    ));
    members.push(("group".into(), ipv6(reader)?));
    if message.kind == 130 && reader.left() >= 4 {
        reader.skip(2)?;
        let sources = usize::from(reader.u16()?);
        members.push(("sources".into(), addresses(reader, sources)));
    }
    Ok(())
}

/// RFC 3810 section 5.2.
fn group_records(reader: &mut Reader<'_>, records: usize) -> Value {
    const TYPES: [&str; 6] = [
        "ModeIsInclude",
        "ModeIsExclude",
        "ChangeToInclude",
        "ChangeToExclude",
        "AllowNewSources",
        "BlockOldSources",
    ];
    let mut list = Vec::new();
    for _ in 0..records.min(MAX_LIST) {
        let mut record = || -> Result<Value, Short> {
            let kind = reader.u8()?;
            let auxiliary = usize::from(reader.u8()?) * 4;
            let sources = usize::from(reader.u16()?);
            let group = ipv6(reader)?;
            let sources = addresses(reader, sources);
            reader.skip(auxiliary)?;
            let name = usize::from(kind)
                .checked_sub(1)
                .and_then(|index| TYPES.get(index));
            Ok(object([
                (
                    "type",
                    name.map_or_else(
                        || Value::text(format!("Type{kind}")),
                        |name| Value::Static(name),
                    ),
                ),
                ("group", group),
                ("sources", sources),
            ]))
        };
        let Ok(record) = record() else { break };
        list.push(record);
    }
    Value::List(list)
}

/// RFC 4861 section 4.6: type, length in units of eight octets, value.
fn options(mut reader: Reader<'_>) -> Value {
    let mut list = Vec::new();
    while list.len() < MAX_LIST {
        let mut option = || {
            let kind = reader.u8().ok()?;
            let units = usize::from(reader.u8().ok()?);
            // A length of zero is nothing that goes on.
            let value = reader.take((units * 8).checked_sub(2)?).ok()?;
            Some((kind, value))
        };
        let Some((kind, value)) = option() else { break };
        list.push(option_value(kind, value).unwrap_or_else(|_| raw_option(kind, value)));
    }
    Value::List(list)
}

fn option_value(kind: u8, value: &[u8]) -> Result<Value, Short> {
    let mut reader = Reader::new(value);
    Ok(match kind {
        1 | 2 => object([
            (
                "type",
                Value::Static(match kind {
                    1 => "SourceLinkLayerAddress",
                    _ => "TargetLinkLayerAddress",
                }),
            ),
            ("address", Value::text(hex(value, ":"))),
        ]),
        3 => {
            let length = reader.u8()?;
            let flags = reader.u8()?;
            let (valid, preferred) = (reader.u32()?, reader.u32()?);
            reader.skip(4)?;
            let prefix = ipv6_address(&mut reader)?;
            object([
                ("type", Value::Static("PrefixInformation")),
                ("prefix", Value::text(format!("{prefix}/{length}"))),
                ("onLink", Value::Bool(flags & 0x80 != 0)),
                ("autonomous", Value::Bool(flags & 0x40 != 0)),
                ("validLifetime", Value::Int(valid.into())),
                ("preferredLifetime", Value::Int(preferred.into())),
            ])
        }
        5 => {
            reader.skip(2)?;
            object([
                ("type", Value::Static("Mtu")),
                ("mtu", Value::Int(reader.u32()?.into())),
            ])
        }
        // RFC 4191 section 2.3: the prefix may be cut to eight octets or none.
        24 => {
            let length = reader.u8()?;
            reader.skip(1)?;
            let lifetime = reader.u32()?;
            let mut prefix = [0; 16];
            for (to, from) in prefix.iter_mut().zip(reader.rest()) {
                *to = *from;
            }
            let prefix = Ipv6Addr::from(prefix);
            object([
                ("type", Value::Static("RouteInformation")),
                ("prefix", Value::text(format!("{prefix}/{length}"))),
                ("lifetime", Value::Int(lifetime.into())),
            ])
        }
        // RFC 8106 section 5.1.
        25 => {
            reader.skip(2)?;
            let lifetime = reader.u32()?;
            let servers = reader.left() / 16;
            object([
                ("type", Value::Static("RecursiveDnsServer")),
                ("lifetime", Value::Int(lifetime.into())),
                ("servers", addresses(&mut reader, servers)),
            ])
        }
        _ => raw_option(kind, value),
    })
}

fn raw_option(kind: u8, value: &[u8]) -> Value {
    let name = match kind {
        4 => Some("RedirectedHeader"),
        7 => Some("AdvertisementInterval"),
        14 => Some("Nonce"),
        31 => Some("DnsSearchList"),
        37 => Some("CaptivePortal"),
        38 => Some("Pref64"),
        _ => None,
    };
    object([
        (
            "type",
            name.map_or_else(|| Value::text(format!("Option{kind}")), Value::Static),
        ),
        ("data", Value::text(hex(value, ""))),
    ])
}

fn quoted_value(quoted: &Quoted) -> Value {
    let port = |port: u16| Value::text(port.to_string());
    let side = |ip: IpAddr, number: Option<u16>| {
        object([
            ("ip", Value::text(ip.to_string())),
            ("port", number.map_or(Value::Static(""), port)),
        ])
    };
    object([
        ("src", side(quoted.src, quoted.ports.map(|(src, _)| src))),
        ("dst", side(quoted.dst, quoted.ports.map(|(_, dst)| dst))),
        (
            "protocol",
            quoted.protocol_name().map_or_else(
                || Value::text(format!("ip{}", quoted.protocol)),
                Value::Static,
            ),
        ),
        ("length", count(quoted.length)),
    ])
}

fn object<const N: usize>(members: [(&'static str, Value); N]) -> Value {
    let members = members.into_iter();
    Value::Object(
        members
            .map(|(name, value)| (Key::Static(name), value))
            .collect(),
    )
}

fn count(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn address(ip: Ipv4Addr) -> Value {
    Value::text(ip.to_string())
}

fn ipv6_address(reader: &mut Reader<'_>) -> Result<Ipv6Addr, Short> {
    let high = reader.u64()?;
    let low = reader.u64()?;
    Ok(Ipv6Addr::from(u128::from(high) << 64 | u128::from(low)))
}

fn ipv6(reader: &mut Reader<'_>) -> Result<Value, Short> {
    ipv6_address(reader).map(|ip| Value::text(ip.to_string()))
}

fn addresses(reader: &mut Reader<'_>, count: usize) -> Value {
    let mut list = Vec::new();
    for _ in 0..count.min(MAX_LIST) {
        let Ok(ip) = ipv6(reader) else { break };
        list.push(ip);
    }
    Value::List(list)
}

fn flag_names(flags: u32, names: &[(u32, &'static str)]) -> Value {
    let set = names.iter().filter(|(bit, _)| flags & bit != 0);
    Value::List(set.map(|(_, name)| Value::Static(name)).collect())
}

fn hex(bytes: &[u8], between: &str) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(between)
}
