//! QUIC up to its hellos: what a client asks for can be read by anyone on the way.
//!
//! In: UDP datagrams. Out: one item a connection with ClientHello and ServerHello, which travel in
//! Initial packets under keys that follow from a connection ID on the wire. Never: what comes after;
//! it is encrypted under secrets of the handshake. Standards: RFC 9000, RFC 9001 section 5.2
//! (Initial keys), RFC 9369 (version 2).
//!
//! Items are those of [`tls`](super), with `request.quicVersion`.

mod crypto;
mod dissector;
mod packet;

use crate::dissect::Stream;
use crate::item::{Columns, Field, FieldType, ProtocolInfo, field};
use crate::packet::Transport;

use super::super::{Dissector, Probe, Protocol, Verdict};
use dissector::QuicDissector;
use packet::{Kind, Long};

/// Line of [`super::super::PROTOCOLS`].
pub struct Quic;

/// The item's protocol object.
pub static QUIC: ProtocolInfo = ProtocolInfo {
    name: "tls",
    version: "1.3",
    abbr: "QUIC",
    long_name: "QUIC: A UDP-Based Multiplexed and Secure Transport",
    macro_name: "quic",
    background: "#6b4c9a",
    foreground: "#ffffff",
    font_size: 12,
    reference: "https://www.rfc-editor.org/rfc/rfc9000",
    ports: &["443"],
    layer4: "udp",
    priority: 5,
};

static KINDS: &[&ProtocolInfo] = &[&QUIC];

const FIELDS: &[Field] = &[field(
    "request.quicVersion",
    FieldType::Text,
    "version of QUIC: `1`, `2` or `draft-29`; all else as for TLS",
)];

/// Bytes of a datagram with a client's Initial at least (RFC 9000 section 14.1).
const MIN_INITIAL_DATAGRAM: usize = 1200;

impl Protocol for Quic {
    fn name(&self) -> &'static str {
        "quic"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["tls", "tlsx"]
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
        super::COLUMNS
    }

    fn probe(&self, probe: &Probe<'_>) -> Verdict {
        let begins = |datagram: &[u8]| {
            datagram.len() >= MIN_INITIAL_DATAGRAM
                && Long::parse(datagram).is_some_and(|long| long.kind == Kind::Initial)
        };
        if begins(probe.to_server) || begins(probe.to_client) {
            Verdict::Certain
        } else {
            Verdict::No
        }
    }

    fn start(&self, stream: &Stream) -> Box<dyn Dissector> {
        let _ = stream;
        Box::new(QuicDissector::default())
    }

    fn restore(&self, stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        let _ = stream;
        QuicDissector::restore(state).map(|dissector| Box::new(dissector) as _)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<super::super::robustness::Sample> {
        tests::samples()
    }
}

#[cfg(test)]
mod tests;
