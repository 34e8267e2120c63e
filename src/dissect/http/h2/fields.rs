//! Fields of HTTP/2 and gRPC items, for filters, index and reference pages.

use crate::item::FieldType::{Bool, Int, List, Map, Object, Text};
use crate::item::{Field, field};

/// All of them.
#[rustfmt::skip]
pub(super) const FIELDS: &[Field] = &[
    field("request.method", Text, "request method, such as GET"),
    field("request.url", Text, "request target as sent, query included"),
    field("request.targetUri", Text, "the same as request.url"),
    field("request.path", Text, "path of the request target, without query"),
    field("request.pathSegments", List, "parts of the path between slashes"),
    field("request.httpVersion", Text, "HTTP/2.0, or HTTP/1.1 of a request that was upgraded"),
    field("request.headers", Map, "header fields in lower case, pseudo-header fields and trailers among them; names and values that were sent where nobody captured them are `<unknown>`"),
    field("request.cookies", Map, "cookies of the request by name"),
    field("request.queryString", Map, "parameters of the query, decoded; a list where a name is repeated"),
    field("request.headersSize", Int, "always -1"),
    field("request.bodySize", Int, "bytes of the body as sent, without framing"),
    field("request.postData", Object, "body of the request; absent without one"),
    field("request.postData.mimeType", Text, "Content-Type of the request"),
    field("request.postData.params", List, "always empty"),
    field("request.postData.text", Text, "body of the request, decompressed; of gRPC in base64"),
    field("request.postData.truncated", Bool, "true when part of the body is left out"),
    field("request.pushed", Bool, "true when the server promised the request (PUSH_PROMISE); otherwise absent"),
    field("request.grpc", Object, "the call; absent outside gRPC"),
    field("request.grpc.service", Text, "service with its package, such as shop.Cart"),
    field("request.grpc.method", Text, "method of the service"),
    field("request.grpc.messages", List, "messages with compressed, size as sent, data in base64 and decompressed, message (by the names of their descriptor) or fields (by field numbers, when there is none), and truncated when cut"),
    field("response.status", Int, "status code; 0 when no response was seen"),
    field("response.statusText", Text, "reason phrase; HTTP/2 has none"),
    field("response.httpVersion", Text, "`HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`"),
    field("response.headers", Map, "header fields in lower case, pseudo-header fields and trailers among them; names and values that were sent where nobody captured them are `<unknown>`"),
    field("response.cookies", Map, "cookies that the response sets, by name"),
    field("response.content", Object, "body of the response"),
    field("response.content.size", Int, "bytes of the body, decompressed"),
    field("response.content.mimeType", Text, "Content-Type of the response"),
    field("response.content.encoding", Text, "always base64"),
    field("response.content.text", Text, "body of the response, decompressed, in base64; absent when empty"),
    field("response.content.truncated", Bool, "true when part of the body is left out"),
    field("response.redirectURL", Text, "Location of the response"),
    field("response.headersSize", Int, "always -1"),
    field("response.bodySize", Int, "bytes of the body as sent, without framing"),
    field("response.grpc", Object, "how the call ended; absent outside gRPC"),
    field("response.grpc.status", Int, "status code of the call; absent when none was seen"),
    field("response.grpc.statusName", Text, "its name, such as NOT_FOUND; empty when it has none"),
    field("response.grpc.message", Text, "what went wrong, decoded"),
    field("response.grpc.messages", List, "messages with compressed, size as sent, data in base64 and decompressed, message (by the names of their descriptor) or fields (by field numbers, when there is none), and truncated when cut"),
];
