//! Values of fields and variables that have only so many.
//!
//! In: nothing. Out: [`CLOSED`], which completion and the reference page read. Never: a check;
//! traffic may hold what no standard lists.

/// A set of values.
#[derive(Debug)]
pub struct Closed {
    /// Fields and variables that hold one of them.
    pub names: &'static [&'static str],
    /// The values, each with what it means.
    pub values: &'static [(&'static str, &'static str)],
}

/// Every closed set. Protocol names come from the schema.
#[rustfmt::skip]
pub static CLOSED: &[Closed] = &[
    Closed {
        names: &["method", "request.method"],
        values: &[
            ("GET", "asks for a representation"), ("HEAD", "as GET, without the body"), ("POST", "hands data over"),
            ("PUT", "replaces a resource"), ("PATCH", "changes a part"), ("DELETE", "removes a resource"),
            ("CONNECT", "opens a tunnel"), ("OPTIONS", "asks what is possible"), ("TRACE", "loops the request back"),
        ],
    },
    Closed {
        names: &["http_version", "request.httpVersion"],
        values: &[("HTTP/1.0", "RFC 1945"), ("HTTP/1.1", "RFC 9112"), ("HTTP/2", "RFC 9113")],
    },
    Closed {
        names: &["dns_question_types", "request.questions.type"],
        values: &[
            ("A", "IPv4 address"), ("AAAA", "IPv6 address"), ("NS", "name server"), ("CNAME", "another name"),
            ("SOA", "start of a zone"), ("MX", "mail server"), ("TXT", "text"), ("SRV", "service"),
            ("PTR", "name of an address"), ("ANY", "whatever there is"),
        ],
    },
    Closed {
        names: &["response.code"],
        values: &[
            ("No Error", "answered"), ("Format Error", "the query was not understood"),
            ("Server Failure", "the server could not answer"), ("Non-Existent Domain", "there is no such name"),
            ("Not Implemented", "this kind of query is not known"), ("Query Refused", "the server would not answer"),
        ],
    },
    Closed {
        names: &["error.type"],
        values: &[
            ("dissection", "the bytes are against the protocol"), ("connection", "the connection broke"),
            ("timeout", "nothing came in time"), ("pair-not-found", "the other side was not seen"),
        ],
    },
    Closed {
        names: &["tcp_error_type"],
        values: &[
            ("dissection", "the bytes are against the protocol"), ("connection", "the connection broke"),
            ("timeout", "nothing came in time"),
        ],
    },
    Closed {
        names: &["capture_source"],
        values: &[
            ("unspecified", "not known"), ("af_packet", "from the interface"), ("ebpf", "from the kernel"),
            ("ebpf_tls", "decrypted in a TLS library"),
        ],
    },
    Closed {
        names: &["capture_backend"],
        values: &[("af_packet", "from the interface"), ("ebpf", "from the kernel")],
    },
    Closed {
        names: &["ws_opcode"],
        values: &[
            ("text", "a text message"), ("binary", "a binary message"), ("close", "the end"), ("ping", "a question"),
            ("pong", "its answer"),
        ],
    },
    Closed {
        names: &["conn_state", "flow_state"],
        values: &[("open", "just begun"), ("in_progress", "going on"), ("closed", "over")],
    },
    Closed {
        names: &["tlsx_info", "tls_info"],
        values: &[("ClientHello", "what the client offers"), ("ServerHello", "what the server chose")],
    },
    Closed {
        names: &["kafka_api_key_name"],
        values: &[
            ("PRODUCE", "records are written"), ("FETCH", "records are read"), ("METADATA", "topics and brokers"),
            ("LISTOFFSETS", "positions are asked for"), ("APIVERSIONS", "what the broker can"),
            ("CREATETOPICS", "topics are made"), ("DELETETOPICS", "topics are removed"),
        ],
    },
    Closed {
        names: &["request.apiKeyName"],
        values: &[
            ("Produce", "records are written"), ("Fetch", "records are read"), ("Metadata", "topics and brokers"),
            ("ListOffsets", "positions are asked for"), ("ApiVersions", "what the broker can"),
            ("CreateTopics", "topics are made"), ("DeleteTopics", "topics are removed"),
        ],
    },
];

/// The values that the field or variable called `name` may have.
pub(crate) fn values(name: &str) -> &'static [(&'static str, &'static str)] {
    let found = CLOSED.iter().find(|closed| closed.names.contains(&name));
    found.map_or(&[], |closed| closed.values)
}

/// Names of protocols as the second dialect's `protocol` has them (reference section 12.6.1).
pub(crate) const PROTOCOLS: &[&str] = &[
    "HTTP",
    "GRPC",
    "GQL",
    "WS",
    "DNS",
    "TLSX",
    "TCP",
    "UDP",
    "SCTP",
    "ICMP",
    "REDIS",
    "KAFKA",
    "AMQP",
    "LDAP",
    "RADIUS",
    "DIAMETER",
    "MONGODB",
    "MYSQL",
    "POSTGRESQL",
    "CONN",
    "FLOW",
];
