//! MongoDB's wire protocol.
//!
//! In: the bytes of one connection. Out: one item for each request with its reply, for requests that
//! get none and replies nobody was seen to ask for. Never: passwords, SASL payloads, keys. Standards:
//! MongoDB manual, "MongoDB Wire Protocol"; specifications "OP_MSG" and "Wire Compression";
//! bsonspec.org; "MongoDB Extended JSON (v2)", whose relaxed form values have.
//!
//! ```text
//! request  = {command, database?, collection?, query?, documents?, documentCount?, flags?, opcode,
//!             compressor?, truncated?}
//! response = {status, success?, errorCode?, errorCodeName?, errorMessage?, cursorId?, reply?,
//!             rowCount?, rows?, flags?, opcode, compressor?, truncated?}
//! ```
//!
//! | member | what it is |
//! |---|---|
//! | `command` | first member of the command document; of legacy operations `insert`, `query`, ... |
//! | `query` | the command document, without the documents that it writes |
//! | `documents` | the first documents that it writes; `documentCount` counts those that are kept |
//! | `status` | `ok`, the error's number as text, `error` (without a number), or `unknown` (cut before it says) |
//! | `success` | no error, in the reply or in one of its writes |
//! | `rows` | the first documents of the cursor's batch, or of a legacy reply |
//! | `reply` | the reply document without its cursor |
//! | `truncated` | a part is not shown: a long message, many documents, deep nesting |
//!
//! Values that are or may be secrets read `(hidden)`.

mod bson;
mod compression;
mod decimal;
mod dissector;
mod parser;
mod render;

use super::{Dissector, Probe, Protocol, Verdict};
use crate::dissect::Stream;
use crate::item::{Columns, Field, FieldType, ProtocolInfo, field};
use crate::packet::Transport;
use dissector::Mongo;

/// Line of [`super::PROTOCOLS`].
pub struct Mongodb;

/// The item's protocol object.
pub static MONGODB: ProtocolInfo = ProtocolInfo {
    name: "mongodb",
    version: "6",
    abbr: "MONGODB",
    long_name: "MongoDB Wire Protocol",
    macro_name: "mongodb",
    background: "#00684a",
    foreground: "#ffffff",
    font_size: 10,
    reference: "https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/",
    ports: &["27017"],
    layer4: "tcp",
    priority: 5,
};

static KINDS: &[&ProtocolInfo] = &[&MONGODB];

const FIELDS: &[Field] = &[
    field(
        "request.command",
        FieldType::Text,
        "name of the command, as `find`",
    ),
    field("request.database", FieldType::Text, "database"),
    field("request.collection", FieldType::Text, "collection"),
    field(
        "request.query",
        FieldType::Map,
        "the command document, as relaxed extended JSON",
    ),
    field(
        "request.documents",
        FieldType::List,
        "the first documents that are written",
    ),
    field(
        "request.documentCount",
        FieldType::Int,
        "documents that are written",
    ),
    field("request.flags", FieldType::List, "flags of OP_MSG"),
    field(
        "request.opcode",
        FieldType::Text,
        "name of the operation, as `OP_MSG`",
    ),
    field(
        "request.compressor",
        FieldType::Text,
        "how the message was compressed",
    ),
    field(
        "request.truncated",
        FieldType::Bool,
        "whether a part is not shown",
    ),
    field(
        "response.status",
        FieldType::Text,
        "`ok`, the error number, `error` or `unknown`",
    ),
    field(
        "response.success",
        FieldType::Bool,
        "whether there was no error",
    ),
    field("response.errorCode", FieldType::Int, "number of the error"),
    field(
        "response.errorCodeName",
        FieldType::Text,
        "name of the error",
    ),
    field(
        "response.errorMessage",
        FieldType::Text,
        "text of the error",
    ),
    field(
        "response.cursorId",
        FieldType::Int,
        "cursor that has more; 0 when none has",
    ),
    field(
        "response.reply",
        FieldType::Map,
        "the reply without its cursor",
    ),
    field(
        "response.rowCount",
        FieldType::Int,
        "documents of the batch that are kept",
    ),
    field(
        "response.rows",
        FieldType::List,
        "the first documents of the batch",
    ),
    field("response.flags", FieldType::List, "flags of OP_MSG"),
    field("response.opcode", FieldType::Text, "name of the operation"),
    field(
        "response.compressor",
        FieldType::Text,
        "how the message was compressed",
    ),
    field(
        "response.truncated",
        FieldType::Bool,
        "whether a part is not shown",
    ),
];

impl Protocol for Mongodb {
    fn name(&self) -> &'static str {
        "mongodb"
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
            method: "request.command",
            status: "response.status",
            summary: "request.collection",
        }
    }

    fn probe(&self, probe: &Probe<'_>) -> Verdict {
        // One side that is sure is enough: the other may begin inside a message.
        [probe.to_server, probe.to_client]
            .into_iter()
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| match parser::looks_like_message(bytes) {
                Some(true) => Verdict::Certain,
                Some(false) => Verdict::No,
                None => Verdict::Unsure,
            })
            .max()
            .unwrap_or(Verdict::Unsure)
    }

    fn start(&self, stream: &Stream) -> Box<dyn Dissector> {
        Box::new(Mongo::new(stream))
    }

    fn restore(&self, stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        Mongo::restore(stream, state).map(|dissector| Box::new(dissector) as _)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<super::robustness::Sample> {
        tests::samples()
    }
}

#[cfg(test)]
mod tests;
