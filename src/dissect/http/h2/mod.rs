//! HTTP/2 with prior knowledge or after an upgrade, and gRPC over it, on any port.
//!
//! In: the two directions of a TCP stream. Out: one item for each stream of the connection; one-sided
//! items say why. Never: what is inside TLS. Standards: RFC 9113, RFC 7541,
//! RFC 7540 section 3.2, RFC 8441, gRPC over HTTP/2.

mod blocks;
#[cfg(test)]
mod captures;
mod connection;
mod exchange;
mod fields;
mod frame;
mod grpc;
mod hpack;
mod outline;
mod search;
mod section;
mod side;
mod streams;
#[cfg(test)]
mod tests;
mod tunnel;
pub(super) mod upgrade;

pub use self::blocks::{FieldBlocks, Sent};
use self::connection::Connection;
use self::fields::FIELDS;
use self::frame::{DEFAULT_MAX_FRAME, PREFACE};
use self::search::{Chain, chain};
use crate::dissect::http::graphql;
#[cfg(test)]
use crate::dissect::robustness::Sample;
use crate::dissect::{Dissector, Probe, Protocol, Stream, Verdict};
use crate::item::{Columns, Field, ProtocolInfo};
use crate::packet::Transport;

/// [`Protocol::name`] of HTTP/2.
const NAME: &str = "http2";

/// The entry in the list of protocols.
pub(in crate::dissect) struct Http2;

static HTTP_2: ProtocolInfo = ProtocolInfo {
    name: "http",
    version: "2.0",
    abbr: "HTTP/2",
    long_name: "Hypertext Transfer Protocol -- HTTP/2",
    macro_name: "http2",
    background: "#244c5a",
    foreground: "#ffffff",
    font_size: 11,
    reference: "https://www.rfc-editor.org/rfc/rfc9113",
    ports: &["80", "443", "8080"],
    layer4: "tcp",
    priority: 0,
};

static GRPC: ProtocolInfo = ProtocolInfo {
    name: "http",
    version: "2.0",
    abbr: "gRPC",
    long_name: "Hypertext Transfer Protocol -- HTTP/2 [ gRPC over HTTP/2 ]",
    macro_name: "grpc",
    background: "#244c5a",
    foreground: "#ffffff",
    font_size: 11,
    reference: "https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md",
    ports: &["80", "443", "8080", "50051"],
    layer4: "tcp",
    priority: 0,
};

impl Protocol for Http2 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn enabled_by(&self) -> &'static str {
        "http"
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Tcp]
    }

    fn kinds(&self) -> &'static [&'static ProtocolInfo] {
        static KINDS: [&ProtocolInfo; 3] = [&HTTP_2, &GRPC, &graphql::KINDS[1]];
        &KINDS
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn columns(&self) -> Columns {
        Columns {
            method: "request.method",
            status: "response.status",
            summary: "request.url",
        }
    }

    fn probe(&self, probe: &Probe<'_>) -> Verdict {
        let from_start = probe.stream.is_from_start();
        let client = preface(probe.to_server);
        if from_start || client == Verdict::Certain {
            return client;
        }
        // Joined late: frames without a preface, and who is the client is a guess.
        let sides = [probe.to_server, probe.to_client];
        let looks = sides.map(|bytes| preface(bytes).max(frames(bytes)));
        let [first, second] = looks;
        first.max(second)
    }

    fn start(&self, stream: &Stream) -> Box<dyn Dissector> {
        Box::new(match stream.is_from_start() {
            true => Connection::new().of(stream),
            false => Connection::joined().of(stream),
        })
    }

    fn take_over(&self, stream: &Stream, note: &[u8]) -> Box<dyn Dissector> {
        match upgrade::read(note) {
            Some((asks, request, settings)) => {
                Box::new(Connection::upgraded(asks, request, settings).of(stream))
            }
            None => self.start(stream),
        }
    }

    fn restore(&self, stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        let connection = Connection::load(state)?.of(stream);
        Some(Box::new(connection) as Box<dyn Dissector>)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<Sample> {
        tests::samples()
    }
}

/// Whether bytes begin with the client's preface.
fn preface(bytes: &[u8]) -> Verdict {
    let fits = bytes
        .iter()
        .zip(PREFACE)
        .all(|(byte, wanted)| byte == wanted);
    match fits {
        false => Verdict::No,
        true if bytes.len() >= PREFACE.len() => Verdict::Certain,
        true => Verdict::Unsure,
    }
}

/// Whether bytes may begin the first frame of a server, which is SETTINGS (RFC 9113 section 3.4).
pub(super) fn fronts_settings(bytes: &[u8]) -> bool {
    matches!(bytes, [0, _, length, 4, 0, 0, 0, 0, 0, ..] if length % 6 == 0)
}

/// Whether bytes are frames from their first one on.
fn frames(bytes: &[u8]) -> Verdict {
    if bytes.is_empty() {
        return Verdict::Unsure;
    }
    match chain(bytes, DEFAULT_MAX_FRAME) {
        Chain::Broken => Verdict::No,
        Chain::Frames { whole: 3.., .. }
        | Chain::Frames {
            whole: 2,
            even: true,
        } => Verdict::Certain,
        Chain::Frames { whole, even } if whole > 1 || even => Verdict::Likely,
        Chain::Frames { .. } | Chain::Open(_) => Verdict::Unsure,
    }
}
