//! ICMP and ICMPv6: echo, errors with the packet that caused them, neighbour discovery, multicast
//! listeners.
//!
//! In: messages, one a packet. Out: one item for each query with its reply, and one for each other
//! message. Never: a reply paired over two flows, as one to a multicast query would need; checksums
//! verified. Standards: RFC 792, RFC 4443, RFC 1191 (next-hop MTU), RFC 4861 (neighbour discovery),
//! RFC 8106 (DNS options), RFC 2710 and RFC 3810 (multicast listeners), RFC 8335 (extended echo).
//!
//! ```text
//! request, response = {type, version, length, code, codeName, and by type:
//!   id, seq                              echo and extended echo
//!   mtu, gateway, pointer                errors
//!   quoted: {src: {ip, port}, dst: {ip, port}, protocol, length, ...}
//!   target, flags, options               neighbour discovery
//!   hopLimit, lifetime, reachableTime, retransTimer
//!   group, maxResponseDelay, records: [{type, group, sources}]}
//! ```

mod dissector;
mod parser;
mod quoted;
mod render;

use crate::dissect::Stream;
use crate::item::{Columns, Field, FieldType, ProtocolInfo, field};
use crate::packet::Transport;

use super::{Dissector, Probe, Protocol, Verdict};
use dissector::IcmpDissector;

/// Line of [`super::PROTOCOLS`].
pub struct Icmp;

/// The item's protocol object.
pub static ICMP: ProtocolInfo = BASE;

/// The same for ICMPv6.
pub static ICMPV6: ProtocolInfo = ProtocolInfo {
    version: "6",
    long_name: "Internet Control Message Protocol for IPv6",
    reference: "https://www.rfc-editor.org/rfc/rfc4443",
    ..BASE
};

const BASE: ProtocolInfo = ProtocolInfo {
    name: "icmp",
    version: "4",
    abbr: "ICMP",
    long_name: "Internet Control Message Protocol",
    macro_name: "icmp",
    background: "#b45309",
    foreground: "#ffffff",
    font_size: 12,
    reference: "https://www.rfc-editor.org/rfc/rfc792",
    ports: &[],
    layer4: "icmp",
    priority: 5,
};

static KINDS: &[&ProtocolInfo] = &[&ICMP, &ICMPV6];

const FIELDS: &[Field] = &[
    field(
        "request.type",
        FieldType::Text,
        "type of the message, as `EchoRequest`",
    ),
    field("request.version", FieldType::Int, "4 or 6"),
    field(
        "request.length",
        FieldType::Int,
        "bytes of the message as captured",
    ),
    field("request.code", FieldType::Int, "code within the type"),
    field(
        "request.codeName",
        FieldType::Text,
        "what the code means, as `PortUnreachable`",
    ),
    field("request.id", FieldType::Int, "identifier of an echo"),
    field("request.seq", FieldType::Int, "sequence number of an echo"),
    field(
        "request.mtu",
        FieldType::Int,
        "largest packet of the next hop, in bytes",
    ),
    field(
        "request.gateway",
        FieldType::Text,
        "better router, told by a redirect",
    ),
    field(
        "request.pointer",
        FieldType::Int,
        "offset of what was wrong in the quoted packet",
    ),
    field(
        "request.target",
        FieldType::Text,
        "address asked for, answered for or redirected",
    ),
    field(
        "request.group",
        FieldType::Text,
        "multicast group of a listener message",
    ),
    field(
        "request.quoted",
        FieldType::Object,
        "the packet that caused an error",
    ),
    field(
        "request.quoted.src.ip",
        FieldType::Text,
        "its sender's address",
    ),
    field(
        "request.quoted.src.port",
        FieldType::Text,
        "its sender's port",
    ),
    field(
        "request.quoted.dst.ip",
        FieldType::Text,
        "its receiver's address",
    ),
    field(
        "request.quoted.dst.port",
        FieldType::Text,
        "its receiver's port",
    ),
    field(
        "request.quoted.protocol",
        FieldType::Text,
        "its transport, as `udp`",
    ),
    field(
        "request.options",
        FieldType::List,
        "options of neighbour discovery",
    ),
    field("response.type", FieldType::Text, "type of the reply"),
    field("response.id", FieldType::Int, "identifier of the reply"),
    field(
        "response.seq",
        FieldType::Int,
        "sequence number of the reply",
    ),
];

impl Protocol for Icmp {
    fn name(&self) -> &'static str {
        "icmp"
    }

    fn has_ports(&self) -> bool {
        false
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::ICMP, Transport::ICMPV6]
    }

    fn kinds(&self) -> &'static [&'static ProtocolInfo] {
        KINDS
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn columns(&self) -> Columns {
        Columns {
            method: "request.type",
            status: "response.type",
            summary: "request.codeName",
        }
    }

    /// The IP header already said what it is.
    fn probe(&self, _: &Probe<'_>) -> Verdict {
        Verdict::Certain
    }

    fn start(&self, stream: &Stream) -> Box<dyn Dissector> {
        Box::new(IcmpDissector::new(stream))
    }

    fn restore(&self, stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        IcmpDissector::restore(stream, state).map(|dissector| Box::new(dissector) as _)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<super::robustness::Sample> {
        tests::samples()
    }
}

#[cfg(test)]
mod tests;
