//! SCTP: chunks, the association, and user messages put together from DATA chunks.
//!
//! In: packets from their verification tag on. Out: one item for each user message that no protocol
//! above reads, and one for each control chunk but acknowledgements (SACK) and padding; whole
//! messages for the protocols above. Never: another path of a multi-homed association; checksums
//! verified. Standards: RFC 9260, RFC 8260 (I-DATA), RFC 4895, RFC 5061, RFC 6525, RFC 3758.
//!
//! ```text
//! data = {checksum, chunkType, length, flags, verificationTag, and by type:
//!   tsn, streamId, streamSeq, payloadProtocol, payloadProtocolName, payload       DATA, I-DATA
//!   initiateTag, window, outboundStreams, inboundStreams, initialTsn              INIT, INIT ACK
//!   causes                                                                        ABORT, ERROR}
//! ```
//!
//! `payload` is base64; `length` is the chunk's, of a message in pieces the sum.

mod association;
mod dissector;
mod parser;
mod render;

use crate::dissect::Stream;
use crate::item::{Columns, Field, FieldType, ProtocolInfo, field};
use crate::packet::Transport;

use super::{Dissector, Probe, Protocol, Verdict};
use dissector::SctpDissector;

/// Line of [`super::PROTOCOLS`].
pub struct Sctp;

/// The item's protocol object.
pub static SCTP: ProtocolInfo = ProtocolInfo {
    name: "sctp",
    version: "1",
    abbr: "SCTP",
    long_name: "Stream Control Transmission Protocol",
    macro_name: "sctp",
    background: "#0f766e",
    foreground: "#ffffff",
    font_size: 12,
    reference: "https://www.rfc-editor.org/rfc/rfc9260",
    ports: &[],
    layer4: "sctp",
    priority: 6,
};

static KINDS: &[&ProtocolInfo] = &[&SCTP];

const FIELDS: &[Field] = &[
    field(
        "data.checksum",
        FieldType::Int,
        "checksum of the packet as captured",
    ),
    field("data.chunkType", FieldType::Text, "type of the chunk"),
    field("data.length", FieldType::Int, "bytes of the chunk"),
    field("data.flags", FieldType::Int, "flags of the chunk"),
    field(
        "data.verificationTag",
        FieldType::Int,
        "tag that the receiver chose for the association",
    ),
    field(
        "data.tsn",
        FieldType::Int,
        "transmission sequence number of the message's first piece",
    ),
    field(
        "data.streamId",
        FieldType::Int,
        "stream of the message within the association",
    ),
    field(
        "data.streamSeq",
        FieldType::Int,
        "number of the message within its stream",
    ),
    field(
        "data.payloadProtocol",
        FieldType::Int,
        "payload protocol identifier",
    ),
    field(
        "data.payloadProtocolName",
        FieldType::Text,
        "what it stands for, as `M3UA`",
    ),
    field("data.payload", FieldType::Text, "the message, base64"),
    field(
        "data.causes",
        FieldType::List,
        "why an association was aborted",
    ),
];

impl Protocol for Sctp {
    fn name(&self) -> &'static str {
        "sctp"
    }

    fn has_ports(&self) -> bool {
        false
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::SCTP]
    }

    fn kinds(&self) -> &'static [&'static ProtocolInfo] {
        KINDS
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn columns(&self) -> Columns {
        Columns {
            method: "data.chunkType",
            status: "",
            summary: "data.payloadProtocolName",
        }
    }

    /// The IP header already said what it is.
    fn probe(&self, _: &Probe<'_>) -> Verdict {
        Verdict::Certain
    }

    fn start(&self, _: &Stream) -> Box<dyn Dissector> {
        Box::new(SctpDissector::default())
    }

    fn restore(&self, _: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        SctpDissector::restore(state).map(|dissector| Box::new(dissector) as _)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<super::robustness::Sample> {
        tests::samples()
    }
}

#[cfg(test)]
mod tests;
