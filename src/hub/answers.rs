//! The worker's answers to what the hub asks for.
//!
//! In: questions, each with a number. Out: chunks as far as whoever asked has room for them, and one
//! answer. Never: more at once than [`MAX_CALLS`].

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tokio::sync::Semaphore;

use super::ask::Ask;
use super::link::Queues;
use super::message::{self, ToHub};
use super::uplink::{Options, lock};
use crate::deliver::Delivery;
use crate::packet::StreamName;
use crate::server::search::{self, Wanted};
use crate::server::{earlier_shown, item_of, streams_shown};
use crate::time::Timestamp;

/// Things that the hub asks for at once.
const MAX_CALLS: usize = 4;

/// Bytes of one chunk.
const CHUNK: usize = 256 << 10;

/// Chunks that may come before the hub asks for more.
pub(super) const CHUNKS: u32 = 16;

/// How long a chunk waits for whoever asked.
const CHUNK_PATIENCE: Duration = Duration::from_secs(60);

/// Most time in which sizes of streams are counted for one answer.
const MEASURING: Duration = Duration::from_secs(1);

fn named(stream: &str) -> Result<StreamName, String> {
    StreamName::parse(stream).ok_or_else(|| "this is no name of a stream".to_owned())
}

/// What the hub asks for over one connection.
pub(super) struct Answers {
    options: Arc<Options>,
    queues: Queues,
    room: Arc<Semaphore>,
    credits: Mutex<HashMap<u64, Arc<Credit>>>,
}

impl Answers {
    /// Nothing was asked yet.
    pub(super) fn new(options: Arc<Options>, queues: Queues) -> Answers {
        Answers {
            options,
            queues,
            room: Arc::new(Semaphore::new(MAX_CALLS)),
            credits: Mutex::default(),
        }
    }

    /// Begins to do what is asked for.
    pub(super) fn begin(self: &Arc<Self>, call: u64, ask: Ask) {
        let Ok(place) = self.room.clone().try_acquire_owned() else {
            self.answer(
                call,
                Err("this node is busy with other requests".to_owned()),
            );
            return;
        };
        let credit = Arc::new(Credit::default());
        lock(&self.credits).insert(call, credit.clone());
        let calls = self.clone();
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let result = calls.do_it(call, ask, credit);
            lock(&calls.credits).remove(&call);
            calls.answer(call, result);
        });
    }

    fn do_it(&self, call: u64, ask: Ask, credit: Arc<Credit>) -> Result<Json, String> {
        let run = &self.options.run;
        let mut chunks = Chunks {
            call,
            queues: &self.queues,
            credit,
            bytes: Vec::with_capacity(CHUNK),
        };
        let sent = |written: Result<u64, String>, mut chunks: Chunks<'_>| {
            let packets = written?;
            chunks.send().map_err(|error| error.to_string())?;
            Ok(packets.into())
        };
        match ask {
            Ask::Stream { stream } => {
                let name = named(&stream)?;
                self.shows(&[name])?;
                let written = run.stream_pcap(name, &mut chunks);
                sent(written, chunks)
            }
            Ask::StreamOfRun { run: of, stream } => {
                let name = named(&stream)?;
                let worker = &self.options.hello.worker;
                match run.is_present(worker, of) {
                    true => self.shows(&[name])?,
                    false => earlier_shown(&self.options.imposed, name)?,
                }
                let written = run.stream_pcap_of_run(worker, of, name, &mut chunks);
                sent(written, chunks)
            }
            Ask::Streams { streams } => {
                let names: Result<Vec<StreamName>, String> =
                    streams.iter().map(|stream| named(stream)).collect();
                let names = names?;
                self.shows(&names)?;
                let worker = &self.options.hello.worker;
                let written = run.streams_pcap_of(worker, &names, &mut chunks);
                sent(written, chunks)
            }
            Ask::Sizes {
                streams,
                patience_ms,
            } => {
                let names: Result<Vec<StreamName>, String> =
                    streams.iter().map(|stream| named(stream)).collect();
                let patience = Duration::from_millis(patience_ms).min(MEASURING);
                let worker = &self.options.hello.worker;
                let sizes = run.sizes(worker, &names?, Instant::now() + patience);
                serde_json::to_value(sizes).map_err(|error| error.to_string())
            }
            Ask::Raw { from, to } => {
                self.options.imposed.lets_all_packets()?;
                let (from, to) = (Timestamp::from_nanos(from), Timestamp::from_nanos(to));
                let written = run.raw("", from, to, &mut chunks);
                sent(written, chunks)
            }
            Ask::Search { wanted } => self.search(&wanted),
            Ask::Coverage => run.coverage(),
            Ask::Item { id, kfl } => {
                let delivery = self.delivery(&kfl, self.options.clock.now())?;
                item_of(&self.options.rows, &id, &delivery).ok_or_else(|| {
                    "this item is no longer held; search for it in the archive".into()
                })
            }
            Ask::Seal { name } => run.seal_recording(name.as_deref()),
            Ask::RunJob { tag } => run.run_job(&tag).map(|()| Json::Null),
            Ask::LimitStorage { bytes } => run.limit_storage(bytes),
            Ask::Unknown => Err("this worker is older than the hub and cannot do that".into()),
        }
    }

    /// What this node has, of rows and of its spool.
    fn search(&self, wanted: &Wanted) -> Result<Json, String> {
        let options = &self.options;
        let delivery = self.delivery(&wanted.kfl, Timestamp::from_nanos(wanted.now))?;
        let rows = search::of_rows(&options.rows, &delivery, wanted, search::LIVE);
        let elsewhere = options.run.search(delivery.query(), wanted);
        let parts = std::iter::once(rows).chain(elsewhere).collect();
        serde_json::to_value(search::merged(parts, wanted)).map_err(|error| error.to_string())
    }

    /// A query of the hub, asked at `now`, behind what is imposed on this node.
    fn delivery(&self, kfl: &str, now: Timestamp) -> Result<Delivery<'_>, String> {
        let options = &self.options;
        let query = options.imposed.compile(kfl, &options.schema);
        let query = query.map_err(|error| format!("this node cannot read the query: {error}"))?;
        Ok(Delivery::new(query, now, options.run.asks()))
    }

    /// Whether the packets of streams may leave this node.
    fn shows(&self, streams: &[StreamName]) -> Result<(), String> {
        let options = &self.options;
        streams_shown(
            &options.rows,
            &options.imposed,
            streams,
            options.clock.now(),
        )
    }

    /// Sends an answer, behind the chunks that belong to it.
    fn answer(&self, call: u64, result: Result<Json, String>) {
        let message = message::said(&ToHub::Answer { call, result })
            .or_else(|error| {
                let result = Err(error.to_string());
                message::said(&ToHub::Answer { call, result })
            })
            .unwrap_or_default();
        let bulk = self.queues.bulk.clone();
        tokio::runtime::Handle::current().spawn(async move {
            // An error means that the connection is gone.
            let _ = bulk.send(message).await;
        });
    }

    /// Lets more chunks of a call leave, or none any more.
    pub(super) fn more(&self, call: u64, chunks: Option<u32>) {
        if let Some(credit) = lock(&self.credits).get(&call) {
            credit.add(chunks);
        }
    }

    /// The connection is gone.
    pub(super) fn end(&self) {
        for credit in lock(&self.credits).values() {
            credit.add(None);
        }
    }
}

/// How many chunks may leave.
struct Credit {
    /// `None` when nobody waits any more.
    left: Mutex<Option<u32>>,
    changed: Condvar,
}

impl Default for Credit {
    fn default() -> Credit {
        Credit {
            left: Mutex::new(Some(CHUNKS)),
            changed: Condvar::new(),
        }
    }
}

impl Credit {
    fn add(&self, chunks: Option<u32>) {
        let mut left = lock(&self.left);
        *left = left
            .zip(chunks)
            .map(|(left, more)| left.saturating_add(more));
        self.changed.notify_all();
    }

    /// Waits until one may leave; false when none may.
    fn take(&self) -> bool {
        let waiting = |left: &mut Option<u32>| *left == Some(0);
        let left = lock(&self.left);
        let (mut left, _) = self
            .changed
            .wait_timeout_while(left, CHUNK_PATIENCE, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        match left.as_mut() {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }
}

/// Sends what is written in chunks.
struct Chunks<'q> {
    call: u64,
    queues: &'q Queues,
    credit: Arc<Credit>,
    bytes: Vec<u8>,
}

impl Chunks<'_> {
    fn send(&mut self) -> std::io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let gone = || std::io::Error::other("nobody waits for the packets any more");
        if !self.credit.take() {
            return Err(gone());
        }
        let chunk = message::chunk(self.call, &self.bytes).map_err(std::io::Error::other)?;
        self.bytes.clear();
        self.queues.bulk.blocking_send(chunk).map_err(|_| gone())
    }
}

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = CHUNK - self.bytes.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.bytes.extend_from_slice(taken);
        if self.bytes.len() == CHUNK {
            self.send()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
