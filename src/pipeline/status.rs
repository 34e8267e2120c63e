//! What a run counted so far, for the state bar, the exit line and metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use serde::Serialize;

use super::memory::Relief;
use crate::capture::SourceCounts;
use crate::dissect::Secrets;

/// A figure that several workers hold a part of.
#[derive(Debug, Default)]
pub(super) struct Parts([AtomicU64; 16]);

impl Parts {
    /// Sets the part of one worker.
    pub(super) fn store_part(&self, worker: usize, value: u64) {
        if let Some(part) = self.0.get(worker % 16) {
            part.store(value, Ordering::Relaxed);
        }
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|part| part.load(Ordering::Relaxed)).sum()
    }
}

/// Shared counters of one run.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) packets: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) streams: AtomicU64,
    pub(super) translated: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) streams_open: Parts,
    pub(super) spool_not_written: AtomicU64,
    pub(super) behind: AtomicU64,
    pub(super) not_dissected: AtomicU64,
    pub(super) last_packet: AtomicU64,
    pub(super) progress: Mutex<Option<(u64, u64)>>,
    pub(super) source: Mutex<SourceCounts>,
    pub(super) warnings: Mutex<Vec<String>>,
    pub(super) ended: std::sync::atomic::AtomicBool,
    pub(super) relief: Relief,
    /// Counts what was decrypted; set when the run starts.
    secrets: OnceLock<Arc<Secrets>>,
    items: Mutex<BTreeMap<&'static str, u64>>,
}

/// Sentences that are kept for people; later ones are only counted by their sources.
const MAX_WARNINGS: usize = 100;

/// Counters at one moment.
#[derive(Debug, Default, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Packets read.
    pub packets: u64,
    /// Captured bytes of them.
    pub bytes: u64,
    /// Packets with headers cut off or against their standard.
    pub malformed: u64,
    /// Streams seen.
    pub streams: u64,
    /// Streams that were not read: each is another one behind address translation.
    pub translated: u64,
    /// Streams open now.
    pub streams_open: u64,
    /// Items by protocol name.
    pub items: BTreeMap<&'static str, u64>,
    /// Dropped by the kernel.
    pub kernel_dropped: u64,
    /// Dropped by the interface.
    pub interface_dropped: u64,
    /// Left out as tapedeck's own.
    pub own: u64,
    /// Left out as not targeted.
    pub not_targeted: u64,
    /// Thrown away because nobody said in time whether they are targeted.
    pub targets_unknown: u64,
    /// In memory until somebody says whether they are targeted.
    pub waiting: u64,
    /// Left out as second sights.
    pub duplicates: u64,
    /// Records cut off or damaged.
    pub damaged: u64,
    /// Packets that could not be written to the spool.
    pub spool_not_written: u64,
    /// Packets in the spool that the workers are still to read.
    pub behind: u64,
    /// Packets that the spool had no longer when the workers came to them.
    pub not_dissected: u64,
    /// Packets that were not read because memory was short.
    pub memory_short: u64,
    /// Streams in which what was open was given up because memory was short.
    pub given_up: u64,
    /// Bytes of memory that are used and cannot be taken back, and that may be; 0 where nothing limits them.
    pub memory_used: u64,
    /// See `memory_used`.
    pub memory_limit: u64,
    /// TLS handshakes, and directions that were decrypted or given up.
    pub tls: TlsCounts,
    /// Time of the latest packet, Unix milliseconds; 0 before the first.
    pub last_packet: u64,
    /// Bytes read and bytes in all, where known.
    pub progress: Option<(u64, u64)>,
    /// Whether the source has ended.
    pub ended: bool,
    /// Sentences about damage.
    pub warnings: Vec<String>,
}

/// What was met of TLS; there are two directions a connection.
#[derive(Debug, Default, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsCounts {
    /// Handshakes seen.
    pub handshakes: u64,
    /// Directions that could be decrypted.
    pub decrypted: u64,
    /// Directions left alone, for want of a secret or because packets were lost.
    pub given_up: u64,
    /// Secrets that key logs gave.
    pub secrets: u64,
}

impl Counters {
    /// Says where decryption is counted.
    pub(super) fn set_secrets(&self, secrets: Arc<Secrets>) {
        // A second run with the same counters counts on with the first one's.
        let _ = self.secrets.set(secrets);
    }

    /// Counts items by the short names of their protocols; takes the counts out.
    pub(super) fn count_items(&self, found: &mut Vec<(&'static str, u64)>) {
        if found.is_empty() {
            return;
        }
        let mut counts = self.items.lock().expect("counting does not panic");
        for (name, count) in found.drain(..) {
            *counts.entry(name).or_default() += count;
        }
    }

    /// Items found so far.
    pub fn items(&self) -> u64 {
        let counts = self.items.lock().expect("counting does not panic");
        counts.values().sum()
    }

    /// What the source counted and how far it is.
    pub(super) fn note_source(&self, counts: SourceCounts, progress: Option<(u64, u64)>) {
        *self.source.lock().expect("counting does not panic") = counts;
        *self.progress.lock().expect("counting does not panic") = progress;
    }

    /// Takes sentences for people.
    pub fn warn(&self, sentences: Vec<String>) {
        if sentences.is_empty() {
            return;
        }
        for sentence in &sentences {
            // Commands print the sentences themselves; the log is for their time.
            tracing::info!(sentence, "source");
        }
        let mut warnings = self.warnings.lock().expect("counting does not panic");
        warnings.extend(sentences);
        warnings.truncate(MAX_WARNINGS);
    }

    /// Sentences about damage, from the one numbered `first` on.
    pub fn warnings_from(&self, first: usize) -> Vec<String> {
        let warnings = self.warnings.lock().expect("counting does not panic");
        warnings.get(first..).unwrap_or_default().to_vec()
    }

    /// The counts now.
    pub fn now(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let source = *self.source.lock().expect("counting does not panic");
        Counts {
            packets: load(&self.packets),
            bytes: load(&self.bytes),
            malformed: load(&self.malformed),
            streams: load(&self.streams),
            translated: load(&self.translated),
            streams_open: self.streams_open.sum(),
            items: self.items.lock().expect("counting does not panic").clone(),
            kernel_dropped: source.kernel_dropped,
            interface_dropped: source.interface_dropped,
            own: source.own,
            not_targeted: source.not_targeted,
            targets_unknown: source.targets_unknown,
            waiting: source.waiting,
            duplicates: source.duplicates + load(&self.duplicates),
            damaged: source.damaged,
            spool_not_written: load(&self.spool_not_written),
            behind: load(&self.behind),
            not_dissected: load(&self.not_dissected),
            memory_short: load(&self.relief.packets),
            given_up: load(&self.relief.streams),
            memory_used: load(&self.relief.used),
            memory_limit: load(&self.relief.limit),
            tls: self
                .secrets
                .get()
                .map_or_else(TlsCounts::default, |secrets| {
                    let counts = secrets.counts();
                    TlsCounts {
                        handshakes: counts.handshakes,
                        decrypted: counts.decrypted,
                        given_up: counts.given_up,
                        secrets: counts.secrets,
                    }
                }),
            last_packet: load(&self.last_packet),
            progress: *self.progress.lock().expect("counting does not panic"),
            ended: self.ended.load(Ordering::Relaxed),
            warnings: self
                .warnings
                .lock()
                .expect("counting does not panic")
                .clone(),
        }
    }
}
