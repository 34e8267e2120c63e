//! One way to read an item, however it is held.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{
    Absent, Identity, Item, Key, Outline, Path, Peer, Process, Told, Tunnels, Value, text_of,
};
use crate::packet::Endpoint;

/// What a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON null.
    Null,
    /// A boolean.
    Bool,
    /// A whole number.
    Int,
    /// A number with a fraction.
    Float,
    /// Text.
    Text,
    /// Values in order.
    List,
    /// Named values.
    Object,
}

/// A place in an item: cheap to copy, reads nothing before it is asked.
///
/// Invariants: `len` is 0 for scalars; `entry(i)` and `element(i)` are `Some` exactly for `i < len`
/// of an object and a list; names are unique within an object.
pub trait Node<'a>: Copy + 'a {
    /// What the place holds.
    fn kind(self) -> Kind;
    /// The boolean; `None` for other kinds.
    fn bool(self) -> Option<bool>;
    /// The whole number; `None` for other kinds.
    fn int(self) -> Option<i64>;
    /// The number of either kind.
    fn float(self) -> Option<f64>;
    /// The text; `None` for other kinds.
    fn text(self) -> Option<Cow<'a, str>>;
    /// The member called `name` but for the case of ASCII letters, an exact one first.
    fn member_ignoring_case(self, name: &str) -> Option<Self> {
        self.member(name).or_else(|| {
            (0..self.len())
                .filter_map(|index| self.entry(index))
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, member)| member)
        })
    }
    /// The place at `path`.
    fn at(self, path: &Path) -> Option<Self> {
        path.below(self)
    }
    /// The bytes of a text as the item has them, which may not be valid UTF-8; `None` for other
    /// kinds and for text that is only put together when it is read.
    fn text_bytes(self) -> Option<&'a [u8]> {
        None
    }
    /// What `read` makes of the text; `None` for other kinds. Costs no allocation where the text
    /// is short or lies in the item as it is.
    fn with_text<R>(self, read: impl FnOnce(&str) -> R) -> Option<R> {
        self.text().map(|text| read(&text))
    }
    /// The whole number of a number, or that a text spells; `None` for what is neither.
    fn whole(self) -> Option<i64> {
        self.int()
            // A cast of a float cuts and saturates.
            .or_else(|| self.float().map(|value| value as i64))
            .or_else(|| self.with_text(|text| text.parse().ok())?)
    }
    /// The bytes behind text that is shown as base64; `None` for other text.
    fn raw(self) -> Option<&'a [u8]> {
        None
    }
    /// Microseconds from request to response of the item at whose root this is, as queries compare
    /// them; `None` at any other place, and for what is no item of ours.
    fn elapsed_micros(self) -> Option<i64> {
        None
    }
    /// The last members of an object, when they are empty in every item.
    fn absent(self) -> Absent {
        Absent::Nothing
    }
    /// Count of members or elements.
    fn len(self) -> usize;
    /// Whether there is no member or element.
    fn is_empty(self) -> bool {
        self.len() == 0
    }
    /// Member `index` of an object with its name.
    fn entry(self, index: usize) -> Option<(Cow<'a, str>, Self)>;
    /// Element `index` of a list.
    fn element(self, index: usize) -> Option<Self>;
    /// The member called `name`.
    fn member(self, name: &str) -> Option<Self> {
        (0..self.len())
            .find_map(|index| self.entry(index).filter(|(key, _)| key == name))
            .map(|(_, node)| node)
    }
}

/// The node at a dotted `path` from `node`; a number names an element of a list.
pub fn lookup<'a, N: Node<'a>>(node: N, path: &str) -> Option<N> {
    path.split('.')
        .try_fold(node, |node, name| match node.kind() {
            Kind::List => node.element(name.parse().ok()?),
            _ => node.member(name),
        })
}

/// Whole microseconds of nanoseconds.
pub(super) fn micros(nanos: u64) -> i64 {
    i64::try_from(nanos / 1000).unwrap_or(i64::MAX)
}

/// A place in a typed item.
#[derive(Clone, Copy)]
pub struct ItemNode<'a>(At<'a>);

#[derive(Clone, Copy)]
enum At<'a> {
    Root(&'a Item),
    NodeInfo(&'a Item),
    Protocol(&'a Item),
    Ports(&'a [&'static str]),
    Peer(&'a Peer),
    Ip(std::net::IpAddr),
    Port(u16),
    /// The tunnel at a depth, the innermost at 0.
    Tunnel(&'a Tunnels, u8),
    TunnelEnd(Endpoint),
    Error(&'a Item),
    Value(&'a Value),
    Outline(&'a dyn Outline),
    Null,
    Bool(bool),
    Int(i64),
    Str(&'a str),
    Text(&'a [u8]),
    Made(&'a Item, Made),
}

/// Text that is put together only when it is read.
#[derive(Clone, Copy)]
enum Made {
    Id,
    Stream,
    StartTime,
    EntryFile,
}

/// Text of a scalar, put together on the stack.
pub struct ShortText {
    bytes: [u8; ShortText::MAX],
    len: usize,
}

impl ShortText {
    /// Bytes that the longest address takes, that of a mapped IPv4 address with all digits.
    const MAX: usize = 45;

    /// The text of `value`, cut at [`ShortText::MAX`] bytes.
    pub fn of(value: impl std::fmt::Display) -> ShortText {
        let mut text = ShortText {
            bytes: [0; ShortText::MAX],
            len: 0,
        };
        // It fails only for text that does not fit, and then what fits is there.
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{value}"));
        text
    }

    /// The text of an address; IPv4 without the formatter, since filters ask for it most.
    pub fn of_ip(ip: std::net::IpAddr) -> ShortText {
        let std::net::IpAddr::V4(ip) = ip else {
            return ShortText::of(ip);
        };
        let mut text = ShortText {
            bytes: [0; ShortText::MAX],
            len: 0,
        };
        for (at, octet) in ip.octets().into_iter().enumerate() {
            if at > 0 {
                text.push(b'.');
            }
            if octet >= 100 {
                text.push(b'0' + octet / 100);
            }
            if octet >= 10 {
                text.push(b'0' + octet / 10 % 10);
            }
            text.push(b'0' + octet % 10);
        }
        text
    }

    fn push(&mut self, byte: u8) {
        if let Some(free) = self.bytes.get_mut(self.len) {
            *free = byte;
            self.len += 1;
        }
    }

    /// What `read` makes of the text.
    pub fn read<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        read(std::str::from_utf8(bytes).unwrap_or_default())
    }
}

impl std::fmt::Write for ShortText {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let end = self.len + part.len();
        let free = self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?;
        free.copy_from_slice(part.as_bytes());
        self.len = end;
        Ok(())
    }
}

const ROOT: &[&str] = &[
    "id",
    "index",
    "stream",
    "worker",
    "node",
    "namespace",
    "protocol",
    "tls",
    "src",
    "dst",
    "outgoing",
    "timestamp",
    "startTime",
    "request",
    "response",
    "requestSize",
    "responseSize",
    "elapsedTime",
    "passed",
    "failed",
    "error",
    "entryFile",
    "record",
    "event",
    "data",
    "size",
    TUNNEL,
];
/// The member that items without a tunnel lack.
const TUNNEL: &str = "tunnel";
/// The member that the outermost tunnel lacks.
const OUTER: &str = "outer";
const TUNNELS: &[&str] = &["type", "id", "src", "dst", OUTER];
const ENDPOINT: &[&str] = &["ip", "port"];
const NODE: &[&str] = &["ip", "name"];
const PROTOCOL: &[&str] = &[
    "name",
    "version",
    "abbr",
    "longName",
    "macro",
    "backgroundColor",
    "foregroundColor",
    "fontSize",
    "referenceLink",
    "ports",
    "layer3",
    "layer4",
    "priority",
];
const PEER: &[&str] = &[
    "ip",
    "port",
    "name",
    "namespace",
    "pod",
    "endpointSlice",
    "service",
    "cgroupId",
    "containerId",
    "socketId",
    "processId",
    "parentProcessId",
    "hostProcessId",
    "hostParentProcessId",
    "processName",
    "processPath",
    "resolutionMechanism",
];
const ERROR: &[&str] = &["type", "msg"];

impl<'a> At<'a> {
    /// The place that `value` is; made now if it is lazy, and not if it is outlined.
    fn of(value: &'a Value) -> At<'a> {
        match value {
            Value::Outlined(outline) => At::Outline(&**outline),
            value => At::Value(value.force()),
        }
    }

    fn told(told: Told<'a>) -> At<'a> {
        match told {
            Told::Int(value) => At::Int(value),
            Told::Static(text) => At::Str(text),
            Told::Text(bytes) => At::Text(bytes),
        }
    }

    /// The same place with all its members made.
    fn whole(self) -> At<'a> {
        match self {
            At::Outline(outline) => At::Value(outline.whole()),
            other => other,
        }
    }
}

impl<'a> ItemNode<'a> {
    pub(crate) fn root(item: &'a Item) -> ItemNode<'a> {
        ItemNode(At::Root(item))
    }

    /// A node on a value that stands alone.
    pub fn of_value(value: &'a Value) -> ItemNode<'a> {
        ItemNode(At::of(value))
    }

    /// The place below this one that an outlined object tells without being made.
    pub(super) fn told_below(self, names: &[Box<str>]) -> Option<ItemNode<'a>> {
        match self.0 {
            At::Outline(outline) => Some(ItemNode(At::told(outline.told_below(names)?))),
            _ => None,
        }
    }

    /// How to get from the root to a place that every item has.
    pub(super) fn reach(path: &[&str]) -> Option<for<'i> fn(&'i Item) -> ItemNode<'i>> {
        Some(match path {
            ["request"] => |item| ItemNode(At::of(&item.request)),
            ["response"] => |item| ItemNode(At::of(&item.response)),
            ["data"] => |item| ItemNode(At::of(&item.data)),
            ["protocol", "name"] => |item| ItemNode(At::Str(item.protocol.name)),
            ["protocol", "abbr"] => |item| ItemNode(At::Str(item.protocol.abbr)),
            ["protocol", "version"] => |item| ItemNode(At::Str(item.protocol.version)),
            ["protocol", "macro"] => |item| ItemNode(At::Str(item.protocol.macro_name)),
            ["protocol", "layer4"] => |item| ItemNode(At::Str(item.protocol.layer4)),
            ["protocol"] => |item| ItemNode(At::Protocol(item)),
            ["src"] => |item| ItemNode(At::Peer(&item.src)),
            ["dst"] => |item| ItemNode(At::Peer(&item.dst)),
            ["src", "pod"] => |item| ItemNode(peer_object(&item.src, Identity::pod)),
            ["dst", "pod"] => |item| ItemNode(peer_object(&item.dst, Identity::pod)),
            ["src", "service"] => |item| ItemNode(peer_object(&item.src, Identity::service)),
            ["dst", "service"] => |item| ItemNode(peer_object(&item.dst, Identity::service)),
            ["src", "resolutionMechanism"] => |item| ItemNode(At::Str(item.src.mechanism)),
            ["dst", "resolutionMechanism"] => |item| ItemNode(At::Str(item.dst.mechanism)),
            ["src", "ip"] => |item| ItemNode(At::Ip(item.src.endpoint.ip)),
            ["dst", "ip"] => |item| ItemNode(At::Ip(item.dst.endpoint.ip)),
            ["src", "port"] => |item| ItemNode(At::Port(item.src.endpoint.port)),
            ["dst", "port"] => |item| ItemNode(At::Port(item.dst.endpoint.port)),
            ["src", "name"] => |item| ItemNode(At::Str(&item.src.name)),
            ["dst", "name"] => |item| ItemNode(At::Str(&item.dst.name)),
            ["src", "namespace"] => |item| ItemNode(At::Str(&item.src.namespace)),
            ["dst", "namespace"] => |item| ItemNode(At::Str(&item.dst.namespace)),
            ["timestamp"] => |item| ItemNode(At::Int(item.start.millis())),
            ["elapsedTime"] => |item| ItemNode(At::Int(item.elapsed_ms())),
            ["tls"] => |item| ItemNode(At::Bool(item.tls)),
            _ => return None,
        })
    }

    fn names(self) -> &'static [&'static str] {
        match self.0 {
            At::Root(item) if item.tunnel.is_none() => without_last(ROOT),
            At::Root(_) => ROOT,
            At::Tunnel(tunnels, depth) if tunnels.at(usize::from(depth) + 1).is_none() => {
                without_last(TUNNELS)
            }
            At::Tunnel(..) => TUNNELS,
            At::TunnelEnd(_) => ENDPOINT,
            At::NodeInfo(_) => NODE,
            At::Protocol(_) => PROTOCOL,
            At::Peer(_) => PEER,
            At::Error(_) => ERROR,
            _ => &[],
        }
    }

    /// The member called `name`, when it is one that is always empty.
    fn empty(self, name: &str) -> Option<At<'a>> {
        let (_, kind) = self.absent().named(name.as_bytes())?;
        Some(empty(kind))
    }

    fn named(self, name: &str) -> Option<ItemNode<'a>> {
        Some(ItemNode(match self.0 {
            At::Root(item) => root_member(item, name).or_else(|| self.empty(name))?,
            At::NodeInfo(item) => match name {
                "ip" => At::Str(&item.origin.node_ip),
                "name" => At::Str(&item.origin.node_name),
                _ => return None,
            },
            At::Protocol(item) => protocol_member(item, name)?,
            At::Peer(peer) => peer_member(peer, name).or_else(|| self.empty(name))?,
            At::Tunnel(tunnels, depth) => tunnel_member(tunnels, depth, name)?,
            At::TunnelEnd(endpoint) => endpoint_member(endpoint, name)?,
            At::Error(item) => match (&item.error, name) {
                (Some(error), "type") => At::Str(error.kind),
                (Some(error), "msg") => At::Str(&error.msg),
                _ => return None,
            },
            At::Value(value) => At::of(value.member(name)?),
            At::Outline(outline) => match outline.told(name) {
                Some(told) => At::told(told),
                None => At::of(outline.whole().member(name)?),
            },
            _ => return None,
        }))
    }
}

/// What an empty member is.
fn empty<'a>(kind: Kind) -> At<'a> {
    match kind {
        Kind::Text => At::Str(""),
        Kind::List => At::Ports(&[]),
        Kind::Int => At::Int(0),
        _ => At::Null,
    }
}

fn root_member<'a>(item: &'a Item, name: &str) -> Option<At<'a>> {
    Some(match name {
        "id" => At::Made(item, Made::Id),
        "index" => At::Int(item.index.into()),
        "stream" => At::Made(item, Made::Stream),
        "worker" => At::Str(&item.origin.worker),
        "node" => At::NodeInfo(item),
        "namespace" if !item.dst.namespace.is_empty() => At::Str(&item.dst.namespace),
        "namespace" => At::Str(&item.src.namespace),
        "protocol" => At::Protocol(item),
        "tls" => At::Bool(item.tls),
        "src" => At::Peer(&item.src),
        "dst" => At::Peer(&item.dst),
        "outgoing" => At::Bool(item.is_outgoing()),
        "timestamp" => At::Int(item.start.millis()),
        "startTime" => At::Made(item, Made::StartTime),
        "request" => At::of(&item.request),
        "response" => At::of(&item.response),
        "requestSize" => int(item.request_size),
        "responseSize" => int(item.response_size),
        "elapsedTime" => At::Int(item.elapsed_ms()),
        "passed" | "failed" => At::Bool(false),
        "error" if item.error.is_some() => At::Error(item),
        "error" => At::Null,
        "entryFile" => At::Made(item, Made::EntryFile),
        "record" => At::Str(&item.record),
        "event" => At::Null,
        "data" => At::of(&item.data),
        "size" => int(item.request_size.saturating_add(item.response_size)),
        TUNNEL => At::Tunnel(item.tunnel.as_ref()?, 0),
        _ => return None,
    })
}

fn protocol_member<'a>(item: &'a Item, name: &str) -> Option<At<'a>> {
    let info = item.protocol;
    Some(match name {
        "name" => At::Str(info.name),
        "version" => At::Str(info.version),
        "abbr" => At::Str(info.abbr),
        "longName" => At::Str(info.long_name),
        "macro" => At::Str(info.macro_name),
        "backgroundColor" => At::Str(info.background),
        "foregroundColor" => At::Str(info.foreground),
        "fontSize" => At::Int(info.font_size.into()),
        "referenceLink" => At::Str(info.reference),
        "ports" => At::Ports(info.ports),
        "layer3" => At::Str("ip"),
        "layer4" => At::Str(info.layer4),
        "priority" => At::Int(info.priority.into()),
        _ => return None,
    })
}

fn tunnel_member<'a>(tunnels: &'a Tunnels, depth: u8, name: &str) -> Option<At<'a>> {
    let tunnel = tunnels.at(depth.into())?;
    let ends = tunnels.ends(depth.into());
    let end = |end: Option<Endpoint>| end.map_or(At::Null, At::TunnelEnd);
    Some(match name {
        "type" => At::Str(tunnel.kind.name()),
        "id" => tunnel.id.map_or(At::Null, |id| At::Int(id.into())),
        "src" => end(ends.map(|(src, _)| src)),
        "dst" => end(ends.map(|(_, dst)| dst)),
        OUTER => {
            let outer = depth.checked_add(1)?;
            tunnels.at(outer.into())?;
            At::Tunnel(tunnels, outer)
        }
        _ => return None,
    })
}

fn endpoint_member<'a>(endpoint: Endpoint, name: &str) -> Option<At<'a>> {
    Some(match name {
        "ip" => At::Ip(endpoint.ip),
        "port" => At::Port(endpoint.port),
        _ => return None,
    })
}

fn without_last(names: &'static [&'static str]) -> &'static [&'static str] {
    names.split_last().map_or(&[], |(_, others)| others)
}

/// An object of the cluster that a side is known to be; null when it is not.
fn peer_object<'a>(peer: &'a Peer, of: fn(&'a Identity) -> &'a Value) -> At<'a> {
    peer.identity
        .as_deref()
        .map_or(At::Null, |known| At::of(of(known)))
}

fn peer_member<'a>(peer: &'a Peer, name: &str) -> Option<At<'a>> {
    Some(match name {
        "ip" => At::Ip(peer.endpoint.ip),
        "port" => At::Port(peer.endpoint.port),
        "name" => At::Str(&peer.name),
        "namespace" => At::Str(&peer.namespace),
        "pod" => peer_object(peer, Identity::pod),
        "endpointSlice" => peer_object(peer, Identity::endpoint_slice),
        "service" => peer_object(peer, Identity::service),
        "cgroupId" => of_process(peer, |process| process.cgroup_id),
        "socketId" => of_process(peer, |process| process.socket_id),
        "processId" => of_process(peer, |process| process.id.into()),
        "parentProcessId" => of_process(peer, |process| process.parent_id.into()),
        "hostProcessId" => of_process(peer, |process| process.host_id.into()),
        "hostParentProcessId" => of_process(peer, |process| process.host_parent_id.into()),
        "containerId" => {
            let of_process = peer
                .process
                .as_deref()
                .map(|process| &*process.container_id);
            let of_port = || peer.identity.as_ref().map(|known| known.container_id());
            let known = of_process.filter(|id| !id.is_empty()).or_else(of_port);
            At::Str(known.unwrap_or_default())
        }
        "processName" => At::Str(peer.process.as_deref().map_or("", |process| &process.name)),
        "processPath" => At::Str(peer.process.as_deref().map_or("", |process| &process.path)),
        "resolutionMechanism" => At::Str(peer.mechanism),
        _ => return None,
    })
}

fn of_process<'a>(peer: &'a Peer, of: fn(&Process) -> u64) -> At<'a> {
    int(peer.process.as_deref().map_or(0, of))
}

fn int<'a>(value: u64) -> At<'a> {
    At::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

impl<'a> Node<'a> for ItemNode<'a> {
    fn kind(self) -> Kind {
        match self.0 {
            At::Root(_)
            | At::NodeInfo(_)
            | At::Protocol(_)
            | At::Peer(_)
            | At::Tunnel(..)
            | At::TunnelEnd(_)
            | At::Outline(_)
            | At::Error(_) => Kind::Object,
            At::Ports(_) => Kind::List,
            At::Null => Kind::Null,
            At::Bool(_) => Kind::Bool,
            At::Int(_) => Kind::Int,
            At::Str(_) | At::Text(_) | At::Made(..) | At::Ip(_) | At::Port(_) => Kind::Text,
            At::Value(value) => match value.force() {
                Value::Null | Value::Lazy(_) | Value::Outlined(_) => Kind::Null,
                Value::Bool(_) => Kind::Bool,
                Value::Int(_) => Kind::Int,
                Value::Float(_) => Kind::Float,
                Value::Static(_) | Value::Text(_) | Value::Base64(_) => Kind::Text,
                Value::List(_) => Kind::List,
                Value::Object(_) => Kind::Object,
            },
        }
    }

    fn bool(self) -> Option<bool> {
        match self.0 {
            At::Bool(value) => Some(value),
            At::Value(Value::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    fn int(self) -> Option<i64> {
        match self.0 {
            At::Int(value) => Some(value),
            At::Value(Value::Int(value)) => Some(*value),
            _ => None,
        }
    }

    fn float(self) -> Option<f64> {
        match self.0 {
            At::Value(Value::Float(value)) => Some(*value),
            _ => self.int().map(|value| value as f64),
        }
    }

    fn text(self) -> Option<Cow<'a, str>> {
        Some(match self.0 {
            At::Str(text) => Cow::Borrowed(text),
            At::Ip(ip) => Cow::Owned(ip.to_string()),
            At::Port(port) => Cow::Owned(port.to_string()),
            At::Made(item, made) => Cow::Owned(match made {
                Made::Id => item.id(),
                Made::Stream => item.stream.to_string(),
                Made::StartTime => item.start.to_string(),
                Made::EntryFile => {
                    format!(
                        "{}-{}_entry.json",
                        item.stream.to_string().replace('.', "_"),
                        item.index
                    )
                }
            }),
            At::Value(Value::Static(text)) => Cow::Borrowed(text),
            At::Value(Value::Text(bytes)) => text_of(bytes),
            At::Text(bytes) => text_of(bytes),
            At::Value(Value::Base64(bytes)) => Cow::Owned(STANDARD.encode(bytes)),
            _ => return None,
        })
    }

    fn at(self, path: &Path) -> Option<Self> {
        match self.0 {
            At::Root(item) => path.in_item(item),
            _ => path.below(self),
        }
    }

    fn member_ignoring_case(self, name: &str) -> Option<Self> {
        let At::Value(Value::Object(members)) = self.0.whole() else {
            return self.member(name);
        };
        let is = |key: &Key| match key {
            Key::Static(key) => key.eq_ignore_ascii_case(name),
            Key::Bytes(key) => key.eq_ignore_ascii_case(name.as_bytes()),
        };
        self.member(name).or_else(|| {
            let found = members.iter().find(|(key, _)| is(key));
            found.map(|(_, value)| ItemNode(At::of(value)))
        })
    }

    fn text_bytes(self) -> Option<&'a [u8]> {
        match self.0 {
            At::Str(text) => Some(text.as_bytes()),
            At::Text(bytes) => Some(bytes),
            At::Value(Value::Text(bytes)) => Some(bytes),
            At::Value(Value::Static(text)) => Some(text.as_bytes()),
            _ => None,
        }
    }

    fn with_text<R>(self, read: impl FnOnce(&str) -> R) -> Option<R> {
        match self.0 {
            At::Ip(ip) => Some(ShortText::of_ip(ip).read(read)),
            At::Port(port) => Some(ShortText::of(port).read(read)),
            _ => self.text().map(|text| read(&text)),
        }
    }

    fn whole(self) -> Option<i64> {
        match self.0 {
            At::Port(port) => Some(port.into()),
            At::Ip(_) => None,
            _ => self
                .int()
                .or_else(|| self.float().map(|value| value as i64))
                .or_else(|| self.text()?.parse().ok()),
        }
    }

    fn raw(self) -> Option<&'a [u8]> {
        match self.0 {
            At::Value(Value::Base64(bytes)) => Some(bytes),
            _ => None,
        }
    }

    fn len(self) -> usize {
        match self.0.whole() {
            At::Ports(ports) => ports.len(),
            At::Value(Value::List(list)) => list.len(),
            At::Value(Value::Object(members)) => members.len(),
            _ => self.names().len() + self.absent().len(),
        }
    }

    fn entry(self, index: usize) -> Option<(Cow<'a, str>, Self)> {
        if let At::Value(value) = self.0.whole() {
            let Value::Object(members) = value else {
                return None;
            };
            let (key, value) = members.get(index)?;
            return Some((key.text(), ItemNode(At::of(value))));
        }
        let own = self.names();
        let name = match own.get(index) {
            Some(name) => *name,
            None => self.absent().members().get(index - own.len())?.0,
        };
        Some((Cow::Borrowed(name), self.named(name)?))
    }

    fn elapsed_micros(self) -> Option<i64> {
        match self.0 {
            At::Root(item) => Some(micros(item.elapsed_nanos)),
            _ => None,
        }
    }

    fn absent(self) -> Absent {
        match self.0 {
            At::Root(_) => Absent::Item,
            At::Peer(_) => Absent::Peer,
            _ => Absent::Nothing,
        }
    }

    fn element(self, index: usize) -> Option<Self> {
        match self.0 {
            At::Ports(ports) => ports.get(index).map(|port| ItemNode(At::Str(port))),
            At::Value(Value::List(list)) => list.get(index).map(|value| ItemNode(At::of(value))),
            _ => None,
        }
    }

    fn member(self, name: &str) -> Option<Self> {
        self.named(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample;
    use super::*;

    proptest! {
        #[test]
        fn addresses_are_shown_as_std_shows_them(ip in any::<std::net::IpAddr>()) {
            ShortText::of_ip(ip).read(|text| assert_eq!(text, ip.to_string()));
        }
    }

    #[test]
    fn every_listed_member_is_there() {
        let item = sample::http();
        let root = item.node();
        for index in 0..root.len() {
            let (name, node) = root.entry(index).expect("listed members exist");
            for inner in 0..node.len() {
                assert!(
                    node.entry(inner).is_some() || node.element(inner).is_some(),
                    "{name}[{inner}]"
                );
            }
        }
    }

    #[test]
    fn a_tunnel_is_shown_with_the_one_around_it() {
        use crate::packet::{FiveTuple, Transport, Tunnel, TunnelKind};
        let tunnel = |kind, id, last: Option<u8>| Tunnel {
            kind,
            tuple: last.map(|last| FiveTuple {
                src: Endpoint {
                    ip: [192, 168, 0, last].into(),
                    port: 50_000,
                },
                dst: Endpoint {
                    ip: [192, 168, 0, last + 1].into(),
                    port: 4789,
                },
                transport: Transport::Udp,
            }),
            id,
            around: None,
        };
        let list = [
            tunnel(TunnelKind::Vxlan, Some(107), Some(1)),
            tunnel(TunnelKind::Mpls, Some(16), None),
        ];
        let mut item = sample::http();
        assert_eq!(lookup(item.node(), "tunnel").map(Node::kind), None);
        item.tunnel = Tunnels::new(list.iter());
        let shown = |item: &Item| {
            let node = item.node().member("tunnel").unwrap();
            crate::item::json::to_string(node)
        };
        let outer = r#""outer":{"type":"mpls","id":16,"src":null,"dst":null}"#;
        let ends = [
            r#"{"ip":"192.168.0.1","port":"50000"}"#,
            r#"{"ip":"192.168.0.2","port":"4789"}"#,
        ];
        assert_eq!(
            shown(&item),
            format!(
                r#"{{"type":"vxlan","id":107,"src":{},"dst":{},{outer}}}"#,
                ends[0], ends[1]
            )
        );
        item.tunnel = item.tunnel.map(Tunnels::reversed);
        assert_eq!(
            shown(&item),
            format!(
                r#"{{"type":"vxlan","id":107,"src":{},"dst":{},{outer}}}"#,
                ends[1], ends[0]
            )
        );
        let mut flat = Vec::new();
        crate::item::flat::encode(&item, &mut flat);
        let read = crate::item::flat::records(&flat).next().unwrap();
        assert_eq!(
            crate::item::json::to_string(read),
            crate::item::json::to_string(item.node())
        );
    }

    #[test]
    fn paths_reach_headers_and_lazy_values() {
        let item = sample::http();
        let text = |path| {
            lookup(item.node(), path)
                .and_then(Node::text)
                .map(Cow::into_owned)
        };
        assert_eq!(text("request.headers.Host").as_deref(), Some("cart.shop"));
        assert_eq!(text("request.queryString.dry").as_deref(), Some("1"));
        assert_eq!(text("src.port").as_deref(), Some("51514"));
        assert_eq!(text("response.content.text").as_deref(), Some("b29wcw=="));
        assert_eq!(text("protocol.ports.1").as_deref(), Some("443"));
        assert_eq!(text("request.absent"), None);
    }
}
