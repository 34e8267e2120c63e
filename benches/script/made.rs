//! The items and packets that are told.

use std::sync::Arc;

use tapedeck::item::{Item, Key, Origin, Peer, ProtocolInfo, Value};
use tapedeck::packet::{Endpoint, StreamId, StreamName, Transport};
use tapedeck::script::wire::PacketSummary;
use tapedeck::time::Timestamp;

/// Items or packets of one batch. A step of the pipeline holds 256 KiB of packets, which are some 300
/// exchanges of this size.
pub const BATCH: usize = 256;

/// Streams that the items are of, in turn.
const STREAMS: u64 = 1000;

/// What one turn of the measurement tells.
pub struct Step {
    /// The items.
    pub items: Vec<Item>,
    /// As many packets.
    pub packets: Vec<PacketSummary>,
}

/// Steps that hold one item of each stream; they are told again and again.
pub fn steps() -> Vec<Step> {
    let numbers: Vec<u64> = (0..STREAMS / BATCH as u64 * BATCH as u64).collect();
    let step = |numbers: &[u64]| Step {
        items: numbers.iter().map(|number| item(*number)).collect(),
        packets: numbers.iter().map(|number| packet(*number)).collect(),
    };
    numbers.chunks(BATCH).map(step).collect()
}

fn packet(number: u64) -> PacketSummary {
    let nanos = u32::try_from(number).expect("few packets") * 1000;
    PacketSummary {
        at: Timestamp::from_secs(1_706_933_106, nanos),
        caplen: 1514,
        len: 1514,
        fragmented: false,
    }
}

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

/// One exchange of the usual shape and size.
fn item(number: u64) -> Item {
    let peer = |last: u8, port: u16, name: &str| Peer {
        endpoint: Endpoint {
            ip: [10, 244, 1, last].into(),
            port,
        },
        name: Arc::from(name),
        namespace: Arc::from("shop"),
        mechanism: "ip",
        identity: None,
        process: None,
    };
    Item {
        number,
        index: 0,
        stream: StreamName {
            // Not in the order of the list that a recorder keeps.
            stream: StreamId(number * 7 % STREAMS),
            transport: Transport::Tcp,
        },
        protocol: &HTTP,
        tls: false,
        src: peer(5, 51514, "web-7d9"),
        dst: peer(9, 8080, "cart"),
        start: Timestamp::from_secs(1_706_933_106, 700_800),
        elapsed_nanos: 12_345_678,
        request_size: 310,
        response_size: 196,
        request: object(&[
            ("method", text("POST")),
            ("url", text("/orders?dry=1")),
            ("targetUri", text("/orders?dry=1")),
            ("path", text("/orders")),
            ("pathSegments", Value::List(vec![text("orders")])),
            ("httpVersion", text("HTTP/1.1")),
            (
                "headers",
                object(&[
                    ("Host", text("cart.shop")),
                    ("Content-Type", text("application/json")),
                    ("Content-Length", text("9")),
                    ("User-Agent", text("curl/8.5.0")),
                    ("Accept", text("*/*")),
                ]),
            ),
            ("cookies", object(&[("sid", text("z1"))])),
            ("queryString", object(&[("dry", text("1"))])),
            ("headersSize", Value::Int(-1)),
            ("bodySize", Value::Int(9)),
            (
                "postData",
                object(&[
                    ("mimeType", text("application/json")),
                    ("params", Value::List(Vec::new())),
                    ("text", text("{\"qty\":2}")),
                ]),
            ),
        ]),
        response: object(&[
            ("status", Value::Int(500)),
            ("statusText", text("Internal Server Error")),
            ("httpVersion", text("HTTP/1.1")),
            (
                "headers",
                object(&[
                    ("Content-Type", text("text/plain")),
                    ("Content-Length", text("4")),
                ]),
            ),
            ("cookies", object(&[])),
            (
                "content",
                object(&[
                    ("size", Value::Int(4)),
                    ("mimeType", text("text/plain")),
                    ("encoding", text("base64")),
                    ("text", text("b29wcw==")),
                ]),
            ),
            ("redirectURL", text("")),
            ("headersSize", Value::Int(-1)),
            ("bodySize", Value::Int(4)),
        ]),
        data: Value::Null,
        error: None,
        ordinal: number,
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

fn text(text: &'static str) -> Value {
    Value::Text(text.as_bytes().into())
}

fn object(members: &[(&'static str, Value)]) -> Value {
    let members = members.iter().cloned();
    Value::Object(
        members
            .map(|(name, value)| (Key::Static(name), value))
            .collect(),
    )
}
