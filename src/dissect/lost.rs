//! Messages that were lost, and what must not be said of those that were captured.
//!
//! In: small conversations with holes, most of them at the very beginning, behind a handshake that
//! was seen. Out: which response was put to which request, and with what mark. Whole captures lose
//! packets in `impaired`.

use super::robustness::Feed;
use super::{Draft, Protocols};
use crate::item::{ItemNode, Value, json};
use crate::packet::Direction::{self, ToClient, ToServer};
use crate::packet::Transport;
use crate::synth::STEP;
use crate::time::Timestamp;

/// What happens next on a stream.
enum Say<'b> {
    /// Bytes of a side, in one segment.
    Sent(Direction, &'b [u8]),
    /// So many bytes of a side that were not captured.
    Lost(Direction, usize),
}
use Say::{Lost, Sent};

fn asks(text: &str) -> Say<'_> {
    Sent(ToServer, text.as_bytes())
}

fn answers(text: &str) -> Say<'_> {
    Sent(ToClient, text.as_bytes())
}

fn items(port: u16, conversation: &[Say<'_>]) -> Vec<Draft> {
    let mut feed = Feed::new(Transport::Tcp, port, &Protocols::all());
    let mut now = Timestamp::from_secs(1_700_000_000, 0);
    for say in conversation {
        now = now + STEP;
        feed.at(now);
        match say {
            Sent(direction, bytes) => feed.chunk(*direction, bytes),
            Lost(direction, len) => feed.gap(*direction, *len),
        };
    }
    feed.end()
}

/// Each item as `request -> response`, these being the members at the given paths, and a mark.
fn told(items: &[Draft], request: &str, response: &str) -> Vec<String> {
    let member = |value: &Value, path: &str| {
        let text = json::to_string(ItemNode::of_value(value));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        match value.pointer(path) {
            None | Some(serde_json::Value::Null) => "-".to_owned(),
            // The status of a response that is not there.
            Some(other) if *other == 0 => "-".to_owned(),
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    };
    let line = |draft: &Draft| {
        let mark = if draft.error.is_some() { " !" } else { "" };
        let asked = member(&draft.request, request);
        format!("{asked} -> {}{mark}", member(&draft.response, response))
    };
    items.iter().map(line).collect()
}

fn http(conversation: &[Say<'_>]) -> Vec<String> {
    told(&items(80, conversation), "/path", "/status")
}

fn get(name: &str) -> String {
    format!("GET /{name} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn status(code: u16) -> String {
    format!("HTTP/1.1 {code} Fine\r\nContent-Length: 2\r\n\r\nok")
}

#[test]
fn answers_behind_a_lost_first_request_go_to_their_own() {
    let (one, two) = (get("1"), get("2"));
    let (first, second, third) = (status(200), status(201), status(202));
    let lost = [
        Lost(ToServer, 40),
        answers(&first),
        asks(&one),
        answers(&second),
        asks(&two),
        answers(&third),
    ];
    assert_eq!(http(&lost), ["- -> 200 !", "/1 -> 201", "/2 -> 202"]);
}

#[test]
fn a_lost_first_request_that_is_told_late_takes_no_answer() {
    let (one, two) = (get("1"), get("2"));
    let (first, second, third) = (status(200), status(201), status(202));
    let lost = [
        answers(&first),
        Lost(ToServer, 40),
        asks(&one),
        answers(&second),
        asks(&two),
        answers(&third),
    ];
    assert_eq!(http(&lost), ["- -> 200 !", "/1 -> 201", "/2 -> 202"]);
}

#[test]
fn replies_behind_a_lost_first_command_go_to_their_own() {
    let redis = |conversation: &[Say<'_>]| told(&items(6379, conversation), "/key", "/value");
    let get = |key: &str| format!("*2\r\n$3\r\nGET\r\n$2\r\n{key}\r\n");
    let (one, two) = (get("k1"), get("k2"));
    let lost = [
        Lost(ToServer, 21),
        answers("$2\r\nv0\r\n"),
        asks(&one),
        answers("$2\r\nv1\r\n"),
        asks(&two),
        answers("$2\r\nv2\r\n"),
    ];
    let found = redis(&lost);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with("- -> ") && found[0].ends_with('!'),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("k1 -> ") && found[1].contains("v1"),
        "{found:?}"
    );
    assert!(
        found[2].starts_with("k2 -> ") && found[2].contains("v2"),
        "{found:?}"
    );
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

#[test]
fn http2_is_known_behind_its_lost_preface() {
    let settings = frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]);
    let acknowledged = frame(4, 1, 0, &[]);
    // Indexed fields of the static table alone: GET, http, /; 200.
    let request = |stream| frame(1, 5, stream, &[0x82, 0x86, 0x84]);
    let response = |stream| frame(1, 5, stream, &[0x88]);
    let lost = [
        Lost(ToServer, 24 + 9),
        Sent(ToClient, &settings),
        Sent(ToServer, &acknowledged),
        Sent(ToServer, &request(3)),
        Sent(ToClient, &acknowledged),
        Sent(ToClient, &response(3)),
        Sent(ToServer, &request(5)),
        Sent(ToClient, &response(5)),
    ];
    // Whatever the port: nothing else takes the frames for its own.
    for port in [80, 9092, 5432, 40001] {
        let items = items(port, &lost);
        let kinds: Vec<_> = items.iter().map(|draft| draft.kind.abbr).collect();
        assert_eq!(kinds, ["HTTP/2", "HTTP/2"], "{port}");
    }
}

#[test]
fn a_websocket_goes_on_behind_a_lost_answer_to_its_handshake() {
    let upgrade = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let masked = b"\x81\x82\0\0\0\0hi";
    let plain = b"\x81\x02ho";
    let client = [
        asks(upgrade),
        Lost(ToClient, 129),
        Sent(ToServer, masked),
        Sent(ToClient, plain),
    ];
    let server = [
        asks(upgrade),
        Lost(ToClient, 129),
        Sent(ToClient, plain),
        Sent(ToServer, masked),
    ];
    for conversation in [&client, &server] {
        let items = items(80, conversation);
        let kinds: Vec<_> = items.iter().map(|draft| draft.kind.abbr).collect();
        assert_eq!(kinds, ["HTTP", "WS", "WS"]);
        assert!(items[0].error.is_some());
    }
}

#[test]
fn http2_goes_on_behind_a_lost_answer_to_its_upgrade() {
    let upgrade = "GET /one HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                   Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let preface = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &frame(4, 0, 0, &[]),
    ]
    .concat();
    let request = frame(1, 5, 3, &[0x82, 0x86, 0x84]);
    let response = [frame(4, 1, 0, &[]), frame(1, 5, 3, &[0x88])].concat();
    let lost = [
        asks(upgrade),
        Lost(ToClient, 200),
        Sent(ToServer, &preface),
        Sent(ToServer, &request),
        Sent(ToClient, &response),
    ];
    let items = items(80, &lost);
    let kinds: Vec<_> = items.iter().map(|draft| draft.kind.abbr).collect();
    assert!(kinds.contains(&"HTTP/2"), "{kinds:?}");
}

#[test]
fn pipelined_requests_behind_a_lost_response_are_right_or_marked() {
    let names = ["0", "1", "2", "3"];
    let together: String = names.iter().map(|name| get(name)).collect();
    let codes = [200, 201, 202, 203].map(status);
    for lost in 0..4 {
        let mut conversation = vec![asks(&together)];
        for (place, code) in codes.iter().enumerate() {
            conversation.push(match place == lost {
                true => Lost(ToClient, code.len()),
                false => answers(code),
            });
        }
        for line in http(&conversation) {
            let right = names
                .iter()
                .zip(200..)
                .any(|(name, code)| line == format!("/{name} -> {code}"));
            assert!(right || line.ends_with('!'), "without {lost}: {line}");
        }
    }
}

#[test]
fn a_response_whose_head_is_cut_answers_its_own_request() {
    let both = [get("1"), get("2")].concat();
    let (first, second) = (status(201), status(202));
    let (front, rest) = first.split_at(first.len() - 12);
    let cut = [
        asks(&both),
        answers(front),
        Lost(ToClient, rest.len()),
        answers(&second),
    ];
    let found = http(&cut);
    assert_eq!(found[0], "/1 -> 201 !");
    assert!(found[1].starts_with("/2 -> 202"), "{found:?}");
}

#[test]
fn an_answer_and_the_next_request_lost_together_make_no_pair() {
    let (one, three) = (get("1"), get("3"));
    let (first, second, third) = (status(201), status(202), status(203));
    let before = [
        asks(&one),
        Lost(ToClient, first.len()),
        Lost(ToServer, one.len()),
        answers(&second),
        asks(&three),
        answers(&third),
    ];
    let behind = [
        asks(&one),
        Lost(ToClient, first.len()),
        answers(&second),
        Lost(ToServer, one.len()),
        asks(&three),
        answers(&third),
    ];
    assert_eq!(http(&before)[0], "/1 -> 202 !");
    assert_eq!(http(&before)[1], "/3 -> 203");
    let found = http(&behind);
    assert_eq!(found[..2], ["/1 -> - !", "- -> 202 !"]);
    assert!(found[2].starts_with("/3 -> 203"), "{found:?}");
}

#[test]
fn a_client_that_waits_is_answered_right_behind_a_lost_response() {
    let (one, two, three) = (get("1"), get("2"), get("3"));
    let (first, second, third) = (status(201), status(202), status(203));
    let lost = [
        asks(&one),
        Lost(ToClient, first.len()),
        asks(&two),
        answers(&second),
        asks(&three),
        answers(&third),
    ];
    assert_eq!(http(&lost), ["/1 -> - !", "/2 -> 202", "/3 -> 203"]);
}
