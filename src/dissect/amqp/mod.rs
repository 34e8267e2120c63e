//! AMQP 0-9-1 with RabbitMQ's extensions, and the frames of AMQP 1.0.
//!
//! In: a TCP stream. Out: one item for each method, synchronous ones with their answers; for 1.0
//! one item for each frame. Never: passwords (their length is shown), bodies beyond the cap of an
//! item. Standards: AMQP 0-9-1 (with errata), AMQP 1.0 (ISO/IEC 19464) part 2.
//!
//! ```text
//! request  = {method, <arguments>, properties?, body?, truncated?, summary}
//! response = {method, <arguments>, properties?, body?, truncated?} | {method: "empty"}
//! 1.0      = {method: <performative>, frameType, channel, size}
//! header   = {method: "protocol header", protocolId, versionMajor, versionMinor, versionRevision, summary}
//! ```
//!
//! Arguments have the specification's names in camel case. One-way methods, and those sent with
//! `noWait`, have the response `empty`; a reply whose request was not captured stands alone.

mod dissector;
mod exchange;
mod frame;
mod message;
mod parser;
mod render;
mod spec;

use crate::dissect::Stream;
use crate::item::{Columns, Field, FieldType, ProtocolInfo, field};
use crate::packet::Transport;

use super::{Dissector, Probe, Protocol, Verdict};
use dissector::Amqp as AmqpDissector;
use frame::{FRAME_HEADER, Frame1Header, FrameHeader, FrameKind, Looks, ProtocolHeader};

/// Line of [`super::PROTOCOLS`].
pub struct Amqp;

/// The protocol object of items of 0-9-1.
pub static AMQP_0_9_1: ProtocolInfo = ProtocolInfo {
    name: "amqp",
    version: "0-9-1",
    abbr: "AMQP",
    long_name: "Advanced Message Queuing Protocol 0-9-1",
    macro_name: "amqp",
    background: "#ff6600",
    foreground: "#ffffff",
    font_size: 12,
    reference: "https://www.rabbitmq.com/amqp-0-9-1-reference.html",
    ports: &["5671", "5672"],
    layer4: "tcp",
    priority: 1,
};

/// The protocol object of items of 1.0.
pub static AMQP_1_0: ProtocolInfo = ProtocolInfo {
    version: "1.0",
    long_name: "Advanced Message Queuing Protocol 1.0",
    reference: "https://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-overview-v1.0-os.html",
    ..AMQP_0_9_1
};

static KINDS: &[&ProtocolInfo] = &[&AMQP_0_9_1, &AMQP_1_0];

const PORT: u16 = 5672;

#[rustfmt::skip]
const FIELDS: &[Field] = &[
    field("request.method", FieldType::Text, "class and method, as `basic publish`; a performative in AMQP 1.0"),
    field("request.summary", FieldType::Text, "what the method is about: queue, exchange, routing key, reason"),
    field("request.exchange", FieldType::Text, "exchange that is published to, delivered from, declared or bound"),
    field("request.routingKey", FieldType::Text, "routing key of a message or binding"),
    field("request.mandatory", FieldType::Bool, "whether a message that no queue takes comes back"),
    field("request.immediate", FieldType::Bool, "whether a message that no consumer takes at once comes back"),
    field("request.properties", FieldType::Object, "properties of the message; only those that were sent"),
    field("request.properties.contentType", FieldType::Text, "MIME type of the body"),
    field("request.properties.contentEncoding", FieldType::Text, "MIME encoding of the body"),
    field("request.properties.headers", FieldType::Object, "headers of the application"),
    field("request.properties.deliveryMode", FieldType::Int, "1 transient, 2 persistent"),
    field("request.properties.priority", FieldType::Int, "priority, 0 to 9"),
    field("request.properties.correlationId", FieldType::Text, "identifier of the request that this answers"),
    field("request.properties.replyTo", FieldType::Text, "queue for the answer"),
    field("request.properties.expiration", FieldType::Text, "time to live in milliseconds, as text"),
    field("request.properties.messageId", FieldType::Text, "identifier of the message"),
    field("request.properties.timestamp", FieldType::Int, "time of the message, Unix seconds"),
    field("request.properties.type", FieldType::Text, "name of the message's type"),
    field("request.properties.userId", FieldType::Text, "user who sent it"),
    field("request.properties.appId", FieldType::Text, "application that sent it"),
    field("request.properties.clusterId", FieldType::Text, "deprecated"),
    field("request.body", FieldType::Text, "body of the message, base64"),
    field("request.truncated", FieldType::Bool, "true when the body is longer than what is shown"),
    field("request.consumerTag", FieldType::Text, "name of the consumer"),
    field("request.deliveryTag", FieldType::Int, "number of the delivery on its channel"),
    field("request.redelivered", FieldType::Bool, "whether it was delivered before"),
    field("request.multiple", FieldType::Bool, "whether all deliveries up to the tag are meant"),
    field("request.requeue", FieldType::Bool, "whether the message goes back to its queue"),
    field("request.queue", FieldType::Text, "name of the queue"),
    field("request.passive", FieldType::Bool, "whether it must exist already"),
    field("request.durable", FieldType::Bool, "whether it outlives the broker"),
    field("request.exclusive", FieldType::Bool, "whether only this connection may use it"),
    field("request.autoDelete", FieldType::Bool, "whether it goes with its last user"),
    field("request.internal", FieldType::Bool, "whether only other exchanges may publish to it"),
    field("request.noWait", FieldType::Bool, "whether no answer is wanted"),
    field("request.noLocal", FieldType::Bool, "whether own messages are left out"),
    field("request.noAck", FieldType::Bool, "whether no acknowledgements come"),
    field("request.ifUnused", FieldType::Bool, "whether it is deleted only when nobody uses it"),
    field("request.ifEmpty", FieldType::Bool, "whether it is deleted only when it is empty"),
    field("request.arguments", FieldType::Object, "further arguments"),
    field("request.type", FieldType::Text, "type of the exchange, as `topic`"),
    field("request.source", FieldType::Text, "exchange that a binding leads from"),
    field("request.destination", FieldType::Text, "exchange that a binding leads to"),
    field("request.prefetchSize", FieldType::Int, "bytes that may await acknowledgement"),
    field("request.prefetchCount", FieldType::Int, "messages that may await acknowledgement"),
    field("request.global", FieldType::Bool, "whether that holds for all consumers of the channel"),
    field("request.active", FieldType::Bool, "whether the peer may send contents"),
    field("request.versionMajor", FieldType::Int, "major version of the protocol"),
    field("request.versionMinor", FieldType::Int, "minor version of the protocol"),
    field("request.versionRevision", FieldType::Int, "revision of the protocol, of a protocol header"),
    field("request.protocolId", FieldType::Int, "0 AMQP, 2 TLS, 3 SASL, of a protocol header"),
    field("request.serverProperties", FieldType::Object, "what the broker tells of itself"),
    field("request.mechanisms", FieldType::Text, "SASL mechanisms, with blanks between"),
    field("request.locales", FieldType::Text, "locales, with blanks between"),
    field("request.challenge", FieldType::Text, "challenge of the SASL mechanism"),
    field("request.channelMax", FieldType::Int, "channels at most; 0 is no limit"),
    field("request.frameMax", FieldType::Int, "bytes of a frame at most; 0 is no limit"),
    field("request.heartbeat", FieldType::Int, "seconds between heartbeats; 0 is none"),
    field("request.virtualHost", FieldType::Text, "virtual host"),
    field("request.relyCode", FieldType::Int, "the same as `replyCode`"),
    field("request.replyCode", FieldType::Int, "why something was closed or came back, as 404"),
    field("request.replyText", FieldType::Text, "the same in words"),
    field("request.classId", FieldType::Int, "class of the method that failed"),
    field("request.methodId", FieldType::Int, "method that failed"),
    field("request.reason", FieldType::Text, "why a connection is blocked or a secret was changed"),
    field("request.newSecret", FieldType::Text, "length of the new secret"),
    field("request.channel", FieldType::Int, "channel of an AMQP 1.0 frame"),
    field("request.frameType", FieldType::Text, "`AMQP` or `SASL`, of an AMQP 1.0 frame"),
    field("request.size", FieldType::Int, "bytes of an AMQP 1.0 frame"),
    field("response.method", FieldType::Text, "the answer, as `queue declare-ok`; `empty` when none is due"),
    field("response.queue", FieldType::Text, "name of the queue"),
    field("response.messageCount", FieldType::Int, "messages in the queue"),
    field("response.consumerCount", FieldType::Int, "consumers of the queue"),
    field("response.consumerTag", FieldType::Text, "name of the consumer"),
    field("response.deliveryTag", FieldType::Int, "number of the delivery on its channel"),
    field("response.redelivered", FieldType::Bool, "whether it was delivered before"),
    field("response.exchange", FieldType::Text, "exchange that a fetched message was published to"),
    field("response.routingKey", FieldType::Text, "routing key of a fetched message"),
    field("response.properties", FieldType::Object, "properties of a fetched message, as in `request`"),
    field("response.body", FieldType::Text, "body of a fetched message, base64"),
    field("response.truncated", FieldType::Bool, "true when the body is longer than what is shown"),
    field("response.clientProperties", FieldType::Object, "what the client tells of itself"),
    field("response.mechanism", FieldType::Text, "chosen SASL mechanism"),
    field("response.response", FieldType::Text, "answer of the SASL mechanism with the secret's length in its place"),
    field("response.locale", FieldType::Text, "chosen locale"),
    field("response.channelMax", FieldType::Int, "channels at most; 0 is no limit"),
    field("response.frameMax", FieldType::Int, "bytes of a frame at most; 0 is no limit"),
    field("response.heartbeat", FieldType::Int, "seconds between heartbeats; 0 is none"),
    field("response.active", FieldType::Bool, "whether the peer may send contents"),
];

impl Protocol for Amqp {
    fn name(&self) -> &'static str {
        "amqp"
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
        Columns {
            method: "request.method",
            status: "request.replyCode",
            summary: "request.summary",
        }
    }

    fn probe(&self, probe: &Probe<'_>) -> Verdict {
        let usual = probe.is_on(&[PORT]);
        let late = !probe.stream.is_from_start();
        let sides = [probe.to_server, probe.to_client]
            .into_iter()
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| match begins(bytes, usual) {
                Verdict::No if late || usual => middle(bytes, usual),
                verdict => verdict,
            });
        // Either side may have been joined inside a body, which says nothing.
        match late || usual {
            true => sides.max(),
            false => sides.min(),
        }
        .unwrap_or(Verdict::Unsure)
    }

    fn start(&self, stream: &Stream) -> Box<dyn Dissector> {
        Box::new(AmqpDissector::new(stream))
    }

    fn restore(&self, stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        AmqpDissector::restore(stream, state).map(|dissector| Box::new(dissector) as _)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<super::robustness::Sample> {
        tests::samples()
    }
}

/// What the first bytes of a side say when a frame or protocol header begins with them.
fn begins(bytes: &[u8], usual_port: bool) -> Verdict {
    if ProtocolHeader::parse(bytes).is_some() {
        return Verdict::Certain;
    }
    if bytes.starts_with(b"AMQP") || b"AMQP".starts_with(bytes) {
        return Verdict::Unsure;
    }
    match (
        FrameHeader::stands_out(bytes),
        Frame1Header::stands_out(bytes),
    ) {
        (Looks::Yes, _) => match FrameHeader::parse(bytes) {
            Ok(Some(header)) if header.ends_well(bytes).is_some() => Verdict::Certain,
            _ => Verdict::Likely,
        },
        (_, Looks::Yes) => Verdict::Certain,
        (Looks::Short, _) | (_, Looks::Short) => Verdict::Unsure,
        (Looks::No, Looks::No) => body(bytes, usual_port),
    }
}

/// A body frame tells by its end alone, and by what follows.
fn body(bytes: &[u8], usual_port: bool) -> Verdict {
    let Ok(Some(header)) = FrameHeader::parse(bytes) else {
        return Verdict::No;
    };
    let (FrameKind::Body, Ok(size)) = (header.kind, usize::try_from(header.size)) else {
        return Verdict::No;
    };
    let next = bytes.get(FRAME_HEADER + size + 1..);
    match (header.ends_well(bytes), next) {
        (Some(false), _) => Verdict::No,
        (Some(true), Some(next)) if FrameHeader::stands_out(next) == Looks::Yes => Verdict::Certain,
        (Some(true), _) if usual_port => Verdict::Likely,
        (None, _) if usual_port && size <= 1 << 20 => Verdict::Unsure,
        _ => Verdict::No,
    }
}

/// What the first bytes of a side say when they may begin inside a frame.
fn middle(bytes: &[u8], usual_port: bool) -> Verdict {
    let ends = memchr::memchr_iter(frame::FRAME_END, bytes);
    let follows = |end: usize| {
        let next = bytes.get(end + 1..).unwrap_or_default();
        FrameHeader::stands_out(next) == Looks::Yes
    };
    match (ends.take(bytes.len()).any(follows), usual_port) {
        (true, _) => Verdict::Certain,
        (false, true) => Verdict::Unsure,
        (false, false) => Verdict::No,
    }
}

#[cfg(test)]
mod tests;
