//! Tests of MySQL.

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::conversation::tests::{dissect_savefile, matches};
use super::super::robustness::{Drafts, Feed, Sample};
use super::super::{Dissector, Draft, GiveUp, Outcome, Protocols, enabled, truth};
use super::client::com;
use super::parser::{self, capability};
use super::{render, statements};
use crate::flow::Chunk;
use crate::item::{ItemNode, Node, Value, json, lookup};
use crate::packet::{Direction, Transport};
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
    Feed::new(Transport::Tcp, 3306, &enabled(&["mysql"]).0)
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

/// Items after the login.
fn after_login(capabilities: u32, turns: &[(Direction, Vec<u8>)]) -> Vec<Draft> {
    let mut drafts = play(&[opened(capabilities), turns.to_vec()].concat());
    drafts.remove(0);
    drafts
}

fn responses(drafts: &[Draft]) -> Vec<String> {
    drafts.iter().map(|draft| shown(&draft.response)).collect()
}

#[test]
fn a_query_has_the_shape_of_the_reference() {
    let (id, owner) = (column("id", 3), column("owner", 253));
    let mut feed = feed();
    for (direction, bytes) in opened(BASE) {
        feed.chunk(direction, &bytes);
    }
    let answer = packets(
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
    );
    feed.at(Timestamp::from_secs(100, 0))
        .chunk(UP, &query("select * from carts"))
        .at(Timestamp::from_secs(100, 7_000_000))
        .chunk(DOWN, &answer);
    let drafts = feed.end();
    assert_eq!(
        shown(&drafts[1].request),
        r#"{"command":"COM_QUERY","query":"select * from carts","user":"cart","database":"shop"}"#
    );
    assert_eq!(
        shown(&drafts[1].response),
        r#"{"status":"ok","success":true,"columns":["id","owner"],"rowCount":2,"rows":[["7","ann"],["8",null]],"serverStatus":["SERVER_STATUS_AUTOCOMMIT"]}"#
    );
    assert_eq!(drafts[1].elapsed_nanos, 7_000_000);
    assert_eq!(drafts[1].request_size, 24);
    assert_eq!(drafts[1].response_size, answer.len() as u64);
    assert_eq!(errors(&drafts), ["", ""]);
}

#[test]
fn a_login_tells_the_plugins_and_no_secret() {
    let drafts = play(&opened(BASE));
    assert_eq!(
        shown(&drafts[0].request),
        r#"{"command":"HandshakeResponse","characterSet":33,"capabilities":["CLIENT_CONNECT_WITH_DB","CLIENT_PROTOCOL_41","CLIENT_SECURE_CONNECTION","CLIENT_PLUGIN_AUTH"],"authPlugin":"mysql_native_password","authSent":true,"user":"cart","database":"shop"}"#
    );
    let response = shown(&drafts[0].response);
    for part in [
        r#""serverVersion":"8.0.36","threadId":9"#,
        r#""authSwitch":["caching_sha2_password"]"#,
    ] {
        assert!(response.contains(part), "{response}");
    }
    assert!(!(shown(&drafts[0].request) + &response).contains("proof"));
}

#[test]
fn a_server_that_sends_the_client_away_is_heard() {
    let drafts = play(&[(DOWN, packet(0, b"\xff\x10\x04Too many connections"))]);
    assert_eq!(text(&drafts[0].response, "status"), "1040");
    assert_eq!(errors(&drafts), [""]);
}

#[test]
fn an_execute_shows_text_parameters_and_typed_rows() {
    for (capabilities, deprecates) in [(BASE, false), (BASE | DEPRECATE_EOF, true)] {
        let drafts = after_login(capabilities, &prepared(deprecates));
        assert_eq!(
            shown(&drafts[1].request),
            r#"{"command":"COM_STMT_EXECUTE","query":"select id from carts where owner = ?","statementId":5,"parameters":["ann"],"user":"cart","database":"shop"}"#
        );
        let response = shown(&drafts[1].response);
        assert!(
            response.contains(r#""columns":["id"],"rowCount":1,"rows":[[7]]"#),
            "{response}"
        );
        assert_eq!(
            shown(&drafts[0].response),
            r#"{"status":"ok","success":true,"statementId":5,"columnCount":1,"parameterCount":1,"columns":["id"]}"#
        );
        assert_eq!(errors(&drafts), [""; 4]);
    }
}

#[test]
fn results_of_a_procedure_are_all_there() {
    let id = column("id", 3);
    let answer = packets(1, &[&[1], &id, END, &row(&["1"]), END_MORE, FINE]);
    let drafts = after_login(BASE, &[(UP, query("call one()")), (DOWN, answer)]);
    let response = shown(&drafts[0].response);
    assert!(
        response.contains(r#""results":[{"columns":["id"],"rowCount":1"#),
        "{response}"
    );
    assert!(
        response.contains(r#"{"affectedRows":0,"lastInsertId":0"#),
        "{response}"
    );
}

#[test]
fn an_error_tells_number_state_and_text() {
    let drafts = after_login(
        BASE,
        &[
            (UP, query("select nothing")),
            (DOWN, packet(1, &error(1054, "Unknown column"))),
        ],
    );
    assert_eq!(
        responses(&drafts),
        [
            r#"{"status":"1054","success":false,"errorCode":1054,"sqlState":"42000","errorMessage":"Unknown column"}"#
        ]
    );
}

#[test]
fn attributes_in_front_of_a_query_are_passed_over() {
    // One attribute: a text, `id` = `7`.
    let attributes = [&[1, 1, 0, 1, 253, 0][..], &counted(b"id"), &counted(b"7")].concat();
    let body = [&attributes, &b"select 1"[..]].concat();
    let drafts = after_login(
        BASE | capability::QUERY_ATTRIBUTES,
        &[
            (UP, command(com::QUERY, &body)),
            (DOWN, packet(1, FINE)),
            (UP, command(com::QUERY, b"\0\x01select 2")),
            (DOWN, packet(1, FINE)),
        ],
    );
    let texts: Vec<_> = drafts
        .iter()
        .map(|draft| text(&draft.request, "query"))
        .collect();
    assert_eq!(texts, ["select 1", "select 2"]);
}

#[test]
fn the_schema_in_use_is_followed() {
    // OK with a change of the session: schema `store`.
    let change = [&[1][..], &counted(&counted(b"store"))].concat();
    let tracked = [&[0, 0, 0, 2, 0x40, 0, 0, 0][..], &counted(&change)].concat();
    let drafts = after_login(
        BASE | capability::SESSION_TRACK,
        &[
            (UP, query("use store")),
            (DOWN, packet(1, &tracked)),
            (UP, command(com::INIT_DB, b"back")),
            (DOWN, packet(1, FINE)),
            (UP, query("select 1")),
            (DOWN, packet(1, FINE)),
        ],
    );
    let schemas: Vec<_> = drafts
        .iter()
        .map(|draft| text(&draft.request, "database"))
        .collect();
    assert_eq!(schemas, ["shop", "store", "back"]);
}

#[test]
fn a_payload_over_several_packets_is_one() {
    let long = [
        &[com::QUERY][..],
        "select '".as_bytes(),
        &vec![b'x'; 0xff_ffff],
    ]
    .concat();
    let (first, second) = long.split_at(0xff_ffff);
    let mut feed = feed();
    for (direction, bytes) in opened(BASE) {
        feed.chunk(direction, &bytes);
    }
    for part in [packet(0, first), packet(1, second)]
        .concat()
        .chunks(1 << 20)
    {
        feed.chunk(UP, part);
        assert!(feed.conversation().save().len() < 300_000);
    }
    feed.chunk(DOWN, &packet(2, FINE));
    let drafts = feed.end();
    assert_eq!(drafts[1].request_size, long.len() as u64 + 8);
    assert!(drafts[1].request.is_cut());
    assert_eq!(text(&drafts[1].response, "status"), "ok");
}

#[test]
fn both_compressions_are_undone() {
    let zstd = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).unwrap();
    for (flag, pack) in [
        (capability::COMPRESS, zlib as fn(&[u8]) -> Vec<u8>),
        (capability::ZSTD_COMPRESSION_ALGORITHM, zstd),
    ] {
        let drafts = play(&compressed(flag, pack));
        assert_eq!(errors(&drafts), [""; 3]);
        assert_eq!(text(&drafts[1].request, "query"), "select owner from carts");
        assert_eq!(text(&drafts[1].response, "rows.1.0"), "ann");
    }
}

#[test]
fn what_unpacks_to_too_much_becomes_a_gap() {
    let bomb = packet(1, &vec![b'x'; 8_000_000]);
    let mut turns = opened(BASE | capability::COMPRESS);
    turns.extend([
        (UP, wrapped(0, &query("select 1"), zlib)),
        (DOWN, wrapped(1, &bomb, zlib)),
        (UP, wrapped(0, &query("select 2"), zlib)),
        (DOWN, wrapped(1, &packet(1, FINE), zlib)),
    ]);
    let drafts = play(&turns);
    assert_eq!(errors(&drafts), ["", "dissection", ""]);
    assert_eq!(text(&drafts[2].response, "status"), "ok");
}

#[test]
fn an_encrypted_stream_goes_over_to_tls() {
    let mut dissector = super::dissector::Mysql::new(&(*feed().conversation().info()).into());
    let mut out = Drafts::default();
    let mut say = |direction, bytes: Vec<u8>| {
        let chunk = Chunk {
            direction,
            offset: 0,
            bytes: bytes.into(),
            ts: Timestamp::default(),
            ordinal: 1,
        };
        dissector.on_chunk(&chunk, &mut out)
    };
    let request = (BASE | capability::SSL).to_le_bytes();
    say(DOWN, handshake(BASE | capability::SSL));
    say(UP, packet(1, &[&request[..], &[0; 28]].concat()));
    assert_eq!(
        say(UP, b"\x16\x03\x01".to_vec()),
        Outcome::GiveUp(GiveUp::Upgraded)
    );
    assert_eq!(dissector.handover().expect("to TLS").protocol, "tls");
    assert_eq!(text(&out.0[0].request, "command"), "SSLRequest");
}

#[test]
fn a_gap_keeps_the_pairing() {
    let id = column("id", 3);
    let answer = packets(1, &[&[1], &id, END, &row(&["1"]), END]);
    let (front, back) = answer.split_at(answer.len() - 6);
    let mut feed = feed();
    for (direction, bytes) in opened(BASE) {
        feed.chunk(direction, &bytes);
    }
    feed.chunk(UP, &query("select a"))
        .chunk(DOWN, front)
        .gap(DOWN, back.len())
        .chunk(UP, &query("select b"))
        .gap(DOWN, 500)
        .chunk(UP, &query("select c"))
        .chunk(DOWN, &packet(1, FINE));
    let drafts = feed.end();
    assert_eq!(errors(&drafts[1..]), ["dissection", "dissection", ""]);
    assert_eq!(text(&drafts[3].request, "query"), "select c");
    assert_eq!(text(&drafts[3].response, "status"), "ok");
}

#[test]
fn open_commands_and_statements_are_bounded() {
    let mut feed = feed();
    for (direction, bytes) in opened(BASE) {
        feed.chunk(direction, &bytes);
    }
    let sql = "x".repeat(8000);
    for _ in 0..2000 {
        feed.chunk(UP, &query(&sql));
    }
    assert!(feed.conversation().save().len() < 4 << 20);
    assert_eq!(feed.end().len(), 2001);
    let mut feed = self::feed();
    for (direction, bytes) in opened(BASE) {
        feed.chunk(direction, &bytes);
    }
    for id in 0..1000u32 {
        feed.chunk(UP, &command(com::STMT_PREPARE, sql.as_bytes()));
        let ok = [&[0][..], &id.to_le_bytes(), &[0; 7]].concat();
        feed.chunk(DOWN, &packet(1, &ok));
    }
    assert!(feed.conversation().save().len() < 4 << 20);
}

#[test]
fn filters_find_the_variables() {
    let drafts = play(&samples()[0].turns);
    for (at, filter) in [
        (1, r#"mysql && mysql_command == "COM_QUERY""#),
        (1, r#"mysql_query.contains("owner") && mysql_success"#),
        (1, r#"mysql_database == "shop" && mysql_error_code == 0"#),
        (3, "!mysql_success && mysql_error_code == 1054"),
        (3, r#"mysql_error_message == "Unknown column""#),
        (
            3,
            "mysql_total_size == mysql_request_size + mysql_response_size",
        ),
    ] {
        assert!(matches(&drafts[at], filter), "{filter}");
    }
    let prepared = play(&samples()[1].turns);
    assert!(matches(&prepared[1], "mysql_statement_id == 5"));
    assert!(matches(&prepared[2], "mysql_statement_id == 5"));
}

#[test]
fn what_only_looks_like_mysql_is_left_alone() {
    let payloads: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
        &[0; 64],
        &[0xff; 64],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        // A Metadata request of Kafka.
        b"\0\0\0\x14\0\x03\0\x01\0\0\0\x01\0\x03app\0\0\0\0\0\0\0\0",
    ];
    for payload in payloads {
        let mut feed = feed();
        feed.chunk(UP, payload).chunk(DOWN, payload);
        assert_eq!(feed.protocol(), None, "{payload:?}");
        assert!(feed.end().is_empty());
    }
}

/// Command, status, and how many items have both.
type Count = (&'static str, &'static str, usize);

/// Captures in `tests/pcaps`, with the commands and statuses that the clients which made them saw.
#[rustfmt::skip]
const CAPTURES: &[(&str, &[Count])] = &[
    ("mysql-text.pcap", &[
        ("COM_INIT_DB", "ok", 1), ("COM_QUERY", "1062", 1), ("COM_QUERY", "1146", 1),
        ("COM_QUERY", "ok", 8), ("COM_QUIT", "", 1), ("HandshakeResponse", "ok", 1),
    ]),
    ("mysql-prepared.pcap", &[
        ("COM_CHANGE_USER", "ok", 1), ("COM_PING", "ok", 3), ("COM_QUERY", "ok", 10),
        ("COM_QUIT", "", 2), ("COM_RESET_CONNECTION", "ok", 1), ("COM_STATISTICS", "ok", 1),
        ("COM_STMT_CLOSE", "", 2), ("COM_STMT_EXECUTE", "ok", 2), ("COM_STMT_PREPARE", "1054", 1),
        ("COM_STMT_PREPARE", "ok", 1), ("COM_STMT_RESET", "ok", 2), ("HandshakeResponse", "1045", 1),
        ("HandshakeResponse", "ok", 2),
    ]),
    ("mysql-compressed.pcap", &[
        ("COM_QUERY", "1146", 1), ("COM_QUERY", "ok", 2), ("COM_QUIT", "", 1),
        ("HandshakeResponse", "ok", 1),
    ]),
    ("mysql-binlog.pcap", &[
        ("COM_BINLOG_DUMP", "ok", 1), ("COM_QUERY", "ok", 3), ("HandshakeResponse", "ok", 1),
    ]),
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

fn counts(expected: &[Count]) -> Vec<(String, String, usize)> {
    expected
        .iter()
        .map(|(command, status, count)| (command.to_string(), status.to_string(), *count))
        .collect()
}

#[test]
fn captures_of_a_real_server_are_read_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pcaps");
    for (name, expected) in CAPTURES {
        let drafts = dissect_savefile(&folder.join(name), 0, &Protocols::all());
        assert_eq!(tally(&drafts), counts(expected), "{name}");
        assert!(
            errors(&drafts).iter().all(|error| error.is_empty()),
            "{name}"
        );
    }
    let drafts = dissect_savefile(&folder.join("mysql-prepared.pcap"), 0, &Protocols::all());
    let execute = drafts
        .iter()
        .find(|draft| text(&draft.request, "command") == "COM_STMT_EXECUTE")
        .unwrap();
    assert_eq!(
        shown(execute.request.member("parameters").unwrap()),
        r#"[1,"x"]"#
    );
    let rows = shown(execute.response.member("rows").unwrap());
    let first = r#"[[1,"ann","1.50","2024-02-03 04:05:06",null,"AP8=",1.25,"-01:02:03"],"#;
    assert!(rows.starts_with(first), "{rows}");
}

#[test]
fn no_sample_capture_is_taken_for_mysql() {
    truth::assert_counts("mysql", outline, |_, _| Vec::new());
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = (parser::packet(&bytes), parser::handshake(&bytes), parser::login(&bytes));
        let _ = (parser::ok(&bytes, true), parser::err(&bytes), parser::column(&bytes));
        let _ = (parser::change_user(&bytes), parser::prepared(&bytes));
        let _ = (parser::looks_like_command(&bytes), statements::query_text(&bytes, true));
        let mut known = statements::Statements::default();
        let found = known.parameters(7, &bytes, true);
        render::parameters(&found.unwrap_or_default());
        render::parameters(&Bytes::from(bytes));
    }
}
