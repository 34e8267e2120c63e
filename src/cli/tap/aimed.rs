//! A live source whose first packets wait until it is known which of them are targeted.
//!
//! In: the source, and the word that it is known. Out: its packets, those of before first, without what is not
//! targeted. What does not fit into memory waits in the kernel's buffer; what does not fit there the kernel counts
//! as dropped. Never: a packet that is handed on while nobody knows whether it is targeted; one that is thrown
//! away without being counted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::filters::{Filters, Passing};
use crate::capture::targets::{SharedTargets, TargetFilter};
use crate::capture::{CaptureError, Filled, RawBatch, Source, SourceCounts};
use crate::packet::Record;
use crate::time::{Clock, SystemClock, Timestamp};

/// Time between two looks at whether it is known.
const LOOK: Duration = Duration::from_millis(20);

/// Time after which the source itself leaves out what is not targeted: the kernel's filter is another one by
/// then, and no thread that reads has a batch of before.
const SETTLED: Duration = Duration::from_secs(3);

/// Whether it is known what is captured; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<Mutex<Opens>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Opens {
    /// Nobody knows what is captured.
    #[default]
    Unknown,
    /// It is known, and what else somebody may say is waited for.
    By(Instant),
    Open,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, Opens> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is known from now on.
    pub(super) fn open(&self) {
        *self.state() = Opens::Open;
    }

    /// It is known, and packets wait so long for what else somebody may say, where there is room for them.
    pub(super) fn open_within(&self, span: Duration) {
        let mut state = self.state();
        if *state == Opens::Unknown {
            *state = Opens::By(Instant::now() + span);
        }
    }

    pub(super) fn is_known(&self) -> bool {
        *self.state() != Opens::Unknown
    }

    /// Whether packets are handed on; they are from now on when they cannot wait.
    fn is_open(&self, can_wait: bool) -> bool {
        let mut state = self.state();
        if let Opens::By(moment) = *state
            && (!can_wait || moment <= Instant::now())
        {
            *state = Opens::Open;
        }
        *state == Opens::Open
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
    /// Packets of which nobody said in time whether they are targeted.
    unknown: u64,
    is_over: bool,
    /// What the source said last, when it is not to be read any more.
    ended: Option<Result<(), CaptureError>>,
}

/// Judges what the source has read, and may hold, of the time before the gate was open.
struct Late {
    targets: TargetFilter,
    filter: Passing,
    /// What is younger the source has judged itself; known once it is read again.
    until: Option<Timestamp>,
}

impl Aimed {
    /// Holds `limit` bytes until `gate` is open; `targets` and `filters` then say what is handed on.
    pub(super) fn new(
        source: Box<dyn Source>,
        gate: Gate,
        targets: SharedTargets,
        filters: Filters,
        limit: usize,
    ) -> Aimed {
        let late = (!gate.is_open(true)).then(|| Late {
            targets: TargetFilter::new(targets),
            filter: Passing::new(filters),
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
            unknown: 0,
            is_over: false,
            ended: None,
        }
    }

    /// Reads into memory as long as there is room.
    fn hold(&mut self) -> Result<Filled, CaptureError> {
        if self.held >= self.limit && !self.is_over {
            std::thread::sleep(LOOK);
            return Ok(Filled::Idle);
        }
        let mut batch = RawBatch::default();
        let filled = self.source.fill(&mut batch);
        if !batch.records.is_empty() {
            self.held += memory_of(&batch);
            self.waiting.push_back(batch);
        }
        let is_last = !matches!(filled, Ok(Filled::More | Filled::Idle));
        if is_last || self.is_over && !self.gate.is_known() {
            self.is_over = true;
            if !self.gate.is_known() {
                self.unknown += self.packets_held();
                self.waiting.clear();
                self.held = 0;
                return filled;
            }
            self.ended = is_last.then(|| filled.map(drop));
        }
        Ok(Filled::Idle)
    }

    fn packets_held(&self) -> u64 {
        let packets = self.waiting.iter().map(|batch| batch.records.len());
        u64::try_from(packets.sum::<usize>()).unwrap_or(u64::MAX)
    }

    /// What the source has, unless it has ended.
    fn read(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        match self.ended.take() {
            Some(Err(error)) => Err(error),
            Some(Ok(())) => Ok(Filled::End),
            None => self.source.fill(batch),
        }
    }
}

fn memory_of(batch: &RawBatch) -> usize {
    batch.bytes.capacity() + batch.records.capacity() * size_of::<Record>()
}

impl Source for Aimed {
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        if self.late.is_none() {
            return self.source.fill(batch);
        }
        let can_wait = self.held < self.limit && !self.is_over;
        if !self.gate.is_open(can_wait) {
            return self.hold();
        }
        let mut is_past = false;
        let filled = match self.waiting.pop_front() {
            Some(first) => {
                self.held = self.held.saturating_sub(memory_of(&first));
                *batch = first;
                Filled::More
            }
            None => {
                let filled = self.read(batch)?;
                if let Some(late) = &mut self.late {
                    let until = late
                        .until
                        .get_or_insert_with(|| SystemClock.now() + SETTLED);
                    is_past = batch.records.first().is_some_and(|first| first.ts > *until);
                }
                filled
            }
        };
        if let Some(late) = &mut self.late {
            self.left_out += late.targets.leave_out(batch, 0) + late.filter.leave_out(batch);
        }
        if is_past {
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
        let held = self.packets_held();
        let away = self.left_out + self.unknown + held;
        counts.received = counts.received.saturating_sub(away);
        counts.not_targeted += self.left_out;
        counts.targets_unknown += self.unknown;
        if !self.gate.is_known() {
            counts.waiting += held;
        }
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

    fn aimed(gate: &Gate, targets: &SharedTargets, filters: Filters, limit: usize) -> Aimed {
        let source = Box::new(Full::default());
        Aimed::new(source, gate.clone(), targets.clone(), filters, limit)
    }

    /// The times of what is handed on, and what is said of more.
    fn fill(source: &mut Aimed) -> (Filled, Vec<i64>) {
        let mut batch = RawBatch::default();
        let filled = source.fill(&mut batch).unwrap();
        let times = batch.records.iter().map(|record| record.ts.secs());
        (filled, times.collect())
    }

    #[test]
    fn what_came_before_the_targets_are_known_is_judged_by_them() {
        let (gate, targets) = (Gate::default(), SharedTargets::default());
        let mut source = aimed(&gate, &targets, Filters::default(), 1000);
        for _ in 0..50 {
            assert_eq!(fill(&mut source), (Filled::Idle, vec![]));
        }
        assert!(source.counts().waiting > 0);
        let mut set = TargetSet::default();
        set.ips.insert([10, 0, 0, 7].into());
        targets.set(Some(set));
        gate.open();
        // In order, those that were held and those behind them, none of the other pod.
        for at in 1..=20 {
            assert_eq!(fill(&mut source), (Filled::More, vec![at]));
        }
        let counts = source.counts();
        assert_eq!(counts.not_targeted, 20);
        assert_eq!(counts.received, 20);
        assert_eq!((counts.targets_unknown, counts.waiting), (0, 0));
        assert!(source.waiting.is_empty());
    }

    #[cfg(feature = "live")]
    #[test]
    fn what_came_before_a_capture_filter_is_known_is_judged_by_it() {
        let (gate, filters) = (Gate::default(), Filters::default());
        let mut source = aimed(&gate, &SharedTargets::default(), filters.clone(), 1000);
        assert_eq!(fill(&mut source), (Filled::Idle, vec![]));
        filters
            .choose(Some("host 10.0.0.7 and udp port 9"))
            .unwrap();
        gate.open();
        for at in 1..=5 {
            assert_eq!(fill(&mut source), (Filled::More, vec![at]));
        }
        filters.choose(Some("tcp")).unwrap();
        assert_eq!(fill(&mut source), (Filled::More, vec![]));
        assert_eq!(source.counts().not_targeted, 7);
    }

    #[test]
    fn packets_wait_for_what_else_is_said_as_long_as_there_is_room() {
        let gate = Gate::default();
        gate.open_within(Duration::from_secs(3600));
        let mut source = aimed(&gate, &SharedTargets::default(), Filters::default(), 1000);
        let mut idle = 0;
        while fill(&mut source) == (Filled::Idle, vec![]) {
            idle += 1;
            assert!(idle < 50);
        }
        assert!(idle > 1);
        assert_eq!(source.counts().waiting, 0);
        for at in 2..=20 {
            assert_eq!(fill(&mut source), (Filled::More, vec![at, at]));
        }
        let gate = Gate::default();
        gate.open_within(Duration::ZERO);
        let mut source = aimed(&gate, &SharedTargets::default(), Filters::default(), 1000);
        assert_eq!(fill(&mut source), (Filled::More, vec![1, 1]));
    }

    #[test]
    fn what_nobody_knows_anything_of_at_the_end_is_counted_and_not_handed_on() {
        let gate = Gate::default();
        let mut source = aimed(&gate, &SharedTargets::default(), Filters::default(), 1000);
        assert_eq!(fill(&mut source), (Filled::Idle, vec![]));
        assert_eq!(source.counts().waiting, 2);
        source.finish();
        // What the kernel holds counts too.
        assert_eq!(fill(&mut source), (Filled::More, vec![]));
        let counts = source.counts();
        assert_eq!((counts.targets_unknown, counts.waiting), (4, 0));
        assert_eq!(counts.received, 0);
    }

    /// Has one packet, and fails.
    struct Failing(Full);

    impl Source for Failing {
        fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
            match self.0.0 {
                0 => self.0.fill(batch),
                _ => Err(CaptureError::Live {
                    interface: "eth0".to_owned(),
                    reason: "it is gone".to_owned(),
                }),
            }
        }

        fn counts(&mut self) -> SourceCounts {
            self.0.counts()
        }
    }

    #[test]
    fn a_capture_that_fails_before_it_is_known_what_is_captured_says_what_is_lost() {
        let open = |gate: &Gate| {
            let source = Box::new(Failing(Full::default()));
            let targets = SharedTargets::default();
            Aimed::new(source, gate.clone(), targets, Filters::default(), 1000)
        };
        let gate = Gate::default();
        let mut source = open(&gate);
        assert_eq!(fill(&mut source), (Filled::Idle, vec![]));
        let mut batch = RawBatch::default();
        assert!(source.fill(&mut batch).is_err());
        assert_eq!(source.counts().targets_unknown, 2);
        // Where it is known, what waited is handed on before.
        gate.open_within(Duration::from_secs(3600));
        let mut source = open(&gate);
        assert_eq!(fill(&mut source), (Filled::Idle, vec![]));
        assert_eq!(fill(&mut source), (Filled::Idle, vec![]));
        assert_eq!(fill(&mut source), (Filled::More, vec![1, 1]));
        assert!(source.fill(&mut batch).is_err());
        assert_eq!(source.counts().targets_unknown, 0);
    }
}
