//! Flows and streams: which packet belongs to which stream, and TCP bytes in order.
//!
//! In: packets with their headers, in capture order. Out: for the one thread that reads the source,
//! stream and direction of each packet ([`Table`]); for the workers, chunks and gaps of each stream
//! in order ([`Reassembly`]). Never: sockets, clocks (time comes with the packets), protocol knowledge.
//! Standards: RFC 9293 (TCP), RFC 768 (UDP), RFC 791 and RFC 8200 (fragments, put together in `packet`).

mod datagrams;
mod reassembly;
mod table;
mod translated;

use bytes::Bytes;

use crate::packet::{Direction, Endpoint, StreamName};
use crate::time::Timestamp;

pub use datagrams::Datagrams;
pub use reassembly::{Budget, OverlapPolicy, Reassembly, ReassemblyCounts, Segment, State};
pub use table::{Assigned, Limits, Table, TableCounts};

/// Saved offsets from here on are not believed: real ones are far below, and sums of these could
/// overflow.
const MAX_OFFSET: u64 = 1 << 62;

/// What is known of a stream when its first packet arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInfo {
    /// Number and transport.
    pub name: StreamName,
    /// The side that opened, or that is taken for it.
    pub client: Endpoint,
    /// The side that answered.
    pub server: Endpoint,
    /// How the sides were told apart.
    pub opening: Opening,
    /// Time of the first packet.
    pub first: Timestamp,
}

/// How client and server were told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// The SYN was seen.
    Syn,
    /// Only the SYN-ACK was seen.
    SynAck,
    /// One side uses a well-known or the lower port.
    Port,
    /// The first packet's sender is taken for the client.
    FirstPacket,
}

/// Bytes of one direction, in order.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Which way they went.
    pub direction: Direction,
    /// Offset of the first byte; counts from the first byte after the SYN (of a UDP conversation: bytes so far).
    pub offset: u64,
    /// The bytes; for UDP one whole datagram.
    pub bytes: Bytes,
    /// Capture time of the packet that brought the first byte.
    pub ts: Timestamp,
    /// Ordinal of the packet that made the chunk complete.
    pub ordinal: u64,
}

/// Bytes that were never seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Which way they went.
    pub direction: Direction,
    /// Offset of the first missing byte.
    pub offset: u64,
    /// Count of missing bytes.
    pub len: u64,
    /// Capture time of the packet that showed the gap.
    pub ts: Timestamp,
    /// Ordinal of that packet.
    pub ordinal: u64,
}

/// What reassembly hands on.
#[derive(Debug, Clone)]
pub enum Event {
    /// The next bytes of a direction.
    Chunk(Chunk),
    /// Bytes that will not come.
    Gap(Gap),
    /// The sender of this direction is done (FIN in order).
    Fin(Direction),
    /// The connection was reset by the sender of this direction.
    Rst(Direction),
}
