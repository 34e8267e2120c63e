//! An item as it was dissected, read as any other.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::members::{self, object};
use super::node::micros;
use super::{
    Absent, Identity, Item, ItemError, Key, Kind, Node, Origin, Outline, Path, Peer, ProtocolInfo,
    ShortText, Told, Tunnels, Value, text_of,
};
use crate::packet::Endpoint;

/// A place in a typed item.
#[derive(Clone, Copy)]
pub struct ItemNode<'a>(At<'a>);

#[derive(Clone, Copy)]
pub(super) enum At<'a> {
    Root(&'a Item),
    Node(&'a Origin),
    Protocol(&'a ProtocolInfo),
    Ports(&'a [&'static str]),
    Peer(&'a Peer),
    Ip(std::net::IpAddr),
    Port(u16),
    /// The tunnel at a depth, the innermost at 0.
    Tunnel(&'a Tunnels, u8),
    TunnelEnd(Endpoint),
    Error(&'a ItemError),
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
pub(super) enum Made {
    Id,
    Stream,
    StartTime,
    EntryFile,
}

/// The member that the outermost tunnel lacks.
const OUTER: &str = "outer";
const TUNNELS: &[&str] = &["type", "id", "src", "dst", OUTER];
const ENDPOINT: &[&str] = &["ip", "port"];

impl<'a> At<'a> {
    /// The place that `value` is; made now if it is lazy, and not if it is outlined.
    pub(super) fn of(value: &'a Value) -> At<'a> {
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
            ["protocol"] => |item| ItemNode(At::Protocol(item.protocol)),
            ["src"] => |item| ItemNode(At::Peer(&item.src)),
            ["dst"] => |item| ItemNode(At::Peer(&item.dst)),
            ["src", "pod"] => |item| ItemNode(object(&item.src, Identity::pod)),
            ["dst", "pod"] => |item| ItemNode(object(&item.dst, Identity::pod)),
            ["src", "service"] => |item| ItemNode(object(&item.src, Identity::service)),
            ["dst", "service"] => |item| ItemNode(object(&item.dst, Identity::service)),
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

    /// The member called `name`, when it is one that is always empty.
    fn empty(self, name: &str) -> Option<At<'a>> {
        let (_, kind) = self.absent().named(name.as_bytes())?;
        Some(empty(kind))
    }

    /// Member `index` of those that are always empty.
    fn nth_empty(self, index: usize) -> Option<(&'static str, At<'a>)> {
        let (name, kind) = *self.absent().members().get(index)?;
        Some((name, empty(kind)))
    }

    fn named(self, name: &str) -> Option<ItemNode<'a>> {
        Some(ItemNode(match self.0 {
            At::Root(item) => {
                members::named(members::root(item), item, name).or_else(|| self.empty(name))?
            }
            At::Node(origin) => members::named(members::NODE, origin, name)?,
            At::Protocol(info) => members::named(members::PROTOCOL, info, name)?,
            At::Peer(peer) => {
                members::named(members::PEER, peer, name).or_else(|| self.empty(name))?
            }
            At::Error(error) => members::named(members::ERROR, error, name)?,
            At::Tunnel(tunnels, depth) => tunnel_member(tunnels, depth, name)?,
            At::TunnelEnd(endpoint) => endpoint_member(endpoint, name)?,
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

fn tunnel_members(tunnels: &Tunnels, depth: u8) -> &'static [&'static str] {
    let hidden = usize::from(tunnels.at(usize::from(depth) + 1).is_none());
    TUNNELS.get(..TUNNELS.len() - hidden).unwrap_or_default()
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

impl<'a> Node<'a> for ItemNode<'a> {
    fn kind(self) -> Kind {
        match self.0 {
            At::Root(_)
            | At::Node(_)
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
            At::Root(item) => members::root(item).len() + self.absent().len(),
            At::Node(_) => members::NODE.len(),
            At::Protocol(_) => members::PROTOCOL.len(),
            At::Peer(_) => members::PEER.len() + self.absent().len(),
            At::Error(_) => members::ERROR.len(),
            At::Tunnel(tunnels, depth) => tunnel_members(tunnels, depth).len(),
            At::TunnelEnd(_) => ENDPOINT.len(),
            _ => 0,
        }
    }

    fn entry(self, index: usize) -> Option<(Cow<'a, str>, Self)> {
        let by_name = |names: &[&'static str]| {
            let name = *names.get(index)?;
            Some((name, self.named(name)?.0))
        };
        let (name, place) = match self.0.whole() {
            At::Value(Value::Object(members)) => {
                let (key, value) = members.get(index)?;
                return Some((key.text(), ItemNode(At::of(value))));
            }
            At::Root(item) => {
                let own = members::root(item);
                members::nth(own, item, index).or_else(|| self.nth_empty(index - own.len()))?
            }
            At::Node(origin) => members::nth(members::NODE, origin, index)?,
            At::Protocol(info) => members::nth(members::PROTOCOL, info, index)?,
            At::Peer(peer) => members::nth(members::PEER, peer, index)
                .or_else(|| self.nth_empty(index - members::PEER.len()))?,
            At::Error(error) => members::nth(members::ERROR, error, index)?,
            At::Tunnel(tunnels, depth) => by_name(tunnel_members(tunnels, depth))?,
            At::TunnelEnd(_) => by_name(ENDPOINT)?,
            _ => return None,
        };
        Some((Cow::Borrowed(name), ItemNode(place)))
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
    use super::super::{lookup, sample};
    use super::*;

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
