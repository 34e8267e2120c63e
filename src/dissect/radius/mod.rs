//! RADIUS: authentication, accounting, dynamic authorisation.
//!
//! In: datagrams. Out: one item for each request with its response, however often it was sent; for
//! requests that stay unanswered and responses nobody was seen to ask for. Never: passwords and
//! keys, hidden or not (their length is shown). Standards: RFC 2865, RFC 2866, RFC 2868, RFC 2869,
//! RFC 3162, RFC 5176, RFC 5997, RFC 6929.
//!
//! ```text
//! request, response = {code, codeName, id, authenticator, length, attributes, retransmissions?, summary}
//! attribute = {type, name?, value} | {type, name, tag?, value} | {type, name, extendedType, more?, value}
//!           | {type, name, vendorId, vendor?, attributes: [{type, name?, value}]}
//! ```
//!
//! Octets are hexadecimal text; numbers that have names are shown by name.

mod dictionary;
mod dissector;
mod parser;
mod render;

use crate::dissect::Stream;
use crate::item::{Columns, Field, FieldType, ProtocolInfo, field};
use crate::packet::Transport;

use super::{Dissector, Probe, Protocol, Verdict};
use dissector::Radius as RadiusDissector;
use parser::Packet;

/// Line of [`super::PROTOCOLS`].
pub struct Radius;

/// The item's protocol object.
pub static RADIUS: ProtocolInfo = ProtocolInfo {
    name: "radius",
    version: "0",
    abbr: "RADIUS",
    long_name: "Remote Authentication Dial In User Service",
    macro_name: "radius",
    background: "#00796b",
    foreground: "#ffffff",
    font_size: 11,
    reference: "https://www.rfc-editor.org/rfc/rfc2865",
    ports: &["1812", "1813", "1645", "1646", "3799"],
    layer4: "udp",
    priority: 6,
};

static KINDS: &[&ProtocolInfo] = &[&RADIUS];

/// Authentication and accounting, their ports of old, and dynamic authorisation.
const PORTS: [u16; 5] = [1812, 1813, 1645, 1646, 3799];

#[rustfmt::skip]
const FIELDS: &[Field] = &[
    field("request.code", FieldType::Int, "code of the request, as 1"),
    field("request.codeName", FieldType::Text, "the same in words, as `Access-Request`"),
    field("request.id", FieldType::Int, "identifier, the same in the response"),
    field("request.authenticator", FieldType::Text, "request authenticator, hexadecimal"),
    field("request.length", FieldType::Int, "bytes of the packet, as it says itself"),
    field("request.attributes", FieldType::List, "attributes in wire order: type, name, value"),
    field("request.attributes.type", FieldType::Int, "number of the attribute"),
    field("request.attributes.name", FieldType::Text, "name of the attribute, as `User-Name`"),
    field("request.attributes.value", FieldType::Text, "its value; of secrets the length"),
    field("request.attributes.vendorId", FieldType::Int, "number of the vendor of a Vendor-Specific attribute"),
    field("request.attributes.vendor", FieldType::Text, "name of that vendor"),
    field("request.attributes.attributes", FieldType::List, "the vendor's attributes"),
    field("request.retransmissions", FieldType::Int, "times that the request was sent again; absent for none"),
    field("request.summary", FieldType::Text, "accounting status and user, station or access server"),
    field("response.code", FieldType::Int, "code of the response, as 2"),
    field("response.codeName", FieldType::Text, "the same in words, as `Access-Accept`"),
    field("response.id", FieldType::Int, "identifier of the request"),
    field("response.authenticator", FieldType::Text, "response authenticator, hexadecimal"),
    field("response.length", FieldType::Int, "bytes of the packet, as it says itself"),
    field("response.attributes", FieldType::List, "attributes in wire order, as in `request`"),
    field("response.summary", FieldType::Text, "user, station or access server"),
];

impl Protocol for Radius {
    fn name(&self) -> &'static str {
        "radius"
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Udp]
    }

    fn kinds(&self) -> &'static [&'static ProtocolInfo] {
        KINDS
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn columns(&self) -> Columns {
        Columns {
            method: "request.codeName",
            status: "response.codeName",
            summary: "request.summary",
        }
    }

    fn probe(&self, probe: &Probe<'_>) -> Verdict {
        // The client's port says nothing: resolvers ask from any.
        let usual = probe.server_is_on(&PORTS);
        [probe.to_server, probe.to_client]
            .into_iter()
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| looks(bytes, usual))
            .min()
            .unwrap_or(Verdict::Unsure)
    }

    fn start(&self, _stream: &Stream) -> Box<dyn Dissector> {
        Box::new(RadiusDissector::default())
    }

    fn restore(&self, _stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        RadiusDissector::restore(state).map(|dissector| Box::new(dissector) as _)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<super::robustness::Sample> {
        tests::samples()
    }
}

/// On a usual port a sane header is enough: damaged packets are to be seen there. Elsewhere the
/// datagram must be one packet whose attributes all have names.
fn looks(bytes: &[u8], usual_port: bool) -> Verdict {
    let Some(packet) = Packet::parse(bytes) else {
        return Verdict::No;
    };
    if usual_port {
        return Verdict::Certain;
    }
    let mut attributes = packet.attributes().peekable();
    let has_some = attributes.peek().is_some();
    let known = attributes.all(|attribute| {
        attribute.is_ok_and(|attribute| dictionary::attribute(attribute.kind).is_some())
    });
    match packet.length == bytes.len() && has_some && known {
        true => Verdict::Certain,
        false => Verdict::No,
    }
}

#[cfg(test)]
mod tests;
