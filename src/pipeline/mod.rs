//! The wiring: threads, bounded queues, shutdown.
//!
//! In: a packet source. Out: items in one order that does not depend on the number of workers, to
//! every [`Consumer`] in turn (recorder first, then scripts, then the live rows: what must give
//! gives from the back). Never: knowledge of protocols, stores or pages.
//!
//! ```text
//! ingest ──step──▶ worker 0..n ──items──▶ collect ──▶ consumers
//!    │                                       ▲
//!    └───────────────step────────────────────┘
//! ```
//!
//! In a live run a `backlog` stands behind ingest: workers that fall behind read on from the spool.
//!
//! The ingest thread reads, decodes, gives ordinals and streams, and appends to the spool. Workers
//! own their streams' reassembly and dissection. The collector puts the items of a step in packet
//! order, numbers them and calls the consumers; it is the only caller they have. A run that only
//! prints has the workers write the lines, and the collector puts those in order.

mod backlog;
mod collect;
mod cuts;
mod declared;
mod desk;
pub mod extract;
pub mod host;
mod indexing;
mod ingest;
pub mod key_log;
mod learning;
mod planned;
mod printing;
mod rows;
mod schedule;
mod scripting;
mod status;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};

use crate::capture::{CaptureError, Source};
use crate::dissect::Protocols;
use crate::flow::{Limits, StreamInfo};
use crate::item::{Item, Origin};
use crate::packet::{Packet, SharedBatch, StreamId};
use crate::record::States;
use crate::resolve::Names;
use crate::spool;
use crate::time::Clock;

pub use collect::Encoded;
pub use cuts::{Cuts, Wanted};
use cuts::{Resumed, Waiting};
pub use declared::{Basis, payload};
pub use desk::{DEFAULT_NAME, Desk, DeskConsumer};
pub use indexing::Indexing;
pub use learning::{Learning, ServiceOfHost};
pub use printing::{Printed, Printer, Printing, Taker};
pub use rows::{Row, Rows, RowsConsumer};
pub use schedule::{Phase, Schedule};
pub use scripting::ScriptsConsumer;
pub use status::{Counters, Counts};

/// Steps that may wait between two threads: 2 MiB of packets with [`crate::capture::BATCH_BYTES`] a
/// step. A live run's backlog holds more.
const QUEUED_STEPS: usize = 8;

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

/// The memory of a batch that nobody needs any more.
#[derive(Default)]
struct Spent {
    bytes: Vec<u8>,
    packets: Vec<Packet>,
}

impl Spent {
    /// Takes the memory of a step; `None` when somebody still holds its packets, or a byte of them.
    fn of(step: Arc<Step>) -> Option<Spent> {
        let batch = Arc::into_inner(Arc::into_inner(step)?.batch)?;
        let mut bytes = batch.bytes.try_into_mut().ok()?;
        let mut packets = batch.packets;
        bytes.clear();
        packets.clear();
        Some(Spent {
            bytes: bytes.into(),
            packets,
        })
    }
}

/// The queues of workers and collector.
struct Exits {
    to_workers: Vec<Sender<Arc<Step>>>,
    to_collect: Sender<Arc<Step>>,
}

impl Exits {
    /// Hands a step to all of them; false when one is gone.
    fn send(&self, step: Arc<Step>) -> bool {
        self.to_workers
            .iter()
            .all(|worker| worker.send(step.clone()).is_ok())
            && self.to_collect.send(step).is_ok()
    }
}

/// Takes what the pipeline yields, step by step, on the collector's thread.
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
    /// Threads that reassemble and dissect; 0 takes one less than the machine has.
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

/// Asks a run to end.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends the run: what the system already holds is still read.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A run in progress.
pub struct Running {
    /// Asks it to end.
    pub stop: Stop,
    /// What it counted so far.
    pub counters: Arc<Counters>,
    ingest: JoinHandle<Result<(), CaptureError>>,
    others: Vec<JoinHandle<()>>,
}

impl Running {
    /// Waits for the end.
    ///
    /// # Errors
    /// When the source could not be read to its end; everything before that was handed out.
    pub fn join(self) -> Result<(), CaptureError> {
        let result = self
            .ingest
            .join()
            .expect("the ingest thread does not panic");
        for thread in self.others {
            thread.join().expect("workers and collector do not panic");
        }
        result
    }

    /// Whether the source has ended and everything is handed out.
    pub fn is_finished(&self) -> bool {
        self.ingest.is_finished() && self.others.iter().all(JoinHandle::is_finished)
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
    let stop = options.stop;
    let counters = options.counters;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = if options.workers == 0 {
        cores.saturating_sub(1).clamp(1, 16)
    } else {
        options.workers
    };
    counters.set_secrets(options.protocols.secrets().clone());
    let (to_collect, steps) = bounded(QUEUED_STEPS);
    let mut to_workers = Vec::new();
    let mut from_workers = Vec::new();
    let mut others = Vec::new();
    for index in 0..workers {
        let (send, receive) = bounded(QUEUED_STEPS);
        let (done, outputs) = bounded(QUEUED_STEPS);
        to_workers.push(send);
        from_workers.push(outputs);
        let mut worker =
            worker::Worker::new(index, workers, options.protocols.clone(), counters.clone());
        if let Some(printing) = &printing {
            worker.print_with((printing.printer)());
        }
        others.push(spawn(&format!("worker-{index}"), move || {
            worker.run(&receive, &done)
        }));
    }
    let taker = printing.map(|printing| printing.taker);
    let (to_spent, spent) = bounded(2 * QUEUED_STEPS);
    let collector = collect::Collector::new(options.consumers, taker, to_spent);
    others.push(spawn("collect", move || {
        collector.run(&steps, &from_workers)
    }));

    let exits = Exits {
        to_workers,
        to_collect,
    };
    let (spool, reader) = options.spool.unzip();
    let way = match reader.filter(|_| options.live) {
        None => ingest::Way::Straight(exits),
        Some(reader) => {
            let (entrance, backlog) =
                backlog::new(reader, exits, backlog::MAX_WAITING_BYTES, counters.clone());
            others.push(spawn("backlog", move || backlog.run()));
            ingest::Way::Behind(entrance)
        }
    };
    let ingest = ingest::Ingest {
        source,
        spool,
        origin: options.origin,
        names: options.names,
        live: options.live.then_some(options.clock),
        stop: stop.clone(),
        counters: counters.clone(),
        secrets: options.protocols.secrets().clone(),
        // A live run's steps may wait by the thousands: what they hold must not be more than their
        // packets need.
        spent: (!options.live).then_some(spent),
        way,
        cuts: options.cuts,
    };
    let limits = options.limits;
    let ingest = spawn("ingest", move || ingest.run(limits));
    Running {
        stop,
        counters,
        ingest,
        others,
    }
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .expect("the system has room for a handful of threads")
}
