//! What the bytes mean: detection, and one folder per protocol.
//!
//! In: chunks and gaps of one stream, from `flow`. Out: items, into an [`Output`]. Never: addresses
//! to names, filters, clocks. A new protocol is one folder, its `mod` line and its line in
//! [`PROTOCOLS`]; detection, KFL fields, reference page, robustness suite and fuzz target follow
//! from that list.

mod amqp;
mod conversation;
mod detect;
mod diameter;
mod dns;
mod flows;
mod http;
mod icmp;
#[cfg(test)]
mod impaired;
mod intake;
mod kafka;
mod ldap;
#[cfg(test)]
mod lost;
mod mongodb;
mod mysql;
mod pending;
mod ports;
mod postgresql;
mod protobuf;
mod radius;
mod redis;
#[cfg(test)]
pub mod robustness;
mod saved;
mod sctp;
#[cfg(test)]
mod seeds;
mod stream;
mod tls;
#[cfg(test)]
mod truth;
mod ws;

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use crate::flow::{Chunk, Gap, OverlapPolicy};
use crate::item::{Columns, ENVELOPE, Field, ItemError, ProtocolInfo, Value};
use crate::packet::{Direction, Transport};
use crate::time::Timestamp;
use ports::Ports;

pub use conversation::{Conversation, ConversationCounts, MAX_PENDING};
pub use flows::Tally;
pub use http::h2::{FieldBlocks, Sent};
pub use ports::{PortLists, PortsError};
pub use protobuf::{Descriptors, NotDescriptors};
pub use stream::Stream;
pub use tls::{DecryptionCounts, KeyLogLines, Secrets};

/// Every protocol, in the order in which detection asks them.
pub static PROTOCOLS: &[&dyn Protocol] = &[
    &http::h2::Http2,
    &http::Http1,
    &ws::Ws,
    &tls::Tls,
    &tls::quic::Quic,
    &amqp::Amqp,
    &kafka::Kafka,
    &redis::Redis,
    &postgresql::Postgresql,
    &mysql::Mysql,
    &mongodb::Mongodb,
    &ldap::Ldap,
    &dns::Dns,
    &radius::Radius,
    &diameter::Diameter,
    &icmp::Icmp,
    &sctp::Sctp,
    &flows::TcpFlow,
    &flows::TcpConn,
    &flows::UdpFlow,
    &flows::UdpConn,
];

/// The fields that items can have: those of every item, then those of each protocol.
///
/// A path that several protocols have, such as `request`, comes once for each.
pub fn fields() -> impl Iterator<Item = &'static Field> {
    let own = PROTOCOLS.iter().flat_map(|protocol| protocol.fields());
    ENVELOPE.iter().chain(own)
}

/// Encrypted conversations within encrypted ones that are looked into; a proxy over TLS that
/// carries TLS needs two.
const MAX_DEPTH: u8 = 2;

/// The protocols that are looked for, in the order of [`PROTOCOLS`], their ports, and how streams are
/// read: the secrets that open encrypted ones, what overlapping segments come to, and the descriptors
/// that messages of gRPC are read by.
#[derive(Clone)]
pub struct Protocols {
    list: Arc<[&'static dyn Protocol]>,
    secrets: Arc<Secrets>,
    descriptors: Arc<Descriptors>,
    ports: Arc<Ports>,
    overlap: OverlapPolicy,
    /// How many conversations are around.
    depth: u8,
}

impl Protocols {
    /// All of them.
    pub fn all() -> Protocols {
        Protocols::new(PROTOCOLS.into())
    }

    fn new(list: Arc<[&'static dyn Protocol]>) -> Protocols {
        Protocols {
            list,
            secrets: Arc::default(),
            descriptors: Arc::default(),
            ports: Arc::default(),
            overlap: OverlapPolicy::default(),
            depth: 0,
        }
    }

    /// The same with secrets that others may add to while streams are read.
    pub fn with_secrets(self, secrets: Arc<Secrets>) -> Protocols {
        Protocols { secrets, ..self }
    }

    /// The same with ports: those that count as a protocol's beside its usual ones, and those that a
    /// protocol is looked for on alone (one without an entry is looked for on all).
    ///
    /// # Errors
    /// When a name is no protocol's, or that of one that is not told by ports.
    pub fn with_ports(
        self,
        further: &PortLists,
        only: &PortLists,
    ) -> Result<Protocols, PortsError> {
        let ports = Arc::new(Ports::new(further, only)?);
        Ok(Protocols { ports, ..self })
    }

    /// The same with another way to put overlapping segments together.
    pub fn with_overlap(self, overlap: OverlapPolicy) -> Protocols {
        Protocols { overlap, ..self }
    }

    /// The same with descriptors of protocol buffers; what servers tell about themselves adds to them.
    pub fn with_descriptors(self, descriptors: Arc<Descriptors>) -> Protocols {
        Protocols {
            descriptors,
            ..self
        }
    }

    /// The same with all protocols, those that are switched off among them.
    pub fn with_all(self) -> Protocols {
        Protocols {
            list: PROTOCOLS.into(),
            ..self
        }
    }

    /// The secrets.
    pub fn secrets(&self) -> &Arc<Secrets> {
        &self.secrets
    }

    /// What is looked for inside an encrypted conversation; `None` when it lies too deep.
    fn inside(&self) -> Option<Protocols> {
        let depth = self.depth + 1;
        (depth <= MAX_DEPTH).then(|| Protocols {
            depth,
            ..self.clone()
        })
    }

    /// Whether the protocol of this name is looked for.
    fn has(&self, name: &str) -> bool {
        self.iter().any(|protocol| protocol.name() == name)
    }

    /// All of these but one.
    fn without(&self, name: &str) -> Protocols {
        let others = self.iter().filter(|protocol| protocol.name() != name);
        Protocols {
            list: others.copied().collect(),
            ..self.clone()
        }
    }
}

impl Deref for Protocols {
    type Target = [&'static dyn Protocol];

    fn deref(&self) -> &[&'static dyn Protocol] {
        &self.list
    }
}

/// The protocols that the given entries of `tap.enabledDissectors` switch on; names that are none
/// come back in the second part.
pub fn enabled<'n>(names: &[&'n str]) -> (Protocols, Vec<&'n str>) {
    let wanted = PROTOCOLS
        .iter()
        .copied()
        .filter(|protocol| names.iter().any(|name| is_called(*protocol, name)));
    let known = |name: &str| PROTOCOLS.iter().any(|protocol| is_called(*protocol, name));
    let unknown = names.iter().copied().filter(|name| !known(name)).collect();
    (Protocols::new(wanted.collect()), unknown)
}

/// Whether an entry of the configuration stands for the protocol.
fn is_called(protocol: &dyn Protocol, name: &str) -> bool {
    let mut others = protocol.aliases().iter();
    protocol.enabled_by().eq_ignore_ascii_case(name)
        || others.any(|known| known.eq_ignore_ascii_case(name))
}

/// One protocol: how to know it, what its items hold, and how to read a stream of it.
pub trait Protocol: Sync {
    /// Name of the folder; unique, and part of saved states.
    fn name(&self) -> &'static str;

    /// The entry in `tap.enabledDissectors` that switches it on; protocols of one family share one.
    fn enabled_by(&self) -> &'static str {
        self.name()
    }

    /// Further entries that switch it on too.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether ports say anything about it.
    fn has_ports(&self) -> bool {
        true
    }

    /// Transports that may carry it.
    fn transports(&self) -> &'static [Transport];

    /// The kinds of item it yields.
    fn kinds(&self) -> &'static [&'static ProtocolInfo];

    /// Fields of its items below `request`, `response` and `data`.
    fn fields(&self) -> &'static [Field];

    /// What lists show of its items.
    fn columns(&self) -> Columns {
        Columns::default()
    }

    /// Looks at the first bytes of a stream, both sides.
    fn probe(&self, probe: &Probe<'_>) -> Verdict;

    /// Starts reading a stream from its first byte on, or from wherever the capture begins.
    fn start(&self, stream: &Stream) -> Box<dyn Dissector>;

    /// Starts reading a stream that another protocol handed over with `note`
    /// ([`Dissector::handover`]).
    fn take_over(&self, stream: &Stream, note: &[u8]) -> Box<dyn Dissector> {
        let _ = note;
        self.start(stream)
    }

    /// Goes on with a stream whose state was saved; `None` when `state` is not its own.
    fn restore(&self, stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>>;

    /// Conversations that the robustness suite cuts, swaps and damages.
    #[cfg(test)]
    fn samples(&self) -> Vec<robustness::Sample> {
        Vec::new()
    }
}

/// The first bytes of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// The stream.
    pub stream: &'a Stream,
    /// Ports that count as the protocol's beside its own.
    pub ports: &'a [u16],
    /// Bytes from the client so far.
    pub to_server: &'a [u8],
    /// Bytes from the server so far.
    pub to_client: &'a [u8],
}

impl Probe<'_> {
    /// Whether the server is on one of `usual` or of the further ports.
    fn server_is_on(&self, usual: &[u16]) -> bool {
        let port = self.stream.server.port;
        usual.contains(&port) || self.ports.contains(&port)
    }

    /// Whether either side is.
    fn is_on(&self, usual: &[u16]) -> bool {
        let port = self.stream.client.port;
        usual.contains(&port) || self.ports.contains(&port) || self.server_is_on(usual)
    }
}

/// Whether a stream is of a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It cannot be.
    No,
    /// More bytes are needed to tell.
    Unsure,
    /// It may well be; a certain one goes first.
    Likely,
    /// It is.
    Certain,
}

/// How much of the offered bytes a dissector took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// This many; what is left is offered again together with the next chunk. Of a datagram
    /// nothing is offered again, and 0 says that it is none of the protocol's.
    Consumed(usize),
    /// None, and it need not be asked again before this many are there.
    NeedMore(usize),
    /// Not this protocol, or beyond repair; the stream goes back to detection or is left alone.
    GiveUp(GiveUp),
}

/// Why a dissector gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// The bytes are against the protocol.
    Malformed,
    /// A cap was met.
    Limit,
    /// The stream went over to another protocol (upgrade, CONNECT, STARTTLS): detect again.
    Upgraded,
}

/// The state of one stream of one protocol.
///
/// Bytes are offered per direction and in order. Pairing, gaps and caps are the dissector's own.
pub trait Dissector: Send {
    /// Gives it what it needs for conversations inside the stream, before anything else.
    fn equip(&mut self, protocols: &Protocols) {
        let _ = protocols;
    }

    /// Reads from the front of `chunk.bytes`, which begins where the last call left off.
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome;

    /// Bytes are missing: find the way back or give up. `Consumed` counts as going on.
    ///
    /// The gap begins where the dissector left off: bytes that were offered and not taken are
    /// part of it.
    fn on_gap(&mut self, gap: &Gap, out: &mut dyn Output) -> Outcome;

    /// The sender of `direction` is done; bytes that were offered and not taken are in `rest`.
    fn on_fin(&mut self, direction: Direction, rest: &Bytes, out: &mut dyn Output);

    /// The batch that the last chunks are slices of is done: what stays open lets go of them, so
    /// that it does not keep the whole batch alive.
    fn settle(&mut self) {}

    /// The stream is over: hand out what is open.
    fn on_end(&mut self, out: &mut dyn Output);

    /// Whom the stream goes over to, asked after [`GiveUp::Upgraded`]; `None` lets detection find
    /// out.
    fn handover(&mut self) -> Option<Handover> {
        None
    }

    /// The state that a later reel of the same stream needs in order to give the same items.
    fn save(&self) -> Vec<u8>;
}

/// The protocol that a stream goes over to, and what it has to know from before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// [`Protocol::name`] of the next one.
    pub protocol: &'static str,
    /// What was agreed on, in a form that both know.
    pub note: Bytes,
}

/// Where a dissector puts what it finds.
pub trait Output {
    /// Takes one finished exchange or message.
    fn item(&mut self, draft: Draft);

    /// The same for one that came encrypted.
    fn decrypted(&mut self, draft: Draft) {
        self.item(draft);
    }

    /// Offers a whole message that the protocol carries for another one above it, as SCTP does;
    /// true when that one reads it, so that it needs no item of the carrier's.
    fn message(&mut self, message: &Chunk) -> bool {
        let _ = message;
        false
    }
}

/// An item as a dissector knows it: without names, numbers and origin.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What kind of item it is; one of the protocol's [`Protocol::kinds`].
    pub kind: &'static ProtocolInfo,
    /// Whether the asking side is the stream's client; false swaps `src` and `dst`.
    pub from_client: bool,
    /// Time of the request's first packet, else of the response's.
    pub start: Timestamp,
    /// From the request's first packet to the response's first packet.
    pub elapsed_nanos: u64,
    /// Bytes of the request as captured.
    pub request_size: u64,
    /// Bytes of the response as captured.
    pub response_size: u64,
    /// The request; `Null` when unseen.
    pub request: Value,
    /// The response; `Null` when unseen.
    pub response: Value,
    /// Payload of items without request and response.
    pub data: Value,
    /// What went wrong.
    pub error: Option<ItemError>,
    /// Ordinal of the packet that completed it.
    pub ordinal: u64,
}
