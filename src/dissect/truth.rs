//! The sample captures, for the tests of all protocols: items of one, and of each against its truth.
//!
//! In come the name of a protocol and its counts; out come assertions over every capture that
//! `truth.json` lists, read with the TLS secrets in it or beside it. Each assertion prints a table of
//! what was expected and found (`cargo test sample_captures -- --show-output`); a difference is
//! explained there with the numbers of its packets. Where the folder of captures is absent, they are
//! skipped, and say so.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::conversation::tests::{Savefile, dissect_capture, dissect_records, read_savefile};
use super::{Draft, PROTOCOLS, Protocol, Protocols, Secrets};
use crate::item::sample::told_as_made;
use crate::item::{ProtocolInfo, Value};

/// Where the sample captures are.
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures");

/// A capture in which we count otherwise than `truth.json`: its name, what differs, the packets that
/// it is about, and the reason.
pub type Difference<D> = (&'static str, D, &'static [u64], &'static str);

/// A reason with the numbers of its packets, counted from one as Wireshark does.
///
/// Asserts that there are some, in order, and that the capture has them.
pub fn explained(name: &str, facts: &serde_json::Value, packets: &[u64], reason: &str) -> String {
    let last = facts["packets"].as_u64().unwrap();
    assert!(
        !packets.is_empty() && packets.is_sorted_by(|one, next| one < next),
        "{name}: \"{reason}\" names no packets, or not in order: {packets:?}"
    );
    assert!(
        packets.iter().all(|number| (1..=last).contains(number)),
        "{name} has {last} packets, not {packets:?}"
    );
    let numbers: Vec<String> = packets.iter().map(u64::to_string).collect();
    let word = if packets.len() == 1 {
        "packet"
    } else {
        "packets"
    };
    format!("{reason} ({word} {})", numbers.join(", "))
}

/// Items of one protocol in a sample capture; `None` when the capture is not there.
pub fn items(protocol: &str, name: &str) -> Option<Vec<Draft>> {
    dissect_capture(name, &Protocols::all()).map(|drafts| only(protocol, drafts))
}

/// The items of one protocol among others.
pub fn only(protocol: &str, mut drafts: Vec<Draft>) -> Vec<Draft> {
    drafts.retain(|draft| draft.kind.name == protocol);
    drafts
}

/// Items of a capture of all protocols, with the secrets in it and those beside it.
pub fn decrypted(path: &Path) -> Vec<Draft> {
    let file = read_savefile(path);
    dissect_records(&file.bytes, &file.records, &with_secrets_of(path, &file))
}

/// All protocols, with the secrets in a capture and those beside it.
pub fn with_secrets_of(path: &Path, file: &Savefile) -> Protocols {
    let secrets = Arc::new(Secrets::default());
    secrets.insert(&file.secrets);
    if let Ok(text) = std::fs::read(path.with_extension("keys")) {
        secrets.insert(&text);
    }
    Protocols::all().with_secrets(secrets)
}

/// Gives each sample capture's name, what `truth.json` says of it, and its items of all protocols.
///
/// False when the captures are not there.
pub fn walk(mut each: impl FnMut(&str, &serde_json::Value, Vec<Draft>)) -> bool {
    let folder = Path::new(FOLDER);
    let Ok(truth) = std::fs::read_to_string(folder.join("truth.json")) else {
        println!("skipped: no sample captures in {FOLDER}");
        return false;
    };
    let truth: serde_json::Value = serde_json::from_str(&truth).unwrap();
    for (name, facts) in truth["files"].as_object().unwrap() {
        each(name, facts, decrypted(&folder.join(name)));
    }
    true
}

/// Asserts that items of a protocol in each sample capture count as is expected of it.
///
/// `expected` gets the name of the capture and what `truth.json` says of it.
pub fn assert_counts<T: PartialEq + Default + Debug>(
    protocol: &str,
    count: impl Fn(&[Draft]) -> T,
    expected: impl Fn(&str, &serde_json::Value) -> T,
) {
    assert_counts_but::<T, ()>(protocol, count, expected, &[], |_, ()| unreachable!());
}

/// The same with known differences, which `differ` puts into what was expected.
///
/// A difference that changes nothing is asserted to be none.
pub fn assert_counts_but<T: PartialEq + Default + Debug, D>(
    protocol: &str,
    count: impl Fn(&[Draft]) -> T,
    expected: impl Fn(&str, &serde_json::Value) -> T,
    differences: &[Difference<D>],
    differ: impl Fn(&mut T, &D),
) {
    let mut wrong = BTreeMap::new();
    walk(|name, facts, drafts| {
        let mut wanted = expected(name, facts);
        let mut why = String::new();
        let known = differences.iter().find(|(path, ..)| *path == name);
        if let Some((_, difference, packets, reason)) = known {
            differ(&mut wanted, difference);
            assert_ne!(expected(name, facts), wanted, "{name} no longer differs");
            why = explained(name, facts, packets, reason);
        }
        let ours = count(&only(protocol, drafts));
        row(protocol, name, &expected(name, facts), &ours, &why);
        if ours != wanted {
            wrong.insert(name.to_owned(), (ours, wanted));
        }
    });
    assert!(wrong.is_empty(), "ours, expected: {wrong:#?}");
}

/// Prints a line of the table, unless nothing was expected and nothing found.
pub fn row<T: PartialEq + Default + Debug>(
    protocol: &str,
    name: &str,
    expected: &T,
    found: &T,
    why: &str,
) {
    if (expected, found) != (&T::default(), &T::default()) {
        println!("{protocol} | {name} | {expected:?} | {found:?} | {why}");
    }
}

/// Every capture of the folder, by its path below it.
pub fn captures() -> Vec<String> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.extension().and_then(|ending| ending.to_str()) {
                None if path.is_dir() => walk(&path, into),
                Some("pcap" | "pcapng" | "cap") => into.push(path),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new(FOLDER), &mut found);
    let mut names: Vec<String> = found
        .iter()
        .filter_map(|path| Some(path.strip_prefix(FOLDER).ok()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

#[test]
#[should_panic(expected = "names no packets")]
fn a_reason_without_a_packet_is_refused() {
    explained(
        "a.pcap",
        &serde_json::json!({"packets": 9}),
        &[],
        "we are right",
    );
}

#[test]
#[should_panic(expected = "has 9 packets")]
fn a_reason_with_a_packet_that_is_not_there_is_refused() {
    explained(
        "a.pcap",
        &serde_json::json!({"packets": 9}),
        &[4, 10],
        "we are right",
    );
}

/// No capture of any folder is left out by the tests that walk.
#[test]
fn every_sample_capture_is_walked() {
    let mut walked = Vec::new();
    if walk(|name, _, _| walked.push(name.to_owned())) {
        walked.sort();
        assert_eq!(walked, captures());
        assert!(walked.len() > 300, "{}", walked.len());
    }
}

/// The paths of a side's members that filters, lists and documentation know of a kind of item.
fn paths_of(kind: &ProtocolInfo, side: &str) -> Vec<&'static str> {
    let mut protocols = PROTOCOLS.iter();
    let is_of =
        |protocol: &&&dyn Protocol| protocol.kinds().iter().any(|one| one.abbr == kind.abbr);
    let protocol = protocols.find(is_of).unwrap();
    let columns = protocol.columns();
    let fields = protocol.fields().iter().map(|field| field.path);
    fields
        .chain([columns.method, columns.status, columns.summary])
        .filter_map(|path| path.strip_prefix(side)?.strip_prefix('.'))
        .collect()
}

/// What an item tells without being made is what would be made, in every sample capture.
#[test]
fn items_of_the_sample_captures_tell_what_is_made() {
    let mut told = BTreeMap::<&str, usize>::new();
    let walked = walk(|_, _, drafts| {
        for draft in &drafts {
            for (side, value) in [("request", &draft.request), ("response", &draft.response)] {
                if let Value::Outlined(_) = value {
                    *told.entry(draft.kind.abbr).or_default() +=
                        told_as_made(value, &paths_of(draft.kind, side));
                }
            }
        }
    });
    for kind in ["HTTP", "HTTP/2", "gRPC", "DNS", "REDIS"] {
        let count = told.get(kind).copied().unwrap_or_default();
        assert!(!walked || count > 100, "{kind}: {told:?}");
    }
}

/// What is there of other protocols, and what it is taken for: item names with their counts.
const OTHERS: &[(&str, &[(&str, usize)])] = &[
    ("ndpi-memcached.cap", &[("tcp", 1)]),
    ("ndpi-mqtt.pcap", &[("tcp", 2)]),
    ("ndpi-pgsql.pcap", &[("postgresql", 15)]),
    ("ndpi-stomp.pcapng", &[("tcp", 1)]),
    // The hello of QUIC.
    ("retina-quic_xargs.pcap", &[("tls", 1)]),
    ("wireshark-ntp.pcap", &[("udp", 1)]),
    // A browser asked an ssh server for a page.
    ("zeek-get-to-ssh-server.pcap", &[("http", 1)]),
    ("zeek-single-conn.pcap", &[("tcp", 1)]),
    // Mail, one of it behind STARTTLS, and the names and errors around it.
    (
        "zeek-smtp.pcap",
        &[("dns", 1), ("icmp", 4), ("tcp", 5), ("tls", 1), ("udp", 1)],
    ),
];

#[test]
fn nothing_is_taken_for_a_protocol_that_it_is_not() {
    let folder = Path::new(FOLDER).join("other-protocols");
    if !folder.is_dir() {
        println!("skipped: no sample captures in {FOLDER}");
        return;
    }
    let names = captures();
    let others = names
        .iter()
        .filter_map(|name| name.strip_prefix("other-protocols/"));
    assert!(others.eq(OTHERS.iter().map(|(name, _)| *name)));
    for (name, expected) in OTHERS {
        let file = read_savefile(&folder.join(name));
        let drafts = dissect_records(&file.bytes, &file.records, &Protocols::all());
        let mut found = BTreeMap::<&str, usize>::new();
        for draft in &drafts {
            *found.entry(draft.kind.name).or_default() += 1;
        }
        let found: Vec<_> = found.into_iter().collect();
        assert_eq!(found, *expected, "{name}");
    }
}
