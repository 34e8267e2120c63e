//! The processes of this node at the ends of items.
//!
//! In: streams that begin, and items. Out: items whose ends on this node name their process, as far as
//! it is known by then. Never: an item that waits for it.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Consumer, Encoded, Step};
use crate::capture::process::Processes;
use crate::item::Item;
use crate::packet::{FiveTuple, StreamId};

/// Streams whose processes were looked for once more; then the older half is forgotten.
const MAX_ASKED: usize = 16_384;

/// Times that a stream's processes are looked for after its beginning.
const TRIES: u8 = 3;

/// Names the processes of items.
pub struct ProcessConsumer {
    processes: Arc<Processes>,
    asked: HashMap<StreamId, u8, ahash::RandomState>,
}

impl ProcessConsumer {
    /// Asks `processes`.
    pub fn new(processes: Arc<Processes>) -> ProcessConsumer {
        ProcessConsumer {
            processes,
            asked: HashMap::default(),
        }
    }

    fn name(&mut self, item: &mut Item) {
        let flow = FiveTuple {
            src: item.src.endpoint,
            dst: item.dst.endpoint,
            transport: item.stream.transport,
        };
        item.src.process = self.processes.at_source(flow);
        item.dst.process = self.processes.at_source(flow.reversed());
        if item.src.process.is_some() || item.dst.process.is_some() {
            return;
        }
        if self.asked.len() >= MAX_ASKED {
            self.asked.clear();
        }
        let tries = self.asked.entry(item.stream.stream).or_default();
        if *tries < TRIES {
            *tries += 1;
            self.processes.want(flow);
        }
    }
}

impl Consumer for ProcessConsumer {
    fn mark(&mut self, step: &Step, items: &mut [Item]) {
        for info in &step.opened {
            self.processes.begins(FiveTuple {
                src: info.client,
                dst: info.server,
                transport: info.name.transport,
            });
        }
        for item in items {
            self.name(item);
        }
    }

    fn on_step(&mut self, _: &Step, _: &[Item], _: &Encoded<'_>) {}
}
