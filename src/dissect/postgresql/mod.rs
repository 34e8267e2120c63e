//! PostgreSQL, protocol 3.0 to 3.2.
//!
//! In: the bytes of one connection. Out: one item for each Query, each statement of the extended
//! query protocol (Parse, Bind, Describe and Execute are one item when they belong together), each
//! start, cancel request and end, and for notices and notifications that nobody asked for. Never:
//! passwords, SASL data or cancel keys; what is encrypted goes over to `tls`. Standard: PostgreSQL
//! documentation, chapter "Frontend/Backend Protocol".
//!
//! ```text
//! request  = {command, query?, statement?, portal?, parameters?, maxRows?, user?, database?,
//!             truncated?}
//!   StartupMessage  protocolVersion, startupParameters, passwordSent?, mechanism?
//!   CancelRequest   processId
//!   FunctionCall    functionOid
//! response = {status, success, errorCode?, errorMessage?, error?, commandTag?, affectedRows?,
//!             columns?, rowCount?, rows?, suspended?, copy?, truncated?, results?, moreResults?,
//!             notices?, notification?, parameterStatus?, transactionStatus?}
//!   StartupMessage  authentication, mechanisms?, processId
//!   SSLRequest      encryption
//! error    = {severity, code, message, detail, hint, position, where, schema, table, ...}
//! copy     = {direction, format, columns, bytes, messages, failed?}
//! ```
//!
//! | member | what it is |
//! |---|---|
//! | `command` | name of the message; of an extended statement `Execute` |
//! | `parameters` | values of Bind: text, base64 when sent in binary, null |
//! | `status` | `ok`, the SQLSTATE of the error, `aborted` (an error before it in the pipeline) or `incomplete` |
//! | `rows` | the first rows, each a list of values like `parameters`; `columns` has the names |
//! | `rowCount` | all rows, also those that are not in `rows`; then `truncated` is true |
//! | `results` | one entry a statement when a Query holds several; the members above are of the last one with rows |
//! | `transactionStatus` | `idle`, `in transaction` or `failed`, when ReadyForQuery ended the exchange |

mod answer;
mod backend;
mod catalog;
mod dissector;
mod exchange;
mod frontend;
mod parser;
mod render;

use super::{Dissector, Probe, Protocol, Verdict};
use crate::dissect::Stream;
use crate::item::{Columns, Field, FieldType, ProtocolInfo, field};
use crate::packet::Transport;
use dissector::Postgres;
use parser::Walk;

/// Line of [`super::PROTOCOLS`].
pub struct Postgresql;

/// The item's protocol object.
pub static POSTGRESQL: ProtocolInfo = ProtocolInfo {
    name: "postgresql",
    version: "3",
    abbr: "POSTGRESQL",
    long_name: "PostgreSQL Frontend/Backend Protocol",
    macro_name: "postgresql",
    background: "#336791",
    foreground: "#ffffff",
    font_size: 11,
    reference: "https://www.postgresql.org/docs/current/protocol.html",
    ports: &["5432"],
    layer4: "tcp",
    priority: 5,
};

static KINDS: &[&ProtocolInfo] = &[&POSTGRESQL];

const FIELDS: &[Field] = &[
    field(
        "request.command",
        FieldType::Text,
        "name of the message, as `Query` or `Execute`",
    ),
    field(
        "request.query",
        FieldType::Text,
        "SQL text; of an Execute that of its Parse",
    ),
    field(
        "request.statement",
        FieldType::Text,
        "name of the prepared statement",
    ),
    field("request.portal", FieldType::Text, "name of the portal"),
    field(
        "request.parameters",
        FieldType::List,
        "parameter values; binary ones as base64",
    ),
    field(
        "request.maxRows",
        FieldType::Int,
        "most rows that an Execute asks for",
    ),
    field("request.user", FieldType::Text, "user of the connection"),
    field(
        "request.database",
        FieldType::Text,
        "database of the connection",
    ),
    field(
        "request.protocolVersion",
        FieldType::Text,
        "version that a StartupMessage asks for",
    ),
    field(
        "request.startupParameters",
        FieldType::Map,
        "parameters of a StartupMessage",
    ),
    field(
        "request.passwordSent",
        FieldType::Bool,
        "whether the client sent a password or proof",
    ),
    field(
        "request.mechanism",
        FieldType::Text,
        "SASL mechanism that the client chose",
    ),
    field(
        "request.processId",
        FieldType::Int,
        "server process that a CancelRequest is about",
    ),
    field(
        "request.functionOid",
        FieldType::Int,
        "function that a FunctionCall runs",
    ),
    field(
        "request.truncated",
        FieldType::Bool,
        "whether query or parameters are not kept whole",
    ),
    field(
        "response.status",
        FieldType::Text,
        "`ok`, an SQLSTATE, `aborted` or `incomplete`",
    ),
    field(
        "response.success",
        FieldType::Bool,
        "whether there was no error",
    ),
    field(
        "response.errorCode",
        FieldType::Text,
        "SQLSTATE of the error",
    ),
    field(
        "response.errorMessage",
        FieldType::Text,
        "text of the error",
    ),
    field("response.error", FieldType::Map, "all fields of the error"),
    field(
        "response.commandTag",
        FieldType::Text,
        "command tag, as `INSERT 0 5`",
    ),
    field(
        "response.affectedRows",
        FieldType::Int,
        "rows that the command tag names",
    ),
    field("response.columns", FieldType::List, "names of the columns"),
    field("response.rowCount", FieldType::Int, "rows that were sent"),
    field(
        "response.rows",
        FieldType::List,
        "the first rows, each a list of values",
    ),
    field(
        "response.suspended",
        FieldType::Bool,
        "whether the portal has more rows",
    ),
    field(
        "response.truncated",
        FieldType::Bool,
        "whether rows are not shown whole",
    ),
    field("response.copy", FieldType::Object, "what COPY moved"),
    field(
        "response.copy.direction",
        FieldType::Text,
        "`in`, `out` or `both`",
    ),
    field(
        "response.copy.format",
        FieldType::Text,
        "`text` or `binary`",
    ),
    field("response.copy.columns", FieldType::Int, "columns of a row"),
    field("response.copy.bytes", FieldType::Int, "bytes of data"),
    field(
        "response.copy.messages",
        FieldType::Int,
        "CopyData messages",
    ),
    field(
        "response.copy.failed",
        FieldType::Text,
        "why the client broke it off",
    ),
    field(
        "response.results",
        FieldType::List,
        "one entry a statement of a Query with several",
    ),
    field(
        "response.moreResults",
        FieldType::Bool,
        "whether results are left out of `results`",
    ),
    field("response.notices", FieldType::List, "notices and warnings"),
    field(
        "response.notification",
        FieldType::Map,
        "channel, payload and process of a NOTIFY",
    ),
    field(
        "response.parameterStatus",
        FieldType::Map,
        "run-time parameters that the server reports",
    ),
    field(
        "response.authentication",
        FieldType::List,
        "names of the authentication messages",
    ),
    field(
        "response.mechanisms",
        FieldType::List,
        "SASL mechanisms that the server offers",
    ),
    field(
        "response.processId",
        FieldType::Int,
        "server process of the connection",
    ),
    field(
        "response.encryption",
        FieldType::Bool,
        "whether the server agreed to encrypt",
    ),
    field(
        "response.transactionStatus",
        FieldType::Text,
        "`idle`, `in transaction` or `failed`",
    ),
];

impl Protocol for Postgresql {
    fn name(&self) -> &'static str {
        "postgresql"
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
            summary: "request.query",
        }
    }

    fn probe(&self, probe: &Probe<'_>) -> Verdict {
        let sides = [probe.to_server, probe.to_client];
        let looks = sides.map(look);
        // One side that is sure is enough, as long as the other does not speak against it.
        match looks {
            [Verdict::No, Verdict::No] => Verdict::No,
            [Verdict::No, other] | [other, Verdict::No] => match sides.iter().any(|s| s.is_empty())
            {
                true => Verdict::No,
                // The capture may have begun inside a message of the other side.
                false => other.min(Verdict::Likely),
            },
            [one, other] => one.max(other),
        }
    }

    fn start(&self, stream: &Stream) -> Box<dyn Dissector> {
        Box::new(Postgres::new(stream))
    }

    fn restore(&self, stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        Postgres::restore(stream, state).map(|dissector| Box::new(dissector) as _)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<super::robustness::Sample> {
        tests::samples()
    }
}

/// What the bytes of one side say.
fn look(bytes: &[u8]) -> Verdict {
    if bytes.is_empty() {
        return Verdict::Unsure;
    }
    match parser::walk_startup(bytes) {
        Walk::Messages => return Verdict::Certain,
        Walk::Partial => return Verdict::Unsure,
        Walk::No => {}
    }
    // The one byte that answers an encryption request is not worth a guess.
    match (parser::walk_frontend(bytes), parser::walk_backend(bytes)) {
        (Walk::Messages, _) | (_, Walk::Messages) => Verdict::Certain,
        (Walk::Partial, _) | (_, Walk::Partial) => Verdict::Unsure,
        (Walk::No, Walk::No) => Verdict::No,
    }
}

#[cfg(test)]
mod tests;
