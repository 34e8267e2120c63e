//! The columns: one list that writing, reading, pruning and the reference page walk.

use std::fmt::Write;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// UTF-8 text.
    Text,
    /// Microseconds since 1970 in UTC, as table engines show times.
    Time,
}

/// Where a column's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// A path of the item.
    Path(&'static str),
    /// Nanoseconds of the request within its microsecond.
    Nanos,
    /// Nanoseconds from request to response.
    Elapsed,
    /// Microseconds since 1970 of the request.
    Time,
    /// What follows the question mark of the request's URL.
    Query,
    /// Name of the stream in the run that recorded it.
    Stream,
    /// W3C or B3 trace identifier in the request's headers.
    Trace,
    /// The span beside it.
    Span,
    /// The flags beside it.
    Flags,
    /// Identifier of the request in its headers.
    RequestId,
    /// Ordinal in the reel of the packet that completed the item.
    Packet,
    /// First or last frame of the packets part that holds packets of the stream.
    Frame(End),
    /// Whether the JSON of the row lacks something.
    Cut,
    /// Who a side is in the cluster, as JSON.
    Who(&'static str),
    /// A part of the item as JSON.
    Json(&'static str),
}

/// The first or the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    First,
    Last,
}

/// One column of the table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name in the file.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    pub(super) from: Content,
    /// Whether a Bloom filter is kept of it.
    pub has_bloom: bool,
    /// One sentence for people.
    pub doc: &'static str,
}

impl Column {
    /// How many of its units make one of those that queries compare: milliseconds for times,
    /// microseconds for what elapsed.
    pub fn scale(&self) -> i64 {
        match self.from {
            Content::Time | Content::Elapsed => 1000,
            _ => 1,
        }
    }

    /// Path of the item's field that it holds; `None` for what no field is.
    pub fn path(&self) -> Option<&'static str> {
        match self.from {
            Content::Path(path) | Content::Json(path) => Some(path),
            Content::Stream => Some("stream"),
            Content::Time => Some("timestamp"),
            Content::Elapsed => Some("elapsedTime"),
            _ => None,
        }
    }
}

const fn column(name: &'static str, kind: Kind, from: Content, doc: &'static str) -> Column {
    Column {
        name,
        kind,
        from,
        has_bloom: false,
        doc,
    }
}

const fn bloom(name: &'static str, kind: Kind, from: Content, doc: &'static str) -> Column {
    Column {
        has_bloom: true,
        ..column(name, kind, from, doc)
    }
}

use Content::{Json, Path};
use Kind::{Bool, Int, Text, Time};

/// Every column, in file order.
#[rustfmt::skip]
pub static COLUMNS: &[Column] = &[
    column("timestamp", Time, Content::Time, "time of the request"),
    column("timestamp_nanos", Int, Content::Nanos, "nanoseconds of it within the microsecond"),
    column("elapsed_nanos", Int, Content::Elapsed, "nanoseconds from request to response"),
    column("protocol", Text, Path("protocol.name"), "protocol name, shared by related kinds"),
    column("protocol_abbr", Text, Path("protocol.abbr"), "short protocol name"),
    column("protocol_version", Text, Path("protocol.version"), "protocol version"),
    column("transport", Text, Path("protocol.layer4"), "transport layer"),
    column("tls", Bool, Path("tls"), "whether it was decrypted from TLS"),
    column("method", Text, Path("request.method"), "what was asked"),
    bloom("path", Text, Path("request.path"), "path of the request target, without query"),
    column("query", Text, Content::Query, "what follows the question mark of the URL"),
    column("status", Int, Path("response.status"), "status code"),
    column("error_type", Text, Path("error.type"), "dissection, connection, timeout or pair-not-found; null when nothing went wrong"),
    column("error_msg", Text, Path("error.msg"), "what went wrong, one sentence"),
    column("src_ip", Text, Path("src.ip"), "client address"),
    column("src_port", Int, Path("src.port"), "client port"),
    bloom("src_name", Text, Path("src.name"), "client name at the time; empty when unresolved"),
    column("src_namespace", Text, Path("src.namespace"), "client namespace"),
    column("src_mechanism", Text, Path("src.resolutionMechanism"), "how the client's name was found"),
    column("dst_ip", Text, Path("dst.ip"), "server address"),
    column("dst_port", Int, Path("dst.port"), "server port"),
    bloom("dst_name", Text, Path("dst.name"), "server name at the time; empty when unresolved"),
    column("dst_namespace", Text, Path("dst.namespace"), "server namespace"),
    column("dst_mechanism", Text, Path("dst.resolutionMechanism"), "how the server's name was found"),
    column("src_identity", Text, Content::Who("src"), "pod, service and more of the client as JSON; null when the cluster did not tell"),
    column("dst_identity", Text, Content::Who("dst"), "the same of the server"),
    column("request_size", Int, Path("requestSize"), "bytes of the request as captured"),
    column("response_size", Int, Path("responseSize"), "bytes of the response as captured"),
    bloom("trace_id", Text, Content::Trace, "trace identifier in the request's headers (W3C traceparent or B3), lower case"),
    column("span_id", Text, Content::Span, "span identifier beside it"),
    column("trace_flags", Text, Content::Flags, "flags of a W3C traceparent"),
    bloom("request_id", Text, Content::RequestId, "X-Request-Id, X-Correlation-Id or Request-Id, the first of them that is there"),
    bloom("stream", Text, Content::Stream, "name of the stream in the run that recorded it"),
    column("item_index", Int, Path("index"), "ordinal of the item within its stream and reel, from 0"),
    column("packet", Int, Content::Packet, "ordinal in the reel of the packet that completed it"),
    column("frame_first", Int, Content::Frame(End::First), "first zstd frame of the packets that holds packets of the stream"),
    column("frame_last", Int, Content::Frame(End::Last), "last such frame"),
    column("is_cut", Bool, Content::Cut, "whether the JSON lacks bodies or long texts, which the packets hold"),
    column("request", Text, Json("request"), "the request as JSON, without bodies and what follows from other members or columns; null when unseen"),
    column("response", Text, Json("response"), "the response as JSON, likewise; null when unseen"),
    column("data", Text, Json("data"), "payload of items without request and response, as JSON"),
    column("outgoing", Bool, Path("outgoing"), "whether the node that captured it asked, or one of its pods"),
];

/// The column that holds the item's field at `path`.
pub fn column_of(path: &str) -> Option<usize> {
    COLUMNS
        .iter()
        .position(|column| column.path() == Some(path))
}

/// The place of a column in the list.
pub(super) fn place(from: Content) -> usize {
    COLUMNS
        .iter()
        .position(|column| column.from == from)
        .expect("every kind of value that is asked for has a column")
}

/// The schema as Parquet writes it.
pub(super) fn schema() -> String {
    let mut text = "message items {\n".to_owned();
    for column in COLUMNS {
        let (kind, annotation) = match column.kind {
            Kind::Bool => ("boolean", ""),
            Kind::Int => ("int64", ""),
            Kind::Text => ("binary", " (STRING)"),
            Kind::Time => ("int64", " (TIMESTAMP(MICROS,true))"),
        };
        let _ = writeln!(text, "  optional {kind} {}{annotation};", column.name);
    }
    text.push('}');
    text
}
