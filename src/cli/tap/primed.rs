//! A source whose first packets are read ahead, so that the time at which a recorded run begins is
//! known before its scripts start: cron, timers and `Date` follow packet time there.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::capture::{CaptureError, Filled, RawBatch, Source, SourceCounts};
use crate::item::Origin;
use crate::time::Timestamp;

/// A source with its first batch at hand.
pub(super) struct Primed {
    source: Box<dyn Source>,
    first: Option<(RawBatch, Result<Filled, CaptureError>)>,
}

impl Primed {
    /// Reads the first batch of a recorded `source`; a live one is left as it is.
    pub(super) fn new(mut source: Box<dyn Source>, is_live: bool) -> Primed {
        if is_live {
            return Primed {
                source,
                first: None,
            };
        }
        let mut batch = RawBatch::default();
        let filled = source.fill(&mut batch);
        Primed {
            source,
            first: Some((batch, filled)),
        }
    }

    /// Time of the first packet; `None` when the first batch holds none.
    pub(super) fn begins(&self) -> Option<Timestamp> {
        let (batch, _) = self.first.as_ref()?;
        batch.records.first().map(|record| record.ts)
    }
}

impl Source for Primed {
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        match self.first.take() {
            Some((first, filled)) => {
                *batch = first;
                filled
            }
            None => self.source.fill(batch),
        }
    }

    fn finish(&mut self) {
        self.source.finish();
    }

    fn counts(&mut self) -> SourceCounts {
        self.source.counts()
    }

    fn progress(&self) -> Option<(u64, u64)> {
        self.source.progress()
    }

    fn origin(&self) -> Option<Arc<Origin>> {
        self.source.origin()
    }

    fn addresses(&self) -> Option<Arc<[IpAddr]>> {
        self.source.addresses()
    }

    fn record(&self) -> Option<Arc<str>> {
        self.source.record()
    }

    fn interface_name(&self, interface: u32) -> Option<String> {
        self.source.interface_name(interface)
    }

    fn path(&self, file: u32) -> Option<PathBuf> {
        self.source.path(file)
    }

    fn key_logs(&mut self) -> Vec<Vec<u8>> {
        self.source.key_logs()
    }

    fn front_blocks(&mut self) -> Option<Vec<Vec<u8>>> {
        self.source.front_blocks()
    }

    fn back_blocks(&mut self) -> Vec<Vec<u8>> {
        self.source.back_blocks()
    }

    fn warnings(&mut self) -> Vec<String> {
        self.source.warnings()
    }
}
