//! Tests of PostgreSQL.

mod pairing;

use std::path::Path;

use proptest::prelude::*;

use super::super::conversation::tests::{dissect_savefile, matches};
use super::super::robustness::{Drafts, Feed, Sample};
use super::super::{Dissector, Draft, GiveUp, Outcome, Protocols, enabled, truth};
use super::parser;
use crate::flow::Chunk;
use crate::item::{ItemNode, Node, Value, json, lookup};
use crate::packet::{Direction, Transport};
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

/// What a started connection adds, and its item taken off.
fn after_start(turns: &[(Direction, Vec<u8>)]) -> Vec<Draft> {
    let mut drafts = play(&[opened(), turns.to_vec()].concat());
    drafts.remove(0);
    drafts
}

#[test]
fn a_query_has_the_shape_of_the_reference() {
    let mut feed = feed();
    for (direction, bytes) in opened() {
        feed.chunk(direction, &bytes);
    }
    let answer = [
        description(&["id", "owner"]),
        row(&["7", "ann"]),
        done("SELECT 1"),
        ready(b'T'),
    ];
    feed.at(Timestamp::from_secs(100, 0))
        .chunk(UP, &query("select * from carts"))
        .at(Timestamp::from_secs(100, 7_000_000))
        .chunk(DOWN, &answer.concat());
    let drafts = feed.end();
    assert_eq!(
        shown(&drafts[1].request),
        r#"{"command":"Query","query":"select * from carts","user":"cart","database":"shop"}"#
    );
    assert_eq!(
        shown(&drafts[1].response),
        r#"{"status":"ok","success":true,"commandTag":"SELECT 1","affectedRows":1,"columns":["id","owner"],"rowCount":1,"rows":[["7","ann"]],"transactionStatus":"in transaction"}"#
    );
    assert_eq!(drafts[1].elapsed_nanos, 7_000_000);
    assert_eq!(drafts[1].request_size, 25);
    assert_eq!(errors(&drafts), ["", ""]);
}

#[test]
fn a_start_tells_the_method_and_no_secret() {
    let drafts = play(&opened());
    assert_eq!(
        shown(&drafts[0].request),
        r#"{"command":"StartupMessage","protocolVersion":"3.0","startupParameters":{"user":"cart","database":"shop"},"passwordSent":true,"mechanism":"SCRAM-SHA-256","user":"cart","database":"shop"}"#
    );
    assert_eq!(
        shown(&drafts[0].response),
        r#"{"status":"ok","success":true,"authentication":["AuthenticationSASL","AuthenticationOk"],"mechanisms":["SCRAM-SHA-256"],"processId":7,"parameterStatus":{"server_version":"15.1"},"transactionStatus":"idle"}"#
    );
    let plain = play(&[
        (UP, startup()),
        (DOWN, message(b'R', &[0, 0, 0, 3])),
        (UP, message(b'p', b"opensesame\0")),
        (DOWN, report(b'E', "FATAL", "28P01", "no")),
    ]);
    assert_eq!(outline(&plain), [("StartupMessage".into(), "28P01".into())]);
    for draft in drafts.iter().chain(&plain) {
        let all = shown(&draft.request) + &shown(&draft.response);
        assert!(
            !all.contains("opensesame") && !all.contains("invented"),
            "{all}"
        );
    }
    assert_eq!(errors(&plain), [""]);
}

#[test]
fn an_execute_shows_the_text_that_parse_gave() {
    let drafts = after_start(&[
        (UP, [parse("s1", "select $1"), sync()].concat()),
        (DOWN, [empty(b'1'), ready(b'I')].concat()),
        (UP, [bind("p1", "s1", "a"), execute("p1"), sync()].concat()),
        (
            DOWN,
            [empty(b'2'), row(&["a"]), done("SELECT 1"), ready(b'I')].concat(),
        ),
        // A name that nobody was seen to prepare.
        (UP, [bind("", "s9", "b"), execute(""), sync()].concat()),
        (
            DOWN,
            [empty(b'2'), done("INSERT 0 3"), ready(b'I')].concat(),
        ),
    ]);
    assert_eq!(
        drafts
            .iter()
            .map(|draft| shown(&draft.request))
            .collect::<Vec<_>>(),
        [
            r#"{"command":"Parse","query":"select $1","statement":"s1","user":"cart","database":"shop"}"#,
            r#"{"command":"Execute","query":"select $1","statement":"s1","portal":"p1","parameters":["a"],"user":"cart","database":"shop"}"#,
            r#"{"command":"Execute","statement":"s9","portal":"","parameters":["b"],"user":"cart","database":"shop"}"#,
        ]
    );
    assert_eq!(errors(&drafts), ["", "", ""]);
}

#[test]
fn binary_values_are_base64_and_null_is_null() {
    let body = [
        texts(&["", ""]),
        vec![0, 1, 0, 1, 0, 2],
        counted(&[0, 0, 0, 7]),
        vec![0xff; 4],
        vec![0, 1, 0, 1],
    ];
    let binary_row = [vec![0, 2], counted(&[0xff, 0]), vec![0xff; 4]].concat();
    let drafts = after_start(&[
        (
            UP,
            [
                parse("", "select"),
                message(b'B', &body.concat()),
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
                message(b'D', &binary_row),
                done("SELECT 1"),
                ready(b'I'),
            ]
            .concat(),
        ),
    ]);
    let request = shown(&drafts[0].request);
    assert!(
        request.contains(r#""parameters":["AAAABw==",null]"#),
        "{request}"
    );
    let response = shown(&drafts[0].response);
    assert!(response.contains(r#""rows":[["/wA=",null]]"#), "{response}");
}

#[test]
fn an_error_in_a_pipeline_aborts_what_follows_up_to_sync() {
    let one = |sql: &str| [parse("", sql), bind("", "", "x"), execute("")].concat();
    let good = [empty(b'1'), empty(b'2'), done("SELECT 0")].concat();
    let drafts = after_start(&[
        (
            UP,
            [one("a"), one("b"), one("c"), sync(), one("d"), sync()].concat(),
        ),
        (
            DOWN,
            [
                good.clone(),
                report(b'E', "ERROR", "42601", "syntax"),
                ready(b'I'),
                good,
                ready(b'I'),
            ]
            .concat(),
        ),
    ]);
    let texts: Vec<_> = drafts
        .iter()
        .map(|draft| text(&draft.request, "query") + " " + &text(&draft.response, "status"))
        .collect();
    assert_eq!(texts, ["a ok", "b 42601", "c aborted", "d ok"]);
    assert_eq!(errors(&drafts), [""; 4]);
}

#[test]
fn statements_of_one_query_have_a_result_each() {
    let drafts = after_start(&[
        (UP, query("select 1; delete from carts")),
        (
            DOWN,
            [
                description(&["one"]),
                row(&["1"]),
                done("SELECT 1"),
                done("DELETE 4"),
                ready(b'I'),
            ]
            .concat(),
        ),
    ]);
    assert_eq!(
        shown(&drafts[0].response),
        r#"{"status":"ok","success":true,"commandTag":"SELECT 1","affectedRows":1,"columns":["one"],"rowCount":1,"rows":[["1"]],"results":[{"commandTag":"SELECT 1","affectedRows":1,"columns":["one"],"rowCount":1,"rows":[["1"]]},{"commandTag":"DELETE 4","affectedRows":4}],"transactionStatus":"idle"}"#
    );
}

#[test]
fn copy_in_the_extended_protocol_loses_its_first_sync() {
    let drafts = after_start(&[
        (
            UP,
            [
                parse("", "copy t from stdin"),
                bind("", "", "x"),
                execute(""),
                sync(),
            ]
            .concat(),
        ),
        (
            DOWN,
            [empty(b'1'), empty(b'2'), message(b'G', &[1, 0, 0])].concat(),
        ),
        (UP, [message(b'd', &[7; 30]), empty(b'c'), sync()].concat()),
        (DOWN, [done("COPY 1"), ready(b'I')].concat()),
        (UP, query("select 2")),
        (DOWN, [done("SELECT 0"), ready(b'I')].concat()),
    ]);
    assert_eq!(
        outline(&drafts),
        [
            ("Execute".into(), "ok".into()),
            ("Query".into(), "ok".into())
        ]
    );
    let response = shown(&drafts[0].response);
    let copy = r#""copy":{"direction":"in","format":"binary","columns":0,"bytes":30,"messages":1}"#;
    assert!(response.contains(copy), "{response}");
}

#[test]
fn an_encrypted_stream_goes_over_to_tls() {
    let stream = *feed().conversation().info();
    let mut dissector = super::dissector::Postgres::new(&stream.into());
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
    assert_eq!(
        say(UP, untyped(parser::SSL_REQUEST, b"")),
        Outcome::Consumed(8)
    );
    assert_eq!(say(DOWN, b"S".to_vec()), Outcome::Consumed(1));
    assert_eq!(
        say(UP, b"\x16\x03\x01".to_vec()),
        Outcome::GiveUp(GiveUp::Upgraded)
    );
    assert_eq!(dissector.handover().expect("to TLS").protocol, "tls");
    assert_eq!(
        shown(&out.0[0].response),
        r#"{"status":"ok","success":true,"encryption":true}"#
    );
}

#[test]
fn a_long_row_is_taken_as_it_comes() {
    let long = "x".repeat(5_000_000);
    let mut feed = feed();
    for (direction, bytes) in opened() {
        feed.chunk(direction, &bytes);
    }
    feed.chunk(UP, &query("select long"));
    let answer = [
        description(&["long"]),
        row(&[&long]),
        row(&["short"]),
        done("SELECT 2"),
        ready(b'I'),
    ]
    .concat();
    for part in answer.chunks(60_000) {
        feed.chunk(DOWN, part);
        assert!(feed.conversation().save().len() < 400_000);
    }
    let drafts = feed.end();
    let response = &drafts[1].response;
    assert_eq!(drafts[1].response_size, answer.len() as u64);
    assert!(response.is_cut());
    assert_eq!(
        lookup(ItemNode::of_value(response), "rowCount").and_then(Node::int),
        Some(2)
    );
    let first = text(response, "rows.0.0");
    assert!(
        first.len() > 60_000 && first.len() < 66_000,
        "{}",
        first.len()
    );
}

/// Query and command tag of each item, and its error.
fn pairs(drafts: &[Draft]) -> Vec<String> {
    let pair = |(draft, error): (&Draft, &str)| {
        let (query, tag) = (
            text(&draft.request, "query"),
            text(&draft.response, "commandTag"),
        );
        format!("{query} -> {tag} {error}").trim_end().to_owned()
    };
    drafts.iter().zip(errors(drafts)).map(pair).collect()
}

fn tagged(count: u8) -> Vec<u8> {
    [done(&format!("SELECT {count}")), ready(b'I')].concat()
}

#[test]
fn what_is_prepared_and_what_waits_is_bounded() {
    let mut feed = feed();
    for (direction, bytes) in opened() {
        feed.chunk(direction, &bytes);
    }
    let sql = "x".repeat(4000);
    for index in 0..3000 {
        let name = format!("s{index}");
        feed.chunk(UP, &[parse(&name, &sql), sync()].concat());
    }
    assert!(feed.conversation().save().len() < 4 << 20);
    for _ in 0..3000 {
        feed.chunk(DOWN, &[empty(b'1'), ready(b'I')].concat());
    }
    let drafts = feed.end();
    assert_eq!(drafts.len(), 3001);
    let late = drafts.iter().filter(|draft| draft.error.is_some()).count();
    assert_eq!(late, 3000 - super::dissector::MAX_OPEN);
}

#[test]
fn filters_find_the_variables() {
    let drafts = play(&samples()[0].turns);
    for (at, filter) in [
        (2, r#"postgresql && postgresql_command == "Query""#),
        (
            2,
            r#"postgresql_query.contains("delete") && postgresql_success"#,
        ),
        (
            2,
            r#"postgresql_user == "cart" && postgresql_database == "shop""#,
        ),
        (
            3,
            r#"!postgresql_success && postgresql_error_code == "42703""#,
        ),
        (3, r#"postgresql_error_message.startsWith("no such")"#),
        (
            3,
            "postgresql_total_size == postgresql_request_size + postgresql_response_size",
        ),
    ] {
        assert!(matches(&drafts[at], filter), "{filter}");
    }
    assert!(!matches(&drafts[2], "!postgresql_success"));
}

#[test]
fn what_only_looks_like_postgresql_is_left_alone() {
    let payloads: [&[u8]; 7] = [
        // A Metadata request of Kafka.
        b"\0\0\0\x14\0\x03\0\x01\0\0\0\x01\0\x03app\0\0\0\0\0\0\0",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
        &[0; 64],
        &[0xff; 64],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x0c\0\0\0\x03select 1234",
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
    ("pgsql-simple.pcap", &[
        ("", "ok", 1), ("Query", "42P01", 1), ("Query", "ok", 12), ("SSLRequest", "ok", 1),
        ("StartupMessage", "ok", 1), ("Terminate", "", 1),
    ]),
    ("pgsql-extended.pcap", &[
        ("Describe", "ok", 1), ("Execute", "22012", 1), ("Execute", "42P01", 1),
        ("Execute", "aborted", 1), ("Execute", "ok", 9), ("Parse", "ok", 1), ("Query", "ok", 9),
        ("StartupMessage", "28P01", 1), ("StartupMessage", "ok", 3), ("Terminate", "", 3),
    ]),
    ("pgsql-cancel.pcap", &[
        ("CancelRequest", "", 1), ("Query", "57014", 1), ("StartupMessage", "ok", 1),
        ("Terminate", "", 1),
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
        let secrets = drafts
            .iter()
            .any(|draft| (shown(&draft.request) + &shown(&draft.response)).contains("invented-pw"));
        assert!(!secrets, "{name}");
    }
}

/// Sample captures with PostgreSQL in them. tshark shows the same requests; it names the messages of
/// one packet, we the exchanges: 31 packets are 15 of them. In the last start the client left before
/// it authenticated. The traces for fuzzing hold one connection that asks for GSS encryption.
#[rustfmt::skip]
const SAMPLES: &[(&str, &[Count])] = &[
    ("other-protocols/ndpi-pgsql.pcap", &[
        ("Execute", "ok", 7), ("GSSENCRequest", "ok", 2), ("SSLRequest", "ok", 2),
        ("StartupMessage", "incomplete", 1), ("StartupMessage", "ok", 3),
    ]),
    ("malformed/ndpi-ossfuzz_seed_fake_traces_2.pcapng", &[("GSSENCRequest", "ok", 1)]),
];

#[test]
fn the_sample_captures_hold_what_tshark_finds_and_nothing_more() {
    truth::assert_counts("postgresql", tally, |name, _| {
        let expected = SAMPLES.iter().find(|(path, _)| *path == name);
        counts(expected.map_or(&[], |(_, expected)| expected))
    });
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = (parser::startup(&bytes), parser::frontend(&bytes), parser::backend(&bytes));
        let _ = (parser::walk_frontend(&bytes), parser::walk_backend(&bytes));
        let _ = (parser::parse(&bytes), parser::bind_names(&bytes), parser::bind_results(&bytes));
        if let Ok((formats, values)) = parser::bind_values(&bytes) {
            for (index, _) in values.enumerate() {
                formats.of(index);
            }
        }
        parser::pairs(&bytes).count();
        parser::columns(&bytes).count();
        parser::error_fields(&bytes).count();
        parser::Values::of_row(&bytes).count();
        parser::affected_rows(&bytes);
    }
}
