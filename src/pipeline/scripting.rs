//! The scripts as a consumer.

use std::sync::Arc;

use super::{Consumer, Encoded, Step};
use crate::item::Item;
use crate::packet::Decoded;
use crate::script::supervisor::Scripts;
use crate::script::wire::PacketSummary;
use crate::time::SetClock;

/// Tells the scripts what happens; packets before the items that they complete.
pub struct ScriptsConsumer {
    /// The scripts.
    pub scripts: Arc<Scripts>,
    /// Shows packet time; what scripts see as the time in offline runs.
    pub clock: Arc<SetClock>,
    /// Whether `onItemQueried` is asked about every item, and not only about those that somebody
    /// looks at (`scripting.queryEveryItem`).
    pub query_all: bool,
}

impl Consumer for ScriptsConsumer {
    fn on_step(&mut self, step: &Step, items: &[Item], encoded: &Encoded<'_>) {
        let batch = &step.batch;
        self.clock.advance(batch.now);
        if let Some(last) = batch.packets.last()
            && self.scripts.wants_packets()
        {
            let summaries = batch.packets.iter().map(|packet| PacketSummary {
                at: packet.record.ts,
                caplen: packet.record.caplen,
                len: packet.record.len,
                fragmented: packet.decoded == Decoded::Fragment,
            });
            self.scripts
                .tell_packets(&Arc::new(summaries.collect()), last.ordinal, batch.now);
        }
        match items.last() {
            Some(last) if self.scripts.wants_items() => {
                let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
                self.scripts
                    .tell_items(encoded.records(), count, last.number, batch.now);
            }
            _ => self.scripts.advance(batch.now),
        }
        if self.query_all && !items.is_empty() && self.scripts.wants_queried() {
            self.scripts.query_all(encoded.records());
        }
    }
}
