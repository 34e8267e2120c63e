//! DNS over UDP and TCP, multicast DNS and LLMNR.
//!
//! In: datagrams, or messages behind a two-byte length. Out: one item for each query with its
//! response, for queries that stay unanswered and responses nobody was seen to ask for. Never: a
//! lookup of its own. Standards: RFC 1035, RFC 7766 (TCP), RFC 6891 (EDNS), RFC 6762 (multicast
//! DNS), RFC 4795 (LLMNR), RFC 2136 (update).
//!
//! ```text
//! request  = {opCode, questions: [{name, type, class}]}
//! response = {code, answers, authorities, additionals: [record]}
//! record   = {name, type, class, ttl, ip, ns, cname, ptr, txts, soa, srv, mx, opt, uri, data?}
//! ```
//!
//! All members of a record but `ttl` are text, empty when the record is not of that type; `data`
//! is there only for types that have no member of their own.

mod dissector;
mod outline;
mod parser;
mod rdata;
mod render;

use crate::dissect::Stream;
use crate::item::{Columns, Field, FieldType, ProtocolInfo, field};
use crate::packet::Transport;

use super::{Dissector, Probe, Protocol, Verdict};
use dissector::DnsDissector;
use parser::{Check, Message, ParseErrorKind};

/// Line of [`super::PROTOCOLS`].
pub struct Dns;

/// The item's protocol object.
pub static DNS: ProtocolInfo = ProtocolInfo {
    name: "dns",
    version: "0",
    abbr: "DNS",
    long_name: "Domain Name System",
    macro_name: "dns",
    background: "#606060",
    foreground: "#ffffff",
    font_size: 12,
    reference: "https://www.rfc-editor.org/rfc/rfc1035",
    ports: &[],
    layer4: "udp",
    priority: 4,
};

static KINDS: &[&ProtocolInfo] = &[&DNS];

const PORT: u16 = 53;
const MULTICAST_PORT: u16 = 5353;
const LLMNR_PORT: u16 = 5355;

/// NetBIOS names look like DNS in all but the names' coding (RFC 1002 section 4.2).
const NETBIOS_PORT: u16 = 137;

const FIELDS: &[Field] = &[
    field(
        "request.opCode",
        FieldType::Text,
        "kind of query, as `Query`",
    ),
    field(
        "request.questions",
        FieldType::List,
        "what was asked: name, type, class",
    ),
    field(
        "request.questions.name",
        FieldType::Text,
        "name that was asked for",
    ),
    field(
        "request.questions.type",
        FieldType::Text,
        "type that was asked for, as `AAAA`",
    ),
    field(
        "request.questions.class",
        FieldType::Text,
        "class that was asked for, as `IN`",
    ),
    field(
        "response.code",
        FieldType::Text,
        "how it went, as `No Error`",
    ),
    field(
        "response.answers",
        FieldType::List,
        "records that answer the question",
    ),
    field(
        "response.authorities",
        FieldType::List,
        "records of the servers in charge",
    ),
    field(
        "response.additionals",
        FieldType::List,
        "records that may help",
    ),
    field(
        "response.answers.name",
        FieldType::Text,
        "name of the record",
    ),
    field(
        "response.answers.type",
        FieldType::Text,
        "type of the record",
    ),
    field(
        "response.answers.class",
        FieldType::Text,
        "class of the record",
    ),
    field(
        "response.answers.ttl",
        FieldType::Int,
        "seconds that the record may be kept",
    ),
    field(
        "response.answers.ip",
        FieldType::Text,
        "address of an A or AAAA record",
    ),
    field(
        "response.answers.ns",
        FieldType::Text,
        "server named by an NS record",
    ),
    field(
        "response.answers.cname",
        FieldType::Text,
        "name that a CNAME or DNAME record points to",
    ),
    field(
        "response.answers.ptr",
        FieldType::Text,
        "name that a PTR record points to",
    ),
    field(
        "response.answers.txts",
        FieldType::Text,
        "texts of a TXT record, joined by a comma",
    ),
    field(
        "response.answers.soa",
        FieldType::Text,
        "an SOA record's seven values",
    ),
    field(
        "response.answers.srv",
        FieldType::Text,
        "priority, weight, port and target of an SRV record",
    ),
    field(
        "response.answers.mx",
        FieldType::Text,
        "preference and host of an MX record",
    ),
    field(
        "response.answers.opt",
        FieldType::Text,
        "EDNS parameters and options",
    ),
    field(
        "response.answers.uri",
        FieldType::Text,
        "priority, weight and target of a URI record",
    ),
    field(
        "response.answers.data",
        FieldType::Text,
        "a record of any other type, as in a zone file",
    ),
];

impl Protocol for Dns {
    fn name(&self) -> &'static str {
        "dns"
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Udp, Transport::Tcp]
    }

    fn kinds(&self) -> &'static [&'static ProtocolInfo] {
        KINDS
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn columns(&self) -> Columns {
        Columns {
            method: "request.questions.0.type",
            status: "response.code",
            summary: "request.questions.0.name",
        }
    }

    fn probe(&self, probe: &Probe<'_>) -> Verdict {
        let (client, server) = (probe.stream.client.port, probe.stream.server.port);
        if client == NETBIOS_PORT || server == NETBIOS_PORT {
            return Verdict::No;
        }
        let usual = probe.is_on(&[PORT, MULTICAST_PORT, LLMNR_PORT]);
        let look = match probe.stream.name.transport {
            Transport::Udp => looks_like_datagram,
            _ => looks_like_stream,
        };
        [probe.to_server, probe.to_client]
            .into_iter()
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| look(bytes, usual))
            .min()
            .unwrap_or(Verdict::Unsure)
    }

    fn start(&self, stream: &Stream) -> Box<dyn Dissector> {
        Box::new(DnsDissector::new(stream))
    }

    fn restore(&self, stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        DnsDissector::restore(stream, state).map(|dissector| Box::new(dissector) as _)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<super::robustness::Sample> {
        tests::samples()
    }
}

/// On a usual port a sane header is enough: damaged messages are to be seen there. Elsewhere the
/// whole datagram must be one message.
fn looks_like_datagram(bytes: &[u8], usual_port: bool) -> Verdict {
    let Ok(message) = Message::new(bytes) else {
        return Verdict::No;
    };
    if usual_port {
        return if message.header().is_plausible() {
            Verdict::Certain
        } else {
            Verdict::No
        };
    }
    let check = message.check();
    if message.header().is_usual() && check.error.is_none() && check.end == bytes.len() {
        Verdict::Certain
    } else {
        Verdict::No
    }
}

fn looks_like_stream(bytes: &[u8], usual_port: bool) -> Verdict {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else {
        return Verdict::Unsure;
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if length < parser::HEADER {
        return Verdict::No;
    }
    let whole = rest.get(..length);
    let Ok(message) = Message::new(whole.unwrap_or(rest)) else {
        return Verdict::Unsure;
    };
    if !message.header().is_usual() {
        return Verdict::No;
    }
    if usual_port {
        return Verdict::Certain;
    }
    match message.check() {
        Check {
            error: None, end, ..
        } if whole.is_some() && end == length => Verdict::Certain,
        Check {
            error: Some(error), ..
        } if whole.is_none() && error.kind == ParseErrorKind::Truncated => Verdict::Unsure,
        _ => Verdict::No,
    }
}

#[cfg(test)]
mod tests;
