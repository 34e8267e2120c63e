//! TLS: handshakes, and with secrets what the connections carry; the hello of QUIC.
//!
//! In: streams that begin with a record, or that another protocol hands over (STARTTLS); for QUIC
//! datagrams. Out: one item a handshake, one an error alert, and the items of what is inside, marked
//! as decrypted. Never: a key of its own making; who has no secret sees the handshake.
//! Standards: RFC 8446 (1.3), RFC 5246 (1.2), RFC 4346 and RFC 2246 (1.1 and 1.0, handshakes only),
//! RFC 9850 (key logs), RFC 9000, RFC 9001 and RFC 9369 (QUIC).
//!
//! ```text
//! request  = {type: "ClientHello", version, versionCode, versions, serverName, sni, cipherSuites,
//!             alpn, groups, signatureAlgorithms, keyShares, extensions, random, sessionId,
//!             sessionTicket, pskIdentities, earlyData, encryptedClientHello, certificates?,
//!             ja3, ja4, summary}
//! response = {type: "ServerHello", version, versionCode, cipherSuite, cipherSuiteCode, alpn,
//!             group?, extensions, random, sessionId, resumed, helloRetryRequest, earlyData,
//!             certificates, ja3s, info, summary}
//! data     = {type: "Alert", level, description, code, summary}        alerts after the handshake
//! ```
//!
//! In TLS 1.3 certificates, and the protocol that ALPN chose, are there only when decrypted.

mod certificate;
mod cipher;
mod dissector;
mod exchange;
mod fingerprint;
mod half;
mod handshake;
mod hello;
mod inner;
mod keys;
mod names;
pub mod quic;
mod record;
mod render;
mod search;
mod secrets;
mod state;
mod unseal;

use crate::bytes::Reader;
use crate::dissect::Stream;
use crate::item::{Columns, Field, FieldType, ProtocolInfo, field};
use crate::packet::Transport;

use super::{Dissector, Probe, Protocol, Verdict};
use dissector::TlsDissector;
use record::{ContentType, HEADER, Head};

pub use secrets::{DecryptionCounts, KeyLogLines, Secrets};

/// Line of [`super::PROTOCOLS`].
pub struct Tls;

/// The item's protocol object.
pub static TLS: ProtocolInfo = ProtocolInfo {
    name: "tls",
    version: "1.3",
    abbr: "TLS",
    long_name: "Transport Layer Security",
    macro_name: "tls",
    background: "#6b4c9a",
    foreground: "#ffffff",
    font_size: 12,
    reference: "https://www.rfc-editor.org/rfc/rfc8446",
    ports: &["443", "8443"],
    layer4: "tcp",
    priority: 5,
};

static KINDS: &[&ProtocolInfo] = &[&TLS];

/// What lists show, of QUIC too.
const COLUMNS: Columns = Columns {
    method: "request.type",
    status: "response.version",
    summary: "request.serverName",
};

pub(super) const FIELDS: &[Field] = &[
    field("request.type", FieldType::Text, "`ClientHello`"),
    field(
        "request.version",
        FieldType::Text,
        "version in the hello's own field, `TLS 1.2` for 1.3 too",
    ),
    field(
        "request.versionCode",
        FieldType::Int,
        "the same as a number",
    ),
    field(
        "request.versions",
        FieldType::List,
        "versions that the client supports, when it lists them",
    ),
    field(
        "request.serverName",
        FieldType::Text,
        "host that the client asks for (SNI); empty without one",
    ),
    field(
        "request.sni",
        FieldType::Text,
        "the same under its short name",
    ),
    field(
        "request.cipherSuites",
        FieldType::List,
        "cipher suites offered, by IANA name",
    ),
    field(
        "request.alpn",
        FieldType::List,
        "application protocols offered",
    ),
    field("request.groups", FieldType::List, "groups for key exchange"),
    field(
        "request.signatureAlgorithms",
        FieldType::List,
        "signature schemes accepted",
    ),
    field(
        "request.keyShares",
        FieldType::List,
        "groups of the key shares sent along",
    ),
    field(
        "request.extensions",
        FieldType::List,
        "names of the extensions, in order",
    ),
    field(
        "request.random",
        FieldType::Text,
        "client random, hexadecimal; key logs name connections by it",
    ),
    field("request.sessionId", FieldType::Text, "hexadecimal"),
    field(
        "request.sessionTicket",
        FieldType::Bool,
        "whether it brings a ticket of TLS 1.2",
    ),
    field(
        "request.pskIdentities",
        FieldType::Int,
        "pre-shared keys offered, tickets of TLS 1.3 among them",
    ),
    field(
        "request.earlyData",
        FieldType::Bool,
        "whether 0-RTT data follows",
    ),
    field(
        "request.encryptedClientHello",
        FieldType::Bool,
        "whether the real hello may be encrypted within (ECH); the name is then that of the front",
    ),
    field(
        "request.certificates",
        FieldType::List,
        "certificates of the client, when it sent some",
    ),
    field("request.ja3", FieldType::Text, "JA3 fingerprint"),
    field("request.ja4", FieldType::Text, "JA4 fingerprint"),
    field(
        "request.summary",
        FieldType::Text,
        "server name, else first protocol offered, else first cipher suite",
    ),
    field("response.type", FieldType::Text, "`ServerHello` or `Alert`"),
    field(
        "response.version",
        FieldType::Text,
        "version chosen, as `TLS 1.3`",
    ),
    field(
        "response.versionCode",
        FieldType::Int,
        "the same as a number",
    ),
    field(
        "response.cipherSuite",
        FieldType::Text,
        "cipher suite chosen, by IANA name",
    ),
    field(
        "response.cipherSuiteCode",
        FieldType::Int,
        "the same as a number",
    ),
    field(
        "response.alpn",
        FieldType::Text,
        "application protocol chosen; in TLS 1.3 known only when decrypted",
    ),
    field(
        "response.group",
        FieldType::Text,
        "group of the key share (TLS 1.3)",
    ),
    field(
        "response.extensions",
        FieldType::List,
        "names of the extensions, in order",
    ),
    field(
        "response.random",
        FieldType::Text,
        "server random, hexadecimal",
    ),
    field("response.sessionId", FieldType::Text, "hexadecimal"),
    field(
        "response.resumed",
        FieldType::Bool,
        "whether the session goes on from an earlier one",
    ),
    field(
        "response.helloRetryRequest",
        FieldType::Bool,
        "whether the server asked for another hello first",
    ),
    field(
        "response.earlyData",
        FieldType::Bool,
        "whether 0-RTT data was accepted; known only when decrypted",
    ),
    field(
        "response.certificates",
        FieldType::List,
        "certificates of the server, its own first; in TLS 1.3 only when decrypted",
    ),
    field(
        "response.certificates.subject",
        FieldType::Text,
        "distinguished name",
    ),
    field(
        "response.certificates.issuer",
        FieldType::Text,
        "distinguished name of who signed it",
    ),
    field(
        "response.certificates.serial",
        FieldType::Text,
        "serial number, hexadecimal",
    ),
    field(
        "response.certificates.notBefore",
        FieldType::Text,
        "valid from, RFC 3339",
    ),
    field(
        "response.certificates.notAfter",
        FieldType::Text,
        "valid until, RFC 3339",
    ),
    field(
        "response.certificates.names",
        FieldType::List,
        "subject alternative names",
    ),
    field(
        "response.certificates.isCA",
        FieldType::Bool,
        "whether it may sign others",
    ),
    field(
        "response.certificates.sha256",
        FieldType::Text,
        "fingerprint, hexadecimal",
    ),
    field("response.ja3s", FieldType::Text, "JA3S fingerprint"),
    field(
        "response.info",
        FieldType::Text,
        "version, cipher suite and protocol chosen, in one line",
    ),
    field(
        "response.summary",
        FieldType::Text,
        "protocol chosen, else cipher suite",
    ),
    field("data.type", FieldType::Text, "`Alert`"),
    field("data.level", FieldType::Text, "`warning` or `fatal`"),
    field(
        "data.description",
        FieldType::Text,
        "name of the alert, as `handshake_failure`",
    ),
    field("data.code", FieldType::Int, "number of the alert"),
];

impl Protocol for Tls {
    fn name(&self) -> &'static str {
        "tls"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["tlsx"]
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Tcp]
    }

    fn kinds(&self) -> &'static [&'static ProtocolInfo] {
        KINDS
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn columns(&self) -> Columns {
        COLUMNS
    }

    fn probe(&self, probe: &Probe<'_>) -> Verdict {
        [probe.to_server, probe.to_client]
            .into_iter()
            .filter(|bytes| !bytes.is_empty())
            .map(looks_like_start)
            .min()
            .unwrap_or(Verdict::Unsure)
    }

    fn start(&self, stream: &Stream) -> Box<dyn Dissector> {
        Box::new(TlsDissector::new(stream, &[]))
    }

    /// The note names the protocol that goes on inside, and behind a zero byte holds that one's own
    /// note; an empty one leaves it to detection.
    fn take_over(&self, stream: &Stream, note: &[u8]) -> Box<dyn Dissector> {
        Box::new(TlsDissector::new(stream, note))
    }

    fn restore(&self, stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        TlsDissector::restore(stream, state).map(|dissector| Box::new(dissector) as _)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<super::robustness::Sample> {
        tests::samples()
    }
}

/// A side begins with a hello, or with an alert that refuses one.
fn looks_like_start(bytes: &[u8]) -> Verdict {
    if bytes.len() < HEADER {
        let front = [22, 3];
        let alert = [21, 3];
        let begins = |with: &[u8]| with.iter().zip(bytes).all(|(a, b)| a == b);
        return if begins(&front) || begins(&alert) {
            Verdict::Unsure
        } else {
            Verdict::No
        };
    }
    let Some(head) = Head::parse(bytes) else {
        return Verdict::No;
    };
    let payload = bytes.get(HEADER..).unwrap_or_default();
    match head.kind {
        ContentType::Handshake => looks_like_hello(payload),
        ContentType::Alert if head.len == 2 => match payload {
            [1 | 2, ..] => Verdict::Certain,
            [] => Verdict::Unsure,
            _ => Verdict::No,
        },
        _ => Verdict::No,
    }
}

/// Type, length and version of a hello; the rest may come in later records.
fn looks_like_hello(payload: &[u8]) -> Verdict {
    let mut reader = Reader::new(payload);
    let Ok(kind) = reader.u8() else {
        return Verdict::Unsure;
    };
    if kind != handshake::CLIENT_HELLO && kind != handshake::SERVER_HELLO {
        return Verdict::No;
    }
    let (Ok(high), Ok(_)) = (reader.u8(), reader.u16()) else {
        return Verdict::Unsure;
    };
    // No hello has 64 KiB, and few a version other than 3.x; drafts of 1.3 among them.
    match (high, reader.u8()) {
        (0, Ok(3 | 0x7f)) => Verdict::Certain,
        (0, Ok(_)) => Verdict::No,
        (0, Err(_)) => Verdict::Unsure,
        _ => Verdict::No,
    }
}

#[cfg(test)]
mod tests;
