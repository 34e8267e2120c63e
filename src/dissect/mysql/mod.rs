//! MySQL and MariaDB, the classic protocol.
//!
//! In: the bytes of one connection, compressed ones too (zlib, zstd). Out: one item for the login and
//! one for each command with its answer. Never: passwords or what proves them; what is encrypted goes
//! over to `tls`. A connection that was joined late and is compressed is not recognised. Standard:
//! MySQL source documentation, "Client/Server Protocol"; MariaDB knowledge base, "Clients &
//! Utilities", "Client/Server Protocol".
//!
//! ```text
//! request  = {command, query?, statementId?, parameters?, user?, database?, truncated?}
//!   HandshakeResponse  characterSet, capabilities, authPlugin?, authSent?, attributes?
//! response = {status, success, errorCode?, sqlState?, errorMessage?, columns?, rowCount?, rows?,
//!             affectedRows?, lastInsertId?, warnings?, info?, text?, serverStatus?, truncated?,
//!             results?, moreResults?, localInfile?, localInfileBytes?, events?, eventBytes?}
//!   HandshakeResponse  serverVersion, threadId, serverCapabilities, serverAuthPlugin?, authSwitch?
//!   COM_STMT_PREPARE   statementId, columnCount, parameterCount
//! ```
//!
//! | member | what it is |
//! |---|---|
//! | `command` | `COM_QUERY`, ...; `HandshakeResponse` for the login, `SSLRequest` before TLS |
//! | `query` | SQL text; of a prepared statement that of its COM_STMT_PREPARE; of COM_INIT_DB the schema |
//! | `parameters` | values of COM_STMT_EXECUTE; bytes as base64 |
//! | `database` | schema in use when the command was sent |
//! | `status` | `ok`, the error number as text, or `incomplete` |
//! | `rows` | the first rows, each a list of values; `columns` has the names, `rowCount` counts all |
//! | `results` | all results when there are several; the members above are of the last one with rows |
//!
//! Sizes of compressed connections are those of the packets before compression.

mod binary;
mod client;
mod dissector;
mod exchange;
mod layers;
mod parser;
mod render;
mod server;
mod statements;

use super::intake::Front;
use super::{Dissector, Probe, Protocol, Verdict};
use crate::dissect::Stream;
use crate::item::{Columns, Field, FieldType, ProtocolInfo, field};
use crate::packet::Transport;

/// Line of [`super::PROTOCOLS`].
pub struct Mysql;

/// The item's protocol object.
pub static MYSQL: ProtocolInfo = ProtocolInfo {
    name: "mysql",
    version: "10",
    abbr: "MYSQL",
    long_name: "MySQL Client/Server Protocol",
    macro_name: "mysql",
    background: "#00758f",
    foreground: "#ffffff",
    font_size: 11,
    reference: "https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html",
    ports: &["3306"],
    layer4: "tcp",
    priority: 5,
};

static KINDS: &[&ProtocolInfo] = &[&MYSQL];

const FIELDS: &[Field] = &[
    field(
        "request.command",
        FieldType::Text,
        "name of the command, as `COM_QUERY`",
    ),
    field(
        "request.query",
        FieldType::Text,
        "SQL text, or the schema of COM_INIT_DB",
    ),
    field(
        "request.statementId",
        FieldType::Int,
        "number of the prepared statement",
    ),
    field(
        "request.parameters",
        FieldType::List,
        "parameter values of COM_STMT_EXECUTE",
    ),
    field("request.user", FieldType::Text, "user of the connection"),
    field("request.database", FieldType::Text, "schema in use"),
    field(
        "request.characterSet",
        FieldType::Int,
        "number of the client's collation",
    ),
    field(
        "request.capabilities",
        FieldType::List,
        "capability flags of the client",
    ),
    field(
        "request.authPlugin",
        FieldType::Text,
        "authentication plugin of the client",
    ),
    field(
        "request.authSent",
        FieldType::Bool,
        "whether the client sent a proof of its password",
    ),
    field(
        "request.attributes",
        FieldType::Map,
        "connection attributes",
    ),
    field(
        "request.truncated",
        FieldType::Bool,
        "whether the command is not kept whole",
    ),
    field(
        "response.status",
        FieldType::Text,
        "`ok`, the error number or `incomplete`",
    ),
    field(
        "response.success",
        FieldType::Bool,
        "whether there was no error",
    ),
    field("response.errorCode", FieldType::Int, "number of the error"),
    field(
        "response.sqlState",
        FieldType::Text,
        "SQLSTATE of the error",
    ),
    field(
        "response.errorMessage",
        FieldType::Text,
        "text of the error",
    ),
    field("response.columns", FieldType::List, "names of the columns"),
    field("response.rowCount", FieldType::Int, "rows that were sent"),
    field(
        "response.rows",
        FieldType::List,
        "the first rows, each a list of values",
    ),
    field(
        "response.affectedRows",
        FieldType::Int,
        "rows that the command changed",
    ),
    field(
        "response.lastInsertId",
        FieldType::Int,
        "value that AUTO_INCREMENT gave",
    ),
    field("response.warnings", FieldType::Int, "count of warnings"),
    field(
        "response.info",
        FieldType::Text,
        "what the server says about the command",
    ),
    field("response.text", FieldType::Text, "text of COM_STATISTICS"),
    field(
        "response.serverStatus",
        FieldType::List,
        "status flags of the server",
    ),
    field(
        "response.truncated",
        FieldType::Bool,
        "whether rows are not shown whole",
    ),
    field(
        "response.results",
        FieldType::List,
        "all results when there are several",
    ),
    field(
        "response.moreResults",
        FieldType::Bool,
        "whether results are left out of `results`",
    ),
    field(
        "response.localInfile",
        FieldType::Text,
        "file that the server asked for",
    ),
    field(
        "response.localInfileBytes",
        FieldType::Int,
        "bytes of that file",
    ),
    field(
        "response.events",
        FieldType::Int,
        "events of the binary log",
    ),
    field(
        "response.eventBytes",
        FieldType::Int,
        "bytes of those events",
    ),
    field(
        "response.serverVersion",
        FieldType::Text,
        "version of the server",
    ),
    field(
        "response.threadId",
        FieldType::Int,
        "thread of the connection",
    ),
    field(
        "response.serverCapabilities",
        FieldType::List,
        "capability flags of the server",
    ),
    field(
        "response.serverAuthPlugin",
        FieldType::Text,
        "authentication plugin of the server",
    ),
    field(
        "response.authSwitch",
        FieldType::List,
        "plugins that the server went over to",
    ),
    field(
        "response.statementId",
        FieldType::Int,
        "number that a prepared statement got",
    ),
    field(
        "response.columnCount",
        FieldType::Int,
        "columns of a prepared statement",
    ),
    field(
        "response.parameterCount",
        FieldType::Int,
        "parameters of a prepared statement",
    ),
];

impl Protocol for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
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
        if sides.into_iter().any(dissector::is_greeting) {
            return Verdict::Certain;
        }
        let whole = probe.stream.is_from_start();
        if whole && probe.to_client.is_empty() && is_login(probe.to_server) {
            return Verdict::Certain;
        }
        if whole && probe.to_server.is_empty() && is_refusal(probe.to_client) {
            return Verdict::Likely;
        }
        // Joined late, or the beginning is not captured.
        let commands = sides.map(look_for_command);
        match commands.into_iter().max() {
            Some(found @ (Verdict::Likely | Verdict::Certain)) => found,
            _ if sides.into_iter().all(may_be_greeting) => Verdict::Unsure,
            _ => commands.into_iter().max().unwrap_or(Verdict::No),
        }
    }

    fn start(&self, stream: &Stream) -> Box<dyn Dissector> {
        Box::new(dissector::Mysql::new(stream))
    }

    fn restore(&self, stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        dissector::Mysql::restore(stream, state).map(|dissector| Box::new(dissector) as _)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<super::robustness::Sample> {
        tests::samples()
    }
}

/// Whether bytes can go on to a handshake: length, sequence number 0, version 10.
fn may_be_greeting(bytes: &[u8]) -> bool {
    const MAX_HANDSHAKE: u64 = 1024;
    let front = match parser::packet(bytes) {
        Front::Length(length) => length <= MAX_HANDSHAKE,
        _ => true,
    };
    front
        && bytes.get(3).is_none_or(|sequence| *sequence == 0)
        && bytes.get(4).is_none_or(|version| *version == 10)
}

/// Whether bytes are a client's first packet, of the protocol of 4.1.
fn is_login(bytes: &[u8]) -> bool {
    let payload = parser::payload(bytes);
    let filler = payload.get(9..28);
    parser::sequence(bytes) == 1
        && matches!(parser::packet(bytes), Front::Length(length) if length <= bytes.len() as u64)
        && filler.is_some_and(|filler| filler.iter().all(|byte| *byte == 0))
        && parser::client_capabilities(payload)
            .is_some_and(|flags| flags & parser::capability::PROTOCOL_41 != 0)
}

/// Whether bytes are an ERR packet in place of a handshake, and nothing more.
fn is_refusal(bytes: &[u8]) -> bool {
    let payload = parser::payload(bytes);
    parser::packet(bytes) == Front::Length(bytes.len() as u64)
        && parser::sequence(bytes) == 0
        && parser::err(payload).is_some_and(|error| {
            // Numbers of the server begin at 1000, those of MariaDB alone at 1900 and 4000.
            (1000..5000).contains(&error.code) && parser::looks_like_text(error.message)
        })
}

/// A command that fills its bytes: SQL is certain, others may be chance.
fn look_for_command(bytes: &[u8]) -> Verdict {
    const MAX_COMMAND: u64 = 1 << 20;
    let length = match parser::packet(bytes) {
        _ if bytes.is_empty() => return Verdict::No,
        Front::Length(length) if length <= MAX_COMMAND => length,
        Front::Length(_) => return Verdict::No,
        _ => return Verdict::Unsure,
    };
    let known = bytes
        .get(4)
        .is_none_or(|command| parser::command_name(*command).is_some());
    if parser::sequence(bytes) != 0 || length <= parser::HEADER as u64 || !known {
        return Verdict::No;
    }
    if length > bytes.len() as u64 {
        let text = matches!(bytes.get(4), None | Some(0x03 | 0x16));
        return match text && parser::looks_like_text(bytes.get(5..).unwrap_or_default()) {
            true => Verdict::Unsure,
            false => Verdict::No,
        };
    }
    if !dissector::is_command(bytes) {
        return Verdict::No;
    }
    match bytes.get(4) {
        Some(0x03 | 0x16) => Verdict::Certain,
        _ => Verdict::Likely,
    }
}

#[cfg(test)]
mod tests;
