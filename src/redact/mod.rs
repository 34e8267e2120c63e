//! Privacy before sealing: what a recording may not keep is overwritten in packets and items.
//!
//! In: a [`Rule`], and the captured packets of one stream, or one item. Out: the same with the named
//! values overwritten, every length kept and every checksum right. Never: a packet left out, a
//! length changed, a guess: bytes that cannot be decoded are overwritten to the end of their message,
//! and a stream of a protocol that cannot be rewritten here is overwritten whole unless the rule
//! keeps it.
//!
//! ```text
//! packets of a stream ─▶ stream.rs  both directions as bytes ─▶ http1 | h2 | redis | tls  which bytes go
//!                           ◀── every packet, also each copy of a retransmitted one, is written from these
//! ```

mod address;
mod body;
mod frame;
mod h2;
mod http1;
mod item;
mod json;
mod redis;
mod rule;
mod side;
mod stream;
#[cfg(test)]
mod tests;
mod text;

use std::collections::HashMap;

use ahash::RandomState;

use crate::packet::{Direction, LinkType, StreamId};

pub use crate::dissect::Protocols;
pub use rule::{Payload, Rule};

use address::Addresses;
use json::Path;
use stream::Carried;

/// Streams whose place is remembered from reel to reel; of the others what comes later is
/// overwritten up to the next message that can be made out.
const MAX_CARRIED: usize = 65_536;

/// What overwrites text.
const MASK: u8 = b'*';

/// One captured packet that may be overwritten.
#[derive(Debug, Clone)]
pub struct Captured {
    /// What the bytes begin with.
    pub linktype: LinkType,
    /// Bytes that the packet had on the wire.
    pub len: u32,
    /// Which way it went in its stream.
    pub direction: Direction,
    /// Whether it is a fragment that was given its stream later.
    pub fragment: bool,
    /// Its captured bytes; their count never changes.
    pub bytes: Vec<u8>,
}

/// A rule at work on the streams of one recording.
#[derive(Clone)]
pub struct Redactor {
    rule: Rule,
    json: Vec<Path>,
    addresses: Option<Addresses>,
    carried: HashMap<StreamId, Carried, RandomState>,
    /// By which streams are known.
    protocols: Protocols,
}

impl Redactor {
    /// A redactor by `rule`; `key` makes the same address the same stand-in everywhere.
    pub fn new(rule: &Rule, key: &[u8]) -> Redactor {
        let json = rule.json.iter();
        Redactor {
            json: json.filter_map(|text| Path::parse(text).ok()).collect(),
            addresses: rule.addresses.then(|| Addresses::new(key)),
            carried: HashMap::default(),
            rule: rule.clone(),
            protocols: Protocols::all(),
        }
    }

    /// The same with the ports of `protocols`, by which streams are told apart where they are read.
    /// Which of them are switched on is of no account here.
    pub fn knowing(self, protocols: &Protocols) -> Redactor {
        Redactor {
            protocols: protocols.clone().with_all(),
            ..self
        }
    }

    /// The rule.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Overwrites in the packets of one stream, which stand in capture order, what the rule names.
    ///
    /// Called once a reel and stream, in the order of the reels; where the stream stands is
    /// remembered until [`Redactor::forget`].
    pub fn stream(&mut self, stream: StreamId, packets: &mut [Captured]) {
        let carried = self.carried.remove(&stream);
        let carried = stream::rewrite(self, carried, packets);
        if self.carried.len() < MAX_CARRIED {
            self.carried.insert(stream, carried);
        }
    }

    /// Forgets streams of which no more will come.
    pub fn forget(&mut self, is_over: impl Fn(StreamId) -> bool) {
        self.carried.retain(|stream, _| !is_over(*stream));
    }

    /// The stand-in of an address; the address itself when the rule keeps addresses.
    pub fn address(&mut self, ip: std::net::IpAddr) -> std::net::IpAddr {
        match &mut self.addresses {
            Some(addresses) => addresses.of(ip),
            None => ip,
        }
    }

    /// Whether names of hosts must go because their addresses do.
    pub fn hides_names(&self) -> bool {
        self.rule.addresses || self.rule.payload == Payload::None
    }
}
