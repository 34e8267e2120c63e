//! The sample captures: what they hold by `truth.json` and `constructed.json`, and what is found.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;

use crate::dissect::conversation::tests::dissect_savefile;
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

/// What is counted of a capture: requests, responses, and those by status.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    requests: u64,
    responses: u64,
    statuses: BTreeMap<String, u64>,
}

fn counts(drafts: &[Draft]) -> Counts {
    let mut counts = Counts::default();
    for draft in drafts {
        counts.requests += u64::from(!matches!(draft.request, Value::Null));
        if let Some(Value::Int(status @ 1..)) = draft.response.member("status") {
            counts.responses += 1;
            *counts.statuses.entry(status.to_string()).or_default() += 1;
        }
    }
    counts
}

/// Captures in which we count other requests and responses than `truth.json`, with ours and the
/// reason.
const DIFFERENCES: &[(&str, (u64, u64), &str)] = &[
    (
        "http2/arkime-http2-nghttp2.pcap",
        (2, 2),
        "we are right: the first request came by HTTP/1.1 and is answered on stream 1",
    ),
    (
        "http2/own-h2c-upgrade.pcap",
        (3, 3),
        "we are right, as constructed.json says: two requests came by HTTP/1.1",
    ),
    (
        "http2/suricata-dns-over-http2.pcap",
        (4, 3),
        "both are: the fourth answer came behind the client's reset of its stream",
    ),
    (
        "http2/suricata-http2-keywords2.pcap",
        (2, 2),
        "we are right: the first request came by HTTP/1.1 and is answered on stream 1",
    ),
];

/// The sample captures and what `truth.json` says of each; `None` when they are not there.
fn listed(folder: &Path) -> Option<serde_json::Value> {
    match std::fs::read_to_string(folder.join("truth.json")) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(_) => {
            println!("skipped: no sample captures in {}", folder.display());
            None
        }
    }
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures");

#[test]
fn exchanges_of_the_sample_captures_are_all_found() {
    let mut differ = BTreeMap::new();
    truth::walk(|name, facts, mut drafts| {
        drafts.retain(|draft| draft.kind.name == "http" && draft.kind.version == "2.0");
        let facts = &facts["http2"];
        let number = |key: &str| facts[key].as_u64().unwrap_or(0);
        let ours = counts(&drafts);
        let found = (ours.requests, ours.responses);
        let told = (number("requests"), number("responses"));
        let difference = DIFFERENCES.iter().find(|(path, ..)| *path == name);
        let why = difference.map_or("", |(.., why)| *why);
        truth::row("http2", name, &told, &found, why);
        match difference {
            Some((_, expected, _)) => {
                assert_ne!(told, *expected, "{name} no longer differs");
                if found != *expected {
                    differ.insert(name.to_owned(), (found, *expected));
                }
            }
            None if found != told => {
                differ.insert(name.to_owned(), (found, told));
            }
            None if found.1 > 0 => {
                let statuses = serde_json::from_value(facts["statuses"].clone()).unwrap();
                assert_eq!(ours.statuses, statuses, "{name}");
            }
            None => {}
        }
    });
    assert!(differ.is_empty(), "ours, expected: {differ:#?}");
}

#[test]
fn calls_of_the_sample_captures_are_told() {
    let folder = Path::new(FOLDER);
    let Some(truth) = listed(folder) else { return };
    let shown = |value: &Value| -> serde_json::Value {
        serde_json::from_str(&json::to_string(ItemNode::of_value(value))).unwrap()
    };
    for name in [
        "grpc/own-grpc-all-call-types.pcap",
        "grpc/wireshark-grpc_person_search_protobuf_with_image.pcapng",
        "grpc/wireshark-grpc_stream_reassembly_sample.pcapng",
    ] {
        let (mut messages, mut bytes) = (0, 0);
        for draft in items(&folder.join(name)) {
            assert_eq!(draft.kind.abbr, "gRPC", "{name}");
            for side in [&draft.request, &draft.response] {
                let side = shown(side);
                let listed = side["grpc"]["messages"].as_array();
                for message in listed.into_iter().flatten() {
                    // One that is still under way at the end of the capture is none to tshark.
                    if message["truncated"].is_null() {
                        messages += 1;
                        bytes += message["size"].as_u64().unwrap();
                    }
                }
            }
        }
        let facts = &truth["files"][name]["grpc"];
        let told = (facts["messages"].as_u64(), facts["message_bytes"].as_u64());
        assert_eq!((Some(messages), Some(bytes)), told, "{name}");
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
    if listed(folder).is_none() {
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
