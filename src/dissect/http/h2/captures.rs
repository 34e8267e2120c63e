//! The sample captures: what they hold by `truth.json` and `constructed.json`, and what is found.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;

use crate::dissect::conversation::tests::dissect_savefile;
use crate::dissect::http::captures::{counted, expected};
use crate::dissect::{Draft, Protocols, truth};
use crate::item::{ItemNode, Value, json};

/// Items of HTTP/2 and gRPC in a capture.
fn items(path: &Path) -> Vec<Draft> {
    items_from(path, 0)
}

/// Items of a capture without its first packets.
fn items_from(path: &Path, first: usize) -> Vec<Draft> {
    let mut drafts = dissect_savefile(path, first, &Protocols::all());
    drafts.retain(|draft| draft.kind.version == "2.0");
    drafts
}

/// Captures in which we count otherwise than `truth.json`: ours, the packets, and the reason.
const DIFFERENCES: &[truth::Difference<&str>] = &[
    (
        "http2/arkime-http2-nghttp2.pcap",
        "GET 2 / 200 2",
        &[4, 22, 24],
        "we are right: a request has 18,576 bytes of fields, in a HEADERS and a CONTINUATION frame, which \
         tshark does not put together",
    ),
    (
        "http2/own-h2c-upgrade.pcap",
        "GET 3 / 200 3",
        &[4, 20],
        "we are right, as constructed.json says: two requests came by HTTP/1.1",
    ),
    (
        "http2/suricata-dns-over-http2.pcap",
        "GET 4 / 200 3",
        &[20, 21],
        "both are: the fourth answer came behind the client's reset of its stream",
    ),
    (
        "http2/suricata-http2-keywords2.pcap",
        "GET 2 / 200 1, 404 1",
        &[1],
        "we are right: the first request came by HTTP/1.1 and is answered on stream 1",
    ),
];

/// Whether the sample captures are there; says so when they are not.
fn are_there() -> bool {
    let there = Path::new(FOLDER).is_dir();
    if !there {
        println!("skipped: no sample captures in {FOLDER}");
    }
    there
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures");

#[test]
fn exchanges_of_the_sample_captures_are_all_found() {
    let count =
        |drafts: &[Draft]| counted(drafts.iter().filter(|draft| draft.kind.version == "2.0"));
    let expected = |_: &str, facts: &serde_json::Value| expected(&facts["http2"]);
    truth::assert_counts_but("http", count, expected, DIFFERENCES, |wanted, ours| {
        (*ours).clone_into(wanted);
    });
}

/// Messages of gRPC and their bytes, without those that end with the capture or with what is kept.
fn messages(drafts: &[Draft]) -> (u64, u64) {
    let (mut messages, mut bytes) = (0, 0);
    for draft in drafts.iter().filter(|draft| draft.kind.abbr == "gRPC") {
        for side in [&draft.request, &draft.response] {
            let side = shown(side);
            let listed = side["grpc"]["messages"].as_array();
            for message in listed.into_iter().flatten() {
                if message["truncated"].is_null() {
                    messages += 1;
                    bytes += message["size"].as_u64().unwrap();
                }
            }
        }
    }
    (messages, bytes)
}

/// The capture in which we count other messages of gRPC than `truth.json`.
const MESSAGES: &[truth::Difference<(u64, u64)>] = &[(
    "grpc/wireshark-grpc_web.pcapng",
    (23, 880_292),
    &[
        4, 6, 8, 10, 24, 32, 73, 137, 143, 145, 149, 163, 173, 235, 240, 275, 332,
    ],
    "both are: tshark reads gRPC-Web in bodies of HTTP/1.1 too and counts trailers as messages; the last \
     message of the longest answer is cut, for it is longer than what is kept of a body",
)];

#[test]
fn messages_of_grpc_of_the_sample_captures_are_all_found() {
    let expected = |_: &str, facts: &serde_json::Value| {
        let number = |key: &str| facts["grpc"][key].as_u64().unwrap_or(0);
        (number("messages"), number("message_bytes"))
    };
    truth::assert_counts_but("http", messages, expected, MESSAGES, |wanted, ours| {
        *wanted = *ours;
    });
}

/// A value as JSON.
fn shown(value: &Value) -> serde_json::Value {
    serde_json::from_str(&json::to_string(ItemNode::of_value(value))).unwrap()
}

#[test]
fn calls_of_the_sample_captures_are_told() {
    let folder = Path::new(FOLDER);
    if !are_there() {
        return;
    }
    let mut ended = BTreeMap::<String, u32>::new();
    for draft in items(&folder.join("grpc/own-grpc-all-call-types.pcap")) {
        let response = shown(&draft.response);
        let name = response["grpc"]["statusName"].as_str().unwrap();
        *ended.entry(name.to_owned()).or_default() += 1;
    }
    let told = [("NOT_FOUND", 1), ("OK", 14), ("UNIMPLEMENTED", 1)];
    assert_eq!(
        ended,
        told.map(|(name, count)| (name.to_owned(), count)).into()
    );
}

#[test]
fn captures_that_begin_late_tell_nothing_wrong() {
    let folder = Path::new(FOLDER);
    if !are_there() {
        return;
    }
    for (name, packets) in [
        ("grpc/own-grpc-all-call-types.pcap", 140),
        ("http2/own-h2c-prior-knowledge.pcap", 90),
        ("grpc/wireshark-grpc_stream_reassembly_sample.pcapng", 50),
    ] {
        let path = folder.join(name);
        let told = |draft: &Draft| {
            let text = |value: &Value, name| match value.member(name) {
                Some(Value::Text(text)) => text.clone(),
                _ => Bytes::new(),
            };
            let status = match draft.response.member("status") {
                Some(Value::Int(status)) => *status,
                _ => 0,
            };
            (
                text(&draft.request, "method"),
                text(&draft.request, "path"),
                status,
            )
        };
        let whole: Vec<_> = items(&path).iter().map(told).collect();
        let mut known = 0;
        for first in 4..packets {
            for draft in items_from(&path, first) {
                let (method, path, status) = told(&draft);
                known += usize::from(!path.is_empty());
                let fits = |one: &(Bytes, Bytes, i64)| {
                    (method.is_empty() || method == one.0)
                        && (path.is_empty() || path == one.1)
                        && (status == 0 || status == one.2)
                };
                assert!(whole.iter().any(fits), "{name} from {first}: {draft:?}");
                assert!(
                    !path.is_empty() || draft.error.is_some(),
                    "{name}: {draft:?}"
                );
            }
        }
        assert!(known > 0, "{name}");
        println!("{name} {known} of {}", whole.len() * packets);
    }
}
