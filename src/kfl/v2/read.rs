//! Reading the second dialect's variables from items (reference sections 12.5 and 12.6).
//!
//! In: an item in any form, or an object that holds variables by name. Out: the value with the
//! variable's type; the type's default when there is none. Never: an error.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;

use super::vars::{How, Peers, Type, Var, find};
use crate::item::{Kind, Node, Path, lookup};
use crate::kfl::eval::ELAPSED;
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
    match var.how {
        How::Path(path) if !path.contains('*') => typed(lookup(root, path), var, layout, own),
        How::Path(_) | How::Both(_) | How::DnsAnswers => list(root, var),
        How::Parts(name) => typed(part(root, name), var, layout, own),
        How::Upper(name) => upper(part(root, name), own),
        How::Dotted(name) => changed(part(root, name), ' ', |text| text.replace(' ', "."), own),
        How::Named(_)
        | How::Abbr(..)
        | How::Layer4(..)
        | How::Present(_)
        | How::Sender(_)
        | How::Always => Val::Bool(flag(root, var)),
        How::Protocol => match lookup(root, "protocol.abbr") {
            Some(abbr) if is_text(abbr, "HTTP/2") => Val::Text("HTTP".into()),
            Some(abbr) if is_text(abbr, "TLS") || is_text(abbr, "QUIC") => Val::Text("TLSX".into()),
            abbr => upper(abbr, own),
        },
        How::SentBy(who, name) => {
            let sent = root.member("request").filter(|_| is_sender(root, who));
            let found = sent.and_then(|request| request.member(name));
            typed(found, var, layout, own)
        }
        How::HttpVersion => match lookup(root, "request.httpVersion") {
            Some(version) if is_text(version, "HTTP/2.0") => Val::Text("HTTP/2".into()),
            version => typed(version, var, layout, own),
        },
        How::Elapsed => Val::Int(integer(lookup(root, ELAPSED))),
        How::Namespace(_)
        | How::Pod(_)
        | How::Service(_)
        | How::ServiceNamespace(_)
        | How::DnsName(_)
        | How::Process(_) => name_of(root, var).own(own),
        How::GrpcMethod => {
            static PATH: LazyLock<Path> = LazyLock::new(|| Path::new("request.path"));
            let path = root.at(&PATH).map(own);
            Val::Text(match path {
                Some(Val::Text(Cow::Borrowed(path))) => last_segment(path).into(),
                Some(Val::Text(path)) => Cow::Owned(last_segment(&path).to_owned()),
                _ => "".into(),
            })
        }
        How::GrpcStatus => Val::Int(grpc_status(root)),
        How::DnsStatus => Val::Int(dns_status(root)),
        How::Absent => default_of(var),
    }
}

/// Whether a flag that needs no text of its own is set.
pub(crate) fn flag<'m, M: Node<'m>>(root: M, var: &Var) -> bool {
    let is = |outer: &str, inner: &str, wanted: &str| {
        let found = root.member(outer).and_then(|node| node.member(inner));
        found.is_some_and(|node| is_text(node, wanted))
    };
    match var.how {
        How::Named(name) => is("protocol", "name", name),
        How::Abbr(abbr, None) => is("protocol", "abbr", abbr),
        How::Abbr(abbr, Some(version)) => {
            let found = lookup(root, "protocol.version");
            let begins = |node: M| node.with_text(|text| text.starts_with(version)) == Some(true);
            is("protocol", "abbr", abbr) && found.is_some_and(begins)
        }
        How::Layer4(name, transport) => {
            is("protocol", "name", name) && is("protocol", "layer4", transport)
        }
        How::Present(side) => root
            .member(side)
            .is_some_and(|node| node.kind() != Kind::Null),
        How::Path(path) => lookup(root, path).and_then(Node::bool) == Some(true),
        How::Parts(name) => part(root, name).and_then(Node::bool) == Some(true),
        How::Sender(who) => is_sender(root, who),
        How::Always => true,
        _ => false,
    }
}

/// Whether the sender of a WebSocket message is `who`.
fn is_sender<'m, M: Node<'m>>(root: M, who: &str) -> bool {
    lookup(root, "request.sender").is_some_and(|sender| is_text(sender, who))
}

pub(crate) fn is_text<'m, M: Node<'m>>(node: M, wanted: &str) -> bool {
    match node.text_bytes() {
        Some(bytes) => bytes == wanted.as_bytes(),
        None => node.with_text(|text| text == wanted) == Some(true),
    }
}

/// Hands the texts of a list variable to `read`, until it has seen enough and says so.
pub(crate) fn each_text<'m, M: Node<'m>>(
    root: M,
    var: &Var,
    read: &mut impl FnMut(&str) -> bool,
) -> bool {
    match var.how {
        How::Path(path) if path.contains('*') => {
            let (list, inner) = path.split_once(".*.").unwrap_or((path, ""));
            lookup(root, list).is_some_and(|list| each_member(list, inner, read))
        }
        How::Both(what) => ["src", "dst"].into_iter().any(|side| {
            let side = Side::of(root, side);
            let (first, second) = match what {
                Peers::Dns => (side.dns(), Name::NONE),
                Peers::Namespace => side.namespaces(),
                Peers::Pod => (side.pod(), Name::NONE),
                Peers::Service => (side.service(), Name::NONE),
            };
            [first, second].into_iter().any(|name| {
                let mut named = |text: &str| !text.is_empty() && read(text);
                name.with_text(&mut named)
            })
        }),
        How::DnsAnswers => {
            static ANSWERED: LazyLock<Path> = LazyLock::new(|| Path::new("response.answers"));
            let answers = root.at(&ANSWERED).map(children);
            answers.into_iter().flatten().any(|answer| {
                let texts = ANSWERS.iter().filter_map(|name| answer.member(name));
                let plainest = texts.filter(|node| {
                    node.with_text(|text| !text.is_empty())
                        .unwrap_or_else(|| plain_text(*node).is_some())
                });
                plainest.take(1).any(|node| shown(node, read))
            })
        }
        How::Path(path) => listed(lookup(root, path)).any(|node| shown(node, read)),
        How::Parts(name) => listed(part(root, name)).any(|node| shown(node, read)),
        _ => false,
    }
}

/// Hands the text of `member` of each element to `read`, until it has seen enough and says so.
pub(crate) fn each_member<'m, M: Node<'m>>(
    list: M,
    member: &str,
    read: &mut impl FnMut(&str) -> bool,
) -> bool {
    children(list)
        .filter_map(|element| element.member(member))
        .any(|node| shown(node, read))
}

/// Hands the text of a scalar to `read`.
fn shown<'m, M: Node<'m>>(node: M, read: &mut impl FnMut(&str) -> bool) -> bool {
    let known = node.with_text(&mut *read);
    known.unwrap_or_else(|| plain_text(node).is_some_and(|text| read(&text)))
}

fn children<'m, M: Node<'m>>(list: M) -> impl Iterator<Item = M> {
    (0..list.len()).filter_map(move |index| list.element(index))
}

fn listed<'m, M: Node<'m>>(node: Option<M>) -> impl Iterator<Item = M> {
    let list = node.filter(|node| node.kind() == Kind::List);
    list.map(children).into_iter().flatten()
}

/// A list variable, of both peers without repetition.
fn list<'e, 'm, M: Node<'m>, V>(root: M, var: &Var) -> Val<'e, V> {
    let mut found: Vec<String> = Vec::new();
    let unique = matches!(var.how, How::Both(_));
    each_text(root, var, &mut |text| {
        if !unique || found.iter().all(|known| known != text) {
            found.push(text.to_owned());
        }
        false
    });
    let texts = found.into_iter().map(|text| Val::Text(Cow::Owned(text)));
    Val::List(texts.collect::<Vec<_>>().into())
}

/// The text at a place, rewritten by `change` when `sign` is in it.
fn changed<'e, 'm, M: Node<'m>, V>(
    node: Option<M>,
    sign: char,
    change: fn(&str) -> String,
    own: &impl Fn(M) -> Val<'e, V>,
) -> Val<'e, V> {
    match node.map(|node| (node, own(node))) {
        Some((_, Val::Text(text))) if !text.contains(sign) => Val::Text(text),
        Some((_, Val::Text(text))) => Val::Text(Cow::Owned(change(&text))),
        Some((node, _)) => Val::Text(Cow::Owned(plain_text(node).unwrap_or_default())),
        None => Val::Text("".into()),
    }
}

fn upper<'e, 'm, M: Node<'m>, V>(node: Option<M>, own: &impl Fn(M) -> Val<'e, V>) -> Val<'e, V> {
    match node.map(|node| (node, own(node))) {
        Some((_, Val::Text(text))) if !text.contains(char::is_lowercase) => Val::Text(text),
        Some((_, Val::Text(text))) => Val::Text(Cow::Owned(text.to_uppercase())),
        Some((node, _)) => Val::Text(Cow::Owned(plain_text(node).unwrap_or_default())),
        None => Val::Text("".into()),
    }
}

fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
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
    node.and_then(Node::whole).unwrap_or(0)
}

/// A member of the request, else of the response, else of the payload.
pub(crate) fn part<'m, M: Node<'m>>(root: M, name: &str) -> Option<M> {
    ["request", "response", "data"]
        .into_iter()
        .filter_map(|side| root.member(side)?.member(name))
        .find(|node| node.kind() != Kind::Null)
}

/// A name as the item tells it, or as it is known without the item.
#[derive(Clone, Copy)]
enum Name<M> {
    Place(M),
    Known(&'static str),
}

impl<'m, M: Node<'m>> Name<M> {
    const NONE: Name<M> = Name::Known("");

    fn or_else(self, other: impl FnOnce() -> Name<M>) -> Name<M> {
        match self {
            Name::Known("") => other(),
            name => name,
        }
    }

    fn is_none(self) -> bool {
        matches!(self, Name::Known(""))
    }

    fn with_text(self, read: &mut impl FnMut(&str) -> bool) -> bool {
        match self {
            Name::Place(node) => node.with_text(read).unwrap_or(false),
            Name::Known(text) => read(text),
        }
    }

    fn own<'e, V>(self, own: &impl Fn(M) -> Val<'e, V>) -> Val<'e, V> {
        match self {
            Name::Place(node) => own(node),
            Name::Known(text) => Val::Text(text.into()),
        }
    }
}

fn name_of<'m, M: Node<'m>>(root: M, var: &Var) -> Name<M> {
    match var.how {
        How::Namespace(side) => Side::of(root, side).namespace(),
        How::Pod(side) => Side::of(root, side).pod(),
        How::Service(side) => Side::of(root, side).service(),
        How::ServiceNamespace(side) => Side::of(root, side).service_namespace(),
        How::DnsName(side) => Side::of(root, side).dns(),
        How::Process(local) => {
            let (src, dst) = (Side::of(root, "src"), Side::of(root, "dst"));
            let at_dst = dst.text(&dst.places.process);
            match (at_dst.is_none(), local) {
                (false, true) => at_dst,
                (true, false) => Name::NONE,
                _ => src.text(&src.places.process),
            }
        }
        _ => Name::NONE,
    }
}

/// Where the names of one peer stand.
struct Places {
    ip: Path,
    name: Path,
    namespace: Path,
    mechanism: Path,
    pod: Path,
    pod_namespace: Path,
    service: Path,
    service_namespace: Path,
    process: Path,
}

static SRC: LazyLock<Places> = LazyLock::new(|| Places::of("src"));
static DST: LazyLock<Places> = LazyLock::new(|| Places::of("dst"));

impl Places {
    fn of(side: &str) -> Places {
        let path = |below: &str| Path::new(&format!("{side}.{below}"));
        Places {
            ip: path("ip"),
            name: path("name"),
            namespace: path("namespace"),
            mechanism: path("resolutionMechanism"),
            pod: path("pod.metadata.name"),
            pod_namespace: path("pod.metadata.namespace"),
            service: path("service.metadata.name"),
            service_namespace: path("service.metadata.namespace"),
            process: path("processName"),
        }
    }
}

/// What is known of one peer.
struct Side<M> {
    root: M,
    places: &'static Places,
}

impl<'m, M: Node<'m>> Side<M> {
    fn of(root: M, side: &str) -> Side<M> {
        let places = if side == "src" { &SRC } else { &DST };
        Side { root, places }
    }

    /// The text at a place that is not empty.
    fn text(&self, path: &Path) -> Name<M> {
        let Some(node) = self.root.at(path) else {
            return Name::NONE;
        };
        let empty = match node.text_bytes() {
            Some(bytes) => bytes.is_empty(),
            None => node.with_text(str::is_empty) != Some(false),
        };
        if empty { Name::NONE } else { Name::Place(node) }
    }

    /// The name the peer was resolved to inside the cluster.
    fn cluster_name(&self) -> Name<M> {
        if self.text(&self.places.namespace).is_none() {
            return Name::NONE;
        }
        self.text(&self.places.name)
    }

    fn pod(&self) -> Name<M> {
        self.text(&self.places.pod)
            .or_else(|| self.text(&self.places.service))
            .or_else(|| self.cluster_name())
    }

    fn service(&self) -> Name<M> {
        let named = || match self.text(&self.places.pod) {
            // The item tells one name; where no pod is named it is the best there is.
            Name::Known(_) => self.cluster_name(),
            Name::Place(_) => Name::NONE,
        };
        self.text(&self.places.service).or_else(named)
    }

    fn own_namespace(&self) -> Name<M> {
        self.text(&self.places.pod_namespace)
            .or_else(|| self.text(&self.places.service_namespace))
            .or_else(|| self.text(&self.places.namespace))
    }

    /// Its own namespace and that of its service.
    fn namespaces(&self) -> (Name<M>, Name<M>) {
        match self.text(&self.places.pod_namespace) {
            own @ Name::Place(_) => (own, self.service_namespace()),
            // Where no pod tells its namespace, the own one is the service's already.
            _ => (self.own_namespace(), Name::NONE),
        }
    }

    fn namespace(&self) -> Name<M> {
        self.own_namespace()
            .or_else(|| match self.text(&self.places.ip) {
                Name::Place(ip) => {
                    let ip = ip.with_text(|text| text.parse::<IpAddr>().ok()).flatten();
                    Name::Known(ip.map_or("", label))
                }
                none => none,
            })
    }

    fn service_namespace(&self) -> Name<M> {
        self.text(&self.places.service_namespace).or_else(|| {
            if self.service().is_none() {
                return Name::NONE;
            }
            self.text(&self.places.namespace)
        })
    }

    fn dns(&self) -> Name<M> {
        match self.text(&self.places.mechanism) {
            Name::Place(found) if is_text(found, "dns") => self.text(&self.places.name),
            _ => Name::NONE,
        }
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

pub(crate) fn grpc_status<'m, M: Node<'m>>(root: M) -> i64 {
    static ABBR: LazyLock<Path> = LazyLock::new(|| Path::new("protocol.abbr"));
    static HEADERS: LazyLock<Path> = LazyLock::new(|| Path::new("response.headers"));
    if !root.at(&ABBR).is_some_and(|abbr| is_text(abbr, "gRPC")) {
        return -1;
    }
    static TOLD: LazyLock<Path> = LazyLock::new(|| Path::new("response.grpc.status"));
    // A call of gRPC-Web has it in its body.
    let told = root.at(&TOLD);
    let headers = root.at(&HEADERS);
    integer(
        told.or_else(|| headers.and_then(|headers| headers.member_ignoring_case("grpc-status"))),
    )
}

/// Members of an answer that say what was answered, the plainest first.
const ANSWERS: &[&str] = &[
    "ip", "cname", "ns", "ptr", "txts", "mx", "srv", "soa", "uri", "opt",
];

/// Response codes by the names that items show, and by their short words.
pub(crate) const DNS_CODES: &[(&str, i64)] = &[
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

/// The response code that the name in `response.code` stands for (RFC 1035 section 4.1.1).
pub(crate) fn dns_status<'m, M: Node<'m>>(root: M) -> i64 {
    let Some(code) = lookup(root, "response.code") else {
        return 0;
    };
    let Some(name) = code.text() else {
        return integer(Some(code));
    };
    let known = DNS_CODES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(&name));
    // An unknown code is at least no success.
    known.map_or_else(|| name.parse().unwrap_or(-1), |(_, code)| *code)
}

/// The flags that `owner` stands for.
pub(crate) fn flags(owner: &'static str) -> Vec<&'static Var> {
    owner.split('|').filter_map(find).collect()
}
