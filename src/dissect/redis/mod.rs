//! Redis and what speaks like it (Valkey, KeyDB, Dragonfly): commands with their replies, and
//! messages that the server pushes.
//!
//! In: the two directions of a TCP stream, on any port. Out: one item for each command with its
//! reply, for each pushed message (without request), and for what stands alone. Never: the
//! replication stream behind PSYNC. Standard: the Redis serialization protocol specification
//! (RESP2, RESP3, inline commands).
//!
//! ```text
//! request  = {type, command, key, value, keyword, commandLine}
//! response = {type, command, key, value, keyword}
//! ```
//!
//! All members are text, empty when there is nothing to say. `type` is `Array` of a command, `N/A`
//! of an inline one; of a reply `Simple String`, `Bulk String`, `Array`, `Integer`, `Error`, `Null`
//! (those of RESP2 too), or the name that RESP3 has for it. `command` is the verb in upper case;
//! `keyword` the second word of commands like `CONFIG SET`, the kind of a pushed message
//! (`MESSAGE`), or the code of an error (`WRONGTYPE`); `key` the first key, or the channel. `value`
//! is the rest: the other words of a command as `[a, b]`, a reply as text, aggregates in it as
//! `[a, b]` and `{a: b}`. `commandLine` is the command in one line. `truncated` is true beside
//! values that were cut.

mod command;
mod dissector;
mod message;
mod parser;
mod recognise;
mod render;
#[cfg(test)]
mod tests;

use crate::dissect::Stream;
use crate::item::FieldType::Text;
use crate::item::{Columns, Field, FieldType, ProtocolInfo, field};
use crate::packet::Transport;

use self::dissector::RedisDissector;
use self::recognise::{Found, Looks};
#[cfg(test)]
use super::robustness::Sample;
use super::{Dissector, Probe, Protocol, Verdict};

/// Line of [`super::PROTOCOLS`].
pub(super) struct Redis;

/// The item's protocol object.
pub(super) static REDIS: ProtocolInfo = ProtocolInfo {
    name: "redis",
    version: "3.x",
    abbr: "REDIS",
    long_name: "Redis Serialization Protocol",
    macro_name: "redis",
    background: "#a41e11",
    foreground: "#ffffff",
    font_size: 11,
    reference: "https://redis.io/docs/latest/develop/reference/protocol-spec/",
    ports: &["6379"],
    layer4: "tcp",
    priority: 3,
};

const PORT: u16 = 6379;

const FIELDS: &[Field] = &[
    field(
        "request.type",
        Text,
        "`Array`, or `N/A` of an inline command",
    ),
    field("request.command", Text, "the verb, upper case"),
    field("request.key", Text, "first key, or the channel"),
    field("request.value", Text, "the other words, as `[a, b]`"),
    field(
        "request.keyword",
        Text,
        "second word of commands such as `CONFIG SET`, upper case",
    ),
    field(
        "request.commandLine",
        Text,
        "the whole command, its first 1024 bytes",
    ),
    field(
        "request.truncated",
        FieldType::Bool,
        "true when the command was cut",
    ),
    field(
        "response.type",
        Text,
        "type of the reply, as `Bulk String` or `Error`",
    ),
    field("response.command", Text, "always empty"),
    field("response.key", Text, "channel of a pushed message"),
    field("response.value", Text, "the reply as text"),
    field(
        "response.keyword",
        Text,
        "kind of a pushed message, as `MESSAGE`, or code of an error",
    ),
    field(
        "response.truncated",
        FieldType::Bool,
        "true when the reply was cut",
    ),
];

impl Protocol for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Tcp]
    }

    fn kinds(&self) -> &'static [&'static ProtocolInfo] {
        static KINDS: [&ProtocolInfo; 1] = [&REDIS];
        &KINDS
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn columns(&self) -> Columns {
        Columns {
            method: "request.command",
            status: "response.keyword",
            summary: "request.key",
        }
    }

    fn probe(&self, probe: &Probe<'_>) -> Verdict {
        let stream = probe.stream;
        let usual = probe.is_on(&[PORT]);
        if stream.is_from_start() {
            return from_start(probe.to_server, probe.to_client, usual);
        }
        let one = midway(probe.to_server, probe.to_client, usual);
        match stream.knows_sides() {
            true => one,
            false => one.max(midway(probe.to_client, probe.to_server, usual)),
        }
    }

    fn start(&self, stream: &Stream) -> Box<dyn Dissector> {
        Box::new(RedisDissector::new(stream))
    }

    fn restore(&self, stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        RedisDissector::restore(stream, state).map(|dissector| Box::new(dissector) as _)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<Sample> {
        tests::samples()
    }
}

/// A stream seen from its beginning: the client speaks first, and its first bytes are a command.
fn from_start(asks: &[u8], answers: &[u8], usual_port: bool) -> Verdict {
    let command = recognise::command(asks);
    let reply = recognise::reply(answers);
    match (command, reply) {
        // A verb that nobody knows, answered in RESP all the same.
        (Looks::No, Looks::Yes) if usual_port && recognise::is_line(asks) => Verdict::Likely,
        (Looks::No, Looks::Unsure) if usual_port && recognise::is_line(asks) => Verdict::Unsure,
        (Looks::No, _) | (_, Looks::No) => Verdict::No,
        (Looks::Yes, _) => Verdict::Certain,
        // Only the server's side was captured, or it is a greeting.
        (Looks::Unsure, Looks::Yes) if asks.is_empty() => Verdict::Likely,
        (Looks::Unsure, Looks::Perhaps) if asks.is_empty() && usual_port => Verdict::Likely,
        (Looks::Unsure, Looks::Perhaps) if asks.is_empty() => Verdict::No,
        (Looks::Unsure, _) => Verdict::Unsure,
        // Of a line alone one cannot be sure before the answer is seen.
        (Looks::Perhaps, Looks::Yes) => Verdict::Certain,
        (Looks::Perhaps, _) if asks.starts_with(b"*") => Verdict::Likely,
        (Looks::Perhaps, _) if usual_port => Verdict::Likely,
        (Looks::Perhaps, Looks::Unsure) => Verdict::Unsure,
        (Looks::Perhaps, Looks::Perhaps) if recognise::is_shared_word(asks) => Verdict::No,
        (Looks::Perhaps, Looks::Perhaps) => Verdict::Likely,
    }
}

/// A stream joined in its middle: a value may come before the next command.
fn midway(asks: &[u8], answers: &[u8], usual_port: bool) -> Verdict {
    let command = match recognise::command(asks) {
        Looks::No => match recognise::find_command(asks) {
            Found::At(_) => Looks::Yes,
            Found::NotBefore(_) if usual_port => Looks::Unsure,
            Found::NotBefore(_) => Looks::No,
        },
        looks => looks,
    };
    let reply = recognise::reply(answers);
    match (command, reply) {
        (Looks::Yes, _) => Verdict::Certain,
        (Looks::Perhaps, Looks::Yes) => Verdict::Certain,
        (_, Looks::Yes) if usual_port => Verdict::Likely,
        (_, Looks::Perhaps) if usual_port && command != Looks::No => Verdict::Likely,
        (Looks::Unsure, Looks::Yes) if asks.is_empty() => Verdict::Likely,
        (Looks::Perhaps, Looks::Perhaps) if !recognise::is_shared_word(asks) => Verdict::Likely,
        (Looks::No, _) => Verdict::No,
        (_, Looks::No) if !usual_port => Verdict::No,
        _ => Verdict::Unsure,
    }
}
