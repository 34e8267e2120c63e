//! The wiring: threads, bounded queues, shutdown.
//!
//! In: a packet source. Out: items in one order that does not depend on the number of workers, to
//! every [`Consumer`] in turn (recorder first, then scripts, then the live rows: what must give
//! gives from the back). Never: knowledge of protocols, stores or pages.
//!
//! ```text
//! ingest ──step──▶ workers, each its streams ──items──▶ collect ──▶ consumers
//! ```
//!
//! Ingest reads, decodes, gives ordinals and streams, and appends to the spool. Workers own their
//! streams' reassembly and dissection. The collector puts the items of a step in packet order,
//! numbers them and calls the consumers. A run that only prints has the workers write the lines, and
//! the collector puts those in order.
//!
//! All of it is done by as many threads as there are workers, in turns (`crew`). In a live run
//! ingest has a thread of its own, and a `backlog` stands behind it: workers that fall behind read on
//! from the spool.

mod backlog;
mod collect;
mod crew;
mod cuts;
mod declared;
mod desk;
pub mod extract;
pub mod host;
mod indexing;
mod ingest;
pub mod key_log;
mod learning;
mod memory;
mod planned;
mod printing;
#[cfg(target_os = "linux")]
mod processes;
mod rows;
mod schedule;
mod scripting;
mod seeking;
mod status;
mod worker;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use self::backlog::Entrance;
use self::collect::Collector;
use self::crew::{Crew, Feed};
use self::ingest::{Failure, Ingest, Setup};
use self::worker::Worker;
use crate::capture::{BATCH_BYTES, CaptureError, Source};
use crate::dissect::Protocols;
use crate::flow::{Limits, StreamInfo};
use crate::item::{Item, Origin};
use crate::packet::{Packet, SharedBatch, StreamId};
use crate::record::States;
use crate::resolve::Names;
use crate::spool;
use crate::time::{Clock, SystemClock};

pub use collect::Encoded;
pub use cuts::{Cuts, Wanted};
use cuts::{Resumed, Waiting};
pub use declared::{Basis, payload, waits_for};
pub use desk::{DEFAULT_NAME, Desk, DeskConsumer, RECORDING_KFL};
pub use indexing::Indexing;
pub use learning::{Learning, ServiceOfHost};
pub use memory::{Relieving, relieve};
pub use printing::{Printed, Printer, Printing, Taker};
#[cfg(target_os = "linux")]
pub use processes::ProcessConsumer;
pub use rows::{Block, Row, Rows, RowsConsumer};
pub use schedule::{Phase, Schedule};
pub use scripting::ScriptsConsumer;
pub use seeking::{Seeking, SeekingOptions};
pub use status::{Counters, Counts};

/// A batch with what the ingest thread knows beyond the packets.
pub struct Step {
    /// The packets.
    pub batch: SharedBatch,
    /// Streams that begin in it and are read: not those that are another one behind address
    /// translation.
    pub opened: Vec<StreamInfo>,
    /// Node and run of its packets.
    pub origin: Arc<Origin>,
    /// Names to use for its items.
    pub names: Option<Arc<Names>>,
    /// Recording that its packets were read back from; empty when live.
    pub record: Arc<str>,
    /// Bytes read and bytes in all, where the source knows.
    pub progress: Option<(u64, u64)>,
    /// Streams whose states at the start of the step are asked for.
    pub wanted: Option<Wanted>,
    /// What links its streams to other reels.
    links: Links,
}

/// What links the streams of a step to those of other reels.
#[derive(Default)]
struct Links {
    /// Streams that begin in the step with a saved state.
    resumed: Vec<(StreamId, Resumed)>,
    /// At the end of a source: which streams go on elsewhere.
    going_on: Option<Waiting>,
}

/// Largest memory of a batch that is used again.
const MAX_KEPT_BYTES: usize = 4 * BATCH_BYTES;

/// The memory of a batch that nobody needs any more; the bytes hold whatever they held.
#[derive(Default)]
struct Spent {
    bytes: Vec<u8>,
    packets: Vec<Packet>,
}

impl Spent {
    /// Takes the memory of a step; `None` when somebody still holds its packets, or a byte of them.
    fn of(step: Arc<Step>) -> Option<Spent> {
        let batch = Arc::into_inner(Arc::into_inner(step)?.batch)?;
        let bytes: Vec<u8> = batch.bytes.try_into_mut().ok()?.into();
        let mut packets = batch.packets;
        packets.clear();
        // A window that grew for one large record is not kept.
        (bytes.capacity() <= MAX_KEPT_BYTES).then_some(Spent { bytes, packets })
    }
}

/// Takes what the pipeline yields, step by step; one thread at a time calls it.
pub trait Consumer: Send {
    /// Marks the items of a step before anybody takes them.
    fn mark(&mut self, step: &Step, items: &mut [Item]) {
        let _ = (step, items);
    }

    /// Takes the states that [`Step::wanted`] asked for, before anything else of the step.
    fn on_states(&mut self, step: &Step, states: &States) {
        let _ = (step, states);
    }

    /// Takes the items that the packets of `step` completed, in order.
    fn on_step(&mut self, step: &Step, items: &[Item], encoded: &Encoded<'_>);

    /// The run is over: hand out and write down what is open.
    fn on_end(&mut self) {}
}

/// Gives the names for a source's packets read from now on.
pub type NamesOf = Box<dyn Fn(&Origin) -> Option<Arc<Names>> + Send>;

/// How a run is set up.
pub struct Options {
    /// Threads that reassemble and dissect, and read where the source is not live; 0 takes what the
    /// machine has.
    pub workers: usize,
    /// Protocols to look for.
    pub protocols: Protocols,
    /// Caps and timeouts of the flow table.
    pub limits: Limits,
    /// Node and run of packets whose source does not say.
    pub origin: Arc<Origin>,
    /// Names by origin.
    pub names: Option<NamesOf>,
    /// Where packets are written first, and read again by those who fall behind; live runs have one.
    pub spool: Option<(spool::Writer, spool::Reader)>,
    /// Whether the source is live: idle steps follow the clock.
    pub live: bool,
    /// The wall clock, for live runs.
    pub clock: Arc<dyn Clock>,
    /// Asks the run to end.
    pub stop: Stop,
    /// Counters to count with.
    pub counters: Arc<Counters>,
    /// Where recordings ask for states of streams that they go on with in a new reel.
    pub cuts: Cuts,
    /// Who takes what comes out, in this order.
    pub consumers: Vec<Box<dyn Consumer>>,
}

impl Options {
    /// Of a pass over packets that lie still, by one worker, which nobody ends or watches.
    pub fn pass(
        protocols: Protocols,
        limits: Limits,
        origin: Arc<Origin>,
        names: Option<NamesOf>,
        consumer: Box<dyn Consumer>,
    ) -> Options {
        Options {
            workers: 1,
            protocols,
            limits,
            origin,
            names,
            spool: None,
            live: false,
            clock: Arc::new(SystemClock),
            stop: Stop::default(),
            counters: Arc::default(),
            cuts: Cuts::default(),
            consumers: vec![consumer],
        }
    }
}

/// Asks a run to end.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicU8>);

impl Stop {
    const ASKED: u8 = 1;
    const HURRIED: u8 = 2;

    /// Ends the run: what the system already holds is still read.
    pub fn stop(&self) {
        self.0.fetch_max(Stop::ASKED, Ordering::Relaxed);
    }

    /// Ends it at once: what can be done at the next start is left for it.
    pub fn hurry(&self) {
        self.0.fetch_max(Stop::HURRIED, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Stop::ASKED
    }

    /// Whether somebody asked to end it at once.
    pub fn is_hurried(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Stop::HURRIED
    }
}

/// A run in progress.
pub struct Running {
    /// Asks it to end.
    pub stop: Stop,
    /// What it counted so far.
    pub counters: Arc<Counters>,
    failure: Failure,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// Waits for the end.
    ///
    /// # Errors
    /// When the source could not be read to its end; everything before that was handed out.
    pub fn join(self) -> Result<(), CaptureError> {
        for thread in self.threads {
            thread.join().expect("no thread of a run panics");
        }
        let failure = self.failure.lock();
        failure
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .map_or(Ok(()), Err)
    }

    /// Whether the source has ended and everything is handed out.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

/// Starts a run over `source`.
pub fn start(source: Box<dyn Source>, options: Options) -> Running {
    begin(source, options, None)
}

/// Starts a run whose items become lines on the workers' threads; consumers are called at each step,
/// and are given no items.
pub fn print(source: Box<dyn Source>, options: Options, printing: Printing) -> Running {
    begin(source, options, Some(printing))
}

fn begin(source: Box<dyn Source>, options: Options, printing: Option<Printing>) -> Running {
    let (stop, counters) = (options.stop, options.counters);
    counters.set_secrets(options.protocols.secrets().clone());
    let failure = Failure::default();
    let (spool, reader) = options.spool.unzip();
    let ingest = Ingest::new(Setup {
        source,
        spool,
        origin: options.origin,
        names: options.names,
        live: options.live.then_some(options.clock),
        limits: options.limits,
        stop: stop.clone(),
        counters: counters.clone(),
        secrets: options.protocols.secrets().clone(),
        cuts: options.cuts,
        failure: failure.clone(),
    });
    let mut threads = Vec::new();
    let feed: Box<dyn Feed> = match reader.filter(|_| options.live) {
        None => Box::new(ingest),
        Some(reader) => {
            let max_bytes = backlog::MAX_WAITING_BYTES;
            let (entrance, backlog) = backlog::new(reader, max_bytes, counters.clone());
            threads.push(spawn("ingest", move || run_ahead(ingest, &entrance)));
            Box::new(backlog)
        }
    };
    let workers = workers(options.workers, !threads.is_empty());
    let (printer, taker) = match printing {
        None => (None, None),
        Some(printing) => (Some(printing.printer), Some(printing.taker)),
    };
    let collector = Collector::new(options.consumers, taker);
    let crew = Arc::new(Crew::new(feed, collector, workers));
    for index in 0..workers {
        let mut worker = Worker::new(index, workers, options.protocols.clone(), counters.clone());
        if let Some(printer) = &printer {
            worker.print_with(printer());
        }
        let crew = crew.clone();
        threads.push(spawn(&format!("worker-{index}"), move || {
            crew.run(index, worker)
        }));
    }
    Running {
        stop,
        counters,
        failure,
        threads,
    }
}

/// Workers of a run: as many as asked for, else one for each core that no other thread of it needs.
fn workers(asked: usize, reads_ahead: bool) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match asked {
        0 => cores.saturating_sub(usize::from(reads_ahead)).clamp(1, 16),
        asked => asked,
    }
}

/// Reads a live source without waiting for the workers.
fn run_ahead(mut ingest: Ingest, entrance: &Entrance) {
    while let Some(step) = ingest.next(None) {
        if !entrance.send(step) {
            return;
        }
    }
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .expect("the system has room for a handful of threads")
}
