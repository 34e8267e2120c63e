//! Tests of PostgreSQL.

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::conversation::tests::dissect_records;
use super::super::robustness::{Feed, Sample};
use super::super::{Draft, Protocols, enabled};
use super::parser;
use crate::item::{ItemNode, Node, Value, json, lookup};
use crate::packet::savefile::{Entry, Records};
use crate::packet::{Direction, Position, Record, Transport};
use crate::time::Timestamp;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

/// A typed message.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// Texts, each ended by zero.
fn texts(parts: &[&str]) -> Vec<u8> {
    parts
        .iter()
        .flat_map(|part| part.bytes().chain([0]))
        .collect()
}

fn untyped(code: u32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 8).to_be_bytes();
    [&length[..], &code.to_be_bytes(), body].concat()
}

fn startup() -> Vec<u8> {
    let body = texts(&["user", "cart", "database", "shop", ""]);
    untyped(3 << 16, &body)
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &texts(&[sql]))
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', &[texts(&[name, sql]), vec![0, 0]].concat())
}

/// A Bind of one text parameter.
fn bind(portal: &str, statement: &str, value: &str) -> Vec<u8> {
    let value = counted(value.as_bytes());
    let body = [
        texts(&[portal, statement]),
        vec![0, 0, 0, 1],
        value,
        vec![0, 0],
    ];
    message(b'B', &body.concat())
}

fn execute(portal: &str) -> Vec<u8> {
    message(b'E', &[texts(&[portal]), vec![0; 4]].concat())
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

fn description(names: &[&str]) -> Vec<u8> {
    let mut body = (names.len() as u16).to_be_bytes().to_vec();
    for name in names {
        body.extend(texts(&[name]));
        body.extend([
            0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0,
        ]);
    }
    message(b'T', &body)
}

fn row(values: &[&str]) -> Vec<u8> {
    let mut body = (values.len() as u16).to_be_bytes().to_vec();
    for value in values {
        body.extend(counted(value.as_bytes()));
    }
    message(b'D', &body)
}

fn done(tag: &str) -> Vec<u8> {
    message(b'C', &texts(&[tag]))
}

fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

fn report(kind: u8, severity: &str, code: &str, text: &str) -> Vec<u8> {
    let fields = [
        format!("S{severity}"),
        format!("C{code}"),
        format!("M{text}"),
    ];
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    message(kind, &[texts(&fields), vec![0]].concat())
}

fn empty(kind: u8) -> Vec<u8> {
    message(kind, b"")
}

fn opened() -> Vec<(Direction, Vec<u8>)> {
    vec![
        (UP, startup()),
        (
            DOWN,
            message(b'R', &[&[0, 0, 0, 10][..], b"SCRAM-SHA-256\0\0"].concat()),
        ),
        (
            UP,
            message(
                b'p',
                &[b"SCRAM-SHA-256\0", &counted(b"n,,n=,r=invented")[..]].concat(),
            ),
        ),
        (
            DOWN,
            [
                message(b'R', &[0; 4]),
                message(b'S', &texts(&["server_version", "15.1"])),
                message(b'K', &[0, 0, 0, 7, 0, 0, 0, 9]),
                ready(b'I'),
            ]
            .concat(),
        ),
    ]
}

fn sample(name: &'static str, turns: Vec<(Direction, Vec<u8>)>, items: usize) -> Sample {
    Sample {
        name,
        transport: Transport::Tcp,
        server_port: 5432,
        turns,
        items,
    }
}

pub(super) fn samples() -> Vec<Sample> {
    let simple = vec![
        (UP, untyped(parser::SSL_REQUEST, b"")),
        (DOWN, b"N".to_vec()),
        (UP, startup()),
        (DOWN, [message(b'R', &[0; 4]), ready(b'I')].concat()),
        (UP, query("select id from carts; delete from carts")),
        (
            DOWN,
            [
                description(&["id"]),
                row(&["7"]),
                row(&["8"]),
                done("SELECT 2"),
                report(b'N', "NOTICE", "00000", "made up"),
                done("DELETE 2"),
                ready(b'I'),
            ]
            .concat(),
        ),
        (UP, query("select nothing")),
        (
            DOWN,
            [
                report(b'E', "ERROR", "42703", "no such column"),
                ready(b'I'),
            ]
            .concat(),
        ),
        (UP, query("copy carts from stdin")),
        (DOWN, message(b'G', &[0, 0, 1, 0, 0])),
        (UP, [message(b'd', b"9\tnine\n"), empty(b'c')].concat()),
        (DOWN, [done("COPY 1"), ready(b'I')].concat()),
        (
            DOWN,
            message(
                b'A',
                &[vec![0, 0, 0, 7], texts(&["carts", "cart 7"])].concat(),
            ),
        ),
        (UP, empty(b'X')),
    ];
    let mut extended = opened();
    extended.extend([
        (
            UP,
            [
                parse("s1", "select $1"),
                message(b'D', b"Ss1\0"),
                empty(b'H'),
            ]
            .concat(),
        ),
        (
            DOWN,
            [
                empty(b'1'),
                message(b't', &[0, 1, 0, 0, 0, 25]),
                description(&["text"]),
            ]
            .concat(),
        ),
        (UP, [bind("", "s1", "a"), execute(""), sync()].concat()),
        (
            DOWN,
            [empty(b'2'), row(&["a"]), done("SELECT 1"), ready(b'I')].concat(),
        ),
        (
            UP,
            [
                parse("", "select 1/$1"),
                bind("", "", "0"),
                message(b'D', b"P\0"),
                execute(""),
                bind("", "s1", "never"),
                execute(""),
                sync(),
            ]
            .concat(),
        ),
        (
            DOWN,
            [
                empty(b'1'),
                empty(b'2'),
                description(&["n"]),
                report(b'E', "ERROR", "22012", "division by zero"),
                ready(b'I'),
            ]
            .concat(),
        ),
        (UP, [message(b'C', b"Ss1\0"), sync()].concat()),
        (DOWN, [empty(b'3'), ready(b'I')].concat()),
        (UP, query("select 'no answer'")),
    ]);
    vec![
        sample("simple queries, COPY, a notification", simple, 7),
        sample("extended queries, a pipeline that fails", extended, 7),
        sample(
            "a cancel request",
            vec![(
                UP,
                untyped(parser::CANCEL_REQUEST, &[0, 0, 0, 7, 0, 0, 0, 9]),
            )],
            1,
        ),
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
    Feed::new(Transport::Tcp, 5432, &enabled(&["postgresql"]).0)
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
    drafts.retain(|draft| draft.kind.name == "postgresql");
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
