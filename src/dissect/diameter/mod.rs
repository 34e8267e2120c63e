//! Diameter over TCP and SCTP: requests and answers with their AVPs by name.
//!
//! In: a stream of messages, or whole messages of SCTP. Out: one item for each request with its
//! answer, for requests without one and answers without a request. Never: Diameter within TLS or
//! DTLS. Standards: RFC 6733 (base), RFC 8506 (credit control), RFC 7155 (network access), 3GPP
//! TS 29.230 (numbers of 3GPP).
//!
//! ```text
//! request  = {method, commandCode, applicationId, application, flags, hopByHopId, endToEndId,
//!             length, summary, avps: [avp], truncated?}
//! response = the same with {resultCode, result}
//! avp      = {code, name, vendorId?, flags, value | avps: [avp]}
//! ```
//!
//! `value` is a number or text by the AVP's type; bytes that no type is known of are text when they
//! are printable, else hexadecimal behind `0x`. `result` names the result code.

mod command;
mod dictionary;
mod dissector;
mod parser;
mod render;

use crate::dissect::Stream;
use crate::item::{Columns, Field, FieldType, ProtocolInfo, field};
use crate::packet::Transport;

use super::{Dissector, Probe, Protocol, Verdict};
use dissector::DiameterDissector;

/// Line of [`super::PROTOCOLS`].
pub struct Diameter;

const OVER_TCP: ProtocolInfo = ProtocolInfo {
    name: "diameter",
    version: "1",
    abbr: "DIAMETER",
    long_name: "Diameter",
    macro_name: "diameter",
    background: "#7c3aed",
    foreground: "#ffffff",
    font_size: 10,
    reference: "https://www.rfc-editor.org/rfc/rfc6733",
    ports: &["3868"],
    layer4: "tcp",
    priority: 7,
};

/// The item's protocol object.
pub static DIAMETER: ProtocolInfo = OVER_TCP;

/// The same over SCTP.
pub static DIAMETER_SCTP: ProtocolInfo = ProtocolInfo {
    layer4: "sctp",
    ..OVER_TCP
};

const PORT: u16 = 3868;

static KINDS: &[&ProtocolInfo] = &[&DIAMETER, &DIAMETER_SCTP];

const FIELDS: &[Field] = &[
    field(
        "request.method",
        FieldType::Text,
        "command, as `Credit-Control-Request`",
    ),
    field("request.commandCode", FieldType::Int, "code of the command"),
    field(
        "request.applicationId",
        FieldType::Int,
        "application that the command belongs to",
    ),
    field(
        "request.application",
        FieldType::Text,
        "its name, as `Credit Control`",
    ),
    field(
        "request.flags",
        FieldType::List,
        "flags of the header: request, proxiable, error, retransmitted",
    ),
    field(
        "request.hopByHopId",
        FieldType::Int,
        "identifier that pairs request and answer",
    ),
    field(
        "request.endToEndId",
        FieldType::Int,
        "identifier that tells repeated requests",
    ),
    field("request.length", FieldType::Int, "bytes of the message"),
    field(
        "request.summary",
        FieldType::Text,
        "command, kind of request and session in a line",
    ),
    field("request.avps", FieldType::List, "attributes in their order"),
    field("request.avps.code", FieldType::Int, "code of the attribute"),
    field(
        "request.avps.name",
        FieldType::Text,
        "name of the attribute",
    ),
    field(
        "request.avps.vendorId",
        FieldType::Int,
        "vendor of the attribute",
    ),
    field(
        "request.avps.value",
        FieldType::Text,
        "value, by the attribute's type",
    ),
    field("response.method", FieldType::Text, "command of the answer"),
    field(
        "response.resultCode",
        FieldType::Int,
        "result, the experimental one where there is no other",
    ),
    field(
        "response.result",
        FieldType::Text,
        "name of the result, as `DIAMETER_SUCCESS`",
    ),
    field(
        "response.avps",
        FieldType::List,
        "attributes in their order",
    ),
];

impl Protocol for Diameter {
    fn name(&self) -> &'static str {
        "diameter"
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Tcp, Transport::SCTP]
    }

    fn kinds(&self) -> &'static [&'static ProtocolInfo] {
        KINDS
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn columns(&self) -> Columns {
        Columns {
            method: "request.method",
            status: "response.result",
            summary: "request.summary",
        }
    }

    fn probe(&self, probe: &Probe<'_>) -> Verdict {
        let usual = probe.is_on(&[PORT]);
        [probe.to_server, probe.to_client]
            .into_iter()
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| looks(bytes, usual))
            .min()
            .unwrap_or(Verdict::Unsure)
    }

    fn start(&self, stream: &Stream) -> Box<dyn Dissector> {
        Box::new(DiameterDissector::new(stream))
    }

    fn restore(&self, stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        DiameterDissector::restore(stream, state).map(|dissector| Box::new(dissector) as _)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<super::robustness::Sample> {
        tests::samples()
    }
}

/// A sane header and the header of a first AVP behind it; elsewhere than on the usual port the
/// command must be known too.
fn looks(bytes: &[u8], usual_port: bool) -> Verdict {
    match parser::check(bytes) {
        parser::Check::No => Verdict::No,
        parser::Check::Short => Verdict::Unsure,
        parser::Check::Fits(header) => {
            if usual_port || command::name(header.command).is_some() {
                Verdict::Certain
            } else {
                Verdict::No
            }
        }
    }
}

#[cfg(test)]
mod tests;
