//! Tests of streams that no protocol knows.

use super::super::conversation::tests::{dissect_capture, dissect_frames};
use super::super::robustness::Sample;
use super::super::{Draft, Protocols, enabled};
use super::*;
use crate::item::{ItemNode, Value, json};
use crate::packet::TcpFlags;
use crate::synth::{self, Frame};

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

/// What the line of this name shows: bytes do for streams, silence for connections.
pub(super) fn samples(name: &str) -> Vec<Sample> {
    let greeting = b"\x01\x02 a protocol of nobody \xff\xfe".to_vec();
    let (transport, turns) = match name {
        "tcp-flow" => (
            Transport::Tcp,
            vec![(UP, greeting.clone()), (DOWN, greeting)],
        ),
        "tcp-conn" => (Transport::Tcp, vec![(UP, Vec::new())]),
        "udp-flow" => (
            Transport::Udp,
            vec![(UP, greeting.clone()), (DOWN, greeting)],
        ),
        _ => (Transport::Udp, vec![(UP, greeting)]),
    };
    vec![Sample {
        name: "a stream that nobody knows",
        transport,
        server_port: 9,
        turns,
        items: 1,
    }]
}

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 40000);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 9000);

fn all() -> Protocols {
    Protocols::all()
}

fn data(draft: &Draft) -> String {
    json::to_string(ItemNode::of_value(&draft.data))
}

fn error(draft: &Draft) -> &str {
    draft.error.as_ref().map_or("", |error| &error.msg)
}

/// One frame of a TCP conversation without payload, its flags as given.
fn bare(frame: &Frame, flags: u8) -> Frame {
    let mut frame = frame.clone();
    frame.bytes[14 + 20 + 13] = flags;
    frame
}

#[test]
fn a_stream_that_nobody_knows_is_one_item_at_its_end() {
    let frames = synth::tcp(CLIENT, SERVER)
        .to_server("\x01hello")
        .to_client("\x02there")
        .fin();
    let drafts = dissect_frames(&frames, &all());
    assert_eq!(drafts.len(), 1);
    assert!(matches!(drafts[0].request, Value::Null));
    assert_eq!(
        data(&drafts[0]),
        concat!(
            r#"{"payload":"\u0001hello","serverPayload":"\u0002there","method":"FIN,SYN,PSH,ACK","#,
            r#""length":12,"clientPackets":6,"clientBytes":6,"serverPackets":4,"serverBytes":6,"#,
            r#""duration":1,"end":"fin"}"#
        )
    );
    assert_eq!(error(&drafts[0]), "");
    assert_eq!((drafts[0].request_size, drafts[0].response_size), (6, 6));
}

#[test]
fn a_stream_that_a_protocol_knows_gives_none() {
    let frames = synth::tcp(CLIENT, SERVER)
        .to_server("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .to_client("HTTP/1.1 204 No Content\r\n\r\n")
        .fin();
    let drafts = dissect_frames(&frames, &all());
    assert_eq!(drafts.len(), 1);
    assert_eq!(drafts[0].kind.name, "http");
}

#[test]
fn only_the_first_bytes_are_kept() {
    let long = "\u{1}".repeat(5000);
    let frames = synth::tcp(CLIENT, SERVER)
        .to_server(&long)
        .to_client(&long)
        .fin();
    let drafts = dissect_frames(&frames, &all());
    let Some(Value::Text(payload)) = drafts[0].data.member("payload") else {
        panic!("payload is text");
    };
    assert_eq!(payload.len(), tally::MAX_FIRST_BYTES);
    assert!(data(&drafts[0]).contains(r#""length":10000"#));
}

#[test]
fn a_connection_that_came_to_nothing_is_an_error() {
    let frames = synth::tcp(CLIENT, SERVER).fin();
    let (syn, answer) = (&frames[0], &frames[1]);
    let cases: [(&str, Vec<Frame>, &[&str]); 4] = [
        (
            "refused",
            vec![syn.clone(), bare(answer, TcpFlags::RST | TcpFlags::ACK)],
            &["the server refused the connection"],
        ),
        (
            "unanswered",
            vec![syn.clone()],
            &["no answer to the SYN was captured"],
        ),
        (
            "opened and closed, as health checks do",
            frames.clone(),
            &[],
        ),
        (
            "opened, then reset",
            vec![
                syn.clone(),
                answer.clone(),
                bare(&frames[2], TcpFlags::RST | TcpFlags::ACK),
            ],
            &[],
        ),
    ];
    for (name, frames, expected) in cases {
        let drafts = dissect_frames(&frames, &all());
        let errors: Vec<_> = drafts.iter().map(error).collect();
        assert_eq!(errors, expected, "{name}");
        for draft in &drafts {
            assert_eq!(draft.error.as_ref().unwrap().kind, "connection");
        }
        let without = dissect_frames(&frames, &enabled(&["tcp-flow", "http"]).0);
        assert!(without.is_empty(), "{name}");
    }
}

#[test]
fn a_reset_says_who_sent_it() {
    let mut frames = synth::tcp(CLIENT, SERVER)
        .to_server("\x01hello")
        .to_client("\x02there")
        .end();
    let last = frames.len() - 1;
    frames[last].bytes[14 + 20 + 13] |= TcpFlags::RST;
    let drafts = dissect_frames(&frames, &all());
    assert_eq!(error(&drafts[0]), "the client reset the connection");
    assert!(data(&drafts[0]).contains(r#""end":"rst""#));
}

#[test]
fn datagrams_are_counted_by_whether_somebody_answered() {
    let asked = synth::udp(CLIENT, SERVER)
        .to_server(b"\x01?")
        .to_server(b"\x01??")
        .end();
    let answered = synth::udp(CLIENT, SERVER)
        .to_server(b"\x01?")
        .to_client(b"\x02!")
        .end();
    let count = |frames: &[Frame], names: &[&str]| dissect_frames(frames, &enabled(names).0).len();
    assert_eq!(count(&asked, &["udp-flow"]), 0);
    assert_eq!(count(&asked, &["udp-conn"]), 1);
    assert_eq!(count(&answered, &["udp-flow"]), 1);
    assert_eq!(count(&answered, &["udp-conn"]), 0);
    assert_eq!(count(&answered, &["dns"]), 0);
    let drafts = dissect_frames(&asked, &all());
    let text = data(&drafts[0]);
    assert!(text.contains(r#""payload":"\u0001?""#), "{text}");
    assert!(
        text.contains(r#""clientPackets":2,"clientBytes":5"#),
        "{text}"
    );
    assert!(!text.contains(r#""checksum":0,"#), "{text}");
    assert_eq!(error(&drafts[0]), "");
}

#[test]
fn the_banner_of_a_server_is_kept() {
    let name = "other-protocols/zeek-get-to-ssh-server.pcap";
    let Some(drafts) = dissect_capture(name, &enabled(&["tcp-flow", "tcp-conn"]).0) else {
        return;
    };
    assert_eq!(drafts.len(), 1);
    assert!(data(&drafts[0]).contains(r#""serverPayload":"SSH-2.0"#));
}
