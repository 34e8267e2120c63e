//! A live source whose first packets wait until it is known which of them are targeted.
//!
//! In: the source, and the word that it is known. Out: its packets, those of before first, without what is not
//! targeted. What does not fit into memory waits in the kernel's buffer; what does not fit there the kernel counts
//! as dropped. Never: a packet that is handed on while nobody knows whether it is targeted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::capture::targets::{SharedTargets, TargetFilter};
use crate::capture::{CaptureError, Filled, RawBatch, Source, SourceCounts};
use crate::packet::Record;
use crate::time::{Clock, SystemClock, Timestamp};

/// Time between two looks at whether it is known.
const LOOK: Duration = Duration::from_millis(20);

/// Whether it is known what is captured; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<AtomicBool>);

impl Gate {
    /// It is known from now on.
    pub(super) fn open(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A source behind a gate. What a live source never tells is left out.
pub(super) struct Aimed {
    source: Box<dyn Source>,
    gate: Gate,
    /// What was read before the gate was open.
    waiting: VecDeque<RawBatch>,
    /// Its memory, and how much there may be.
    held: usize,
    limit: usize,
    late: Option<Late>,
    left_out: u64,
    is_over: bool,
}

/// Judges what the source has read, and may hold, of the time before the gate was open.
struct Late {
    filter: TargetFilter,
    until: Option<Timestamp>,
}

impl Aimed {
    /// Holds `limit` bytes until `gate` is open; `targets` then say what is handed on.
    pub(super) fn new(
        source: Box<dyn Source>,
        gate: Gate,
        targets: SharedTargets,
        limit: usize,
    ) -> Aimed {
        let late = (!gate.is_open()).then(|| Late {
            filter: TargetFilter::new(targets),
            until: None,
        });
        Aimed {
            source,
            gate,
            waiting: VecDeque::new(),
            held: 0,
            limit,
            late,
            left_out: 0,
            is_over: false,
        }
    }

    /// Reads into memory as long as there is room.
    fn hold(&mut self) -> Result<Filled, CaptureError> {
        if self.held >= self.limit {
            std::thread::sleep(LOOK);
            return Ok(Filled::Idle);
        }
        let mut batch = RawBatch::default();
        let filled = self.source.fill(&mut batch)?;
        if !batch.records.is_empty() {
            self.held += memory_of(&batch);
            self.waiting.push_back(batch);
        }
        Ok(match filled {
            Filled::More => Filled::Idle,
            other => other,
        })
    }
}

fn memory_of(batch: &RawBatch) -> usize {
    batch.bytes.capacity() + batch.records.capacity() * size_of::<Record>()
}

impl Source for Aimed {
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        let is_open = self.gate.is_open();
        let Some(late) = &mut self.late else {
            return self.source.fill(batch);
        };
        if !is_open {
            return match self.is_over {
                true => Ok(Filled::End),
                false => self.hold(),
            };
        }
        let until = *late.until.get_or_insert_with(|| SystemClock.now());
        let filled = match self.waiting.pop_front() {
            Some(first) => {
                *batch = first;
                Filled::More
            }
            None => self.source.fill(batch)?,
        };
        let is_late = batch.records.first().is_none_or(|first| first.ts <= until);
        self.left_out += late.filter.leave_out(batch, 0);
        if !is_late {
            self.late = None;
        }
        Ok(filled)
    }

    fn finish(&mut self) {
        self.is_over = true;
        self.source.finish();
    }

    fn counts(&mut self) -> SourceCounts {
        let mut counts = self.source.counts();
        counts.received = counts.received.saturating_sub(self.left_out);
        counts.not_targeted += self.left_out;
        counts
    }

    fn interface_name(&self, interface: u32) -> Option<String> {
        self.source.interface_name(interface)
    }

    fn warnings(&mut self) -> Vec<String> {
        self.source.warnings()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::targets::TargetSet;
    use crate::packet::savefile::PacketHead;
    use crate::packet::{LinkType, Position};

    /// Has a packet of each of two pods at once, of a time that rises with each call.
    #[derive(Default)]
    struct Full(i64);

    impl Source for Full {
        fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
            self.0 += 1;
            for pod in [7, 8] {
                let mut bytes = vec![0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0];
                bytes.extend([10, 0, 0, pod, 192, 0, 2, 1]);
                bytes.extend([0, 9, 0, 9, 0, 8, 0, 0]);
                let head = PacketHead {
                    ts: Timestamp::from_secs(self.0, 0),
                    caplen: 28,
                    len: 28,
                    linktype: LinkType::RAW,
                    interface: 0,
                };
                batch.push(&head, Position::default(), &bytes);
            }
            Ok(Filled::More)
        }

        fn counts(&mut self) -> SourceCounts {
            SourceCounts {
                received: 2 * self.0.unsigned_abs(),
                ..SourceCounts::default()
            }
        }
    }

    #[test]
    fn what_came_before_the_targets_are_known_is_judged_by_them() {
        let (gate, targets) = (Gate::default(), SharedTargets::default());
        let source = Box::new(Full::default());
        let mut source = Aimed::new(source, gate.clone(), targets.clone(), 1000);
        let mut fill = || {
            let mut batch = RawBatch::default();
            let filled = source.fill(&mut batch).unwrap();
            let times = batch.records.iter().map(|record| record.ts.secs());
            (filled, times.collect::<Vec<_>>())
        };
        for _ in 0..50 {
            assert_eq!(fill(), (Filled::Idle, vec![]));
        }
        let mut set = TargetSet::default();
        set.ips.insert([10, 0, 0, 7].into());
        targets.set(Some(set));
        gate.open();
        // In order, those that were held and those behind them, none of the other pod.
        for at in 1..=20 {
            assert_eq!(fill(), (Filled::More, vec![at]));
        }
        let counts = source.counts();
        assert_eq!(counts.not_targeted, 20);
        assert_eq!(counts.received, 20);
        assert!(source.waiting.is_empty());
        // Nothing of what nobody knows anything of is handed on at the end.
        let source = Box::new(Full::default());
        let mut source = Aimed::new(source, Gate::default(), SharedTargets::default(), 1000);
        let mut batch = RawBatch::default();
        assert_eq!(source.fill(&mut batch).unwrap(), Filled::Idle);
        source.finish();
        assert_eq!(source.fill(&mut batch).unwrap(), Filled::End);
        assert!(batch.records.is_empty());
    }
}
