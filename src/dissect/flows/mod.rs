//! Streams that no protocol knows, and connections that came to nothing: one item each at their end.
//!
//! In: the [`Tally`] of a conversation. Out: an item of kind `tcp` or `udp`, unless a protocol gave
//! any item of the stream. Never: detection, an item before the end, more of the payload than
//! [`tally::MAX_FIRST_BYTES`] a side. Standards: RFC 9293, RFC 768.
//!
//! | name | gives |
//! |---|---|
//! | `tcp-flow` | streams with bytes that no protocol knows |
//! | `tcp-conn` | connections that were refused or never answered |
//! | `udp-flow` | conversations in which both sides spoke |
//! | `udp-conn` | datagrams that nobody answered |
//!
//! A connection that was opened and closed without a byte, as health checks do, gives none.
//!
//! ```text
//! data = {payload, serverPayload, method?, length, checksum?, clientPackets, clientBytes,
//!         serverPackets, serverBytes, duration, end}
//! ```
//!
//! `payload` holds the client's first bytes, else the server's; `method` the TCP flags seen, in the
//! order of their bits, as `PSH,ACK`; `length` all bytes; `checksum` that of the first datagram;
//! `duration` milliseconds from the first packet to the last; `end` how it ended.

mod tally;

use crate::dissect::Stream;
use crate::flow::{Chunk, Gap};
use crate::item::{Columns, Field, FieldType, ProtocolInfo, field};
use crate::packet::{Direction, Transport};

use super::{Dissector, Outcome, Output, Probe, Protocol, Verdict};
pub use tally::Tally;

/// Lines of [`super::PROTOCOLS`]; each only switches its items on.
macro_rules! switch {
    ($(#[$doc:meta])* $name:ident, $text:literal, $kind:ident, $fields:expr, $columns:expr) => {
        $(#[$doc])*
        pub struct $name;

        impl Protocol for $name {
            fn name(&self) -> &'static str {
                $text
            }

            /// None that detection would ask for.
            fn has_ports(&self) -> bool {
                false
            }
            fn transports(&self) -> &'static [Transport] {
                &[]
            }

            fn kinds(&self) -> &'static [&'static ProtocolInfo] {
                static KINDS: &[&ProtocolInfo] = &[&$kind];
                KINDS
            }

            fn fields(&self) -> &'static [Field] {
                $fields
            }

            fn columns(&self) -> Columns {
                $columns
            }

            fn probe(&self, _: &Probe<'_>) -> Verdict {
                Verdict::No
            }

            fn start(&self, _: &Stream) -> Box<dyn Dissector> {
                Box::new(Passed)
            }

            fn restore(&self, _: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
                state.is_empty().then(|| Box::new(Passed) as _)
            }

            #[cfg(test)]
            fn samples(&self) -> Vec<super::robustness::Sample> {
                tests::samples($text)
            }
        }
    };
}

switch!(
    /// TCP streams with bytes that no protocol knows.
    TcpFlow, "tcp-flow", TCP, TCP_FIELDS, TCP_COLUMNS
);
switch!(
    /// TCP connections that were refused or never answered.
    TcpConn, "tcp-conn", TCP, &[], TCP_COLUMNS
);
switch!(
    /// UDP conversations of both sides that no protocol knows.
    UdpFlow, "udp-flow", UDP, UDP_FIELDS, UDP_COLUMNS
);
switch!(
    /// Datagrams that nobody answered and no protocol knows.
    UdpConn, "udp-conn", UDP, &[], UDP_COLUMNS
);

/// The item's protocol object for TCP.
pub static TCP: ProtocolInfo = ProtocolInfo {
    name: "tcp",
    version: "",
    abbr: "TCP",
    long_name: "Transmission Control Protocol",
    macro_name: "tcp",
    background: "#4b5563",
    foreground: "#ffffff",
    font_size: 12,
    reference: "https://www.rfc-editor.org/rfc/rfc9293",
    ports: &[],
    layer4: "tcp",
    priority: 20,
};

/// The item's protocol object for UDP.
pub static UDP: ProtocolInfo = ProtocolInfo {
    name: "udp",
    version: "",
    abbr: "UDP",
    long_name: "User Datagram Protocol",
    macro_name: "udp",
    background: "#6b7280",
    foreground: "#ffffff",
    font_size: 12,
    reference: "https://www.rfc-editor.org/rfc/rfc768",
    ports: &[],
    layer4: "udp",
    priority: 20,
};

const TCP_COLUMNS: Columns = Columns {
    method: "data.method",
    status: "data.end",
    summary: "data.payload",
};

const UDP_COLUMNS: Columns = Columns {
    method: "",
    status: "data.end",
    summary: "data.payload",
};

const PAYLOAD: Field = field(
    "data.payload",
    FieldType::Text,
    "the client's first bytes, else the server's",
);
const SERVER_PAYLOAD: Field = field(
    "data.serverPayload",
    FieldType::Text,
    "the server's first bytes",
);
const LENGTH: Field = field("data.length", FieldType::Int, "payload bytes of both sides");
const CLIENT_PACKETS: Field = field(
    "data.clientPackets",
    FieldType::Int,
    "packets from the client",
);
const CLIENT_BYTES: Field = field(
    "data.clientBytes",
    FieldType::Int,
    "payload bytes from the client, those sent again too",
);
const SERVER_PACKETS: Field = field(
    "data.serverPackets",
    FieldType::Int,
    "packets from the server",
);
const SERVER_BYTES: Field = field(
    "data.serverBytes",
    FieldType::Int,
    "payload bytes from the server, those sent again too",
);
const DURATION: Field = field(
    "data.duration",
    FieldType::Int,
    "milliseconds from the first packet to the last",
);
const END: Field = field(
    "data.end",
    FieldType::Text,
    "how it ended: fin, rst, idle, reused, evicted or source-end",
);

const TCP_FIELDS: &[Field] = &[
    PAYLOAD,
    SERVER_PAYLOAD,
    field(
        "data.method",
        FieldType::Text,
        "TCP flags that were seen, as `SYN,PSH,ACK`",
    ),
    LENGTH,
    CLIENT_PACKETS,
    CLIENT_BYTES,
    SERVER_PACKETS,
    SERVER_BYTES,
    DURATION,
    END,
];

const UDP_FIELDS: &[Field] = &[
    PAYLOAD,
    SERVER_PAYLOAD,
    LENGTH,
    field(
        "data.checksum",
        FieldType::Int,
        "checksum of the first datagram as captured",
    ),
    CLIENT_PACKETS,
    CLIENT_BYTES,
    SERVER_PACKETS,
    SERVER_BYTES,
    DURATION,
    END,
];

/// Reads nothing: what there is to say, the tally says.
struct Passed;

impl Dissector for Passed {
    fn on_chunk(&mut self, chunk: &Chunk, _: &mut dyn Output) -> Outcome {
        Outcome::Consumed(chunk.bytes.len())
    }

    fn on_gap(&mut self, _: &Gap, _: &mut dyn Output) -> Outcome {
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, _: Direction, _: &bytes::Bytes, _: &mut dyn Output) {}

    fn on_end(&mut self, _: &mut dyn Output) {}

    fn save(&self) -> Vec<u8> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
