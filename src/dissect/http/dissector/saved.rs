//! The state of a stream as bytes, from which a later reel goes on.
//!
//! In: a state. Out: bytes, and the state again; bytes that are damaged are refused. Never: heads
//! that have not ended, which are offered again.

use bytes::Bytes;

use super::{Http, MAX_OPEN, Reading, Side};
use crate::bytes::Reader;
use crate::dissect::http::body::Body;
use crate::dissect::http::exchange::{Exchange, flag, load_bytes, save_bytes};
use crate::dissect::http::parser::MAX_HEAD;
use crate::dissect::{Handover, PROTOCOLS};
use crate::item::MAX_ITEM_BODY;
use crate::packet::Direction;

/// Longest note of a handover: a head, what a repair may add, and a body.
const MAX_NOTE: usize = 2 * MAX_HEAD + 2 * MAX_ITEM_BODY;

/// First byte of a saved state.
const SAVE_VERSION: u8 = 3;

impl Http {
    /// The state as bytes, for [`Http::load`].
    pub(super) fn saved(&self) -> Vec<u8> {
        let mut out = vec![SAVE_VERSION];
        let asks = match self.asks {
            None => 0,
            Some(Direction::ToServer) => 1,
            Some(Direction::ToClient) => 2,
        };
        out.push(asks);
        let pairing = u8::from(self.pipelined) | u8::from(self.doubtful) << 1;
        out.extend([u8::from(self.knows_sides), pairing, u8::from(self.upgraded)]);
        out.extend_from_slice(&self.expired.to_be_bytes());
        for side in [&self.requests, &self.responses] {
            side.save(self.first, &mut out);
        }
        out.extend_from_slice(&u32::try_from(self.open.len()).unwrap_or(0).to_be_bytes());
        for exchange in &self.open {
            exchange.save(&mut out);
        }
        out.push(u8::from(self.next.is_some()));
        if let Some(next) = &self.next {
            save_bytes(next.protocol.as_bytes(), &mut out);
            save_bytes(&next.note, &mut out);
        }
        out
    }

    /// Reads back what [`Http::saved`] wrote; `None` when the bytes are not that.
    pub(in crate::dissect::http) fn load(state: &[u8]) -> Option<Http> {
        let mut reader = Reader::new(state);
        let from = &mut reader;
        (from.u8().ok()? == SAVE_VERSION).then_some(())?;
        let mut http = Http::beginning(true, false);
        http.asks = match from.u8().ok()? {
            0 => None,
            1 => Some(Direction::ToServer),
            2 => Some(Direction::ToClient),
            _ => return None,
        };
        http.knows_sides = flag(from)?;
        [http.pipelined, http.doubtful, _] = flags(from)?;
        http.upgraded = flag(from)?;
        http.expired = from.u64().ok()?;
        http.first = http.expired;
        http.requests = Side::load(http.first, from)?;
        http.responses = Side::load(http.first, from)?;
        let count = usize::try_from(from.u32().ok()?).ok()?;
        (count <= MAX_OPEN).then_some(())?;
        for _ in 0..count {
            let exchange = Exchange::load(from)?;
            http.weight += exchange.weight();
            http.open.push_back(exchange);
        }
        http.next = match flag(from)? {
            true => Some(load_handover(from)?),
            false => None,
        };
        http.ripe = true;
        from.is_empty().then_some(http)
    }
}

/// Reads three flags, the first of them the lowest bit.
fn flags(from: &mut Reader<'_>) -> Option<[bool; 3]> {
    let bits = from.u8().ok().filter(|bits| *bits < 8)?;
    Some([0, 1, 2].map(|at| bits >> at & 1 != 0))
}

fn load_handover(from: &mut Reader<'_>) -> Option<Handover> {
    let name = load_bytes(from, MAX_NOTE)?;
    let protocol = PROTOCOLS
        .iter()
        .map(|protocol| protocol.name())
        .find(|known| known.as_bytes() == name)?;
    Some(Handover {
        protocol,
        note: Bytes::copy_from_slice(load_bytes(from, MAX_NOTE)?),
    })
}

impl Side {
    /// Serials are written as places in the list of open exchanges.
    fn save(&self, first: u64, out: &mut Vec<u8>) {
        let lost = [self.loose, self.gapped, self.missed];
        out.push(
            lost.iter()
                .rev()
                .fold(0, |bits, bit| bits << 1 | u8::from(*bit)),
        );
        out.extend_from_slice(&self.lost.to_be_bytes());
        match self.reading {
            Reading::Head => out.push(0),
            Reading::Body(body, serial) => {
                out.push(1);
                body.save(out);
                let place = serial.checked_sub(first).unwrap_or(u64::MAX);
                out.extend_from_slice(&place.to_be_bytes());
            }
            Reading::Lost => out.push(2),
            Reading::Tunnel => out.push(3),
        }
    }

    fn load(first: u64, from: &mut Reader<'_>) -> Option<Side> {
        let [loose, gapped, missed] = flags(from)?;
        Some(Side {
            loose,
            gapped,
            missed,
            lost: from.u64().ok()?,
            reading: match from.u8().ok()? {
                0 => Reading::Head,
                1 => Reading::Body(Body::load(from)?, from.u64().ok()?.saturating_add(first)),
                2 => Reading::Lost,
                3 => Reading::Tunnel,
                _ => return None,
            },
            scanned: 0,
            pending: None,
        })
    }
}
