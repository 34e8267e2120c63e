//! The members that items have whatever they are about, in the order in which they are shown: one list
//! for reading them one after the other and for finding one by its name.

use super::typed::{At, Made};
use super::{Identity, Item, ItemError, Origin, Peer, Process, ProtocolInfo, Value};

/// Name of a member, and how to get there.
pub(super) type Member<T> = (&'static str, for<'a> fn(&'a T) -> At<'a>);

/// Member `index` of a list.
pub(super) fn nth<'a, T>(
    members: &[Member<T>],
    of: &'a T,
    index: usize,
) -> Option<(&'static str, At<'a>)> {
    let (name, read) = members.get(index)?;
    Some((name, read(of)))
}

/// The member of a list that is called `name`.
pub(super) fn named<'a, T>(members: &[Member<T>], of: &'a T, name: &str) -> Option<At<'a>> {
    let (_, read) = members.iter().find(|(member, _)| *member == name)?;
    Some(read(of))
}

/// The members of an item; the last one only where there is a tunnel.
pub(super) fn root(item: &Item) -> &'static [Member<Item>] {
    let hidden = usize::from(item.tunnel.is_none());
    ROOT.get(..ROOT.len() - hidden).unwrap_or_default()
}

const ROOT: &[Member<Item>] = &[
    ("id", |item| At::Made(item, Made::Id)),
    ("index", |item| At::Int(item.index.into())),
    ("stream", |item| At::Made(item, Made::Stream)),
    ("worker", |item| At::Str(&item.origin.worker)),
    ("node", |item| At::Node(&item.origin)),
    ("namespace", |item| {
        let [dst, src] = [&item.dst.namespace, &item.src.namespace];
        At::Str(if dst.is_empty() { src } else { dst })
    }),
    ("protocol", |item| At::Protocol(item.protocol)),
    ("tls", |item| At::Bool(item.tls)),
    ("src", |item| At::Peer(&item.src)),
    ("dst", |item| At::Peer(&item.dst)),
    ("outgoing", |item| At::Bool(item.is_outgoing())),
    ("timestamp", |item| At::Int(item.start.millis())),
    ("startTime", |item| At::Made(item, Made::StartTime)),
    ("request", |item| At::of(&item.request)),
    ("response", |item| At::of(&item.response)),
    ("requestSize", |item| int(item.request_size)),
    ("responseSize", |item| int(item.response_size)),
    ("elapsedTime", |item| At::Int(item.elapsed_ms())),
    ("passed", |_| At::Bool(false)),
    ("failed", |_| At::Bool(false)),
    ("error", |item| {
        item.error.as_ref().map_or(At::Null, At::Error)
    }),
    ("entryFile", |item| At::Made(item, Made::EntryFile)),
    ("record", |item| At::Str(&item.record)),
    ("event", |_| At::Null),
    ("data", |item| At::of(&item.data)),
    ("size", |item| {
        int(item.request_size.saturating_add(item.response_size))
    }),
    ("tunnel", |item| {
        let tunnels = item.tunnel.as_ref();
        tunnels.map_or(At::Null, |tunnels| At::Tunnel(tunnels, 0))
    }),
];

pub(super) const NODE: &[Member<Origin>] = &[
    ("ip", |origin| At::Str(&origin.node_ip)),
    ("name", |origin| At::Str(&origin.node_name)),
];

pub(super) const PROTOCOL: &[Member<ProtocolInfo>] = &[
    ("name", |info| At::Str(info.name)),
    ("version", |info| At::Str(info.version)),
    ("abbr", |info| At::Str(info.abbr)),
    ("longName", |info| At::Str(info.long_name)),
    ("macro", |info| At::Str(info.macro_name)),
    ("backgroundColor", |info| At::Str(info.background)),
    ("foregroundColor", |info| At::Str(info.foreground)),
    ("fontSize", |info| At::Int(info.font_size.into())),
    ("referenceLink", |info| At::Str(info.reference)),
    ("ports", |info| At::Ports(info.ports)),
    ("layer3", |_| At::Str("ip")),
    ("layer4", |info| At::Str(info.layer4)),
    ("priority", |info| At::Int(info.priority.into())),
];

pub(super) const PEER: &[Member<Peer>] = &[
    ("ip", |peer| At::Ip(peer.endpoint.ip)),
    ("port", |peer| At::Port(peer.endpoint.port)),
    ("name", |peer| At::Str(&peer.name)),
    ("namespace", |peer| At::Str(&peer.namespace)),
    ("pod", |peer| object(peer, Identity::pod)),
    ("endpointSlice", |peer| {
        object(peer, Identity::endpoint_slice)
    }),
    ("service", |peer| object(peer, Identity::service)),
    ("cgroupId", |peer| number(peer, |process| process.cgroup_id)),
    ("containerId", |peer| {
        let of_process = text(peer, |process| &process.container_id);
        let of_port = || peer.identity.as_ref().map(|known| known.container_id());
        let known = Some(of_process).filter(|id| !id.is_empty());
        At::Str(known.or_else(of_port).unwrap_or_default())
    }),
    ("socketId", |peer| number(peer, |process| process.socket_id)),
    ("processId", |peer| {
        number(peer, |process| process.id.into())
    }),
    ("parentProcessId", |peer| {
        number(peer, |process| process.parent_id.into())
    }),
    ("hostProcessId", |peer| {
        number(peer, |process| process.host_id.into())
    }),
    ("hostParentProcessId", |peer| {
        number(peer, |process| process.host_parent_id.into())
    }),
    ("processName", |peer| {
        At::Str(text(peer, |process| &process.name))
    }),
    ("processPath", |peer| {
        At::Str(text(peer, |process| &process.path))
    }),
    ("resolutionMechanism", |peer| At::Str(peer.mechanism)),
];

pub(super) const ERROR: &[Member<ItemError>] = &[
    ("type", |error| At::Str(error.kind)),
    ("msg", |error| At::Str(&error.msg)),
];

/// An object of the cluster that a side is known to be; null when it is not.
pub(super) fn object<'a>(peer: &'a Peer, of: fn(&'a Identity) -> &'a Value) -> At<'a> {
    let known = peer.identity.as_deref();
    known.map_or(At::Null, |known| At::of(of(known)))
}

fn number<'a>(peer: &'a Peer, of: fn(&Process) -> u64) -> At<'a> {
    int(peer.process.as_deref().map_or(0, of))
}

fn text(peer: &Peer, of: fn(&Process) -> &str) -> &str {
    peer.process.as_deref().map_or("", of)
}

fn int<'a>(value: u64) -> At<'a> {
    At::Int(i64::try_from(value).unwrap_or(i64::MAX))
}
