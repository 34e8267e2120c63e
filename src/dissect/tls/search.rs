//! The way back into a protected direction after lost packets.
//!
//! In: a count of lost bytes, and what comes after. Out: the first record that can be opened, its
//! number, and how much plaintext is missing. Never: a record taken on its looks; its authentication
//! tells.

use super::cipher::Opened;
use super::dissector::TlsDissector;
use super::exchange::Moment;
use super::half::{Cover, Loss, Stage};
use super::record::{HEADER, Head, MAX_PAYLOAD};
use crate::dissect::{Outcome, Output};
use crate::flow::Chunk;
use crate::packet::Direction;

/// Numbers that are tried for the first record after lost packets; a lost window of 64 KiB has
/// fewer records in all but strange traffic.
const MAX_LOST_RECORDS: u64 = 256;

/// Bytes after a gap in which the next record must be found: two of the longest.
const MAX_SEARCH: u64 = 2 * (HEADER + MAX_PAYLOAD) as u64;

impl TlsDissector {
    /// Looks for the next record that can be opened, and for its number.
    pub(super) fn search(&mut self, loss: Loss, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        let direction = chunk.direction;
        let at = Moment::of(chunk);
        let mut from = 0;
        while let Some(rest) = chunk.bytes.get(from..)
            && rest.len() >= HEADER
        {
            let Some(head) = Head::parse(rest) else {
                from += 1;
                continue;
            };
            let Some(payload) = rest.get(HEADER..head.record_len()) else {
                if from == 0 {
                    return Outcome::NeedMore(head.record_len());
                }
                break;
            };
            let lost = loss.bytes + from as u64;
            if let Some((opened, gap)) = self.find_place(direction, lost, &head, payload) {
                self.half(direction).loss = None;
                match gap {
                    Some(len) => self.inner.gap(direction, len, at, out),
                    None => self.inner.end(out),
                }
                self.opened(direction, opened, at, out);
                return Outcome::Consumed(from + head.record_len());
            }
            from += 1;
        }
        let half = self.half(direction);
        let passed = from as u64;
        half.loss = Some(Loss {
            bytes: loss.bytes + passed,
            searched: loss.searched + passed,
        });
        if loss.searched + passed > MAX_SEARCH || half.tries_left == 0 {
            self.lose(direction, at, out);
            return Outcome::Consumed(chunk.bytes.len());
        }
        if from == 0 {
            return Outcome::NeedMore(HEADER);
        }
        Outcome::Consumed(from)
    }

    /// Tries the numbers that a record may have after `lost` bytes. With it come the bytes of
    /// plaintext that are missing, where they can be told: protection adds the same to each record.
    fn find_place(
        &mut self,
        direction: Direction,
        lost: u64,
        head: &Head,
        payload: &[u8],
    ) -> Option<(Opened, Option<u64>)> {
        let half = self.half(direction);
        let Cover::Open(opener) = &half.cover else {
            return None;
        };
        let overhead = opener.overhead().map(|bytes| bytes as u64);
        // Before the first protected record, what was lost may have been plain.
        let fewest = if half.sequence == 0 {
            0
        } else {
            lost.div_ceil((HEADER + MAX_PAYLOAD) as u64)
        };
        let most = lost / overhead.unwrap_or(HEADER as u64).max(1);
        for records in fewest..=most.min(fewest + MAX_LOST_RECORDS) {
            half.tries_left = half.tries_left.checked_sub(1)?;
            let number = half.sequence.saturating_add(records);
            if let Some(opened) = opener.open(number, head, payload) {
                half.sequence = number.saturating_add(1);
                let added = overhead.map(|overhead| overhead * records);
                return Some((opened, added.and_then(|added| lost.checked_sub(added))));
            }
        }
        if half.stage != Stage::Handshake {
            return None;
        }
        // The end of the handshake may have been among what was lost.
        let opener = self.opener(direction, Stage::Application, 0)?;
        for number in 0..=most.min(MAX_LOST_RECORDS) {
            let half = self.half(direction);
            half.tries_left = half.tries_left.checked_sub(1)?;
            if let Some(opened) = opener.open(number, head, payload) {
                half.seal(Stage::Application, half.session);
                half.sequence = number + 1;
                half.cover = Cover::Open(Box::new(opener));
                if direction == self.asking {
                    self.exchange.client_done = true;
                } else {
                    self.exchange.server_done = true;
                }
                return Some((opened, None));
            }
        }
        None
    }
}
