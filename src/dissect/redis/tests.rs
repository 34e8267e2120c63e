//! Tests of Redis.

use bytes::Bytes;
use proptest::prelude::*;

use super::super::Protocols;
use super::super::robustness::{Feed, Sample};
use super::super::{Draft, enabled, truth};
use super::parser::{Framer, Role, Step};
use super::{command, recognise, render};
use crate::item::{ItemNode, MAX_ITEM_BODY, Node, Value, json, lookup};
use crate::packet::{Direction, Transport};
use crate::time::Timestamp;

mod pairing;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

/// A command as client libraries send it.
fn array(words: &str) -> Vec<u8> {
    let words: Vec<&str> = words.split(' ').collect();
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
    bytes
}

pub(super) fn samples() -> Vec<Sample> {
    let sample = |name, server_port, turns: Vec<(Direction, Vec<u8>)>, items| Sample {
        name,
        transport: Transport::Tcp,
        server_port,
        turns,
        items,
    };
    vec![
        sample(
            "commands one by one, an error, a null, an inline command",
            6379,
            vec![
                (UP, array("SET cart:7 2 EX 60")),
                (DOWN, b"+OK\r\n".to_vec()),
                (UP, array("LPUSH cart:7 x")),
                (DOWN, b"-WRONGTYPE Operation against a key\r\n".to_vec()),
                (UP, array("GET lost")),
                (DOWN, b"$-1\r\n".to_vec()),
                (UP, b"GET cart:7\r\n".to_vec()),
                (DOWN, b"$1\r\n2\r\n".to_vec()),
            ],
            4,
        ),
        sample(
            "three commands at once, in a transaction, on an unusual port",
            7000,
            vec![
                (UP, [array("MULTI"), array("INCR n"), array("EXEC")].concat()),
                (DOWN, b"+OK\r\n+QUEUED\r\n*1\r\n:1\r\n".to_vec()),
            ],
            3,
        ),
        sample(
            "RESP3: hello, attributes, a streamed string, pushed messages",
            6379,
            vec![
                (UP, array("HELLO 3")),
                (
                    DOWN,
                    b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n".to_vec(),
                ),
                (UP, array("SUBSCRIBE a b")),
                (DOWN, b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n".to_vec()),
                (DOWN, b">3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n".to_vec()),
                (UP, array("GET k")),
                (DOWN, b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n".to_vec()),
                (
                    DOWN,
                    b"|1\r\n+ttl\r\n:3600\r\n$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n".to_vec(),
                ),
                (UP, array("SMEMBERS k")),
                (DOWN, b"~?\r\n,1.5\r\n#t\r\n*0\r\n_\r\n.\r\n".to_vec()),
            ],
            6,
        ),
        sample(
            "RESP2: a subscriber, and what it is told",
            6379,
            vec![
                (UP, array("SUBSCRIBE a b")),
                (
                    DOWN,
                    b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"
                        .to_vec(),
                ),
                (DOWN, b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n".to_vec()),
                (UP, array("PING")),
                (DOWN, b"*2\r\n$4\r\npong\r\n$0\r\n\r\n".to_vec()),
                (UP, array("UNSUBSCRIBE a b")),
                (
                    DOWN,
                    b"*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n"
                        .to_vec(),
                ),
                (UP, array("PING")),
                (DOWN, b"+PONG\r\n".to_vec()),
            ],
            7,
        ),
    ]
}

fn redis() -> Feed {
    Feed::new(Transport::Tcp, 6379, &Protocols::all())
}

fn shown(value: &Value) -> String {
    json::to_string(ItemNode::of_value(value))
}

fn text(value: &Value, path: &str) -> String {
    lookup(ItemNode::of_value(value), path)
        .and_then(Node::text)
        .map_or_else(String::new, |text| text.into_owned())
}

fn error(draft: &Draft) -> &'static str {
    draft.error.as_ref().map_or("", |error| error.kind)
}

/// `command line=reply` of each item, an error's kind behind it.
fn brief(drafts: &[Draft]) -> Vec<String> {
    drafts
        .iter()
        .map(|draft| {
            let line = text(&draft.request, "commandLine");
            let keyword = text(&draft.response, "keyword");
            let value = text(&draft.response, "value");
            let error = error(draft);
            format!(
                "{line}={keyword}{}{value} {error}",
                if keyword.is_empty() { "" } else { ":" }
            )
            .trim_end()
            .to_string()
        })
        .collect()
}

#[test]
fn an_item_has_the_shape_of_the_reference() {
    let mut feed = redis();
    feed.at(Timestamp::from_secs(100, 0))
        .chunk(UP, &array("set cart:7 2"))
        .at(Timestamp::from_secs(100, 250_000))
        .chunk(DOWN, b"+OK\r\n");
    let drafts = feed.end();
    assert_eq!(
        shown(&drafts[0].request),
        r#"{"type":"Array","command":"SET","key":"cart:7","value":"[2]","keyword":"","commandLine":"SET cart:7 2"}"#
    );
    assert_eq!(
        shown(&drafts[0].response),
        r#"{"type":"Simple String","command":"","key":"","value":"OK","keyword":""}"#
    );
    assert_eq!((error(&drafts[0]), drafts[0].elapsed_nanos), ("", 250_000));
    assert_eq!((drafts[0].request_size, drafts[0].response_size), (32, 5));
    assert!(drafts[0].from_client);
}

/// Examples of the RESP specification, section by section.
#[test]
fn every_type_has_its_name_and_text() {
    let cases: &[(&str, &str, &str)] = &[
        ("+OK\r\n", "Simple String", "OK"),
        (
            "-ERR unknown command 'asdf'\r\n",
            "Error",
            "ERR unknown command 'asdf'",
        ),
        (":1000\r\n", "Integer", "1000"),
        (":-5\r\n", "Integer", "-5"),
        ("$5\r\nhello\r\n", "Bulk String", "hello"),
        ("$0\r\n\r\n", "Bulk String", ""),
        ("$-1\r\n", "Null", ""),
        ("*-1\r\n", "Null", ""),
        ("*0\r\n", "Array", "[]"),
        (
            "*2\r\n$5\r\nhello\r\n$5\r\nworld\r\n",
            "Array",
            "[hello, world]",
        ),
        (
            "*2\r\n*3\r\n:1\r\n:2\r\n:3\r\n*2\r\n+Hello\r\n-World\r\n",
            "Array",
            "[[1, 2, 3], [Hello, World]]",
        ),
        (
            "*3\r\n$5\r\nhello\r\n$-1\r\n$5\r\nworld\r\n",
            "Array",
            "[hello, (nil), world]",
        ),
        ("_\r\n", "Null", ""),
        ("#t\r\n", "Boolean", "true"),
        ("#f\r\n", "Boolean", "false"),
        (",1.23\r\n", "Double", "1.23"),
        (",-inf\r\n", "Double", "-inf"),
        (
            "(3492890328409238509324850943850943825024385\r\n",
            "Big Number",
            "3492890328409238509324850943850943825024385",
        ),
        (
            "!21\r\nSYNTAX invalid syntax\r\n",
            "Error",
            "SYNTAX invalid syntax",
        ),
        (
            "=15\r\ntxt:Some string\r\n",
            "Verbatim String",
            "Some string",
        ),
        (
            "%2\r\n+first\r\n:1\r\n+second\r\n:2\r\n",
            "Map",
            "{first: 1, second: 2}",
        ),
        ("~2\r\n+a\r\n+b\r\n", "Set", "[a, b]"),
        (
            "|1\r\n+key-popularity\r\n%2\r\n$1\r\na\r\n,0.1923\r\n$1\r\nb\r\n,0.0012\r\n*2\r\n:2039123\r\n:9543892\r\n",
            "Array",
            "[2039123, 9543892]",
        ),
        (
            "*3\r\n:1\r\n:2\r\n|1\r\n+ttl\r\n:3600\r\n:3\r\n",
            "Array",
            "[1, 2, 3]",
        ),
        (
            "$?\r\n;4\r\nHell\r\n;5\r\no wor\r\n;1\r\nd\r\n;0\r\n",
            "Bulk String",
            "Hello word",
        ),
        ("*?\r\n:1\r\n:2\r\n:3\r\n.\r\n", "Array", "[1, 2, 3]"),
        ("%?\r\n+a\r\n:1\r\n+b\r\n:2\r\n.\r\n", "Map", "{a: 1, b: 2}"),
    ];
    for (reply, kind, value) in cases {
        let mut feed = redis();
        feed.chunk(UP, &array("GET k"))
            .chunk(DOWN, reply.as_bytes());
        let drafts = feed.end();
        assert_eq!(drafts.len(), 1, "{reply:?}");
        assert_eq!(text(&drafts[0].response, "type"), *kind, "{reply:?}");
        assert_eq!(text(&drafts[0].response, "value"), *value, "{reply:?}");
        assert_eq!(error(&drafts[0]), "", "{reply:?}");
    }
}

#[test]
fn errors_and_pushed_messages_have_keywords() {
    let mut feed = redis();
    feed.chunk(UP, &array("GET k"))
        .chunk(DOWN, b"-MOVED 3999 127.0.0.1:6381\r\n")
        .chunk(DOWN, b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n")
        .chunk(
            DOWN,
            b">4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$2\r\nab\r\n$2\r\nhi\r\n",
        );
    let drafts = feed.end();
    assert_eq!(text(&drafts[0].response, "keyword"), "MOVED");
    let push = |draft: &Draft| ["keyword", "key", "value"].map(|name| text(&draft.response, name));
    assert_eq!(push(&drafts[1]), ["INVALIDATE", "[k]", ""]);
    assert_eq!(push(&drafts[2]), ["PMESSAGE", "a*", "[ab, hi]"]);
    assert!(
        drafts[1..]
            .iter()
            .all(|draft| matches!(draft.request, Value::Null))
    );
    assert!(drafts.iter().all(|draft| error(draft).is_empty()));
}

#[test]
fn a_monitor_is_told_without_asking() {
    let mut feed = redis();
    feed.chunk(UP, &array("MONITOR"))
        .chunk(
            DOWN,
            b"+OK\r\n+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n",
        )
        .chunk(UP, &array("PING"))
        .chunk(
            DOWN,
            b"+1339518087.877697 [0 127.0.0.1:60866] \"dbsize\"\r\n+PONG\r\n",
        );
    assert_eq!(
        brief(&feed.end()),
        [
            "MONITOR=OK",
            "=1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"",
            "=1339518087.877697 [0 127.0.0.1:60866] \"dbsize\"",
            "PING=PONG",
        ]
    );
}

#[test]
fn commands_that_want_no_reply_get_none() {
    let mut feed = redis();
    for command in [
        "CLIENT REPLY SKIP",
        "SET a 1",
        "GET a",
        "CLIENT REPLY OFF",
        "SET a 2",
        "CLIENT REPLY ON",
        "GET a",
    ] {
        feed.chunk(UP, &array(command));
    }
    feed.chunk(DOWN, b"$1\r\n1\r\n+OK\r\n$1\r\n2\r\n");
    assert_eq!(
        brief(&feed.end()),
        [
            "CLIENT REPLY SKIP=",
            "SET a 1=",
            "CLIENT REPLY OFF=",
            "SET a 2=",
            "GET a=1",
            "CLIENT REPLY ON=OK",
            "GET a=2"
        ]
    );
}

#[test]
fn a_value_of_any_length_is_counted_and_cut() {
    const LENGTH: usize = 3 * MAX_ITEM_BODY;
    let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${LENGTH}\r\n");
    let mut feed = redis();
    feed.chunk(UP, head.as_bytes());
    for _ in 0..3 {
        feed.chunk(UP, &vec![b'x'; MAX_ITEM_BODY]);
    }
    feed.chunk(UP, b"\r\n").chunk(DOWN, b"+OK\r\n");
    assert!(feed.conversation().save().len() < 1000);
    let drafts = feed.end();
    assert_eq!(drafts[0].request_size, (head.len() + LENGTH + 2) as u64);
    assert_eq!(text(&drafts[0].request, "key"), "k");
    assert!(drafts[0].request.is_cut() && !drafts[0].response.is_cut());
    assert_eq!(error(&drafts[0]), "");
}

#[test]
fn a_gap_within_a_value_costs_no_more_than_the_value() {
    let mut feed = redis();
    feed.chunk(UP, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$300\r\nabc")
        .gap(UP, 290)
        .chunk(UP, b"1234567\r\n")
        .chunk(DOWN, b"+OK\r\n")
        .chunk(UP, &array("GET k"))
        .chunk(DOWN, b"$2\r\nok\r\n");
    let drafts = feed.end();
    assert_eq!(brief(&drafts), ["SET k abc=OK dissection", "GET k=ok"]);
    assert_eq!(
        drafts[0].error.as_ref().unwrap().msg,
        "290 bytes of the command were not captured"
    );
}

#[test]
fn a_client_that_awaits_replies_is_paired_again_at_its_next_command() {
    let mut feed = redis();
    feed.chunk(UP, &array("GET a"))
        .chunk(DOWN, b"$1\r\n1\r\n")
        .chunk(UP, &array("LRANGE l 0 -1"))
        .chunk(DOWN, b"*3\r\n$1\r\na\r\n$1")
        .gap(DOWN, 9)
        // What is left of the list looks like a reply.
        .chunk(DOWN, b"$1\r\nc\r\n")
        .chunk(UP, &array("GET b"))
        .chunk(DOWN, b"$1\r\n2\r\n")
        .gap(UP, 30)
        .chunk(DOWN, b"$4\r\nlost\r\n")
        .chunk(UP, &array("GET c"))
        .chunk(DOWN, b"$1\r\n3\r\n");
    assert_eq!(
        brief(&feed.end()),
        [
            "GET a=1",
            "LRANGE l 0 -1=[a dissection",
            "GET b=2",
            "=lost pair-not-found",
            "GET c=3"
        ]
    );
}

#[test]
fn a_client_that_pipelines_is_paired_again_after_a_silence() {
    let at = |seconds| Timestamp::from_secs(seconds, 0);
    let two = |a: &str, b: &str| [array(a), array(b)].concat();
    let mut feed = redis();
    feed.at(at(100))
        .chunk(UP, &two("GET a", "GET b"))
        .chunk(DOWN, b"$1\r\n1\r\n$1\r\n2\r\n")
        .chunk(UP, &array("GET x"))
        .gap(UP, 50)
        .chunk(UP, &array("GET c"))
        .chunk(DOWN, b"$1\r\n8\r\n$1\r\n9\r\n$1\r\n3\r\n")
        .at(at(102))
        .chunk(UP, &two("GET d", "GET e"))
        .chunk(DOWN, b"$1\r\n4\r\n$1\r\n5\r\n");
    let drafts = feed.end();
    assert_eq!(
        brief(&drafts),
        [
            "GET a=1",
            "GET b=2",
            "GET c= pair-not-found",
            "GET x=8",
            "=9 pair-not-found",
            "=3 pair-not-found",
            "GET d=4",
            "GET e=5",
        ]
    );
}

#[test]
fn open_commands_are_capped_and_pairing_goes_on_behind_them() {
    let mut feed = redis();
    for number in 0..20_000 {
        feed.chunk(UP, &array(&format!("GET {number}")));
    }
    assert_eq!(feed.drafts.0.len(), 20_000 - 16 * 1024);
    for _ in 0..20_000 {
        feed.chunk(DOWN, b":1\r\n");
    }
    let drafts = feed.end();
    let paired = drafts
        .iter()
        .filter(|draft| error(draft).is_empty())
        .count();
    assert_eq!(paired, 16 * 1024);
    assert_eq!(brief(&drafts).last().unwrap(), "GET 19999=1");
}

#[test]
fn replication_is_passed_over() {
    let mut feed = redis();
    feed.chunk(UP, &array("PSYNC ? -1")).chunk(
        DOWN,
        b"+FULLRESYNC 8371445ee47badd7a2c2b1b1b1b1b1b1b1b1b1b1 0\r\n$5\r\nREDIS*1\r\n",
    );
    assert_eq!(feed.end().len(), 1);
}

#[test]
fn nesting_is_capped() {
    for (depth, kept) in [(60, true), (70, false), (100_000, false)] {
        let mut feed = redis();
        feed.chunk(UP, &array("GET k")).chunk(
            DOWN,
            &[b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat(),
        );
        assert_eq!(feed.protocol().is_some(), kept, "{depth}");
        feed.end();
    }
}

#[test]
fn what_only_looks_like_redis_is_left_alone() {
    let conversations: &[(&str, &str)] = &[
        ("get key\r\n", "VALUE key 0 1\r\n1\r\nEND\r\n"),
        ("AUTH PLAIN\r\n", "+ \r\n"),
        ("PING\r\n", "+OK\r\n"),
        ("GET /index.html\r\n", "<html></html>"),
        ("QUIT\r\n", "221 bye\r\n"),
        ("* 5 words\r\n", "$ 5"),
        ("*2\r\n$4\r\n\0\0\0\0\r\n", ""),
    ];
    for (asks, answers) in conversations {
        let mut feed = Feed::new(Transport::Tcp, 8000, &enabled(&["redis"]).0);
        feed.chunk(UP, asks.as_bytes())
            .chunk(DOWN, answers.as_bytes());
        assert_eq!(feed.protocol(), None, "{asks:?}");
        assert!(feed.end().is_empty());
    }
    // POP3: the server speaks first.
    let mut feed = Feed::new(Transport::Tcp, 8000, &enabled(&["redis"]).0);
    feed.chunk(DOWN, b"+OK ready\r\n").chunk(UP, b"AUTH\r\n");
    assert!(feed.end().is_empty());
}

proptest! {
    #[test]
    fn arbitrary_bytes_make_nothing_panic(bytes in proptest::collection::vec(
        prop_oneof![any::<u8>(), proptest::sample::select(&b"*$+-:%~>|;.?_#,(!=0123\r\n"[..])],
        0..400,
    )) {
        for role in [Role::Command, Role::Reply] {
            let mut framer = Framer::new(role);
            let mut rest = &bytes[..];
            while let Step::End(count) | Step::Took(count @ 1..) = framer.walk(rest) {
                rest = &rest[count..];
                if rest.is_empty() {
                    break;
                }
            }
        }
        recognise::command(&bytes);
        recognise::find_command(&bytes);
        recognise::pushed(&bytes);
        command::parts(&bytes);
        let bytes = Bytes::from(bytes);
        shown(&render::request(&bytes, false));
        shown(&render::response(&bytes, false, true));
        shown(&render::response(&bytes, true, false));
    }
}

/// What a capture holds: commands, replies, pushed messages, pairs, errors that the server says.
type Facts = [usize; 5];

fn facts(drafts: &[Draft]) -> Facts {
    let count = |is: &dyn Fn(&Draft) -> bool| drafts.iter().filter(|draft| is(draft)).count();
    let asks = |draft: &Draft| !matches!(draft.request, Value::Null);
    let answers = |draft: &Draft| !matches!(draft.response, Value::Null);
    let pushed = |draft: &Draft| !asks(draft) && error(draft).is_empty();
    [
        count(&asks),
        count(&|draft| answers(draft) && !pushed(draft)),
        count(&pushed),
        count(&|draft| asks(draft) && answers(draft)),
        count(&|draft| text(&draft.response, "type") == "Error"),
    ]
}

/// Ours, and what tshark counts as errors in `truth.json`; where items stay alone, the packets
/// that it is about and why.
///
/// `constructed.json` has 55 commands, 55 replies, 3 pushed messages and 2 errors for
/// `own-redis-mixed`; tshark says neither. The others are short enough to be counted by eye.
const CAPTURES: &[(&str, Facts, u64, &[u64], &str)] = &[
    ("redis/own-redis-mixed.pcap", [55, 55, 3, 55, 2], 2, &[], ""),
    ("redis/zeek-attr.pcap", [2, 2, 0, 2, 0], 0, &[], ""),
    ("redis/zeek-auth.pcap", [3, 3, 0, 3, 2], 2, &[], ""),
    (
        "redis/zeek-pipelining-example.pcap",
        [3, 3, 0, 3, 0],
        0,
        &[],
        "",
    ),
    (
        "redis/zeek-pubsub-resp3.pcap",
        [10, 10, 3, 10, 0],
        0,
        &[],
        "",
    ),
    ("redis/zeek-pubsub.pcap", [7, 7, 3, 7, 0], 0, &[], ""),
    (
        "redis/zeek-reply-off-on.pcap",
        [8, 4, 0, 4, 0],
        0,
        &[4],
        "four commands want no reply",
    ),
    ("redis/zeek-set.pcap", [3, 3, 0, 3, 0], 0, &[], ""),
    ("redis/zeek-stream.pcap", [4, 4, 0, 4, 0], 0, &[], ""),
    (
        "tcp-impaired/own-redis-mixed-client-side-only.pcap",
        [55, 0, 0, 0, 0],
        0,
        &[],
        "",
    ),
    (
        "tcp-impaired/own-redis-mixed-clockstep.pcap",
        [55, 55, 3, 55, 2],
        2,
        &[],
        "",
    ),
    (
        "tcp-impaired/own-redis-mixed-duplicated.pcap",
        [55, 55, 3, 55, 2],
        2,
        &[],
        "",
    ),
    (
        "tcp-impaired/own-redis-mixed-lossy.pcap",
        [52, 55, 3, 40, 2],
        2,
        &[46, 109, 112, 138],
        "three commands are lost; what was sent at once behind them stays alone",
    ),
    (
        "tcp-impaired/own-redis-mixed-midstream.pcap",
        [43, 44, 3, 32, 2],
        2,
        &[86],
        "joined midway: the eleven commands sent at once are not proven to be answered in order",
    ),
    (
        "tcp-impaired/own-redis-mixed-reordered.pcap",
        [55, 55, 3, 55, 2],
        2,
        &[],
        "",
    ),
    (
        "tcp-impaired/own-redis-mixed-server-side-only.pcap",
        [0, 55, 3, 0, 2],
        2,
        &[],
        "",
    ),
];

#[test]
fn messages_of_the_sample_captures_are_all_found() {
    let mut differ = Vec::new();
    truth::walk(|name, facts_of, drafts| {
        let listed = CAPTURES.iter().find(|(path, ..)| *path == name);
        let (expected, errors, why) = match listed {
            Some((_, expected, errors, _, "")) => (*expected, *errors, String::new()),
            Some((_, expected, errors, packets, why)) => {
                let why = truth::explained(name, facts_of, packets, why);
                (*expected, *errors, why)
            }
            // Nothing else is Redis.
            None => ([0; 5], 0, String::new()),
        };
        let told = facts_of["redis"]["errors"].as_u64().unwrap_or(0);
        let ours = facts(&truth::only("redis", drafts));
        truth::row("redis", name, &expected, &ours, &why);
        if ours != expected || told != errors {
            differ.push((name.to_owned(), ours, expected, told));
        }
    });
    assert!(
        differ.is_empty(),
        "ours, expected, tshark's errors: {differ:#?}"
    );
}
