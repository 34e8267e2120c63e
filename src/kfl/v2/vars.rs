//! The variables of the second dialect, one entry each (reference section 12.6).
//!
//! In: nothing. Out: [`VARS`], which the checker, evaluation, the first dialect's fallback and the
//! reference page read. Never: code that reads items; that is [`read`](super::read)'s.

use How::*;
use Type::*;

/// One variable.
#[derive(Debug, PartialEq, Eq)]
pub struct Var {
    /// The name in queries.
    pub name: &'static str,
    pub(crate) ty: Type,
    /// The flag of the protocol it belongs to; `tls|tlsx` belongs to both.
    pub owner: Option<&'static str>,
    pub(crate) how: How,
    /// What it holds, for people.
    pub doc: &'static str,
}

impl Var {
    /// Its type as the language writes it; `map` stands for `map(string, string)`.
    pub fn type_name(&self) -> &'static str {
        match self.ty {
            Text => "string",
            Int => "int",
            Bool => "bool",
            Time => "timestamp",
            Type::Bytes => "bytes",
            List => "list(string)",
            Map(_) => "map",
        }
    }

    /// Whether no item has it, so that it always reads as empty.
    pub fn is_absent(&self) -> bool {
        self.how == How::Absent
    }
}

/// The static type of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Int,
    Bool,
    Time,
    Bytes,
    /// A list of texts.
    List,
    /// Texts by text.
    Map(Keys),
}

/// How keys of a map are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// As they are; a missing one is an error.
    Exact,
    /// As they are; a missing one reads as the empty text.
    Labels,
    /// Letter case does not matter; a missing one is an error.
    Headers,
}

/// What lists of both peers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peers {
    Dns,
    Namespace,
    Pod,
    Service,
}

/// How a variable is read from an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// A path; `*` stands for every element.
    Path(&'static str),
    /// A member of the request, else of the response, else of the payload.
    Parts(&'static str),
    /// The same in upper case.
    Upper(&'static str),
    /// The same with dots for blanks.
    Dotted(&'static str),
    /// Whether `protocol.name` is this.
    Named(&'static str),
    /// Whether `protocol.abbr` is this and the version begins so.
    Abbr(&'static str, Option<&'static str>),
    /// Whether `protocol.name` and `protocol.layer4` are these.
    Layer4(&'static str, &'static str),
    /// The protocol's name in section 12.6.1.
    Protocol,
    /// Whether a side of the exchange was seen.
    Present(&'static str),
    /// Whether `sender` of the request is this.
    Sender(&'static str),
    /// A member of the request when its `sender` is this.
    SentBy(&'static str, &'static str),
    /// Microseconds from the item's milliseconds.
    Elapsed,
    Namespace(&'static str),
    Pod(&'static str),
    Service(&'static str),
    ServiceNamespace(&'static str),
    DnsName(&'static str),
    /// The process at the local peer, or at the other one. Local is the destination when its process is
    /// known, else the source.
    Process(bool),
    Both(Peers),
    /// `request.httpVersion`, with `HTTP/2` for `HTTP/2.0`.
    HttpVersion,
    GrpcMethod,
    GrpcStatus,
    DnsAnswers,
    DnsStatus,
    /// True of every item.
    Always,
    /// No item has it: it reads as its default, and queries that use it are warned about.
    Absent,
}

/// Every variable.
#[rustfmt::skip]
pub static VARS: &[Var] = &[
    // Network
    var("src.ip", Text, None, Path("src.ip"), "source IP, textual"),
    var("dst.ip", Text, None, Path("dst.ip"), "destination IP, textual"),
    var("src.port", Int, None, Path("src.port"), "source port"),
    var("dst.port", Int, None, Path("dst.port"), "destination port"),
    var("protocol", Text, None, Protocol, "name of the dissected protocol: HTTP, GRPC, DNS, ..."),
    // Kubernetes identity
    var("src.name", Text, None, Path("src.name"), "summary name of the source: first non-empty of pod, service, DNS name, process"),
    var("dst.name", Text, None, Path("dst.name"), "same for the destination"),
    var("src.namespace", Text, None, Namespace("src"), "namespace of the source, else internal or public by its address"),
    var("dst.namespace", Text, None, Namespace("dst"), "same for the destination"),
    var("src.pod.name", Text, None, Pod("src"), "source pod; falls back to the service name"),
    var("dst.pod.name", Text, None, Pod("dst"), "destination pod; falls back to the service name"),
    var("src.pod.namespace", Text, None, Namespace("src"), "source pod namespace; falls back to service namespace, then internal/public"),
    var("dst.pod.namespace", Text, None, Namespace("dst"), "same for the destination"),
    var("src.service.name", Text, None, Service("src"), "source service"),
    var("dst.service.name", Text, None, Service("dst"), "destination service"),
    var("src.service.namespace", Text, None, ServiceNamespace("src"), "source service namespace"),
    var("dst.service.namespace", Text, None, ServiceNamespace("dst"), "destination service namespace"),
    var("src.dns", Text, None, DnsName("src"), "DNS name last seen for the source IP"),
    var("dst.dns", Text, None, DnsName("dst"), "DNS name last seen for the destination IP"),
    var("dns_resolutions", List, None, Both(Peers::Dns), "DNS names of both peers, de-duplicated"),
    var("namespaces", List, None, Both(Peers::Namespace), "all namespaces of both peers, pod and service, de-duplicated"),
    var("pods", List, None, Both(Peers::Pod), "all pod names of both peers"),
    var("services", List, None, Both(Peers::Service), "all service names of both peers"),
    var("node", Map(Keys::Exact), None, Path("node"), "node[\"name\"], node[\"ip\"]"),
    var("node_name", Text, None, Path("node.name"), "node that captured the entry"),
    var("node_ip", Text, None, Path("node.ip"), "IP of that node"),
    var("local_node_name", Text, None, Absent, "node of the local peer"),
    var("remote_node_name", Text, None, Absent, "node of the remote peer"),
    var("local_labels", Map(Keys::Labels), None, Absent, "labels of the local peer; a missing key reads as \"\""),
    var("remote_labels", Map(Keys::Labels), None, Absent, "labels of the remote peer; a missing key reads as \"\""),
    var("local_annotations", Map(Keys::Labels), None, Absent, "annotations of the local peer; a missing key reads as \"\""),
    var("remote_annotations", Map(Keys::Labels), None, Absent, "annotations of the remote peer; a missing key reads as \"\""),
    var("local_process_name", Text, None, Process(true), "process name at the local peer"),
    var("remote_process_name", Text, None, Process(false), "process name at the remote peer"),
    var("local_resolution_status", Text, None, Absent, "\"\" resolved, no_node_mapping, rpc_error, rpc_empty, cache_miss, queue_full"),
    var("remote_resolution_status", Text, None, Absent, "same values"),
    // Identity and metadata
    var("id", Int, None, Absent, "entry identifier, unique on its node"),
    var("node_id", Text, None, Absent, "identifier of the node"),
    var("index", Int, None, Path("index"), "position of the entry in its stream"),
    var("stream", Text, None, Path("stream"), "stream identifier, hex"),
    var("timestamp", Time, None, Path("timestamp"), "time of the entry (UTC)"),
    var("elapsed_time", Int, None, Elapsed, "request to response latency, microseconds"),
    var("worker", Text, None, Path("worker"), "identifier of the capturing worker"),
    var("conn_id", Int, None, Absent, "L4 connection this entry belongs to (0: none)"),
    var("flow_id", Int, None, Absent, "L4 flow this entry belongs to (0: none)"),
    var("has_pcap", Bool, None, Always, "packets of the entry can be exported"),
    var("capture", Map(Keys::Exact), None, Path("capture"), "capture[\"source\"], capture[\"backend\"]"),
    var("capture_source", Text, None, Path("capture.source"), "unspecified, af_packet, ebpf, ebpf_tls"),
    var("capture_backend", Text, None, Path("capture.backend"), "af_packet or ebpf"),
    var("capture_source_code", Int, None, Absent, "0 unspecified, 1 af_packet, 2 ebpf, 3 ebpf_tls"),
    var("tunnel_type", Text, None, Path("tunnel.type"), "tunnel that the packets came in: vxlan, geneve, gre, erspan, ip-in-ip, gtp-u, mpls, pppoe"),
    var("tunnel_id", Int, None, Path("tunnel.id"), "network identifier, key or label of that tunnel"),
    var("tunnel_src_ip", Text, None, Path("tunnel.src.ip"), "outer address on the side of the source"),
    var("tunnel_dst_ip", Text, None, Path("tunnel.dst.ip"), "outer address on the side of the destination"),
    // Protocol flags
    var("http", Bool, None, Named("http"), "HTTP/1.x or HTTP/2, also true on gRPC and GraphQL entries"),
    var("grpc", Bool, None, Abbr("gRPC", None), "gRPC (HTTP/2 sub-protocol)"),
    var("gql", Bool, None, Abbr("GQL", None), "GraphQL over HTTP/1 or HTTP/2"),
    var("gqlv1", Bool, None, Abbr("GQL", Some("1")), "GraphQL over HTTP/1.x"),
    var("gqlv2", Bool, None, Abbr("GQL", Some("2")), "GraphQL over HTTP/2"),
    var("ws", Bool, None, Named("ws"), "WebSocket message"),
    var("dns", Bool, None, Named("dns"), "DNS"),
    var("tls", Bool, None, Path("tls"), "alias of capture_source == \"ebpf_tls\": decrypted TLS, of any L7 protocol"),
    var("tlsx", Bool, None, Named("tls"), "TLS handshake entry (ClientHello / ServerHello)"),
    var("tcp", Bool, None, Named("tcp"), "entry of the raw TCP dissector, also TCP errors"),
    var("udp", Bool, None, Named("udp"), "entry of the raw UDP dissector"),
    var("sctp", Bool, None, Named("sctp"), "SCTP"),
    var("icmp", Bool, None, Named("icmp"), "ICMP or ICMPv6"),
    var("redis", Bool, None, Named("redis"), "Redis"),
    var("kafka", Bool, None, Named("kafka"), "Kafka"),
    var("amqp", Bool, None, Named("amqp"), "AMQP 0-9-1"),
    var("ldap", Bool, None, Named("ldap"), "LDAP"),
    var("radius", Bool, None, Named("radius"), "RADIUS"),
    var("diameter", Bool, None, Named("diameter"), "Diameter"),
    var("mongodb", Bool, None, Named("mongodb"), "MongoDB"),
    var("mysql", Bool, None, Named("mysql"), "MySQL"),
    var("postgresql", Bool, None, Named("postgresql"), "PostgreSQL"),
    var("conn", Bool, None, Named("conn"), "L4 connection entry"),
    var("tcp_conn", Bool, None, Layer4("conn", "tcp"), "L4 connection over TCP"),
    var("udp_conn", Bool, None, Layer4("conn", "udp"), "L4 connection over UDP"),
    var("flow", Bool, None, Named("flow"), "L4 flow entry"),
    var("tcp_flow", Bool, None, Layer4("flow", "tcp"), "L4 flow over TCP"),
    var("udp_flow", Bool, None, Layer4("flow", "udp"), "L4 flow over UDP"),
    // HTTP
    var("method", Text, Some("http"), Path("request.method"), "request method"),
    var("url", Text, Some("http"), Path("request.url"), "path and query string as sent"),
    var("path", Text, Some("http"), Path("request.path"), "path without the query string"),
    var("status_code", Int, Some("http"), Path("response.status"), "response status; beside dns the DNS response code"),
    var("http_version", Text, Some("http"), HttpVersion, "HTTP/1.0, HTTP/1.1, HTTP/2"),
    var("query_string", Map(Keys::Exact), Some("http"), Path("request.queryString"), "decoded query parameters; repeated names joined with ,"),
    var("request.headers", Map(Keys::Headers), Some("http"), Path("request.headers"), "request headers; names are case-insensitive, stored lower case"),
    var("response.headers", Map(Keys::Headers), Some("http"), Path("response.headers"), "response headers, trailers merged in"),
    var("request.cookies", Map(Keys::Exact), Some("http"), Path("request.cookies"), "cookies sent"),
    var("response.cookies", Map(Keys::Exact), Some("http"), Path("response.cookies"), "cookies set, name to value"),
    var("request_headers_size", Int, Some("http"), Path("request.headersSize"), "bytes"),
    var("request_body_size", Int, Some("http"), Path("request.bodySize"), "bytes"),
    var("response_headers_size", Int, Some("http"), Path("response.headersSize"), "bytes"),
    var("response_body_size", Int, Some("http"), Path("response.bodySize"), "bytes"),
    var("request.method", Text, Some("http"), Path("request.method"), "alias of method"),
    var("request.path", Text, Some("http"), Path("request.path"), "alias of path"),
    var("request.url", Text, Some("http"), Path("request.url"), "alias of url"),
    var("response.status", Int, Some("http"), Path("response.status"), "alias of status_code"),
    // gRPC
    var("grpc_method", Text, Some("grpc"), GrpcMethod, "last segment of :path"),
    var("grpc_status", Int, Some("grpc"), GrpcStatus, "grpc-status trailer or header; 0 when absent on a gRPC entry, -1 on any other entry"),
    // DNS
    var("dns_questions", List, Some("dns"), Path("request.questions.*.name"), "names asked"),
    var("dns_answers", List, Some("dns"), DnsAnswers, "answers, as text (address, name or data)"),
    var("dns_question_types", List, Some("dns"), Path("request.questions.*.type"), "A, AAAA, NS, CNAME, SOA, MX, TXT, SRV, PTR, ANY, else TYPE<n>"),
    var("dns_request", Bool, Some("dns"), Present("request"), "a request is present"),
    var("dns_response", Bool, Some("dns"), Present("response"), "a response is present"),
    var("dns_request_length", Int, Some("dns"), Path("requestSize"), "bytes"),
    var("dns_response_length", Int, Some("dns"), Path("responseSize"), "bytes"),
    var("dns_total_size", Int, Some("dns"), Path("size"), "request + response"),
    // TLS
    var("tls_summary", Text, Some("tls|tlsx"), Parts("summary"), "handshake summary"),
    var("tls_info", Text, Some("tls|tlsx"), Path("response.info"), "connection details"),
    var("tls_request_size", Int, Some("tls|tlsx"), Path("requestSize"), "bytes"),
    var("tls_response_size", Int, Some("tls|tlsx"), Path("responseSize"), "bytes"),
    var("tls_total_size", Int, Some("tls|tlsx"), Path("size"), "request + response"),
    var("tlsx_sni", Text, Some("tlsx"), Path("request.sni"), "server name of the ClientHello"),
    var("tlsx_cipher_suite", Int, Some("tlsx"), Path("response.cipherSuiteCode"), "suite chosen in the ServerHello"),
    var("tlsx_cipher_suites", List, Some("tlsx"), Path("request.cipherSuites"), "suite names offered"),
    var("tlsx_alpn", Text, Some("tlsx"), Path("response.alpn"), "ALPN protocol chosen"),
    var("tlsx_version", Int, Some("tlsx"), Path("response.versionCode"), "version chosen, wire value, e.g. 772 = TLS 1.3"),
    var("tlsx_summary", Text, Some("tlsx"), Parts("summary"), "SNI, ALPN or suite name"),
    var("tlsx_info", Text, Some("tlsx"), Parts("type"), "ClientHello or ServerHello"),
    var("tls_sni", Text, Some("tlsx"), Path("request.sni"), "alias of tlsx_sni"),
    var("tls_cipher_suite", Int, Some("tlsx"), Path("response.cipherSuiteCode"), "alias of tlsx_cipher_suite"),
    var("tls_cipher_suites", List, Some("tlsx"), Path("request.cipherSuites"), "alias of tlsx_cipher_suites"),
    var("tls_alpn", Text, Some("tlsx"), Path("response.alpn"), "alias of tlsx_alpn"),
    var("tls_version", Int, Some("tlsx"), Path("response.versionCode"), "alias of tlsx_version"),
    // TCP, UDP, SCTP, ICMP
    var("tcp_method", Text, Some("tcp"), Parts("method"), "method text of the entry"),
    var("tcp_payload", Bytes, Some("tcp"), Parts("payload"), "raw payload"),
    var("tcp_error_type", Text, Some("tcp"), Path("error.type"), "error type, \"\" if none"),
    var("tcp_error_message", Text, Some("tcp"), Path("error.msg"), "error text, \"\" if none"),
    var("udp_length", Int, Some("udp"), Parts("length"), "datagram length"),
    var("udp_checksum", Int, Some("udp"), Parts("checksum"), "checksum"),
    var("udp_payload", Bytes, Some("udp"), Parts("payload"), "raw payload"),
    var("sctp_checksum", Int, Some("sctp"), Parts("checksum"), "checksum"),
    var("sctp_chunk_type", Text, Some("sctp"), Parts("chunkType"), "chunk type"),
    var("sctp_length", Int, Some("sctp"), Parts("length"), "chunk length"),
    var("icmp_type", Text, Some("icmp"), Parts("type"), "type and code text"),
    var("icmp_version", Int, Some("icmp"), Parts("version"), "4 or 6"),
    var("icmp_length", Int, Some("icmp"), Parts("length"), "message length"),
    // WebSocket
    var("ws_opcode", Text, Some("ws"), Parts("opcode"), "text, binary, close, ping, pong"),
    var("ws_request", Bool, Some("ws"), Sender("client"), "client to server"),
    var("ws_response", Bool, Some("ws"), Sender("server"), "server to client"),
    var("ws_request_payload_data", Text, Some("ws"), SentBy("client", "payload"), "payload text, truncated"),
    var("ws_request_payload_length", Int, Some("ws"), SentBy("client", "length"), "bytes"),
    var("ws_response_payload_length", Int, Some("ws"), SentBy("server", "length"), "bytes"),
    // Redis
    var("redis_type", Text, Some("redis"), Upper("command"), "command verb, upper case"),
    var("redis_command", Text, Some("redis"), Path("request.commandLine"), "full command line"),
    var("redis_key", Text, Some("redis"), Parts("key"), "key, cut at 64 bytes"),
    var("redis_request_size", Int, Some("redis"), Path("requestSize"), "bytes, 0 if absent"),
    var("redis_response_size", Int, Some("redis"), Path("responseSize"), "bytes, 0 if absent"),
    var("redis_total_size", Int, Some("redis"), Path("size"), "request + response"),
    // Kafka
    var("kafka_api_key", Int, Some("kafka"), Parts("apiKey"), "numeric API key"),
    var("kafka_api_key_name", Text, Some("kafka"), Upper("apiKeyName"), "PRODUCE, FETCH, ..."),
    var("kafka_client_id", Text, Some("kafka"), Path("request.clientID"), "client id"),
    var("kafka_size", Int, Some("kafka"), Parts("size"), "message size, request first"),
    var("kafka_request_summary", Text, Some("kafka"), Parts("summary"), "topics or summary"),
    var("kafka_request", Bool, Some("kafka"), Present("request"), "a request is present"),
    var("kafka_response", Bool, Some("kafka"), Present("response"), "a response is present"),
    var("kafka_request_size", Int, Some("kafka"), Path("requestSize"), "bytes, 0 if absent"),
    var("kafka_response_size", Int, Some("kafka"), Path("responseSize"), "bytes, 0 if absent"),
    // AMQP
    var("amqp_method", Text, Some("amqp"), Dotted("method"), "basic.publish, channel.open, ..."),
    var("amqp_summary", Text, Some("amqp"), Parts("summary"), "summary"),
    var("amqp_request", Bool, Some("amqp"), Present("request"), "a request is present"),
    var("amqp_response", Bool, Some("amqp"), Present("response"), "a response is present"),
    var("amqp_request_length", Int, Some("amqp"), Path("requestSize"), "bytes, 0 if absent"),
    var("amqp_response_length", Int, Some("amqp"), Path("responseSize"), "bytes, 0 if absent"),
    var("amqp_total_size", Int, Some("amqp"), Path("size"), "request + response"),
    // LDAP
    var("ldap_type", Text, Some("ldap"), Parts("operation"), "operation, request first"),
    var("ldap_summary", Text, Some("ldap"), Parts("summary"), "summary"),
    var("ldap_request", Bool, Some("ldap"), Present("request"), "a request is present"),
    var("ldap_response", Bool, Some("ldap"), Present("response"), "a response is present"),
    var("ldap_request_length", Int, Some("ldap"), Path("requestSize"), "bytes, 0 if absent"),
    var("ldap_response_length", Int, Some("ldap"), Path("responseSize"), "bytes, 0 if absent"),
    var("ldap_total_size", Int, Some("ldap"), Path("size"), "request + response"),
    // RADIUS
    var("radius_code", Int, Some("radius"), Parts("code"), "code, request first"),
    var("radius_code_name", Text, Some("radius"), Parts("codeName"), "Access-Request, ..."),
    var("radius_request_authenticator", Text, Some("radius"), Path("request.authenticator"), "hex"),
    var("radius_request", Bool, Some("radius"), Present("request"), "a request is present"),
    var("radius_response", Bool, Some("radius"), Present("response"), "a response is present"),
    var("radius_request_length", Int, Some("radius"), Path("requestSize"), "bytes, 0 if absent"),
    var("radius_response_length", Int, Some("radius"), Path("responseSize"), "bytes, 0 if absent"),
    var("radius_total_size", Int, Some("radius"), Path("size"), "request + response"),
    // Diameter
    var("diameter_method", Text, Some("diameter"), Parts("method"), "command, request first"),
    var("diameter_summary", Text, Some("diameter"), Parts("summary"), "summary"),
    var("diameter_request", Bool, Some("diameter"), Present("request"), "a request is present"),
    var("diameter_response", Bool, Some("diameter"), Present("response"), "a response is present"),
    var("diameter_request_length", Int, Some("diameter"), Path("requestSize"), "bytes, 0 if absent"),
    var("diameter_response_length", Int, Some("diameter"), Path("responseSize"), "bytes, 0 if absent"),
    var("diameter_total_size", Int, Some("diameter"), Path("size"), "request + response"),
    // MongoDB
    var("mongodb_command", Text, Some("mongodb"), Parts("command"), "find, insert, ..."),
    var("mongodb_database", Text, Some("mongodb"), Parts("database"), "database"),
    var("mongodb_collection", Text, Some("mongodb"), Parts("collection"), "collection"),
    var("mongodb_opcode", Text, Some("mongodb"), Parts("opcode"), "wire opcode name"),
    var("mongodb_success", Bool, Some("mongodb"), Parts("success"), "no error"),
    var("mongodb_error_code", Int, Some("mongodb"), Parts("errorCode"), "error code"),
    var("mongodb_error_message", Text, Some("mongodb"), Parts("errorMessage"), "error text"),
    var("mongodb_error_code_name", Text, Some("mongodb"), Parts("errorCodeName"), "error name"),
    var("mongodb_request_size", Int, Some("mongodb"), Path("requestSize"), "bytes, 0 if absent"),
    var("mongodb_response_size", Int, Some("mongodb"), Path("responseSize"), "bytes, 0 if absent"),
    var("mongodb_total_size", Int, Some("mongodb"), Path("size"), "request + response"),
    // MySQL
    var("mysql_command", Text, Some("mysql"), Parts("command"), "COM_QUERY, COM_STMT_PREPARE, ..."),
    var("mysql_query", Text, Some("mysql"), Parts("query"), "SQL text"),
    var("mysql_database", Text, Some("mysql"), Parts("database"), "schema in use"),
    var("mysql_statement_id", Int, Some("mysql"), Parts("statementId"), "prepared statement"),
    var("mysql_success", Bool, Some("mysql"), Parts("success"), "OK, not ERR"),
    var("mysql_error_code", Int, Some("mysql"), Parts("errorCode"), "error number"),
    var("mysql_error_message", Text, Some("mysql"), Parts("errorMessage"), "error text"),
    var("mysql_request_size", Int, Some("mysql"), Path("requestSize"), "bytes, 0 if absent"),
    var("mysql_response_size", Int, Some("mysql"), Path("responseSize"), "bytes, 0 if absent"),
    var("mysql_total_size", Int, Some("mysql"), Path("size"), "request + response"),
    // PostgreSQL
    var("postgresql_command", Text, Some("postgresql"), Parts("command"), "message or command tag"),
    var("postgresql_query", Text, Some("postgresql"), Parts("query"), "SQL text"),
    var("postgresql_database", Text, Some("postgresql"), Parts("database"), "database"),
    var("postgresql_user", Text, Some("postgresql"), Parts("user"), "user"),
    var("postgresql_success", Bool, Some("postgresql"), Parts("success"), "no ErrorResponse"),
    var("postgresql_error_code", Text, Some("postgresql"), Parts("errorCode"), "SQLSTATE, a string"),
    var("postgresql_error_message", Text, Some("postgresql"), Parts("errorMessage"), "error text"),
    var("postgresql_request_size", Int, Some("postgresql"), Path("requestSize"), "bytes, 0 if absent"),
    var("postgresql_response_size", Int, Some("postgresql"), Path("responseSize"), "bytes, 0 if absent"),
    var("postgresql_total_size", Int, Some("postgresql"), Path("size"), "request + response"),
    // L4 connections
    var("conn_state", Text, Some("conn"), Parts("state"), "open, in_progress, closed"),
    var("conn_local_pkts", Int, Some("conn"), Parts("localPkts"), "packets from the local peer"),
    var("conn_local_bytes", Int, Some("conn"), Parts("localBytes"), "bytes from the local peer"),
    var("conn_remote_pkts", Int, Some("conn"), Parts("remotePkts"), "packets from the remote peer"),
    var("conn_remote_bytes", Int, Some("conn"), Parts("remoteBytes"), "bytes from the remote peer"),
    var("conn_l7_detected", List, Some("conn"), Parts("l7Detected"), "L7 protocols seen"),
    var("conn_group_id", Int, Some("conn"), Parts("groupId"), "group identifier"),
    // L4 flows
    var("flow_state", Text, Some("flow"), Parts("state"), "open, in_progress, closed"),
    var("flow_local_pkts", Int, Some("flow"), Parts("localPkts"), "packets from the local peer"),
    var("flow_local_bytes", Int, Some("flow"), Parts("localBytes"), "bytes from the local peer"),
    var("flow_remote_pkts", Int, Some("flow"), Parts("remotePkts"), "packets from the remote peer"),
    var("flow_remote_bytes", Int, Some("flow"), Parts("remoteBytes"), "bytes from the remote peer"),
    var("flow_l7_detected", List, Some("flow"), Parts("l7Detected"), "L7 protocols seen"),
    var("flow_group_id", Int, Some("flow"), Parts("groupId"), "group identifier"),
    var("flow_local_pps", Int, Some("flow"), Parts("localPps"), "packets per second"),
    var("flow_local_bps", Int, Some("flow"), Parts("localBps"), "bytes per second"),
    var("flow_remote_pps", Int, Some("flow"), Parts("remotePps"), "packets per second"),
    var("flow_remote_bps", Int, Some("flow"), Parts("remoteBps"), "bytes per second"),
];

/// What `status_code` and `response.status` mean beside `dns` (section 12.5).
pub(crate) static DNS_STATUS: Var = Var {
    name: "status_code",
    ty: Int,
    owner: Some("dns"),
    how: DnsStatus,
    doc: "DNS response code",
};

/// The variable called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Var> {
    VARS.iter().find(|var| var.name == name)
}

const fn var(
    name: &'static str,
    ty: Type,
    owner: Option<&'static str>,
    how: How,
    doc: &'static str,
) -> Var {
    Var {
        name,
        ty,
        owner,
        how,
        doc,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_flags_and_names_are_unique() {
        for (at, var) in VARS.iter().enumerate() {
            assert!(
                VARS[..at].iter().all(|other| other.name != var.name),
                "{}",
                var.name
            );
            for owner in var.owner.into_iter().flat_map(|owner| owner.split('|')) {
                assert!(
                    find(owner).is_some_and(|flag| flag.ty == Bool),
                    "{}",
                    var.name
                );
            }
        }
        assert!(VARS.len() > 200);
    }
}
