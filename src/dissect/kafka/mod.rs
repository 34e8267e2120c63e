//! Kafka: requests with their responses, up to the records in them.
//!
//! In: the two directions of a TCP stream, on any port. Out: one item for each request with its
//! response; a Produce that wants no acknowledgement stands alone. Never: the tokens of SASL outside
//! of SaslAuthenticate; names of topics that another stream was told. Standards: the protocol guide
//! and the message definitions of Apache Kafka 4.2, all versions since 0; KIP-482 (flexible
//! versions), KIP-511 (ApiVersions), KIP-516 (topic identifiers); [`records`] for record batches and
//! message sets.
//!
//! ```text
//! request  = {size, apiKeyName, apiKey, apiVersion, correlationID, clientID, payload, captureTime,
//!             summary}
//! response = {size, correlationID, payload, captureTime}
//! ```
//!
//! `size` is that of the wire: the four bytes of the size itself do not count. `payload` has the
//! fields of [`layouts`], those that the version has; it is null for other APIs, for versions newer
//! than those, and for a response whose request was not seen. Texts that are null on the wire are
//! empty, topic identifiers are in Kafka's own form (base64 for URLs). Where a version has them in
//! place of a name, the name is there too, when a Metadata response of the same stream told it,
//! else empty. A Produce request has one partition in each entry of `topicData`. `truncated` is true
//! beside, or in, what was cut.

mod decode;
mod dissector;
mod header;
#[rustfmt::skip]
mod layouts;
mod message;
mod names;
mod records;
mod render;
mod schema;
#[cfg(test)]
mod tests;
mod unpack;

use crate::dissect::Stream;
use crate::item::FieldType::{Bool, Int, List, Object, Text};
use crate::item::{Columns, Field, ProtocolInfo, field};
use crate::packet::Transport;

use self::dissector::KafkaDissector;
use self::header::{Looks, RESPONSE_START, ResponseStart, looks_like_request};
#[cfg(test)]
use super::robustness::Sample;
use super::{Dissector, Probe, Protocol, Verdict};

/// Line of [`super::PROTOCOLS`].
pub(super) struct Kafka;

/// The item's protocol object.
pub(super) static KAFKA: ProtocolInfo = ProtocolInfo {
    name: "kafka",
    version: "12",
    abbr: "KAFKA",
    long_name: "Apache Kafka Protocol",
    macro_name: "kafka",
    background: "#000000",
    foreground: "#ffffff",
    font_size: 11,
    reference: "https://kafka.apache.org/protocol",
    ports: &["9092"],
    layer4: "tcp",
    priority: 2,
};

const PORT: u16 = 9092;

const FIELDS: &[Field] = &[
    field("request.size", Int, "bytes of the request behind its size"),
    field("request.apiKeyName", Text, "name of the API, as `Produce`"),
    field("request.apiKey", Int, "number of the API"),
    field("request.apiVersion", Int, "version of the API"),
    field(
        "request.correlationID",
        Int,
        "number that the response repeats",
    ),
    field("request.clientID", Text, "who says to be asking"),
    field(
        "request.payload",
        Object,
        "fields of the request; null when its API is not read whole",
    ),
    field("request.captureTime", Text, "time of the request, RFC 3339"),
    field(
        "request.summary",
        Text,
        "topics, else the group or what else is named",
    ),
    field("request.truncated", Bool, "true when the request was cut"),
    field(
        "request.payload.transactionalID",
        Text,
        "transaction of a Produce",
    ),
    field(
        "request.payload.requiredAcks",
        Int,
        "acknowledgements that a Produce waits for: 0, 1, or -1 for all",
    ),
    field(
        "request.payload.timeout",
        Int,
        "milliseconds that a Produce waits",
    ),
    field(
        "request.payload.topicData",
        List,
        "what is produced: topic, and partitions with length and partitionData",
    ),
    field("request.payload.topics", List, "topics that are asked for"),
    field("request.payload.groupId", Text, "consumer group"),
    field(
        "request.payload.clientSoftwareName",
        Text,
        "client library, of ApiVersions",
    ),
    field("request.payload.clientSoftwareVersion", Text, "its version"),
    field(
        "response.size",
        Int,
        "bytes of the response behind its size",
    ),
    field("response.correlationID", Int, "number of the request"),
    field(
        "response.payload",
        Object,
        "fields of the response; null when its API is not read whole",
    ),
    field(
        "response.captureTime",
        Text,
        "time of the response, RFC 3339",
    ),
    field("response.truncated", Bool, "true when the response was cut"),
    field("response.payload.errorCode", Int, "how it went; 0 is well"),
    field(
        "response.payload.throttleTimeMs",
        Int,
        "milliseconds of a quota",
    ),
    field(
        "response.payload.responses",
        List,
        "topics of Produce and Fetch with partitionResponses",
    ),
    field("response.payload.brokers", List, "brokers, of Metadata"),
    field("response.payload.topics", List, "topics with their errors"),
    field("response.payload.clusterID", Text, "cluster, of Metadata"),
    field(
        "response.payload.controllerID",
        Int,
        "controller, of Metadata",
    ),
    field("response.payload.apiKeys", List, "versions, of ApiVersions"),
    field(
        "response.payload.apiVersion",
        Int,
        "0 when ApiVersions is answered in its oldest version instead of the one asked for",
    ),
];

impl Protocol for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Tcp]
    }

    fn kinds(&self) -> &'static [&'static ProtocolInfo] {
        static KINDS: [&ProtocolInfo; 1] = [&KAFKA];
        &KINDS
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn columns(&self) -> Columns {
        Columns {
            method: "request.apiKeyName",
            status: "response.payload.errorCode",
            summary: "request.summary",
        }
    }

    fn probe(&self, probe: &Probe<'_>) -> Verdict {
        let usual = probe.server_is_on(&[PORT]);
        let one = verdict(probe.to_server, probe.to_client, usual);
        match probe.stream.knows_sides() {
            true => one,
            false => one.max(verdict(probe.to_client, probe.to_server, usual)),
        }
    }

    fn start(&self, stream: &Stream) -> Box<dyn Dissector> {
        Box::new(KafkaDissector::new(stream))
    }

    fn restore(&self, stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        KafkaDissector::restore(stream, state).map(|dissector| Box::new(dissector) as _)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<Sample> {
        tests::samples()
    }
}

/// A request is known by its header; the response that repeats its number settles what is left of
/// doubt. Responses alone say nothing: four bytes of size and any number.
fn verdict(asks: &[u8], answers: &[u8], usual_port: bool) -> Verdict {
    match looks_like_request(asks) {
        Looks::No => Verdict::No,
        Looks::Unsure => Verdict::Unsure,
        Looks::Yes(_) => Verdict::Certain,
        Looks::Perhaps(_) if usual_port => Verdict::Certain,
        Looks::Perhaps(start) => match ResponseStart::read(answers) {
            Err(_) if answers.len() < RESPONSE_START => Verdict::Unsure,
            Ok(response) if response.correlation_id == start.correlation_id => Verdict::Certain,
            _ => Verdict::No,
        },
    }
}
