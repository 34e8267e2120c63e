//! The one thread that reads the source: headers, ordinals, streams, spool.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::Receiver;

use super::backlog::Entrance;
use super::cuts::{Cuts, Resumed, Waiting};
use super::{Counters, Exits, Links, NamesOf, Spent, Step, Stop};
use crate::capture::duplicates::Duplicates;
use crate::capture::{BATCH_BYTES, BATCH_PACKETS, CaptureError, Filled, RawBatch, Source};
use crate::dissect::Secrets;
use crate::flow::{Limits, StreamInfo, Table};
use crate::item::Origin;
use crate::packet::headers::{Decoder, Found};
use crate::packet::{Batch, Decoded, MAX_SNAPLEN, Packet, Record, StreamId, TcpFlags};
use crate::record::parse_goes_on;
use crate::spool;
use crate::time::{Clock, Timestamp};

/// How often a live run without traffic still takes a step, so that streams end and reels are sealed.
const IDLE_STEP: Duration = Duration::from_millis(250);

/// Owns the source, the flow table and the spool's writer.
pub(super) struct Ingest {
    pub(super) source: Box<dyn Source>,
    pub(super) spool: Option<spool::Writer>,
    pub(super) origin: Arc<Origin>,
    pub(super) names: Option<NamesOf>,
    /// The wall clock of a live run.
    pub(super) live: Option<Arc<dyn Clock>>,
    pub(super) stop: Stop,
    pub(super) counters: Arc<Counters>,
    /// Where key logs of the source go; workers look there.
    pub(super) secrets: Arc<Secrets>,
    /// Memory of batches that are done, in a run whose source waits for the workers.
    pub(super) spent: Option<Receiver<Spent>>,
    pub(super) way: Way,
    /// States that recordings ask for.
    pub(super) cuts: Cuts,
}

/// Where steps go.
pub(super) enum Way {
    /// To the workers, whom reading waits for.
    Straight(Exits),
    /// To a backlog, so that a live source is not waited on.
    Behind(Entrance),
}

/// What goes on from batch to batch.
struct State {
    decoder: Decoder,
    found: Found,
    table: Table,
    /// Second sights in files of several interfaces; a live source leaves them out itself.
    duplicates: Option<Duplicates>,
    /// Room for the packets of the next batch.
    packets: Vec<Packet>,
    ordinal: u64,
    number: u64,
    now: Timestamp,
    /// States of streams that go on from an earlier reel, and who goes on in a later one.
    waiting: Waiting,
    /// Streams of the batch that go on with a saved state.
    resumed: Vec<(StreamId, Resumed)>,
}

impl Ingest {
    /// Reads until the source ends or somebody asks to stop.
    pub(super) fn run(mut self, limits: Limits) -> Result<(), CaptureError> {
        let mut state = State {
            decoder: Decoder::new(),
            found: Found::default(),
            table: Table::new(limits),
            duplicates: None,
            packets: Vec::new(),
            ordinal: 0,
            number: 0,
            now: Timestamp::default(),
            waiting: Waiting::default(),
            resumed: Vec::new(),
        };
        let mut raw = RawBatch::default();
        let mut asked = false;
        let mut last_step = Timestamp::default();
        let result = loop {
            if self.stop.is_asked() && !asked {
                asked = true;
                self.source.finish();
            }
            self.make_room(&mut state, &mut raw);
            let filled = self.source.fill(&mut raw);
            self.note_source();
            self.note_blocks(&mut state);
            let over = !matches!(filled, Ok(Filled::More | Filled::Idle))
                || (asked && self.live.is_none());
            if let Some(clock) = &self.live {
                state.now = state.now.max(clock.now());
            }
            let due = state.now.since(last_step) >= IDLE_STEP;
            if !raw.records.is_empty() || over || due {
                last_step = state.now;
                let (batch, opened) = self.batch(&mut state, &mut raw, over);
                let links = Links {
                    resumed: std::mem::take(&mut state.resumed),
                    going_on: over.then(|| std::mem::take(&mut state.waiting)),
                };
                if !self.send(batch, opened, links) {
                    break Ok(());
                }
            }
            match filled {
                Err(error) => break Err(error),
                Ok(Filled::End) => break Ok(()),
                Ok(_) if asked && self.live.is_none() => break Ok(()),
                Ok(Filled::Boundary) => state.decoder = Decoder::new(),
                Ok(Filled::More | Filled::Idle) => {}
            }
        };
        self.counters.ended.store(true, Ordering::Relaxed);
        result
    }

    /// Empties the batch that is filled next; its memory is that of one that is done, or new.
    fn make_room(&self, state: &mut State, raw: &mut RawBatch) {
        raw.clear();
        if let Some(spent) = &self.spent
            && raw.bytes.capacity() == 0
        {
            let spent = spent.try_recv().unwrap_or_else(|_| Spent {
                bytes: Vec::with_capacity(BATCH_BYTES + MAX_SNAPLEN as usize),
                packets: Vec::with_capacity(BATCH_PACKETS),
            });
            raw.bytes = spent.bytes;
            state.packets = spent.packets;
        }
    }

    fn note_source(&mut self) {
        *self
            .counters
            .source
            .lock()
            .expect("counting does not panic") = self.source.counts();
        *self
            .counters
            .progress
            .lock()
            .expect("counting does not panic") = self.source.progress();
        self.counters.warn(self.source.warnings());
        // Before the batch is sent, so that its streams find them.
        for log in self.source.key_logs() {
            self.secrets.insert(&log);
        }
    }

    fn note_blocks(&mut self, state: &mut State) {
        // Before the packets that came with them are looked at; the marks of the reel before say
        // nothing about this one's end.
        let back = self.source.back_blocks();
        if let Some(front) = self.source.front_blocks() {
            state.waiting.begin(&front);
        }
        for data in back {
            if let Some(tuples) = parse_goes_on(&data) {
                state.waiting.go_on(&tuples);
            }
        }
    }

    /// The next batch; `over` ends every stream with it.
    fn batch(
        &mut self,
        state: &mut State,
        raw: &mut RawBatch,
        over: bool,
    ) -> (Batch, Vec<StreamInfo>) {
        let mut batch = Batch {
            number: state.number,
            bytes: Bytes::from(std::mem::take(&mut raw.bytes)),
            packets: std::mem::take(&mut state.packets),
            ..Batch::default()
        };
        batch.packets.reserve(raw.records.len());
        let mut opened = Vec::new();
        state.number += 1;
        let mut malformed = 0;
        for record in &raw.records {
            let packet = self.packet(state, record, &mut batch, &mut opened);
            malformed += u64::from(packet.decoded == Decoded::Malformed);
            batch.packets.push(packet);
        }
        batch.datagrams = std::mem::take(&mut state.found.datagrams);
        batch.tunnels = std::mem::take(&mut state.found.tunnels);
        state.table.sweep(state.now, &mut batch.ended);
        batch.now = state.now;
        let count = |counter: &std::sync::atomic::AtomicU64, by: u64| {
            counter.fetch_add(by, Ordering::Relaxed)
        };
        count(&self.counters.packets, batch.packets.len() as u64);
        count(&self.counters.bytes, batch.bytes.len() as u64);
        count(&self.counters.malformed, malformed);
        count(&self.counters.streams, opened.len() as u64);
        if let Some(last) = raw.records.last() {
            let millis = u64::try_from(last.ts.millis()).unwrap_or_default();
            self.counters.last_packet.store(millis, Ordering::Relaxed);
        }
        if over {
            state.table.end_all(&mut batch.ended);
        }
        if let Some(spool) = &mut self.spool
            && let Err(error) = spool.append(&mut batch)
            && count(&self.counters.spool_errors, 1) == 0
        {
            self.counters.warn(vec![format!("spool: {error}")]);
        }
        (batch, opened)
    }

    fn packet(
        &self,
        state: &mut State,
        record: &Record,
        batch: &mut Batch,
        opened: &mut Vec<StreamInfo>,
    ) -> Packet {
        let ordinal = state.ordinal;
        state.ordinal += 1;
        state.now = state.now.max(record.ts);
        let mut packet = Packet {
            ordinal,
            record: *record,
            decoded: Decoded::NotIp,
            stream: None,
        };
        let start = record.start as usize;
        let bytes = batch
            .bytes
            .get(start..start + record.caplen as usize)
            .unwrap_or_default();
        packet.decoded = state
            .decoder
            .decode(ordinal, record, bytes, &mut state.found);
        if self.live.is_none() && is_second_sight(state, record, bytes) {
            // It stays among the packets, and out of its stream.
            self.counters.duplicates.fetch_add(1, Ordering::Relaxed);
            return packet;
        }
        if let Decoded::Flow(layers) = &packet.decoded {
            let opens = layers.tcp.is_some_and(|tcp| tcp.flags.has(TcpFlags::SYN));
            let resumed = match opens || state.table.has(&layers.tuple) {
                true => None,
                false => state.waiting.take(&layers.tuple),
            };
            let assigned = match &resumed {
                None => state.table.assign(ordinal, record.ts, layers),
                Some(resumed) => state
                    .table
                    .resume(ordinal, record.ts, layers, &resumed.info),
            };
            if let Some(resumed) = resumed {
                state.resumed.push((assigned.info.name.stream, resumed));
            }
            let stream = assigned.info.name.stream;
            packet.stream = Some((stream, assigned.direction));
            batch.adopted.extend(
                state
                    .found
                    .earlier
                    .drain(..)
                    .map(|earlier| (earlier, stream)),
            );
            match assigned.translated {
                // The packets stay with their stream; its calls are those of the other one.
                Some(_) => {
                    self.counters.translated.fetch_add(1, Ordering::Relaxed);
                }
                None if assigned.new => opened.push(assigned.info),
                None => {}
            }
        }
        packet
    }

    fn send(&mut self, batch: Batch, opened: Vec<StreamInfo>, links: Links) -> bool {
        let origin = self.source.origin().unwrap_or_else(|| self.origin.clone());
        let names = self.names.as_ref().and_then(|names| names(&origin));
        let record = self.source.record().unwrap_or_else(|| Arc::from(""));
        let step = Step {
            batch: Arc::new(batch),
            opened,
            origin,
            names,
            record,
            progress: self.source.progress(),
            wanted: self.cuts.take(),
            links,
        };
        match &self.way {
            Way::Straight(exits) => exits.send(Arc::new(step)),
            Way::Behind(entrance) => entrance.send(step),
        }
    }
}

fn is_second_sight(state: &mut State, record: &Record, bytes: &[u8]) -> bool {
    if state.duplicates.is_none() {
        state.duplicates = Duplicates::for_linktype(record.linktype);
    }
    let known = state.duplicates.as_mut();
    known.is_some_and(|known| known.is_second_sight(record.linktype, bytes, record.ts))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crossbeam_channel::bounded;

    use super::*;
    use crate::capture::file;
    use crate::dissect::Protocols;
    use crate::item::Item;
    use crate::pipeline::Counts;
    use crate::pipeline::worker::Worker;

    /// Items of a capture of the cluster, and what was counted.
    fn items_of(name: &str) -> Option<(Vec<Item>, Counts)> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures/k8s");
        let Ok(source) = file::open(&Path::new(folder).join(name)) else {
            println!("skipped: the sample captures are not beside the repository");
            return None;
        };
        let counters: Arc<Counters> = Arc::default();
        let (to_worker, steps) = bounded(1000);
        let (to_collect, _collected) = bounded(1000);
        let ingest = Ingest {
            source,
            spool: None,
            origin: Arc::default(),
            names: None,
            live: None,
            stop: Stop::default(),
            counters: counters.clone(),
            secrets: Arc::default(),
            spent: None,
            way: Way::Straight(Exits {
                to_workers: vec![to_worker],
                to_collect,
            }),
            cuts: Cuts::default(),
        };
        ingest.run(Limits::default()).unwrap();
        let (found, items) = bounded(1000);
        Worker::new(0, 1, Protocols::all(), counters.clone()).run(&steps, &found);
        drop(found);
        let items: Vec<_> = items.iter().flat_map(|found| found.items).collect();
        Some((items, counters.now()))
    }

    #[test]
    fn each_call_of_a_node_is_shown_once() {
        // As many as the pod and the bridge saw (`constructed.json`). The node's recording begins with one
        // more, and has nothing of another one.
        for (name, calls) in [
            ("pod-client-eth0.pcap", 46),
            ("bridge-cni0.pcap", 49),
            ("node-any-sll2.pcap", 49),
        ] {
            let Some((items, _)) = items_of(name) else {
                return;
            };
            let http: Vec<_> = items
                .iter()
                .filter(|item| item.protocol.name == "http")
                .collect();
            let mut clients: Vec<u16> = http.iter().map(|item| item.src.endpoint.port).collect();
            clients.sort_unstable();
            clients.dedup();
            assert_eq!((http.len(), clients.len()), (calls, calls), "{name}");
        }
    }

    #[test]
    fn a_node_that_sees_a_packet_on_several_interfaces_shows_it_once() {
        let Some((items, counts)) = items_of("node-any-sll2.pcap") else {
            return;
        };
        // Three errors of ICMP, each seen on the bridge and on the pod's interface; tshark has 6.
        let icmp = items.iter().filter(|item| item.protocol.name == "icmp");
        assert_eq!(icmp.count(), 3);
        assert!(counts.duplicates > 264, "{}", counts.duplicates);
        assert!(counts.translated > 30, "{}", counts.translated);
        assert_eq!(counts.packets, 1444);
    }
}
