//! Saving and restoring a connection.
//!
//! ```text
//! state  = version u8, asks u8, certain u8, found u8, finished u8, gone u8, code u32, side, side,
//!          count u32, count x closed stream u32, count u32, count x (stream u32, exchange), tunnels
//! ```
//!
//! Numbers are big-endian; sides, exchanges and tunnels are as their files say.

use super::Connection;
use crate::bytes::Reader;
use crate::dissect::http::exchange::flag;
use crate::dissect::http::h2::exchange::Exchange;
use crate::dissect::http::h2::side::Side;
use crate::dissect::http::h2::streams::{MAX_CLOSED, MAX_OPEN};
use crate::dissect::http::h2::tunnel::Tunnels;
use crate::packet::Direction;

/// First byte of a saved state.
const SAVE_VERSION: u8 = 2;

impl Connection {
    /// Writes it for [`Connection::load`].
    pub(super) fn saved(&self) -> Vec<u8> {
        let mut out = vec![SAVE_VERSION];
        let asks = self.asks == Direction::ToServer;
        for flag in [asks, self.certain, self.found, self.finished] {
            out.push(u8::from(flag));
        }
        out.push(u8::from(self.goaway.is_some()));
        out.extend_from_slice(&self.goaway.unwrap_or(0).to_be_bytes());
        self.to_server.save(&mut out);
        self.to_client.save(&mut out);
        let count = |count: usize| u32::try_from(count).unwrap_or(0).to_be_bytes();
        out.extend_from_slice(&count(self.closed.len()));
        for stream in &self.closed {
            out.extend_from_slice(&stream.to_be_bytes());
        }
        out.extend_from_slice(&count(self.open.len()));
        for (stream, exchange) in &self.open {
            out.extend_from_slice(&stream.to_be_bytes());
            exchange.save(&mut out);
        }
        self.tunnels.save(&mut out);
        out
    }

    /// Reads back what was written; `None` when the bytes are not that.
    pub(in super::super) fn load(state: &[u8]) -> Option<Connection> {
        let mut reader = Reader::new(state);
        let from = &mut reader;
        (from.u8().ok()? == SAVE_VERSION).then_some(())?;
        let mut connection = Connection::new();
        connection.asks = match flag(from)? {
            true => Direction::ToServer,
            false => Direction::ToClient,
        };
        connection.certain = flag(from)?;
        connection.found = flag(from)?;
        connection.finished = flag(from)?;
        let (gone, code) = (flag(from)?, from.u32().ok()?);
        connection.goaway = gone.then_some(code);
        connection.to_server = Side::load(from)?;
        connection.to_client = Side::load(from)?;
        let closed = usize::try_from(from.u32().ok()?).ok()?;
        (closed <= MAX_CLOSED).then_some(())?;
        for _ in 0..closed {
            connection.closed.push_back(from.u32().ok()?);
        }
        let count = usize::try_from(from.u32().ok()?).ok()?;
        (count <= MAX_OPEN).then_some(())?;
        for _ in 0..count {
            let stream = from.u32().ok()?;
            let exchange = Exchange::load(from)?;
            connection.weight += exchange.weight();
            connection.reflects |= exchange.learned.is_some();
            connection.open.insert(stream, Box::new(exchange));
        }
        connection.tunnels = Tunnels::load(from)?;
        from.is_empty().then_some(connection)
    }
}
