//! Made TCP connections.
//!
//! In: what each side says. Out: handshake, segments with acknowledgments, close. Standard: RFC 9293.

use std::net::SocketAddr;
use std::time::Duration;

use etherparse::TcpHeader;

use super::{Frame, Wire};
use crate::packet::{Direction, TcpFlags};
use crate::time::Timestamp;

/// Payload of a segment unless [`Tcp::mss`] says otherwise: Ethernet's 1500 less two headers.
const MSS: usize = 1460;

/// Most payload that fits an IPv4 packet with both headers, options left aside.
const MAX_MSS: usize = 65_000;

/// A connection in the making; the handshake comes before the first word.
#[derive(Debug, Clone)]
pub struct Tcp {
    wire: Wire,
    mss: usize,
    acks: bool,
    opened: bool,
    last: Direction,
    to_server: u32,
    to_client: u32,
}

/// A connection between two endpoints, as `([10, 0, 0, 1], 40000)`.
pub fn tcp(client: impl Into<SocketAddr>, server: impl Into<SocketAddr>) -> Tcp {
    Tcp {
        wire: Wire::new(client.into(), server.into()),
        mss: MSS,
        acks: true,
        opened: false,
        last: Direction::ToServer,
        to_server: 1000,
        to_client: 5000,
    }
}

impl Tcp {
    /// Lets the next packet be captured at `ts`.
    pub fn at(mut self, ts: Timestamp) -> Tcp {
        self.wire.now = ts;
        self
    }

    /// Lets time pass before the next packet.
    pub fn wait(mut self, time: Duration) -> Tcp {
        self.wire.now = self.wire.now + time;
        self
    }

    /// Sets the most bytes that a segment carries.
    pub fn mss(mut self, bytes: usize) -> Tcp {
        self.mss = bytes.clamp(1, MAX_MSS);
        self
    }

    /// Sets the initial sequence numbers of client and server; before the first word.
    pub fn isn(mut self, client: u32, server: u32) -> Tcp {
        self.to_server = client;
        self.to_client = server;
        self
    }

    /// Leaves out the handshake: the capture begins in the middle.
    pub fn without_handshake(mut self) -> Tcp {
        self.opened = true;
        self
    }

    /// Leaves out segments that only acknowledge.
    pub fn without_acks(mut self) -> Tcp {
        self.acks = false;
        self
    }

    /// The client says something.
    pub fn to_server(self, bytes: impl AsRef<[u8]>) -> Tcp {
        self.say(Direction::ToServer, bytes.as_ref())
    }

    /// The server says something.
    pub fn to_client(self, bytes: impl AsRef<[u8]>) -> Tcp {
        self.say(Direction::ToClient, bytes.as_ref())
    }

    /// Whoever spoke last says `bytes` bytes more, which the capture misses.
    pub fn gap(mut self, bytes: u32) -> Tcp {
        self.open();
        let seq = self.seq(self.last);
        *seq = seq.wrapping_add(bytes);
        self
    }

    /// Whoever spoke last closes, then the other side does.
    pub fn fin(mut self) -> Vec<Frame> {
        self.open();
        let (first, second) = (self.last.other(), self.last);
        for direction in [first, second] {
            self.segment(direction, TcpFlags::FIN | TcpFlags::ACK, &[]);
            let seq = self.seq(direction);
            *seq = seq.wrapping_add(1);
        }
        self.segment(first, TcpFlags::ACK, &[]);
        self.wire.frames
    }

    /// Whoever spoke last resets the connection.
    pub fn rst(mut self) -> Vec<Frame> {
        self.open();
        self.segment(self.last, TcpFlags::RST | TcpFlags::ACK, &[]);
        self.wire.frames
    }

    /// The connection stays open; the capture ends.
    pub fn end(mut self) -> Vec<Frame> {
        self.open();
        self.wire.frames
    }

    fn seq(&mut self, direction: Direction) -> &mut u32 {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    fn open(&mut self) {
        if self.opened {
            return;
        }
        self.opened = true;
        self.segment(Direction::ToServer, TcpFlags::SYN, &[]);
        self.to_server = self.to_server.wrapping_add(1);
        self.segment(Direction::ToClient, TcpFlags::SYN | TcpFlags::ACK, &[]);
        self.to_client = self.to_client.wrapping_add(1);
        self.segment(Direction::ToServer, TcpFlags::ACK, &[]);
    }

    fn say(mut self, direction: Direction, bytes: &[u8]) -> Tcp {
        self.open();
        self.last = direction;
        for part in bytes.chunks(self.mss) {
            self.segment(direction, TcpFlags::PSH | TcpFlags::ACK, part);
            let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
            let seq = self.seq(direction);
            *seq = seq.wrapping_add(len);
            if self.acks {
                self.segment(direction.other(), TcpFlags::ACK, &[]);
            }
        }
        self
    }

    fn segment(&mut self, direction: Direction, flags: u8, payload: &[u8]) {
        let (src, dst) = self.wire.ends(direction);
        let flags = TcpFlags(flags);
        let mut header = TcpHeader::new(src.port(), dst.port(), *self.seq(direction), u16::MAX);
        header.syn = flags.has(TcpFlags::SYN);
        header.fin = flags.has(TcpFlags::FIN);
        header.rst = flags.has(TcpFlags::RST);
        header.psh = flags.has(TcpFlags::PSH);
        if flags.has(TcpFlags::ACK) {
            header.ack = true;
            header.acknowledgment_number = *self.seq(direction.other());
        }
        let builder = self.wire.headers(direction).tcp_header(header);
        let mut bytes = Vec::with_capacity(builder.size(payload.len()));
        builder
            .write(&mut bytes, payload)
            .expect("a segment of at most 64 KiB is written to memory");
        self.wire.put(bytes);
    }
}
