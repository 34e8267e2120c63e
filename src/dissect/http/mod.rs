//! HTTP/1.0 and HTTP/1.1: requests with their responses, on any port; HTTP/2 is in [`h2`].
//!
//! In: the two directions of a TCP stream. Out: one item an exchange, in the order of the requests;
//! one-sided items say why. Never: what a connection turns into after an upgrade or a CONNECT,
//! which is handed over or goes back to detection. Standards: RFC 9110, RFC 9112, RFC 6265.

mod body;
#[cfg(test)]
mod captures;
mod decode;
mod dissector;
mod exchange;
mod graphql;
pub(super) mod h2;
mod handover;
mod kept;
mod maps;
mod outline;
mod parser;
mod recognise;
mod shape;
#[cfg(test)]
mod tests;
mod websocket;

use self::dissector::Http;
use self::recognise::{Found, Looks};
#[cfg(test)]
use super::robustness::Sample;
use super::{Dissector, Probe, Protocol, Verdict};
use crate::dissect::Stream;
use crate::item::FieldType::{Int, List, Map, Object, Text};
use crate::item::{Columns, Field, FieldType, ProtocolInfo, field};
use crate::packet::Transport;

/// Bytes of a stream joined in its middle that are searched for a message before it is none of ours.
const MAX_PROBED: usize = 64 * 1024;

/// The entry in the list of protocols.
pub(super) struct Http1;

const fn info(version: &'static str, long_name: &'static str) -> ProtocolInfo {
    ProtocolInfo {
        name: "http",
        version,
        abbr: "HTTP",
        long_name,
        macro_name: "http",
        background: "#326de6",
        foreground: "#ffffff",
        font_size: 12,
        reference: "https://www.rfc-editor.org/rfc/rfc9112",
        ports: &["80", "443", "8080"],
        layer4: "tcp",
        priority: 0,
    }
}

static HTTP_1_0: ProtocolInfo = info("1.0", "Hypertext Transfer Protocol -- HTTP/1.0");
static HTTP_1_1: ProtocolInfo = info("1.1", "Hypertext Transfer Protocol -- HTTP/1.1");

impl Protocol for Http1 {
    fn name(&self) -> &'static str {
        "http"
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Tcp]
    }

    fn kinds(&self) -> &'static [&'static ProtocolInfo] {
        static KINDS: [&ProtocolInfo; 3] = [&HTTP_1_1, &HTTP_1_0, &graphql::KINDS[0]];
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
        let (client, server) = (recognise::without_blank(probe.to_server), probe.to_client);
        if recognise::http2_preface(client) {
            return Verdict::No;
        }
        let from_start = probe.stream.is_from_start();
        let looks = match from_start {
            true => vec![recognise::request(client), recognise::response(server)],
            false => vec![
                recognise::request(client),
                recognise::response(server),
                recognise::request(server),
                recognise::response(client),
            ],
        };
        if looks.contains(&Looks::Yes) {
            return Verdict::Certain;
        }
        if !from_start {
            // Joined in its middle: a body may come before the next head.
            let inside = [client, server].iter().any(|bytes| {
                matches!(recognise::find_request(bytes), Found::At(_))
                    || matches!(recognise::find_response(bytes), Found::At(_))
            });
            return match (inside, client.len().max(server.len()) < MAX_PROBED) {
                (true, _) => Verdict::Likely,
                (false, true) => Verdict::Unsure,
                (false, false) => Verdict::No,
            };
        }
        match (recognise::request(client), recognise::response(server)) {
            // A request line that is still open, or that was cut by a snap length.
            (Looks::Maybe, Looks::Maybe) if recognise::begins_request(client) => Verdict::Likely,
            // A server never speaks first, and answers even nonsense with a status line.
            (_, Looks::No) => Verdict::No,
            (Looks::No, _) if client.len() >= MAX_PROBED => Verdict::No,
            _ => Verdict::Unsure,
        }
    }

    fn start(&self, stream: &Stream) -> Box<dyn Dissector> {
        Box::new(Http::new(stream))
    }

    fn restore(&self, _stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        Http::load(state).map(|http| Box::new(http) as Box<dyn Dissector>)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<Sample> {
        tests::samples()
    }
}

const BOOL: FieldType = FieldType::Bool;

const FIELDS: &[Field] = &[
    field("request.method", Text, "request method, such as GET"),
    field(
        "request.url",
        Text,
        "request target as sent, query included",
    ),
    field("request.targetUri", Text, "the same as request.url"),
    field(
        "request.path",
        Text,
        "path of the request target, without query",
    ),
    field(
        "request.pathSegments",
        List,
        "parts of the path between slashes",
    ),
    field(
        "request.httpVersion",
        Text,
        "version of the request, such as HTTP/1.1",
    ),
    field(
        "request.headers",
        Map,
        "header and trailer fields by canonical name, repeated ones joined with a comma",
    ),
    field("request.cookies", Map, "cookies of the request by name"),
    field(
        "request.queryString",
        Map,
        "parameters of the query, decoded; a list where a name is repeated",
    ),
    field("request.headersSize", Int, "always -1"),
    field(
        "request.bodySize",
        Int,
        "bytes of the body as sent, without chunk framing",
    ),
    field(
        "request.postData",
        Object,
        "body of the request; absent without one",
    ),
    field(
        "request.postData.mimeType",
        Text,
        "Content-Type of the request",
    ),
    field("request.postData.params", List, "always empty"),
    field(
        "request.postData.text",
        Text,
        "body of the request, decompressed",
    ),
    field(
        "request.postData.truncated",
        BOOL,
        "true when part of the body is left out",
    ),
    field(
        "response.status",
        Int,
        "status code; 0 when no response was seen",
    ),
    field("response.statusText", Text, "reason phrase of the response"),
    field(
        "response.httpVersion",
        Text,
        "version of the response, such as HTTP/1.1",
    ),
    field(
        "response.headers",
        Map,
        "header and trailer fields by canonical name, repeated ones joined with a comma",
    ),
    field(
        "response.cookies",
        Map,
        "cookies that the response sets, by name",
    ),
    field("response.content", Object, "body of the response"),
    field(
        "response.content.size",
        Int,
        "bytes of the body, decompressed",
    ),
    field(
        "response.content.mimeType",
        Text,
        "Content-Type of the response",
    ),
    field("response.content.encoding", Text, "always base64"),
    field(
        "response.content.text",
        Text,
        "body of the response, decompressed, in base64; absent when empty",
    ),
    field(
        "response.content.truncated",
        BOOL,
        "true when part of the body is left out",
    ),
    field("response.redirectURL", Text, "Location of the response"),
    field("response.headersSize", Int, "always -1"),
    field(
        "response.bodySize",
        Int,
        "bytes of the body as sent, without chunk framing",
    ),
];
