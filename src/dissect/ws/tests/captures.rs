//! Tests with the sample captures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::dissect::conversation::tests::dissect_savefile;
use crate::dissect::truth;

/// Messages of a capture, without its first `skip` packets.
fn items(path: &Path, skip: usize) -> Vec<Draft> {
    let mut drafts = dissect_savefile(path, skip, &Protocols::all());
    drafts.retain(|draft| draft.kind.name == "ws");
    drafts
}

/// Frames by opcode, as `truth.json` has them.
fn opcodes(drafts: &[Draft]) -> BTreeMap<String, i64> {
    let mut found = BTreeMap::new();
    for draft in drafts {
        let first = match member(draft, "opcode") {
            Value::Static("text") => "1",
            Value::Static("binary") => "2",
            Value::Static("close") => "8",
            Value::Static("ping") => "9",
            Value::Static("pong") => "10",
            other => panic!("{other:?}"),
        };
        *found.entry(first.to_owned()).or_default() += 1;
        let more = int(draft, "frames") - 1;
        if more > 0 {
            *found.entry("0".to_owned()).or_default() += more;
        }
    }
    found
}

/// tshark and we agree on all of them.
#[test]
fn frames_of_the_sample_captures_are_all_found() {
    truth::assert_counts("ws", opcodes, |_, facts| {
        serde_json::from_value(facts["websocket"]["opcodes"].clone()).unwrap_or_default()
    });
}

/// The folder of sample captures, when it is there.
fn captures() -> Option<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures"));
    if !folder.exists() {
        println!("skipped: no sample captures in {}", folder.display());
        return None;
    }
    Some(folder.to_path_buf())
}

/// Capture, message, its length, how it reads.
const CONTENT: &[(&str, usize, i64, &str)] = &[
    ("arkime-websocket", 1, 12, "client text test message"),
    (
        "own-ws-echo-deflate-frag",
        0,
        273,
        "client text msg 0 zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
    ),
    ("own-ws-echo-deflate-frag", 22, 2, "client ping hb"),
    ("own-ws-echo-deflate-frag", 24, 10, "client text fragmented"),
    ("own-ws-echo-deflate-frag", 27, 5, "server close bye"),
    // Compressed, with a window of 4 KiB that is taken over.
    (
        "own-ws-echo-deflate-frag",
        29,
        232,
        "client text {\"t\": \"tick\", \"i\": 0, \"pad\": \"aaaaaaaaaa",
    ),
    (
        "own-ws-echo-deflate-frag",
        46,
        237,
        "server text echo:{\"t\": \"tick\", \"i\": 8, \"pad\": \"aaaaa",
    ),
    (
        "suricata-websocket-compressed",
        1,
        21,
        "server text TOGGLE=2d80b22edb3afc",
    ),
    (
        "suricata-websocket",
        16,
        24,
        "server text time,2023/11/10 05:56:21",
    ),
    (
        "zeek-broker-websocket",
        0,
        24,
        "client text [\"/zeek/event/my_topic\"]",
    ),
    ("zeek-fragmented-http-reply", 1, 4, "client pong Zeek"),
    (
        "zeek-two-binary-fragments",
        3,
        12,
        "server binary Hello there!",
    ),
    ("zeek-wrong-accept-header", 0, 4, "server ping Zeek"),
];

#[test]
fn messages_of_the_sample_captures_read_as_they_were_sent() {
    let Some(folder) = captures() else { return };
    for (name, at, length, line) in CONTENT {
        let drafts = items(&folder.join(format!("websocket/{name}.pcap")), 0);
        let draft = &drafts[*at];
        assert_eq!(lines(&drafts)[*at], *line, "{name} {at}");
        assert_eq!(int(draft, "length"), *length, "{name} {at}");
        assert!(drafts.iter().all(|draft| draft.error.is_none()), "{name}");
    }
    // `constructed.json`: a binary message of 70000 bytes goes there and back.
    let drafts = items(&folder.join("websocket/own-ws-echo-deflate-frag.pcap"), 0);
    assert!(int(&drafts[18], "length") == 70_000 && payload(&drafts[18]) == payload(&drafts[19]));
    // The subscription of `graphql-transport-ws` has four values.
    let drafts = items(&folder.join("graphql/own-graphql-http-ws.pcap"), 0);
    let values = |draft: &&Draft| payload(draft).starts_with(br#"{"id":"1","type":"next""#);
    assert_eq!(drafts.iter().filter(values).count(), 4);
    assert!(
        matches!(member(&drafts[0], "subprotocol"), Value::Text(name) if name == "graphql-transport-ws")
    );
}

#[test]
fn a_sample_capture_without_its_handshake_is_known_by_its_frames() {
    let Some(folder) = captures() else { return };
    let path = folder.join("websocket/own-ws-echo-deflate-frag.pcap");
    let (whole, late) = (items(&path, 0), items(&path, 6));
    let plain = |drafts: &[Draft]| lines(drafts)[..29].to_vec();
    assert_eq!(plain(&late), plain(&whole));
    // The second connection is whole.
    assert_eq!(late.len(), whole.len());
}
