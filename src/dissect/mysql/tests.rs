//! Tests of MySQL.

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::conversation::tests::dissect_records;
use super::super::robustness::{Feed, Sample};
use super::super::{Draft, Protocols, enabled};
use super::client::com;
use super::parser::{self, capability};
use crate::item::{ItemNode, Node, Value, json, lookup};
use crate::packet::savefile::{Entry, Records};
use crate::packet::{Direction, Position, Record, Transport};
use crate::time::Timestamp;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

/// A packet.
fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_le_bytes();
    [&length[..3], &[sequence], payload].concat()
}

/// Packets with rising sequence numbers.
fn packets(first: u8, payloads: &[&[u8]]) -> Vec<u8> {
    (first..)
        .zip(payloads)
        .flat_map(|(sequence, payload)| packet(sequence, payload))
        .collect()
}

fn command(code: u8, body: &[u8]) -> Vec<u8> {
    packet(0, &[&[code][..], body].concat())
}

fn query(sql: &str) -> Vec<u8> {
    command(com::QUERY, sql.as_bytes())
}

/// A text behind its length, which must be below 251.
fn counted(text: &[u8]) -> Vec<u8> {
    [&[text.len() as u8][..], text].concat()
}

const BASE: u32 = capability::PROTOCOL_41
    | capability::SECURE_CONNECTION
    | capability::PLUGIN_AUTH
    | capability::CONNECT_WITH_DB;

const DEPRECATE_EOF: u32 = 1 << 24;

/// The handshake of a server with these capabilities.
fn handshake(capabilities: u32) -> Vec<u8> {
    let [a, b, c, d] = capabilities.to_le_bytes();
    let payload = [
        &b"\x0a8.0.36\0"[..],
        &[9, 0, 0, 0],
        b"12345678\0",
        &[a, b, 33, 2, 0, c, d, 21],
        &[0; 10],
        b"123456789012\0",
        b"mysql_native_password\0",
    ];
    packet(0, &payload.concat())
}

fn login(capabilities: u32) -> Vec<u8> {
    let payload = [
        &capabilities.to_le_bytes()[..],
        &[0, 0, 0, 1, 33],
        &[0; 23],
        b"cart\0",
        &counted(b"a proof of twenty by"),
        b"shop\0mysql_native_password\0",
    ];
    packet(1, &payload.concat())
}

const FINE: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const END: &[u8] = &[0xfe, 0, 0, 2, 0];
const END_MORE: &[u8] = &[0xfe, 0, 0, 0x0a, 0];

fn error(code: u16, text: &str) -> Vec<u8> {
    let code = code.to_le_bytes();
    [&[0xff][..], &code, b"#42000", text.as_bytes()].concat()
}

/// The definition of a column.
fn column(name: &str, kind: u8) -> Vec<u8> {
    let mut payload: Vec<u8> = ["def", "shop", "carts", "carts", name, name]
        .iter()
        .flat_map(|text| counted(text.as_bytes()))
        .collect();
    payload.extend([12, 33, 0, 0xff, 0, 0, 0, kind, 0, 0, 0, 0, 0]);
    payload
}

fn row(values: &[&str]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| counted(value.as_bytes()))
        .collect()
}

fn opened(capabilities: u32) -> Vec<(Direction, Vec<u8>)> {
    vec![
        (DOWN, handshake(capabilities)),
        (UP, login(capabilities)),
        (DOWN, packet(2, b"\xfecaching_sha2_password\0salt")),
        (UP, packet(3, b"a proof")),
        (DOWN, packet(4, FINE)),
    ]
}

fn sample(name: &'static str, turns: Vec<(Direction, Vec<u8>)>, items: usize) -> Sample {
    Sample {
        name,
        transport: Transport::Tcp,
        server_port: 3306,
        turns,
        items,
    }
}

/// Two statements; the packets of a result with and without EOF packets.
fn prepared(deprecates: bool) -> Vec<(Direction, Vec<u8>)> {
    let (id, parameter) = (column("id", 3), column("?", 253));
    let ok_end = [&[0xfe][..], FINE.get(1..).unwrap()].concat();
    let row = [0, 0, 7, 0, 0, 0];
    let mut answer: Vec<&[u8]> = vec![&[0, 5, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0], &parameter];
    let mut result: Vec<&[u8]> = vec![&[1], &id];
    if deprecates {
        answer.push(&id);
        result.extend([&row[..], &ok_end]);
    } else {
        answer.extend([END, &id, END]);
        result.extend([END, &row[..], END]);
    }
    let execute = [
        &[5, 0, 0, 0, 0, 1, 0, 0, 0][..],
        &[0, 1, 253, 0],
        &counted(b"ann"),
    ];
    vec![
        (
            UP,
            command(com::STMT_PREPARE, b"select id from carts where owner = ?"),
        ),
        (DOWN, packets(1, &answer)),
        (UP, command(com::STMT_EXECUTE, &execute.concat())),
        (DOWN, packets(1, &result)),
        (UP, command(com::STMT_CLOSE, &[5, 0, 0, 0])),
        (UP, command(0x0e, b"")),
        (DOWN, packet(1, FINE)),
    ]
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A compressed packet; data that shrinks is compressed by `pack`.
fn wrapped(sequence: u8, bytes: &[u8], pack: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let packed = pack(bytes);
    let (data, told) = match packed.len() < bytes.len() {
        true => (&packed[..], bytes.len() as u32),
        false => (bytes, 0),
    };
    let length = (data.len() as u32).to_le_bytes();
    [&length[..3], &[sequence], &told.to_le_bytes()[..3], data].concat()
}

fn compressed(flag: u32, pack: fn(&[u8]) -> Vec<u8>) -> Vec<(Direction, Vec<u8>)> {
    let mut turns = opened(BASE | flag);
    let id = column("owner", 253);
    let long = "long ".repeat(40);
    let result = packets(1, &[&[1], &id, END, &row(&[&long]), &row(&["ann"]), END]);
    let (front, back) = result.split_at(70);
    turns.extend([
        (UP, wrapped(0, &query("select owner from carts"), pack)),
        (DOWN, wrapped(1, front, pack)),
        (DOWN, wrapped(2, back, pack)),
        (UP, wrapped(0, &command(com::QUIT, b""), pack)),
    ]);
    turns
}

pub(super) fn samples() -> Vec<Sample> {
    let (id, owner) = (column("id", 3), column("owner", 253));
    let mut text = opened(BASE);
    text.extend([
        (UP, query("select id, owner from carts")),
        (
            DOWN,
            packets(
                1,
                &[
                    &[2],
                    &id,
                    &owner,
                    END,
                    &row(&["7", "ann"]),
                    b"\x018\xfb",
                    END,
                ],
            ),
        ),
        (UP, query("call two()")),
        (
            DOWN,
            packets(1, &[&[1], &id, END, &row(&["1"]), END_MORE, FINE]),
        ),
        (UP, query("select nothing")),
        (DOWN, packet(1, &error(1054, "Unknown column"))),
        (UP, query("load data local infile 'a' into table carts")),
        (DOWN, packet(1, b"\xfba")),
        (UP, packets(2, &[b"1\n2\n", b""])),
        (DOWN, packet(4, FINE)),
        (UP, command(com::INIT_DB, b"store")),
        (DOWN, packet(1, FINE)),
        (UP, command(com::STATISTICS, b"")),
        (DOWN, packet(1, b"Uptime: 7")),
        (UP, command(com::QUIT, b"")),
    ]);
    let mut with_eof = opened(BASE);
    with_eof.extend(prepared(false));
    let mut without_eof = opened(BASE | DEPRECATE_EOF);
    without_eof.extend(prepared(true));
    vec![
        sample("text queries, two results, a file", text, 8),
        sample("a prepared statement", with_eof, 5),
        sample("a prepared statement without EOF packets", without_eof, 5),
        sample(
            "compressed with zlib",
            compressed(capability::COMPRESS, zlib),
            3,
        ),
        sample("joined late", prepared(false), 4),
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
    Feed::new(Transport::Tcp, 5432, &enabled(&["mysql"]).0)
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
    drafts.retain(|draft| draft.kind.name == "mysql");
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
