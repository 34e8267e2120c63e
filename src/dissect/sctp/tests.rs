//! Tests of SCTP.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::super::robustness::{Feed, Sample};
use super::super::{Draft, enabled, truth};
use super::parser::Packet;
use super::*;
use crate::item::{ItemNode, Node, Value, json, lookup};
use crate::packet::Direction;
use crate::time::Timestamp;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

const WHOLE: u8 = 3;
const FIRST: u8 = 2;
const MIDDLE: u8 = 0;
const LAST: u8 = 1;

fn packet(chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 5, 0, 0, 4, 210];
    for chunk in chunks {
        out.extend_from_slice(chunk);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, flags];
    out.extend_from_slice(&(4 + value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
    out
}

fn data(flags: u8, tsn: u32, protocol: u32, payload: &[u8]) -> Vec<u8> {
    let mut value = tsn.to_be_bytes().to_vec();
    value.extend_from_slice(&[0, 1, 0, 9]);
    value.extend_from_slice(&protocol.to_be_bytes());
    value.extend_from_slice(payload);
    chunk(0, flags, &value)
}

fn init(kind: u8, tsn: u32) -> Vec<u8> {
    let mut value = vec![0, 0, 0, 7, 0, 1, 0, 0, 0, 10, 0, 10];
    value.extend_from_slice(&tsn.to_be_bytes());
    chunk(kind, 0, &value)
}

fn sack(tsn: u32) -> Vec<u8> {
    let mut value = tsn.to_be_bytes().to_vec();
    value.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    chunk(3, 0, &value)
}

pub(super) fn samples() -> Vec<Sample> {
    vec![Sample {
        name: "an association with messages whole and in pieces",
        transport: Transport::SCTP,
        server_port: 2905,
        turns: vec![
            (UP, packet(&[init(1, 100)])),
            (DOWN, packet(&[init(2, 500)])),
            (
                UP,
                packet(&[chunk(10, 0, b"cookie"), data(WHOLE, 100, 3, b"one")]),
            ),
            (DOWN, packet(&[chunk(11, 0, &[]), sack(100)])),
            (UP, packet(&[data(FIRST, 101, 3, b"two ")])),
            (UP, packet(&[data(LAST, 103, 3, b"end")])),
            (UP, packet(&[data(MIDDLE, 102, 3, b"and ")])),
            (UP, packet(&[data(MIDDLE, 102, 3, b"and ")])),
            (DOWN, packet(&[sack(103), data(FIRST, 500, 3, b"lost")])),
            (DOWN, packet(&[chunk(6, 0, &[0, 12, 0, 4])])),
        ],
        items: 8,
    }]
}

fn feed() -> Feed {
    Feed::new(Transport::SCTP, 2905, &enabled(&["sctp"]).0)
}

fn text(draft: &Draft, path: &str) -> String {
    lookup(ItemNode::of_value(&draft.data), path)
        .and_then(Node::text)
        .map_or_else(String::new, |text| text.into_owned())
}

fn payload(draft: &Draft) -> Vec<u8> {
    lookup(ItemNode::of_value(&draft.data), "payload")
        .and_then(Node::raw)
        .unwrap_or_default()
        .to_vec()
}

#[test]
fn an_item_has_the_shape_of_the_reference() {
    let mut feed = feed();
    feed.chunk(UP, &packet(&[data(WHOLE, 100, 3, b"hello")]));
    let drafts = feed.end();
    assert!(matches!(drafts[0].request, Value::Null));
    assert_eq!(
        json::to_string(ItemNode::of_value(&drafts[0].data)),
        concat!(
            r#"{"checksum":1234,"chunkType":"DATA","length":21,"flags":3,"verificationTag":5,"#,
            r#""tsn":100,"streamId":1,"streamSeq":9,"payloadProtocol":3,"#,
            r#""payloadProtocolName":"M3UA","payload":"aGVsbG8="}"#
        )
    );
}

#[test]
fn pieces_become_one_message_in_any_order_and_once() {
    let mut feed = feed();
    for part in [
        data(LAST, 3, 3, b"c"),
        data(FIRST, 1, 3, b"a"),
        data(WHOLE, 4, 3, b"other"),
        data(MIDDLE, 2, 3, b"b"),
        data(FIRST, 1, 3, b"a"),
        data(WHOLE, 4, 3, b"other"),
    ] {
        feed.chunk(UP, &packet(&[init(1, 1), part]));
    }
    let drafts = feed.end();
    let messages: Vec<_> = drafts
        .iter()
        .filter(|draft| text(draft, "chunkType") == "DATA")
        .map(payload)
        .collect();
    assert_eq!(messages, [b"other".to_vec(), b"abc".to_vec()]);
}

#[test]
fn an_association_joined_late_loses_nothing_that_was_overtaken() {
    let start = Timestamp::from_secs(100, 0);
    for base in [1u32, u32::MAX - 2] {
        let tsn = |index: u32| base.wrapping_add(index);
        let mut feed = feed();
        let parts = [
            data(LAST, tsn(4), 3, b"c"),
            data(WHOLE, tsn(5), 3, b"behind"),
            data(MIDDLE, tsn(3), 3, b"b"),
            data(WHOLE, tsn(0), 3, b"before"),
            data(FIRST, tsn(2), 3, b"a"),
            data(WHOLE, tsn(0), 3, b"before"),
            data(MIDDLE, tsn(3), 3, b"b"),
            data(WHOLE, tsn(5), 3, b"behind"),
        ];
        for part in &parts {
            feed.at(start)
                .chunk(UP, &packet(std::slice::from_ref(part)));
            feed.hand_over(&enabled(&["sctp"]).0);
        }
        // Too late, and too far off, to be one that was overtaken.
        feed.chunk(
            UP,
            &packet(&[data(WHOLE, tsn(0).wrapping_sub(200), 3, b"old")]),
        )
        .at(start + Duration::from_secs(2))
        .chunk(
            UP,
            &packet(&[data(WHOLE, tsn(0).wrapping_sub(1), 3, b"late")]),
        );
        let drafts = feed.end();
        let messages: Vec<_> = drafts.iter().map(payload).collect();
        assert_eq!(messages, [&b"behind"[..], b"before", b"abc"], "{base}");
        assert!(drafts.iter().all(|draft| draft.error.is_none()));
    }
}

#[test]
fn a_message_that_stays_in_pieces_says_so() {
    let mut feed = feed();
    feed.chunk(UP, &packet(&[data(FIRST, u32::MAX, 3, b"a")]))
        .chunk(UP, &packet(&[data(MIDDLE, 0, 3, b"b")]));
    let drafts = feed.end();
    assert_eq!(payload(&drafts[0]), b"ab");
    assert_eq!(drafts[0].error.as_ref().unwrap().kind, "dissection");
}

#[test]
fn a_new_association_over_the_same_ports_starts_anew() {
    let mut feed = feed();
    feed.chunk(UP, &packet(&[init(1, 1000)]))
        .chunk(UP, &packet(&[data(WHOLE, 1000, 3, b"a")]))
        .chunk(UP, &packet(&[init(1, 5)]))
        .chunk(UP, &packet(&[data(WHOLE, 5, 3, b"b")]));
    assert_eq!(feed.end().len(), 4);
}

#[test]
fn an_abort_names_its_cause() {
    let mut feed = feed();
    feed.chunk(
        DOWN,
        &packet(&[chunk(6, 0, &[0, 12, 0, 8, b'b', b'y', b'e', 0])]),
    );
    let drafts = feed.end();
    let error = drafts[0].error.as_ref().unwrap();
    assert_eq!(error.kind, "connection");
    assert_eq!(
        error.msg,
        "the association was aborted: User-Initiated Abort"
    );
}

#[test]
fn chunks_of_the_sample_captures_are_all_found() {
    // DATA chunks are counted as messages. SACK has no items.
    const DIFFERENCES: &[truth::Difference<u64>] = &[(
        "sctp/arkime-sctp-www.pcap",
        10,
        &[9, 10, 12, 13, 15, 16],
        "both are: ten messages come in 35 pieces, one of them in these six",
    )];
    let count = |drafts: &[Draft]| {
        let mut ours = BTreeMap::<String, u64>::new();
        for draft in drafts {
            *ours.entry(text(draft, "chunkType")).or_default() += 1;
        }
        ours
    };
    let expected = |_: &str, facts: &serde_json::Value| {
        let chunks = facts["sctp"]["chunk_types"].as_object();
        chunks
            .into_iter()
            .flatten()
            .filter(|(kind, _)| *kind != "3")
            .map(|(kind, count)| {
                let name = super::parser::type_name(kind.parse().unwrap()).unwrap();
                (name.to_owned(), count.as_u64().unwrap())
            })
            .collect::<BTreeMap<_, _>>()
    };
    truth::assert_counts_but("sctp", count, expected, DIFFERENCES, |wanted, messages| {
        wanted.insert("DATA".into(), *messages);
    });
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(packet) = Packet::parse(&bytes) {
            for chunk in packet.chunks() {
                chunk.data();
                chunk.initial_tsn();
            }
        }
        super::render::cause_names(&bytes);
        let bytes = bytes.into();
        json::to_string(ItemNode::of_value(&super::render::data(&bytes)));
        json::to_string(ItemNode::of_value(&super::render::control(&bytes)));
    }

    #[test]
    fn pieces_in_any_order_and_repeated_give_the_message(
        base in prop::sample::select(vec![0u32, 7, u32::MAX - 3, (1 << 31) - 2]),
        count in 1u32..12,
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let part = |index: u32| {
            let flags = u8::from(index == 0) << 1 | u8::from(index + 1 == count);
            data(flags, base.wrapping_add(index), 3, &[index as u8])
        };
        let mut feed = feed();
        feed.chunk(UP, &packet(&[init(1, base)]));
        for index in order {
            feed.chunk(UP, &packet(&[part(index.index(count as usize) as u32)]));
        }
        for index in 0..count {
            feed.chunk(UP, &packet(&[part(index)]));
        }
        let drafts = feed.end();
        prop_assert_eq!(drafts.len(), 2);
        let expected: Vec<u8> = (0..count as u8).collect();
        prop_assert_eq!(payload(&drafts[1]), expected);
    }
}
