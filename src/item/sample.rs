//! An item made by hand, for tests of every room that reads items.

use std::sync::Arc;

use bytes::Bytes;

use super::{Item, ItemNode, Key, Node, Origin, Peer, ProtocolInfo, Told, Value, lookup, text_of};
use crate::packet::{Endpoint, StreamId, StreamName, Transport};
use crate::time::Timestamp;

static HTTP: ProtocolInfo = ProtocolInfo {
    name: "http",
    version: "1.1",
    abbr: "HTTP",
    long_name: "Hypertext Transfer Protocol -- HTTP/1.1",
    macro_name: "http",
    background: "#326de6",
    foreground: "#ffffff",
    font_size: 12,
    reference: "https://www.rfc-editor.org/rfc/rfc9112",
    ports: &["80", "443", "8080"],
    layer4: "tcp",
    priority: 0,
};

fn text(text: &'static str) -> Value {
    Value::Text(Bytes::from_static(text.as_bytes()))
}

fn object(members: Vec<(&'static str, Value)>) -> Value {
    Value::Object(
        members
            .into_iter()
            .map(|(name, value)| (Key::Static(name), value))
            .collect(),
    )
}

fn header(name: &'static str, value: &'static str) -> (Key, Value) {
    (Key::Bytes(Bytes::from_static(name.as_bytes())), text(value))
}

/// `POST /orders?dry=1` answered with 500 and the body `oops`.
pub(crate) fn http() -> Item {
    let named = |ip: [u8; 4], port, name: &str| Peer {
        endpoint: Endpoint {
            ip: ip.into(),
            port,
        },
        name: Arc::from(name),
        namespace: Arc::from("shop"),
        mechanism: "ip",
        identity: None,
        process: None,
    };
    Item {
        number: 7,
        index: 0,
        stream: StreamName {
            stream: StreamId(42),
            transport: Transport::Tcp,
        },
        protocol: &HTTP,
        tls: false,
        src: named([10, 244, 1, 5], 51514, "web-7d9"),
        dst: named([10, 244, 2, 9], 8080, "cart"),
        start: Timestamp::from_secs(1_706_933_106, 700_800),
        elapsed_nanos: 12_345_678,
        request_size: 310,
        response_size: 196,
        request: object(vec![
            ("method", text("POST")),
            ("url", text("/orders?dry=1")),
            ("path", text("/orders")),
            (
                "headers",
                Value::Object(vec![
                    header("Host", "cart.shop"),
                    header("Content-Type", "application/json"),
                ]),
            ),
            (
                "queryString",
                Value::lazy(Bytes::from_static(b"dry=1"), |query| {
                    let at = query.iter().position(|byte| *byte == b'=').unwrap_or(0);
                    Value::Object(vec![(
                        Key::Bytes(query.slice(..at)),
                        Value::Text(query.slice(at + 1..)),
                    )])
                }),
            ),
            ("bodySize", Value::Int(9)),
        ]),
        response: object(vec![
            ("status", Value::Int(500)),
            (
                "headers",
                Value::Object(vec![header("Content-Type", "text/plain")]),
            ),
            (
                "content",
                object(vec![
                    ("size", Value::Int(4)),
                    ("encoding", Value::Static("base64")),
                    ("text", Value::Base64(Bytes::from_static(b"oops"))),
                ]),
            ),
        ]),
        data: Value::Null,
        error: None,
        ordinal: 99,
        origin: Arc::new(Origin {
            node_name: "node-a".into(),
            node_ip: "10.9.8.7".into(),
            worker: "10.9.8.7:30001".into(),
            ..Origin::default()
        }),
        record: Arc::from(""),
        tunnel: None,
        asked_here: false,
    }
}

/// Asserts that an outlined value tells what would be made; answers how many of `paths` it tells.
pub fn told_as_made(value: &Value, paths: &[&str]) -> usize {
    let Value::Outlined(outline) = value else {
        panic!("no outline: {value:?}");
    };
    let whole = ItemNode::of_value(outline.whole());
    let is_told = |path: &&&str| {
        let names: Vec<Box<str>> = path.split('.').map(Into::into).collect();
        let Some(told) = outline.told_below(&names) else {
            return false;
        };
        let made = lookup(whole, path);
        let equal = match told {
            Told::Int(number) => made.and_then(Node::int) == Some(number),
            Told::Static(text) => made.and_then(Node::text) == Some(text.into()),
            Told::Text(bytes) => made.and_then(Node::text) == Some(text_of(bytes)),
        };
        assert!(equal, "{path} is told as {told:?} of {value:?}");
        true
    };
    paths.iter().filter(is_told).count()
}
