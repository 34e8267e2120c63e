//! Reading the second dialect's variables from items (reference sections 12.5 and 12.6).
//!
//! In: an item in any form, or an object that holds variables by name. Out: the value with the
//! variable's type; the type's default when there is none. Never: an error.

use std::borrow::Cow;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;

use super::vars::{How, Peers, Type, Var, find};
use crate::item::{Kind, Node, lookup};
use crate::kfl::schema::Layout;
use crate::kfl::value::Val;

/// The value of `var` in the item at `root`; `own` turns a place into a value.
pub(crate) fn variable<'e, 'm, M: Node<'m>, V>(
    root: M,
    var: &'static Var,
    layout: Layout,
    own: &impl Fn(M) -> Val<'e, V>,
) -> Val<'e, V> {
    if layout == Layout::Variables {
        let found = by_name(root, canonical(var.name));
        if let (None, How::GrpcStatus) = (found, var.how) {
            let grpc = by_name(root, "grpc").and_then(Node::bool) == Some(true);
            return Val::Int(if grpc { 0 } else { -1 });
        }
        return typed(found, var, layout, own);
    }
    let text = |path: &str| lookup(root, path).and_then(|node| plain_text(node));
    let owned = |text: Option<String>| Val::Text(Cow::Owned(text.unwrap_or_default()));
    match var.how {
        How::Path(path) if path.contains('*') => elements(root, path),
        How::Path(path) => typed(lookup(root, path), var, layout, own),
        How::Parts(name) => typed(part(root, name), var, layout, own),
        How::Upper(name) => owned(
            part(root, name)
                .and_then(plain_text)
                .map(|text| text.to_uppercase()),
        ),
        How::Dotted(name) => owned(
            part(root, name)
                .and_then(plain_text)
                .map(|text| text.replace(' ', ".")),
        ),
        How::Named(name) => Val::Bool(text("protocol.name").is_some_and(|found| found == name)),
        How::Abbr(abbr, version) => {
            let begins =
                |version| text("protocol.version").is_some_and(|found| found.starts_with(version));
            let named = text("protocol.abbr").is_some_and(|found| found == abbr);
            Val::Bool(named && version.is_none_or(begins))
        }
        How::Layer4(name, transport) => {
            let is = |path: &str, wanted| text(path).is_some_and(|found| found == wanted);
            Val::Bool(is("protocol.name", name) && is("protocol.layer4", transport))
        }
        How::Protocol => owned(text("protocol.abbr").map(|abbr| match &*abbr {
            "HTTP/2" => "HTTP".into(),
            "TLS" | "QUIC" => "TLSX".into(),
            abbr => abbr.to_uppercase(),
        })),
        How::Present(side) => {
            let found = lookup(root, side).is_some_and(|node| node.kind() != Kind::Null);
            Val::Bool(found)
        }
        How::Sender(who) => Val::Bool(text("request.sender").is_some_and(|found| found == who)),
        How::SentBy(who, name) => {
            let found = root
                .member("request")
                .filter(|_| text("request.sender").is_some_and(|found| found == who));
            typed(
                found.and_then(|request| request.member(name)),
                var,
                layout,
                own,
            )
        }
        How::Elapsed => Val::Int(integer(lookup(root, "elapsedTime")).saturating_mul(1000)),
        How::Namespace(side) => owned(Some(Side(root, side).namespace())),
        How::Pod(side) => owned(Some(Side(root, side).pod())),
        How::Service(side) => owned(Some(Side(root, side).service())),
        How::ServiceNamespace(side) => owned(Some(Side(root, side).service_namespace())),
        How::DnsName(side) => owned(Some(Side(root, side).dns())),
        How::Both(what) => both(root, what),
        How::HttpVersion => owned(text("request.httpVersion").map(|version| match &*version {
            "HTTP/2.0" => "HTTP/2".into(),
            _ => version,
        })),
        How::GrpcMethod => owned(
            text("request.path").map(|path| path.rsplit('/').next().unwrap_or_default().to_owned()),
        ),
        How::GrpcStatus => Val::Int(grpc_status(root)),
        How::DnsAnswers => answers(root),
        How::DnsStatus => Val::Int(dns_status(root)),
        How::Always => Val::Bool(true),
        How::Absent => default_of(var),
    }
}

/// What a variable reads as when nothing is there.
pub(crate) fn default_of<'e, V>(var: &Var) -> Val<'e, V> {
    match var.ty {
        Type::Text => Val::Text("".into()),
        Type::Int => Val::Int(0),
        Type::Bool => Val::Bool(false),
        Type::Time => Val::Time(DateTime::UNIX_EPOCH),
        Type::Bytes => Val::Bytes(Cow::Borrowed(&[])),
        Type::List => Val::List(Vec::new().into()),
        Type::Map(_) => Val::Map(Vec::new().into()),
    }
}

/// The name under which an alias is kept in objects of variables.
fn canonical(name: &'static str) -> &'static str {
    match name {
        "request.method" => "method",
        "request.path" => "path",
        "request.url" => "url",
        "response.status" => "status_code",
        "tls_sni" => "tlsx_sni",
        "tls_cipher_suite" => "tlsx_cipher_suite",
        "tls_cipher_suites" => "tlsx_cipher_suites",
        "tls_alpn" => "tlsx_alpn",
        "tls_version" => "tlsx_version",
        name => name,
    }
}

fn by_name<'m, M: Node<'m>>(root: M, name: &str) -> Option<M> {
    root.member(name).or_else(|| lookup(root, name))
}

/// A place with the type of `var`.
fn typed<'e, 'm, M: Node<'m>, V>(
    node: Option<M>,
    var: &Var,
    layout: Layout,
    own: &impl Fn(M) -> Val<'e, V>,
) -> Val<'e, V> {
    let Some(node) = node.filter(|node| node.kind() != Kind::Null) else {
        return default_of(var);
    };
    match (var.ty, node.kind()) {
        (Type::Text, Kind::Text) => own(node),
        (Type::Text, _) => Val::Text(Cow::Owned(plain_text(node).unwrap_or_default())),
        (Type::Int, _) => Val::Int(integer(Some(node))),
        (Type::Bool, _) => Val::Bool(node.bool() == Some(true)),
        (Type::Time, Kind::Text) => node
            .text()
            .and_then(|text| DateTime::parse_from_rfc3339(&text).ok())
            .map_or(default_of(var), |at| Val::Time(at.to_utc())),
        (Type::Time, _) => {
            let at = DateTime::from_timestamp_millis(integer(Some(node)));
            at.map_or(default_of(var), Val::Time)
        }
        (Type::Bytes, _) => Val::Bytes(Cow::Owned(bytes(node, layout))),
        (Type::List, Kind::List) => {
            let elements = (0..node.len()).filter_map(|index| node.element(index));
            let texts =
                elements.map(|node| Val::Text(Cow::Owned(plain_text(node).unwrap_or_default())));
            Val::List(texts.collect::<Vec<_>>().into())
        }
        (Type::Map(_), Kind::Object) => own(node),
        (Type::List | Type::Map(_), _) => default_of(var),
    }
}

fn bytes<'m, M: Node<'m>>(node: M, layout: Layout) -> Vec<u8> {
    if let Some(raw) = node.raw() {
        return raw.to_vec();
    }
    let text = node.text().unwrap_or_default();
    match layout {
        Layout::Variables => STANDARD.decode(&*text).unwrap_or_default(),
        Layout::Items | Layout::Bare => text.into_owned().into_bytes(),
    }
}

/// A scalar as text; `None` for what is none.
fn plain_text<'m, M: Node<'m>>(node: M) -> Option<String> {
    match node.kind() {
        Kind::Null | Kind::List | Kind::Object => None,
        Kind::Text => node.text().map(Cow::into_owned),
        _ => Some(Val::<M>::of_node(node).text().into_owned()),
    }
}

fn integer<'m, M: Node<'m>>(node: Option<M>) -> i64 {
    let Some(node) = node else { return 0 };
    node.int()
        // A cast of a float cuts and saturates.
        .or_else(|| node.float().map(|value| value as i64))
        .or_else(|| node.text()?.parse().ok())
        .unwrap_or(0)
}

/// A member of the request, else of the response, else of the payload.
fn part<'m, M: Node<'m>>(root: M, name: &str) -> Option<M> {
    ["request", "response", "data"]
        .into_iter()
        .filter_map(|side| root.member(side)?.member(name))
        .find(|node| node.kind() != Kind::Null)
}

/// The texts at a path with one `*` in it.
fn elements<'e, 'm, M: Node<'m>, V>(root: M, path: &str) -> Val<'e, V> {
    let (list, inner) = path.split_once(".*.").unwrap_or((path, ""));
    let found = lookup(root, list).map_or(Vec::new(), |list| {
        let elements = (0..list.len()).filter_map(|index| list.element(index));
        elements
            .filter_map(|element| plain_text(element.member(inner)?))
            .collect()
    });
    texts(found)
}

fn texts<'e, V>(found: Vec<String>) -> Val<'e, V> {
    let texts = found.into_iter().map(|text| Val::Text(Cow::Owned(text)));
    Val::List(texts.collect::<Vec<_>>().into())
}

/// What is known of one peer.
struct Side<M>(M, &'static str);

impl<'m, M: Node<'m>> Side<M> {
    fn text(&self, path: &str) -> Option<String> {
        let peer = self.0.member(self.1)?;
        plain_text(lookup(peer, path)?).filter(|text| !text.is_empty())
    }

    /// The name the peer was resolved to inside the cluster.
    fn cluster_name(&self) -> Option<String> {
        self.text("name")
            .filter(|_| self.text("namespace").is_some())
    }

    fn pod(&self) -> String {
        self.text("pod.metadata.name")
            .or_else(|| self.text("service.metadata.name"))
            .or_else(|| self.cluster_name())
            .unwrap_or_default()
    }

    fn service(&self) -> String {
        let unknown = self.text("pod.metadata.name").is_none();
        self.text("service.metadata.name")
            // The item tells one name; where no pod is named it is the best there is.
            .or_else(|| unknown.then(|| self.cluster_name()).flatten())
            .unwrap_or_default()
    }

    fn own_namespace(&self) -> Option<String> {
        self.text("pod.metadata.namespace")
            .or_else(|| self.text("service.metadata.namespace"))
            .or_else(|| self.text("namespace"))
    }

    fn namespace(&self) -> String {
        self.own_namespace().unwrap_or_else(|| {
            let ip = self.text("ip").and_then(|ip| ip.parse::<IpAddr>().ok());
            ip.map_or("", label).to_owned()
        })
    }

    fn service_namespace(&self) -> String {
        self.text("service.metadata.namespace")
            .or_else(|| {
                self.text("namespace")
                    .filter(|_| !self.service().is_empty())
            })
            .unwrap_or_default()
    }

    fn dns(&self) -> String {
        let by_dns = self
            .text("resolutionMechanism")
            .is_some_and(|found| found == "dns");
        self.text("name").filter(|_| by_dns).unwrap_or_default()
    }
}

/// Section 12.6.2.
fn label(ip: IpAddr) -> &'static str {
    let internal = match ip {
        IpAddr::V4(ip) => {
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || ip.is_unspecified()
        }
    };
    if internal { "internal" } else { "public" }
}

fn both<'e, 'm, M: Node<'m>, V>(root: M, what: Peers) -> Val<'e, V> {
    let mut found: Vec<String> = Vec::new();
    for side in ["src", "dst"] {
        let side = Side(root, side);
        let names = match what {
            Peers::Dns => [side.dns(), String::new()],
            Peers::Namespace => [
                side.own_namespace().unwrap_or_default(),
                side.service_namespace(),
            ],
            Peers::Pod => [side.pod(), String::new()],
            Peers::Service => [side.service(), String::new()],
        };
        for name in names {
            if !name.is_empty() && !found.contains(&name) {
                found.push(name);
            }
        }
    }
    texts(found)
}

fn grpc_status<'m, M: Node<'m>>(root: M) -> i64 {
    let abbr = lookup(root, "protocol.abbr").and_then(Node::text);
    if abbr.is_none_or(|abbr| abbr != "gRPC") {
        return -1;
    }
    // A call of gRPC-Web has it in its body.
    let told = lookup(root, "response.grpc.status");
    let headers = lookup(root, "response.headers");
    integer(told.or_else(|| headers.and_then(|headers| ignoring_case(headers, "grpc-status"))))
}

/// The member whose name is `name` but for letter case.
pub(crate) fn ignoring_case<'m, M: Node<'m>>(node: M, name: &str) -> Option<M> {
    node.member(name).or_else(|| {
        (0..node.len())
            .filter_map(|index| node.entry(index))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, member)| member)
    })
}

/// Members of an answer that say what was answered, the plainest first.
const ANSWERS: &[&str] = &[
    "ip", "cname", "ns", "ptr", "txts", "mx", "srv", "soa", "uri", "opt",
];

fn answers<'e, 'm, M: Node<'m>, V>(root: M) -> Val<'e, V> {
    let found = lookup(root, "response.answers").map_or(Vec::new(), |list| {
        let answers = (0..list.len()).filter_map(|index| list.element(index));
        answers
            .filter_map(|answer| {
                ANSWERS
                    .iter()
                    .filter_map(|name| plain_text(answer.member(name)?))
                    .find(|text| !text.is_empty())
            })
            .collect()
    });
    texts(found)
}

/// The response code that the name in `response.code` stands for (RFC 1035 section 4.1.1).
fn dns_status<'m, M: Node<'m>>(root: M) -> i64 {
    let Some(code) = lookup(root, "response.code") else {
        return 0;
    };
    let Some(name) = code.text() else {
        return integer(Some(code));
    };
    const NAMES: &[(&str, i64)] = &[
        ("No Error", 0),
        ("Format Error", 1),
        ("Server Failure", 2),
        ("Non-Existent Domain", 3),
        ("Not Implemented", 4),
        ("Query Refused", 5),
        ("Name Exists when it should not", 6),
        ("RR Set Exists when it should not", 7),
        ("RR Set that should exist does not", 8),
        ("Server Not Authoritative for zone", 9),
        ("Name not contained in zone", 10),
        ("NOERROR", 0),
        ("FORMERR", 1),
        ("SERVFAIL", 2),
        ("NXDOMAIN", 3),
        ("NOTIMP", 4),
        ("REFUSED", 5),
    ];
    let known = NAMES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(&name));
    // An unknown code is at least no success.
    known.map_or_else(|| name.parse().unwrap_or(-1), |(_, code)| *code)
}

/// The flags that `owner` stands for.
pub(crate) fn flags(owner: &'static str) -> Vec<&'static Var> {
    owner.split('|').filter_map(find).collect()
}
