//! Reading the source, one step after the other: headers, ordinals, streams, spool.

mod unread;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use self::unread::Unread;
use super::crew::Feed;
use super::cuts::{Cuts, Resumed, Waiting};
use super::{Counters, Links, NamesOf, Spent, Step, Stop};
use crate::capture::duplicates::Duplicates;
use crate::capture::{CaptureError, Filled, RawBatch, Source};
use crate::dissect::Secrets;
use crate::flow::{Limits, StreamInfo, Table};
use crate::item::Origin;
use crate::packet::headers::{Decoder, Found};
use crate::packet::{
    Batch, Decoded, EndReason, Ended, Packet, Record, StreamId, StreamName, TcpFlags,
};
use crate::record::parse_goes_on;
use crate::spool;
use crate::time::{Clock, Timestamp};

/// How often a live run without traffic still takes a step, so that streams end and reels are sealed.
const IDLE_STEP: Duration = Duration::from_millis(250);

/// The clock of a live run may be so far behind the time of the last step before it counts as set
/// back; less than that, time stands still for a while.
const SET_BACK: Duration = Duration::from_secs(10);

/// Where packets come from and go to first, and what is known beforehand.
pub(super) struct Setup {
    pub(super) source: Box<dyn Source>,
    pub(super) spool: Option<spool::Writer>,
    pub(super) origin: Arc<Origin>,
    pub(super) names: Option<NamesOf>,
    /// The wall clock of a live run.
    pub(super) live: Option<Arc<dyn Clock>>,
    pub(super) limits: Limits,
    pub(super) stop: Stop,
    pub(super) counters: Arc<Counters>,
    /// Where key logs of the source go; workers look there.
    pub(super) secrets: Arc<Secrets>,
    /// States that recordings ask for.
    pub(super) cuts: Cuts,
    /// Why the source could not be read to its end.
    pub(super) failure: Failure,
}

/// Why a source could not be read to its end, for whoever asks when the run is over.
pub(super) type Failure = Arc<Mutex<Option<CaptureError>>>;

/// Owns the source, the flow table and the spool's writer.
pub(super) struct Ingest {
    setup: Setup,
    state: State,
    raw: RawBatch,
    asked: bool,
    last_step: Timestamp,
    ended: bool,
    located: Option<Located>,
}

/// The last origin and addresses that a source told, and the two as one.
struct Located {
    origin: Arc<Origin>,
    addresses: Arc<[std::net::IpAddr]>,
    whole: Arc<Origin>,
}

/// Number of the first stream that has no packet; others have that of their first one.
const FIRST_OVER: u64 = 1 << 40;

/// Streams that end with a step of a live run, beside one for each of its packets: the last items of each may
/// hold two bodies of 256 KiB, and all items of a step are in memory at once, and once more encoded.
const MAX_ENDED: usize = 128;

/// What goes on from batch to batch.
struct State {
    decoder: Decoder,
    found: Found,
    table: Table,
    /// Second sights in files of several interfaces; a live source leaves them out itself.
    duplicates: Option<Duplicates>,
    /// What was not read.
    unread: Unread,
    /// Room for the packets of the next batch.
    packets: Vec<Packet>,
    ordinal: u64,
    number: u64,
    now: Timestamp,
    /// Whether it was said that the spool cannot delete what is old.
    said_undeleted: bool,
    /// States of streams that go on from an earlier reel, and who goes on in a later one.
    waiting: Waiting,
    /// Streams of the batch that go on with a saved state.
    resumed: Vec<(StreamId, Resumed)>,
    /// Streams that had no packet in the reel which began with their states, and are over.
    over: Vec<Resumed>,
    /// How many of them there were so far.
    number_over: u64,
    /// Streams that have ended and are told with later steps.
    ending: VecDeque<Ended>,
}

impl Feed for Ingest {
    /// The next step; waits until the source gives packets or an idle step is due. `None` when the
    /// source has ended or somebody asked to stop.
    fn next(&mut self, spent: Option<Spent>) -> Option<Step> {
        if let Some(spent) = spent {
            self.raw.room = spent.bytes;
            self.state.packets = spent.packets;
        }
        while !self.ended {
            if self.setup.stop.is_asked() && !self.asked {
                self.asked = true;
                self.setup.source.finish();
            }
            self.raw.clear();
            let filled = self.setup.source.fill(&mut self.raw);
            self.note_source();
            self.note_blocks();
            let stopped = self.asked && self.setup.live.is_none();
            let over = stopped || !matches!(filled, Ok(Filled::More | Filled::Idle));
            self.follow_clock();
            let due = self.state.now.since(self.last_step) >= IDLE_STEP;
            let step = (!self.raw.records.is_empty() || over || due).then(|| self.step(over));
            match filled {
                Ok(Filled::Boundary) if !stopped => self.state.decoder = Decoder::new(),
                Ok(Filled::More | Filled::Idle) if !stopped => {}
                Ok(_) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    let failure = self.setup.failure.lock();
                    *failure.unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
            if self.ended {
                if self.setup.live.is_none() {
                    self.setup.counters.warn(self.state.unread.take());
                }
                self.setup.counters.ended.store(true, Ordering::Relaxed);
            }
            if step.is_some() {
                return step;
            }
        }
        if self.state.ending.is_empty() {
            return None;
        }
        self.raw.clear();
        Some(self.step(false))
    }
}

impl Ingest {
    pub(super) fn new(setup: Setup) -> Ingest {
        let state = State {
            decoder: Decoder::new(),
            found: Found::default(),
            table: Table::new(setup.limits),
            duplicates: None,
            unread: Unread::default(),
            packets: Vec::new(),
            ordinal: 0,
            number: 0,
            now: Timestamp::default(),
            said_undeleted: false,
            waiting: Waiting::default(),
            resumed: Vec::new(),
            over: Vec::new(),
            number_over: 0,
            ending: VecDeque::new(),
        };
        Ingest {
            setup,
            state,
            raw: RawBatch::default(),
            asked: false,
            last_step: Timestamp::default(),
            ended: false,
            located: None,
        }
    }

    /// In a live run time is what the clock shows, also after it was set back: everything that is due
    /// by it, and the flow table, would wait else until the clock has come to where it stood.
    fn follow_clock(&mut self) {
        let Some(clock) = &self.setup.live else {
            return;
        };
        let (before, now) = (self.state.now, clock.now());
        let back = before.since(now);
        if back <= SET_BACK {
            self.state.now = before.max(now);
            return;
        }
        (self.state.now, self.last_step) = (now, now);
        self.setup.counters.warn(vec![format!(
            "the clock was set back by {:.0} seconds: what was captured before has times that come again",
            back.as_secs_f64()
        )]);
    }

    fn note_source(&mut self) {
        let Setup {
            source, counters, ..
        } = &mut self.setup;
        counters.note_source(source.counts(), source.progress());
        counters.warn(source.warnings());
        // Before the batch is sent, so that its streams find them.
        for log in source.key_logs() {
            self.setup.secrets.insert(&log);
        }
    }

    fn note_blocks(&mut self) {
        // Before the packets that came with them are looked at; the marks of the reel before say
        // nothing about this one's end.
        let back = self.setup.source.back_blocks();
        let State {
            waiting,
            table,
            over,
            ..
        } = &mut self.state;
        if let Some(front) = self.setup.source.front_blocks() {
            over.extend(waiting.begin(&front, |tuple| table.has(tuple)));
        }
        for data in back {
            if let Some(tuples) = parse_goes_on(&data) {
                waiting.go_on(&tuples);
            }
        }
    }

    /// A step of the packets that were read; `over` ends every stream with it.
    fn step(&mut self, over: bool) -> Step {
        self.last_step = self.state.now;
        let (batch, opened) = self.batch(over);
        let Setup {
            source,
            origin,
            names,
            cuts,
            ..
        } = &self.setup;
        let mut origin = source.origin().unwrap_or_else(|| origin.clone());
        if let Some(addresses) = source.addresses() {
            let known = self.located.take().filter(|known| {
                Arc::ptr_eq(&known.origin, &origin) && Arc::ptr_eq(&known.addresses, &addresses)
            });
            let located = known.unwrap_or_else(|| Located {
                whole: Arc::new(origin.with_addresses(&addresses)),
                origin: origin.clone(),
                addresses,
            });
            origin = located.whole.clone();
            self.located = Some(located);
        }
        Step {
            batch: Arc::new(batch),
            opened,
            names: names.as_ref().and_then(|names| names(&origin)),
            origin,
            record: source.record().unwrap_or_else(|| Arc::from("")),
            progress: source.progress(),
            wanted: cuts.take(),
            links: Links {
                resumed: std::mem::take(&mut self.state.resumed),
                going_on: over.then(|| std::mem::take(&mut self.state.waiting)),
            },
        }
    }

    fn batch(&mut self, over: bool) -> (Batch, Vec<StreamInfo>) {
        let Ingest {
            setup, state, raw, ..
        } = self;
        let mut batch = Batch {
            number: state.number,
            bytes: Bytes::from(std::mem::take(&mut raw.bytes)),
            packets: std::mem::take(&mut state.packets),
            ..Batch::default()
        };
        batch.packets.reserve(raw.records.len());
        let mut opened = Vec::new();
        state.number += 1;
        let (mut malformed, mut bytes) = (0, 0);
        for record in &raw.records {
            bytes += u64::from(record.caplen);
            state.packet(
                setup,
                record,
                raw.several_interfaces,
                &mut batch,
                &mut opened,
            );
            let last = batch.packets.last();
            malformed += u64::from(last.is_some_and(|packet| packet.decoded == Decoded::Malformed));
        }
        batch.datagrams = std::mem::take(&mut state.found.datagrams);
        batch.tunnels = std::mem::take(&mut state.found.tunnels);
        state.table.sweep(state.now, &mut batch.ended);
        batch.now = state.now;
        let count = |counter: &AtomicU64, by: u64| counter.fetch_add(by, Ordering::Relaxed);
        let counters = &setup.counters;
        count(&counters.packets, batch.packets.len() as u64);
        count(&counters.bytes, bytes);
        count(&counters.malformed, malformed);
        count(&counters.streams, opened.len() as u64);
        if let Some(last) = raw.records.last() {
            let millis = u64::try_from(last.ts.millis()).unwrap_or_default();
            counters.last_packet.store(millis, Ordering::Relaxed);
        }
        if over {
            let left = state.waiting.over();
            state.over.extend(left);
        }
        state.end_over(&mut batch, &mut opened);
        if over {
            state.table.end_all(&mut batch.ended);
        }
        if setup.live.is_some() {
            state.put_off(&mut batch);
        }
        if let Some(spool) = &mut setup.spool {
            let appended = spool.append(&mut batch);
            let mut said = spool.warnings();
            if let Err(error) = appended
                && !std::mem::replace(&mut state.said_undeleted, true)
            {
                said.push(format!("the spool takes more room than it may: {error}"));
            }
            counters.warn(said);
            let not_written = spool.not_written();
            counters
                .spool_not_written
                .store(not_written, Ordering::Relaxed);
        }
        (batch, opened)
    }
}

impl State {
    fn packet(
        &mut self,
        setup: &Setup,
        record: &Record,
        several_interfaces: bool,
        batch: &mut Batch,
        opened: &mut Vec<StreamInfo>,
    ) {
        let ordinal = self.ordinal;
        self.ordinal += 1;
        let ts = match setup.live {
            None => {
                self.now = self.now.max(record.ts);
                record.ts
            }
            // The system had it from before the clock was set back.
            Some(_) if record.ts.since(self.now) > SET_BACK => self.now,
            Some(_) => record.ts,
        };
        let start = record.start as usize;
        let bytes = batch
            .bytes
            .get(start..start + record.caplen as usize)
            .unwrap_or_default();
        let decoded = self.decoder.decode(ordinal, record, bytes, &mut self.found);
        let name = |interface| setup.source.interface_name(interface);
        if self.unread.note(record, &decoded, name) && setup.live.is_some() {
            // A live run may have no end.
            setup.counters.warn(self.unread.newest());
        }
        let mut stream = None;
        if setup.live.is_none() && self.is_second_sight(record, several_interfaces, bytes) {
            // It stays among the packets, and out of its stream.
            setup.counters.duplicates.fetch_add(1, Ordering::Relaxed);
        } else if let Decoded::Flow(layers) = &decoded {
            let opens = layers.tcp.is_some_and(|tcp| tcp.flags.has(TcpFlags::SYN));
            let resumed = match self.waiting.is_empty() || opens || self.table.has(&layers.tuple) {
                true => None,
                false => self.waiting.take(&layers.tuple),
            };
            let assigned = match &resumed {
                None => self.table.assign(ordinal, ts, layers),
                Some(resumed) => self.table.resume(ordinal, ts, layers, &resumed.info),
            };
            let number = assigned.info.name.stream;
            if let Some(resumed) = resumed {
                self.resumed.push((number, resumed));
            }
            stream = Some((number, assigned.direction));
            let earlier = self.found.earlier.drain(..);
            batch
                .adopted
                .extend(earlier.map(|earlier| (earlier, number)));
            match assigned.translated {
                // The packets stay with their stream; its calls are those of the other one.
                Some(_) => {
                    setup.counters.translated.fetch_add(1, Ordering::Relaxed);
                }
                None if assigned.new => opened.push(assigned.info),
                None => {}
            }
        }
        // Built once, in its place: moving it around costs as much as reading its headers.
        batch.packets.push(Packet {
            ordinal,
            record: *record,
            decoded,
            stream,
        });
    }

    /// Opens and ends streams of which only their states are there, so that what they had open is told.
    fn end_over(&mut self, batch: &mut Batch, opened: &mut Vec<StreamInfo>) {
        for resumed in std::mem::take(&mut self.over) {
            let stream = StreamId(FIRST_OVER + self.number_over);
            self.number_over += 1;
            let name = StreamName {
                stream,
                ..resumed.info.name
            };
            opened.push(StreamInfo {
                name,
                ..resumed.info
            });
            batch.ended.push(Ended {
                stream,
                reason: EndReason::SourceEnd,
                ordinal: self.ordinal.saturating_sub(1),
            });
            self.resumed.push((stream, resumed));
        }
    }

    /// Leaves for later steps what more of streams ends than a step may tell.
    fn put_off(&mut self, batch: &mut Batch) {
        self.ending.extend(batch.ended.drain(..));
        let most = MAX_ENDED + batch.packets.len();
        let now = most.min(self.ending.len());
        batch.ended.extend(self.ending.drain(..now));
    }

    fn is_second_sight(&mut self, record: &Record, several: bool, bytes: &[u8]) -> bool {
        if self.duplicates.is_none() {
            self.duplicates = Duplicates::of_capture(record.linktype, several);
        }
        let Record {
            linktype,
            interface,
            ts,
            ..
        } = *record;
        let known = self.duplicates.as_mut();
        known.is_some_and(|known| known.is_second_sight(linktype, interface, bytes, ts))
    }
}

#[cfg(test)]
mod tests;
