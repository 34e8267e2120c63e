//! Tests of MongoDB.

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::conversation::tests::dissect_records;
use super::super::robustness::{Feed, Sample};
use super::super::{Draft, Protocols, enabled};
use super::parser::{crc32c, flag, op};
use crate::item::{ItemNode, Node, Value, json, lookup};
use crate::packet::savefile::{Entry, Records};
use crate::packet::{Direction, Position, Record, Transport};
use crate::time::Timestamp;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

/// A document of raw elements.
fn document(elements: &[Vec<u8>]) -> Vec<u8> {
    let body = elements.concat();
    let length = (body.len() as u32 + 5).to_le_bytes();
    [&length[..], &body, &[0]].concat()
}

fn element(kind: u8, name: &str, value: &[u8]) -> Vec<u8> {
    [&[kind][..], name.as_bytes(), &[0], value].concat()
}

fn string(name: &str, text: &str) -> Vec<u8> {
    let length = (text.len() as u32 + 1).to_le_bytes();
    element(2, name, &[&length[..], text.as_bytes(), &[0]].concat())
}

fn int(name: &str, number: i32) -> Vec<u8> {
    element(0x10, name, &number.to_le_bytes())
}

fn double(name: &str, number: f64) -> Vec<u8> {
    element(1, name, &number.to_le_bytes())
}

fn message(id: u32, to: u32, opcode: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [body.len() as u32 + 16, id, to, opcode] {
        bytes.extend(number.to_le_bytes());
    }
    [&bytes[..], body].concat()
}

/// The body of an OP_MSG with one document.
fn body(flags: u32, document: &[u8]) -> Vec<u8> {
    [&flags.to_le_bytes()[..], &[0], document].concat()
}

fn msg(id: u32, to: u32, flags: u32, document: &[u8]) -> Vec<u8> {
    message(id, to, op::MSG, &body(flags, document))
}

fn find(collection: &str) -> Vec<u8> {
    document(&[string("find", collection), string("$db", "shop")])
}

fn fine() -> Vec<u8> {
    document(&[int("n", 1), double("ok", 1.0)])
}

/// A reply with one document in its cursor.
fn batch() -> Vec<u8> {
    let one = document(&[int("_id", 7), string("owner", "ann")]);
    let list = document(&[element(3, "0", &one)]);
    let cursor = document(&[
        element(4, "firstBatch", &list),
        element(0x12, "id", &9i64.to_le_bytes()),
        string("ns", "shop.carts"),
    ]);
    document(&[element(3, "cursor", &cursor), double("ok", 1.0)])
}

/// An OP_MSG that writes a sequence of documents.
fn insert(id: u32, flags: u32) -> Vec<u8> {
    let command = document(&[string("insert", "carts"), string("$db", "shop")]);
    let documents = [document(&[int("_id", 1)]), document(&[int("_id", 2)])].concat();
    let length = (documents.len() as u32 + 4 + 10).to_le_bytes();
    let sequence = [&[1][..], &length, b"documents\0", &documents];
    let body = [body(flags, &command), sequence.concat()].concat();
    message(id, 0, op::MSG, &body)
}

/// A message with a checksum at its end.
fn checked(id: u32, document: &[u8]) -> Vec<u8> {
    let body = [body(flag::CHECKSUM_PRESENT, document), vec![0; 4]].concat();
    let mut bytes = message(id, 0, op::MSG, &body);
    let end = bytes.len() - 4;
    let sum = crc32c(&bytes[..end]).to_le_bytes();
    bytes[end..].copy_from_slice(&sum);
    bytes
}

fn compressed(id: u32, to: u32, compressor: u8, body: &[u8]) -> Vec<u8> {
    let data = match compressor {
        1 => snap::raw::Encoder::new().compress_vec(body).unwrap(),
        2 => {
            use std::io::Write;
            let fast = flate2::Compression::fast();
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), fast);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        3 => zstd::bulk::compress(body, 1).unwrap(),
        _ => body.to_vec(),
    };
    let mut outer = op::MSG.to_le_bytes().to_vec();
    outer.extend((body.len() as u32).to_le_bytes());
    outer.push(compressor);
    outer.extend(data);
    message(id, to, op::COMPRESSED, &outer)
}

/// A legacy query of a command.
fn legacy(id: u32) -> Vec<u8> {
    let command = document(&[int("isMaster", 1)]);
    let body = [&[0; 4][..], b"admin.$cmd\0", &[0; 4], &[0xff; 4], &command].concat();
    message(id, 0, op::QUERY, &body)
}

fn legacy_reply(id: u32, to: u32, document: &[u8]) -> Vec<u8> {
    let body = [&[8, 0, 0, 0][..], &[0; 12], &[1, 0, 0, 0], document].concat();
    message(id, to, op::REPLY, &body)
}

fn sample(name: &'static str, turns: Vec<(Direction, Vec<u8>)>, items: usize) -> Sample {
    Sample {
        name,
        transport: Transport::Tcp,
        server_port: 27017,
        turns,
        items,
    }
}

pub(super) fn samples() -> Vec<Sample> {
    let failed = document(&[
        double("ok", 0.0),
        string("errmsg", "made up"),
        int("code", 59),
        string("codeName", "CommandNotFound"),
    ]);
    let plain = vec![
        (UP, legacy(1)),
        (DOWN, legacy_reply(101, 1, &fine())),
        (UP, msg(2, 0, 0, &find("carts"))),
        (DOWN, msg(102, 2, 0, &batch())),
        (UP, insert(3, 0)),
        (UP, insert(4, flag::MORE_TO_COME)),
        (DOWN, msg(103, 3, 0, &fine())),
        (UP, checked(5, &find("missing"))),
        (DOWN, msg(104, 5, 0, &failed)),
        (UP, msg(6, 0, flag::EXHAUST_ALLOWED, &find("many"))),
        (DOWN, msg(105, 6, flag::MORE_TO_COME, &batch())),
        (DOWN, msg(106, 105, 0, &batch())),
        (DOWN, msg(107, 77, 0, &fine())),
        (UP, msg(8, 0, 0, &find("carts"))),
    ];
    let mut packed = Vec::new();
    for compressor in 0..4u8 {
        let id = u32::from(compressor) + 1;
        packed.push((UP, compressed(id, 0, compressor, &body(0, &find("carts")))));
        packed.push((
            DOWN,
            compressed(id + 100, id, compressor, &body(0, &batch())),
        ));
    }
    vec![
        sample("commands, old and new", plain, 9),
        sample("every compressor", packed, 4),
    ]
}

fn shown(value: &Value) -> String {
    json::to_string(ItemNode::of_value(value))
}

fn text(value: &Value, path: &str) -> String {
    lookup(ItemNode::of_value(value), path)
        .and_then(Node::text)
        .map_or_else(String::new, |text| text.into_owned())
}

fn feed() -> Feed {
    Feed::new(Transport::Tcp, 5432, &enabled(&["mongodb"]).0)
}

fn play(turns: &[(Direction, Vec<u8>)]) -> Vec<Draft> {
    let mut feed = feed();
    for (direction, bytes) in turns {
        feed.chunk(*direction, bytes);
    }
    feed.end()
}

/// Items of a capture.
fn items(path: &Path) -> Vec<Draft> {
    let mut records = Records::new(std::fs::File::open(path).unwrap());
    let mut bytes = Vec::new();
    let mut found = Vec::new();
    while let Ok(Some(entry)) = records.advance() {
        if let Entry::Packet {
            head, bytes: data, ..
        } = entry
        {
            found.push(Record {
                ts: head.ts,
                start: bytes.len() as u32,
                caplen: head.caplen,
                len: head.len,
                linktype: head.linktype,
                interface: head.interface,
                position: Position::default(),
            });
            bytes.extend_from_slice(data);
        }
    }
    let mut drafts = dissect_records(&Bytes::from(bytes), &found, &Protocols::all());
    drafts.retain(|draft| draft.kind.name == "mongodb");
    drafts
}
#[test]
fn show() {
    for p in std::env::var("SHOW")
        .unwrap_or_default()
        .split(',')
        .filter(|p| !p.is_empty())
    {
        println!("== {p}");
        for d in items(Path::new(p)) {
            println!(
                "{} {}us {}+{}\n   {}\n   {}\n   {:?}",
                d.kind.abbr,
                d.elapsed_nanos / 1000,
                d.request_size,
                d.response_size,
                shown(&d.request),
                shown(&d.response),
                d.error
            );
        }
    }
}
#[test]
fn show2() {
    for s in samples() {
        for d in play(&s.turns) {
            println!(
                "{} {}us {}+{}\n   {}\n   {}\n   {:?}",
                d.kind.abbr,
                d.elapsed_nanos / 1000,
                d.request_size,
                d.response_size,
                shown(&d.request),
                shown(&d.response),
                d.error
            );
        }
    }
    let _ = (text as fn(&Value, &str) -> String, Timestamp::default());
}
proptest! {
    #[test]
    fn x(b in any::<u8>()) { let _ = b; }
}
