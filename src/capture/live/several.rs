//! One interface read by several threads.
//!
//! In: captures of the same interface that share its packets ([`fanout`](super::fanout)). Out: their
//! batches, as they come. Never: a packet copied once more, a thread started before the first `fill`:
//! rights are given up in between, which takes a process of one thread.
//!
//! Order: the packets of a flow come by one thread, and stay in the order in which the kernel had them.
//! Those of other flows come before or behind them by a batch, a hand-over's time at most while the
//! threads keep up.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::narrowing::Narrowing;
use super::{IDLE, Live};
use crate::capture::{CaptureError, Filled, RawBatch, Source, SourceCounts};

/// Batches that wait for whoever reads; then the kernel's rings take what comes.
const WAITING: usize = 16;

/// What a thread hands over.
type Handed = Result<(RawBatch, Filled), CaptureError>;

/// What all threads share with their reader.
#[derive(Debug, Default)]
struct Shared {
    /// Whether they should take in nothing new.
    finish: std::sync::atomic::AtomicBool,
    /// Counts and sentences of each.
    told: Mutex<Vec<(SourceCounts, Vec<String>)>>,
}

/// A source over several captures.
pub(super) struct Several {
    /// Those whose threads are not started.
    waiting: Vec<Live>,
    threads: Vec<JoinHandle<()>>,
    batches: Option<Receiver<Handed>>,
    shared: Arc<Shared>,
    /// The narrowing that others set, and that of each capture.
    narrowing: Narrowing,
    inner: Vec<Narrowing>,
    ended: usize,
    names: Names,
}

/// How a capture names its interfaces.
pub(super) type Names = Box<dyn Fn(u32) -> Option<String> + Send>;

impl Several {
    /// A source over `captures`, each with the narrowing of `inner` at its place.
    pub(super) fn new(
        captures: Vec<Live>,
        narrowing: Narrowing,
        inner: Vec<Narrowing>,
        names: Names,
    ) -> Several {
        let told = captures.iter().map(|_| Default::default()).collect();
        Several {
            waiting: captures,
            threads: Vec::new(),
            batches: None,
            shared: Arc::new(Shared {
                told: Mutex::new(told),
                ..Shared::default()
            }),
            narrowing,
            inner,
            ended: 0,
            names,
        }
    }

    fn start(&mut self) -> Result<Receiver<Handed>, CaptureError> {
        let (send, batches) = bounded(WAITING);
        for (index, live) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            let (shared, send) = (self.shared.clone(), send.clone());
            let interface = live.interface.clone();
            let thread = std::thread::Builder::new()
                .name(format!("capture-{index}"))
                .spawn(move || shared.run(index, live, &send))
                .map_err(|error| CaptureError::Live {
                    interface,
                    reason: format!("no thread can be started: {error}"),
                })?;
            self.threads.push(thread);
        }
        Ok(batches)
    }
}

impl Shared {
    /// Reads one capture to its end, or until nobody takes its batches.
    fn run(&self, index: usize, mut live: Live, send: &Sender<Handed>) {
        let mut finishing = false;
        loop {
            if self.finish.load(std::sync::atomic::Ordering::Relaxed) && !finishing {
                finishing = true;
                live.finish();
            }
            let mut batch = RawBatch::default();
            let filled = live.fill(&mut batch);
            {
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((counts, warnings)) = told.get_mut(index) {
                    *counts = live.counts();
                    warnings.extend(live.warnings());
                }
            }
            let is_last = !matches!(filled, Ok(Filled::More | Filled::Idle));
            let is_silent = matches!(filled, Ok(Filled::Idle)) && batch.records.is_empty();
            if !is_silent && send.send(filled.map(|filled| (batch, filled))).is_err() || is_last {
                return;
            }
        }
    }
}

impl Source for Several {
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        if let Some(narrow) = self.narrowing.take() {
            for inner in &self.inner {
                inner.set(narrow.clone());
            }
        }
        if self.batches.is_none() {
            self.batches = Some(self.start()?);
        }
        let Some(batches) = &self.batches else {
            return Ok(Filled::End);
        };
        let (filled, over) = match batches.recv_timeout(IDLE) {
            Ok(Ok((handed, filled))) => {
                *batch = handed;
                (filled, false)
            }
            Ok(Err(error)) => return Err(error),
            Err(RecvTimeoutError::Timeout) => (Filled::Idle, false),
            Err(RecvTimeoutError::Disconnected) => (Filled::End, true),
        };
        Ok(match filled {
            Filled::End if !over => {
                self.ended += 1;
                match self.ended < self.inner.len() {
                    true => Filled::More,
                    false => Filled::End,
                }
            }
            other => other,
        })
    }

    fn finish(&mut self) {
        let finish = &self.shared.finish;
        finish.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    fn warnings(&mut self) -> Vec<String> {
        let mut told = self
            .shared
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut sentences: Vec<String> = Vec::new();
        for (_, warnings) in told.iter_mut() {
            for sentence in warnings.drain(..) {
                // Each thread meets the same filter.
                if !sentences.contains(&sentence) {
                    sentences.push(sentence);
                }
            }
        }
        sentences
    }

    fn counts(&mut self) -> SourceCounts {
        let told = self.shared.told.lock();
        let told = told.unwrap_or_else(PoisonError::into_inner);
        let mut sum = SourceCounts::default();
        for (counts, _) in told.iter() {
            sum.add(counts);
        }
        sum
    }

    fn interface_name(&self, interface: u32) -> Option<String> {
        (self.names)(interface)
    }
}

impl Drop for Several {
    fn drop(&mut self) {
        self.finish();
        // Whoever waits to hand a batch over is told that nobody takes it.
        self.batches = None;
        for thread in self.threads.drain(..) {
            // A thread that ended by a panic has nothing more to say.
            let _ = thread.join();
        }
    }
}
