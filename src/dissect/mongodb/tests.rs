//! Tests of MongoDB.

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::conversation::tests::{dissect_savefile, matches};
use super::super::robustness::{Feed, Sample};
use super::super::{Draft, Protocols, enabled, truth};
use super::parser::{self, crc32c, flag, op};
use super::{bson, render};
use crate::item::{ItemNode, Node, Value, json, lookup};
use crate::packet::{Direction, Transport};
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
    Feed::new(Transport::Tcp, 27017, &enabled(&["mongodb"]).0)
}

fn play(turns: &[(Direction, Vec<u8>)]) -> Vec<Draft> {
    let mut feed = feed();
    for (direction, bytes) in turns {
        feed.chunk(*direction, bytes);
    }
    feed.end()
}

fn errors(drafts: &[Draft]) -> Vec<&'static str> {
    drafts
        .iter()
        .map(|draft| draft.error.as_ref().map_or("", |error| error.kind))
        .collect()
}

/// Command and status of each item.
fn outline(drafts: &[Draft]) -> Vec<(String, String)> {
    drafts
        .iter()
        .map(|draft| {
            (
                text(&draft.request, "command"),
                text(&draft.response, "status"),
            )
        })
        .collect()
}

/// Items of one request and its reply.
fn exchange(request: &[u8], reply: &[u8]) -> Draft {
    let drafts = play(&[(UP, request.to_vec()), (DOWN, reply.to_vec())]);
    drafts.into_iter().next().expect("an item")
}

#[test]
fn a_command_has_the_shape_of_the_reference() {
    let mut feed = feed();
    feed.at(Timestamp::from_secs(100, 0))
        .chunk(UP, &msg(2, 0, 0, &find("carts")))
        .at(Timestamp::from_secs(100, 7_000_000))
        .chunk(DOWN, &msg(102, 2, 0, &batch()));
    let drafts = feed.end();
    assert_eq!(
        shown(&drafts[0].request),
        r#"{"command":"find","database":"shop","collection":"carts","query":{"find":"carts","$db":"shop"},"opcode":"OP_MSG"}"#
    );
    assert_eq!(
        shown(&drafts[0].response),
        r#"{"status":"ok","success":true,"cursorId":9,"reply":{"ok":1.0},"rowCount":1,"rows":[{"_id":7,"owner":"ann"}],"opcode":"OP_MSG"}"#
    );
    assert_eq!(drafts[0].elapsed_nanos, 7_000_000);
    assert_eq!(errors(&drafts), [""]);
}

#[test]
fn samples_are_read_as_they_were_meant() {
    let drafts = play(&samples()[0].turns);
    let expected = [
        ("isMaster", "ok", ""),
        ("find", "ok", ""),
        ("insert", "", ""),
        ("insert", "ok", ""),
        ("find", "59", ""),
        ("find", "ok", ""),
        ("find", "ok", ""),
        ("", "ok", "pair-not-found"),
        ("find", "", "timeout"),
    ];
    let found = outline(&drafts);
    let found: Vec<_> = found
        .iter()
        .zip(errors(&drafts))
        .map(|((command, status), error)| (command.as_str(), status.as_str(), error))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(
        shown(drafts[3].request.member("documents").unwrap()),
        r#"[{"_id":1},{"_id":2}]"#
    );
    for (draft, compressor) in play(&samples()[1].turns)
        .iter()
        .zip(["noop", "snappy", "zlib", "zstd"])
    {
        assert_eq!(text(&draft.request, "compressor"), compressor);
        assert_eq!(text(&draft.request, "collection"), "carts");
        assert_eq!(text(&draft.response, "rows.0.owner"), "ann");
    }
}

/// Vectors of the BSON corpus and of "MongoDB Extended JSON (v2)", relaxed form.
#[test]
fn values_have_the_relaxed_form() {
    let scope = document(&[int("x", 1)]);
    let code = [&[2, 0, 0, 0][..], b"f\0", &scope].concat();
    let code = [&(code.len() as u32 + 4).to_le_bytes()[..], &code].concat();
    let cases: Vec<(u8, Vec<u8>, &str)> = vec![
        (0x01, 1.5f64.to_le_bytes().to_vec(), "1.5"),
        (
            0x01,
            f64::NAN.to_le_bytes().to_vec(),
            r#"{"$numberDouble":"NaN"}"#,
        ),
        (
            0x01,
            f64::NEG_INFINITY.to_le_bytes().to_vec(),
            r#"{"$numberDouble":"-Infinity"}"#,
        ),
        (0x02, b"\x02\0\0\0a\0".to_vec(), r#""a""#),
        (0x03, scope.clone(), r#"{"x":1}"#),
        (0x04, document(&[int("0", 1), int("1", 2)]), "[1,2]"),
        (
            0x05,
            b"\x02\0\0\0\x04\xff\0".to_vec(),
            r#"{"$binary":{"base64":"/wA=","subType":"04"}}"#,
        ),
        (
            0x05,
            b"\x06\0\0\0\x02\x02\0\0\0\xff\0".to_vec(),
            r#"{"$binary":{"base64":"/wA=","subType":"02"}}"#,
        ),
        (0x06, vec![], r#"{"$undefined":true}"#),
        (
            0x07,
            b"\x56\xe1\xfc\x72\xe0\xc9\x17\xe9\xc4\x71\x41\x61".to_vec(),
            r#"{"$oid":"56e1fc72e0c917e9c4714161"}"#,
        ),
        (0x08, vec![1], "true"),
        (
            0x09,
            1_356_351_330_501i64.to_le_bytes().to_vec(),
            r#"{"$date":"2012-12-24T12:15:30.501Z"}"#,
        ),
        (
            0x09,
            0i64.to_le_bytes().to_vec(),
            r#"{"$date":"1970-01-01T00:00:00Z"}"#,
        ),
        (
            0x09,
            (-284_643_869_501i64).to_le_bytes().to_vec(),
            r#"{"$date":{"$numberLong":"-284643869501"}}"#,
        ),
        (0x0a, vec![], "null"),
        (
            0x0b,
            b"a.b\0ix\0".to_vec(),
            r#"{"$regularExpression":{"pattern":"a.b","options":"ix"}}"#,
        ),
        (
            0x0c,
            b"\x02\0\0\0b\0\x56\xe1\xfc\x72\xe0\xc9\x17\xe9\xc4\x71\x41\x61".to_vec(),
            r#"{"$dbPointer":{"$ref":"b","$id":{"$oid":"56e1fc72e0c917e9c4714161"}}}"#,
        ),
        (0x0d, b"\x02\0\0\0f\0".to_vec(), r#"{"$code":"f"}"#),
        (0x0e, b"\x02\0\0\0s\0".to_vec(), r#"{"$symbol":"s"}"#),
        (0x0f, code, r#"{"$code":"f","$scope":{"x":1}}"#),
        (0x10, (-7i32).to_le_bytes().to_vec(), "-7"),
        (
            0x11,
            b"\x2a\0\0\0\x15\xcd\x5b\x07".to_vec(),
            r#"{"$timestamp":{"t":123456789,"i":42}}"#,
        ),
        (0x12, i64::MAX.to_le_bytes().to_vec(), "9223372036854775807"),
        (
            0x13,
            [
                0x3039u64.to_le_bytes(),
                0x303a_0000_0000_0000u64.to_le_bytes(),
            ]
            .concat(),
            r#"{"$numberDecimal":"12.345"}"#,
        ),
        (0xff, vec![], r#"{"$minKey":1}"#),
        (0x7f, vec![], r#"{"$maxKey":1}"#),
    ];
    for (kind, value, expected) in cases {
        let whole = document(&[string("find", "a"), element(kind, "v", &value)]);
        assert!(bson::is_document(&whole), "type {kind}");
        let draft = exchange(&msg(1, 0, 0, &whole), &msg(2, 1, 0, &fine()));
        let found = draft.request.member("query").unwrap();
        assert_eq!(shown(found.member("v").unwrap()), expected, "type {kind}");
    }
}

#[test]
fn deep_and_wide_documents_are_capped() {
    let mut deep = document(&[]);
    for _ in 0..1000 {
        deep = document(&[element(3, "d", &deep)]);
    }
    let wide = document(&vec![int("a", 1); 20_000]);
    for inner in [deep, wide] {
        let whole = document(&[string("find", "a"), element(3, "v", &inner)]);
        let draft = exchange(&msg(1, 0, 0, &whole), &msg(2, 1, 0, &fine()));
        assert!(draft.request.is_cut());
        assert!(shown(&draft.request).len() < 300_000);
    }
}

#[test]
fn a_failed_write_is_no_success() {
    let write = document(&[
        int("index", 0),
        int("code", 11000),
        string("errmsg", "duplicate"),
    ]);
    let list = document(&[element(3, "0", &write)]);
    let reply = document(&[
        int("n", 0),
        element(4, "writeErrors", &list),
        double("ok", 1.0),
    ]);
    let draft = exchange(&insert(1, 0), &msg(2, 1, 0, &reply));
    let response = shown(&draft.response);
    let front = r#"{"status":"11000","success":false,"errorCode":11000,"errorMessage":"duplicate""#;
    assert!(response.starts_with(front), "{response}");
}

#[test]
fn secrets_are_hidden_in_command_and_reply() {
    let payload = element(5, "payload", b"\x08\0\0\0\0opensesa");
    let inner = document(&[int("saslStart", 1), payload.clone()]);
    let commands = [
        document(&[
            int("saslStart", 1),
            string("mechanism", "SCRAM-SHA-256"),
            payload.clone(),
        ]),
        document(&[
            int("hello", 1),
            element(3, "speculativeAuthenticate", &inner),
        ]),
        document(&[string("createUser", "ann"), string("pwd", "opensesame")]),
    ];
    let answered = document(&[payload, double("ok", 1.0)]);
    for command in commands {
        let draft = exchange(&msg(1, 0, 0, &command), &msg(2, 1, 0, &answered));
        let all = shown(&draft.request) + &shown(&draft.response);
        assert!(all.contains("(hidden)"), "{all}");
        // `opensesa` in base64.
        assert!(
            !all.contains("opensesa") && !all.contains("b3BlbnNlc2"),
            "{all}"
        );
    }
}

#[test]
fn legacy_operations_have_their_names() {
    let one = document(&[int("_id", 1)]);
    let name = b"shop.carts\0";
    let two = [&one[..], &one].concat();
    let cases: [(u32, Vec<u8>, &str, bool); 6] = [
        (
            op::INSERT,
            [&[0; 4][..], name, &two].concat(),
            "insert",
            true,
        ),
        (
            op::UPDATE,
            [&[0; 4][..], name, &[0; 4], &two].concat(),
            "update",
            true,
        ),
        (
            op::DELETE,
            [&[0; 4][..], name, &[0; 4], &one].concat(),
            "delete",
            true,
        ),
        (
            op::QUERY,
            [&[0; 4][..], name, &[0; 8], &one].concat(),
            "query",
            false,
        ),
        (
            op::GET_MORE,
            [&[0; 4][..], name, &[0; 12]].concat(),
            "getMore",
            false,
        ),
        (op::KILL_CURSORS, [0; 16].to_vec(), "killCursors", true),
    ];
    for (opcode, body, command, silent) in cases {
        let drafts = play(&[
            (UP, msg(1, 0, 0, &find("carts"))),
            (DOWN, msg(2, 1, 0, &fine())),
            (UP, message(3, 0, opcode, &body)),
        ]);
        assert_eq!(text(&drafts[1].request, "command"), command);
        if opcode != op::KILL_CURSORS {
            assert_eq!(text(&drafts[1].request, "collection"), "carts", "{command}");
        }
        assert_eq!(
            errors(&drafts),
            ["", if silent { "" } else { "timeout" }],
            "{command}"
        );
    }
    let rows = legacy_reply(2, 1, &one);
    let query = [&[0; 4][..], name, &[0; 8], &one].concat();
    let draft = exchange(&message(1, 0, op::QUERY, &query), &rows);
    assert_eq!(
        shown(&draft.response),
        r#"{"status":"ok","success":true,"cursorId":0,"rowCount":1,"rows":[{"_id":1}],"opcode":"OP_REPLY"}"#
    );
}

#[test]
fn a_checksum_that_does_not_fit_is_told() {
    let mut bytes = checked(1, &find("carts"));
    assert_eq!(
        errors(&play(&[(UP, bytes.clone()), (DOWN, msg(2, 1, 0, &fine()))])),
        [""]
    );
    let at = bytes.len() - 8;
    bytes[at] ^= 1;
    let drafts = play(&[(UP, bytes), (DOWN, msg(2, 1, 0, &fine()))]);
    assert_eq!(errors(&drafts), ["dissection", "pair-not-found"]);
    // RFC 3720 appendix B.4: 32 bytes of zeros.
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
}

#[test]
fn a_long_reply_is_taken_as_it_comes() {
    let one = document(&[string("text", &"x".repeat(1000))]);
    let list: Vec<_> = (0..5000)
        .map(|index| element(3, &index.to_string(), &one))
        .collect();
    let cursor = document(&[element(4, "firstBatch", &document(&list))]);
    let reply = document(&[element(3, "cursor", &cursor), double("ok", 1.0)]);
    let mut feed = feed();
    feed.chunk(UP, &msg(1, 0, 0, &find("carts")));
    for part in msg(2, 1, 0, &reply).chunks(60_000) {
        feed.chunk(DOWN, part);
        assert!(feed.conversation().save().len() < 1_200_000);
    }
    let drafts = feed.end();
    assert!(drafts[0].response.is_cut());
    assert_eq!(text(&drafts[0].response, "status"), "ok");
    assert_eq!(drafts[0].response_size, reply.len() as u64 + 21);
}

#[test]
fn a_bomb_is_cut() {
    let long = document(&[string("find", "a"), string("text", &"x".repeat(40_000_000))]);
    for compressor in [1, 2, 3] {
        let drafts = play(&[
            (UP, msg(1, 0, 0, &find("carts"))),
            (DOWN, msg(2, 1, 0, &fine())),
            (UP, compressed(3, 0, compressor, &body(0, &long))),
        ]);
        assert!(drafts[1].request.is_cut(), "{compressor}");
    }
}

#[test]
fn a_gap_keeps_the_pairing() {
    let reply = msg(102, 2, 0, &batch());
    let (front, back) = reply.split_at(60);
    let mut feed = feed();
    feed.chunk(UP, &msg(2, 0, 0, &find("a")))
        .chunk(DOWN, front)
        .gap(DOWN, 20)
        .chunk(DOWN, &back[20..])
        .gap(UP, 500)
        .chunk(UP, b"the rest of something")
        .chunk(DOWN, &msg(103, 3, 0, &fine()))
        .chunk(UP, &msg(4, 0, 0, &find("c")))
        .chunk(DOWN, &msg(104, 4, 0, &fine()));
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["dissection", "pair-not-found", ""]);
    assert_eq!(text(&drafts[2].request, "collection"), "c");
}

#[test]
fn open_requests_are_bounded() {
    let mut feed = feed();
    let long = document(&[string("find", "a"), string("text", &"x".repeat(50_000))]);
    for id in 0..1000 {
        feed.chunk(UP, &msg(id, 0, 0, &long));
    }
    assert!(feed.conversation().save().len() < 4 << 20);
    assert_eq!(feed.end().len(), 1000);
}

#[test]
fn filters_find_the_variables() {
    let drafts = play(&samples()[0].turns);
    for (at, filter) in [
        (
            1,
            r#"mongodb && mongodb_command == "find" && mongodb_success"#,
        ),
        (
            1,
            r#"mongodb_collection == "carts" && mongodb_database == "shop""#,
        ),
        (
            1,
            r#"mongodb_opcode == "OP_MSG" && mongodb_error_code == 0"#,
        ),
        (4, "!mongodb_success && mongodb_error_code == 59"),
        (4, r#"mongodb_error_message == "made up""#),
        (4, r#"mongodb_error_code_name == "CommandNotFound""#),
        (
            4,
            "mongodb_total_size == mongodb_request_size + mongodb_response_size",
        ),
    ] {
        assert!(matches(&drafts[at], filter), "{filter}");
    }
}

#[test]
fn what_only_looks_like_mongodb_is_left_alone() {
    let payloads: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
        &[0; 64],
        &[0xff; 64],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\0\0\0\0\0\0\0",
        b"\x0c\0\0\0\x03select 1234",
    ];
    for payload in payloads {
        let mut feed = feed();
        feed.chunk(UP, payload).chunk(DOWN, payload);
        assert_eq!(feed.protocol(), None, "{payload:?}");
        assert!(feed.end().is_empty());
    }
}

/// The capture in `tests/pcaps`, with what the client that made it saw.
#[rustfmt::skip]
const CAPTURE: &[(&str, &str, usize)] = &[
    ("aggregate", "ok", 1), ("delete", "ok", 1), ("find", "59", 1), ("find", "ok", 5),
    ("getMore", "ok", 1), ("insert", "", 1), ("insert", "11000", 1), ("insert", "ok", 4),
    ("ismaster", "ok", 8), ("ping", "ok", 1), ("update", "ok", 1),
];

fn tally(drafts: &[Draft]) -> Vec<(String, String, usize)> {
    let mut tally = std::collections::BTreeMap::new();
    for (command, status) in outline(drafts) {
        *tally.entry((command, status)).or_insert(0) += 1;
    }
    tally
        .into_iter()
        .map(|((command, status), count)| (command, status, count))
        .collect()
}

fn counts(expected: &[(&str, &str, usize)]) -> Vec<(String, String, usize)> {
    expected
        .iter()
        .map(|(command, status, count)| (command.to_string(), status.to_string(), *count))
        .collect()
}

#[test]
fn a_capture_of_a_real_client_is_read_whole() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pcaps/mongodb.pcap");
    let drafts = dissect_savefile(&path, 0, &Protocols::all());
    assert_eq!(tally(&drafts), counts(CAPTURE));
    assert!(errors(&drafts).iter().all(|error| error.is_empty()));
    let compressed = |name: &&str| {
        drafts
            .iter()
            .any(|draft| text(&draft.request, "compressor") == **name)
    };
    assert_eq!(
        ["zlib", "snappy"]
            .iter()
            .filter(|name| compressed(name))
            .count(),
        2
    );
}

#[test]
fn no_sample_capture_is_taken_for_mongodb() {
    truth::assert_counts("mongodb", outline, |_, _| Vec::new());
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = (parser::front(&bytes), parser::looks_like_message(&bytes));
        bson::elements(&bytes).count();
        bson::is_document(&bytes);
        for opcode in [op::MSG, op::QUERY, op::REPLY, op::UPDATE, op::INSERT, op::COMMAND] {
            let bytes = message(1, 0, opcode, &bytes);
            for cut in [false, true] {
                let known = render::Known { cut, hide: cut, compressor: render::PLAIN };
                let from: Bytes = render::from(&bytes, known);
                shown(&render::request(&from));
                shown(&render::response(&from));
            }
        }
    }
}
