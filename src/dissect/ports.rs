//! Ports of protocols as the configuration has them: further ones, and limits.
//!
//! In: lists of ports by the name of a protocol. Out: for a stream, whether it may be of a protocol
//! at all, and which ports count as the protocol's beside its own. Never: a verdict; content decides
//! first, ports settle what it leaves in doubt.

use super::{PROTOCOLS, Protocol, is_called};
use crate::flow::{Opening, StreamInfo};

/// Ports by protocol, as `tap.portMapping` writes them.
pub type PortLists = [(String, Vec<u16>)];

/// Why a list of ports cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortsError {
    /// No protocol is called so.
    #[error("{0} is no protocol; tap.enabledDissectors lists their names")]
    Unknown(String),
    /// The protocol is not told by ports.
    #[error("{0} has no ports")]
    Portless(String),
}

/// What the configuration says about ports.
#[derive(Debug, Default)]
pub(super) struct Ports {
    further: Vec<(&'static str, Vec<u16>)>,
    only: Vec<(&'static str, Vec<u16>)>,
}

impl Ports {
    /// Takes the ports that count as a protocol's own beside its usual ones, and those that a
    /// protocol is looked for on alone; a protocol without an entry there is looked for on all.
    pub(super) fn new(further: &PortLists, only: &PortLists) -> Result<Ports, PortsError> {
        Ok(Ports {
            further: by_protocol(further)?,
            only: by_protocol(only)?,
        })
    }

    /// The ports that count as the protocol's beside its own.
    pub(super) fn further(&self, protocol: &dyn Protocol) -> &[u16] {
        find(&self.further, protocol).unwrap_or_default()
    }

    /// Whether the protocol is looked for in the stream.
    pub(super) fn allow(&self, protocol: &dyn Protocol, stream: &StreamInfo) -> bool {
        find(&self.only, protocol).is_none_or(|ports| server_is_on(stream, ports))
    }

    /// Whether the stream uses a port of the protocol, usual or further.
    pub(super) fn suit(&self, protocol: &dyn Protocol, stream: &StreamInfo) -> bool {
        let mut usual = protocol.kinds().iter().flat_map(|kind| kind.ports);
        usual.any(|port| {
            let port = port.parse();
            port.is_ok_and(|port| server_is_on(stream, &[port]))
        }) || server_is_on(stream, self.further(protocol))
    }
}

/// Whether the server uses one of `ports`; of a stream whose sides are guessed, whether either does.
fn server_is_on(stream: &StreamInfo, ports: &[u16]) -> bool {
    let guessed = matches!(stream.opening, Opening::Port | Opening::FirstPacket);
    ports.contains(&stream.server.port) || guessed && ports.contains(&stream.client.port)
}

fn find<'p>(lists: &'p [(&'static str, Vec<u16>)], protocol: &dyn Protocol) -> Option<&'p [u16]> {
    let mut lists = lists.iter();
    lists
        .find(|(name, _)| *name == protocol.name())
        .map(|(_, ports)| &ports[..])
}

/// The lists by the names of protocols; one name may stand for a family.
fn by_protocol(lists: &PortLists) -> Result<Vec<(&'static str, Vec<u16>)>, PortsError> {
    let mut found = Vec::new();
    for (name, ports) in lists {
        let mut named = PROTOCOLS
            .iter()
            .filter(|protocol| is_called(**protocol, name))
            .peekable();
        if named.peek().is_none() {
            return Err(PortsError::Unknown(name.clone()));
        }
        let before = found.len();
        let with_ports = named.filter(|protocol| protocol.has_ports());
        found.extend(with_ports.map(|protocol| (protocol.name(), ports.clone())));
        if found.len() == before {
            return Err(PortsError::Portless(name.clone()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::conversation::tests::dissect_frames;
    use super::super::{Protocols, enabled};
    use super::*;
    use crate::synth;

    fn lists(lists: &[(&str, &[u16])]) -> Vec<(String, Vec<u16>)> {
        let owned = lists.iter();
        owned
            .map(|(name, ports)| ((*name).to_owned(), ports.to_vec()))
            .collect()
    }

    fn kinds(protocols: &Protocols, frames: &[synth::Frame]) -> Vec<&'static str> {
        let drafts = dissect_frames(frames, protocols);
        drafts.iter().map(|draft| draft.kind.name).collect()
    }

    fn http(port: u16) -> Vec<synth::Frame> {
        synth::tcp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], port))
            .to_server("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .to_client("HTTP/1.1 204 No Content\r\n\r\n")
            .fin()
    }

    /// A header of DNS whose question is cut off: too little to tell it off its usual ports.
    fn damaged_dns(port: u16) -> Vec<synth::Frame> {
        synth::udp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], port))
            .to_server(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05loc")
            .end()
    }

    #[test]
    fn content_is_enough_on_any_port() {
        let (protocols, _) = enabled(&["http", "redis"]);
        for port in [80, 6379, 12_345] {
            assert_eq!(kinds(&protocols, &http(port)), ["http"], "{port}");
        }
    }

    #[test]
    fn a_protocol_is_looked_for_on_the_ports_it_is_limited_to() {
        let (protocols, _) = enabled(&["http"]);
        let limited = protocols
            .with_ports(&[], &lists(&[("HTTP", &[80, 81])]))
            .unwrap();
        assert_eq!(kinds(&limited, &http(80)), ["http"]);
        assert_eq!(kinds(&limited, &http(81)), ["http"]);
        assert_eq!(kinds(&limited, &http(8080)), [""; 0]);
        // HTTP/2 belongs to the family.
        let preface = synth::tcp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 8080))
            .to_server(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
            .to_server(b"\x00\x00\x03\x01\x05\x00\x00\x00\x01\x82\x86\x84")
            .fin();
        assert_eq!(kinds(&limited, &preface), [""; 0]);
    }

    #[test]
    fn a_protocol_that_is_switched_off_is_not_found() {
        let (protocols, _) = enabled(&["redis", "dns"]);
        assert_eq!(kinds(&protocols, &http(80)), [""; 0]);
    }

    #[test]
    fn ports_that_are_added_settle_doubt_as_usual_ones_do() {
        let (protocols, _) = enabled(&["dns"]);
        assert_eq!(kinds(&protocols, &damaged_dns(53)), ["dns"]);
        assert_eq!(kinds(&protocols, &damaged_dns(5300)), [""; 0]);
        let mapped = protocols
            .with_ports(&lists(&[("dns", &[5300])]), &[])
            .unwrap();
        assert_eq!(kinds(&mapped, &damaged_dns(5300)), ["dns"]);
        // Content goes first: what stands there without doubt is something else.
        assert_eq!(kinds(&mapped, &damaged_dns(5301)), [""; 0]);
    }

    #[test]
    fn both_sides_are_looked_at_when_the_sides_are_guessed() {
        // Joined late: the server has the higher port and is taken for the client.
        let stream = |opening| StreamInfo {
            name: crate::packet::StreamName {
                stream: crate::packet::StreamId(0),
                transport: crate::packet::Transport::Tcp,
            },
            client: crate::packet::Endpoint {
                ip: [10, 0, 0, 1].into(),
                port: 27_017,
            },
            server: crate::packet::Endpoint {
                ip: [10, 0, 0, 2].into(),
                port: 9_000,
            },
            opening,
            first: crate::time::Timestamp::default(),
        };
        let ports = Ports::default();
        let mongodb = PROTOCOLS
            .iter()
            .find(|protocol| protocol.name() == "mongodb");
        let mongodb = *mongodb.unwrap();
        assert!(ports.suit(mongodb, &stream(Opening::Port)));
        assert!(!ports.suit(mongodb, &stream(Opening::Syn)));
    }

    #[test]
    fn names_that_are_no_protocol_with_ports_are_refused() {
        let refused = |name: &str| Ports::new(&lists(&[(name, &[1])]), &[]).err();
        assert_eq!(refused("redis"), None);
        assert_eq!(refused("tlsx"), None);
        assert_eq!(refused("redsi"), Some(PortsError::Unknown("redsi".into())));
        assert_eq!(refused("icmp"), Some(PortsError::Portless("icmp".into())));
        assert_eq!(
            refused("tcp-flow"),
            Some(PortsError::Portless("tcp-flow".into()))
        );
    }
}
