//! Made UDP conversations.
//!
//! In: what each side says. Out: one datagram for each word. Standard: RFC 768.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Frame, Wire};
use crate::packet::Direction;
use crate::time::Timestamp;

/// Most payload that fits an IPv4 packet with its headers, rounded down; what is more is left out.
const MAX_PAYLOAD: usize = 65_000;

/// A conversation in the making.
#[derive(Debug, Clone)]
pub struct Udp {
    wire: Wire,
}

/// A conversation between two endpoints, as `([10, 0, 0, 1], 40000)`.
pub fn udp(client: impl Into<SocketAddr>, server: impl Into<SocketAddr>) -> Udp {
    Udp {
        wire: Wire::new(client.into(), server.into()),
    }
}

impl Udp {
    /// Lets the next packet be captured at `ts`.
    pub fn at(mut self, ts: Timestamp) -> Udp {
        self.wire.now = ts;
        self
    }

    /// Lets time pass before the next packet.
    pub fn wait(mut self, time: Duration) -> Udp {
        self.wire.now = self.wire.now + time;
        self
    }

    /// The client sends a datagram of at most 65,000 bytes.
    pub fn to_server(self, bytes: impl AsRef<[u8]>) -> Udp {
        self.say(Direction::ToServer, bytes.as_ref())
    }

    /// The server sends a datagram of at most 65,000 bytes.
    pub fn to_client(self, bytes: impl AsRef<[u8]>) -> Udp {
        self.say(Direction::ToClient, bytes.as_ref())
    }

    /// The capture ends.
    pub fn end(self) -> Vec<Frame> {
        self.wire.frames
    }

    fn say(mut self, direction: Direction, payload: &[u8]) -> Udp {
        let (src, dst) = self.wire.ends(direction);
        let payload = payload.get(..MAX_PAYLOAD).unwrap_or(payload);
        let builder = self.wire.headers(direction).udp(src.port(), dst.port());
        let mut bytes = Vec::with_capacity(builder.size(payload.len()));
        builder
            .write(&mut bytes, payload)
            .expect("a datagram of at most 64 KiB is written to memory");
        self.wire.put(bytes);
        self
    }
}
